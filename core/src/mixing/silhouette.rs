//! Silhouette widths.

use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use zensaibo_linalg::gemm_f64;

use super::check_labels;
use crate::knn::Points;
use crate::parallel::pieces;
use crate::{Ctx, DataFault, Error, Result};

/// Cells looked at together, and cells they are held against at a time.
const ROWS: usize = 64;
const COLUMNS: usize = 512;

/// Silhouette width of each of the cells `wanted`: (b - a) / max(a, b), where a is the mean euclidean distance to the
/// other cells of its label and b the least mean distance to those of another label; -1 to 1. A cell alone under its
/// label gets 0.
///
/// `points`: n x d; `labels`: n, below `n_labels`. Sums in f64. Free of chance and of threads. Cost: `wanted` x n x d
/// operations, 8 n d bytes.
///
/// # Errors
/// [`Error::Data`] for labels that do not fit, fewer than two labels in use, or a wanted cell that is not there;
/// [`Error::Interrupted`].
///
/// Reference: Rousseeuw, J. Comput. Appl. Math. 20, 53 (1987).
pub fn silhouette(points: &Points<'_>, labels: &[u32], n_labels: usize, wanted: &[u32], ctx: &Ctx) -> Result<Vec<f64>> {
    let (n, d) = (points.n(), points.d());
    check_labels(labels, n, n_labels)?;
    let mut sizes = vec![0usize; n_labels];
    labels.iter().for_each(|&label| sizes[label as usize] += 1);
    if sizes.iter().filter(|&&size| size > 0).count() < 2 {
        return Err(Error::data(DataFault::TooFew, "labels", "at least two labels", "one"));
    }
    if let Some(&cell) = wanted.iter().find(|&&cell| cell as usize >= n) {
        return Err(Error::data(DataFault::Invalid, "cells", format!("cells below {n}"), cell));
    }
    // Centred: distances are differences of products, and should not be small ones of large.
    let mut values = vec![0f64; n * d];
    values.chunks_exact_mut(d).enumerate().for_each(|(row, out)| points.row_into(row, out));
    let mut mean = vec![0f64; d];
    values.chunks_exact(d).for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x));
    mean.iter_mut().for_each(|sum| *sum /= n as f64);
    values.chunks_exact_mut(d).for_each(|row| row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean));
    let squares: Vec<f64> = values.chunks_exact(d).map(|row| row.iter().map(|x| x * x).sum()).collect();

    let stage = ctx.stage("silhouette", wanted.len() as u64);
    let shape = |error: ndarray::ShapeError| Error::Internal(format!("silhouette: {error}"));
    let parts: Vec<Vec<f64>> = pieces(wanted.len(), ROWS)
        .into_par_iter()
        .map(|piece| {
            let cells = &wanted[piece];
            let rows: Vec<f64> =
                cells.iter().flat_map(|&cell| &values[cell as usize * d..(cell as usize + 1) * d]).copied().collect();
            let rows = ArrayView2::from_shape((cells.len(), d), &rows).map_err(shape)?;
            let mut products = vec![0f64; cells.len() * COLUMNS];
            let mut sums = vec![0f64; cells.len() * n_labels];
            for columns in pieces(n, COLUMNS) {
                ctx.check()?;
                let width = columns.len();
                let others = ArrayView2::from_shape((width, d), &values[columns.start * d..columns.end * d]);
                let products = &mut products[..cells.len() * width];
                let out = ArrayViewMut2::from_shape((cells.len(), width), &mut *products).map_err(shape)?;
                gemm_f64(out, false, rows, others.map_err(shape)?.t())?;
                for ((products, sums), &cell) in
                    products.chunks_exact(width).zip(sums.chunks_exact_mut(n_labels)).zip(cells)
                {
                    let own = squares[cell as usize];
                    for (other, product) in columns.clone().zip(products) {
                        let square = own + squares[other] - 2.0 * product;
                        if other != cell as usize {
                            sums[labels[other] as usize] += square.max(0.0).sqrt();
                        }
                    }
                }
            }
            stage.advance(cells.len() as u64)?;
            let width = |(sums, &cell): (&[f64], &u32)| {
                let own = labels[cell as usize] as usize;
                if sizes[own] < 2 {
                    return 0.0;
                }
                let inside = sums[own] / (sizes[own] - 1) as f64;
                let outside = (0..n_labels).filter(|&label| label != own && sizes[label] > 0);
                let outside = outside.map(|label| sums[label] / sizes[label] as f64).fold(f64::INFINITY, f64::min);
                let larger = inside.max(outside);
                if larger > 0.0 { (outside - inside) / larger } else { 0.0 }
            };
            Ok(sums.chunks_exact(n_labels).zip(cells).map(width).collect())
        })
        .collect::<Result<_>>()?;
    Ok(parts.concat())
}
