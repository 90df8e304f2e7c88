//! Autofluorescence: what a background channel says about a signal channel, taken away.
//!
//! Tissue glows in every channel, signal only in one. Where there is no signal, the two channels lie on a line: its slope is
//! the ratio of exposures and autofluorescence in the two colours, its offset the cameras' dark levels. [`fit`] finds that line, robustly,
//! because the voxels with signal lie far above it; [`subtract_background`] takes it away.

mod fit;

use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks, VolumeSink};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

pub use fit::Line;
use fit::{Prior, fit_line};

use super::{Gaussian, GaussianOptions, LocalFilter, check_sink, inner_part, plan_of, write_f32};
use crate::blocks::{Border, Plan, map_blocks, pool, read_f32, read_padded};
use crate::space::{Spacing, check_lengths};

/// Pairs of voxels that one line is fitted to at most.
const PAIRS: usize = 1 << 18;

/// Pairs of voxels of one window at most.
const WINDOW_PAIRS: usize = 1 << 13;

zensaibo_core::options! {
    /// Subtraction of a background channel.
    pub struct SubtractBackgroundOptions("im_subtract_background") {
        /// Size along z, y and x of the windows that get a line of their own, in micrometres; between their centres slope and offset are
        /// interpolated. Some ten times a cell, so that each window holds mostly background. None for one line for all.
        pub window: Option<[f64; 3]> = None,
        /// Standard deviation along z, y and x of a Gaussian over the background channel, in micrometres: takes out its noise, which would
        /// otherwise be added to the signal and flatten the slope. 0 for none.
        pub smooth: [f64; 3] = [0.0; 3],
        /// Voxels of either channel at or above this are left out of the fit; none for the greatest number of the voxels' type
        /// (for floating-point voxels, none are left out).
        pub saturation: Option<f64> = None,
        /// Set what falls below 0 to 0.
        pub clip: bool = true,
    }
}

impl SubtractBackgroundOptions {
    fn check(&self) -> Result<()> {
        check_lengths("smooth", self.smooth)?;
        for (axis, value) in ["z", "y", "x"].iter().zip(self.window.unwrap_or([1.0; 3])) {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::parameter(format!("window, axis {axis}"), "finite micrometres above 0", value));
            }
        }
        match self.saturation {
            Some(value) if !value.is_finite() => Err(Error::parameter("saturation", "a finite number", value)),
            _ => Ok(()),
        }
    }
}

/// What was found for one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct BackgroundFit {
    /// The line of each window, `windows` along z, y and x.
    pub lines: Grid<Line>,
    /// Voxels of either channel that were saturated and left out.
    pub saturated: u64,
    /// Windows that could not tell a slope by themselves (too few voxels, or a constant background) and have that of the whole.
    pub undecided: usize,
}

/// The signal less what the background channel explains of it: `signal - (offset + slope * background)`, for every frame.
///
/// `background` has the shape of `signal`, or one channel that serves all. `sink` has the shape of `signal`. The lines of the frames come
/// back, time outermost. Nothing is random; same bits for any memory and number of threads.
///
/// Cost: both volumes are read twice. Memory beside the blocks: 8 bytes for each of at most 8192 voxels of a window.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for channels of different shapes, NaN, fewer than 32 voxels that are not
/// saturated, or a constant background; [`Error::Limit`] when no block fits into the memory; what the volumes return.
pub fn subtract_background(
    signal: &dyn VolumeBlocks,
    background: &dyn VolumeBlocks,
    spacing: Spacing,
    options: &SubtractBackgroundOptions,
    sink: &dyn VolumeSink,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<Vec<BackgroundFit>> {
    options.validate()?;
    let (info, other, out) = (signal.info(), background.info(), sink.info());
    let mut expected = info.shape;
    if other.shape[1] == 1 {
        expected[1] = 1;
    }
    if other.shape != expected {
        let (expected, found) = (format!("shape {:?} as {}", info.shape, info.name), format!("{:?}", other.shape));
        return Err(Error::data(DataFault::Shape, format!("background {}", other.name), expected, found));
    }
    check_sink(out, info.shape)?;
    let smooth = GaussianOptions { sigma: options.smooth, ..Default::default() };
    let smooth = Gaussian::new(&smooth, spacing)?;
    let bytes_per_voxel = 4 * (4 + smooth.held()) + info.dtype.size() + other.dtype.size() + out.dtype.size();
    let shape = info.space();
    if shape.contains(&0) {
        return Ok(Vec::new());
    }
    let plan = plan_of(&[info, other, out], smooth.halo(), bytes_per_voxel, memory)?;
    let um = spacing.um();
    // Windows of equal size, as near to the one asked for as the volume allows.
    let counts: [usize; 3] = std::array::from_fn(|axis| match options.window {
        Some(window) => ((shape[axis] as f64 * um[axis] / window[axis]).round() as usize).clamp(1, shape[axis]),
        None => 1,
    });
    let pair = Pair { signal, background, smooth: &smooth, options, counts };
    let mut fits = Vec::new();
    for frame in info.frames() {
        let fit = pair.fit(frame, &plan, ctx)?;
        pair.subtract(frame, &fit, sink, &plan, ctx)?;
        fits.push(fit);
    }
    pool::clear();
    Ok(fits)
}

/// Both channels and how they are compared.
struct Pair<'a> {
    signal: &'a dyn VolumeBlocks,
    background: &'a dyn VolumeBlocks,
    smooth: &'a Gaussian,
    options: &'a SubtractBackgroundOptions,
    /// Windows along z, y and x.
    counts: [usize; 3],
}

