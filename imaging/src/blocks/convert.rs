//! Voxels of one number type as another.

use zensaibo_core::data::Dtype;
use zensaibo_core::{DataFault, Error, Result};

/// A number type that voxels can be read as.
pub trait Pixel: bytemuck::Pod + Send + Sync + PartialOrd + Default {
    /// The type.
    const DTYPE: Dtype;
    /// The value nearest to an f64, saturating; NaN becomes 0 in whole-number types.
    fn from_f64(value: f64) -> Self;
    /// As f64 (exact below 2^53).
    fn to_f64(self) -> f64;
    /// The values nearest to f32 voxels, saturating.
    fn narrow(voxels: &[f32], out: &mut [Self]);
}

macro_rules! whole_pixel {
    ($($type:ty => $dtype:ident),*) => {
        $(impl Pixel for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            #[inline]
            fn from_f64(value: f64) -> Self {
                value.round_ties_even() as Self
            }
            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn narrow(voxels: &[f32], out: &mut [Self]) {
                #[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512vl+fma", "x86_64+avx2+fma"))]
                fn rounded(voxels: &[f32], out: &mut [$type]) {
                    // An f32 rounds to the same whole number as the f64 of the same value.
                    out.iter_mut().zip(voxels).for_each(|(out, &value)| *out = value.round_ties_even() as $type);
                }
                rounded(voxels, out);
            }
        })*
    };
}
whole_pixel!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32, i64 => I64);

impl Pixel for f32 {
    const DTYPE: Dtype = Dtype::F32;
    #[inline]
    fn from_f64(value: f64) -> Self {
        value as Self
    }
    #[inline]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn narrow(voxels: &[f32], out: &mut [Self]) {
        out.copy_from_slice(voxels);
    }
}

impl Pixel for f64 {
    const DTYPE: Dtype = Dtype::F64;
    #[inline]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline]
    fn to_f64(self) -> f64 {
        self
    }
    fn narrow(voxels: &[f32], out: &mut [Self]) {
        out.iter_mut().zip(voxels).for_each(|(out, &value)| *out = f64::from(value));
    }
}

/// Calls `$body` with `$T` standing for the Rust type of a [`Dtype`]; half precision goes to `$half`.
macro_rules! each_pixel {
    ($dtype:expr, $T:ident => $body:expr, half => $half:expr) => {
        match $dtype {
            zensaibo_core::data::Dtype::U8 | zensaibo_core::data::Dtype::Bool => {
                type $T = u8;
                $body
            }
            zensaibo_core::data::Dtype::U16 => {
                type $T = u16;
                $body
            }
            zensaibo_core::data::Dtype::U32 => {
                type $T = u32;
                $body
            }
            zensaibo_core::data::Dtype::U64 => {
                type $T = u64;
                $body
            }
            zensaibo_core::data::Dtype::I8 => {
                type $T = i8;
                $body
            }
            zensaibo_core::data::Dtype::I16 => {
                type $T = i16;
                $body
            }
            zensaibo_core::data::Dtype::I32 => {
                type $T = i32;
                $body
            }
            zensaibo_core::data::Dtype::I64 => {
                type $T = i64;
                $body
            }
            zensaibo_core::data::Dtype::F32 => {
                type $T = f32;
                $body
            }
            zensaibo_core::data::Dtype::F64 => {
                type $T = f64;
                $body
            }
            zensaibo_core::data::Dtype::F16 => $half,
        }
    };
}
pub(crate) use each_pixel;

/// Half precision as f32, exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0f32 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}

/// Voxels of any type as f32: exact up to 16 bits and for whole numbers below 2^24, else the nearest.
#[allow(clippy::unnecessary_cast)] // one of the types that the macro goes through is f32
pub fn to_f32(dtype: Dtype, voxels: &[u8], out: &mut [f32]) {
    each_pixel!(dtype, T => {
        let voxels: &[T] = bytemuck::cast_slice(voxels);
        out.iter_mut().zip(voxels).for_each(|(out, &value)| *out = value as f32);
    }, half => {
        let voxels: &[u16] = bytemuck::cast_slice(voxels);
        out.iter_mut().zip(voxels).for_each(|(out, &value)| *out = half(value));
    });
}

/// f32 voxels as bytes of another type: rounded to the nearest (ties to even) and saturated where it holds whole numbers.
///
/// # Errors
/// [`Error::Data`] for half precision, which is read and never written, and for NaN where whole numbers are asked.
pub fn write_as(voxels: &[f32], dtype: Dtype) -> Result<Vec<u8>> {
    if dtype.is_integer()
        && let Some(at) = voxels.iter().position(|value| value.is_nan())
    {
        let what = format!("voxels to be written as {}", dtype.name());
        return Err(Error::data(DataFault::NotFinite, what, "numbers", format!("NaN at place {at} of a block")));
    }
    each_pixel!(dtype, T => {
        let mut bytes = vec![0u8; voxels.len() * dtype.size()];
        match bytemuck::try_cast_slice_mut::<u8, T>(&mut bytes) {
            Ok(out) => T::narrow(voxels, out),
            // Memory that is not aligned for the type: number by number.
            Err(_) => bytes.chunks_exact_mut(size_of::<T>()).zip(voxels).for_each(|(out, &value)| {
                let mut number = [T::default()];
                T::narrow(&[value], &mut number);
                out.copy_from_slice(bytemuck::cast_slice(&number));
            }),
        }
        Ok(bytes)
    }, half => Err(Error::parameter("dtype", "a type other than float16", "float16")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_exact() {
        for (bits, value) in
            [(0x3c00u16, 1.0f32), (0xc000, -2.0), (0x3555, 0.333_251_95), (1, 5.960_464_5e-8), (0x7c00, f32::INFINITY)]
        {
            let mut out = [0f32];
            to_f32(Dtype::F16, bytemuck::bytes_of(&bits), &mut out);
            assert_eq!(out[0], value);
        }
    }

    #[test]
    fn writing_rounds_and_saturates() {
        let bytes = write_as(&[-3.0, 0.5, 1.5, 254.6, 300.0], Dtype::U8).unwrap();
        assert_eq!(bytes, [0, 0, 2, 255, 255]);
        assert!(write_as(&[f32::NAN], Dtype::U16).unwrap_err().to_string().contains("NaN"));
    }
}
