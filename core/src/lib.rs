//! The algorithms of zensaibo on matrices, graphs and points.
//!
//! Nothing here opens a file, knows Python or sets up logging. Everything large comes in through a
//! [`matrix::RowBlocks`] source, is looked at by a [`matrix::Pass`] block by block, and leaves as something small.
//!
//! Three promises hold for every public function, unless its documentation says otherwise:
//! the same bits for any number of threads; memory that does not grow with the matrix beyond what the
//! result itself needs; and a parameter that is either used or refused.

pub mod aggregate;
pub mod assignment;
pub mod bbknn;
pub mod chromatin;
pub mod combat;
pub mod data;
pub mod density;
pub mod diffusion;
pub mod downsample;
pub mod error;
pub mod exchange;
pub mod fate;
pub mod forceatlas;
pub mod graph;
pub mod harmony;
pub mod hashsolo;
pub mod hvg;
pub mod knn;
pub mod leiden;
pub mod logistic;
pub mod markers;
pub mod matrix;
pub mod memory;
pub mod mixing;
pub mod normalize;
pub mod options;
pub mod paga;
pub mod parallel;
pub mod pca;
pub mod pearson;
pub mod places;
pub mod pooled;
pub mod progress;
pub mod protein;
pub mod pseudobulk;
pub mod qc;
mod quadtree;
pub mod random;
pub mod raster;
pub mod regress;
pub mod scale;
pub mod score;
pub mod scrublet;
pub mod simulate;
pub mod sketch;
pub mod stats;
pub mod tsne;
pub mod umap;
pub mod velocity;
pub mod wnn;

pub use error::{DataFault, Error, Result};
pub use progress::Ctx;
