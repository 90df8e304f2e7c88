//! How well a layout keeps the neighbourhoods of the data.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// Rows looked at between two checks for cancellation are one each: a row costs n x dimensions.
struct Pair<'a> {
    high: &'a [f32],
    low: &'a [f32],
    n: usize,
    high_dim: usize,
    low_dim: usize,
    k: usize,
    rows: Vec<usize>,
}

impl<'a> Pair<'a> {
    fn new(high: &'a [f32], low: &'a [f32], n: usize, k: usize, sample: Option<usize>, seed: u64) -> Result<Self> {
        for (name, values) in [("X", high), ("embedding", low)] {
            if n == 0 || values.is_empty() {
                return Err(Error::data(DataFault::Empty, name, "at least one row and one column", "none"));
            }
            if values.len() % n != 0 {
                let found = format!("{} values", values.len());
                return Err(Error::data(DataFault::Shape, name, format!("a multiple of {n} rows"), found));
            }
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                let found = format!("{} in row {}", values[place], place / (values.len() / n));
                return Err(Error::data(DataFault::NotFinite, name, "finite values", found));
            }
        }
        if k == 0 || 2 * k >= n {
            return Err(Error::parameter(
                "n_neighbors",
                format!("a whole number from 1 to below {n} / 2 (half the rows)"),
                k,
            ));
        }
        if sample == Some(0) {
            return Err(Error::parameter("sample", "at least 1 row, or none for all", 0));
        }
        let mut rows: Vec<usize> = (0..n).collect();
        if let Some(size) = sample.filter(|&size| size < n) {
            Stream::new(seed, 0).shuffle(&mut rows);
            rows.truncate(size);
            rows.sort_unstable();
        }
        Ok(Self { high, low, n, high_dim: high.len() / n, low_dim: low.len() / n, k, rows })
    }

    /// Sum over the sampled rows of what `score` makes of (row, distances in X, the k nearest in the layout).
    fn total(&self, ctx: &Ctx, score: impl Fn(&[f32], &[u32]) -> f64 + Sync) -> Result<f64> {
        let stage = ctx.stage("layout quality", self.rows.len() as u64);
        let scores: Vec<f64> = self
            .rows
            .par_iter()
            .with_max_len(4)
            .map_init(
                || (vec![0f32; self.n], vec![0f32; self.n]),
                |(high, low), &row| {
                    squared_distances(self.high, self.high_dim, row, high);
                    squared_distances(self.low, self.low_dim, row, low);
                    // Nearer than anything, so that the row itself is always the first and can be left out.
                    (high[row], low[row]) = (-1.0, -1.0);
                    let nearest = nearest(low, self.k + 1);
                    stage.advance(1)?;
                    Ok(score(high, &nearest[1..]))
                },
            )
            .collect::<Result<_>>()?;
        Ok(scores.iter().sum())
    }
}

/// Trustworthiness of a layout: 1 when no point has neighbours in the layout that are far in the data, about 0.5 for
/// a random layout.
///
/// `x` (n x p) and `embedding` (n x d) row by row; Euclidean distances. Exact over `sample` random rows (against
/// all n), or over all rows: 1 - 2 / (m k (2n - 3k - 1)) x sum of (rank in X - k) over layout neighbours that are not
/// among the k nearest in X. Equal distances rank by row number. Random: only which rows are sampled, from
/// `seed`; the same bits for any number of threads. Time: sample x n x (p + d); memory: 8n bytes per thread.
///
/// # Errors
/// [`Error::Data`] for shapes that disagree, nothing, or values that are not finite; [`Error::Parameter`] for
/// `k` of 0 or at least n / 2, or a sample of 0.
///
/// # Reference
/// Venna, Kaski 2001, "Neighborhood preservation in nonlinear projection methods".
pub fn trustworthiness(
    x: &[f32],
    embedding: &[f32],
    n: usize,
    k: usize,
    sample: Option<usize>,
    seed: u64,
    ctx: &Ctx,
) -> Result<f64> {
    let pair = Pair::new(x, embedding, n, k, sample, seed)?;
    let penalty = pair.total(ctx, |high, near| {
        near.iter()
            .map(|&other| {
                // Rank 0 is the row itself.
                let rank = rank_of(high, other);
                rank.saturating_sub(k) as f64
            })
            .sum()
    })?;
    let (n, k, m) = (n as f64, k as f64, pair.rows.len() as f64);
    Ok(1.0 - 2.0 * penalty / (m * k * (2.0 * n - 3.0 * k - 1.0)))
}

/// Mean share of each point's k nearest neighbours in the data that are among its k nearest in the layout: 0 to 1.
///
/// Arguments, sampling, cost and errors as [`trustworthiness`].
///
/// # Errors
/// As [`trustworthiness`].
pub fn neighbor_preservation(
    x: &[f32],
    embedding: &[f32],
    n: usize,
    k: usize,
    sample: Option<usize>,
    seed: u64,
    ctx: &Ctx,
) -> Result<f64> {
    let pair = Pair::new(x, embedding, n, k, sample, seed)?;
    let kept = pair.total(ctx, |high, near| {
        let truth = nearest(high, k + 1);
        near.iter().filter(|other| truth.contains(other)).count() as f64
    })?;
    Ok(kept / (k * pair.rows.len()) as f64)
}

/// How many entries come before `other` by (value, index).
fn rank_of(distances: &[f32], other: u32) -> usize {
    let mine = distances[other as usize];
    let (before, after) = distances.split_at(other as usize);
    let nearer = |values: &[f32]| values.iter().map(|&value| usize::from(value < mine)).sum::<usize>();
    nearer(before) + nearer(after) + before.iter().map(|&value| usize::from(value == mine)).sum::<usize>()
}

/// Indices of the `k` smallest values, ascending by (value, index).
fn nearest(distances: &[f32], k: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..distances.len() as u32).collect();
    let by = |&i: &u32, &j: &u32| distances[i as usize].total_cmp(&distances[j as usize]).then(i.cmp(&j));
    if k < order.len() {
        order.select_nth_unstable_by(k - 1, by);
        order.truncate(k);
    }
    order.sort_unstable_by(by);
    order
}

/// Squared Euclidean distances of one row to all rows.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn squared_distances(points: &[f32], dim: usize, row: usize, out: &mut [f32]) {
    let own = &points[row * dim..(row + 1) * dim];
    for (other, out) in points.chunks_exact(dim).zip(out) {
        // Sixteen partial sums, so that the compiler may use vector registers.
        let mut sums = [0f32; 16];
        let (head, tail) = (own.chunks_exact(16), own.chunks_exact(16).remainder());
        for (a, b) in head.zip(other.chunks_exact(16)) {
            for l in 0..16 {
                sums[l] += (a[l] - b[l]) * (a[l] - b[l]);
            }
        }
        let rest = &other[dim - tail.len()..];
        let rest: f32 = tail.iter().zip(rest).map(|(a, b)| (a - b) * (a - b)).sum();
        *out = sums.iter().sum::<f32>() + rest;
    }
}
