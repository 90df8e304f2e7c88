//! A compressed sparse row matrix that owns its parts.

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
        matrix.check()?;
        Ok(matrix)
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

    fn check(&self) -> Result<()> {
        check_indptr(&self.indptr, self.n_rows, self.values.len(), "matrix")?;
        if self.indices.len() != self.values.len() {
            let found = format!("{} and {}", self.indices.len(), self.values.len());
            return Err(Error::data(DataFault::Shape, "matrix", "as many column indices as values", found));
        }
        if let Some(&column) = self.indices.iter().find(|&&column| column as usize >= self.n_cols) {
            return Err(Error::data(
                DataFault::Invalid,
                "matrix indices",
                format!("columns below {}", self.n_cols),
                column,
            ));
        }
        Ok(())
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

    /// From columns (CSC: `indptr` over columns, `indices` are rows) to rows. Serial, stable, O(nnz).
    ///
    /// # Errors
    /// [`Error::Data`] as for [`Csr::new`].
    pub fn from_csc(n_rows: usize, n_cols: usize, indptr: &[u64], indices: &[u32], values: &[f32]) -> Result<Self> {
        let by_column = Self {
            n_rows: n_cols,
            n_cols: n_rows,
            indptr: indptr.to_vec(),
            indices: indices.to_vec(),
            values: values.to_vec(),
        };
        by_column.check()?;
        Ok(by_column.transpose())
    }

    /// The transposed matrix, with sorted columns. Serial, O(nnz), memory of the result.
    pub fn transpose(&self) -> Self {
        let mut indptr = vec![0u64; self.n_cols + 1];
        for &column in &self.indices {
            indptr[column as usize + 1] += 1;
        }
        for column in 0..self.n_cols {
            indptr[column + 1] += indptr[column];
        }
        let mut next = indptr.clone();
        let mut indices = vec![0u32; self.nnz()];
        let mut values = vec![0f32; self.nnz()];
        for row in 0..self.n_rows {
            let (columns, row_values) = self.row(row);
            for (&column, &value) in columns.iter().zip(row_values) {
                let place = &mut next[column as usize];
                indices[*place as usize] = row as u32;
                values[*place as usize] = value;
                *place += 1;
            }
        }
        Self { n_rows: self.n_cols, n_cols: self.n_rows, indptr, indices, values }
    }
}

/// Checks row pointers: length, start, order, end.
///
/// # Errors
/// [`Error::Data`] naming `what` and the first fault.
pub(crate) fn check_indptr(indptr: &[u64], n_rows: usize, nnz: usize, what: &str) -> Result<()> {
    let fault = |expected: String, found: String| Err(Error::data(DataFault::Shape, format!("{what} indptr"), expected, found));
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
        let error = |indptr, indices: Vec<u32>, values| Csr::new(2, 2, indptr, indices, values).unwrap_err().to_string();
        assert!(error(vec![0, 1], vec![0], vec![1.0]).contains("3 entries"));
        assert!(error(vec![1, 1, 1], vec![0], vec![1.0]).contains("start at 0"));
        assert!(error(vec![0, 2, 1], vec![0], vec![1.0]).contains("never to fall"));
        assert!(error(vec![0, 1, 1], vec![7], vec![1.0]).contains("below 2"));
        assert!(error(vec![0, 1, 2], vec![0], vec![1.0]).contains("end at 1"));
    }
}
