//! Centres of k-means.

use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, Result};

use super::Rows;

/// Steps at most; the mixture goes on from there.
const STEPS: usize = 25;

pub(super) fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// The nearest of some centres, the first of equally near ones.
pub(super) fn nearest(row: &[f64], centres: &[f64]) -> usize {
    let mut best = (f64::INFINITY, 0);
    for (at, centre) in centres.chunks_exact(row.len()).enumerate() {
        let found = distance(row, centre);
        if found < best.0 {
            best = (found, at);
        }
    }
    best.1
}

/// `k` centres, one after the other.
pub(super) fn k_means(rows: Rows<'_>, k: usize, random: &mut Stream, ctx: &Ctx) -> Result<Vec<f64>> {
    let mut centres = seeds(rows, k, random, ctx)?;
    let width = rows.width;
    let parts = rows.pieces();
    for _ in 0..STEPS {
        let (mut sums, mut counts) = (vec![0.0; k * width], vec![0u64; k]);
        ordered_reduce(
            parts.len(),
            ctx,
            |piece| {
                let (mut sums, mut counts) = (vec![0.0; k * width], vec![0u64; k]);
                for row in rows.of(parts[piece].clone()).chunks_exact(width) {
                    let at = nearest(row, &centres);
                    counts[at] += 1;
                    sums[at * width..][..width].iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
                Ok((sums, counts))
            },
            |_, (some, their)| {
                sums.iter_mut().zip(some).for_each(|(sum, value)| *sum += value);
                counts.iter_mut().zip(their).for_each(|(count, more)| *count += more);
                Ok(())
            },
        )?;
        let mut moved = false;
        for (at, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            for (centre, sum) in centres[at * width..][..width].iter_mut().zip(&sums[at * width..]) {
                let to = sum / count as f64;
                moved |= to != *centre;
                *centre = to;
            }
        }
        if !moved {
            break;
        }
    }
    Ok(centres)
}

/// Rows drawn one by one, each with a probability that grows with the square of its distance to those drawn before.
fn seeds(rows: Rows<'_>, k: usize, random: &mut Stream, ctx: &Ctx) -> Result<Vec<f64>> {
    let n = rows.len();
    let first = random.below(n as u64) as usize;
    let mut centres = rows.of(first..first + 1).to_vec();
    let mut far: Vec<f64> = vec![f64::INFINITY; n];
    for _ in 1..k {
        ctx.check()?;
        let last = centres[centres.len() - rows.width..].to_vec();
        let mut total = 0.0;
        for (far, row) in far.iter_mut().zip(rows.values.chunks_exact(rows.width)) {
            *far = far.min(distance(row, &last));
            total += *far;
        }
        let mut left = random.uniform() * total;
        // Where all rows lie on centres, any will do.
        let mut drawn = random.below(n as u64) as usize;
        if total > 0.0 {
            for (row, far) in far.iter().enumerate().filter(|(_, far)| **far > 0.0) {
                drawn = row;
                left -= far;
                if left < 0.0 {
                    break;
                }
            }
        }
        centres.extend_from_slice(rows.of(drawn..drawn + 1));
    }
    Ok(centres)
}
