//! Pairs of labels by distance: every pair of cells counted once, into the interval that its distance falls in.
//!
//! Two boxes of the tree whose cells all lie in one interval of distances are counted as a whole, by the labels in each; so
//! the time grows with less than the square of the cells where intervals are wider than boxes.

#[cfg(test)]
mod tests;

use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::Places;
use crate::places::{largest_square, square};
use crate::tree::{Node, Tree};

/// Boxes that the work is cut along, about.
const TASKS: usize = 256;

/// Ordered pairs of different cells by their labels and by the interval of their distance: entry `[r][a][b]` of
/// `distances.len()` x `n_labels` x `n_labels` counts cells of label a with cells of label b at a distance above
/// `distances[r - 1]` and up to `distances[r]`; the first interval starts at 0 and includes it.
///
/// Cost: at most n^2 / 2 comparisons of distances. Memory: 80 bytes per cell, and 8 n_labels^2 (distances + 1) bytes for each of
/// some four counts per thread. Counts are whole, so threads change the time alone.
///
/// # Errors
/// [`Error::Parameter`] (`interval`) for distances that do not rise or are below 0; [`Error::Data`] for labels that do not
/// fit; [`Error::Interrupted`].
pub fn pairs_by_distance(
    places: &Places,
    labels: &[u32],
    n_labels: usize,
    distances: &[f64],
    ctx: &Ctx,
) -> Result<Vec<u64>> {
    crate::enrichment::check_labels(labels, places.len(), n_labels)?;
    if distances.is_empty() || distances.windows(2).any(|pair| !(pair[0] < pair[1])) || !(distances[0] >= 0.0) {
        return Err(Error::parameter("interval", "distances of at least 0 that rise", format!("{distances:?}")));
    }
    if distances.iter().any(|distance| !distance.is_finite()) {
        return Err(Error::data(DataFault::NotFinite, "interval", "finite distances", format!("{distances:?}")));
    }
    let tree = Tree::new(places);
    let counter = Counter {
        labels: tree.order.iter().map(|&cell| labels[cell as usize]).collect(),
        kinds: tree.nodes.iter().map(|node| kinds(node, &tree, labels)).collect(),
        limits: distances.iter().map(|&distance| largest_square(distance)).collect(),
        k: n_labels,
        tree: &tree,
    };
    let tops = counter.tops();
    let size = distances.len() * n_labels * n_labels;
    let mut total = vec![0u64; size];
    let stage = ctx.stage("pairs of cells", tops.len() as u64);
    ordered_reduce(
        tops.len(),
        ctx,
        |task| {
            let mut counts = vec![0u64; size + n_labels * n_labels];
            counter.inside(tops[task], &mut counts);
            for &other in &tops[task + 1..] {
                ctx.check()?;
                counter.between(tops[task], other, &mut counts);
            }
            Ok(counts)
        },
        |_, counts| {
            total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            stage.advance(1)
        },
    )?;
    // Each pair was counted in one order only.
    for layer in total.chunks_exact_mut(n_labels * n_labels) {
        for a in 0..n_labels {
            for b in a..n_labels {
                let both = layer[a * n_labels + b] + layer[b * n_labels + a];
                layer[a * n_labels + b] = both;
                layer[b * n_labels + a] = both;
            }
        }
    }
    Ok(total)
}

/// Labels of a box with their numbers of cells.
fn kinds(node: &Node, tree: &Tree, labels: &[u32]) -> Vec<(u32, u32)> {
    let mut all: Vec<u32> = tree.order[node.range()].iter().map(|&cell| labels[cell as usize]).collect();
    all.sort_unstable();
    all.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u32)).collect()
}

struct Counter<'a> {
    tree: &'a Tree,
    /// By place in the tree.
    labels: Vec<u32>,
    kinds: Vec<Vec<(u32, u32)>>,
    /// Squares of the distances.
    limits: Vec<f64>,
    k: usize,
}

impl Counter<'_> {
    /// Boxes that hold each cell once, about [`TASKS`] of them.
    fn tops(&self) -> Vec<usize> {
        let most = self.labels.len().div_ceil(TASKS);
        let (mut tops, mut stack) = (Vec::new(), vec![0usize]);
        while let Some(at) = stack.pop() {
            let node = &self.tree.nodes[at];
            if node.is_leaf() || node.range().len() <= most {
                tops.push(at);
            } else {
                stack.extend([node.right as usize, at + 1]);
            }
        }
        tops
    }

    /// The interval of a squared distance; the number of intervals for one beyond all.
    fn interval(&self, squared: f64) -> usize {
        self.limits.partition_point(|&limit| limit < squared)
    }

    /// Pairs within a box.
    fn inside(&self, at: usize, counts: &mut [u64]) {
        let node = &self.tree.nodes[at];
        if node.is_leaf() {
            let range = node.range();
            let (near, far) = (0, self.interval(node.bounds(node).1));
            for first in range.clone() {
                self.cell(first, first + 1..range.end, near, far, counts);
            }
            return;
        }
        self.inside(at + 1, counts);
        self.inside(node.right as usize, counts);
        self.between(at + 1, node.right as usize, counts);
    }

    /// Pairs between two boxes.
    fn between(&self, a: usize, b: usize, counts: &mut [u64]) {
        let (first, second) = (&self.tree.nodes[a], &self.tree.nodes[b]);
        let (near, far) = first.bounds(second);
        let near = self.interval(near);
        if near == self.limits.len() {
            return;
        }
        let far = self.interval(far);
        if near == far {
            let layer = &mut counts[near * self.k * self.k..][..self.k * self.k];
            for &(x, many) in &self.kinds[a] {
                for &(y, others) in &self.kinds[b] {
                    layer[x as usize * self.k + y as usize] += u64::from(many) * u64::from(others);
                }
            }
            return;
        }
        match (first.is_leaf(), second.is_leaf()) {
            (true, true) => {
                first.range().for_each(|cell| self.cell(cell, second.range(), near, far, counts));
            }
            (false, still) if still || first.range().len() >= second.range().len() => {
                self.between(a + 1, b, counts);
                self.between(first.right as usize, b, counts);
            }
            _ => {
                self.between(a, b + 1, counts);
                self.between(a, second.right as usize, counts);
            }
        }
    }

    /// One cell with some others, at distances known to fall in the intervals `near..=far`. Those beyond all intervals go
    /// to a layer of their own.
    fn cell(&self, cell: usize, others: std::ops::Range<usize>, near: usize, far: usize, counts: &mut [u64]) {
        let point = &self.tree.points[cell];
        let row = self.labels[cell] as usize * self.k;
        for other in others {
            let squared = square(point, &self.tree.points[other]);
            let interval =
                near + self.limits[near..far].iter().map(|&limit| usize::from(limit < squared)).sum::<usize>();
            counts[interval * self.k * self.k + row + self.labels[other] as usize] += 1;
        }
    }
}
