//! Which intervals overlap which.

use std::collections::BTreeMap;

use crate::{DataFault, Error, Result};

/// A stretch of a chromosome: `start <= position < end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Number of the chromosome; equal numbers are the same one.
    pub chromosome: u32,
    /// First position.
    pub start: u64,
    /// One past the last position.
    pub end: u64,
}

/// For each interval of a first set, those of a second set that share a position with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlaps {
    /// Size of the second set.
    pub n_second: usize,
    /// Where the list of each first interval starts; one more than there are.
    pub indptr: Vec<usize>,
    /// Members of the second set, rising within each list.
    pub indices: Vec<u32>,
}

impl Overlaps {
    /// Finds all pairs; O((n + m) log m + pairs).
    ///
    /// # Errors
    /// [`Error::Data`] for an interval that ends before it starts, or more than 2^32 of the second.
    pub fn find(first: &[Interval], second: &[Interval]) -> Result<Self> {
        for (what, set) in [("peaks", first), ("genes", second)] {
            if let Some(at) = set.iter().position(|interval| interval.end < interval.start) {
                let found = format!("{} to {} at place {at}", set[at].start, set[at].end);
                return Err(Error::data(DataFault::Invalid, what, "intervals that end at or after their start", found));
            }
        }
        if second.len() > u32::MAX as usize {
            return Err(Error::data(DataFault::Shape, "genes", "fewer than 2^32 intervals", second.len()));
        }
        // Per chromosome by start, with the furthest end so far: what lies before an interval is found by bisection.
        let mut by_chromosome: BTreeMap<u32, Vec<(u64, u64, u32)>> = BTreeMap::new();
        for (at, interval) in second.iter().enumerate() {
            by_chromosome.entry(interval.chromosome).or_default().push((interval.start, interval.end, at as u32));
        }
        let furthest: BTreeMap<u32, Vec<u64>> = by_chromosome
            .iter_mut()
            .map(|(&chromosome, set)| {
                set.sort_unstable();
                let mut most = 0;
                let ends = set.iter().map(|&(_, end, _)| {
                    most = most.max(end);
                    most
                });
                (chromosome, ends.collect())
            })
            .collect();
        let (mut indptr, mut indices) = (vec![0], Vec::new());
        for interval in first {
            let from = indices.len();
            if let (Some(set), Some(furthest)) =
                (by_chromosome.get(&interval.chromosome), furthest.get(&interval.chromosome))
            {
                let begin = furthest.partition_point(|&end| end <= interval.start);
                let stop = set.partition_point(|&(start, _, _)| start < interval.end);
                let hits = set.get(begin..stop).unwrap_or_default();
                indices.extend(hits.iter().filter(|(_, end, _)| *end > interval.start).map(|&(_, _, at)| at));
            }
            indices[from..].sort_unstable();
            indptr.push(indices.len());
        }
        Ok(Self { n_second: second.len(), indptr, indices })
    }

    /// Members of the second set that overlap interval `at` of the first.
    pub fn of(&self, at: usize) -> &[u32] {
        &self.indices[self.indptr[at]..self.indptr[at + 1]]
    }
}
