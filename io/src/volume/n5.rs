//! N5: an array is a folder of blocks, each with a small header and its voxels most significant byte first.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use serde_json::Value as Json;
use zensaibo_core::data::{VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::OpenOptions;
use super::bdv::{self, Setup};
use super::cache::Piece;
use super::open::axes_of;
use super::pieced::{Pieced, Store};
use super::tiff::swap;
use super::units::{micrometres, plausible};
use crate::h5::inflate_blosc;
use crate::values::Dtype;
use crate::values::dtype_named;

fn attributes(folder: &Path) -> Result<Option<Json>> {
    let path = folder.join("attributes.json");
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::format(&path, "document", "well-formed JSON", error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(&path, "read", error)),
    }
}

/// Whether a folder is an N5 container or an array in one.
pub(super) fn is_n5(folder: &Path) -> bool {
    attributes(folder).ok().flatten().is_some_and(|json| json["n5"].is_string() || json["dimensions"].is_array())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Packing {
    None,
    Gzip,
    Zlib,
    Zstd,
    Blosc,
}

/// An N5 array.
struct Array {
    folder: PathBuf,
    /// Lengths and blocks in the order of the file: x first.
    dimensions: Vec<usize>,
    block: Vec<usize>,
    dtype: Dtype,
    packing: Packing,
    attributes: Json,
}

impl Array {
    fn open(folder: &Path) -> Result<Self> {
        let bad = |key: &str, expected: &str, found: String| {
            Error::format(folder.join("attributes.json"), key, expected, found)
        };
        let attributes =
            attributes(folder)?.ok_or_else(|| Error::format(folder, "attributes.json", "an N5 array", "nothing"))?;
        let lengths = |key: &str| -> Result<Vec<usize>> {
            let list: Option<Vec<usize>> = attributes[key].as_array().and_then(|list| {
                list.iter().map(|n| n.as_u64().filter(|&n| n > 0).and_then(|n| usize::try_from(n).ok())).collect()
            });
            list.filter(|list| !list.is_empty())
                .ok_or_else(|| bad(key, "lengths of at least 1", attributes[key].to_string()))
        };
        let (dimensions, block) = (lengths("dimensions")?, lengths("blockSize")?);
        let name = attributes["dataType"].as_str().unwrap_or_default();
        let dtype = dtype_named(name).ok_or_else(|| bad("dataType", "whole or floating-point numbers", name.into()))?;
        let total = |list: &[usize]| {
            list.iter().try_fold(dtype.size(), |all, &n| all.checked_mul(n)).filter(|&n| n <= isize::MAX as usize)
        };
        if block.len() != dimensions.len() || total(&dimensions).is_none() || total(&block).is_none_or(|n| n > 8 << 30)
        {
            return Err(bad("blockSize", "blocks that can be held", format!("{block:?} of {dimensions:?}")));
        }
        let compression = &attributes["compression"];
        // Old containers have "compressionType" instead.
        let kind = compression["type"].as_str().or(attributes["compressionType"].as_str()).unwrap_or("raw");
        let packing = match kind {
            "raw" => Packing::None,
            "gzip" if compression["useZlib"].as_bool() == Some(true) => Packing::Zlib,
            "gzip" => Packing::Gzip,
            "zstd" => Packing::Zstd,
            "blosc" => Packing::Blosc,
            other => return Err(bad("compression", "raw, gzip, zstd or blosc", other.into())),
        };
        Ok(Self { folder: folder.to_path_buf(), dimensions, block, dtype, packing, attributes })
    }

    /// The block at a place (x first): its lengths (x first) and voxels; `None` where nothing was written.
    fn read(&self, at: &[usize]) -> Result<Option<(Vec<usize>, Vec<u8>)>> {
        let path = at.iter().fold(self.folder.clone(), |path, n| path.join(n.to_string()));
        let stored = match fs::read(&path) {
            Ok(stored) => stored,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(&path, "read", error)),
        };
        let bad = |expected: &str, found: String| Error::format(&path, "block", expected, found);
        let short = || bad("a whole header", format!("{} bytes (truncated?)", stored.len()));
        let u16_at = |at: usize| stored.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or_else(short);
        let u32_at =
            |at: usize| stored.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).ok_or_else(short);
        let (mode, rank) = (u16_at(0)?, usize::from(u16_at(2)?));
        if mode > 1 || rank != self.block.len() {
            return Err(bad(
                &format!("{} dimensions of numbers", self.block.len()),
                format!("mode {mode}, {rank} dimensions"),
            ));
        }
        let mut lengths = Vec::with_capacity(rank);
        for axis in 0..rank {
            let length = u32_at(4 + 4 * axis)? as usize;
            if length == 0 || length > self.block[axis] {
                return Err(bad(
                    &format!("at most {:?} voxels", self.block),
                    format!("{length} along dimension {axis}"),
                ));
            }
            lengths.push(length);
        }
        let body = stored.get(4 + 4 * rank + if mode == 1 { 4 } else { 0 }..).ok_or_else(short)?;
        let bytes = lengths.iter().product::<usize>() * self.dtype.size();
        let mut data = Vec::new();
        let unpacked = match self.packing {
            Packing::None => {
                data.extend_from_slice(body);
                Ok(())
            }
            Packing::Gzip => MultiGzDecoder::new(body)
                .take(bytes as u64 + 1)
                .read_to_end(&mut data)
                .map(|_| ())
                .map_err(|e| e.to_string()),
            Packing::Zlib => ZlibDecoder::new(body)
                .take(bytes as u64 + 1)
                .read_to_end(&mut data)
                .map(|_| ())
                .map_err(|e| e.to_string()),
            Packing::Zstd => zstd::stream::read::Decoder::new(body)
                .and_then(|decoder| decoder.take(bytes as u64 + 1).read_to_end(&mut data))
                .map(|_| ())
                .map_err(|e| e.to_string()),
            Packing::Blosc => inflate_blosc(body, &mut data, bytes),
        };
        unpacked.map_err(|found| bad(&format!("{bytes} bytes of voxels"), found))?;
        if data.len() < bytes {
            return Err(bad(&format!("{bytes} bytes of voxels"), format!("{} (truncated?)", data.len())));
        }
        data.truncate(bytes);
        if cfg!(target_endian = "little") {
            swap(&mut data, self.dtype.size());
        }
        Ok(Some((lengths, data)))
    }
}

