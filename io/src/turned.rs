//! Rows of a matrix that is stored by columns, made in one read within a limit of memory.
//!
//! Some columns at a time are read, turned into rows in memory, and packed band by band of rows. A band of the matrix is
//! then the pieces of all columns side by side.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;

use zensaibo_core::exchange::StoredBlocks;
use zensaibo_core::matrix::{BlockStore, RowBlock, Scratch, pack_block, rows_per_block, unpack_block};
use zensaibo_core::parallel::{ordered_reduce, pieces};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::numbers::zeroed;
use crate::rows::StoredMatrix;
use crate::scratch::ScratchStore;

/// Bytes per value of the columns in work: row and value as read, column and value as turned.
const PER_VALUE: u64 = 16;
/// Most values that are turned at a time; more are no faster.
const MOST: u64 = 1 << 25;
/// Fewest values that are turned at a time, whatever may be taken.
const LEAST: u64 = 1 << 18;

/// What turning a matrix that is stored by columns into rows may take. None of it changes a bit of the rows.
#[derive(Clone, Debug)]
pub struct Turning {
    /// Bytes for columns in work; 16 per value of one column at least, and 8 per row on top.
    pub working: u64,
    /// Bytes of packed rows (3 to 8 per value) that are held; the others go to a scratch file.
    pub held: u64,
    /// Folder of the scratch file, which has no name and goes with the process.
    pub scratch: PathBuf,
}

impl Default for Turning {
    /// Half a GiB of each, and the folder for temporary files.
    fn default() -> Self {
        Self { working: 1 << 29, held: 1 << 29, scratch: std::env::temp_dir() }
    }
}

/// Packed rows, in pieces of a band of rows and some columns.
pub(crate) struct Turned {
    /// The rows that are there.
    rows: Range<usize>,
    n_cols: usize,
    /// Rows of a band: those of a block, so that most reads take whole bands.
    band: usize,
    bands: usize,
    /// How often columns were turned: pieces of each band.
    turns: usize,
    /// Piece `turn * bands + band`.
    store: ScratchStore,
    entries: usize,
    spare: Mutex<Vec<[Scratch; 2]>>,
}

impl Turned {
    /// Turns a matrix, of which the pointers are given. `wanted`: the only rows that are kept.
    pub(crate) fn new(
        matrix: &StoredMatrix,
        pointers: &[u64],
        wanted: Option<Range<usize>>,
        turning: &Turning,
        ctx: &Ctx,
    ) -> Result<Self> {
        let Some((indices, _)) = &matrix.sparse else {
            return Err(matrix.values.refused("a sparse matrix", "a dense array"));
        };
        let only_some = wanted.is_some();
        let rows = wanted.unwrap_or(0..matrix.n_rows);
        let entries = matrix.values.len();
        let band = rows_per_block(matrix.n_rows, entries);
        let spans = if rows.is_empty() { Vec::new() } else { spans(pointers, turning.working) };
        let bands = pieces(rows.len(), band);
        let mut made = Self {
            rows,
            n_cols: matrix.n_cols,
            band,
            bands: bands.len(),
            turns: spans.len(),
            store: ScratchStore::new(&turning.scratch, turning.held),
            entries,
            spare: Mutex::default(),
        };
        let progress = ctx.stage("columns to rows", entries as u64);
        let longest = spans.iter().map(|span| entries_of(pointers, span).len()).max().unwrap_or(0);
        let (path, key) = (&matrix.values.path, &matrix.values.key);
        let (mut line, mut data): (Vec<u32>, Vec<f32>) = (zeroed(longest, path, key)?, zeroed(longest, path, key)?);
        let mut turned: (Vec<u32>, Vec<f32>) = (zeroed(longest, path, key)?, zeroed(longest, path, key)?);
        let mut ends: Vec<usize> = zeroed(made.rows.len() + 1, path, key)?;
        for span in spans {
            ctx.check()?;
            let at = entries_of(pointers, &span);
            let (line, data) = (&mut line[..at.len()], &mut data[..at.len()]);
            indices.read_columns_into(at.clone(), matrix.n_rows, line, ctx)?;
            matrix.values.read_rows_into(at.clone(), data, ctx)?;
            made.turn(&pointers[span.start..=span.end], span.start as u32, (line, data), &mut turned, &mut ends);
            made.pack(&bands, &turned, &ends, only_some, indices, ctx)?;
            progress.advance(at.len() as u64)?;
        }
        Ok(made)
    }

