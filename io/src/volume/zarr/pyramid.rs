//! Coarser levels: how much each axis shrinks, and two voxels becoming one.

use zensaibo_core::data::{Dtype, Grid, Region};

use crate::values::half_to_f64;

/// How the voxels of a coarser level come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Downsample {
    /// Mean of up to 2 x 2 x 2 voxels, rounded half up in whole-number types: for images.
    #[default]
    Mean,
    /// The most frequent of up to 2 x 2 x 2 voxels, the first of those where several are: for labels.
    Mode,
}

impl Downsample {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Mode => "mode",
        }
    }
}

/// One level of a pyramid.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LevelPlan {
    /// Voxels along z, y and x.
    pub(super) shape: [usize; 3],
    /// Voxels of the level before that become one, along each axis.
    pub(super) step: [usize; 3],
    /// Voxels of the finest level in one of this, along each axis.
    pub(super) factor: [usize; 3],
}

/// Levels of a volume: an axis is halved where its voxels are less than twice as long as the shortest ones, so that
/// voxels come closer to cubes. Until no axis is longer than 256 voxels, or `count` levels.
pub(super) fn levels(shape: [usize; 3], spacing: [f64; 3], count: Option<usize>) -> Vec<LevelPlan> {
    let mut all = vec![LevelPlan { shape, step: [1; 3], factor: [1; 3] }];
    loop {
        let last = &all[all.len() - 1];
        let enough = match count {
            Some(count) => all.len() >= count,
            None => last.shape.iter().all(|&n| n <= 256),
        };
        let now: [f64; 3] = std::array::from_fn(|axis| spacing[axis] * last.factor[axis] as f64);
        let shortest = (0..3).filter(|&axis| last.shape[axis] > 1).map(|axis| now[axis]).fold(f64::INFINITY, f64::min);
        let step: [usize; 3] =
            std::array::from_fn(|axis| if last.shape[axis] > 1 && now[axis] < 2.0 * shortest { 2 } else { 1 });
        if enough || step == [1; 3] {
            return all;
        }
        let next = LevelPlan {
            shape: std::array::from_fn(|axis| last.shape[axis].div_ceil(step[axis])),
            step,
            factor: std::array::from_fn(|axis| last.factor[axis] * step[axis]),
        };
        all.push(next);
    }
}

/// The voxels of the level before that become `region`.
pub(super) fn source_region(region: &Region, step: [usize; 3], shape: [usize; 3]) -> Region {
    let start: [usize; 3] = std::array::from_fn(|axis| region.start[axis] * step[axis]);
    let end = region.end();
    Region { start, size: std::array::from_fn(|axis| (end[axis] * step[axis]).min(shape[axis]) - start[axis]) }
}

/// A sum of voxels and how it becomes their mean.
trait Voxel: bytemuck::Pod + PartialEq {
    type Sum: Copy;
    const ZERO: Self::Sum;
    fn add(sum: Self::Sum, voxel: Self) -> Self::Sum;
    /// `log` is the logarithm of the number of voxels.
    fn mean(sum: Self::Sum, log: u32) -> Self;
}

macro_rules! whole {
    ($($type:ty => $sum:ty),*) => {
        $(impl Voxel for $type {
            type Sum = $sum;
            const ZERO: $sum = 0;
            #[inline]
            fn add(sum: $sum, voxel: Self) -> $sum {
                sum + <$sum>::from(voxel)
            }
            #[inline]
            fn mean(sum: $sum, log: u32) -> Self {
                ((sum + ((1 << log) >> 1)) >> log) as Self
            }
        })*
    };
}
whole!(u8 => u32, u16 => u32, u32 => u64, u64 => u128, i8 => i32, i16 => i32, i32 => i64, i64 => i128);

macro_rules! float {
    ($($type:ty),*) => {
        $(impl Voxel for $type {
            type Sum = f64;
            const ZERO: f64 = 0.0;
            #[inline]
            fn add(sum: f64, voxel: Self) -> f64 {
                sum + f64::from(voxel)
            }
            #[inline]
            fn mean(sum: f64, log: u32) -> Self {
                (sum / f64::from(1u32 << log)) as Self
            }
        })*
    };
}
float!(f32, f64);

fn mean<T: Voxel + Default>(source: &Grid<T>, step: [usize; 3], out: &mut Grid<T>) {
    let [depth, height, width] = out.shape;
    let mut sums = vec![T::ZERO; width];
    for z in 0..depth {
        for y in 0..height {
            sums.fill(T::ZERO);
            let planes = z * step[0]..((z + 1) * step[0]).min(source.shape[0]);
            let lines = y * step[1]..((y + 1) * step[1]).min(source.shape[1]);
            let log = (planes.len() * lines.len()).trailing_zeros();
            for plane in planes {
                for line in lines.clone() {
                    let row = source.row(plane, line);
                    if step[2] == 2 {
                        let pairs = row.chunks_exact(2);
                        let rest = pairs.remainder();
                        sums.iter_mut()
                            .zip(pairs)
                            .for_each(|(sum, pair)| *sum = T::add(T::add(*sum, pair[0]), pair[1]));
                        if let ([last], Some(sum)) = (rest, sums.last_mut()) {
                            *sum = T::add(*sum, *last);
                        }
                    } else {
                        sums.iter_mut().zip(row).for_each(|(sum, &voxel)| *sum = T::add(*sum, voxel));
                    }
                }
            }
            let odd = step[2] == 2 && source.shape[2] % 2 == 1;
            let wide = if step[2] == 2 { log + 1 } else { log };
            let target = out.row_mut(z, y);
            target.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = T::mean(sum, wide));
            if odd && let (Some(out), Some(&sum)) = (target.last_mut(), sums.last()) {
                *out = T::mean(sum, log);
            }
        }
    }
}

