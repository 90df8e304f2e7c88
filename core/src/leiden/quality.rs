//! The value of a partition.

use rayon::prelude::*;

use super::engine::check_membership;
use super::network::{Checked, Edges, check};
use super::options::Objective;
use crate::parallel::pieces;
use crate::{Ctx, Error, Result};

/// Modularity of a partition, `sum over i, j in one community of (A_ij - resolution k_i k_j / 2m) / 2m`.
///
/// `membership` holds a label below the number of nodes for each node. Self-loops count once in their row sum.
/// Returns 0 for a graph without edges. Nothing is random and threads change nothing. O(edges) time, 8 bytes per
/// node beside a graph that is sorted and free of zeros and loops.
///
/// # Errors
/// [`Error::Parameter`] for a resolution that is negative or not finite; [`Error::Data`] for a graph that is not
/// symmetric, weights that are negative or not finite, or a membership that does not fit.
///
/// # References
/// Newman and Girvan, Phys. Rev. E 69, 026113 (2004); Reichardt and Bornholdt, Phys. Rev. E 74, 016110 (2006).
pub fn modularity<'a>(
    graph: impl Into<Edges<'a>>,
    membership: &[u32],
    resolution: f64,
    use_weights: bool,
    ctx: &Ctx,
) -> Result<f64> {
    if !(resolution.is_finite() && resolution >= 0.0) {
        return Err(Error::parameter("resolution", "a finite number of at least 0", resolution));
    }
    let graph = check(graph.into(), use_weights, ctx)?;
    check_membership(membership, graph.strength.len(), "membership")?;
    value(&graph, membership, Objective::Modularity, resolution, ctx)
}

/// Value of either objective; labels lie below the number of nodes.
pub(super) fn value(
    graph: &Checked<'_>,
    membership: &[u32],
    objective: Objective,
    resolution: f64,
    ctx: &Ctx,
) -> Result<f64> {
    let n = membership.len();
    let network = &graph.network;
    let partial: Vec<f64> = pieces(n, 16_384)
        .into_par_iter()
        .map(|piece| {
            ctx.check()?;
            let mut sum = 0.0;
            for node in piece {
                let span = network.indptr[node] as usize..network.indptr[node + 1] as usize;
                for (&neighbour, &weight) in network.indices[span.clone()].iter().zip(&network.weights[span]) {
                    if membership[neighbour as usize] == membership[node] {
                        sum += f64::from(weight);
                    }
                }
            }
            Ok(sum)
        })
        .collect::<Result<_>>()?;
    let inside: f64 = partial.iter().sum();
    let mut size = vec![0f64; n];
    Ok(match objective {
        Objective::Modularity => {
            if graph.total == 0.0 {
                return Ok(0.0);
            }
            for (node, &label) in membership.iter().enumerate() {
                size[label as usize] += graph.strength[node];
            }
            let expected: f64 = size.iter().map(|s| s / graph.total * s).sum();
            (inside + graph.loops - resolution * expected) / graph.total
        }
        Objective::Cpm => {
            for &label in membership {
                size[label as usize] += 1.0;
            }
            let pairs: f64 = size.iter().map(|s| s * (s - 1.0)).filter(|&p| p > 0.0).sum();
            0.5 * (inside - resolution * pairs)
        }
    })
}
