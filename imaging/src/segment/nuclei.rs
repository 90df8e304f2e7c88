//! Nuclei of dense stains.

use rayon::prelude::*;
use zensaibo_core::data::{Dtype, Frame, Grid, VolumeBlocks, VolumeInfo};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::NucleiOptions;
use super::background::{Scales, noise_of, noise_planes, plane_noise};
use super::basins::basins;
use super::hills::hills;
use super::shared::segment_shared;
use crate::blocks::{DEFAULT_MEMORY, Plan, Work, filled, map_blocks};
use crate::measure::{RegionOptions, RegionTable, region_properties};
use crate::morphology::{Components, Connectivity, LabelOptions};
use crate::space::Spacing;

/// Nuclei of one frame.
#[derive(Clone, Debug)]
pub struct Nuclei {
    /// 0 for background, else the number of the nucleus, from 1 in raster order of first voxels.
    pub labels: Grid<u32>,
    /// One row for each nucleus: volume, axes, sphericity, intensity of every channel, touching border.
    pub table: RegionTable,
    /// Standard deviation of the noise between neighbouring voxels.
    pub noise: f64,
    /// Brightness above the background that a voxel had to have.
    pub min_contrast: f64,
}

/// Finds the nuclei of one frame and measures them in all channels of its time point.
///
/// The volume is smoothed in blocks; the reliefs, the mask and the labels of the whole frame are then held in memory,
/// 25 bytes per voxel. `memory` bounds the blocks. Nothing is random; same labels for any memory and any number of threads. No
/// nucleus is dropped but by size, contrast and rim; those at the border are kept and marked in the table.
///
/// Processes that share the volume ([`VolumeBlocks::exchange`]) do the same block by block ([`segment_shared`]).
///
/// Sizes and volumes are those of the contour at `contour_level` of each nucleus' own contrast after smoothing.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for NaN or infinity in the volume; [`Error::Limit`] for
/// 2^32 voxels or more in a frame (cut it) and when no block fits `memory`; what the source returns.
pub fn segment_nuclei(
    volume: &dyn VolumeBlocks,
    frame: Frame,
    spacing: Spacing,
    options: &NucleiOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<Nuclei> {
    options.validate()?;
    let info = volume.info();
    let shape = info.space();
    if let Some(exchange) = volume.exchange().filter(|_| !shape.contains(&0)) {
        return segment_shared(volume, exchange, &[frame], spacing, options, memory, ctx)?.into_one(ctx);
    }
    let count: u64 = shape.iter().map(|&n| n as u64).product();
    if count >= u64::from(u32::MAX) {
        let needed = format!("{count} voxels in one frame");
        return Err(Error::Limit { what: "segment_nuclei".into(), needed, limit: "2^32 - 2 voxels".into() });
    }
    let (mut summits, mut contrast) = (Grid::<f32>::zeros(shape), Grid::<f32>::zeros(shape));
    let mut light = Grid::<f32>::zeros(shape);
    let (mut deviation, mut min_contrast) = (0.0, options.min_contrast.unwrap_or(0.0));
    if count > 0 {
        let scales = Scales::new(options, spacing)?;
        let found = noise_of((0..noise_planes(shape)).map(|plane| plane_noise(volume, frame, plane)))?;
        (deviation, min_contrast) = (found.0, scales.least_contrast(options, found));
        let work = Work { halo: scales.halo(), bytes_per_voxel: 24, chunk: info.chunk, memory };
        let plan = Plan::new(shape, &work)?;
        map_blocks(
            &plan,
            "nuclei: smoothing",
            ctx,
            |region| scales.apply(volume, frame, region),
            |region, reliefs| {
                reliefs.check(&info.name, region)?;
                summits.paste(&reliefs.summits, region.start);
                contrast.paste(&reliefs.contrast, region.start);
                light.paste(&reliefs.light, region.start);
                Ok(())
            },
        )?;
    }
    let stage = ctx.stage("nuclei: dividing", count);
    let inside: Vec<bool> = contrast.data.par_iter().map(|&value| f64::from(value) > min_contrast).collect();
    let mut labels = basins(&summits, &inside, options.merge_depth, ctx)?;
    drop((summits, inside));
    outline(&mut labels, &contrast.data, options.contour_level);
    let mut labels = largest_pieces(Grid { shape, data: labels }, spacing, options, ctx)?;
    hills(&mut labels, &contrast.data, &light.data, spacing, options, ctx)?;
    drop((contrast, light));
    stage.advance(count)?;
    drop(stage);
    let mut label_info = VolumeInfo::plain("nuclei", shape, Dtype::U32);
    label_info.spacing = Some(spacing.um());
    let labels = (label_info, labels);
    let table = region_properties(
        &labels,
        Frame::default(),
        Some((volume, frame.time)),
        spacing,
        &RegionOptions::default(),
        memory,
        ctx,
    )?;
    Ok(Nuclei { labels: labels.1, table, noise: deviation, min_contrast })
}

/// Neighbours that hold a piece together.
pub(super) const CONNECTIVITY: Connectivity = Connectivity::Corners;

/// Keeps the voxels of each basin that reach a share of its greatest contrast.
fn outline(labels: &mut [u32], contrast: &[f32], level: f64) {
    let mut tops = vec![0f32; labels.par_iter().max().map_or(0, |&most| most as usize) + 1];
    for (&label, &value) in labels.iter().zip(contrast) {
        let top = &mut tops[label as usize];
        *top = top.max(value);
    }
    labels.par_iter_mut().zip(contrast).for_each(|(label, &value)| {
        if *label != 0 && f64::from(value) < level * f64::from(tops[*label as usize]) {
            *label = 0;
        }
    });
}

/// The connected pieces of labels, from 1 in raster order of their first voxels, and the voxels of each.
pub(super) fn pieces_of(
    labels: &(VolumeInfo, Grid<u32>),
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<(Grid<u32>, Vec<u64>)> {
    let shape = labels.1.shape;
    let label = LabelOptions { by_value: true, connectivity: CONNECTIVITY, ..LabelOptions::default() };
    let found = Components::find(labels, Frame::default(), &label, memory, &ctx.silent())?;
    let info = VolumeInfo::plain("pieces", shape, Dtype::U32);
    let (data, ()) = filled::<u32, _>(info, |sink| found.write(Frame::default(), sink, &ctx.silent()))?;
    Ok((Grid { shape, data }, found.voxels().to_vec()))
}

/// Of each label its largest connected piece, where that is of the right size; numbered anew in raster order.
fn largest_pieces(labels: Grid<u32>, spacing: Spacing, options: &NucleiOptions, ctx: &Ctx) -> Result<Grid<u32>> {
    let volume = (VolumeInfo::plain("basins", labels.shape, Dtype::U32), labels);
    let (mut pieces, voxels) = pieces_of(&volume, Some(DEFAULT_MEMORY), ctx)?;
    let labels = &volume.1;
    // The label of each piece.
    let mut owner = vec![0u32; voxels.len() + 1];
    pieces.data.iter().zip(&labels.data).for_each(|(&piece, &label)| owner[piece as usize] = label);
    let found = owner.iter().copied().skip(1).zip(voxels);
    let numbers = chosen(&found.collect::<Vec<_>>(), spacing, options);
    pieces.data.par_iter_mut().for_each(|piece| *piece = if *piece == 0 { 0 } else { numbers[*piece as usize - 1] });
    Ok(pieces)
}

/// Of pieces in raster order of their first voxels (label, voxels) those that are the largest of their label, of equal ones the first, and of
/// the right size: their numbers from 1, and 0 for the others.
pub(super) fn chosen(pieces: &[(u32, u64)], spacing: Spacing, options: &NucleiOptions) -> Vec<u32> {
    let mut largest: Vec<Option<usize>> =
        vec![None; pieces.iter().map(|piece| piece.0 as usize).max().map_or(0, |most| most + 1)];
    for (piece, &(label, voxels)) in pieces.iter().enumerate() {
        let best = &mut largest[label as usize];
        if best.is_none_or(|best| voxels > pieces[best].1) {
            *best = Some(piece);
        }
    }
    let ball = std::f64::consts::PI / 6.0 * options.diameter.powi(3);
    let least = options.min_volume.unwrap_or(0.1 * ball);
    let most = options.max_volume.unwrap_or(f64::INFINITY);
    let mut next = 0;
    let kept = pieces.iter().enumerate().map(|(piece, &(label, voxels))| {
        let kept =
            largest[label as usize] == Some(piece) && (least..=most).contains(&(voxels as f64 * spacing.volume()));
        next += u32::from(kept);
        if kept { next } else { 0 }
    });
    kept.collect()
}
