//! Writing: data sets, attributes, and arrays streamed chunk by chunk.

use std::cell::RefCell;
use std::ffi::{CString, c_void};

use hdf5_metno::{Dataset, Group, Location, from_id};
use hdf5_metno_sys::h5a::{H5Aclose, H5Acreate2, H5Adelete, H5Aexists, H5Awrite};
use hdf5_metno_sys::h5d::{H5D_fill_time_t, H5Dcreate2, H5Dset_extent, H5Dwrite, H5Dwrite_chunk};
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::h5p::*;
use hdf5_metno_sys::h5s::{H5S_ALL, H5S_UNLIMITED, H5S_class_t, H5Sclose, H5Screate, H5Screate_simple};
use hdf5_metno_sys::h5t::*;
use rayon::prelude::*;

use super::{locked, shuffle};
use crate::values::{Dtype, Values};

/// Why something could not be written; the writer adds file and key.
pub(crate) type Outcome<T> = std::result::Result<T, String>;

const REFUSED: &str = "the HDF5 library refused (is the disk full?)";

/// Bytes per chunk of a streamed array.
const CHUNK_BYTES: usize = 1 << 18;

/// Chunks that are compressed at a time.
const WAVE: usize = 64;

fn name_of(name: &str) -> Outcome<CString> {
    CString::new(name).map_err(|_| format!("the name {name:?} holds a zero byte"))
}

/// The type in the file. Call under the lock; close it.
unsafe fn file_type(dtype: Dtype) -> hid_t {
    unsafe {
        match dtype {
            Dtype::Bool => {
                let id = H5Tenum_create(*H5T_NATIVE_INT8);
                let (no, yes) = (0i8, 1i8);
                H5Tenum_insert(id, c"FALSE".as_ptr(), (&raw const no).cast());
                H5Tenum_insert(id, c"TRUE".as_ptr(), (&raw const yes).cast());
                id
            }
            Dtype::F16 => {
                let id = H5Tcopy(*H5T_IEEE_F32LE);
                H5Tset_fields(id, 15, 10, 5, 0, 10);
                H5Tset_precision(id, 16);
                H5Tset_size(id, 2);
                H5Tset_ebias(id, 15);
                id
            }
            other => H5Tcopy(super::memory_type(other).unwrap_or(-1)),
        }
    }
}

/// The type of strings of any length in UTF-8. Call under the lock; close it.
unsafe fn text_type() -> hid_t {
    unsafe {
        let id = H5Tcopy(*H5T_C_S1);
        H5Tset_size(id, H5T_VARIABLE);
        H5Tset_cset(id, H5T_cset_t::H5T_CSET_UTF8);
        id
    }
}

/// A space of this shape; no dimensions make a scalar. Call under the lock; close it.
unsafe fn space(shape: &[u64], unlimited: bool) -> hid_t {
    unsafe {
        if shape.is_empty() {
            return H5Screate(H5S_class_t::H5S_SCALAR);
        }
        let mut most = shape.to_vec();
        if unlimited {
            most[0] = H5S_UNLIMITED;
        }
        H5Screate_simple(shape.len() as i32, shape.as_ptr(), most.as_ptr())
    }
}

fn pointers<S: AsRef<str>>(texts: &[S]) -> Outcome<(Vec<CString>, Vec<*const c_void>)> {
    let owned = texts.iter().map(|text| name_of(text.as_ref())).collect::<Outcome<Vec<CString>>>()?;
    let pointers = owned.iter().map(|text| text.as_ptr().cast()).collect();
    Ok((owned, pointers))
}

/// Creates an attribute (replacing one of that name) and writes it.
fn put_attr(
    location: &Location,
    name: &str,
    make: unsafe fn(Dtype) -> hid_t,
    dtype: Dtype,
    shape: &[u64],
    data: *const c_void,
) -> Outcome<()> {
    let name = name_of(name)?;
    let done = locked(|| unsafe {
        if H5Aexists(location.id(), name.as_ptr()) > 0 {
            H5Adelete(location.id(), name.as_ptr());
        }
        let kind = make(dtype);
        let space = space(shape, false);
        let id = H5Acreate2(location.id(), name.as_ptr(), kind, space, H5P_DEFAULT, H5P_DEFAULT);
        let empty = shape.iter().product::<u64>() == 0;
        let done = id >= 0 && (empty || H5Awrite(id, kind, data) >= 0);
        if id >= 0 {
            H5Aclose(id);
        }
        H5Sclose(space);
        H5Tclose(kind);
        done
    });
    if done { Ok(()) } else { Err(REFUSED.into()) }
}