impl Pair<'_> {
    /// Signal, smoothed background, and background as it is in the volume.
    fn read(&self, frame: Frame, region: &Region) -> Result<[Grid<f32>; 3]> {
        let channel = if self.background.info().shape[1] == 1 { 0 } else { frame.channel };
        let halo = self.smooth.halo();
        let padded = read_padded(self.background, Frame { channel, ..frame }, region, halo, Border::Reflect)?;
        let raw = inner_part(&padded, halo);
        Ok([read_f32(self.signal, frame, region)?, self.smooth.smoothed(padded), raw])
    }

    /// From where on a channel counts as saturated.
    fn saturation(&self, volume: &dyn VolumeBlocks) -> f32 {
        use zensaibo_core::data::Dtype::{I8, I16, U8, U16};
        let most = match volume.info().dtype {
            U8 => 255.0,
            U16 => 65535.0,
            I8 => 127.0,
            I16 => 32767.0,
            _ => f64::INFINITY,
        };
        self.options.saturation.unwrap_or(most) as f32
    }

    fn fit(&self, frame: Frame, plan: &Plan, ctx: &Ctx) -> Result<BackgroundFit> {
        let shape = plan.shape();
        let windows: usize = self.counts.iter().product();
        let room = if windows == 1 { PAIRS } else { WINDOW_PAIRS };
        // Every so many voxels along each axis, so that a window gives about `room` pairs: a grid laid over the volume, not over blocks.
        let mut step = [1usize; 3];
        let per_window = |step: [usize; 3]| -> usize {
            (0..3).map(|axis| shape[axis].div_ceil(self.counts[axis]).div_ceil(step[axis])).product()
        };
        while per_window(step) > room {
            // The axis along which the window holds most.
            let longest = (0..3).max_by_key(|&axis| shape[axis].div_ceil(self.counts[axis]).div_ceil(step[axis]));
            step[longest.unwrap_or(2)] += 1;
        }
        let (most_signal, most_background) = (self.saturation(self.signal), self.saturation(self.background));
        let window_of = |at: usize, axis: usize| (at * self.counts[axis] / shape[axis]).min(self.counts[axis] - 1);
        let mut pairs: Vec<Vec<(f32, f32)>> = vec![Vec::new(); windows];
        let mut saturated = 0u64;
        map_blocks(
            plan,
            "fit background",
            ctx,
            |region| {
                let [signal, background, raw] = self.read(frame, region)?;
                let mut found: Vec<(usize, f32, f32)> = Vec::new();
                let mut saturated = 0u64;
                for (z, at_z) in region.range(0).enumerate() {
                    for (y, at_y) in region.range(1).enumerate() {
                        let (signal, background, raw) = (signal.row(z, y), background.row(z, y), raw.row(z, y));
                        let over = |(s, b): (&f32, &f32)| u64::from(*s >= most_signal || *b >= most_background);
                        saturated += signal.iter().zip(raw).map(over).sum::<u64>();
                        if at_z % step[0] != 0 || at_y % step[1] != 0 {
                            continue;
                        }
                        let row = (window_of(at_z, 0) * self.counts[1] + window_of(at_y, 1)) * self.counts[2];
                        let first = region.start[2].next_multiple_of(step[2]);
                        for at_x in (first..region.end()[2]).step_by(step[2]) {
                            let x = at_x - region.start[2];
                            let (s, b) = (signal[x], background[x]);
                            if s.is_nan() || b.is_nan() {
                                let name = &self.signal.info().name;
                                let found = format!("NaN at voxel ({at_z}, {at_y}, {at_x}) of signal or background");
                                return Err(Error::data(DataFault::NotFinite, name, "voxels without NaN", found));
                            }
                            if s < most_signal && raw[x] < most_background {
                                found.push((row + window_of(at_x, 2), b, s));
                            }
                        }
                    }
                }
                [signal, background, raw].into_iter().for_each(|grid| pool::give(grid.data));
                Ok((found, saturated))
            },
            |_, (found, over)| {
                saturated += over;
                found.into_iter().for_each(|(window, b, s)| pairs[window].push((b, s)));
                Ok(())
            },
        )?;
        // In an order that no block has a say in: sums have the same bits whatever the cuts.
        let order = |pairs: &mut Vec<(f32, f32)>| {
            pairs.sort_unstable_by(|p, q| p.0.total_cmp(&q.0).then(p.1.total_cmp(&q.1)));
        };
        pairs.iter_mut().for_each(order);
        let every = pairs.iter().map(Vec::len).sum::<usize>().div_ceil(PAIRS).max(1);
        let mut all: Vec<(f32, f32)> = pairs.iter().flat_map(|pairs| pairs.iter().step_by(every)).copied().collect();
        order(&mut all);
        let name = &self.background.info().name;
        if all.len() < 32 {
            let expected = "at least 32 voxels that are not saturated";
            return Err(Error::data(DataFault::TooFew, format!("background {name}"), expected, all.len()));
        }
        let Some(whole) = fit_line(&all, None) else {
            let found = format!("{} in every voxel", all[0].0);
            return Err(Error::data(DataFault::Invalid, format!("background {name}"), "voxels that vary", found));
        };
        let mut undecided = 0;
        let prior = Prior { line: whole, spread: spread(&all) };
        let lines = if windows == 1 {
            vec![whole]
        } else {
            let mut lines = Vec::with_capacity(windows);
            for pairs in &pairs {
                ctx.check()?;
                lines.push(fit_line(pairs, Some(&prior)).unwrap_or_else(|| {
                    undecided += 1;
                    whole
                }));
            }
            lines
        };
        Ok(BackgroundFit { lines: Grid { shape: self.counts, data: lines }, saturated, undecided })
    }

    fn subtract(&self, frame: Frame, fit: &BackgroundFit, sink: &dyn VolumeSink, plan: &Plan, ctx: &Ctx) -> Result<()> {
        let shape = plan.shape();
        map_blocks(
            plan,
            "subtract background",
            ctx,
            |region| {
                let [mut signal, background, raw] = self.read(frame, region)?;
                let places: [Vec<(usize, usize, f64)>; 3] = std::array::from_fn(|axis| {
                    region.range(axis).map(|at| between(at, shape[axis], self.counts[axis])).collect()
                });
                let mut line = vec![Line::default(); self.counts[2]];
                for (z, &(z0, z1, wz)) in places[0].iter().enumerate() {
                    for (y, &(y0, y1, wy)) in places[1].iter().enumerate() {
                        for (x, line) in line.iter_mut().enumerate() {
                            let at = |z, y| fit.lines.at(z, y, x);
                            *line = at(z0, y0).mix(at(z0, y1), wy).mix(at(z1, y0).mix(at(z1, y1), wy), wz);
                        }
                        let background = background.row(z, y);
                        for ((signal, &background), &(x0, x1, wx)) in
                            signal.row_mut(z, y).iter_mut().zip(background).zip(&places[2])
                        {
                            let Line { slope, offset } = line[x0].mix(line[x1], wx);
                            let rest = f64::from(*signal) - (offset + slope * f64::from(background));
                            *signal = if self.options.clip && rest < 0.0 { 0.0 } else { rest as f32 };
                        }
                    }
                }
                write_f32(sink, frame, region, &signal.data)?;
                [signal, background, raw].into_iter().for_each(|grid| pool::give(grid.data));
                Ok(())
            },
            |_, ()| Ok(()),
        )
    }
}

/// The two windows between whose centres a voxel lies, and the share of the second.
fn between(at: usize, n: usize, windows: usize) -> (usize, usize, f64) {
    let place = ((at as f64 + 0.5) * windows as f64 / n as f64 - 0.5).clamp(0.0, (windows - 1) as f64);
    let low = (place as usize).min(windows - 1);
    (low, (low + 1).min(windows - 1), place - low as f64)
}

/// Half the range that the middle two thirds of the background of sorted pairs take: a standard deviation that far values do not move.
fn spread(pairs: &[(f32, f32)]) -> f64 {
    let at = |share: f64| f64::from(pairs[((pairs.len() - 1) as f64 * share) as usize].0);
    0.5 * (at(0.841) - at(0.159))
}

#[cfg(test)]
mod tests;
