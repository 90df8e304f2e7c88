//! Cholesky factor of a matrix of products that leaves out the columns that others foretell.

use ndarray::{Array2, ArrayViewMut2, s};
use rayon::prelude::*;
use zensaibo_linalg::gemm_f64;

use crate::{Ctx, Error, Result};

/// Columns factored at once.
const PANEL: usize = 64;

/// Rows of one task.
const BAND: usize = 256;

/// What must be left of a column's variance, after the columns before it, for it to be kept. Products are exact to
/// some 1e-7.
const LEFT: f64 = 1e-6;

/// Columns kept (rising) and the upper triangular R (kept x kept) with R^T R the matrix at these columns.
///
/// `matrix`: g x g, symmetric, ones on the diagonal (0 for a column to be left out). Panel by panel, each less the
/// product of what is done already; each entry is summed in one order, whatever the threads. g^3 / 3 multiply-adds.
pub(super) fn factor(mut matrix: Array2<f64>, ctx: &Ctx) -> Result<(Vec<usize>, Array2<f64>)> {
    let g = matrix.nrows();
    let stage = ctx.stage("leverage: factor", g as u64);
    let mut kept: Vec<usize> = Vec::new();
    for first in (0..g).step_by(PANEL) {
        let width = PANEL.min(g - first);
        // Columns of the factor take the place of columns of the matrix that are done with.
        let mut panel = vec![0.0f64; (g - first) * width];
        let done = matrix.slice(s![first.., ..kept.len()]);
        let head = done.slice(s![..width, ..]);
        let columns = matrix.slice(s![first.., first..first + width]);
        panel.par_chunks_mut(BAND * width).enumerate().try_for_each(|(band, out)| {
            ctx.check()?;
            let rows = band * BAND..band * BAND + out.len() / width;
            let mut out = ArrayViewMut2::from_shape((rows.len(), width), out)
                .map_err(|error| Error::Internal(error.to_string()))?;
            gemm_f64(out.view_mut(), false, done.slice(s![rows.clone(), ..]), head.t())?;
            out.zip_mut_with(&columns.slice(s![rows, ..]), |product, &value| *product = value - *product);
            Ok::<(), Error>(())
        })?;
        for j in 0..width {
            let pivot = panel[j * width + j];
            if pivot <= LEFT {
                continue;
            }
            let root = pivot.sqrt();
            let mut column = matrix.slice_mut(s![first.., kept.len()]);
            let row: Vec<f64> = panel[j * width..(j + 1) * width].iter().map(|value| value / root).collect();
            for (i, (out, values)) in column.iter_mut().zip(panel.chunks_exact_mut(width)).enumerate() {
                *out = if i < j { 0.0 } else { values[j] / root };
                for (value, other) in values[j + 1..].iter_mut().zip(&row[j + 1..]) {
                    *value -= *out * other;
                }
            }
            kept.push(first + j);
        }
        stage.advance(width as u64)?;
    }
    let upper =
        Array2::from_shape_fn((kept.len(), kept.len()), |(a, b)| if a > b { 0.0 } else { matrix[(kept[b], a)] });
    Ok((kept, upper))
}