    /// Stored values in all, of rows that are kept and others.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// Columns (from `first`, with these pointers) to rows, of which `ends` then holds the ends.
    fn turn(
        &self,
        pointers: &[u64],
        first: u32,
        (line, data): (&[u32], &[f32]),
        (columns, values): &mut (Vec<u32>, Vec<f32>),
        ends: &mut [usize],
    ) {
        let place = |row: u32| (row as usize).checked_sub(self.rows.start).filter(|&row| row < self.rows.len());
        ends.fill(0);
        line.iter().filter_map(|&row| place(row)).for_each(|row| ends[row + 1] += 1);
        // The starts of the rows, which move to the ends as the rows fill up.
        for row in 0..self.rows.len() {
            ends[row + 1] += ends[row];
        }
        for (column, span) in (first..).zip(pointers.windows(2)) {
            let span = (span[0] - pointers[0]) as usize..(span[1] - pointers[0]) as usize;
            for (&row, &value) in line[span.clone()].iter().zip(&data[span]) {
                let Some(row) = place(row) else { continue };
                let to = ends[row];
                (columns[to], values[to]) = (column, value);
                ends[row] += 1;
            }
        }
    }

    /// Packs the bands of turned columns.
    fn pack(
        &mut self,
        bands: &[Range<usize>],
        (columns, values): &(Vec<u32>, Vec<f32>),
        ends: &[usize],
        only_some: bool,
        indices: &crate::numbers::NumberArray,
        ctx: &Ctx,
    ) -> Result<()> {
        let n_cols = self.n_cols;
        let Self { store, entries, .. } = self;
        ordered_reduce(
            bands.len(),
            ctx,
            |band| {
                let rows = bands[band].clone();
                let from = if rows.start == 0 { 0 } else { ends[rows.start - 1] };
                let to = ends[rows.end - 1];
                let mut indptr = Vec::with_capacity(rows.len() + 1);
                indptr.push(0u64);
                indptr.extend(ends[rows.clone()].iter().map(|&end| (end - from) as u64));
                let (columns, values) = (&columns[from..to], &values[from..to]);
                let block = RowBlock { first_row: rows.start, n_cols, indptr: &indptr, indices: columns, values };
                if block.rows().all(|(_, columns, _)| columns.windows(2).all(|pair| pair[0] < pair[1])) {
                    return Ok((pack_block(&block), 0));
                }
                if only_some {
                    let what = format!("{}: {}", indices.path.display(), indices.key);
                    let expected = "each row at most once per column, where many processes read";
                    return Err(Error::data(DataFault::Invalid, what, expected, "repeated rows"));
                }
                let mut sums = Scratch::default();
                sums.begin();
                for (_, columns, values) in block.rows() {
                    let first = sums.indices.len();
                    for (&column, &value) in columns.iter().zip(values) {
                        match sums.values.last_mut() {
                            Some(last) if sums.indices.len() > first && sums.indices.last() == Some(&column) => {
                                *last += value;
                            }
                            _ => {
                                sums.indices.push(column);
                                sums.values.push(value);
                            }
                        }
                    }
                    sums.end_row();
                }
                let repeated = columns.len() - sums.indices.len();
                Ok((pack_block(&sums.as_block(rows.start, n_cols)), repeated))
            },
            |_, (bytes, repeated)| {
                *entries -= repeated;
                store.push(bytes)
            },
        )
    }

    /// Reads rows of any range among those that are there.
    pub(crate) fn read(&self, rows: Range<usize>, scratch: &mut Scratch) -> Result<()> {
        if !rows.is_empty() && (rows.start < self.rows.start || rows.end > self.rows.end) {
            let found = format!("rows {rows:?} of columns of which rows {:?} were turned", self.rows);
            return Err(Error::Internal(found));
        }
        scratch.begin();
        if rows.is_empty() {
            return Ok(());
        }
        if self.turns == 0 {
            scratch.indptr.resize(rows.len() + 1, 0);
            return Ok(());
        }
        let lock = || self.spare.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut spare = lock().pop().unwrap_or_default();
        let local = rows.start - self.rows.start..rows.end - self.rows.start;
        let outcome = (local.start / self.band..local.end.div_ceil(self.band))
            .try_for_each(|band| self.read_band(band, &local, &mut spare, scratch));
        lock().push(spare);
        outcome
    }

