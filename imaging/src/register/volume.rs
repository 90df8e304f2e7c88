//! Samples of any size on their way to registration, and planes of what came out.

use std::sync::Arc;

use zensaibo_core::data::{Dtype, Frame, Grid, Orientation, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::registration::linear;
use super::{Image, Landmark, RegisterOptions, Registration, register};
use crate::blocks::{View, filled, read_f32, whole};
use crate::filters::{ResampleOptions, resample, resampled};
use crate::space::Spacing;

/// A moving volume of any size.
#[derive(Clone)]
pub struct Sample {
    /// Its channels, each a frame of a volume, all on one grid; at least one.
    pub channels: Vec<(Arc<dyn VolumeBlocks>, Frame)>,
    /// Micrometres per voxel.
    pub spacing: Spacing,
    /// Which way it lies in the body, if known.
    pub orientation: Option<Orientation>,
    /// Where it counts: a volume on the same grid, not 0 there.
    pub mask: Option<Arc<dyn VolumeBlocks>>,
}

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

impl Sample {
    /// The first channel as coarse as a registration to a grid (its shape and spacing) uses it: at the spacing of the finest
    /// level (see `options.finest`) where it is clearly finer, below three quarters, and as it is otherwise. Read block by
    /// block within `memory`; what comes back is held: 4 bytes per voxel.
    ///
    /// # Errors
    /// [`Error::Data`] without channels; [`Error::Parameter`] for a frame that is not there; what reading returns.
    pub fn reduced(
        &self,
        fixed: ([usize; 3], Spacing),
        options: &RegisterOptions,
        memory: Option<u64>,
        ctx: &Ctx,
    ) -> Result<Reduced> {
        let (volume, frame) = self.first()?;
        self.reduce(volume.clone(), frame, options.finest_to(fixed.0, fixed.1), memory, ctx)
    }

    /// Registers the sample, as [`register`] does. Places of landmarks and of the result are those of the sample's space, in
    /// which its first voxel lies at the origin of the first channel. Comes back with the first channel as it was used.
    ///
    /// # Errors
    /// As [`register`] and [`Sample::reduced`]; [`Error::Data`] for a mask of another shape.
    pub fn register(
        &self,
        fixed: &Image,
        landmarks: &[Landmark],
        options: &RegisterOptions,
        memory: Option<u64>,
        ctx: &Ctx,
    ) -> Result<(Registration, Reduced)> {
        let info = self.first()?.0.info();
        self.check_mask(info)?;
        let goal = options.finest_to(fixed.voxels.shape, fixed.spacing);
        let reduce = |volume, frame| self.reduce(volume, frame, goal, memory, ctx);
        let mut parts =
            self.channels.iter().map(|(volume, frame)| reduce(volume.clone(), *frame)).collect::<Result<Vec<_>>>()?;
        let Reduced { voxels, spacing, offset } = parts.remove(0);
        let mask = match &self.mask {
            Some(mask) => Some(reduce(Arc::new(Counts::new(mask.clone())), Frame::default())?.voxels),
            None => None,
        };
        let shift: [f64; 3] = std::array::from_fn(|axis| offset[axis] + info.origin[axis]);
        let own = |landmark: &Landmark| Landmark {
            moving: std::array::from_fn(|axis| landmark.moving[axis] - shift[axis]),
            fixed: landmark.fixed,
        };
        let landmarks: Vec<Landmark> = landmarks.iter().map(own).collect();
        let more = parts.into_iter().map(|part| part.voxels).collect();
        let image = Image { voxels, more, spacing, orientation: self.orientation, mask };
        let found = register(&image, fixed, &landmarks, options, ctx)?;
        // From the grid of `image`, whose first voxel may cover several, to that of the sample.
        let mut affine = found.affine;
        (0..3).for_each(|axis| affine.shift[axis] += offset[axis]);
        let mut whole = Registration::new(found.field, affine, found.fixed, (info.space(), self.spacing.um()))?;
        whole.quality = found.quality;
        whole.moving_origin = info.origin;
        Ok((whole, Reduced { voxels: image.voxels, spacing, offset }))
    }

    /// The whole as it is, to register another to.
    ///
    /// # Errors
    /// As [`Sample::register`].
    pub fn whole(&self) -> Result<Image> {
        self.check_mask(self.first()?.0.info())?;
        let one = |volume: &Arc<dyn VolumeBlocks>, frame| {
            volume.info().check(frame, &Region::whole(volume.info().space()))?;
            whole(volume, frame)
        };
        let mut channels =
            self.channels.iter().map(|(volume, frame)| one(volume, *frame)).collect::<Result<Vec<_>>>()?;
        Ok(Image {
            voxels: channels.remove(0),
            more: channels,
            spacing: self.spacing,
            orientation: self.orientation,
            mask: self.mask.as_ref().map(where_counts).transpose()?,
        })
    }

    fn check_mask(&self, info: &VolumeInfo) -> Result<()> {
        match &self.mask {
            Some(mask) if mask.info().space() != info.space() => {
                let (what, found) = (format!("mask {}", mask.info().name), format!("{:?}", mask.info().space()));
                let expected = format!("the shape of its volume, {:?}", info.space());
                Err(Error::data(DataFault::Shape, what, expected, found))
            }
            _ => Ok(()),
        }
    }

    fn first(&self) -> Result<(&Arc<dyn VolumeBlocks>, Frame)> {
        let first = self.channels.first().map(|(volume, frame)| (volume, *frame));
        first.ok_or_else(|| Error::data(DataFault::Empty, "channels", "at least one", "none"))
    }

    fn reduce(
        &self,
        source: Arc<dyn VolumeBlocks>,
        frame: Frame,
        goal: f64,
        memory: Option<u64>,
        ctx: &Ctx,
    ) -> Result<Reduced> {
        let um = self.spacing.um();
        source.info().check(frame, &Region::whole(source.info().space()))?;
        if um.iter().all(|&um| um >= 0.75 * goal) {
            return Ok(Reduced { voxels: whole(&source, frame)?, spacing: self.spacing, offset: [0.0; 3] });
        }
        let [_, _, z, y, x] = source.info().shape;
        let Frame { time, channel } = frame;
        let view = View::new(source, [time..time + 1, channel..channel + 1, 0..z, 0..y, 0..x])?;
        let to = um.map(|um| um.max(goal));
        let options = ResampleOptions { to, ..Default::default() };
        let info = VolumeInfo { dtype: Dtype::F32, ..resampled(view.info(), self.spacing, &options) };
        let shape = info.space();
        let (data, ()) = filled::<f32, ()>(info, |sink| resample(&view, self.spacing, &options, sink, memory, ctx))?;
        let offset = std::array::from_fn(|axis| 0.5 * (to[axis] - um[axis]));
        Ok(Reduced { voxels: Grid { shape, data }, spacing: Spacing::new(to)?, offset })
    }
}

/// Where a mask says that its volume counts: 1 where it is not 0.
///
/// # Errors
/// What reading returns.
pub fn where_counts(mask: &Arc<dyn VolumeBlocks>) -> Result<Grid<f32>> {
    let counts: Arc<dyn VolumeBlocks> = Arc::new(Counts::new(mask.clone()));
    whole(&counts, Frame::default())
}

/// A mask as numbers: 1 where it is not 0.
struct Counts {
    mask: Arc<dyn VolumeBlocks>,
    info: VolumeInfo,
}

impl Counts {
    fn new(mask: Arc<dyn VolumeBlocks>) -> Self {
        let info = VolumeInfo { dtype: Dtype::F32, ..mask.info().clone() };
        Self { mask, info }
    }
}

impl VolumeBlocks for Counts {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        let voxels = read_f32(&self.mask, frame, region)?;
        let counts = voxels.data.iter().map(|&value| f32::from(u8::from(value != 0.0)));
        bytemuck::cast_slice_mut(out).iter_mut().zip(counts).for_each(|(out, count): (&mut f32, f32)| *out = count);
        Ok(())
    }
}

