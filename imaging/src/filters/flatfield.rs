//! Shading that all images of a microscope share: how much light each place of the field of view gets (flat-field) and
//! what the camera adds by itself (dark-field).
//!
//! Peng, Thorn, Schroeder, Wang, Theis, Marr and Navab, "A BaSiC tool for background and shading correction of optical
//! microscopy images", Nature Communications 8:14836, 2017: image i is `b_i * flat + dark` and something sparse. [`fit`]
//! finds the three by alternating directions: the sparse part by weights that make it sparser from round to
//! round, flat- and dark-field with few cosines ([`cosine`]). Each place of the reduced images is the median of a block
//! of voxels, so that small bright cells hardly reach the fit.

mod cosine;
mod fit;

use rayon::prelude::*;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeSink};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::{check_sink, plan_of, refuse_nan, write_f32};
use crate::blocks::{map_blocks, pool, read_f32};
use cosine::Cosines;
use fit::Stack;

/// Images that shading can be told from tissue with, at least.
const FEWEST: usize = 3;

/// The flat-field is never taken for less than this: voxels are not multiplied by more than its inverse.
const LEAST: f64 = 0.01;

zensaibo_core::options! {
    /// Estimation of flat-field and dark-field.
    pub struct FlatFieldOptions("im_estimate_flatfield") {
        /// Images that are looked at, at most, spread evenly over all planes. More are slower and average more tissue out.
        pub max_images: usize = 200,
        /// Places along y and x that an image is reduced to, at most. Larger is slower and follows finer shading.
        pub working_size: usize = 64,
        /// How far shading is held to few cosines; larger is smoother.
        pub smoothness: f64 = 1.0,
        /// Whether a dark-field is estimated: needs images of different brightness. Otherwise it is `offset` everywhere.
        pub darkfield: bool = false,
        /// Counts of the camera in the dark, taken off first.
        pub offset: f64 = 0.0,
        /// Put the images in order of brightness at each place first, so that ranks are compared in place of images: for
        /// images that are in part empty ground.
        pub sort: bool = false,
        /// Voxels at or above this count as saturated, and places where half of them are as unknown; none for the
        /// greatest number of the voxels' type (for floating-point voxels, none are).
        pub saturation: Option<f64> = None,
    }
}

impl FlatFieldOptions {
    fn check(&self) -> Result<()> {
        if !(FEWEST..=100_000).contains(&self.max_images) {
            return Err(Error::parameter("max_images", format!("{FEWEST} to 100000 images"), self.max_images));
        }
        if !(8..=512).contains(&self.working_size) {
            return Err(Error::parameter("working_size", "8 to 512 places", self.working_size));
        }
        if !(self.smoothness > 0.0 && self.smoothness.is_finite()) {
            return Err(Error::parameter("smoothness", "a finite number above 0", self.smoothness));
        }
        if !self.offset.is_finite() {
            return Err(Error::parameter("offset", "a finite number", self.offset));
        }
        match self.saturation {
            Some(value) if !value.is_finite() => Err(Error::parameter("saturation", "a finite number", value)),
            _ => Ok(()),
        }
    }
}

/// The shading of one channel: a voxel is `light * flat + dark`.
#[derive(Clone, Debug, PartialEq)]
pub struct Shading {
    /// Share of the light that each place of a plane gets, (1, y, x); its mean is 1 and nothing is below 0.01.
    pub flat: Grid<f32>,
    /// Counts without light, (1, y, x), at least 0 above the offset.
    pub dark: Grid<f32>,
    /// Brightness of each image that was looked at, where the flat-field is 1.
    pub baseline: Vec<f64>,
    /// Images that were left out because half of them is saturated.
    pub saturated: usize,
}

