//! The filter pipeline of chunks, decoded without the library and so without its lock.

use std::cell::RefCell;

use hdf5_metno::Dataset;
use hdf5_metno_sys::h5p::{H5Pget_filter2, H5Pget_nfilters};

use super::locked;

/// One step of a pipeline, in the order in which it was applied when writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// gzip: a zlib stream.
    Deflate,
    /// Bytes of equal significance brought together; element size.
    Shuffle(usize),
    /// A checksum of four bytes at the end.
    Fletcher32,
    /// h5py's fast compression.
    Lzf,
    /// Blosc 1.
    Blosc,
    /// Zstandard, as hdf5plugin registers it.
    Zstd,
    /// One that we leave to the library, by number.
    Unknown(i32),
}

impl Filter {
    /// The pipeline of a data set.
    pub(crate) fn of(dataset: &Dataset) -> Option<Vec<Self>> {
        let plist = dataset.create_plist().ok()?;
        locked(|| unsafe {
            let count = H5Pget_nfilters(plist.id());
            let mut filters = Vec::new();
            for index in 0..u32::try_from(count).ok()? {
                let (mut flags, mut config) = (0u32, 0u32);
                let mut values = [0u32; 32];
                let mut used = values.len();
                let id = H5Pget_filter2(
                    plist.id(),
                    index,
                    &mut flags,
                    &mut used,
                    values.as_mut_ptr(),
                    0,
                    std::ptr::null_mut(),
                    &mut config,
                );
                filters.push(match id {
                    1 => Self::Deflate,
                    2 => Self::Shuffle(values[0] as usize),
                    3 => Self::Fletcher32,
                    32000 => Self::Lzf,
                    32001 => Self::Blosc,
                    32015 => Self::Zstd,
                    other if other < 0 => return None,
                    other => Self::Unknown(other),
                });
            }
            Some(filters)
        })
    }

    /// The name that users know it by.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Deflate => "gzip".into(),
            Self::Shuffle(_) => "shuffle".into(),
            Self::Fletcher32 => "fletcher32".into(),
            Self::Lzf => "lzf".into(),
            Self::Blosc => "blosc".into(),
            Self::Zstd => "zstd".into(),
            Self::Unknown(id) => format!("filter {id}"),
        }
    }
}

thread_local! {
    static INFLATE: RefCell<libdeflater::Decompressor> = RefCell::new(libdeflater::Decompressor::new());
}

/// Undoes the pipeline on one chunk. `data` holds the stored bytes and afterwards the plain ones, exactly
/// `expected` of them; `spare` is a buffer. `mask` tells which steps were skipped when writing.
pub(crate) fn decode(
    filters: &[Filter],
    mask: u32,
    data: &mut Vec<u8>,
    spare: &mut Vec<u8>,
    expected: usize,
) -> Result<(), String> {
    for (index, filter) in filters.iter().enumerate().rev() {
        if mask >> index & 1 == 1 {
            continue;
        }
        match *filter {
            Filter::Fletcher32 => {
                let body = data.len().checked_sub(4).ok_or("a chunk without its checksum")?;
                let stored = u32::from_le_bytes([data[body], data[body + 1], data[body + 2], data[body + 3]]);
                if fletcher32(&data[..body]) != stored {
                    return Err("a checksum that does not match".into());
                }
                data.truncate(body);
                continue;
            }
            Filter::Shuffle(size) => {
                spare.resize(data.len(), 0);
                unshuffle(data, size, spare);
            }
            Filter::Deflate => {
                // A checksum may follow inside the compressed bytes.
                let room = expected + 4;
                spare.resize(room, 0);
                let written = INFLATE
                    .with_borrow_mut(|inflate| inflate.zlib_decompress(data, spare))
                    .map_err(|error| format!("gzip data that cannot be read ({error:?})"))?;
                spare.truncate(written);
            }
            Filter::Lzf => {
                spare.clear();
                lzf(data, spare, expected + 4)?;
            }
            Filter::Zstd => {
                spare.resize(expected + 4, 0);
                let written = zstd::bulk::decompress_to_buffer(data, &mut spare[..])
                    .map_err(|error| format!("zstd data that cannot be read ({error})"))?;
                spare.truncate(written);
            }
            Filter::Blosc => blosc(data, spare, expected + 4)?,
            Filter::Unknown(id) => return Err(format!("filter {id}")),
        }
        std::mem::swap(data, spare);
    }
    if data.len() != expected {
        return Err(format!("a chunk of {} bytes where {expected} belong", data.len()));
    }
    Ok(())
}

