//! Maps that make the columns of a matrix orthonormal, and the lengths of rows under them.
//!
//! A map is g x w and kept in strips of [`WIDTH`] columns: a strip stays in a core's cache while rows pass by.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use zensaibo_linalg::solve_upper;

use super::LeverageOptions;
use super::factor::factor;
use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::parallel::pieces;
use crate::pca::{padded, times};
use crate::random::Stream;
use crate::stats::GeneMoments;
use crate::{Ctx, Result};

/// Columns of a strip.
const WIDTH: usize = 64;

/// Rows multiplied at once.
const ROWS: usize = 256;

/// Some columns of a map.
pub(super) struct Strip {
    /// Columns, a multiple of what products take; those beyond the map are 0.
    width: usize,
    /// g x width, row-major.
    dense: Vec<f64>,
    /// The centre under the map: `width` long.
    offset: Vec<f64>,
}

impl Strip {
    /// Columns `columns` (g x up to [`WIDTH`]) of a map.
    fn new(columns: ArrayView2<'_, f64>, center: Option<&[f64]>) -> Self {
        let width = padded(columns.ncols());
        let mut dense = vec![0.0; columns.nrows() * width];
        let mut offset = vec![0.0; width];
        for (gene, (row, out)) in columns.rows().into_iter().zip(dense.chunks_exact_mut(width)).enumerate() {
            let mean = center.map_or(0.0, |center| center[gene]);
            for ((&value, out), offset) in row.iter().zip(out).zip(&mut offset) {
                *out = value;
                *offset += mean * value;
            }
        }
        Self { width, dense, offset }
    }
}

/// The strips of a map (g x w).
pub(super) fn strips_of(map: ArrayView2<'_, f64>, center: Option<&[f64]>) -> Vec<Strip> {
    map.axis_chunks_iter(ndarray::Axis(1), WIDTH).map(|columns| Strip::new(columns, center)).collect()
}

/// The strips of R^-1, where A = Q R for the matrix whose `products` are A^T A; or of R^-1 P with the random
/// projections P that the options ask for.
pub(super) fn strips_of_all(
    mut products: Array2<f64>,
    moments: &GeneMoments,
    center: Option<&[f64]>,
    options: &LeverageOptions,
    ctx: &Ctx,
) -> Result<Vec<Strip>> {
    let g = products.nrows();
    // To one unit for all genes: whether one is foretold by others must not depend on its unit.
    let scale: Vec<f64> = (0..g)
        .map(|gene| {
            let left = products[(gene, gene)];
            // Below this the difference from the mean is rounding: a constant gene.
            if left > moments.sum_squares[gene] * 1e-12 { 1.0 / left.sqrt() } else { 0.0 }
        })
        .collect();
    for ((i, j), value) in products.indexed_iter_mut() {
        *value *= scale[i] * scale[j];
    }
    let (kept, upper) = factor(products, ctx)?;
    let width = options.n_projections.unwrap_or(kept.len());
    let spans = pieces(width, WIDTH);
    let _stage = ctx.stage("leverage: inverse", 0);
    spans
        .into_par_iter()
        .map(|span| {
            ctx.check()?;
            let mut right = Array2::zeros((kept.len(), span.len()));
            if let Some(count) = options.n_projections {
                let size = (count as f64).sqrt().recip();
                for ((place, column), value) in right.indexed_iter_mut() {
                    let item = kept[place] as u64 * count as u64 + (span.start + column) as u64;
                    *value = Stream::new(options.random_state, item).normal() * size;
                }
            } else {
                span.clone().enumerate().for_each(|(column, place)| right[(place, column)] = 1.0);
            }
            let solved = solve_upper(upper.view(), right.view())?;
            let mut columns = Array2::zeros((g, span.len()));
            for (&gene, row) in kept.iter().zip(solved.rows()) {
                columns.row_mut(gene).assign(&(&row * scale[gene]));
            }
            Ok(Strip::new(columns.view(), center))
        })
        .collect()
}

/// Squared length of each row under the map.
struct Norms<'a> {
    n_rows: usize,
    strips: &'a [Strip],
    base: f64,
    ctx: &'a Ctx,
}

impl Pass for Norms<'_> {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        Vec::with_capacity(self.n_rows)
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        let mut norms = vec![self.base; block.n_rows()];
        let mut buffer = vec![0.0; ROWS * WIDTH];
        for strip in self.strips {
            self.ctx.check()?;
            for span in pieces(block.n_rows(), ROWS) {
                let out = &mut buffer[..span.len() * strip.width];
                // Columns and values stay as they are: row pointers need not start at 0 for a product.
                let part = RowBlock { indptr: &block.indptr[span.start..=span.end], ..*block };
                times(&part, &strip.dense, strip.width, out);
                for (norm, row) in norms[span].iter_mut().zip(out.chunks_exact(strip.width)) {
                    *norm += row.iter().zip(&strip.offset).map(|(x, offset)| (x - offset).powi(2)).sum::<f64>();
                }
            }
        }
        Ok(norms)
    }

    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.extend_from_slice(&partial);
        Ok(())
    }

    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        Ok(state)
    }
}

/// `base` and the squared length of each centred row under the map. One read.
pub(super) fn squared_norms(source: &dyn RowBlocks, strips: &[Strip], base: f64, ctx: &Ctx) -> Result<Vec<f64>> {
    run(source, &Norms { n_rows: source.n_rows(), strips, base, ctx }, "leverage: scores", ctx)
}
