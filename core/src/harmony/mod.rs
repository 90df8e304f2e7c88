//! Harmony: cells of several batches brought into one space, in coordinates such as principal components.
//!
//! Cells (n x d) are clustered softly by the angle between them, under a penalty that keeps each cluster from being
//! made of one batch; then in each cluster a ridge regression finds what each batch adds to the coordinates, and that
//! is taken off each cell in proportion to its assignment. Both are repeated until the objective no longer falls.
//!
//! References: Korsunsky, Millard, Fan et al., Nature Methods 16, 1289 (2019); for harmony2 the behaviour of the
//! package harmony 2 as documented. The start, the order of renewal and the number of rows per block differ from
//! other implementations (none of them agree on those), so results agree in what they mix, not in every digit.

mod clustering;
mod correct;
mod design;
mod kernel;
mod map;
mod options;
mod start;

#[cfg(test)]
mod tests;

pub use design::BatchKey;
pub use map::{MapOptions, Reference, map};
pub use options::{Flavor, HarmonyOptions, Theta};

use clustering::Clustering;
use design::Design;
use kernel::normalize_rows;

use crate::knn::Points;
use crate::options::Options;
use crate::{Ctx, Error, Result};

/// Rounds over whose objectives clustering is judged.
const WINDOW: usize = 3;

/// Corrected coordinates, and what a later mapping of new cells needs of the clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Harmony {
    /// n x d, row-major: the corrected coordinates, in the units given.
    pub corrected: Vec<f32>,
    /// Number of clusters k.
    pub n_clusters: usize,
    /// k x d, row-major: centroids of unit length.
    pub centroids: Vec<f32>,
    /// k long: number of cells in each cluster (sums of assignments).
    pub cluster_sizes: Vec<f64>,
    /// k x d, row-major: sums of the corrected coordinates, weighted by assignment.
    pub cluster_sums: Vec<f64>,
    /// The objective at the start and after the clustering before each correction, times 2000 / n.
    pub objective: Vec<f64>,
    /// Whether the objective stopped falling within the corrections allowed.
    pub converged: bool,
}

