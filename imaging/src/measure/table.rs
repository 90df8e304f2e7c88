//! One row for each label.

use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::RegionOptions;
use super::crofton::{Crofton, Weigh};
use super::moments::axes;
use super::sums::{Light, Local, Slots, Total};
use crate::blocks::{Pixel, Plan, Work, map_blocks, read_as};
use crate::space::Spacing;

/// Regions by ascending label; all lists have one entry for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionTable {
    /// The labels.
    pub label: Vec<u64>,
    /// Voxels.
    pub voxels: Vec<u64>,
    /// Cubic micrometres.
    pub volume: Vec<f64>,
    /// Mean place of the voxels in micrometres, (z, y, x); the centre of voxel 0 is at 0.
    pub centroid: Vec<[f64; 3]>,
    /// First voxel along z, y and x.
    pub low: Vec<[u64; 3]>,
    /// One past the last voxel along z, y and x.
    pub high: Vec<[u64; 3]>,
    /// Lengths in micrometres of the axes of the ellipsoid with the same second moments, longest first.
    pub axes: Vec<[f64; 3]>,
    /// Unit vector (z, y, x) of the longest axis; its first component that is not 0 is above 0.
    pub orientation: Vec<[f64; 3]>,
    /// Diameter in micrometres of the ball of the same volume.
    pub diameter: Vec<f64>,
    /// Surface in square micrometres (Crofton, 13 directions); a cut by the border of the volume counts. Empty when not asked for.
    pub surface: Vec<f64>,
    /// Surface of the ball of the same volume over the surface: 1 for a ball, a few per cent off for regions of few voxels.
    /// Empty when not asked for.
    pub sphericity: Vec<f64>,
    /// Whether a voxel lies at the border of the volume.
    pub touches_border: Vec<bool>,
    /// Intensities, one table for each channel.
    pub channels: Vec<ChannelTable>,
}

/// Intensities of one channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelTable {
    /// Name of the channel, or its number.
    pub name: String,
    /// Mean over the voxels.
    pub mean: Vec<f64>,
    /// Standard deviation over the voxels (divided by their number).
    pub deviation: Vec<f64>,
    /// Least.
    pub min: Vec<f64>,
    /// Greatest.
    pub max: Vec<f64>,
    /// Sum.
    pub sum: Vec<f64>,
}

impl RegionTable {
    /// Number of regions.
    pub fn len(&self) -> usize {
        self.label.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.label.is_empty()
    }
}

/// What one block yields.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Part {
    /// In the order in which they occur.
    pub(crate) labels: Vec<u64>,
    locals: Vec<Local>,
    lights: Vec<Light>,
}

