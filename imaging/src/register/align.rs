//! The affine map between two images: rigid first, then with one stretch, then free.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Result};

use super::minimise::minimise;
use super::pyramid::Level;
use super::similarity::{Similarity, similarity};
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
pub(super) struct Search {
    pub(super) similarity: Similarity,
    pub(super) freedom: Freedom,
    pub(super) steps: usize,
    /// What lies beyond the moving image: background, or nothing that counts.
    pub(super) partial: bool,
}

/// The fixed image's weights and the moving image seen through a map; NaN where it does not count.
fn seen(fixed: &Level, moving: &Level, map: &Affine, partial: bool) -> zensaibo_core::data::Grid<f32> {
    let voxels = map.between_voxels(fixed.spacing, moving.spacing);
    let shape = fixed.image.shape;
    let beyond = if partial { Beyond::Nothing } else { Beyond::Value(background(moving)) };
    let mut out = warp(&moving.image, &voxels, None, shape, beyond);
    if let Some(mask) = &moving.mask {
        let mask = warp(mask, &voxels, None, shape, Beyond::Value(0.0));
        out.data.iter_mut().zip(&mask.data).for_each(|(value, &mask)| {
            if mask < 0.5 {
                *value = f32::NAN;
            }
        });
    }
    out
}

/// The value of an image where there is no tissue: the median of its faces.
pub(super) fn background(level: &Level) -> f32 {
    let [depth, height, width] = level.image.shape;
    let mut faces = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            let row = level.image.row(z, y);
            if z == 0 || z + 1 == depth || y == 0 || y + 1 == height {
                faces.extend_from_slice(row);
            } else {
                faces.extend([row[0], row[width - 1]]);
            }
        }
    }
    let middle = faces.len() / 2;
    if faces.is_empty() { 0.0 } else { *faces.select_nth_unstable_by(middle, f32::total_cmp).1 }
}

/// How alike the images are under a map, and over which share of the fixed voxels they were compared.
pub(super) fn likeness(fixed: &Level, moving: &Level, map: &Affine, kind: Similarity, partial: bool) -> (f64, f64) {
    let b = seen(fixed, moving, map, partial);
    let share = b.data.iter().filter(|value| !value.is_nan()).count() as f64 / b.len().max(1) as f64;
    (similarity(kind, &fixed.image, &b, fixed.mask.as_ref().map(|mask| &mask.data[..]), None), share)
}

/// The map (fixed to moving, micrometres) near `start` under which the images are most alike, and how alike.
pub(super) fn align(
    fixed: &Level,
    moving: &Level,
    start: &Affine,
    search: &Search,
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
    let overlap_at_start = likeness(fixed, moving, start, search.similarity, search.partial).1;
    let function = |numbers: &[f64]| {
        ctx.check()?;
        let map = map_of(numbers);
        let b = seen(fixed, moving, &map, search.partial);
        let value = similarity(search.similarity, &fixed.image, &b, weight, Some(&mut by));
        // Where the images were slid off each other nothing is left to differ.
        let overlap = b.data.iter().filter(|value| !value.is_nan()).count() as f64 / b.len().max(1) as f64;
        if search.partial && overlap < 0.5 * overlap_at_start {
            return Ok((1.0 - value, vec![0.0; numbers.len()]));
        }
        let Ok(inverse) = map.inverse() else { return Ok((f64::INFINITY, vec![0.0; numbers.len()])) };
        // Sums of force x gradient, and of it times the place from the centre.
        let mut gradient = vec![0f32; 3 * b.len()];
        let finite = zensaibo_core::data::Grid {
            shape,
            data: b.data.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect(),
        };
        add_gradient(&finite, &by, fixed.spacing.map(|spacing| (1.0 / spacing) as f32), &mut gradient);
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
        let mut slopes: Vec<f64> = by_shift.iter().map(|slope| -slope).collect();
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
                    slope += columns[axis][row] * (above[row][axis] - below[row][axis]) / (2.0 * step);
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
