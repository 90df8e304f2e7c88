//! How well batches mix and types stay apart in a set of coordinates: LISI, silhouette, kBET.

mod kbet;
mod lisi;
mod silhouette;

#[cfg(test)]
mod tests;

pub use kbet::{Kbet, kbet};
pub use lisi::lisi;
pub use silhouette::silhouette;

use crate::{DataFault, Error, Result};

/// Checks that there is one label below `n_labels` for each of `n` cells.
fn check_labels(labels: &[u32], n: usize, n_labels: usize) -> Result<()> {
    if labels.len() != n {
        return Err(Error::data(DataFault::Shape, "labels", format!("{n} labels, one per cell"), labels.len()));
    }
    if let Some(cell) = labels.iter().position(|&label| label as usize >= n_labels) {
        let found = format!("{} for cell {cell}", labels[cell]);
        return Err(Error::data(DataFault::Invalid, "labels", format!("labels below {n_labels}"), found));
    }
    Ok(())
}
