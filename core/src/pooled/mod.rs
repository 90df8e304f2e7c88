//! Size factors by pooling cells and deconvolving.
//!
//! The median of ratios to an average cell is a robust size factor, but in a single cell most counts are 0 and so is
//! the median. Sums over pools of cells have few zeros: with counts divided by library sizes t_i, the median ratio of a
//! pool to the average cell estimates the sum of theta_i / t_i over its cells. Pools of several sizes, sliding along a
//! ring on which neighbours have similar library sizes, give more equations than cells; their least-squares solution
//! are the factors theta_i (Lun, Bach, Marioni: Pooling across cells to normalize single-cell RNA sequencing data with
//! many zero counts, Genome Biology 2016).
//!
//! Clusters of cells are handled apart, since the median ratio supposes that most genes do not differ, and are then
//! brought to one scale by the median ratio of their average cells to that of a reference cluster.
//!
//! On a ring the equations are circulant, so the system is solved exactly by Fourier transforms ([`ring`]).

mod fourier;
mod options;
mod ring;
#[cfg(test)]
mod tests;

pub use options::PooledOptions;

use rayon::prelude::*;

use crate::data::Csr;
use crate::matrix::{Lazy, RowBlocks, collect};
use crate::normalize::{NormalizeTotalOptions, size_factors};
use crate::options::Options as _;
use crate::stats::median;
use crate::{Ctx, DataFault, Error, Result};

/// Result of [`pooled_size_factors`].
#[derive(Clone, Debug, PartialEq)]
pub struct PooledSizeFactors {
    /// Size factor of each cell, above 0, mean 1.
    pub factors: Vec<f64>,
    /// Whether the solution of a cell was not positive, so that its library size stands in.
    pub replaced: Vec<bool>,
    /// Number of genes that took part, per cluster.
    pub n_genes: Vec<usize>,
    /// The cluster to whose scale the others were brought.
    pub reference: usize,
}

/// One cluster: its factors on a scale of its own, and its average cell.
struct Cluster {
    /// In the order of the cluster's cells; mean 1.
    factors: Vec<f64>,
    replaced: Vec<bool>,
    n_genes: usize,
    /// Average cell: mean of counts over library sizes, times the mean library size.
    profile: Vec<f64>,
}

/// Size factors of raw counts by pooling and deconvolution.
///
/// `clusters` numbers the cells' clusters from 0 without gaps (none: one cluster). Nothing is random; the same bits for
/// any number of threads and for sparse as for dense counts. Time: per cell the stored values of as many cells as the
/// largest pool has, and one median over the genes per pool size. Memory: one cluster's counts, 8 bytes per stored value.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for an empty matrix, negative, NaN or infinite values,
/// a cell without counts, a cluster with fewer cells than the smallest pool, or one in which too few genes reach
/// `min_mean`; whatever the source returns; [`Error::Interrupted`].
pub fn pooled_size_factors(
    source: &dyn RowBlocks,
    clusters: Option<&[u32]>,
    options: &PooledOptions,
    ctx: &Ctx,
) -> Result<PooledSizeFactors> {
    options.validate()?;
    let (n, g) = (source.n_rows(), source.n_cols());
    if n == 0 || g == 0 {
        let found = format!("{n} cells, {g} genes");
        return Err(Error::data(DataFault::Empty, "matrix", "at least one cell and one gene", found));
    }
    let members = members(clusters, n, options)?;
    let totals = size_factors(source, &NormalizeTotalOptions::default(), ctx)?.totals;
    if let Some(cell) = totals.iter().position(|&total| !(total > 0.0)) {
        let expected = "a count above 0 in every cell (filter the cells first)";
        return Err(Error::data(DataFault::Invalid, "matrix", expected, format!("none in cell {cell}")));
    }
    let stage = ctx.stage("pooled size factors", n as u64);
    let mut found = Vec::with_capacity(members.len());
    for (number, cells) in members.iter().enumerate() {
        let mut mask = vec![false; n];
        cells.iter().for_each(|&cell| mask[cell] = true);
        let counts = collect(&Lazy::new(source).select_rows(&mask)?, &ctx.silent())?;
        let totals: Vec<f64> = cells.iter().map(|&cell| totals[cell]).collect();
        let cluster = deconvolve(&counts, &totals, number, options, ctx)?;
        stage.advance(cells.len() as u64)?;
        found.push(cluster);
    }
    let (reference, scales) = rescale(&found, options)?;
    let (mut factors, mut replaced) = (vec![0.0; n], vec![false; n]);
    for ((cells, cluster), scale) in members.iter().zip(&found).zip(scales) {
        for ((&cell, factor), &flag) in cells.iter().zip(&cluster.factors).zip(&cluster.replaced) {
            (factors[cell], replaced[cell]) = (factor * scale, flag);
        }
    }
    let mean = factors.iter().sum::<f64>() / n as f64;
    factors.iter_mut().for_each(|factor| *factor /= mean);
    let n_genes = found.iter().map(|cluster| cluster.n_genes).collect();
    Ok(PooledSizeFactors { factors, replaced, n_genes, reference })
}

