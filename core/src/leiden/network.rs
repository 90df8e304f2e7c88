//! The graph of one level, and how the caller's graph becomes the first.

use std::borrow::Cow;

use crate::data::{Csr, check_indptr};
use crate::graph::Graph;
use crate::{Ctx, DataFault, Error, Result};

/// How far `A[i, j]` and `A[j, i]` may lie apart, relative to the larger, to count as one edge computed twice.
const SYMMETRY_TOLERANCE: f32 = 1e-5;

/// A borrowed symmetric weight matrix in compressed sparse rows: every edge stands in both of its rows.
#[derive(Clone, Copy, Debug)]
pub struct Edges<'a> {
    /// Where each row starts; one longer than the number of nodes.
    pub indptr: &'a [u64],
    /// Neighbour of each stored edge.
    pub indices: &'a [u32],
    /// Weight of each stored edge, not negative.
    pub weights: &'a [f32],
}

impl<'a> From<&'a Graph> for Edges<'a> {
    fn from(graph: &'a Graph) -> Self {
        Self { indptr: &graph.indptr, indices: &graph.indices, weights: &graph.weights }
    }
}

/// An edge weight: f32 in the caller's graph, f64 where weights have been summed.
pub(super) trait Weight: Copy + Into<f64> + Send + Sync + 'static {}

impl Weight for f32 {}
impl Weight for f64 {}

/// A graph without self-loops and without zero weights.
pub(super) struct Network<'a, W: Weight> {
    pub(super) indptr: Cow<'a, [u64]>,
    pub(super) indices: Cow<'a, [u32]>,
    pub(super) weights: Cow<'a, [W]>,
    /// What a node brings to the size of its community: row sum for modularity, number of cells for CPM.
    pub(super) size: Vec<f64>,
}

impl<W: Weight> Network<'_, W> {
    pub(super) fn len(&self) -> usize {
        self.size.len()
    }

    /// Neighbours and weights of one node.
    #[inline]
    pub(super) fn row(&self, node: usize) -> (&[u32], &[W]) {
        let span = self.indptr[node] as usize..self.indptr[node + 1] as usize;
        (&self.indices[span.clone()], &self.weights[span])
    }
}

/// The caller's graph, checked: canonical, symmetric, no zero weights; self-loops set aside.
pub(super) struct Checked<'a> {
    pub(super) network: Network<'a, f32>,
    /// Row sums, self-loops counted once, as in the matrix.
    pub(super) strength: Vec<f64>,
    /// Sum of all `strength`, which is 2m.
    pub(super) total: f64,
    /// Sum of the diagonal.
    pub(super) loops: f64,
}

/// Checks the graph and brings it into shape; borrows it when it is in shape already.
pub(super) fn check<'a>(edges: Edges<'a>, use_weights: bool, ctx: &Ctx) -> Result<Checked<'a>> {
    validate(edges)?;
    ctx.check()?;
    let n = edges.indptr.len() - 1;
    let Edges { indptr, indices, weights } = edges;
    let sorted = (0..n).all(|i| indices[indptr[i] as usize..indptr[i + 1] as usize].windows(2).all(|p| p[0] < p[1]));
    let mut owned: Option<Csr> = None;
    if !sorted || weights.contains(&0.0) {
        let mut matrix = Csr::new(n, n, indptr.to_vec(), indices.to_vec(), weights.to_vec())?;
        matrix.canonical();
        owned = Some(keep(&matrix, |_, _, weight| weight > 0.0));
    }
    ctx.check()?;
    let exact = {
        let view = owned.as_ref().map_or(edges, as_edges);
        if use_weights {
            symmetry(view)?
        } else {
            let matrix = owned.get_or_insert_with(|| Csr {
                n_rows: n,
                n_cols: n,
                indptr: indptr.to_vec(),
                indices: indices.to_vec(),
                values: Vec::new(),
            });
            matrix.values = vec![1.0; matrix.indices.len()];
            symmetry(as_edges(matrix))?
        }
    };
    if !exact {
        // Both halves of an edge must be one number, or moves could go round in circles.
        let mut matrix = match owned.take() {
            Some(matrix) => matrix,
            None => Csr::new(n, n, indptr.to_vec(), indices.to_vec(), weights.to_vec())?,
        };
        let other = matrix.transpose();
        for (value, mirror) in matrix.values.iter_mut().zip(&other.values) {
            *value = 0.5 * (*value + mirror);
        }
        owned = Some(matrix);
    }
    ctx.check()?;
    let view = owned.as_ref().map_or(edges, as_edges);
    let (mut strength, mut loops) = (vec![0f64; n], 0f64);
    for i in 0..n {
        for e in view.indptr[i] as usize..view.indptr[i + 1] as usize {
            strength[i] += f64::from(view.weights[e]);
            if view.indices[e] as usize == i {
                loops += f64::from(view.weights[e]);
            }
        }
    }
    if loops > 0.0 {
        let matrix = match owned.take() {
            Some(matrix) => matrix,
            None => Csr::new(n, n, indptr.to_vec(), indices.to_vec(), weights.to_vec())?,
        };
        owned = Some(keep(&matrix, |row, column, _| row != column));
    }
    let total = strength.iter().sum();
    let size = Vec::new();
    let network = match owned {
        Some(matrix) => Network {
            indptr: Cow::Owned(matrix.indptr),
            indices: Cow::Owned(matrix.indices),
            weights: Cow::Owned(matrix.values),
            size,
        },
        None => Network { indptr: indptr.into(), indices: indices.into(), weights: weights.into(), size },
    };
    Ok(Checked { network, strength, total, loops })
}

