//! The region that patterns lie in: a convex polygon or solid.

use zensaibo_core::random::Stream;
use zensaibo_core::{DataFault, Error, Result};

use crate::Places;

/// Draws refused one after the other before the region counts as too thin.
const TRIES: usize = 1_000_000;

/// A convex region as the places on the inner side of all its planes.
#[derive(Clone, Debug)]
pub struct Window {
    dimensions: usize,
    low: [f64; 3],
    high: [f64; 3],
    /// Unit normals that point outward, and offsets: inside is where their sum is at most 0.
    planes: Vec<[f64; 4]>,
    measure: f64,
}

impl Window {
    /// The region around `places` that `planes` cut out, `dimensions + 1` numbers each (unit normal outward, offset), of area or
    /// volume `measure`.
    ///
    /// # Errors
    /// [`Error::Data`]: planes that do not fit or are not finite, a measure that is not above 0.
    pub fn new(places: &Places, planes: &[f64], measure: f64) -> Result<Self> {
        const WHAT: &str = "region of cells";
        let dimensions = places.dimensions();
        if planes.is_empty() || !planes.len().is_multiple_of(dimensions + 1) {
            let found = format!("{} numbers in {dimensions} dimensions", planes.len());
            return Err(Error::data(DataFault::Shape, WHAT, "planes of a normal and an offset each", found));
        }
        if planes.iter().any(|value| !value.is_finite()) || !(measure > 0.0 && measure.is_finite()) {
            return Err(Error::data(DataFault::Invalid, WHAT, "finite planes and a measure above 0", measure));
        }
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for point in places.points() {
            for axis in 0..3 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let planes = planes
            .chunks_exact(dimensions + 1)
            .map(|plane| {
                let third = if dimensions == 3 { plane[2] } else { 0.0 };
                [plane[0], plane[1], third, plane[dimensions]]
            })
            .collect();
        Ok(Self { dimensions, low, high, planes, measure })
    }

    /// Area or volume.
    pub fn measure(&self) -> f64 {
        self.measure
    }

    /// 2 or 3.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// How far a place inside is from the border; 0 on it and outside.
    pub fn depth(&self, point: &[f64; 3]) -> f64 {
        self.least(point).max(0.0)
    }

    fn least(&self, point: &[f64; 3]) -> f64 {
        let depths = self.planes.iter().map(|[x, y, z, offset]| -(x * point[0] + y * point[1] + z * point[2] + offset));
        depths.fold(f64::INFINITY, f64::min)
    }

    /// A random place inside.
    ///
    /// # Errors
    /// [`Error::Data`] for a region that fills next to nothing of the box around it.
    pub fn draw(&self, stream: &mut Stream) -> Result<[f64; 3]> {
        for _ in 0..TRIES {
            let mut point = [0.0; 3];
            for axis in 0..self.dimensions {
                point[axis] = self.low[axis] + stream.uniform() * (self.high[axis] - self.low[axis]);
            }
            if self.least(&point) >= 0.0 {
                return Ok(point);
            }
        }
        let expected = "one that fills more than a millionth of the box around it";
        Err(Error::data(DataFault::Invalid, "region of cells", expected, "cells all but on a line or plane"))
    }
}
