//! Filters that look at a voxel's neighbourhood.
//!
//! A filter says how far it looks ([`LocalFilter::halo`]) and what it makes of a padded block ([`LocalFilter::apply`]);
//! [`filter_volume`] does the rest: blocks, memory, threads, every time point and channel, number types. To add one: a
//! file here with a struct whose fields are in voxels, made from micrometres by a constructor that takes a [`Spacing`](crate::space::Spacing).

mod gaussian;

pub use gaussian::{Gaussian, GaussianOptions};

use zensaibo_core::data::{Grid, VolumeBlocks, VolumeSink};
use zensaibo_core::{Ctx, Error, Result};

use crate::blocks::{Border, Plan, Work, map_blocks, read_padded, write_as};

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
    /// the sum for a voxel is taken in the same order wherever the block begins.
    fn apply(&self, padded: Grid<f32>) -> Grid<f32>;
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
    let (shape, out) = (info.space(), sink.info());
    if out.shape != info.shape {
        return Err(Error::Internal(format!("sink of shape {:?} for a source of {:?}", out.shape, info.shape)));
    }
    if shape.contains(&0) {
        return Ok(());
    }
    let halo = filter.halo();
    let chunk = std::array::from_fn(|axis| out.chunk[axis].max(info.chunk[axis]));
    let bytes_per_voxel = 4 * (1 + filter.held()) + info.dtype.size() + out.dtype.size();
    let plan = Plan::new(shape, &Work { halo, bytes_per_voxel, chunk, memory })?;
    for frame in info.frames() {
        map_blocks(
            &plan,
            filter.name(),
            ctx,
            |region| {
                let result = filter.apply(read_padded(source, frame, region, halo, filter.border())?);
                debug_assert_eq!(result.shape, region.size);
                sink.write(frame, region, &write_as(&result.data, out.dtype)?)
            },
            |_, ()| Ok(()),
        )?;
    }
    Ok(())
}
