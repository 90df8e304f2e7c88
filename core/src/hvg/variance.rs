//! The flavors that compare variances with a loess curve over the mean.

use multiversion::multiversion;

use super::{Flavor, Hvg, HvgInput, HvgOptions, HvgStatistics, Loess};
use crate::matrix::{Pass, RowBlock, run};
use crate::qc::{CountFault, fault_in};
use crate::stats::{
    GeneMoments, MomentSums, MomentsPass, PartialMoments, SmallCounts, ValueMap, gene_moments, gene_moments_by, median,
};
use crate::{Ctx, DataFault, Error, Result};

/// Genes selected when no number is given.
const DEFAULT_TOP: usize = 2000;

pub(super) fn select(input: HvgInput<'_>, n_batches: usize, options: &HvgOptions, ctx: &Ctx) -> Result<Hvg> {
    let (n_cells, n_genes) = (input.source.n_rows(), input.source.n_cols());
    if n_cells < 2 {
        return Err(Error::data(DataFault::TooFew, "matrix", "at least 2 cells", n_cells));
    }
    let (batches, not_counts) = first_read(input, n_batches, options, ctx)?;
    for moments in &batches {
        moments.check_finite("matrix", "finite counts")?;
    }
    if let Some(fault) = not_counts
        && fault.fault != DataFault::NotCounts
    {
        let found = format!("{} in cell {}, gene {}", fault.value, fault.row, fault.column);
        return Err(Error::data(fault.fault, "matrix", "raw counts (finite, at least 0)", found));
    }
    let whole = total(&batches);
    let curves: Vec<Curve> = batches.iter().map(|moments| Curve::fit(moments, options.span)).collect::<Result<_>>()?;
    let normalised = second_read(input, &batches, &curves, ctx)?;
    let asked = options.n_top_genes.unwrap_or(DEFAULT_TOP);
    let mut notes = Vec::new();
    if asked > n_genes {
        notes.push(format!("`n_top_genes` ({asked}) > number of genes ({n_genes}), returning all genes."));
    }
    let (rank, counts) = ranks(&normalised, asked);
    let highly_variable = pick(&rank, &counts, asked, options.flavor);
    let variances_norm =
        (0..n_genes).map(|gene| normalised.iter().map(|batch| batch[gene]).sum::<f64>() / n_batches as f64).collect();
    Ok(Hvg {
        highly_variable,
        means: whole.means(),
        statistics: HvgStatistics::Variance { variances: whole.variances(), variances_norm, rank },
        n_batches: input.batches.map(|_| counts),
        intersection: None,
        not_counts,
        notes,
    })
}

/// Moments per batch and, if asked, the first value that is not a count.
pub(super) fn first_read(
    input: HvgInput<'_>,
    n_batches: usize,
    options: &HvgOptions,
    ctx: &Ctx,
) -> Result<(Vec<GeneMoments>, Option<CountFault>)> {
    let (source, map) = (input.source, ValueMap::Identity);
    match (input.batches, options.check_values) {
        (None, true) => run(source, &CheckedMoments(MomentsPass::new(source.n_cols(), map)), "gene moments", ctx),
        (None, false) => Ok((vec![gene_moments(source, map, ctx)?], None)),
        (Some(groups), check) => {
            let fault = if check { crate::qc::find_count_fault(source, ctx)? } else { None };
            Ok((gene_moments_by(source, groups, n_batches, map, ctx)?, fault))
        }
    }
}

