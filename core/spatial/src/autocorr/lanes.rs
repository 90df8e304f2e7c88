//! Scores of several permuted columns at once.
//!
//! Cells are numbered as a walk over the graph from neighbour to neighbour meets them, so that the values of a cell's neighbours lie
//! near its own; the values of one cell in all columns of a block fill one line of the cache. What stays random is the permutation
//! itself: one line read per cell.

use multiversion::multiversion;

use super::weights::Weights;
use super::{Columns, Mode};

/// Columns of a block: as many double-precision numbers as a line of the cache holds.
pub(super) const LANES: usize = 8;

/// Values of one cell in the columns of a block.
type Lane = [f64; LANES];

/// The graph with cells in the order of the walk.
pub(super) struct Walk {
    /// Where each cell stands.
    rank: Vec<u32>,
    ends: Vec<usize>,
    neighbors: Vec<u32>,
    values: Vec<f64>,
    /// Sums of the weights from and to each.
    both: Vec<f64>,
    total: f64,
}

impl Walk {
    pub(super) fn new(weights: &Weights<'_>) -> Self {
        let n = weights.len();
        let mut rank = vec![u32::MAX; n];
        let mut order: Vec<u32> = Vec::with_capacity(n);
        // Breadth first along the edges; cells that no edge leads to begin walks of their own.
        for start in 0..n {
            if rank[start] != u32::MAX {
                continue;
            }
            rank[start] = order.len() as u32;
            let mut next = order.len();
            order.push(start as u32);
            while let Some(&cell) = order.get(next) {
                next += 1;
                for &other in weights.edges(cell as usize).0 {
                    if rank[other as usize] == u32::MAX {
                        rank[other as usize] = order.len() as u32;
                        order.push(other as u32);
                    }
                }
            }
        }
        let (mut ends, mut both) = (Vec::with_capacity(n + 1), Vec::with_capacity(n));
        let (mut neighbors, mut values) = (Vec::new(), Vec::new());
        ends.push(0);
        for &cell in &order {
            let (others, its) = weights.edges(cell as usize);
            neighbors.extend(others.iter().map(|&other| rank[other as usize]));
            values.extend_from_slice(its);
            ends.push(neighbors.len());
            both.push(weights.both(cell as usize));
        }
        Self { rank, ends, neighbors, values, both, total: weights.total() }
    }

    /// For each place of the walk the cell whose value a permutation brings there: the value of cell i goes to cell `order[i]`.
    pub(super) fn sources(&self, order: &[u32]) -> Vec<u32> {
        let mut sources = vec![0; order.len()];
        for (cell, &to) in order.iter().enumerate() {
            sources[self.rank[to as usize] as usize] = cell as u32;
        }
        sources
    }
}

/// Columns less their means, cell by cell.
pub(super) struct Block {
    values: Vec<Lane>,
    moved: Vec<Lane>,
    /// z'z of each; 0 for a column without variance, and for lanes without a column.
    spread: Lane,
}

impl Block {
    /// Room for `n` cells.
    pub(super) fn new(n: usize) -> Self {
        Self { values: vec![[0.0; LANES]; n], moved: vec![[0.0; LANES]; n], spread: [0.0; LANES] }
    }

    /// Takes up the columns of these numbers, at most [`LANES`].
    pub(super) fn fill(&mut self, columns: &Columns<'_>, numbers: &[usize]) {
        let n = self.values.len();
        self.spread = [0.0; LANES];
        let mut means = [0.0; LANES];
        for (lane, &at) in numbers.iter().enumerate() {
            let range = columns.indptr[at] as usize..columns.indptr[at + 1] as usize;
            means[lane] = columns.values[range].iter().sum::<f64>() / n as f64;
        }
        self.values.iter_mut().for_each(|values| *values = std::array::from_fn(|lane| -means[lane]));
        for (lane, &at) in numbers.iter().enumerate() {
            for slot in columns.indptr[at] as usize..columns.indptr[at + 1] as usize {
                self.values[columns.indices[slot] as usize][lane] = columns.values[slot] - means[lane];
            }
            let first = self.values[0][lane];
            if self.values.iter().any(|values| values[lane] != first) {
                self.spread[lane] = self.values.iter().map(|values| values[lane] * values[lane]).sum();
            }
        }
    }

    /// The scores with cells permuted; NaN for columns without variance.
    pub(super) fn scores(&mut self, walk: &Walk, mode: Mode, sources: &[u32]) -> Lane {
        for (moved, &source) in self.moved.iter_mut().zip(sources) {
            *moved = self.values[source as usize];
        }
        let (cross, squares) = sums(&self.moved, &walk.ends, &walk.neighbors, &walk.values, &walk.both);
        let n = sources.len() as f64;
        std::array::from_fn(|lane| {
            if self.spread[lane] == 0.0 {
                return f64::NAN;
            }
            match mode {
                Mode::Moran => n / walk.total * cross[lane] / self.spread[lane],
                Mode::Geary => (n - 1.0) / (2.0 * walk.total) * (squares[lane] - 2.0 * cross[lane]) / self.spread[lane],
            }
        })
    }
}

/// z'Wz and sum_i (r_i + c_i) z_i^2 of each lane. Sums run in the order of the walk whatever the width of the machine's vectors.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn sums(z: &[Lane], ends: &[usize], neighbors: &[u32], values: &[f64], both: &[f64]) -> (Lane, Lane) {
    let (mut cross, mut squares) = ([0.0; LANES], [0.0; LANES]);
    for (at, own) in z.iter().enumerate() {
        let mut lag = [0.0; LANES];
        let range = ends[at]..ends[at + 1];
        for (&other, &weight) in neighbors[range.clone()].iter().zip(&values[range]) {
            let its = &z[other as usize];
            for lane in 0..LANES {
                lag[lane] += weight * its[lane];
            }
        }
        for lane in 0..LANES {
            cross[lane] += own[lane] * lag[lane];
            squares[lane] += both[at] * own[lane] * own[lane];
        }
    }
    (cross, squares)
}
