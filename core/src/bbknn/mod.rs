//! Batch-balanced neighbours: each cell's nearest cells within every batch, so that batches join in the graph.
//!
//! Cells (n x d) of B batches get k neighbours from each batch; weights follow as for any neighbours
//! ([`crate::knn::connectivities`]), and [`trim`] cuts the weakest edges, which join batches where they share no type.
//!
//! Reference: Polanski, Young, Miao et al., Bioinformatics 36, 964 (2020).

mod options;

#[cfg(test)]
mod tests;

pub use options::BbknnOptions;

use rayon::prelude::*;

use crate::graph::Graph;
use crate::knn::{Algorithm, Neighbors, Points, knn_between};
use crate::matrix::ValueSlice;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Cells, and cells of a batch, from which the automatic search is approximate.
const MANY: usize = 16_384;
const MANY_OF_BATCH: usize = 4096;

/// The nearest `neighbors_within_batch` cells in each batch, of every cell.
///
/// `points`: n x d; `batches`: n, below `n_batches` (batches without cells are left out). Returns n x (batches x k)
/// neighbours, the cell itself first, the others by distance, found by [`knn_between`]. The same bits for any number of
/// threads.
///
/// Cost: exact n^2 d multiply-adds; approximate some 3,072 sqrt(size of a batch / 384) n d for each batch, and usually a
/// tenth of that.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for labels that do not fit, or a batch with fewer cells
/// than neighbours are wanted; [`Error::Interrupted`].
pub fn balanced_neighbors(
    points: &Points<'_>,
    batches: &[u32],
    n_batches: usize,
    options: &BbknnOptions,
    ctx: &Ctx,
) -> Result<Neighbors> {
    options.validate()?;
    let (n, d, k) = (points.n(), points.d(), options.neighbors_within_batch);
    if batches.len() != n {
        return Err(Error::data(DataFault::Shape, "batches", format!("{n} labels, one per cell"), batches.len()));
    }
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); n_batches];
    for (cell, &batch) in batches.iter().enumerate() {
        let Some(cells) = members.get_mut(batch as usize) else {
            let found = format!("{batch} for cell {cell}");
            return Err(Error::data(DataFault::Invalid, "batches", format!("labels below {n_batches}"), found));
        };
        cells.push(cell as u32);
    }
    if let Some((batch, cells)) = members.iter().enumerate().find(|(_, cells)| !cells.is_empty() && cells.len() < k) {
        let expected = format!("at least {k} cells in each batch (neighbors_within_batch)");
        return Err(Error::data(DataFault::TooFew, "batches", expected, format!("{} in batch {batch}", cells.len())));
    }
    members.retain(|cells| !cells.is_empty());
    let total = k * members.len();
    if total < 2 {
        let expected = "at least 2 with a single batch (the cell itself counts)";
        return Err(Error::parameter("neighbors_within_batch", expected, k));
    }
    let mut found: Vec<Vec<(f32, u32)>> = vec![Vec::with_capacity(total); n];
    let (mut row, mut exact) = (vec![0f64; d], true);
    for cells in &members {
        ctx.check()?;
        let algorithm = match options.algorithm {
            Algorithm::Auto if n >= MANY && cells.len() >= MANY_OF_BATCH => Algorithm::Approximate,
            Algorithm::Auto => Algorithm::Exact,
            chosen => chosen,
        };
        let nearest = match points.values() {
            ValueSlice::F32(values) => {
                let rows: Vec<f32> = cells
                    .iter()
                    .flat_map(|&cell| &values[cell as usize * d..(cell as usize + 1) * d])
                    .copied()
                    .collect();
                let pool = Points::new(cells.len(), d, ValueSlice::F32(&rows))?;
                knn_between(&pool, points, k, options.metric, algorithm, ctx)?
            }
            _ => {
                let mut rows = Vec::with_capacity(cells.len() * d);
                for &cell in cells {
                    points.row_into(cell as usize, &mut row);
                    rows.extend_from_slice(&row);
                }
                let pool = Points::new(cells.len(), d, ValueSlice::F64(&rows))?;
                knn_between(&pool, points, k, options.metric, algorithm, ctx)?
            }
        };
        exact &= algorithm == Algorithm::Exact;
        for (cell, row) in found.iter_mut().enumerate() {
            let span = cell * k..(cell + 1) * k;
            row.extend(
                nearest.distances[span.clone()]
                    .iter()
                    .zip(&nearest.indices[span])
                    .map(|(&x, &i)| (x, cells[i as usize])),
            );
        }
    }
    found.par_iter_mut().enumerate().for_each(|(cell, row)| {
        let own = cell as u32;
        // Among many copies of a cell, the cell itself may not have come up.
        if !row.iter().any(|&(_, other)| other == own) {
            let copy = row.iter().position(|&(x, other)| x == 0.0 && batches[other as usize] == batches[cell]);
            row[copy.unwrap_or(0)] = (0.0, own);
        }
        row.sort_unstable_by(|a, b| (a.1 != own).cmp(&(b.1 != own)).then(a.0.total_cmp(&b.0)).then(a.1.cmp(&b.1)));
    });
    let indices = found.iter().flatten().map(|&(_, cell)| cell).collect();
    let distances = found.iter().flatten().map(|&(distance, _)| distance).collect();
    Ok(Neighbors { n, k: total, indices, distances, exact })
}

/// Keeps an edge where its weight is among the `most` largest of both its ends (equal weights count as one rank, so a
/// vertex may keep more). A vertex with at most `most` edges cuts none.
///
/// `graph` must be symmetric, and stays so. Cost: O(edges). Free of chance and of threads.
///
/// # Errors
/// [`Error::Parameter`] for a `most` of 0; [`Error::Interrupted`].
pub fn trim(graph: &Graph, most: usize, ctx: &Ctx) -> Result<Graph> {
    if most == 0 {
        return Err(Error::parameter("trim", "at least 1", 0));
    }
    let least: Vec<f32> = (0..graph.n)
        .into_par_iter()
        .with_min_len(1024)
        .map(|vertex| {
            let mut weights = graph.row(vertex).1.to_vec();
            if weights.len() <= most {
                return 0.0;
            }
            *weights.select_nth_unstable_by(most - 1, |a, b| b.total_cmp(a)).1
        })
        .collect();
    ctx.check()?;
    let (mut indptr, mut indices, mut weights) = (vec![0u64], Vec::new(), Vec::new());
    for vertex in 0..graph.n {
        let (others, values) = graph.row(vertex);
        for (&other, &weight) in others.iter().zip(values) {
            if weight >= least[vertex].max(least[other as usize]) {
                indices.push(other);
                weights.push(weight);
            }
        }
        indptr.push(indices.len() as u64);
    }
    Graph::new(graph.n, indptr, indices, weights)
}
