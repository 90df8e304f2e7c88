//! Zarr arrays as pieces: chunks, or the inner chunks of shards.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::{
    Array, ArrayBytes, ArrayShardedExt as _, ArrayShardedReadableExt as _, ArrayShardedReadableExtCache, CodecOptions,
};
use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use crate::place::{Storage, is_url, said_by_server, shown, storage};
use crate::values::dtype_named;
use crate::volume::cache::Piece;
use crate::volume::open::check_axes;
use crate::volume::pieced::{Pieced, Store};

/// An array that was opened, not yet a volume.
pub(super) struct Level {
    path: PathBuf,
    array: Array<Storage>,
    dtype: Dtype,
    shape: Vec<usize>,
    chunk: Vec<usize>,
}

/// Keeps a panic of the library (on damaged metadata) an error, and what a server said what it was.
pub(crate) fn calm<R>(
    path: &Path,
    key: &str,
    job: impl FnOnce() -> std::result::Result<R, Box<dyn std::error::Error>>,
) -> Result<R> {
    let outcome = catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| Err("data that cannot be decoded".into()));
    outcome.map_err(|found| {
        let damaged = || Error::format(path, key, "a Zarr array that can be read", &found);
        said_by_server(&*found).unwrap_or_else(damaged)
    })
}

/// Opens the array at `path` and says how many dimensions it has.
pub(super) fn open_level(path: &Path) -> Result<(Level, usize)> {
    if !is_url(path) && !path.is_dir() {
        return Err(Error::format(path, "array", "a Zarr array", "nothing"));
    }
    let store = storage(path)?;
    let array = calm(path, "array", || Ok(Array::open(store, "/")?))?;
    let name = array.data_type().to_string();
    let name = name.split(" / ").next().unwrap_or_default();
    let Some(dtype) = dtype_named(name) else {
        return Err(Error::format(path, "data type", "whole or floating-point numbers", name));
    };
    let too_large = |found: String| Error::format(path, "shape", "an array that can be held", found);
    let usizes = |all: &[u64]| all.iter().map(|&n| usize::try_from(n)).collect::<std::result::Result<Vec<usize>, _>>();
    let shape = usizes(array.shape()).map_err(|_| too_large(format!("{:?}", array.shape())))?;
    let rank = shape.len();
    let voxels = shape.iter().try_fold(dtype.size(), |all, &n| all.checked_mul(n.max(1)));
    if voxels.is_none_or(|n| n > isize::MAX as usize) {
        return Err(too_large(format!("{shape:?}")));
    }
    let chunk = calm(path, "chunks", || {
        let chunk = match array.effective_subchunk_shape() {
            Some(chunk) => chunk,
            None => array.chunk_shape(&vec![0; rank])?,
        };
        Ok(chunk.iter().map(|n| n.get()).collect::<Vec<u64>>())
    })?;
    let chunk = usizes(&chunk).map_err(|_| too_large(format!("chunks of {chunk:?}")))?;
    let bytes = chunk.iter().try_fold(dtype.size(), |all, &n| all.checked_mul(n));
    if bytes.is_none_or(|bytes| bytes > 8 << 30) {
        return Err(Error::format(path, "chunks", "chunks of at most 8 GiB", format!("{chunk:?}")));
    }
    Ok((Level { path: shown(path), array, dtype, shape, chunk }, rank))
}

/// Opens a plain array; axes are its dimension names, or given, or the last of (z, y, x).
pub(super) fn open_array(path: &Path, given: Option<&str>) -> Result<Arc<dyn VolumeBlocks>> {
    let (level, rank) = open_level(path)?;
    let named: Option<Vec<String>> = level
        .array
        .dimension_names()
        .as_ref()
        .and_then(|names| names.iter().map(|name| name.as_ref().map(|name| name.to_lowercase())).collect());
    let known = |names: &Vec<String>| names.iter().all(|name| name.len() == 1 && "tczyx".contains(name.as_str()));
    let order: Vec<String> = match (given, named.filter(known)) {
        (Some(axes), _) => {
            check_axes(axes)?;
            axes.chars().map(String::from).collect()
        }
        (None, Some(names)) => names,
        (None, None) if (2..=3).contains(&rank) => "zyx"[3 - rank..].chars().map(String::from).collect(),
        (None, None) => {
            let expected = "`axes` to be given (such as \"tzyx\" or \"czyx\"), for the array names none";
            return Err(Error::format(path, "dimensions", expected, format!("an array of {rank} dimensions")));
        }
    };
    if order.len() != rank {
        return Err(Error::parameter("axes", format!("{rank} letters for {}", path.display()), order.concat()));
    }
    let info = level.info(&order)?;
    level.volume(info, &order)
}

