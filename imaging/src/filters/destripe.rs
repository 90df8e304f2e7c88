//! Stripes along one axis of each plane, as light sheets cast them behind whatever absorbs or scatters.
//!
//! Munch, Trtik, Marone and Stampanoni, "Stripe and ring artifact removal with combined wavelet-Fourier filtering", Optics Express 17(10),
//! 8567-8591, 2009: a wavelet transform gathers what is long in one direction and short in the other in one band of each level; in
//! that band what hardly changes along the stripes is damped, and the rest of the image is not touched.

mod wavelet;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use zensaibo_core::data::{Grid, VolumeBlocks, VolumeSink};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::{check_sink, refuse_nan, write_f32};
use crate::blocks::{DEFAULT_MEMORY, Plan, map_blocks, pool, read_f32};
use crate::space::Spacing;
use wavelet::Wavelet;

/// An axis of a plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Along {
    /// Stripes run along y, from line to line.
    Y,
    /// Stripes run along x.
    #[default]
    X,
}

zensaibo_core::options! {
    /// Removal of stripes.
    pub struct DestripeOptions("im_destripe") {
        /// The axis that the stripes run along: "x" or "y".
        pub along: Along = Along::X,
        /// Length in micrometres over which a stripe may change. What is thin across and changes over longer lengths than this counts as
        /// stripe: smaller removes more, structure too. In the paper's terms, the damping is 1 - exp(-k^2 / (2 s^2)) for k cycles
        /// over the plane with s = extent / length.
        pub length: f64 = 200.0,
        /// Number of vanishing moments of the Daubechies wavelet, 1 (Haar) to 10. Larger separates widths more sharply.
        pub wavelet: usize = 3,
        /// Levels of the transform; stripes up to about 2^levels voxels wide are removed. None for as many as the plane allows.
        pub levels: Option<usize> = None,
        /// Work on log(1 + voxel): for stripes that are shadows, which multiply the image. Voxels must then not be negative.
        pub log: bool = false,
    }
}

impl DestripeOptions {
    fn check(&self) -> Result<()> {
        if !(self.length > 0.0 && self.length.is_finite()) {
            return Err(Error::parameter("length", "finite micrometres above 0", self.length));
        }
        if !(1..=10).contains(&self.wavelet) {
            return Err(Error::parameter("wavelet", "1 to 10 vanishing moments", self.wavelet));
        }
        match self.levels {
            Some(levels) if !(1..=30).contains(&levels) => {
                Err(Error::parameter("levels", "1 to 30, or none for as many as the plane allows", levels))
            }
            _ => Ok(()),
        }
    }
}

