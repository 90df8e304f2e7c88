//! Reference atlases: which structure lies where, how structures nest, and how many cells each holds.
//!
//! An atlas is a grid of structure numbers ([`Atlas`]), a tree of structures ([`StructureTree`]) and the two halves of
//! the body. Cells are counted ([`count_regions`]) at every level of the tree; none is lost: those beyond the grid, in
//! voxels of no structure, or without a place are counted as such. The same cells as a map: [`density`].

mod count;
mod density;
mod grid;
mod read;
#[cfg(test)]
mod tests;
mod tree;

pub use count::{Growth, Place, RegionCount, RegionCounts, count_regions, locate};
pub use density::{Density, DensityOptions, density};
pub use grid::{Atlas, AtlasParts, Half};
pub use read::read_ids;
pub use tree::{Structure, StructureRecord, StructureTree};
