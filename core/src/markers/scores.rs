//! From sums and rank sums to scores, logarithms of p-values and fold changes, one group at a time.

use super::Grouping;
use super::moments::Moments;
use super::options::{FoldChange, Method, RankGenesOptions};
use super::wilcoxon::RankSums;
use crate::stats::{ln_normal_two_sided, ln_t_two_sided};

/// Sums per group and gene of the other side of each tested group, in the same tables as its own.
pub(super) struct Sides {
    /// Cells and sums of the group.
    pub(super) own: Moments,
    /// Cells and sums of what it is compared with; `[tested group * n_genes + gene]`.
    pub(super) other: Moments,
}

impl Sides {
    /// Adds up the other side: the reference, or all groups but one. The latter as sums of the groups before
    /// and after, never as a difference, so that what is zero outside a group is zero exactly.
    pub(super) fn new(own: Moments, grouping: &Grouping) -> Self {
        let n_genes = own.n_genes;
        let n_groups = grouping.n_groups();
        let other = |table: &[f64]| -> Vec<f64> {
            if table.is_empty() {
                return Vec::new();
            }
            if let Some(reference) = grouping.reference() {
                let row = &table[reference * n_genes..][..n_genes];
                return row.repeat(n_groups);
            }
            let mut rest = vec![0.0; n_groups * n_genes];
            let mut running = vec![0.0; n_genes];
            for group in 0..n_groups {
                rest[group * n_genes..][..n_genes].copy_from_slice(&running);
                running.iter_mut().zip(&table[group * n_genes..]).for_each(|(sum, value)| *sum += value);
            }
            // The last row holds the cells of no group.
            running.copy_from_slice(&table[n_groups * n_genes..]);
            for group in (0..n_groups).rev() {
                rest[group * n_genes..][..n_genes].iter_mut().zip(&running).for_each(|(sum, value)| *sum += value);
                running.iter_mut().zip(&table[group * n_genes..]).for_each(|(sum, value)| *sum += value);
            }
            rest
        };
        let other = Moments {
            n_genes,
            sums: other(&own.sums),
            squares: other(&own.squares),
            non_zeros: other(&own.non_zeros),
            unlogged: other(&own.unlogged),
        };
        Self { own, other }
    }
}

/// Score and natural logarithm of the p-value of each gene of `group`.
pub(super) fn scores(
    sides: &Sides,
    ranks: Option<&RankSums>,
    grouping: &Grouping,
    group: usize,
    method: Method,
) -> (Vec<f64>, Vec<f64>) {
    let n_genes = sides.own.n_genes;
    let (n, m) = (grouping.sizes()[group] as f64, grouping.other_size(group) as f64);
    let span = group * n_genes..(group + 1) * n_genes;
    match ranks {
        Some(ranks) => {
            // Excess is doubled, so the variance is quadrupled.
            let variance = n * m * (n + m + 1.0) / 3.0;
            (0..n_genes)
                .map(|gene| {
                    let ties = ranks.ties.get(span.start + gene).copied().unwrap_or(1.0);
                    let z = ranks.excess[span.start + gene] / (ties * variance).sqrt();
                    // No spread at all, hence nothing to tell apart.
                    if z.is_nan() { (0.0, 0.0) } else { (z, ln_normal_two_sided(z)) }
                })
                .unzip()
        }
        None => {
            let m_taken = if method == Method::TTestOverestimVar { n } else { m };
            (0..n_genes)
                .map(|gene| {
                    let at = span.start + gene;
                    let (mean, variance) = mean_variance(sides.own.sums[at], sides.own.squares[at], n);
                    let (other_mean, other_variance) = mean_variance(sides.other.sums[at], sides.other.squares[at], m);
                    welch((mean, variance, n), (other_mean, other_variance, m_taken))
                })
                .unzip()
        }
    }
}

/// Mean and unbiased variance of `n` values.
fn mean_variance(sum: f64, square: f64, n: f64) -> (f64, f64) {
    let mean = sum / n;
    let spread = square / n - mean * mean;
    // What rounding leaves of a constant gene is not a variance.
    let spread = if spread <= 4.0 * f64::EPSILON * (square / n) { 0.0 } else { spread };
    (mean, if n > 1.0 { spread * n / (n - 1.0) } else { spread })
}

/// Welch's t and the logarithm of its two-sided p-value, from (mean, variance, size) of both sides.
fn welch(a: (f64, f64, f64), b: (f64, f64, f64)) -> (f64, f64) {
    let (va, vb) = (a.1 / a.2, b.1 / b.2);
    let t = (a.0 - b.0) / (va + vb).sqrt();
    if t.is_nan() {
        // Equal means and no spread.
        return (0.0, 0.0);
    }
    // A side of one cell has no variance and adds nothing below the line (0/0 otherwise).
    let part = |v: f64, n: f64| if v == 0.0 { 0.0 } else { v * v / (n - 1.0) };
    let df = (va + vb) * (va + vb) / (part(va, a.2) + part(vb, b.2));
    let ln_p = ln_t_two_sided(t, if df.is_nan() { 1.0 } else { df });
    (t, if ln_p.is_nan() { 0.0 } else { ln_p })
}

/// log2 fold change of each gene of `group`.
pub(super) fn fold_changes(sides: &Sides, grouping: &Grouping, group: usize, options: &RankGenesOptions) -> Vec<f64> {
    let n_genes = sides.own.n_genes;
    let (n, m) = (grouping.sizes()[group] as f64, grouping.other_size(group) as f64);
    let scale = options.log_base.map_or(1.0, f64::ln);
    let pseudocount = options.pseudocount.unwrap_or(options.fold_change.pseudocount());
    let level = |table: &Moments, at: usize, cells: f64| match options.fold_change {
        FoldChange::ExpOfMean => (table.sums[at] / cells * scale).exp_m1() + pseudocount,
        FoldChange::MeanOfExp => table.unlogged[at] / cells + pseudocount,
        FoldChange::SumOfExp => (table.unlogged[at] + pseudocount) / cells,
        FoldChange::MeanDifference => table.sums[at] / cells,
    };
    (group * n_genes..(group + 1) * n_genes)
        .map(|at| {
            let (own, other) = (level(&sides.own, at, n), level(&sides.other, at, m));
            match options.fold_change {
                FoldChange::MeanDifference => (own - other) * scale / std::f64::consts::LN_2,
                _ => (own / other).log2(),
            }
        })
        .collect()
}

/// Benjamini and Hochberg's or Bonferroni's adjustment of logarithms of p-values, which neither underflow nor
/// tie where the p-values themselves do.
pub(crate) fn adjust(ln_p: &[f64], method: super::Correction) -> Vec<f64> {
    let n = ln_p.len() as f64;
    match method {
        super::Correction::Bonferroni => ln_p.iter().map(|p| (p + n.ln()).min(0.0)).collect(),
        super::Correction::BenjaminiHochberg => {
            let mut order: Vec<u32> = (0..ln_p.len() as u32).collect();
            order.sort_unstable_by(|&a, &b| ln_p[b as usize].total_cmp(&ln_p[a as usize]));
            let mut adjusted = vec![0.0; ln_p.len()];
            let mut smallest = 0.0f64;
            for (from_top, &gene) in order.iter().enumerate() {
                let rank = n - from_top as f64;
                smallest = smallest.min(ln_p[gene as usize] + (n / rank).ln());
                adjusted[gene as usize] = smallest;
            }
            adjusted
        }
    }
}
