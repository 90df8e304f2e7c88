//! How groups of cells lie in the graph of their neighbours, looked at without direction.
//!
//! References: Everett and Borgatti, Journal of Mathematical Sociology 23 (1999), for degree and closeness of groups; Watts and
//! Strogatz, Nature 393 (1998), for clustering.

#[cfg(test)]
mod tests;

use rayon::prelude::*;
use zensaibo_core::parallel::pieces;
use zensaibo_core::{Ctx, Result};

use crate::Edges;
use crate::enrichment::check_labels;

/// Cells whose triangles are counted between two looks at whether to stop.
const PIECE: usize = 4096;

/// One entry per label.
#[derive(Clone, Debug, PartialEq)]
pub struct Centrality {
    /// Share of the cells outside that have a neighbour inside; NaN where no cell is outside.
    pub degree: Vec<f64>,
    /// Mean over the cells of the label of the share of pairs of their neighbours that are neighbours themselves (0 for cells
    /// with fewer than two).
    pub clustering: Vec<f64>,
    /// Cells outside over the sum of their steps to the nearest cell inside, those that no path reaches left out of the sum; 0
    /// where none is reached.
    pub closeness: Vec<f64>,
    /// Share of the cells outside that a path reaches; NaN where no cell is outside.
    pub reached: Vec<f64>,
}

/// Degree, clustering and closeness of the cells of each label.
///
/// Cost: edges x neighbours for clustering, edges for each label beside; memory 4 bytes per edge and direction, and 8 per cell and
/// thread. Nothing is random; threads change the time alone.
///
/// # Errors
/// [`zensaibo_core::Error::Data`] for labels that do not fit, [`zensaibo_core::Error::Interrupted`].
pub fn centrality(edges: &Edges<'_>, labels: &[u32], n_labels: usize, ctx: &Ctx) -> Result<Centrality> {
    check_labels(labels, edges.len(), n_labels)?;
    let graph = Undirected::new(edges);
    let clustering = clustering(&graph, labels, n_labels, ctx)?;
    let stage = ctx.stage("closeness", n_labels as u64);
    let walks: Vec<Walk> = (0..n_labels)
        .into_par_iter()
        .map(|label| {
            ctx.check()?;
            let walk = graph.walk(labels, label as u32);
            stage.advance(1)?;
            Ok(walk)
        })
        .collect::<Result<_>>()?;
    let ratio = |part: u64, whole: u64| part as f64 / whole as f64;
    Ok(Centrality {
        degree: walks.iter().map(|walk| ratio(walk.beside, walk.outside)).collect(),
        clustering,
        closeness: walks
            .iter()
            .map(|walk| if walk.steps == 0 { 0.0 } else { ratio(walk.outside, walk.steps) })
            .collect(),
        reached: walks.iter().map(|walk| ratio(walk.reached, walk.outside)).collect(),
    })
}

fn clustering(graph: &Undirected, labels: &[u32], n_labels: usize, ctx: &Ctx) -> Result<Vec<f64>> {
    let stage = ctx.stage("clustering", labels.len() as u64);
    let shares: Vec<Vec<f64>> = pieces(labels.len(), PIECE)
        .into_par_iter()
        .map(|cells| {
            stage.advance(cells.len() as u64)?;
            Ok(cells.map(|cell| graph.closed(cell)).collect())
        })
        .collect::<Result<_>>()?;
    let (mut sums, mut sizes) = (vec![0.0; n_labels], vec![0u64; n_labels]);
    for (&label, share) in labels.iter().zip(shares.iter().flatten()) {
        sums[label as usize] += share;
        sizes[label as usize] += 1;
    }
    Ok(sums.iter().zip(sizes).map(|(sum, size)| sum / size as f64).collect())
}

/// What a walk from all cells of a label found.
struct Walk {
    outside: u64,
    beside: u64,
    reached: u64,
    steps: u64,
}

/// Each cell with its neighbours in either direction, in rising order, itself left out.
pub(crate) struct Undirected {
    starts: Vec<usize>,
    cells: Vec<u32>,
}

impl Undirected {
    pub(crate) fn new(edges: &Edges<'_>) -> Self {
        let n = edges.len();
        // Edges turned round, in compressed rows.
        let mut counts = vec![0usize; n + 1];
        (0..n).flat_map(|cell| edges.of(cell)).for_each(|&other| counts[other as usize + 1] += 1);
        (0..n).for_each(|cell| counts[cell + 1] += counts[cell]);
        let turned_starts = counts.clone();
        let mut turned = vec![0u32; counts[n]];
        for cell in 0..n {
            for &other in edges.of(cell) {
                turned[counts[other as usize]] = cell as u32;
                counts[other as usize] += 1;
            }
        }
        let mut starts = Vec::with_capacity(n + 1);
        let mut cells: Vec<u32> = Vec::with_capacity(turned.len());
        starts.push(0);
        for cell in 0..n {
            let (mut ahead, mut back) = (edges.of(cell), &turned[turned_starts[cell]..turned_starts[cell + 1]]);
            loop {
                let next = match (ahead.first(), back.first()) {
                    (None, None) => break,
                    (Some(&a), None) => a as u32,
                    (None, Some(&b)) => b,
                    (Some(&a), Some(&b)) => b.min(a as u32),
                };
                if ahead.first() == Some(&(next as i32)) {
                    ahead = &ahead[1..];
                }
                if back.first() == Some(&next) {
                    back = &back[1..];
                }
                if next as usize != cell {
                    cells.push(next);
                }
            }
            starts.push(cells.len());
        }
        Self { starts, cells }
    }

    pub(crate) fn of(&self, cell: usize) -> &[u32] {
        &self.cells[self.starts[cell]..self.starts[cell + 1]]
    }

    /// Share of the pairs of neighbours of a cell that are neighbours.
    fn closed(&self, cell: usize) -> f64 {
        let own = self.of(cell);
        if own.len() < 2 {
            return 0.0;
        }
        let pairs: usize = own.iter().map(|&other| shared(own, self.of(other as usize))).sum();
        pairs as f64 / (own.len() * (own.len() - 1)) as f64
    }

    /// Steps from the nearest cell of a label to all others.
    fn walk(&self, labels: &[u32], label: u32) -> Walk {
        let mut seen: Vec<bool> = labels.iter().map(|&other| other == label).collect();
        let mut front: Vec<u32> = (0..labels.len() as u32).filter(|&cell| seen[cell as usize]).collect();
        let mut walk = Walk { outside: (labels.len() - front.len()) as u64, beside: 0, reached: 0, steps: 0 };
        let mut step = 0;
        while !front.is_empty() {
            step += 1;
            let mut next = Vec::new();
            for &cell in &front {
                for &other in self.of(cell as usize) {
                    if !std::mem::replace(&mut seen[other as usize], true) {
                        next.push(other);
                    }
                }
            }
            walk.reached += next.len() as u64;
            walk.steps += step * next.len() as u64;
            walk.beside += if step == 1 { next.len() as u64 } else { 0 };
            front = next;
        }
        walk
    }
}

/// Entries that two rising lists share.
fn shared(a: &[u32], b: &[u32]) -> usize {
    let (mut i, mut j, mut count) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].cmp(&b[j]) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                count += 1;
                i += 1;
                j += 1;
            }
        }
    }
    count
}
