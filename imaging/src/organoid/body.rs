//! Bodies one after another, each in its box.

use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::OrganoidOptions;
use super::cavities::{cavities, distances, outside};
use crate::blocks::{Border, read_as, read_padded};
use crate::filters::{Gaussian, GaussianOptions, LocalFilter};
use crate::measure::{RegionOptions, RegionTable, region_properties};
use crate::space::Spacing;

/// Organoids by ascending label; all lists have one entry for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BodyTable {
    /// Shape of the bodies, cavities included; labels are those of the organoids, places those of the volume.
    pub shape: RegionTable,
    /// Cubic micrometres of the bodies without their lumens.
    pub tissue_volume: Vec<f64>,
    /// Number of lumens.
    pub lumens: Vec<u64>,
    /// Cubic micrometres of all lumens.
    pub lumen_volume: Vec<f64>,
    /// Cubic micrometres of the largest lumen.
    pub largest_lumen: Vec<f64>,
    /// Distance in micrometres of the deepest tissue to the outer surface.
    pub max_depth: Vec<f64>,
    /// Mean over the tissue of the distance to the surface and to the nearest lumen together: how thick the wall is; NaN without a
    /// lumen.
    pub wall: Vec<f64>,
    /// Brightness below which voxels were taken for lumen; NaN without a picture.
    pub level: Vec<f64>,
}

/// Lumens; all lists have one entry for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LumenTable {
    /// Shape; labels run from 1 over all organoids.
    pub shape: RegionTable,
    /// Label of the organoid.
    pub organoid: Vec<u64>,
    /// Whether it opens to the outside.
    pub open: Vec<bool>,
    /// Radius in micrometres of the largest ball in it.
    pub radius: Vec<f64>,
}

/// What [`organoids`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Organoids {
    /// One row for each organoid.
    pub bodies: BodyTable,
    /// One row for each lumen.
    pub lumens: LumenTable,
    /// Label of the organoid in whose body each voxel lies, cavities included; 0 outside.
    pub body: Grid<u32>,
    /// Label of the lumen of each voxel; 0 elsewhere.
    pub lumen: Grid<u32>,
    /// Micrometres to the outer surface of the body; 0 outside.
    pub depth: Grid<f32>,
    /// Micrometres to the nearest lumen of the same body; 0 in lumens and outside, infinite in bodies without one.
    pub to_lumen: Grid<f32>,
}

/// Measures the organoids that one frame of `labels` (whole numbers; 0 and below are background) names, their lumens, and the
/// depth of every voxel.
///
/// Lumens are cavities of the labelled voxels, or with `picture` (a volume of the same extent and one of its frames) of those that are bright. Two labels that touch are
/// two bodies, and what parts them is surface. What lies beyond the volume counts as outside. A distance is that between
/// centres of voxels less a quarter of the voxel, which on curved surfaces lies within a quarter of a voxel of the true one on
/// average.
///
/// Holds 16 bytes for each voxel of the volume and some 40 for each of the largest box around an organoid. Linear in the voxels
/// of the boxes. Nothing is random; same bits for any number of threads.
///
/// # Errors
/// [`Error::Data`] for labels that are not whole numbers, no organoid, extents that differ, brightness that is not finite;
/// [`Error::Parameter`] for options out of range; [`Error::Interrupted`]; what the sources return.
pub fn organoids(
    labels: &dyn VolumeBlocks,
    frame: Frame,
    picture: Option<(&dyn VolumeBlocks, Frame)>,
    spacing: Spacing,
    options: &OrganoidOptions,
    ctx: &Ctx,
) -> Result<Organoids> {
    options.validate()?;
    let info = labels.info();
    let shape = info.space();
    if let Some((picture, _)) = picture
        && picture.info().space() != shape
    {
        let (expected, found) =
            (format!("{shape:?} voxels as the labels have"), format!("{:?}", picture.info().space()));
        return Err(Error::data(DataFault::Shape, format!("picture ({})", picture.info().name), expected, found));
    }
    let plain = RegionOptions { surface: false };
    let listed = region_properties(labels, frame, None, spacing, &plain, None, &ctx.silent())?;
    if let Some(&label) = listed.label.iter().find(|&&label| label > u64::from(u32::MAX)) {
        return Err(Error::data(DataFault::Invalid, "labels", "numbers up to 2^32 - 1", label));
    }
    let mut out = Organoids {
        bodies: BodyTable::default(),
        lumens: LumenTable::default(),
        body: Grid::zeros(shape),
        lumen: Grid::zeros(shape),
        depth: Grid::zeros(shape),
        to_lumen: Grid::zeros(shape),
    };
    let stage = ctx.stage("organoids", listed.len() as u64);
    for row in 0..listed.len() {
        let low = listed.low[row].map(|n| n as usize);
        let around = Region { start: low, size: std::array::from_fn(|a| listed.high[row][a] as usize - low[a]) };
        let item = Item { label: listed.label[row] as u32, around, touches: listed.touches_border[row] };
        item.measure(labels, frame, picture, spacing, options, &mut out, ctx)?;
        stage.advance(1)?;
    }
    if out.bodies.shape.is_empty() {
        let least = format!("at least one organoid of {} um3 or more", options.min_volume);
        return Err(Error::data(DataFault::Empty, format!("labels ({})", info.name), least, "none"));
    }
    Ok(out)
}

