//! Sums along one axis after another, in one sweep over a padded block.
//!
//! A block is swept in strips of a few lines of y. For each plane of a strip, a line is first weighed along y, then along x, while it lies
//! in the first cache; the result goes into a ring of the last planes, which fits the second cache and is weighed
//! along z. The order of the sums for a voxel never depends on where strip or block begin.

use std::ops::Range;

use zensaibo_core::data::{Grid, Region};

use crate::blocks::{Border, pool};

/// One half of a symmetric kernel, from its centre outwards.
pub(crate) type Half = Vec<f32>;

/// Bytes of the ring of planes that a strip aims at: part of a second cache.
const RING_BYTES: usize = 512 << 10;

/// Results that stay in registers while all their neighbours are added.
const LANES: usize = 64;

/// Separable sums over three axes.
#[derive(Clone, Debug)]
pub(crate) enum Kernel {
    /// `smooth` along each axis.
    Product { smooth: [Half; 3] },
    /// The sum over the axes of `bent` along this axis and `smooth` along the other two; same radius along an axis.
    SumOfBent { smooth: [Half; 3], bent: [Half; 3] },
}

impl Kernel {
    fn smooth(&self) -> &[Half; 3] {
        match self {
            Self::Product { smooth } | Self::SumOfBent { smooth, .. } => smooth,
        }
    }

    /// Voxels to each side along z, y and x.
    pub(crate) fn radius(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.smooth()[axis].len() - 1)
    }

    /// The inner part of a block that is padded by the radius; the block goes back to the pool.
    pub(crate) fn apply(&self, padded: Grid<f32>) -> Grid<f32> {
        let out = self.applied_to(&padded);
        pool::give(padded.data);
        out
    }

    /// The inner part of a block that is padded by the radius.
    pub(crate) fn applied_to(&self, padded: &Grid<f32>) -> Grid<f32> {
        self.applied(&Seen::whole(padded), None)
    }

    /// What lies a radius within `seen`, mirror image included. With `narrow`, a part of the shape of the result, the result is
    /// taken from that.
    pub(crate) fn applied(&self, seen: &Seen<'_>, narrow: Option<&Seen<'_>>) -> Grid<f32> {
        let radius = self.radius();
        let shape: [usize; 3] = std::array::from_fn(|axis| {
            seen.shape[axis] + seen.mirrored[axis][0] + seen.mirrored[axis][1] - 2 * radius[axis]
        });
        let mut out = pool::take_grid(shape);
        if !out.is_empty() {
            self.sweep(seen, narrow, radius, &mut out);
        }
        out
    }

    fn sweep(&self, seen: &Seen<'_>, narrow: Option<&Seen<'_>>, radius: [usize; 3], out: &mut Grid<f32>) {
        let [depth, height, width] = out.shape;
        let wide = width + 2 * radius[2];
        let parts = match self {
            Self::Product { .. } => 1,
            Self::SumOfBent { .. } => 2,
        };
        let planes = 2 * radius[0] + 1;
        let rows = (RING_BYTES / (4 * parts * planes * width)).clamp(1, height);
        // Planes a multiple of a page apart would all fall into the same few lines of the caches.
        let pitch = rows * width + 80;
        let mut ring = pool::take(parts * planes * pitch);
        let (ring_a, ring_b) = ring.split_at_mut(planes * pitch);
        let mut lines = pool::take(parts * wide);
        let (line_a, line_b) = lines.split_at_mut(wide);
        let places: [Vec<usize>; 3] = std::array::from_fn(|axis| seen.places(axis));
        let along_y: Vec<usize> = places[1].iter().map(|y| y * seen.steps[1]).collect();
        let along_x: Vec<usize> = (0..=2 * radius[2]).collect();
        let mut along_z = vec![0; planes];
        // Where what is stored lies in a line.
        let stored = seen.mirrored[2][0]..seen.mirrored[2][0] + seen.shape[2];
        for from in (0..height).step_by(rows) {
            let count = rows.min(height - from);
            // Planes that went through the ring. A mirror image is a plane that still lies in it.
            let mut swept = 0;
            for z in 0..depth {
                let window = &places[0][z..z + planes];
                while window.iter().any(|&place| place >= swept) {
                    let slot = swept % planes * pitch;
                    let source = &seen.data[swept * seen.steps[0]..];
                    for y in 0..count {
                        let along_y = &along_y[from + y..=from + y + 2 * radius[1]];
                        let target = slot + y * width..slot + (y + 1) * width;
                        match self {
                            Self::Product { smooth } => {
                                weigh(source, along_y, &smooth[1], &mut line_a[stored.clone()]);
                                mirror(line_a, &stored, &places[2]);
                                weigh(line_a, &along_x, &smooth[2], &mut ring_a[target]);
                            }
                            Self::SumOfBent { smooth, bent } => {
                                let outs = [&mut line_a[stored.clone()], &mut line_b[stored.clone()]];
                                split(source, along_y, [&smooth[1], &bent[1]], outs);
                                mirror(line_a, &stored, &places[2]);
                                mirror(line_b, &stored, &places[2]);
                                weigh(line_a, &along_x, &smooth[2], &mut ring_a[target.clone()]);
                                join([&*line_a, &*line_b], &along_x, [&bent[2], &smooth[2]], &mut ring_b[target]);
                            }
                        }
                    }
                    swept += 1;
                }
                along_z.iter_mut().zip(window).for_each(|(at, place)| *at = place % planes * pitch);
                let start = (z * height + from) * width;
                let target = &mut out.data[start..start + count * width];
                match self {
                    Self::Product { smooth } => weigh(ring_a, &along_z, &smooth[0], target),
                    Self::SumOfBent { smooth, bent } => {
                        join([&*ring_a, &*ring_b], &along_z, [&bent[0], &smooth[0]], target);
                    }
                }
                if let Some(narrow) = narrow {
                    for (y, line) in target.chunks_exact_mut(width).enumerate() {
                        let other = &narrow.data[z * narrow.steps[0] + (from + y) * narrow.steps[1]..][..width];
                        line.iter_mut().zip(other).for_each(|(wide, narrow)| *wide = narrow - *wide);
                    }
                }
            }
        }
        pool::give(ring);
        pool::give(lines);
    }
}