/// The shading that the planes of all time points and of all `tiles` (same channels, same y and x) share, for each channel.
///
/// Images are told apart from shading by being many and different: 20 and more, of places that are not alike. Where tissue always lies
/// in the same part of the field of view, it cannot be told from shading. Nothing is random; same bits for any
/// number of threads. Reads `max_images` planes of each channel, one for each thread at a time.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for tiles of different sizes, NaN or infinity, fewer
/// than 3 images that are not saturated, images without light, and images of one brightness when a dark-field is
/// asked for; what the volumes return.
pub fn estimate_flatfield(tiles: &[&dyn VolumeBlocks], options: &FlatFieldOptions, ctx: &Ctx) -> Result<Vec<Shading>> {
    options.validate()?;
    let Some(first) = tiles.first().map(|tile| tile.info()) else {
        return Err(Error::data(DataFault::Empty, "tiles", "at least one", 0));
    };
    let [_, channels, _, height, width] = first.shape;
    for tile in tiles {
        let [_, c, _, y, x] = tile.info().shape;
        if [c, y, x] != [channels, height, width] {
            let expected = format!("{channels} channels of {height} x {width} (y, x) as {}", first.name);
            let found = format!("{c} of {y} x {x}");
            return Err(Error::data(DataFault::Shape, format!("tile {}", tile.info().name), expected, found));
        }
    }
    if height * width == 0 {
        return Err(Error::data(DataFault::Empty, first.name.clone(), "planes of at least one voxel", "none"));
    }
    (0..channels).map(|channel| of_channel(tiles, channel, [height, width], options, ctx)).collect()
}

/// A plane: of which tile, at which time and depth.
type Place = (usize, usize, usize);

fn of_channel(
    tiles: &[&dyn VolumeBlocks],
    channel: usize,
    size: [usize; 2],
    options: &FlatFieldOptions,
    ctx: &Ctx,
) -> Result<Shading> {
    let mut places: Vec<Place> = Vec::new();
    for (at, tile) in tiles.iter().enumerate() {
        let [times, _, depth, ..] = tile.info().shape;
        places.extend((0..times).flat_map(|time| (0..depth).map(move |z| (at, time, z))));
    }
    let asked = options.max_images.min(places.len());
    let chosen: Vec<Place> = (0..asked).map(|i| places[(2 * i + 1) * places.len() / (2 * asked)]).collect();
    let reduced = size.map(|n| n.min(options.working_size));
    let stage = ctx.stage("flat-field", 2 * asked as u64);
    let images: Vec<Option<Vec<f64>>> = chosen
        .par_iter()
        .with_max_len(1)
        .map(|&(tile, time, z)| {
            ctx.check()?;
            let image = reduce(tiles[tile], Frame { time, channel }, z, reduced, options)?;
            stage.advance(1)?;
            Ok(image)
        })
        .collect::<Result<_>>()?;
    let saturated = images.iter().filter(|image| image.is_none()).count();
    let images: Vec<Vec<f64>> = images.into_iter().flatten().collect();
    let what = format!("images of channel {channel}");
    if images.len() < FEWEST {
        let expected = format!("at least {FEWEST} that are not saturated");
        return Err(Error::data(DataFault::TooFew, what, expected, images.len()));
    }
    let Some(mut stack) = Stack::new(images, reduced, options) else {
        return Err(Error::data(DataFault::Invalid, what, "some light above the offset", "none"));
    };
    if options.darkfield && stack.spread() < 0.01 {
        let found = format!("a spread of {:.2} %", 100.0 * stack.spread());
        return Err(Error::data(DataFault::Invalid, what, "a brightness that varies by 1 %, for a dark-field", found));
    }
    stack.fit(ctx)?;
    stage.advance(asked as u64)?;
    let field = |series: &Cosines, least: f64, add: f64| {
        let data = series.at(size).into_iter().map(|value| (value.max(least) + add) as f32).collect();
        Grid { shape: [1, size[0], size[1]], data }
    };
    let dark = stack.dark();
    Ok(Shading {
        flat: field(stack.flat(), LEAST, 0.0),
        dark: field(&dark, 0.0, options.offset),
        baseline: stack.baseline(),
        saturated,
    })
}

/// An image as medians of blocks of voxels, less the offset; NaN where half of the block is saturated, none where that is half of
/// the image.
fn reduce(
    tile: &dyn VolumeBlocks,
    frame: Frame,
    z: usize,
    reduced: [usize; 2],
    options: &FlatFieldOptions,
) -> Result<Option<Vec<f64>>> {
    let info = tile.info();
    let [_, height, width] = info.space();
    let top = options.saturation.unwrap_or(match info.dtype {
        Dtype::U8 => 255.0,
        Dtype::U16 => 65535.0,
        Dtype::I8 => 127.0,
        Dtype::I16 => 32767.0,
        _ => f64::INFINITY,
    }) as f32;
    let plane = read_f32(tile, frame, &Region { start: [z, 0, 0], size: [1, height, width] })?;
    if plane.data.iter().any(|value| !value.is_finite()) {
        let found = format!("NaN or infinity in plane {z}");
        return Err(Error::data(DataFault::NotFinite, info.name.clone(), "finite voxels", found));
    }
    let edges = |n: usize, parts: usize| (0..=parts).map(|at| at * n / parts).collect::<Vec<_>>();
    let (ys, xs) = (edges(height, reduced[0]), edges(width, reduced[1]));
    let mut out = Vec::with_capacity(reduced[0] * reduced[1]);
    let mut block: Vec<f32> = Vec::new();
    for y in ys.windows(2) {
        for x in xs.windows(2) {
            block.clear();
            (y[0]..y[1]).for_each(|y| block.extend_from_slice(&plane.row(0, y)[x[0]..x[1]]));
            let middle = median(&mut block);
            out.push(if middle >= f64::from(top) { f64::NAN } else { middle - options.offset });
        }
    }
    pool::give(plane.data);
    let unknown = out.iter().filter(|value| value.is_nan()).count();
    Ok((2 * unknown < out.len()).then_some(out))
}

