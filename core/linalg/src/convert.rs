//! Between ndarray views and faer's; checks that all functions share.

use std::sync::Once;

use faer::{MatMut, MatRef, Par};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

use crate::{Failure, Result};

/// Makes faer's decompositions run on the calling thread. They read one global setting; this crate is the only
/// user of faer, so it is set once, before the first of them.
pub(crate) fn on_this_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| faer::set_global_parallelism(Par::Seq));
}

/// The same memory, as faer sees it.
pub(crate) fn view<'a, T>(a: ArrayView2<'a, T>) -> MatRef<'a, T> {
    let (rows, columns) = a.dim();
    let strides = a.strides();
    // SAFETY: pointer, dimensions and strides are those of a valid view, whose lifetime is carried over.
    unsafe { MatRef::from_raw_parts(a.as_ptr(), rows, columns, strides[0], strides[1]) }
}

/// The same memory, as faer sees it.
pub(crate) fn view_mut<'a, T>(mut a: ArrayViewMut2<'a, T>) -> MatMut<'a, T> {
    let (rows, columns) = a.dim();
    let (row_stride, column_stride) = (a.strides()[0], a.strides()[1]);
    // SAFETY: as above; the view is consumed, so the borrow stays unique.
    unsafe { MatMut::from_raw_parts_mut(a.as_mut_ptr(), rows, columns, row_stride, column_stride) }
}

/// A copy in row-major order.
pub(crate) fn row_major<T: Copy>(a: MatRef<'_, T>) -> Array2<T> {
    Array2::from_shape_fn((a.nrows(), a.ncols()), |(i, j)| a[(i, j)])
}

pub(crate) fn check_finite(what: &'static str, a: ArrayView2<'_, f64>) -> Result<()> {
    match a.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(Failure::NotFinite { what, row, column, value }),
    }
}

pub(crate) fn check_square(what: &'static str, a: ArrayView2<'_, f64>) -> Result<()> {
    let (rows, columns) = a.dim();
    if rows == columns {
        return Ok(());
    }
    Err(Failure::Shape { what, expected: "a square matrix".into(), found: format!("{rows} x {columns}") })
}