/// A box of a grid, and its mirror image beyond it on sides where the volume ends. What is weighed by symmetric kernels
/// has the mirror image of its result there, to the last bit: so it is neither stored nor computed.
pub(crate) struct Seen<'a> {
    /// From the first voxel of the box on.
    data: &'a [f32],
    shape: [usize; 3],
    /// Voxels from plane to plane and from line to line.
    steps: [usize; 2],
    /// Voxels before and after the box, along each axis, that mirror those within.
    mirrored: [[usize; 2]; 3],
}

impl<'a> Seen<'a> {
    /// All of a grid and nothing beyond.
    pub(crate) fn whole(grid: &'a Grid<f32>) -> Self {
        Self::part(grid, [0; 3], grid.shape)
    }

    /// A box of a grid and nothing beyond.
    pub(crate) fn part(grid: &'a Grid<f32>, start: [usize; 3], shape: [usize; 3]) -> Self {
        let first = grid.index(start[0], start[1], start[2]).min(grid.data.len());
        let steps = [grid.shape[1] * grid.shape[2], grid.shape[2]];
        Self { data: &grid.data[first..], shape, steps, mirrored: [[0; 2]; 3] }
    }

    /// A region of a volume of `shape` with `halo` voxels around it, which mirror the volume beyond its ends. The voxel of
    /// the volume at the first voxel of `grid` is `origin`.
    pub(crate) fn around(
        grid: &'a Grid<f32>,
        origin: [isize; 3],
        region: &Region,
        halo: [usize; 3],
        shape: [usize; 3],
    ) -> Self {
        let real = region.grown(halo, shape);
        let start = std::array::from_fn(|a| (real.start[a] as isize - origin[a]) as usize);
        let mirrored = std::array::from_fn(|a| {
            [halo[a] - (region.start[a] - real.start[a]), halo[a] - (real.end()[a] - region.end()[a])]
        });
        Self { mirrored, ..Self::part(grid, start, real.size) }
    }

    /// The place in the box that stands for each place along an axis, mirror image included.
    fn places(&self, axis: usize) -> Vec<usize> {
        let (n, [before, after]) = (self.shape[axis], self.mirrored[axis]);
        let place = |at: usize| Border::Reflect.place(at as isize - before as isize, n).unwrap_or(0);
        (0..before + n + after).map(place).collect()
    }
}

/// Fills a line on both sides of what is `stored` in it.
fn mirror(line: &mut [f32], stored: &Range<usize>, places: &[usize]) {
    for x in (0..stored.start).chain(stored.end..line.len()) {
        line[x] = line[stored.start + places[x]];
    }
}

/// The starts of stretches of `LANES` that cover `0..n`; the last overlaps its neighbour (the same sums, taken twice).
/// `None` when `n` is shorter than one stretch.
#[inline(always)]
fn stretches(n: usize) -> Option<impl Iterator<Item = usize>> {
    (n >= LANES).then(|| (0..n.div_ceil(LANES)).map(move |part| (part * LANES).min(n - LANES)))
}

