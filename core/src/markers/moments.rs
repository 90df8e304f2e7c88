//! Sums per group and gene, in one read of sparse rows.

use super::Grouping;
use super::options::RankGenesOptions;
use crate::matrix::{RowBlock, RowBlocks, by_group};
use crate::parallel::pieces;
use crate::{Ctx, DataFault, Error, Result};

/// Genes that one task sums at a time: with 32 bytes per gene a group's sums stay in the first-level caches.
const TILE: usize = 2048;

/// Sums over the cells of each group, one row per group and a last one for the cells of no group;
/// `sums[group * n_genes + gene]`. Each sum is taken in f64 in the order of the rows.
pub(super) struct Moments {
    pub(super) n_genes: usize,
    /// Sum of values.
    pub(super) sums: Vec<f64>,
    /// Sum of squares; empty where not asked for.
    pub(super) squares: Vec<f64>,
    /// Number of non-zeros; empty where not asked for.
    pub(super) non_zeros: Vec<f64>,
    /// Sum of e^x - 1; empty where not asked for.
    pub(super) unlogged: Vec<f64>,
}

impl Moments {
    pub(super) fn new(rows: usize, n_genes: usize, squares: bool, non_zeros: bool, unlogged: bool) -> Self {
        let table = |wanted: bool| if wanted { vec![0.0; rows * n_genes] } else { Vec::new() };
        Self {
            n_genes,
            sums: table(true),
            squares: table(squares),
            non_zeros: table(non_zeros),
            unlogged: table(unlogged),
        }
    }
}

/// What is summed for one group and one gene of a tile.
#[derive(Clone, Copy, Default, serde::Serialize, serde::Deserialize)]
struct Sums {
    sum: f64,
    square: f64,
}

/// Sums of one tile of genes, [group * width + gene of the tile].
#[derive(serde::Serialize, serde::Deserialize)]
struct Tile {
    sums: Vec<Sums>,
    non_zeros: Vec<u32>,
    unlogged: Vec<f64>,
}

/// Sums, squares (and what the options need beside) per group and gene. One read of the source; memory
/// 16 to 36 bytes per group and gene, twice over at the end.
///
/// Every sum runs over the rows in their order (see [`by_group`]), so the bits depend neither on threads nor on how the
/// source cuts its blocks.
pub(super) fn moments(
    source: &dyn RowBlocks,
    grouping: &Grouping,
    options: &RankGenesOptions,
    ctx: &Ctx,
) -> Result<Moments> {
    let (n_genes, rows) = (source.n_cols(), grouping.n_groups() + 1);
    let unlogged = options.fold_change.needs_exp();
    let scale = options.log_base.map_or(1.0, f64::ln);
    let spans = pieces(n_genes, TILE);
    let fresh = |span: &std::ops::Range<usize>| Tile {
        sums: vec![Sums::default(); rows * span.len()],
        non_zeros: vec![0; if options.pts { rows * span.len() } else { 0 }],
        unlogged: vec![0.0; if unlogged { rows * span.len() } else { 0 }],
    };

    let group = |row: usize| Some(grouping.labels()[row]);
    let tiles = by_group(source, "sums per group", ctx, group, &spans, fresh, |tile: &mut Tile, span, batch| {
        let (first, width) = (span.start as u32, span.len());
        let mut finite = true;
        batch.rows(span, ctx, |group, indices, values| {
            finite &= add(indices, values, first, &mut tile.sums[group * width..][..width]);
            if options.pts {
                let counts = &mut tile.non_zeros[group * width..][..width];
                for (&column, &value) in indices.iter().zip(values) {
                    counts[(column - first) as usize] += u32::from(value != 0.0);
                }
            }
            if unlogged {
                let sums = &mut tile.unlogged[group * width..][..width];
                for (&column, &value) in indices.iter().zip(values) {
                    sums[(column - first) as usize] += (f64::from(value) * scale).exp_m1();
                }
            }
        })?;
        if finite { Ok(()) } else { Err(not_finite(&batch.blocks)) }
    })?;

    let mut all = Moments::new(rows, n_genes, true, options.pts, unlogged);
    for (span, tile) in spans.iter().zip(tiles) {
        for group in 0..rows {
            let (to, from) = (group * n_genes + span.start, group * span.len());
            for at in 0..span.len() {
                all.sums[to + at] = tile.sums[from + at].sum;
                all.squares[to + at] = tile.sums[from + at].square;
                if options.pts {
                    all.non_zeros[to + at] = f64::from(tile.non_zeros[from + at]);
                }
                if unlogged {
                    all.unlogged[to + at] = tile.unlogged[from + at];
                }
            }
        }
    }
    Ok(all)
}

/// Adds one row's entries to the sums of its group; false when a value is NaN or infinite.
fn add(indices: &[u32], values: &[f32], first: u32, sums: &mut [Sums]) -> bool {
    let mut check = 0.0f32;
    for (&column, &value) in indices.iter().zip(values) {
        let place = &mut sums[(column - first) as usize];
        let wide = f64::from(value);
        place.sum += wide;
        place.square += wide * wide;
        // 0 * x is NaN for NaN and infinity, and stays NaN.
        check += value * 0.0;
    }
    !check.is_nan()
}

/// The error that names the first value that is not finite.
fn not_finite(blocks: &[RowBlock<'_>]) -> Error {
    let found = blocks.iter().flat_map(RowBlock::rows).find_map(|(row, columns, values)| {
        let at = values.iter().position(|value| !value.is_finite())?;
        Some(format!("{} at row {row}, column {}", values[at], columns[at]))
    });
    not_finite_error(found.unwrap_or_else(|| "another".into()))
}

/// The error for a value that is NaN or infinite.
pub(super) fn not_finite_error(found: String) -> Error {
    Error::data(DataFault::NotFinite, "X", "finite values", found)
}
