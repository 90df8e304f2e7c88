//! Pairs of labels by distance: every pair of cells counted once, into the interval that its distance falls in.
//!
//! Each leaf of the tree goes through the boxes after it once: a box whose cells all lie in one interval of distances from it is
//! counted as a whole, by its labels; so the time grows with less than the square of the cells where intervals are wider than boxes.
//! What is left is counted cell by cell into a table that stays in the nearest cache.

#[cfg(test)]
mod tests;

use std::ops::Range;

use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::Places;
use crate::intervals::Intervals;
use crate::places::square;
use zensaibo_core::places::{Node, Tree};

/// Pieces that the work is cut into, about.
const TASKS: usize = 256;

/// Look from some cells only: how many at most, chosen at random under a seed.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Cells.
    pub count: usize,
    /// Seed of the choice.
    pub seed: u64,
}

/// Ordered pairs of different cells by their labels and by the interval of their distance: entry `[r][a][b]` of
/// `distances.len()` x `n_labels` x `n_labels` counts cells of label a with cells of label b at a distance above
/// `distances[r - 1]` and up to `distances[r]`; the first interval starts at 0 and includes it. With a `sample` of fewer cells than
/// there are, a is the label of one of them and b that of any other cell; otherwise all pairs count, each in both orders.
///
/// Cost: at most n^2 / 2 comparisons of distances, with a sample n x its cells. Memory: 100 bytes per cell, and 8 n_labels^2
/// (distances + 1) bytes for each of some four counts per thread. Counts are whole, so threads change the time alone.
///
/// # Errors
/// [`Error::Parameter`] (`interval`) for distances that do not rise or are below 0, (`n_observations`) for a sample of no cell;
/// [`Error::Data`] for labels that do not fit; [`Error::Interrupted`].
pub fn pairs_by_distance(
    places: &Places,
    labels: &[u32],
    n_labels: usize,
    distances: &[f64],
    sample: Option<Sample>,
    ctx: &Ctx,
) -> Result<Vec<u64>> {
    crate::enrichment::check_labels(labels, places.len(), n_labels)?;
    if distances.is_empty() || distances.windows(2).any(|pair| !(pair[0] < pair[1])) || !(distances[0] >= 0.0) {
        return Err(Error::parameter("interval", "distances of at least 0 that rise", format!("{distances:?}")));
    }
    if distances.iter().any(|distance| !distance.is_finite()) {
        return Err(Error::data(DataFault::NotFinite, "interval", "finite distances", format!("{distances:?}")));
    }
    let chosen = sample.map(|sample| choose(places.len(), sample)).transpose()?.flatten();
    let tree = places.tree();
    let counter = Counter {
        labels: tree.order.iter().map(|&cell| labels[cell as usize]).collect(),
        kinds: tree.nodes.iter().map(|node| kinds(node, &tree, labels)).collect(),
        looks: chosen.map(|chosen| tree.order.iter().map(|&cell| chosen[cell as usize]).collect()),
        intervals: Intervals::new(distances),
        k: n_labels,
        tree: &tree,
    };
    let leaves: Vec<usize> = (0..tree.nodes.len()).filter(|&at| tree.nodes[at].is_leaf()).collect();
    // Early leaves have more after them: tasks take every so many-th.
    let tasks = TASKS.min(leaves.len());
    let size = distances.len() * n_labels * n_labels;
    let mut total = vec![0u64; size];
    let stage = ctx.stage("pairs of cells", tasks as u64);
    ordered_reduce(
        tasks,
        ctx,
        |task| {
            let mut counts = vec![0u64; size];
            let mut work = Work::new(distances.len(), n_labels);
            for &leaf in leaves.iter().skip(task).step_by(tasks) {
                ctx.check()?;
                counter.leaf(leaf, &mut work, &mut counts);
            }
            Ok(counts)
        },
        |_, counts| {
            total.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            stage.advance(1)
        },
    )?;
    if counter.looks.is_some() {
        return Ok(total);
    }
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

/// The cells to look from; `None` for all of them.
fn choose(n: usize, sample: Sample) -> Result<Option<Vec<bool>>> {
    if sample.count == 0 {
        return Err(Error::parameter("n_observations", "at least 1, or unset", 0));
    }
    if sample.count >= n {
        return Ok(None);
    }
    let mut cells: Vec<u32> = (0..n as u32).collect();
    let mut stream = Stream::new(sample.seed, 0);
    let mut chosen = vec![false; n];
    for slot in 0..sample.count {
        let other = slot + stream.below((n - slot) as u64) as usize;
        cells.swap(slot, other);
        chosen[cells[slot] as usize] = true;
    }
    Ok(Some(chosen))
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
    /// By place in the tree: whether a cell is looked from. `None`: all are, at those after them.
    looks: Option<Vec<bool>>,
    intervals: Intervals,
    k: usize,
}

/// Tables of intervals (and one beyond all) x labels, and what is still to be looked at.
struct Work {
    /// Of boxes that count as a whole, for all cells of the leaf.
    whole: Vec<u32>,
    /// Of one cell.
    own: Vec<u32>,
    /// Leaves to be looked at cell by cell, with the first and the last interval of their cells.
    near: Vec<(u32, u32, u32)>,
    stack: Vec<u32>,
}

impl Work {
    fn new(intervals: usize, k: usize) -> Self {
        let table = vec![0; (intervals + 1) * k];
        Self { whole: table.clone(), own: table, near: Vec::new(), stack: Vec::new() }
    }
}

impl Counter<'_> {
    /// Counts the cells of a leaf with those after it in the tree, or with all others where some cells are looked from.
    fn leaf(&self, at: usize, work: &mut Work, counts: &mut [u64]) {
        let node = &self.tree.nodes[at];
        let looked: Vec<usize> = match &self.looks {
            None => node.range().collect(),
            Some(looks) => node.range().filter(|&cell| looks[cell]).collect(),
        };
        if looked.is_empty() {
            return;
        }
        let used = self.intervals.len();
        work.whole.fill(0);
        work.near.clear();
        work.stack.push(0);
        while let Some(other) = work.stack.pop() {
            let next = &self.tree.nodes[other as usize];
            if other as usize == at || (self.looks.is_none() && next.end <= node.start) {
                continue;
            }
            // A box around the leaf, or of cells before it too, is opened.
            let apart = next.start >= node.end || next.end <= node.start;
            if apart {
                let (least, most) = node.bounds(next);
                let near = self.intervals.of(least);
                if near == used {
                    continue;
                }
                let far = self.intervals.of(most);
                if near == far {
                    for &(label, many) in &self.kinds[other as usize] {
                        work.whole[near * self.k + label as usize] += many;
                    }
                    continue;
                }
                if next.is_leaf() {
                    work.near.push((other, near as u32, far as u32));
                    continue;
                }
            }
            work.stack.extend([next.right, other + 1]);
        }
        for cell in looked {
            work.own.copy_from_slice(&work.whole);
            let point = &self.tree.points[cell];
            for &(other, near, far) in &work.near {
                let others = self.tree.nodes[other as usize].range();
                self.cells(point, others, near as usize, far as usize, &mut work.own);
            }
            let far = self.intervals.of(node.furthest(point));
            if self.looks.is_some() {
                self.cells(point, node.start as usize..cell, 0, far, &mut work.own);
            }
            self.cells(point, cell + 1..node.end as usize, 0, far, &mut work.own);
            let row = self.labels[cell] as usize * self.k;
            let layers = work.own.chunks_exact(self.k).zip(counts.chunks_exact_mut(self.k * self.k));
            for (found, layer) in layers {
                layer[row..row + self.k].iter_mut().zip(found).for_each(|(sum, &many)| *sum += u64::from(many));
            }
        }
    }

    /// A place with some cells, all of them in the intervals `near..=far`.
    #[inline]
    fn cells(&self, point: &[f64; 3], others: Range<usize>, near: usize, far: usize, table: &mut [u32]) {
        let (points, labels) = (&self.tree.points[others.clone()], &self.labels[others]);
        let table = &mut table[near * self.k..(far + 1) * self.k];
        let limits = &self.intervals.limits()[near..far];
        match *limits {
            [] => labels.iter().for_each(|&label| table[label as usize] += 1),
            [one] => {
                for (other, &label) in points.iter().zip(labels) {
                    table[usize::from(square(point, other) > one) * self.k + label as usize] += 1;
                }
            }
            [one, two] => {
                for (other, &label) in points.iter().zip(labels) {
                    let squared = square(point, other);
                    let interval = usize::from(squared > one) + usize::from(squared > two);
                    table[interval * self.k + label as usize] += 1;
                }
            }
            [one, two, three] => {
                for (other, &label) in points.iter().zip(labels) {
                    let squared = square(point, other);
                    let first = usize::from(squared > one) + usize::from(squared > two);
                    table[(first + usize::from(squared > three)) * self.k + label as usize] += 1;
                }
            }
            _ => {
                for (other, &label) in points.iter().zip(labels) {
                    let squared = square(point, other);
                    let interval: usize = limits.iter().map(|&limit| usize::from(limit < squared)).sum();
                    table[interval * self.k + label as usize] += 1;
                }
            }
        }
    }
}
