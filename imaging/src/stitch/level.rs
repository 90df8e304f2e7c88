//! Parts of a tile at a resolution, as logarithms, and where they show tissue.

use multiversion::multiversion;
use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::{Ctx, Result};

use crate::blocks::{pool, read_f32};
use crate::filters::two_classes;

/// Voxels that are read at one time.
const AT_ONCE: usize = 1 << 21;
/// Voxels of a level to each side over which tissue is told from background.
const TISSUE: usize = 4;
/// Voxels of a level to each side of the mean that is taken off.
const TREND: usize = 12;
/// What is added before the logarithm, as a share of the mean.
const FLOOR: f32 = 0.1;

/// The mean of `factor` voxels along each axis over `region`, whose size is a multiple of it, less `dark`; nothing is below 0.
pub(super) fn reduced(
    volume: &dyn VolumeBlocks,
    frame: Frame,
    region: &Region,
    factor: [usize; 3],
    dark: f32,
    ctx: &Ctx,
) -> Result<Grid<f32>> {
    let shape: [usize; 3] = std::array::from_fn(|a| region.size[a] / factor[a]);
    let mut out = Grid::filled(shape, 0f32);
    if out.is_empty() {
        return Ok(out);
    }
    // As many lines, then planes, of the level as may be read together.
    let line = factor[0] * factor[1] * region.size[2];
    let rows = (AT_ONCE / line).clamp(1, shape[1]);
    let planes = if rows == shape[1] { (AT_ONCE / (line * rows)).clamp(1, shape[0]) } else { 1 };
    let scale = 1.0 / factor.iter().product::<usize>() as f32;
    for z in (0..shape[0]).step_by(planes) {
        for y in (0..shape[1]).step_by(rows) {
            ctx.check()?;
            let (depth, height) = (planes.min(shape[0] - z), rows.min(shape[1] - y));
            let part = Region {
                start: [region.start[0] + z * factor[0], region.start[1] + y * factor[1], region.start[2]],
                size: [depth * factor[0], height * factor[1], shape[2] * factor[2]],
            };
            let voxels = read_f32(volume, frame, &part)?;
            for from_z in 0..part.size[0] {
                for from_y in 0..part.size[1] {
                    let target = out.row_mut(z + from_z / factor[0], y + from_y / factor[1]);
                    add_row(voxels.row(from_z, from_y), factor[2], target);
                }
            }
            pool::give(voxels.data);
        }
    }
    // NaN becomes 0 here.
    out.data.iter_mut().for_each(|value| *value = (*value * scale - dark).max(0.0));
    Ok(out)
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn add_row(row: &[f32], factor: usize, out: &mut [f32]) {
    match factor {
        1 => out.iter_mut().zip(row).for_each(|(out, value)| *out += value),
        2 => out.iter_mut().zip(row.as_chunks::<2>().0).for_each(|(out, [a, b])| *out += a + b),
        4 => out.iter_mut().zip(row.as_chunks::<4>().0).for_each(|(out, [a, b, c, d])| *out += (a + b) + (c + d)),
        _ => out.iter_mut().zip(row.chunks_exact(factor)).for_each(|(out, part)| *out += part.iter().sum::<f32>()),
    }
}

/// A quarter, a half, a quarter of neighbours along each axis: less noise, and correlations that fall off smoothly.
pub(super) fn softened(grid: &Grid<f32>) -> Grid<f32> {
    let mut out = grid.clone();
    for axis in 0..3 {
        let source = out.clone();
        along(
            &source,
            axis,
            |before, here, after, out| {
                for k in 0..out.len() {
                    out[k] = 0.25 * before[k] + 0.5 * here[k] + 0.25 * after[k];
                }
            },
            &mut out,
        );
    }
    out
}

/// Calls `job(before, here, after, out)` for lines along x and their neighbours along `axis`; the border is repeated.
fn along(source: &Grid<f32>, axis: usize, job: impl Fn(&[f32], &[f32], &[f32], &mut [f32]), out: &mut Grid<f32>) {
    let [depth, height, width] = source.shape;
    if source.shape[axis] < 2 {
        return;
    }
    let (mut left, mut right) = (vec![0f32; width], vec![0f32; width]);
    for z in 0..depth {
        for y in 0..height {
            let here = source.row(z, y);
            match axis {
                0 => {
                    job(
                        source.row(z.saturating_sub(1), y),
                        here,
                        source.row((z + 1).min(depth - 1), y),
                        out.row_mut(z, y),
                    );
                }
                1 => {
                    job(
                        source.row(z, y.saturating_sub(1)),
                        here,
                        source.row(z, (y + 1).min(height - 1)),
                        out.row_mut(z, y),
                    );
                }
                _ => {
                    left[1..].copy_from_slice(&here[..width - 1]);
                    left[0] = here[0];
                    right[..width - 1].copy_from_slice(&here[1..]);
                    right[width - 1] = here[width - 1];
                    job(&left, here, &right, out.row_mut(z, y));
                }
            }
        }
    }
}

/// Sums over windows of `radius` to each side, cut off at the border.
fn box_sums(grid: &Grid<f32>, radius: usize) -> Grid<f32> {
    let mut out = grid.clone();
    let [depth, height, width] = grid.shape;
    let mut sums = vec![0f64; width];
    for axis in 0..3 {
        let source = out.clone();
        match axis {
            2 => {
                for (from, to) in source.data.chunks_exact(width).zip(out.data.chunks_exact_mut(width)) {
                    let mut sum: f64 = from[..radius.min(width)].iter().map(|&value| f64::from(value)).sum();
                    for x in 0..width {
                        sum += if x + radius < width { f64::from(from[x + radius]) } else { 0.0 };
                        sum -= if x > radius { f64::from(from[x - radius - 1]) } else { 0.0 };
                        to[x] = sum as f32;
                    }
                }
            }
            _ => {
                let (lines, length) = if axis == 0 { (height, depth) } else { (depth, height) };
                let row = |line: usize, at: usize| if axis == 0 { source.row(at, line) } else { source.row(line, at) };
                for line in 0..lines {
                    sums.fill(0.0);
                    let add = |sums: &mut [f64], row: &[f32], sign: f64| {
                        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += sign * f64::from(value));
                    };
                    (0..radius.min(length)).for_each(|at| add(&mut sums, row(line, at), 1.0));
                    for at in 0..length {
                        if at + radius < length {
                            add(&mut sums, row(line, at + radius), 1.0);
                        }
                        if at > radius {
                            add(&mut sums, row(line, at - radius - 1), -1.0);
                        }
                        let target = if axis == 0 { out.row_mut(at, line) } else { out.row_mut(line, at) };
                        target.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
                    }
                }
            }
        }
    }
    out
}

