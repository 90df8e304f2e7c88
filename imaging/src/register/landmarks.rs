//! Places that are known to belong together, and how they pull.

use super::RegisterOptions;
use super::pyramid::Level;
use crate::transform::Affine;

/// Distance that costs as much as images that are not alike at all, as a share of the half diagonal.
const SHARE: f64 = 0.1;
/// The same in voxels of a level, for the deformation.
const VOXELS: f64 = 10.0;
/// Reach of a landmark in voxels of a level (standard deviation), and where it ends.
const REACH: f64 = 4.0;
const END: f64 = 3.0;

/// A place of the moving volume and the place of the fixed one that it is, in micrometres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Landmark {
    /// In the moving volume.
    pub moving: [f64; 3],
    /// In the fixed volume.
    pub fixed: [f64; 3],
}

/// Landmarks as the affine map is drawn by them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pull<'a> {
    pub(super) landmarks: &'a [Landmark],
    /// Cost of a mean squared distance of one square micrometre.
    pub(super) weight: f64,
}

impl<'a> Pull<'a> {
    pub(super) fn new(landmarks: &'a [Landmark], fixed: &Level, options: &RegisterOptions) -> Self {
        let half = 0.5 * fixed.extent().iter().map(|length| length * length).sum::<f64>().sqrt().max(1e-9);
        Self { landmarks, weight: options.landmark_weight / (SHARE * half).powi(2) }
    }

    /// The cost of a map; and its derivatives by the shift, and by the matrix about `centre` (row by row).
    pub(super) fn cost(&self, map: &Affine, centre: [f64; 3]) -> (f64, [f64; 3], [[f64; 3]; 3]) {
        let share = self.weight / self.landmarks.len().max(1) as f64;
        let (mut cost, mut by_shift, mut by_matrix) = (0.0, [0.0; 3], [[0.0; 3]; 3]);
        for landmark in self.landmarks {
            let there = map.apply(landmark.fixed);
            for row in 0..3 {
                let misses = there[row] - landmark.moving[row];
                cost += share * misses * misses;
                by_shift[row] += 2.0 * share * misses;
                for axis in 0..3 {
                    by_matrix[row][axis] += 2.0 * share * misses * (landmark.fixed[axis] - centre[axis]);
                }
            }
        }
        (cost, by_shift, by_matrix)
    }

    /// The mean places in the fixed and in the moving volume; nothing without landmarks.
    pub(super) fn centres(&self) -> Option<([f64; 3], [f64; 3])> {
        let n = self.landmarks.len() as f64;
        let mean = |of: &dyn Fn(&Landmark) -> [f64; 3]| {
            std::array::from_fn(|axis| self.landmarks.iter().map(|landmark| of(landmark)[axis]).sum::<f64>() / n)
        };
        (n > 0.0).then(|| (mean(&|l| l.fixed), mean(&|l| l.moving)))
    }
}

/// Landmarks as the deformation is drawn by them, in voxels of a level.
pub(super) struct Anchors {
    /// Where each lies in the fixed image, and where the field must lead it.
    pairs: Vec<([f64; 3], [f64; 3])>,
    /// Where each lies in the middle.
    middle: Vec<[f64; 3]>,
    weight: f64,
    relative: [f64; 3],
}

impl Anchors {
    pub(super) fn new(landmarks: &[Landmark], weight: f64, fixed: &Level, map: &Affine) -> Option<Self> {
        let back = map.inverse().ok()?;
        if landmarks.is_empty() || weight <= 0.0 {
            return None;
        }
        let voxel = |place: [f64; 3]| std::array::from_fn(|axis| place[axis] / fixed.spacing[axis]);
        let pairs: Vec<_> = landmarks.iter().map(|l| (voxel(l.fixed), voxel(back.apply(l.moving)))).collect();
        let shortest = fixed.spacing.iter().copied().fold(f64::INFINITY, f64::min);
        let relative = fixed.spacing.map(|spacing| spacing / shortest);
        Some(Self { middle: pairs.iter().map(|pair| pair.0).collect(), pairs, weight, relative })
    }

