//! The rows of several matrices, one after the other, as a source of row blocks.

use std::ops::Range;
use std::path::PathBuf;

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{Lazy, RowBlock, RowBlocks, Scratch, collect, count_entries, rows_per_block};
use zensaibo_core::{Ctx, Result};

use super::genes::{DROPPED, Join, join_genes};
use crate::counts::CountsMatrix;
use crate::turned::Turning;

/// One of the matrices that are joined.
pub struct ConcatPart {
    /// Its file, for messages.
    pub path: PathBuf,
    /// The matrix.
    pub matrix: CountsMatrix,
    /// Names of its genes: of those that count, where the matrix says that some do not.
    pub genes: Vec<String>,
}

/// A matrix, where its rows begin and what becomes of its columns.
struct Part {
    matrix: CountsMatrix,
    first_row: usize,
    /// New column of each column; none where all stay as they are.
    columns: Option<Vec<u32>>,
    /// Whether the new columns rise with the old ones.
    rising: bool,
    /// Values that stay.
    entries: usize,
}

/// Several matrices taken as one, cells one after the other.
///
/// Blocks and values are the same, to the last bit, as those of the joined matrix in memory: each block reads the parts of
/// the files that it needs. Stored zeros stay stored. Memory: that of the parts (8 bytes per cell of a file in sparse rows),
/// 4 bytes per gene and file.
pub struct ConcatRows {
    parts: Vec<Part>,
    names: Vec<String>,
    n_rows: usize,
    entries: usize,
}

impl ConcatRows {
    /// Joins matrices. A file of which genes are left out is read once, to count what stays, unless it is stored by columns.
    ///
    /// # Errors
    /// As [`join_genes`]; whatever reading returns; [`zensaibo_core::Error::Interrupted`].
    pub fn new(parts: Vec<ConcatPart>, join: Join, ctx: &Ctx) -> Result<Self> {
        Self::with_entries(parts, join, None, ctx)
    }

    /// The same where it is known how many values of each matrix stay (see [`ConcatRows::entries_of_parts`]): nothing is read.
    ///
    /// # Errors
    /// As [`ConcatRows::new`].
    pub fn with_entries(parts: Vec<ConcatPart>, join: Join, known: Option<&[usize]>, ctx: &Ctx) -> Result<Self> {
        let files: Vec<_> = parts.iter().map(|part| (part.path.as_path(), part.genes.as_slice())).collect();
        let joined = join_genes(&files, join)?;
        let known = known.filter(|known| known.len() == parts.len());
        let mut made = Self { parts: Vec::with_capacity(parts.len()), names: joined.names, n_rows: 0, entries: 0 };
        for (at, (ConcatPart { matrix, .. }, columns)) in parts.into_iter().zip(joined.columns).enumerate() {
            let columns = of_all_columns(&matrix, columns);
            let kept = columns.iter().flatten().filter(|&&column| column != DROPPED);
            let rising = kept.is_sorted();
            let (first_row, rows) = (made.n_rows, rows_of(&matrix).n_rows());
            let mut part = Part { matrix, first_row, columns, rising, entries: 0 };
            part.entries = known.map_or_else(|| part.count(ctx), |known| Ok(known[at]))?;
            made.n_rows += rows;
            made.entries += part.entries;
            made.parts.push(part);
        }
        Ok(made)
    }

    /// Values of each matrix that stay.
    pub fn entries_of_parts(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.entries).collect()
    }

    /// Matrices that are stored by columns and not turned.
    pub fn by_columns(&self) -> usize {
        self.parts
            .iter()
            .filter(|part| matches!(&part.matrix, CountsMatrix::File(rows, _) if rows.is_by_columns()))
            .count()
    }

    /// The same with the columns of all files that are stored by columns turned into rows (see
    /// [`FileRows::turned`](crate::FileRows::turned)). `rows`: the only ones that are wanted. `turning` is what each file may take.
    ///
    /// # Errors
    /// As [`FileRows::turned`](crate::FileRows::turned).
    pub fn turned(mut self, turning: &Turning, rows: Option<Range<usize>>, ctx: &Ctx) -> Result<Self> {
        self.parts = self
            .parts
            .into_iter()
            .map(|mut part| {
                let (source, kept) = match part.matrix {
                    CountsMatrix::File(source, kept) if source.is_by_columns() => (source, kept),
                    _ => return Ok(part),
                };
                let own = source.n_rows();
                let wanted = rows.as_ref().map(|rows| {
                    let local = |row: usize| row.saturating_sub(part.first_row).min(own);
                    local(rows.start)..local(rows.end)
                });
                let before = source.n_entries();
                let made = source.turned(turning, wanted, ctx)?;
                let repeated = made.n_entries() != before;
                part.matrix = CountsMatrix::File(Box::new(made), kept);
                if repeated {
                    part.entries = part.count(ctx)?;
                }
                Ok(part)
            })
            .collect::<Result<_>>()?;
        self.entries = self.parts.iter().map(|part| part.entries).sum();
        Ok(self)
    }

    /// Everything in memory: 8 bytes per stored value. Columns that are repeated in a row, which [`RowBlocks::read`] refuses, are
    /// added up.
    ///
    /// # Errors
    /// As [`FileRows::to_memory`](crate::FileRows::to_memory).
    pub fn to_memory(&self, ctx: &Ctx) -> Result<Csr> {
        let mut made = Self { parts: Vec::new(), names: self.names.clone(), n_rows: self.n_rows, entries: 0 };
        for part in &self.parts {
            let matrix = CountsMatrix::Memory(match &part.matrix {
                CountsMatrix::File(rows, _) => rows.to_memory(ctx)?,
                CountsMatrix::Memory(matrix) => matrix.clone(),
            });
            let mut part = Part { matrix, columns: part.columns.clone(), ..*part };
            part.entries = part.count(ctx)?;
            made.entries += part.entries;
            made.parts.push(part);
        }
        collect(&made, ctx)
    }

    /// Names of the genes.
    pub fn genes(&self) -> &[String] {
        &self.names
    }

    fn range(&self, block: usize) -> Range<usize> {
        let size = rows_per_block(self.n_rows, self.entries);
        block * size..((block + 1) * size).min(self.n_rows)
    }
}

