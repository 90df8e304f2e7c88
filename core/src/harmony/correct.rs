//! The correction: in each cluster a ridge regression of the coordinates on the batches, whose batch terms are taken
//! off each cell in proportion to its assignment.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;
use zensaibo_linalg::{gemm_f32, solve_positive};

use super::clustering::{Clustering, shape};
use super::design::Design;
use super::kernel::normalize_rows;
use super::options::{Flavor, HarmonyOptions};
use crate::{Ctx, Result};

/// What a regression found in one cluster.
struct Fitted {
    /// d: what the cluster's cells have in common.
    intercept: Vec<f64>,
    /// Levels that were kept, with their d terms.
    terms: Vec<(u32, Vec<f64>)>,
}

/// Batch terms to take off: combinations x k x d.
pub(super) struct Shift(pub(super) Vec<f32>);

/// Fits all clusters and, with harmony2, moves their centroids to the intercepts.
pub(super) fn fit(
    design: &Design,
    clustering: &mut Clustering<'_>,
    cells: &[f32],
    d: usize,
    options: &HarmonyOptions,
    ctx: &Ctx,
) -> Result<Shift> {
    let k = clustering.k;
    let combinations = design.combinations.len();
    let counts = clustering.by_combination();
    let sums = clustering.weighted_sums(cells, |combination| combination, combinations, ctx)?;
    let fitted: Vec<Option<Fitted>> = (0..k)
        .into_par_iter()
        .map(|cluster| fit_cluster(design, clustering, &counts, &sums, cluster, d, options))
        .collect::<Result<_>>()?;
    let mut shift = vec![0f32; combinations * k * d];
    for (cluster, fitted) in fitted.iter().enumerate() {
        let Some(fitted) = fitted else { continue };
        for (combination, levels) in design.combinations.iter().enumerate() {
            let start = (combination * k + cluster) * d;
            for (_, term) in fitted.terms.iter().filter(|(level, _)| levels.contains(level)) {
                shift[start..start + d].iter_mut().zip(term).for_each(|(sum, &x)| *sum += x as f32);
            }
        }
        if options.flavor == Flavor::Harmony2 {
            let centroid = &mut clustering.centroids[cluster * d..(cluster + 1) * d];
            centroid.iter_mut().zip(&fitted.intercept).for_each(|(x, &mean)| *x = mean as f32);
        }
    }
    normalize_rows(&mut clustering.centroids, d);
    Ok(Shift(shift))
}

/// The regression of one cluster; none when no key has two batches there.
fn fit_cluster(
    design: &Design,
    clustering: &Clustering<'_>,
    counts: &[f64],
    sums: &[f64],
    cluster: usize,
    d: usize,
    options: &HarmonyOptions,
) -> Result<Option<Fitted>> {
    let k = clustering.k;
    let threshold = match options.flavor {
        Flavor::Harmony1 => None,
        Flavor::Harmony2 => options.batch_prune_threshold,
    };
    // A level counts where enough of it lies in the cluster, a key where at least two of its levels count.
    let present: Vec<bool> = (0..design.n_levels())
        .map(|level| threshold.is_none_or(|least| clustering.share_and_expected(level, cluster).0 > least))
        .collect();
    let n_keys = design.key_of.last().map_or(0, |key| key + 1);
    let mut per_key = vec![0usize; n_keys];
    design.key_of.iter().zip(&present).for_each(|(&key, &present)| per_key[key] += usize::from(present));
    let levels: Vec<usize> =
        (0..design.n_levels()).filter(|&level| present[level] && per_key[design.key_of[level]] > 1).collect();
    if levels.is_empty() {
        return Ok(None);
    }
    let mut place = vec![usize::MAX; design.n_levels()];
    levels.iter().enumerate().for_each(|(index, &level)| place[level] = index);
    let penalty = |level: usize| match options.flavor {
        Flavor::Harmony1 => options.ridge_lambda,
        Flavor::Harmony2 => options.alpha * clustering.share_and_expected(level, cluster).1,
    };

    // Normal equations, from sums by combination.
    let m = levels.len();
    let (mut total, mut total_sum) = (0f64, vec![0f64; d]);
    let (mut own, mut own_sum) = (vec![0f64; m], vec![0f64; m * d]);
    let mut pairs = Array2::<f64>::zeros(if n_keys > 1 { (m, m) } else { (0, 0) });
    for (combination, of_combination) in design.combinations.iter().enumerate() {
        let kept: Vec<usize> = of_combination.iter().map(|&level| place[level as usize]).filter(|&p| p < m).collect();
        if kept.is_empty() {
            continue;
        }
        let cells = counts[combination * k + cluster];
        let start = (combination * k + cluster) * d;
        let sum = &sums[start..start + d];
        let add = |into: &mut [f64]| into.iter_mut().zip(sum).for_each(|(a, b)| *a += b);
        total += cells;
        add(&mut total_sum);
        for &i in &kept {
            own[i] += cells;
            add(&mut own_sum[i * d..(i + 1) * d]);
            if n_keys > 1 {
                kept.iter().for_each(|&j| pairs[(i, j)] += cells);
            }
        }
    }
    if total <= f64::MIN_POSITIVE {
        return Ok(None);
    }
    let (intercept, terms) = if n_keys == 1 {
        let ridge: Vec<f64> = levels.iter().zip(&own).map(|(&level, own)| own + penalty(level)).collect();
        one_key(total, &total_sum, &own, &own_sum, &ridge, d)
    } else {
        let mut matrix = Array2::<f64>::zeros((m + 1, m + 1));
        matrix[(0, 0)] = total;
        for i in 0..m {
            matrix[(i + 1, 0)] = own[i];
            matrix[(0, i + 1)] = own[i];
            for j in 0..m {
                matrix[(i + 1, j + 1)] = pairs[(i, j)];
            }
            matrix[(i + 1, i + 1)] += penalty(levels[i]);
        }
        let mut right = Array2::<f64>::zeros((m + 1, d));
        right.row_mut(0).iter_mut().zip(&total_sum).for_each(|(a, b)| *a = *b);
        right.slice_mut(s![1.., ..]).iter_mut().zip(&own_sum).for_each(|(a, b)| *a = *b);
        let found = solve_positive(matrix.view(), right.view())?;
        (found.row(0).to_vec(), found.slice(s![1.., ..]).iter().copied().collect())
    };
    let terms = levels.iter().zip(terms.chunks_exact(d)).map(|(&level, term)| (level as u32, term.to_vec())).collect();
    Ok(Some(Fitted { intercept, terms }))
}

