//! Fields of displacements on a grid.

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::{DataFault, Error, Result};

/// Steps after which the search for the place that a field maps to a given one ends.
const STEPS: usize = 60;

/// Displacements on a grid: a place x goes to x + d(x), with d interpolated linearly between voxel centres and that of
/// the nearest voxel beyond the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Voxels along z, y and x.
    pub shape: [usize; 3],
    /// Micrometres per voxel.
    pub spacing: [f64; 3],
    /// Displacements (z, y, x) in micrometres, voxel by voxel.
    pub vectors: Vec<[f32; 3]>,
}

impl Field {
    /// A checked field.
    ///
    /// # Errors
    /// [`Error::Data`] for a wrong number of vectors, an empty grid, or values that are not finite.
    pub fn new(shape: [usize; 3], spacing: [f64; 3], vectors: Vec<[f32; 3]>) -> Result<Self> {
        let voxels: usize = shape.iter().product();
        if voxels != vectors.len() || voxels == 0 {
            let expected = format!("{voxels} vectors, at least one");
            return Err(Error::data(DataFault::Shape, "displacement field", expected, vectors.len()));
        }
        if let Some(at) = vectors.iter().position(|vector| vector.iter().any(|value| !value.is_finite())) {
            let found = format!("{:?} at voxel {at}", vectors[at]);
            return Err(Error::data(DataFault::NotFinite, "displacement field", "finite displacements", found));
        }
        Ok(Self { shape, spacing: zensaibo_core::data::check_spacing(spacing)?, vectors })
    }

    /// A field that moves nothing.
    pub fn still(shape: [usize; 3], spacing: [f64; 3]) -> Self {
        Self { shape, spacing, vectors: vec![[0.0; 3]; shape.iter().product()] }
    }

    /// The displacement at a place.
    pub fn at(&self, place: [f64; 3]) -> [f64; 3] {
        let mut low = [0usize; 3];
        let mut share = [0f64; 3];
        for axis in 0..3 {
            let last = self.shape[axis] - 1;
            // A NaN stays at voxel 0 and is answered by the share.
            let voxel = (place[axis] / self.spacing[axis]).clamp(0.0, last as f64);
            low[axis] = (voxel as usize).min(last.saturating_sub(1));
            share[axis] = voxel - low[axis] as f64;
        }
        let [depth, height, width] = self.shape;
        let up = [usize::from(depth > 1), usize::from(height > 1), usize::from(width > 1)];
        let mut sum = [0f64; 3];
        for corner in 0..8usize {
            let bits = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
            let weight: f64 =
                (0..3).map(|axis| if bits[axis] == 1 { share[axis] } else { 1.0 - share[axis] }).product();
            let [z, y, x] = std::array::from_fn(|axis| low[axis] + bits[axis] * up[axis]);
            let vector = self.vectors[(z * height + y) * width + x];
            for axis in 0..3 {
                sum[axis] += weight * f64::from(vector[axis]);
            }
        }
        sum
    }

    /// Where a place goes.
    pub fn apply(&self, place: [f64; 3]) -> [f64; 3] {
        let moved = self.at(place);
        std::array::from_fn(|axis| place[axis] + moved[axis])
    }

