//! The thin layer over HDF5 that every reader here uses.
//!
//! The library serves for structure (groups, attributes, types, chunk tables) under its global lock; the bulk
//! of the bytes is read by `pread` at the chunk addresses and decoded on our own threads, with no lock held.
//! Anything unusual (byte order, layouts, filters that we do not decode) falls back to the library.

mod array;
mod attribute;
mod blocks;
mod chunks;
#[cfg(feature = "remote")]
mod driver;
mod file;
mod filters;
mod output;
mod strings;
mod types;

pub(crate) use attribute::{Attr, read_attr, reference_target, values_from_bytes};
pub(crate) use blocks::{BlockArray, stretch};
pub(crate) use file::{H5File, is_hdf5, listed};
pub(crate) use filters::{Filter, blosc as inflate_blosc, shuffle};
pub(crate) use output::{
    FieldData, Outcome, Stream, put_encoding, put_null, put_numbers, put_numbers_attr, put_records, put_text_attr,
    put_texts, put_texts_attr,
};
pub(crate) use strings::{parse_fixed, read_string_scalar, read_strings, read_variable_field};
pub(crate) use types::{Field, TypeKind, kind_of, memory_type};

/// Runs raw library calls under the library's lock, with its error printing silenced.
pub(crate) fn locked<R>(job: impl FnOnce() -> R) -> R {
    hdf5_metno::sync::sync(job)
}
