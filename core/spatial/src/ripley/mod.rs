//! Ripley's statistics of the cells of each label, beside those of as many places drawn at random in the same region.
//!
//! F, G: the share of random places, or of cells, that have a (or another) cell of the label within a distance. L: with
//! K(r) = measure / (n (n - 1)) x ordered pairs within r, L = sqrt(K / pi) in the plane and (3 K / (4 pi))^(1/3) in space, which
//! is r for complete randomness. With border correction what is looked from for a distance r are the cells or places at least r
//! from the border, and K has their number in place of n: nothing within r is missed, so that the estimates are not pulled down.
//!
//! Simulations have as many cells as the label, since F and G depend on the number and the spread of L does.
//!
//! References: Ripley, Journal of Applied Probability 13 (1976); Besag in the discussion of Ripley, JRSS B 39 (1977), for L;
//! Baddeley, Rubak, Turner, Spatial Point Patterns (2015), for the border correction.

mod options;
mod window;

#[cfg(test)]
mod tests;

pub use options::{Correction, Mode, RipleyOptions};
pub use window::Window;

use rayon::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, Error, Result};

use crate::Places;
use crate::enrichment::check_labels;
use crate::intervals::Intervals;
use crate::places::square;
use zensaibo_core::places::Tree;

/// Cells up to which all pairs of a pattern are gone through; for more the tree leaves most of them out.
const PLAIN: usize = 4096;
/// Where the streams of simulations, of places looked from and of choices of cells begin.
const SIMULATIONS: u64 = 0;
const LOOKOUTS: u64 = 1 << 62;
const CHOICES: u64 = 1 << 63;

/// Curves over L distances.
#[derive(Clone, Debug, PartialEq)]
pub struct Ripley {
    /// n_labels x L; NaN for labels of too few cells, and at distances at which nothing is that far from the border.
    pub observed: Vec<f64>,
    /// Numbers of cells drawn, rising.
    pub sizes: Vec<usize>,
    /// sizes x n_simulations x L.
    pub simulated: Vec<f64>,
    /// Cells used of each label.
    pub used: Vec<usize>,
}

/// The statistic of each label, and of `n_simulations` random patterns for each number of cells that occurs.
///
/// Cost: simulations x n_observations x log for F and G, for each number of cells that occurs; for L simulations x pairs of cells, with
/// more than 4,096 cells x pairs within the largest distance for each number of cells. Memory: 4 bytes per cell, 60 per cell used, 8 x sizes x n_simulations x L. Simulation s of any size takes its
/// places from the stream (seed, s): a smaller one is the beginning of a larger. Threads change the time alone.
///
/// # Errors
/// [`Error::Parameter`] for options out of range or distances that do not rise from at least 0; [`Error::Data`] for labels that do
/// not fit or a region too thin to draw in; [`Error::Interrupted`].
pub fn ripley(
    places: &Places,
    labels: &[u32],
    n_labels: usize,
    window: &Window,
    distances: &[f64],
    options: &RipleyOptions,
    ctx: &Ctx,
) -> Result<Ripley> {
    options.validate()?;
    check_labels(labels, places.len(), n_labels)?;
    let rising = distances.windows(2).all(|pair| pair[0] < pair[1]) && distances.iter().all(|far| far.is_finite());
    if distances.is_empty() || !rising || distances[0] < 0.0 {
        return Err(Error::parameter("distances", "numbers of at least 0 that rise", format!("{distances:?}")));
    }
    let mut stream = Stream::new(options.seed, LOOKOUTS);
    let lookouts = match options.mode {
        Mode::F => (0..options.n_observations).map(|_| window.draw(&mut stream)).collect::<Result<_>>()?,
        Mode::G | Mode::L => Vec::new(),
    };
    let look = Look { window, distances, intervals: Intervals::new(distances), options, lookouts };
    let patterns = patterns(places, labels, n_labels, options);
    let used: Vec<usize> = patterns.iter().map(Vec::len).collect();
    let mut sizes = used.clone();
    sizes.sort_unstable();
    sizes.dedup();
    let stage = ctx.stage("Ripley", (n_labels + options.n_simulations) as u64);
    let observed: Vec<Vec<f64>> = patterns
        .into_par_iter()
        .map(|points| {
            stage.advance(1)?;
            look.curve(points, ctx)
        })
        .collect::<Result<_>>()?;
    // A smaller pattern is the beginning of a larger one, so that one pass serves all sizes.
    let drawn: Vec<Vec<Vec<f64>>> = (0..options.n_simulations)
        .into_par_iter()
        .with_max_len(1)
        .map(|simulation| {
            stage.advance(1)?;
            let mut stream = Stream::new(options.seed, SIMULATIONS + simulation as u64);
            let most = sizes.last().copied().unwrap_or(0);
            let points: Vec<[f64; 3]> = (0..most).map(|_| window.draw(&mut stream)).collect::<Result<_>>()?;
            if options.mode == Mode::L && most <= PLAIN {
                return look.beginnings(&points, &sizes, ctx);
            }
            sizes.iter().map(|&size| look.curve(points[..size].to_vec(), ctx)).collect()
        })
        .collect::<Result<_>>()?;
    let simulated: Vec<f64> =
        (0..sizes.len()).flat_map(|size| drawn.iter().flat_map(move |curves| &curves[size])).copied().collect();
    Ok(Ripley { observed: observed.concat(), sizes, simulated, used })
}

