//! Stochastic layout whose result does not depend on the number of threads.
//!
//! Per epoch every vertex moves once, against the positions that the others had when its group's turn came: towards
//! those neighbours whose edge is due, each time away from points drawn at random. A vertex writes only
//! its own position, so vertices need no locks and no order among themselves. The vertices form a few interleaved
//! groups that move one after the other, which keeps two neighbours from chasing each other's old position.

use multiversion::multiversion;
use rayon::prelude::*;

use super::kernel::{Batch, Forces, LANES, add_pushes, pulls, sum};
use super::options::UmapOptions;
use crate::graph::Graph;
use crate::parallel::pieces;
use crate::random::philox;
use crate::{Ctx, DataFault, Error, Result};

/// Vertices per parallel piece.
const PIECE: usize = 512;
/// Groups that move one after the other in each epoch.
const GROUPS: usize = 4;
/// Consecutive entries of the pool that one random offset serves.
const WINDOW: usize = 64;
/// The pool of repelling points has at least this many entries.
const MIN_POOL: usize = 1024;
/// Pulls of one turn add up to this at most, in ways to the neighbours: a vertex of many neighbours is not thrown beyond them.
const MOST_PULL: f32 = 2.0;

/// Streams of random numbers, told apart by the last word of the counter.
const STREAM_PHASE: u32 = 1;
const STREAM_POOL: u32 = 2;
const STREAM_WINDOW: u32 = 3;

/// A layout in progress: positions that can be looked at between epochs.
pub struct Layout {
    steps: Box<dyn Steps>,
    n_components: usize,
}

/// A [`Layout`] of a fixed number of coordinates.
trait Steps: Send {
    fn epoch(&self) -> usize;
    fn n_epochs(&self) -> usize;
    fn run_until(&mut self, epoch: usize, ctx: &Ctx) -> Result<()>;
    fn coordinates(&self, n_components: usize) -> Vec<f32>;
}

impl Layout {
    /// Prepares the layout of a graph from `initial` positions (n x `n_components`, row by row).
    ///
    /// `a` and `b` as from [`fit_curve`](super::fit_curve). Edges that would not be visited once in all epochs
    /// (weight below the largest / epochs) and self-loops are left out; a graph that is not symmetric is used as
    /// the mean of itself and its transpose. Memory: 8 bytes per edge, 12 to 16 bytes per coordinate.
    ///
    /// # Errors
    /// [`Error::Parameter`] as for the options; [`Error::Data`] if `initial` has another length or holds values
    /// that are not finite.
    pub fn new(graph: &Graph, initial: &[f32], a: f64, b: f64, options: &UmapOptions) -> Result<Self> {
        crate::options::Options::validate(options)?;
        let n_components = options.n_components;
        if initial.len() != graph.n * n_components {
            let expected = format!("{} vertices x {n_components} coordinates", graph.n);
            let found = format!("{} values", initial.len());
            return Err(Error::data(DataFault::Shape, "initial positions", expected, found));
        }
        if let Some(place) = initial.iter().position(|value| !value.is_finite()) {
            let found = format!("{} at vertex {}", initial[place], place / n_components);
            return Err(Error::data(DataFault::NotFinite, "initial positions", "finite values", found));
        }
        macro_rules! sized {
            ($($size:literal),*) => {
                match n_components {
                    $(d if d <= $size => Box::new(Optimizer::<$size>::new(graph, initial, a, b, options)),)*
                    _ => return Err(Error::parameter("n_components", "at most 64", n_components)),
                }
            };
        }
        // Coordinates beyond `n_components` start at 0 and feel no force, so they stay there.
        let steps: Box<dyn Steps> = sized!(1, 2, 3, 4, 8, 16, 32, 64);
        Ok(Self { steps, n_components })
    }

    /// Epochs done.
    pub fn epoch(&self) -> usize {
        self.steps.epoch()
    }

    /// Epochs in all.
    pub fn n_epochs(&self) -> usize {
        self.steps.n_epochs()
    }

