//! Dropping rows and columns of a sparse matrix inside its own memory.

use std::ops::Range;

use rayon::prelude::*;

use crate::data::Csr;
use crate::{DataFault, Error, Result};

/// Rows per piece of work.
const PIECE: usize = 4096;

/// Keeps the rows and columns whose mask is true; an absent mask keeps all.
///
/// The arrays are rewritten where they lie and then shortened: no second copy of the matrix exists at any
/// time. O(nnz), in parallel; the result does not depend on the number of threads. It cannot be interrupted,
/// since a matrix halfway through would be of no use.
///
/// # Errors
/// [`Error::Data`] when a mask is not as long as the matrix has rows or columns; nothing is changed then.
pub fn compact_in_place(matrix: &mut Csr, row_mask: Option<&[bool]>, column_mask: Option<&[bool]>) -> Result<()> {
    let (n_rows, n_cols) = (matrix.n_rows, matrix.n_cols);
    check_mask("row mask", row_mask, n_rows)?;
    check_mask("column mask", column_mask, n_cols)?;
    compact_parts(&mut matrix.indptr, &mut matrix.indices, &mut matrix.values, row_mask, column_mask)?;
    matrix.n_rows = row_mask.map_or(n_rows, kept);
    matrix.n_cols = column_mask.map_or(n_cols, kept);
    matrix.indptr.truncate(matrix.n_rows + 1);
    let nnz = matrix.indptr.last().map_or(0, |&end| end as usize);
    matrix.indices.truncate(nnz);
    matrix.values.truncate(nnz);
    matrix.indices.shrink_to_fit();
    matrix.values.shrink_to_fit();
    Ok(())
}

/// A row pointer or column number of any width.
pub trait Index: Copy + Send + Sync {
    /// As u64; negative numbers become huge ones.
    fn to_u64(self) -> u64;
    /// From a number that came from this type and did not grow.
    fn from_u64(value: u64) -> Self;
}

macro_rules! index {
    ($($type:ty),+) => {$(
        impl Index for $type {
            #[inline(always)]
            fn to_u64(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn from_u64(value: u64) -> Self {
                value as $type
            }
        }
    )+};
}
index!(i32, i64, u32, u64);

fn kept(mask: &[bool]) -> usize {
    mask.iter().filter(|&&keep| keep).count()
}

fn check_mask(what: &str, mask: Option<&[bool]>, expected: usize) -> Result<()> {
    match mask {
        Some(mask) if mask.len() != expected => {
            Err(Error::data(DataFault::Shape, what, format!("{expected} entries"), mask.len()))
        }
        _ => Ok(()),
    }
}

/// [`compact_in_place`] on borrowed arrays of any number type. The result fills the front of each array: the
/// first `kept rows + 1` row pointers, and as many columns and values as the last of these says. Returns that
/// number. What lies behind is left as it falls.
///
/// # Errors
/// [`Error::Data`] when lengths disagree, row pointers fall, or a column is out of the range of the mask;
/// nothing is changed then.
pub fn compact_parts<P: Index, I: Index, V: Copy + Send + Sync>(
    indptr: &mut [P],
    indices: &mut [I],
    values: &mut [V],
    row_mask: Option<&[bool]>,
    column_mask: Option<&[bool]>,
) -> Result<usize> {
    let n_rows = indptr.len().saturating_sub(1);
    check_mask("row mask", row_mask, n_rows)?;
    let pointers: Vec<u64> = indptr.iter().map(|&at| at.to_u64()).collect();
    crate::data::check_indptr(&pointers, n_rows, values.len(), "matrix")?;
    if indices.len() != values.len() {
        let found = format!("{} and {}", indices.len(), values.len());
        return Err(Error::data(DataFault::Shape, "matrix", "as many column indices as values", found));
    }
    let renumbered = match column_mask {
        // Keeping every column changes none.
        Some(mask) if !mask.iter().all(|&keep| keep) => {
            let mut next = 0u32;
            let map = mask
                .iter()
                .map(|&keep| {
                    next += u32::from(keep);
                    if keep { next - 1 } else { u32::MAX }
                })
                .collect::<Vec<u32>>();
            if indices.par_iter().any(|column| column.to_u64() >= mask.len() as u64) {
                let expected = format!("columns below {}", mask.len());
                return Err(Error::data(DataFault::Invalid, "matrix indices", expected, "one beyond"));
            }
            Some(map)
        }
        _ => None,
    };
    // Each piece of rows moves its entries to its own front (in parallel); then the pieces close up (in order).
    let mut jobs = Vec::new();
    let (mut rest_indices, mut rest_values) = (&mut *indices, &mut *values);
    for rows in crate::parallel::pieces(n_rows, PIECE) {
        let length = (pointers[rows.end] - pointers[rows.start]) as usize;
        let (head_indices, tail_indices) = rest_indices.split_at_mut(length);
        let (head_values, tail_values) = rest_values.split_at_mut(length);
        jobs.push((rows, head_indices, head_values));
        (rest_indices, rest_values) = (tail_indices, tail_values);
    }
    let pieces: Vec<(Range<usize>, Vec<u64>)> = jobs
        .into_par_iter()
        .map(|(rows, indices, values)| {
            let lengths = compact_piece(&pointers, rows.clone(), indices, values, row_mask, renumbered.as_deref());
            (rows, lengths)
        })
        .collect();
    let (mut row, mut end) = (0, 0usize);
    for (rows, lengths) in pieces {
        let start = pointers[rows.start] as usize;
        let total = lengths.iter().sum::<u64>() as usize;
        if start != end {
            indices.copy_within(start..start + total, end);
            values.copy_within(start..start + total, end);
        }
        for length in lengths {
            row += 1;
            end += length as usize;
            indptr[row] = P::from_u64(end as u64);
        }
    }
    Ok(end)
}

/// Moves the kept entries of `rows` to the front of its slices; the length of each kept row comes back.
fn compact_piece<I: Index, V: Copy>(
    pointers: &[u64],
    rows: Range<usize>,
    indices: &mut [I],
    values: &mut [V],
    row_mask: Option<&[bool]>,
    renumbered: Option<&[u32]>,
) -> Vec<u64> {
    let base = pointers[rows.start];
    let mut lengths = Vec::with_capacity(rows.len());
    let mut write = 0;
    for row in rows {
        if row_mask.is_some_and(|mask| !mask[row]) {
            continue;
        }
        let span = (pointers[row] - base) as usize..(pointers[row + 1] - base) as usize;
        let from = write;
        match renumbered {
            None => {
                write += span.len();
                if from != span.start {
                    indices.copy_within(span.clone(), from);
                    values.copy_within(span, from);
                }
            }
            Some(map) => {
                for at in span {
                    // Written in any case, kept by moving on: no branch to guess.
                    let column = map[indices[at].to_u64() as usize];
                    indices[write] = I::from_u64(u64::from(column));
                    values[write] = values[at];
                    write += usize::from(column != u32::MAX);
                }
            }
        }
        lengths.push((write - from) as u64);
    }
    lengths
}