/// Moments, and the first value that is not a count: rows that can be summed as small counts need no look of their own.
struct CheckedMoments(MomentsPass<'static>);

impl Pass for CheckedMoments {
    type Partial = (Vec<PartialMoments>, Option<CountFault>);
    type State = (Vec<GeneMoments>, Option<CountFault>);
    type Output = (Vec<GeneMoments>, Option<CountFault>);

    fn start(&self) -> Self::State {
        (self.0.start(), None)
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let (mut sums, mut small) = (MomentSums::new(0, block.n_cols), SmallCounts::default());
        let mut fault = None;
        for (row, columns, values) in block.rows() {
            match small.of(values) {
                Some(counts) => sums.add_counts(columns, counts, |_| {}),
                None => {
                    fault = fault.or_else(|| fault_in(row, columns, values));
                    sums.add_values(columns, values);
                }
            }
        }
        Ok((vec![sums.finish()], fault))
    }

    fn merge(&self, state: &mut Self::State, (sums, fault): Self::Partial) -> Result<()> {
        state.1 = state.1.or(fault);
        self.0.merge(&mut state.0, sums)
    }

    fn finish(&self, (sums, fault): Self::State) -> Result<Self::Output> {
        Ok((self.0.finish(sums)?, fault))
    }
}

/// Moments of all batches together.
pub(super) fn total(batches: &[GeneMoments]) -> GeneMoments {
    let mut whole = batches[0].clone();
    for batch in &batches[1..] {
        whole.n_rows += batch.n_rows;
        for gene in 0..whole.sum.len() {
            whole.sum[gene] += batch.sum[gene];
            whole.sum_squares[gene] += batch.sum_squares[gene];
            whole.non_zeros[gene] += batch.non_zeros[gene];
        }
    }
    whole
}

/// What the curve expects of each gene in one batch.
struct Curve {
    means: Vec<f64>,
    /// Standard deviation expected at the mean; 1 for genes that do not vary.
    deviations: Vec<f64>,
    /// Counts above this are cut down to it.
    limits: Vec<f64>,
    /// The largest f32 at or below each limit: an f32 exceeds the one exactly when it exceeds the other.
    limits_f32: Vec<f32>,
}

impl Curve {
    fn fit(moments: &GeneMoments, span: f64) -> Result<Self> {
        let (means, variances) = (moments.means(), moments.variances());
        let varying: Vec<usize> = (0..means.len()).filter(|&gene| variances[gene] > 0.0).collect();
        if varying.is_empty() {
            let expected = "at least one gene that varies";
            return Err(Error::data(DataFault::Invalid, "matrix", expected, "none in some batch"));
        }
        if let Some(&gene) = varying.iter().find(|&&gene| !(means[gene] > 0.0)) {
            let found = format!("mean {} of gene {gene}", means[gene]);
            return Err(Error::data(DataFault::Negative, "matrix", "raw counts of at least 0", found));
        }
        let x: Vec<f64> = varying.iter().map(|&gene| means[gene].log10()).collect();
        let y: Vec<f64> = varying.iter().map(|&gene| variances[gene].log10()).collect();
        let fit = Loess::fit(&x, &y, span)?;
        let mut deviations = vec![1.0; means.len()];
        for (&gene, &x) in varying.iter().zip(&x) {
            deviations[gene] = 10f64.powf(fit.at(x)).sqrt();
        }
        let reach = (moments.n_rows as f64).sqrt();
        let limits: Vec<f64> =
            deviations.iter().zip(&means).map(|(deviation, mean)| deviation * reach + mean).collect();
        let limits_f32: Vec<f32> = limits
            .iter()
            .map(|&limit| {
                let near = limit as f32;
                if f64::from(near) > limit { near.next_down() } else { near }
            })
            .collect();
        Ok(Self { means, deviations, limits, limits_f32 })
    }
}

/// Finds the values above their limit.
struct Above<'a> {
    curves: &'a [Curve],
    batches: Option<&'a [u32]>,
}

/// Values that are asked at once whether any is above its limit.
const ASKED: usize = 512;

/// Whether any value is above the limit of its column.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn any_above(columns: &[u32], values: &[f32], limits: &[f32]) -> bool {
    let Some(last) = limits.len().checked_sub(1) else { return false };
    let n = columns.len().min(values.len());
    let (columns, values) = (&columns[..n], &values[..n]);
    let mut above = false;
    for i in 0..n {
        // No column lies beyond the last: that is said so that no check stands in the way of vectors.
        above |= values[i] > limits[(columns[i] as usize).min(last)];
    }
    above
}

