//! Watershed by flooding from markers.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeInfo};
use zensaibo_core::options::Options;
use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::WatershedOptions;
use crate::blocks::filled;
use crate::measure::{RegionOptions, region_properties};
use crate::morphology::{Components, Connectivity, LabelOptions};
use crate::space::Spacing;

/// Floods `image` from `markers` (0: none), lowest values first, within `mask` (0: outside), and gives every voxel that
/// the water reaches the number of its marker.
///
/// A voxel joins the queue with its own value when a neighbour is taken, takes the number of that neighbour there and then, and
/// is served by value, then by age in the queue: the rule of scikit-image, whose result this equals voxel for voxel
/// except where markers of equal value compete, which start in raster order here and in an unspecified order there. Markers outside the
/// mask are ignored. Components of the mask are flooded apart and in parallel: they never meet. Nothing is random, same
/// result for any number of threads. All grids are held in memory, plus 12 bytes per voxel; time grows as n log n.
///
/// # Errors
/// [`Error::Data`] for grids of different extent or NaN inside the mask; [`Error::Limit`] for a component whose box holds more than
/// 2^32 voxels.
pub fn watershed(
    image: &Grid<f32>,
    markers: &Grid<u32>,
    mask: Option<&Grid<u8>>,
    options: &WatershedOptions,
    ctx: &Ctx,
) -> Result<Grid<u32>> {
    options.validate()?;
    let shape = image.shape;
    for (what, other) in [("markers", Some(markers.shape)), ("mask", mask.map(|mask| mask.shape))] {
        if let Some(other) = other
            && other != shape
        {
            let expected = format!("{shape:?} voxels as the image has");
            return Err(Error::data(DataFault::Shape, what, expected, format!("{other:?}")));
        }
    }
    let inside = |at: usize| mask.is_none_or(|mask| mask.data[at] != 0);
    if let Some(at) = (0..image.len()).find(|&at| image.data[at].is_nan() && inside(at)) {
        return Err(Error::data(
            DataFault::NotFinite,
            "image",
            "numbers",
            format!("NaN at voxel {at} in raster order"),
        ));
    }
    let mut out = Grid::<u32>::zeros(shape);
    if image.is_empty() {
        return Ok(out);
    }
    let Some(mask) = mask else {
        let all = Region::whole(shape);
        let labels = flood(image, markers, &all, |_| true, options.connectivity, ctx)?;
        return Ok(labels);
    };
    let volume = (VolumeInfo::plain("mask", shape, Dtype::U8), mask.clone());
    let label = LabelOptions { connectivity: options.connectivity, ..LabelOptions::default() };
    let found = Components::find(&volume, Frame::default(), &label, None, &ctx.silent())?;
    if found.dtype() != Dtype::U32 {
        return Err(Error::Limit {
            what: "components of the mask".into(),
            needed: found.count().to_string(),
            limit: "2^32 - 1".into(),
        });
    }
    let info = VolumeInfo::plain("components", shape, Dtype::U32);
    let (data, ()) = filled::<u32, _>(info.clone(), |sink| found.write(Frame::default(), sink, &ctx.silent()))?;
    let parts = (info, Grid { shape, data });
    let boxes = region_properties(
        &parts,
        Frame::default(),
        None,
        Spacing::voxels(),
        &RegionOptions { surface: false },
        None,
        &ctx.silent(),
    )?;
    let parts = parts.1;
    let stage = ctx.stage("watershed", image.len() as u64);
    ordered_reduce(
        boxes.len(),
        ctx,
        |i| {
            let start = boxes.low[i].map(|n| n as usize);
            let size = std::array::from_fn(|axis| boxes.high[i][axis] as usize - start[axis]);
            let (region, number) = (Region { start, size }, boxes.label[i] as u32);
            let labels = flood(image, markers, &region, |at| parts.data[at] == number, options.connectivity, ctx)?;
            Ok((region, labels))
        },
        |i, (region, labels)| {
            for z in 0..region.size[0] {
                for y in 0..region.size[1] {
                    let line = out.row_mut(region.start[0] + z, region.start[1] + y);
                    let line = &mut line[region.range(2)];
                    // Boxes overlap, components do not.
                    line.iter_mut().zip(labels.row(z, y)).filter(|(_, new)| **new != 0).for_each(|(l, &new)| *l = new);
                }
            }
            stage.advance(boxes.voxels[i])
        },
    )?;
    Ok(out)
}

