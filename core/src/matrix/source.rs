//! The source trait and the rule for block sizes.

use std::ops::Range;

use super::{Pass, RowBlock, Scratch, run};
use crate::data::Csr;
use crate::{Ctx, Result};

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
}

/// Gathers a source into one matrix in memory: 8 bytes per stored value and 8 per row.
///
/// # Errors
/// Whatever the source returns, or [`crate::Error::Interrupted`].
pub fn collect(source: &dyn RowBlocks, ctx: &Ctx) -> Result<Csr> {
    struct Collect {
        n_rows: usize,
        n_cols: usize,
    }
    impl Pass for Collect {
        type Partial = (Vec<u64>, Vec<u32>, Vec<f32>);
        type State = Csr;
        type Output = Csr;
        fn start(&self) -> Csr {
            Csr { n_rows: self.n_rows, n_cols: self.n_cols, indptr: vec![0], indices: Vec::new(), values: Vec::new() }
        }
        fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
            Ok((block.indptr.to_vec(), block.indices.to_vec(), block.values.to_vec()))
        }
        fn merge(&self, state: &mut Csr, (indptr, indices, values): Self::Partial) -> Result<()> {
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
    run(source, &Collect { n_rows: source.n_rows(), n_cols: source.n_cols() }, "collect", ctx)
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
