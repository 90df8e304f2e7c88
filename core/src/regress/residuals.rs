//! The fit, and what it leaves.

use multiversion::multiversion;

use super::Design;
use crate::matrix::{Pass, RowBlock, RowBlocks, fill_rows, run};
use crate::stats::{GeneMoments, MomentsPass, ValueMap, gene_moments_by};
use crate::{Ctx, DataFault, Error, Result};

/// The fit of a design to a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Sums of each gene, before the fit.
    pub moments: GeneMoments,
    /// Mean of each gene.
    pub mean: Vec<f64>,
    /// A: width of the design x genes, row-major. Fitted values are the means plus U A.
    pub explained: Vec<f64>,
}

impl Fit {
    /// Sum of squares of each gene's residuals.
    pub fn residual_squares(&self) -> Vec<f64> {
        let g = self.mean.len();
        let n = self.moments.n_rows as f64;
        let mut left: Vec<f64> =
            self.moments.sum_squares.iter().zip(&self.mean).map(|(squares, mean)| squares - n * mean * mean).collect();
        for row in self.explained.chunks_exact(g.max(1)) {
            left.iter_mut().zip(row).for_each(|(left, a)| *left -= a * a);
        }
        left.into_iter().map(|left| left.max(0.0)).collect()
    }
}

/// U^T X, genes x width.
struct Products<'a> {
    n_cols: usize,
    width: usize,
    basis: &'a [f64],
}

impl Pass for Products<'_> {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        vec![0.0; self.n_cols * self.width]
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        let mut sums = self.start();
        for (row, columns, values) in block.rows() {
            let u = &self.basis[row * self.width..(row + 1) * self.width];
            for (&column, &value) in columns.iter().zip(values) {
                let value = f64::from(value);
                let start = column as usize * self.width;
                for (sum, u) in sums[start..start + self.width].iter_mut().zip(u) {
                    *sum += u * value;
                }
            }
        }
        Ok(sums)
    }

    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.iter_mut().zip(partial).for_each(|(total, sum)| *total += sum);
        Ok(())
    }

    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        Ok(state)
    }
}

/// Fits the design to every gene, in one read.
///
/// Nothing is random; the same bits for any number of threads and for sparse as for dense data. 8 bytes per gene and
/// column of the design.
///
/// # Errors
/// [`Error::Data`] when the design is not as long as there are cells, for no cells, NaN or infinite values; whatever
/// the source returns; [`Error::Interrupted`].
pub fn fit(source: &dyn RowBlocks, design: &Design, ctx: &Ctx) -> Result<Fit> {
    let (n, g) = (source.n_rows(), source.n_cols());
    if design.n_rows() != n {
        let expected = format!("{n} entries, one per cell");
        return Err(Error::data(DataFault::Shape, "covariates", expected, design.n_rows()));
    }
    if n == 0 {
        return Err(Error::data(DataFault::Empty, "matrix", "at least one cell", "none"));
    }
    let width = design.width();
    let (moments, explained) = match design.parts() {
        Ok(basis) => {
            let passes = (MomentsPass::new(g, ValueMap::Identity), Products { n_cols: g, width, basis });
            let (mut moments, products) = run(source, &passes, "regression", ctx)?;
            let mut explained = vec![0.0; g * width];
            for gene in 0..g {
                for k in 0..width {
                    explained[k * g + gene] = products[gene * width + k];
                }
            }
            (moments.swap_remove(0), explained)
        }
        Err((codes, roots)) => {
            let groups = gene_moments_by(source, codes, width, ValueMap::Identity, ctx)?;
            let mut total =
                GeneMoments { n_rows: n, sum: vec![0.0; g], sum_squares: vec![0.0; g], non_zeros: vec![0; g] };
            for group in &groups {
                for gene in 0..g {
                    total.sum[gene] += group.sum[gene];
                    total.sum_squares[gene] += group.sum_squares[gene];
                    total.non_zeros[gene] += group.non_zeros[gene];
                }
            }
            let mut explained = vec![0.0; g * width];
            for (k, (group, &root)) in groups.iter().zip(roots).enumerate().filter(|(_, (_, root))| **root > 0.0) {
                for gene in 0..g {
                    let deviation = group.sum[gene] / group.n_rows as f64 - total.sum[gene] / n as f64;
                    explained[k * g + gene] = root * deviation;
                }
            }
            (total, explained)
        }
    };
    moments.check_finite("matrix", "finite values")?;
    let mean = moments.means();
    Ok(Fit { moments, mean, explained })
}

/// Writes the residuals into `out` (cells x genes, row-major).
///
/// Two reads of the source and one write; the same bits for any number of threads and for sparse as for dense data.
/// Memory beside the result: 8 bytes per gene and column of the design, and per gene and thread.
///
/// # Errors
/// As [`fit`]; [`Error::Data`] for a result of the wrong length.
pub fn regress_out_into(source: &dyn RowBlocks, design: &Design, out: &mut [f32], ctx: &Ctx) -> Result<()> {
    let found = fit(source, design, ctx)?;
    let g = source.n_cols();
    fill_rows(
        source,
        g,
        out,
        "residuals",
        ctx,
        || vec![0.0f64; g],
        |fitted, row, columns, values, out_row| {
            fitted.copy_from_slice(&found.mean);
            design.add_row(row, &found.explained, fitted);
            negate(fitted, out_row);
            for (&column, &value) in columns.iter().zip(values) {
                out_row[column as usize] = (f64::from(value) - fitted[column as usize]) as f32;
            }
        },
    )
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn negate(fitted: &[f64], out: &mut [f32]) {
    for (value, fitted) in out.iter_mut().zip(fitted) {
        *value = (0.0 - fitted) as f32;
    }
}
