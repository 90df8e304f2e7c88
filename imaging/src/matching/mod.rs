//! What was found against what is true: one-to-one pairs, and scores from them.

mod bipartite;
mod labels;

pub use bipartite::largest_matching;
pub use labels::{Overlaps, SegmentationScore};

#[cfg(test)]
mod tests;
