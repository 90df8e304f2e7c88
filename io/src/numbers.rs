//! Arrays of numbers in files: their rows read in parallel and converted, wherever their bytes lie.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use zensaibo_core::{Ctx, Error, Result};

use crate::values::{Dtype, Element, Values, convert};

/// Bytes that one task of a parallel read aims at.
const TASK_BYTES: usize = 1 << 20;

/// Where the bytes of an array are.
pub(crate) trait StoredBytes: Send + Sync {
    /// Reads the bytes of some rows, as the machine computes with them, into `out`, which is as long as they are. `data` and
    /// `spare` are buffers that may be used.
    ///
    /// # Errors
    /// Whatever reading can meet: a truncated file, a chunk that cannot be decoded.
    fn read(&self, rows: Range<usize>, out: &mut [u8], data: &mut Vec<u8>, spare: &mut Vec<u8>) -> Result<()>;

    /// Rows that lie together and are best read together.
    fn step(&self) -> usize;

    /// Whether several threads read faster than one.
    fn is_parallel(&self) -> bool;

    /// Names of the compression steps, for reports.
    fn filters(&self) -> Vec<String>;
}

/// An array of numbers in a file: rows by the first dimension, whatever follows is one row.
#[derive(Clone)]
pub(crate) struct NumberArray {
    /// The file, or the folder of a store.
    pub(crate) path: PathBuf,
    pub(crate) key: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: Dtype,
    stored: Arc<dyn StoredBytes>,
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
    /// An array of this shape whose bytes are there.
    ///
    /// # Errors
    /// [`Error::Format`] for a shape that cannot be held.
    pub(crate) fn new(
        path: PathBuf,
        key: String,
        shape: Vec<usize>,
        dtype: Dtype,
        stored: Arc<dyn StoredBytes>,
    ) -> Result<Self> {
        let row_len = shape.iter().skip(1).try_fold(1usize, |all, &n| all.checked_mul(n));
        match row_len {
            Some(row_len) => Ok(Self { path, key, shape, dtype, stored, row_len }),
            None => Err(Error::format(path, key, "a shape that can be held", format!("{shape:?}"))),
        }
    }

    /// A format error at the array.
    pub(crate) fn refused(&self, expected: impl Into<String>, found: impl ToString) -> Error {
        Error::format(&self.path, &self.key, expected, found)
    }

    /// Rows (the first dimension; 1 for a scalar).
    pub(crate) fn n_rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The names of the compression steps, for reports.
    pub(crate) fn filter_names(&self) -> Vec<String> {
        self.stored.filters()
    }

    /// Numbers in all.
    pub(crate) fn len(&self) -> usize {
        self.n_rows() * self.row_len
    }

    /// Reads some rows into `out`, converted to its type. Exact or refused for whole numbers.
    pub(crate) fn read_into<T: Element>(&self, rows: Range<usize>, out: &mut [T], buffers: &mut Buffers) -> Result<()> {
        let Buffers { data, spare, rows: scratch } = buffers;
        if self.dtype == T::DTYPE {
            return self.stored.read(rows, bytemuck::cast_slice_mut(out), data, spare);
        }
        let bytes = out.len() * self.dtype.size();
        scratch.resize(bytes, 0);
        let first = rows.start * self.row_len;
        self.stored.read(rows, &mut scratch[..bytes], data, spare)?;
        convert(self.dtype, &scratch[..bytes], out).map_err(|at| {
            let value = &scratch[at * self.dtype.size()..(at + 1) * self.dtype.size()];
            let value = crate::h5::values_from_bytes(self.dtype, value).to_f64()[0];
            let found = format!("{value} at position {}", first + at);
            self.refused(format!("whole numbers that fit {}", T::DTYPE.name()), found)
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
            self.stored.read(rows, bytemuck::cast_slice_mut(out), &mut buffers.data, &mut buffers.spare)?;
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
            return Err(self.refused(format!("numbers in 0..{limit}"), found));
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
        let mut out: Vec<u32> = zeroed(self.len(), &self.path, &self.key)?;
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
        let step = self.stored.step();
        (TASK_BYTES / width).div_ceil(step).max(1) * step
    }

    /// Numbers per task of a parallel read of the whole.
    pub(crate) fn task_len(&self) -> usize {
        self.task_rows() * self.row_len
    }

    /// Reads the whole array in parallel on the current pool, converted.
    pub(crate) fn read_all<T: Element>(&self, ctx: &Ctx) -> Result<Vec<T>> {
        let mut out: Vec<T> = zeroed(self.len(), &self.path, &self.key)?;
        self.read_rows_into(0..self.n_rows(), &mut out, ctx)?;
        Ok(out)
    }

    /// Reads some column numbers below `limit` in parallel into memory that the caller has.
    pub(crate) fn read_columns_into(&self, rows: Range<usize>, limit: usize, out: &mut [u32], ctx: &Ctx) -> Result<()> {
        self.in_pieces(rows, out, ctx, |buffers, rows, piece| self.read_columns(rows, limit, piece, buffers))
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
        if !self.stored.is_parallel() {
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
            let mut out: Vec<T> = zeroed(rows.len() * array.row_len, &array.path, &array.key)?;
            array.in_pieces(rows, &mut out, ctx, |buffers, rows, piece| {
                array.stored.read(rows, bytemuck::cast_slice_mut(piece), &mut buffers.data, &mut buffers.spare)
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
            let mut out: Vec<T> = zeroed(rows.len() * array.row_len, &array.path, &array.key)?;
            array.stored.read(rows, bytemuck::cast_slice_mut(&mut out), &mut buffers.data, &mut buffers.spare)?;
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
                Err(self.refused(format!("numbers in 0..{limit}"), format!("{value} at position {at}")))
            }
        }
    }
}

/// A vector of `n` zeros, or an error when memory does not suffice. Large ones come from the system as fresh
/// pages, so the zeros cost nothing until they are overwritten.
pub(crate) fn zeroed<T: bytemuck::Pod>(n: usize, path: &Path, key: &str) -> Result<Vec<T>> {
    let refused = || Error::Limit {
        what: format!("{}: {key}", path.display()),
        needed: format!("{n} numbers of {} bytes", size_of::<T>()),
        limit: "the memory of this machine".into(),
    };
    zensaibo_core::memory::try_small_pages(n).ok_or_else(refused)
}
