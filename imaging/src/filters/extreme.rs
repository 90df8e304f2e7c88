//! Running minima and maxima over boxes and over anything made of lines along x.

use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, Result};

use crate::blocks::pool;

/// Lines of y in one strip of [`by_lines`]: what a strip adds to stays in the second cache.
const STRIP: usize = 32;

/// Voxels beside each other that are worked on at a time along y and z.
const STRETCH: usize = 1024;

/// The lower of two voxels, or the higher one.
#[inline(always)]
fn pick<const MAX: bool>(a: f32, b: f32) -> f32 {
    // Written so that each is one instruction of a vector unit.
    if MAX {
        if a > b { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

/// `out[i]` = the extreme of `a[i]` and `b[i]`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn pick_each<const MAX: bool>(a: &[f32], b: &[f32], out: &mut [f32]) {
    let n = out.len();
    let (a, b) = (&a[..n], &b[..n]);
    for i in 0..n {
        out[i] = pick::<MAX>(a[i], b[i]);
    }
}

/// `out[i]` = the extreme of itself and `a[i] + rise`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn pick_into<const MAX: bool>(a: &[f32], rise: f32, out: &mut [f32]) {
    let n = out.len();
    let a = &a[..n];
    for i in 0..n {
        out[i] = pick::<MAX>(out[i], a[i] + rise);
    }
}

/// Extremes over windows of `2 * radius + 1` items of `step` voxels each, by doubling: windows of 1, 2, 4, ... items, then
/// two that overlap. `line` is used up; `out` is shorter than it by `2 * radius` items.
fn windows<const MAX: bool>(line: &mut Vec<f32>, spare: &mut Vec<f32>, radius: usize, step: usize, out: &mut [f32]) {
    let width = 2 * radius + 1;
    let mut length = line.len();
    let mut p = 1;
    while 2 * p <= width {
        length -= p * step;
        spare.resize(length, 0.0);
        pick_each::<MAX>(line, &line[p * step..], spare);
        std::mem::swap(line, spare);
        p *= 2;
    }
    pick_each::<MAX>(line, &line[(width - p) * step..], out);
}

/// Extremes over a box of `radius`, axis by axis; the result is smaller by the radius on each side. A time of log2(radius) a voxel
/// (van Herk's and Gil-Werman's time does not grow with the radius, but cannot use vector units).
pub(super) fn by_box<const MAX: bool>(padded: Grid<f32>, radius: [usize; 3]) -> Grid<f32> {
    let (mut line, mut spare) = (Vec::new(), Vec::new());
    (0..3).rev().fold(padded, |grid, axis| {
        let r = radius[axis];
        if r == 0 {
            return grid;
        }
        let mut shape = grid.shape;
        shape[axis] -= 2 * r;
        let mut out = pool::take_grid(shape);
        // (outer, n, inner): the axis runs over n items of `inner` voxels.
        let outer: usize = shape[..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        let (n, kept) = (grid.shape[axis], shape[axis]);
        let mut result = vec![0f32; if inner == 1 { 0 } else { kept * STRETCH.min(inner) }];
        for at in 0..outer {
            let source = &grid.data[at * n * inner..(at + 1) * n * inner];
            let target = &mut out.data[at * kept * inner..(at + 1) * kept * inner];
            if inner == 1 {
                line.clear();
                line.extend_from_slice(source);
                windows::<MAX>(&mut line, &mut spare, r, 1, target);
                continue;
            }
            for from in (0..inner).step_by(STRETCH) {
                let width = STRETCH.min(inner - from);
                line.clear();
                for item in source.chunks_exact(inner) {
                    line.extend_from_slice(&item[from..from + width]);
                }
                let result = &mut result[..kept * width];
                windows::<MAX>(&mut line, &mut spare, r, width, result);
                for (item, result) in target.chunks_exact_mut(inner).zip(result.chunks_exact(width)) {
                    item[from..from + width].copy_from_slice(result);
                }
            }
        }
        pool::give(grid.data);
        out
    })
}

/// What is done with a line along x before it is compared: the same for several lines of a neighbourhood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Profile {
    /// The extreme over so many voxels to each side.
    Flat(usize),
    /// The lowest of the voxels, each raised by what stands here for its distance.
    Raised(Vec<f32>),
}

/// Lines (steps along z and y, index of a profile) and profiles.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lines {
    pub(super) radius: [usize; 3],
    pub(super) lines: Vec<([isize; 2], usize)>,
    pub(super) profiles: Vec<Profile>,
}

impl Lines {
    /// Lines that are flat.
    pub(super) fn flat(radius: [usize; 3], lines: &[[isize; 3]]) -> Self {
        let mut widths: Vec<usize> = lines.iter().map(|line| line[2] as usize).collect();
        widths.sort_unstable();
        widths.dedup();
        let lines = lines
            .iter()
            .map(|&[z, y, half]| ([z, y], widths.partition_point(|&width| width < half as usize)))
            .collect();
        Self { radius, lines, profiles: widths.into_iter().map(Profile::Flat).collect() }
    }
}

/// Extremes over a neighbourhood made of lines. Each line of the block is worked on once for every profile, then compared into
/// all lines of the result that it touches. Looks at `ctx` for each plane of a strip.
pub(super) fn by_lines<const MAX: bool>(padded: Grid<f32>, lines: &Lines, ctx: &Ctx) -> Result<Grid<f32>> {
    let [rz, ry, rx] = lines.radius;
    let shape: [usize; 3] = std::array::from_fn(|axis| padded.shape[axis] - 2 * lines.radius[axis]);
    let [depth, height, width] = shape;
    let mut out = pool::take_grid(shape);
    out.data.fill(if MAX { f32::NEG_INFINITY } else { f32::INFINITY });
    let mut profiles = vec![0f32; lines.profiles.len() * width];
    let (mut line, mut spare) = (Vec::new(), Vec::new());
    for from in (0..height).step_by(STRIP) {
        let count = STRIP.min(height - from);
        for z in 0..padded.shape[0] {
            ctx.check()?;
            for y in from..from + count + 2 * ry {
                let source = padded.row(z, y);
                for (profile, out) in lines.profiles.iter().zip(profiles.chunks_exact_mut(width.max(1))) {
                    match profile {
                        Profile::Flat(half) => {
                            line.clear();
                            line.extend_from_slice(&source[rx - half..rx + half + width]);
                            windows::<MAX>(&mut line, &mut spare, *half, 1, out);
                        }
                        Profile::Raised(rises) => {
                            out.fill(f32::INFINITY);
                            for (step, &rise) in rises.iter().enumerate() {
                                pick_into::<MAX>(&source[rx + step..rx + step + width], rise, out);
                                if step > 0 {
                                    pick_into::<MAX>(&source[rx - step..rx - step + width], rise, out);
                                }
                            }
                        }
                    }
                }
                for &([dz, dy], profile) in &lines.lines {
                    // The line lies at a step of (dz, dy) from the voxels that it belongs to.
                    let (at_z, at_y) = (z as isize - rz as isize - dz, y as isize - ry as isize - dy);
                    if at_z < 0 || at_z >= depth as isize || at_y < from as isize || at_y >= (from + count) as isize {
                        continue;
                    }
                    pick_into::<MAX>(
                        &profiles[profile * width..(profile + 1) * width],
                        0.0,
                        out.row_mut(at_z as usize, at_y as usize),
                    );
                }
            }
        }
    }
    pool::give(padded.data);
    Ok(out)
}