/// One array per time point and channel, or one for all.
struct Frames {
    arrays: Vec<Array>,
    channels: usize,
    chunk: [usize; 5],
    /// The axes of (t, c, z, y, x) that the dimensions are, slowest first.
    dims: Vec<usize>,
}

impl Store for Frames {
    fn load(&self, at: [usize; 5]) -> Result<Piece> {
        let array = if self.arrays.len() > 1 { &self.arrays[at[0] * self.channels + at[1]] } else { &self.arrays[0] };
        let place: Vec<usize> = self.dims.iter().rev().map(|&axis| at[axis]).collect();
        let Some((lengths, data)) = array.read(&place)? else {
            return Ok(Piece { size: self.chunk, data: None });
        };
        let mut size = [1; 5];
        self.dims.iter().rev().zip(&lengths).for_each(|(&axis, &n)| size[axis] = n);
        let data =
            if self.dims.is_sorted() { data } else { super::raw::turned(&data, &self.dims, size, array.dtype.size()) };
        Ok(Piece { size, data: Some(data) })
    }
}

fn frames(mut info: VolumeInfo, arrays: Vec<Array>, dims: Vec<usize>) -> Result<Arc<dyn VolumeBlocks>> {
    let first = &arrays[0];
    for array in &arrays {
        if (&array.dimensions, &array.block, array.dtype) != (&first.dimensions, &first.block, first.dtype) {
            let expected = format!("{:?} of {}, as the first", first.dimensions, first.dtype.name());
            return Err(Error::format(
                &array.folder,
                "dimensions",
                expected,
                format!("{:?} of {}", array.dimensions, array.dtype.name()),
            ));
        }
    }
    let mut chunk = [1; 5];
    dims.iter().rev().zip(&first.block).for_each(|(&axis, &n)| chunk[axis] = n);
    info.chunk = std::array::from_fn(|axis| chunk[axis + 2].min(info.shape[axis + 2]));
    let channels = info.shape[1];
    Ok(Arc::new(Pieced::new(info, chunk, [0; 8], Frames { arrays, channels, chunk, dims })))
}

/// Opens an N5 array, a pyramid of arrays s0, s1, ..., or BDV's set-ups.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let own = attributes(path)?.unwrap_or(Json::Null);
    if own["dimensions"].is_array() {
        if let Some(level) = options.level.filter(|&level| level > 0) {
            return Err(Error::parameter("level", "0 for a single array", level));
        }
        return one(path, path, &own, options);
    }
    if path.join("s0").is_dir() {
        let level = options.level.unwrap_or(0);
        let folder = path.join(format!("s{level}"));
        if !folder.is_dir() {
            let count = (0..).take_while(|at| path.join(format!("s{at}")).is_dir()).count();
            return Err(Error::parameter("level", format!("0..{count} in {}", path.display()), level));
        }
        return one(&folder, path, &own, options);
    }
    if path.join("setup0").is_dir() {
        let beside = path.with_extension("xml");
        if beside.is_file() {
            return bdv::open(&beside, options);
        }
        let ids = |folder: &Path, prefix: &str| -> Result<Vec<usize>> {
            let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, "read", error))?;
            let mut ids: Vec<usize> = entries
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_prefix(prefix)?.parse().ok())
                .collect();
            ids.sort_unstable();
            Ok(ids)
        };
        let setups: Vec<Setup> = ids(path, "setup")?
            .into_iter()
            .map(|id| Setup {
                id,
                name: format!("setup{id}"),
                size: None,
                spacing: None,
                channel: None,
                others: Vec::new(),
            })
            .collect();
        let times = ids(&path.join("setup0"), "timepoint")?;
        return bdv_frames(path, path, &setups, &times, options);
    }
    Err(Error::format(
        path,
        "container",
        "an array, a pyramid (s0, s1, ...) or BDV's set-ups; open a folder inside it",
        "none of them",
    ))
}

