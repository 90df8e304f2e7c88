//! Arrays of numbers in HDF5 files: where their bytes lie.

use std::ops::Range;
use std::sync::Arc;

use hdf5_metno::Dataset;
use hdf5_metno::dataset::Layout;
use zensaibo_core::{Error, Result};

use super::chunks::{Stored, check_filters, outside, read_box, stored_chunks, whole};
use super::filters::decode;
use super::{Filter, H5File, TypeKind, kind_of};
use crate::numbers::{NumberArray, StoredBytes};
use crate::place::{Bytes, failed};
use crate::values::Dtype;

/// Where the bytes are.
enum Place {
    /// In one piece, from an offset.
    Whole(u64),
    /// In chunks of so many rows and columns; the table goes row of chunks by row of chunks.
    Chunks { rows: usize, columns: usize, across: usize, table: Vec<Stored>, filters: Vec<Filter> },
    /// Wherever the library finds them.
    Library,
}

/// An array of numbers in an HDF5 file.
struct H5Bytes {
    file: H5File,
    key: String,
    shape: Vec<usize>,
    dtype: Dtype,
    dataset: Dataset,
    bytes: Arc<Bytes>,
    place: Place,
    row_len: usize,
}

impl NumberArray {
    /// Opens the data set at `key`.
    pub(crate) fn open(file: &H5File, key: &str) -> Result<Self> {
        let dataset = file.dataset(key)?;
        let broken = |error: hdf5_metno::Error| file.broken(key, &error);
        let kind = kind_of(dataset.dtype().map_err(broken)?.id());
        let TypeKind::Number { dtype, native } = kind else {
            return Err(file.fault(key, "numbers", kind.describe()));
        };
        let shape = dataset.get_shape().map_err(broken)?;
        let too_large = || file.fault(key, "a shape that can be held", format!("{shape:?}"));
        let row_len = shape.iter().skip(1).try_fold(1usize, |all, &n| all.checked_mul(n)).ok_or_else(too_large)?;
        let total = shape.first().copied().unwrap_or(1).checked_mul(row_len).and_then(|n| n.checked_mul(dtype.size()));
        let total = total.filter(|&n| n <= isize::MAX as usize).ok_or_else(too_large)?;
        let place = if native && file.plain && shape.len() <= 2 && total > 0 {
            place(file, &dataset, key, &shape, dtype, total)?
        } else {
            Place::Library
        };
        if matches!(place, Place::Library) {
            check_filters(file, &dataset, key)?;
            // Chunks that were never written cost nothing in the file; beyond reason they are damage.
            if total as u64 > (file.len.saturating_mul(1100)).max(1 << 30) {
                let found = format!("{total} bytes claimed in a file of {} bytes", file.len);
                return Err(file.fault(key, "a shape that the file can hold", found));
            }
        }
        let stored = H5Bytes {
            file: file.clone(),
            key: key.to_string(),
            shape: shape.clone(),
            dtype,
            dataset,
            bytes: file.bytes.clone(),
            place,
            row_len,
        };
        Self::new(file.path.clone(), key.to_string(), shape, dtype, Arc::new(stored))
    }
}

impl H5Bytes {
    fn fault(&self, found: impl ToString) -> Error {
        self.file.fault(&self.key, "readable data", found)
    }

    fn pread(&self, out: &mut [u8], offset: u64) -> Result<()> {
        self.bytes.read_exact_at(out, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.fault("the end of the file"),
            _ => failed(&self.file.path, "read", error),
        })
    }

    fn read_by_library(&self, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        let mut start: Vec<u64> = self.shape.iter().map(|_| 0).collect();
        let mut count: Vec<u64> = self.shape.iter().map(|&n| n as u64).collect();
        if let (Some(first), Some(n)) = (start.first_mut(), count.first_mut()) {
            *first = rows.start as u64;
            *n = rows.len() as u64;
        }
        read_box(&self.file, &self.dataset, &self.key, self.dtype, (&start, &count), out)
    }
}

