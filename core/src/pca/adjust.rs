//! Scaling and regressing out, without forming what they would make dense.
//!
//! With fitted values 1 m^T + U A ([`crate::regress`]), the centred matrix of products of the residuals is
//! C - A^T A, and the scores lose U (A V) beside the means. Scaling divides columns, of X and so of A.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::PcaOptions;
use crate::matrix::{Lazy, RowBlocks};
use crate::regress::{Design, fit};
use crate::scale::column_scale;
use crate::{Ctx, Error, Result};

/// What a design takes off.
pub(super) struct Removed<'a> {
    design: &'a Design,
    /// A: width of the design x g.
    explained: Array2<f64>,
}

impl<'a> Removed<'a> {
    pub(super) fn new(source: &dyn RowBlocks, design: &'a Design, ctx: &Ctx) -> Result<Self> {
        let explained = fit(source, design, ctx)?.explained;
        let explained = Array2::from_shape_vec((design.width(), source.n_cols()), explained)
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Self { design, explained })
    }

    pub(super) fn design(&self) -> &Design {
        self.design
    }

    /// Sum of squares that the fit explains.
    pub(super) fn squares(&self) -> f64 {
        self.explained.iter().map(|a| a * a).sum()
    }

    /// C -= A^T A, rows and columns of C in the given order of genes.
    pub(super) fn take_off_products(&self, matrix: &mut Array2<f64>, order: &[u32], ctx: &Ctx) -> Result<()> {
        let ordered: Vec<Vec<f64>> =
            self.explained.outer_iter().map(|row| order.iter().map(|&gene| row[gene as usize]).collect()).collect();
        let rows: Vec<_> = matrix.axis_iter_mut(Axis(0)).enumerate().collect();
        rows.into_par_iter().try_for_each(|(i, mut row)| {
            ctx.check()?;
            for a in &ordered {
                let factor = a[i];
                row.iter_mut().zip(a).for_each(|(value, a)| *value -= factor * a);
            }
            Ok(())
        })
    }

    /// `out` -= A^T (A B) for `dense` B and `out`, g x width.
    pub(super) fn take_off_image(&self, dense: &[f64], width: usize, out: &mut [f64]) {
        for a in self.explained.outer_iter() {
            let mut along = vec![0.0; width];
            for (a, row) in a.iter().zip(dense.chunks_exact(width)) {
                along.iter_mut().zip(row).for_each(|(sum, value)| *sum += a * value);
            }
            for (a, row) in a.iter().zip(out.chunks_exact_mut(width)) {
                row.iter_mut().zip(&along).for_each(|(sum, value)| *sum -= a * value);
            }
        }
    }

    /// A V, row-major, width of the design x k.
    pub(super) fn along(&self, vectors: ArrayView2<'_, f64>) -> Vec<f64> {
        let mut along = Vec::with_capacity(self.explained.nrows() * vectors.ncols());
        for a in self.explained.outer_iter() {
            let mut sums = vec![0.0; vectors.ncols()];
            for (a, row) in a.iter().zip(vectors.outer_iter()) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += a * value);
            }
            along.extend(sums);
        }
        along
    }
}

/// The source with columns divided by their standard deviation (that of the residuals with a design), cut where asked.
///
/// Cut columns are shifted where that keeps zeros zero, which centring undoes.
pub(super) fn scaled<'a>(
    source: &'a dyn RowBlocks,
    design: Option<&Design>,
    options: &PcaOptions,
    ctx: &Ctx,
) -> Result<Lazy<'a>> {
    let Some(design) = design else {
        let scale = column_scale(source, None, ctx)?;
        let lazy = Lazy::new(source);
        let lazy = match options.max_value {
            None => lazy,
            Some(limit) => {
                let bounds: Vec<(f64, f64)> =
                    scale.mean.iter().zip(&scale.std).map(|(m, s)| (m - limit * s, m + limit * s)).collect();
                lazy.clamp_columns(&bounds)?
            }
        };
        return lazy.divide_columns(scale.std);
    };
    if let Some(limit) = options.max_value {
        return Err(Error::parameter("max_value", "unset where something is regressed out", limit));
    }
    let found = fit(source, design, ctx)?;
    let n = source.n_rows() as f64;
    let deviations = found
        .residual_squares()
        .iter()
        .zip(&found.moments.sum_squares)
        .map(|(&left, &squares)| if left > squares * 1e-13 { (left / (n - 1.0)).sqrt() } else { 1.0 })
        .collect();
    Lazy::new(source).divide_columns(deviations)
}
