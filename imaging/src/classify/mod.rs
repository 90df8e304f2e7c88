//! A learned judge of cells: boosted trees on what a candidate looks like, trained on a user's own annotations.
//!
//! [`train_cell_classifier`] finds the candidates of annotated volumes, gives each annotated point its candidate, and
//! trains [`Trees`] on their features. The score from which on a candidate counts as a cell is chosen on groups (animals)
//! that the trees in question have not seen. A [`CellClassifier`] is a small JSON text that names its features, spacing, soma
//! diameter and version; [`CellClassifier::default_model`] comes with the program.

mod model;
mod train;
mod trees;

pub use model::{CellClassifier, Validation};
pub use train::{Annotated, TrainOptions, train_cell_classifier};
pub use trees::{Trees, TreesOptions};

#[cfg(test)]
mod tests;
