//! Tangram's objective: a distribution over places for each cell, such that the tissue that they make together looks as the one seen.
//!
//! With P (n cells x s places, rows sum to 1, zero outside the candidates), S (n x g) and G (s x g) the expression of cells and
//! places, and G' = P^T S, the loss is
//!
//! ```text
//! - lambda_g1 mean over genes of cos(G'[:, k], G[:, k]) - lambda_g2 mean over places of cos(G'[j, :], G[j, :])
//! + lambda_d sum over places of d_j ln(d_j / d'_j) + lambda_r sum over cells and places of - P_ij ln P_ij
//! ```
//!
//! where d is the density given and d'_j = sum_i a_i P_ij, with a_i = 1 / n for cells and the share of the cluster for clusters. P is the
//! softmax of logits, which Adam moves along the gradient.

mod kernels;
mod objective;
#[cfg(test)]
mod tests;

use rayon::prelude::*;
use zensaibo_core::data::Csr;
use zensaibo_core::options::Options;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::candidates::Candidates;
use crate::options::TangramOptions;
use kernels::Step;
pub use objective::Loss;
use objective::{Lambdas, Problem};

/// What [`tangram`] maps.
#[derive(Clone, Copy, Debug)]
pub struct TangramInput<'a> {
    /// Number of genes g.
    pub n_genes: usize,
    /// n x g, row-major: cells, or sums of clusters.
    pub cells: &'a [f32],
    /// s x g, row-major.
    pub places: &'a [f32],
    /// Where each cell may go.
    pub candidates: &'a Candidates,
    /// s long, sums to 1: how the cells should lie.
    pub density: Option<&'a [f64]>,
    /// n long, sums to 1: share of each row of `cells` in all cells; `None` for 1 / n.
    pub masses: Option<&'a [f64]>,
}

/// What [`tangram`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Tangram {
    /// n x s: the candidates' probabilities; rows sum to 1.
    pub weights: Csr,
    /// Terms of the loss before each epoch's step.
    pub history: Vec<Loss>,
    /// Terms at the end.
    pub last: Loss,
    /// g long: cosine of each gene over the places at the end.
    pub cosines: Vec<f64>,
}

/// Maps cells to places by Tangram's objective.
///
/// Cost per epoch: 4 multiply-adds per pair and gene; memory 4 (n + 2 s) g bytes and 32 per pair. The start is standard normal, from a
/// counter-based stream per cell, so that it is another than numpy's of the same seed. Arithmetic is in single precision, sums of
/// norms in double. The same bits for any number of threads.
///
/// Reference: Biancalani et al., Deep learning and alignment of spatially resolved single-cell transcriptomes with Tangram, Nature Methods 18
/// (2021).
///
/// # Errors
/// [`Error::Parameter`], also for `lambda_d` without a density; [`Error::Data`] for sizes that do not fit, negative or not finite values, a
/// gene or a side without any expression, densities and masses that do not sum to 1; [`Error::Interrupted`].
pub fn tangram(input: &TangramInput<'_>, options: &TangramOptions, ctx: &Ctx) -> Result<Tangram> {
    options.validate()?;
    let problem = problem(input, options)?;
    let candidates = input.candidates;
    let mut logits = vec![0f32; candidates.len()];
    let mut rest = &mut logits[..];
    let mut rows = Vec::with_capacity(problem.n);
    for ends in candidates.indptr.windows(2) {
        let row;
        (row, rest) = rest.split_at_mut((ends[1] - ends[0]) as usize);
        rows.push(row);
    }
    rows.into_par_iter().enumerate().for_each(|(cell, row)| {
        let mut stream = Stream::new(options.seed, cell as u64);
        row.iter_mut().for_each(|logit| *logit = stream.normal() as f32);
    });
    let mut state = problem.start(logits);
    let mut history = Vec::with_capacity(options.num_epochs);
    let stage = ctx.stage("tangram", options.num_epochs as u64);
    for epoch in 1..=options.num_epochs {
        let (loss, forward) = problem.forward(&state, ctx)?;
        history.push(loss);
        problem.backward(&forward, &mut state, Some(&Step::new(options.learning_rate, epoch)), ctx)?;
        stage.advance(1)?;
    }
    let (last, forward) = problem.forward(&state, ctx)?;
    let weights = Csr::new(problem.n, problem.s, candidates.indptr.clone(), candidates.indices.clone(), state.shares)?;
    Ok(Tangram { weights, history, last, cosines: forward.cosines })
}

/// Checked, with the weights of the terms settled.
fn problem<'a>(input: &TangramInput<'a>, options: &TangramOptions) -> Result<Problem<'a>> {
    let g = input.n_genes;
    let (n, s) = (input.candidates.n_cells(), input.candidates.n_places);
    if n == 0 || s == 0 || g == 0 {
        let found = format!("{n} cells, {s} places, {g} genes");
        return Err(Error::data(DataFault::Empty, "mapping", "at least one cell, place and gene", found));
    }
    for (name, values, rows) in [("cells", input.cells, n), ("places", input.places, s)] {
        if Some(values.len()) != rows.checked_mul(g) {
            let expected = format!("{rows} x {g} values");
            return Err(Error::data(DataFault::Shape, name, expected, values.len()));
        }
        if let Some(at) = values.par_iter().position_first(|&x| !(x >= 0.0 && x.is_finite())) {
            let fault = if values[at] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
            let found = format!("{} in row {}, gene {}", values[at], at / g, at % g);
            return Err(Error::data(fault, name, "finite numbers of at least 0", found));
        }
        let mut seen = vec![false; g];
        for row in values.chunks_exact(g) {
            seen.iter_mut().zip(row).for_each(|(seen, &x)| *seen |= x > 0.0);
        }
        if let Some(gene) = seen.iter().position(|&seen| !seen) {
            let expected = "every gene to be expressed somewhere";
            return Err(Error::data(DataFault::Invalid, name, expected, format!("gene {gene} without any expression")));
        }
    }
    for (name, values, length) in [("density", input.density, s), ("masses", input.masses, n)] {
        let Some(values) = values else { continue };
        if values.len() != length {
            return Err(Error::data(DataFault::Shape, name, format!("{length} values"), values.len()));
        }
        let total: f64 = values.iter().sum();
        if values.iter().any(|&x| !(x >= 0.0)) || !((total - 1.0).abs() < 1e-6) {
            let expected = "numbers of at least 0 that sum to 1";
            return Err(Error::data(DataFault::Invalid, name, expected, format!("a sum of {total}")));
        }
    }
    let density = match (input.density, options.lambda_d) {
        (None, Some(weight)) if weight > 0.0 => {
            return Err(Error::parameter("lambda_d", "unset or 0 without a density", weight));
        }
        (None, _) => 0.0,
        (Some(_), weight) => weight.unwrap_or(1.0),
    };
    let lambdas = Lambdas { genes: options.lambda_g1, places: options.lambda_g2, density, entropy: options.lambda_r };
    let masses = input.masses.map_or_else(|| vec![1.0 / n as f64; n], <[f64]>::to_vec);
    let density = input.density.filter(|_| density > 0.0);
    Ok(Problem::new((input.cells, input.places, g), input.candidates, masses, density, lambdas))
}
