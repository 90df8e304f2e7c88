//! What was found against what is true: one-to-one pairs of points and of labels, and scores from them.

mod bipartite;
mod labels;
mod points;

pub use bipartite::largest_matching;
pub use labels::{Overlaps, SegmentationScore, seg};
pub(crate) use labels::{add_pairs, check_labels, read_labels};
pub use points::{Matching, match_points};
pub(crate) use points::{check_points, check_radius, pairs_within};

#[cfg(test)]
mod tests;
