//! Smooth pictures, backgrounds and how much noise is left.

use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::{DataFault, Error, Result};

use super::NucleiOptions;
use crate::blocks::{Border, read_f32, read_padded};
use crate::filters::{Gaussian, GaussianOptions, LocalFilter};
use crate::space::Spacing;

/// Ratio of the coarser to the finer Gaussian: the difference then comes closest to a Laplacian (Marr and Hildreth 1980).
const COARSER: f64 = 1.6;
/// Standard deviations at which Gaussians are cut off.
const TRUNCATE: f64 = 3.0;

/// The filters of one run, and how far they look.
pub(super) struct Scales {
    contour: Gaussian,
    fine: Gaussian,
    coarse: Gaussian,
    /// Half width of the opening along z, y and x in voxels.
    opening: [usize; 3],
    /// What noise of standard deviation 1 in each voxel is after smoothing.
    pub(super) noise_left: f64,
}

/// What a block yields.
pub(super) struct Reliefs {
    /// Difference of Gaussians: a summit for each nucleus.
    pub(super) summits: Grid<f32>,
    /// Brightness above the background.
    pub(super) contrast: Grid<f32>,
    /// Smoothed brightness.
    pub(super) light: Grid<f32>,
}

impl Reliefs {
    /// Refuses what is not finite.
    pub(super) fn check(&self, name: &str, region: &Region) -> Result<()> {
        if self.contrast.data.iter().chain(&self.summits.data).any(|value| !value.is_finite()) {
            let found = format!("others near voxel {:?}", region.start);
            return Err(Error::data(DataFault::NotFinite, name, "finite voxels", found));
        }
        Ok(())
    }
}

impl Scales {
    /// The contrast that a voxel must have, from the noise and the largest value.
    pub(super) fn least_contrast(&self, options: &NucleiOptions, (deviation, largest): (f64, f64)) -> f64 {
        // Rounding of single precision is no contrast either.
        let least = options.noise_factor * deviation * self.noise_left;
        options.min_contrast.unwrap_or(least).max(1e-5 * largest)
    }

    pub(super) fn new(options: &NucleiOptions, spacing: Spacing) -> Result<Self> {
        let gaussian = |share: f64| {
            let sigma = [share * options.diameter; 3];
            Gaussian::new(&GaussianOptions { sigma, truncate: TRUNCATE, border: Border::Reflect }, spacing)
        };
        let opening =
            spacing.to_voxels(options.background_width * options.diameter / 2.0).map(|n| (n.round() as usize).max(1));
        let noise_left = spacing
            .to_voxels(options.smoothing * options.diameter)
            .map(|sigma| {
                let radius = (TRUNCATE * sigma + 0.5) as i64;
                let weight = |k: i64| if k == 0 { 1.0 } else { (-0.5 * (k as f64 / sigma).powi(2)).exp() };
                let (mut sum, mut squares) = (0.0, 0.0);
                for k in -radius..=radius {
                    sum += weight(k);
                    squares += weight(k) * weight(k);
                }
                squares.sqrt() / sum
            })
            .iter()
            .product();
        Ok(Self {
            contour: gaussian(options.smoothing)?,
            fine: gaussian(options.scale)?,
            coarse: gaussian(COARSER * options.scale)?,
            opening,
            noise_left,
        })
    }

    pub(super) fn halo(&self) -> [usize; 3] {
        let (contour, fine, coarse) = (self.contour.halo(), self.fine.halo(), self.coarse.halo());
        std::array::from_fn(|axis| (fine[axis] + 3 * self.opening[axis]).max(coarse[axis]).max(contour[axis]))
    }

    pub(super) fn apply(&self, source: &dyn VolumeBlocks, frame: Frame, region: &Region) -> Result<Reliefs> {
        let halo = self.halo();
        let padded = read_padded(source, frame, region, halo, Border::Reflect)?;
        // What a filter of a smaller reach needs of the padded block.
        let part = |reach: [usize; 3]| {
            let start = std::array::from_fn(|axis| halo[axis] - reach[axis]);
            padded.crop(&Region { start, size: std::array::from_fn(|axis| region.size[axis] + 2 * reach[axis]) })
        };
        let mut contrast = self.contour.smoothed(part(self.contour.halo()));
        let coarse = self.coarse.smoothed(part(self.coarse.halo()));
        let fine_halo = self.fine.halo();
        let wide = self.fine.smoothed(part(std::array::from_fn(|axis| fine_halo[axis] + 3 * self.opening[axis])));
        let mut summits = wide.crop(&Region { start: self.opening.map(|n| 3 * n), size: region.size });
        summits.data.iter_mut().zip(&coarse.data).for_each(|(fine, coarse)| *fine -= coarse);
        let mut background = wide;
        for lower in [true, false] {
            for axis in 0..3 {
                background = extreme(background, axis, self.opening[axis], lower);
            }
        }
        let opened = background.crop(&Region { start: self.opening, size: region.size });
        for axis in 0..3 {
            background = mean(background, axis, self.opening[axis]);
        }
        let light = contrast.clone();
        // Smoothed, but not below the opening: at the edge of tissue the mean takes in what lies beyond.
        for ((value, background), opened) in contrast.data.iter_mut().zip(&background.data).zip(&opened.data) {
            *value -= background.max(*opened);
        }
        Ok(Reliefs { summits, contrast, light })
    }
}

/// Places along an axis as steps in the data: voxels that lie `step` apart are neighbours in runs of `run` voxels.
fn layout(shape: [usize; 3], axis: usize) -> (usize, usize) {
    let step: usize = shape[axis + 1..].iter().product();
    (step, step * shape[axis])
}

