//! The neighbours that all modalities together favour.

use rayon::prelude::*;

use super::{Local, distance};
use crate::knn::Neighbors;
use crate::{Ctx, Result};

/// The `k` joint neighbours of each cell, itself first, among the candidates of all modalities.
pub(super) fn neighbors(locals: &[Local<'_>], weights: &[f64], n: usize, k: usize, ctx: &Ctx) -> Result<Neighbors> {
    let stage = ctx.stage("wnn: neighbours", n as u64);
    let rows = (0..n)
        .into_par_iter()
        .with_min_len(16)
        .map(|cell| {
            if cell % 16 == 0 {
                stage.advance(16.min(n - cell) as u64)?;
            }
            let mut candidates: Vec<u32> = locals
                .iter()
                .flat_map(|local| {
                    let from = cell * local.candidates_per_cell;
                    local.candidates[from..from + local.candidates_per_cell].iter().copied()
                })
                .collect();
            candidates.sort_unstable();
            candidates.dedup();
            let own = &weights[cell * locals.len()..(cell + 1) * locals.len()];
            let mut found: Vec<(f64, u32)> = candidates
                .into_iter()
                .map(|other| {
                    let affinity: f64 = locals
                        .iter()
                        .zip(own)
                        .map(|(local, weight)| {
                            let apart = distance(local.point(cell), local.point(other as usize));
                            weight * local.affinity(cell, apart)
                        })
                        .sum();
                    ((0.5 * (1.0 - affinity).max(0.0)).sqrt(), other)
                })
                .collect();
            found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            found.truncate(k - 1);
            Ok(found)
        })
        .collect::<Vec<Result<Vec<(f64, u32)>>>>();
    let (mut indices, mut distances) = (Vec::with_capacity(n * k), Vec::with_capacity(n * k));
    for (cell, row) in rows.into_iter().enumerate() {
        indices.push(cell as u32);
        distances.push(0.0);
        for (apart, other) in row? {
            indices.push(other);
            distances.push(apart as f32);
        }
    }
    Ok(Neighbors { n, k, indices, distances, exact: false })
}
