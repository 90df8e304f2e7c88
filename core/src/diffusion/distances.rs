//! Distances between cells along the diffusion.

use crate::{DataFault, Error, Result};

/// From this eigenvalue on a component counts as stationary, to the precision of f32.
const STATIONARY: f64 = 0.9994;

/// Diffusion distances of cells: the squared distance of cells i and j is the sum over components of
/// `(value / (1 - value) (x_i - x_j))^2`, where a stationary component (value at least 0.9994) counts with factor 1.
pub(super) struct Distances<'a> {
    vectors: &'a [f32],
    /// Components of each cell, of which the first are used: one for each factor.
    count: usize,
    factor: Vec<f64>,
}

impl<'a> Distances<'a> {
    /// Of `n` cells, by the first `n_dcs` of the `values.len()` components.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more components than there are; [`Error::Data`] for lengths that disagree or values that
    /// are not finite.
    pub(super) fn new(n: usize, vectors: &'a [f32], values: &[f64], n_dcs: usize) -> Result<Self> {
        let count = values.len();
        if n_dcs > count {
            return Err(Error::parameter(
                "n_dcs",
                format!("at most {count}, the diffusion components there are"),
                n_dcs,
            ));
        }
        if n.checked_mul(count) != Some(vectors.len()) {
            let found = format!("{} values", vectors.len());
            return Err(Error::data(
                DataFault::Shape,
                "diffusion map",
                format!("{n} cells x {count} components"),
                found,
            ));
        }
        if let Some(place) = vectors.iter().position(|x| !x.is_finite()) {
            let found = format!("{} at cell {}", vectors[place], place / count);
            return Err(Error::data(DataFault::NotFinite, "diffusion map", "finite values", found));
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Error::data(DataFault::NotFinite, "eigenvalues of the diffusion map", "finite values", value));
        }
        let factor = values[..n_dcs].iter().map(|&v| if v < STATIONARY { v / (1.0 - v) } else { 1.0 }).collect();
        Ok(Self { vectors, count, factor })
    }

    /// Distance of two cells.
    pub(super) fn between(&self, from: usize, to: usize) -> f64 {
        let row = |cell: usize| &self.vectors[cell * self.count..][..self.factor.len()];
        let squares = row(to).iter().zip(row(from)).zip(&self.factor);
        let squared: f64 = squares.map(|((&x, &o), f)| (f * (f64::from(x) - f64::from(o))).powi(2)).sum();
        squared.sqrt()
    }

    /// Distances of one cell to some.
    pub(super) fn to(&self, from: usize, cells: &[u32]) -> Vec<f64> {
        cells.iter().map(|&cell| self.between(from, cell as usize)).collect()
    }
}
