//! From counts to logged values, and to the precision of each.

use super::{Design, fit, lowess};
use crate::{Ctx, Result};

/// log2 counts per million, samples x genes; half a count is added so that zero has a logarithm.
pub(super) fn log_cpm(table: &[f64], sizes: &[f64]) -> Vec<f64> {
    let n_genes = table.len() / sizes.len();
    table
        .chunks_exact(n_genes)
        .zip(sizes)
        .flat_map(|(row, size)| row.iter().map(move |count| ((count + 0.5) / (size + 1.0) * 1e6).log2()))
        .collect()
}

/// Mean of one gene over the samples.
pub(super) fn mean_of(logged: &[f64], n: usize, n_genes: usize, gene: usize) -> f64 {
    logged.iter().skip(gene).step_by(n_genes).sum::<f64>() / n as f64
}

/// The trend of spread over mean, and the weight of each value (samples x genes): the inverse variance that the trend
/// promises at the count that the model expects there.
pub(super) fn weights(
    logged: &[f64],
    sizes: &[f64],
    design: &Design,
    span: f64,
    ctx: &Ctx,
) -> Result<(Vec<[f64; 3]>, Vec<f64>)> {
    let n = sizes.len();
    let n_genes = logged.len() / n;
    let fits = fit::fit_all(logged, None, design, None, ctx)?;
    let million = 1e6f64.log2();
    let shift = sizes.iter().map(|size| (size + 1.0).log2()).sum::<f64>() / n as f64 - million;
    let mut points: Vec<[f64; 2]> = fits
        .iter()
        .enumerate()
        .map(|(gene, fit)| [mean_of(logged, n, n_genes, gene) + shift, fit.sigma.sqrt()])
        .collect();
    points.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let (x, y): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point[0], point[1])).unzip();
    let delta = 0.01 * (x[x.len() - 1] - x[0]);
    let fitted = lowess(&x, &y, span, delta);
    let trend: Vec<[f64; 3]> = (0..x.len()).map(|at| [x[at], y[at], fitted[at]]).collect();

    let mut weights = vec![0.0; logged.len()];
    for (sample, row) in weights.chunks_exact_mut(n_genes).enumerate() {
        let log_size = (sizes[sample] + 1.0).log2() - million;
        let design_row = design.matrix().row(sample);
        for (weight, fit) in row.iter_mut().zip(&fits) {
            let expected: f64 = design_row.iter().zip(&fit.coefficients).map(|(x, b)| x * b).sum::<f64>() + log_size;
            *weight = interpolate(&x, &fitted, expected).powi(-4);
        }
    }
    Ok((trend, weights))
}

/// The trend at `at`, constant beyond its ends; equal abscissae carry equal values.
fn interpolate(x: &[f64], y: &[f64], at: f64) -> f64 {
    let above = x.partition_point(|&x| x < at);
    if above == 0 {
        return y[0];
    }
    if above == x.len() {
        return y[x.len() - 1];
    }
    let (x0, x1) = (x[above - 1], x[above]);
    y[above - 1] + (y[above] - y[above - 1]) * (at - x0) / (x1 - x0)
}
