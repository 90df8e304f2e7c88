//! Columns of a row source, a bounded number of them at a time, without transposing the whole matrix.

use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use super::{Local, Pass, RowBlock, RowBlocks, Scratch, run};
use crate::{Ctx, Error, Result};

/// A stored value of a column: where it stands within its block, and what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// Row, counted from the first row of the block.
    pub row: u32,
    /// The value; never zero.
    pub value: f32,
}

/// One block of rows, regrouped by column for the columns of the chunk.
#[derive(Debug, Default)]
struct BlockColumns {
    first_row: usize,
    /// For each row, how far the chunks before this one have read it.
    cursors: Vec<u32>,
    /// Where each column of the chunk starts in `entries`, and the end of the last.
    starts: Vec<u32>,
    entries: Vec<Entry>,
}

/// Some consecutive columns of a source, each as runs of entries in row order.
#[derive(Debug)]
pub struct ColumnChunk<'a> {
    columns: Range<usize>,
    blocks: &'a [BlockColumns],
}

impl ColumnChunk<'_> {
    /// The columns of the chunk.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The non-zero entries of `column` (of the source), in row order: (first row of the run, its entries).
    pub fn runs(&self, column: usize) -> impl Iterator<Item = (usize, &[Entry])> {
        let at = column - self.columns.start;
        self.blocks.iter().filter_map(move |block| {
            let entries = &block.entries[block.starts[at] as usize..block.starts[at + 1] as usize];
            (!entries.is_empty()).then_some((block.first_row, entries))
        })
    }

    /// Number of non-zero entries of `column`.
    pub fn count(&self, column: usize) -> usize {
        self.runs(column).map(|(_, entries)| entries.len()).sum()
    }
}

/// Stored values of each column; one read.
struct CountStored(usize);

