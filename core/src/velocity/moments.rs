//! Means over neighbours.

use rayon::prelude::*;

use crate::data::Csr;
use crate::graph::Graph;
use crate::{Ctx, DataFault, Error, Result};

/// Cells per parallel piece.
const PIECE: usize = 64;

/// Mean of each gene over each cell and its neighbours: n x g, row by row.
///
/// `graph` says who is a neighbour: every edge of positive weight counts alike, and each cell counts itself once.
/// `counts` is n x g. Nothing is random; sums in f64 would cost memory, so they run in f32, in the order of neighbours:
/// the same bits for any number of threads. O(edges x stored values per cell) time; the result takes 4 n g bytes.
///
/// # Errors
/// [`Error::Data`] for a number of cells that disagrees or values that are not finite; [`Error::Interrupted`].
///
/// # Reference
/// Bergen et al. 2020, Nature Biotechnology 38, 1408.
pub fn moments(graph: &Graph, counts: &Csr, ctx: &Ctx) -> Result<Vec<f32>> {
    let (n, genes) = (counts.n_rows, counts.n_cols);
    if graph.n != n {
        return Err(Error::data(DataFault::Shape, "counts", format!("{} cells, as in the graph", graph.n), n));
    }
    if let Some(place) = counts.values.iter().position(|value| !value.is_finite()) {
        let cell = counts.indptr.partition_point(|&start| start <= place as u64) - 1;
        let found = format!("{} at cell {cell}, gene {}", counts.values[place], counts.indices[place]);
        return Err(Error::data(DataFault::NotFinite, "counts", "finite values", found));
    }
    let stage = ctx.stage("moments", n as u64);
    let mut means = vec![0f32; n * genes];
    if genes == 0 {
        return Ok(means);
    }
    means.par_chunks_mut(PIECE * genes).enumerate().try_for_each(|(piece, rows)| {
        let first = piece * PIECE;
        for (offset, row) in rows.chunks_exact_mut(genes).enumerate() {
            ctx.check()?;
            let cell = first + offset;
            let share = 1.0 / members(graph, cell).count() as f32;
            for other in members(graph, cell) {
                let (columns, values) = counts.row(other);
                for (&column, &value) in columns.iter().zip(values) {
                    row[column as usize] += share * value;
                }
            }
        }
        stage.advance((rows.len() / genes) as u64)
    })?;
    Ok(means)
}

/// A cell and its neighbours, rising, each once.
pub(super) fn members(graph: &Graph, cell: usize) -> impl Iterator<Item = usize> + '_ {
    let (targets, weights) = graph.row(cell);
    let joined = move |range: std::ops::Range<usize>| {
        let pairs = targets[range.clone()].iter().zip(&weights[range]);
        pairs
            .filter(move |&(&target, &weight)| weight > 0.0 && target as usize != cell)
            .map(|(&target, _)| target as usize)
    };
    let split = targets.partition_point(|&target| (target as usize) < cell);
    joined(0..split).chain(std::iter::once(cell)).chain(joined(split..targets.len()))
}
