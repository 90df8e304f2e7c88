//! Numbers of whatever type a file holds them in.

use bytemuck::Pod;

pub use zensaibo_core::data::Dtype;

/// The type of that name, as numpy spells it.
pub fn dtype_named(name: &str) -> Option<Dtype> {
    use Dtype::{Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    [I8, I16, I32, I64, U8, U16, U32, U64, F16, F32, F64, Bool].into_iter().find(|dtype| dtype.name() == name)
}

/// Numbers in one of the types. Booleans are bytes of 0 and 1; half precision is kept as its bits.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Values {
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F16(Vec<u16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<u8>),
}

/// Calls the expression with `$v` bound to the vector inside, whatever its type.
macro_rules! each_values {
    ($values:expr, $v:ident => $body:expr) => {
        match $values {
            $crate::values::Values::I8($v) => $body,
            $crate::values::Values::I16($v) => $body,
            $crate::values::Values::I32($v) => $body,
            $crate::values::Values::I64($v) => $body,
            $crate::values::Values::U8($v) => $body,
            $crate::values::Values::U16($v) => $body,
            $crate::values::Values::U32($v) => $body,
            $crate::values::Values::U64($v) => $body,
            $crate::values::Values::F16($v) => $body,
            $crate::values::Values::F32($v) => $body,
            $crate::values::Values::F64($v) => $body,
            $crate::values::Values::Bool($v) => $body,
        }
    };
}
pub(crate) use each_values;

impl Values {
    /// How many.
    pub fn len(&self) -> usize {
        each_values!(self, v => v.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::I8(_) => Dtype::I8,
            Self::I16(_) => Dtype::I16,
            Self::I32(_) => Dtype::I32,
            Self::I64(_) => Dtype::I64,
            Self::U8(_) => Dtype::U8,
            Self::U16(_) => Dtype::U16,
            Self::U32(_) => Dtype::U32,
            Self::U64(_) => Dtype::U64,
            Self::F16(_) => Dtype::F16,
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
            Self::Bool(_) => Dtype::Bool,
        }
    }

    /// The bytes, in this machine's order.
    pub fn bytes(&self) -> &[u8] {
        each_values!(self, v => bytemuck::cast_slice(v))
    }

