//! The rows of several matrices, one after the other, as a source of row blocks.

use std::ops::Range;
use std::path::PathBuf;

use zensaibo_core::matrix::{Lazy, RowBlock, RowBlocks, Scratch, count_entries, rows_per_block};
use zensaibo_core::{Ctx, Result};

use super::genes::{DROPPED, Join, join_genes};
use crate::counts::CountsMatrix;

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
    /// Joins matrices. A file of which genes are left out is read once, to count what stays.
    ///
    /// # Errors
    /// As [`join_genes`]; whatever reading returns; [`zensaibo_core::Error::Interrupted`].
    pub fn new(parts: Vec<ConcatPart>, join: Join, ctx: &Ctx) -> Result<Self> {
        let files: Vec<_> = parts.iter().map(|part| (part.path.as_path(), part.genes.as_slice())).collect();
        let joined = join_genes(&files, join)?;
        let mut made = Self { parts: Vec::with_capacity(parts.len()), names: joined.names, n_rows: 0, entries: 0 };
        for (ConcatPart { matrix, .. }, columns) in parts.into_iter().zip(joined.columns) {
            let columns = of_all_columns(&matrix, columns);
            made.entries += match &columns {
                Some(columns) if columns.contains(&DROPPED) => {
                    let kept: Vec<bool> = columns.iter().map(|&column| column != DROPPED).collect();
                    count_entries(&Lazy::new(rows_of(&matrix)).select_columns(&kept)?, "count", ctx)?
                }
                _ => rows_of(&matrix).n_entries(),
            };
            let kept = columns.iter().flatten().filter(|&&column| column != DROPPED);
            let rising = kept.is_sorted();
            let (first_row, rows) = (made.n_rows, rows_of(&matrix).n_rows());
            made.n_rows += rows;
            made.parts.push(Part { matrix, first_row, columns, rising });
        }
        Ok(made)
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
