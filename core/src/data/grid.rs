//! Voxels in memory.

use super::Region;
use crate::{DataFault, Error, Result};

/// Voxels in memory, (z, y, x), x running fastest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid<T> {
    /// Voxels along z, y and x.
    pub shape: [usize; 3],
    /// The voxels; `shape[0] * shape[1] * shape[2]` long.
    pub data: Vec<T>,
}

impl<T: Copy> Grid<T> {
    /// A checked grid.
    ///
    /// # Errors
    /// [`Error::Data`] when the length is not that of the shape.
    pub fn new(shape: [usize; 3], data: Vec<T>) -> Result<Self> {
        if shape.iter().product::<usize>() != data.len() {
            let expected = format!("{} x {} x {} voxels", shape[0], shape[1], shape[2]);
            return Err(Error::data(DataFault::Shape, "grid", expected, data.len()));
        }
        Ok(Self { shape, data })
    }

    /// A grid of one value.
    pub fn filled(shape: [usize; 3], value: T) -> Self {
        Self { shape, data: vec![value; shape.iter().product()] }
    }

    /// A grid of zeros; a large one takes large pages of memory.
    pub fn zeros(shape: [usize; 3]) -> Self
    where
        T: bytemuck::Pod,
    {
        Self { shape, data: crate::memory::zeros(shape.iter().product()) }
    }

    /// Voxels in all.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is no voxel.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Place of a voxel in `data`.
    #[inline]
    pub fn index(&self, z: usize, y: usize, x: usize) -> usize {
        (z * self.shape[1] + y) * self.shape[2] + x
    }

    /// The voxel at (z, y, x).
    #[inline]
    pub fn at(&self, z: usize, y: usize, x: usize) -> T {
        self.data[self.index(z, y, x)]
    }

    /// One line along x.
    #[inline]
    pub fn row(&self, z: usize, y: usize) -> &[T] {
        let from = self.index(z, y, 0);
        &self.data[from..from + self.shape[2]]
    }

    /// One line along x, to write.
    #[inline]
    pub fn row_mut(&mut self, z: usize, y: usize) -> &mut [T] {
        let from = self.index(z, y, 0);
        &mut self.data[from..from + self.shape[2]]
    }

    /// A copy of the voxels of `region`, which must lie inside.
    pub fn crop(&self, region: &Region) -> Self {
        let mut data = Vec::with_capacity(region.len());
        for z in region.range(0) {
            for y in region.range(1) {
                data.extend_from_slice(&self.row(z, y)[region.range(2)]);
            }
        }
        Self { shape: region.size, data }
    }

    /// Writes `part` at `start`; it must fit.
    pub fn paste(&mut self, part: &Self, start: [usize; 3]) {
        for z in 0..part.shape[0] {
            for y in 0..part.shape[1] {
                let target = &mut self.row_mut(start[0] + z, start[1] + y)[start[2]..start[2] + part.shape[2]];
                target.copy_from_slice(part.row(z, y));
            }
        }
    }
}