/// The middle value, the mean of the two in the middle of an even number. Not for an empty list.
fn median(values: &mut [f32]) -> f64 {
    let n = values.len();
    let (low, &mut upper, _) = values.select_nth_unstable_by(n / 2, f32::total_cmp);
    if n % 2 == 1 {
        return f64::from(upper);
    }
    let lower = low.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    0.5 * (f64::from(lower) + f64::from(upper))
}

/// `(voxel - dark) / flat` for every plane of every frame, into a `sink` of the same shape; one shading for all channels, or one for
/// each. Same bits for any memory and number of threads; runs at the speed of memory.
///
/// # Errors
/// [`Error::Data`] for shadings of another number or size than channels and planes, and a flat-field that is not finite and above 0 or a
/// dark-field that is not finite; NaN where the sink holds whole numbers; [`Error::Limit`] when no block fits into the memory; what source and
/// sink return.
pub fn apply_flatfield(
    source: &dyn VolumeBlocks,
    shadings: &[(Grid<f32>, Grid<f32>)],
    sink: &dyn VolumeSink,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<()> {
    let (info, out) = (source.info(), sink.info());
    check_sink(out, info.shape)?;
    let [_, channels, _, height, width] = info.shape;
    if shadings.len() != 1 && shadings.len() != channels {
        let expected = format!("1 or {channels} (channels of {})", info.name);
        return Err(Error::data(DataFault::Shape, "flatfield", expected, shadings.len()));
    }
    for (flat, dark) in shadings {
        for (name, field) in [("flatfield", flat), ("darkfield", dark)] {
            if field.shape != [1, height, width] || field.data.len() != height * width {
                let found = format!("{} x {}", field.shape[1], field.shape[2]);
                let expected = format!("{height} x {width} (y, x) as the planes of {}", info.name);
                return Err(Error::data(DataFault::Shape, name, expected, found));
            }
        }
        if let Some(value) = flat.data.iter().find(|&&value| !(value > 0.0 && value.is_finite())) {
            return Err(Error::data(DataFault::Invalid, "flatfield", "finite numbers above 0", value));
        }
        if let Some(value) = dark.data.iter().find(|value| !value.is_finite()) {
            return Err(Error::data(DataFault::NotFinite, "darkfield", "finite numbers", value));
        }
    }
    if info.space().contains(&0) {
        return Ok(());
    }
    let plan = plan_of(&[info, out], [0; 3], 8 + info.dtype.size() + out.dtype.size(), memory)?;
    let gains: Vec<Vec<f32>> =
        shadings.iter().map(|(flat, _)| flat.data.iter().map(|&value| 1.0 / value).collect()).collect();
    for frame in info.frames() {
        let one = if shadings.len() == 1 { 0 } else { frame.channel };
        let (gain, dark) = (&gains[one], &shadings[one].1.data);
        map_blocks(
            &plan,
            "flat-field",
            ctx,
            |region| {
                let mut voxels = read_f32(source, frame, region)?;
                if out.dtype.is_integer() {
                    refuse_nan(&voxels.data, &info.name)?;
                }
                for z in 0..region.size[0] {
                    for y in 0..region.size[1] {
                        let from = (region.start[1] + y) * width + region.start[2];
                        let at = from..from + region.size[2];
                        corrected(voxels.row_mut(z, y), &gain[at.clone()], &dark[at]);
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

#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn corrected(line: &mut [f32], gain: &[f32], dark: &[f32]) {
    for ((value, gain), dark) in line.iter_mut().zip(gain).zip(dark) {
        *value = (*value - dark) * gain;
    }
}

#[cfg(test)]
mod tests;