    /// Runs to the end of epoch `epoch` (at most [`Layout::n_epochs`]). Stopping and going on changes nothing.
    ///
    /// # Errors
    /// [`Error::Interrupted`]; the layout may then stand within an epoch and is to be thrown away.
    pub fn run_until(&mut self, epoch: usize, ctx: &Ctx) -> Result<()> {
        self.steps.run_until(epoch, ctx)
    }

    /// Positions now: n x `n_components`, row by row.
    pub fn coordinates(&self) -> Vec<f32> {
        self.steps.coordinates(self.n_components)
    }
}

/// One directed edge: due in an epoch when `phase + epoch * rate`, taken mod 2^16, is below `rate`.
#[derive(Clone, Copy, Debug)]
struct Edge {
    target: u32,
    /// Visits per 65,536 epochs.
    rate: u16,
    /// Where in its period the edge starts, so that visits spread over the epochs.
    phase: u16,
}

/// The points that repel in one epoch: random vertices, one array per coordinate.
struct Pool<const D: usize> {
    vertices: Vec<u32>,
    coordinates: [Vec<f32>; D],
    /// Windows start below this.
    starts: usize,
}

struct Optimizer<const D: usize> {
    n_epochs: usize,
    epoch: usize,
    seed: u64,
    alpha: f64,
    negative_sample_rate: usize,
    forces: Forces,
    indptr: Vec<u64>,
    edges: Vec<Edge>,
    positions: Vec<[f32; D]>,
    moved: Vec<[f32; D]>,
    pool: Pool<D>,
}

impl<const D: usize> Optimizer<D> {
    fn new(graph: &Graph, initial: &[f32], a: f64, b: f64, options: &UmapOptions) -> Self {
        let n = graph.n;
        let n_epochs = options.epochs(n);
        let (indptr, edges) = schedule(graph, n_epochs, options.seed);
        let positions = initial.chunks_exact(options.n_components.max(1)).map(|row| {
            let mut position = [0f32; D];
            position[..row.len()].copy_from_slice(row);
            position
        });
        let size = n.max(MIN_POOL) + WINDOW;
        Self {
            n_epochs,
            epoch: 0,
            seed: options.seed,
            alpha: options.alpha,
            negative_sample_rate: options.negative_sample_rate,
            forces: Forces { a: a as f32, b: b as f32, gamma: options.gamma as f32 },
            indptr,
            edges,
            positions: positions.collect(),
            moved: vec![[0.0; D]; n.div_ceil(GROUPS)],
            pool: Pool {
                vertices: vec![0; size],
                coordinates: std::array::from_fn(|_| vec![0.0; size]),
                starts: size - WINDOW,
            },
        }
    }

    fn key(&self) -> [u32; 2] {
        [self.seed as u32, (self.seed >> 32) as u32]
    }

    fn step(&mut self, ctx: &Ctx) -> Result<()> {
        let n = self.positions.len();
        let alpha = (self.alpha * (1.0 - self.epoch as f64 / self.n_epochs as f64)) as f32;
        for group in 0..GROUPS.min(n) {
            if self.negative_sample_rate > 0 {
                self.fill_pool(group);
            }
            let members = (n - group).div_ceil(GROUPS);
            let mut moved = std::mem::take(&mut self.moved);
            let this = &*self;
            let result: Result<()> = moved[..members].par_chunks_mut(PIECE).enumerate().try_for_each(|(piece, out)| {
                ctx.check()?;
                let first = group + piece * PIECE * GROUPS;
                let turn = Turn { first, epoch: this.epoch as u32, alpha, key: this.key() };
                move_piece(
                    &this.indptr,
                    &this.edges,
                    &this.positions,
                    &this.pool,
                    &turn,
                    this.negative_sample_rate,
                    &this.forces,
                    out,
                );
                Ok(())
            });
            self.moved = moved;
            result?;
            for (member, position) in self.moved[..members].iter().enumerate() {
                self.positions[group + member * GROUPS] = *position;
            }
        }
        self.epoch += 1;
        Ok(())
    }

