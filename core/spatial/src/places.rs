//! Where cells lie.

use zensaibo_core::places::Tree;
pub(crate) use zensaibo_core::places::square;
use zensaibo_core::{DataFault, Error, Result};

/// Cells of a leaf at most.
const LEAF: usize = 16;

/// Positions of cells, two or three coordinates each; the third is 0 in the plane.
#[derive(Clone, Debug)]
pub struct Places {
    dimensions: usize,
    points: Vec<[f64; 3]>,
}

impl Places {
    /// From `n` x `dimensions` coordinates, cell by cell.
    ///
    /// # Errors
    /// [`Error::Data`] (`Shape`) unless there are 2 or 3 coordinates per cell and `values` holds `n` times as many,
    /// (`Empty`) without cells, (`NotFinite`) for NaN or infinity, (`Invalid`) for coordinates so far apart that squares of
    /// distances overflow.
    pub fn new(n: usize, dimensions: usize, values: &[f64]) -> Result<Self> {
        const WHAT: &str = "positions of cells";
        if !(2..=3).contains(&dimensions) || values.len() != n * dimensions {
            let found = format!("{} numbers for {n} cells in {dimensions} dimensions", values.len());
            return Err(Error::data(DataFault::Shape, WHAT, "2 or 3 coordinates per cell", found));
        }
        Ok(Self { dimensions, points: zensaibo_core::places::points(WHAT, dimensions, values, 1e150)? })
    }

    /// From points known to be finite; the third coordinate is 0 in the plane.
    ///
    /// # Errors
    /// [`Error::Data`] (`Empty`) without points.
    pub(crate) fn of(dimensions: usize, points: Vec<[f64; 3]>) -> Result<Self> {
        if points.is_empty() {
            return Err(Error::data(DataFault::Empty, "positions of cells", "at least one cell", "none"));
        }
        Ok(Self { dimensions, points })
    }

    /// The tree over them.
    pub(crate) fn tree(&self) -> Tree {
        Tree::new(&self.points, LEAF)
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there are none; never so after [`Places::new`].
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// 2 or 3.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The positions; the third coordinate is 0 in the plane.
    pub fn points(&self) -> &[[f64; 3]] {
        &self.points
    }
}

/// The largest number whose root is at most `distance`: a squared distance is compared with it as the distance itself would be.
pub(crate) fn largest_square(distance: f64) -> f64 {
    let mut limit = distance * distance;
    while limit.sqrt() > distance {
        limit = limit.next_down();
    }
    while limit.next_up().sqrt() <= distance {
        limit = limit.next_up();
    }
    limit
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::{largest_square, square};

    #[test]
    fn a_distance_reaches_as_far_as_itself() {
        let mut stream = Stream::new(0, 0);
        for _ in 0..10_000 {
            let point = [stream.uniform(), stream.uniform(), 0.0];
            let squared = square(&point, &[0.0; 3]);
            let limit = largest_square(squared.sqrt());
            assert!(squared <= limit && limit.sqrt() <= squared.sqrt() && limit.next_up().sqrt() > squared.sqrt());
        }
        assert_eq!(largest_square(3.0).sqrt(), 3.0);
    }
}
