//! Pseudotime: distance along the diffusion from a root cell.

use super::distances::Distances;
use super::options::DptOptions;
use crate::graph::{Components, Graph};
use crate::options::Options;
use crate::{Ctx, Error, Result};

/// Diffusion pseudotime of n cells: the distance from cell `root`, scaled so that the furthest cell has 1.
///
/// `vectors` is n x `values.len()`, row by row, and `values` the eigenvalues, as [`diffmap`](super::diffmap) returns
/// them; the first `n_dcs` are used. The squared distance of cells i and j is the sum over components of
/// `(value / (1 - value) (x_i - x_j))^2`, where a stationary component (value at least 0.9994) counts with factor 1.
/// Cells of `graph` that the root is not joined to have infinite pseudotime.
///
/// Nothing is random. O(n x `n_dcs`) time, one f64 per cell of memory.
///
/// # Errors
/// [`Error::Parameter`] for `n_dcs` above the number of components or a root that is no cell; [`Error::Data`] for
/// lengths that disagree or values that are not finite.
///
/// # Reference
/// Haghverdi et al. 2016, Nature Methods 13, 845; Wolf et al. 2019, Genome Biology 20, 59.
pub fn pseudotime(
    graph: &Graph,
    vectors: &[f32],
    values: &[f64],
    root: usize,
    options: &DptOptions,
    ctx: &Ctx,
) -> Result<Vec<f32>> {
    options.validate()?;
    let n = graph.n;
    let distances = Distances::new(n, vectors, values, options.n_dcs)?;
    if root >= n {
        return Err(Error::parameter("root", format!("a cell below {n}"), root));
    }
    ctx.check()?;
    let Components { labels, .. } = graph.components();
    let mut time = vec![f64::INFINITY; n];
    let mut furthest = 0f64;
    for (cell, time) in time.iter_mut().enumerate() {
        if labels[cell] != labels[root] {
            continue;
        }
        *time = distances.between(root, cell);
        furthest = furthest.max(*time);
    }
    let scale = if furthest > 0.0 { furthest } else { 1.0 };
    Ok(time.into_iter().map(|time| (time / scale) as f32).collect())
}
