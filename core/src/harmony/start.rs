//! Where the clusters start: k-means on a sample, from a k-means++ start drawn by the seed.

use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use zensaibo_linalg::gemm_f32;

use super::kernel::{nearer, normalize_rows};
use crate::parallel::pieces;
use crate::random::Stream;
use crate::{Ctx, Error, Result};

/// Rows of the sample per cluster.
const PER_CLUSTER: usize = 100;
/// Rounds of k-means at most.
const ROUNDS: usize = 15;
/// Rows handled at once.
const PIECE: usize = 1024;
/// Stream of the draws.
const START: u64 = 2 << 40;

/// `k` centroids of unit length (k x d) of the first rows of `rows` (n x d, in random order, of unit length).
pub(super) fn centroids(rows: &[f32], d: usize, k: usize, seed: u64, ctx: &Ctx) -> Result<Vec<f32>> {
    let n = (rows.len() / d).min(PER_CLUSTER * k).max(k);
    let rows = &rows[..n * d];
    let mut centres = spread(rows, d, k, seed, ctx)?;
    let mut labels = vec![u32::MAX; n];
    for _ in 0..ROUNDS {
        ctx.check()?;
        let (next, distances) = assign(rows, d, &centres, k)?;
        if next == labels {
            break;
        }
        labels = next;
        move_to_means(rows, d, &labels, distances, &mut centres);
    }
    normalize_rows(&mut centres, d);
    Ok(centres)
}

/// k-means++ (Arthur and Vassilvitskii 2007): each next centre is drawn in proportion to the squared distance from
/// those already there.
fn spread(rows: &[f32], d: usize, k: usize, seed: u64, ctx: &Ctx) -> Result<Vec<f32>> {
    let n = rows.len() / d;
    let mut stream = Stream::new(seed, START);
    let mut nearest = vec![f32::INFINITY; n];
    let mut chosen = stream.below(n as u64) as usize;
    let mut centres = Vec::with_capacity(k * d);
    loop {
        let centre = &rows[chosen * d..(chosen + 1) * d];
        centres.extend_from_slice(centre);
        if centres.len() == k * d {
            return Ok(centres);
        }
        ctx.check()?;
        nearest
            .par_chunks_mut(PIECE)
            .zip(rows.par_chunks(PIECE * d))
            .for_each(|(nearest, rows)| nearer(rows, d, centre, nearest));
        let total: f64 = nearest.iter().map(|&square| f64::from(square)).sum();
        let target = stream.uniform() * total;
        let mut sum = 0f64;
        // All rows on centres already: any row will do.
        chosen = stream.below(n as u64) as usize;
        for (row, &square) in nearest.iter().enumerate() {
            sum += f64::from(square);
            if square > 0.0 && sum >= target {
                chosen = row;
                break;
            }
        }
    }
}

/// The nearest centre of each row (the first of equals), and the squared distance to it.
fn assign(rows: &[f32], d: usize, centres: &[f32], k: usize) -> Result<(Vec<u32>, Vec<f32>)> {
    let half: Vec<f32> = centres.chunks_exact(d).map(|c| 0.5 * c.iter().map(|x| x * x).sum::<f32>()).collect();
    let parts: Vec<Vec<(u32, f32)>> = pieces(rows.len() / d, PIECE)
        .into_par_iter()
        .map(|piece| {
            let rows = &rows[piece.start * d..piece.end * d];
            let mut products = vec![0f32; piece.len() * k];
            product(&mut products, rows, centres, piece.len(), k, d)?;
            let best = products.chunks_exact(k).zip(rows.chunks_exact(d)).map(|(products, row)| {
                let mut best = (0u32, f32::NEG_INFINITY);
                for (centre, (&product, &half)) in products.iter().zip(&half).enumerate() {
                    if product - half > best.1 {
                        best = (centre as u32, product - half);
                    }
                }
                (best.0, row.iter().map(|x| x * x).sum::<f32>() - 2.0 * best.1)
            });
            Ok(best.collect())
        })
        .collect::<Result<_>>()?;
    Ok(parts.into_iter().flatten().unzip())
}

/// Moves each centre to the mean of its rows; one without rows goes to the row farthest from its own centre.
fn move_to_means(rows: &[f32], d: usize, labels: &[u32], mut distances: Vec<f32>, centres: &mut [f32]) {
    let mut sums = vec![0f64; centres.len()];
    let mut sizes = vec![0usize; centres.len() / d];
    for (&label, row) in labels.iter().zip(rows.chunks_exact(d)) {
        let label = label as usize;
        sizes[label] += 1;
        sums[label * d..(label + 1) * d].iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    for (label, centre) in centres.chunks_exact_mut(d).enumerate() {
        if sizes[label] > 0 {
            let scale = 1.0 / sizes[label] as f64;
            centre.iter_mut().zip(&sums[label * d..]).for_each(|(x, sum)| *x = (sum * scale) as f32);
            continue;
        }
        let mut farthest = 0;
        for (row, &distance) in distances.iter().enumerate() {
            if distance > distances[farthest] {
                farthest = row;
            }
        }
        centre.copy_from_slice(&rows[farthest * d..(farthest + 1) * d]);
        distances[farthest] = 0.0;
    }
}

/// `out` (m x k) = `a` (m x d) times the transpose of `b` (k x d).
fn product(out: &mut [f32], a: &[f32], b: &[f32], m: usize, k: usize, d: usize) -> Result<()> {
    let shape = |_| Error::Internal("harmony: k-means tile".into());
    let out = ArrayViewMut2::from_shape((m, k), out).map_err(shape)?;
    let a = ArrayView2::from_shape((m, d), a).map_err(shape)?;
    let b = ArrayView2::from_shape((k, d), b).map_err(shape)?;
    Ok(gemm_f32(out, false, a, b.t())?)
}
