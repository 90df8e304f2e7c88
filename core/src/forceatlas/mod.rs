//! ForceAtlas2: a drawing of a graph in the plane by attraction along edges and repulsion between all vertices.
//!
//! Vertices repel each other in proportion to their masses (1 + number of edges) over their distance, edges attract in
//! proportion to weight times length, gravity holds parts together ([`forces`]). All vertices move at once, those that
//! swing to and fro more slowly ([`Speed`]). Repulsion goes through a quadtree.
//!
//! Reference: Jacomy, Venturini, Heymann, Bastian 2014, ForceAtlas2, a continuous graph layout algorithm for handy network
//! visualization, PLoS ONE 9, e98679.

mod forces;
mod options;

#[cfg(test)]
mod tests;

pub use options::ForceAtlasOptions;

use rayon::prelude::*;

use crate::graph::Graph;
use crate::options::Options;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// Vertices per parallel piece.
const PIECE: usize = 1024;
/// Steps between reports.
const REPORT: usize = 10;

/// Draws a weighted graph of n vertices in the plane; returns n x 2 coordinates, row by row.
///
/// The graph is meant to be symmetric; one that is not counts as the mean of itself and its transpose. Self-loops are left
/// out. `initial`, if given, is n x 2, finite; otherwise vertices start at random in the unit square, by `seed`.
///
/// The same bits for any number of threads on processors with the same instructions. O(`maxiter` (edges + n log n)) time:
/// about 0.5 ms of one core per 1000 vertices and step at 15 neighbours; memory 8 bytes per edge and 120 per vertex.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for an `initial` of another length or not finite;
/// [`Error::Interrupted`].
///
/// # Reference
/// Jacomy et al. 2014, PLoS ONE 9, e98679.
pub fn force_atlas(graph: &Graph, initial: Option<&[f32]>, options: &ForceAtlasOptions, ctx: &Ctx) -> Result<Vec<f32>> {
    options.validate()?;
    let n = graph.n;
    let both_ways;
    let graph = if graph.is_symmetric() {
        graph
    } else {
        both_ways = graph.symmetrised()?;
        &both_ways
    };
    let mut positions = match initial {
        Some(given) => checked(given, n)?,
        None => (0..n)
            .flat_map(|vertex| {
                let mut stream = Stream::new(options.seed ^ 0x6661_3200, vertex as u64);
                [stream.uniform() as f32, stream.uniform() as f32]
            })
            .collect(),
    };
    let masses: Vec<f32> = (0..n)
        .map(|vertex| {
            let (targets, weights) = graph.row(vertex);
            let edges = targets.iter().zip(weights).filter(|&(&target, &w)| w > 0.0 && target as usize != vertex);
            1.0 + edges.count() as f32
        })
        .collect();
    let mut before = vec![0f32; 2 * n];
    let mut speed = Speed { speed: 1.0, efficiency: 1.0 };
    let stage = ctx.stage("ForceAtlas2", options.maxiter as u64);
    for iteration in 0..options.maxiter {
        ctx.check()?;
        let force = forces::forces(graph, &positions, &masses, options);
        let parts: Vec<[f64; 2]> = force
            .par_chunks(2 * PIECE)
            .zip(before.par_chunks(2 * PIECE))
            .zip(masses.par_chunks(PIECE))
            .map(|((force, before), masses)| {
                let mut sum = [0f64; 2];
                for ((f, b), &mass) in force.chunks_exact(2).zip(before.chunks_exact(2)).zip(masses) {
                    sum[0] += f64::from(mass * (f[0] - b[0]).hypot(f[1] - b[1]));
                    sum[1] += 0.5 * f64::from(mass * (f[0] + b[0]).hypot(f[1] + b[1]));
                }
                sum
            })
            .collect();
        let [swinging, traction] = [0, 1].map(|k| parts.iter().map(|part| part[k]).sum::<f64>());
        speed.adjust(swinging, traction, n, options.jitter_tolerance);
        let pace = speed.speed as f32;
        positions
            .par_chunks_mut(2 * PIECE)
            .zip(force.par_chunks(2 * PIECE))
            .zip(before.par_chunks(2 * PIECE))
            .zip(masses.par_chunks(PIECE))
            .for_each(|(((positions, force), before), masses)| {
                let vectors = positions.chunks_exact_mut(2).zip(force.chunks_exact(2)).zip(before.chunks_exact(2));
                for (((position, f), b), &mass) in vectors.zip(masses) {
                    let swing = mass * (f[0] - b[0]).hypot(f[1] - b[1]);
                    let factor = pace / (1.0 + (pace * swing).sqrt());
                    position[0] += f[0] * factor;
                    position[1] += f[1] * factor;
                }
            });
        before = force;
        if (iteration + 1) % REPORT == 0 {
            stage.advance(REPORT as u64)?;
        }
    }
    Ok(positions)
}

/// Positions handed in.
fn checked(given: &[f32], n: usize) -> Result<Vec<f32>> {
    if given.len() != 2 * n {
        let found = format!("{} coordinates", given.len());
        return Err(Error::data(DataFault::Shape, "initial positions", format!("{n} x 2"), found));
    }
    if let Some(place) = given.iter().position(|x| !x.is_finite()) {
        let found = format!("{} at vertex {}", given[place], place / 2);
        return Err(Error::data(DataFault::NotFinite, "initial positions", "finite coordinates", found));
    }
    Ok(given.to_vec())
}

/// How far vertices go in a step: as far as the drawing as a whole moves on more than it swings.
struct Speed {
    speed: f64,
    efficiency: f64,
}

impl Speed {
    fn adjust(&mut self, swinging: f64, traction: f64, n: usize, tolerance: f64) {
        if !(swinging > 0.0 && traction > 0.0 && swinging.is_finite() && traction.is_finite()) {
            return;
        }
        let n = n as f64;
        let optimal = 0.05 * n.sqrt();
        let mut jitter = tolerance * (optimal * traction / (n * n)).clamp(optimal.sqrt().min(10.0), 10.0);
        if swinging / traction > 2.0 {
            if self.efficiency > 0.05 {
                self.efficiency *= 0.5;
            }
            jitter = jitter.max(tolerance);
        }
        let target = jitter * self.efficiency * traction / swinging;
        if swinging > jitter * traction {
            if self.efficiency > 0.05 {
                self.efficiency *= 0.7;
            }
        } else if self.speed < 1000.0 {
            self.efficiency *= 1.3;
        }
        // Slower at once, faster by half at most.
        self.speed += (target - self.speed).min(0.5 * self.speed);
    }
}
