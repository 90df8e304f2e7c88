//! Weighted graphs of cells, as clustering, layouts and trajectories use them.
//!
//! A [`Graph`] is a square sparse matrix in compressed rows with finite, non-negative weights and sorted columns.
//! [`knn`](crate::knn) makes one from nearest neighbours.

mod components;

pub use components::Components;

#[cfg(test)]
mod tests;

use crate::data::{Csr, check_indptr};
use crate::{DataFault, Error, Result};

/// A weighted graph of `n` vertices in compressed sparse rows.
///
/// Row `i` lists the vertices that `i` points to, ascending, each once, with the weight of the edge. An undirected
/// graph holds every edge twice, as (i, j) and (j, i) with the same weight ([`Graph::is_symmetric`]). A self-loop
/// (i, i) is stored once. Memory: 8 bytes per stored edge and 8 per vertex.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Graph {
    /// Number of vertices, at most 2^32 - 1.
    pub n: usize,
    /// Where each row starts in `indices` and `weights`; `n + 1` long, starts at 0.
    pub indptr: Vec<u64>,
    /// Target vertex of each stored edge.
    pub indices: Vec<u32>,
    /// Weight of each stored edge: finite, at least 0.
    pub weights: Vec<f32>,
}

impl Graph {
    /// A checked graph. Cost: one pass over the edges.
    ///
    /// # Errors
    /// [`Error::Data`] naming the first fault: lengths that disagree, pointers that fall, a vertex out of range,
    /// columns of a row that are not strictly ascending, a weight that is negative, NaN or infinite.
    pub fn new(n: usize, indptr: Vec<u64>, indices: Vec<u32>, weights: Vec<f32>) -> Result<Self> {
        let graph = Self { n, indptr, indices, weights };
        graph.check()?;
        Ok(graph)
    }

    /// A graph without edges.
    pub fn empty(n: usize) -> Self {
        Self { n, indptr: vec![0; n + 1], indices: Vec::new(), weights: Vec::new() }
    }

    /// A graph from a square sparse matrix in any order: columns are sorted, duplicates summed.
    ///
    /// # Errors
    /// [`Error::Data`] if the matrix is not square, and as for [`Graph::new`].
    pub fn from_csr(mut matrix: Csr) -> Result<Self> {
        if matrix.n_rows != matrix.n_cols {
            let found = format!("{} x {}", matrix.n_rows, matrix.n_cols);
            return Err(Error::data(DataFault::Shape, "graph", "a square matrix", found));
        }
        check_indptr(&matrix.indptr, matrix.n_rows, matrix.values.len(), "graph")?;
        matrix.canonical();
        Self::new(matrix.n_rows, matrix.indptr, matrix.indices, matrix.values)
    }

    /// Number of stored edges (an undirected edge counts twice).
    pub fn nnz(&self) -> usize {
        self.indices.len()
    }

    /// Targets and weights of the edges of one vertex.
    #[inline]
    pub fn row(&self, vertex: usize) -> (&[u32], &[f32]) {
        let span = self.indptr[vertex] as usize..self.indptr[vertex + 1] as usize;
        (&self.indices[span.clone()], &self.weights[span])
    }

    /// Sum of the weights of each vertex' stored edges, in f64; `n` long. A self-loop counts once.
    pub fn degrees(&self) -> Vec<f64> {
        (0..self.n).map(|vertex| self.row(vertex).1.iter().map(|&weight| f64::from(weight)).sum()).collect()
    }

    /// Sum of all stored weights, in f64, in vertex order.
    pub fn total_weight(&self) -> f64 {
        self.degrees().iter().sum()
    }

    /// Whether every edge (i, j) has its twin (j, i) with exactly the same weight. One pass, 8 bytes per vertex.
    pub fn is_symmetric(&self) -> bool {
        // Rows are visited in ascending order and hold ascending columns, so the entries of row j must be
        // met in order too: one cursor per row replaces a search.
        let mut cursor: Vec<u64> = self.indptr[..self.n].to_vec();
        for vertex in 0..self.n {
            let (targets, weights) = self.row(vertex);
            for (&target, &weight) in targets.iter().zip(weights) {
                let target = target as usize;
                let twin = cursor[target] as usize;
                if twin as u64 >= self.indptr[target + 1]
                    || self.indices[twin] as usize != vertex
                    || self.weights[twin] != weight
                {
                    return false;
                }
                cursor[target] += 1;
            }
        }
        true
    }

    /// Mean of the graph and its transpose. O(edges), a copy of the graph in memory.
    ///
    /// # Errors
    /// As [`Graph::new`]; none for a graph that was checked.
    pub fn symmetrised(&self) -> Result<Self> {
        let rows = Csr::new(self.n, self.n, self.indptr.clone(), self.indices.clone(), self.weights.clone())?;
        let columns = rows.transpose();
        let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
        for vertex in 0..self.n {
            for part in [&rows, &columns] {
                let (targets, weights) = part.row(vertex);
                indices.extend_from_slice(targets);
                values.extend(weights.iter().map(|weight| 0.5 * weight));
            }
            indptr.push(indices.len() as u64);
        }
        Self::from_csr(Csr::new(self.n, self.n, indptr, indices, values)?)
    }

    fn check(&self) -> Result<()> {
        let Self { n, indptr, indices, weights } = self;
        if *n > u32::MAX as usize {
            return Err(Error::data(DataFault::Shape, "graph", format!("at most {} vertices", u32::MAX), n));
        }
        check_indptr(indptr, *n, weights.len(), "graph")?;
        if indices.len() != weights.len() {
            let found = format!("{} and {}", indices.len(), weights.len());
            return Err(Error::data(DataFault::Shape, "graph", "as many target vertices as weights", found));
        }
        if let Some(place) = indices.iter().position(|&target| target as usize >= *n) {
            let found = format!("{} at stored edge {place}", indices[place]);
            return Err(Error::data(DataFault::Invalid, "graph indices", format!("vertices below {n}"), found));
        }
        for vertex in 0..*n {
            let (targets, _) = self.row(vertex);
            if let Some(place) = targets.windows(2).position(|pair| pair[0] >= pair[1]) {
                let found = format!("{} after {} in row {vertex}", targets[place + 1], targets[place]);
                return Err(Error::data(DataFault::Invalid, "graph indices", "strictly ascending columns", found));
            }
        }
        if let Some(place) = weights.iter().position(|&weight| !(weight >= 0.0 && weight.is_finite())) {
            let weight = weights[place];
            let fault = if weight.is_finite() { DataFault::Negative } else { DataFault::NotFinite };
            let found = format!("{weight} at stored edge {place}");
            return Err(Error::data(fault, "graph weights", "finite values of at least 0", found));
        }
        Ok(())
    }
}
