//! Arrays of any number of dimensions, read chunk by chunk beside the library.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use hdf5_metno::Dataset;
use hdf5_metno::dataset::Layout;
use hdf5_metno_sys::h5d::H5Dread;
use hdf5_metno_sys::h5p::H5P_DEFAULT;
use hdf5_metno_sys::h5s::{H5S_seloper_t, H5Sclose, H5Screate_simple, H5Sselect_hyperslab};
use zensaibo_core::{Error, Result};

use super::filters::decode;
use super::{Filter, H5File, TypeKind, kind_of, locked, memory_type};
use crate::values::Dtype;

/// Where a chunk lies; nothing was stored where the size is 0.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    address: u64,
    size: u64,
    mask: u32,
}

enum Place {
    /// In one piece, from an offset.
    Whole(u64),
    /// In chunks; the table goes through the grid of chunks with the last dimension fastest.
    Chunks { table: Vec<Stored>, filters: Vec<Filter> },
    /// Wherever the library finds them.
    Library,
}

/// An array of numbers in an HDF5 file that is read in blocks.
pub(crate) struct BlockArray {
    pub(crate) file: H5File,
    pub(crate) key: String,
    pub(crate) shape: Vec<usize>,
    /// The type as which the bytes are taken.
    pub(crate) dtype: Dtype,
    /// The type that the file names.
    stored: Dtype,
    /// Lengths of the blocks in which it is read: its chunks, or stretches of what lies in one piece.
    pub(crate) block: Vec<usize>,
    dataset: Dataset,
    bytes: Arc<fs::File>,
    place: Place,
}

impl BlockArray {
    /// Opens the data set at `key`.
    pub(crate) fn open(file: &H5File, key: &str) -> Result<Self> {
        let dataset = file.dataset(key)?;
        let broken = |error: hdf5_metno::Error| file.broken(key, &error);
        let kind = kind_of(dataset.dtype().map_err(broken)?.id());
        let TypeKind::Number { dtype, native } = kind else {
            return Err(file.fault(key, "numbers", kind.describe()));
        };
        let shape = dataset.get_shape().map_err(broken)?;
        let total =
            shape.iter().try_fold(dtype.size(), |all, &n| all.checked_mul(n)).filter(|&n| n <= isize::MAX as usize);
        let (Some(total), false) = (total, shape.is_empty() || shape.contains(&0)) else {
            return Err(file.fault(key, "an array with numbers", format!("shape {shape:?}")));
        };
        let mut array = Self {
            file: file.clone(),
            key: key.to_string(),
            block: stretch(&shape, dtype.size()),
            shape,
            dtype,
            stored: dtype,
            dataset,
            bytes: file.bytes.clone(),
            place: Place::Library,
        };
        array.locate(native && file.plain, total)?;
        if matches!(array.place, Place::Library) {
            for filter in Filter::of(&array.dataset).unwrap_or_default() {
                if let Filter::Unknown(id) = filter
                    && !hdf5_metno::filters::Filter::user(id, &[]).is_available()
                {
                    let expected = "compression by gzip, lzf, blosc or zstd, with or without shuffle and fletcher32";
                    return Err(file.fault(key, expected, format!("HDF5 filter {id}")));
                }
            }
        }
        Ok(array)
    }