/// Least (or greatest) of the `2 radius + 1` voxels around each along an axis; the result is shorter by twice the radius.
/// Windows double: 1, 2, 4, ... voxels, and two of the longest cover any length.
fn extreme(grid: Grid<f32>, axis: usize, radius: usize, lower: bool) -> Grid<f32> {
    let (step, run) = layout(grid.shape, axis);
    let mut shape = grid.shape;
    shape[axis] -= 2 * radius;
    let length = 2 * radius + 1;
    let mut out = Vec::with_capacity(shape.iter().product());
    let mut window = Vec::new();
    for line in grid.data.chunks_exact(run) {
        window.clear();
        window.extend_from_slice(line);
        let mut width = 1;
        while 2 * width <= length {
            fold(&mut window, width * step, lower);
            width *= 2;
        }
        if width < length {
            fold(&mut window, (length - width) * step, lower);
        }
        out.extend_from_slice(&window[..shape[axis] * step]);
    }
    Grid { shape, data: out }
}

/// `values[i]` becomes the extreme of itself and the value `ahead` of it; what has nothing ahead stays.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn fold(values: &mut [f32], ahead: usize, lower: bool) {
    // In stretches no longer than the step, so that what is read is not yet written.
    let n = values.len().saturating_sub(ahead);
    let mut from = 0;
    while from < n {
        let to = (from + ahead).min(n);
        let (here, there) = values.split_at_mut(from + ahead);
        let (here, there) = (&mut here[from..to], &there[..to - from]);
        if lower {
            here.iter_mut().zip(there).for_each(|(a, &b)| *a = if b < *a { b } else { *a });
        } else {
            here.iter_mut().zip(there).for_each(|(a, &b)| *a = if b > *a { b } else { *a });
        }
        from = to;
    }
}

/// Mean of the `2 radius + 1` voxels around each along an axis; summed outwards from the voxel, wherever the block begins.
fn mean(grid: Grid<f32>, axis: usize, radius: usize) -> Grid<f32> {
    let (step, run) = layout(grid.shape, axis);
    let mut shape = grid.shape;
    shape[axis] -= 2 * radius;
    let (kept, scale) = (shape[axis] * step, 1.0 / (2 * radius + 1) as f32);
    let mut out = vec![0f32; shape.iter().product()];
    for (line, out) in grid.data.chunks_exact(run).zip(out.chunks_exact_mut(kept)) {
        window_sum(line, step, radius, out);
        out.iter_mut().for_each(|value| *value *= scale);
    }
    Grid { shape, data: out }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn window_sum(line: &[f32], step: usize, radius: usize, out: &mut [f32]) {
    const STRETCH: usize = 512;
    for (part, out) in out.chunks_mut(STRETCH).enumerate() {
        let start = part * STRETCH + radius * step;
        let n = out.len();
        out.copy_from_slice(&line[start..start + n]);
        for k in 1..=radius {
            let (before, after) = (&line[start - k * step..][..n], &line[start + k * step..][..n]);
            for i in 0..n {
                out[i] += before[i] + after[i];
            }
        }
    }
}

/// Lines that are looked at for the noise: planes, and lines of each.
fn looked_at([depth, height, width]: [usize; 3]) -> [usize; 2] {
    if width < 3 { [0; 2] } else { [depth.min(16), height.min(64)] }
}

/// What one plane tells of the noise: second differences along x, and the largest value.
pub(super) type PlaneNoise = (Vec<f32>, f64);

/// How many planes are looked at for the noise.
pub(super) fn noise_planes(shape: [usize; 3]) -> usize {
    looked_at(shape)[0]
}

/// Second differences along x of lines that lie evenly over a plane; the planes lie evenly over the volume.
pub(super) fn plane_noise(source: &dyn VolumeBlocks, frame: Frame, plane: usize) -> Result<PlaneNoise> {
    let shape = source.info().space();
    let [depth, height, width] = shape;
    let [planes, lines] = looked_at(shape);
    let (mut differences, mut largest) = (Vec::new(), 0f64);
    for j in 0..lines {
        let start = [(2 * plane + 1) * depth / (2 * planes), (2 * j + 1) * height / (2 * lines), 0];
        let line = read_f32(source, frame, &Region { start, size: [1, 1, width] })?;
        for three in line.data.windows(3) {
            differences.push((three[0] - 2.0 * three[1] + three[2]).abs());
            largest = largest.max(f64::from(three[1].abs()));
        }
    }
    Ok((differences, largest))
}

/// Standard deviation of the noise between neighbouring voxels, and the largest value: the median second difference along x of some hundred
/// thousand places that lie evenly over the volume; structures wider than a few voxels hardly count.
pub(super) fn noise_of(planes: impl IntoIterator<Item = Result<PlaneNoise>>) -> Result<(f64, f64)> {
    let (mut differences, mut largest) = (Vec::new(), 0f64);
    for plane in planes {
        let (mut more, most) = plane?;
        differences.append(&mut more);
        largest = largest.max(most);
    }
    if differences.is_empty() {
        return Ok((0.0, largest));
    }
    let middle = differences.len() / 2;
    let (_, &mut median, _) = differences.select_nth_unstable_by(middle, f32::total_cmp);
    // Second differences of noise 1 have variance 6; the median of |normal| is 0.6745.
    Ok((f64::from(median) / 0.6745 / 6f64.sqrt(), largest))
}
