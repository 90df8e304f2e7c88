//! How many of the true neighbours a search found.

use super::distance::Exact;
use super::points::Prepared;
use super::{Metric, Neighbors, Points, exact};
use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// What [`recall`] measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recall {
    /// Mean share of the true neighbours (the row itself not counted) that were found, 0 to 1. A found row that is
    /// as near as the last true one counts, so ties do no harm.
    pub mean: f64,
    /// The lowest share over the sampled rows.
    pub lowest: f64,
    /// Number of rows sampled.
    pub sample: usize,
}

/// Compares the neighbours found with the true ones on `sample` rows drawn by `seed` (all rows, if there are no
/// more than that). Cost: `sample` x n x d operations.
///
/// # Errors
/// [`Error::Parameter`] for a sample of zero; [`Error::Data`] if `found` has another number of rows than
/// `points`, fewer than 2 or more than n neighbours per row, or rows out of range; [`Error::Interrupted`].
pub fn recall(
    points: &Points<'_>,
    found: &Neighbors,
    metric: Metric,
    sample: usize,
    seed: u64,
    ctx: &Ctx,
) -> Result<Recall> {
    let n = points.n();
    if sample == 0 {
        return Err(Error::parameter("sample", "at least 1", sample));
    }
    found.check()?;
    if found.n != n || found.k < 2 || found.k > n {
        let found = format!("{} x {}", found.n, found.k);
        return Err(Error::data(DataFault::Shape, "neighbours", format!("{n} rows of 2 to {n} neighbours"), found));
    }
    let k = found.k;
    let rows = draw(n, sample, seed);
    let exact = Exact::new(*points, metric)?;
    let prepared = Prepared::new(points, &exact, metric, ctx)?;
    let truth = exact::search(&prepared, &exact, &rows, k, ctx)?;
    let (mut sum, mut lowest) = (0.0, 1.0f64);
    let mut unit = vec![0f64; points.d()];
    for (place, &row) in rows.iter().enumerate() {
        let row = row as usize;
        exact.unit_row(row, &mut unit);
        let last = truth.indices[(place + 1) * k - 1] as usize;
        let limit = exact.square(row, &unit, last);
        let mut given: Vec<u32> = found.indices[row * k..(row + 1) * k].to_vec();
        given.sort_unstable();
        given.dedup();
        let hits =
            given.iter().filter(|&&other| other as usize != row && exact.square(row, &unit, other as usize) <= limit);
        let share = hits.count() as f64 / (k - 1) as f64;
        sum += share;
        lowest = lowest.min(share);
    }
    Ok(Recall { mean: sum / rows.len() as f64, lowest, sample: rows.len() })
}

/// `count` different rows of `n`, in order of drawing; all of them, in order, if `count` is not below `n`.
pub(super) fn draw(n: usize, count: usize, seed: u64) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n as u32).collect();
    if count < n {
        let mut stream = Stream::new(seed, 0);
        for place in 0..count {
            let other = place + stream.below((n - place) as u64) as usize;
            rows.swap(place, other);
        }
        rows.truncate(count);
    }
    rows
}
