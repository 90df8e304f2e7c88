//! Where the bytes of a data set lie in the file, and the library's own way to them.

use hdf5_metno::Dataset;
use hdf5_metno_sys::h5d::H5Dread;
use hdf5_metno_sys::h5p::H5P_DEFAULT;
use hdf5_metno_sys::h5s::{H5S_seloper_t, H5Sclose, H5Screate_simple, H5Sselect_hyperslab};
use zensaibo_core::{Error, Result};

use super::{Filter, H5File, locked, memory_type};
use crate::values::Dtype;

/// Where a chunk lies; nothing was stored where the size is 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) mask: u32,
}

/// The complaint about data that the file is too short for.
pub(super) fn outside(file: &H5File, key: &str) -> Error {
    file.fault(key, "data inside the file", format!("an address beyond its {} bytes (truncated?)", file.len))
}

/// Where a data set of `total` bytes in one piece begins; `None` where it was never written and holds its fill value.
pub(super) fn whole(file: &H5File, dataset: &Dataset, key: &str, total: usize) -> Result<Option<u64>> {
    match dataset.offset() {
        Some(offset) if offset.checked_add(total as u64).is_none_or(|end| end > file.len) => Err(outside(file, key)),
        offset => Ok(offset),
    }
}

/// The chunks that were stored, each with its place in the grid of chunks (the last dimension fastest), in that order.
pub(super) fn stored_chunks(
    file: &H5File,
    dataset: &Dataset,
    key: &str,
    chunk: &[usize],
    grid: &[usize],
) -> Result<Vec<(usize, Stored)>> {
    let mut found = Vec::new();
    let mut sound = true;
    dataset
        .chunks_visit(|info| {
            let at: Vec<usize> = info.offset.iter().zip(chunk).map(|(&at, &n)| at as usize / n).collect();
            if at.len() == grid.len() && at.iter().zip(grid).all(|(at, n)| at < n) {
                let index = at.iter().zip(grid).fold(0, |all, (at, n)| all * n + at);
                sound &= info.addr.checked_add(info.size).is_some_and(|end| end <= file.len);
                found.push((index, Stored { address: info.addr, size: info.size, mask: info.filter_mask }));
            }
            0
        })
        .map_err(|error| file.broken(key, &error))?;
    if !sound {
        return Err(outside(file, key));
    }
    found.sort_by_key(|&(index, _)| index);
    Ok(found)
}

/// Refuses a data set that nobody here can decompress.
pub(super) fn check_filters(file: &H5File, dataset: &Dataset, key: &str) -> Result<()> {
    for filter in Filter::of(dataset).unwrap_or_default() {
        if let Filter::Unknown(id) = filter
            && !hdf5_metno::filters::Filter::user(id, &[]).is_available()
        {
            let expected = "compression by gzip, lzf, blosc or zstd, with or without shuffle and fletcher32";
            return Err(file.fault(key, expected, format!("HDF5 filter {id}")));
        }
    }
    Ok(())
}

/// Reads a box of a data set (or its one value, where it has no dimensions) through the library.
pub(super) fn read_box(
    file: &H5File,
    dataset: &Dataset,
    key: &str,
    dtype: Dtype,
    (start, count): (&[u64], &[u64]),
    out: &mut [u8],
) -> Result<()> {
    let own = dataset.dtype().map_err(|error| file.broken(key, &error))?;
    let space = dataset.space().map_err(|error| file.broken(key, &error))?;
    let done = locked(|| unsafe {
        let kind = memory_type(dtype).unwrap_or(own.id());
        let target = out.as_mut_ptr().cast();
        if count.is_empty() {
            return H5Dread(dataset.id(), kind, 0, 0, H5P_DEFAULT, target) >= 0;
        }
        let null = std::ptr::null();
        let op = H5S_seloper_t::H5S_SELECT_SET;
        let picked = H5Sselect_hyperslab(space.id(), op, start.as_ptr(), null, count.as_ptr(), null) >= 0;
        let memory = H5Screate_simple(count.len() as i32, count.as_ptr(), null);
        if memory < 0 {
            return false;
        }
        let read = picked && H5Dread(dataset.id(), kind, memory, space.id(), H5P_DEFAULT, target) >= 0;
        H5Sclose(memory);
        read
    });
    if done { Ok(()) } else { Err(file.fault(key, "readable data", "damaged data")) }
}
