//! Which genes have counts enough, and how deep each sample was read.

use super::{Design, PseudobulkOptions};
use crate::stats::{median, quantile_sorted};
use crate::{DataFault, Error, Result};

/// Whether each gene is tested: `min_total_count` in all, and `min_count` (in a sample of median size) in as many
/// samples as the smallest group has. The size of that group is 1 / the largest leverage; above ten samples, ten and
/// seven tenths of the rest do.
pub(super) fn filter(
    counts: &[f64],
    n_genes: usize,
    design: &Design,
    options: &PseudobulkOptions,
) -> Result<Vec<bool>> {
    /// Beyond this size of the smallest group only a share of its samples must show the gene.
    const LARGE: f64 = 10.0;
    const SHARE: f64 = 0.7;
    let sizes: Vec<f64> = counts.chunks_exact(n_genes.max(1)).map(|row| row.iter().sum()).collect();
    if let Some(sample) = sizes.iter().position(|&size| size == 0.0) {
        return Err(Error::data(
            DataFault::Empty,
            "counts",
            "counts in every sample",
            format!("none in sample {sample}"),
        ));
    }
    let smallest = 1.0 / design.leverage().iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let needed = if smallest > LARGE { LARGE + (smallest - LARGE) * SHARE } else { smallest };
    let cutoff = options.min_count / median(&mut sizes.clone());
    Ok((0..n_genes)
        .map(|gene| {
            let column = || counts.iter().skip(gene).step_by(n_genes);
            let deep = column().zip(&sizes).filter(|(count, size)| *count / *size >= cutoff).count();
            let total: f64 = column().sum();
            deep as f64 >= needed - 1e-9 && total >= options.min_total_count - 1e-9
        })
        .collect())
}

/// Factors that correct the library sizes for what the samples are made of: each sample against one reference, the
/// mean of the log ratios of the genes (M-values) weighted by their precision, 30 % of the ratios and 5 % of the
/// levels trimmed at either end. Their product is 1.
pub(super) fn tmm(table: &[f64], sizes: &[f64]) -> Vec<f64> {
    let n_genes = table.len() / sizes.len().max(1);
    let rows: Vec<&[f64]> = table.chunks_exact(n_genes.max(1)).collect();
    let reference = reference_sample(&rows, sizes);
    let logs: Vec<f64> = rows
        .iter()
        .zip(sizes)
        .map(|(row, &size)| trimmed_ratio(row, size, rows[reference], sizes[reference]).exp2().ln())
        .collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    logs.iter().map(|log| (log - mean).exp()).collect()
}

/// The sample whose upper quartile lies nearest to the mean of all; the one of most diverse counts when most quartiles
/// are zero.
fn reference_sample(rows: &[&[f64]], sizes: &[f64]) -> usize {
    let seen: Vec<usize> = (0..rows[0].len()).filter(|&gene| rows.iter().any(|row| row[gene] > 0.0)).collect();
    let quartiles: Vec<f64> = rows
        .iter()
        .zip(sizes)
        .map(|(row, size)| {
            let mut values: Vec<f64> = seen.iter().map(|&gene| row[gene] / size).collect();
            values.sort_unstable_by(f64::total_cmp);
            quantile_sorted(&values, 0.75)
        })
        .collect();
    let best = |score: &dyn Fn(usize) -> f64| {
        (0..rows.len()).fold(0, |best, sample| if score(sample) < score(best) { sample } else { best })
    };
    if median(&mut quartiles.clone()) < 1e-20 {
        return best(&|sample| -rows[sample].iter().map(|count| count.sqrt()).sum::<f64>());
    }
    let mean = quartiles.iter().sum::<f64>() / quartiles.len() as f64;
    best(&|sample| (quartiles[sample] - mean).abs())
}

/// log2 of the factor of one sample against the reference.
fn trimmed_ratio(row: &[f64], size: f64, reference: &[f64], reference_size: f64) -> f64 {
    const TRIM_RATIO: f64 = 0.3;
    const TRIM_LEVEL: f64 = 0.05;
    // Ranked before the logarithm is taken, so that equal ratios of counts tie whatever its rounding.
    let (mut ratios, mut levels, mut precisions) = (Vec::new(), Vec::new(), Vec::new());
    for (&a, &b) in row.iter().zip(reference).filter(|(a, b)| **a > 0.0 && **b > 0.0) {
        let (own, other) = (a / size, b / reference_size);
        ratios.push(own / other);
        levels.push(own * other);
        precisions.push(1.0 / ((size - a) / size / a + (reference_size - b) / reference_size / b));
    }
    if ratios.iter().all(|ratio| ratio.log2().abs() < 1e-6) {
        return 0.0;
    }
    let n = ratios.len() as f64;
    let bounds = |trim: f64| ((n * trim).floor() + 1.0, n - (n * trim).floor());
    let (ratio_ranks, level_ranks) = (average_ranks(&ratios), average_ranks(&levels));
    let ((low_ratio, high_ratio), (low_level, high_level)) = (bounds(TRIM_RATIO), bounds(TRIM_LEVEL));
    let (mut sum, mut weight) = (0.0, 0.0);
    for at in 0..ratios.len() {
        let inside =
            (low_ratio..=high_ratio).contains(&ratio_ranks[at]) && (low_level..=high_level).contains(&level_ranks[at]);
        // A gene that is all of its sample has no variance left, and infinite precision.
        if inside && precisions[at].is_finite() {
            sum += ratios[at].log2() * precisions[at];
            weight += precisions[at];
        }
    }
    if weight > 0.0 { sum / weight } else { 0.0 }
}

/// Ranks from 1, the mean rank for ties.
fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        order[start..end].iter().for_each(|&at| ranks[at] = (start + end + 1) as f64 / 2.0);
        start = end;
    }
    ranks
}
