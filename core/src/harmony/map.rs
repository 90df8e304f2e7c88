//! New cells brought into the space of a corrected reference, which stays as it is.
//!
//! The reference is known by its clusters alone: centroids, sizes, sums of corrected coordinates. New cells are assigned
//! to them softly, and in each cluster a ridge regression over reference and new cells together finds what each batch of
//! new cells adds to the coordinates.
//!
//! Reference: Kang, Nathan, Weinand et al., Nature Communications 12, 5890 (2021).

use super::clustering::Clustering;
use super::correct::{Shift, apply, one_key};
use super::design::{BatchKey, Design};
use super::kernel::normalize_rows;
use super::options::Flavor;
use crate::knn::Points;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

crate::options! {
    /// Options of [`map`](super::map()).
    pub struct MapOptions("map_to_reference") {
        /// Width of soft clustering, above 0; best that of the reference.
        pub sigma: f64 = 0.1,
        /// Ridge penalty of each batch of new cells, above 0. Larger values correct less.
        pub ridge_lambda: f64 = 1.0,
    }
}

impl MapOptions {
    fn check(&self) -> Result<()> {
        for (name, value) in [("sigma", self.sigma), ("ridge_lambda", self.ridge_lambda)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::parameter(name, "a finite number above 0", value));
            }
        }
        Ok(())
    }
}

/// The clusters of a corrected reference, as [`Harmony`](super::Harmony) has them.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// k x d: centroids.
    pub centroids: &'a [f32],
    /// k: cells in each cluster.
    pub cluster_sizes: &'a [f64],
    /// k x d: sums of corrected coordinates, weighted by assignment.
    pub cluster_sums: &'a [f64],
}

