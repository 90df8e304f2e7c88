//! Weighted least squares, gene by gene.

use ndarray::Array2;
use rayon::prelude::*;
use zensaibo_linalg::{solve_upper, thin_qr};

use super::Design;
use crate::{Ctx, Error, Result};

/// The fit of one gene.
pub(super) struct Fit {
    /// One per column of the design.
    pub(super) coefficients: Vec<f64>,
    /// Residual standard deviation.
    pub(super) sigma: f64,
    /// The contrast of the coefficients; 0 without one.
    pub(super) estimate: f64,
    /// Standard deviation of the estimate, in units of `sigma`.
    pub(super) unscaled: f64,
}

/// Fits every gene of `values` (samples x genes) on the design, with weights of the same shape or none.
pub(super) fn fit_all(
    values: &[f64],
    weights: Option<&[f64]>,
    design: &Design,
    contrast: Option<&[f64]>,
    ctx: &Ctx,
) -> Result<Vec<Fit>> {
    let n = design.n_samples();
    let n_genes = values.len() / n;
    // Without weights one factorisation serves all genes.
    let shared = if weights.is_none() { Some(factor(design.matrix(), contrast)?) } else { None };
    (0..n_genes)
        .into_par_iter()
        .with_min_len(64)
        .map(|gene| {
            if gene % 64 == 0 {
                ctx.check()?;
            }
            let column = |table: &[f64], sample: usize| table[sample * n_genes + gene];
            let roots: Vec<f64> =
                (0..n).map(|sample| weights.map_or(1.0, |weights| column(weights, sample).sqrt())).collect();
            let y = Array2::from_shape_fn((n, 1), |(sample, _)| column(values, sample) * roots[sample]);
            let own;
            let factored = match &shared {
                Some(factored) => factored,
                None => {
                    let mut rows = design.matrix().clone();
                    rows.rows_mut().into_iter().zip(&roots).for_each(|(mut row, root)| row *= *root);
                    own = factor(&rows, contrast)?;
                    &own
                }
            };
            factored.fit(&y, contrast)
        })
        .collect::<Vec<Result<Fit>>>()
        .into_iter()
        .collect()
}

/// A (weighted) design, factored.
struct Factored {
    rows: Array2<f64>,
    q: Array2<f64>,
    r: Array2<f64>,
    /// Length of R^-T c.
    unscaled: f64,
}

fn internal(failure: zensaibo_linalg::Failure) -> Error {
    Error::Internal(failure.to_string())
}

fn factor(rows: &Array2<f64>, contrast: Option<&[f64]>) -> Result<Factored> {
    let (q, r) = thin_qr(rows.view()).map_err(internal)?;
    let mut unscaled = 0.0;
    if let Some(contrast) = contrast {
        // Forward substitution in R^T u = c: the variance of c^T b is |u|^2.
        let mut u = vec![0.0; contrast.len()];
        for at in 0..u.len() {
            let known: f64 = (0..at).map(|before| r[(before, at)] * u[before]).sum();
            u[at] = (contrast[at] - known) / r[(at, at)];
        }
        unscaled = u.iter().map(|value| value * value).sum::<f64>().sqrt();
    }
    Ok(Factored { rows: rows.clone(), q, r, unscaled })
}

impl Factored {
    fn fit(&self, y: &Array2<f64>, contrast: Option<&[f64]>) -> Result<Fit> {
        let effects = self.q.t().dot(y);
        let coefficients = solve_upper(self.r.view(), effects.view()).map_err(internal)?;
        let residuals = y - &self.rows.dot(&coefficients);
        let squares: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let df = (self.rows.nrows() - self.rows.ncols()) as f64;
        let coefficients: Vec<f64> = coefficients.iter().copied().collect();
        let estimate = contrast.map_or(0.0, |contrast| contrast.iter().zip(&coefficients).map(|(c, b)| c * b).sum());
        Ok(Fit { coefficients, sigma: (squares / df).sqrt(), estimate, unscaled: self.unscaled })
    }
}
