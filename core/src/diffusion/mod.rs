//! Diffusion maps and diffusion pseudotime on a graph of cells.
//!
//! From a symmetric graph `W` of n cells: the kernel `K = D^-1 W D^-1` that no longer knows how densely cells were
//! sampled, its random walk made symmetric, `T = Z^-1/2 K Z^-1/2` ([`transitions`]), and the eigenvectors of `T` with
//! the largest eigenvalues ([`diffmap`], by restarted Lanczos iteration, [`lanczos`]). Distances along the walk, summed
//! over its length, from one root cell are its pseudotime ([`pseudotime`]); where distances from several tips cease to
//! run together the cells branch ([`branchings`]).
//!
//! References: Coifman and Lafon 2006, Diffusion maps, Appl. Comput. Harmon. Anal. 21, 5; Haghverdi, Büttner, Wolf,
//! Büttner, Theis 2016, Diffusion pseudotime robustly reconstructs lineage branching, Nature Methods 13, 845; Wolf et
//! al. 2019, PAGA, Genome Biology 20, 59 (graphs of several parts).

mod branching;
mod concordance;
mod distances;
mod lanczos;
mod options;
mod pseudotime;
mod transitions;

#[cfg(test)]
mod tests;

pub use branching::{Branchings, branchings};
pub use options::{BranchingOptions, DiffmapOptions, DptOptions};
pub use pseudotime::pseudotime;

use lanczos::{Eigenpairs, largest};
use transitions::Transitions;

use crate::graph::Graph;
use crate::options::Options;
use crate::{Ctx, Result};

/// A diffusion map.
#[derive(Clone, Debug, PartialEq)]
pub struct Diffmap {
    /// n x `n_comps`, row by row: unit eigenvectors of the symmetric transition matrix, largest |entry| positive. The
    /// first is the steady state.
    pub vectors: Vec<f32>,
    /// Eigenvalues, falling, the first 1.
    pub values: Vec<f64>,
    /// Number of columns: the number asked for, or n - 1 if that is less.
    pub n_comps: usize,
    /// Largest |T x - value x| among the vectors.
    pub residual: f64,
    /// Products of the matrix with a vector that were needed.
    pub products: usize,
}

/// Diffusion map of a graph of n cells: eigenvectors of the density-normalised random walk.
///
/// The graph is meant to be symmetric; one that is not counts as the mean of itself and its transpose. Every cell needs
/// an edge of positive weight. The eigenvalues largest in magnitude are found, in f64, to a residual of 1e-10; a graph
/// of c parts has the eigenvalue 1 c times, once for each part.
///
/// Random start from `seed`, which changes rounding only; the same bits for any number of threads. Lanczos iteration
/// with partial reorthogonalisation: some hundred products of the matrix with a vector are usual, more where
/// eigenvalues lie close. Memory: 8 (2 `n_comps` + 30) bytes per cell.
///
/// # Errors
/// [`crate::Error::Parameter`] for options out of range; [`crate::Error::Data`] for fewer than 2 cells or a cell without
/// an edge; [`crate::Error::NotConverged`]; [`crate::Error::Interrupted`].
///
/// # Reference
/// Coifman and Lafon 2006; Haghverdi, Büttner, Theis 2015, Bioinformatics 31, 2989.
pub fn diffmap(graph: &Graph, options: &DiffmapOptions, ctx: &Ctx) -> Result<Diffmap> {
    options.validate()?;
    let both_ways;
    let graph = if graph.is_symmetric() {
        graph
    } else {
        both_ways = graph.symmetrised()?;
        &both_ways
    };
    let transitions = Transitions::new(graph)?;
    let count = options.n_comps.min(graph.n - 1).max(1);
    let stage = ctx.stage("diffusion map", 0);
    let Eigenpairs { mut vectors, values, residual, products } =
        largest(&transitions, transitions.steady_states(count), count, options.seed, &stage, ctx)?;
    drop(stage);
    lanczos::fix_signs(&mut vectors, count);
    Ok(Diffmap { vectors: vectors.iter().map(|&x| x as f32).collect(), values, n_comps: count, residual, products })
}
