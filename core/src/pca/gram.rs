//! The gram route: the g x g matrix of (centred) products, exactly, and its leading eigenpairs.

use multiversion::multiversion;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;
use zensaibo_linalg::gemm_f32;

use super::PcaOptions;
use super::adjust::Removed;
use super::eigen::{basis_size, times, top_eigen};
use super::panel::{Entry, Piece, Split};
use crate::exchange::units;
use crate::matrix::{RowBlocks, Scratch};
use crate::parallel::pieces;
use crate::progress::Stage;
use crate::stats::GeneMoments;
use crate::{Ctx, Error, Result};

/// Cells per piece: their panel stays in the second-level cache.
pub(super) const CELLS: usize = 512;

/// Cells whose products of dense columns are summed in f32 before they are added up in f64: an error of some
/// 1e-7 of the sum, which averages out over the pieces.
const EXACT: usize = 128;

/// Rows of the Gram matrix that one task owns.
const BAND: usize = 64;

/// Groups of consecutive blocks whose products are summed on their own; these sums are added up in order.
const GROUPS: usize = 16;

/// Estimated nanoseconds of finding `k` eigenpairs of a g x g matrix in memory, for the choice of a route.
pub(super) fn eigen_cost(g: usize, k: usize) -> f64 {
    (g * g) as f64 * basis_size(k) as f64 * 2.0 * 0.03
}

/// Leading eigenvalues and eigenvectors (g x k) of the matrix of products.
pub(super) fn solve(
    source: &dyn RowBlocks,
    moments: &GeneMoments,
    center: Option<&[f64]>,
    removed: Option<&Removed<'_>>,
    k: usize,
    options: &PcaOptions,
    ctx: &Ctx,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let split = Split::choose(moments);
    let mut matrix = accumulate(source, &split, center, options.chunk_size.unwrap_or(CELLS), ctx)?;
    if let Some(removed) = removed {
        removed.take_off_products(&mut matrix, &split.order, ctx)?;
    }
    let stage = ctx.stage("pca: eigenvectors", 0);
    let (values, vectors) = top_eigen(split.order.len(), k, options, ctx, |block| {
        stage.advance(1)?;
        times(matrix.view(), block.view())
    })?;
    // Back into the order of the genes.
    let mut ordered = Array2::zeros(vectors.dim());
    for (place, &column) in split.order.iter().enumerate() {
        ordered.row_mut(column as usize).assign(&vectors.row(place));
    }
    Ok((values, ordered))
}