/// Corrected coordinates of new cells (n x d, row-major, f32).
///
/// `points`: n x d, coordinates of the new cells before correction, in the axes of the reference before its own;
/// `batches`: batch of each new cell (none of them a batch of the reference). Free of chance beyond the order in which
/// cells lie in memory, which is fixed; the bits do not depend on the number of threads. Cost: four products n x d x k.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for clusters or labels that do not fit;
/// [`Error::Interrupted`].
pub fn map(
    points: &Points<'_>,
    batches: &BatchKey<'_>,
    reference: &Reference<'_>,
    options: &MapOptions,
    ctx: &Ctx,
) -> Result<Vec<f32>> {
    options.validate()?;
    let (n, d, k) = (points.n(), points.d(), reference.cluster_sizes.len());
    let lengths = (reference.centroids.len(), reference.cluster_sums.len());
    if k == 0 || lengths != (k * d, k * d) {
        let expected = format!("{k} clusters of {d} coordinates, as the new cells");
        let found = format!("{} and {} values", lengths.0, lengths.1);
        return Err(Error::data(DataFault::Shape, "reference centroids, cluster_sums", expected, found));
    }
    let finite = reference.cluster_sizes.iter().chain(reference.cluster_sums).all(|x| x.is_finite());
    if !finite || reference.centroids.iter().any(|x| !x.is_finite()) {
        return Err(Error::data(DataFault::NotFinite, "reference clusters", "finite values", "NaN or infinity"));
    }
    if let Some(cluster) = reference.cluster_sizes.iter().position(|&size| size < 0.0) {
        let found = format!("{} for cluster {cluster}", reference.cluster_sizes[cluster]);
        return Err(Error::data(DataFault::Negative, "reference cluster_sizes", "at least 0", found));
    }
    let design = Design::new(n, std::slice::from_ref(batches), 1.0, 0)?;
    let mut cells = vec![0f32; n * d];
    let mut row = vec![0f64; d];
    for (&cell, out) in design.order.iter().zip(cells.chunks_exact_mut(d)) {
        points.row_into(cell as usize, &mut row);
        out.iter_mut().zip(&row).for_each(|(out, &x)| *out = x as f32);
    }
    let mut out = cells.clone();
    normalize_rows(&mut out, d);
    let mut centroids = reference.centroids.to_vec();
    normalize_rows(&mut centroids, d);
    let levels = design.n_levels();
    let theta = vec![0.0; levels];
    let mut clustering = Clustering::new(&design, Flavor::Harmony2, d, centroids, options.sigma, theta, 0);
    clustering.soften(&out, ctx)?;
    clustering.reset(ctx)?;
    let counts = clustering.by_combination();
    let sums = clustering.weighted_sums(&cells, |combination| combination, levels, ctx)?;
    let mut shift = vec![0f32; levels * k * d];
    for cluster in 0..k {
        let own: Vec<f64> = (0..levels).map(|level| counts[level * k + cluster]).collect();
        let at = |level: usize| (level * k + cluster) * d;
        let own_sums: Vec<f64> = (0..levels).flat_map(|level| &sums[at(level)..at(level) + d]).copied().collect();
        let total = reference.cluster_sizes[cluster] + own.iter().sum::<f64>();
        if total <= f64::MIN_POSITIVE {
            continue;
        }
        let mut total_sum = reference.cluster_sums[cluster * d..(cluster + 1) * d].to_vec();
        own_sums.chunks_exact(d).for_each(|sum| total_sum.iter_mut().zip(sum).for_each(|(a, b)| *a += b));
        let ridge: Vec<f64> = own.iter().map(|own| own + options.ridge_lambda).collect();
        let (_, terms) = one_key(total, &total_sum, &own, &own_sums, &ridge, d);
        for (level, term) in terms.chunks_exact(d).enumerate() {
            shift[at(level)..at(level) + d].iter_mut().zip(term).for_each(|(a, &b)| *a = b as f32);
        }
    }
    apply(&design, &clustering, &cells, &Shift(shift), false, &mut out, ctx)?;
    for (&cell, row) in design.order.iter().zip(out.chunks_exact(d)) {
        cells[cell as usize * d..(cell as usize + 1) * d].copy_from_slice(row);
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::super::{HarmonyOptions, harmony};
    use super::*;
    use crate::matrix::ValueSlice;
    use crate::parallel::with_threads;
    use crate::random::Stream;

    const D: usize = 6;

    /// Cells of three types in `batches` batches, which start at `first` and are each moved by a vector of their own.
    fn draw(n: usize, first: u64, batches: u64) -> (Vec<f32>, Vec<usize>, Vec<u32>) {
        let mut common = Stream::new(1, 0);
        let centres: Vec<f64> = (0..3 * D).map(|_| 8.0 * common.normal()).collect();
        let mut stream = Stream::new(2, first);
        let (mut values, mut types, mut codes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..n {
            let (kind, batch) = (stream.below(3) as usize, stream.below(batches));
            let mut own = Stream::new(3, first + batch);
            for j in 0..D {
                values.push((centres[kind * D + j] + 2.0 * own.normal() + 0.7 * stream.normal()) as f32);
            }
            types.push(kind);
            codes.push(batch as u32);
        }
        (values, types, codes)
    }

    fn means(values: &[f32], types: &[usize]) -> Vec<f64> {
        let (mut sums, mut sizes) = (vec![0f64; 3 * D], [0f64; 3]);
        for (row, &kind) in values.chunks(D).zip(types) {
            sizes[kind] += 1.0;
            row.iter().zip(&mut sums[kind * D..]).for_each(|(&x, sum)| *sum += f64::from(x));
        }
        sums.iter().enumerate().map(|(at, sum)| sum / sizes[at / D]).collect()
    }

    fn far(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn new_batches_come_to_their_types_and_the_reference_stays() {
        let (values, types, codes) = draw(900, 0, 2);
        let points = Points::new(900, D, ValueSlice::F32(&values)).unwrap();
        let key = BatchKey { name: "batch", codes: &codes, n_levels: 2 };
        let made = harmony(&points, &[key], &HarmonyOptions::default(), &Ctx::quiet()).unwrap();
        let reference = Reference {
            centroids: &made.centroids,
            cluster_sizes: &made.cluster_sizes,
            cluster_sums: &made.cluster_sums,
        };
        let (new, new_types, new_codes) = draw(300, 7, 2);
        let points = Points::new(300, D, ValueSlice::F32(&new)).unwrap();
        let key = BatchKey { name: "batch", codes: &new_codes, n_levels: 2 };
        let run = |threads| {
            with_threads(Some(threads), || map(&points, &key, &reference, &MapOptions::default(), &Ctx::quiet()))
                .unwrap()
        };
        let mapped = run(1);
        let goal = means(&made.corrected, &types);
        let (before, after) = (far(&means(&new, &new_types), &goal), far(&means(&mapped, &new_types), &goal));
        assert!(after < 0.35 * before, "{before} {after}");
        assert_eq!(mapped, run(2));
        assert_eq!(mapped, run(8));
        // A penalty beyond all measure corrects nothing.
        let stiff = MapOptions { ridge_lambda: 1e12, ..MapOptions::default() };
        let still = map(&points, &key, &reference, &stiff, &Ctx::quiet()).unwrap();
        assert!(still.iter().zip(&new).all(|(a, b)| (a - b).abs() < 1e-4));
        // Cells of the reference, corrected already, are where they belong.
        let again = Points::new(900, D, ValueSlice::F32(&made.corrected)).unwrap();
        let one = BatchKey { name: "batch", codes: &[0; 900], n_levels: 1 };
        let again = map(&again, &one, &reference, &MapOptions::default(), &Ctx::quiet()).unwrap();
        assert!(far(&means(&again, &types), &goal) < 0.05 * before);
    }

    #[test]
    fn faults_are_named() {
        let (values, _, codes) = draw(20, 0, 2);
        let points = Points::new(20, D, ValueSlice::F32(&values)).unwrap();
        let key = BatchKey { name: "batch", codes: &codes, n_levels: 2 };
        let (centroids, sizes, sums) = (vec![1f32; 2 * D], vec![1f64; 2], vec![1f64; 2 * D]);
        let fault = |centroids: &[f32], cluster_sizes: &[f64], cluster_sums: &[f64], options: MapOptions| {
            let reference = Reference { centroids, cluster_sizes, cluster_sums };
            map(&points, &key, &reference, &options, &Ctx::quiet()).unwrap_err().to_string()
        };
        let usual = MapOptions::default();
        assert!(fault(&centroids[1..], &sizes, &sums, usual.clone()).contains("2 clusters of 6 coordinates"));
        assert!(fault(&centroids, &[f64::NAN, 1.0], &sums, usual.clone()).contains("finite"));
        assert!(fault(&centroids, &[-1.0, 1.0], &sums, usual.clone()).contains("cluster_sizes"));
        assert!(fault(&centroids, &sizes, &sums, MapOptions { sigma: 0.0, ..usual.clone() }).contains("sigma"));
        assert!(fault(&centroids, &sizes, &sums, MapOptions { ridge_lambda: -1.0, ..usual }).contains("ridge_lambda"));
    }
}