    /// As f64 (integers above 2^53 are rounded).
    pub fn to_f64(&self) -> Vec<f64> {
        match self {
            Self::I8(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Self::I16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Self::I32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Self::I64(v) => v.iter().map(|&x| x as f64).collect(),
            Self::U8(v) | Self::Bool(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Self::U16(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Self::U32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Self::U64(v) => v.iter().map(|&x| x as f64).collect(),
            Self::F16(v) => v.iter().map(|&x| half_to_f64(x)).collect(),
            Self::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
            Self::F64(v) => v.clone(),
        }
    }

    /// Whole numbers as i64; `None` for floating-point values and for what does not fit.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        Some(match self {
            Self::I8(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::I16(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::I32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::I64(v) => v.clone(),
            Self::U8(v) | Self::Bool(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::U16(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::U32(v) => v.iter().map(|&x| i64::from(x)).collect(),
            Self::U64(v) => v.iter().map(|&x| i64::try_from(x).ok()).collect::<Option<_>>()?,
            Self::F16(_) | Self::F32(_) | Self::F64(_) => return None,
        })
    }

    /// The values in another type: exact or refused for whole numbers, nearest for floating-point ones. Half precision and
    /// booleans are turned into others, nothing into them.
    ///
    /// # Errors
    /// The first value that the type does not hold.
    pub(crate) fn cast(self, dtype: Dtype) -> Result<Self, String> {
        fn to<T: Element>(values: &Values) -> Result<Vec<T>, String> {
            let mut out = vec![<T as bytemuck::Zeroable>::zeroed(); values.len()];
            convert(values.dtype(), values.bytes(), &mut out).map_err(|at| values.to_f64()[at].to_string())?;
            Ok(out)
        }
        if self.dtype() == dtype {
            return Ok(self);
        }
        Ok(match dtype {
            Dtype::I8 => Self::I8(to(&self)?),
            Dtype::I16 => Self::I16(to(&self)?),
            Dtype::I32 => Self::I32(to(&self)?),
            Dtype::I64 => Self::I64(to(&self)?),
            Dtype::U8 => Self::U8(to(&self)?),
            Dtype::U16 => Self::U16(to(&self)?),
            Dtype::U32 => Self::U32(to(&self)?),
            Dtype::U64 => Self::U64(to(&self)?),
            Dtype::F32 => Self::F32(to(&self)?),
            Dtype::F64 => Self::F64(to(&self)?),
            Dtype::F16 | Dtype::Bool => return Err(format!("values of type {}", self.dtype().name())),
        })
    }

    /// The values at `rows`, where each row is `width` values.
    pub fn take(&self, rows: &[usize], width: usize) -> Self {
        fn pick<T: Copy>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
            let mut out = Vec::with_capacity(rows.len() * width);
            rows.iter().for_each(|&row| out.extend_from_slice(&values[row * width..(row + 1) * width]));
            out
        }
        match self {
            Self::I8(v) => Self::I8(pick(v, rows, width)),
            Self::I16(v) => Self::I16(pick(v, rows, width)),
            Self::I32(v) => Self::I32(pick(v, rows, width)),
            Self::I64(v) => Self::I64(pick(v, rows, width)),
            Self::U8(v) => Self::U8(pick(v, rows, width)),
            Self::U16(v) => Self::U16(pick(v, rows, width)),
            Self::U32(v) => Self::U32(pick(v, rows, width)),
            Self::U64(v) => Self::U64(pick(v, rows, width)),
            Self::F16(v) => Self::F16(pick(v, rows, width)),
            Self::F32(v) => Self::F32(pick(v, rows, width)),
            Self::F64(v) => Self::F64(pick(v, rows, width)),
            Self::Bool(v) => Self::Bool(pick(v, rows, width)),
        }
    }
}

macro_rules! from_vec {
    ($($type:ty => $variant:ident),*) => {
        $(impl From<Vec<$type>> for Values {
            fn from(values: Vec<$type>) -> Self {
                Self::$variant(values)
            }
        })*
    };
}
from_vec!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64, f32 => F32, f64 => F64);

impl From<Vec<bool>> for Values {
    fn from(values: Vec<bool>) -> Self {
        Self::Bool(values.into_iter().map(u8::from).collect())
    }
}

/// A half-precision number as f64.
pub(crate) fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 31);
    let fraction = f64::from(bits & 1023);
    match exponent {
        0 => sign * fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// A type that stored numbers can be turned into.
pub(crate) trait Element: Pod + Send + Sync {
    /// Its own name.
    const DTYPE: Dtype;
    /// From a whole number; `None` when it does not fit.
    fn from_i64(x: i64) -> Option<Self>;
    /// From a large whole number; `None` when it does not fit.
    fn from_u64(x: u64) -> Option<Self>;
    /// From a floating-point number; `None` for whole-number types.
    fn from_f64(x: f64) -> Option<Self>;
}

macro_rules! float_element {
    ($type:ty, $dtype:ident) => {
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            #[inline]
            fn from_i64(x: i64) -> Option<Self> {
                Some(x as $type)
            }
            #[inline]
            fn from_u64(x: u64) -> Option<Self> {
                Some(x as $type)
            }
            #[inline]
            fn from_f64(x: f64) -> Option<Self> {
                Some(x as $type)
            }
        }
    };
}
float_element!(f32, F32);
float_element!(f64, F64);

macro_rules! whole_element {
    ($type:ty, $dtype:ident) => {
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            #[inline]
            fn from_i64(x: i64) -> Option<Self> {
                x.try_into().ok()
            }
            #[inline]
            fn from_u64(x: u64) -> Option<Self> {
                x.try_into().ok()
            }
            fn from_f64(_: f64) -> Option<Self> {
                None
            }
        }
    };
}
whole_element!(u32, U32);
whole_element!(u64, U64);
whole_element!(i64, I64);
whole_element!(i32, I32);
whole_element!(u16, U16);
whole_element!(i16, I16);
whole_element!(u8, U8);
whole_element!(i8, I8);

