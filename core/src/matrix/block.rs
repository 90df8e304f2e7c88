//! A block of rows, as a pass sees it.

use super::Rows;
use crate::{DataFault, Error, Result};

/// Consecutive rows of a source, in compressed sparse rows with local row pointers.
///
/// Columns are sorted within each row. Stored zeros may occur (a pass that counts non-zeros must test values).
#[derive(Clone, Copy, Debug)]
pub struct RowBlock<'a> {
    /// Index, in the source, of the first row.
    pub first_row: usize,
    /// Number of columns of the source.
    pub n_cols: usize,
    /// Local row pointers: start at 0, one more than there are rows.
    pub indptr: &'a [u64],
    /// Column of each stored value.
    pub indices: &'a [u32],
    /// The stored values.
    pub values: &'a [f32],
}

impl<'a> RowBlock<'a> {
    /// Rows in the block.
    pub fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Columns and values of local row `i`.
    #[inline]
    pub fn row(&self, i: usize) -> (&'a [u32], &'a [f32]) {
        let span = self.indptr[i] as usize..self.indptr[i + 1] as usize;
        (&self.indices[span.clone()], &self.values[span])
    }

    /// All rows: (index in the source, columns, values).
    pub fn rows(&self) -> impl Iterator<Item = (usize, &'a [u32], &'a [f32])> + use<'a> {
        let block = *self;
        (0..block.n_rows()).map(move |i| {
            let (columns, values) = block.row(i);
            (block.first_row + i, columns, values)
        })
    }

    /// The same pattern with other values, as many as are stored.
    pub fn with_values(&self, values: Vec<f32>) -> Rows {
        (self.indptr.to_vec(), self.indices.to_vec(), values)
    }

    /// Checks that every value may be a count.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first value below 0 or not finite.
    pub fn check_counts(&self) -> Result<()> {
        match self.values.iter().position(|&value| !(value >= 0.0 && value.is_finite())) {
            None => Ok(()),
            Some(at) => Err(no_count(self, at)),
        }
    }
}

/// The error for a value that is no count.
fn no_count(block: &RowBlock<'_>, at: usize) -> Error {
    let value = block.values[at];
    let row = block.first_row + block.indptr.partition_point(|&end| end as usize <= at) - 1;
    let fault = if value < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
    let found = format!("{value} in row {row}, column {}", block.indices[at]);
    Error::data(fault, "counts", "finite values of at least 0", found)
}

/// Buffers that a source may fill when it cannot lend its own memory. Reused from block to block.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Local row pointers.
    pub indptr: Vec<u64>,
    /// Columns.
    pub indices: Vec<u32>,
    /// Values.
    pub values: Vec<f32>,
    /// Buffers of the source below, for chains.
    pub inner: Option<Box<Scratch>>,
}

impl Scratch {
    /// Empties the buffers and starts the first row.
    pub fn begin(&mut self) {
        self.indptr.clear();
        self.indices.clear();
        self.values.clear();
        self.indptr.push(0);
    }

    /// Ends the current row.
    #[inline]
    pub fn end_row(&mut self) {
        self.indptr.push(self.indices.len() as u64);
    }

    /// The buffers as a block.
    pub fn as_block(&self, first_row: usize, n_cols: usize) -> RowBlock<'_> {
        RowBlock { first_row, n_cols, indptr: &self.indptr, indices: &self.indices, values: &self.values }
    }
}
