//! Fewer voxels without aliasing: means over blocks of voxels, and any other spacing.

use zensaibo_core::data::{Grid, Region, VolumeBlocks, VolumeInfo, VolumeSink};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::{Gaussian, GaussianOptions, LocalFilter, check_sink, plan_of, write_f32};
use crate::blocks::{Border, Plan, Work, map_blocks, pool, read_f32, read_padded};
use crate::space::Spacing;

zensaibo_core::options! {
    /// Means over blocks of voxels.
    pub struct DownsampleOptions("im_downsample") {
        /// Voxels along z, y and x that become one; 1 leaves an axis alone.
        pub factor: [usize; 3] = [2; 3],
    }
}

impl DownsampleOptions {
    fn check(&self) -> Result<()> {
        for (axis, &factor) in ["z", "y", "x"].iter().zip(&self.factor) {
            if !(1..=1024).contains(&factor) {
                return Err(Error::parameter(format!("factor, axis {axis}"), "a whole number of 1 to 1024", factor));
            }
        }
        Ok(())
    }
}

zensaibo_core::options! {
    /// A volume at another spacing.
    pub struct ResampleOptions("im_resample") {
        /// Micrometres per voxel of the result along z, y and x.
        pub to: [f64; 3] = [10.0; 3],
        /// Smooth an axis that becomes coarser by a Gaussian of half as many voxels as it loses for each it keeps (standard deviation
        /// (ratio - 1) / 2), so that fine structure does not come back as false coarse structure.
        pub antialias: bool = true,
    }
}

impl ResampleOptions {
    fn check(&self) -> Result<()> {
        Spacing::new(self.to).map(|_| ())
    }
}

/// What [`downsample`] makes of a volume: its shape (the last voxel of an axis may stand for fewer), spacing and origin.
pub fn downsampled(info: &VolumeInfo, options: &DownsampleOptions) -> VolumeInfo {
    let mut out = info.clone();
    for axis in 0..3 {
        out.shape[2 + axis] = info.shape[2 + axis].div_ceil(options.factor[axis].max(1));
    }
    out.chunk = [1; 3];
    if let Some(spacing) = info.spacing {
        let factor = options.factor.map(|factor| factor as f64);
        out.spacing = Some(std::array::from_fn(|axis| spacing[axis] * factor[axis]));
        out.origin = std::array::from_fn(|axis| info.origin[axis] + 0.5 * (factor[axis] - 1.0) * spacing[axis]);
    }
    out
}

