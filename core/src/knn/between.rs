//! The nearest rows of one matrix for each row of another.

use rayon::prelude::*;

use super::best::{Best, Feed};
use super::distance::Exact;
use super::points::Prepared;
use super::settle::{Candidate, settle};
use super::tile::{LANES, Lane, QUERIES, QueryTile, pack, scan};
use super::{Algorithm, KnnOptions, Metric, Points, approximate};
use crate::matrix::ValueSlice;
use crate::{Ctx, DataFault, Error, Result};

/// Queries of one task.
const BLOCK: usize = QUERIES * 32;
/// Panels scanned before the next tile of queries takes its turn.
const CHUNK: usize = 64;
/// Rows of the reference per query up to which its clusters repay what they cost.
const REPAY: usize = 32;

/// The nearest rows of a reference for each of `n` queries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nearest {
    /// Number of queries.
    pub n: usize,
    /// Neighbours per query.
    pub k: usize,
    /// `n x k` row numbers of the reference, row-major, by distance, equal distances by row number.
    pub indices: Vec<u32>,
    /// `n x k` distances in the unit of the metric.
    pub distances: Vec<f32>,
}

/// The `k` nearest rows of `reference` (m x d) for each row of `queries` (n x d).
///
/// Scores are in single precision, the order by distances in double precision. The exact search looks at all rows in
/// double where single precision leaves a doubt (ties, nearly equal distances), and is free of chance. The approximate
/// search is that of [`knn`](super::knn) with its defaults: clusters of the reference, learnt from a sample by a fixed
/// seed. Automatic: approximate from 16,384 rows of the reference on, given enough queries (m / 32) to repay the
/// clusters. The same bits for any number of threads.
///
/// Cost: exact n m d multiply-adds, approximate m^2 d / 256 and up to 3,072 sqrt(m / 384) n d (a tenth of that is
/// usual); 16 d bytes per row of both.
///
/// # Errors
/// [`Error::Parameter`] for a `k` of 0 or beyond the rows of the reference; [`Error::Data`] for different numbers of
/// columns, or a constant row with metric correlation; [`Error::Interrupted`].
pub fn knn_between(
    reference: &Points<'_>,
    queries: &Points<'_>,
    k: usize,
    metric: Metric,
    algorithm: Algorithm,
    ctx: &Ctx,
) -> Result<Nearest> {
    let (m, n, d) = (reference.n(), queries.n(), reference.d());
    if queries.d() != d {
        return Err(Error::data(DataFault::Shape, "queries", format!("{d} columns, as the reference"), queries.d()));
    }
    if k == 0 || k > m {
        let expected = format!("1 to the number of reference rows, {m}");
        return Err(Error::parameter("n_neighbors", expected, k));
    }
    // One matrix of both, so that both are moved and scaled alike.
    let joined = Joined::new(reference, queries);
    let points = joined.points(m + n, d)?;
    let exact = Exact::new(points, metric)?;
    let prepared = Prepared::new(&points, &exact, metric, ctx)?;
    let options = KnnOptions { metric, algorithm, ..KnnOptions::default() };
    let approximate = match algorithm {
        Algorithm::Exact => false,
        Algorithm::Approximate => true,
        Algorithm::Auto => m >= options.exact_below && n >= m / REPAY,
    };
    if approximate {
        let (indices, distances) = approximate::search_between(&prepared, &exact, m, k, &options, ctx)?;
        return Ok(Nearest { n, k, indices, distances });
    }
    let mut panels: Vec<Lane> = Vec::new();
    pack(d, (0..m).map(|row| (prepared.row(row), prepared.half[row])), &mut panels);
    let mut found = Nearest { n, k, indices: vec![0; n * k], distances: vec![0.0; n * k] };
    let stage = ctx.stage("neighbours in the reference", n as u64);
    found.indices.par_chunks_mut(BLOCK * k).zip(found.distances.par_chunks_mut(BLOCK * k)).enumerate().try_for_each(
        |(block, out)| {
            let first = m + block * BLOCK;
            let count = out.0.len() / k;
            search_block(&prepared, &exact, &panels, m, first..first + count, k, out, ctx)?;
            stage.advance(count as u64)
        },
    )?;
    Ok(found)
}

