//! From a source to a sink as it stands.

use zensaibo_core::data::{VolumeBlocks, VolumeSink};
use zensaibo_core::{Ctx, Error, Result};

use super::read::with_scratch;
use super::{Plan, Work, map_blocks};

/// Copies every frame of `source` into `sink`, which has the same shape and number type, block by block.
///
/// # Errors
/// What source and sink return; [`Error::Limit`] when no stored piece fits into the memory.
pub fn copy_volume(source: &dyn VolumeBlocks, sink: &dyn VolumeSink, memory: Option<u64>, ctx: &Ctx) -> Result<()> {
    let (info, out) = (source.info(), sink.info());
    if (info.shape, info.dtype) != (out.shape, out.dtype) {
        return Err(Error::Internal(format!("copy of {:?} into {:?}", info.shape, out.shape)));
    }
    if info.shape.contains(&0) {
        return Ok(());
    }
    let chunk = std::array::from_fn(|axis| out.chunk[axis].max(info.chunk[axis]));
    let size = info.dtype.size();
    let plan = Plan::new(info.space(), &Work { halo: [0; 3], bytes_per_voxel: 2 * size, chunk, memory })?;
    for frame in info.frames() {
        map_blocks(
            &plan,
            "copy",
            ctx,
            |region| {
                with_scratch(region.len() * size, |voxels| {
                    source.read(frame, region, voxels)?;
                    sink.write(frame, region, voxels)
                })
            },
            |_, ()| Ok(()),
        )?;
    }
    Ok(())
}