/// 1 where the mean around a voxel says tissue, else 0. With no `threshold`, everything, unless the means fall into two
/// classes that lie well apart.
pub(super) fn tissue(grid: &Grid<f32>, threshold: Option<f32>) -> Grid<f32> {
    let (sums, counts) = (box_sums(grid, TISSUE), box_sums(&Grid::filled(grid.shape, 1f32), TISSUE));
    let mut means = sums;
    means.data.iter_mut().zip(&counts.data).for_each(|(sum, &count)| *sum /= count.max(1.0));
    let threshold = threshold.or_else(|| darkest_tissue(&means.data)).unwrap_or(f32::NEG_INFINITY);
    means.data.iter_mut().for_each(|mean| *mean = f32::from(u8::from(*mean > threshold)));
    means
}

/// The value between two classes of values on a scale of logarithms, if these explain most of how the values
/// differ and their means lie apart by a factor of 1.5.
fn darkest_tissue(values: &[f32]) -> Option<f32> {
    const BINS: usize = 256;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64;
    // Not a number fails here as well.
    if !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    let floor = 1e-3 * mean;
    let log = |value: f32| (f64::from(value) + floor).ln();
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(log(v)), high.max(log(v))));
    if high - low < 1.5f64.ln() {
        return None;
    }
    let mut bins = [0f64; BINS];
    let width = (high - low) / BINS as f64;
    values.iter().for_each(|&value| bins[(((log(value) - low) / width) as usize).min(BINS - 1)] += 1.0);
    let found = two_classes(&bins, 0.01)?;
    let told = found.between > 0.75 * found.all && found.apart * width > 1.5f64.ln();
    told.then(|| ((low + (found.cut + 1) as f64 * width).exp() - floor) as f32)
}