fn search_block(
    prepared: &Prepared,
    exact: &Exact<'_>,
    panels: &[Lane],
    m: usize,
    rows: std::ops::Range<usize>,
    k: usize,
    (indices, distances): (&mut [u32], &mut [f32]),
    ctx: &Ctx,
) -> Result<()> {
    let d = prepared.d;
    let keep = k + (k / 4).max(6);
    let mut best = Best::new(rows.len(), keep);
    let mut tiles: Vec<QueryTile> = (0..rows.len().div_ceil(QUERIES)).map(|_| QueryTile::new(d)).collect();
    for (offset, row) in rows.clone().enumerate() {
        tiles[offset / QUERIES].set(offset % QUERIES, prepared.row(row), f32::NEG_INFINITY);
    }
    for (chunk, lanes) in panels.chunks(CHUNK * (d + 1)).enumerate() {
        ctx.check()?;
        for (number, tile) in tiles.iter_mut().enumerate() {
            let queries = std::array::from_fn(|place| (number * QUERIES + place) as u32);
            scan(lanes, tile, &mut Feed { best: &mut best, queries, first: (chunk * CHUNK * LANES) as u32 });
        }
    }
    let mut unit = vec![0f64; d];
    let mut found: Vec<Candidate> = Vec::new();
    for (offset, row) in rows.enumerate() {
        let worst = f64::from(best.tighten(offset));
        let candidates = best.entries(offset);
        let complete = candidates.len() >= m;
        exact.unit_row(row, &mut unit);
        settle(exact, row, &unit, candidates.iter().map(|entry| entry.row as usize), &mut found);
        // No row that was dropped can be nearer than this.
        let limit = prepared.base(row) - 2.0 * (worst + prepared.score_error(row));
        let sure =
            complete || found.get(k - 1).is_some_and(|last| last.square * prepared.scale * prepared.scale < limit);
        if !sure {
            ctx.check()?;
            settle(exact, row, &unit, 0..m, &mut found);
        }
        let span = offset * k..(offset + 1) * k;
        for ((index, distance), candidate) in indices[span.clone()].iter_mut().zip(&mut distances[span]).zip(&found) {
            *index = candidate.row;
            *distance = exact.finish(candidate.square) as f32;
        }
    }
    Ok(())
}

/// Rows of both matrices, in f32 if both are.
enum Joined {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Joined {
    fn new(reference: &Points<'_>, queries: &Points<'_>) -> Self {
        if let (ValueSlice::F32(a), ValueSlice::F32(b)) = (reference.values(), queries.values()) {
            return Self::Single([a, b].concat());
        }
        let d = reference.d();
        let mut values = vec![0f64; (reference.n() + queries.n()) * d];
        let (first, second) = values.split_at_mut(reference.n() * d);
        first.chunks_exact_mut(d).enumerate().for_each(|(row, out)| reference.row_into(row, out));
        second.chunks_exact_mut(d).enumerate().for_each(|(row, out)| queries.row_into(row, out));
        Self::Double(values)
    }

