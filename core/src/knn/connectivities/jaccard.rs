//! Shared neighbours (PhenoGraph).

use rayon::prelude::*;

use super::join::{PIECE, join};
use crate::graph::Graph;
use crate::knn::Neighbors;
use crate::{Ctx, Result};

pub(super) fn weights(neighbors: &Neighbors, ctx: &Ctx) -> Result<Graph> {
    let (n, k) = (neighbors.n, neighbors.k);
    // Each row's other rows, sorted; a row that does not list itself keeps all k.
    let mut lists: Vec<u32> = neighbors.indices.clone();
    lists.par_chunks_mut(k.max(1)).enumerate().with_min_len(PIECE).for_each(|(row, list)| {
        // The row itself goes last, so that the others are a sorted prefix.
        list.sort_unstable_by_key(|&other| (other as usize == row, other));
    });
    let others = |row: usize| {
        let list = &lists[row * k..(row + 1) * k];
        let own = list.last().is_some_and(|&last| last as usize == row);
        &list[..k - usize::from(own)]
    };
    let mut weights = vec![0f32; n * k];
    weights.par_chunks_mut(PIECE * k.max(1)).enumerate().try_for_each(|(piece, weights)| {
        ctx.check()?;
        for (offset, weights) in weights.chunks_exact_mut(k).enumerate() {
            let row = piece * PIECE + offset;
            let here = others(row);
            for (place, weight) in weights.iter_mut().enumerate() {
                let target = neighbors.indices[row * k + place] as usize;
                if target != row {
                    let there = others(target);
                    let shared = intersection(here, there);
                    *weight = shared as f32 / (here.len() + there.len() - shared) as f32;
                }
            }
        }
        Ok::<(), crate::Error>(())
    })?;
    join(neighbors, &weights, |a, b| 0.5 * (a + b), ctx)
}

/// Number of equal entries of two sorted lists.
fn intersection(a: &[u32], b: &[u32]) -> usize {
    let (mut i, mut j, mut shared) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        shared += usize::from(a[i] == b[j]);
        let (left, right) = (a[i], b[j]);
        i += usize::from(left <= right);
        j += usize::from(right <= left);
    }
    shared
}