unsafe fn text_of_any(_: Dtype) -> hid_t {
    unsafe { text_type() }
}

/// Writes a string attribute.
pub(crate) fn put_text_attr(location: &Location, name: &str, text: &str) -> Outcome<()> {
    let text = name_of(text)?;
    let pointer = text.as_ptr();
    put_attr(location, name, text_of_any, Dtype::U8, &[], (&raw const pointer).cast())
}

/// Writes an attribute of several strings.
pub(crate) fn put_texts_attr<S: AsRef<str>>(location: &Location, name: &str, texts: &[S]) -> Outcome<()> {
    let (_owned, pointers) = pointers(texts)?;
    put_attr(location, name, text_of_any, Dtype::U8, &[texts.len() as u64], pointers.as_ptr().cast())
}

/// Writes an attribute of numbers; `shape` empty for one.
pub(crate) fn put_numbers_attr(location: &Location, name: &str, values: &Values, shape: &[u64]) -> Outcome<()> {
    put_attr(location, name, file_type, values.dtype(), shape, values.bytes().as_ptr().cast())
}

/// Marks an element with its encoding.
pub(crate) fn put_encoding(location: &Location, kind: &str, version: &str) -> Outcome<()> {
    put_text_attr(location, "encoding-type", kind)?;
    put_text_attr(location, "encoding-version", version)
}

/// Creates a data set. `chunk` asks for chunks; `gzip` for shuffle and gzip on them.
fn create(
    group: &Group,
    name: &str,
    make: impl FnOnce() -> hid_t,
    shape: &[u64],
    chunk: Option<&[u64]>,
    gzip: Option<u8>,
) -> Outcome<Dataset> {
    let name = name_of(name)?;
    locked(|| unsafe {
        let kind = make();
        let space = space(shape, chunk.is_some());
        let plist = H5Pcreate(*H5P_CLS_DATASET_CREATE);
        H5Pset_fill_time(plist, H5D_fill_time_t::H5D_FILL_TIME_IFSET);
        H5Pset_obj_track_times(plist, 0);
        if let Some(chunk) = chunk {
            H5Pset_chunk(plist, chunk.len() as i32, chunk.as_ptr());
            if let Some(level) = gzip {
                H5Pset_shuffle(plist);
                H5Pset_deflate(plist, u32::from(level));
            }
        }
        let id = H5Dcreate2(group.id(), name.as_ptr(), kind, space, H5P_DEFAULT, plist, H5P_DEFAULT);
        H5Pclose(plist);
        H5Sclose(space);
        H5Tclose(kind);
        if id < 0 {
            return Err(REFUSED.to_string());
        }
        from_id::<Dataset>(id).map_err(|error| error.to_string())
    })
}

/// Writes strings; `shape` empty for one string.
pub(crate) fn put_texts<S: AsRef<str>>(group: &Group, name: &str, shape: &[u64], texts: &[S]) -> Outcome<Dataset> {
    let (_owned, pointers) = pointers(texts)?;
    let dataset = create(group, name, || unsafe { text_type() }, shape, None, None)?;
    let done = pointers.is_empty()
        || locked(|| unsafe {
            let kind = text_type();
            let done = H5Dwrite(dataset.id(), kind, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.as_ptr().cast()) >= 0;
            H5Tclose(kind);
            done
        });
    if done { Ok(dataset) } else { Err(REFUSED.into()) }
}

/// Writes numbers whole; `shape` empty for one. Compressed where that is asked for and they are many.
pub(crate) fn put_numbers(
    group: &Group,
    name: &str,
    shape: &[u64],
    values: &Values,
    gzip: Option<u8>,
) -> Outcome<Dataset> {
    if gzip.is_some() && !shape.is_empty() && values.bytes().len() > 4096 {
        let width = shape[1..].iter().product::<u64>() as usize;
        let mut stream = Stream::new(group, name, values.dtype(), &shape[1..], shape[0], gzip)?;
        stream.push(values.bytes())?;
        debug_assert_eq!(values.len(), shape[0] as usize * width);
        return stream.finish();
    }
    let dtype = values.dtype();
    let dataset = create(group, name, || unsafe { file_type(dtype) }, shape, None, None)?;
    let done = values.is_empty()
        || locked(|| unsafe {
            let kind = file_type(dtype);
            let done = H5Dwrite(dataset.id(), kind, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.bytes().as_ptr().cast()) >= 0;
            H5Tclose(kind);
            done
        });
    if done { Ok(dataset) } else { Err(REFUSED.into()) }
}

