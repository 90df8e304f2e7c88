//! Sums along one axis after another, in one sweep over a padded block.
//!
//! A block is swept in strips of a few lines of y. For each plane of a strip, a line is first weighed along y, then along x, while it lies
//! in the first cache; the result goes into a ring of the last planes, which fits the second cache and is weighed
//! along z. The order of the sums for a voxel never depends on where strip or block begin.

use zensaibo_core::data::Grid;

use crate::blocks::pool;

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
        let radius = self.radius();
        let shape: [usize; 3] = std::array::from_fn(|axis| padded.shape[axis] - 2 * radius[axis]);
        let mut out = pool::take_grid(shape);
        if !out.is_empty() {
            self.sweep(padded, radius, &mut out);
        }
        out
    }

    fn sweep(&self, padded: &Grid<f32>, radius: [usize; 3], out: &mut Grid<f32>) {
        let [depth, height, width] = out.shape;
        let [_, _, wide] = padded.shape;
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
        let along_y: Vec<usize> = (0..=2 * radius[1]).map(|k| k * wide).collect();
        let along_x: Vec<usize> = (0..=2 * radius[2]).collect();
        let mut along_z = vec![0; planes];
        let plane = padded.shape[1] * wide;
        for from in (0..height).step_by(rows) {
            let count = rows.min(height - from);
            for z in 0..padded.shape[0] {
                let slot = z % planes * pitch;
                for y in 0..count {
                    let source = &padded.data[z * plane + (from + y) * wide..(z + 1) * plane];
                    let target = slot + y * width..slot + (y + 1) * width;
                    match self {
                        Self::Product { smooth } => {
                            weigh(source, &along_y, &smooth[1], line_a);
                            weigh(line_a, &along_x, &smooth[2], &mut ring_a[target]);
                        }
                        Self::SumOfBent { smooth, bent } => {
                            split(source, &along_y, [&smooth[1], &bent[1]], [&mut *line_a, &mut *line_b]);
                            weigh(line_a, &along_x, &smooth[2], &mut ring_a[target.clone()]);
                            join([&*line_a, &*line_b], &along_x, [&bent[2], &smooth[2]], &mut ring_b[target]);
                        }
                    }
                }
                if z < 2 * radius[0] {
                    continue;
                }
                let first = z - 2 * radius[0];
                along_z.iter_mut().enumerate().for_each(|(k, at)| *at = (first + k) % planes * pitch);
                let start = (first * height + from) * width;
                let target = &mut out.data[start..start + count * width];
                match self {
                    Self::Product { smooth } => weigh(ring_a, &along_z, &smooth[0], target),
                    Self::SumOfBent { smooth, bent } => {
                        join([&*ring_a, &*ring_b], &along_z, [&bent[0], &smooth[0]], target);
                    }
                }
            }
        }
        debug_assert_eq!(depth, padded.shape[0] - 2 * radius[0]);
        pool::give(ring);
        pool::give(lines);
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
