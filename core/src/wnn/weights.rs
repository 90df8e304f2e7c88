//! How much each modality tells about each cell.

use rayon::prelude::*;

use super::Local;
use crate::{Ctx, Result};

/// Added below the line of a ratio.
const EPSILON: f64 = 1e-4;

/// Cells x modalities; rows sum to 1.
pub(super) fn weights(locals: &[Local<'_>], n: usize, ctx: &Ctx) -> Result<Vec<f64>> {
    let stage = ctx.stage("wnn: weights", n as u64);
    let rows = (0..n)
        .into_par_iter()
        .with_min_len(64)
        .map(|cell| {
            if cell % 64 == 0 {
                stage.advance(64.min(n - cell) as u64)?;
            }
            let ratios: Vec<f64> = (0..locals.len())
                .map(|own| {
                    let theta = |other: usize| predicted(&locals[own], locals[other].neighbors_of(cell), cell);
                    let across = (0..locals.len()).filter(|&other| other != own).map(theta).fold(0.0, f64::max);
                    theta(own) / (across + EPSILON)
                })
                .collect();
            let largest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exponentials: Vec<f64> = ratios.iter().map(|ratio| (ratio - largest).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            Ok(exponentials.into_iter().map(|value| value / sum).collect())
        })
        .collect::<Vec<Result<Vec<f64>>>>();
    let mut all = Vec::with_capacity(n * locals.len());
    for row in rows {
        all.extend(row?);
    }
    Ok(all)
}

/// Affinity of a cell to the mean of `neighbors` in the space of `local`.
fn predicted(local: &Local<'_>, neighbors: &[u32], cell: usize) -> f64 {
    let mut mean = vec![0.0f64; local.d];
    for &neighbor in neighbors {
        mean.iter_mut().zip(local.point(neighbor as usize)).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let count = neighbors.len() as f64;
    let squares: f64 = mean.iter().zip(local.point(cell)).map(|(sum, &x)| (f64::from(x) - sum / count).powi(2)).sum();
    local.affinity(cell, squares.sqrt())
}
