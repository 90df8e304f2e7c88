//! The symmetric transition matrix of a graph.

use rayon::prelude::*;

use super::lanczos::{PIECE, Symmetric};
use crate::graph::Graph;
use crate::{Ctx, DataFault, Error, Result};

/// `T = Z^-1/2 K Z^-1/2` with `K = D^-1 W D^-1`, on the pattern of the graph, in f64.
pub(crate) struct Transitions<'a> {
    graph: &'a Graph,
    weights: Vec<f64>,
    /// Square roots of the row sums of `K`, n long: the steady state up to scale.
    pub(crate) root: Vec<f64>,
}

impl<'a> Transitions<'a> {
    /// The matrix of a symmetric graph.
    ///
    /// # Errors
    /// [`Error::Data`] for fewer than 2 cells or a cell without an edge of positive weight.
    pub(crate) fn new(graph: &'a Graph) -> Result<Self> {
        if graph.n < 2 {
            return Err(Error::data(DataFault::TooFew, "graph", "at least 2 cells", graph.n));
        }
        let degrees = graph.degrees();
        if let Some(cell) = degrees.iter().position(|&degree| degree <= 0.0) {
            let found = format!("none at cell {cell}");
            return Err(Error::data(DataFault::Invalid, "graph", "an edge of positive weight at every cell", found));
        }
        let mut weights = vec![0f64; graph.nnz()];
        let mut root = vec![0f64; graph.n];
        for cell in 0..graph.n {
            for place in span(graph, cell) {
                let other = graph.indices[place] as usize;
                weights[place] = f64::from(graph.weights[place]) / (degrees[cell] * degrees[other]);
                root[cell] += weights[place];
            }
            root[cell] = root[cell].sqrt();
        }
        for cell in 0..graph.n {
            for place in span(graph, cell) {
                weights[place] /= root[cell] * root[graph.indices[place] as usize];
            }
        }
        Ok(Self { graph, weights, root })
    }

    /// The known eigenvectors of eigenvalue 1, one for each connected part (at most `count`, the largest parts first),
    /// each n long and of unit length.
    pub(crate) fn steady_states(&self, count: usize) -> Vec<Vec<f64>> {
        let components = self.graph.components();
        let mut sizes = vec![0usize; components.count];
        components.labels.iter().for_each(|&label| sizes[label as usize] += 1);
        let mut order: Vec<usize> = (0..components.count).collect();
        order.sort_by_key(|&part| std::cmp::Reverse(sizes[part]));
        order.truncate(count);
        order
            .into_iter()
            .map(|part| {
                let inside = |cell: usize| components.labels[cell] as usize == part;
                let norm =
                    (0..self.graph.n).filter(|&cell| inside(cell)).map(|cell| self.root[cell].powi(2)).sum::<f64>();
                let scale = 1.0 / norm.sqrt();
                (0..self.graph.n).map(|cell| if inside(cell) { self.root[cell] * scale } else { 0.0 }).collect()
            })
            .collect()
    }
}

fn span(graph: &Graph, cell: usize) -> std::ops::Range<usize> {
    graph.indptr[cell] as usize..graph.indptr[cell + 1] as usize
}

impl Symmetric for Transitions<'_> {
    fn len(&self) -> usize {
        self.graph.n
    }

    fn apply(&self, x: &[f64], out: &mut [f64], ctx: &Ctx) -> Result<()> {
        out.par_chunks_mut(PIECE).enumerate().try_for_each(|(piece, out)| {
            ctx.check()?;
            for (offset, out) in out.iter_mut().enumerate() {
                let span = span(self.graph, piece * PIECE + offset);
                let targets = &self.graph.indices[span.clone()];
                *out =
                    targets.iter().zip(&self.weights[span]).map(|(&target, weight)| weight * x[target as usize]).sum();
            }
            Ok(())
        })
    }
}