    /// Draws the pool anew (once per epoch) or reads the positions of its vertices again (for the later groups).
    fn fill_pool(&mut self, group: usize) {
        let (n, key, epoch) = (self.positions.len() as u64, self.key(), self.epoch as u32);
        if group == 0 {
            self.pool.vertices.par_chunks_mut(4096).enumerate().for_each(|(piece, vertices)| {
                for (block, four) in vertices.chunks_mut(4).enumerate() {
                    let words = philox([(piece * 1024 + block) as u32, epoch, 0, STREAM_POOL], key);
                    for (vertex, word) in four.iter_mut().zip(words) {
                        *vertex = ((u64::from(word) * n) >> 32) as u32;
                    }
                }
            });
        }
        let (vertices, positions) = (&self.pool.vertices, &self.positions);
        for (d, coordinate) in self.pool.coordinates.iter_mut().enumerate() {
            coordinate.par_chunks_mut(4096).zip(vertices.par_chunks(4096)).for_each(|(out, vertices)| {
                for (value, &vertex) in out.iter_mut().zip(vertices) {
                    *value = positions[vertex as usize][d];
                }
            });
        }
    }
}

impl<const D: usize> Steps for Optimizer<D> {
    fn epoch(&self) -> usize {
        self.epoch
    }

    fn n_epochs(&self) -> usize {
        self.n_epochs
    }

    fn run_until(&mut self, epoch: usize, ctx: &Ctx) -> Result<()> {
        let end = epoch.min(self.n_epochs);
        let stage = ctx.stage("umap: layout", end.saturating_sub(self.epoch) as u64);
        while self.epoch < end {
            self.step(ctx)?;
            stage.advance(1)?;
        }
        Ok(())
    }

    fn coordinates(&self, n_components: usize) -> Vec<f32> {
        self.positions.iter().flat_map(|position| position[..n_components].iter().copied()).collect()
    }
}

/// Edges with their visiting rates, rows as in the graph.
fn schedule(graph: &Graph, n_epochs: usize, seed: u64) -> (Vec<u64>, Vec<Edge>) {
    let loops = |vertex: usize, target: u32| target as usize == vertex;
    let largest = (0..graph.n)
        .flat_map(|v| {
            let (t, w) = graph.row(v);
            t.iter().zip(w).filter(move |&(&t, _)| !loops(v, t)).map(|(_, &w)| w)
        })
        .fold(0f32, f32::max);
    let least = f64::from(largest) / n_epochs.max(1) as f64;
    let key = [seed as u32, (seed >> 32) as u32];
    let rows: Vec<Vec<Edge>> = pieces(graph.n, 4096)
        .into_par_iter()
        .map(|vertices| {
            let mut edges = Vec::new();
            for vertex in vertices {
                let (targets, weights) = graph.row(vertex);
                for (&target, &weight) in targets.iter().zip(weights) {
                    if weight <= 0.0 || f64::from(weight) < least || loops(vertex, target) {
                        continue;
                    }
                    let rate = (f64::from(weight) / f64::from(largest) * 65536.0).round().clamp(1.0, 65535.0) as u16;
                    let phase = philox([vertex as u32, target, 0, STREAM_PHASE], key)[0] as u16;
                    edges.push(Edge { target, rate, phase });
                }
            }
            edges
        })
        .collect();
    let mut indptr = Vec::with_capacity(graph.n + 1);
    indptr.push(0u64);
    for vertex in 0..graph.n {
        let (targets, weights) = graph.row(vertex);
        let kept = targets
            .iter()
            .zip(weights)
            .filter(|&(&target, &weight)| weight > 0.0 && f64::from(weight) >= least && !loops(vertex, target))
            .count();
        indptr.push(indptr[vertex] + kept as u64);
    }
    (indptr, rows.concat())
}

/// What the vertices of one piece share.
struct Turn {
    /// First vertex; the next ones follow at a distance of [`GROUPS`].
    first: usize,
    epoch: u32,
    alpha: f32,
    key: [u32; 2],
}

