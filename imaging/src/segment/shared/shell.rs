//! The outermost voxels of blocks, where a block meets its neighbours.

use serde::{Deserialize, Serialize};
use zensaibo_core::data::Grid;

use crate::blocks::Plan;

/// Values of which the same often follow each other: each with how many.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Runs(Vec<(u32, u32)>);

impl Runs {
    pub(super) fn of(values: impl IntoIterator<Item = u32>) -> Self {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for value in values {
            match runs.last_mut() {
                Some((last, n)) if *last == value && *n < u32::MAX => *n += 1,
                _ => runs.push((value, 1)),
            }
        }
        Self(runs)
    }

    pub(super) fn values(&self) -> Vec<u32> {
        let mut values = Vec::with_capacity(self.0.iter().map(|&(_, n)| n as usize).sum());
        self.0.iter().for_each(|&(value, n)| values.resize(values.len() + n as usize, value));
        values
    }
}

/// The order of the outermost voxels of a block: the first plane, the last, then the rims of those between.
#[derive(Clone, Copy)]
pub(super) struct Shell {
    size: [usize; 3],
}

impl Shell {
    pub(super) fn new(size: [usize; 3]) -> Self {
        Self { size }
    }

    /// Voxels of the rim of a plane: the first line, the last, and the ends of those between.
    fn rim(&self) -> usize {
        let [_, height, width] = self.size;
        width * height.min(2) + height.saturating_sub(2) * width.min(2)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let [depth, height, width] = self.size;
        depth.min(2) * height * width + depth.saturating_sub(2) * self.rim()
    }

    /// The place in the order of a voxel of the block that is one of the outermost.
    pub(super) fn place(&self, [z, y, x]: [usize; 3]) -> usize {
        let [depth, height, width] = self.size;
        if z == 0 {
            return y * width + x;
        }
        if z + 1 == depth {
            return (height + y) * width + x;
        }
        let before = 2 * height * width + (z - 1) * self.rim();
        let along = match y {
            0 => x,
            _ if y + 1 == height => width + x,
            _ => 2 * width + (y - 1) * width.min(2) + usize::from(x > 0),
        };
        before + along
    }

    /// Every outermost voxel, in that order.
    pub(super) fn each(&self, mut visit: impl FnMut([usize; 3])) {
        let [depth, height, width] = self.size;
        let ends = |n: usize| if n > 1 { vec![0, n - 1] } else { (0..n).collect() };
        for z in ends(depth) {
            (0..height * width).for_each(|at| visit([z, at / width, at % width]));
        }
        for z in 1..depth.saturating_sub(1) {
            for y in ends(height) {
                (0..width).for_each(|x| visit([z, y, x]));
            }
            for y in 1..height.saturating_sub(1) {
                ends(width).into_iter().for_each(|x| visit([z, y, x]));
            }
        }
    }

    /// The values of a block at its outermost voxels.
    pub(super) fn of(grid: &Grid<u32>) -> Runs {
        let shell = Self::new(grid.shape);
        let mut values = Vec::with_capacity(shell.len());
        shell.each(|[z, y, x]| values.push(grid.at(z, y, x)));
        Runs::of(values)
    }
}

/// The shells of all blocks of one frame.
pub(super) struct Shells<'a> {
    plan: &'a Plan,
    values: Vec<Vec<u32>>,
}

impl<'a> Shells<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, values: Vec::with_capacity(plan.len()) }
    }

    /// Adds that of the next block.
    pub(super) fn push(&mut self, shell: &Runs) {
        self.values.push(shell.values());
    }

    pub(super) fn of(&self, block: usize) -> &[u32] {
        &self.values[block]
    }

    /// The block of a voxel that is one of its outermost, and the value there.
    pub(super) fn at(&self, voxel: [usize; 3]) -> (usize, u32) {
        let (counts, block) = (self.plan.counts(), self.plan.block());
        let at: [usize; 3] = std::array::from_fn(|axis| voxel[axis] / block[axis]);
        let number = (at[0] * counts[1] + at[1]) * counts[2] + at[2];
        let region = self.plan.region(number);
        let local = std::array::from_fn(|axis| voxel[axis] - region.start[axis]);
        (number, self.values[number][Shell::new(region.size).place(local)])
    }
}

/// Number of a voxel in raster order of the volume.
pub(super) fn raster(shape: [usize; 3], [z, y, x]: [usize; 3]) -> u64 {
    (z as u64 * shape[1] as u64 + y as u64) * shape[2] as u64 + x as u64
}

/// The voxel of a number in raster order.
pub(super) fn voxel(shape: [usize; 3], at: u64) -> [usize; 3] {
    let (width, height) = (shape[2] as u64, shape[1] as u64);
    [(at / width / height) as usize, (at / width % height) as usize, (at % width) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outermost_voxels_come_once_and_in_their_places() {
        for size in [[1, 1, 1], [1, 4, 5], [2, 3, 1], [3, 1, 4], [4, 2, 2], [4, 5, 6], [3, 3, 3]] {
            let shell = Shell::new(size);
            let mut seen = 0;
            shell.each(|at| {
                assert_eq!(shell.place(at), seen, "{size:?} {at:?}");
                assert!((0..3).any(|axis| at[axis] == 0 || at[axis] + 1 == size[axis]));
                seen += 1;
            });
            let inner: usize = size.iter().map(|n| n.saturating_sub(2)).product();
            assert_eq!((seen, shell.len()), (size.iter().product::<usize>() - inner, seen), "{size:?}");
        }
    }

    #[test]
    fn runs_give_the_values_back() {
        for values in [vec![], vec![3], vec![0, 0, 7, 7, 7, 0]] {
            assert_eq!(Runs::of(values.clone()).values(), values);
        }
        assert_eq!(voxel([3, 4, 5], raster([3, 4, 5], [2, 1, 4])), [2, 1, 4]);
    }
}
