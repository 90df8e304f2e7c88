//! Division and logarithm on arrays that somebody else owns, in parallel.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{log1p_values, log1p_values_f64};
use crate::{Ctx, Error, Result};

/// Values per piece of work: about a millisecond.
const PIECE: usize = 1 << 18;

/// The two number types of a normalised matrix.
pub trait Float: Copy + Send + Sync {
    /// Divides each value.
    fn divide(values: &mut [Self], divisor: f64);
    /// ln(1 + x), or the logarithm to `base`.
    fn log1p(values: &mut [Self], base: Option<f64>);
}

impl Float for f32 {
    fn divide(values: &mut [f32], divisor: f64) {
        divide_values(values, divisor);
    }
    fn log1p(values: &mut [f32], base: Option<f64>) {
        log1p_values(values, base);
    }
}

impl Float for f64 {
    fn divide(values: &mut [f64], divisor: f64) {
        values.iter_mut().for_each(|value| *value /= divisor);
    }
    fn log1p(values: &mut [f64], base: Option<f64>) {
        log1p_values_f64(values, base);
    }
}

/// Divides each value, by multiplying with the reciprocal in f64, and rounds to f32.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub fn divide_values(values: &mut [f32], divisor: f64) {
    let factor = 1.0 / divisor;
    for value in values {
        *value = (f64::from(*value) * factor) as f32;
    }
}

/// Divides the values of row i, `values[indptr[i]..indptr[i + 1]]`, by `divisors[i]`. For a dense matrix give
/// row pointers that are multiples of its width.
///
/// # Errors
/// [`Error::Data`] when lengths disagree (nothing is changed then); [`Error::Interrupted`] between pieces, when
/// some rows are divided and some are not.
pub fn divide_rows_in_place<T: Float>(indptr: &[u64], values: &mut [T], divisors: &[f64], ctx: &Ctx) -> Result<()> {
    crate::data::check_indptr(indptr, divisors.len(), values.len(), "matrix")?;
    // Cut at the row ends nearest to multiples of the piece size.
    let mut pieces = Vec::new();
    let (mut rest, mut row) = (values, 0);
    while row < divisors.len() {
        let aim = indptr[row] + PIECE as u64;
        let end = (row + 1).max(indptr.partition_point(|&at| at <= aim) - 1).min(divisors.len());
        let (head, tail) = rest.split_at_mut((indptr[end] - indptr[row]) as usize);
        pieces.push((row, end, head));
        rest = tail;
        row = end;
    }
    let stage = ctx.stage("normalise", divisors.len() as u64);
    pieces.into_par_iter().try_for_each(|(start, end, mut piece)| {
        for row in start..end {
            let (head, tail) = piece.split_at_mut((indptr[row + 1] - indptr[row]) as usize);
            if divisors[row] != 1.0 {
                T::divide(head, divisors[row]);
            }
            piece = tail;
        }
        stage.advance((end - start) as u64)
    })
}

/// ln(1 + x) of every value, or the logarithm to `base`.
///
/// # Errors
/// [`Error::Parameter`] for a base that is not above 0 or is 1; [`Error::Interrupted`] between pieces, when
/// some values are changed and some are not.
pub fn log1p_in_place<T: Float>(values: &mut [T], base: Option<f64>, ctx: &Ctx) -> Result<()> {
    check_base(base)?;
    let stage = ctx.stage("log1p", values.len() as u64);
    values.par_chunks_mut(PIECE).try_for_each(|piece| {
        T::log1p(piece, base);
        stage.advance(piece.len() as u64)
    })
}

fn check_base(base: Option<f64>) -> Result<()> {
    match base {
        Some(base) if !(base > 0.0 && base.is_finite() && base != 1.0) => {
            Err(Error::parameter("base", "a finite number above 0 other than 1, or none for e", base))
        }
        _ => Ok(()),
    }
}
