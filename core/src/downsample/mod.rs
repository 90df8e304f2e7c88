//! Fewer counts: molecules drawn at random from a matrix of raw counts.
//!
//! A cell with counts x_1 .. x_g is an urn of sum x_j molecules. Drawing without replacement leaves each gene a
//! (multivariate) hypergeometric number of them, with replacement a multinomial one. Each cell draws from a random
//! stream of its own, so a cell's draws depend on the seed, its number and its counts alone.
//!
//! With a total for the whole matrix, the cells' shares of it are drawn first, then each cell draws its share.

mod draw;
mod options;
#[cfg(test)]
mod tests;

pub use options::DownsampleOptions;

use draw::Urn;

use crate::data::Csr;
use crate::matrix::{Pass, RowBlock, RowBlocks, gather, run};
use crate::options::Options as _;
use crate::qc::{CountFault, CountFaultPass};
use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// How many counts are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target<'a> {
    /// At most this many in each cell: one number per cell. Cells that have no more are left alone.
    PerCell(&'a [u64]),
    /// This many in all. A matrix that has fewer is left alone.
    Total(u64),
}

/// The stream from which the cells' shares of a total are drawn; cells use their own numbers.
const SHARES: u64 = u64::MAX;

/// Counts from here on are not all distinct as f32.
const LARGEST: f32 = 16_777_216.0;

/// Total of each cell.
struct Totals;

impl Pass for Totals {
    type Partial = Vec<u64>;
    type State = Vec<u64>;
    type Output = Vec<u64>;

    fn start(&self) -> Vec<u64> {
        Vec::new()
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<u64>> {
        block
            .rows()
            .map(|(row, columns, values)| {
                if let Some(at) = values.iter().position(|&value| value >= LARGEST) {
                    let what = format!("count in cell {row}, gene {}", columns[at]);
                    return Err(Error::Limit { what, needed: values[at].to_string(), limit: "below 2^24".into() });
                }
                Ok(values.iter().map(|&value| value as u64).sum())
            })
            .collect()
    }

    fn merge(&self, state: &mut Vec<u64>, partial: Vec<u64>) -> Result<()> {
        state.extend(partial);
        Ok(())
    }

    fn finish(&self, state: Vec<u64>) -> Result<Vec<u64>> {
        Ok(state)
    }
}

/// Draws molecules from raw counts until the target is met; what is left, in sparse rows without zeros.
///
/// Random by `random_state`; the same bits for any number of threads and for sparse as for dense counts. Time: for
/// each cell the smaller of the molecules kept and dropped (with replacement, those kept). Three reads; memory of the
/// result, and one bit (with replacement 4 bytes) per molecule of a cell and thread.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for values that are not raw counts, with the first
/// place, or targets that are not as many as cells; [`Error::Limit`] for a count of 2^24 or more; whatever the source
/// returns; [`Error::Interrupted`].
pub fn downsample_counts(
    source: &dyn RowBlocks,
    target: Target<'_>,
    options: &DownsampleOptions,
    ctx: &Ctx,
) -> Result<Csr> {
    options.validate()?;
    let n_rows = source.n_rows();
    if let Some(CountFault { row, column, value, fault }) = run(source, &CountFaultPass, "check counts", ctx)? {
        let found = format!("{value} in cell {row}, gene {column}");
        return Err(Error::data(fault, "matrix", "raw counts (whole numbers of at least 0)", found));
    }
    let totals = run(source, &Totals, "totals", ctx)?;
    let wanted: Vec<Option<u64>> = match target {
        Target::PerCell(targets) => {
            if targets.len() != n_rows {
                let expected = format!("{n_rows} numbers, one per cell");
                return Err(Error::data(DataFault::Shape, "counts_per_cell", expected, targets.len()));
            }
            totals.iter().zip(targets).map(|(total, target)| (total > target).then_some(*target)).collect()
        }
        Target::Total(target) => shares(&totals, target, options),
    };
    gather(source, source.n_cols(), "downsample", ctx, |block| {
        let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
        let mut urn = Urn::default();
        for (row, columns, counts) in block.rows() {
            let drawn = match wanted[row] {
                None => counts,
                Some(target) => {
                    let mut stream = Stream::new(options.random_state, row as u64);
                    urn.draw(counts, totals[row], target, options.replace, &mut stream)
                }
            };
            for (&column, &count) in columns.iter().zip(drawn) {
                if count != 0.0 {
                    indices.push(column);
                    values.push(count);
                }
            }
            indptr.push(indices.len() as u64);
        }
        Ok((indptr, indices, values))
    })
}

/// Each cell's share of `target` molecules drawn from all cells.
fn shares(totals: &[u64], target: u64, options: &DownsampleOptions) -> Vec<Option<u64>> {
    let mut left: u64 = totals.iter().sum();
    if left < target {
        return vec![None; totals.len()];
    }
    let mut stream = Stream::new(options.random_state, SHARES);
    let mut wanted = target;
    totals
        .iter()
        .map(|&total| {
            let share = if options.replace {
                draw::binomial(wanted, total, left, &mut stream)
            } else {
                draw::hypergeometric(left, total, wanted, &mut stream)
            };
            left -= total;
            wanted -= share;
            Some(share)
        })
        .collect()
}
