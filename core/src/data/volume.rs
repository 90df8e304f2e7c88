//! Volumes that are read by regions: what the imaging half asks of a file or of memory.

use std::sync::Arc;

use super::{Dtype, Grid, Orientation, Region};
use crate::exchange::Exchange;
use crate::{Error, Result};

/// One time point of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Time point, from 0.
    pub time: usize,
    /// Channel, from 0.
    pub channel: usize,
}

/// What is known of a volume without reading a voxel.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeInfo {
    /// Where it comes from, for messages: a path, or "array".
    pub name: String,
    /// Length along t, c, z, y and x; 1 where an axis is absent.
    pub shape: [usize; 5],
    /// The axes that the source has, a subset of "tczyx" in that order.
    pub axes: String,
    /// The number type of the voxels.
    pub dtype: Dtype,
    /// Micrometres per voxel along z, y and x, when the source says so.
    pub spacing: Option<[f64; 3]>,
    /// Micrometres from the origin of the sample space to the centre of voxel 0, along z, y and x.
    pub origin: [f64; 3],
    /// Seconds between time points, when the source says so.
    pub time_step: Option<f64>,
    /// Which way the axes point in the body, when the source says so.
    pub orientation: Option<Orientation>,
    /// Names of the channels; empty when the source has none.
    pub channels: Vec<String>,
    /// Voxels along z, y and x of the pieces in which the source is stored; 1 where any length is as good.
    pub chunk: [usize; 3],
}

impl VolumeInfo {
    /// A plain volume of (z, y, x) in memory.
    pub fn plain(name: impl Into<String>, shape: [usize; 3], dtype: Dtype) -> Self {
        Self {
            name: name.into(),
            shape: [1, 1, shape[0], shape[1], shape[2]],
            axes: "zyx".into(),
            dtype,
            spacing: None,
            origin: [0.0; 3],
            time_step: None,
            orientation: None,
            channels: Vec::new(),
            chunk: [1; 3],
        }
    }

    /// Voxels along z, y and x.
    pub fn space(&self) -> [usize; 3] {
        [self.shape[2], self.shape[3], self.shape[4]]
    }

    /// Every time point of every channel, time outermost.
    pub fn frames(&self) -> Vec<Frame> {
        let channels = self.shape[1];
        (0..self.shape[0]).flat_map(|time| (0..channels).map(move |channel| Frame { time, channel })).collect()
    }

    /// Refuses a frame or a region that the volume does not have.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming axis, bounds and what was asked.
    pub fn check(&self, frame: Frame, region: &Region) -> Result<()> {
        for (name, at, length) in [("time", frame.time, self.shape[0]), ("channel", frame.channel, self.shape[1])] {
            if at >= length {
                return Err(Error::parameter(name, format!("0..{length} in {}", self.name), at));
            }
        }
        region.check(self.space())
    }
}

/// Refuses spacings that no microscope has.
///
/// # Errors
/// [`Error::Parameter`] for values that are not finite, not positive, below a nanometre or above a centimetre.
pub fn check_spacing(spacing: [f64; 3]) -> Result<[f64; 3]> {
    for (axis, &value) in ["z", "y", "x"].iter().zip(&spacing) {
        if !(1e-3..=1e4).contains(&value) {
            let expected = "micrometres per voxel (z, y, x), each between 0.001 and 10000";
            return Err(Error::parameter(format!("spacing, axis {axis}"), expected, value));
        }
    }
    Ok(spacing)
}

/// A volume of (t, c, z, y, x) that is read by regions, from any thread.
pub trait VolumeBlocks: Send + Sync {
    /// Shape, axes, spacing and what else is known.
    fn info(&self) -> &VolumeInfo;

    /// Reads a region in the volume's own number type, in this machine's byte order, x running fastest.
    /// `out` is `region.len() * dtype.size()` bytes long and aligned for the type.
    ///
    /// # Errors
    /// What reading can meet: a truncated file, a damaged chunk, a region outside.
    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()>;

    /// Other processes that look at the same volume, with whom the work is shared out (see [`crate::exchange`]).
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        None
    }
}

/// A volume that processes look at together.
pub struct SharedVolume {
    volume: Arc<dyn VolumeBlocks>,
    exchange: Arc<dyn Exchange>,
}

impl SharedVolume {
    /// Shares the work on `volume`.
    pub fn new(volume: Arc<dyn VolumeBlocks>, exchange: Arc<dyn Exchange>) -> Self {
        Self { volume, exchange }
    }
}

impl VolumeBlocks for SharedVolume {
    fn info(&self) -> &VolumeInfo {
        self.volume.info()
    }
    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.volume.read(frame, region, out)
    }
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        Some(&self.exchange)
    }
}

impl VolumeBlocks for Arc<dyn VolumeBlocks> {
    fn info(&self) -> &VolumeInfo {
        self.as_ref().info()
    }
    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.as_ref().read(frame, region, out)
    }
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        self.as_ref().exchange()
    }
}

/// Takes a volume that is written by regions, from any thread. No voxel is written twice.
pub trait VolumeSink: Send + Sync {
    /// What will be written.
    fn info(&self) -> &VolumeInfo;

    /// Writes a region in the sink's number type and this machine's byte order, x running fastest.
    /// Regions begin and end at multiples of the chunk of [`VolumeInfo`], or at the end of the volume.
    ///
    /// # Errors
    /// What writing can meet: a full disk, a region outside.
    fn write(&self, frame: Frame, region: &Region, voxels: &[u8]) -> Result<()>;
}

/// A grid together with what is known of it: the volume that lies in memory.
impl<T: bytemuck::Pod + Send + Sync> VolumeBlocks for (VolumeInfo, Grid<T>) {
    fn info(&self) -> &VolumeInfo {
        &self.0
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.0.check(frame, region)?;
        let width = region.size[2] * size_of::<T>();
        if width == 0 {
            return Ok(());
        }
        let mut lines = out.chunks_exact_mut(width);
        for z in region.range(0) {
            for (y, line) in region.range(1).zip(&mut lines) {
                line.copy_from_slice(bytemuck::cast_slice(&self.1.row(z, y)[region.range(2)]));
            }
        }
        Ok(())
    }
}
