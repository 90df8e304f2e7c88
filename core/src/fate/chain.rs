//! The walk that goes forward.

use rayon::prelude::*;

use crate::data::Csr;
use crate::knn::Neighbors;
use crate::{DataFault, Error, Result};

/// Eigenvalues closer to 1 than this belong to the steady state.
const STEADY: f64 = 1e-7;

/// Coordinates of n cells in diffusion space, over all lengths of walks: n x (`n_dcs` - 1), row by row.
///
/// `vectors` (n x `values.len()`, row by row) and `values` are those of a [`Diffmap`](crate::diffusion::Diffmap). Component
/// j of the walk is column j over column 0, weighted by value / (1 - value).
///
/// # Errors
/// [`Error::Parameter`] for `n_dcs` below 2 or above the number of components; [`Error::Data`] for lengths that disagree,
/// values that are not finite, and a graph that is not connected (a steady state that is not positive everywhere).
///
/// # Reference
/// Setty et al. 2019, Nature Biotechnology 37, 451.
pub fn multiscale(vectors: &[f32], values: &[f64], n_dcs: usize) -> Result<Vec<f32>> {
    let count = values.len();
    if n_dcs < 2 || n_dcs > count {
        let expected = format!("from 2 to {count}, the diffusion components there are");
        return Err(Error::parameter("n_dcs", expected, n_dcs));
    }
    if !vectors.len().is_multiple_of(count) {
        let found = format!("{} values", vectors.len());
        return Err(Error::data(DataFault::Shape, "diffusion map", format!("n cells x {count} components"), found));
    }
    if let Some(place) = vectors.iter().position(|x| !x.is_finite()) {
        let found = format!("{} at cell {}", vectors[place], place / count);
        return Err(Error::data(DataFault::NotFinite, "diffusion map", "finite values", found));
    }
    let connected = values[..n_dcs].iter().skip(1).all(|&value| value.is_finite() && value < 1.0 - STEADY);
    if let Some(cell) = vectors.chunks_exact(count).position(|row| row[0] <= 0.0 || !connected) {
        let found = format!("parts that no edge joins (cell {cell} is in a smaller one, or an eigenvalue is 1 twice)");
        return Err(Error::data(DataFault::Invalid, "diffusion map", "a connected graph", found));
    }
    let weights: Vec<f64> = values[1..n_dcs].iter().map(|value| value / (1.0 - value)).collect();
    Ok(vectors
        .chunks_exact(count)
        .flat_map(|row| {
            let steady = f64::from(row[0]);
            row[1..n_dcs].iter().zip(&weights).map(move |(&x, w)| (f64::from(x) / steady * w) as f32)
        })
        .collect())
}

/// Steps of the walk: each row sums to 1, or is empty where nothing lies ahead.
pub(super) fn forward(neighbors: &Neighbors, pseudotime: &[f64]) -> Csr {
    let (n, k) = (neighbors.n, neighbors.k);
    let third = (k / 3).clamp(1, k - 1);
    let scale: Vec<f64> = (0..n).map(|cell| f64::from(neighbors.distances[cell * k + third])).collect();
    // Cells at one place have no scale of their own: the smallest that is one.
    let least = scale.iter().copied().filter(|&s| s > 0.0).fold(f64::INFINITY, f64::min);
    let scale: Vec<f64> = scale.iter().map(|&s| if s > 0.0 { s } else { least.min(1.0) }).collect();
    // How far back is allowed is told in pseudotime: what a step of one scale comes to, by the cell's own neighbours.
    let back: Vec<f64> = (0..n)
        .map(|cell| {
            let near = &neighbors.indices[cell * k + 1..cell * k + 1 + third];
            let steps = near.iter().map(|&other| (pseudotime[other as usize] - pseudotime[cell]).powi(2));
            (steps.sum::<f64>() / third as f64).sqrt()
        })
        .collect();
    let rows: Vec<Vec<(u32, f64)>> = (0..n)
        .into_par_iter()
        .with_min_len(512)
        .map(|cell| {
            let span = cell * k + 1..(cell + 1) * k;
            let pairs = neighbors.indices[span.clone()].iter().zip(&neighbors.distances[span]);
            let mut row: Vec<(u32, f64)> = pairs
                .filter(|&(&other, _)| pseudotime[other as usize] >= pseudotime[cell] - back[cell])
                .map(|(&other, &distance)| {
                    let squared = f64::from(distance).powi(2);
                    let width = scale[cell].powi(-2) + scale[other as usize].powi(-2);
                    (other, (-0.5 * squared * width).exp())
                })
                .filter(|entry| entry.1 > 0.0)
                .collect();
            row.sort_by_key(|entry| entry.0);
            let total: f64 = row.iter().map(|entry| entry.1).sum();
            row.iter_mut().for_each(|entry| entry.1 /= total);
            row
        })
        .collect();
    let mut walk = Csr::empty(n, n);
    for (cell, row) in rows.iter().enumerate() {
        walk.indices.extend(row.iter().map(|entry| entry.0));
        walk.values.extend(row.iter().map(|entry| entry.1 as f32));
        walk.indptr[cell + 1] = walk.values.len() as u64;
    }
    walk
}