/// Each voxel of the result is the mean of `factor` voxels along each axis; at the end of an axis, of those that are left, so that no
/// voxel is dropped. Sums in f64. `sink` has the shape of [`downsampled`]. Same bits for any memory and number of threads.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Limit`] when no block fits into the memory; what source and sink return.
pub fn downsample(
    source: &dyn VolumeBlocks,
    options: &DownsampleOptions,
    sink: &dyn VolumeSink,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<()> {
    /// Bytes of voxels that are read at a time from memory: they stay in the second cache until they are summed.
    const SLAB: usize = 256 << 10;
    options.validate()?;
    let (info, out) = (source.info(), sink.info());
    let (factor, shape) = (options.factor, info.space());
    check_sink(out, downsampled(info, options).shape)?;
    if out.shape.contains(&0) {
        return Ok(());
    }
    let many: usize = factor.iter().product();
    let chunk = std::array::from_fn(|axis| out.chunk[axis].max(info.chunk[axis].div_ceil(factor[axis])));
    let bytes_per_voxel = many * (4 + info.dtype.size()) + 4 + out.dtype.size();
    let plan = Plan::new(out.space(), &Work { halo: [0; 3], bytes_per_voxel, chunk, memory })?;
    let in_memory = info.chunk == [1; 3];
    for frame in info.frames() {
        map_blocks(
            &plan,
            "downsample",
            ctx,
            |region| {
                let mut result = pool::take_grid(region.size);
                let row_bytes = 4 * factor[0] * factor[1] * factor[2] * region.size[2];
                let rows = if in_memory { (SLAB / row_bytes.max(1)).clamp(1, region.size[1]) } else { region.size[1] };
                let planes = if in_memory { 1 } else { region.size[0] };
                for z in (0..region.size[0]).step_by(planes) {
                    ctx.check()?;
                    for y in (0..region.size[1]).step_by(rows) {
                        let part = [z, y, 0];
                        let size = [planes.min(region.size[0] - z), rows.min(region.size[1] - y), region.size[2]];
                        let start = std::array::from_fn(|axis| (region.start[axis] + part[axis]) * factor[axis]);
                        let end: [usize; 3] = std::array::from_fn(|axis| {
                            ((region.start[axis] + part[axis] + size[axis]) * factor[axis]).min(shape[axis])
                        });
                        let from = Region { start, size: std::array::from_fn(|axis| end[axis] - start[axis]) };
                        let voxels = read_f32(source, frame, &from)?;
                        means(&voxels, factor, size, part, &mut result);
                        pool::give(voxels.data);
                    }
                }
                write_f32(sink, frame, region, &result.data)?;
                pool::give(result.data);
                Ok(())
            },
            |_, ()| Ok(()),
        )?;
    }
    pool::clear();
    Ok(())
}

/// Means of a part of the source into `size` voxels of the result at `at`.
fn means(voxels: &Grid<f32>, factor: [usize; 3], size: [usize; 3], at: [usize; 3], result: &mut Grid<f32>) {
    let mut sums = vec![0f64; voxels.shape[2]];
    for z in 0..size[0] {
        let planes = z * factor[0]..((z + 1) * factor[0]).min(voxels.shape[0]);
        for y in 0..size[1] {
            let lines = y * factor[1]..((y + 1) * factor[1]).min(voxels.shape[1]);
            let mut first = true;
            for plane in planes.clone() {
                for line in lines.clone() {
                    add_line(voxels.row(plane, line), first, &mut sums);
                    first = false;
                }
            }
            let count = (planes.len() * lines.len()) as f64;
            let out = &mut result.row_mut(at[0] + z, at[1] + y)[at[2]..at[2] + size[2]];
            divide(&sums, factor[2], count, out);
        }
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn add_line(line: &[f32], first: bool, sums: &mut [f64]) {
    if first {
        sums.iter_mut().zip(line).for_each(|(sum, &value)| *sum = f64::from(value));
    } else {
        sums.iter_mut().zip(line).for_each(|(sum, &value)| *sum += f64::from(value));
    }
}

/// Sums along x of `factor` sums of `count` voxels each, as means.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn divide(sums: &[f64], factor: usize, count: f64, out: &mut [f32]) {
    let whole = sums.len() / factor;
    let total = count * factor as f64;
    match factor {
        1 => out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / total) as f32),
        2 => {
            let (pairs, _) = sums.as_chunks::<2>();
            out.iter_mut().zip(pairs).for_each(|(out, [a, b])| *out = ((a + b) / total) as f32);
        }
        _ => {
            for (out, part) in out.iter_mut().zip(sums.chunks_exact(factor)) {
                *out = (part.iter().sum::<f64>() / total) as f32;
            }
        }
    }
    if let Some(last) = out.get_mut(whole) {
        let left = &sums[whole * factor..];
        *last = (left.iter().sum::<f64>() / (count * left.len() as f64)) as f32;
    }
}

/// What [`resample`] makes of a volume of a given spacing: shape (rounded, at least one voxel), spacing and origin. The outer faces of the
/// first voxels coincide.
pub fn resampled(info: &VolumeInfo, spacing: Spacing, options: &ResampleOptions) -> VolumeInfo {
    let (mut out, um) = (info.clone(), spacing.um());
    for axis in 0..3 {
        let n = info.shape[2 + axis];
        let length = (n as f64 * um[axis] / options.to[axis]).round() as usize;
        out.shape[2 + axis] = if n == 0 { 0 } else { length.max(1) };
    }
    out.chunk = [1; 3];
    out.spacing = Some(options.to);
    out.origin = std::array::from_fn(|axis| info.origin[axis] + 0.5 * (options.to[axis] - um[axis]));
    out
}

/// Where a voxel of the result lies between two of the source: the lower one, the upper one, and the share of the upper.
type Between = (usize, usize, f32);

fn between(n: usize, ratio: f64, range: std::ops::Range<usize>) -> Vec<Between> {
    range
        .map(|at| {
            let place = ((at as f64 + 0.5) * ratio - 0.5).clamp(0.0, (n - 1) as f64);
            let low = (place as usize).min(n - 1);
            (low, (low + 1).min(n - 1), (place - low as f64) as f32)
        })
        .collect()
}

