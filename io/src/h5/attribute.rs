//! Attributes: the small facts beside groups and data sets.

use hdf5_metno::Location;
use hdf5_metno_sys::h5a::H5Aread;
use hdf5_metno_sys::h5i::{H5Idec_ref, H5Iget_name};
use hdf5_metno_sys::h5p::H5P_DEFAULT;
use hdf5_metno_sys::h5r::{H5R_type_t, H5Rdereference2};

use super::{TypeKind, kind_of, locked, memory_type, strings};
use crate::values::{Dtype, Values};

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attr {
    /// One string.
    Text(String),
    /// Several strings.
    Texts(Vec<String>),
    /// Numbers or booleans, one or several.
    Numbers(Values),
    /// An object reference, as its eight bytes.
    Reference([u8; 8]),
    /// Something else.
    Other,
}

impl Attr {
    /// The string, where it is one.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Texts(mut texts) if texts.len() == 1 => texts.pop(),
            _ => None,
        }
    }

    /// The strings, where it is some; an empty numeric attribute (h5py's empty list) is none.
    pub(crate) fn texts(self) -> Option<Vec<String>> {
        match self {
            Self::Texts(texts) => Some(texts),
            Self::Text(text) => Some(vec![text]),
            Self::Numbers(values) if values.is_empty() => Some(Vec::new()),
            _ => None,
        }
    }

    /// Whole numbers.
    pub(crate) fn whole(self) -> Option<Vec<i64>> {
        match self {
            Self::Numbers(values) => values.to_i64(),
            _ => None,
        }
    }

    /// One boolean.
    pub(crate) fn flag(self) -> Option<bool> {
        match self {
            Self::Numbers(values) => values.to_i64()?.first().map(|&x| x != 0),
            _ => None,
        }
    }
}

/// Reads an attribute; `None` when there is none of that name or it cannot be read.
pub(crate) fn read_attr(location: &Location, name: &str) -> Option<Attr> {
    let attribute = location.attr(name).ok()?;
    let kind = kind_of(attribute.dtype().ok()?.id());
    let scalar = attribute.is_scalar();
    // An attribute is small by design; a size beyond that is damage.
    let count = attribute.get_shape().ok()?.iter().try_fold(1usize, |all, &n| all.checked_mul(n))?;
    if count > 1 << 24 {
        return None;
    }
    Some(match kind {
        TypeKind::Number { dtype, .. } => {
            let mut words = vec![0u64; (count * dtype.size()).div_ceil(8)];
            let own = attribute.dtype().ok()?;
            let read = count == 0
                || locked(|| unsafe {
                    H5Aread(attribute.id(), memory_type(dtype).unwrap_or(own.id()), words.as_mut_ptr().cast())
                }) >= 0;
            if !read {
                return None;
            }
            let bytes = &bytemuck::cast_slice::<u64, u8>(&words)[..count * dtype.size()];
            Attr::Numbers(values_from_bytes(dtype, bytes))
        }
        TypeKind::Fixed { .. } | TypeKind::Variable => {
            let mut texts = strings::read_attribute_strings(&attribute, &kind, count)?;
            if scalar { Attr::Text(texts.pop()?) } else { Attr::Texts(texts) }
        }
        TypeKind::Reference if count == 1 && attribute.dtype().ok()?.size() == 8 => {
            let own = attribute.dtype().ok()?;
            let mut bytes = [0u8; 8];
            if locked(|| unsafe { H5Aread(attribute.id(), own.id(), bytes.as_mut_ptr().cast()) }) < 0 {
                return None;
            }
            Attr::Reference(bytes)
        }
        _ => Attr::Other,
    })
}

/// Copies bytes into values of their type.
pub(crate) fn values_from_bytes(dtype: Dtype, bytes: &[u8]) -> Values {
    fn vec<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
        bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
    }
    match dtype {
        Dtype::I8 => Values::I8(vec(bytes)),
        Dtype::I16 => Values::I16(vec(bytes)),
        Dtype::I32 => Values::I32(vec(bytes)),
        Dtype::I64 => Values::I64(vec(bytes)),
        Dtype::U8 => Values::U8(vec(bytes)),
        Dtype::U16 => Values::U16(vec(bytes)),
        Dtype::U32 => Values::U32(vec(bytes)),
        Dtype::U64 => Values::U64(vec(bytes)),
        Dtype::F16 => Values::F16(vec(bytes)),
        Dtype::F32 => Values::F32(vec(bytes)),
        Dtype::F64 => Values::F64(vec(bytes)),
        Dtype::Bool => Values::Bool(vec(bytes)),
    }
}

/// The path of the object that a reference points at.
pub(crate) fn reference_target(location: &Location, reference: [u8; 8]) -> Option<String> {
    locked(|| unsafe {
        let id = H5Rdereference2(location.id(), H5P_DEFAULT, H5R_type_t::H5R_OBJECT1, reference.as_ptr().cast());
        if id < 0 {
            return None;
        }
        let mut name = vec![0u8; 4096];
        let length = H5Iget_name(id, name.as_mut_ptr().cast(), name.len());
        H5Idec_ref(id);
        let length = usize::try_from(length).ok().filter(|&length| length > 0 && length < name.len())?;
        name.truncate(length);
        String::from_utf8(name).ok()
    })
}