/// The matrix of products over all cells, columns in the order of `split`, symmetric.
///
/// Each row of the matrix is owned by one task and takes the cells in order: the bits depend on the data alone.
pub(super) fn accumulate(
    source: &dyn RowBlocks,
    split: &Split,
    center: Option<&[f64]>,
    cells: usize,
    ctx: &Ctx,
) -> Result<Array2<f64>> {
    let (g, dense, places) = (split.order.len(), split.dense, split.places());
    let mean: Vec<f64> = split.order.iter().map(|&column| center.map_or(0.0, |mean| mean[column as usize])).collect();
    let shift: Vec<f32> = mean[..dense].iter().map(|&mean| mean as f32).collect();
    let groups = pieces(source.n_blocks(), source.n_blocks().div_ceil(GROUPS));
    let here = |wanted: Range<usize>, put: &mut dyn FnMut(usize, Vec<f64>) -> Result<()>| {
        let rows = groups[wanted.clone()].iter().flat_map(Range::clone);
        let progress = ctx.stage("pca: products", rows.map(|block| source.block_rows(block).len() as u64).sum());
        wanted.into_iter().try_for_each(|at| {
            put(at, sum_blocks(source, split, &places, &shift, groups[at].clone(), cells, &progress, ctx)?)
        })
    };
    let mut gram = Vec::new();
    units(source.exchange(), "pca: products", groups.len(), ctx, here, |_, sums: Vec<f64>| {
        if gram.is_empty() {
            gram = sums;
        } else {
            gram.par_iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        Ok(())
    })?;
    let mut gram = square(&gram, g)?;
    finish(&mut gram, &mean, dense, &shift, source.n_rows() as f64);
    Ok(gram)
}

/// The matrix whose lower triangle is given row by row.
fn square(lower: &[f64], g: usize) -> Result<Array2<f64>> {
    let mut matrix = Array2::zeros((g, g));
    let mut rest = lower;
    for (i, mut row) in matrix.outer_iter_mut().enumerate() {
        let (own, tail) =
            rest.split_at_checked(i + 1).ok_or_else(|| Error::Internal("products of fewer genes".into()))?;
        row.iter_mut().zip(own).for_each(|(place, &value)| *place = value);
        rest = tail;
    }
    Ok(matrix)
}

/// Products of some blocks, in order: the lower triangle of their matrix, row by row.
#[expect(clippy::too_many_arguments, reason = "what `accumulate` knows, for some of its blocks")]
fn sum_blocks(
    source: &dyn RowBlocks,
    split: &Split,
    places: &[u32],
    shift: &[f32],
    blocks: Range<usize>,
    cells: usize,
    progress: &Stage<'_>,
    ctx: &Ctx,
) -> Result<Vec<f64>> {
    let (g, dense) = (split.order.len(), split.dense);
    let mut gram = vec![0.0f64; g * g];
    // Blocks laid out at a time: about 20 bytes per non-zero each.
    let wave = rayon::current_num_threads().clamp(1, 8);
    for at in pieces(blocks.len(), wave) {
        let blocks = blocks.start + at.start..blocks.start + at.end;
        let rows: usize = blocks.clone().map(|block| source.block_rows(block).len()).sum();
        let laid_out: Vec<Result<Vec<Piece>>> = blocks
            .into_par_iter()
            .map_init(Scratch::default, |scratch, block| {
                ctx.check()?;
                let block = source.read(block, scratch)?;
                let spans = pieces(block.n_rows(), cells);
                Ok(spans.into_iter().map(|span| Piece::lay_out(&block, span, places, dense, shift)).collect())
            })
            .collect();
        let mut wave_pieces = Vec::new();
        for pieces in laid_out {
            wave_pieces.extend(pieces?);
        }
        let (panels, sparse) = gram.split_at_mut(dense * g);
        panels.par_chunks_mut(BAND * g).enumerate().try_for_each(|(band, rows)| {
            wave_pieces.iter().try_for_each(|piece| {
                ctx.check()?;
                add_panel(rows, g, band * BAND, dense, piece)
            })
        })?;
        sparse.par_chunks_mut(BAND * g).enumerate().try_for_each(|(band, rows)| {
            let mut sums = vec![0.0f32; dense];
            wave_pieces.iter().try_for_each(|piece| {
                ctx.check()?;
                add_sparse(rows, g, band * BAND, dense, piece, &mut sums);
                Ok::<(), Error>(())
            })
        })?;
        progress.advance(rows as u64)?;
    }
    // Above the diagonal nothing is kept.
    let mut lower = Vec::with_capacity(g * (g + 1) / 2);
    gram.chunks_exact(g).enumerate().for_each(|(i, row)| lower.extend_from_slice(&row[..=i]));
    Ok(lower)
}

/// Rows `first..` of the dense columns: panel^T panel, up to the diagonal of the band.
fn add_panel(rows: &mut [f64], g: usize, first: usize, dense: usize, piece: &Piece) -> Result<()> {
    let (height, width) = (rows.len() / g, first + rows.len() / g);
    let fault = |error: ndarray::ShapeError| Error::Internal(error.to_string());
    let panel = ArrayView2::from_shape((piece.cells, dense), &piece.panel).map_err(fault)?;
    let mut tile = Array2::<f32>::zeros((height, width));
    let mut out = ArrayViewMut2::from_shape((height, g), rows).map_err(fault)?;
    for part in panel.axis_chunks_iter(Axis(0), EXACT) {
        gemm_f32(tile.view_mut(), false, part.slice(s![.., first..width]).t(), part.slice(s![.., ..width]))?;
        out.slice_mut(s![.., ..width]).zip_mut_with(&tile, |sum, &value| *sum += f64::from(value));
    }
    Ok(())
}

/// Rows `first..` (counted from the first sparse column) of the sparse columns: with all dense columns, and with
/// the sparse ones up to the diagonal.
fn add_sparse(rows: &mut [f64], g: usize, first: usize, dense: usize, piece: &Piece, sums: &mut [f32]) {
    for (offset, row) in rows.chunks_exact_mut(g).enumerate() {
        let column = first + offset;
        let entries = &piece.entries[piece.starts[column] as usize..piece.starts[column + 1] as usize];
        let (with_dense, with_sparse) = row.split_at_mut(dense);
        if dense > 0 && !entries.is_empty() {
            sums.fill(0.0);
            sum_panel(entries, &piece.values, &piece.panel, sums);
            with_dense.iter_mut().zip(sums.iter()).for_each(|(total, &sum)| *total += f64::from(sum));
        }
        scatter(entries, &piece.columns, &piece.values, with_sparse);
    }
}

/// sums += value times panel row, over the entries of a column.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn sum_panel(entries: &[Entry], values: &[f32], panel: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    // Strips of 64 columns stay in registers over all entries.
    let mut from = 0;
    while from + 64 <= width {
        let mut strip = [0.0f32; 64];
        for entry in entries {
            let value = values[entry.at as usize];
            let start = entry.cell as usize * width + from;
            let row = &panel[start..start + 64];
            for lane in 0..64 {
                strip[lane] += value * row[lane];
            }
        }
        sums[from..from + 64].copy_from_slice(&strip);
        from += 64;
    }
    if from < width {
        for entry in entries {
            let value = values[entry.at as usize];
            let start = entry.cell as usize * width;
            let row = &panel[start + from..start + width];
            sums[from..].iter_mut().zip(row).for_each(|(sum, x)| *sum += value * x);
        }
    }
}

