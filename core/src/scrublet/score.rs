//! From the share of simulated doublets around a cell to the chance that it is one.

use super::ScrubletOptions;
use crate::knn::Neighbors;

/// Scores of all rows (observed, then simulated), and their standard errors.
pub(super) struct Scores {
    pub(super) scores: Vec<f64>,
    pub(super) errors: Vec<f64>,
}

/// `neighbors`: of observed and simulated rows together, `n_observed` of them observed, each row itself first. The row
/// itself is one of the neighbours that are counted, but never as a simulated one, as in scanpy.
///
/// With q = (simulated neighbours + 1) / (neighbours + 2), rho the expected rate and r simulated per observed, the
/// score is q rho / r / (1 - rho - q (1 - rho - rho / r)).
pub(super) fn score(neighbors: &Neighbors, n_observed: usize, options: &ScrubletOptions) -> Scores {
    let k = neighbors.k;
    let ratio = (neighbors.n - n_observed) as f64 / n_observed as f64;
    let (rho, deviation) = (options.expected_doublet_rate, options.stdev_doublet_rate);
    let mut found = Scores { scores: Vec::with_capacity(neighbors.n), errors: Vec::with_capacity(neighbors.n) };
    for row in neighbors.indices.chunks_exact(k) {
        let simulated = row[1..].iter().filter(|&&cell| cell as usize >= n_observed).count() as f64;
        let q = (simulated + 1.0) / (k as f64 + 2.0);
        let rest = 1.0 - rho - q * (1.0 - rho - rho / ratio);
        let q_error = (q * (1.0 - q) / (k as f64 + 3.0)).sqrt();
        let relative = ((q_error / q * (1.0 - rho)).powi(2) + (deviation / rho * (1.0 - q)).powi(2)).sqrt();
        found.scores.push(q * rho / ratio / rest);
        found.errors.push(q * rho / ratio / rest.powi(2) * relative);
    }
    found
}
