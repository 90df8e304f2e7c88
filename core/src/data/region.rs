//! Boxes of voxels.

use std::ops::Range;

use crate::{Error, Result};

/// A box of voxels: where it starts and how far it goes, in (z, y, x).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Region {
    /// The first voxel.
    pub start: [usize; 3],
    /// Voxels along each axis.
    pub size: [usize; 3],
}

impl Region {
    /// The whole of a volume.
    pub fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], size: shape }
    }

    /// One past the last voxel.
    pub fn end(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.start[axis] + self.size[axis])
    }

    /// The voxels along one axis.
    pub fn range(&self, axis: usize) -> Range<usize> {
        self.start[axis]..self.start[axis] + self.size[axis]
    }

    /// Voxels in all.
    pub fn len(&self) -> usize {
        self.size.iter().product()
    }

    /// Whether it holds no voxel.
    pub fn is_empty(&self) -> bool {
        self.size.contains(&0)
    }

    /// Whether a voxel lies in it.
    pub fn contains(&self, at: [usize; 3]) -> bool {
        (0..3).all(|axis| self.range(axis).contains(&at[axis]))
    }

    /// What two regions share, perhaps nothing.
    pub fn intersect(&self, other: &Self) -> Self {
        let start: [usize; 3] = std::array::from_fn(|axis| self.start[axis].max(other.start[axis]));
        let (a, b) = (self.end(), other.end());
        Self { start, size: std::array::from_fn(|axis| a[axis].min(b[axis]).saturating_sub(start[axis])) }
    }

    /// Grown by `halo` on every side, as far as a volume of `shape` goes.
    pub fn grown(&self, halo: [usize; 3], shape: [usize; 3]) -> Self {
        let start: [usize; 3] = std::array::from_fn(|axis| self.start[axis].saturating_sub(halo[axis]));
        let end = self.end();
        Self { start, size: std::array::from_fn(|axis| (end[axis] + halo[axis]).min(shape[axis]) - start[axis]) }
    }

    /// Refuses a region that leaves a volume of `shape`.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming axis, bounds and length.
    pub fn check(&self, shape: [usize; 3]) -> Result<()> {
        for (axis, name) in ["z", "y", "x"].iter().enumerate() {
            let end = self.start[axis].checked_add(self.size[axis]);
            if end.is_none_or(|end| end > shape[axis]) {
                let found = format!("{}..{}+{}", self.start[axis], self.start[axis], self.size[axis]);
                return Err(Error::parameter(
                    format!("region, axis {name}"),
                    format!("inside 0..{}", shape[axis]),
                    found,
                ));
            }
        }
        Ok(())
    }
}
