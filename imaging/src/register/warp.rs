//! Images seen through a map: trilinear interpolation in f32.

use multiversion::multiversion;
use rayon::prelude::*;
use zensaibo_core::data::Grid;

use crate::transform::Affine;

/// What is seen where a map leads out of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Beyond {
    /// This value, towards which the image fades over one voxel.
    Value(f32),
    /// NaN: there is nothing to see.
    Nothing,
}

/// The image at `map` of every voxel of a grid; `map` leads from its voxels to voxels of the image. With `field`, voxel
/// i is first moved by its displacement (in voxels of the grid, three per voxel).
pub(super) fn warp(
    image: &Grid<f32>,
    map: &Affine,
    field: Option<&[f32]>,
    shape: [usize; 3],
    beyond: Beyond,
) -> Grid<f32> {
    let mut out = Grid::filled(shape, 0f32);
    let [_, height, width] = shape;
    if out.is_empty() {
        return out;
    }
    out.data.par_chunks_mut(height * width).enumerate().for_each(|(z, plane)| {
        let mut places = vec![[0f32; 3]; width];
        for (y, row) in plane.chunks_exact_mut(width).enumerate() {
            let from = (z * height + y) * width;
            let moved = field.map(|field| &field[3 * from..3 * (from + width)]);
            row_places(map, [z as f64, y as f64], moved, &mut places);
            sample_row(image, &places, beyond, row);
        }
    });
    out
}

