//! Passes that several algorithms share: rows gathered into a matrix, and sums of columns.

use super::{Pass, RowBlock, RowBlocks, run};
use crate::data::Csr;
use crate::{Ctx, Result};

/// Rows in memory of their own: local row pointers (from 0, one more than there are rows), columns, values.
pub type Rows = (Vec<u64>, Vec<u32>, Vec<f32>);

struct Gather<F> {
    n_rows: usize,
    n_cols: usize,
    rows: F,
}

impl<F: Fn(&RowBlock<'_>) -> Result<Rows> + Sync> Pass for Gather<F> {
    type Partial = Rows;
    type State = Csr;
    type Output = Csr;
    fn start(&self) -> Csr {
        Csr { n_rows: self.n_rows, n_cols: self.n_cols, indptr: vec![0], indices: Vec::new(), values: Vec::new() }
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Rows> {
        (self.rows)(block)
    }
    fn merge(&self, state: &mut Csr, (indptr, indices, values): Rows) -> Result<()> {
        let base = state.indices.len() as u64;
        state.indptr.extend(indptr[1..].iter().map(|&end| base + end));
        state.indices.extend_from_slice(&indices);
        state.values.extend_from_slice(&values);
        Ok(())
    }
    fn finish(&self, state: Csr) -> Result<Csr> {
        Ok(state)
    }
}

/// One matrix in memory from what `rows` makes of each block: as many rows as the block has, `n_cols` columns, columns
/// sorted within each row. One read; 8 bytes per stored value and 8 per row.
///
/// # Errors
/// Whatever the source or `rows` returns, or [`crate::Error::Interrupted`].
pub fn gather(
    source: &dyn RowBlocks,
    n_cols: usize,
    stage: &str,
    ctx: &Ctx,
    rows: impl Fn(&RowBlock<'_>) -> Result<Rows> + Sync,
) -> Result<Csr> {
    run(source, &Gather { n_rows: source.n_rows(), n_cols, rows }, stage, ctx)
}

/// Gathers a source into one matrix in memory: 8 bytes per stored value and 8 per row.
///
/// # Errors
/// Whatever the source returns, or [`crate::Error::Interrupted`].
pub fn collect(source: &dyn RowBlocks, ctx: &Ctx) -> Result<Csr> {
    gather(source, source.n_cols(), "collect", ctx, |block| Ok(block.with_values(block.values.to_vec())))
}

struct ColumnSums<F> {
    n_cols: usize,
    add: F,
}

impl<F: Fn(&RowBlock<'_>, &mut [f64]) -> Result<()> + Sync> Pass for ColumnSums<F> {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;
    fn start(&self) -> Vec<f64> {
        vec![0.0; self.n_cols]
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        let mut sums = self.start();
        (self.add)(block, &mut sums)?;
        Ok(sums)
    }
    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.iter_mut().zip(partial).for_each(|(total, sum)| *total += sum);
        Ok(())
    }
    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        Ok(state)
    }
}

/// One sum per column: `add` adds a block to the sums of its own, which are added up in block order. One read.
///
/// # Errors
/// Whatever the source or `add` returns, or [`crate::Error::Interrupted`].
pub fn column_sums(
    source: &dyn RowBlocks,
    stage: &str,
    ctx: &Ctx,
    add: impl Fn(&RowBlock<'_>, &mut [f64]) -> Result<()> + Sync,
) -> Result<Vec<f64>> {
    run(source, &ColumnSums { n_cols: source.n_cols(), add }, stage, ctx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataFault;
    use crate::parallel::with_threads;

    fn matrix(n: usize) -> Csr {
        let indices = (0..n).flat_map(|_| [0, 2, 5]).collect();
        let values = (0..3 * n).map(|i| 0.1 + (i % 7) as f32).collect();
        Csr::new(n, 6, (0..=n as u64).map(|row| 3 * row).collect(), indices, values).unwrap()
    }

    #[test]
    fn gathers_what_each_block_becomes() {
        let matrix = matrix(200_000);
        assert!(matrix.n_blocks() > 2);
        assert_eq!(collect(&matrix, &Ctx::quiet()).unwrap(), matrix);
        // The first entry of every other row alone, one column to the right.
        let thinned = gather(&matrix, 7, "test", &Ctx::quiet(), |block| {
            let kept = || block.rows().filter(|(row, ..)| row % 2 == 0);
            // Of two rows the first is kept, or the second where a block starts at an odd row.
            let even = 1 - block.first_row % 2;
            let indptr = (0..=block.n_rows()).map(|rows| ((rows + even) / 2) as u64).collect();
            Ok((indptr, kept().map(|(_, columns, _)| columns[0] + 1).collect(), kept().map(|row| row.2[0]).collect()))
        })
        .unwrap();
        let expected: Vec<f32> = (0..200_000).step_by(2).map(|row| matrix.row(row).1[0]).collect();
        assert_eq!((thinned.n_cols, &thinned.values), (7, &expected));
        assert!((0..200_000).all(|row| thinned.row(row).0 == if row % 2 == 0 { &[1u32][..] } else { &[] }));
    }

    #[test]
    fn sums_of_columns() {
        let matrix = matrix(200_000);
        let run = |threads| {
            let add = |block: &RowBlock<'_>, sums: &mut [f64]| {
                block.indices.iter().zip(block.values).for_each(|(&at, &x)| sums[at as usize] += f64::from(x));
                Ok(())
            };
            with_threads(Some(threads), || column_sums(&matrix, "test", &Ctx::quiet(), add)).unwrap()
        };
        let sums = run(1);
        let expected: f64 = (0..200_000).map(|row| f64::from(matrix.row(row).1[1])).sum();
        assert!((sums[2] - expected).abs() < 1e-9 * expected && sums[1] == 0.0 && sums.len() == 6);
        assert_eq!(run(2), sums);
        assert_eq!(run(8), sums);
    }

    #[test]
    fn counts_that_are_none_are_named() {
        for (value, fault) in [(-1.0, DataFault::Negative), (f32::NAN, DataFault::NotFinite)] {
            let mut matrix = matrix(4);
            matrix.values[7] = value;
            let found = gather(&matrix, 6, "test", &Ctx::quiet(), |block| {
                block.check_counts()?;
                Ok(block.with_values(Vec::new()))
            });
            let error = found.unwrap_err();
            assert!(matches!(&error, crate::Error::Data { fault: named, .. } if *named == fault), "{error:?}");
            assert!(error.to_string().contains("row 2, column 2"), "{error}");
        }
    }
}
