//! How often neighbours carry two labels, against labels dealt out at random among the cells.
//!
//! The mean and the variance of the number of edges from label a to label b, over all ways to deal the labels out, have a
//! closed form: two edges share no cell, or a source, a target, a middle, or both ends turned round, and each case has its
//! falling factorials of the label counts. So no permutation is needed; [`permuted`] draws them all the same where asked.

mod exact;
mod options;
mod permuted;

#[cfg(test)]
mod tests;

pub use exact::exact;
pub use options::NhoodOptions;
pub use permuted::permuted;

use rayon::prelude::*;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::Edges;

/// n_labels x n_labels numbers of edges, and what random labels give.
#[derive(Clone, Debug, PartialEq)]
pub struct Enrichment {
    /// Edges from a cell of label a (row) to one of label b (column).
    pub counts: Vec<u64>,
    /// Their mean with random labels.
    pub means: Vec<f64>,
    /// Their variance with random labels.
    pub variances: Vec<f64>,
}

/// Numbers of stored edges between labels, `n_labels` x `n_labels`.
///
/// # Errors
/// [`Error::Data`] for labels that do not fit, [`Error::Interrupted`].
pub fn count_edges(edges: &Edges<'_>, labels: &[u32], n_labels: usize, ctx: &Ctx) -> Result<Vec<u64>> {
    check_labels(labels, edges.len(), n_labels)?;
    ctx.check()?;
    Ok(count(edges, labels, n_labels))
}

fn count(edges: &Edges<'_>, labels: &[u32], k: usize) -> Vec<u64> {
    let mut counts = vec![0; k * k];
    for cell in 0..edges.len() {
        let row = &mut counts[labels[cell] as usize * k..][..k];
        for &other in edges.of(cell) {
            row[labels[other as usize] as usize] += 1;
        }
    }
    counts
}

/// Sums of the weights between labels, `n_labels` x `n_labels`; added up in pieces of the cells, so that threads do not
/// change a bit.
///
/// # Errors
/// [`Error::Data`] for labels that do not fit, [`Error::Interrupted`].
pub fn sum_weights(edges: &Edges<'_>, labels: &[u32], n_labels: usize, ctx: &Ctx) -> Result<Vec<f64>> {
    check_labels(labels, edges.len(), n_labels)?;
    let parts: Vec<Vec<f64>> = zensaibo_core::parallel::pieces(edges.len(), 1 << 16)
        .into_par_iter()
        .map(|cells| {
            ctx.check()?;
            let mut sums = vec![0.0; n_labels * n_labels];
            for cell in cells {
                for (&other, weight) in edges.of(cell).iter().zip(edges.weights_of(cell)) {
                    sums[labels[cell] as usize * n_labels + labels[other as usize] as usize] += weight;
                }
            }
            Ok(sums)
        })
        .collect::<Result<_>>()?;
    let mut total = vec![0.0; n_labels * n_labels];
    for part in parts {
        total.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    Ok(total)
}

/// One label below `n_labels` for each of `n` cells.
pub(crate) fn check_labels(labels: &[u32], n: usize, n_labels: usize) -> Result<()> {
    if labels.len() != n {
        let expected = format!("{n} labels, one per cell");
        return Err(Error::data(DataFault::Shape, "labels of cells", expected, labels.len()));
    }
    match labels.iter().find(|&&label| label as usize >= n_labels) {
        Some(label) => {
            Err(Error::data(DataFault::Invalid, "labels of cells", format!("labels below {n_labels}"), label))
        }
        None => Ok(()),
    }
}
