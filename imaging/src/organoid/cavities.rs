//! What lies outside of a body, and the cavities in it: boxes of voxels that have a margin of outside all around.

use zensaibo_core::data::{Dtype, Frame, Grid, VolumeInfo};
use zensaibo_core::{Ctx, Result};

use crate::blocks::filled;
use crate::morphology::{Components, Connectivity, DistanceOptions, LabelOptions, distance_transform};
use crate::space::Spacing;

/// Distances in micrometres from each voxel that is not 0 to the nearest one that is 0; infinite where there is none.
pub(super) fn distances(mask: Grid<u8>, spacing: Spacing, ctx: &Ctx) -> Result<Grid<f32>> {
    let info = VolumeInfo::plain("box of an organoid", mask.shape, Dtype::U8);
    distance_transform(&(info, mask), Frame::default(), spacing, &DistanceOptions::default(), &ctx.silent())
}

pub(super) fn not(mask: &Grid<u8>) -> Grid<u8> {
    Grid { shape: mask.shape, data: mask.data.iter().map(|&v| 1 - v).collect() }
}

/// Where water gets that comes from the first voxel and passes faces of voxels of 0: 1 there.
pub(super) fn outside(solid: &Grid<u8>) -> Grid<u8> {
    let shape = solid.shape;
    let [depth, height, width] = shape;
    let mut wet = Grid::filled(shape, 0u8);
    // Starts of stretches of a line that are dry and not solid.
    let mut todo: Vec<[usize; 3]> = vec![[0, 0, 0]];
    while let Some([z, y, x]) = todo.pop() {
        let line = wet.index(z, y, 0);
        if wet.data[line + x] != 0 || solid.data[line + x] != 0 {
            continue;
        }
        let open = |at: &usize| solid.data[line + at] == 0;
        let first = (0..x).rev().take_while(open).last().unwrap_or(x);
        let last = (x..width).take_while(open).last().unwrap_or(x);
        wet.data[line + first..=line + last].fill(1);
        for (dz, dy) in [(-1isize, 0isize), (1, 0), (0, -1), (0, 1)] {
            let (z, y) = (z.wrapping_add_signed(dz), y.wrapping_add_signed(dy));
            if z >= depth || y >= height {
                continue;
            }
            let line = wet.index(z, y, 0);
            let mut before = true;
            for x in first..=last {
                let blocked = solid.data[line + x] != 0 || wet.data[line + x] != 0;
                if !blocked && before {
                    todo.push([z, y, x]);
                }
                before = blocked;
            }
        }
    }
    wet
}

/// What a ball of `radius` micrometres that rolls outside of `solid` does not reach: 1 there (a closing).
fn closed(solid: &Grid<u8>, radius: f64, spacing: Spacing, ctx: &Ctx) -> Result<Grid<u8>> {
    let away = distances(not(solid), spacing, ctx)?;
    let near = |distance: f32| u8::from(f64::from(distance) <= radius);
    let thick = Grid { shape: solid.shape, data: away.data.iter().map(|&distance| near(distance)).collect() };
    let within = distances(thick, spacing, ctx)?;
    Ok(Grid { shape: solid.shape, data: within.data.iter().map(|&distance| 1 - near(distance)).collect() })
}

/// Cavities of a box.
pub(super) struct Cavities {
    /// Number of the cavity of each voxel, from 1 in raster order of first voxels; 0 elsewhere.
    pub(super) numbers: Grid<u32>,
    /// Of each whether it is open to the outside.
    pub(super) open: Vec<bool>,
    /// Of each the radius in micrometres of the largest ball in it.
    pub(super) radius: Vec<f64>,
}

/// Cavities of `tissue` of at least `least` voxels and a ball of `least_radius`, also those that open through holes of at most
/// `opening` micrometres.
pub(super) fn cavities(
    tissue: &Grid<u8>,
    opening: f64,
    (least, least_radius): (u64, f64),
    spacing: Spacing,
    ctx: &Ctx,
) -> Result<Cavities> {
    let shape = tissue.shape;
    let wet = outside(tissue);
    let mut hollow: Grid<u8> =
        Grid { shape, data: tissue.data.iter().zip(&wet.data).map(|(&t, &w)| u8::from(t == 0 && w == 0)).collect() };
    if opening > 0.0 {
        let radius = 0.5 * opening;
        let shut = closed(tissue, radius, spacing, ctx)?;
        let still_wet = outside(&shut);
        let cores = Grid {
            shape,
            data: shut.data.iter().zip(&still_wet.data).map(|(&s, &w)| u8::from(s != 0 || w != 0)).collect(),
        };
        if cores.data.contains(&0) {
            // The closing rounds the corners of a cavity off: they come back as far as the ball reaches.
            let away = distances(cores, spacing, ctx)?;
            for (at, hollow) in hollow.data.iter_mut().enumerate() {
                if tissue.data[at] == 0 && still_wet.data[at] == 0 && f64::from(away.data[at]) <= radius {
                    *hollow = 1;
                }
            }
        }
    }
    let largest = if least_radius > 0.0 { Some(distances(hollow.clone(), spacing, ctx)?) } else { None };
    let info = VolumeInfo::plain("cavities", shape, Dtype::U8);
    let source = (info.clone(), hollow);
    let options = LabelOptions { connectivity: Connectivity::Faces, min_voxels: least, ..LabelOptions::default() };
    let found = Components::find(&source, Frame::default(), &options, None, &ctx.silent())?;
    let info = VolumeInfo { dtype: Dtype::U32, ..info };
    let (data, ()) = filled::<u32, _>(info, |sink| found.write(Frame::default(), sink, &ctx.silent()))?;
    let mut numbers = Grid { shape, data };
    let count = found.count() as usize;
    let distance = match largest {
        Some(distance) => distance,
        None => distances(source.1, spacing, ctx)?,
    };
    let (mut open, mut radius) = (vec![false; count], vec![0f64; count]);
    for ((&number, &wet), &distance) in numbers.data.iter().zip(&wet.data).zip(&distance.data) {
        if number > 0 {
            let at = number as usize - 1;
            open[at] |= wet != 0;
            radius[at] = radius[at].max(f64::from(distance));
        }
    }
    // Those that are too flat go, the rest move up.
    let mut kept = 0;
    let renamed: Vec<u32> = radius
        .iter()
        .map(|&radius| {
            let keep = radius >= least_radius;
            kept += u32::from(keep);
            if keep { kept } else { 0 }
        })
        .collect();
    if kept < count as u32 {
        for number in numbers.data.iter_mut().filter(|number| **number > 0) {
            *number = renamed[*number as usize - 1];
        }
        let mut keep = renamed.iter().map(|&name| name > 0);
        open.retain(|_| keep.next().unwrap_or(false));
        radius.retain(|&radius| radius >= least_radius);
    }
    Ok(Cavities { numbers, open, radius })
}
