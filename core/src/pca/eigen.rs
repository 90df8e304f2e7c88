//! Leading eigenpairs of a symmetric matrix that is given by its products: block Lanczos with full
//! reorthogonalisation, Rayleigh-Ritz, and thick restarts.
//!
//! The basis V and its image A V are both kept, so the projected matrix V^T A V is computed, not assumed to have
//! Lanczos' band form; rounding then cannot make it drift. Products are cut into tiles of fixed height and
//! summed in order, so the bits do not depend on the number of threads.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use zensaibo_linalg::{gemm_f64, symmetric_eigen_top, thin_qr};

use super::PcaOptions;
use crate::random::Stream;
use crate::{Ctx, Error, Result};

/// Vectors multiplied at once.
pub(super) const BLOCK: usize = 16;

/// Restarts before giving up. A handful is usual.
const RESTARTS: usize = 300;

/// Rows per tile of a product.
const TILE: usize = 512;

/// Vectors in the basis at most, for `k` wanted pairs.
pub(super) fn basis_size(k: usize) -> usize {
    (4 * k).max(k + 12 * BLOCK).next_multiple_of(BLOCK)
}

/// The `k` largest eigenvalues, falling, and their eigenvectors (g x k) of the symmetric, positive semi-definite
/// g x g matrix that `apply` multiplies with.
pub(super) fn top_eigen(
    g: usize,
    k: usize,
    options: &PcaOptions,
    ctx: &Ctx,
    mut apply: impl FnMut(&Array2<f64>) -> Result<Array2<f64>>,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let most = basis_size(k);
    if g < most + 2 * BLOCK {
        return small(g, k, apply);
    }
    // What survives a restart, beside the next block.
    let kept = k + BLOCK;
    let mut basis = Array2::zeros((g, most));
    let mut image = Array2::zeros((g, most));
    let mut size = 0;
    let mut block = thin_qr(random_block(g, options.random_state).view())?.0;
    let mut reached = f64::INFINITY;
    for _ in 0..RESTARTS {
        while size + BLOCK <= most {
            ctx.check()?;
            let product = apply(&block)?;
            basis.slice_mut(s![.., size..size + BLOCK]).assign(&block);
            image.slice_mut(s![.., size..size + BLOCK]).assign(&product);
            size += BLOCK;
            block = orthogonal(basis.slice(s![.., ..size]), product)?;
        }
        let (v, av) = (basis.slice(s![.., ..size]), image.slice(s![.., ..size]));
        let projected = transposed_times(v, av)?;
        let symmetric = (&projected + &projected.t()) * 0.5;
        let ritz = symmetric_eigen_top(symmetric.view(), kept)?;
        let vectors = times(v, ritz.vectors.view())?;
        let images = times(av, ritz.vectors.view())?;
        ctx.check()?;
        // Residuals below rounding of the largest value say nothing.
        let floor = ritz.values[0].abs() * f64::EPSILON * g as f64;
        reached = (0..k)
            .map(|j| {
                let value = ritz.values[j];
                let residual =
                    images.column(j).into_iter().zip(vectors.column(j)).map(|(a, v)| (a - value * v).powi(2));
                residual.sum::<f64>().sqrt() / value.abs().max(floor / options.tolerance)
            })
            .fold(0.0, f64::max);
        if reached <= options.tolerance {
            return Ok((ritz.values[..k].to_vec(), vectors.slice(s![.., ..k]).to_owned()));
        }
        basis.slice_mut(s![.., ..kept]).assign(&vectors);
        image.slice_mut(s![.., ..kept]).assign(&images);
        size = kept;
    }
    Err(Error::NotConverged { what: "pca".into(), iterations: RESTARTS, reached, asked: options.tolerance })
}

/// For few genes: the whole matrix, and all of its eigenpairs.
fn small(
    g: usize,
    k: usize,
    mut apply: impl FnMut(&Array2<f64>) -> Result<Array2<f64>>,
) -> Result<(Vec<f64>, Array2<f64>)> {
    let mut matrix = Array2::zeros((g, g));
    for start in (0..g).step_by(BLOCK) {
        let taken = BLOCK.min(g - start);
        // Always BLOCK wide: products are tuned to it.
        let unit = Array2::from_shape_fn((g, BLOCK), |(i, j)| f64::from(u8::from(i == start + j)));
        matrix.slice_mut(s![.., start..start + taken]).assign(&apply(&unit)?.slice(s![.., ..taken]));
    }
    let symmetric = (&matrix + &matrix.t()) * 0.5;
    let eigen = symmetric_eigen_top(symmetric.view(), k)?;
    Ok((eigen.values, eigen.vectors))
}

/// Standard normal numbers, one stream per row.
fn random_block(g: usize, seed: u64) -> Array2<f64> {
    let mut block = Array2::zeros((g, BLOCK));
    for (i, mut row) in block.rows_mut().into_iter().enumerate() {
        let mut stream = Stream::new(seed, i as u64);
        row.iter_mut().for_each(|value| *value = stream.normal());
    }
    block
}

/// An orthonormal block orthogonal to `basis`, spanning what `block` adds to it.
///
/// Twice is enough as long as every column adds something (Kahan, Parlett). A column that does not comes out of QR
/// as a direction of its own, which may lie along the basis: then the round is repeated.
fn orthogonal(basis: ArrayView2<'_, f64>, mut block: Array2<f64>) -> Result<Array2<f64>> {
    const ROUNDS: usize = 6;
    for round in 0..ROUNDS {
        let along = transposed_times(basis, block.view())?;
        if round > 1 && along.iter().all(|x| x.abs() < 1e-12) {
            break;
        }
        block -= &times(basis, along.view())?;
        block = thin_qr(block.view())?.0;
    }
    Ok(block)
}

/// a b for a tall `a` (g x m) and a small `b` (m x l), tile by tile of rows.
pub(super) fn times(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    let tiles: Vec<_> = out.axis_chunks_iter_mut(Axis(0), TILE).zip(a.axis_chunks_iter(Axis(0), TILE)).collect();
    tiles.into_par_iter().try_for_each(|(out, a)| gemm_f64(out, false, a, b))?;
    Ok(out)
}

/// a^T b for tall `a` (g x m) and `b` (g x l): tiles of rows summed in order.
fn transposed_times(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    let tiles: Vec<_> = a.axis_chunks_iter(Axis(0), TILE).zip(b.axis_chunks_iter(Axis(0), TILE)).collect();
    let partials: Vec<_> = tiles
        .into_par_iter()
        .map(|(a, b)| {
            let mut out = Array2::zeros((a.ncols(), b.ncols()));
            gemm_f64(out.view_mut(), false, a.t(), b).map(|()| out)
        })
        .collect();
    let mut total = Array2::zeros((a.ncols(), b.ncols()));
    for partial in partials {
        total += &partial?;
    }
    Ok(total)
}