/// Converts bytes of `from` into `out`. Returns the index of the first number that does not fit.
pub(crate) fn convert<T: Element>(from: Dtype, bytes: &[u8], out: &mut [T]) -> Result<(), usize> {
    fn each<S: Pod, T>(bytes: &[u8], out: &mut [T], cast: impl Fn(S) -> Option<T>) -> Result<(), usize> {
        for (index, (source, target)) in bytes.chunks_exact(size_of::<S>()).zip(out).enumerate() {
            *target = cast(bytemuck::pod_read_unaligned(source)).ok_or(index)?;
        }
        Ok(())
    }
    match from {
        Dtype::I8 => each(bytes, out, |x: i8| T::from_i64(i64::from(x))),
        Dtype::I16 => each(bytes, out, |x: i16| T::from_i64(i64::from(x))),
        Dtype::I32 => each(bytes, out, |x: i32| T::from_i64(i64::from(x))),
        Dtype::I64 => each(bytes, out, |x: i64| T::from_i64(x)),
        Dtype::U8 | Dtype::Bool => each(bytes, out, |x: u8| T::from_i64(i64::from(x))),
        Dtype::U16 => each(bytes, out, |x: u16| T::from_i64(i64::from(x))),
        Dtype::U32 => each(bytes, out, |x: u32| T::from_i64(i64::from(x))),
        Dtype::U64 => each(bytes, out, |x: u64| T::from_u64(x)),
        Dtype::F16 => each(bytes, out, |x: u16| T::from_f64(half_to_f64(x))),
        Dtype::F32 => each(bytes, out, |x: f32| T::from_f64(f64::from(x))),
        Dtype::F64 => each(bytes, out, |x: f64| T::from_f64(x)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_by_hand() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 2f64.powi(-24)), (0x7bff, 65504.0), (0x0000, 0.0)]
        {
            assert_eq!(half_to_f64(bits), value);
        }
        assert!(half_to_f64(0x7e00).is_nan());
        assert_eq!(half_to_f64(0xfc00), f64::NEG_INFINITY);
    }

    #[test]
    fn casts_are_exact_or_refused() {
        let counts = Values::U8(vec![0, 3, 200]);
        assert_eq!(counts.clone().cast(Dtype::F32), Ok(Values::F32(vec![0.0, 3.0, 200.0])));
        assert_eq!(counts.clone().cast(Dtype::I16), Ok(Values::I16(vec![0, 3, 200])));
        assert_eq!(counts.clone().cast(Dtype::I8), Err("200".into()));
        assert_eq!(Values::F32(vec![1.5]).cast(Dtype::I32), Err("1.5".into()));
        assert_eq!(Values::Bool(vec![1, 0]).cast(Dtype::F64), Ok(Values::F64(vec![1.0, 0.0])));
        assert!(counts.cast(Dtype::Bool).is_err());
        assert_eq!((dtype_named("float32"), dtype_named("complex64")), (Some(Dtype::F32), None));
    }

    #[test]
    fn conversion_names_what_does_not_fit() {
        let source = [1i64, -1, 3];
        let mut out = [0u32; 3];
        assert_eq!(convert(Dtype::I64, bytemuck::cast_slice(&source), &mut out), Err(1));
        let mut floats = [0f32; 3];
        assert_eq!(convert(Dtype::I64, bytemuck::cast_slice(&source), &mut floats), Ok(()));
        assert_eq!(floats, [1.0, -1.0, 3.0]);
        assert_eq!(convert(Dtype::F32, bytemuck::cast_slice(&[1.5f32]), &mut out[..1]), Err(0));
    }
}
