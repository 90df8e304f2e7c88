//! Filters that look at a voxel's neighbourhood.
//!
//! A filter says how far it looks ([`LocalFilter::halo`]) and what it makes of a padded block ([`LocalFilter::apply`]);
//! [`filter_volume`] does the rest: blocks, memory, threads, every time point and channel, number types. To add one: a
//! file here with a struct whose fields are in voxels, made from micrometres by a constructor that takes a [`Spacing`](crate::space::Spacing).

mod background;
mod contrast;
mod destripe;
mod downsample;
mod extreme;
mod flatfield;
mod footprint;
mod gaussian;
mod laplace;
mod median;
mod morphology;
mod otsu;
mod separable;

pub use background::{BackgroundFit, Line, SubtractBackgroundOptions, subtract_background};
pub use contrast::{LocalContrast, LocalContrastOptions};
pub use destripe::{Along, DestripeOptions, destripe};
pub use downsample::{DownsampleOptions, ResampleOptions, downsample, downsampled, resample, resampled};
pub use flatfield::{FlatFieldOptions, Shading, apply_flatfield, estimate_flatfield};
pub use footprint::{Footprint, Form};
pub use gaussian::{Gaussian, GaussianOptions};
pub use laplace::{DifferenceOfGaussians, DifferenceOfGaussiansOptions, Laplacian, LaplacianOptions};
pub use median::{Median, MedianOptions};
pub use morphology::{Morphology, MorphologyOptions, Operation, RollingBall, RollingBallOptions};
pub(crate) use otsu::two_classes;
pub(crate) use separable::Seen;

use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo, VolumeSink};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::blocks::{Border, Plan, Work, map_blocks, pool, read_padded, write_as};

/// A filter whose result at a voxel depends on a neighbourhood of fixed size.
pub trait LocalFilter: Sync {
    /// Name for progress and errors.
    fn name(&self) -> &'static str;

    /// How far it looks along z, y and x, in voxels.
    fn halo(&self) -> [usize; 3];

    /// What it sees beyond the volume.
    fn border(&self) -> Border {
        Border::Reflect
    }

    /// How many f32 blocks it holds beside its input.
    fn held(&self) -> usize;

    /// The result for the inner part of a block that is padded by the halo. Must not depend on where the block lies:
    /// the sum for a voxel is taken in the same order wherever the block begins. Filters that take long over a block look
    /// at `ctx` every few milliseconds.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>>;

    /// Whether NaN is refused, because the filter puts voxels in order.
    fn orders(&self) -> bool {
        false
    }
}

/// Filters every frame of `source` into `sink`, which has the same shape and a number type of its own (whole numbers
/// are rounded and saturated). Same bits for any memory and any number of threads.
///
/// # Errors
/// What source and sink return; [`Error::Limit`] when no block fits into the memory; [`Error::Data`] for NaN where the
/// sink holds whole numbers.
pub fn filter_volume(
    source: &dyn VolumeBlocks,
    filter: &dyn LocalFilter,
    sink: &dyn VolumeSink,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<()> {
    let info = source.info();
    let out = sink.info();
    check_sink(out, info.shape)?;
    if info.space().contains(&0) {
        return Ok(());
    }
    let halo = filter.halo();
    let bytes_per_voxel = 4 * (1 + filter.held()) + info.dtype.size() + out.dtype.size();
    let plan = plan_of(&[info, out], halo, bytes_per_voxel, memory)?;
    for frame in info.frames() {
        map_blocks(
            &plan,
            filter.name(),
            ctx,
            |region| {
                let padded = read_padded(source, frame, region, halo, filter.border())?;
                if filter.orders() {
                    refuse_nan(&padded.data, &info.name)?;
                }
                let result = filter.apply(padded, ctx)?;
                debug_assert_eq!(result.shape, region.size);
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

/// Refuses a sink of another shape than what is written into it.
fn check_sink(sink: &VolumeInfo, shape: [usize; 5]) -> Result<()> {
    if sink.shape != shape {
        return Err(Error::Internal(format!("sink of shape {:?} for a result of {shape:?}", sink.shape)));
    }
    Ok(())
}

/// The cut of volumes of one extent, into blocks that begin where all of them have a stored piece.
fn plan_of(volumes: &[&VolumeInfo], halo: [usize; 3], bytes_per_voxel: usize, memory: Option<u64>) -> Result<Plan> {
    let chunk = std::array::from_fn(|axis| volumes.iter().map(|info| info.chunk[axis]).max().unwrap_or(1));
    let shape = volumes.first().map_or([0; 3], |info| info.space());
    Plan::new(shape, &Work { halo, bytes_per_voxel, chunk, memory })
}

/// Writes f32 voxels in the number type of the sink.
fn write_f32(sink: &dyn VolumeSink, frame: Frame, region: &Region, voxels: &[f32]) -> Result<()> {
    match sink.info().dtype {
        Dtype::F32 => sink.write(frame, region, bytemuck::cast_slice(voxels)),
        dtype => sink.write(frame, region, &write_as(voxels, dtype)?),
    }
}

/// Refuses NaN where voxels are put in order.
fn refuse_nan(voxels: &[f32], name: &str) -> Result<()> {
    // Whole stretches first: a search for the first one would not be vectorised.
    for stretch in voxels.chunks(4096) {
        if stretch.iter().fold(false, |any, value| any | value.is_nan()) {
            return Err(Error::data(DataFault::NotFinite, name, "voxels without NaN", "NaN"));
        }
    }
    Ok(())
}

/// The inner part of a padded block, `margin` away from its sides.
fn inner_part(padded: &Grid<f32>, margin: [usize; 3]) -> Grid<f32> {
    let shape: [usize; 3] = std::array::from_fn(|axis| padded.shape[axis] - 2 * margin[axis]);
    let mut out = pool::take_grid(shape);
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            out.row_mut(z, y)
                .copy_from_slice(&padded.row(z + margin[0], y + margin[1])[margin[2]..margin[2] + shape[2]]);
        }
    }
    out
}

/// `a - b`, voxel by voxel.
fn subtract(mut a: Grid<f32>, b: Grid<f32>) -> Grid<f32> {
    a.data.iter_mut().zip(&b.data).for_each(|(a, b)| *a -= b);
    pool::give(b.data);
    a
}

#[cfg(test)]
mod tests;