    /// How far each is from where it should be led, in voxels; finds anew where each lies in the middle.
    fn misses(&mut self, sides: &[Vec<f32>; 2], shape: [usize; 3]) -> Vec<[f64; 3]> {
        const STEPS: usize = 30;
        let pairs = self.middle.iter_mut().zip(&self.pairs);
        pairs
            .map(|(middle, (fixed, goal))| {
                for _ in 0..STEPS {
                    let moved = at(&sides[0], shape, *middle);
                    let next: [f64; 3] = std::array::from_fn(|axis| fixed[axis] - moved[axis]);
                    let step = (0..3).map(|axis| (next[axis] - middle[axis]).abs()).fold(0.0, f64::max);
                    *middle = next;
                    if !(step > 1e-3) {
                        break;
                    }
                }
                let moved = at(&sides[1], shape, *middle);
                std::array::from_fn(|axis| goal[axis] - middle[axis] - moved[axis])
            })
            .collect()
    }

    /// What the landmarks cost as they lie.
    pub(super) fn cost(&mut self, sides: &[Vec<f32>; 2], shape: [usize; 3]) -> f64 {
        let relative = self.relative;
        let square = |v: &[f64; 3]| (0..3).map(|axis| (v[axis] * relative[axis]).powi(2)).sum::<f64>();
        let misses = self.misses(sides, shape);
        self.weight * misses.iter().map(square).sum::<f64>() / misses.len() as f64 / (VOXELS * VOXELS)
    }

    /// Adds to the steps of the two sides what leads the landmarks nearer, at most `length` voxels.
    pub(super) fn pull(&mut self, sides: &[Vec<f32>; 2], shape: [usize; 3], length: f64, steps: &mut [Vec<f32>; 2]) {
        let misses = self.misses(sides, shape);
        let [depth, height, width] = shape;
        let mut sum = vec![[0f32; 4]; depth * height * width];
        for (place, miss) in self.middle.iter().zip(&misses) {
            let far = (0..3).map(|axis| (miss[axis] * self.relative[axis]).powi(2)).sum::<f64>().sqrt();
            let share = 0.5 * self.weight.min(1.0) * (length / far.max(1e-12)).min(1.0);
            let reach: [f64; 3] = std::array::from_fn(|axis| REACH / self.relative[axis]);
            let around = |axis: usize| {
                let low = (place[axis] - END * reach[axis]).ceil().max(0.0) as usize;
                let high = (place[axis] + END * reach[axis]).floor() + 1.0;
                low..(high.max(0.0) as usize).min(shape[axis])
            };
            let square = |axis: usize, voxel: usize| ((voxel as f64 - place[axis]) / reach[axis]).powi(2);
            for z in around(0) {
                for y in around(1) {
                    for x in around(2) {
                        let weight = (-0.5 * (square(0, z) + square(1, y) + square(2, x))).exp();
                        let sum = &mut sum[(z * height + y) * width + x];
                        for axis in 0..3 {
                            sum[axis] += (weight * share * miss[axis]) as f32;
                        }
                        sum[3] += weight as f32;
                    }
                }
            }
        }
        let [away, towards] = steps;
        for ((sum, away), towards) in sum.iter().zip(away.chunks_exact_mut(3)).zip(towards.chunks_exact_mut(3)) {
            // Where several reach, their mean.
            for axis in 0..3 {
                let by = sum[axis] / sum[3].max(1.0);
                away[axis] -= by;
                towards[axis] += by;
            }
        }
    }
}

/// A side at a place in voxels, linear; beyond the grid that of the nearest voxel.
fn at(side: &[f32], shape: [usize; 3], place: [f64; 3]) -> [f64; 3] {
    let mut low = [0usize; 3];
    let mut share = [0f64; 3];
    for axis in 0..3 {
        let place = place[axis].clamp(0.0, (shape[axis] - 1) as f64);
        low[axis] = (place as usize).min(shape[axis].saturating_sub(2));
        share[axis] = place - low[axis] as f64;
    }
    let mut sum = [0f64; 3];
    for corner in 0..8usize {
        let bits = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
        let weight: f64 = (0..3).map(|axis| if bits[axis] == 1 { share[axis] } else { 1.0 - share[axis] }).product();
        let [z, y, x]: [usize; 3] = std::array::from_fn(|axis| (low[axis] + bits[axis]).min(shape[axis] - 1));
        let voxel = 3 * ((z * shape[1] + y) * shape[2] + x);
        (0..3).for_each(|axis| sum[axis] += weight * f64::from(side[voxel + axis]));
    }
    sum
}
