//! Gaussian kernel of adaptive width on the neighbours.

use rayon::prelude::*;

use super::join::{PIECE, join};
use crate::graph::Graph;
use crate::knn::Neighbors;
use crate::stats::median;
use crate::{Ctx, Result};

pub(super) fn weights(neighbors: &Neighbors, ctx: &Ctx) -> Result<Graph> {
    let (n, k) = (neighbors.n, neighbors.k);
    // Squared width: the median over the squared distances of the k - 1 others.
    let widths: Vec<f64> = (0..n)
        .into_par_iter()
        .with_min_len(PIECE)
        .map_init(Vec::new, |squares: &mut Vec<f64>, row| {
            squares.clear();
            squares.extend(neighbors.distances[row * k + 1..(row + 1) * k].iter().map(|&x| f64::from(x).powi(2)));
            median(squares)
        })
        .collect();
    let mut weights = vec![0f32; n * k];
    weights.par_chunks_mut(PIECE * k.max(1)).enumerate().try_for_each(|(piece, weights)| {
        ctx.check()?;
        for (offset, weights) in weights.chunks_exact_mut(k).enumerate() {
            let row = piece * PIECE + offset;
            for (place, weight) in weights.iter_mut().enumerate() {
                let target = neighbors.indices[row * k + place] as usize;
                if target != row {
                    *weight = kernel(widths[row], widths[target], f64::from(neighbors.distances[row * k + place]));
                }
            }
        }
        Ok::<(), crate::Error>(())
    })?;
    // Where both directions are listed they agree, but for the rounding of their distances.
    join(neighbors, &weights, f32::max, ctx)
}

/// The weight of an edge of length `distance` between rows of squared widths `a` and `b`.
fn kernel(a: f64, b: f64, distance: f64) -> f32 {
    let sum = a + b;
    if sum == 0.0 {
        // Both rows have copies of themselves as neighbours: the limit of the kernel.
        return if distance == 0.0 { 1.0 } else { 0.0 };
    }
    ((2.0 * a.sqrt() * b.sqrt() / sum).sqrt() * (-(distance * distance) / sum).exp()) as f32
}
