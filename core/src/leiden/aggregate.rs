//! Parts become the nodes of the next level.

use std::borrow::Cow;

use rayon::prelude::*;

use super::network::{Network, Weight};
use super::refine::group;
use crate::parallel::pieces;
use crate::{Ctx, Result};

/// Of some rows: number of links, their targets and weights, and the size of each node.
type Rows = (Vec<u64>, Vec<u32>, Vec<f64>, Vec<f64>);

/// The graph whose nodes are the `count` parts and whose weights are the sums of the links between them.
/// Links inside a part are left out: they count for every partition of this graph alike.
pub(super) fn aggregate<W: Weight>(
    network: &Network<'_, W>,
    part: &[u32],
    count: usize,
    ctx: &Ctx,
) -> Result<Network<'static, f64>> {
    let grouped = group(part, count);
    let rows: Vec<Rows> = pieces(count, 1024)
        .into_par_iter()
        .map_init(
            || vec![0f64; count],
            |links, piece| {
                ctx.check()?;
                let (mut degree, mut indices, mut weights, mut size) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
                for node in piece {
                    let first = indices.len();
                    let mut total = 0.0;
                    for &member in &grouped.members[grouped.start[node]..grouped.start[node + 1]] {
                        total += network.size[member as usize];
                        let (neighbours, row) = network.row(member as usize);
                        for (&neighbour, &weight) in neighbours.iter().zip(row) {
                            let other = part[neighbour as usize];
                            if other as usize != node {
                                let link = &mut links[other as usize];
                                if *link == 0.0 {
                                    indices.push(other);
                                }
                                *link += weight.into();
                            }
                        }
                    }
                    for &other in &indices[first..] {
                        weights.push(links[other as usize]);
                        links[other as usize] = 0.0;
                    }
                    degree.push((indices.len() - first) as u64);
                    size.push(total);
                }
                Ok((degree, indices, weights, size))
            },
        )
        .collect::<Result<_>>()?;
    let edges = rows.iter().map(|piece| piece.1.len()).sum();
    let mut indptr = Vec::with_capacity(count + 1);
    let (mut indices, mut weights) = (Vec::with_capacity(edges), Vec::with_capacity(edges));
    let mut size = Vec::with_capacity(count);
    indptr.push(0u64);
    let mut end = 0u64;
    for (degree, piece_indices, piece_weights, piece_size) in rows {
        for d in degree {
            end += d;
            indptr.push(end);
        }
        indices.extend_from_slice(&piece_indices);
        weights.extend_from_slice(&piece_weights);
        size.extend_from_slice(&piece_size);
    }
    Ok(Network { indptr: Cow::Owned(indptr), indices: Cow::Owned(indices), weights: Cow::Owned(weights), size })
}
