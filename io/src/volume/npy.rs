//! numpy's own files.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::OpenOptions;
use super::open::axes_of;
use super::raw::Raw;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Opens a .npy file of 2 to 5 dimensions.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let io = |error| Error::io(path, "read", error);
    let file = fs::File::open(path).map_err(io)?;
    let mut start = [0u8; 12];
    let bad = |expected: &str, found: String| Error::format(path, "header", expected, found);
    file.read_exact_at(&mut start, 0).map_err(|_| bad("12 bytes", "the end of the file (truncated?)".into()))?;
    let (length, from) = if start[6] == 1 {
        (u64::from(u16::from_le_bytes([start[8], start[9]])), 10u64)
    } else {
        (u64::from(u32::from_le_bytes([start[8], start[9], start[10], start[11]])), 12)
    };
    if length > 1 << 20 {
        return Err(bad("a header of at most a megabyte", format!("{length} bytes")));
    }
    let mut text = vec![0u8; length as usize];
    file.read_exact_at(&mut text, from)
        .map_err(|_| bad("the whole header", "the end of the file (truncated?)".into()))?;
    let text = String::from_utf8_lossy(&text).replace('"', "'");
    let after = |key: &str| text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let kind = after("descr").and_then(|rest| rest.strip_prefix('\'')).and_then(|rest| rest.split('\'').next());
    let kind = kind.ok_or_else(|| bad("`descr` of one number type", text.clone()))?.to_string();
    let fortran = after("fortran_order").is_some_and(|rest| rest.starts_with("True"));
    let shape = after("shape").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split(')').next());
    let shape: Option<Vec<usize>> = shape
        .map(|list| {
            list.split(',')
                .map(str::trim)
                .filter(|n| !n.is_empty())
                .map(|n| n.trim_end_matches('L').parse().ok())
                .collect()
        })
        .unwrap_or_default();
    let shape = shape.ok_or_else(|| bad("`shape` of whole numbers", text.clone()))?;
    let stored = match kind.get(1..).unwrap_or_default() {
        "b1" => Dtype::Bool,
        "u1" => Dtype::U8,
        "u2" => Dtype::U16,
        "u4" => Dtype::U32,
        "u8" => Dtype::U64,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "f2" => Dtype::F16,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        _ => return Err(bad("whole or floating-point numbers", kind)),
    };
    let axes = axes_of(path, shape.len(), options.axes.as_deref())?;
    let mut order: Vec<usize> = axes.chars().filter_map(|axis| "tczyx".find(axis)).collect();
    let mut lengths = [1; 5];
    order.iter().zip(&shape).for_each(|(&axis, &n)| lengths[axis] = n);
    if lengths.contains(&0) {
        return Err(bad("voxels along every axis", format!("shape {shape:?}")));
    }
    if fortran {
        order.reverse();
    }
    let mut info = VolumeInfo::plain(path.display().to_string(), [1; 3], stored);
    (info.shape, info.axes) = (lengths, axes);
    let raw = Raw {
        path: path.into(),
        file,
        offset: from + length,
        order,
        big_endian: kind.starts_with('>'),
        stored,
        scaling: None,
    };
    raw.volume(info)
}
