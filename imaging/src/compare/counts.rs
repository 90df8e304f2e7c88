//! Cells of structures between groups.

use rayon::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::pseudobulk::Design;
use zensaibo_core::stats::{ln_normal_two_sided, ln_t_two_sided};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::dispersion::{self, Prior, Structure};
use super::hierarchy::{Corrected, correct};
use super::negative_binomial::{Fit, Rows, fit};
use super::options::CompareRegionsOptions;

/// Fitted means and counts below which a sample says nothing of the variation.
const NOTHING: f64 = 1e-4;
/// Variance of a coefficient above which it has no finite estimate.
const UNBOUNDED: f64 = 1e6;

/// What [`compare_regions`] finds for one structure; NaN throughout where it was not tested.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionEffect {
    /// Coefficient as log2: infinite where one group has no cell.
    pub log2_fold_change: f64,
    /// Standard error of it; infinite there.
    pub std_err: f64,
    /// Confidence interval of it.
    pub interval: [f64; 2],
    /// Root of the quasi-likelihood F, with the sign of the effect.
    pub t: f64,
    /// Degrees of freedom of t.
    pub df: f64,
    /// Two-sided.
    pub p: f64,
    /// Deviance per degree of freedom, drawn towards that of the others.
    pub quasi_dispersion: f64,
}

impl RegionEffect {
    const NONE: Self = Self {
        log2_fold_change: f64::NAN,
        std_err: f64::NAN,
        interval: [f64::NAN; 2],
        t: f64::NAN,
        df: f64::NAN,
        p: f64::NAN,
        quasi_dispersion: f64::NAN,
    };
}

/// What [`compare_regions`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionComparison {
    /// One per structure.
    pub effects: Vec<RegionEffect>,
    /// P-values corrected.
    pub corrected: Corrected,
    /// Dispersion of the negative binomial distribution.
    pub dispersion: f64,
    /// What quasi-dispersions were drawn towards.
    pub prior: Prior,
    /// Structures from which dispersion and prior come: the finest that are tested.
    pub finest: usize,
}

