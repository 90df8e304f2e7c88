//! Weighted nearest neighbours: one graph from two or more modalities of the same cells.
//!
//! For each cell and modality it is asked how well the cell is predicted by its neighbours of that modality, and by
//! those of the others; the better its own neighbours predict it, the more the modality weighs in that cell. The
//! neighbours in the joint graph maximise the weighted sum of the affinities.
//!
//! Reference: Hao et al., Integrated analysis of multimodal single-cell data, Cell 184 (2021).

mod bandwidth;
mod joint;
mod options;
#[cfg(test)]
mod tests;
mod weights;

pub use options::WnnOptions;

use crate::knn::{KnnOptions, Neighbors, Points, knn};
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// What [`wnn`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Wnn {
    /// The joint neighbours, the cell itself first; distances are sqrt((1 - affinity) / 2).
    pub neighbors: Neighbors,
    /// Cells x modalities, row-major: the weight of each modality in each cell; rows sum to 1.
    pub weights: Vec<f64>,
}

/// A modality: its points (f32, n x d, row-major).
pub struct Modality<'a> {
    /// Coordinates, n x d.
    pub values: &'a [f32],
    /// Number of columns.
    pub d: usize,
}

/// What is known of each cell in one modality.
struct Local<'a> {
    values: &'a [f32],
    d: usize,
    /// Nearest neighbours, the cell itself not among them, `k` per cell.
    neighbors: Vec<u32>,
    k: usize,
    /// Distance of the nearest one.
    nearest: Vec<f64>,
    /// Width of the kernel.
    width: Vec<f64>,
    /// Candidates for the joint graph, `candidates_per_cell` per cell, without the cell itself.
    candidates: Vec<u32>,
    candidates_per_cell: usize,
}

impl Local<'_> {
    fn point(&self, cell: usize) -> &[f32] {
        &self.values[cell * self.d..(cell + 1) * self.d]
    }

    fn neighbors_of(&self, cell: usize) -> &[u32] {
        &self.neighbors[cell * self.k..(cell + 1) * self.k]
    }

    /// e^-(max(distance - nearest, 0) / (width - nearest)).
    fn affinity(&self, cell: usize, distance: f64) -> f64 {
        let beyond = (distance - self.nearest[cell]).max(0.0);
        let width = self.width[cell] - self.nearest[cell];
        if beyond == 0.0 {
            1.0
        } else if width > 0.0 {
            (-beyond / width).exp()
        } else {
            0.0
        }
    }
}

/// Straight-line distance.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

/// The joint neighbours of `modalities`, each the coordinates of the same n cells (principal components, say).
///
/// Weights follow the paper: theta = e^-(max(|x - prediction| - nearest, 0) / (width - nearest)), their ratio own over
/// the best other + 1e-4, softmax over modalities; the width of a cell is its mean distance to the `n_bandwidth_neighbors`
/// cells that share fewest (but some) neighbours with it, the farthest first among equals. Candidates are the
/// `n_multineighbors` nearest of each modality.
///
/// The search of neighbours is exact below the limit of [`KnnOptions`], else approximate under `seed`. Cells are
/// independent tasks: threads change no bit. Memory about 4 n modalities (`n_multineighbors` + k) bytes.
///
/// # Errors
/// [`Error::Parameter`]; [`Error::Data`] for fewer than two modalities, lengths that disagree, fewer than three cells,
/// NaN or infinity; [`Error::Interrupted`].
pub fn wnn(modalities: &[Modality<'_>], options: &WnnOptions, ctx: &Ctx) -> Result<Wnn> {
    options.validate()?;
    if modalities.len() < 2 {
        return Err(Error::data(DataFault::TooFew, "modalities", "at least two", modalities.len()));
    }
    let n = modalities[0].values.len() / modalities[0].d.max(1);
    if n < 3 {
        return Err(Error::data(DataFault::TooFew, "modalities", "at least 3 cells", n));
    }
    let mut locals = Vec::with_capacity(modalities.len());
    for (at, modality) in modalities.iter().enumerate() {
        if modality.d == 0 || modality.values.len() != n * modality.d {
            let found = format!("{} values of {} columns", modality.values.len(), modality.d);
            return Err(Error::data(DataFault::Shape, format!("modality {at}"), format!("{n} cells"), found));
        }
        locals.push(local(modality, n, options, ctx)?);
    }
    let weights = weights::weights(&locals, n, ctx)?;
    let neighbors = joint::neighbors(&locals, &weights, n, options.n_neighbors.min(n), ctx)?;
    Ok(Wnn { neighbors, weights })
}

/// Neighbours, candidates and kernel widths of one modality.
fn local<'a>(modality: &Modality<'a>, n: usize, options: &WnnOptions, ctx: &Ctx) -> Result<Local<'a>> {
    let points = Points::new(n, modality.d, crate::matrix::ValueSlice::F32(modality.values))?;
    // One search serves both lists: the nearest are the first of the candidates.
    let wanted = (options.n_multineighbors + 1).max(options.n_neighbors).min(n);
    let search = KnnOptions { n_neighbors: wanted.max(2), seed: options.seed, ..KnnOptions::default() };
    let found = knn(&points, &search, ctx)?;
    let others = |most: usize| -> (Vec<u32>, usize) {
        let mut all = Vec::with_capacity(n * most);
        for (cell, row) in found.indices.chunks_exact(found.k).enumerate() {
            // The cell itself stands first.
            debug_assert_eq!(row[0] as usize, cell);
            all.extend_from_slice(&row[1..=most]);
        }
        (all, most)
    };
    let (neighbors, k) = others((options.n_neighbors - 1).min(n - 1));
    let (candidates, candidates_per_cell) = others(options.n_multineighbors.min(n - 1));
    let mut local = Local {
        values: modality.values,
        d: modality.d,
        neighbors,
        k,
        nearest: Vec::new(),
        width: Vec::new(),
        candidates,
        candidates_per_cell,
    };
    local.nearest =
        (0..n).map(|cell| distance(local.point(cell), local.point(local.neighbors_of(cell)[0] as usize))).collect();
    local.width = bandwidth::widths(&local, n, options.n_bandwidth_neighbors, ctx)?;
    Ok(local)
}
