//! A directed graph of neighbours in space, in memory of the caller.

use zensaibo_core::{DataFault, Error, Result};

/// Compressed rows as scipy lays them out; columns of a row strictly rise. An edge that is stored counts, whatever its weight.
#[derive(Clone, Copy, Debug)]
pub struct Edges<'a> {
    indptr: &'a [i64],
    indices: &'a [i32],
    weights: &'a [f64],
}

impl<'a> Edges<'a> {
    /// Checks the parts; `weights` has one entry per edge.
    ///
    /// # Errors
    /// [`Error::Data`]: `Shape` for parts that do not fit each other, `Invalid` for columns out of range or not rising,
    /// `NotFinite` for weights that are NaN or infinite.
    pub fn new(indptr: &'a [i64], indices: &'a [i32], weights: &'a [f64]) -> Result<Self> {
        const WHAT: &str = "graph of neighbours";
        let n = indptr.len().saturating_sub(1);
        let stored = indices.len() as i64;
        if indptr.first() != Some(&0) || indptr.last() != Some(&stored) || weights.len() != indices.len() {
            let found = format!("{} row pointers, {} columns, {} weights", indptr.len(), indices.len(), weights.len());
            return Err(Error::data(DataFault::Shape, WHAT, "compressed rows", found));
        }
        if indptr.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err(Error::data(DataFault::Invalid, WHAT, "row pointers that do not fall", "some that do"));
        }
        for row in 0..n {
            let columns = &indices[indptr[row] as usize..indptr[row + 1] as usize];
            let inside = columns.iter().all(|&column| column >= 0 && (column as usize) < n);
            if !inside || columns.windows(2).any(|pair| pair[0] >= pair[1]) {
                let expected = format!("columns from 0 to below {n} that rise within a row");
                return Err(Error::data(DataFault::Invalid, WHAT, expected, format!("others in row {row}")));
            }
        }
        if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(Error::data(DataFault::NotFinite, WHAT, "finite weights", weights[at]));
        }
        Ok(Self { indptr, indices, weights })
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the edges of a cell are stored.
    pub fn range(&self, cell: usize) -> std::ops::Range<usize> {
        self.indptr[cell] as usize..self.indptr[cell + 1] as usize
    }

    /// The neighbours of a cell.
    pub fn of(&self, cell: usize) -> &'a [i32] {
        &self.indices[self.range(cell)]
    }

    /// The weights of its edges.
    pub fn weights_of(&self, cell: usize) -> &'a [f64] {
        &self.weights[self.range(cell)]
    }

    /// All weights, row by row.
    pub fn weights(&self) -> &'a [f64] {
        self.weights
    }

    /// Where the edge from one cell to another is stored, if there is one.
    pub fn find(&self, from: usize, to: usize) -> Option<usize> {
        self.of(from).binary_search(&(to as i32)).ok().map(|at| self.range(from).start + at)
    }
}