/// With one key the batches do not overlap, and the equations solve by elimination: intercept and terms (m x d).
pub(super) fn one_key(
    total: f64,
    total_sum: &[f64],
    own: &[f64],
    own_sum: &[f64],
    ridge: &[f64],
    d: usize,
) -> (Vec<f64>, Vec<f64>) {
    let mut left = total;
    let mut intercept = total_sum.to_vec();
    for ((&own, &ridge), sum) in
        own.iter().zip(ridge).zip(own_sum.chunks_exact(d)).filter(|((_, ridge), _)| **ridge > 0.0)
    {
        left -= own * own / ridge;
        intercept.iter_mut().zip(sum).for_each(|(a, b)| *a -= own / ridge * b);
    }
    intercept.iter_mut().for_each(|x| *x /= left);
    let mut terms = vec![0f64; own_sum.len()];
    for (((&own, &ridge), sum), term) in
        own.iter().zip(ridge).zip(own_sum.chunks_exact(d)).zip(terms.chunks_exact_mut(d))
    {
        if ridge > 0.0 {
            term.iter_mut().zip(sum).zip(&intercept).for_each(|((t, s), mean)| *t = (s - own * mean) / ridge);
        }
    }
    (intercept, terms)
}

/// Takes the terms off: `out` (n x d) = `cells` - assignments x terms, of unit length if `unit`.
pub(super) fn apply(
    design: &Design,
    clustering: &Clustering<'_>,
    cells: &[f32],
    shift: &Shift,
    unit: bool,
    out: &mut [f32],
    ctx: &Ctx,
) -> Result<()> {
    let (k, width) = (clustering.k, clustering.width());
    let d = cells.len() / design.order.len().max(1);
    design.cut(out, d).into_par_iter().enumerate().with_max_len(4).try_for_each(|(index, out)| {
        ctx.check()?;
        let tile = &design.tiles[index];
        let m = tile.rows.len();
        let weights = clustering.of_tile(index);
        let weights = ArrayView2::from_shape((m, width), &weights).map_err(shape)?;
        let combination = design.segments[tile.segment].combination;
        let terms = &shift.0[combination * k * d..(combination + 1) * k * d];
        let terms = ArrayView2::from_shape((k, d), terms).map_err(shape)?;
        let taken = ArrayViewMut2::from_shape((m, d), &mut *out).map_err(shape)?;
        gemm_f32(taken, false, weights.slice(s![.., ..k]), terms)?;
        let cells = &cells[tile.rows.start * d..tile.rows.end * d];
        out.iter_mut().zip(cells).for_each(|(out, cell)| *out = cell - *out);
        if unit {
            normalize_rows(out, d);
        }
        Ok(())
    })
}