/// Corrects `points` (n cells x d coordinates) for the batches in `keys`.
///
/// Returns the corrected coordinates (n x d, f32) and the clusters. With a single batch nothing is corrected.
/// Products are in f32, all sums over cells in f64. Random under `random_state`: the start of k-means (on a sample
/// of 100 cells per cluster), and the order in which cells are renewed; the bits do not depend on the number of
/// threads.
///
/// Cost: three products n x d x k per correction with harmony2 (100,000 cells x 50, 4 batches: under a CPU-second),
/// three per round with harmony1. Memory: 4 n (k + 4 d) bytes.
///
/// # Errors
/// [`Error::Parameter`] for options out of range or a theta that does not fit the keys; [`Error::Data`] for labels
/// that do not fit the cells; [`Error::Interrupted`].
pub fn harmony(points: &Points<'_>, keys: &[BatchKey<'_>], options: &HarmonyOptions, ctx: &Ctx) -> Result<Harmony> {
    options.validate()?;
    let (n, d) = (points.n(), points.d());
    let design = Design::new(n, keys, options.block_proportion, options.random_state)?;
    let k = options.n_clusters.unwrap_or_else(|| (n / 30).clamp(2, 100).min(n));
    if k > n {
        return Err(Error::parameter("n_clusters", format!("at most the number of cells, {n}"), k));
    }
    let theta = thetas(&design, keys.len(), k, options)?;
    let stopping = options.stopping();

    let mut cells = vec![0f32; n * d];
    let mut row = vec![0f64; d];
    for (&cell, out) in design.order.iter().zip(cells.chunks_exact_mut(d)) {
        points.row_into(cell as usize, &mut row);
        out.iter_mut().zip(&row).for_each(|(out, &x)| *out = x as f32);
    }
    let mut unit = cells.clone();
    normalize_rows(&mut unit, d);
    let centroids = {
        let _stage = ctx.stage("harmony: start", 0);
        start::centroids(&unit, d, k, options.random_state, ctx)?
    };
    let flavor = options.flavor;
    let mut clustering = Clustering::new(&design, flavor, d, centroids, options.sigma, theta, options.random_state);
    clustering.soften(&unit, ctx)?;
    clustering.reset(ctx)?;
    let mut objective = vec![clustering.objective()];
    let mut history = objective.clone();
    let stage = ctx.stage("harmony: corrections", options.max_iter_harmony as u64);
    let (mut shift, mut converged) = (None, false);
    for iteration in 0..options.max_iter_harmony {
        if flavor == Flavor::Harmony2 && iteration > 0 {
            clustering.soften(&unit, ctx)?;
            clustering.reset(ctx)?;
        }
        for round in 0..stopping.rounds {
            if flavor == Flavor::Harmony1 {
                let sums = clustering.weighted_sums(&unit, |_| 0, 1, ctx)?;
                clustering.centroids = sums.iter().map(|&x| x as f32).collect();
                normalize_rows(&mut clustering.centroids, d);
                clustering.soften(&unit, ctx)?;
            }
            clustering.round(ctx)?;
            history.push(clustering.objective());
            if round > WINDOW && settled(&history, stopping.tol_clustering) {
                break;
            }
        }
        objective.extend(history.last());
        let found = correct::fit(&design, &mut clustering, &cells, d, options, ctx)?;
        correct::apply(&design, &clustering, &cells, &found, true, &mut unit, ctx)?;
        shift = Some(found);
        stage.advance(1)?;
        let [.., before, after] = objective[..] else { continue };
        if (before - after) / before.abs().max(f64::MIN_POSITIVE) < stopping.tol_harmony {
            converged = true;
            break;
        }
    }
    drop(stage);
    if let Some(shift) = &shift {
        correct::apply(&design, &clustering, &cells, shift, false, &mut unit, ctx)?;
    }
    let cluster_sums = clustering.weighted_sums(&unit, |_| 0, 1, ctx)?;
    let mut corrected = cells;
    for (&cell, row) in design.order.iter().zip(unit.chunks_exact(d)) {
        corrected[cell as usize * d..(cell as usize + 1) * d].copy_from_slice(row);
    }
    Ok(Harmony {
        corrected,
        n_clusters: k,
        centroids: clustering.centroids.clone(),
        cluster_sizes: clustering.totals.clone(),
        cluster_sums,
        objective,
        converged,
    })
}

/// Theta of each level.
fn thetas(design: &Design, n_keys: usize, k: usize, options: &HarmonyOptions) -> Result<Vec<f64>> {
    let per_key = match &options.theta {
        Theta::One(theta) => vec![*theta; n_keys],
        Theta::Each(thetas) if thetas.len() == n_keys => thetas.clone(),
        Theta::Each(thetas) => {
            let expected = format!("one number, or {n_keys}, one per batch key");
            return Err(Error::parameter("theta", expected, format!("{} numbers", thetas.len())));
        }
    };
    let of_level = design.key_of.iter().zip(&design.counts).map(|(&key, &cells)| {
        let small = if options.tau > 0.0 { 1.0 - (-(cells / (k as f64 * options.tau)).powi(2)).exp() } else { 1.0 };
        per_key[key] * small
    });
    Ok(of_level.collect())
}

/// Whether the sums of the last two windows of objectives differ by less than `tolerance`.
fn settled(history: &[f64], tolerance: f64) -> bool {
    let Some(last) = history.len().checked_sub(WINDOW).filter(|&start| start > 0) else { return false };
    let (new, old): (f64, f64) = (history[last..].iter().sum(), history[last - 1..history.len() - 1].iter().sum());
    (old - new).abs() < tolerance * old.abs()
}
