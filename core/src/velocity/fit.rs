//! The steady-state ratio of each gene, and velocities as what lies beyond it.

use rayon::prelude::*;

use super::moments::members;
use super::options::{VelocityMode, VelocityOptions};
use crate::data::Csr;
use crate::graph::Graph;
use crate::options::Options;
use crate::parallel::pieces;
use crate::{Ctx, DataFault, Error, Result};

/// Genes handled together: their values of one cell share a cache line.
const STRIP: usize = 16;
/// A maximum below this counts as this, so that empty genes do not divide by 0.
const FLOOR: f32 = 1e-3;

/// Velocities and how they came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Velocity {
    /// n x g, row by row: unspliced beyond the steady state, in units of the counts.
    pub velocity: Vec<f32>,
    /// Steady-state ratio of unspliced to spliced of each gene; g long. With `stochastic`, of velocity genes the one
    /// fitted with second moments.
    pub gamma: Vec<f64>,
    /// The ratio by extreme quantiles alone; g long.
    pub qreg_ratio: Vec<f64>,
    /// Coefficient of determination of the fit by extreme quantiles; g long.
    pub r2: Vec<f64>,
    /// Genes that fit well enough to be used downstream; g long.
    pub genes: Vec<bool>,
    /// The threshold of `r2` that was used: `min_r2`, or the 80th percentile of `r2` where fewer than 2 genes passed.
    pub min_r2: f64,
}

/// Velocities of n cells x g genes by the steady-state or the stochastic model.
///
/// `spliced_means` and `unspliced_means` are the [`moments`](super::moments), n x g, row by row. With the stochastic model
/// `counts` holds the spliced and unspliced counts (n x g) and the graph that the moments were taken on; with the
/// deterministic one it is not looked at and may be absent. `eligible`, if given, says which genes may become velocity
/// genes.
///
/// Steady state: gamma minimises the squares of `u - gamma s` over the cells at or above percentile `perc` of the sum
/// `s / max s + u / max u`. Stochastic: velocity genes fit `u = gamma s` and `2 <us> + <u> = gamma (2 <ss> - <s>)` together, each
/// part in units of its own residual.
///
/// Nothing is random; the same bits for any number of threads. O(n g log n) time, with the stochastic model also O(edges
/// x stored values per cell); memory: the result, and 100 bytes per cell and thread.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for shapes that disagree, values that are not finite,
/// counts that are missing; [`Error::Interrupted`].
///
/// # Reference
/// La Manno et al. 2018, Nature 560, 494; Bergen et al. 2020, Nature Biotechnology 38, 1408.
pub fn velocity(
    spliced_means: &[f32],
    unspliced_means: &[f32],
    n: usize,
    counts: Option<(&Csr, &Csr, &Graph)>,
    eligible: Option<&[bool]>,
    options: &VelocityOptions,
    ctx: &Ctx,
) -> Result<Velocity> {
    options.validate()?;
    let genes = spliced_means.len().checked_div(n).unwrap_or(0);
    check(spliced_means, unspliced_means, n, genes, eligible)?;
    let stage = ctx.stage("velocity", genes as u64);
    let first: Vec<Vec<Fit>> = pieces(genes, STRIP)
        .into_par_iter()
        .map(|strip| {
            ctx.check()?;
            let (s, u) = (columns(spliced_means, n, genes, &strip), columns(unspliced_means, n, genes, &strip));
            let found: Vec<Fit> = s.chunks(n).zip(u.chunks(n)).map(|(s, u)| steady(s, u, options)).collect();
            stage.advance(strip.len() as u64)?;
            Ok(found)
        })
        .collect::<Result<_>>()?;
    let first = first.concat();
    let allowed = |gene: usize| eligible.is_none_or(|eligible| eligible[gene]);
    let mut min_r2 = options.min_r2;
    let passing = |gene: &usize| first[*gene].expressed && first[*gene].gamma > options.min_ratio && allowed(*gene);
    let mut chosen: Vec<bool> = (0..genes).map(|gene| first[gene].r2 > min_r2 && passing(&gene)).collect();
    if genes > 0 && chosen.iter().filter(|&&chosen| chosen).count() < 2 {
        let mut sorted: Vec<f64> = first.iter().map(|fit| fit.r2).collect();
        min_r2 = percentile(&mut sorted, 80.0);
        chosen = first.iter().map(|fit| fit.r2 > min_r2).collect();
    }
    let mut gamma: Vec<f64> = first.iter().map(|fit| fit.gamma).collect();
    if options.mode == VelocityMode::Stochastic && genes > 0 {
        let Some((spliced, unspliced, graph)) = counts else {
            let expected = "spliced and unspliced counts, which the stochastic model needs";
            return Err(Error::data(DataFault::Empty, "counts", expected, "none"));
        };
        for (name, matrix) in [("spliced", spliced), ("unspliced", unspliced)] {
            if (matrix.n_rows, matrix.n_cols) != (n, genes) || graph.n != n {
                let found = format!("{} x {} and a graph of {}", matrix.n_rows, matrix.n_cols, graph.n);
                return Err(Error::data(DataFault::Shape, name, format!("{n} cells x {genes} genes"), found));
            }
        }
        let every = !chosen.contains(&true);
        let second = Second::new(spliced, unspliced, graph);
        let found: Vec<Vec<f64>> = pieces(genes, STRIP)
            .into_par_iter()
            .map(|strip| {
                ctx.check()?;
                let (s, u) = (columns(spliced_means, n, genes, &strip), columns(unspliced_means, n, genes, &strip));
                let rows = s.chunks(n).zip(u.chunks(n)).zip(strip);
                Ok(rows
                    .map(|((s, u), gene)| {
                        if every || chosen[gene] {
                            second.fit(gene, s, u, first[gene].gamma, options)
                        } else {
                            first[gene].gamma
                        }
                    })
                    .collect())
            })
            .collect::<Result<_>>()?;
        gamma = found.concat();
    }
    let mut velocity = vec![0f32; n * genes];
    if genes > 0 {
        let factors: Vec<f32> = gamma.iter().map(|&gamma| gamma as f32).collect();
        velocity
            .par_chunks_mut(genes)
            .zip(spliced_means.par_chunks(genes))
            .zip(unspliced_means.par_chunks(genes))
            .for_each(|((out, s), u)| {
                for (((out, &s), &u), &gamma) in out.iter_mut().zip(s).zip(u).zip(&factors) {
                    *out = u - gamma * s;
                }
            });
    }
    Ok(Velocity {
        velocity,
        gamma,
        qreg_ratio: first.iter().map(|fit| fit.gamma).collect(),
        r2: first.iter().map(|fit| fit.r2).collect(),
        genes: chosen,
        min_r2,
    })
}

