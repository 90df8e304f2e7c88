//! Images of one volume at falling resolution.
//!
//! Every level keeps voxel 0 where it is: voxel i of a level lies at i x its spacing, so that places in micrometres mean
//! the same at all levels.

use rayon::prelude::*;
use zensaibo_core::data::Grid;

use super::smooth::smooth;
use super::tissue::body;

/// An image, its spacing in micrometres per voxel, and where it counts.
#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) image: Grid<f32>,
    /// Further channels.
    pub(super) more: Vec<Grid<f32>>,
    pub(super) spacing: [f64; 3],
    /// 0 to 1 for each voxel.
    pub(super) mask: Option<Grid<f32>>,
    /// Where its tissue is (see [`body`]); only kept where parts are registered.
    pub(super) body: Option<Grid<f32>>,
}

impl Level {
    /// Micrometres from the first to the last voxel.
    pub(super) fn extent(&self) -> [f64; 3] {
        std::array::from_fn(|axis| (self.image.shape[axis].max(1) - 1) as f64 * self.spacing[axis])
    }

    /// The level with voxels of about `spacing` micrometres: smoothed by half a voxel of the result, then every n-th
    /// voxel along each axis; of mean 0 and variance 1 where it counts.
    pub(super) fn reduced(&self, spacing: f64) -> Self {
        let factor: [usize; 3] = std::array::from_fn(|axis| {
            let most = (self.image.shape[axis] / 4).max(1);
            ((spacing / self.spacing[axis]).round() as usize).clamp(1, most)
        });
        let mut level = Self {
            image: every(&self.image, factor),
            more: self.more.iter().map(|image| every(image, factor)).collect(),
            spacing: std::array::from_fn(|axis| self.spacing[axis] * factor[axis] as f64),
            mask: self.mask.as_ref().map(|mask| every(mask, factor)),
            body: None,
        };
        level.standardise();
        level
    }

    /// All channels.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Grid<f32>> {
        std::iter::once(&self.image).chain(&self.more)
    }

    /// The level with its tissue found.
    pub(super) fn with_body(self) -> Self {
        Self { body: Some(body(&self)), ..self }
    }

    /// Mean 0 and variance 1 over the voxels that count, in every channel; a constant image becomes 0.
    fn standardise(&mut self) {
        let mask = self.mask.as_ref();
        for image in std::iter::once(&mut self.image).chain(&mut self.more) {
            let counts = |at: usize| mask.is_none_or(|mask| mask.data[at] > 0.5);
            let (mut n, mut sum, mut squares) = (0f64, 0f64, 0f64);
            for (at, &value) in image.data.iter().enumerate() {
                if counts(at) {
                    n += 1.0;
                    sum += f64::from(value);
                    squares += f64::from(value).powi(2);
                }
            }
            let mean = sum / n.max(1.0);
            let deviation = (squares / n.max(1.0) - mean * mean).max(0.0).sqrt();
            let scale = if deviation > 1e-9 * mean.abs().max(1e-30) { 1.0 / deviation } else { 0.0 };
            image.data.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
        }
    }
}

/// An image whose differences from its background count linearly up to `share` of those of bright tissue (the 99th
/// percentile) and logarithmically beyond.
pub(super) fn compressed(image: &Grid<f32>, share: f64) -> Grid<f32> {
    const BRIGHT: f64 = 0.99;
    if share <= 0.0 || image.is_empty() {
        return image.clone();
    }
    let floor = background(image);
    let mut sizes: Vec<f32> = image.data.iter().map(|value| (value - floor).abs()).collect();
    let at = ((sizes.len() as f64 * BRIGHT) as usize).min(sizes.len() - 1);
    let bright = *sizes.select_nth_unstable_by(at, f32::total_cmp).1;
    let scale =
        if bright > 0.0 { share as f32 * bright } else { sizes.iter().copied().fold(f32::MIN_POSITIVE, f32::max) };
    let bend = |value: &f32| ((value - floor) / scale).asinh();
    Grid { shape: image.shape, data: image.data.par_iter().with_min_len(1 << 14).map(bend).collect() }
}

/// The value of an image where there is no tissue: the median of its faces.
pub(super) fn background(image: &Grid<f32>) -> f32 {
    let [depth, height, width] = image.shape;
    let mut faces = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            let row = image.row(z, y);
            if z == 0 || z + 1 == depth || y == 0 || y + 1 == height {
                faces.extend_from_slice(row);
            } else {
                faces.extend([row[0], row[width - 1]]);
            }
        }
    }
    median(faces).unwrap_or(0.0)
}

/// The median, the upper of two in the middle; nothing of nothing.
pub(super) fn median(mut values: Vec<f32>) -> Option<f32> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// Smoothed, then every `factor`-th voxel.
fn every(image: &Grid<f32>, factor: [usize; 3]) -> Grid<f32> {
    if factor == [1; 3] {
        return image.clone();
    }
    let mut smoothed = image.data.clone();
    smooth::<1>(&mut smoothed, image.shape, factor.map(|factor| if factor > 1 { 0.5 * factor as f64 } else { 0.0 }));
    let smoothed = Grid { shape: image.shape, data: smoothed };
    let shape: [usize; 3] = std::array::from_fn(|axis| image.shape[axis].div_ceil(factor[axis]));
    let mut out = Grid::filled(shape, 0f32);
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            let row = smoothed.row(z * factor[0], y * factor[1]);
            out.row_mut(z, y).iter_mut().zip(row.iter().step_by(factor[2])).for_each(|(out, value)| *out = *value);
        }
    }
    out
}
