//! NIfTI-1, one file (.nii), plain or packed by gzip.

use std::fs;
use std::io::{BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::raw::{Raw, orientation, unpacked};
use super::units::plausible;

/// Bytes of a header.
const HEADER: usize = 348;

/// Whether the first bytes (at least a header of them) are those of NIfTI-1.
pub(super) fn is_nifti(start: &[u8]) -> bool {
    start.len() >= HEADER && matches!(&start[344..348], b"n+1\0" | b"ni1\0")
}

/// The first bytes of a file packed by gzip.
pub(super) fn unpacked_start(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        // What cannot be unpacked has no beginning that anyone knows.
        let _ = MultiGzDecoder::new(BufReader::new(file)).take(HEADER as u64).read_to_end(&mut start);
    }
    start
}

struct Header<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Header<'_> {
    fn i16(&self, at: usize) -> i16 {
        let bytes = [self.bytes[at], self.bytes[at + 1]];
        if self.big_endian { i16::from_be_bytes(bytes) } else { i16::from_le_bytes(bytes) }
    }

    fn f32(&self, at: usize) -> f64 {
        let bytes = [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]];
        f64::from(if self.big_endian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) })
    }

    /// Directions (right, anterior, superior) in which i, j and k grow, where the file says so.
    fn directions(&self) -> Option<[[f64; 3]; 3]> {
        if self.i16(254) > 0 {
            // The affine's columns.
            return Some(std::array::from_fn(|axis| std::array::from_fn(|row| self.f32(280 + row * 16 + axis * 4))));
        }
        if self.i16(252) > 0 {
            let [b, c, d] = [self.f32(256), self.f32(260), self.f32(264)];
            let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
            let flip = if self.f32(76) < 0.0 { -1.0 } else { 1.0 };
            return Some([
                [a * a + b * b - c * c - d * d, 2.0 * (b * c + a * d), 2.0 * (b * d - a * c)],
                [2.0 * (b * c - a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d + a * b)],
                [2.0 * (b * d + a * c), 2.0 * (c * d - a * b), a * a + d * d - b * b - c * c].map(|x| x * flip),
            ]);
        }
        None
    }
}

/// Opens a NIfTI file. One that is packed is unpacked to a temporary file first.
pub(super) fn open(path: &Path, packed: bool) -> Result<Arc<dyn VolumeBlocks>> {
    let io = |error| Error::io(path, "read", error);
    let mut file = fs::File::open(path).map_err(io)?;
    if packed {
        file = unpacked(path, MultiGzDecoder::new(BufReader::new(file)), u64::MAX)?;
    }
    let mut start = [0u8; HEADER];
    file.read_exact(&mut start).map_err(io)?;
    let header =
        Header { bytes: &start, big_endian: i32::from_le_bytes([start[0], start[1], start[2], start[3]]) != 348 };
    let bad = |key: &str, expected: &str, found: String| Error::format(path, key, expected, found);
    if &start[344..348] == b"ni1\0" {
        return Err(bad("header", "header and voxels in one file (n+1)", "a header without its voxels (ni1)".into()));
    }
    let rank = header.i16(40);
    if !(1..=7).contains(&rank) {
        return Err(bad("dim", "1 to 7 dimensions", rank.to_string()));
    }
    let lengths: Vec<i16> = (1..=7).map(|at| if at <= rank { header.i16(40 + 2 * at as usize) } else { 1 }).collect();
    if lengths.iter().any(|&n| n < 1) || lengths[5] > 1 || lengths[6] > 1 {
        return Err(bad("dim", "lengths of at least 1 in at most five dimensions", format!("{lengths:?}")));
    }
    let [x, y, z, t, c] = [0, 1, 2, 3, 4].map(|at: usize| lengths[at] as usize);
    let stored = match header.i16(70) {
        2 => Dtype::U8,
        4 => Dtype::I16,
        8 => Dtype::I32,
        16 => Dtype::F32,
        64 => Dtype::F64,
        256 => Dtype::I8,
        512 => Dtype::U16,
        768 => Dtype::U32,
        1024 => Dtype::I64,
        1280 => Dtype::U64,
        other => return Err(bad("datatype", "whole or floating-point numbers", format!("code {other}"))),
    };
    let (slope, shift) = (header.f32(112), header.f32(116));
    let scaled = slope != 0.0 && slope.is_finite() && shift.is_finite() && (slope, shift) != (1.0, 0.0);
    let units = start[123];
    let um = match units & 7 {
        1 => Some(1e6),
        2 => Some(1e3),
        3 => Some(1.0),
        _ => None,
    };
    let second = match units & 56 {
        8 => Some(1.0),
        16 => Some(1e-3),
        24 => Some(1e-6),
        _ => None,
    };
    let offset = header.f32(108);
    if !(offset >= HEADER as f64 && offset < 1e9) {
        return Err(bad("vox_offset", "voxels after the header", offset.to_string()));
    }
    let mut info = VolumeInfo::plain(path.display().to_string(), [z, y, x], stored);
    info.shape = [t, c, z, y, x];
    info.axes = [("t", t > 1), ("c", c > 1), ("z", true), ("y", true), ("x", true)]
        .iter()
        .filter(|axis| axis.1)
        .map(|axis| axis.0)
        .collect();
    info.spacing = um.and_then(|um| plausible([3, 2, 1].map(|at| header.f32(76 + 4 * at).abs() * um)));
    info.time_step = second.map(|second| header.f32(92) * second).filter(|&step| t > 1 && step > 0.0);
    info.orientation = header.directions().and_then(|[i, j, k]| orientation([k, j, i]));
    let raw = Raw {
        path: path.into(),
        file,
        offset: offset as u64,
        // The fifth dimension is the slowest.
        order: vec![1, 0, 2, 3, 4],
        big_endian: header.big_endian,
        stored,
        scaling: scaled.then_some((slope, shift)),
    };
    raw.volume(info)
}
