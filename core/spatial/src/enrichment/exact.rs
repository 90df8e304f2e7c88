//! Mean and variance over all orders of the labels, in closed form.

use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::{Enrichment, check_labels, count};
use crate::Edges;

/// Edges between labels, with the exact mean and variance over all ways to deal out the labels within each library.
///
/// `libraries` holds the library of each cell, below `n_libraries`. Libraries are independent of each other: their means and
/// variances add up. A cell that is its own neighbour adds an edge of which chance knows the label counts alone; that is
/// allowed where every cell of a library, or none, is.
///
/// Cost: one look at every edge, and a search for its reverse. Nothing is random.
///
/// # Errors
/// [`Error::Data`]: labels or libraries that do not fit, an edge between libraries, a library of which some cells only are
/// their own neighbours; [`Error::Interrupted`].
pub fn exact(
    edges: &Edges<'_>,
    labels: &[u32],
    n_labels: usize,
    libraries: &[u32],
    n_libraries: usize,
    ctx: &Ctx,
) -> Result<Enrichment> {
    check_labels(labels, edges.len(), n_labels)?;
    check_labels(libraries, edges.len(), n_libraries)?;
    let shapes = shapes(edges, libraries, n_libraries, ctx)?;
    let mut sizes = vec![0u64; n_libraries * n_labels];
    for (&library, &label) in libraries.iter().zip(labels) {
        sizes[library as usize * n_labels + label as usize] += 1;
    }
    let (mut means, mut variances) = (vec![0.0; n_labels * n_labels], vec![0.0; n_labels * n_labels]);
    for (shape, sizes) in shapes.iter().zip(sizes.chunks_exact(n_labels)) {
        for a in 0..n_labels {
            for b in 0..n_labels {
                let (mean, variance) = if a == b { shape.same(sizes[a]) } else { shape.different(sizes[a], sizes[b]) };
                means[a * n_labels + b] += mean;
                variances[a * n_labels + b] += variance;
            }
        }
    }
    Ok(Enrichment { counts: count(edges, labels, n_labels), means, variances })
}

/// What the variance needs to know of the graph of a library: numbers of ordered pairs of edges, by what they share.
#[derive(Clone, Default)]
struct Shape {
    cells: f64,
    /// Cells that are their own neighbours: all or none.
    own: f64,
    /// Edges between different cells.
    edges: f64,
    /// Turned round.
    turned: f64,
    /// The same source, different targets.
    source: f64,
    /// The same target, different sources.
    target: f64,
    /// One ends where the other begins, in a third cell.
    chain: f64,
    /// No cell.
    apart: f64,
}

fn shapes(edges: &Edges<'_>, libraries: &[u32], n_libraries: usize, ctx: &Ctx) -> Result<Vec<Shape>> {
    let n = edges.len();
    let (mut out, mut into) = (vec![0u64; n], vec![0u64; n]);
    let mut shapes = vec![Shape::default(); n_libraries];
    for cell in 0..n {
        if cell % 65_536 == 0 {
            ctx.check()?;
        }
        let library = libraries[cell];
        let shape = &mut shapes[library as usize];
        shape.cells += 1.0;
        for &other in edges.of(cell) {
            let other = other as usize;
            if libraries[other] != library {
                let found = format!("one from cell {cell} to cell {other}");
                let what = "graph of neighbours with libraries";
                return Err(Error::data(DataFault::Invalid, what, "no edge between libraries", found));
            }
            if other == cell {
                shape.own += 1.0;
                continue;
            }
            out[cell] += 1;
            into[other] += 1;
            shape.edges += 1.0;
            shape.turned += f64::from(u8::from(edges.find(other, cell).is_some()));
        }
    }
    for cell in 0..n {
        let shape = &mut shapes[libraries[cell] as usize];
        let (out, into) = (out[cell] as f64, into[cell] as f64);
        shape.source += out * (out - 1.0);
        shape.target += into * (into - 1.0);
        shape.chain += 2.0 * out * into;
    }
    for shape in &mut shapes {
        // Both ways through a cell: of the pairs of an edge in and an edge out, those turned round are no chain.
        shape.chain -= 2.0 * shape.turned;
        let sharing = shape.edges + shape.turned + shape.source + shape.target + shape.chain;
        shape.apart = shape.edges * shape.edges - sharing;
        if shape.own != 0.0 && shape.own != shape.cells {
            let found = format!("{} of {} cells", shape.own, shape.cells);
            let expected = "every cell of a library its own neighbour, or none";
            return Err(Error::data(DataFault::Invalid, "graph of neighbours", expected, found));
        }
    }
    Ok(shapes)
}

impl Shape {
    /// `pairs` times the chance that cells all apart carry labels: `ways` ways of `drawn` cells. Nothing where there are no such pairs.
    fn term(&self, pairs: f64, ways: f64, drawn: u32) -> f64 {
        if pairs == 0.0 { 0.0 } else { pairs * ways / falling(self.cells, drawn) }
    }

    /// Mean and variance for two different labels of `a` and `b` cells.
    fn different(&self, a: u64, b: u64) -> (f64, f64) {
        let (a, b) = (a as f64, b as f64);
        let mean = self.term(self.edges, a * b, 2);
        let square = self.term(self.edges, a * b, 2)
            + self.term(self.source, a * falling(b, 2), 3)
            + self.term(self.target, falling(a, 2) * b, 3)
            + self.term(self.apart, falling(a, 2) * falling(b, 2), 4);
        (mean, spread(square, mean))
    }

    /// Mean and variance for one label of `a` cells.
    fn same(&self, a: u64) -> (f64, f64) {
        let a = a as f64;
        let mean = self.term(self.edges, falling(a, 2), 2);
        let square = self.term(self.edges + self.turned, falling(a, 2), 2)
            + self.term(self.source + self.target + self.chain, falling(a, 3), 3)
            + self.term(self.apart, falling(a, 4), 4);
        let own = if self.own > 0.0 { a } else { 0.0 };
        (mean + own, spread(square, mean))
    }
}

/// The variance; what rounding leaves of one that is zero is zero.
fn spread(square: f64, mean: f64) -> f64 {
    let variance = square - mean * mean;
    if variance > 1e-12 * square { variance } else { 0.0 }
}

/// x (x - 1) ... of `count` factors, never below zero.
fn falling(x: f64, count: u32) -> f64 {
    (0..count).map(|step| (x - f64::from(step)).max(0.0)).product()
}