/// One organoid and its box.
struct Item {
    label: u32,
    around: Region,
    touches: bool,
}

impl Item {
    fn measure(
        &self,
        labels: &dyn VolumeBlocks,
        frame: Frame,
        picture: Option<(&dyn VolumeBlocks, Frame)>,
        spacing: Spacing,
        options: &OrganoidOptions,
        out: &mut Organoids,
        ctx: &Ctx,
    ) -> Result<()> {
        let (um, shape) = (spacing.um(), labels.info().space());
        // So wide that the ball of a closing finds its way around.
        let margin = um.map(|um| 2 + (0.5 * options.max_opening / um).ceil() as usize);
        let size: [usize; 3] = std::array::from_fn(|a| self.around.size[a] + 2 * margin[a]);
        let inner: Grid<i64> = read_as(labels, frame, &self.around)?;
        let mut mask = Grid::filled(size, 0u8);
        let own = inner.data.iter().map(|&v| u8::from(v == i64::from(self.label))).collect();
        mask.paste(&Grid { shape: inner.shape, data: own }, margin);
        let wet = outside(&mask);
        let mut body = Grid { shape: size, data: wet.data.iter().map(|&wet| 1 - wet).collect::<Vec<u8>>() };
        let (tissue, level) = match picture {
            Some(picture) => self.bright(picture, &inner, &body, margin, spacing, options)?,
            None => (mask, f64::NAN),
        };
        let least = (options.min_lumen_volume / spacing.volume()).ceil().max(1.0) as u64;
        let found = cavities(&tissue, options.max_opening, (least, options.min_lumen_radius), spacing, ctx)?;
        drop(tissue);
        body.data.iter_mut().zip(&found.numbers.data).for_each(|(body, &number)| *body |= u8::from(number > 0));
        let voxels = body.data.iter().filter(|&&v| v > 0).count();
        if (voxels as f64) * spacing.volume() < options.min_volume {
            return Ok(());
        }

        // Open lumens may reach beyond the volume's edge; what is written does not.
        let kept: [std::ops::Range<usize>; 3] = std::array::from_fn(|a| {
            let before = margin[a].min(self.around.start[a]);
            let after = margin[a].min(shape[a] - self.around.end()[a]);
            margin[a] - before..margin[a] + self.around.size[a] + after
        });
        let start: [usize; 3] = std::array::from_fn(|a| self.around.start[a] + kept[a].start - margin[a]);
        let table = |grid: Grid<u32>| -> Result<RegionTable> {
            let info = VolumeInfo::plain("box of an organoid", size, Dtype::U32);
            let options = RegionOptions::default();
            region_properties(&(info, grid), Frame::default(), None, spacing, &options, None, &ctx.silent())
        };
        let moved: [i64; 3] = std::array::from_fn(|a| self.around.start[a] as i64 - margin[a] as i64);
        let place = |table: &mut RegionTable| {
            for row in 0..table.len() {
                for axis in 0..3 {
                    table.centroid[row][axis] += moved[axis] as f64 * um[axis];
                    table.low[row][axis] = (table.low[row][axis] as i64 + moved[axis]).max(0) as u64;
                    table.high[row][axis] =
                        (table.high[row][axis] as i64 + moved[axis]).clamp(0, shape[axis] as i64) as u64;
                }
                let reaches =
                    (0..3).any(|axis| table.low[row][axis] == 0 || table.high[row][axis] == shape[axis] as u64);
                table.touches_border[row] = reaches;
            }
        };
        let mut whole = table(Grid { shape: size, data: body.data.iter().map(|&v| u32::from(v)).collect() })?;
        place(&mut whole);
        whole.label[0] = u64::from(self.label);
        whole.touches_border[0] |= self.touches;
        let before = out.lumens.organoid.len() as u32;
        let mut holes = table(found.numbers.clone())?;
        place(&mut holes);
        holes.label.iter_mut().for_each(|label| *label += u64::from(before));

        let quarter = 0.25 * spacing.volume().cbrt().min(2.0 * um.into_iter().fold(f64::INFINITY, f64::min));
        let depth = distances(body.clone(), spacing, ctx)?;
        let solid = Grid { shape: size, data: found.numbers.data.iter().map(|&n| u8::from(n == 0)).collect() };
        let away = distances(solid, spacing, ctx)?;
        let (mut deepest, mut wall, mut tissue) = (0f64, 0f64, 0u64);
        for z in kept[0].clone() {
            for y in kept[1].clone() {
                for x in kept[2].clone() {
                    let at = depth.index(z, y, x);
                    if body.data[at] == 0 {
                        continue;
                    }
                    let to = out.body.index(
                        start[0] + z - kept[0].start,
                        start[1] + y - kept[1].start,
                        start[2] + x - kept[2].start,
                    );
                    let inner = (f64::from(depth.data[at]) - quarter).max(0.0);
                    out.body.data[to] = self.label;
                    out.depth.data[to] = inner as f32;
                    let number = found.numbers.data[at];
                    if number > 0 {
                        out.lumen.data[to] = number + before;
                        continue;
                    }
                    let far = (f64::from(away.data[at]) - quarter).max(0.0);
                    out.to_lumen.data[to] = far as f32;
                    (deepest, wall, tissue) = (deepest.max(inner), wall + inner + far, tissue + 1);
                }
            }
        }
        let lumen_volume: f64 = holes.volume.iter().sum();
        let bodies = &mut out.bodies;
        bodies.tissue_volume.push(whole.volume[0] - lumen_volume);
        bodies.lumens.push(holes.len() as u64);
        bodies.lumen_volume.push(lumen_volume);
        bodies.largest_lumen.push(holes.volume.iter().copied().fold(0.0, f64::max));
        bodies.max_depth.push(deepest);
        bodies.wall.push(if holes.is_empty() { f64::NAN } else { wall / tissue as f64 });
        bodies.level.push(level);
        join(&mut bodies.shape, whole);
        out.lumens.organoid.extend(std::iter::repeat_n(u64::from(self.label), holes.len()));
        out.lumens.open.extend(&found.open);
        out.lumens.radius.extend(&found.radius);
        join(&mut out.lumens.shape, holes);
        Ok(())
    }

