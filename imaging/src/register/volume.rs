//! Volumes of any size on their way to registration, and planes of what came out.

use std::sync::Arc;

use zensaibo_core::data::{Dtype, Frame, Grid, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Ctx, Error, Result};

use super::Registration;
use super::registration::linear;
use crate::blocks::{View, filled, whole};
use crate::filters::{ResampleOptions, resample, resampled};
use crate::space::Spacing;

/// A volume as coarse as registration needs it.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// Its voxels.
    pub voxels: Grid<f32>,
    /// Micrometres per voxel.
    pub spacing: Spacing,
    /// Micrometres from the centre of the volume's first voxel to that of the first voxel here, which covers several.
    pub offset: [f64; 3],
}

/// One frame of a volume at `goal` micrometres per voxel where it is clearly finer (below three quarters), as it is
/// otherwise. Reads it block by block within `memory`; what comes back is held: 4 bytes per voxel.
///
/// # Errors
/// [`Error::Parameter`] for a volume without spacing, a frame that it does not have; what reading returns.
pub fn reduced(
    source: Arc<dyn VolumeBlocks>,
    frame: Frame,
    goal: f64,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<Reduced> {
    let info = source.info();
    let um = info.spacing.ok_or_else(|| {
        Error::parameter("spacing", format!("micrometres per voxel: {} does not say", info.name), "none")
    })?;
    let spacing = Spacing::new(um)?;
    let [_, _, z, y, x] = info.shape;
    let (time, channel) = (frame.time, frame.channel);
    let view = View::new(source.clone(), [time..time + 1, channel..channel + 1, 0..z, 0..y, 0..x])?;
    if um.iter().all(|&um| um >= 0.75 * goal) {
        return Ok(Reduced { voxels: whole(&view, Frame::default())?, spacing, offset: [0.0; 3] });
    }
    let to = um.map(|um| um.max(goal));
    let options = ResampleOptions { to, ..Default::default() };
    let info = VolumeInfo { dtype: Dtype::F32, ..resampled(view.info(), spacing, &options) };
    let shape = info.space();
    let (data, ()) = filled::<f32, ()>(info, |sink| resample(&view, spacing, &options, sink, memory, ctx))?;
    let offset = std::array::from_fn(|axis| 0.5 * (to[axis] - um[axis]));
    Ok(Reduced { voxels: Grid { shape, data }, spacing: Spacing::new(to)?, offset })
}

impl Reduced {
    /// A registration of these voxels as one of the volume that they came from, whose first voxel lies at `origin`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an affine map without an inverse.
    pub fn of_whole(
        &self,
        found: Registration,
        (shape, spacing): ([usize; 3], [f64; 3]),
        origin: [f64; 3],
    ) -> Result<Registration> {
        let mut affine = found.affine;
        (0..3).for_each(|axis| affine.shift[axis] += self.offset[axis]);
        let mut whole = Registration::new(found.field, affine, found.fixed, (shape, spacing))?;
        whole.quality = found.quality;
        whole.moving_origin = origin;
        Ok(whole)
    }

    /// A plane of the fixed volume (`at` along `axis`) filled with this moving one, through the registration of the whole:
    /// the other two axes in order. 0 beyond.
    pub fn plane(&self, registration: &Registration, axis: usize, at: usize) -> Vec<f32> {
        let (shape, um) = registration.fixed;
        let (down, across) = other_axes(axis);
        let own = self.spacing.um();
        let mut out = Vec::with_capacity(shape[down] * shape[across]);
        for row in 0..shape[down] {
            for column in 0..shape[across] {
                let mut voxel = [0usize; 3];
                (voxel[axis], voxel[down], voxel[across]) = (at, row, column);
                let place = registration.to_moving(std::array::from_fn(|a| voxel[a] as f64 * um[a]));
                out.push(linear(&self.voxels, std::array::from_fn(|a| (place[a] - self.offset[a]) / own[a])) as f32);
            }
        }
        out
    }
}

/// The axes of a plane across `axis`, in order.
pub fn other_axes(axis: usize) -> (usize, usize) {
    match axis {
        0 => (1, 2),
        1 => (0, 2),
        _ => (0, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{Image, Interpolation, RegisterOptions, register};

    /// Some blobs, finely sampled: (z, y, x) at 10 x 5 x 5 micrometres.
    fn sample() -> (VolumeInfo, Grid<u16>) {
        let shape = [24, 50, 44];
        let mut data = Vec::new();
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let at = [z as f64 * 10.0, y as f64 * 5.0, x as f64 * 5.0];
                    let blob = |centre: [f64; 3], size: f64| {
                        let far: f64 = (0..3).map(|a| ((at[a] - centre[a]) / size).powi(2)).sum();
                        (-0.5 * far).exp()
                    };
                    let value = blob([120.0, 130.0, 110.0], 50.0)
                        + 0.7 * blob([80.0, 90.0, 140.0], 20.0)
                        + 0.5 * blob([160.0, 170.0, 70.0], 15.0);
                    data.push((value * 1000.0) as u16);
                }
            }
        }
        let mut info = VolumeInfo::plain("blobs", shape, Dtype::U16);
        info.spacing = Some([10.0, 5.0, 5.0]);
        (info, Grid { shape, data })
    }

    #[test]
    fn a_fine_volume_is_reduced_and_comes_back_to_its_own_places() {
        let (info, grid) = sample();
        let source: Arc<dyn VolumeBlocks> = Arc::new((info, grid));
        let ctx = Ctx::quiet();
        let coarse = reduced(source.clone(), Frame::default(), 10.0, Some(1 << 20), &ctx).unwrap();
        assert_eq!(coarse.voxels.shape, [24, 25, 22]);
        assert_eq!(coarse.offset, [0.0, 2.5, 2.5]);
        let fine = reduced(source.clone(), Frame::default(), 5.0, None, &ctx).unwrap();
        assert_eq!((fine.voxels.shape, fine.offset), ([24, 50, 44], [0.0; 3]));
        let image = |of: &Reduced| Image {
            voxels: of.voxels.clone(),
            more: Vec::new(),
            spacing: of.spacing,
            orientation: None,
            mask: None,
        };
        let options = RegisterOptions { deform: false, try_orientations: false, ..Default::default() };
        let found = register(&image(&coarse), &image(&fine), &[], &options, &ctx).unwrap();
        let found = coarse.of_whole(found, ([24, 50, 44], [10.0, 5.0, 5.0]), [7.0, 0.0, -3.0]).unwrap();
        // The same volume: every place is its own, the half voxel of the coarse grid taken into account.
        for place in [[120.0, 130.0, 110.0], [60.0, 60.0, 60.0]] {
            let there = found.to_moving(place);
            assert!((0..3).all(|a| (there[a] - place[a]).abs() < 0.5), "{place:?} -> {there:?}");
            // Points lie in the space of the sample, where the first voxel need not be at 0.
            let point = found.map_points(&[place], true, &ctx).unwrap()[0];
            assert!((0..3).all(|a| (point[a] - there[a] - [7.0, 0.0, -3.0][a]).abs() < 1e-9));
            let back = found.map_points(&[point], false, &ctx).unwrap()[0];
            assert!((0..3).all(|a| (back[a] - place[a]).abs() < 1e-4));
        }
        let plane = coarse.plane(&found, 1, 26);
        assert_eq!(plane.len(), 24 * 44);
        let whole = found.warp(&fine.voxels, Interpolation::Linear, false, |value| value as f32, &ctx).unwrap();
        let far = (0..24 * 44).map(|at| (plane[at] - whole.at(at / 44, 26, at % 44)).abs()).fold(0f32, f32::max);
        assert!(far < 60.0, "{far}");
        assert!(reduced(source, Frame { time: 1, channel: 0 }, 5.0, None, &ctx).is_err());
    }

    #[test]
    fn axes_of_planes() {
        assert_eq!([0, 1, 2].map(other_axes), [(1, 2), (0, 2), (0, 1)]);
    }
}
