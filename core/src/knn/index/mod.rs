//! Nearest neighbours among rows that lie in a file: an index of inverted lists.
//!
//! Rows are sorted into the clusters of the approximate [`knn`](crate::knn::knn) and kept cluster by cluster (a list each) with
//! their numbers, wherever [`StoredBlocks`](crate::exchange::StoredBlocks) keeps them. What stays in memory is a [`IndexHead`]: centres and the places of
//! lists. A search is that of `approximate`, which asks for one list at a time; lists come
//! through a cache, and rows that are near each other are searched one after the other, so that few lists are read twice.
//!
//! [`learn_index`] makes the head from any source of rows ([`PointBlocks`]), [`LearntIndex::write`] sorts the rows into lists;
//! [`NeighborIndex`] searches. What a file looks like is the affair of others.
//!
//! Reference: Jegou, Douze and Schmid 2011 (inverted lists over a coarse quantizer; here the lists hold the rows themselves).

mod build;
mod cache;
mod head;
mod options;
mod search;
mod source;

#[cfg(test)]
mod tests;

pub use build::{IndexSink, LearntIndex, learn_index};
pub use head::{IndexHead, NeighborIndex};
pub use options::{IndexOptions, SearchOptions};
pub use source::{PointBlocks, PointSlice, fingerprint};

use super::{Metric, Nearest, Neighbors, Points};