/// row[c] += value * x for the values x of the same cell in the columns c up to this one.
fn scatter(entries: &[Entry], columns: &[u32], values: &[f32], row: &mut [f64]) {
    for entry in entries {
        let span = entry.start as usize..entry.at as usize + 1;
        let value = f64::from(values[entry.at as usize]);
        for (&column, &x) in columns[span.clone()].iter().zip(&values[span]) {
            row[column as usize] += value * f64::from(x);
        }
    }
}

/// Completes the lower triangle: centring that is still due, then the upper triangle.
fn finish(gram: &mut Array2<f64>, mean: &[f64], dense: usize, shift: &[f32], n: f64) {
    let g = mean.len();
    // What rounding the shift to f32 left: mean - shift.
    let rest: Vec<f64> = mean[..dense].iter().zip(shift).map(|(mean, &shift)| mean - f64::from(shift)).collect();
    let rows: Vec<_> = gram.outer_iter_mut().enumerate().collect();
    rows.into_par_iter().for_each(|(i, mut row)| {
        for j in 0..=i {
            row[j] -= if i < dense {
                // Both shifted: sum (x - s)(y - t) = sum (x - m)(y - l) + n (m - s)(l - t).
                n * rest[i] * rest[j]
            } else if j < dense {
                // One shifted: sum x (y - t) = sum (x - m)(y - l) + n m (l - t).
                n * mean[i] * rest[j]
            } else {
                n * mean[i] * mean[j]
            };
        }
    });
    for i in 0..g {
        for j in 0..i {
            gram[(j, i)] = gram[(i, j)];
        }
    }
}