/// Tests one coefficient of a log-linear model of the cells of each structure.
///
/// `counts` and `offsets` (natural logarithms) hold samples x structures, row-major, `design` samples x coefficients;
/// `names` those of the coefficients, `samples` those of the samples. `coefficient` is tested. `parents`: for each structure
/// the one that it is part of, which comes before it. A structure is tested where it has cells enough and every sample an
/// offset that is finite.
///
/// Nothing is random; structures are independent tasks and sums run in their order. O(structures x samples x
/// coefficients^2) per round of the fits.
///
/// # Errors
/// [`Error::Parameter`] for bad options; [`Error::Data`] for values that are not counts, lengths that disagree,
/// coefficients that are not independent, a group of one sample, no more samples than coefficients, no structure with
/// cells enough; [`Error::Interrupted`].
pub fn compare_regions(
    counts: &[f64],
    offsets: &[f64],
    design: &[f64],
    names: Vec<String>,
    samples: Vec<String>,
    coefficient: usize,
    parents: &[Option<usize>],
    options: &CompareRegionsOptions,
    ctx: &Ctx,
) -> Result<RegionComparison> {
    options.validate()?;
    let (n, p, structures) = (samples.len(), names.len(), parents.len());
    for (what, found, expected) in [
        ("counts", counts.len(), n * structures),
        ("offsets", offsets.len(), n * structures),
        ("design", design.len(), n * p),
    ] {
        if found != expected {
            return Err(Error::data(DataFault::Shape, what, format!("{expected} values"), found));
        }
    }
    if coefficient >= p {
        return Err(Error::parameter("coefficient", format!("below {p}"), coefficient));
    }
    if let Some(at) = counts.iter().position(|value| !(*value >= 0.0 && value.is_finite() && value.fract() == 0.0)) {
        let found = format!("{} for structure {} of sample {}", counts[at], at % structures, samples[at / structures]);
        return Err(Error::data(DataFault::NotCounts, "counts", "whole numbers of at least 0", found));
    }
    let rows = checked(design, names, &samples)?;
    let null = rows.without(coefficient);
    let column = |table: &[f64], structure: usize| -> Vec<f64> {
        (0..n).map(|sample| table[sample * structures + structure]).collect()
    };
    let all: Vec<Structure> =
        (0..structures).map(|at| Structure { counts: column(counts, at), offsets: column(offsets, at) }).collect();
    let tested = |s: &Structure| {
        s.counts.iter().sum::<f64>() >= options.min_cells && s.offsets.iter().all(|offset| offset.is_finite())
    };
    let kept: Vec<bool> = all.iter().map(tested).collect();
    if !kept.iter().any(|&kept| kept) {
        let expected = format!("at least one with {} cells in all samples (`min_cells`)", options.min_cells);
        return Err(Error::data(DataFault::TooFew, "structures", expected, "none"));
    }
    let mut finest = kept.clone();
    for at in (0..structures).rev() {
        let mut above = parents[at].filter(|_| kept[at]);
        while let Some(parent) = above {
            finest[parent] = false;
            above = parents[parent];
        }
    }
    let finest: Vec<usize> = (0..structures).filter(|&at| finest[at]).collect();
    let stage = ctx.stage("compare regions", 3);
    let dispersion = match options.dispersion {
        Some(dispersion) => dispersion,
        None => dispersion::common(&finest.iter().map(|&at| &all[at]).collect::<Vec<_>>(), &rows, ctx)?,
    };
    stage.advance(1)?;
    let fits: Vec<Option<Fitted>> = (0..structures)
        .into_par_iter()
        .map(|at| {
            ctx.check()?;
            Ok(kept[at].then(|| Fitted::new(&all[at], &rows, &null, dispersion)))
        })
        .collect::<Result<_>>()?;
    stage.advance(1)?;
    let (variances, df): (Vec<f64>, Vec<f64>) =
        finest.iter().filter_map(|&at| fits[at].as_ref()).map(|fit| (fit.variance(), fit.df)).unzip();
    let prior = dispersion::prior(&variances, &df);
    let most = (finest.len() * (n - p)) as f64;
    let effects: Vec<RegionEffect> = (0..structures)
        .into_par_iter()
        .map(|at| match &fits[at] {
            None => RegionEffect::NONE,
            Some(fit) => fit.effect(&all[at], [&rows, &null], coefficient, dispersion, prior, most, options.coverage),
        })
        .collect();
    stage.advance(1)?;
    let p: Vec<f64> = effects.iter().map(|effect| effect.p).collect();
    Ok(RegionComparison { corrected: correct(&p, parents), effects, dispersion, prior, finest: finest.len() })
}

/// The design, refused where a coefficient or the variation cannot be estimated.
fn checked(design: &[f64], names: Vec<String>, samples: &[String]) -> Result<Rows> {
    let (n, p) = (samples.len(), names.len());
    Design::new(design, names.clone(), samples.to_vec())?;
    if n <= p {
        let expected = format!("more samples than the {p} coefficients ({})", names.join(", "));
        return Err(Error::data(DataFault::TooFew, "design", expected, n));
    }
    let rows = Rows { values: design.to_vec(), columns: p };
    // A sample that alone determines a coefficient: without it one less is determined.
    for sample in 0..n {
        if rank(&rows, |other| other != sample) < p {
            let found = format!("sample {}, which alone determines a coefficient", samples[sample]);
            let expected = "at least two samples in every group; leave the sample out, or take fewer covariates";
            return Err(Error::data(DataFault::TooFew, "design", expected, found));
        }
    }
    Ok(rows)
}

/// Rank of the rows that are kept, by orthogonalising its columns.
fn rank(rows: &Rows, kept: impl Fn(usize) -> bool) -> usize {
    let samples: Vec<usize> = (0..rows.len()).filter(|&sample| kept(sample)).collect();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for column in 0..rows.columns {
        let mut values: Vec<f64> = samples.iter().map(|&sample| rows.row(sample)[column]).collect();
        let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let whole = length(&values);
        // Twice, so that rounding leaves nothing of what was taken away.
        for _ in 0..2 {
            for known in &basis {
                let share: f64 = known.iter().zip(&values).map(|(a, b)| a * b).sum();
                values.iter_mut().zip(known).for_each(|(value, known)| *value -= share * known);
            }
        }
        let left = length(&values);
        if left > 1e-7 * whole {
            values.iter_mut().for_each(|value| *value /= left);
            basis.push(values);
        }
    }
    basis.len()
}

