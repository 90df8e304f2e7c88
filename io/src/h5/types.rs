//! What an HDF5 datatype means to us.

use std::ffi::CStr;

use hdf5_metno_sys::h5::H5free_memory;
use hdf5_metno_sys::h5i::hid_t;
use hdf5_metno_sys::h5t::*;

use super::locked;
use crate::values::Dtype;

/// A member of a compound type.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: TypeKind,
}

/// A datatype, as far as h5ad and 10x files use them.
#[derive(Clone, Debug)]
pub(crate) enum TypeKind {
    /// Numbers and booleans; `native` when the bytes in the file are what this machine computes with.
    Number { dtype: Dtype, native: bool },
    /// Strings of a fixed number of bytes, padded with spaces or with zeros.
    Fixed { size: usize, spaces: bool },
    /// Strings of any length.
    Variable,
    /// Records.
    Compound(Vec<Field>),
    /// A reference to another object.
    Reference,
    /// Anything else, named for messages.
    Other(&'static str),
}

impl TypeKind {
    /// A name for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Number { dtype, .. } => dtype.name().to_string(),
            Self::Fixed { size, .. } => format!("strings of {size} bytes"),
            Self::Variable => "strings".into(),
            Self::Compound(fields) => format!("records of {} fields", fields.len()),
            Self::Reference => "object references".into(),
            Self::Other(name) => (*name).into(),
        }
    }
}

/// Reads what a datatype is.
pub(crate) fn kind_of(id: hid_t) -> TypeKind {
    locked(|| unsafe { kind_unlocked(id) })
}

unsafe fn kind_unlocked(id: hid_t) -> TypeKind {
    unsafe {
        let size = H5Tget_size(id);
        let little = H5Tget_order(id) == H5T_order_t::H5T_ORDER_LE || size == 1;
        match H5Tget_class(id) {
            H5T_class_t::H5T_INTEGER => {
                let signed = H5Tget_sign(id) == H5T_sign_t::H5T_SGN_2;
                let plain = H5Tget_precision(id) == size * 8 && H5Tget_offset(id) == 0;
                let dtype = match (size, signed) {
                    (1, true) => Dtype::I8,
                    (2, true) => Dtype::I16,
                    (4, true) => Dtype::I32,
                    (8, true) => Dtype::I64,
                    (1, false) => Dtype::U8,
                    (2, false) => Dtype::U16,
                    (4, false) => Dtype::U32,
                    (8, false) => Dtype::U64,
                    _ => return TypeKind::Other("integers of an unusual width"),
                };
                TypeKind::Number { dtype, native: plain && little }
            }
            H5T_class_t::H5T_FLOAT => {
                let dtype = match (size, H5Tget_precision(id), H5Tget_ebias(id)) {
                    (2, 16, 15) => Dtype::F16,
                    (4, 32, 127) => Dtype::F32,
                    (8, 64, 1023) => Dtype::F64,
                    _ => return TypeKind::Other("floating-point numbers of an unusual width"),
                };
                if dtype == Dtype::F16 && !little {
                    return TypeKind::Other("big-endian half-precision numbers");
                }
                TypeKind::Number { dtype, native: little }
            }
            H5T_class_t::H5T_STRING => {
                if H5Tis_variable_str(id) > 0 {
                    TypeKind::Variable
                } else {
                    TypeKind::Fixed { size, spaces: H5Tget_strpad(id) == H5T_str_t::H5T_STR_SPACEPAD }
                }
            }
            H5T_class_t::H5T_ENUM => {
                // h5py stores booleans as an enumeration of FALSE = 0 and TRUE = 1 over one byte.
                if size == 1 && H5Tget_nmembers(id) == 2 && H5Tget_member_index(id, c"TRUE".as_ptr()) >= 0 {
                    TypeKind::Number { dtype: Dtype::Bool, native: true }
                } else {
                    TypeKind::Other("an enumeration other than FALSE/TRUE")
                }
            }
            H5T_class_t::H5T_COMPOUND => {
                let count = H5Tget_nmembers(id).max(0) as u32;
                let mut fields = Vec::new();
                for index in 0..count {
                    let name = H5Tget_member_name(id, index);
                    let member = H5Tget_member_type(id, index);
                    if name.is_null() || member < 0 {
                        return TypeKind::Other("records that cannot be read");
                    }
                    let text = CStr::from_ptr(name).to_string_lossy().into_owned();
                    H5free_memory(name.cast());
                    fields.push(Field { name: text, kind: kind_unlocked(member) });
                    H5Tclose(member);
                }
                TypeKind::Compound(fields)
            }
            H5T_class_t::H5T_REFERENCE => TypeKind::Reference,
            H5T_class_t::H5T_VLEN => TypeKind::Other("sequences of variable length"),
            H5T_class_t::H5T_ARRAY => TypeKind::Other("arrays within elements"),
            H5T_class_t::H5T_OPAQUE => TypeKind::Other("opaque bytes"),
            _ => TypeKind::Other("a type that h5ad files do not use"),
        }
    }
}

/// The in-memory type for numbers. Call under the lock. Half precision and booleans have none of their own:
/// they are read as they lie in the file.
pub(crate) fn memory_type(dtype: Dtype) -> Option<hid_t> {
    Some(match dtype {
        Dtype::I8 => *H5T_NATIVE_INT8,
        Dtype::I16 => *H5T_NATIVE_INT16,
        Dtype::I32 => *H5T_NATIVE_INT32,
        Dtype::I64 => *H5T_NATIVE_INT64,
        Dtype::U8 => *H5T_NATIVE_UINT8,
        Dtype::U16 => *H5T_NATIVE_UINT16,
        Dtype::U32 => *H5T_NATIVE_UINT32,
        Dtype::U64 => *H5T_NATIVE_UINT64,
        Dtype::F32 => *H5T_NATIVE_FLOAT,
        Dtype::F64 => *H5T_NATIVE_DOUBLE,
        Dtype::F16 | Dtype::Bool => return None,
    })
}