fn check(s: &[f32], u: &[f32], n: usize, genes: usize, eligible: Option<&[bool]>) -> Result<()> {
    if s.len() != u.len() || s.len() != n * genes {
        let found = format!("{} and {} values", s.len(), u.len());
        return Err(Error::data(
            DataFault::Shape,
            "moments",
            format!("two tables of {n} cells and the same genes"),
            found,
        ));
    }
    if eligible.is_some_and(|eligible| eligible.len() != genes) {
        let found = eligible.map_or(0, <[bool]>::len);
        return Err(Error::data(DataFault::Shape, "eligible genes", format!("{genes} flags"), found));
    }
    for (name, values) in [("spliced moments", s), ("unspliced moments", u)] {
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("{} at cell {}, gene {}", values[place], place / genes, place % genes);
            return Err(Error::data(DataFault::NotFinite, name, "finite values", found));
        }
    }
    Ok(())
}

/// Some columns of an n x genes table, one after the other.
fn columns(table: &[f32], n: usize, genes: usize, strip: &std::ops::Range<usize>) -> Vec<f32> {
    let mut out = vec![0f32; n * strip.len()];
    for (cell, row) in table.chunks_exact(genes).enumerate() {
        for (offset, &value) in row[strip.clone()].iter().enumerate() {
            out[offset * n + cell] = value;
        }
    }
    out
}

/// One gene's fit by extreme quantiles.
#[derive(Clone, Copy, Debug)]
struct Fit {
    gamma: f64,
    r2: f64,
    /// Whether some cell has spliced, and some unspliced.
    expressed: bool,
}

fn steady(s: &[f32], u: &[f32], options: &VelocityOptions) -> Fit {
    let joint = joint(s, u);
    let bound = percentile(&mut joint.clone(), options.perc);
    let gamma = ratio(s.iter().zip(u).zip(&joint).filter(|&(_, &joint)| joint >= bound).map(|((&s, &u), _)| (s, u)));
    let judged = if options.r2_adjusted { ratio(s.iter().copied().zip(u.iter().copied())) } else { gamma };
    let mean = u.iter().map(|&u| f64::from(u)).sum::<f64>() / u.len() as f64;
    let (mut left, mut total) = (0f64, 0f64);
    for (&s, &u) in s.iter().zip(u) {
        left += (f64::from(u) - judged * f64::from(s)).powi(2);
        total += (f64::from(u) - mean).powi(2);
    }
    let r2 = 1.0 - left / total;
    let positive = |values: &[f32]| values.iter().any(|&value| value > 0.0);
    Fit { gamma, r2: if r2.is_nan() { 0.0 } else { r2 }, expressed: positive(s) && positive(u) }
}

