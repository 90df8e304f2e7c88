//! The flavors that compare dispersions within bins of the mean.

use super::{Flavor, Hvg, HvgInput, HvgOptions, HvgStatistics, bins};
use crate::stats::{GeneMoments, ValueMap, gene_moments, gene_moments_by, mad, median};
use crate::{Ctx, Error, Result};

/// What one batch yields; each vector as long as there are genes.
struct Batch {
    means: Vec<f64>,
    dispersions: Vec<f64>,
    normalised: Vec<f64>,
    selected: Vec<bool>,
}

pub(super) fn select(input: HvgInput<'_>, n_batches: usize, options: &HvgOptions, ctx: &Ctx) -> Result<Hvg> {
    let map = match options.flavor {
        Flavor::Seurat => ValueMap::Expm1 { scale: input.log_base.map_or(1.0, f64::ln) },
        _ => ValueMap::Identity,
    };
    let expected = "finite logarithmised values (normalize_total, then log1p)";
    let mut notes = Vec::new();
    let Some(groups) = input.batches else {
        let moments = gene_moments(input.source, map, ctx)?;
        moments.check_finite("matrix", expected)?;
        let filter = options.filter_unexpressed_genes.unwrap_or(false);
        let Batch { means, dispersions, normalised, selected } = one_batch(&moments, filter, options, &mut notes)?;
        let statistics = HvgStatistics::Dispersion { dispersions, dispersions_norm: normalised };
        return Ok(Hvg { highly_variable: selected, means, statistics, notes, ..Hvg::default() });
    };
    if options.filter_unexpressed_genes == Some(false) {
        return Err(Error::parameter("filter_unexpressed_genes", "true or none when there are batches", "false"));
    }
    let mut batches = Vec::with_capacity(n_batches);
    for moments in gene_moments_by(input.source, groups, n_batches, map, ctx)? {
        moments.check_finite("matrix", expected)?;
        batches.push(one_batch(&moments, true, options, &mut notes)?);
    }
    notes.dedup();
    Ok(join(&batches, input.tie_order, options, notes))
}

fn one_batch(moments: &GeneMoments, filter: bool, options: &HvgOptions, notes: &mut Vec<String>) -> Result<Batch> {
    let n_genes = moments.sum.len();
    let genes: Vec<usize> = (0..n_genes).filter(|&gene| !filter || moments.non_zeros[gene] > 0).collect();
    let (all_means, variances) = (moments.means(), moments.variances());
    let mut batch = Batch {
        means: vec![0.0; n_genes],
        dispersions: vec![0.0; n_genes],
        normalised: vec![0.0; n_genes],
        selected: vec![false; n_genes],
    };
    if genes.is_empty() {
        return Ok(batch);
    }
    let mut means = Vec::with_capacity(genes.len());
    let mut dispersions = Vec::with_capacity(genes.len());
    for &gene in &genes {
        let mean = if all_means[gene] == 0.0 { 1e-12 } else { all_means[gene] };
        let dispersion = variances[gene] / mean;
        if options.flavor == Flavor::Seurat {
            means.push(mean.ln_1p());
            dispersions.push(if dispersion == 0.0 { f64::NAN } else { dispersion.ln() });
        } else {
            means.push(mean);
            dispersions.push(dispersion);
        }
    }
    let normalised = normalise(&means, &dispersions, options)?;
    let selected = pick(&means, &normalised, options, notes);
    for (at, &gene) in genes.iter().enumerate() {
        batch.means[gene] = means[at];
        batch.dispersions[gene] = dispersions[at];
        batch.normalised[gene] = normalised[at];
        batch.selected[gene] = selected[at];
    }
    Ok(batch)
}

/// Dispersion less the centre of its bin, over the spread of its bin.
fn normalise(means: &[f64], dispersions: &[f64], options: &HvgOptions) -> Result<Vec<f64>> {
    let seurat = options.flavor == Flavor::Seurat;
    let bins = if seurat { bins::equal_width(means, options.n_bins) } else { bins::by_percentile(means)? };
    let n_bins = bins.iter().max().map_or(0, |&last| last + 1);
    let mut members = vec![Vec::new(); n_bins];
    for (&bin, &dispersion) in bins.iter().zip(dispersions) {
        if !dispersion.is_nan() {
            members[bin].push(dispersion);
        }
    }
    let centres: Vec<(f64, f64)> = members
        .iter_mut()
        .map(|values| if seurat { mean_and_deviation(values) } else { (median(values), mad(values)) })
        .collect();
    Ok(bins.iter().zip(dispersions).map(|(&bin, &value)| (value - centres[bin].0) / centres[bin].1).collect())
}

