//! Voxels that lie in one piece in a file: npy, NIfTI, NRRD.

use std::fs;
use std::io::{Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::cache::Piece;
use super::pieced::{Pieced, Store};
use super::tiff::swap;
use crate::h5::stretch;
use crate::values::{Element as _, convert};

/// Where the voxels lie.
pub(super) struct Raw {
    pub(super) path: PathBuf,
    pub(super) file: fs::File,
    pub(super) offset: u64,
    /// The axes of (t, c, z, y, x) from the slowest to the fastest.
    pub(super) order: Vec<usize>,
    pub(super) big_endian: bool,
    /// The type in the file.
    pub(super) stored: Dtype,
    /// Stored values times the first plus the second; the voxels are f32 then.
    pub(super) scaling: Option<(f64, f64)>,
}

struct Stretches {
    raw: Raw,
    shape: [usize; 5],
    chunk: [usize; 5],
}

impl Raw {
    /// Checks that the file is long enough, and makes a volume of it.
    pub(super) fn volume(self, mut info: VolumeInfo) -> Result<Arc<dyn VolumeBlocks>> {
        let bytes = info.shape.iter().try_fold(self.stored.size(), |all, &n| all.checked_mul(n));
        let bytes = bytes.filter(|&bytes| bytes > 0 && bytes <= isize::MAX as usize);
        let bytes = bytes.ok_or_else(|| {
            Error::format(&self.path, "shape", "voxels that can be held", format!("{:?}", info.shape))
        })?;
        let len = self.file.metadata().map_err(|error| Error::io(&self.path, "read", error))?.len();
        if len.saturating_sub(self.offset) < bytes as u64 {
            let expected = format!("{bytes} bytes of voxels after a header of {}", self.offset);
            let found = format!("{} (truncated?)", len.saturating_sub(self.offset));
            return Err(Error::format(&self.path, "voxels", expected, found));
        }
        let lengths: Vec<usize> = self.order.iter().map(|&axis| info.shape[axis]).collect();
        let mut chunk = [1; 5];
        for (&axis, length) in self.order.iter().zip(stretch(&lengths, self.stored.size())) {
            chunk[axis] = length;
        }
        info.chunk = [chunk[2], chunk[3], chunk[4]];
        info.dtype = if self.scaling.is_some() { Dtype::F32 } else { self.stored };
        let shape = info.shape;
        Ok(Arc::new(Pieced::new(info, chunk, [0; 8], Stretches { raw: self, shape, chunk })))
    }
}

impl Store for Stretches {
    fn load(&self, at: [usize; 5]) -> Result<Piece> {
        let raw = &self.raw;
        let size: [usize; 5] =
            std::array::from_fn(|axis| self.chunk[axis].min(self.shape[axis] - at[axis] * self.chunk[axis]));
        let first = raw
            .order
            .iter()
            .fold(0u64, |all, &axis| all * self.shape[axis] as u64 + (at[axis] * self.chunk[axis]) as u64);
        let voxel = raw.stored.size();
        let mut data = vec![0u8; size.iter().product::<usize>() * voxel];
        raw.file
            .read_exact_at(&mut data, raw.offset + first * voxel as u64)
            .map_err(|error| Error::io(&raw.path, "read", error))?;
        if raw.big_endian {
            swap(&mut data, voxel);
        }
        if !raw.order.is_sorted() {
            data = turned(&data, &raw.order, size, voxel);
        }
        if let Some((slope, shift)) = raw.scaling {
            let mut wide = vec![0f64; data.len() / voxel];
            convert(raw.stored, &data, &mut wide).map_err(|_| Error::Internal("a number that is none".into()))?;
            let narrow: Vec<f32> = wide.iter().map(|&value| (value * slope + shift) as f32).collect();
            debug_assert_eq!(f32::DTYPE, Dtype::F32);
            data = bytemuck::cast_slice(&narrow).to_vec();
        }
        Ok(Piece { size, data: Some(data) })
    }
}

/// Brings voxels that lie in `order` (slowest first) into the order (t, c, z, y, x); `size` is along those.
pub(super) fn turned(data: &[u8], order: &[usize], size: [usize; 5], voxel: usize) -> Vec<u8> {
    let mut steps = [0usize; 5];
    let mut step = voxel;
    for &axis in order.iter().rev() {
        steps[axis] = step;
        step *= size[axis];
    }
    let mut out = Vec::with_capacity(data.len());
    for t in 0..size[0] {
        for c in 0..size[1] {
            for z in 0..size[2] {
                for y in 0..size[3] {
                    let line = t * steps[0] + c * steps[1] + z * steps[2] + y * steps[3];
                    for x in 0..size[4] {
                        let from = line + x * steps[4];
                        out.extend_from_slice(&data[from..from + voxel]);
                    }
                }
            }
        }
    }
    out
}

/// Unpacks a stream into a file without a name, which the system removes with us: packed voxels cannot be read in
/// pieces. At most `limit` bytes.
pub(super) fn unpacked(path: &Path, mut packed: impl Read, limit: u64) -> Result<fs::File> {
    let mut file = tempfile::tempfile().map_err(|error| Error::io(std::env::temp_dir(), "write", error))?;
    let mut buffer = vec![0u8; 1 << 20];
    let mut total = 0u64;
    while total < limit {
        let read = packed.read(&mut buffer).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => {
                Error::format(path, "packed voxels", "gzip data", format!("{error} after {total} bytes (truncated?)"))
            }
            _ => Error::io(path, "read", error),
        })?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).map_err(|error| Error::io(std::env::temp_dir(), "write", error))?;
        total += read as u64;
    }
    file.rewind().map_err(|error| Error::io(path, "read", error))?;
    Ok(file)
}

/// Which anatomical side index 0 of each array axis lies on, from the direction in which it grows: (right, anterior,
/// superior) components. `None` unless the axes lead to three different directions.
pub(super) fn orientation(directions: [[f64; 3]; 3]) -> Option<zensaibo_core::data::Orientation> {
    let mut text = String::new();
    for direction in directions {
        let along = (0..3).max_by(|&a, &b| direction[a].abs().total_cmp(&direction[b].abs()))?;
        if !(direction[along].abs() > 0.0 && direction[along].is_finite()) {
            return None;
        }
        // Growing to the right, it begins on the left.
        text.push(match (along, direction[along] > 0.0) {
            (0, true) => 'l',
            (0, false) => 'r',
            (1, true) => 'p',
            (1, false) => 'a',
            (_, true) => 'i',
            (_, false) => 's',
        });
    }
    text.parse().ok()
}