fn one(folder: &Path, name: &Path, parent: &Json, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    if let Some(series) = options.series.filter(|&series| series > 0) {
        return Err(Error::parameter("series", "0 for one array", series));
    }
    let array = Array::open(folder)?;
    let rank = array.dimensions.len();
    // Named axes stand in the order of the file, x first.
    let named = |json: &Json| -> Option<String> {
        let names: Vec<String> =
            json["axes"].as_array()?.iter().map(|axis| axis.as_str().map(str::to_lowercase)).collect::<Option<_>>()?;
        let known = names.len() == rank && names.iter().all(|name| name.len() == 1 && "tczyx".contains(name.as_str()));
        known.then(|| names.iter().rev().map(String::as_str).collect())
    };
    let axes = match (options.axes.as_deref(), named(&array.attributes).or_else(|| named(parent))) {
        (None, Some(axes)) => axes,
        (given, _) => axes_of(folder, rank, given)?,
    };
    let dims: Vec<usize> = axes.chars().filter_map(|axis| "tczyx".find(axis)).collect();
    let mut info = VolumeInfo::plain(name.display().to_string(), [1; 3], array.dtype);
    dims.iter().rev().zip(&array.dimensions).for_each(|(&axis, &n)| info.shape[axis] = n);
    let mut sorted = dims.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != dims.len() || !sorted.contains(&3) || !sorted.contains(&4) {
        return Err(Error::format(folder, "axes", "each of t, c, z, y and x at most once, y and x among them", axes));
    }
    info.axes = sorted.iter().map(|&axis| &"tczyx"[axis..=axis]).collect();
    // "pixelResolution" with one unit, or "resolution" with "units".
    let numbers = |json: &Json| {
        json.as_array()
            .map(|list| list.iter().filter_map(Json::as_f64).collect::<Vec<f64>>())
            .filter(|list| list.len() == rank)
    };
    for (json, own) in [(&array.attributes, true), (parent, false)] {
        let pixel = &json["pixelResolution"];
        let (values, units): (Option<Vec<f64>>, Vec<Option<f64>>) = if pixel.is_object() {
            (numbers(&pixel["dimensions"]), vec![pixel["unit"].as_str().and_then(micrometres); rank])
        } else {
            let units = json["units"]
                .as_array()
                .map(|list| list.iter().map(|unit| unit.as_str().and_then(micrometres)).collect());
            (numbers(&json["resolution"]), units.unwrap_or_default())
        };
        let Some(values) = values.filter(|_| units.len() == rank && info.spacing.is_none()) else { continue };
        // What the parent says holds for the full resolution; the level says by how much it is coarser.
        let factors = if own { None } else { numbers(&array.attributes["downsamplingFactors"]) };
        let length = |axis: usize| {
            let at = rank - 1 - dims.iter().position(|&other| other == axis)?;
            Some(values[at] * units[at]? * factors.as_ref().map_or(1.0, |factors| factors[at]))
        };
        if let (Some(y), Some(x)) = (length(3), length(4)) {
            let z = if dims.contains(&2) { length(2) } else { Some(y) };
            info.spacing = z.and_then(|z| plausible([z, y, x]));
        }
    }
    frames(info, vec![array], dims)
}

/// BDV's views in one container.
struct Views<'a>(&'a Path);

impl Views<'_> {
    fn folder(&self, time: usize, setup: &Setup, level: usize) -> PathBuf {
        self.0.join(format!("setup{}/timepoint{time}/s{level}", setup.id))
    }
}

impl bdv::Views for Views<'_> {
    type Array = Array;

    fn has(&self, time: usize, setup: &Setup, level: usize) -> bool {
        self.folder(time, setup, level).is_dir()
    }

    fn open(&self, time: usize, setup: &Setup, level: usize) -> Result<Array> {
        Array::open(&self.folder(time, setup, level))
    }

    fn of(array: &Array) -> (Dtype, Option<[usize; 3]>) {
        // The file counts x first.
        (array.dtype, <[usize; 3]>::try_from(&array.dimensions[..]).ok().map(|[x, y, z]| [z, y, x]))
    }
}

/// The volume of BDV's set-ups (as channels) over time points.
pub(super) fn bdv_frames(
    root: &Path,
    name: &Path,
    setups: &[Setup],
    times: &[usize],
    options: &OpenOptions,
) -> Result<Arc<dyn VolumeBlocks>> {
    let (info, arrays) = bdv::gather(&Views(root), name, setups, times, options)?;
    frames(info, arrays, vec![2, 3, 4])
}