/// Measures each label of one frame of `labels` (whole numbers; 0 and below are background), with the intensities of all channels
/// of `picture` at time `picture_time`, a volume of the same extent.
///
/// Labels need not be consecutive. Reads each voxel once (and one voxel around each block for the surface), holds some
/// 300 bytes for each label. Nothing is random; same bits for any memory and any number of threads. Intensities are
/// summed exactly up to 16 bits, to 2^-48 beyond.
///
/// # Errors
/// [`Error::Data`] for labels that are not whole numbers, extents that differ, intensities that are not finite or beyond
/// 1e15; [`Error::Limit`] when no block fits `memory` (bytes); what the sources return.
pub fn region_properties(
    labels: &dyn VolumeBlocks,
    frame: Frame,
    picture: Option<(&dyn VolumeBlocks, usize)>,
    spacing: Spacing,
    options: &RegionOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<RegionTable> {
    options.validate()?;
    let info = labels.info();
    if matches!(info.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64) {
        let found = info.dtype.name();
        return Err(Error::data(DataFault::Invalid, format!("labels ({})", info.name), "whole numbers", found));
    }
    if let Some((picture, _)) = picture
        && picture.info().space() != info.space()
    {
        let expected = format!("{:?} voxels as the labels have", info.space());
        let what = format!("intensities ({})", picture.info().name);
        return Err(Error::data(DataFault::Shape, what, expected, format!("{:?}", picture.info().space())));
    }
    let crofton = options.surface.then(|| Crofton::new(spacing));
    let pair = Pair { labels, frame, picture, crofton: crofton.as_ref() };
    match info.dtype {
        Dtype::U64 | Dtype::I64 => measure::<u64>(&pair, spacing, memory, ctx),
        _ => measure::<u32>(&pair, spacing, memory, ctx),
    }
}

/// What is measured.
struct Pair<'a> {
    labels: &'a dyn VolumeBlocks,
    frame: Frame,
    picture: Option<(&'a dyn VolumeBlocks, usize)>,
    crofton: Option<&'a Crofton>,
}

fn measure<L: Pixel + Weigh + Into<u64> + Eq>(
    pair: &Pair<'_>,
    spacing: Spacing,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<RegionTable> {
    let (info, picture, crofton) = (pair.labels.info(), pair.picture, pair.crofton);
    let shape = info.space();
    let channels = picture.map_or(0, |(picture, _)| picture.info().shape[1]);
    let halo = if crofton.is_some() { [1; 3] } else { [0; 3] };
    let mut tally = Tally::new(channels);
    if !shape.contains(&0) {
        let picture_bytes = picture.map_or(0, |(picture, _)| picture.info().dtype.size() + 8);
        let bytes_per_voxel = 2 * size_of::<L>() + info.dtype.size() + picture_bytes;
        let plan = Plan::new(shape, &Work { halo, bytes_per_voxel, chunk: info.chunk, memory })?;
        map_blocks(
            &plan,
            "region properties",
            ctx,
            |region| part::<L>(pair, region),
            |region, part| {
                tally.add(region, &part);
                Ok(())
            },
        )?;
    }
    let picture = picture.map(|(picture, _)| picture.info());
    Ok(tally.table(picture, spacing, shape, crofton, Some))
}

/// Sums of all labels, block by block in any order.
pub(crate) struct Tally {
    slots: Slots,
    totals: Vec<Total>,
    /// Of each label those of all channels.
    lights: Vec<Light>,
    channels: usize,
}

impl Tally {
    pub(crate) fn new(channels: usize) -> Self {
        Self { slots: Slots::new(), totals: Vec::new(), lights: Vec::new(), channels }
    }

    /// Takes in a block.
    pub(crate) fn add(&mut self, region: &Region, part: &Part) {
        let channels = self.channels;
        for (i, &label) in part.labels.iter().enumerate() {
            let place = self.slots.place(label);
            if place == self.totals.len() {
                self.totals.push(Total::EMPTY);
                self.lights.resize(self.lights.len() + channels, Light::EMPTY);
            }
            self.totals[place].add(&part.locals[i], region.start);
            for c in 0..channels {
                self.lights[place * channels + c].add(&part.lights[i * channels + c]);
            }
        }
    }

    /// The rows of the labels that `name` names, under the labels that it gives them.
    pub(crate) fn table(
        &self,
        picture: Option<&VolumeInfo>,
        spacing: Spacing,
        shape: [usize; 3],
        crofton: Option<&Crofton>,
        name: impl Fn(u64) -> Option<u64>,
    ) -> RegionTable {
        let channels = self.channels;
        let names = (0..channels).map(|c| {
            let named = picture.and_then(|picture| picture.channels.get(c).cloned());
            named.unwrap_or_else(|| c.to_string())
        });
        let mut table = RegionTable {
            channels: names.map(|name| ChannelTable { name, ..ChannelTable::default() }).collect(),
            ..RegionTable::default()
        };
        let named = self.slots.labels.iter().enumerate();
        let mut order: Vec<(u64, usize)> =
            named.filter_map(|(place, &label)| name(label).map(|label| (label, place))).collect();
        order.sort_unstable();
        for (label, place) in order {
            table.push(label, &self.totals[place], spacing, shape, crofton);
            for (c, table) in table.channels.iter_mut().enumerate() {
                let (light, n) = (&self.lights[place * channels + c], self.totals[place].count);
                table.mean.push(light.sum() / n as f64);
                table.deviation.push(light.deviation(n));
                table.min.push(light.min);
                table.max.push(light.max);
                table.sum.push(light.sum());
            }
        }
        table
    }
}

/// Measures the labels of one block, with surfaces.
pub(crate) fn measure_block(
    labels: &dyn VolumeBlocks,
    picture: (&dyn VolumeBlocks, usize),
    crofton: &Crofton,
    region: &Region,
) -> Result<Part> {
    let pair = Pair { labels, frame: Frame::default(), picture: Some(picture), crofton: Some(crofton) };
    part::<u32>(&pair, region)
}

impl RegionTable {
    fn push(&mut self, label: u64, total: &Total, spacing: Spacing, shape: [usize; 3], crofton: Option<&Crofton>) {
        let (um, n) = (spacing.um(), total.count as f64);
        let volume = n * spacing.volume();
        let (axes, orientation) = axes(total, um);
        self.label.push(label);
        self.voxels.push(total.count as u64);
        self.volume.push(volume);
        self.centroid.push(std::array::from_fn(|axis| total.sum[axis] as f64 / n * um[axis]));
        self.low.push(total.low);
        self.high.push(total.high.map(|n| n + 1));
        self.axes.push(axes);
        self.orientation.push(orientation);
        self.diameter.push((6.0 * volume / std::f64::consts::PI).cbrt());
        if let Some(crofton) = crofton {
            let surface = crofton.area(total.surface);
            self.surface.push(surface);
            self.sphericity.push((36.0 * std::f64::consts::PI * volume * volume).cbrt() / surface);
        }
        let border = (0..3).any(|axis| total.low[axis] == 0 || total.high[axis] + 1 == shape[axis] as u64);
        self.touches_border.push(border);
    }
}

/// Intensities of one channel in one block.
enum Values {
    Small(Grid<i32>),
    Large(Grid<f64>),
}

fn part<L: Pixel + Weigh + Into<u64> + Eq>(pair: &Pair<'_>, region: &Region) -> Result<Part> {
    let (labels, frame, crofton) = (pair.labels, pair.frame, pair.crofton);
    let size = region.size;
    let block: Grid<L> = match crofton {
        Some(_) => {
            let around = region.grown([1; 3], labels.info().space());
            let inner: Grid<L> = read_as(labels, frame, &around)?;
            let mut padded = Grid::filled(size.map(|n| n + 2), L::default());
            padded.paste(&inner, std::array::from_fn(|axis| around.start[axis] + 1 - region.start[axis]));
            padded
        }
        None => read_as(labels, frame, region)?,
    };
    let inset = usize::from(crofton.is_some());
    let mut values = Vec::new();
    if let Some((picture, time)) = pair.picture {
        for channel in 0..picture.info().shape[1] {
            let frame = Frame { time, channel };
            values.push(match picture.info().dtype {
                Dtype::U8 | Dtype::I8 | Dtype::U16 | Dtype::I16 | Dtype::Bool => {
                    Values::Small(read_as(picture, frame, region)?)
                }
                _ => Values::Large(read_as(picture, frame, region)?),
            });
        }
    }
    let mut slots = Slots::new();
    let (mut locals, mut lights) = (Vec::<Local>::new(), Vec::<Light>::new());
    let (zero, mut weights) = (L::default(), vec![0u32; size[2]]);
    for z in 0..size[0] {
        for y in 0..size[1] {
            let line = &block.row(z + inset, y + inset)[inset..inset + size[2]];
            if let Some(crofton) = crofton {
                crofton.line(&block, z, y, &mut weights);
            }
            let mut x = 0;
            while x < size[2] {
                let label = line[x];
                let start = x;
                x += 1;
                while x < size[2] && line[x] == label {
                    x += 1;
                }
                if label == zero {
                    continue;
                }
                let place = slots.place(label.into());
                if place == locals.len() {
                    locals.push(Local::EMPTY);
                    lights.resize(lights.len() + values.len(), Light::EMPTY);
                }
                locals[place].run(z, y, start, x);
                if crofton.is_some() {
                    locals[place].surface += weights[start..x].iter().map(|&w| u64::from(w)).sum::<u64>();
                }
                for (c, values_of) in values.iter().enumerate() {
                    let light = &mut lights[place * values.len() + c];
                    let good = match values_of {
                        Values::Small(grid) => {
                            light.small(&grid.row(z, y)[start..x]);
                            true
                        }
                        Values::Large(grid) => light.large(&grid.row(z, y)[start..x]),
                    };
                    if !good {
                        let at = [region.start[0] + z, region.start[1] + y, region.start[2] + start];
                        let found = format!("another in the line from voxel {at:?}, channel {c}");
                        let expected = "finite values of at most 1e15";
                        return Err(Error::data(DataFault::NotFinite, "intensities", expected, found));
                    }
                }
            }
        }
    }
    Ok(Part { labels: slots.labels, locals, lights })
}
