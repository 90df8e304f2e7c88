//! The affine map between two images: rigid first, then with one stretch, then free.

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, Result};

use super::landmarks::Pull;
use super::minimise::minimise;
use super::pyramid::{Level, background};
use super::similarity::{Similarity, similarity};
use super::tissue::missing;
use super::warp::{Beyond, add_gradient, warp};
use crate::transform::Affine;

/// What a map may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freedom {
    /// Turn and shift.
    Rigid,
    /// And stretch, alike in all directions.
    Similar,
    /// Anything linear.
    Affine,
}

impl Freedom {
    fn numbers(self) -> usize {
        match self {
            Self::Rigid => 6,
            Self::Similar => 7,
            Self::Affine => 12,
        }
    }

    /// What the numbers after the first three (the shift) make of a matrix; each counts micrometres at `radius`.
    fn matrix(self, numbers: &[f64], radius: f64, start: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
        let change = match self {
            Self::Rigid => turn([numbers[0], numbers[1], numbers[2]].map(|n| n / radius)),
            Self::Similar => {
                let turned = turn([numbers[0], numbers[1], numbers[2]].map(|n| n / radius));
                let stretch = (numbers[3] / radius).exp();
                turned.map(|row| row.map(|value| value * stretch))
            }
            Self::Affine => std::array::from_fn(|row| {
                std::array::from_fn(|at| f64::from(u8::from(row == at)) + numbers[3 * row + at] / radius)
            }),
        };
        Affine { matrix: change, shift: [0.0; 3] }.after(&Affine { matrix: *start, shift: [0.0; 3] }).matrix
    }
}

/// The turn by a vector of angle and axis (Rodrigues).
fn turn(vector: [f64; 3]) -> [[f64; 3]; 3] {
    let angle = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
    let (a, b) = if angle < 1e-8 { (1.0, 0.5) } else { (angle.sin() / angle, (1.0 - angle.cos()) / (angle * angle)) };
    let [x, y, z] = vector;
    let cross = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]];
    std::array::from_fn(|row| {
        std::array::from_fn(|at| {
            let square: f64 = (0..3).map(|k| cross[row][k] * cross[k][at]).sum();
            f64::from(u8::from(row == at)) + a * cross[row][at] + b * square
        })
    })
}

/// How the search is done.
pub(super) struct Search<'a> {
    pub(super) similarity: Similarity,
    pub(super) freedom: Freedom,
    pub(super) steps: usize,
    /// What lies beyond the moving image: background, or nothing that counts.
    pub(super) partial: bool,
    /// Weight of each channel; together 1.
    pub(super) weights: &'a [f64],
    pub(super) pull: Pull<'a>,
}

/// Which voxels of the fixed volume show tissue that is missing in a part laid on it by `map`.
fn gone(fixed: &Level, moving: &Level, map: &Affine, partial: bool) -> Option<Vec<bool>> {
    let (true, Some(still), Some(body)) = (partial, &fixed.body, &moving.body) else { return None };
    let voxels = map.between_voxels(fixed.spacing, moving.spacing);
    let body = warp(body, &voxels, None, fixed.image.shape, Beyond::Value(0.0));
    Some(still.data.iter().zip(&body.data).map(|(&fixed, &moving)| missing(fixed, moving)).collect())
}

/// The channels of the moving volume seen through a map; NaN where they do not count.
fn seen(fixed: &Level, moving: &Level, map: &Affine, partial: bool, gone: Option<&[bool]>) -> Vec<Grid<f32>> {
    let mut out = vec![seen_first(fixed, moving, map, partial, gone)];
    let voxels = map.between_voxels(fixed.spacing, moving.spacing);
    for image in &moving.more {
        let mut other = warp(image, &voxels, None, fixed.image.shape, Beyond::Value(background(image)));
        other.data.iter_mut().zip(&out[0].data).filter(|pair| pair.1.is_nan()).for_each(|(value, _)| *value = f32::NAN);
        out.push(other);
    }
    out
}

/// The first channel of the moving volume seen through a map; NaN where it does not count.
fn seen_first(fixed: &Level, moving: &Level, map: &Affine, partial: bool, gone: Option<&[bool]>) -> Grid<f32> {
    let voxels = map.between_voxels(fixed.spacing, moving.spacing);
    let shape = fixed.image.shape;
    let beyond = if partial { Beyond::Nothing } else { Beyond::Value(background(&moving.image)) };
    let mut out = warp(&moving.image, &voxels, None, shape, beyond);
    if let Some(mask) = &moving.mask {
        let mask = warp(mask, &voxels, None, shape, Beyond::Value(0.0));
        out.data.iter_mut().zip(&mask.data).for_each(|(value, &mask)| {
            if mask < 0.5 {
                *value = f32::NAN;
            }
        });
    }
    if let Some(gone) = gone {
        out.data.iter_mut().zip(gone).filter(|pair| *pair.1).for_each(|(value, _)| *value = f32::NAN);
    }
    out
}

/// How alike the images are under a map, and over which share of the fixed voxels they were compared.
pub(super) fn likeness(fixed: &Level, moving: &Level, map: &Affine, search: &Search<'_>) -> (f64, f64) {
    let gone = gone(fixed, moving, map, search.partial);
    let b = seen(fixed, moving, map, search.partial, gone.as_deref());
    let mask = fixed.mask.as_ref().map(|mask| &mask.data[..]);
    let channels = fixed.channels().zip(&b).zip(search.weights);
    let value = channels.map(|((a, b), weight)| weight * similarity(search.similarity, a, b, mask, None)).sum();
    (value, share(&b[0]))
}