/// One field of records to write.
pub(crate) enum FieldData<'a> {
    Numbers(&'a Values),
    Texts(&'a [String]),
}

/// Writes records field by field into one compound data set.
pub(crate) fn put_records(
    group: &Group,
    name: &str,
    count: usize,
    fields: &[(&str, FieldData<'_>)],
) -> Outcome<Dataset> {
    let size = |data: &FieldData<'_>| match data {
        FieldData::Numbers(values) => values.dtype().size(),
        FieldData::Texts(_) => size_of::<*const c_void>(),
    };
    let names = fields.iter().map(|(name, _)| name_of(name)).collect::<Outcome<Vec<CString>>>()?;
    let total: usize = fields.iter().map(|(_, data)| size(data)).sum();
    let mut owned: Vec<Vec<CString>> = Vec::new();
    let mut bytes = vec![0u8; total * count];
    let mut offset = 0;
    for (_, data) in fields {
        let width = size(data);
        let mut put = |row: usize, value: &[u8]| bytes[row * total + offset..][..width].copy_from_slice(value);
        match data {
            FieldData::Numbers(values) => {
                values.bytes().chunks_exact(width).enumerate().for_each(|(row, value)| put(row, value));
            }
            FieldData::Texts(texts) => {
                let (held, pointers) = pointers(texts)?;
                pointers.iter().enumerate().for_each(|(row, pointer)| put(row, &(*pointer as usize).to_ne_bytes()));
                owned.push(held);
            }
        }
        offset += width;
    }
    let make = || unsafe {
        let kind = H5Tcreate(H5T_class_t::H5T_COMPOUND, total.max(1));
        let mut offset = 0;
        for ((_, data), name) in fields.iter().zip(&names) {
            let member = match data {
                FieldData::Numbers(values) => file_type(values.dtype()),
                FieldData::Texts(_) => text_type(),
            };
            H5Tinsert(kind, name.as_ptr(), offset, member);
            H5Tclose(member);
            offset += size(data);
        }
        kind
    };
    let dataset = create(group, name, make, &[count as u64], None, None)?;
    let done = count == 0
        || locked(|| unsafe {
            let kind = make();
            let done = H5Dwrite(dataset.id(), kind, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.as_ptr().cast()) >= 0;
            H5Tclose(kind);
            done
        });
    drop(owned);
    if done { Ok(dataset) } else { Err(REFUSED.into()) }
}

/// Writes the empty element that stands for nothing.
pub(crate) fn put_null(group: &Group, name: &str) -> Outcome<Dataset> {
    let name = name_of(name)?;
    locked(|| unsafe {
        let space = H5Screate(H5S_class_t::H5S_NULL);
        let id = H5Dcreate2(group.id(), name.as_ptr(), *H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Sclose(space);
        if id < 0 { Err(REFUSED.to_string()) } else { from_id::<Dataset>(id).map_err(|error| error.to_string()) }
    })
}

/// An array that grows along its first dimension, written chunk by chunk past the library's cache. Chunks are
/// compressed in parallel on the current pool and written in order.
pub(crate) struct Stream {
    dataset: Dataset,
    /// Length of the dimensions after the first.
    inner: Vec<u64>,
    element: usize,
    row_bytes: usize,
    chunk_rows: usize,
    pending: Vec<u8>,
    /// Rows in chunks written already.
    written: u64,
    gzip: Option<u8>,
}

impl Stream {
    /// `rows` is how many will come at the most.
    pub(crate) fn new(
        group: &Group,
        name: &str,
        dtype: Dtype,
        inner: &[u64],
        rows: u64,
        gzip: Option<u8>,
    ) -> Outcome<Self> {
        let row_bytes = inner.iter().product::<u64>() as usize * dtype.size();
        let chunk_rows = (CHUNK_BYTES / row_bytes.max(1)).clamp(1, (rows as usize).max(1));
        let mut chunk = vec![chunk_rows as u64];
        chunk.extend(inner.iter().map(|&n| n.max(1)));
        let mut shape = vec![rows];
        shape.extend(inner);
        let dataset = create(group, name, || unsafe { file_type(dtype) }, &shape, Some(&chunk), gzip)?;
        let pending = Vec::with_capacity(0);
        Ok(Self {
            dataset,
            inner: inner.to_vec(),
            element: dtype.size(),
            row_bytes,
            chunk_rows,
            pending,
            written: 0,
            gzip,
        })
    }

    /// Appends whole rows.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Outcome<()> {
        let size = self.chunk_rows * self.row_bytes;
        if size == 0 {
            return Ok(());
        }
        while !bytes.is_empty() {
            // Straight from the caller's memory where chunks begin with it.
            if self.pending.is_empty() && bytes.len() >= size {
                let whole = (bytes.len() / size).min(WAVE) * size;
                self.write(&bytes[..whole])?;
                bytes = &bytes[whole..];
                continue;
            }
            let room = size * if self.gzip.is_some() { WAVE } else { 1 } - self.pending.len();
            let taken = room.min(bytes.len());
            self.pending.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if taken == room {
                let pending = std::mem::take(&mut self.pending);
                self.write(&pending)?;
                self.pending = pending;
                self.pending.clear();
            }
        }
        Ok(())
    }

    /// Writes whole chunks.
    fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        let size = self.chunk_rows * self.row_bytes;
        let chunks: Vec<&[u8]> = bytes.chunks_exact(size).collect();
        match self.gzip {
            None => chunks.into_iter().try_for_each(|chunk| self.write_chunk(chunk)),
            Some(level) => {
                let packed: Vec<Outcome<Vec<u8>>> =
                    chunks.par_iter().map(|chunk| deflate(chunk, self.element, level)).collect();
                packed.into_iter().try_for_each(|chunk| self.write_chunk(&chunk?))
            }
        }
    }

    fn write_chunk(&mut self, stored: &[u8]) -> Outcome<()> {
        let mut offset = vec![self.written];
        offset.extend(self.inner.iter().map(|_| 0));
        let id = self.dataset.id();
        let done = locked(|| unsafe {
            H5Dwrite_chunk(id, H5P_DEFAULT, 0, offset.as_ptr(), stored.len(), stored.as_ptr().cast())
        });
        if done < 0 {
            return Err(REFUSED.into());
        }
        self.written += self.chunk_rows as u64;
        Ok(())
    }

    /// Writes what is left and sets the length to what came.
    pub(crate) fn finish(mut self) -> Outcome<Dataset> {
        let size = self.chunk_rows * self.row_bytes;
        let mut rows = self.written;
        if size > 0 {
            let mut pending = std::mem::take(&mut self.pending);
            rows += (pending.len() / self.row_bytes) as u64;
            pending.resize(pending.len().next_multiple_of(size), 0);
            self.write(&pending)?;
            let mut shape = vec![rows];
            shape.extend(&self.inner);
            if locked(|| unsafe { H5Dset_extent(self.dataset.id(), shape.as_ptr()) }) < 0 {
                return Err(REFUSED.into());
            }
        }
        Ok(self.dataset)
    }
}

thread_local! {
    static DEFLATE: RefCell<Option<(u8, libdeflater::Compressor)>> = const { RefCell::new(None) };
}

/// Shuffle, then gzip.
fn deflate(chunk: &[u8], element: usize, level: u8) -> Outcome<Vec<u8>> {
    let mut shuffled = Vec::new();
    shuffle(chunk, element, &mut shuffled);
    DEFLATE.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(held, _)| *held != level) {
            let level_of =
                libdeflater::CompressionLvl::new(i32::from(level)).map_err(|_| "a gzip level outside 1 to 9")?;
            *slot = Some((level, libdeflater::Compressor::new(level_of)));
        }
        let Some((_, compressor)) = slot.as_mut() else { return Err("no compressor".into()) };
        let mut out = vec![0u8; compressor.zlib_compress_bound(shuffled.len())];
        let length = compressor.zlib_compress(&shuffled, &mut out).map_err(|_| "gzip failed")?;
        out.truncate(length);
        Ok(out)
    })
}