impl Level {
    /// Its shape and all its values: for small arrays of parameters.
    ///
    /// # Errors
    /// [`Error::Format`] for whole numbers, more than 64 of them, and damaged arrays.
    pub(super) fn numbers(self) -> Result<(Vec<usize>, Vec<f64>)> {
        let bad = |found: String| Error::format(&self.path, "array", "at most 64 numbers of float32 or float64", found);
        let length: usize = self.shape.iter().product();
        if length > 64 {
            return Err(bad(format!("{:?}", self.shape)));
        }
        let all = self.array.subset_all();
        let values = match self.dtype {
            Dtype::F64 => calm(&self.path, "array", || Ok(self.array.retrieve_array_subset::<Vec<f64>>(&all)?))?,
            Dtype::F32 => {
                let found = calm(&self.path, "array", || Ok(self.array.retrieve_array_subset::<Vec<f32>>(&all)?))?;
                found.into_iter().map(f64::from).collect()
            }
            other => return Err(bad(other.name().into())),
        };
        Ok((self.shape, values))
    }

    /// The axis of (t, c, z, y, x) that each dimension is.
    fn dims(&self, order: &[String]) -> Result<Vec<usize>> {
        let dims: Vec<usize> =
            order.iter().filter_map(|name| if name.len() == 1 { "tczyx".find(name.as_str()) } else { None }).collect();
        let distinct = dims.iter().enumerate().all(|(at, dim)| !dims[..at].contains(dim));
        if dims.len() != order.len() || !distinct || !dims.contains(&3) || !dims.contains(&4) {
            let expected = "axes out of t, c, z, y and x, each once, y and x among them";
            return Err(Error::format(&self.path, "axes", expected, order.join(", ")));
        }
        Ok(dims)
    }

    /// What is known from the array alone.
    pub(super) fn info(&self, order: &[String]) -> Result<VolumeInfo> {
        let dims = self.dims(order)?;
        let mut shape = [1; 5];
        let mut chunk = [1; 5];
        for (at, &dim) in dims.iter().enumerate() {
            (shape[dim], chunk[dim]) = (self.shape[at], self.chunk[at].min(self.shape[at].max(1)));
        }
        if shape.contains(&0) {
            return Err(Error::format(&self.path, "shape", "voxels along every axis", format!("{:?}", self.shape)));
        }
        let mut axes: Vec<usize> = dims;
        axes.sort_unstable();
        Ok(VolumeInfo {
            name: self.path.display().to_string(),
            shape,
            axes: axes.iter().map(|&axis| &"tczyx"[axis..=axis]).collect(),
            dtype: self.dtype,
            spacing: None,
            origin: [0.0; 3],
            time_step: None,
            orientation: None,
            channels: Vec::new(),
            chunk: [chunk[2], chunk[3], chunk[4]],
        })
    }

    /// The array as a volume.
    pub(super) fn volume(self, info: VolumeInfo, order: &[String]) -> Result<Arc<dyn VolumeBlocks>> {
        let dims = self.dims(order)?;
        let mut chunk = [1; 5];
        for (at, &dim) in dims.iter().enumerate() {
            chunk[dim] = self.chunk[at];
        }
        let shards = ArrayShardedReadableExtCache::new(&self.array);
        // Where memory is filled with the type's own fill value, the library does it.
        Ok(Arc::new(Pieced::new(info, chunk, [0; 8], Chunks { level: self, dims, chunk, shards })))
    }
}

struct Chunks {
    level: Level,
    dims: Vec<usize>,
    chunk: [usize; 5],
    shards: ArrayShardedReadableExtCache,
}

impl Store for Chunks {
    fn load(&self, at: [usize; 5]) -> Result<Piece> {
        let place: Vec<u64> = self.dims.iter().map(|&dim| at[dim] as u64).collect();
        // One decoder for each shard is remembered: that is its index. A few thousand are enough.
        if self.shards.len() > 4096 {
            self.shards.clear();
        }
        let key = format!("chunk {place:?}");
        let data = calm(&self.level.path, &key, || {
            let options = CodecOptions::default().with_concurrent_target(1);
            let bytes: ArrayBytes<'static> = self.level.array.retrieve_subchunk_opt(&self.shards, &place, &options)?;
            Ok(bytes.into_fixed()?.into_owned())
        })?;
        let bytes = self.chunk.iter().product::<usize>() * self.level.dtype.size();
        if data.len() != bytes {
            return Err(Error::format(
                &self.level.path,
                key,
                format!("{bytes} bytes"),
                format!("{} bytes", data.len()),
            ));
        }
        let data = if self.dims.is_sorted() { data } else { self.turned(&data) };
        Ok(Piece { size: self.chunk, data: Some(data) })
    }
}

impl Chunks {
    /// Brings the voxels of a chunk into the order (t, c, z, y, x).
    fn turned(&self, data: &[u8]) -> Vec<u8> {
        let size = self.level.dtype.size();
        let mut steps = [0usize; 5];
        let mut step = size;
        for (at, &dim) in self.dims.iter().enumerate().rev() {
            steps[dim] = step;
            step *= self.level.chunk[at];
        }
        let [times, channels, depth, height, width] = self.chunk;
        let mut out = Vec::with_capacity(data.len());
        for t in 0..times {
            for c in 0..channels {
                for z in 0..depth {
                    for y in 0..height {
                        let line = t * steps[0] + c * steps[1] + z * steps[2] + y * steps[3];
                        for x in 0..width {
                            let from = line + x * steps[4];
                            out.extend_from_slice(&data[from..from + size]);
                        }
                    }
                }
            }
        }
        out
    }
}