/// Logarithms of what [`reduced`] gave, softened.
pub(super) fn logarithms(grid: &Grid<f32>) -> Grid<f32> {
    let mean = grid.data.iter().map(|&value| f64::from(value)).sum::<f64>() / grid.len().max(1) as f64;
    let floor = (FLOOR * mean as f32).max(f32::MIN_POSITIVE);
    let mut out = softened(grid);
    out.data.iter_mut().for_each(|value| *value = (*value + floor).ln());
    out
}

/// Takes off the mean of the tissue around each voxel; what is no tissue becomes 0.
pub(super) fn flattened(logs: &Grid<f32>, mask: &Grid<f32>) -> Grid<f32> {
    let mut masked = logs.clone();
    masked.data.iter_mut().zip(&mask.data).for_each(|(value, weight)| *value *= weight);
    let (sums, counts) = (box_sums(&masked, TREND), box_sums(mask, TREND));
    for (at, value) in masked.data.iter_mut().enumerate() {
        *value = if mask.data[at] > 0.0 { *value - sums.data[at] / counts.data[at].max(1.0) } else { 0.0 };
    }
    masked
}

#[cfg(test)]
mod tests {
    use zensaibo_core::data::{Dtype, VolumeInfo};
    use zensaibo_core::random::Stream;

    use super::*;

    #[test]
    fn means_over_boxes_wherever_they_are_cut() {
        let shape = [6, 20, 30];
        let data: Vec<u16> = (0..3600).map(|at| (at * 7919 % 1001) as u16).collect();
        let volume = (VolumeInfo::plain("test", shape, Dtype::U16), Grid { shape, data });
        let region = Region { start: [1, 2, 3], size: [4, 18, 24] };
        let out = reduced(&volume, Frame::default(), &region, [2, 3, 4], 10.0, &Ctx::quiet()).unwrap();
        assert_eq!(out.shape, [2, 6, 6]);
        let mut sum = 0.0;
        for z in 3..5 {
            for y in 5..8 {
                sum += (7..11).map(|x| f32::from(volume.1.at(z, y, x))).sum::<f32>();
            }
        }
        assert!((out.at(1, 1, 1) - (sum / 24.0 - 10.0)).abs() < 1e-3);
    }

    #[test]
    fn window_sums_by_hand() {
        let mut random = Stream::new(2, 0);
        let shape = [5, 9, 14];
        let grid = Grid { shape, data: (0..630).map(|_| random.uniform() as f32).collect() };
        let sums = box_sums(&grid, 3);
        for at in [[0usize, 0, 0], [2, 4, 7], [4, 8, 13], [1, 8, 3]] {
            let near = |a: usize| at[a].saturating_sub(3)..(at[a] + 4).min(shape[a]);
            let mut sum = 0.0;
            for z in near(0) {
                for y in near(1) {
                    sum += near(2).map(|x| grid.at(z, y, x)).sum::<f32>();
                }
            }
            assert!((sums.at(at[0], at[1], at[2]) - sum).abs() < 1e-3);
        }
    }

    #[test]
    fn tissue_is_told_from_background_where_there_are_both() {
        let mut random = Stream::new(3, 0);
        let shape = [8, 40, 40];
        let noise: Vec<f32> = (0..12_800).map(|_| 100.0 + 10.0 * random.normal() as f32).collect();
        let all = tissue(&Grid { shape, data: noise.clone() }, None);
        assert!(all.data.iter().all(|&value| value == 1.0), "noise alone has no two classes");
        let mut half = Grid { shape, data: noise };
        for z in 0..8 {
            for y in 0..40 {
                half.row_mut(z, y)[20..].iter_mut().for_each(|value| *value += 400.0);
            }
        }
        let mask = tissue(&half, None);
        assert!((0..40).all(|y| mask.at(4, y, 5) == 0.0 && mask.at(4, y, 35) == 1.0));
        let said = tissue(&half, Some(1000.0));
        assert!(said.data.iter().all(|&value| value == 0.0));
    }
}