fn as_edges(matrix: &Csr) -> Edges<'_> {
    Edges { indptr: &matrix.indptr, indices: &matrix.indices, weights: &matrix.values }
}

/// Lengths, ranges and signs.
fn validate(edges: Edges<'_>) -> Result<()> {
    let Some(n) = edges.indptr.len().checked_sub(1) else {
        return Err(Error::data(DataFault::Shape, "graph indptr", "at least one entry", 0));
    };
    if n > u32::MAX as usize {
        return Err(Error::Limit {
            what: "graph".into(),
            needed: format!("{n} nodes"),
            limit: format!("{} nodes", u32::MAX),
        });
    }
    check_indptr(edges.indptr, n, edges.indices.len(), "graph")?;
    if edges.indices.len() != edges.weights.len() {
        let found = format!("{} and {}", edges.indices.len(), edges.weights.len());
        return Err(Error::data(DataFault::Shape, "graph", "as many neighbours as weights", found));
    }
    if let Some(&node) = edges.indices.iter().find(|&&node| node as usize >= n) {
        return Err(Error::data(DataFault::Invalid, "graph indices", format!("nodes below {n}"), node));
    }
    if let Some(place) = edges.weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
        let row = edges.indptr.partition_point(|&start| start <= place as u64) - 1;
        let weight = edges.weights[place];
        let fault = if weight < 0.0 && weight.is_finite() { DataFault::Negative } else { DataFault::NotFinite };
        let found = format!("{weight} between nodes {row} and {}", edges.indices[place]);
        return Err(Error::data(fault, "graph weights", "finite numbers of at least 0", found));
    }
    Ok(())
}

/// Only the entries that `wanted(row, column, weight)`.
fn keep(matrix: &Csr, wanted: impl Fn(u32, u32, f32) -> bool) -> Csr {
    let mut kept = Csr::empty(matrix.n_rows, matrix.n_cols);
    for row in 0..matrix.n_rows {
        let (columns, values) = matrix.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            if wanted(row as u32, column, value) {
                kept.indices.push(column);
                kept.values.push(value);
            }
        }
        kept.indptr[row + 1] = kept.values.len() as u64;
    }
    kept
}

/// Whether the two halves of every edge are the same bits; refuses a graph in which they differ by more than
/// rounding. One pass: rows are visited in order, so the next unread entry of row j must name the row at hand.
fn symmetry(edges: Edges<'_>) -> Result<bool> {
    let n = edges.indptr.len() - 1;
    let mut next: Vec<u64> = edges.indptr[..n].to_vec();
    let mut exact = true;
    for i in 0..n {
        for e in edges.indptr[i] as usize..edges.indptr[i + 1] as usize {
            let j = edges.indices[e] as usize;
            let mirror = next[j] as usize;
            let found = if next[j] < edges.indptr[j + 1] && edges.indices[mirror] as usize == i {
                next[j] += 1;
                edges.weights[mirror]
            } else {
                0.0
            };
            let weight = edges.weights[e];
            if weight != found {
                exact = false;
                if (weight - found).abs() > SYMMETRY_TOLERANCE * weight.max(found) {
                    let found = format!("{weight} from node {i} to {j} but {found} from {j} to {i}");
                    let expected =
                        "a symmetric matrix (average it with its transpose, (A + A.T) / 2, to drop directions)";
                    return Err(Error::data(DataFault::Invalid, "graph", expected, found));
                }
            }
        }
    }
    Ok(exact)
}
