//! Sums per group and gene, in one read of sparse rows.

use rayon::prelude::*;

use crate::matrix::{RowBlock, RowBlocks, Scratch};
use crate::parallel::pieces;
use crate::{Ctx, Result};

/// Genes that one task sums at a time: the sums of one group stay in the second-level caches.
const TILE: usize = 4096;

/// Blocks read at once, per thread. Bounds the buffers of sources that cannot lend their memory.
const BLOCKS_PER_THREAD: usize = 2;

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
    let progress = ctx.stage("aggregate", source.n_rows() as u64);
    let spans = pieces(n_genes, TILE);
    let mut tiles: Vec<Tile> = spans
        .iter()
        .map(|span| Tile {
            sum: vec![0.0; n_groups * span.len()],
            squares: vec![0.0; if squares { n_groups * span.len() } else { 0 }],
            non_zeros: vec![0; if non_zeros { n_groups * span.len() } else { 0 }],
        })
        .collect();

    let batch = rayon::current_num_threads() * BLOCKS_PER_THREAD;
    let mut buffers: Vec<Scratch> = (0..batch).map(|_| Scratch::default()).collect();
    for blocks in pieces(source.n_blocks(), batch) {
        ctx.check()?;
        let read: Vec<RowBlock<'_>> = buffers
            .par_iter_mut()
            .zip(blocks.clone())
            .map(|(scratch, block)| ctx.check().and_then(|()| source.read(block, scratch)))
            .collect::<Vec<Result<RowBlock<'_>>>>()
            .into_iter()
            .collect::<Result<_>>()?;
        // (group, block of the batch, row of the block): group by group, and in row order within each.
        let mut order: Vec<(u32, u32, u32)> = Vec::new();
        for (at, block) in read.iter().enumerate() {
            for row in 0..block.n_rows() {
                if let Ok(group) = u32::try_from(labels[block.first_row + row]) {
                    order.push((group, at as u32, row as u32));
                }
            }
        }
        order.sort_unstable();
        tiles
            .par_iter_mut()
            .zip(&spans)
            .with_max_len(1)
            .map(|(tile, span)| {
                for (done, &(group, at, row)) in order.iter().enumerate() {
                    if done % 1024 == 0 {
                        ctx.check()?;
                    }
                    let (indices, values) = read[at as usize].row(row as usize);
                    let (indices, values) = within(indices, values, span, n_genes);
                    add(tile, group as usize * span.len(), span, indices, values);
                }
                Ok(())
            })
            .collect::<Vec<Result<()>>>()
            .into_iter()
            .collect::<Result<()>>()?;
        progress.advance(blocks.map(|block| source.block_rows(block).len() as u64).sum())?;
    }

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

/// The part of a row that lies in `span`.
fn within<'a>(
    indices: &'a [u32],
    values: &'a [f32],
    span: &std::ops::Range<usize>,
    n_genes: usize,
) -> (&'a [u32], &'a [f32]) {
    if span.len() == n_genes {
        return (indices, values);
    }
    let from = indices.partition_point(|&column| (column as usize) < span.start);
    let to = from + indices[from..].partition_point(|&column| (column as usize) < span.end);
    (&indices[from..to], &values[from..to])
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
