//! A directed graph joined with its transpose.

use rayon::prelude::*;

use crate::graph::Graph;
use crate::knn::Neighbors;
use crate::{Ctx, DataFault, Error, Result};

/// Rows of one task.
pub(super) const PIECE: usize = 1024;

/// Joins the directed weights of `neighbors` (n x k, in the order of its indices; 0 is no edge) with their transpose.
///
/// `combine(a, b)` gives the weight of edge (i, j) from the weights of (i, j) and (j, i), 0 where one is absent;
/// it must treat both alike. Edges whose result is 0, and self-loops, are left out.
pub(super) fn join(
    neighbors: &Neighbors,
    weights: &[f32],
    combine: impl Fn(f32, f32) -> f32 + Sync,
    ctx: &Ctx,
) -> Result<Graph> {
    let (n, k) = (neighbors.n, neighbors.k);
    // Edges into each row, by counting sort: sources come in ascending order.
    let mut starts = vec![0u64; n + 1];
    for (row, targets) in neighbors.indices.chunks_exact(k.max(1)).enumerate() {
        for (&target, &weight) in targets.iter().zip(&weights[row * k..]) {
            starts[target as usize + 1] += u64::from(target as usize != row && weight > 0.0);
        }
    }
    for row in 0..n {
        starts[row + 1] += starts[row];
    }
    let mut next = starts.clone();
    let mut incoming = vec![(0u32, 0f32); starts[n] as usize];
    for row in 0..n {
        if row % PIECE == 0 {
            ctx.check()?;
        }
        for place in row * k..(row + 1) * k {
            let (target, weight) = (neighbors.indices[place] as usize, weights[place]);
            if target != row && weight > 0.0 {
                incoming[next[target] as usize] = (row as u32, weight);
                next[target] += 1;
            }
        }
    }
    // Both sorted lists of each row, merged.
    type Piece = (Vec<u64>, Vec<u32>, Vec<f32>);
    let pieces: Vec<Piece> = crate::parallel::pieces(n, PIECE)
        .into_par_iter()
        .map(|rows| {
            ctx.check()?;
            let (mut sizes, mut indices, mut values) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
            let mut outgoing: Vec<(u32, f32)> = Vec::with_capacity(k);
            for row in rows {
                outgoing.clear();
                let span = row * k..(row + 1) * k;
                let edges = neighbors.indices[span.clone()].iter().copied().zip(weights[span].iter().copied());
                outgoing.extend(edges.filter(|&(target, weight)| target as usize != row && weight > 0.0));
                outgoing.sort_unstable_by_key(|&(target, _)| target);
                if let Some(pair) = outgoing.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                    let found = format!("{} twice in row {row}", pair[0].0);
                    return Err(Error::data(DataFault::Invalid, "neighbour indices", "each neighbour once", found));
                }
                let back = &incoming[starts[row] as usize..starts[row + 1] as usize];
                let (mut a, mut b) = (0, 0);
                let before = indices.len();
                while a < outgoing.len() || b < back.len() {
                    let left = outgoing.get(a).map_or(u64::MAX, |edge| u64::from(edge.0));
                    let right = back.get(b).map_or(u64::MAX, |edge| u64::from(edge.0));
                    let weight = combine(
                        if left <= right { outgoing[a].1 } else { 0.0 },
                        if right <= left { back[b].1 } else { 0.0 },
                    );
                    if weight > 0.0 {
                        indices.push(left.min(right) as u32);
                        values.push(weight);
                    }
                    a += usize::from(left <= right);
                    b += usize::from(right <= left);
                }
                sizes.push((indices.len() - before) as u64);
            }
            Ok((sizes, indices, values))
        })
        .collect::<Result<_>>()?;
    drop(incoming);
    let total = pieces.iter().map(|piece| piece.1.len()).sum();
    let mut graph = Graph {
        n,
        indptr: Vec::with_capacity(n + 1),
        indices: Vec::with_capacity(total),
        weights: Vec::with_capacity(total),
    };
    graph.indptr.push(0);
    let mut end = 0;
    for (sizes, indices, values) in pieces {
        for size in sizes {
            end += size;
            graph.indptr.push(end);
        }
        graph.indices.extend(indices);
        graph.weights.extend(values);
    }
    Ok(graph)
}