/// Where the voxels of a row lead.
fn row_places(map: &Affine, [z, y]: [f64; 2], moved: Option<&[f32]>, places: &mut [[f32; 3]]) {
    let m = &map.matrix;
    let start: [f64; 3] = std::array::from_fn(|row| m[row][0] * z + m[row][1] * y + map.shift[row]);
    match moved {
        None => {
            for (x, place) in places.iter_mut().enumerate() {
                *place = std::array::from_fn(|row| (start[row] + m[row][2] * x as f64) as f32);
            }
        }
        Some(moved) => {
            let m32 = m.map(|row| row.map(|value| value as f32));
            let (moved, _) = moved.as_chunks::<3>();
            for (x, (place, d)) in places.iter_mut().zip(moved).enumerate() {
                *place = std::array::from_fn(|row| {
                    let own = (start[row] + m[row][2] * x as f64) as f32;
                    own + (m32[row][0] * d[0] + m32[row][1] * d[1] + m32[row][2] * d[2])
                });
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn sample_row(image: &Grid<f32>, places: &[[f32; 3]], beyond: Beyond, out: &mut [f32]) {
    let [depth, height, width] = image.shape;
    let data = &image.data[..];
    let (plane, ends) = (height * width, [depth as f32 - 1.0, height as f32 - 1.0, width as f32 - 1.0]);
    for (out, place) in out.iter_mut().zip(places) {
        let inside = place[0] >= 0.0
            && place[1] >= 0.0
            && place[2] >= 0.0
            && place[0] < ends[0]
            && place[1] < ends[1]
            && place[2] < ends[2];
        if inside {
            let (z, y, x) = (place[0] as usize, place[1] as usize, place[2] as usize);
            let (fz, fy, fx) = (place[0] - z as f32, place[1] - y as f32, place[2] - x as f32);
            let at = z * plane + y * width + x;
            let line = |at: usize| {
                let pair = &data[at..at + 2];
                pair[0] + fx * (pair[1] - pair[0])
            };
            let (a, b) = (line(at), line(at + width));
            let (c, d) = (line(at + plane), line(at + plane + width));
            let (low, high) = (a + fy * (b - a), c + fy * (d - c));
            *out = low + fz * (high - low);
        } else {
            *out = at_edge(image, *place, beyond);
        }
    }
}

/// Where at least one of the eight neighbours does not exist.
#[cold]
fn at_edge(image: &Grid<f32>, place: [f32; 3], beyond: Beyond) -> f32 {
    let mut sum = 0f32;
    if !place.iter().zip(image.shape).all(|(&p, n)| p > -1.0 && p < n as f32) {
        return match beyond {
            Beyond::Value(value) => value,
            Beyond::Nothing => f32::NAN,
        };
    }
    if beyond == Beyond::Nothing && !place.iter().zip(image.shape).all(|(&p, n)| p >= 0.0 && p <= n as f32 - 1.0) {
        return f32::NAN;
    }
    let low = place.map(f32::floor);
    for corner in 0..8usize {
        let bits = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
        let mut weight = 1f32;
        let mut voxel = [0i64; 3];
        for axis in 0..3 {
            let share = place[axis] - low[axis];
            weight *= if bits[axis] == 1 { share } else { 1.0 - share };
            voxel[axis] = low[axis] as i64 + bits[axis] as i64;
        }
        if weight == 0.0 {
            continue;
        }
        let exists = voxel.iter().zip(image.shape).all(|(&v, n)| v >= 0 && v < n as i64);
        let value = match beyond {
            _ if exists => image.at(voxel[0] as usize, voxel[1] as usize, voxel[2] as usize),
            Beyond::Value(value) => value,
            Beyond::Nothing => return f32::NAN,
        };
        sum += weight * value;
    }
    sum
}

/// `field` after a step: d(x) = u(x) + d(x + u(x)). Both three numbers per voxel, in voxels; `field` is that of the
/// nearest voxel beyond the grid.
pub(super) fn compose(field: &[f32], step: &[f32], shape: [usize; 3], out: &mut [f32]) {
    let [_, height, width] = shape;
    let line = 3 * width;
    out.par_chunks_mut(height * line).enumerate().for_each(|(z, plane)| {
        for (y, row) in plane.chunks_exact_mut(line).enumerate() {
            let from = (z * height + y) * line;
            compose_row(field, &step[from..from + line], shape, [z, y], row);
        }
    });
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn compose_row(field: &[f32], step: &[f32], shape: [usize; 3], [z, y]: [usize; 2], out: &mut [f32]) {
    let [depth, height, width] = shape;
    let (out, _) = out.as_chunks_mut::<3>();
    let (step, _) = step.as_chunks::<3>();
    let (vectors, _) = field.as_chunks::<3>();
    for (x, (out, u)) in out.iter_mut().zip(step).enumerate() {
        let place = [z as f32 + u[0], y as f32 + u[1], x as f32 + u[2]];
        let mut low = [0usize; 3];
        let mut share = [0f32; 3];
        for (axis, n) in [depth, height, width].into_iter().enumerate() {
            let p = place[axis].clamp(0.0, (n - 1) as f32);
            low[axis] = (p as usize).min(n.saturating_sub(2));
            share[axis] = p - low[axis] as f32;
        }
        let up = [usize::from(depth > 1) * height * width, usize::from(height > 1) * width, usize::from(width > 1)];
        let at = (low[0] * height + low[1]) * width + low[2];
        for axis in 0..3 {
            let line = |at: usize| {
                let (a, b) = (vectors[at][axis], vectors[at + up[2]][axis]);
                a + share[2] * (b - a)
            };
            let (a, b) = (line(at), line(at + up[1]));
            let (c, d) = (line(at + up[0]), line(at + up[0] + up[1]));
            let (near, far) = (a + share[1] * (b - a), c + share[1] * (d - c));
            out[axis] = u[axis] + near + share[0] * (far - near);
        }
    }
}

/// Central differences of an image per voxel (one-sided at the edge) times a number for each voxel and axis: adds
/// `weight[voxel]` x gradient x `scale[axis]` into `out`, three numbers per voxel.
pub(super) fn add_gradient(image: &Grid<f32>, weight: &[f32], scale: [f32; 3], out: &mut [f32]) {
    let [depth, height, width] = image.shape;
    let plane_size = height * width;
    out.par_chunks_mut(3 * plane_size).enumerate().for_each(|(z, plane)| {
        for (y, row) in plane.chunks_exact_mut(3 * width).enumerate() {
            let (below, above) = (z.saturating_sub(1), (z + 1).min(depth - 1));
            let (left, right) = (y.saturating_sub(1), (y + 1).min(height - 1));
            let share = |gap: usize, scale: f32| if gap == 0 { 0.0 } else { scale / gap as f32 };
            let factors = [share(above - below, scale[0]), share(right - left, scale[1]), scale[2]];
            let lines = [image.row(below, y), image.row(above, y), image.row(z, left), image.row(z, right)];
            let from = (z * height + y) * width;
            gradient_row(lines, image.row(z, y), &weight[from..from + width], factors, row);
        }
    });
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn gradient_row(lines: [&[f32]; 4], own: &[f32], weight: &[f32], factors: [f32; 3], out: &mut [f32]) {
    let width = own.len();
    let (out, _) = out.as_chunks_mut::<3>();
    for x in 0..width {
        let (before, after) = (x.saturating_sub(1), (x + 1).min(width - 1));
        let along = if after > before { factors[2] / (after - before) as f32 } else { 0.0 };
        let w = weight[x];
        out[x][0] += w * factors[0] * (lines[1][x] - lines[0][x]);
        out[x][1] += w * factors[1] * (lines[3][x] - lines[2][x]);
        out[x][2] += w * along * (own[after] - own[before]);
    }
}
