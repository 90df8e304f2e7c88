//! Memory that is written by regions.

use std::sync::Mutex;

use zensaibo_core::data::{Frame, Region, VolumeInfo, VolumeSink};
use zensaibo_core::{Error, Result};

/// Voxels of all frames, one after another, that take regions from any thread. One lock a plane: threads rarely meet.
pub struct GridSink<'a, T> {
    info: VolumeInfo,
    planes: Vec<Mutex<&'a mut [T]>>,
}

impl<'a, T: bytemuck::Pod + Send> GridSink<'a, T> {
    /// A sink into `voxels`, for the frames that `info` describes; `info.dtype` must be the type.
    ///
    /// # Errors
    /// [`Error::Internal`] when there are more or fewer voxels than `info` says.
    pub fn new(info: VolumeInfo, voxels: &'a mut [T]) -> Result<Self> {
        if voxels.len() != info.shape.iter().product::<usize>() {
            return Err(Error::Internal(format!("{} voxels for a volume of {:?}", voxels.len(), info.shape)));
        }
        let plane = (info.shape[3] * info.shape[4]).max(1);
        Ok(Self { planes: voxels.chunks_mut(plane).map(Mutex::new).collect(), info })
    }
}

/// What `job` writes into the memory for the frames that `info` describes, and what it returns.
///
/// # Errors
/// Whatever `job` returns.
pub fn filled<T: bytemuck::Pod + Send, R>(
    info: VolumeInfo,
    job: impl FnOnce(&GridSink<'_, T>) -> Result<R>,
) -> Result<(Vec<T>, R)> {
    let mut voxels = vec![T::zeroed(); info.shape.iter().product()];
    let result = job(&GridSink::new(info, &mut voxels)?)?;
    Ok((voxels, result))
}

impl<T: bytemuck::Pod + Send> VolumeSink for GridSink<'_, T> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, frame: Frame, region: &Region, voxels: &[u8]) -> Result<()> {
        self.info.check(frame, region)?;
        if voxels.len() != region.len() * size_of::<T>() {
            return Err(Error::Internal(format!("{} bytes for a region of {} voxels", voxels.len(), region.len())));
        }
        let width = region.size[2] * size_of::<T>();
        if width == 0 {
            return Ok(());
        }
        let first = (frame.time * self.info.shape[1] + frame.channel) * self.info.shape[2];
        let mut lines = voxels.chunks_exact(width);
        for z in region.range(0) {
            let mut plane = self.planes[first + z].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for (y, line) in region.range(1).zip(&mut lines) {
                let from = y * self.info.shape[4] + region.start[2];
                bytemuck::cast_slice_mut(&mut plane[from..from + region.size[2]]).copy_from_slice(line);
            }
        }
        Ok(())
    }
}