/// Mean and standard deviation (n - 1). A bin with a single value gets (0, that value), so that the value is
/// normalised to 1.
fn mean_and_deviation(values: &mut [f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (0.0, mean);
    }
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

/// Infinities as the greatest finite numbers, as numpy's `nan_to_num` has them.
fn bounded(value: f64) -> f64 {
    value.clamp(-f64::MAX, f64::MAX)
}

fn within(mean: f64, normalised: f64, options: &HvgOptions) -> bool {
    mean > options.min_mean.0
        && mean < options.max_mean.0
        && normalised > options.min_disp.0
        && normalised < options.max_disp.0
}

/// Genes at or above the n-th highest normalised dispersion (ties may make it more), or within the cutoffs.
fn pick(means: &[f64], normalised: &[f64], options: &HvgOptions, notes: &mut Vec<String>) -> Vec<bool> {
    let Some(asked) = options.n_top_genes else {
        return means
            .iter()
            .zip(normalised)
            .map(|(&mean, &value)| within(mean, if value.is_nan() { 0.0 } else { bounded(value) }, options))
            .collect();
    };
    let mut known: Vec<f64> = normalised.iter().copied().filter(|value| !value.is_nan()).collect();
    let asked = asked.min(means.len());
    if asked > known.len() {
        notes.push(
            "`n_top_genes` > number of normalized dispersions, returning all genes with normalized dispersions."
                .to_string(),
        );
    }
    let Some(last) = asked.min(known.len()).checked_sub(1) else { return vec![false; means.len()] };
    let (_, &mut cutoff, _) = known.select_nth_unstable_by(last, |a, b| b.total_cmp(a));
    normalised.iter().map(|&value| !value.is_nan() && bounded(value) >= bounded(cutoff)).collect()
}

/// Mean of the values that are not NaN, NaN when all are.
fn mean_known(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for value in values.filter(|value| !value.is_nan()) {
        sum += value;
        n += 1.0;
    }
    if n > 0.0 { sum / n } else { f64::NAN }
}

fn join(batches: &[Batch], tie_order: Option<&[u32]>, options: &HvgOptions, notes: Vec<String>) -> Hvg {
    let n_genes = batches.first().map_or(0, |batch| batch.means.len());
    let over = |field: fn(&Batch) -> &Vec<f64>| -> Vec<f64> {
        (0..n_genes).map(|gene| mean_known(batches.iter().map(|batch| field(batch)[gene]))).collect()
    };
    let (means, dispersions) = (over(|batch| &batch.means), over(|batch| &batch.dispersions));
    let mut normalised = over(|batch| &batch.normalised);
    let counts: Vec<u32> =
        (0..n_genes).map(|gene| batches.iter().map(|batch| u32::from(batch.selected[gene])).sum()).collect();
    let highly_variable = match options.n_top_genes {
        Some(asked) => {
            let mut order: Vec<usize> = match tie_order {
                Some(order) => order.iter().map(|&gene| gene as usize).collect(),
                None => (0..n_genes).collect(),
            };
            // More batches first, then the higher dispersion, NaN last; stable.
            let key = |gene: usize| if normalised[gene].is_nan() { f64::NEG_INFINITY } else { normalised[gene] };
            order.sort_by(|&a, &b| {
                let unknown = normalised[a].is_nan().cmp(&normalised[b].is_nan());
                counts[b].cmp(&counts[a]).then(unknown).then(key(b).total_cmp(&key(a)))
            });
            let mut flags = vec![false; n_genes];
            order.iter().take(asked).for_each(|&gene| flags[gene] = true);
            flags
        }
        None => {
            normalised.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
            means.iter().zip(&normalised).map(|(&mean, &value)| within(mean, value, options)).collect()
        }
    };
    let intersection = counts.iter().map(|&count| count as usize == batches.len()).collect();
    Hvg {
        highly_variable,
        means,
        statistics: HvgStatistics::Dispersion { dispersions, dispersions_norm: normalised },
        n_batches: Some(counts),
        intersection: Some(intersection),
        not_counts: None,
        notes,
    }
}
