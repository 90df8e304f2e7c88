//! k-nearest-neighbour batch effect test.

use rayon::prelude::*;
use statrs::function::gamma::gamma_ur;

use super::check_labels;
use crate::knn::Neighbors;
use crate::{Ctx, DataFault, Error, Result};

/// What [`kbet`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Kbet {
    /// Share of the cells whose neighbourhood does not differ from the whole at level alpha: 1 is best.
    pub acceptance_rate: f64,
    /// n long: chi-square statistic of each neighbourhood.
    pub statistics: Vec<f64>,
    /// n long: its p-value.
    pub p_values: Vec<f64>,
}

/// Holds the batches of each cell's neighbours (the cell itself included) against those of all cells, by Pearson's
/// chi-square test with one degree of freedom less than there are batches.
///
/// `neighbors`: n x k; `batches`: n, below `n_batches`; `alpha`: level of the test, above 0 and below 1. Free of chance
/// and of threads. Cost: O(n (k + batches)).
///
/// # Errors
/// [`Error::Parameter`] for alpha out of range; [`Error::Data`] for labels that do not fit or fewer than two batches in
/// use; [`Error::Interrupted`].
///
/// Reference: Buettner, Miao, Wolf, Teichmann, Theis, Nature Methods 16, 43 (2019).
pub fn kbet(neighbors: &Neighbors, batches: &[u32], n_batches: usize, alpha: f64, ctx: &Ctx) -> Result<Kbet> {
    neighbors.check()?;
    check_labels(batches, neighbors.n, n_batches)?;
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::parameter("alpha", "above 0 and below 1", alpha));
    }
    let (n, k) = (neighbors.n, neighbors.k);
    let mut sizes = vec![0f64; n_batches];
    batches.iter().for_each(|&batch| sizes[batch as usize] += 1.0);
    let used = sizes.iter().filter(|&&size| size > 0.0).count();
    if used < 2 {
        return Err(Error::data(DataFault::TooFew, "batches", "at least two batches", used));
    }
    let freedom = (used - 1) as f64;
    let statistics: Vec<f64> = neighbors
        .indices
        .par_chunks(k)
        .with_min_len(256)
        .map(|row| {
            let mut seen = vec![0f64; n_batches];
            row.iter().for_each(|&cell| seen[batches[cell as usize] as usize] += 1.0);
            let terms = seen.iter().zip(&sizes).filter(|(_, size)| **size > 0.0).map(|(seen, size)| {
                let expected = size / n as f64 * k as f64;
                (seen - expected).powi(2) / expected
            });
            terms.sum()
        })
        .collect();
    ctx.check()?;
    let p_values: Vec<f64> =
        statistics.iter().map(|&x| if x > 0.0 { gamma_ur(freedom / 2.0, x / 2.0) } else { 1.0 }).collect();
    let accepted = p_values.iter().filter(|&&p| p >= alpha).count();
    Ok(Kbet { acceptance_rate: accepted as f64 / n as f64, statistics, p_values })
}
