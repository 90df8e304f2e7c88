//! The symmetric transition matrix of a graph.

use rayon::prelude::*;

use super::lanczos::{PIECE, Symmetric};
use crate::graph::Graph;
use crate::{Ctx, DataFault, Error, Result};

/// `T = Z^-1/2 K Z^-1/2` with `K = D^-1 W D^-1`, as `S W S`: the weights of the graph and a diagonal in f64.
pub(crate) struct Transitions<'a> {
    graph: &'a Graph,
    /// The diagonal of `S = D^-1 Z^-1/2`, n long.
    scale: Vec<f64>,
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
        let root: Vec<f64> = (0..graph.n)
            .map(|cell| {
                let (others, weights) = graph.row(cell);
                let kernel =
                    |(&other, &weight): (&u32, &f32)| f64::from(weight) / (degrees[cell] * degrees[other as usize]);
                others.iter().zip(weights).map(kernel).sum::<f64>().sqrt()
            })
            .collect();
        let scale = degrees.iter().zip(&root).map(|(degree, root)| 1.0 / (degree * root)).collect();
        Ok(Self { graph, scale, root })
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

impl Symmetric for Transitions<'_> {
    fn len(&self) -> usize {
        self.graph.n
    }

    fn apply(&self, x: &[f64], out: &mut [f64], ctx: &Ctx) -> Result<()> {
        let scaled: Vec<f64> = x.iter().zip(&self.scale).map(|(x, scale)| x * scale).collect();
        out.par_chunks_mut(PIECE).enumerate().try_for_each(|(piece, out)| {
            ctx.check()?;
            for (offset, out) in out.iter_mut().enumerate() {
                let cell = piece * PIECE + offset;
                let (others, weights) = self.graph.row(cell);
                *out = self.scale[cell] * dot(others, weights, &scaled);
            }
            Ok(())
        })
    }
}

/// Sum of weight x value, four sums side by side in a fixed order.
fn dot(others: &[u32], weights: &[f32], x: &[f64]) -> f64 {
    let mut sums = [0f64; 4];
    let (others, last_others) = others.as_chunks::<4>();
    let (weights, last_weights) = weights.as_chunks::<4>();
    for (others, weights) in others.iter().zip(weights) {
        for lane in 0..4 {
            sums[lane] += f64::from(weights[lane]) * x[others[lane] as usize];
        }
    }
    for (lane, (&other, &weight)) in last_others.iter().zip(last_weights).enumerate() {
        sums[lane] += f64::from(weight) * x[other as usize];
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}
