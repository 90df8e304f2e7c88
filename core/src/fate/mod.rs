//! Fate probabilities: where a walk that goes forward in pseudotime ends.
//!
//! Cells lie in the diffusion space, each component weighted by all lengths of walks ([`multiscale`]); each is joined to
//! its nearest there, steps that lead back in pseudotime further than a cell's own scale are taken out ([`chain`]), and
//! the probabilities of ending in each terminal state follow from the absorbing walk ([`solve`]).
//!
//! Reference: Setty, Kiseliovas, Levine, Gayoso, Mazutis, Pe'er 2019, Characterization of cell fate probabilities in
//! single-cell data with Palantir, Nature Biotechnology 37, 451.

mod chain;
mod options;
mod solve;

#[cfg(test)]
mod tests;

pub use chain::multiscale;
pub use options::FateOptions;

use crate::knn::{KnnOptions, Points, knn};
use crate::matrix::ValueSlice;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Where cells may end.
#[derive(Clone, Debug, PartialEq)]
pub struct Fates {
    /// n x fates, row by row: probability of ending in each, given that the walk ends in one of them. A row of zeros:
    /// from that cell no terminal state is reached.
    pub probabilities: Vec<f64>,
    /// Entropy of each cell's probabilities in nats, 0 where none is reached: how undecided it is; n long.
    pub entropy: Vec<f64>,
    /// Cells from which no terminal state is reached.
    pub unreached: usize,
    /// Sweeps over all cells that were needed.
    pub sweeps: usize,
}

/// Probabilities of n cells to end in each of `fates` terminal states.
///
/// `coordinates` is n x d, row by row ([`multiscale`]). `pseudotime` is finite, n long. `terminal` holds the fate of each
/// terminal cell, below `fates`, and -1 for all others; every fate has a cell.
///
/// The walk steps from a cell to one of its `n_neighbors` nearest with weight exp(-d^2 / 2 (1 / s_i^2 + 1 / s_j^2)), s the
/// distance to the neighbour a third of the way out, and not to a cell whose pseudotime is lower by more than those of
/// its nearest third usually differ. Unlike the original it runs over all cells, not over waypoints, and terminal states
/// are handed in, not guessed.
///
/// Random: the sample of an approximate neighbour search, by `seed`; the same bits for any number of threads. O(n
/// n_neighbors fates) time a sweep, and the neighbour search; memory 16 `n_neighbors` + 8 fates bytes per cell.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for lengths that disagree, values that are not finite, a
/// fate without a cell; [`Error::NotConverged`]; [`Error::Interrupted`].
///
/// # Reference
/// Setty et al. 2019, Nature Biotechnology 37, 451.
pub fn fate_probabilities(
    coordinates: &[f32],
    pseudotime: &[f64],
    terminal: &[i32],
    fates: usize,
    options: &FateOptions,
    ctx: &Ctx,
) -> Result<Fates> {
    options.validate()?;
    let n = pseudotime.len();
    check(pseudotime, terminal, fates)?;
    if n == 0 || !coordinates.len().is_multiple_of(n) {
        let found = format!("{} values", coordinates.len());
        return Err(Error::data(DataFault::Shape, "coordinates", format!("as many for each of {n} cells"), found));
    }
    let points = Points::new(n, coordinates.len() / n, ValueSlice::F32(coordinates))?;
    let search = KnnOptions { n_neighbors: options.n_neighbors.min(n), seed: options.seed, ..Default::default() };
    if n < 2 {
        return Err(Error::data(DataFault::TooFew, "cells", "at least 2", n));
    }
    let neighbors = knn(&points, &search, ctx)?;
    let walk = chain::forward(&neighbors, pseudotime);
    drop(neighbors);
    solve::absorbed(&walk, pseudotime, terminal, fates, ctx)
}

fn check(pseudotime: &[f64], terminal: &[i32], fates: usize) -> Result<()> {
    let n = pseudotime.len();
    if terminal.len() != n {
        let expected = format!("{n} entries, one for each cell");
        return Err(Error::data(DataFault::Shape, "terminal states", expected, terminal.len()));
    }
    if let Some(cell) = pseudotime.iter().position(|time| !time.is_finite()) {
        let found = format!("{} at cell {cell}", pseudotime[cell]);
        return Err(Error::data(DataFault::NotFinite, "pseudotime", "finite values", found));
    }
    if let Some(cell) = terminal.iter().position(|&fate| fate < -1 || fate >= fates as i32) {
        let found = format!("{} at cell {cell}", terminal[cell]);
        return Err(Error::data(DataFault::Invalid, "terminal states", format!("fates below {fates}, or -1"), found));
    }
    if fates == 0 {
        return Err(Error::data(DataFault::Empty, "terminal states", "at least one", 0));
    }
    match (0..fates as i32).find(|fate| !terminal.contains(fate)) {
        Some(fate) => {
            let found = format!("none for fate {fate}");
            Err(Error::data(DataFault::TooFew, "terminal states", "a cell for every fate", found))
        }
        None => Ok(()),
    }
}
