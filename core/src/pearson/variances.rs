//! Variance of the residuals of each gene, within batches, from stored values alone.

use rayon::prelude::*;

use super::residuals::{of_count, of_zero};
use super::zeros::ZeroSums;
use super::{check, check_shape};
use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::normalize::{NormalizeTotalOptions, size_factors};
use crate::stats::GeneMoments;
use crate::{Ctx, DataFault, Error, Result};

/// One batch: what is expected of each gene, and where residuals are cut.
struct Batch {
    /// Total of each gene over the grand total.
    shares: Vec<f64>,
    clip: f64,
}

/// What stored values add to the sums over zeros.
struct Stored<'a> {
    n_cols: usize,
    batches: &'a [Batch],
    groups: Option<&'a [u32]>,
    totals: &'a [f64],
    inverse_theta: f64,
}

impl Pass for Stored<'_> {
    /// Per batch that the block holds: its number, and per gene what sum and sum of squares grow by.
    type Partial = Vec<(usize, Vec<[f64; 2]>)>;
    type State = Vec<Vec<[f64; 2]>>;
    type Output = Vec<Vec<[f64; 2]>>;

    fn start(&self) -> Self::State {
        vec![vec![[0.0; 2]; self.n_cols]; self.batches.len()]
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let batch_of = |row: usize| self.groups.map_or(0, |groups| groups[row] as usize);
        // Rows of one batch after the other, so that the sums of one batch at a time lie in the cache.
        let mut rows: Vec<(usize, usize)> = (0..block.n_rows()).map(|i| (batch_of(block.first_row + i), i)).collect();
        rows.sort_unstable();
        Ok(rows
            .chunk_by(|a, b| a.0 == b.0)
            .map(|same| {
                let Batch { shares, clip } = &self.batches[same[0].0];
                let mut sums = vec![[0.0; 2]; self.n_cols];
                for &(_, i) in same {
                    let total = self.totals[block.first_row + i];
                    let (columns, values) = block.row(i);
                    for (&column, &value) in columns.iter().zip(values) {
                        let mu = shares[column as usize] * total;
                        let zero = of_zero(mu, self.inverse_theta).max(-clip);
                        let residual = of_count(f64::from(value), mu, self.inverse_theta).clamp(-clip, *clip);
                        let sums = &mut sums[column as usize];
                        sums[0] += residual - zero;
                        sums[1] += residual * residual - zero * zero;
                    }
                }
                (same[0].0, sums)
            })
            .collect())
    }

    fn merge(&self, state: &mut Self::State, partial: Self::Partial) -> Result<()> {
        for (batch, sums) in partial {
            for (total, sum) in state[batch].iter_mut().zip(sums) {
                total[0] += sum[0];
                total[1] += sum[1];
            }
        }
        Ok(())
    }

    fn finish(&self, state: Self::State) -> Result<Self::Output> {
        Ok(state)
    }
}

/// Variance (divided by n) of the cut residuals of each gene within each batch; 0 for genes that a batch lacks.
///
/// `moments` are the gene moments of each batch, `groups` the batch of each cell (none: one batch). `clip` none: the
/// square root of the number of cells of the batch. Nothing is random; the same bits for any number of threads, and
/// for sparse as for dense counts. Two reads of the stored values, some tens of sums over the cells, and for genes
/// whose residuals of zeros are cut one sum over the cells each; 16 bytes per gene and batch.
///
/// # Errors
/// [`Error::Parameter`] for `theta` or `clip` out of range; [`Error::Data`] for an empty matrix, negative, NaN or
/// infinite values, or lengths that disagree; whatever the source returns; [`Error::Interrupted`].
pub fn residual_variances(
    source: &dyn RowBlocks,
    moments: &[GeneMoments],
    groups: Option<&[u32]>,
    theta: f64,
    clip: Option<f64>,
    ctx: &Ctx,
) -> Result<Vec<Vec<f64>>> {
    check(theta, clip)?;
    check_shape(source)?;
    let (n, g) = (source.n_rows(), source.n_cols());
    let fits = groups.map_or(moments.len() == 1, |groups| {
        groups.len() == n && groups.iter().all(|&group| (group as usize) < moments.len())
    });
    if !fits || moments.iter().any(|batch| batch.sum.len() != g) {
        let expected = "the moments of each batch and the batch of each cell";
        return Err(Error::data(DataFault::Shape, "batches", expected, format!("{} moments", moments.len())));
    }
    let totals = size_factors(source, &NormalizeTotalOptions::default(), ctx)?.totals;
    let batches: Vec<Batch> = moments
        .iter()
        .map(|batch| {
            let grand: f64 = batch.sum.iter().sum();
            let shares = batch.sum.iter().map(|sum| if grand > 0.0 { sum / grand } else { 0.0 }).collect();
            Batch { shares, clip: clip.unwrap_or((batch.n_rows as f64).sqrt()) }
        })
        .collect();
    let pass = Stored { n_cols: g, batches: &batches, groups, totals: &totals, inverse_theta: 1.0 / theta };
    let stored = run(source, &pass, "residual variances", ctx)?;
    let mut variances = Vec::with_capacity(batches.len());
    for (number, (batch, stored)) in batches.iter().zip(stored).enumerate() {
        ctx.check()?;
        let cells: Vec<f64> = match groups {
            None => totals.clone(),
            Some(groups) => {
                totals.iter().zip(groups).filter(|(_, group)| **group as usize == number).map(|(r, _)| *r).collect()
            }
        };
        let zeros = ZeroSums::new(&cells, &batch.shares, theta, batch.clip);
        let n = cells.len() as f64;
        let of_genes = batch
            .shares
            .par_iter()
            .zip(stored.par_iter())
            .with_min_len(16)
            .map(|(&share, stored)| {
                ctx.check()?;
                let sums = zeros.of(share);
                let mean = (sums[0] + stored[0]) / n;
                Ok(if share > 0.0 { ((sums[1] + stored[1]) / n - mean * mean).max(0.0) } else { 0.0 })
            })
            .collect::<Result<Vec<f64>>>()?;
        variances.push(of_genes);
    }
    Ok(variances)
}
