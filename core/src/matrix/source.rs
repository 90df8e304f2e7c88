//! The source trait and the rule for block sizes.

use std::ops::Range;
use std::sync::Arc;

use super::{RowBlock, Scratch};
use crate::Result;
use crate::data::Csr;
use crate::exchange::Exchange;

/// Stored values per block that the block rule aims at: 8 MiB of columns and values, which stays in the
/// second-level caches of a few cores and is still large against the cost of starting a task.
const TARGET_ENTRIES: usize = 1 << 20;

/// Rows per block for a matrix of `n_rows` rows with `entries` stored values in all.
///
/// Depends on nothing but the data, so block boundaries, and with them every ordered sum, are the same for
/// any number of threads and for a file as for memory.
pub fn rows_per_block(n_rows: usize, entries: usize) -> usize {
    if n_rows == 0 {
        return 1;
    }
    let per_row = entries.div_ceil(n_rows).max(1);
    (TARGET_ENTRIES / per_row).clamp(16, 1 << 16)
}

/// Rows of a cells x genes matrix, handed out in blocks.
pub trait RowBlocks: Sync {
    /// Number of rows (cells).
    fn n_rows(&self) -> usize;

    /// Number of columns (genes).
    fn n_cols(&self) -> usize;

    /// Stored values in all (an upper bound for lazy chains).
    fn n_entries(&self) -> usize;

    /// Number of blocks.
    fn n_blocks(&self) -> usize;

    /// Rows of block `block`. Blocks are consecutive and cover all rows.
    fn block_rows(&self, block: usize) -> Range<usize>;

    /// Reads block `block`, lending memory of its own where it can and `scratch` where it cannot.
    ///
    /// # Errors
    /// Whatever reading can meet: a truncated file, an index out of range, a value that cannot be held.
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>>;

    /// Whether reading a block costs little beside looking at it: memory that is lent or converted, rather than
    /// a file or a chain of transforms. Algorithms that read often gather other sources first.
    fn is_cheap_to_read(&self) -> bool {
        false
    }

    /// Other processes that look at the same source, with whom passes are shared out (see [`crate::exchange`]).
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        None
    }
}

impl RowBlocks for Csr {
    fn n_rows(&self) -> usize {
        self.n_rows
    }
    fn n_cols(&self) -> usize {
        self.n_cols
    }
    fn n_entries(&self) -> usize {
        self.nnz()
    }
    fn n_blocks(&self) -> usize {
        self.n_rows.div_ceil(rows_per_block(self.n_rows, self.nnz()))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        block_range(block, self.n_rows, self.nnz())
    }
    fn is_cheap_to_read(&self) -> bool {
        true
    }
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
        let rows = self.block_rows(block);
        let (from, to) = (self.indptr[rows.start], self.indptr[rows.end]);
        scratch.indptr.clear();
        scratch.indptr.extend(self.indptr[rows.start..=rows.end].iter().map(|&at| at - from));
        Ok(RowBlock {
            first_row: rows.start,
            n_cols: self.n_cols,
            indptr: &scratch.indptr,
            indices: &self.indices[from as usize..to as usize],
            values: &self.values[from as usize..to as usize],
        })
    }
}

/// Rows of block `block` under the block rule.
pub(crate) fn block_range(block: usize, n_rows: usize, entries: usize) -> Range<usize> {
    let size = rows_per_block(n_rows, entries);
    block * size..((block + 1) * size).min(n_rows)
}
