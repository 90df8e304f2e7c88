//! Similarities of points from their nearest neighbours.

use rayon::prelude::*;

use crate::data::Csr;
use crate::graph::Graph;
use crate::knn::Neighbors;
use crate::parallel::pieces;
use crate::{Ctx, Result};

/// Halvings of the interval in which a kernel's width is looked for.
const HALVINGS: usize = 100;

/// Symmetric similarities that sum to 1 (n x n). Point i sees its neighbour at distance d with exp(-b d^2), b such that
/// the entropy of what it sees is ln(perplexity); both directions are averaged.
pub(super) fn affinities(neighbors: &Neighbors, perplexity: f64, ctx: &Ctx) -> Result<Graph> {
    let (n, k) = (neighbors.n, neighbors.k);
    // With fewer neighbours than that no kernel is wide enough: then the widest is taken.
    let entropy = perplexity.ln();
    let rows: Vec<Vec<f32>> = pieces(n, 256)
        .into_par_iter()
        .map(|piece| {
            ctx.check()?;
            let mut values = Vec::with_capacity(piece.len() * (k - 1));
            let mut row = vec![0f64; k - 1];
            for point in piece {
                let distances = &neighbors.distances[point * k + 1..(point + 1) * k];
                conditional(distances, entropy, &mut row);
                values.extend(row.iter().map(|&p| p as f32));
            }
            Ok(values)
        })
        .collect::<Result<_>>()?;
    let values = rows.concat();
    let indices: Vec<u32> =
        (0..n).flat_map(|point| neighbors.indices[point * k + 1..(point + 1) * k].iter().copied()).collect();
    let indptr = (0..=n as u64).map(|point| point * (k as u64 - 1)).collect();
    let directed = Graph::from_csr(Csr::new(n, n, indptr, indices, values)?)?;
    let mut similar = directed.symmetrised()?;
    let total = similar.total_weight();
    similar.weights.par_iter_mut().for_each(|weight| *weight = (f64::from(*weight) / total) as f32);
    Ok(similar)
}

/// What one point sees, summing to 1.
fn conditional(distances: &[f32], entropy: f64, row: &mut [f64]) {
    let nearest = distances.iter().map(|&d| f64::from(d) * f64::from(d)).fold(f64::INFINITY, f64::min);
    let (mut low, mut high, mut b) = (0f64, f64::INFINITY, 1f64);
    // A start that fits the scale of the distances.
    let mean = distances.iter().map(|&d| f64::from(d) * f64::from(d) - nearest).sum::<f64>() / distances.len() as f64;
    if mean > 0.0 {
        b = 1.0 / mean;
    }
    for _ in 0..HALVINGS {
        let (mut sum, mut weighted) = (0f64, 0f64);
        for (p, &d) in row.iter_mut().zip(distances) {
            let beyond = f64::from(d) * f64::from(d) - nearest;
            *p = (-b * beyond).exp();
            sum += *p;
            weighted += *p * beyond;
        }
        let found = sum.ln() + b * weighted / sum;
        row.iter_mut().for_each(|p| *p /= sum);
        if (found - entropy).abs() < 1e-7 || !(b.is_normal() && b < 1e300) {
            break;
        }
        if found > entropy {
            low = b;
            b = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * b };
        } else {
            high = b;
            b = 0.5 * (low + high);
        }
    }
}