    fn points(&self, n: usize, d: usize) -> Result<Points<'_>> {
        match self {
            Self::Single(values) => Points::new(n, d, ValueSlice::F32(values)),
            Self::Double(values) => Points::new(n, d, ValueSlice::F64(values)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::with_threads;
    use crate::random::Stream;

    fn draw(n: usize, d: usize, seed: u64, grid: bool) -> Vec<f32> {
        let mut stream = Stream::new(seed, 0);
        let value = |stream: &mut Stream| if grid { stream.below(3) as f32 } else { stream.normal() as f32 };
        (0..n * d).map(|_| value(&mut stream)).collect()
    }

    /// Every distance by its formula, sorted.
    fn slowly(reference: &[f32], queries: &[f32], d: usize, k: usize) -> Vec<u32> {
        let mut indices = Vec::new();
        for query in queries.chunks(d) {
            let mut all: Vec<(f64, u32)> = reference
                .chunks(d)
                .enumerate()
                .map(|(row, x)| (x.iter().zip(query).map(|(a, b)| f64::from(a - b).powi(2)).sum(), row as u32))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            indices.extend(all[..k].iter().map(|&(_, row)| row));
        }
        indices
    }

    #[test]
    fn agrees_with_every_distance_over_a_grid() {
        for (m, n, d, k, grid) in [
            (1, 1, 1, 1, false),
            (30, 7, 2, 30, false),
            (400, 500, 9, 5, false),
            (300, 60, 3, 11, true),
            (40, 9, 1, 3, true),
        ] {
            let (reference, queries) = (draw(m, d, 1, grid), draw(n, d, 2, grid));
            let a = Points::new(m, d, ValueSlice::F32(&reference)).unwrap();
            let b = Points::new(n, d, ValueSlice::F32(&queries)).unwrap();
            let run = |threads| {
                with_threads(Some(threads), || {
                    knn_between(&a, &b, k, Metric::Euclidean, Algorithm::Exact, &Ctx::quiet())
                })
                .unwrap()
            };
            let found = run(1);
            assert_eq!(found.indices, slowly(&reference, &queries, d, k), "{m} {n} {d} {k}");
            assert_eq!(found, run(2));
            assert_eq!(found, run(8));
            let wide: Vec<f64> = queries.iter().map(|&x| f64::from(x)).collect();
            let wide = Points::new(n, d, ValueSlice::F64(&wide)).unwrap();
            let auto = knn_between(&a, &wide, k, Metric::Euclidean, Algorithm::Auto, &Ctx::quiet()).unwrap();
            assert_eq!(auto, found);
        }
    }

    #[test]
    fn a_row_of_the_reference_finds_itself() {
        let values = draw(200, 6, 3, false);
        let points = Points::new(200, 6, ValueSlice::F32(&values)).unwrap();
        for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
            for algorithm in [Algorithm::Exact, Algorithm::Approximate] {
                let found = knn_between(&points, &points, 4, metric, algorithm, &Ctx::quiet()).unwrap();
                assert!((0..200).all(|row| found.indices[row * 4] == row as u32 && found.distances[row * 4] == 0.0));
                assert!(found.distances.chunks(4).all(|row| row.is_sorted()));
            }
        }
    }

    #[test]
    fn the_approximate_search_finds_nearly_all() {
        // Clouds of queries in the clouds of the reference, and queries far off, as from another batch.
        let (m, n, d, k) = (18_000, 4000, 20, 5);
        let clouds = |n: usize, seed: u64, shift: f32| {
            let mut stream = Stream::new(seed, 0);
            let mut values = Vec::with_capacity(n * d);
            for row in 0..n {
                let cloud = Stream::new(77, row as u64 % 12).normal() as f32;
                values.extend((0..d).map(|at| shift + cloud * (at % 5) as f32 + stream.normal() as f32));
            }
            values
        };
        let reference = clouds(m, 1, 0.0);
        for shift in [0.0, 4.0] {
            let queries = clouds(n, 2, shift);
            let a = Points::new(m, d, ValueSlice::F32(&reference)).unwrap();
            let b = Points::new(n, d, ValueSlice::F32(&queries)).unwrap();
            for metric in [Metric::Euclidean, Metric::Cosine] {
                let run = |algorithm, threads| {
                    with_threads(Some(threads), || knn_between(&a, &b, k, metric, algorithm, &Ctx::quiet())).unwrap()
                };
                let (exact, found) = (run(Algorithm::Exact, 2), run(Algorithm::Approximate, 1));
                let hits = exact.indices.chunks(k).zip(found.indices.chunks(k));
                let hits: usize =
                    hits.map(|(truth, row)| row.iter().filter(|other| truth.contains(other)).count()).sum();
                let recall = hits as f64 / (n * k) as f64;
                assert!(recall > 0.97, "{metric:?}, shift {shift}: {recall}");
                assert_eq!(run(Algorithm::Auto, 2), found);
                assert_eq!(run(Algorithm::Approximate, 8), found);
            }
            // A handful of queries does not repay the clusters.
            let few = Points::new(50, d, ValueSlice::F32(&queries[..50 * d])).unwrap();
            let run = |algorithm| knn_between(&a, &few, k, Metric::Euclidean, algorithm, &Ctx::quiet()).unwrap();
            assert_eq!(run(Algorithm::Auto), run(Algorithm::Exact));
        }
    }

    #[test]
    fn faults_are_named() {
        let values = draw(10, 2, 4, false);
        let (a, b) = (
            Points::new(10, 2, ValueSlice::F32(&values)).unwrap(),
            Points::new(5, 4, ValueSlice::F32(&values)).unwrap(),
        );
        let fault = |reference, queries, k| {
            knn_between(reference, queries, k, Metric::Euclidean, Algorithm::Auto, &Ctx::quiet())
                .unwrap_err()
                .to_string()
        };
        assert!(fault(&a, &b, 1).contains("2 columns"));
        assert!(fault(&a, &a, 0).contains("n_neighbors") && fault(&a, &a, 11).contains("reference rows, 10"));
    }
}
