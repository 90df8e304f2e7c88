//! The weights of a graph, with the sums that statistics over it need.

use zensaibo_core::{DataFault, Error, Result};

use super::Mode;
use crate::Edges;

pub(super) struct Weights<'a> {
    edges: Edges<'a>,
    values: Vec<f64>,
    /// Sums from and to each cell.
    both: Vec<f64>,
    s0: f64,
    s1: f64,
    s2: f64,
}

impl<'a> Weights<'a> {
    pub(super) fn new(edges: &Edges<'a>, by_rows: bool) -> Result<Self> {
        let n = edges.len();
        if n < 3 {
            return Err(Error::data(DataFault::TooFew, "graph of neighbours", "at least three cells", n));
        }
        let mut values = edges.weights().to_vec();
        if by_rows {
            for cell in 0..n {
                let row = &mut values[edges.range(cell)];
                let sum: f64 = row.iter().map(|weight| weight.abs()).sum();
                if sum > 0.0 {
                    row.iter_mut().for_each(|weight| *weight /= sum);
                }
            }
        }
        let mut both = vec![0.0; n];
        let (mut s0, mut s1) = (0.0, 0.0);
        for cell in 0..n {
            for (slot, &other) in edges.range(cell).zip(edges.of(cell)) {
                let weight = values[slot];
                both[cell] += weight;
                both[other as usize] += weight;
                s0 += weight;
                // Half of sum_ij (w_ij + w_ji)^2 is the sum of w_ij^2 + w_ij w_ji.
                let back = edges.find(other as usize, cell).map_or(0.0, |at| values[at]);
                s1 += weight * weight + weight * back;
            }
        }
        if s0 == 0.0 {
            let found = if values.is_empty() { "no edges" } else { "a sum of 0" };
            return Err(Error::data(DataFault::Invalid, "graph of neighbours", "weights that do not sum to 0", found));
        }
        let s2 = both.iter().map(|sum| sum * sum).sum();
        Ok(Self { edges: *edges, values, both, s0, s1, s2 })
    }

    pub(super) fn len(&self) -> usize {
        self.both.len()
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> f64 {
        self.s0
    }

    /// The sum of the weights from and to a cell.
    pub(super) fn both(&self, cell: usize) -> f64 {
        self.both[cell]
    }

    /// The neighbours of a cell, and the weights of its edges.
    pub(super) fn edges(&self, cell: usize) -> (&[i32], &[f64]) {
        (self.edges.of(cell), &self.values[self.edges.range(cell)])
    }

    /// The weighted sum of the values of the neighbours of a cell.
    #[inline]
    pub(super) fn lag(&self, cell: usize, values: &[f64]) -> f64 {
        let weights = &self.values[self.edges.range(cell)];
        self.edges.of(cell).iter().zip(weights).map(|(&other, weight)| weight * values[other as usize]).sum()
    }

    /// The variance of the statistic of independent normal values.
    pub(super) fn variance(&self, mode: Mode) -> f64 {
        let (n, s0, s1, s2) = (self.len() as f64, self.s0, self.s1, self.s2);
        match mode {
            Mode::Moran => {
                (n * n * s1 - n * s2 + 3.0 * s0 * s0) / ((n - 1.0) * (n + 1.0) * s0 * s0) - (n - 1.0).powi(-2)
            }
            Mode::Geary => ((2.0 * s1 + s2) * (n - 1.0) - 4.0 * s0 * s0) / (2.0 * (n + 1.0) * s0 * s0),
        }
    }
}