    /// The displacement at a place and its derivatives there: row by row, along z, y and x.
    fn slope(&self, place: [f64; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
        let [depth, height, width] = self.shape;
        let mut low = [0usize; 3];
        let mut share = [0f64; 3];
        // Beyond the grid nothing changes along an axis.
        let mut per_um = [0f64; 3];
        for axis in 0..3 {
            let last = self.shape[axis] - 1;
            let voxel = place[axis] / self.spacing[axis];
            if voxel >= 0.0 && voxel <= last as f64 {
                per_um[axis] = 1.0 / self.spacing[axis];
            }
            let voxel = voxel.clamp(0.0, last as f64);
            low[axis] = (voxel as usize).min(last.saturating_sub(1));
            share[axis] = voxel - low[axis] as f64;
        }
        let [up, over, on] =
            [usize::from(depth > 1) * height * width, usize::from(height > 1) * width, usize::from(width > 1)];
        let first = (low[0] * height + low[1]) * width + low[2];
        let (mut value, mut slope) = ([0f64; 3], [[0f64; 3]; 3]);
        let corners = [0, up, over, up + over].map(|far| (self.vectors[first + far], self.vectors[first + far + on]));
        for row in 0..3 {
            // Along x in the four rows around, then along y, then along z.
            let along = corners.map(|(a, b)| {
                let (a, b) = (f64::from(a[row]), f64::from(b[row]));
                (a + share[2] * (b - a), b - a)
            });
            let [near, near_up, far, far_up] = along;
            let mix = |a: f64, b: f64, share: f64| a + share * (b - a);
            let (below, above) = (mix(near.0, far.0, share[1]), mix(near_up.0, far_up.0, share[1]));
            value[row] = mix(below, above, share[0]);
            let x = mix(mix(near.1, far.1, share[1]), mix(near_up.1, far_up.1, share[1]), share[0]);
            let y = mix(far.0 - near.0, far_up.0 - near_up.0, share[0]);
            slope[row] = [(above - below) * per_um[0], y * per_um[1], x * per_um[2]];
        }
        (value, slope)
    }

    /// The place that goes to `goal`, searched from `start`; and how far from `goal` it really goes, in micrometres.
    ///
    /// Newton's method, which ends after three or four steps where the field is smooth. A step that does not come nearer is
    /// halved; where space folds, what is left is taken away as it is.
    pub fn solve(&self, goal: [f64; 3], start: [f64; 3]) -> ([f64; 3], f64) {
        let enough = 1e-7 * self.spacing.iter().copied().fold(f64::INFINITY, f64::min);
        let length = |v: &[f64; 3]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let look = |place: [f64; 3]| {
            let (moved, slope) = self.slope(place);
            let left: [f64; 3] = std::array::from_fn(|axis| goal[axis] - place[axis] - moved[axis]);
            (left, slope)
        };
        let mut best = start;
        let (mut left, mut slope) = look(best);
        let mut distance = length(&left);
        let (mut step, mut damping) = (newton(&slope, &left), 1.0);
        let mut plain = false;
        for _ in 0..STEPS {
            if !(distance > enough) {
                break;
            }
            let next = std::array::from_fn(|axis| best[axis] + damping * step[axis]);
            let (there, slope_there) = look(next);
            if length(&there) < distance {
                (best, left, slope, distance) = (next, there, slope_there, length(&there));
                step = if plain { left } else { newton(&slope, &left) };
                damping = (2.0 * damping).min(1.0);
            } else {
                damping *= 0.5;
                if damping < 1e-3 {
                    if plain {
                        break;
                    }
                    (plain, damping, step) = (true, 1.0, left);
                }
            }
        }
        (best, distance)
    }

    /// The field on the same grid that leads back, and the largest distance in micrometres by which it misses.
    pub fn inverse(&self) -> (Self, f64) {
        let [_, height, width] = self.shape;
        let mut vectors = vec![[0f32; 3]; self.vectors.len()];
        let worst: Vec<f64> = vectors
            .par_chunks_mut(height * width)
            .enumerate()
            .map(|(z, plane)| {
                let mut worst = 0f64;
                for (at, vector) in plane.iter_mut().enumerate() {
                    let goal = [z, at / width, at % width];
                    let goal: [f64; 3] = std::array::from_fn(|axis| goal[axis] as f64 * self.spacing[axis]);
                    let moved = self.at(goal);
                    let (place, missed) = self.solve(goal, std::array::from_fn(|axis| goal[axis] - moved[axis]));
                    *vector = std::array::from_fn(|axis| (place[axis] - goal[axis]) as f32);
                    worst = worst.max(missed);
                }
                worst
            })
            .collect();
        (Self { vectors, ..self.clone_shape() }, worst.into_iter().fold(0.0, f64::max))
    }

    fn clone_shape(&self) -> Self {
        Self { shape: self.shape, spacing: self.spacing, vectors: Vec::new() }
    }

    /// `self` after `first`, on the grid of `first`.
    pub fn after(&self, first: &Self) -> Self {
        let [_, height, width] = first.shape;
        let mut vectors = first.vectors.clone();
        vectors.par_chunks_mut(height * width).enumerate().for_each(|(z, plane)| {
            for (at, vector) in plane.iter_mut().enumerate() {
                let voxel = [z, at / width, at % width];
                let place =
                    std::array::from_fn(|axis| voxel[axis] as f64 * first.spacing[axis] + f64::from(vector[axis]));
                let more = self.at(place);
                *vector = std::array::from_fn(|axis| (f64::from(vector[axis]) + more[axis]) as f32);
            }
        });
        Self { vectors, ..first.clone_shape() }
    }

    /// By how much a small volume at each voxel grows: determinant of the Jacobian, central differences (one-sided at
    /// the edge). At or below 0 where space folds.
    pub fn jacobian(&self) -> Grid<f32> {
        let shape = self.shape;
        let mut out = Grid::filled(shape, 1f32);
        out.data.par_chunks_mut(shape[1] * shape[2]).enumerate().for_each(|(z, plane)| {
            for (at, out) in plane.iter_mut().enumerate() {
                let voxel = [z, at / shape[2], at % shape[2]];
                let mut matrix = [[0f64; 3]; 3];
                for axis in 0..3 {
                    let (low, high) = (voxel[axis].saturating_sub(1), (voxel[axis] + 1).min(shape[axis] - 1));
                    let side = |to: usize| {
                        let mut there = voxel;
                        there[axis] = to;
                        self.vectors[(there[0] * shape[1] + there[1]) * shape[2] + there[2]]
                    };
                    if high > low {
                        let (below, above) = (side(low), side(high));
                        let step = (high - low) as f64 * self.spacing[axis];
                        for row in 0..3 {
                            matrix[row][axis] = f64::from(above[row] - below[row]) / step;
                        }
                    }
                    matrix[axis][axis] += 1.0;
                }
                *out = super::Affine { matrix, shift: [0.0; 3] }.determinant() as f32;
            }
        });
        out
    }
}

/// The step that a linear field would need: (1 + slope)^-1 left; `left` itself where space folds.
fn newton(slope: &[[f64; 3]; 3], left: &[f64; 3]) -> [f64; 3] {
    let mut m = *slope;
    (0..3).for_each(|axis| m[axis][axis] += 1.0);
    let minor = |a: usize, b: usize, c: usize, d: usize| m[a][c] * m[b][d] - m[a][d] * m[b][c];
    // Columns of the adjugate.
    let turned = [
        [minor(1, 2, 1, 2), -minor(0, 2, 1, 2), minor(0, 1, 1, 2)],
        [-minor(1, 2, 0, 2), minor(0, 2, 0, 2), -minor(0, 1, 0, 2)],
        [minor(1, 2, 0, 1), -minor(0, 2, 0, 1), minor(0, 1, 0, 1)],
    ];
    let determinant = m[0][0] * turned[0][0] + m[0][1] * turned[1][0] + m[0][2] * turned[2][0];
    if !(determinant > 0.05) {
        return *left;
    }
    turned.map(|row| (row[0] * left[0] + row[1] * left[1] + row[2] * left[2]) / determinant)
}