/// New positions of the vertices of one piece.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn move_piece<const D: usize>(
    indptr: &[u64],
    edges: &[Edge],
    positions: &[[f32; D]],
    pool: &Pool<D>,
    turn: &Turn,
    negative_sample_rate: usize,
    forces: &Forces,
    out: &mut [[f32; D]],
) {
    let epoch = turn.epoch as u16;
    let per_turn = (LANES / negative_sample_rate.max(1)).clamp(1, LANES);
    let mut due: Vec<u32> = Vec::new();
    let mut drawn: Vec<[f32; D]> = Vec::new();
    for (member, result) in out.iter_mut().enumerate() {
        let vertex = turn.first + member * GROUPS;
        let mut x = positions[vertex];
        let row = &edges[indptr[vertex] as usize..indptr[vertex + 1] as usize];
        if due.len() < row.len() {
            due.resize(row.len(), 0);
        }
        let mut visits = 0;
        for edge in row {
            due[visits] = edge.target;
            visits += usize::from(edge.phase.wrapping_add(edge.rate.wrapping_mul(epoch)) < edge.rate);
        }

        // All that pulls is taken from where the vertex stands at the beginning of its turn. Were it to follow one neighbour
        // after the other, it would be back among its own before they see where another cluster has drawn it, and clusters that a few
        // edges hold together would drift apart.
        let mut strength = 0f32;
        drawn.clear();
        for targets in due[..visits].chunks(LANES) {
            let mut others: Batch<D> = [[0.0; LANES]; D];
            for (l, &target) in targets.iter().enumerate() {
                let position = &positions[target as usize];
                for d in 0..D {
                    others[d][l] = position[d];
                }
            }
            let mut pull = pulls(&x, &others, turn.alpha, forces);
            pull[targets.len()..].fill(0.0);
            strength += sum(&pull);
            for l in 0..targets.len() {
                let mut way = [0f32; D];
                for d in 0..D {
                    way[d] = pull[l] * (others[d][l] - x[d]);
                }
                drawn.push(way);
            }
        }
        let held = if strength > MOST_PULL { MOST_PULL / strength } else { 1.0 };

        // A few of these ways and the repelling points that belong to them at a time.
        let mut windows = 0u32;
        let mut words = [0u32; 4];
        let mut start = 0;
        let mut used = WINDOW;
        let mut first = 0;
        while first < visits {
            let last = (first + per_turn).min(visits);
            for way in &drawn[first..last] {
                for d in 0..D {
                    x[d] += held * way[d];
                }
            }
            let mut left = (last - first) * negative_sample_rate;
            let mut push: Batch<D> = [[0.0; LANES]; D];
            while left > 0 {
                if used == WINDOW {
                    if windows.is_multiple_of(4) {
                        words = philox([vertex as u32, turn.epoch, windows, STREAM_WINDOW], turn.key);
                    }
                    start = ((u64::from(words[(windows % 4) as usize]) * pool.starts as u64) >> 32) as usize;
                    windows += 1;
                    used = 0;
                }
                // The pool is WINDOW longer than the last start, and `used` is a multiple of LANES below WINDOW.
                let place = start + used;
                used += LANES;
                let count = left.min(LANES);
                left -= count;
                let vertices = &pool.vertices[place..place + LANES];
                let mut mask = [0f32; LANES];
                for l in 0..LANES {
                    mask[l] = f32::from(u8::from((l as u32) < count as u32 && vertices[l] != vertex as u32));
                }
                let mut repelling: Batch<D> = [[0.0; LANES]; D];
                for d in 0..D {
                    repelling[d].copy_from_slice(&pool.coordinates[d][place..place + LANES]);
                }
                add_pushes(&x, &repelling, &mask, forces, &mut push);
            }
            for d in 0..D {
                x[d] += turn.alpha * sum(&push[d]);
            }
            first = last;
        }
        *result = x;
    }
}