/// Order of floats as order of whole numbers.
#[inline]
fn rank(value: f32) -> u32 {
    // -0 and 0 are one value.
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Floods the voxels of a box for which `inside(place in the image)` holds.
fn flood(
    image: &Grid<f32>,
    markers: &Grid<u32>,
    region: &Region,
    inside: impl Fn(usize) -> bool,
    connectivity: Connectivity,
    ctx: &Ctx,
) -> Result<Grid<u32>> {
    const OUTSIDE: u32 = u32::MAX;
    // One voxel more on each side, so that neighbours need no check.
    let padded = region.size.map(|n| n + 2);
    if padded.iter().map(|&n| n as u128).product::<u128>() > u128::from(u32::MAX) {
        let needed = format!("{:?} voxels for one component of the mask", region.size);
        return Err(Error::Limit { what: "watershed".into(), needed, limit: "2^32 voxels".into() });
    }
    // 0: free, else 1 + place in `numbers`, so that any number of a marker can be told from the outside.
    let mut state = Grid::filled(padded, OUTSIDE);
    let mut ranks = Grid::<u32>::zeros(padded);
    let mut numbers = Vec::new();
    let mut heap = BinaryHeap::new();
    for z in 0..region.size[0] {
        for y in 0..region.size[1] {
            let from = image.index(region.start[0] + z, region.start[1] + y, region.start[2]);
            let to = state.index(z + 1, y + 1, 1);
            for x in 0..region.size[2] {
                if !inside(from + x) {
                    continue;
                }
                ranks.data[to + x] = rank(image.data[from + x]);
                state.data[to + x] = 0;
                let marker = markers.data[from + x];
                if marker != 0 {
                    numbers.push(marker);
                    state.data[to + x] = numbers.len() as u32;
                    heap.push(Reverse((ranks.data[to + x], 0u32, (to + x) as u32)));
                }
            }
        }
    }
    let steps = neighbours(padded, connectivity);
    let mut age = 0u32;
    while let Some(Reverse((_, _, at))) = heap.pop() {
        let number = state.data[at as usize];
        for &step in &steps {
            let next = (at as usize).wrapping_add_signed(step);
            if state.data[next] != 0 {
                continue;
            }
            state.data[next] = number;
            age += 1;
            if age.is_multiple_of(65536) {
                ctx.check()?;
            }
            heap.push(Reverse((ranks.data[next], age, next as u32)));
        }
    }
    let mut out = Grid::<u32>::zeros(region.size);
    for z in 0..region.size[0] {
        for y in 0..region.size[1] {
            let line = &state.row(z + 1, y + 1)[1..=region.size[2]];
            for (out, &state) in out.row_mut(z, y).iter_mut().zip(line) {
                *out = if state == 0 || state == OUTSIDE { 0 } else { numbers[state as usize - 1] };
            }
        }
    }
    Ok(out)
}

/// Steps to the neighbours, nearest first, then in raster order.
fn neighbours(shape: [usize; 3], connectivity: Connectivity) -> Vec<isize> {
    let away = match connectivity {
        Connectivity::Faces => 1,
        Connectivity::Edges => 2,
        Connectivity::Corners => 3,
    };
    let mut steps = Vec::new();
    for distance in 1..=away {
        for step in 0..27isize {
            let (dz, dy, dx) = (step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1);
            if dz.abs() + dy.abs() + dx.abs() == distance {
                steps.push((dz * shape[1] as isize + dy) * shape[2] as isize + dx);
            }
        }
    }
    steps
}
