//! Arrays of numbers: where their bytes lie, and reading them in parallel.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use hdf5_metno::Dataset;
use hdf5_metno::dataset::Layout;
use rayon::prelude::*;
use zensaibo_core::{Ctx, Error, Result};

use super::chunks::{Stored, check_filters, outside, read_box, stored_chunks, whole};
use super::filters::decode;
use super::{Filter, H5File, TypeKind, kind_of};
use crate::values::{Dtype, Element, Values, convert};

/// Bytes that one task of a parallel read aims at.
const TASK_BYTES: usize = 1 << 20;

/// Where the bytes are.
enum Place {
    /// In one piece, from an offset.
    Whole(u64),
    /// In chunks of so many rows and columns; the table goes row of chunks by row of chunks.
    Chunks { rows: usize, columns: usize, across: usize, table: Vec<Stored>, filters: Vec<Filter> },
    /// Wherever the library finds them.
    Library,
}

/// An array of numbers in a file: rows by the first dimension, whatever follows is one row.
pub(crate) struct NumberArray {
    pub(crate) file: H5File,
    pub(crate) key: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: Dtype,
    dataset: Dataset,
    bytes: Arc<fs::File>,
    place: Place,
    row_len: usize,
}

/// Buffers of a read, to be used again.
#[derive(Default)]
pub(crate) struct Buffers {
    data: Vec<u8>,
    spare: Vec<u8>,
    rows: Vec<u8>,
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
        let bytes = file.bytes.clone();
        Ok(Self { file: file.clone(), key: key.to_string(), shape, dtype, dataset, bytes, place, row_len })
    }

    /// Rows (the first dimension; 1 for a scalar).
    pub(crate) fn n_rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers in all.
    pub(crate) fn len(&self) -> usize {
        self.n_rows() * self.row_len
    }

    fn fault(&self, found: impl ToString) -> Error {
        self.file.fault(&self.key, "readable data", found)
    }

    fn pread(&self, out: &mut [u8], offset: u64) -> Result<()> {
        self.bytes.read_exact_at(out, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.fault("the end of the file"),
            _ => Error::io(&self.file.path, "read", error),
        })
    }

    /// Reads the bytes of some rows, as the machine computes with them.
    fn read_bytes(&self, rows: Range<usize>, out: &mut [u8], data: &mut Vec<u8>, spare: &mut Vec<u8>) -> Result<()> {
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
                for band in rows.start / high..rows.end.div_ceil(high) {
                    let from = rows.start.max(band * high);
                    let to = rows.end.min((band + 1) * high);
                    for column in 0..*across {
                        let stored = table[band * across + column];
                        let first = column * wide;
                        let used = wide.min(self.row_len - first);
                        if filters.is_empty() && used == self.row_len && wide == self.row_len {
                            let target = &mut out[(from - rows.start) * width..(to - rows.start) * width];
                            self.pread(target, stored.address + ((from - band * high) * width) as u64)?;
                            continue;
                        }
                        data.resize(stored.size as usize, 0);
                        self.pread(data, stored.address)?;
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

    fn read_by_library(&self, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        let mut start: Vec<u64> = self.shape.iter().map(|_| 0).collect();
        let mut count: Vec<u64> = self.shape.iter().map(|&n| n as u64).collect();
        if let (Some(first), Some(n)) = (start.first_mut(), count.first_mut()) {
            *first = rows.start as u64;
            *n = rows.len() as u64;
        }
        read_box(&self.file, &self.dataset, &self.key, self.dtype, (&start, &count), out)
    }

    /// Reads some rows into `out`, converted to its type. Exact or refused for whole numbers.
    pub(crate) fn read_into<T: Element>(&self, rows: Range<usize>, out: &mut [T], buffers: &mut Buffers) -> Result<()> {
        let Buffers { data, spare, rows: scratch } = buffers;
        if self.dtype == T::DTYPE {
            return self.read_bytes(rows, bytemuck::cast_slice_mut(out), data, spare);
        }
        let bytes = out.len() * self.dtype.size();
        scratch.resize(bytes, 0);
        let first = rows.start * self.row_len;
        self.read_bytes(rows, &mut scratch[..bytes], data, spare)?;
        convert(self.dtype, &scratch[..bytes], out).map_err(|at| {
            let value = &scratch[at * self.dtype.size()..(at + 1) * self.dtype.size()];
            let value = super::attribute::values_from_bytes(self.dtype, value).to_f64()[0];
            let found = format!("{value} at position {}", first + at);
            self.file.fault(&self.key, format!("whole numbers that fit {}", T::DTYPE.name()), found)
        })
    }

    /// Reads column numbers below `limit`. The common 32-bit types are read in place.
    pub(crate) fn read_columns(
        &self,
        rows: Range<usize>,
        limit: usize,
        out: &mut [u32],
        buffers: &mut Buffers,
    ) -> Result<()> {
        let first = rows.start;
        if matches!(self.dtype, Dtype::I32 | Dtype::U32) {
            self.read_bytes(rows, bytemuck::cast_slice_mut(out), &mut buffers.data, &mut buffers.spare)?;
        } else {
            self.read_into(rows, out, buffers)?;
        }
        // Negative 32-bit numbers show as numbers above 2^31.
        let limit = if self.dtype == Dtype::I32 { limit.min(1 << 31) } else { limit };
        let largest = out.iter().fold(0u32, |all, &x| all.max(x));
        if !out.is_empty() && largest as usize >= limit {
            let at = out.iter().position(|&x| x as usize >= limit).unwrap_or(0);
            let value = if self.dtype == Dtype::I32 { i64::from(out[at] as i32) } else { i64::from(out[at]) };
            let found = format!("{value} at position {}", first + at);
            return Err(self.file.fault(&self.key, format!("numbers in 0..{limit}"), found));
        }
        Ok(())
    }

    /// Reads all column numbers in parallel; `look` sees each piece while it is still in the cache.
    pub(crate) fn read_all_columns(
        &self,
        limit: usize,
        ctx: &Ctx,
        look: impl Fn(usize, &[u32]) + Sync,
    ) -> Result<Vec<u32>> {
        let mut out: Vec<u32> = zeroed(self.len(), &self.file, &self.key)?;
        self.in_pieces(0..self.len(), &mut out, ctx, |buffers, rows, piece| {
            let first = rows.start;
            self.read_columns(rows, limit, piece, buffers)?;
            look(first, piece);
            Ok(())
        })?;
        Ok(out)
    }

    /// Rows per task of a parallel read, in whole chunks.
    pub(crate) fn task_rows(&self) -> usize {
        let width = (self.row_len * self.dtype.size()).max(1);
        let step = if let Place::Chunks { rows, .. } = &self.place { *rows } else { 1 };
        (TASK_BYTES / width).div_ceil(step).max(1) * step
    }

    /// Numbers per task of a parallel read of the whole.
    pub(crate) fn task_len(&self) -> usize {
        self.task_rows() * self.row_len
    }

    /// Reads the whole array in parallel on the current pool, converted.
    pub(crate) fn read_all<T: Element>(&self, ctx: &Ctx) -> Result<Vec<T>> {
        let mut out: Vec<T> = zeroed(self.len(), &self.file, &self.key)?;
        self.read_rows_into(0..self.n_rows(), &mut out, ctx)?;
        Ok(out)
    }

    /// Reads some rows in parallel into memory that the caller has.
    pub(crate) fn read_rows_into<T: Element>(&self, rows: Range<usize>, out: &mut [T], ctx: &Ctx) -> Result<()> {
        self.in_pieces(rows, out, ctx, |buffers, rows, piece| self.read_into(rows, piece, buffers))
    }

    /// Cuts `out`, which holds `rows`, at chunk borders and runs `one` on the pieces in parallel.
    fn in_pieces<T: Send>(
        &self,
        rows: Range<usize>,
        out: &mut [T],
        ctx: &Ctx,
        one: impl Fn(&mut Buffers, Range<usize>, &mut [T]) -> Result<()> + Sync,
    ) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let step = self.task_rows();
        // Pieces begin at chunk borders; the first may be shorter.
        let head = (step - rows.start % step).min(rows.len());
        let (first, rest) = out.split_at_mut(head * self.row_len);
        let mut tasks = vec![(rows.start, first)];
        let second = rows.start + head;
        tasks.extend(rest.chunks_mut(step * self.row_len).enumerate().map(|(i, piece)| (second + i * step, piece)));
        let run = |buffers: &mut Buffers, (from, piece): (usize, &mut [T])| {
            ctx.check()?;
            one(buffers, from..from + piece.len() / self.row_len, piece)
        };
        if matches!(self.place, Place::Library) {
            let mut buffers = Buffers::default();
            return tasks.into_iter().try_for_each(|task| run(&mut buffers, task));
        }
        let outcomes: Vec<Result<()>> = tasks.into_par_iter().map_init(Buffers::default, run).collect();
        outcomes.into_iter().collect()
    }

    /// Reads the whole array in its own type, in parallel.
    pub(crate) fn read_values(&self, ctx: &Ctx) -> Result<Values> {
        self.read_values_rows(0..self.n_rows(), ctx)
    }

    /// Reads some rows in their own type, in parallel.
    pub(crate) fn read_values_rows(&self, rows: Range<usize>, ctx: &Ctx) -> Result<Values> {
        fn read<T: bytemuck::Pod + Send + Sync>(array: &NumberArray, rows: Range<usize>, ctx: &Ctx) -> Result<Vec<T>> {
            let mut out: Vec<T> = zeroed(rows.len() * array.row_len, &array.file, &array.key)?;
            array.in_pieces(rows, &mut out, ctx, |buffers, rows, piece| {
                array.read_bytes(rows, bytemuck::cast_slice_mut(piece), &mut buffers.data, &mut buffers.spare)
            })?;
            Ok(out)
        }
        Ok(match self.dtype {
            Dtype::I8 => Values::I8(read(self, rows, ctx)?),
            Dtype::I16 => Values::I16(read(self, rows, ctx)?),
            Dtype::I32 => Values::I32(read(self, rows, ctx)?),
            Dtype::I64 => Values::I64(read(self, rows, ctx)?),
            Dtype::U8 => Values::U8(read(self, rows, ctx)?),
            Dtype::U16 => Values::U16(read(self, rows, ctx)?),
            Dtype::U32 => Values::U32(read(self, rows, ctx)?),
            Dtype::U64 => Values::U64(read(self, rows, ctx)?),
            Dtype::F16 => Values::F16(read(self, rows, ctx)?),
            Dtype::F32 => Values::F32(read(self, rows, ctx)?),
            Dtype::F64 => Values::F64(read(self, rows, ctx)?),
            Dtype::Bool => Values::Bool(read(self, rows, ctx)?),
        })
    }

    /// Reads some rows in their own type on this thread.
    pub(crate) fn read_some(&self, rows: Range<usize>, buffers: &mut Buffers) -> Result<Values> {
        fn read<T: bytemuck::Pod>(array: &NumberArray, rows: Range<usize>, buffers: &mut Buffers) -> Result<Vec<T>> {
            let mut out: Vec<T> = zeroed(rows.len() * array.row_len, &array.file, &array.key)?;
            array.read_bytes(rows, bytemuck::cast_slice_mut(&mut out), &mut buffers.data, &mut buffers.spare)?;
            Ok(out)
        }
        Ok(match self.dtype {
            Dtype::I8 => Values::I8(read(self, rows, buffers)?),
            Dtype::I16 => Values::I16(read(self, rows, buffers)?),
            Dtype::I32 => Values::I32(read(self, rows, buffers)?),
            Dtype::I64 => Values::I64(read(self, rows, buffers)?),
            Dtype::U8 => Values::U8(read(self, rows, buffers)?),
            Dtype::U16 => Values::U16(read(self, rows, buffers)?),
            Dtype::U32 => Values::U32(read(self, rows, buffers)?),
            Dtype::U64 => Values::U64(read(self, rows, buffers)?),
            Dtype::F16 => Values::F16(read(self, rows, buffers)?),
            Dtype::F32 => Values::F32(read(self, rows, buffers)?),
            Dtype::F64 => Values::F64(read(self, rows, buffers)?),
            Dtype::Bool => Values::Bool(read(self, rows, buffers)?),
        })
    }

    /// Reads the whole array in its own whole-number type, checking that all lie in `0..limit`.
    pub(crate) fn read_checked(&self, limit: usize, ctx: &Ctx) -> Result<Values> {
        if self.dtype == Dtype::I32 {
            let columns = self.read_all_columns(limit, ctx, |_, _| ())?;
            // All below 2^31, so the bits are those of the signed type, which has the same size and alignment.
            let mut columns = std::mem::ManuallyDrop::new(columns);
            let signed =
                unsafe { Vec::from_raw_parts(columns.as_mut_ptr().cast::<i32>(), columns.len(), columns.capacity()) };
            return Ok(Values::I32(signed));
        }
        let values = self.read_values(ctx)?;
        let bad = match &values {
            Values::I64(v) => {
                v.iter().position(|&x| x < 0 || x as u64 >= limit as u64).map(|at| (at, v[at].to_string()))
            }
            other => other
                .to_i64()
                .unwrap_or_default()
                .iter()
                .position(|&x| x < 0 || x as u64 >= limit as u64)
                .map(|at| (at, format!("{}", other.to_f64()[at]))),
        };
        match bad {
            None => Ok(values),
            Some((at, value)) => {
                Err(self.file.fault(&self.key, format!("numbers in 0..{limit}"), format!("{value} at position {at}")))
            }
        }
    }

    /// The names of the compression steps, for reports.
    pub(crate) fn filter_names(&self) -> Vec<String> {
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

/// A vector of `n` zeros, or an error when memory does not suffice. Large ones come from the system as fresh
/// pages, so the zeros cost nothing until they are overwritten.
pub(crate) fn zeroed<T: bytemuck::Pod>(n: usize, file: &H5File, key: &str) -> Result<Vec<T>> {
    let refused = || Error::Limit {
        what: format!("{}: {key}", file.path.display()),
        needed: format!("{n} numbers of {} bytes", size_of::<T>()),
        limit: "the memory of this machine".into(),
    };
    let layout = std::alloc::Layout::array::<T>(n).map_err(|_| refused())?;
    if layout.size() == 0 {
        return Ok(Vec::new());
    }
    // Zero bytes are a valid value of every `Pod` type, and the layout is that of a vector of capacity `n`.
    let out = unsafe {
        let start = std::alloc::alloc_zeroed(layout);
        if start.is_null() {
            return Err(refused());
        }
        huge_pages(start, layout.size());
        Vec::from_raw_parts(start.cast::<T>(), n, n)
    };
    Ok(out)
}

/// Asks for large pages under a fresh allocation: filling it then costs few page faults.
fn huge_pages(start: *mut u8, bytes: usize) {
    const PAGE: usize = 1 << 21;
    if bytes < 4 * PAGE {
        return;
    }
    let from = (start as usize).next_multiple_of(PAGE);
    let to = (start as usize + bytes) / PAGE * PAGE;
    if to > from {
        // Advice only: a refusal changes nothing.
        unsafe { libc::madvise(from as *mut libc::c_void, to - from, libc::MADV_HUGEPAGE) };
    }
}
