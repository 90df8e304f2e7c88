//! What registration finds: maps for points, images and labels, both ways.

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::quality::Quality;
use crate::transform::{Affine, Field};

/// Points to a task.
const POINTS: usize = 1024;

/// How values between voxels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// Linear between the eight voxels around; beyond the image 0.
    Linear,
    /// The nearest voxel: for labels. Beyond the image 0.
    Nearest,
}

/// Which place of a moving volume is which place of a fixed one. Places are (z, y, x) in micrometres, voxel 0 at 0; those
/// of many points ([`Registration::map_points`]) are places of the sample's space, where voxel 0 lies at `moving_origin`.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Displacements on a grid over the fixed volume.
    pub field: Field,
    /// From displaced places of the fixed volume to places of the moving one.
    pub affine: Affine,
    /// Shape and spacing of the fixed volume.
    pub fixed: ([usize; 3], [f64; 3]),
    /// Shape and spacing of the moving volume.
    pub moving: ([usize; 3], [f64; 3]),
    /// Place of the centre of the moving volume's voxel 0 in the space of the sample.
    pub moving_origin: [f64; 3],
    /// How far the result can be trusted.
    pub quality: Quality,
    back: Affine,
}

impl Registration {
    /// A registration of known maps, not judged yet.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an affine map without an inverse.
    pub fn new(
        field: Field,
        affine: Affine,
        fixed: ([usize; 3], [f64; 3]),
        moving: ([usize; 3], [f64; 3]),
    ) -> Result<Self> {
        let quality = Quality::default();
        Ok(Self { back: affine.inverse()?, field, affine, fixed, moving, moving_origin: [0.0; 3], quality })
    }

    /// The place of the moving volume that a place of the fixed one is.
    pub fn to_moving(&self, place: [f64; 3]) -> [f64; 3] {
        self.affine.apply(self.field.apply(place))
    }

    /// The place of the fixed volume that a place of the moving one is, and by how many micrometres (in the fixed volume)
    /// the map misses on the way back; above a thousandth of a voxel only where the deformation folds.
    pub fn to_fixed(&self, place: [f64; 3]) -> ([f64; 3], f64) {
        let goal = self.back.apply(place);
        let moved = self.field.at(goal);
        self.field.solve(goal, std::array::from_fn(|axis| goal[axis] - moved[axis]))
    }

    /// Places of many points: of the moving volume in the fixed one, or the other way (`to_moving`). Points outside the
    /// volumes are mapped by the displacement of the nearest voxel; none is dropped, and NaN stays NaN.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn map_points(&self, points: &[[f64; 3]], to_moving: bool, ctx: &Ctx) -> Result<Vec<[f64; 3]>> {
        let mut out = vec![[0f64; 3]; points.len()];
        out.par_chunks_mut(POINTS).zip(points.par_chunks(POINTS)).try_for_each(|(out, points)| {
            ctx.check()?;
            for (out, &point) in out.iter_mut().zip(points) {
                *out = if point.iter().any(|value| !value.is_finite()) {
                    [f64::NAN; 3]
                } else if to_moving {
                    let place = self.to_moving(point);
                    std::array::from_fn(|axis| place[axis] + self.moving_origin[axis])
                } else {
                    self.to_fixed(std::array::from_fn(|axis| point[axis] - self.moving_origin[axis])).0
                };
            }
            Ok::<(), Error>(())
        })?;
        Ok(out)
    }

    /// An image on the grid of the moving volume, seen on that of the fixed one; with `to_moving`, an image of the fixed
    /// volume seen on the grid of the moving one.
    ///
    /// # Errors
    /// [`Error::Data`] for an image of another shape than its volume; [`Error::Interrupted`].
    pub fn warp<T: Copy + Default + Send + Sync + Into<f64>>(
        &self,
        image: &Grid<T>,
        interpolation: Interpolation,
        to_moving: bool,
        narrow: impl Fn(f64) -> T + Sync,
        ctx: &Ctx,
    ) -> Result<Grid<T>> {
        let (source, target) = if to_moving { (self.fixed, self.moving) } else { (self.moving, self.fixed) };
        if image.shape != source.0 {
            let expected = format!("{:?}", source.0);
            return Err(Error::data(DataFault::Shape, "image", expected, format!("{:?}", image.shape)));
        }
        let mut out = Grid::filled(target.0, T::default());
        let [_, height, width] = target.0;
        out.data.par_chunks_mut(width).enumerate().try_for_each(|(row, out)| {
            if row % 16 == 0 {
                ctx.check()?;
            }
            let mut guess: Option<[f64; 3]> = None;
            for (x, out) in out.iter_mut().enumerate() {
                let voxel = [row / height, row % height, x];
                let place = std::array::from_fn(|axis| voxel[axis] as f64 * target.1[axis]);
                let place = if to_moving {
                    // The neighbour's way back is near this one's.
                    let goal = self.back.apply(place);
                    let moved = guess.unwrap_or_else(|| self.field.at(goal));
                    let (found, _) = self.field.solve(goal, std::array::from_fn(|axis| goal[axis] - moved[axis]));
                    guess = Some(std::array::from_fn(|axis| goal[axis] - found[axis]));
                    found
                } else {
                    self.to_moving(place)
                };
                let at = std::array::from_fn(|axis| place[axis] / source.1[axis]);
                match interpolation {
                    Interpolation::Nearest => *out = nearest(image, at).unwrap_or_default(),
                    Interpolation::Linear => *out = narrow(linear(image, at)),
                }
            }
            Ok::<(), Error>(())
        })?;
        Ok(out)
    }

    /// By how much a small volume of the fixed space grows on its way to the moving one, at every voxel of the field.
    pub fn jacobian(&self) -> Grid<f32> {
        let mut out = self.field.jacobian();
        let factor = self.affine.determinant().abs() as f32;
        out.data.iter_mut().for_each(|value| *value *= factor);
        out
    }
}

/// The voxel whose box holds a place; nothing beyond the image.
pub(crate) fn nearest<T: Copy>(image: &Grid<T>, at: [f64; 3]) -> Option<T> {
    let mut voxel = [0usize; 3];
    for axis in 0..3 {
        let place = (at[axis] + 0.5).floor();
        if !(place >= 0.0 && place < image.shape[axis] as f64) {
            return None;
        }
        voxel[axis] = place as usize;
    }
    Some(image.at(voxel[0], voxel[1], voxel[2]))
}

pub(crate) fn linear<T: Copy + Into<f64>>(image: &Grid<T>, at: [f64; 3]) -> f64 {
    // The outer half of the outer voxels has their value.
    let inside = (0..3).all(|axis| at[axis] >= -0.5 && at[axis] <= image.shape[axis] as f64 - 0.5);
    if !inside {
        return 0.0;
    }
    let at: [f64; 3] = std::array::from_fn(|axis| at[axis].clamp(0.0, (image.shape[axis] - 1) as f64));
    let low = at.map(|value| value as usize);
    let mut sum = 0.0;
    for corner in 0..8usize {
        let bits = [corner >> 2 & 1, corner >> 1 & 1, corner & 1];
        let mut weight = 1.0;
        let mut voxel = low;
        for axis in 0..3 {
            let share = at[axis] - low[axis] as f64;
            weight *= if bits[axis] == 1 { share } else { 1.0 - share };
            voxel[axis] = (low[axis] + bits[axis]).min(image.shape[axis] - 1);
        }
        if weight > 0.0 {
            sum += weight * image.at(voxel[0], voxel[1], voxel[2]).into();
        }
    }
    sum
}