/// The volume at another spacing: smoothed where it becomes coarser, then interpolated linearly at the centres of the new voxels. `sink`
/// has the shape of [`resampled`]. Same bits for any memory and number of threads.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Limit`] when no block fits into the memory; what source and sink return.
pub fn resample(
    source: &dyn VolumeBlocks,
    spacing: Spacing,
    options: &ResampleOptions,
    sink: &dyn VolumeSink,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<()> {
    options.validate()?;
    let (info, out) = (source.info(), sink.info());
    check_sink(out, resampled(info, spacing, options).shape)?;
    if out.shape.contains(&0) {
        return Ok(());
    }
    let (shape, um) = (info.space(), spacing.um());
    let ratio: [f64; 3] = std::array::from_fn(|axis| options.to[axis] / um[axis]);
    let sigma = ratio.map(|ratio| if options.antialias { (0.5 * (ratio - 1.0)).max(0.0) } else { 0.0 });
    let smooth = Gaussian::new(&GaussianOptions { sigma, ..Default::default() }, Spacing::voxels())?;
    let radius = smooth.halo();
    // A block of the result stands for so many voxels of the source.
    let share: f64 = ratio.iter().product();
    let bytes = (4 * (1 + smooth.held()) + info.dtype.size()) as f64 * share.max(1.0);
    let halo = std::array::from_fn(|axis| (radius[axis] as f64 / ratio[axis]).ceil() as usize + 1);
    let bytes_per_voxel = bytes.ceil() as usize + 4 + out.dtype.size();
    let plan = plan_of(&[out], halo, bytes_per_voxel, memory)?;
    for frame in info.frames() {
        map_blocks(
            &plan,
            "resample",
            ctx,
            |region| {
                let places: [Vec<Between>; 3] =
                    std::array::from_fn(|axis| between(shape[axis], ratio[axis], region.range(axis)));
                let start: [usize; 3] = std::array::from_fn(|axis| places[axis][0].0);
                let size = std::array::from_fn(|axis| places[axis][region.size[axis] - 1].1 + 1 - start[axis]);
                let from = Region { start, size };
                let voxels = smooth.smoothed(read_padded(source, frame, &from, radius, Border::Reflect)?);
                let result = interpolated(&voxels, start, &places);
                write_f32(sink, frame, region, &result.data)?;
                pool::give(voxels.data);
                pool::give(result.data);
                Ok(())
            },
            |_, ()| Ok(()),
        )?;
    }
    pool::clear();
    Ok(())
}

fn interpolated(voxels: &Grid<f32>, start: [usize; 3], places: &[Vec<Between>; 3]) -> Grid<f32> {
    let mut out = pool::take_grid(std::array::from_fn(|axis| places[axis].len()));
    let mut line = vec![0f32; voxels.shape[2]];
    for (z, &(z0, z1, wz)) in places[0].iter().enumerate() {
        for (y, &(y0, y1, wy)) in places[1].iter().enumerate() {
            let row = |z: usize, y: usize| voxels.row(z - start[0], y - start[1]);
            let (a, b, c, d) = (row(z0, y0), row(z0, y1), row(z1, y0), row(z1, y1));
            for x in 0..line.len() {
                let low = a[x] + wy * (b[x] - a[x]);
                let high = c[x] + wy * (d[x] - c[x]);
                line[x] = low + wz * (high - low);
            }
            for (out, &(x0, x1, wx)) in out.row_mut(z, y).iter_mut().zip(&places[2]) {
                let (low, high) = (line[x0 - start[2]], line[x1 - start[2]]);
                *out = low + wx * (high - low);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use zensaibo_core::data::{Dtype, Frame};
    use zensaibo_core::parallel::with_threads;
    use zensaibo_core::random::Stream;

    use super::*;
    use crate::blocks::filled;

    fn noise(shape: [usize; 3]) -> (VolumeInfo, Grid<u16>) {
        let mut random = Stream::new(3, 0);
        let data = (0..shape.iter().product()).map(|_| (random.uniform() * 65535.0) as u16).collect();
        let mut info = VolumeInfo::plain("noise", shape, Dtype::U16);
        info.spacing = Some([4.0, 2.0, 1.0]);
        (info, Grid { shape, data })
    }

    #[test]
    fn means_of_what_is_there() {
        for shape in [[5, 7, 9], [4, 6, 8], [1, 1, 1], [3, 2, 1000]] {
            let volume = noise(shape);
            for factor in [[2, 2, 2], [1, 3, 4], [5, 1, 1], [8, 8, 16]] {
                let options = DownsampleOptions { factor };
                let mut info = downsampled(&volume.0, &options);
                info.dtype = Dtype::F32;
                assert_eq!(info.spacing, Some([4.0 * factor[0] as f64, 2.0 * factor[1] as f64, factor[2] as f64]));
                for (threads, memory) in [(1, None), (2, Some(16 << 20)), (8, Some(64 << 20))] {
                    let run =
                        || filled(info.clone(), |sink| downsample(&volume, &options, sink, memory, &Ctx::quiet()));
                    let (data, ()) = with_threads(Some(threads), run).unwrap();
                    let found: Grid<f32> = Grid { shape: info.space(), data };
                    for z in 0..found.shape[0] {
                        for y in 0..found.shape[1] {
                            for x in 0..found.shape[2] {
                                let at = [z, y, x];
                                let start: [usize; 3] = std::array::from_fn(|a| at[a] * factor[a]);
                                let size = std::array::from_fn(|a| factor[a].min(shape[a] - start[a]));
                                let part = volume.1.crop(&Region { start, size });
                                let mean = part.data.iter().map(|&v| f64::from(v)).sum::<f64>() / part.len() as f64;
                                assert!((f64::from(found.at(z, y, x)) - mean).abs() <= mean * 1e-7);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn resampling_is_smoothing_and_interpolating() {
        let shape = [9, 21, 40];
        let volume = noise(shape);
        let spacing = Spacing::new([4.0, 2.0, 1.0]).unwrap();
        for to in [[4.0, 2.0, 1.0], [5.0, 5.0, 5.0], [2.0, 3.1, 0.7], [100.0, 100.0, 100.0]] {
            let options = ResampleOptions { to, antialias: true };
            let mut info = resampled(&volume.0, spacing, &options);
            info.dtype = Dtype::F32;
            let run = |threads, memory| {
                let job =
                    || filled(info.clone(), |sink| resample(&volume, spacing, &options, sink, memory, &Ctx::quiet()));
                let (data, ()) = with_threads(Some(threads), job).unwrap();
                Grid::<f32> { shape: info.space(), data }
            };
            let found = run(1, None);
            let memory = (to[0] < 10.0).then_some(8 << 20);
            assert!(run(2, memory) == found && run(8, None) == found);
            let ratio: [f64; 3] = std::array::from_fn(|a| to[a] / [4.0, 2.0, 1.0][a]);
            let sigma = ratio.map(|r| (0.5 * (r - 1.0)).max(0.0));
            let smooth = Gaussian::new(&GaussianOptions { sigma, ..Default::default() }, Spacing::voxels()).unwrap();
            let whole = Region::whole(shape);
            let padded = read_padded(&volume, Frame::default(), &whole, smooth.halo(), Border::Reflect).unwrap();
            let smoothed = smooth.smoothed(padded);
            for z in 0..found.shape[0] {
                for y in 0..found.shape[1] {
                    for x in 0..found.shape[2] {
                        let place: [f64; 3] = std::array::from_fn(|a| {
                            (([z, y, x][a] as f64 + 0.5) * ratio[a] - 0.5).clamp(0.0, (shape[a] - 1) as f64)
                        });
                        let mut expected = 0.0;
                        for corner in 0..8 {
                            let (mut weight, mut at) = (1.0, [0; 3]);
                            for a in 0..3 {
                                let low = (place[a] as usize).min(shape[a] - 1);
                                let upper = corner >> a & 1;
                                at[a] = (low + upper).min(shape[a] - 1);
                                let share = place[a] - low as f64;
                                weight *= if upper == 1 { share } else { 1.0 - share };
                            }
                            expected += weight * f64::from(smoothed.at(at[0], at[1], at[2]));
                        }
                        assert!((f64::from(found.at(z, y, x)) - expected).abs() < 0.02, "{to:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_spacing_is_the_same_volume_and_bad_options_are_refused() {
        let volume = noise([3, 5, 7]);
        let spacing = Spacing::new([4.0, 2.0, 1.0]).unwrap();
        let options = ResampleOptions { to: [4.0, 2.0, 1.0], ..Default::default() };
        let info = resampled(&volume.0, spacing, &options);
        let run = filled::<u16, _>(info, |sink| resample(&volume, spacing, &options, sink, None, &Ctx::quiet()));
        assert_eq!(run.unwrap().0, volume.1.data);
        assert!(DownsampleOptions { factor: [2, 0, 2] }.validate().unwrap_err().to_string().contains("axis y"));
        assert!(ResampleOptions { to: [0.0; 3], ..options }.validate().unwrap_err().to_string().contains("spacing"));
    }
}
