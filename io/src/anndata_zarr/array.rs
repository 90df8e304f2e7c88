//! Arrays of a Zarr store: chunks decoded on the pool, those just decoded kept for the blocks beside.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zarrs::array::{
    Array, ArrayBytes, ArrayShardedExt as _, ArrayShardedReadableExt as _, ArrayShardedReadableExtCache, CodecOptions,
};
use zensaibo_core::{Error, Result};

use super::store::{Node, Store};
use crate::numbers::{NumberArray, StoredBytes};
use crate::place::Storage;
use crate::values::dtype_named;
use crate::volume::calm;

/// Bytes of decoded chunks that an array keeps beyond those in use.
const KEPT_BYTES: usize = 16 << 20;

/// Decoded chunks that an array keeps at most, so that looking through them stays quick.
const KEPT_CHUNKS: usize = 128;

/// What a chunk that is not there means.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Absent {
    /// The fill value, as Zarr has it.
    Fill,
    /// An incomplete copy: values that were stored are not all zero.
    Fault,
}

/// Opens the array at `key`.
fn open(store: &Store, key: &str) -> Result<Array<Storage>> {
    if store.need(key)?.0 != Node::Array {
        return Err(store.fault(key, "an array", "a group"));
    }
    let files = store.storage(key)?;
    calm(&store.root, key, || Ok(Array::open(files, "/")?))
}

/// The options of every read: one thread for a chunk, as many chunks at a time as there are threads.
fn alone() -> CodecOptions {
    CodecOptions::default().with_concurrent_target(1)
}

/// Opens an array of numbers of at most two dimensions.
pub(super) fn numbers(store: &Store, key: &str, absent: Absent) -> Result<NumberArray> {
    let array = open(store, key)?;
    let name = array.data_type().to_string();
    let name = name.split(" / ").next().unwrap_or_default();
    let Some(dtype) = dtype_named(name) else {
        return Err(store.fault(key, "whole or floating-point numbers", name));
    };
    let too_large = |found: String| store.fault(key, "a shape that can be held", found);
    let usizes = |all: &[u64]| all.iter().map(|&n| usize::try_from(n)).collect::<std::result::Result<Vec<usize>, _>>();
    let shape = usizes(array.shape()).map_err(|_| too_large(format!("{:?}", array.shape())))?;
    let total = shape.iter().try_fold(dtype.size(), |all, &n| all.checked_mul(n.max(1)));
    if total.is_none_or(|n| n > isize::MAX as usize) {
        return Err(too_large(format!("{shape:?}")));
    }
    if shape.is_empty() || shape.len() > 2 {
        return Err(store.fault(key, "one or two dimensions", shape.len()));
    }
    let sharded = array.effective_subchunk_shape();
    let chunk = calm(&store.root, key, || {
        let chunk = match &sharded {
            Some(chunk) => chunk.clone(),
            None => array.chunk_shape(&vec![0; shape.len()])?,
        };
        Ok(chunk.iter().map(|n| n.get()).collect::<Vec<u64>>())
    })?;
    let chunk = usizes(&chunk).map_err(|_| too_large(format!("chunks of {chunk:?}")))?;
    let bytes = chunk.iter().try_fold(dtype.size(), |all, &n| all.checked_mul(n)).filter(|&bytes| bytes <= 8 << 30);
    let Some(bytes) = bytes else {
        return Err(store.fault(key, "chunks of at most 8 GiB", format!("{chunk:?}")));
    };
    let columns = shape.get(1).copied().unwrap_or(1);
    let wide = chunk.get(1).copied().unwrap_or(1);
    let chunks = Chunks {
        root: store.root.clone(),
        key: key.to_string(),
        shards: sharded.is_some().then(|| ArrayShardedReadableExtCache::new(&array)),
        array,
        absent,
        size: dtype.size(),
        bytes,
        high: chunk[0],
        wide,
        columns,
        across: columns.div_ceil(wide),
        filters: store.compression(key)?,
        kept: Mutex::default(),
        #[cfg(feature = "remote")]
        remote: store.is_remote().then(|| store.clone()),
        #[cfg(feature = "remote")]
        before: format!("{key}/"),
    };
    NumberArray::new(store.root.clone(), key.to_string(), shape, dtype, Arc::new(chunks))
}

/// Reads an array of strings of one dimension.
pub(super) fn strings(store: &Store, key: &str) -> Result<Vec<String>> {
    let array = open(store, key)?;
    if array.shape().len() != 1 {
        return Err(store.fault(key, "one dimension", array.shape().len()));
    }
    calm(&store.root, key, || Ok(array.retrieve_array_subset_opt::<Vec<String>>(&array.subset_all(), &alone())?))
}

/// Whether the array at `key` holds strings.
pub(super) fn is_text(store: &Store, key: &str) -> Result<bool> {
    Ok(open(store, key)?.data_type().to_string().starts_with("string"))
}

/// A decoded chunk. Threads that want the same one wait for the first instead of decoding it again.
type Slot = Arc<Mutex<Option<Arc<Vec<u8>>>>>;

/// The chunks of an array as a grid of rows and columns.
struct Chunks {
    root: PathBuf,
    key: String,
    array: Array<Storage>,
    /// Decoders of shards, where the array has them.
    shards: Option<ArrayShardedReadableExtCache>,
    absent: Absent,
    /// Bytes of a number, and of a chunk.
    size: usize,
    bytes: usize,
    /// Rows and columns of a chunk.
    high: usize,
    wide: usize,
    /// Columns of the array, and chunks across them.
    columns: usize,
    across: usize,
    /// Names of the compression steps.
    filters: Vec<String>,
    /// The chunks used last, the latest at the end.
    kept: Mutex<VecDeque<(usize, Slot)>>,
    /// A store behind a URL, and what stands before the names of chunks in it.
    #[cfg(feature = "remote")]
    remote: Option<Store>,
    #[cfg(feature = "remote")]
    before: String,
}

