//! Places in the plane or in space, and the search among them.

mod tree;

pub use tree::{Node, Tree};

use crate::{DataFault, Error, Result};

/// A place; the third coordinate is 0 in the plane.
pub type Point = [f64; 3];

/// From two or three coordinates per cell, cell by cell; `what` stands in errors.
///
/// # Errors
/// [`Error::Data`] (`Shape`) unless there are 2 or 3 coordinates per cell, `values` holds whole cells and at most 2^31 - 1 of them,
/// (`Empty`) without cells, (`NotFinite`) for NaN or infinity, (`Invalid`) for coordinates beyond `most`.
pub fn points(what: &str, dimensions: usize, values: &[f64], most: f64) -> Result<Vec<Point>> {
    if !(2..=3).contains(&dimensions) || !values.len().is_multiple_of(dimensions) {
        let found = format!("{} numbers in {dimensions} dimensions", values.len());
        return Err(Error::data(DataFault::Shape, what, "2 or 3 coordinates per cell", found));
    }
    let n = values.len() / dimensions;
    if n == 0 {
        return Err(Error::data(DataFault::Empty, what, "at least one cell", "none"));
    }
    if n > i32::MAX as usize {
        return Err(Error::data(DataFault::Shape, what, format!("at most {} cells", i32::MAX), n));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let found = format!("{} for cell {} (counted from 0)", values[at], at / dimensions);
        return Err(Error::data(DataFault::NotFinite, what, "finite coordinates", found));
    }
    if let Some(at) = values.iter().position(|value| value.abs() > most) {
        let found = format!("{} for cell {}", values[at], at / dimensions);
        return Err(Error::data(DataFault::Invalid, what, format!("coordinates within {most:e}"), found));
    }
    Ok(values.chunks_exact(dimensions).map(|row| [row[0], row[1], row.get(2).copied().unwrap_or(0.0)]).collect())
}

/// The square of the distance. Every comparison of distances rests on this order of operations.
#[inline]
pub fn square(a: &Point, b: &Point) -> f64 {
    let (x, y, z) = (a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    x * x + y * y + z * z
}
