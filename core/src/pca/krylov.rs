//! The krylov route: the matrix of products is never formed, only multiplied with blocks of vectors.

use ndarray::Array2;
use rayon::prelude::*;

use super::PcaOptions;
use super::adjust::Removed;
use super::eigen::{BLOCK, top_eigen};
use super::multiply::cross;
use crate::exchange::units;
use crate::matrix::{RowBlocks, Scratch};
use crate::parallel::pieces;
use crate::stats::GeneMoments;
use crate::{Ctx, Error, Result};

/// Estimated nanoseconds, for the choice of a route.
pub(super) fn cost(moments: &GeneMoments, k: usize) -> f64 {
    let entries: f64 = moments.non_zeros.iter().map(|&count| count as f64).sum();
    // Two products per stored value and vector; about 8 vectors per component asked for.
    entries * 2.0 * 8.0 * (k.max(2 * BLOCK)) as f64 * 0.15
}

/// Leading eigenvalues and eigenvectors (g x k) of the matrix of (centred) products.
pub(super) fn solve(
    source: &dyn RowBlocks,
    center: Option<&[f64]>,
    removed: Option<&Removed<'_>>,
    k: usize,
    options: &PcaOptions,
    ctx: &Ctx,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let stage = ctx.stage("pca: krylov", 0);
    top_eigen(source.n_cols(), k, options, ctx, |vectors| {
        let product = apply(source, center, removed, vectors, ctx)?;
        stage.advance(1)?;
        Ok(product)
    })
}

/// C times `vectors` (g x width), in one read.
fn apply(
    source: &dyn RowBlocks,
    center: Option<&[f64]>,
    removed: Option<&Removed<'_>>,
    vectors: &Array2<f64>,
    ctx: &Ctx,
) -> Result<Array2<f64>> {
    /// Bytes of partial sums at work.
    const SUMS: usize = 128 << 20;
    let (g, width) = vectors.dim();
    let vectors = vectors.as_standard_layout();
    let Some(dense) = vectors.as_slice() else {
        return Err(Error::Internal("vectors are not contiguous".into()));
    };
    // Groups of consecutive blocks, each summed in order into its own accumulator, and these in order.
    let groups = (SUMS / (g * width * 8).max(1)).clamp(4, 16);
    let groups = pieces(source.n_blocks(), source.n_blocks().div_ceil(groups));
    let here = |wanted: std::ops::Range<usize>, put: &mut dyn FnMut(usize, Vec<f64>) -> Result<()>| {
        let partials: Vec<Result<Vec<f64>>> = groups[wanted.clone()]
            .par_iter()
            .map(|blocks| {
                let mut sums = vec![0.0; g * width];
                let mut scratch = Scratch::default();
                for block in blocks.clone() {
                    ctx.check()?;
                    cross(&source.read(block, &mut scratch)?, dense, width, &mut sums);
                }
                Ok(sums)
            })
            .collect();
        wanted.zip(partials).try_for_each(|(at, sums)| put(at, sums?))
    };
    let mut total = vec![0.0; g * width];
    units(source.exchange(), "pca: krylov", groups.len(), ctx, here, |_, sums: Vec<f64>| {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        Ok(())
    })?;
    if let Some(mean) = center {
        // C B = X^T X B - n m (m^T B)
        let mut along = vec![0.0; width];
        for (mean, row) in mean.iter().zip(dense.chunks_exact(width)) {
            along.iter_mut().zip(row).for_each(|(sum, value)| *sum += mean * value);
        }
        let n = source.n_rows() as f64;
        for (mean, row) in mean.iter().zip(total.chunks_exact_mut(width)) {
            row.iter_mut().zip(&along).for_each(|(sum, value)| *sum -= n * mean * value);
        }
    }
    if let Some(removed) = removed {
        removed.take_off_image(dense, width, &mut total);
    }
    Array2::from_shape_vec((g, width), total).map_err(|error| Error::Internal(error.to_string()))
}