/// Spliced and unspliced of each cell, each over its maximum, added.
fn joint(s: &[f32], u: &[f32]) -> Vec<f64> {
    let largest = |values: &[f32]| values.iter().copied().fold(f32::NEG_INFINITY, f32::max).max(FLOOR);
    let (most_s, most_u) = (largest(s), largest(u));
    s.iter().zip(u).map(|(&s, &u)| f64::from(s / most_s + u / most_u)).collect()
}

/// Least squares of the second on the first, through 0; 0 where there is nothing to fit.
fn ratio(pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
    let (mut ss, mut su) = (0f64, 0f64);
    for (s, u) in pairs {
        ss += f64::from(s) * f64::from(s);
        su += f64::from(s) * f64::from(u);
    }
    if ss > 0.0 { su / ss } else { 0.0 }
}

/// Percentile with linear interpolation; sorts the values.
fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = percent / 100.0 * (values.len() - 1) as f64;
    let below = values[place as usize];
    let above = values[(place as usize + 1).min(values.len() - 1)];
    if below == above { below } else { below + (above - below) * place.fract() }
}

/// What second moments need: counts by gene, and who averages over a cell.
struct Second {
    spliced: Csr,
    unspliced: Csr,
    /// Row j: the cells that cell j is averaged into, itself among them, with their share.
    spread: Vec<Vec<(u32, f64)>>,
}

impl Second {
    fn new(spliced: &Csr, unspliced: &Csr, graph: &Graph) -> Self {
        let mut spread: Vec<Vec<(u32, f64)>> = vec![Vec::new(); graph.n];
        for cell in 0..graph.n {
            let share = 1.0 / members(graph, cell).count() as f64;
            members(graph, cell).for_each(|other| spread[other].push((cell as u32, share)));
        }
        Self { spliced: spliced.transpose(), unspliced: unspliced.transpose(), spread }
    }

    /// Ratio of one gene by first and second moments together; `s` and `u` are its first moments.
    fn fit(&self, gene: usize, s: &[f32], u: &[f32], steady: f64, options: &VelocityOptions) -> f64 {
        let n = s.len();
        let (mut ss, mut us) = (vec![0f64; n], vec![0f64; n]);
        let (cells, values) = self.spliced.row(gene);
        let (others, unspliced) = self.unspliced.row(gene);
        for (&cell, &value) in cells.iter().zip(values) {
            let value = f64::from(value);
            let both = others.binary_search(&cell).map_or(0.0, |at| value * f64::from(unspliced[at]));
            for &(target, share) in &self.spread[cell as usize] {
                ss[target as usize] += share * value * value;
                us[target as usize] += share * both;
            }
        }
        for cell in 0..n {
            ss[cell] = 2.0 * ss[cell] - f64::from(s[cell]);
            us[cell] = 2.0 * us[cell] + f64::from(u[cell]);
        }
        let (mut xx, mut xy) = (0f64, 0f64);
        ss.iter().zip(&us).for_each(|(x, y)| {
            xx += x * x;
            xy += x * y;
        });
        let second = if xx > 0.0 { xy / xx } else { 0.0 };
        let spread_first = deviation(s.iter().zip(u).map(|(&s, &u)| f64::from(u) - steady * f64::from(s)), n);
        let spread_second = deviation(us.iter().zip(&ss).map(|(y, x)| y - second * x), n);
        // The cells with most of both, and those with most spliced.
        let joint = joint(s, u);
        let bound = percentile(&mut joint.clone(), options.perc);
        let alone = percentile(&mut s.iter().map(|&s| f64::from(s)).collect::<Vec<_>>(), options.perc);
        let (mut xx, mut xy) = (xx / spread_second.powi(2), xy / spread_second.powi(2));
        for cell in (0..n).filter(|&cell| joint[cell] >= bound || f64::from(s[cell]) >= alone) {
            let (x, y) = (f64::from(s[cell]) / spread_first, f64::from(u[cell]) / spread_first);
            xx += x * x;
            xy += x * y;
        }
        let gamma = xy / xx;
        if gamma.is_finite() { gamma } else { steady }
    }
}

/// Standard deviation of n values, over n.
fn deviation(values: impl Iterator<Item = f64> + Clone, n: usize) -> f64 {
    let mean = values.clone().sum::<f64>() / n as f64;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64).sqrt()
}
