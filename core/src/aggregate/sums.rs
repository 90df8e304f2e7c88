//! Sums per group and gene, in one read of sparse rows.

use crate::matrix::{RowBlocks, by_group};
use crate::parallel::pieces;
use crate::{Ctx, Result};

/// Genes that one task sums at a time: the sums of one group stay in the second-level caches.
const TILE: usize = 4096;

/// Tables `[group * n_genes + gene]`.
pub(super) struct Sums {
    /// Sums of values.
    pub(super) sum: Vec<f64>,
    /// Sums of squares, when asked for.
    pub(super) squares: Option<Vec<f64>>,
    /// Numbers of values other than zero, when asked for.
    pub(super) non_zeros: Option<Vec<f64>>,
}

/// Sums of one tile of genes, `[group * width + gene of the tile]`; tables not asked for are empty.
#[derive(serde::Serialize, serde::Deserialize)]
struct Tile {
    sum: Vec<f64>,
    squares: Vec<f64>,
    non_zeros: Vec<u32>,
}

/// Sums of the rows of each group. Genes are shared out over threads, rows are not: every sum runs over its rows in
/// their order.
pub(super) fn sums(
    source: &dyn RowBlocks,
    labels: &[i32],
    n_groups: usize,
    squares: bool,
    non_zeros: bool,
    ctx: &Ctx,
) -> Result<Sums> {
    let n_genes = source.n_cols();
    let spans = pieces(n_genes, TILE);
    let fresh = |span: &std::ops::Range<usize>| Tile {
        sum: vec![0.0; n_groups * span.len()],
        squares: vec![0.0; if squares { n_groups * span.len() } else { 0 }],
        non_zeros: vec![0; if non_zeros { n_groups * span.len() } else { 0 }],
    };

    let group = |row: usize| u32::try_from(labels[row]).ok();
    let tiles = by_group(source, "aggregate", ctx, group, &spans, fresh, |tile: &mut Tile, span, batch| {
        batch.rows(span, ctx, |group, indices, values| add(tile, group * span.len(), span, indices, values))
    })?;

    let table = |pick: &dyn Fn(&Tile, usize) -> f64| {
        let mut all = vec![0.0; n_groups * n_genes];
        for (span, tile) in spans.iter().zip(&tiles) {
            for group in 0..n_groups {
                for at in 0..span.len() {
                    all[group * n_genes + span.start + at] = pick(tile, group * span.len() + at);
                }
            }
        }
        all
    };
    Ok(Sums {
        sum: table(&|tile, at| tile.sum[at]),
        squares: squares.then(|| table(&|tile, at| tile.squares[at])),
        non_zeros: non_zeros.then(|| table(&|tile, at| f64::from(tile.non_zeros[at]))),
    })
}

/// Adds one row's entries to its group, whose part of the tables starts at `from`.
fn add(tile: &mut Tile, from: usize, span: &std::ops::Range<usize>, indices: &[u32], values: &[f32]) {
    let width = span.len();
    let first = span.start as u32;
    let sums = &mut tile.sum[from..from + width];
    for (&column, &value) in indices.iter().zip(values) {
        sums[(column - first) as usize] += f64::from(value);
    }
    if !tile.squares.is_empty() {
        let squares = &mut tile.squares[from..from + width];
        for (&column, &value) in indices.iter().zip(values) {
            squares[(column - first) as usize] += f64::from(value) * f64::from(value);
        }
    }
    if !tile.non_zeros.is_empty() {
        let counts = &mut tile.non_zeros[from..from + width];
        for (&column, &value) in indices.iter().zip(values) {
            counts[(column - first) as usize] += u32::from(value != 0.0);
        }
    }
}
