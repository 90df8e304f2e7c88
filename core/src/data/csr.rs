//! A compressed sparse row matrix that owns its parts.

use rayon::prelude::*;

use crate::parallel::pieces;
use crate::{DataFault, Error, Result};

/// Cells x genes in compressed sparse rows: u32 columns, u64 row pointers, f32 values.
///
/// Columns are sorted within a row and occur once (see [`Csr::canonical`]). 2^31 stored values is no limit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr {
    /// Number of rows (cells).
    pub n_rows: usize,
    /// Number of columns (genes).
    pub n_cols: usize,
    /// Where each row starts in `indices` and `values`; `n_rows + 1` long, starts at 0.
    pub indptr: Vec<u64>,
    /// Column of each stored value.
    pub indices: Vec<u32>,
    /// The stored values.
    pub values: Vec<f32>,
}

impl Csr {
    /// A checked matrix.
    ///
    /// # Errors
    /// [`Error::Data`] when lengths disagree, pointers fall, or a column is out of range.
    pub fn new(n_rows: usize, n_cols: usize, indptr: Vec<u64>, indices: Vec<u32>, values: Vec<f32>) -> Result<Self> {
        let matrix = Self { n_rows, n_cols, indptr, indices, values };
        check_parts(n_rows, n_cols, &matrix.indptr, &matrix.indices, matrix.values.len())?;
        Ok(matrix)
    }

    /// The values other than zero of dense rows.
    #[cfg(test)]
    pub(crate) fn from_dense(n_cols: usize, values: &[f32]) -> Self {
        let (mut indptr, mut indices, mut stored) = (vec![0u64], Vec::new(), Vec::new());
        for row in values.chunks_exact(n_cols) {
            for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                indices.push(column as u32);
                stored.push(value);
            }
            indptr.push(indices.len() as u64);
        }
        Self { n_rows: values.len() / n_cols, n_cols, indptr, indices, values: stored }
    }

    /// A matrix without stored values.
    pub fn empty(n_rows: usize, n_cols: usize) -> Self {
        Self { n_rows, n_cols, indptr: vec![0; n_rows + 1], indices: Vec::new(), values: Vec::new() }
    }

    /// Number of stored values.
    pub fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Columns and values of one row.
    #[inline]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let span = self.indptr[row] as usize..self.indptr[row + 1] as usize;
        (&self.indices[span.clone()], &self.values[span])
    }

    /// Sorts columns within rows and sums duplicates, as scipy's `sum_duplicates` does. Returns whether
    /// anything changed. Costs one scan when the matrix is canonical already.
    pub fn canonical(&mut self) -> bool {
        let sorted = (0..self.n_rows).all(|row| self.row(row).0.windows(2).all(|pair| pair[0] < pair[1]));
        if sorted {
            return false;
        }
        let (mut write, mut start) = (0usize, 0usize);
        let mut row_buffer: Vec<(u32, f32)> = Vec::new();
        for row in 0..self.n_rows {
            let end = self.indptr[row + 1] as usize;
            row_buffer.clear();
            row_buffer.extend(self.indices[start..end].iter().copied().zip(self.values[start..end].iter().copied()));
            row_buffer.sort_by_key(|&(column, _)| column);
            let first = write;
            for &(column, value) in &row_buffer {
                if write > first && self.indices[write - 1] == column {
                    self.values[write - 1] += value;
                } else {
                    self.indices[write] = column;
                    self.values[write] = value;
                    write += 1;
                }
            }
            start = end;
            self.indptr[row + 1] = write as u64;
        }
        self.indices.truncate(write);
        self.values.truncate(write);
        true
    }

    /// From columns (CSC: `indptr` over columns, `indices` are rows) to rows, as [`Csr::transpose`]; the parts are
    /// read where they lie.
    ///
    /// # Errors
    /// [`Error::Data`] as for [`Csr::new`].
    pub fn from_csc(n_rows: usize, n_cols: usize, indptr: &[u64], indices: &[u32], values: &[f32]) -> Result<Self> {
        check_parts(n_cols, n_rows, indptr, indices, values.len())?;
        Ok(transpose(n_cols, n_rows, indptr, indices, values))
    }

    /// The transposed matrix, with sorted columns. Parallel, stable, O(nnz), the same bits for any number of
    /// threads. Memory: the result (8 bytes per non-zero), and 12 bytes per non-zero while it is made.
    pub fn transpose(&self) -> Self {
        transpose(self.n_rows, self.n_cols, &self.indptr, &self.indices, &self.values)
    }
}