/// A structure fitted with and without the coefficient.
struct Fitted {
    full: Fit,
    null: f64,
    df: f64,
}

impl Fitted {
    fn new(structure: &Structure, rows: &Rows, null: &Rows, dispersion: f64) -> Self {
        let full = fit(&structure.counts, rows, &structure.offsets, dispersion);
        let null = fit(&structure.counts, null, &structure.offsets, dispersion).deviance;
        let says = |sample: usize| !(structure.counts[sample] < NOTHING && full.means[sample] < NOTHING);
        let n = (0..rows.len()).filter(|&sample| says(sample)).count();
        let df = (n - rank(rows, says)) as f64;
        Self { full, null, df }
    }

    /// Deviance per degree of freedom; 0 without any.
    fn variance(&self) -> f64 {
        if self.df > 0.0 { self.full.deviance / self.df } else { 0.0 }
    }

    #[allow(clippy::too_many_arguments)] // what all structures share
    fn effect(
        &self,
        structure: &Structure,
        [rows, null]: [&Rows; 2],
        coefficient: usize,
        dispersion: f64,
        prior: Prior,
        most: f64,
        coverage: f64,
    ) -> RegionEffect {
        let quasi = prior.draw(self.variance(), self.df);
        let df = (prior.df + self.df).min(most);
        let ratio = (self.null - self.full.deviance).max(0.0);
        let t = (ratio / quasi).sqrt();
        let mut p = if df > 0.0 { ln_t_two_sided(t, df).exp() } else { 1.0 };
        let unscaled = self.full.variance(coefficient);
        let mut variance = quasi * unscaled;
        // Counts vary at least as Poisson's do.
        if self.full.means.iter().any(|mean| quasi * (1.0 + dispersion * mean) < 1.0) {
            let full = fit(&structure.counts, rows, &structure.offsets, 0.0);
            let null = fit(&structure.counts, null, &structure.offsets, 0.0).deviance;
            p = p.max(ln_normal_two_sided((null - full.deviance).max(0.0).sqrt()).exp());
            variance = variance.max(full.variance(coefficient));
        }
        let estimate = self.full.coefficients[coefficient];
        let sign = if estimate < 0.0 { -1.0 } else { 1.0 };
        let ln_2 = std::f64::consts::LN_2;
        let bounded = unscaled < UNBOUNDED;
        let (effect, std_err) =
            if bounded { (estimate / ln_2, variance.sqrt() / ln_2) } else { (sign * f64::INFINITY, f64::INFINITY) };
        let reach = if bounded && df > 0.0 { std_err * quantile(coverage, df) } else { f64::INFINITY };
        let interval =
            if reach.is_finite() { [effect - reach, effect + reach] } else { [f64::NEG_INFINITY, f64::INFINITY] };
        RegionEffect { log2_fold_change: effect, std_err, interval, t: sign * t, df, p, quasi_dispersion: quasi }
    }
}

/// What Student's t stays within with a probability, to either side of 0.
fn quantile(coverage: f64, df: f64) -> f64 {
    let goal = (1.0 - coverage).ln();
    let (mut low, mut high) = (0f64, 1f64);
    while ln_t_two_sided(high, df) > goal && high < 1e30 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if ln_t_two_sided(middle, df) > goal { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_by_the_table() {
        for (coverage, df, expected) in
            [(0.95, 4.0, 2.776_445), (0.99, 10.0, 3.169_273), (0.95, f64::INFINITY, 1.959_964)]
        {
            assert!((quantile(coverage, df) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn ranks() {
        let rows = Rows { values: vec![1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 2.0], columns: 3 };
        assert_eq!(rank(&rows, |_| true), 2);
        assert_eq!(rank(&rows, |sample| sample < 2), 1);
        assert_eq!(rank(&rows, |_| false), 0);
    }
}
