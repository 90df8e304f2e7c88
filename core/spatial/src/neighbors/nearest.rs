//! The nearest cells of each cell.

use rayon::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::SpatialKnnOptions;
use crate::Places;

/// Cells searched between two looks at whether to stop.
const PIECE: usize = 1024;

/// n x k neighbours, nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// Neighbours of each cell.
    pub k: usize,
    /// Cells, row by row; among equally far ones those of lower number come first.
    pub indices: Vec<u32>,
    /// Euclidean distances in the unit of the positions.
    pub distances: Vec<f64>,
}

/// The `n_neighs` nearest other cells of each cell, exact. Cells at one place are neighbours at distance 0; of equally far
/// cells those of lower number are taken.
///
/// Cost: n log n for the tree, then about n k log n; memory 12 k + 60 bytes per cell. Threads change the time alone.
///
/// # Errors
/// [`Error::Parameter`] for options out of range, [`Error::Data`] (`TooFew`) without `n_neighs` other cells,
/// [`Error::Interrupted`].
pub fn nearest(places: &Places, options: &SpatialKnnOptions, ctx: &Ctx) -> Result<Nearest> {
    options.validate()?;
    let (n, k) = (places.len(), options.n_neighs);
    if n <= k {
        let expected = format!("more than `n_neighs` = {k} cells");
        return Err(Error::data(DataFault::TooFew, "positions of cells", expected, n));
    }
    let stage = ctx.stage("nearest cells", n as u64);
    let tree = places.tree();
    // Cells that lie together are searched together; where their rows belong is put right below.
    let found: Vec<Vec<(f64, u32)>> = tree
        .order
        .par_chunks(PIECE)
        .map(|cells| {
            stage.advance(cells.len() as u64)?;
            let mut rows = Vec::with_capacity(cells.len() * k);
            let mut best = Vec::with_capacity(k + 1);
            for &cell in cells {
                tree.nearest(&places.points()[cell as usize], k, f64::INFINITY, Some(cell), &mut best);
                rows.extend_from_slice(&best);
            }
            Ok(rows)
        })
        .collect::<Result<_>>()?;
    let (mut indices, mut distances) = (vec![0; n * k], vec![0.0; n * k]);
    for (cells, rows) in tree.order.chunks(PIECE).zip(&found) {
        for (&cell, row) in cells.iter().zip(rows.chunks_exact(k)) {
            for (slot, &(squared, other)) in row.iter().enumerate() {
                indices[cell as usize * k + slot] = other;
                distances[cell as usize * k + slot] = squared.sqrt();
            }
        }
    }
    Ok(Nearest { k, indices, distances })
}
