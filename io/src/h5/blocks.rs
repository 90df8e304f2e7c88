//! Arrays of any number of dimensions, read chunk by chunk beside the library.

use std::sync::Arc;

use hdf5_metno::Dataset;
use hdf5_metno::dataset::Layout;
use zensaibo_core::Result;

use super::chunks::{Stored, check_filters, read_box, stored_chunks, whole};
use super::filters::decode;
use super::{Filter, H5File, TypeKind, kind_of};
use crate::place::{Bytes, failed};
use crate::values::Dtype;

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
    bytes: Arc<Bytes>,
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
            check_filters(file, &array.dataset, key)?;
        }
        Ok(array)
    }

    fn locate(&mut self, direct: bool, total: usize) -> Result<()> {
        match self.dataset.layout() {
            // A data set that was never written has no place; the library knows its fill value.
            Layout::Contiguous if direct => {
                if let Some(offset) = whole(&self.file, &self.dataset, &self.key, total)? {
                    self.place = Place::Whole(offset);
                }
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
                for (index, stored) in stored_chunks(&self.file, &self.dataset, &self.key, &self.block, &grid)? {
                    table[index] = stored;
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
                _ => failed(&self.file.path, "read", error),
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
        let mut data = vec![0u8; used.iter().product::<usize>() * self.dtype.size()];
        let start: Vec<u64> = start.iter().map(|&n| n as u64).collect();
        let count: Vec<u64> = used.iter().map(|&n| n as u64).collect();
        read_box(&self.file, &self.dataset, &self.key, self.stored, (&start, &count), &mut data)?;
        Ok((used, data))
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