    /// The bright part of a body, and from where on it is bright.
    fn bright(
        &self,
        (picture, frame): (&dyn VolumeBlocks, Frame),
        named: &Grid<i64>,
        body: &Grid<u8>,
        margin: [usize; 3],
        spacing: Spacing,
        options: &OrganoidOptions,
    ) -> Result<(Grid<u8>, f64)> {
        let smooth = GaussianOptions { sigma: [options.lumen_smoothing; 3], ..GaussianOptions::default() };
        let smooth = Gaussian::new(&smooth, spacing)?;
        let light = read_padded(picture, frame, &self.around, smooth.halo(), Border::Reflect)?;
        if let Some(value) = light.data.iter().find(|value| !value.is_finite()) {
            let what = format!("picture ({})", picture.info().name);
            return Err(Error::data(DataFault::NotFinite, what, "finite brightness", value));
        }
        let light = smooth.smoothed(light);
        let inside = body.crop(&Region { start: margin, size: self.around.size });
        let level = match options.lumen_level {
            Some(level) => level,
            None => {
                let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<f32> {
                    light.data.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, &light)| light).collect()
                };
                let empty = quantile(of(&|at| named.data[at] <= 0 && inside.data[at] == 0), 0.5);
                let bright = quantile(of(&|at| inside.data[at] > 0), 0.75);
                // Where nothing is empty there is no telling what dark means: nothing is.
                empty.map_or(f64::NEG_INFINITY, |empty| 0.5 * (empty + bright.unwrap_or(empty)))
            }
        };
        let data =
            light.data.iter().zip(&inside.data).map(|(&l, &i)| u8::from(i > 0 && f64::from(l) >= level)).collect();
        let mut tissue = Grid::filled(body.shape, 0u8);
        tissue.paste(&Grid { shape: self.around.size, data }, margin);
        Ok((tissue, level))
    }
}

/// The value at a share of all; none of nothing.
fn quantile(mut values: Vec<f32>, share: f64) -> Option<f64> {
    let at = (share * values.len() as f64) as usize;
    (!values.is_empty()).then(|| {
        let at = at.min(values.len() - 1);
        f64::from(*values.select_nth_unstable_by(at, f32::total_cmp).1)
    })
}

/// Adds the rows of one table to another.
fn join(all: &mut RegionTable, more: RegionTable) {
    all.label.extend(more.label);
    all.voxels.extend(more.voxels);
    all.volume.extend(more.volume);
    all.centroid.extend(more.centroid);
    all.low.extend(more.low);
    all.high.extend(more.high);
    all.axes.extend(more.axes);
    all.orientation.extend(more.orientation);
    all.diameter.extend(more.diameter);
    all.surface.extend(more.surface);
    all.sphericity.extend(more.sphericity);
    all.touches_border.extend(more.touches_border);
}