impl Reduced {
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
    use crate::register::Interpolation;

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
        let (mut info, grid) = sample();
        let shape = grid.shape;
        info.origin = [7.0, 0.0, -3.0];
        let source: Arc<dyn VolumeBlocks> = Arc::new((info, grid));
        let ctx = Ctx::quiet();
        let spacing = |um| Spacing::new([um; 3]).unwrap();
        let own = Spacing::new([10.0, 5.0, 5.0]).unwrap();
        let mut sample =
            Sample { channels: vec![(source.clone(), Frame::default())], spacing: own, orientation: None, mask: None };
        let options = RegisterOptions { deform: false, try_orientations: false, ..Default::default() };
        let coarse = sample.reduced((shape, spacing(10.0)), &options, Some(1 << 20), &ctx).unwrap();
        assert_eq!(coarse.voxels.shape, [24, 25, 22]);
        assert_eq!(coarse.offset, [0.0, 2.5, 2.5]);
        let fine = sample.reduced((shape, spacing(5.0)), &options, None, &ctx).unwrap();
        assert_eq!((fine.voxels.shape, fine.offset), ([24, 50, 44], [0.0; 3]));
        let fixed =
            Image { voxels: fine.voxels.clone(), more: Vec::new(), spacing: own, orientation: None, mask: None };
        let (found, coarse) = sample.register(&fixed, &[], &options, None, &ctx).unwrap();
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
        sample.channels[0].1 = Frame { time: 1, channel: 0 };
        assert!(sample.reduced((shape, spacing(5.0)), &options, None, &ctx).is_err());
        sample.channels.clear();
        assert!(sample.register(&fixed, &[], &options, None, &ctx).unwrap_err().to_string().contains("channels"));
    }

    #[test]
    fn masks_count_by_their_share_and_must_fit() {
        let (info, grid) = sample();
        let shape = grid.shape;
        let source: Arc<dyn VolumeBlocks> = Arc::new((info, grid));
        let labels: Vec<u8> = (0..shape.iter().product()).map(|at: usize| if at % 44 < 21 { 200 } else { 0 }).collect();
        let mask = |shape: [usize; 3], data: Vec<u8>| -> Arc<dyn VolumeBlocks> {
            Arc::new((VolumeInfo::plain("mask", shape, Dtype::U8), Grid { shape, data }))
        };
        let of = |mask| Sample {
            channels: vec![(source.clone(), Frame::default())],
            spacing: Spacing::new([10.0, 5.0, 5.0]).unwrap(),
            orientation: None,
            mask: Some(mask),
        };
        let whole = of(mask(shape, labels));
        let counts = Arc::new(Counts::new(whole.mask.clone().unwrap()));
        let (fixed, options, ctx) = (Spacing::new([10.0; 3]).unwrap(), RegisterOptions::default(), Ctx::quiet());
        let coarse = whole.reduce(counts, Frame::default(), 10.0, None, &ctx).unwrap().voxels;
        // Whatever the number that stands in the mask: all, most of, little of, none of a coarse voxel.
        let row = coarse.row(5, 5);
        assert!(
            row[5] == 1.0 && row[9] > 0.9 && (0.3..0.7).contains(&row[10]) && row[11] < 0.1 && row[15] == 0.0,
            "{row:?}"
        );
        let image = Image {
            voxels: Grid::filled([8; 3], 0.0),
            more: Vec::new(),
            spacing: fixed,
            orientation: None,
            mask: None,
        };
        let refused = of(mask([1, 2, 3], vec![1; 6])).register(&image, &[], &options, None, &ctx).err().unwrap();
        assert!(refused.to_string().contains("mask mask"), "{refused}");
    }

    #[test]
    fn axes_of_planes() {
        assert_eq!([0, 1, 2].map(other_axes), [(1, 2), (0, 2), (0, 1)]);
    }
}
