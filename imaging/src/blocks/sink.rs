//! Memory that is written by regions.

use std::sync::Mutex;

use zensaibo_core::data::{Frame, Grid, Region, VolumeInfo, VolumeSink};
use zensaibo_core::{Error, Result};

/// A grid that takes regions from any thread. One lock a plane: threads rarely meet.
pub struct GridSink<T> {
    info: VolumeInfo,
    planes: Vec<Mutex<Vec<T>>>,
}

impl<T: bytemuck::Pod + Send> GridSink<T> {
    /// An empty sink for the frames that `info` describes; `info.dtype` must be the type.
    pub fn new(info: VolumeInfo) -> Self {
        let plane = info.shape[3] * info.shape[4];
        let planes = info.shape[0] * info.shape[1] * info.shape[2];
        Self { planes: (0..planes).map(|_| Mutex::new(vec![T::zeroed(); plane])).collect(), info }
    }

    /// What was written, all frames one after another.
    pub fn into_data(self) -> Vec<T> {
        let mut data = Vec::with_capacity(self.info.shape.iter().product());
        for plane in self.planes {
            data.extend_from_slice(&plane.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()));
        }
        data
    }

    /// What was written, of a volume with one frame.
    pub fn into_grid(self) -> Grid<T> {
        let shape = self.info.space();
        Grid { shape, data: self.into_data() }
    }
}

impl<T: bytemuck::Pod + Send> VolumeSink for GridSink<T> {
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
