//! Lines of a stored matrix in the types of the file: rows, or columns where it is stored by columns.

use std::ops::Range;

use zensaibo_core::matrix::{RowBlocks, Scratch};
use zensaibo_core::parallel::pieces;
use zensaibo_core::{Ctx, Error, Result};

use crate::numbers::Buffers;
use crate::rows::{FileRows, MatrixLayout, StoredMatrix};
use crate::value::SparseArray;
use crate::values::{Dtype, Values};

/// Values that one piece of lines aims at.
const PIECE: usize = 1 << 19;

/// Some lines.
pub(crate) enum Piece {
    /// Stored values: where each line ends (from 0, one more than there are lines), places within the lines, values.
    Sparse(Vec<u64>, Vec<u32>, Values),
    /// Every value, line after line.
    Dense(Values),
}

enum Held {
    /// Pointers in memory, the rest in the file.
    Sparse(Vec<u64>),
    Dense,
    /// Rows made of columns within a limit of memory.
    Packed(Box<FileRows>),
    /// Turned from columns into rows in memory.
    Turned(Vec<u64>, Vec<u32>, Values),
}

/// A matrix whose lines are read piece by piece.
pub(crate) struct Lines {
    matrix: StoredMatrix,
    held: Held,
    /// Lines, and length of each.
    pub(crate) shape: (usize, usize),
}

impl Lines {
    /// The rows of a matrix. One stored by columns takes what `Turning` does by default, where f32 holds its values and none is
    /// repeated; otherwise it is held: its own size, and 16 bytes per value while it is turned.
    pub(crate) fn rows(matrix: StoredMatrix, ctx: &Ctx) -> Result<Self> {
        if matrix.layout != MatrixLayout::Csc {
            return Self::stored(matrix, ctx);
        }
        let shape = (matrix.n_rows, matrix.n_cols);
        let dtype = matrix.values.dtype;
        if matches!(dtype, Dtype::F32 | Dtype::I8 | Dtype::I16 | Dtype::U8 | Dtype::U16 | Dtype::Bool) {
            let rows = FileRows::new(matrix.clone(), ctx)?;
            if rows.n_entries() == matrix.values.len() {
                return Ok(Self { held: Held::Packed(Box::new(rows)), matrix, shape });
            }
        }
        let SparseArray { indptr, indices, values, .. } = matrix.read_sparse(ctx)?;
        let refused = || Error::Internal("indices that were checked are no whole numbers".into());
        let (ends, rows) = (indptr.to_i64().ok_or_else(refused)?, indices.to_i64().ok_or_else(refused)?);
        let mut starts = vec![0u64; shape.0 + 1];
        rows.iter().for_each(|&row| starts[row as usize + 1] += 1);
        for row in 0..shape.0 {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let (mut columns, mut places) = (vec![0u32; rows.len()], vec![0usize; rows.len()]);
        for (column, ends) in ends.windows(2).enumerate() {
            for at in ends[0] as usize..ends[1] as usize {
                let place = &mut next[rows[at] as usize];
                (columns[*place as usize], places[*place as usize]) = (column as u32, at);
                *place += 1;
            }
        }
        Ok(Self { held: Held::Turned(starts, columns, values.take(&places, 1)), matrix, shape })
    }

    /// The lines as they are stored: rows, or the columns of a matrix stored by columns. 8 bytes per line.
    pub(crate) fn stored(matrix: StoredMatrix, ctx: &Ctx) -> Result<Self> {
        let shape = match matrix.layout {
            MatrixLayout::Csc => (matrix.n_cols, matrix.n_rows),
            _ => (matrix.n_rows, matrix.n_cols),
        };
        let held = match &matrix.sparse {
            Some((_, indptr)) => Held::Sparse(matrix.pointers(indptr, ctx)?),
            None => Held::Dense,
        };
        Ok(Self { matrix, held, shape })
    }

    /// Stored values; all values of a dense matrix.
    pub(crate) fn entries(&self) -> usize {
        self.matrix.values.len()
    }

    /// Ranges of lines that are read at a time; they depend on the matrix alone.
    pub(crate) fn pieces(&self) -> Vec<Range<usize>> {
        let per_line = self.entries().div_ceil(self.shape.0.max(1)).max(1);
        pieces(self.shape.0, (PIECE / per_line).max(1))
    }

    /// Reads some lines.
    pub(crate) fn read(&self, lines: Range<usize>) -> Result<Piece> {
        let local = |pointers: &[u64]| -> (Range<usize>, Vec<u64>) {
            let (from, to) = (pointers[lines.start], pointers[lines.end]);
            (from as usize..to as usize, pointers[lines.start..=lines.end].iter().map(|&at| at - from).collect())
        };
        match &self.held {
            Held::Dense => Ok(Piece::Dense(self.matrix.values.read_some(lines, &mut Buffers::default())?)),
            Held::Sparse(pointers) => {
                let Some((indices, _)) = &self.matrix.sparse else {
                    return Err(Error::Internal("pointers of a dense matrix".into()));
                };
                let (span, ends) = local(pointers);
                let mut buffers = Buffers::default();
                let mut places = vec![0u32; span.len()];
                indices.read_columns(span.clone(), self.shape.1, &mut places, &mut buffers)?;
                Ok(Piece::Sparse(ends, places, self.matrix.values.read_some(span, &mut buffers)?))
            }
            Held::Packed(rows) => {
                let mut scratch = Scratch::default();
                rows.read_rows(lines, &mut scratch)?;
                Ok(Piece::Sparse(scratch.indptr, scratch.indices, of_type(self.matrix.values.dtype, scratch.values)))
            }
            Held::Turned(pointers, columns, values) => {
                let (span, ends) = local(pointers);
                let places: Vec<usize> = span.clone().collect();
                Ok(Piece::Sparse(ends, columns[span].to_vec(), values.take(&places, 1)))
            }
        }
    }
}

/// Values that came from a type which f32 holds, in that type.
fn of_type(dtype: Dtype, values: Vec<f32>) -> Values {
    match dtype {
        Dtype::I8 => Values::I8(values.into_iter().map(|value| value as i8).collect()),
        Dtype::I16 => Values::I16(values.into_iter().map(|value| value as i16).collect()),
        Dtype::U8 => Values::U8(values.into_iter().map(|value| value as u8).collect()),
        Dtype::U16 => Values::U16(values.into_iter().map(|value| value as u16).collect()),
        Dtype::Bool => Values::Bool(values.into_iter().map(|value| value as u8).collect()),
        _ => Values::F32(values),
    }
}