    /// Appends the rows of a band that lie in `wanted`.
    fn read_band(&self, band: usize, wanted: &Range<usize>, spare: &mut [Scratch; 2], out: &mut Scratch) -> Result<()> {
        let rows = band * self.band..((band + 1) * self.band).min(self.rows.len());
        let taken = wanted.start.max(rows.start) - rows.start..wanted.end.min(rows.end) - rows.start;
        let [piece, all] = spare;
        let unpack = |turn: usize, into: &mut Scratch| {
            let read = &mut |bytes: &[u8]| unpack_block(bytes, rows.len(), self.n_cols, into);
            self.store.visit(turn * self.bands + band, read)
        };
        if self.turns == 1 && taken.len() == rows.len() && out.indptr.len() == 1 {
            return unpack(0, out);
        }
        // The pieces one after the other, each with the ends of its rows.
        all.begin();
        all.indptr.clear();
        let base = out.indices.len();
        let mut lengths = vec![0usize; taken.len()];
        for turn in 0..self.turns {
            unpack(turn, piece)?;
            let (from, to) = (piece.indptr[taken.start], piece.indptr[taken.end]);
            lengths
                .iter_mut()
                .zip(piece.indptr[taken.start..=taken.end].windows(2))
                .for_each(|(length, ends)| *length += (ends[1] - ends[0]) as usize);
            let span = from as usize..to as usize;
            let start = all.indices.len() as u64;
            all.indptr.extend(piece.indptr[taken.start..=taken.end].iter().map(|&end| start + end - from));
            all.indices.extend_from_slice(&piece.indices[span.clone()]);
            all.values.extend_from_slice(&piece.values[span]);
        }
        out.indices.resize(base + all.indices.len(), 0);
        out.values.resize(base + all.indices.len(), 0.0);
        let mut next = Vec::with_capacity(taken.len());
        let mut end = base;
        for length in lengths {
            next.push(end);
            end += length;
            out.indptr.push(end as u64);
        }
        for ends in all.indptr.chunks_exact(taken.len() + 1) {
            for (to, ends) in next.iter_mut().zip(ends.windows(2)) {
                let span = ends[0] as usize..ends[1] as usize;
                let target = *to..*to + span.len();
                out.indices[target.clone()].copy_from_slice(&all.indices[span.clone()]);
                out.values[target].copy_from_slice(&all.values[span.clone()]);
                *to += span.len();
            }
        }
        Ok(())
    }
}

/// The values of some columns.
fn entries_of(pointers: &[u64], columns: &Range<usize>) -> Range<usize> {
    pointers[columns.start] as usize..pointers[columns.end] as usize
}

/// Columns that are turned at a time: whole ones, of as many values as fit into `working` bytes, one at least.
fn spans(pointers: &[u64], working: u64) -> Vec<Range<usize>> {
    let most = (working / PER_VALUE).clamp(LEAST, MOST);
    let (mut spans, mut start) = (Vec::new(), 0);
    for column in 1..pointers.len() {
        // Closed before the column that is one too many.
        if column - 1 > start && pointers[column] - pointers[start] > most {
            spans.push(start..column - 1);
            start = column - 1;
        }
    }
    if pointers.last().is_some_and(|&end| end > pointers[start]) {
        spans.push(start..pointers.len() - 1);
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_taken_together_as_far_as_they_fit() {
        let one = LEAST;
        let pointers = [0, one / 2, one, one, one + 1, 4 * one, 4 * one, 4 * one + 5];
        assert_eq!(spans(&pointers, 0), [0..3, 3..4, 4..5, 5..7]);
        assert_eq!(spans(&pointers, u64::MAX), vec![0..7; 1]);
        assert!(spans(&[0, 0, 0], 0).is_empty() && spans(&[0], 0).is_empty());
    }
}