/// Fletcher's checksum as HDF5 computes it: over big-endian 16-bit words.
fn fletcher32(data: &[u8]) -> u32 {
    let (mut low, mut high) = (0u64, 0u64);
    let words = data.chunks_exact(2);
    let rest = words.remainder();
    for block in data[..data.len() - rest.len()].chunks(720) {
        for word in block.chunks_exact(2) {
            low += u64::from(word[0]) << 8 | u64::from(word[1]);
            high += low;
        }
        low = (low & 0xffff) + (low >> 16);
        high = (high & 0xffff) + (high >> 16);
    }
    if let [last] = rest {
        low += u64::from(*last) << 8;
        high += low;
    }
    for _ in 0..4 {
        low = (low & 0xffff) + (low >> 16);
        high = (high & 0xffff) + (high >> 16);
    }
    (high << 16 | low) as u32
}

/// Undoes the shuffle: `data` holds all first bytes, then all second bytes, ...; a rest stays at the end.
fn unshuffle(data: &[u8], size: usize, out: &mut [u8]) {
    if size <= 1 || data.len() < size {
        out.copy_from_slice(data);
        return;
    }
    let count = data.len() / size;
    fn planes<const N: usize>(data: &[u8], count: usize, out: &mut [u8]) {
        let plane: [&[u8]; N] = std::array::from_fn(|k| &data[k * count..(k + 1) * count]);
        for (i, element) in out[..count * N].chunks_exact_mut(N).enumerate() {
            for k in 0..N {
                element[k] = plane[k][i];
            }
        }
    }
    match size {
        2 => planes::<2>(data, count, out),
        4 => planes::<4>(data, count, out),
        8 => planes::<8>(data, count, out),
        _ => {
            for k in 0..size {
                for i in 0..count {
                    out[i * size + k] = data[k * count + i];
                }
            }
        }
    }
    out[count * size..].copy_from_slice(&data[count * size..]);
}

/// The shuffle itself, for writing.
pub(crate) fn shuffle(data: &[u8], size: usize, out: &mut Vec<u8>) {
    let count = data.len() / size.max(1);
    out.clear();
    out.reserve(data.len());
    for k in 0..size {
        out.extend((0..count).map(|i| data[i * size + k]));
    }
    out.extend_from_slice(&data[count * size..]);
}

/// LZF: runs of literals and references backwards.
fn lzf(data: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), String> {
    let damaged = || String::from("lzf data that cannot be read");
    let mut at = 0;
    while at < data.len() {
        let control = usize::from(data[at]);
        at += 1;
        if control < 32 {
            let run = data.get(at..at + control + 1).ok_or_else(damaged)?;
            out.extend_from_slice(run);
            at += control + 1;
        } else {
            let mut length = control >> 5;
            if length == 7 {
                length += usize::from(*data.get(at).ok_or_else(damaged)?);
                at += 1;
            }
            let back = ((control & 31) << 8) + usize::from(*data.get(at).ok_or_else(damaged)?) + 1;
            at += 1;
            let start = out.len().checked_sub(back).ok_or_else(damaged)?;
            for k in 0..length + 2 {
                out.push(out[start + k]);
            }
        }
        if out.len() > limit {
            return Err(damaged());
        }
    }
    Ok(())
}

/// Blosc 1, of at most `limit` bytes.
pub(crate) fn blosc(data: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), String> {
    let damaged = || String::from("blosc data that cannot be read");
    let mut size = 0usize;
    // The check reads the header's sixteen bytes and compares them with the length it is told.
    let sound = data.len() >= 16
        && unsafe { blosc_src::blosc_cbuffer_validate(data.as_ptr().cast(), data.len(), &mut size) } == 0;
    if !sound || size > limit {
        return Err(damaged());
    }
    out.resize(size, 0);
    let written =
        unsafe { blosc_src::blosc_decompress_ctx(data.as_ptr().cast(), out.as_mut_ptr().cast(), out.len(), 1) };
    if usize::try_from(written) != Ok(size) {
        return Err(damaged());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffle_and_back() {
        for size in [1, 2, 3, 4, 8] {
            let data: Vec<u8> = (0..101u8).collect();
            let mut there = Vec::new();
            shuffle(&data, size, &mut there);
            let mut back = vec![0; data.len()];
            unshuffle(&there, size, &mut back);
            assert_eq!(back, data, "size {size}");
        }
    }

    #[test]
    fn damaged_chunks_are_errors() {
        for filter in [Filter::Deflate, Filter::Lzf, Filter::Zstd, Filter::Blosc, Filter::Fletcher32] {
            for data in [vec![], vec![0xff; 3], vec![0xe7; 40], vec![0; 64]] {
                let outcome = decode(&[filter], 0, &mut data.clone(), &mut Vec::new(), 1 << 12);
                assert!(outcome.is_err(), "{filter:?} {data:?}");
            }
        }
    }
}
