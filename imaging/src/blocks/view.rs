//! A part of a volume, under other names: crops, single channels, a spacing that the file lacks.

use std::ops::Range;
use std::sync::Arc;

use zensaibo_core::data::{Frame, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

/// A part of a volume that is itself a volume. Nothing is read when it is made.
pub struct View {
    source: Arc<dyn VolumeBlocks>,
    info: VolumeInfo,
    first: Frame,
    offset: [usize; 3],
}

impl View {
    /// The part of `source` between `ranges` along t, c, z, y and x. Its origin moves with it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a range that leaves the volume or runs backwards.
    pub fn new(source: Arc<dyn VolumeBlocks>, ranges: [Range<usize>; 5]) -> Result<Self> {
        let mut info = source.info().clone();
        for ((range, axis), length) in ranges.iter().zip("tczyx".chars()).zip(info.shape) {
            if range.start > range.end || range.end > length {
                let found = format!("{}..{}", range.start, range.end);
                return Err(Error::parameter(format!("axis {axis}"), format!("a range inside 0..{length}"), found));
            }
        }
        info.shape = std::array::from_fn(|axis| ranges[axis].len());
        let offset = [ranges[2].start, ranges[3].start, ranges[4].start];
        if let Some(spacing) = info.spacing {
            info.origin = std::array::from_fn(|axis| info.origin[axis] + offset[axis] as f64 * spacing[axis]);
        }
        if offset != [0; 3] {
            // Stored pieces no longer begin at multiples.
            info.chunk = [1; 3];
        }
        if !info.channels.is_empty() {
            info.channels = info.channels[ranges[1].clone()].to_vec();
        }
        Ok(Self { source, info, first: Frame { time: ranges[0].start, channel: ranges[1].start }, offset })
    }

    /// The same voxels with other metadata; shape and number type must be those of the source.
    ///
    /// # Errors
    /// [`Error::Internal`] when they are not.
    pub fn renamed(source: Arc<dyn VolumeBlocks>, info: VolumeInfo) -> Result<Self> {
        if info.shape != source.info().shape || info.dtype != source.info().dtype {
            return Err(Error::Internal("a view that changes shape or type".into()));
        }
        Ok(Self { source, info, first: Frame::default(), offset: [0; 3] })
    }
}

impl VolumeBlocks for View {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        let frame = Frame { time: frame.time + self.first.time, channel: frame.channel + self.first.channel };
        let start = std::array::from_fn(|axis| region.start[axis] + self.offset[axis]);
        self.source.read(frame, &Region { start, size: region.size }, out)
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::data::{Dtype, Grid};

    use super::*;
    use crate::blocks::read_f32;

    #[test]
    fn a_crop_reads_its_part_and_keeps_its_place() {
        let mut info = VolumeInfo::plain("ramp", [4, 5, 6], Dtype::U8);
        info.spacing = Some([2.0, 1.0, 0.5]);
        let grid = Grid { shape: [4, 5, 6], data: (0..120u8).collect() };
        let source: Arc<dyn VolumeBlocks> = Arc::new((info, grid));
        let view = View::new(source.clone(), [0..1, 0..1, 1..3, 2..5, 3..6]).unwrap();
        assert_eq!(view.info().space(), [2, 3, 3]);
        assert_eq!(view.info().origin, [2.0, 2.0, 1.5]);
        let part = read_f32(&view, Frame::default(), &Region::whole([2, 3, 3])).unwrap();
        assert_eq!(part.data[..4], [45.0, 46.0, 47.0, 51.0]);
        let refused = View::new(source, [0..1, 0..2, 0..1, 0..1, 0..1]).err().unwrap().to_string();
        assert!(refused.contains("axis c") && refused.contains("0..1"), "{refused}");
    }
}