impl Pass for CountStored {
    type Partial = Vec<u32>;
    type State = Vec<u64>;
    type Output = Vec<u64>;
    fn start(&self) -> Vec<u64> {
        vec![0; self.0]
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<u32>> {
        let mut counts = vec![0; self.0];
        block.indices.iter().for_each(|&column| counts[column as usize] += 1);
        Ok(counts)
    }
    fn merge(&self, state: &mut Vec<u64>, partial: Vec<u32>) -> Result<()> {
        state.iter_mut().zip(partial).for_each(|(total, count)| *total += u64::from(count));
        Ok(())
    }
    fn finish(&self, state: Vec<u64>) -> Result<Vec<u64>> {
        Ok(state)
    }
}

/// Cuts the columns so that each chunk holds at most `entries` stored values (or a single column).
fn cut(counts: &[u64], entries: u64) -> Vec<Range<usize>> {
    let (mut chunks, mut start, mut held) = (Vec::new(), 0, 0u64);
    for (column, &count) in counts.iter().enumerate() {
        if column > start && held + count > entries {
            chunks.push(start..column);
            (start, held) = (column, 0);
        }
        held += count;
    }
    if start < counts.len() {
        chunks.push(start..counts.len());
    }
    chunks
}

/// Hands the columns of a source to `visit`, chunk by chunk in order, each chunk within `memory` bytes.
///
/// The source is read once to count, then once per chunk: a source in memory lends its rows and pays only
/// for the entries of the chunk, one in a file is read again each time, so a larger `memory` means fewer
/// reads. What `visit` sees does not depend on `memory` or on the number of threads, save for where chunks
/// begin. Processes that share the source do not share this: they may share out the columns. Memory: 8 bytes per stored value of the chunk (`memory` in all, or one column if that is more),
/// 4 bytes per row, and the buffers of the source.
///
/// # Errors
/// Whatever the source or `visit` returns, or [`Error::Interrupted`].
pub fn column_chunks(
    source: &dyn RowBlocks,
    memory: usize,
    stage: &str,
    ctx: &Ctx,
    mut visit: impl FnMut(&ColumnChunk<'_>) -> Result<()>,
) -> Result<()> {
    let counts = run(&Local(source), &CountStored(source.n_cols()), stage, &ctx.silent())?;
    let progress = ctx.stage(stage, source.n_cols() as u64);
    let mut blocks: Vec<BlockColumns> = (0..source.n_blocks())
        .map(|index| {
            let rows = source.block_rows(index);
            BlockColumns { first_row: rows.start, cursors: vec![0; rows.len()], ..BlockColumns::default() }
        })
        .collect();
    let buffers: Mutex<Vec<Scratch>> = Mutex::default();
    let lock = || buffers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    for columns in cut(&counts, (memory / size_of::<Entry>()) as u64) {
        blocks
            .par_iter_mut()
            .enumerate()
            .with_max_len(1)
            .map(|(index, state)| {
                ctx.check()?;
                let mut scratch = lock().pop().unwrap_or_default();
                let done = source.read(index, &mut scratch).and_then(|block| gather(&block, &columns, state));
                lock().push(scratch);
                done
            })
            .collect::<Vec<Result<()>>>()
            .into_iter()
            .collect::<Result<()>>()?;
        visit(&ColumnChunk { columns: columns.clone(), blocks: &blocks })?;
        progress.advance(columns.len() as u64)?;
    }
    Ok(())
}

/// Regroups the entries of `columns` in one block by column, and moves the cursors past them.
fn gather(block: &RowBlock<'_>, columns: &Range<usize>, state: &mut BlockColumns) -> Result<()> {
    let BlockColumns { cursors, starts, entries, .. } = state;
    if block.n_rows() != cursors.len() || block.indices.len() > u32::MAX as usize {
        return Err(Error::Internal("a source changed between two reads".into()));
    }
    let (first, end) = (columns.start as u32, columns.end as u32);
    let whole = columns.len() == block.n_cols;
    starts.clear();
    starts.resize(columns.len() + 2, 0);
    // Counting sort by column: count (shifted by two, so that filling leaves the starts in place), sum, fill.
    let mut ends: Vec<u32> = Vec::with_capacity(cursors.len());
    for (row, &from) in cursors.iter().enumerate() {
        let indices = &block.row(row).0[from as usize..];
        let indices = if whole { indices } else { &indices[..indices.partition_point(|&column| column < end)] };
        ends.push(from + indices.len() as u32);
        for &column in indices {
            starts[(column - first) as usize + 2] += 1;
        }
    }
    for at in 2..starts.len() {
        starts[at] += starts[at - 1];
    }
    let total = starts[columns.len() + 1] as usize;
    entries.clear();
    entries.resize(total, Entry::default());
    let mut zeros = 0usize;
    for (row, (cursor, &to)) in cursors.iter_mut().zip(&ends).enumerate() {
        let (indices, values) = block.row(row);
        let span = *cursor as usize..to as usize;
        for (&column, &value) in indices[span.clone()].iter().zip(&values[span]) {
            let place = &mut starts[(column - first) as usize + 1];
            entries[*place as usize] = Entry { row: row as u32, value };
            *place += 1;
            zeros += usize::from(value == 0.0);
        }
        *cursor = to;
    }
    starts.truncate(columns.len() + 1);
    if zeros > 0 {
        drop_zeros(starts, entries);
    }
    Ok(())
}

/// Removes stored zeros, so that a matrix with them gives what the same matrix without gives.
fn drop_zeros(starts: &mut [u32], entries: &mut Vec<Entry>) {
    let (mut write, mut from) = (0usize, 0usize);
    for at in 0..starts.len() - 1 {
        let to = starts[at + 1] as usize;
        for read in from..to {
            if entries[read].value != 0.0 {
                entries[write] = entries[read];
                write += 1;
            }
        }
        from = to;
        starts[at + 1] = write as u32;
    }
    entries.truncate(write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Csr;
    use crate::random::Stream;

    fn gather_all(source: &dyn RowBlocks, memory: usize) -> Vec<Vec<(usize, f32)>> {
        let mut columns = Vec::new();
        column_chunks(source, memory, "test", &Ctx::quiet(), |chunk| {
            for column in chunk.columns() {
                let entries: Vec<(usize, f32)> = chunk
                    .runs(column)
                    .flat_map(|(first, run)| run.iter().map(move |entry| (first + entry.row as usize, entry.value)))
                    .collect();
                assert_eq!(entries.len(), chunk.count(column));
                columns.push(entries);
            }
            Ok(())
        })
        .unwrap();
        columns
    }

    #[test]
    fn equals_the_transpose_for_any_memory() {
        let mut stream = Stream::new(1, 0);
        let (n_rows, n_cols) = (3000, 700);
        let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
        for _ in 0..n_rows {
            for column in 0..n_cols as u32 {
                if stream.below(2) == 0 {
                    indices.push(column);
                    // Some stored zeros, some values below zero.
                    values.push(stream.below(7) as f32 - 2.0);
                }
            }
            indptr.push(indices.len() as u64);
        }
        let matrix = Csr::new(n_rows, n_cols, indptr, indices, values).unwrap();
        assert!(matrix.n_blocks() > 1);
        let transposed = matrix.transpose();
        let expected: Vec<Vec<(usize, f32)>> = (0..n_cols)
            .map(|column| {
                let (rows, values) = transposed.row(column);
                rows.iter().zip(values).filter(|(_, v)| **v != 0.0).map(|(&r, &v)| (r as usize, v)).collect()
            })
            .collect();
        for memory in [1, 100_000, 1 << 22, usize::MAX] {
            assert_eq!(gather_all(&matrix, memory), expected);
        }
    }

    #[test]
    fn cuts_by_entries() {
        assert_eq!(cut(&[3, 3, 10, 0, 1], 6), vec![0..2, 2..3, 3..5]);
        assert_eq!(cut(&[], 6), Vec::<Range<usize>>::new());
        assert_eq!(cut(&[0, 0], 0), vec![0..2]);
    }
}
