//! Descent of the divergence.

use multiversion::multiversion;
use rayon::prelude::*;

use super::Tsne;
use super::options::TsneOptions;
use crate::graph::Graph;
use crate::quadtree::{Block, LANES, Quadtree, Sources};
use crate::{Ctx, Result};

/// A step moves a point at most this far.
const LONGEST: f32 = 5.0;
/// Momentum while attraction is exaggerated, and after.
const MOMENTUM: [f32; 2] = [0.5, 0.8];
/// Points per parallel piece of attraction.
const PIECE: usize = 512;
/// Steps between reports.
const REPORT: usize = 10;

pub(super) fn descend(similar: &Graph, mut y: Vec<f32>, options: &TsneOptions, ctx: &Ctx) -> Result<Tsne> {
    let n = similar.n;
    let mut step = vec![0f32; 2 * n];
    let mut gain = vec![1f32; 2 * n];
    let theta = options.theta as f32;
    let stage = ctx.stage("t-SNE", options.n_iter as u64);
    for iteration in 0..options.n_iter {
        ctx.check()?;
        let early = iteration < options.early_exaggeration_iter;
        let exaggeration = if early { options.early_exaggeration } else { 1.0 };
        if iteration == options.early_exaggeration_iter {
            // The forces change at once: what was learnt of the old ones goes.
            step.fill(0.0);
            gain.fill(1.0);
        }
        let rate = options.learning_rate.unwrap_or((n as f64 / exaggeration).max(50.0)) as f32;
        let momentum = MOMENTUM[usize::from(!early)];
        let (push, total) = repulsion(&y, theta);
        let inverse = (1.0 / total.max(f64::MIN_POSITIVE)) as f32;
        let pull = attraction(similar, &y);
        y.par_chunks_mut(2)
            .zip(step.par_chunks_mut(2))
            .zip(gain.par_chunks_mut(2))
            .zip(pull.par_chunks(2).zip(push.par_chunks(2)))
            .with_min_len(PIECE)
            .for_each(|(((y, step), gain), (pull, push))| {
                for axis in 0..2 {
                    // The factor 4 of the gradient.
                    let gradient = 4.0 * (exaggeration as f32 * pull[axis] - push[axis] * inverse);
                    let against = (gradient > 0.0) != (step[axis] > 0.0);
                    gain[axis] = if against { gain[axis] + 0.2 } else { (gain[axis] * 0.8).max(0.01) };
                    step[axis] = momentum * step[axis] - rate * gain[axis] * gradient;
                }
                let length = step[0].hypot(step[1]);
                if length > LONGEST {
                    step.iter_mut().for_each(|x| *x *= LONGEST / length);
                }
                (0..2).for_each(|axis| y[axis] += step[axis]);
            });
        centre(&mut y);
        if (iteration + 1) % REPORT == 0 {
            stage.advance(REPORT as u64)?;
        }
    }
    drop(stage);
    centre(&mut y);
    let (_, total) = repulsion(&y, theta);
    let kl_divergence = divergence(similar, &y, total);
    Ok(Tsne { coordinates: y, kl_divergence, iterations: options.n_iter })
}

/// Sum over all others of q^2 (y_i - y_j), n x 2, and the sum of all q = 1 / (1 + d^2).
fn repulsion(y: &[f32], theta: f32) -> (Vec<f32>, f64) {
    let tree = Quadtree::new(y, None);
    let found: Vec<(Block, [[f32; LANES]; 2], f64)> = (0..tree.blocks())
        .into_par_iter()
        .with_min_len(4)
        .map_init(Sources::default, |sources, number| {
            let block = tree.block(number);
            tree.sources(&block, theta, sources);
            let [x, y, q] = pushes(&block, &sources.x, &sources.y, &sources.mass);
            // Each point is among its own sources, with q = 1.
            let total: f64 = q[..block.count].iter().map(|&q| f64::from(q) - 1.0).sum();
            (block, [x, y], total)
        })
        .collect();
    let mut push = vec![0f32; y.len()];
    let mut total = 0f64;
    for (block, [x, y], part) in &found {
        for lane in 0..block.count {
            let point = block.point[lane] as usize;
            (push[2 * point], push[2 * point + 1]) = (x[lane], y[lane]);
        }
        total += part;
    }
    (push, total)
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn pushes(block: &Block, xs: &[f32], ys: &[f32], masses: &[f32]) -> [[f32; LANES]; 3] {
    let mut sum = [[0f32; LANES]; 3];
    for ((&x, &y), &mass) in xs.iter().zip(ys).zip(masses) {
        for lane in 0..LANES {
            let (dx, dy) = (block.x[lane] - x, block.y[lane] - y);
            let q = 1.0 / (1.0 + dx * dx + dy * dy);
            let weighted = mass * q;
            let force = weighted * q;
            sum[0][lane] += force * dx;
            sum[1][lane] += force * dy;
            sum[2][lane] += weighted;
        }
    }
    sum
}

/// Sum over neighbours of p q (y_i - y_j), n x 2.
fn attraction(similar: &Graph, y: &[f32]) -> Vec<f32> {
    let mut pull = vec![0f32; y.len()];
    pull.par_chunks_mut(2 * PIECE).enumerate().for_each(|(piece, pull)| {
        for (offset, pull) in pull.chunks_exact_mut(2).enumerate() {
            let point = piece * PIECE + offset;
            let (x0, y0) = (y[2 * point], y[2 * point + 1]);
            let (targets, weights) = similar.row(point);
            let mut sum = [0f32; 2];
            for (&target, &p) in targets.iter().zip(weights) {
                let (dx, dy) = (x0 - y[2 * target as usize], y0 - y[2 * target as usize + 1]);
                let force = p / (1.0 + dx * dx + dy * dy);
                sum[0] += force * dx;
                sum[1] += force * dy;
            }
            pull.copy_from_slice(&sum);
        }
    });
    pull
}

/// Sum of p ln(p / q), q = 1 / (1 + d^2) / total.
fn divergence(similar: &Graph, y: &[f32], total: f64) -> f64 {
    let parts: Vec<f64> = crate::parallel::pieces(similar.n, PIECE)
        .into_par_iter()
        .map(|piece| {
            let mut sum = 0f64;
            for point in piece {
                let (targets, weights) = similar.row(point);
                for (&target, &p) in targets.iter().zip(weights).filter(|(_, p)| **p > 0.0) {
                    let at = target as usize;
                    let (dx, dy) = (y[2 * point] - y[2 * at], y[2 * point + 1] - y[2 * at + 1]);
                    let q = 1.0 / ((1.0 + f64::from(dx).powi(2) + f64::from(dy).powi(2)) * total);
                    sum += f64::from(p) * (f64::from(p) / q).ln();
                }
            }
            sum
        })
        .collect();
    parts.iter().sum()
}

/// Moves the mean to 0.
fn centre(y: &mut [f32]) {
    let n = y.len() / 2;
    let parts: Vec<[f64; 2]> = y
        .par_chunks(8192)
        .map(|y| y.chunks_exact(2).fold([0f64; 2], |sum, y| [sum[0] + f64::from(y[0]), sum[1] + f64::from(y[1])]))
        .collect();
    let mean = [0, 1].map(|axis| (parts.iter().map(|part| part[axis]).sum::<f64>() / n as f64) as f32);
    y.par_chunks_mut(8192).for_each(|y| {
        y.chunks_exact_mut(2).for_each(|y| {
            y[0] -= mean[0];
            y[1] -= mean[1];
        });
    });
}
