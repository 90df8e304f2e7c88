//! Repulsion, attraction and gravity.

use multiversion::multiversion;
use rayon::prelude::*;

use super::PIECE;
use super::options::ForceAtlasOptions;
use crate::graph::Graph;
use crate::quadtree::{Block, LANES, Quadtree, Sources};

/// The force on each vertex, n x 2.
pub(super) fn forces(graph: &Graph, positions: &[f32], masses: &[f32], options: &ForceAtlasOptions) -> Vec<f32> {
    let tree = Quadtree::new(positions, Some(masses));
    let found: Vec<(Block, [[f32; LANES]; 2])> = (0..tree.blocks())
        .into_par_iter()
        .with_min_len(4)
        .map_init(Sources::default, |sources, number| {
            let block = tree.block(number);
            tree.sources(&block, options.theta as f32, sources);
            (block, pushes(&block, &sources.x, &sources.y, &sources.mass))
        })
        .collect();
    let mut force = vec![0f32; positions.len()];
    for (block, push) in &found {
        for lane in 0..block.count {
            let vertex = block.point[lane] as usize;
            let strength = options.scaling_ratio as f32 * masses[vertex];
            (force[2 * vertex], force[2 * vertex + 1]) = (strength * push[0][lane], strength * push[1][lane]);
        }
    }
    let gravity = options.gravity as f32;
    force.par_chunks_mut(2 * PIECE).enumerate().for_each(|(piece, force)| {
        for (offset, force) in force.chunks_exact_mut(2).enumerate() {
            let vertex = piece * PIECE + offset;
            let (x, y) = (positions[2 * vertex], positions[2 * vertex + 1]);
            let distance = x.hypot(y);
            if distance > 0.0 {
                let factor = masses[vertex] * gravity / distance;
                force[0] -= factor * x;
                force[1] -= factor * y;
            }
            let (targets, weights) = graph.row(vertex);
            for (&target, &weight) in targets.iter().zip(weights) {
                let target = 2 * target as usize;
                force[0] -= weight * (x - positions[target]);
                force[1] -= weight * (y - positions[target + 1]);
            }
        }
    });
    force
}

/// Sum of mass (x - source) / d^2; a source at the very place does not push.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn pushes(block: &Block, xs: &[f32], ys: &[f32], masses: &[f32]) -> [[f32; LANES]; 2] {
    let mut sum = [[0f32; LANES]; 2];
    for ((&x, &y), &mass) in xs.iter().zip(ys).zip(masses) {
        for lane in 0..LANES {
            let (dx, dy) = (block.x[lane] - x, block.y[lane] - y);
            let factor = mass / (dx * dx + dy * dy).max(1e-20);
            sum[0][lane] += factor * dx;
            sum[1][lane] += factor * dy;
        }
    }
    sum
}
