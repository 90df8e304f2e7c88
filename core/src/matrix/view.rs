//! Sources over memory that somebody else owns (numpy, scipy), in whatever number type it has.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;

use super::source::block_range;
use super::{RowBlock, RowBlocks, Scratch, rows_per_block};
use crate::data::check_indptr;
use crate::{DataFault, Error, Result};

/// Borrowed values of any of the number types that count matrices come in.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum ValueSlice<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U8(&'a [u8]),
    U16(&'a [u16]),
    U32(&'a [u32]),
    U64(&'a [u64]),
}

impl<'a> ValueSlice<'a> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::U64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of `span` as f32: lent when they are f32 already, else converted into `buffer`.
    pub fn as_f32<'b>(&self, span: Range<usize>, buffer: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        fn convert<'b, T: Copy>(values: &[T], buffer: &'b mut Vec<f32>, cast: impl Fn(T) -> f32) -> &'b [f32] {
            buffer.clear();
            buffer.extend(values.iter().map(|&value| cast(value)));
            buffer
        }
        match *self {
            Self::F32(v) => &v[span],
            Self::F64(v) => convert(&v[span], buffer, |x| x as f32),
            Self::I32(v) => convert(&v[span], buffer, |x| x as f32),
            Self::I64(v) => convert(&v[span], buffer, |x| x as f32),
            Self::U8(v) => convert(&v[span], buffer, f32::from),
            Self::U16(v) => convert(&v[span], buffer, f32::from),
            Self::U32(v) => convert(&v[span], buffer, |x| x as f32),
            Self::U64(v) => convert(&v[span], buffer, |x| x as f32),
        }
    }
}

/// Borrowed column indices of any of the integer types that scipy uses.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum IndexSlice<'a> {
    U32(&'a [u32]),
    I32(&'a [i32]),
    I64(&'a [i64]),
    U64(&'a [u64]),
}

impl<'a> IndexSlice<'a> {
    /// Number of indices.
    pub fn len(&self) -> usize {
        match self {
            Self::U32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The indices of `span` as u32. They must have been checked to lie in range.
    fn as_u32<'b>(&self, span: Range<usize>, buffer: &'b mut Vec<u32>) -> &'b [u32]
    where
        'a: 'b,
    {
        match *self {
            Self::U32(v) => &v[span],
            // Same size, and checked not to be negative.
            Self::I32(v) => bytemuck::cast_slice(&v[span]),
            Self::I64(v) => {
                buffer.clear();
                buffer.extend(v[span].iter().map(|&x| x as u32));
                buffer
            }
            Self::U64(v) => {
                buffer.clear();
                buffer.extend(v[span].iter().map(|&x| x as u32));
                buffer
            }
        }
    }

    /// Checks rows `indptr[..]`: every column in `0..n_cols`, rising within its row. One parallel scan.
    fn check(&self, indptr: &[u64], n_cols: usize) -> Result<()> {
        fn scan<T: Copy + PartialOrd + Send + Sync>(
            indices: &[T],
            indptr: &[u64],
            n_cols: usize,
            widen: impl Fn(T) -> i128 + Sync,
        ) -> Result<()> {
            indptr
                .par_windows(2)
                .enumerate()
                .with_min_len(256)
                .map(|(row, ends)| {
                    let row_indices = &indices[ends[0] as usize..ends[1] as usize];
                    let (Some(&first), Some(&last)) = (row_indices.first(), row_indices.last()) else { return Ok(()) };
                    if !rises(row_indices) {
                        let expected = "columns that rise within each row (call sum_duplicates() first)";
                        let found = format!("unsorted or repeated columns in row {row}");
                        return Err(Error::data(DataFault::Invalid, "matrix indices", expected, found));
                    }
                    // Rising, so the ends bound the row.
                    if widen(first) < 0 || widen(last) >= n_cols as i128 {
                        let found = format!("{} to {} in row {row}", widen(first), widen(last));
                        let expected = format!("columns in 0..{n_cols}");
                        return Err(Error::data(DataFault::Invalid, "matrix indices", expected, found));
                    }
                    Ok(())
                })
                .find_map_first(Result::err)
                .map_or(Ok(()), Err)
        }
        match *self {
            Self::U32(v) => scan(v, indptr, n_cols, i128::from),
            Self::I32(v) => scan(v, indptr, n_cols, i128::from),
            Self::I64(v) => scan(v, indptr, n_cols, i128::from),
            Self::U64(v) => scan(v, indptr, n_cols, i128::from),
        }
    }
}

/// Whether each entry is above the one before it.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn rises<T: Copy + PartialOrd>(entries: &[T]) -> bool {
    let pairs = entries.len().saturating_sub(1);
    let (before, after) = (&entries[..pairs], &entries[entries.len() - pairs..]);
    let mut ok = true;
    for i in 0..pairs {
        ok &= before[i] < after[i];
    }
    ok
}

/// Compressed sparse rows in borrowed memory. Lends its blocks without copying when values are f32 and
/// columns are 32 bits wide; converts block by block otherwise.
#[derive(Clone, Debug)]
pub struct SparseView<'a> {
    n_rows: usize,
    n_cols: usize,
    indptr: Vec<u64>,
    indices: IndexSlice<'a>,
    values: ValueSlice<'a>,
}

impl<'a> SparseView<'a> {
    /// A checked view: O(nnz) scan of the columns, in parallel. Copies the row pointers (8 bytes per row).
    ///
    /// # Errors
    /// [`Error::Data`] for lengths that disagree, columns out of range, unsorted or repeated.
    pub fn new(
        n_rows: usize,
        n_cols: usize,
        indptr: IndexSlice<'_>,
        indices: IndexSlice<'a>,
        values: ValueSlice<'a>,
    ) -> Result<Self> {
        let widened: Option<Vec<u64>> = match indptr {
            IndexSlice::U32(v) => Some(v.iter().map(|&x| u64::from(x)).collect()),
            IndexSlice::I32(v) => v.iter().map(|&x| u64::try_from(x).ok()).collect(),
            IndexSlice::I64(v) => v.iter().map(|&x| u64::try_from(x).ok()).collect(),
            IndexSlice::U64(v) => Some(v.to_vec()),
        };
        let indptr = widened.ok_or_else(|| {
            Error::data(DataFault::Invalid, "matrix indptr", "row pointers of at least 0", "a negative one")
        })?;
        check_indptr(&indptr, n_rows, values.len(), "matrix")?;
        if indices.len() != values.len() {
            let found = format!("{} and {}", indices.len(), values.len());
            return Err(Error::data(DataFault::Shape, "matrix", "as many column indices as values", found));
        }
        if n_cols > u32::MAX as usize {
            return Err(Error::data(DataFault::Shape, "matrix", "fewer than 2^32 columns", n_cols));
        }
        indices.check(&indptr, n_cols)?;
        Ok(Self { n_rows, n_cols, indptr, indices, values })
    }

    /// The row pointers.
    pub fn indptr(&self) -> &[u64] {
        &self.indptr
    }
}

impl RowBlocks for SparseView<'_> {
    fn n_rows(&self) -> usize {
        self.n_rows
    }
    fn n_cols(&self) -> usize {
        self.n_cols
    }
    fn n_entries(&self) -> usize {
        self.values.len()
    }
    fn n_blocks(&self) -> usize {
        self.n_rows.div_ceil(rows_per_block(self.n_rows, self.values.len()))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        block_range(block, self.n_rows, self.values.len())
    }
    fn is_cheap_to_read(&self) -> bool {
        true
    }
    fn read<'b>(&'b self, block: usize, scratch: &'b mut Scratch) -> Result<RowBlock<'b>> {
        let rows = self.block_rows(block);
        let (from, to) = (self.indptr[rows.start], self.indptr[rows.end]);
        let span = from as usize..to as usize;
        let Scratch { indptr, indices, values, .. } = scratch;
        indptr.clear();
        indptr.extend(self.indptr[rows.start..=rows.end].iter().map(|&at| at - from));
        Ok(RowBlock {
            first_row: rows.start,
            n_cols: self.n_cols,
            indptr,
            indices: self.indices.as_u32(span.clone(), indices),
            values: self.values.as_f32(span, values),
        })
    }
}

/// A dense row-major matrix in borrowed memory. Zeros are left out of the blocks, so it behaves to the last
/// bit as the same matrix in sparse rows does.
#[derive(Clone, Debug)]
pub struct DenseView<'a> {
    n_rows: usize,
    n_cols: usize,
    values: ValueSlice<'a>,
    non_zeros: usize,
}

impl<'a> DenseView<'a> {
    /// A view of `n_rows * n_cols` values, row after row. Counts the non-zeros once.
    ///
    /// # Errors
    /// [`Error::Data`] when the length disagrees.
    pub fn new(n_rows: usize, n_cols: usize, values: ValueSlice<'a>) -> Result<Self> {
        if n_rows.checked_mul(n_cols) != Some(values.len()) {
            let expected = format!("{n_rows} x {n_cols} values");
            return Err(Error::data(DataFault::Shape, "matrix", expected, values.len()));
        }
        if n_cols > u32::MAX as usize {
            return Err(Error::data(DataFault::Shape, "matrix", "fewer than 2^32 columns", n_cols));
        }
        let non_zeros = (0..n_rows)
            .into_par_iter()
            .map_init(Vec::new, |buffer, row| {
                values.as_f32(row * n_cols..(row + 1) * n_cols, buffer).iter().filter(|&&x| x != 0.0).count()
            })
            .sum();
        Ok(Self { n_rows, n_cols, values, non_zeros })
    }
}

impl RowBlocks for DenseView<'_> {
    fn n_rows(&self) -> usize {
        self.n_rows
    }
    fn n_cols(&self) -> usize {
        self.n_cols
    }
    fn n_entries(&self) -> usize {
        self.non_zeros
    }
    fn n_blocks(&self) -> usize {
        self.n_rows.div_ceil(rows_per_block(self.n_rows, self.non_zeros))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        block_range(block, self.n_rows, self.non_zeros)
    }
    fn is_cheap_to_read(&self) -> bool {
        true
    }
    fn read<'b>(&'b self, block: usize, scratch: &'b mut Scratch) -> Result<RowBlock<'b>> {
        let rows = self.block_rows(block);
        scratch.begin();
        let mut buffer = Vec::new();
        for row in rows.clone() {
            let values = self.values.as_f32(row * self.n_cols..(row + 1) * self.n_cols, &mut buffer);
            for (column, &value) in values.iter().enumerate() {
                if value != 0.0 {
                    scratch.indices.push(column as u32);
                    scratch.values.push(value);
                }
            }
            scratch.end_row();
        }
        Ok(scratch.as_block(rows.start, self.n_cols))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ctx;
    use crate::data::Csr;
    use crate::matrix::collect;

    #[test]
    fn every_representation_gives_the_same_matrix() {
        let expected = Csr::new(3, 3, vec![0, 2, 2, 3], vec![0, 2, 1], vec![1.0, 2.0, 3.0]).unwrap();
        let gather = |source: &dyn RowBlocks| collect(source, &Ctx::quiet()).unwrap();
        let (ptr, cols) = ([0i64, 2, 2, 3], [0i32, 2, 1]);
        let f64s = [1.0f64, 2.0, 3.0];
        let view =
            SparseView::new(3, 3, IndexSlice::I64(&ptr), IndexSlice::I32(&cols), ValueSlice::F64(&f64s)).unwrap();
        assert_eq!(gather(&view), expected);
        let (ptr, cols) = ([0u32, 2, 2, 3], [0i64, 2, 1]);
        let bytes = [1u8, 2, 3];
        let view =
            SparseView::new(3, 3, IndexSlice::U32(&ptr), IndexSlice::I64(&cols), ValueSlice::U8(&bytes)).unwrap();
        assert_eq!(gather(&view), expected);
        let dense = [1i32, 0, 2, 0, 0, 0, 0, 3, 0];
        assert_eq!(gather(&DenseView::new(3, 3, ValueSlice::I32(&dense)).unwrap()), expected);
    }

    #[test]
    fn bad_columns_are_refused() {
        let fault = |cols: &[i32]| {
            let ones = vec![1.0f32; cols.len()];
            let ptr = [0i32, cols.len() as i32];
            SparseView::new(1, 3, IndexSlice::I32(&ptr), IndexSlice::I32(cols), ValueSlice::F32(&ones))
                .unwrap_err()
                .to_string()
        };
        assert!(fault(&[0, 3]).contains("0..3"));
        assert!(fault(&[-1, 1]).contains("-1"));
        assert!(fault(&[1, 1]).contains("repeated"));
        assert!(fault(&[2, 1]).contains("unsorted"));
        let short = DenseView::new(2, 2, ValueSlice::F32(&[1.0])).unwrap_err().to_string();
        assert!(short.contains("2 x 2"), "{short}");
    }
}
