//! The best-scoring rows of each query so far.

use super::tile::{QUERIES, Sink};

/// A scored row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) score: f32,
    pub(super) row: u32,
}

/// Keeps the `keep` highest scores of each of `queries` queries: appended to a buffer of twice the size, which is cut back by
/// selection when it is full, so that a hit costs O(1) on average.
pub(super) struct Best {
    keep: usize,
    capacity: usize,
    entries: Vec<Scored>,
    lengths: Vec<usize>,
    thresholds: Vec<f32>,
}

impl Best {
    pub(super) fn new(queries: usize, keep: usize) -> Self {
        let capacity = 2 * keep + 8;
        Self {
            keep,
            capacity,
            entries: vec![Scored { score: 0.0, row: 0 }; queries * capacity],
            lengths: vec![0; queries],
            thresholds: vec![f32::NEG_INFINITY; queries],
        }
    }

    /// Score that a row must beat.
    #[inline]
    pub(super) fn threshold(&self, query: usize) -> f32 {
        self.thresholds[query]
    }

    /// What is kept for a query, in no particular order; at most `keep` after [`tighten`](Self::tighten).
    pub(super) fn entries(&self, query: usize) -> &[Scored] {
        let start = query * self.capacity;
        &self.entries[start..start + self.lengths[query]]
    }

    /// Adds a row.
    #[inline]
    pub(super) fn push(&mut self, query: usize, entry: Scored) -> f32 {
        let length = self.lengths[query];
        self.entries[query * self.capacity + length] = entry;
        self.lengths[query] = length + 1;
        if length + 1 == self.capacity { self.tighten(query) } else { self.thresholds[query] }
    }

    /// Cuts a query's entries back to the `keep` best (equal scores: lowest row) and returns its threshold.
    pub(super) fn tighten(&mut self, query: usize) -> f32 {
        let start = query * self.capacity;
        let entries = &mut self.entries[start..start + self.lengths[query]];
        if entries.len() >= self.keep {
            let (_, last, _) = entries
                .select_nth_unstable_by(self.keep - 1, |a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
            self.thresholds[query] = last.score;
            self.lengths[query] = self.keep;
        }
        self.thresholds[query]
    }
}

/// Feeds the hits of one tile into a [`Best`].
pub(super) struct Feed<'a> {
    pub(super) best: &'a mut Best,
    /// Which query of `best` stands in each place of the tile.
    pub(super) queries: [u32; QUERIES],
    /// Row number of the first packed row.
    pub(super) first: u32,
}

impl Sink for Feed<'_> {
    #[inline]
    fn offer(&mut self, query: usize, position: usize, score: f32) -> f32 {
        self.best.push(self.queries[query] as usize, Scored { score, row: self.first + position as u32 })
    }
}
