//! How the gram route lays out cells: columns with many non-zeros as a dense panel, the others sparse.
//!
//! Products of two dense columns then go through matrix products, of a sparse with a dense column through vector
//! sums, and only products of two sparse columns are scattered one by one. On single-cell data, where a few genes
//! are seen in most cells, that is several times less work than scattering all.

use crate::matrix::RowBlock;
use crate::stats::GeneMoments;

/// Nanoseconds of the elementary steps: a term of a dense product, of a vector sum, a scattered term, a value
/// written into the panel. Only their ratios matter, and only for speed.
const DENSE: f64 = 0.016;
const VECTOR: f64 = 0.06;
const SCATTER: f64 = 0.7;
const FILL: f64 = 0.3;

/// Up to this many nanoseconds every product is scattered, in f64: f32 sums in the panel would show in the small
/// eigenvalues of few cells, where no averaging hides them.
const ALL_IN_F64: f64 = 5e7;

/// Which columns are dense. Depends on the counts of non-zeros alone.
#[derive(Clone, Debug)]
pub(super) struct Split {
    /// Columns in the order of the Gram matrix: the dense ones, most non-zeros first, then the sparse ones, rising.
    pub(super) order: Vec<u32>,
    /// Number of dense columns.
    pub(super) dense: usize,
    /// Estimated nanoseconds of accumulating the Gram matrix.
    pub(super) cost: f64,
}

impl Split {
    /// The split of least estimated cost.
    pub(super) fn choose(moments: &GeneMoments) -> Self {
        let g = moments.non_zeros.len();
        let n = moments.n_rows as f64;
        let mut order: Vec<u32> = (0..g as u32).collect();
        let counts = &moments.non_zeros;
        order.sort_by_key(|&column| (std::cmp::Reverse(counts[column as usize]), column));
        let mut sparse: f64 = counts.iter().map(|&count| count as f64).sum();
        let (mut best, mut dense) = (f64::INFINITY, 0);
        for d in 0..=g {
            if d % 16 == 0 || d == g {
                let wide = d as f64;
                let per_cell = sparse / n;
                // Cells differ in their number of genes, which adds to the mean square.
                let pairs = n * (1.3 * per_cell * per_cell + per_cell) / 2.0;
                let cost =
                    n * wide * (wide / 2.0 * DENSE + FILL) + sparse * wide * VECTOR + pairs * SCATTER + sparse * 5.0;
                if cost < best {
                    (best, dense) = (cost, d);
                }
                if d == 0 && cost < ALL_IN_F64 {
                    break;
                }
            }
            if d < g {
                sparse -= counts[order[d] as usize] as f64;
            }
        }
        order[dense..].sort_unstable();
        Self { order, dense, cost: best }
    }

    /// A split with the given number of dense columns, for tests.
    #[cfg(test)]
    pub(super) fn with_dense(moments: &GeneMoments, dense: usize) -> Self {
        let mut split = Self::choose(moments);
        let counts = &moments.non_zeros;
        split.order.sort_by_key(|&column| (std::cmp::Reverse(counts[column as usize]), column));
        split.order[dense..].sort_unstable();
        Self { dense, ..split }
    }

    /// Place of each column in `order`.
    pub(super) fn places(&self) -> Vec<u32> {
        let mut places = vec![0; self.order.len()];
        for (place, &column) in self.order.iter().enumerate() {
            places[column as usize] = place as u32;
        }
        places
    }
}

/// A stored value of a sparse column: its cell, and where it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// Cell, within the piece.
    pub(super) cell: u32,
    /// Start of the cell's sparse values.
    pub(super) start: u32,
    /// This value's index.
    pub(super) at: u32,
}

/// Some consecutive cells, laid out for the Gram matrix.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// Number of cells.
    pub(super) cells: usize,
    /// cells x dense columns, row-major: values minus `shift`.
    pub(super) panel: Vec<f32>,
    /// Sparse columns (numbered from 0) of all cells, rising within a cell.
    pub(super) columns: Vec<u32>,
    /// Their values.
    pub(super) values: Vec<f32>,
    /// The same values by column: where each column starts in `entries`.
    pub(super) starts: Vec<u32>,
    /// Entries of one column after the other, cells rising.
    pub(super) entries: Vec<Entry>,
}

impl Piece {
    /// Lays out rows `rows` of a block. `places` and `dense` are those of the split; `shift`, one per dense column,
    /// is taken off its values.
    pub(super) fn lay_out(
        block: &RowBlock<'_>,
        rows: std::ops::Range<usize>,
        places: &[u32],
        dense: usize,
        shift: &[f32],
    ) -> Self {
        let n_sparse = places.len() - dense;
        let cells = rows.len();
        let zeros: Vec<f32> = shift.iter().map(|shift| -shift).collect();
        let mut panel = Vec::with_capacity(cells * dense);
        let span = (block.indptr[rows.end] - block.indptr[rows.start]) as usize;
        let (mut columns, mut values) = (Vec::with_capacity(span), Vec::with_capacity(span));
        let mut ends = Vec::with_capacity(cells);
        let mut starts = vec![0u32; n_sparse + 1];
        for row in rows {
            let base = panel.len();
            panel.extend_from_slice(&zeros);
            let (row_columns, row_values) = block.row(row);
            for (&column, &value) in row_columns.iter().zip(row_values) {
                let place = places[column as usize] as usize;
                if place < dense {
                    panel[base + place] = value - shift[place];
                } else {
                    columns.push((place - dense) as u32);
                    values.push(value);
                    starts[place - dense + 1] += 1;
                }
            }
            ends.push(columns.len() as u32);
        }
        for column in 0..n_sparse {
            starts[column + 1] += starts[column];
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry::default(); columns.len()];
        let mut start = 0;
        for (cell, &end) in ends.iter().enumerate() {
            for at in start..end {
                let place = &mut next[columns[at as usize] as usize];
                entries[*place as usize] = Entry { cell: cell as u32, start, at };
                *place += 1;
            }
            start = end;
        }
        Self { cells, panel, columns, values, starts, entries }
    }
}
