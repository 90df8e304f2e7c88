//! Where the cells of one side lie.

use rayon::prelude::*;
use zensaibo_core::Result;
use zensaibo_core::places::Tree;
pub(crate) use zensaibo_core::places::square;

pub use zensaibo_core::places::Point;

/// Places of a leaf at most.
const LEAF: usize = 12;

/// The tree over some places.
pub(crate) fn tree(points: &[Point]) -> Tree {
    Tree::new(points, LEAF)
}

/// Cells of one side, two or three coordinates each, in any unit that both sides share.
#[derive(Clone, Debug)]
pub struct Cloud {
    dimensions: usize,
    points: Vec<Point>,
}

impl Cloud {
    /// From `values`, cell by cell; `name` stands in errors.
    ///
    /// # Errors
    /// [`zensaibo_core::Error::Data`] (`Shape`) unless there are 2 or 3 coordinates per cell and `values` holds whole cells, (`Empty`) without
    /// cells, (`NotFinite`) for NaN or infinity, (`Invalid`) for coordinates so far out that squares of distances overflow.
    pub fn new(name: &str, dimensions: usize, values: &[f64]) -> Result<Self> {
        Ok(Self { dimensions, points: zensaibo_core::places::points(name, dimensions, values, 1e100)? })
    }

    /// From places that are known to be finite.
    #[cfg(test)]
    pub(crate) fn of(dimensions: usize, points: Vec<Point>) -> Self {
        Self { dimensions, points }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are none; never so after [`Cloud::new`].
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// 2 or 3.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The places.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}

/// Median distance of a cell to its nearest other one; cells at one place do not count as near. `None` without two places.
pub(crate) fn spacing(points: &[Point], tree: &Tree) -> Option<f64> {
    // A sample that depends on the number of cells alone.
    let step = points.len().div_ceil(20_000).max(1);
    let mut distances: Vec<f64> = points
        .par_iter()
        .step_by(step)
        .filter_map(|point| {
            // Beyond the cells at the very place, up to a few of which are passed over.
            let mut best = Vec::new();
            tree.nearest(point, 4, f64::INFINITY, None, &mut best);
            best.iter().map(|&(squared, _)| squared).find(|&squared| squared > 0.0).map(f64::sqrt)
        })
        .collect();
    median(&mut distances)
}

/// The middle value (the upper one of two); `None` of nothing.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[inline]
pub(crate) fn minus(a: &Point, b: &Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

#[inline]
pub(crate) fn plus(a: &Point, b: &Point) -> Point {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// Area of a circle or volume of a ball.
pub(crate) fn ball(dimensions: usize, radius: f64) -> f64 {
    use std::f64::consts::PI;
    if dimensions == 2 { PI * radius * radius } else { 4.0 / 3.0 * PI * radius * radius * radius }
}