fn rows_of(matrix: &CountsMatrix) -> &dyn RowBlocks {
    match matrix {
        CountsMatrix::File(rows, _) => &**rows,
        CountsMatrix::Memory(matrix) => matrix,
    }
}

/// What becomes of all columns of a matrix, given what becomes of those that count.
fn of_all_columns(matrix: &CountsMatrix, columns: Option<Vec<u32>>) -> Option<Vec<u32>> {
    match matrix {
        CountsMatrix::File(_, kept) if kept.contains(&false) => {
            let mut next = 0..;
            let place = |at: u32| columns.as_ref().map_or(at, |columns| columns[at as usize]);
            Some(kept.iter().map(|&kept| if kept { next.next().map_or(DROPPED, place) } else { DROPPED }).collect())
        }
        _ => columns,
    }
}

/// Rows of a matrix into `scratch`, from any row on.
fn read_part(matrix: &CountsMatrix, rows: Range<usize>, scratch: &mut Scratch) -> Result<()> {
    match matrix {
        CountsMatrix::File(source, _) => source.read_rows(rows, scratch),
        CountsMatrix::Memory(matrix) => {
            crate::rows::copy_rows(matrix, rows, scratch);
            Ok(())
        }
    }
}

impl Part {
    /// Values that stay.
    fn count(&self, ctx: &Ctx) -> Result<usize> {
        let rows = rows_of(&self.matrix);
        let Some(columns) = self.columns.as_ref().filter(|columns| columns.contains(&DROPPED)) else {
            return Ok(rows.n_entries());
        };
        let kept: Vec<bool> = columns.iter().map(|&column| column != DROPPED).collect();
        if let CountsMatrix::File(rows, _) = &self.matrix
            && let Some(entries) = rows.entries_in(&kept)
        {
            return Ok(entries);
        }
        count_entries(&Lazy::new(rows).select_columns(&kept)?, "count", ctx)
    }

    /// Appends rows to `scratch`, under their new columns.
    fn append(&self, rows: Range<usize>, scratch: &mut Scratch, inner: &mut Scratch) -> Result<()> {
        let Some(columns) = &self.columns else {
            if scratch.indices.is_empty() && scratch.indptr.len() == 1 {
                return read_part(&self.matrix, rows, scratch);
            }
            read_part(&self.matrix, rows, inner)?;
            let base = scratch.indices.len() as u64;
            scratch.indptr.extend(inner.indptr[1..].iter().map(|&end| base + end));
            scratch.indices.extend_from_slice(&inner.indices);
            scratch.values.extend_from_slice(&inner.values);
            return Ok(());
        };
        read_part(&self.matrix, rows, inner)?;
        let mut line: Vec<(u32, f32)> = Vec::new();
        for (_, old, values) in inner.as_block(0, columns.len()).rows() {
            let kept = old.iter().zip(values).map(|(&column, &value)| (columns[column as usize], value));
            let kept = kept.filter(|&(column, _)| column != DROPPED);
            if self.rising {
                for (column, value) in kept {
                    scratch.indices.push(column);
                    scratch.values.push(value);
                }
            } else {
                line.clear();
                line.extend(kept);
                line.sort_unstable_by_key(|&(column, _)| column);
                scratch.indices.extend(line.iter().map(|&(column, _)| column));
                scratch.values.extend(line.iter().map(|&(_, value)| value));
            }
            scratch.end_row();
        }
        Ok(())
    }
}

impl RowBlocks for ConcatRows {
    fn n_rows(&self) -> usize {
        self.n_rows
    }
    fn n_cols(&self) -> usize {
        self.names.len()
    }
    fn n_entries(&self) -> usize {
        self.entries
    }
    fn n_blocks(&self) -> usize {
        self.n_rows.div_ceil(rows_per_block(self.n_rows, self.entries))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        self.range(block)
    }
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
        let wanted = self.range(block);
        let mut inner = scratch.inner.take().unwrap_or_default();
        scratch.begin();
        let mut outcome = Ok(());
        for part in &self.parts {
            let own = part.first_row..part.first_row + rows_of(&part.matrix).n_rows();
            let (from, to) = (wanted.start.max(own.start), wanted.end.min(own.end));
            if from < to && outcome.is_ok() {
                outcome = part.append(from - own.start..to - own.start, scratch, &mut inner);
            }
        }
        scratch.inner = Some(inner);
        outcome?;
        Ok(scratch.as_block(wanted.start, self.names.len()))
    }
}
