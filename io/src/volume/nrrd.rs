//! NRRD: a header of text, then (or in another file) the voxels, plain or packed by gzip.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::OpenOptions;
use super::open::{axes_of, check_axes};
use super::raw::{Raw, orientation, unpacked};
use super::units::{micrometres, plausible};

pub(super) const MAGIC: &[u8] = b"NRRD000";

/// The numbers of "(1,2,3)"; `None` for "none".
fn vector(text: &str) -> Option<Vec<f64>> {
    text.trim().strip_prefix('(')?.strip_suffix(')')?.split(',').map(|n| n.trim().parse().ok()).collect()
}

/// Opens an NRRD file. Packed voxels are unpacked to a temporary file first.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let io = |error| Error::io(path, "read", error);
    let mut reader = BufReader::new(fs::File::open(path).map_err(io)?);
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let bad = |key: &str, expected: &str, found: String| Error::format(path, key, expected, found);
    let mut used = 0;
    for number in 0.. {
        let mut line = Vec::new();
        let read = reader.by_ref().take(1 << 16).read_until(b'\n', &mut line).map_err(io)?;
        used += read;
        if used > 1 << 20 {
            return Err(bad("header", "a header of at most a megabyte", "a longer one".into()));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        // An empty line ends the header; a detached one may end with its file.
        if read == 0 || text.is_empty() {
            break;
        }
        if number == 0 || text.starts_with('#') {
            continue;
        }
        if text.contains(":=") {
            continue;
        }
        if let Some((name, value)) = text.split_once(':') {
            fields.insert(name.trim().to_lowercase(), value.trim().to_string());
        }
    }
    let offset = reader.stream_position().map_err(io)?;
    let field = |name: &str| fields.get(name).map(String::as_str);
    let need = |name: &str| field(name).ok_or_else(|| bad("header", &format!("a field `{name}`"), "none".into()));
    let kind = need("type")?;
    let stored = match kind {
        "signed char" | "int8" | "int8_t" => Dtype::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Dtype::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Dtype::I16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Dtype::U16,
        "int" | "signed int" | "int32" | "int32_t" => Dtype::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Dtype::U32,
        "longlong" | "long long" | "long long int" | "signed long long" | "int64" | "int64_t" => Dtype::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Dtype::U64,
        "float" => Dtype::F32,
        "double" => Dtype::F64,
        other => return Err(bad("type", "whole or floating-point numbers", other.into())),
    };
    let sizes: Option<Vec<usize>> = need("sizes")?.split_whitespace().map(|n| n.parse().ok()).collect();
    let sizes = sizes.filter(|sizes| !sizes.is_empty() && sizes.iter().all(|&n| n > 0));
    let sizes = sizes.ok_or_else(|| bad("sizes", "lengths of at least 1", need("sizes").unwrap_or_default().into()))?;
    if need("dimension")?.parse() != Ok(sizes.len()) {
        return Err(bad("sizes", &format!("{} lengths", need("dimension")?), format!("{sizes:?}")));
    }
    let big_endian = match field("endian") {
        Some("big") => true,
        Some("little") => false,
        None if stored.size() == 1 => false,
        other => return Err(bad("endian", "little or big", other.unwrap_or("nothing").into())),
    };
    // Directions of the axes of space, in the file's order (fastest first); colours have none.
    let directions: Option<Vec<Option<Vec<f64>>>> = field("space directions").map(|text| {
        let text = text.replace(") (", ")|(").replace("none ", "none|").replace(" none", "|none");
        text.split('|').map(|part| vector(part.trim())).collect()
    });
    let kinds: Vec<&str> = field("kinds").map(|text| text.split_whitespace().collect()).unwrap_or_default();
    let colour = |at: usize| {
        let none = directions.as_ref().filter(|all| all.len() == sizes.len()).is_some_and(|all| all[at].is_none());
        none || kinds.get(at).is_some_and(|kind| kind.contains("color") || kind.contains("vector") || *kind == "list")
    };
    // Axes from the slowest to the fastest, as letters.
    let rank = sizes.len();
    let channel = (0..rank).find(|&at| colour(at));
    let axes: String = match (options.axes.as_deref(), channel) {
        (Some(axes), None) => {
            check_axes(axes)?;
            axes_of(path, rank, Some(axes))?
        }
        (None, Some(at)) if (3..=4).contains(&rank) => {
            let mut axes: Vec<char> = "zyx"[4 - rank..].chars().collect();
            axes.insert(rank - 1 - at, 'c');
            axes.into_iter().collect()
        }
        (_, Some(_)) => {
            return Err(bad("kinds", "at most one axis of colours beside y, x and z", format!("{kinds:?}")));
        }
        (None, None) => axes_of(path, rank, None)?,
    };
    let order: Vec<usize> = axes.chars().filter_map(|axis| "tczyx".find(axis)).collect();
    let mut info = VolumeInfo::plain(path.display().to_string(), [1; 3], stored);
    info.shape = [1; 5];
    order.iter().zip(sizes.iter().rev()).for_each(|(&axis, &n)| info.shape[axis] = n);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    info.axes = sorted.iter().map(|&axis| &"tczyx"[axis..=axis]).collect();
    // Place of an axis in the file's own order.
    let own = |axis: usize| order.iter().position(|&other| other == axis).map(|at| rank - 1 - at);
    let quoted = |name: &str| -> Vec<String> {
        field(name)
            .map(|text| text.split('"').map(str::trim).filter(|part| !part.is_empty()).map(str::to_string).collect())
            .unwrap_or_default()
    };
    let along: [Option<Vec<f64>>; 3] = std::array::from_fn(|at| {
        let place = own(at + 2)?;
        directions.as_ref().and_then(|all| all.get(place).cloned().flatten())
    });
    let spacing: [Option<f64>; 3] = std::array::from_fn(|at| {
        let place = own(at + 2)?;
        if let Some(direction) = &along[at] {
            // The units of space are those of its directions, not of the array's axes.
            let unit = quoted("space units").first().and_then(|unit| micrometres(unit))?;
            return Some(direction.iter().map(|x| x * x).sum::<f64>().sqrt() * unit);
        }
        let value: f64 = field("spacings")?.split_whitespace().nth(place)?.parse().ok()?;
        let unit = quoted("units").get(place).and_then(|unit| micrometres(unit))?;
        Some(value.abs() * unit)
    });
    if let [z, Some(y), Some(x)] = spacing {
        let z = if own(2).is_none() { Some(y) } else { z };
        info.spacing = z.and_then(|z| plausible([z, y, x]));
    }
    let space = field("space").unwrap_or_default().to_lowercase();
    let signs = match space.as_str() {
        "right-anterior-superior" | "ras" => Some([1.0, 1.0, 1.0]),
        "left-anterior-superior" | "las" => Some([-1.0, 1.0, 1.0]),
        "left-posterior-superior" | "lps" => Some([-1.0, -1.0, 1.0]),
        _ => None,
    };
    if let (Some(signs), [Some(z), Some(y), Some(x)]) = (signs, &along)
        && [z, y, x].iter().all(|direction| direction.len() == 3)
    {
        let turn = |direction: &Vec<f64>| std::array::from_fn(|k| direction[k] * signs[k]);
        info.orientation = orientation([turn(z), turn(y), turn(x)]);
    }
    let (file_path, mut offset) = match field("data file").or(field("datafile")) {
        None => (path.to_path_buf(), offset),
        Some(name) if name.starts_with("LIST") || name.contains('%') => {
            return Err(bad("data file", "one file of voxels", name.into()));
        }
        Some(name) => (path.parent().unwrap_or(Path::new("")).join(name), 0),
    };
    if field("line skip").or(field("lineskip")).is_some_and(|n| n != "0") {
        return Err(bad("line skip", "0", field("line skip").unwrap_or_default().into()));
    }
    let bytes = sizes.iter().try_fold(stored.size() as u64, |all, &n| all.checked_mul(n as u64)).unwrap_or(u64::MAX);
    let skip = field("byte skip").or(field("byteskip")).unwrap_or("0");
    let mut file = fs::File::open(&file_path).map_err(|error| Error::io(&file_path, "read", error))?;
    match need("encoding")? {
        "raw" => match skip.parse::<i64>() {
            Ok(-1) => offset = file.metadata().map_err(io)?.len().saturating_sub(bytes),
            Ok(skip) if skip >= 0 => offset += skip as u64,
            _ => return Err(bad("byte skip", "a number of bytes", skip.into())),
        },
        "gzip" | "gz" => {
            if skip != "0" {
                return Err(bad("byte skip", "0 with packed voxels", skip.into()));
            }
            file.seek(SeekFrom::Start(offset)).map_err(io)?;
            file = unpacked(&file_path, MultiGzDecoder::new(BufReader::new(file)), bytes)?;
            offset = 0;
        }
        other => return Err(bad("encoding", "raw or gzip", other.into())),
    }
    Raw { path: file_path, file, offset, order, big_endian, stored, scaling: None }.volume(info)
}