/// `out[i] = half[0] * data[offsets[r] + i] + sum_k half[k] * (data[offsets[r-k] + i] + data[offsets[r+k] + i])`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
pub(crate) fn weigh(data: &[f32], offsets: &[usize], half: &[f32], out: &mut [f32]) {
    let r = half.len() - 1;
    let Some(starts) = stretches(out.len()) else {
        for (i, out) in out.iter_mut().enumerate() {
            let mut sum = half[0] * data[offsets[r] + i];
            for k in 1..=r {
                sum = half[k].mul_add(data[offsets[r - k] + i] + data[offsets[r + k] + i], sum);
            }
            *out = sum;
        }
        return;
    };
    for start in starts {
        let mut sums = [0f32; LANES];
        let centre = &data[offsets[r] + start..][..LANES];
        for i in 0..LANES {
            sums[i] = half[0] * centre[i];
        }
        for k in 1..=r {
            let weight = half[k];
            let (before, after) = (&data[offsets[r - k] + start..][..LANES], &data[offsets[r + k] + start..][..LANES]);
            for i in 0..LANES {
                sums[i] = weight.mul_add(before[i] + after[i], sums[i]);
            }
        }
        out[start..start + LANES].copy_from_slice(&sums);
    }
}

/// Two kernels of one radius over the same data.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn split(data: &[f32], offsets: &[usize], halves: [&[f32]; 2], outs: [&mut [f32]; 2]) {
    let r = halves[0].len() - 1;
    let [out_a, out_b] = outs;
    let Some(starts) = stretches(out_a.len()) else {
        for i in 0..out_a.len() {
            let centre = data[offsets[r] + i];
            let (mut a, mut b) = (halves[0][0] * centre, halves[1][0] * centre);
            for k in 1..=r {
                let pair = data[offsets[r - k] + i] + data[offsets[r + k] + i];
                a = halves[0][k].mul_add(pair, a);
                b = halves[1][k].mul_add(pair, b);
            }
            (out_a[i], out_b[i]) = (a, b);
        }
        return;
    };
    for start in starts {
        let (mut a, mut b) = ([0f32; LANES], [0f32; LANES]);
        let centre = &data[offsets[r] + start..][..LANES];
        for i in 0..LANES {
            a[i] = halves[0][0] * centre[i];
            b[i] = halves[1][0] * centre[i];
        }
        for k in 1..=r {
            let (weight_a, weight_b) = (halves[0][k], halves[1][k]);
            let (before, after) = (&data[offsets[r - k] + start..][..LANES], &data[offsets[r + k] + start..][..LANES]);
            for i in 0..LANES {
                let pair = before[i] + after[i];
                a[i] = weight_a.mul_add(pair, a[i]);
                b[i] = weight_b.mul_add(pair, b[i]);
            }
        }
        out_a[start..start + LANES].copy_from_slice(&a);
        out_b[start..start + LANES].copy_from_slice(&b);
    }
}

/// The sum of two data sets, each with a kernel of its own and the same radius.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn join(data: [&[f32]; 2], offsets: &[usize], halves: [&[f32]; 2], out: &mut [f32]) {
    let r = halves[0].len() - 1;
    let Some(starts) = stretches(out.len()) else {
        for (i, out) in out.iter_mut().enumerate() {
            let mut sum = halves[0][0].mul_add(data[0][offsets[r] + i], halves[1][0] * data[1][offsets[r] + i]);
            for k in 1..=r {
                let (before, after) = (offsets[r - k] + i, offsets[r + k] + i);
                sum = halves[0][k].mul_add(data[0][before] + data[0][after], sum);
                sum = halves[1][k].mul_add(data[1][before] + data[1][after], sum);
            }
            *out = sum;
        }
        return;
    };
    for start in starts {
        let mut sums = [0f32; LANES];
        let (a, b) = (&data[0][offsets[r] + start..][..LANES], &data[1][offsets[r] + start..][..LANES]);
        for i in 0..LANES {
            sums[i] = halves[0][0].mul_add(a[i], halves[1][0] * b[i]);
        }
        for k in 1..=r {
            let (before, after) = (offsets[r - k] + start, offsets[r + k] + start);
            let (weight_a, weight_b) = (halves[0][k], halves[1][k]);
            let (a0, a1) = (&data[0][before..][..LANES], &data[0][after..][..LANES]);
            let (b0, b1) = (&data[1][before..][..LANES], &data[1][after..][..LANES]);
            for i in 0..LANES {
                let sum = weight_a.mul_add(a0[i] + a1[i], sums[i]);
                sums[i] = weight_b.mul_add(b0[i] + b1[i], sum);
            }
        }
        out[start..start + LANES].copy_from_slice(&sums);
    }
}