/// The places of each label, or a random choice of them.
fn patterns(places: &Places, labels: &[u32], n_labels: usize, options: &RipleyOptions) -> Vec<Vec<[f64; 3]>> {
    let mut members = vec![Vec::new(); n_labels];
    for (cell, &label) in labels.iter().enumerate() {
        members[label as usize].push(cell as u32);
    }
    for (label, cells) in members.iter_mut().enumerate() {
        let mut stream = Stream::new(options.seed, CHOICES + label as u64);
        if cells.len() > options.n_observations {
            for slot in 0..options.n_observations {
                let other = slot + stream.below((cells.len() - slot) as u64) as usize;
                cells.swap(slot, other);
            }
            cells.truncate(options.n_observations);
        }
    }
    let of = |cells: Vec<u32>| cells.iter().map(|&cell| places.points()[cell as usize]).collect();
    members.into_iter().map(of).collect()
}

struct Look<'a> {
    window: &'a Window,
    distances: &'a [f64],
    intervals: Intervals,
    options: &'a RipleyOptions,
    /// Places that F looks from.
    lookouts: Vec<[f64; 3]>,
}

impl Look<'_> {
    /// The statistic of one pattern.
    fn curve(&self, points: Vec<[f64; 3]>, ctx: &Ctx) -> Result<Vec<f64>> {
        let least = if self.options.mode == Mode::F { 1 } else { 2 };
        if points.len() < least {
            return Ok(vec![f64::NAN; self.distances.len()]);
        }
        let places = Places::of(self.window.dimensions(), points)?;
        let tree = places.tree();
        if self.options.mode == Mode::L {
            return self.pairs(&places, &tree, ctx);
        }
        let (mut within, mut looked) = (vec![0u64; self.distances.len()], vec![0u64; self.distances.len()]);
        let from = if self.options.mode == Mode::F { &self.lookouts } else { places.points() };
        for (at, point) in from.iter().enumerate() {
            if at % 4096 == 0 {
                ctx.check()?;
            }
            let own = (self.options.mode == Mode::G).then_some(at as u32);
            let squared = tree.first(point, f64::INFINITY, own).map_or(f64::INFINITY, |found| found.0);
            let (first, end) = (self.first(squared), self.end(point));
            looked[..end].iter_mut().for_each(|count| *count += 1);
            if first < end {
                within[first..end].iter_mut().for_each(|count| *count += 1);
            }
        }
        Ok(within.iter().zip(&looked).map(|(&part, &whole)| part as f64 / whole as f64).collect())
    }

    fn pairs(&self, places: &Places, tree: &Tree, ctx: &Ctx) -> Result<Vec<f64>> {
        let steps = self.distances.len();
        let (mut within, mut looked) = (vec![0u64; steps], vec![0u64; steps]);
        let limits = self.intervals.limits();
        let (mut counts, mut stack) = (vec![0u64; steps + 1], Vec::new());
        for (at, point) in tree.points.iter().enumerate() {
            if at % 256 == 0 {
                ctx.check()?;
            }
            let end = self.end(point);
            if end == 0 {
                continue;
            }
            counts.fill(0);
            count_by_distance(tree, point, &limits[..end], &mut counts[..=end], &mut stack);
            let mut total = 0;
            for step in 0..end {
                total += counts[step];
                // Its own place is not a pair.
                within[step] += total - 1;
                looked[step] += 1;
            }
        }
        Ok(within.iter().zip(&looked).map(|(&pairs, &cells)| self.length(pairs, cells, places.len())).collect())
    }

    /// L of a pattern of `n` cells, `looked` of which have `pairs` others within.
    fn length(&self, pairs: u64, looked: u64, n: usize) -> f64 {
        let k = self.window.measure() / (n as f64 - 1.0) * pairs as f64 / looked as f64;
        if self.window.dimensions() == 2 {
            (k / std::f64::consts::PI).sqrt()
        } else {
            (0.75 * k / std::f64::consts::PI).cbrt()
        }
    }

    /// L of the first cells of a pattern, for several numbers of them, rising.
    fn beginnings(&self, points: &[[f64; 3]], sizes: &[usize], ctx: &Ctx) -> Result<Vec<Vec<f64>>> {
        let steps = self.distances.len();
        let ends: Vec<usize> = points.iter().map(|point| self.end(point)).collect();
        // Differences along the distances, then their sums: a pair counts from its interval up to where its cell is looked from.
        let (mut within, mut looked) = (vec![0i64; steps + 1], vec![0i64; steps + 1]);
        let mut curves = Vec::with_capacity(sizes.len());
        let mut done = 0;
        for &size in sizes {
            for cell in done..size {
                if cell % 256 == 0 {
                    ctx.check()?;
                }
                let end = ends[cell];
                looked[0] += 1;
                looked[end] -= 1;
                for other in 0..cell {
                    let at = self.intervals.of(square(&points[cell], &points[other]));
                    if at < end {
                        within[at] += 1;
                        within[end] -= 1;
                    }
                    if at < ends[other] {
                        within[at] += 1;
                        within[ends[other]] -= 1;
                    }
                }
            }
            done = size;
            let (mut pairs, mut cells) = (0, 0);
            curves.push(
                (0..steps)
                    .map(|step| {
                        pairs += within[step];
                        cells += looked[step];
                        if size < 2 { f64::NAN } else { self.length(pairs as u64, cells as u64, size) }
                    })
                    .collect(),
            );
        }
        Ok(curves)
    }

    /// The first distance that reaches as far.
    fn first(&self, squared: f64) -> usize {
        self.distances.partition_point(|&distance| distance < squared.sqrt())
    }

    /// Distances at which a place is looked from: those before.
    fn end(&self, point: &[f64; 3]) -> usize {
        match self.options.edge_correction {
            Correction::None => self.distances.len(),
            Correction::Border => {
                let depth = self.window.depth(point);
                self.distances.partition_point(|&distance| distance <= depth)
            }
        }
    }
}

/// Adds to `counts` the places (its own too) by the first of the squared `limits` that reaches them; the last entry takes those
/// beyond all, where they were looked at one by one.
fn count_by_distance(tree: &Tree, point: &[f64; 3], limits: &[f64], counts: &mut [u64], stack: &mut Vec<u32>) {
    let interval = |squared: f64| limits.partition_point(|&limit| limit < squared);
    stack.clear();
    stack.push(0);
    while let Some(at) = stack.pop() {
        let node = &tree.nodes[at as usize];
        let near = interval(node.nearest(point));
        if near == limits.len() {
            continue;
        }
        let far = interval(node.furthest(point));
        if near == far {
            counts[near] += node.range().len() as u64;
        } else if node.is_leaf() {
            let between = &limits[near..far];
            for other in &tree.points[node.range()] {
                let squared = square(point, other);
                let more: usize = between.iter().map(|&limit| usize::from(limit < squared)).sum();
                counts[near + more] += 1;
            }
        } else {
            stack.extend([node.right, at + 1]);
        }
    }
}
