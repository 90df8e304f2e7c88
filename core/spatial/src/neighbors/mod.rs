//! Neighbours in space, exact.

mod nearest;
mod options;
mod rings;
mod within;

#[cfg(test)]
mod tests;

pub use nearest::{Nearest, nearest};
pub use options::SpatialKnnOptions;
pub use rings::{Rings, rings};
pub use within::{Within, within};