fn mode<T: Voxel + Default>(source: &Grid<T>, step: [usize; 3], out: &mut Grid<T>) {
    let [depth, height, width] = out.shape;
    let mut values: Vec<T> = Vec::with_capacity(8);
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                values.clear();
                let columns = x * step[2]..((x + 1) * step[2]).min(source.shape[2]);
                for plane in z * step[0]..((z + 1) * step[0]).min(source.shape[0]) {
                    for line in y * step[1]..((y + 1) * step[1]).min(source.shape[1]) {
                        values.extend_from_slice(&source.row(plane, line)[columns.clone()]);
                    }
                }
                let mut best = (0, values[0]);
                if values.iter().any(|value| *value != values[0]) {
                    for &value in &values {
                        let count = values.iter().filter(|other| **other == value).count();
                        if count > best.0 {
                            best = (count, value);
                        }
                    }
                }
                let at = out.index(z, y, x);
                out.data[at] = best.1;
            }
        }
    }
}

/// Shrinks voxels of `dtype` by `step`.
pub(super) fn shrink(dtype: Dtype, voxels: &[u8], shape: [usize; 3], step: [usize; 3], how: Downsample) -> Vec<u8> {
    fn run<T: Voxel + Default>(voxels: &[u8], shape: [usize; 3], step: [usize; 3], how: Downsample) -> Vec<u8> {
        let source = Grid { shape, data: bytemuck::pod_collect_to_vec::<u8, T>(voxels) };
        let mut out = Grid::filled(std::array::from_fn(|axis| shape[axis].div_ceil(step[axis])), T::default());
        match how {
            Downsample::Mean => mean(&source, step, &mut out),
            Downsample::Mode => mode(&source, step, &mut out),
        }
        bytemuck::cast_slice(&out.data).to_vec()
    }
    match dtype {
        // The mean of yes and no is the more frequent of them.
        Dtype::Bool => run::<u8>(voxels, shape, step, Downsample::Mode),
        Dtype::U8 => run::<u8>(voxels, shape, step, how),
        // Half precision is never written; it is widened before.
        Dtype::U16 | Dtype::F16 => run::<u16>(voxels, shape, step, how),
        Dtype::U32 => run::<u32>(voxels, shape, step, how),
        Dtype::U64 => run::<u64>(voxels, shape, step, how),
        Dtype::I8 => run::<i8>(voxels, shape, step, how),
        Dtype::I16 => run::<i16>(voxels, shape, step, how),
        Dtype::I32 => run::<i32>(voxels, shape, step, how),
        Dtype::I64 => run::<i64>(voxels, shape, step, how),
        Dtype::F32 => run::<f32>(voxels, shape, step, how),
        Dtype::F64 => run::<f64>(voxels, shape, step, how),
    }
}

/// Half precision as f32, exactly.
pub(super) fn widened(halves: &[u8], out: &mut [u8]) {
    for (half, wide) in halves.chunks_exact(2).zip(out.chunks_exact_mut(4)) {
        wide.copy_from_slice(&(half_to_f64(u16::from_ne_bytes([half[0], half[1]])) as f32).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voxels_come_closer_to_cubes() {
        let steps = |shape, spacing| levels(shape, spacing, None).iter().map(|level| level.step).collect::<Vec<_>>();
        assert_eq!(steps([1000, 2000, 2000], [5.0, 2.0, 2.0]), [[1; 3], [1, 2, 2], [2; 3], [2; 3]]);
        assert_eq!(steps([30, 510, 667], [5.0, 2.0, 2.0]), [[1; 3], [1, 2, 2], [2; 3]]);
        assert_eq!(steps([1, 600, 300], [1.0; 3]), [[1; 3], [1, 2, 2], [1, 2, 2]]);
        assert_eq!(steps([100, 100, 100], [1.0; 3]), [[1; 3]]);
        assert_eq!(levels([64; 3], [1.0; 3], Some(3)).len(), 3);
        assert_eq!(levels([1; 3], [1.0; 3], Some(9)).len(), 1);
    }

    #[test]
    fn means_by_hand() {
        let source: Vec<u16> = vec![1, 2, 9, 3, 5, 10];
        let out = shrink(Dtype::U16, bytemuck::cast_slice(&source), [1, 2, 3], [1, 2, 2], Downsample::Mean);
        // (1 + 2 + 3 + 5) / 4 = 2.75, (9 + 10) / 2 = 9.5
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, u16>(&out), [3, 10]);
        let source: Vec<i16> = vec![-3, -4];
        let out = shrink(Dtype::I16, bytemuck::cast_slice(&source), [1, 1, 2], [1, 1, 2], Downsample::Mean);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, i16>(&out), [-3]);
        let source = [u64::MAX; 8];
        let out = shrink(Dtype::U64, bytemuck::cast_slice(&source), [2; 3], [2; 3], Downsample::Mean);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, u64>(&out), [u64::MAX]);
        let source = [1.0f32, 2.0, 4.0];
        let out = shrink(Dtype::F32, bytemuck::cast_slice(&source), [1, 1, 3], [1, 1, 2], Downsample::Mean);
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(&out), [1.5, 4.0]);
    }

    #[test]
    fn modes_by_hand() {
        let source = [5u32, 9, 9, 0, 7, 7, 9, 7];
        let out = shrink(Dtype::U32, bytemuck::cast_slice(&source), [2; 3], [2; 3], Downsample::Mode);
        // 9 and 7 are there three times each; 9 comes first.
        assert_eq!(bytemuck::pod_collect_to_vec::<u8, u32>(&out), [9]);
    }
}