/// Cells of each cluster, rising.
fn members(clusters: Option<&[u32]>, n: usize, options: &PooledOptions) -> Result<Vec<Vec<usize>>> {
    let members = match clusters {
        None => vec![(0..n).collect()],
        Some(clusters) => {
            if clusters.len() != n {
                let expected = format!("{n} entries, one per cell");
                return Err(Error::data(DataFault::Shape, "clusters", expected, clusters.len()));
            }
            let count = clusters.iter().max().map_or(0, |&last| last as usize + 1);
            if count > n {
                let expected = "clusters numbered from 0 without gaps";
                return Err(Error::data(DataFault::Invalid, "clusters", expected, format!("number {}", count - 1)));
            }
            let mut members = vec![Vec::new(); count];
            clusters.iter().enumerate().for_each(|(cell, &cluster)| members[cluster as usize].push(cell));
            members
        }
    };
    let least = options.sizes.iter().copied().min().unwrap_or(1);
    match members.iter().position(|cells| cells.len() < least) {
        None => Ok(members),
        Some(cluster) => {
            let expected = format!("at least {least} cells in each, as the smallest of `sizes` says");
            let found = format!("{} in cluster {cluster}", members[cluster].len());
            Err(Error::data(DataFault::TooFew, "clusters", expected, found))
        }
    }
}

/// Factors of one cluster.
fn deconvolve(counts: &Csr, totals: &[f64], number: usize, options: &PooledOptions, ctx: &Ctx) -> Result<Cluster> {
    let (n, g) = (counts.n_rows, counts.n_cols);
    let mut average = vec![0.0f64; g];
    for cell in 0..n {
        let (columns, values) = counts.row(cell);
        columns.iter().zip(values).for_each(|(&j, &x)| average[j as usize] += f64::from(x) / totals[cell]);
    }
    let mean_total = totals.iter().sum::<f64>() / n as f64;
    let profile: Vec<f64> = average.iter().map(|sum| sum / n as f64 * mean_total).collect();
    let used: Vec<usize> = (0..g).filter(|&j| profile[j] > 0.0 && profile[j] >= options.min_mean).collect();
    if used.is_empty() {
        let expected = format!("at least one gene with a mean of {} in cluster {number}", options.min_mean);
        return Err(Error::data(DataFault::TooFew, "matrix", expected, "none"));
    }
    // Place of each gene among those used, and what its sums are multiplied with to become ratios.
    let mut places = vec![u32::MAX; g];
    used.iter().enumerate().for_each(|(place, &j)| places[j] = place as u32);
    let weights: Vec<f64> = used.iter().map(|&j| mean_total / profile[j]).collect();
    let order = ring::order(totals);
    let mut sizes: Vec<usize> = options.sizes.iter().copied().filter(|&size| size <= n).collect();
    sizes.sort_unstable();
    sizes.dedup();
    // Sums of the cells from each place on the ring, read off at every size.
    let ratios: Vec<Vec<f64>> = (0..n)
        .into_par_iter()
        .map_init(
            || (vec![0.0f64; used.len()], Vec::new()),
            |(sums, buffer), start| {
                ctx.check()?;
                sums.fill(0.0);
                let (mut at, mut medians) = (0, Vec::with_capacity(sizes.len()));
                for &size in &sizes {
                    while at < size {
                        let cell = order[(start + at) % n];
                        add(sums, counts.row(cell), &places, 1.0 / totals[cell]);
                        at += 1;
                    }
                    buffer.clear();
                    buffer.extend(sums.iter().zip(&weights).map(|(sum, weight)| sum * weight));
                    medians.push(median(buffer));
                }
                Ok(medians)
            },
        )
        .collect::<Result<_>>()?;
    let solution = ring::solve(&sizes, &ratios);
    let (mut factors, mut replaced) = (vec![0.0; n], vec![false; n]);
    for (&cell, x) in order.iter().zip(solution) {
        // Relative to the library size 1 is what a cell like the average has.
        let good = x > 0.0 && x.is_finite();
        (factors[cell], replaced[cell]) = (if good { x } else { 1.0 } * totals[cell], !good);
    }
    let mean = factors.iter().sum::<f64>() / n as f64;
    factors.iter_mut().for_each(|factor| *factor /= mean);
    Ok(Cluster { factors, replaced, n_genes: used.len(), profile })
}

fn add(sums: &mut [f64], (columns, values): (&[u32], &[f32]), places: &[u32], factor: f64) {
    for (&column, &value) in columns.iter().zip(values) {
        let place = places[column as usize];
        if place != u32::MAX {
            sums[place as usize] += f64::from(value) * factor;
        }
    }
}

/// Reference cluster (that with counts in most genes), and the scale of each cluster against it.
fn rescale(clusters: &[Cluster], options: &PooledOptions) -> Result<(usize, Vec<f64>)> {
    let seen = |cluster: &Cluster| cluster.profile.iter().filter(|&&x| x > 0.0).count();
    let mut reference = 0;
    for number in 1..clusters.len() {
        if seen(&clusters[number]) > seen(&clusters[reference]) {
            reference = number;
        }
    }
    let base = &clusters[reference].profile;
    let base_total: f64 = base.iter().sum();
    let scales = clusters
        .iter()
        .enumerate()
        .map(|(number, cluster)| {
            if number == reference {
                return Ok(1.0);
            }
            let total: f64 = cluster.profile.iter().sum();
            let middle = (total + base_total) / 2.0;
            // Genes whose mean, the two cells at the same total, is high enough.
            let mut ratios: Vec<f64> = cluster
                .profile
                .iter()
                .zip(base)
                .filter(|&(&x, &y)| (x / total + y / base_total) / 2.0 * middle >= options.min_mean && y > 0.0)
                .map(|(x, y)| x / y)
                .collect();
            let scale = median(&mut ratios);
            if scale > 0.0 && scale.is_finite() {
                return Ok(scale);
            }
            let expected = format!("genes that cluster {number} shares with cluster {reference}");
            Err(Error::data(DataFault::TooFew, "clusters", expected, "too few for a median above 0"))
        })
        .collect::<Result<_>>()?;
    Ok((reference, scales))
}
