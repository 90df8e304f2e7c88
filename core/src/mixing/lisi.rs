//! Local inverse Simpson's index.

use rayon::prelude::*;

use super::check_labels;
use crate::knn::Neighbors;
use crate::{Ctx, DataFault, Error, Result};

/// Steps of the search for the width at most.
const STEPS: usize = 50;
/// How near the entropy of the weights must come to the logarithm of the perplexity.
const TOLERANCE: f64 = 1e-5;

/// Effective number of labels around each cell: n values from 1 (neighbours of one label) to `n_labels`.
///
/// `neighbors`: n x k, each row itself first (it does not count), best about 3 `perplexity` of them. Neighbours are
/// weighted by exp(-beta distance), where beta makes the entropy of the weights the logarithm of the perplexity; the
/// index is one over the sum of the squared shares of the labels. A cell whose weights vanish gets NaN.
///
/// Free of chance and of threads. Cost: O(n k) times some 20 steps of the search.
///
/// # Errors
/// [`Error::Parameter`] for a perplexity below 1; [`Error::Data`] for labels that do not fit, or fewer than 2 columns of
/// neighbours; [`Error::Interrupted`].
///
/// Reference: Korsunsky et al., Nature Methods 16, 1289 (2019).
pub fn lisi(neighbors: &Neighbors, labels: &[u32], n_labels: usize, perplexity: f64, ctx: &Ctx) -> Result<Vec<f64>> {
    neighbors.check()?;
    check_labels(labels, neighbors.n, n_labels)?;
    if !(perplexity >= 1.0 && perplexity.is_finite()) {
        return Err(Error::parameter("perplexity", "a finite number of at least 1", perplexity));
    }
    let k = neighbors.k;
    if k < 2 {
        let expected = "at least 2 neighbours per row (the row itself counts)";
        return Err(Error::data(DataFault::TooFew, "neighbours", expected, k));
    }
    let mut index = vec![0f64; neighbors.n];
    index.par_chunks_mut(256).enumerate().try_for_each(|(piece, out)| {
        ctx.check()?;
        let mut shares = vec![0f64; n_labels];
        let mut weights = vec![0f64; k - 1];
        for (offset, out) in out.iter_mut().enumerate() {
            let row = piece * 256 + offset;
            let span = row * k + 1..(row + 1) * k;
            let total = weigh(&neighbors.distances[span.clone()], perplexity.ln(), &mut weights);
            shares.fill(0.0);
            for (&neighbor, weight) in neighbors.indices[span].iter().zip(&weights) {
                shares[labels[neighbor as usize] as usize] += weight / total;
            }
            *out = if total > 0.0 { 1.0 / shares.iter().map(|share| share * share).sum::<f64>() } else { f64::NAN };
        }
        Ok::<(), Error>(())
    })?;
    Ok(index)
}

/// Writes exp(-beta distance) for the beta whose entropy is `target`; returns the sum.
fn weigh(distances: &[f32], target: f64, weights: &mut [f64]) -> f64 {
    let (mut beta, mut low, mut high) = (1f64, f64::NEG_INFINITY, f64::INFINITY);
    let mut total = 0.0;
    for _ in 0..STEPS {
        let mut product = 0f64;
        total = 0.0;
        for (weight, &distance) in weights.iter_mut().zip(distances) {
            let distance = f64::from(distance);
            *weight = (-distance * beta).exp();
            total += *weight;
            product += distance * *weight;
        }
        let entropy = if total > 0.0 { total.ln() + beta * product / total } else { 0.0 };
        if (entropy - target).abs() < TOLERANCE {
            break;
        }
        if entropy > target {
            low = beta;
            beta = if high.is_finite() { (beta + high) / 2.0 } else { beta * 2.0 };
        } else {
            high = beta;
            beta = if low.is_finite() { (beta + low) / 2.0 } else { beta / 2.0 };
        }
    }
    total
}