impl Pass for Above<'_> {
    /// Batch, gene, value.
    type Partial = Vec<(u32, u32, f32)>;
    /// Per batch and gene: what cutting takes from the sum and from the sum of squares.
    type State = Vec<Vec<[f64; 2]>>;
    type Output = Vec<Vec<[f64; 2]>>;

    fn start(&self) -> Self::State {
        self.curves.iter().map(|curve| vec![[0.0; 2]; curve.means.len()]).collect()
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let mut found = Vec::new();
        for (row, columns, values) in block.rows() {
            let batch = self.batches.map_or(0, |batches| batches[row]);
            let limits = &self.curves[batch as usize].limits_f32;
            // Few values are above: many at once are asked whether any is.
            for (columns, values) in columns.chunks(ASKED).zip(values.chunks(ASKED)) {
                if !any_above(columns, values, limits) {
                    continue;
                }
                for (&column, &value) in columns.iter().zip(values) {
                    if value > limits[column as usize] {
                        found.push((batch, column, value));
                    }
                }
            }
        }
        Ok(found)
    }

    fn merge(&self, state: &mut Self::State, partial: Self::Partial) -> Result<()> {
        for (batch, gene, value) in partial {
            let limit = self.curves[batch as usize].limits[gene as usize];
            let (value, taken) = (f64::from(value), &mut state[batch as usize][gene as usize]);
            taken[0] += value - limit;
            taken[1] += value * value - limit * limit;
        }
        Ok(())
    }

    fn finish(&self, state: Self::State) -> Result<Self::Output> {
        Ok(state)
    }
}

/// Variance of the standardised, clipped counts, per batch and gene.
fn second_read(input: HvgInput<'_>, batches: &[GeneMoments], curves: &[Curve], ctx: &Ctx) -> Result<Vec<Vec<f64>>> {
    let taken = run(input.source, &Above { curves, batches: input.batches }, "clipped variances", ctx)?;
    Ok(batches
        .iter()
        .zip(curves)
        .zip(taken)
        .map(|((moments, curve), taken)| {
            let n = moments.n_rows as f64;
            (0..moments.sum.len())
                .map(|gene| {
                    let (mean, deviation) = (curve.means[gene], curve.deviations[gene]);
                    let sum = moments.sum[gene] - taken[gene][0];
                    let squares = moments.sum_squares[gene] - taken[gene][1];
                    (n * mean * mean + squares - 2.0 * sum * mean) / ((n - 1.0) * deviation * deviation)
                })
                .collect()
        })
        .collect())
}

/// Per gene: median over batches of its rank where that is below `asked` (NaN if nowhere), and the number of
/// such batches. Equal variances rank in gene order.
pub(super) fn ranks(normalised: &[Vec<f64>], asked: usize) -> (Vec<f64>, Vec<u32>) {
    let n_genes = normalised.first().map_or(0, Vec::len);
    let mut within = vec![Vec::new(); n_genes];
    for batch in normalised {
        let mut order: Vec<usize> = (0..n_genes).collect();
        order.sort_by(|&a, &b| batch[b].total_cmp(&batch[a]));
        for (rank, &gene) in order.iter().take(asked).enumerate() {
            within[gene].push(rank as f64);
        }
    }
    let counts = within.iter().map(|ranks| ranks.len() as u32).collect();
    (within.iter_mut().map(|ranks| median(ranks)).collect(), counts)
}

pub(super) fn pick(rank: &[f64], counts: &[u32], asked: usize, flavor: Flavor) -> Vec<bool> {
    let key = |gene: usize| if rank[gene].is_nan() { f64::INFINITY } else { rank[gene] };
    let mut order: Vec<usize> = (0..rank.len()).collect();
    order.sort_by(|&a, &b| {
        let (by_rank, by_count) = (key(a).total_cmp(&key(b)), counts[b].cmp(&counts[a]));
        if flavor == Flavor::SeuratV3Paper { by_count.then(by_rank) } else { by_rank.then(by_count) }
    });
    let mut flags = vec![false; rank.len()];
    order.iter().take(asked).for_each(|&gene| flags[gene] = true);
    flags
}
