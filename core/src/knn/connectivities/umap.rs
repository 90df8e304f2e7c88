//! Fuzzy simplicial set of UMAP (McInnes, Healy and Melville, arXiv:1802.03426, algorithms 2 and 3), with the constants
//! and the number types of umap-learn 0.5, so that weights agree with it to single precision.

use rayon::prelude::*;

use super::ConnectivitiesOptions;
use super::join::{PIECE, join};
use crate::graph::Graph;
use crate::knn::Neighbors;
use crate::{Ctx, Result};

/// Bisection steps at most.
const STEPS: usize = 64;
/// How near the sum of a row's weights must come to log2(k).
const TOLERANCE: f64 = 1e-5;
/// Least sigma, as a share of the mean distance (of the row; of everything where a row has only zeros).
const LEAST_SIGMA: f64 = 1e-3;

pub(super) fn weights(neighbors: &Neighbors, options: &ConnectivitiesOptions, ctx: &Ctx) -> Result<Graph> {
    let (n, k) = (neighbors.n, neighbors.k);
    let rows: Vec<f64> = neighbors
        .distances
        .par_chunks(PIECE * k.max(1))
        .map(|distances| distances.iter().map(|&x| f64::from(x)).sum::<f64>())
        .collect();
    let mean = rows.iter().sum::<f64>() / (n * k).max(1) as f64;
    let mut weights = vec![0f32; n * k];
    weights.par_chunks_mut(PIECE * k.max(1)).enumerate().try_for_each(|(piece, weights)| {
        ctx.check()?;
        for (offset, weights) in weights.chunks_exact_mut(k).enumerate() {
            let row = piece * PIECE + offset;
            let span = row * k..(row + 1) * k;
            let distances = &neighbors.distances[span.clone()];
            let (sigma, rho) = smooth(distances, options.local_connectivity, mean);
            for ((weight, &distance), &target) in weights.iter_mut().zip(distances).zip(&neighbors.indices[span]) {
                *weight = if target as usize == row {
                    0.0
                } else if distance - rho <= 0.0 || sigma == 0.0 {
                    1.0
                } else {
                    (-((distance - rho) / sigma)).exp()
                };
            }
        }
        Ok::<(), crate::Error>(())
    })?;
    let mix = options.set_op_mix_ratio as f32;
    join(neighbors, &weights, |a, b| mix * (a + b - a * b) + (1.0 - mix) * (a * b), ctx)
}

/// Weights of one row of ascending distances to other rows, with none of them surely connected; `mean` is the mean of all
/// distances.
pub(crate) fn row_weights(distances: &[f32], mean: f64) -> Vec<f32> {
    let (sigma, rho) = smooth(distances, 0.0, mean);
    let weight = |&distance: &f32| {
        if distance <= rho || sigma == 0.0 { 1.0 } else { (-((distance - rho) / sigma)).exp() }
    };
    distances.iter().map(weight).collect()
}

/// Width (sigma) and distance to the nearest (rho) of one row of distances, ascending.
fn smooth(distances: &[f32], local_connectivity: f64, mean: f64) -> (f32, f32) {
    let target = (distances.len() as f64).log2();
    let positive = |index: usize| distances.iter().copied().filter(|&x| x > 0.0).nth(index);
    let count = distances.iter().filter(|&&x| x > 0.0).count();
    let mut rho = 0f32;
    if count as f64 >= local_connectivity && count > 0 {
        let index = local_connectivity.floor() as usize;
        let fraction = local_connectivity - index as f64;
        let next = positive(index).unwrap_or(0.0);
        if index > 0 {
            rho = positive(index - 1).unwrap_or(0.0);
            if fraction > TOLERANCE {
                rho += (fraction * f64::from(next - rho)) as f32;
            }
        } else {
            rho = (fraction * f64::from(next)) as f32;
        }
    } else if count > 0 {
        rho = distances.iter().copied().fold(0.0, f32::max);
    }
    let (mut low, mut high, mut sigma) = (0f64, f64::INFINITY, 1f64);
    for _ in 0..STEPS {
        let sum: f64 = distances[1..]
            .iter()
            .map(|&distance| {
                let beyond = distance - rho;
                if beyond > 0.0 { (-(f64::from(beyond) / sigma)).exp() } else { 1.0 }
            })
            .sum();
        if (sum - target).abs() < TOLERANCE {
            break;
        }
        if sum > target {
            high = sigma;
            sigma = (low + high) / 2.0;
        } else {
            low = sigma;
            sigma = if high.is_infinite() { sigma * 2.0 } else { (low + high) / 2.0 };
        }
    }
    let own_mean = distances.iter().map(|&x| f64::from(x)).sum::<f64>() / distances.len() as f64;
    let least = LEAST_SIGMA * if rho > 0.0 { own_mean } else { mean };
    // Compared after rounding, as the reference does.
    let sigma = sigma as f32;
    (if f64::from(sigma) < least { least as f32 } else { sigma }, rho)
}