/// The share of the voxels that count.
fn share(image: &Grid<f32>) -> f64 {
    image.data.iter().filter(|value| !value.is_nan()).count() as f64 / image.len().max(1) as f64
}

/// The map (fixed to moving, micrometres) near `start` under which the images are most alike, and how alike.
pub(super) fn align(
    fixed: &Level,
    moving: &Level,
    start: &Affine,
    search: &Search<'_>,
    ctx: &Ctx,
) -> Result<(Affine, f64)> {
    let extent = fixed.extent();
    let centre = extent.map(|length| 0.5 * length);
    let radius = 0.5 * extent.iter().map(|length| length * length).sum::<f64>().sqrt().max(1e-9);
    let anchor = start.apply(centre);
    let freedom = search.freedom;
    let map_of = |numbers: &[f64]| {
        let matrix = freedom.matrix(&numbers[3..], radius, &start.matrix);
        Affine::about(matrix, centre, std::array::from_fn(|axis| anchor[axis] + numbers[axis]))
    };
    let shape = fixed.image.shape;
    let mut by = vec![0f32; fixed.image.len()];
    let weight = fixed.mask.as_ref().map(|mask| &mask.data[..]);
    // Held while the map is sought, so that what is compared does not change from step to step.
    let gone = gone(fixed, moving, start, search.partial);
    let overlap_at_start = share(&seen_first(fixed, moving, start, search.partial, gone.as_deref()));
    let function = |numbers: &[f64]| {
        ctx.check()?;
        let map = map_of(numbers);
        let seen = seen(fixed, moving, &map, search.partial, gone.as_deref());
        let (pulled, pulled_shift, pulled_matrix) = search.pull.cost(&map, centre);
        let mut value = -pulled;
        // Sums of force x gradient, and of it times the place from the centre.
        let mut gradient = vec![0f32; 3 * by.len()];
        for ((a, b), &weight_of) in fixed.channels().zip(&seen).zip(search.weights) {
            value += weight_of * similarity(search.similarity, a, b, weight, Some(&mut by));
            by.iter_mut().for_each(|by| *by *= weight_of as f32);
            let finite = Grid { shape, data: b.data.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect() };
            add_gradient(&finite, &by, fixed.spacing.map(|spacing| (1.0 / spacing) as f32), &mut gradient);
        }
        // Where the images were slid off each other nothing is left to differ.
        if search.partial && share(&seen[0]) < 0.5 * overlap_at_start {
            return Ok((1.0 - value, vec![0.0; numbers.len()]));
        }
        let Ok(inverse) = map.inverse() else { return Ok((f64::INFINITY, vec![0.0; numbers.len()])) };
        let plane = shape[1] * shape[2];
        let parts: Vec<[f64; 12]> = gradient
            .par_chunks(3 * plane)
            .enumerate()
            .map(|(z, gradient)| {
                let mut sum = [0f64; 12];
                for (at, g) in gradient.as_chunks::<3>().0.iter().enumerate() {
                    let voxel = [z, at / shape[2], at % shape[2]];
                    for row in 0..3 {
                        let g = f64::from(g[row]);
                        sum[row] += g;
                        for axis in 0..3 {
                            sum[3 + 3 * row + axis] += g * (voxel[axis] as f64 * fixed.spacing[axis] - centre[axis]);
                        }
                    }
                }
                sum
            })
            .collect();
        let sum = parts.iter().fold([0f64; 12], |sum, part| std::array::from_fn(|at| sum[at] + part[at]));
        // The gradient in the space of the moving image: by the transposed inverse of the map.
        let turned = |column: [f64; 3]| {
            std::array::from_fn::<f64, 3, _>(|row| (0..3).map(|k| inverse.matrix[k][row] * column[k]).sum())
        };
        let by_shift = turned([sum[0], sum[1], sum[2]]);
        let columns: [[f64; 3]; 3] = std::array::from_fn(|axis| turned([0, 1, 2].map(|row| sum[3 + 3 * row + axis])));
        let mut slopes: Vec<f64> = by_shift.iter().zip(pulled_shift).map(|(slope, pulled)| pulled - slope).collect();
        for at in 3..numbers.len() {
            let step = 1e-3;
            let (mut more, mut less) = (numbers.to_vec(), numbers.to_vec());
            more[at] += step;
            less[at] -= step;
            let above = freedom.matrix(&more[3..], radius, &start.matrix);
            let below = freedom.matrix(&less[3..], radius, &start.matrix);
            let mut slope = 0.0;
            for row in 0..3 {
                for axis in 0..3 {
                    let turned = (above[row][axis] - below[row][axis]) / (2.0 * step);
                    slope += (columns[axis][row] - pulled_matrix[row][axis]) * turned;
                }
            }
            slopes.push(-slope);
        }
        Ok((1.0 - value, slopes))
    };
    let voxel = fixed.spacing.iter().copied().fold(0.0, f64::max);
    let (numbers, value) = minimise(&vec![0.0; freedom.numbers()], search.steps, 0.5 * voxel, 0.01 * voxel, function)?;
    Ok((map_of(&numbers), 1.0 - value))
}