/// A piece of the rows, sorted by strip of columns: for each strip where its entries start, and the entries.
struct Sorted {
    starts: Vec<usize>,
    rows: Vec<u32>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// Transposes compressed rows: a stable counting sort by column, in two parallel steps.
///
/// Pieces of rows are each sorted by strip of columns; then each strip of columns, whose place in the result is
/// known, gathers its entries from all pieces in order. The strips are narrow enough that the places being written
/// stay in the cache. Every entry's place follows from the data alone.
fn transpose(n_rows: usize, n_cols: usize, indptr: &[u64], indices: &[u32], values: &[f32]) -> Csr {
    /// Entries per piece of rows.
    const ENTRIES: usize = 1 << 20;
    let nnz = values.len();
    let strips = n_cols.clamp(1, (nnz >> 16).clamp(1, 256));
    let width = n_cols.div_ceil(strips).max(1);
    let strips = n_cols.div_ceil(width);
    let per_piece = (ENTRIES / nnz.div_ceil(n_rows.max(1)).max(1)).clamp(16, 1 << 20);
    let sorted: Vec<Sorted> = pieces(n_rows, per_piece)
        .into_par_iter()
        .map(|rows| sort_piece(rows, strips, width, indptr, indices, values))
        .collect();
    let mut out_indptr = vec![0u64; n_cols + 1];
    let mut out_indices = vec![0u32; nnz];
    let mut out_values = vec![0f32; nnz];
    {
        // The parts of the result that belong to each strip.
        let (mut pointers, mut index_rest, mut value_rest) =
            (&mut out_indptr[1..], &mut out_indices[..], &mut out_values[..]);
        let mut parts = Vec::with_capacity(strips);
        let mut first = 0u64;
        for strip in 0..strips {
            let length: usize = sorted.iter().map(|piece| piece.starts[strip + 1] - piece.starts[strip]).sum();
            let taken = width.min(pointers.len());
            let (own_pointers, rest) = pointers.split_at_mut(taken);
            let (own_indices, rest_indices) = index_rest.split_at_mut(length);
            let (own_values, rest_values) = value_rest.split_at_mut(length);
            parts.push((strip, first, own_pointers, own_indices, own_values));
            (pointers, index_rest, value_rest) = (rest, rest_indices, rest_values);
            first += length as u64;
        }
        parts.into_par_iter().for_each(|(strip, first, pointers, indices, values)| {
            gather_strip(&sorted, strip, strip * width, first, pointers, indices, values);
        });
    }
    Csr { n_rows: n_cols, n_cols: n_rows, indptr: out_indptr, indices: out_indices, values: out_values }
}

/// Sorts the entries of some rows by strip of columns, rows rising within a strip.
fn sort_piece(
    rows: std::ops::Range<usize>,
    strips: usize,
    width: usize,
    indptr: &[u64],
    indices: &[u32],
    values: &[f32],
) -> Sorted {
    let span = indptr[rows.start] as usize..indptr[rows.end] as usize;
    let mut starts = vec![0usize; strips + 1];
    for &column in &indices[span.clone()] {
        starts[column as usize / width + 1] += 1;
    }
    for strip in 0..strips {
        starts[strip + 1] += starts[strip];
    }
    let mut next = starts.clone();
    let length = span.len();
    let (mut out_rows, mut out_columns, mut out_values) = (vec![0u32; length], vec![0u32; length], vec![0f32; length]);
    for row in rows {
        for at in indptr[row] as usize..indptr[row + 1] as usize {
            let place = &mut next[indices[at] as usize / width];
            out_rows[*place] = row as u32;
            out_columns[*place] = indices[at];
            out_values[*place] = values[at];
            *place += 1;
        }
    }
    Sorted { starts, rows: out_rows, columns: out_columns, values: out_values }
}

/// Fills the rows of the result that are columns `column..` of the source: `pointers` their ends, counted from the
/// start of the result, where this strip starts at `first`.
fn gather_strip(
    sorted: &[Sorted],
    strip: usize,
    column: usize,
    first: u64,
    pointers: &mut [u64],
    indices: &mut [u32],
    values: &mut [f32],
) {
    let mut next = vec![0usize; pointers.len() + 1];
    for piece in sorted {
        for &at in &piece.columns[piece.starts[strip]..piece.starts[strip + 1]] {
            next[at as usize - column + 1] += 1;
        }
    }
    for local in 0..pointers.len() {
        next[local + 1] += next[local];
        pointers[local] = first + next[local + 1] as u64;
    }
    for piece in sorted {
        for at in piece.starts[strip]..piece.starts[strip + 1] {
            let place = &mut next[piece.columns[at] as usize - column];
            indices[*place] = piece.rows[at];
            values[*place] = piece.values[at];
            *place += 1;
        }
    }
}

/// Checks the parts of compressed rows: pointers, lengths, columns in range.
fn check_parts(n_rows: usize, n_cols: usize, indptr: &[u64], indices: &[u32], n_values: usize) -> Result<()> {
    check_indptr(indptr, n_rows, n_values, "matrix")?;
    if indices.len() != n_values {
        let found = format!("{} and {n_values}", indices.len());
        return Err(Error::data(DataFault::Shape, "matrix", "as many column indices as values", found));
    }
    if let Some(&column) = indices.iter().find(|&&column| column as usize >= n_cols) {
        return Err(Error::data(DataFault::Invalid, "matrix indices", format!("columns below {n_cols}"), column));
    }
    Ok(())
}

/// Checks row pointers: length, start, order, end.
///
/// # Errors
/// [`Error::Data`] naming `what` and the first fault.
pub(crate) fn check_indptr(indptr: &[u64], n_rows: usize, nnz: usize, what: &str) -> Result<()> {
    let fault =
        |expected: String, found: String| Err(Error::data(DataFault::Shape, format!("{what} indptr"), expected, found));
    if indptr.len() != n_rows + 1 {
        return fault(format!("{} entries", n_rows + 1), indptr.len().to_string());
    }
    if indptr[0] != 0 {
        return fault("to start at 0".into(), indptr[0].to_string());
    }
    if let Some(row) = indptr.windows(2).position(|pair| pair[0] > pair[1]) {
        return fault("never to fall".into(), format!("{} after {} at row {row}", indptr[row + 1], indptr[row]));
    }
    if indptr[n_rows] != nnz as u64 {
        return fault(format!("to end at {nnz}"), indptr[n_rows].to_string());
    }
    Ok(())
}

impl From<Csr> for sprs::CsMatI<f32, u32, u64> {
    /// Moves the parts into a sprs matrix. The matrix must be canonical.
    fn from(matrix: Csr) -> Self {
        sprs::CsMatI::new((matrix.n_rows, matrix.n_cols), matrix.indptr, matrix.indices, matrix.values)
    }
}

impl From<sprs::CsMatI<f32, u32, u64>> for Csr {
    /// Takes the parts of a sprs matrix; column storage is transposed to rows.
    fn from(matrix: sprs::CsMatI<f32, u32, u64>) -> Self {
        let matrix = if matrix.is_csr() { matrix } else { matrix.to_csr() };
        let (n_rows, n_cols) = matrix.shape();
        let (indptr, indices, values) = matrix.into_raw_storage();
        Self { n_rows, n_cols, indptr, indices, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Csr {
        // [[0, 1, 0], [2, 0, 3], [0, 0, 0]]
        Csr::new(3, 3, vec![0, 1, 3, 3], vec![1, 0, 2], vec![1.0, 2.0, 3.0]).unwrap()
    }

    #[test]
    fn transposes_by_hand() {
        let transposed = example().transpose();
        assert_eq!(transposed.indptr, [0, 1, 2, 3]);
        assert_eq!(transposed.indices, [1, 0, 1]);
        assert_eq!(transposed.values, [2.0, 1.0, 3.0]);
        assert_eq!(transposed.transpose(), example());
    }

    /// The slow, obvious transposition: one column after the other.
    fn transposed_slowly(matrix: &Csr) -> Csr {
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for wanted in 0..matrix.n_cols as u32 {
            for row in 0..matrix.n_rows {
                let (columns, row_values) = matrix.row(row);
                for (_, &value) in columns.iter().zip(row_values).filter(|&(&column, _)| column == wanted) {
                    indices.push(row as u32);
                    values.push(value);
                }
            }
            indptr.push(indices.len() as u64);
        }
        Csr::new(matrix.n_cols, matrix.n_rows, indptr, indices, values).unwrap()
    }

    #[test]
    fn transposes_as_the_slow_way_over_a_grid() {
        for (n, g, per_row) in [(0, 5, 0), (5, 0, 0), (1, 1, 1), (7, 300, 40), (2000, 3, 2), (60, 17, 17), (400, 65, 9)]
        {
            let (mut indptr, mut indices) = (vec![0u64], Vec::new());
            for row in 0..n {
                let mut columns: Vec<u32> = (0..per_row).map(|j| ((row * 31 + j * j * 7) % g.max(1)) as u32).collect();
                columns.sort_unstable();
                columns.dedup();
                indices.extend(columns);
                indptr.push(indices.len() as u64);
            }
            let values = (0..indices.len()).map(|i| i as f32 + 0.5).collect();
            let matrix = Csr::new(n, g, indptr, indices, values).unwrap();
            assert_eq!(matrix.transpose(), transposed_slowly(&matrix), "{n} x {g}");
            assert_eq!(matrix.transpose().transpose(), matrix, "{n} x {g}");
        }
    }

    #[test]
    fn a_large_transposition_is_the_same_for_any_number_of_threads() {
        // 3 million entries: several pieces of rows and several strips of columns.
        let (n, g, per_row) = (30_000usize, 5_003usize, 100usize);
        let indices: Vec<u32> =
            (0..n * per_row).map(|at| ((at % per_row) * 50 + (at / per_row * 7) % 50) as u32).collect();
        let values = (0..n * per_row).map(|at| at as f32).collect();
        let matrix = Csr::new(n, g, (0..=n).map(|row| (row * per_row) as u64).collect(), indices, values).unwrap();
        let run = |threads| crate::parallel::with_threads(Some(threads), || Ok(matrix.transpose())).unwrap();
        let one = run(1);
        for column in 0..g {
            assert!(one.row(column).0.is_sorted());
        }
        assert_eq!(run(2), one);
        assert_eq!(run(8), one);
        assert_eq!(one.transpose(), matrix);
    }

    #[test]
    fn column_storage_becomes_rows() {
        let by_column = example().transpose();
        let rows = Csr::from_csc(3, 3, &by_column.indptr, &by_column.indices, &by_column.values).unwrap();
        assert_eq!(rows, example());
    }

    #[test]
    fn canonical_sorts_and_sums() {
        let mut matrix = Csr::new(2, 3, vec![0, 3, 4], vec![2, 0, 2, 1], vec![1.0, 5.0, 2.0, 4.0]).unwrap();
        assert!(matrix.canonical());
        assert_eq!((matrix.indptr.as_slice(), matrix.indices.as_slice()), (&[0, 2, 3][..], &[0, 2, 1][..]));
        assert_eq!(matrix.values, [5.0, 3.0, 4.0]);
        assert!(!matrix.canonical());
    }

    #[test]
    fn sprs_round_trip() {
        let there: sprs::CsMatI<f32, u32, u64> = example().into();
        assert_eq!(there.get(1, 2), Some(&3.0));
        assert_eq!(Csr::from(there), example());
    }

    #[test]
    fn faults_are_named() {
        let error =
            |indptr, indices: Vec<u32>, values| Csr::new(2, 2, indptr, indices, values).unwrap_err().to_string();
        assert!(error(vec![0, 1], vec![0], vec![1.0]).contains("3 entries"));
        assert!(error(vec![1, 1, 1], vec![0], vec![1.0]).contains("start at 0"));
        assert!(error(vec![0, 2, 1], vec![0], vec![1.0]).contains("never to fall"));
        assert!(error(vec![0, 1, 1], vec![7], vec![1.0]).contains("below 2"));
        assert!(error(vec![0, 1, 2], vec![0], vec![1.0]).contains("end at 1"));
    }
}