impl StoredBytes for H5Bytes {
    fn read(&self, rows: Range<usize>, out: &mut [u8], data: &mut Vec<u8>, spare: &mut Vec<u8>) -> Result<()> {
        let width = self.row_len * self.dtype.size();
        debug_assert_eq!(out.len(), rows.len() * width);
        if out.is_empty() {
            return Ok(());
        }
        match &self.place {
            Place::Whole(offset) => self.pread(out, offset + (rows.start * width) as u64),
            Place::Library => self.read_by_library(rows, out),
            Place::Chunks { rows: high, columns: wide, across, table, filters } => {
                let size = self.dtype.size();
                let (high, wide) = (*high, *wide);
                let bands = rows.start / high..rows.end.div_ceil(high);
                let needed = &table[bands.start * across..bands.end * across];
                let places: Vec<(u64, u64)> = needed.iter().map(|stored| (stored.address, stored.size)).collect();
                let together = self.bytes.together(&places)?;
                for band in bands.clone() {
                    let from = rows.start.max(band * high);
                    let to = rows.end.min((band + 1) * high);
                    for column in 0..*across {
                        let stored = table[band * across + column];
                        let at_once = together.as_ref().map(|all| &all[(band - bands.start) * across + column]);
                        let first = column * wide;
                        let used = wide.min(self.row_len - first);
                        if at_once.is_none() && filters.is_empty() && used == self.row_len && wide == self.row_len {
                            let target = &mut out[(from - rows.start) * width..(to - rows.start) * width];
                            self.pread(target, stored.address + ((from - band * high) * width) as u64)?;
                            continue;
                        }
                        match at_once {
                            Some(chunk) => {
                                data.clear();
                                data.extend_from_slice(chunk);
                            }
                            None => {
                                data.resize(stored.size as usize, 0);
                                self.pread(data, stored.address)?;
                            }
                        }
                        decode(filters, stored.mask, data, spare, high * wide * size)
                            .map_err(|found| self.fault(found))?;
                        for row in from..to {
                            let source = ((row - band * high) * wide) * size;
                            let target = (row - rows.start) * width + first * size;
                            out[target..target + used * size].copy_from_slice(&data[source..source + used * size]);
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn step(&self) -> usize {
        if let Place::Chunks { rows, .. } = &self.place { *rows } else { 1 }
    }

    fn is_parallel(&self) -> bool {
        !matches!(self.place, Place::Library)
    }

    fn filters(&self) -> Vec<String> {
        Filter::of(&self.dataset).unwrap_or_default().into_iter().map(Filter::name).collect()
    }
}

/// Finds out where the bytes of a plain array lie, and checks that they lie inside the file.
fn place(file: &H5File, dataset: &Dataset, key: &str, shape: &[usize], dtype: Dtype, total: usize) -> Result<Place> {
    match dataset.layout() {
        Layout::Contiguous => Ok(whole(file, dataset, key, total)?.map_or(Place::Library, Place::Whole)),
        Layout::Chunked => {
            let Some(filters) = Filter::of(dataset) else { return Ok(Place::Library) };
            if filters.iter().any(|filter| matches!(filter, Filter::Unknown(_))) {
                return Ok(Place::Library);
            }
            let Some(chunk) = dataset.chunk().filter(|chunk| chunk.len() == shape.len()) else {
                return Ok(Place::Library);
            };
            let n_rows = shape[0];
            let n_columns = shape.get(1).copied().unwrap_or(1);
            let (rows, columns) = (chunk[0], chunk.get(1).copied().unwrap_or(1));
            if rows == 0 || columns == 0 {
                return Ok(Place::Library);
            }
            let (down, across) = (n_rows.div_ceil(rows), n_columns.div_ceil(columns));
            let plain = rows.checked_mul(columns).and_then(|n| n.checked_mul(dtype.size()));
            let (Some(plain), Some(wanted)) = (plain, down.checked_mul(across)) else { return Ok(Place::Library) };
            if plain > u32::MAX as usize {
                return Ok(Place::Library);
            }
            let grid = [down, across];
            let found = stored_chunks(file, dataset, key, &chunk, &grid[..shape.len()])?;
            if filters.is_empty() && found.iter().any(|(_, stored)| stored.size != plain as u64) {
                return Err(outside(file, key));
            }
            // Chunks that were never written hold the fill value: the library knows it.
            if found.len() != wanted || found.iter().enumerate().any(|(at, &(index, _))| at != index) {
                return Ok(Place::Library);
            }
            let table = found.into_iter().map(|(_, stored)| stored).collect();
            Ok(Place::Chunks { rows, columns, across, table, filters })
        }
        _ => Ok(Place::Library),
    }
}
