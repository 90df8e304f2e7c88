//! Statistics of cells in tissue, on positions in two or three dimensions and on graphs of neighbours in space.
//!
//! - [`neighbors`]: the nearest cells, those within a distance, rings on a grid.
//! - [`enrichment`]: how often neighbours carry two labels, against labels dealt out at random.
//! - [`cooccurrence`]: pairs of labels by distance.
//! - [`autocorr`]: Moran's I and Geary's C of many values at once.
//! - [`bivariate`]: where in the tissue two values go together.
//! - [`centrality`]: how groups of cells lie in the graph.
//! - [`ligrec`]: ligands of some cells and receptors of others.
//! - [`mixture`]: normal distributions that share cells out into kinds of surroundings.
//! - [`ripley`]: patterns of cells against complete randomness.
//! - [`variable`]: genes that are a function of place.
//!
//! All search goes through one tree over the cells (`zensaibo_core::places`). The promises of `zensaibo_core` hold: the same bits for any
//! number of threads, and a parameter is used or refused.

pub mod autocorr;
pub mod bivariate;
pub mod centrality;
pub mod cooccurrence;
pub mod enrichment;
pub mod graph;
mod intervals;
pub mod ligrec;
pub mod mixture;
pub mod neighbors;
pub mod places;
pub mod ripley;
pub mod variable;

pub use graph::Edges;
pub use places::Places;