/// Takes stripes out of every plane of every frame, into a `sink` of the same shape. What is bright and short gives a little of itself
/// to its line: in planes that are not much longer than `length`, cells leave faint dark streaks beside them, fewer with `log`.
///
/// Works on whole planes: about 24 bytes for each voxel of a plane and thread. Same bits for any memory and number of threads.
///
/// # Errors
/// [`Error::Parameter`] for options out of range, and for `levels` beyond what the plane allows; [`Error::Data`] for NaN, and for voxels
/// below 0 with `log`; [`Error::Limit`] when no plane fits into the memory; what source and sink return.
pub fn destripe(
    source: &dyn VolumeBlocks,
    spacing: Spacing,
    options: &DestripeOptions,
    sink: &dyn VolumeSink,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<()> {
    options.validate()?;
    let (info, out) = (source.info(), sink.info());
    check_sink(out, info.shape)?;
    let shape = info.space();
    if shape.contains(&0) {
        return Ok(());
    }
    let wavelet = Wavelet::daubechies(options.wavelet);
    let possible = wavelet.levels(shape[1].min(shape[2]));
    let levels = options.levels.unwrap_or(possible);
    if levels > possible || possible == 0 {
        let expected = format!("a plane that is large enough: {} x {} voxels allow {possible}", shape[1], shape[2]);
        return Err(Error::parameter("levels", expected, levels));
    }
    // Whole planes, as many as are stored together.
    let depth = info.chunk[0].max(out.chunk[0]);
    let plan = Plan::with_block(shape, [depth, shape[1], shape[2]], [0; 3]);
    let plane = (shape[1] * shape[2]) as u64;
    let bytes = plane * (24 + depth as u64 * (4 + info.dtype.size() + out.dtype.size()) as u64);
    let memory = memory.unwrap_or(DEFAULT_MEMORY);
    if bytes > memory {
        return Err(Error::Limit {
            what: "memory".into(),
            needed: format!("{:.0} MiB for {depth} planes", bytes as f64 / 1048576.0),
            limit: format!("{:.0} MiB", memory as f64 / 1048576.0),
        });
    }
    // Where memory is short, threads take turns.
    let turns = (bytes.saturating_mul(rayon::current_num_threads() as u64) > memory).then(Mutex::default);
    // The plane is turned so that stripes run along y: then all lines of y are worked on beside each other.
    let turned = options.along == Along::X;
    let um = if turned { spacing.um()[2] } else { spacing.um()[1] };
    let extent = um * if turned { shape[2] } else { shape[1] } as f64;
    let damping = extent / options.length;
    for frame in info.frames() {
        map_blocks(
            &plan,
            "destripe",
            ctx,
            |region| {
                let _turn: Option<MutexGuard<'_, ()>> =
                    turns.as_ref().map(|turns| turns.lock().unwrap_or_else(PoisonError::into_inner));
                let mut voxels = read_f32(source, frame, region)?;
                refuse_nan(&voxels.data, &info.name)?;
                let [_, height, width] = region.size;
                for plane in voxels.data.chunks_exact_mut(height * width) {
                    if options.log {
                        if let Some(value) = plane.iter().find(|&&value| value < 0.0) {
                            let expected = "voxels of at least 0 for `log`";
                            return Err(Error::data(DataFault::Negative, &info.name, expected, value));
                        }
                        plane.iter_mut().for_each(|value| *value = value.ln_1p());
                    }
                    let image = Grid { shape: [1, height, width], data: plane.to_vec() };
                    let image = if turned { transposed(&image) } else { image };
                    let image = without_stripes(image, &wavelet, levels, damping, ctx)?;
                    let image = if turned { transposed(&image) } else { image };
                    plane.copy_from_slice(&image.data);
                    if options.log {
                        plane.iter_mut().for_each(|value| *value = value.exp_m1());
                    }
                }
                write_f32(sink, frame, region, &voxels.data)?;
                pool::give(voxels.data);
                Ok(())
            },
            |_, ()| Ok(()),
        )?;
    }
    pool::clear();
    Ok(())
}

/// Lines as columns.
fn transposed(image: &Grid<f32>) -> Grid<f32> {
    const TILE: usize = 32;
    let [_, height, width] = image.shape;
    let mut out = Grid::filled([1, width, height], 0f32);
    for y in (0..height).step_by(TILE) {
        for x in (0..width).step_by(TILE) {
            for at_x in x..(x + TILE).min(width) {
                for at_y in y..(y + TILE).min(height) {
                    out.data[at_x * height + at_y] = image.data[at_y * width + at_x];
                }
            }
        }
    }
    out
}

/// A plane without the stripes along y.
fn without_stripes(image: Grid<f32>, wavelet: &Wavelet, levels: usize, damping: f64, ctx: &Ctx) -> Result<Grid<f32>> {
    let mut sizes = Vec::with_capacity(levels);
    let mut details = Vec::with_capacity(levels);
    let mut coarse = image;
    for _ in 0..levels {
        ctx.check()?;
        sizes.push([coarse.shape[1], coarse.shape[2]]);
        let (low, high) = wavelet.forward_x(&coarse);
        // Smooth along y and sharp along x: stripes along y, and whatever else looks like them.
        let (mut stripes, other) = wavelet.forward_y(&high);
        let (next, edges) = wavelet.forward_y(&low);
        damp(&mut stripes, damping);
        details.push((stripes, other, edges));
        coarse = next;
    }
    for ([height, width], (stripes, other, edges)) in sizes.into_iter().zip(details).rev() {
        ctx.check()?;
        let low = wavelet.backward_y(&coarse, &edges, height);
        let high = wavelet.backward_y(&stripes, &other, height);
        coarse = wavelet.backward_x(&low, &high, width);
    }
    Ok(coarse)
}

/// Multiplies the Fourier coefficients along y of each column by `1 - exp(-k^2 / (2 s^2))`. What is taken away has few
/// coefficients that are not negligible, so these are summed directly, for all columns beside each other.
fn damp(band: &mut Grid<f32>, s: f64) {
    let [_, n, width] = band.shape;
    let (mut real, mut imaginary) = (vec![0f64; width], vec![0f64; width]);
    let mut removed = vec![0f64; n * width];
    // Beyond this, less than 1e-8 of a coefficient is taken.
    let last = ((6.1 * s).floor() as usize).min(n / 2);
    for k in 0..=last {
        // Each k but the first and the last of an even length stands for two coefficients.
        let twice = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
        let share = twice * (-0.5 * (k as f64 / s).powi(2)).exp() / n as f64;
        let turn = |y: usize| (std::f64::consts::TAU * ((k * y) % n) as f64 / n as f64).sin_cos();
        real.fill(0.0);
        imaginary.fill(0.0);
        for (y, line) in band.data.chunks_exact(width).enumerate() {
            let (sine, cosine) = turn(y);
            add_scaled(line, cosine, sine, &mut real, &mut imaginary);
        }
        for (y, removed) in removed.chunks_exact_mut(width).enumerate() {
            let (sine, cosine) = turn(y);
            add_turned(&real, &imaginary, share * cosine, share * sine, removed);
        }
    }
    band.data.iter_mut().zip(&removed).for_each(|(value, removed)| *value = (f64::from(*value) - removed) as f32);
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn add_scaled(line: &[f32], cosine: f64, sine: f64, real: &mut [f64], imaginary: &mut [f64]) {
    for ((&value, real), imaginary) in line.iter().zip(real).zip(imaginary) {
        *real = f64::from(value).mul_add(cosine, *real);
        *imaginary = f64::from(value).mul_add(sine, *imaginary);
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn add_turned(real: &[f64], imaginary: &[f64], cosine: f64, sine: f64, out: &mut [f64]) {
    for ((out, &real), &imaginary) in out.iter_mut().zip(real).zip(imaginary) {
        *out = real.mul_add(cosine, imaginary.mul_add(sine, *out));
    }
}

#[cfg(test)]
mod tests;