impl Chunks {
    /// A decoded chunk, from those kept or out of the store.
    fn chunk(&self, index: usize) -> Result<Arc<Vec<u8>>> {
        let lock = || self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let slot = {
            let mut kept = lock();
            let found = kept.iter().position(|(other, _)| *other == index).and_then(|at| kept.remove(at));
            let (_, slot) = found.unwrap_or_else(|| (index, Slot::default()));
            kept.push_back((index, slot.clone()));
            let most = (KEPT_BYTES / self.bytes.max(1)).clamp(1, KEPT_CHUNKS);
            while kept.len() > most {
                kept.pop_front();
            }
            slot
        };
        let mut held = slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(chunk) = &*held {
            return Ok(chunk.clone());
        }
        let chunk = Arc::new(self.decode(index)?);
        *held = Some(chunk.clone());
        Ok(chunk)
    }

    fn place(&self, index: usize) -> Vec<u64> {
        match self.array.shape().len() {
            1 => vec![index as u64],
            _ => vec![(index / self.across) as u64, (index % self.across) as u64],
        }
    }

    /// Has a server asked for several chunks at once. Those of shards are parts of objects and come one by one.
    fn ahead(&self, chunks: Range<usize>) -> Result<()> {
        #[cfg(feature = "remote")]
        if let Some(store) = self.remote.as_ref().filter(|_| self.shards.is_none() && chunks.len() > 1) {
            let kept: Vec<usize> = {
                let kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                kept.iter().map(|(index, _)| *index).collect()
            };
            // At most a few at a time: what is not decoded yet is held packed.
            let most = (KEPT_BYTES / self.bytes.max(1)).clamp(1, KEPT_CHUNKS);
            let new: Vec<usize> = chunks.filter(|index| !kept.contains(index)).take(most).collect();
            let key = |index: usize| format!("{}{}", self.before, self.array.chunk_key(&self.place(index)).as_str());
            return store.ahead(new.into_iter().map(key));
        }
        let _ = chunks;
        Ok(())
    }

    fn decode(&self, index: usize) -> Result<Vec<u8>> {
        let place = self.place(index);
        let key = format!("{}: chunk {place:?}", self.key);
        let (data, stored) = calm(&self.root, &key, || {
            let found: Option<ArrayBytes<'static>> = match &self.shards {
                None => self.array.retrieve_chunk_if_exists_opt(&place, &alone())?,
                Some(shards) => {
                    // Each decoder of a shard holds its index; a few thousand are enough.
                    if shards.len() > 4096 {
                        shards.clear();
                    }
                    Some(self.array.retrieve_subchunk_opt(shards, &place, &alone())?)
                }
            };
            let stored = found.is_some();
            let Some(bytes) = found else {
                let fill = self.array.fill_value().as_ne_bytes();
                return Ok((fill.repeat(self.bytes / fill.len().max(1)), stored));
            };
            let data = bytes.into_fixed()?.into_owned();
            // Shards say nothing of inner chunks that are not there; such a chunk is all fill value.
            let stored = match &self.shards {
                Some(shards) if self.absent == Absent::Fault && data.iter().all(|&byte| byte == 0) => {
                    self.array.retrieve_encoded_subchunk(shards, &place)?.is_some()
                }
                _ => stored,
            };
            Ok((data, stored))
        })?;
        if !stored && self.absent == Absent::Fault {
            let expected = "a chunk that is stored (stored values are not all zero)";
            return Err(Error::format(&self.root, key, expected, "nothing (an incomplete copy?)"));
        }
        if data.len() != self.bytes {
            return Err(Error::format(
                &self.root,
                key,
                format!("{} bytes", self.bytes),
                format!("{} bytes", data.len()),
            ));
        }
        Ok(data)
    }
}

impl StoredBytes for Chunks {
    fn read(&self, rows: Range<usize>, out: &mut [u8], _: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<()> {
        let (size, width) = (self.size, self.columns * self.size);
        if out.is_empty() {
            return Ok(());
        }
        let bands = rows.start / self.high..rows.end.div_ceil(self.high);
        self.ahead(bands.start * self.across..bands.end * self.across)?;
        for band in bands {
            let from = rows.start.max(band * self.high);
            let to = rows.end.min((band + 1) * self.high);
            for column in 0..self.across {
                let chunk = self.chunk(band * self.across + column)?;
                let first = column * self.wide;
                let used = self.wide.min(self.columns - first);
                if used == self.columns && self.wide == self.columns {
                    let source = (from - band * self.high) * width;
                    let target = (from - rows.start) * width;
                    let length = (to - from) * width;
                    out[target..target + length].copy_from_slice(&chunk[source..source + length]);
                    continue;
                }
                for row in from..to {
                    let source = (row - band * self.high) * self.wide * size;
                    let target = (row - rows.start) * width + first * size;
                    out[target..target + used * size].copy_from_slice(&chunk[source..source + used * size]);
                }
            }
        }
        Ok(())
    }

    fn step(&self) -> usize {
        self.high
    }

    fn is_parallel(&self) -> bool {
        true
    }

    fn filters(&self) -> Vec<String> {
        self.filters.clone()
    }
}