    fn locate(&mut self, direct: bool, total: usize) -> Result<()> {
        let (file, key) = (self.file.clone(), self.key.clone());
        let found = format!("an address beyond its {} bytes (truncated?)", file.len);
        let outside = || file.fault(&key, "data inside the file", found.clone());
        match self.dataset.layout() {
            Layout::Contiguous => {
                // A data set that was never written has no place; the library knows its fill value.
                let Some(offset) = self.dataset.offset().filter(|_| direct) else { return Ok(()) };
                if offset.checked_add(total as u64).is_none_or(|end| end > file.len) {
                    return Err(outside());
                }
                self.place = Place::Whole(offset);
            }
            Layout::Chunked => {
                let Some(chunk) = self.dataset.chunk() else { return Ok(()) };
                let bytes = chunk.iter().try_fold(self.dtype.size(), |all, &n| all.checked_mul(n));
                if chunk.len() != self.shape.len() || chunk.contains(&0) || bytes.is_none_or(|n| n > u32::MAX as usize)
                {
                    return Ok(());
                }
                self.block = chunk;
                let filters = Filter::of(&self.dataset).unwrap_or_default();
                if !direct || filters.iter().any(|filter| matches!(filter, Filter::Unknown(_))) {
                    return Ok(());
                }
                let grid = self.grid();
                let count = grid.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).filter(|&n| n < 1 << 28);
                let Some(count) = count else { return Ok(()) };
                let mut table = vec![Stored::default(); count];
                let mut sound = true;
                let block = &self.block;
                self.dataset
                    .chunks_visit(|info| {
                        let at: Vec<usize> = info.offset.iter().zip(block).map(|(&at, &n)| at as usize / n).collect();
                        if at.len() == grid.len() && at.iter().zip(&grid).all(|(at, n)| at < n) {
                            let index = at.iter().zip(&grid).fold(0, |all, (at, n)| all * n + at);
                            sound &= info.addr.checked_add(info.size).is_some_and(|end| end <= file.len);
                            table[index] = Stored { address: info.addr, size: info.size, mask: info.filter_mask };
                        }
                        0
                    })
                    .map_err(|error| file.broken(&key, &error))?;
                if !sound {
                    return Err(outside());
                }
                self.place = Place::Chunks { table, filters };
            }
            _ => {}
        }
        Ok(())
    }

    /// Blocks along each dimension.
    pub(crate) fn grid(&self) -> Vec<usize> {
        self.shape.iter().zip(&self.block).map(|(n, block)| n.div_ceil(*block)).collect()
    }

    /// Reads the block at `at`: its lengths (shorter at the end where nothing pads it) and its bytes as this machine
    /// computes with them.
    pub(crate) fn read(&self, at: &[usize]) -> Result<(Vec<usize>, Vec<u8>)> {
        let start: Vec<usize> = at.iter().zip(&self.block).map(|(at, n)| at * n).collect();
        let used: Vec<usize> = (0..at.len()).map(|d| self.block[d].min(self.shape[d] - start[d])).collect();
        let size = self.dtype.size();
        let fault = |found: String| self.file.fault(&self.key, format!("a readable block at {start:?}"), found);
        let pread = |out: &mut [u8], offset: u64| {
            self.bytes.read_exact_at(out, offset).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => fault("the end of the file (truncated?)".into()),
                _ => Error::io(&self.file.path, "read", error),
            })
        };
        match &self.place {
            Place::Whole(offset) => {
                let first = start.iter().zip(&self.shape).fold(0u64, |all, (&at, &n)| all * n as u64 + at as u64);
                let mut data = vec![0; used.iter().product::<usize>() * size];
                pread(&mut data, offset + first * size as u64)?;
                Ok((used, data))
            }
            Place::Chunks { table, filters } => {
                let index = at.iter().zip(self.grid()).fold(0, |all, (at, n)| all * n + at);
                let stored = table[index];
                if stored.size == 0 {
                    return self.by_library(&start, used);
                }
                let plain = self.block.iter().product::<usize>() * size;
                let mut data = vec![0; stored.size as usize];
                pread(&mut data, stored.address)?;
                decode(filters, stored.mask, &mut data, &mut Vec::new(), plain).map_err(fault)?;
                Ok((self.block.clone(), data))
            }
            Place::Library => self.by_library(&start, used),
        }
    }

    fn by_library(&self, start: &[usize], used: Vec<usize>) -> Result<(Vec<usize>, Vec<u8>)> {
        let own = self.dataset.dtype().map_err(|error| self.file.broken(&self.key, &error))?;
        let space = self.dataset.space().map_err(|error| self.file.broken(&self.key, &error))?;
        let mut data = vec![0u8; used.iter().product::<usize>() * self.dtype.size()];
        let start: Vec<u64> = start.iter().map(|&n| n as u64).collect();
        let count: Vec<u64> = used.iter().map(|&n| n as u64).collect();
        let done = locked(|| unsafe {
            let null = std::ptr::null();
            let op = H5S_seloper_t::H5S_SELECT_SET;
            let picked = H5Sselect_hyperslab(space.id(), op, start.as_ptr(), null, count.as_ptr(), null) >= 0;
            let memory = H5Screate_simple(count.len() as i32, count.as_ptr(), null);
            if memory < 0 {
                return false;
            }
            let kind = memory_type(self.stored).unwrap_or(own.id());
            let read = picked
                && H5Dread(self.dataset.id(), kind, memory, space.id(), H5P_DEFAULT, data.as_mut_ptr().cast()) >= 0;
            H5Sclose(memory);
            read
        });
        if done { Ok((used, data)) } else { Err(self.file.fault(&self.key, "readable data", "damaged data")) }
    }
}

/// Lengths of stretches of about a megabyte of an array in one piece: whole in the last dimensions, one in the first.
pub(crate) fn stretch(shape: &[usize], size: usize) -> Vec<usize> {
    const BYTES: usize = 1 << 20;
    let mut block = vec![1; shape.len()];
    let mut inner = size;
    for (length, &n) in block.iter_mut().zip(shape).rev() {
        *length = (BYTES / inner.max(1)).clamp(1, n.max(1));
        if *length < n {
            break;
        }
        inner *= n;
    }
    block
}
