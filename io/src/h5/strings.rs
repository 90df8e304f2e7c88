//! Strings, of fixed and of variable length.

use std::ffi::{CStr, c_char};

use hdf5_metno::{Attribute, Dataset};
use hdf5_metno_sys::h5a::H5Aread;
use hdf5_metno_sys::h5d::{H5Dget_type, H5Dread};
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::h5p::H5P_DEFAULT;
use hdf5_metno_sys::h5s::{H5S_ALL, H5Sclose, H5Screate_simple};
use hdf5_metno_sys::h5t::*;
use zensaibo_core::Result;

use super::{H5File, TypeKind, kind_of, locked};

/// One string out of its fixed field, which is padded with spaces or with zeros.
pub(crate) fn parse_fixed(field: &[u8], spaces: bool) -> Option<String> {
    let field = match field.iter().position(|&byte| byte == 0) {
        Some(end) => &field[..end],
        None => field,
    };
    let text = std::str::from_utf8(field).ok()?;
    Some(if spaces { text.trim_end_matches(' ') } else { text }.to_string())
}

/// Copies `count` pointers to C strings into owned strings and hands their memory back to the library.
/// Call under the lock.
unsafe fn take_variable(memory: hid_t, mut pointers: Vec<*mut c_char>) -> Option<Vec<String>> {
    unsafe {
        let texts = pointers
            .iter()
            .map(|&pointer| {
                if pointer.is_null() {
                    return Some(String::new());
                }
                CStr::from_ptr(pointer).to_str().ok().map(str::to_string)
            })
            .collect();
        let length = pointers.len() as u64;
        let space = H5Screate_simple(1, &length, std::ptr::null());
        if space >= 0 {
            H5Treclaim(memory, space, H5P_DEFAULT, pointers.as_mut_ptr().cast());
            H5Sclose(space);
        }
        texts
    }
}

/// A memory type for strings of any length, with the character set of `like`. Call under the lock.
unsafe fn variable_type(like: hid_t) -> hid_t {
    unsafe {
        let memory = H5Tcopy(*H5T_C_S1);
        H5Tset_size(memory, H5T_VARIABLE);
        H5Tset_cset(memory, H5Tget_cset(like));
        memory
    }
}

/// Reads `count` strings through `read(memory type, buffer)`.
fn read_with(
    own: hid_t,
    kind: &TypeKind,
    count: usize,
    read: impl Fn(hid_t, *mut std::ffi::c_void) -> bool,
) -> Option<Vec<String>> {
    match *kind {
        TypeKind::Variable => locked(|| unsafe {
            let mut pointers: Vec<*mut c_char> = Vec::new();
            pointers.try_reserve_exact(count).ok()?;
            pointers.resize(count, std::ptr::null_mut());
            let memory = variable_type(own);
            let texts = if read(memory, pointers.as_mut_ptr().cast()) { take_variable(memory, pointers) } else { None };
            H5Tclose(memory);
            texts
        }),
        TypeKind::Fixed { size, spaces } => {
            let mut bytes: Vec<u8> = Vec::new();
            let total = count.checked_mul(size)?;
            bytes.try_reserve_exact(total).ok()?;
            bytes.resize(total, 0);
            if !locked(|| read(own, bytes.as_mut_ptr().cast())) {
                return None;
            }
            bytes.chunks_exact(size.max(1)).map(|field| parse_fixed(field, spaces)).collect()
        }
        _ => None,
    }
}

pub(super) fn read_attribute_strings(attribute: &Attribute, kind: &TypeKind, count: usize) -> Option<Vec<String>> {
    if count == 0 {
        return Some(Vec::new());
    }
    let own = attribute.dtype().ok()?;
    let id = attribute.id();
    read_with(own.id(), kind, count, |memory, buffer| unsafe { H5Aread(id, memory, buffer) >= 0 })
}

fn read_all(file: &H5File, dataset: &Dataset, key: &str, count: usize) -> Result<Vec<String>> {
    let own = dataset.dtype().map_err(|error| file.broken(key, &error))?;
    let kind = kind_of(own.id());
    if !matches!(kind, TypeKind::Fixed { .. } | TypeKind::Variable) {
        return Err(file.fault(key, "strings", kind.describe()));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    // Each string costs at least a byte in the file, unless nothing was ever written.
    if count as u64 > file.len.saturating_mul(1100) {
        return Err(file.fault(
            key,
            "a length that the file can hold",
            format!("{count} strings in {} bytes", file.len),
        ));
    }
    let id = dataset.id();
    read_with(own.id(), &kind, count, |memory, buffer| unsafe {
        H5Dread(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer) >= 0
    })
    .ok_or_else(|| file.fault(key, "readable UTF-8 strings", "damaged data"))
}

/// Reads a data set of strings of one or more dimensions, in row order.
pub(crate) fn read_strings(file: &H5File, key: &str) -> Result<Vec<String>> {
    let dataset = file.dataset(key)?;
    let shape = dataset.get_shape().map_err(|error| file.broken(key, &error))?;
    let count = shape.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    let count = count.ok_or_else(|| file.fault(key, "a shape that can be held", format!("{shape:?}")))?;
    read_all(file, &dataset, key, count)
}

/// Reads a data set that holds one string.
pub(crate) fn read_string_scalar(file: &H5File, key: &str) -> Result<String> {
    let dataset = file.dataset(key)?;
    let mut all = read_all(file, &dataset, key, 1)?;
    all.pop().ok_or_else(|| file.fault(key, "one string", "none"))
}

/// Reads one field of records as strings of any length.
pub(crate) fn read_variable_field(dataset: &Dataset, name: &CStr, count: usize) -> Option<Vec<String>> {
    locked(|| unsafe {
        let mut pointers: Vec<*mut c_char> = Vec::new();
        pointers.try_reserve_exact(count).ok()?;
        pointers.resize(count, std::ptr::null_mut());
        let own = H5Dget_type(dataset.id());
        let index = u32::try_from(H5Tget_member_index(own, name.as_ptr())).ok()?;
        let member = H5Tget_member_type(own, index);
        let text = variable_type(member);
        let memory = H5Tcreate(H5T_class_t::H5T_COMPOUND, size_of::<*mut c_char>());
        H5Tinsert(memory, name.as_ptr(), 0, text);
        let read = count == 0
            || H5Dread(dataset.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.as_mut_ptr().cast()) >= 0;
        let texts = if read { take_variable(text, pointers) } else { None };
        for id in [memory, text, member, own] {
            H5Tclose(id);
        }
        texts
    })
}
