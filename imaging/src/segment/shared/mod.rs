//! Nuclei of a volume that processes share: block by block, in four passes, with the bits of one process.
//!
//! Nothing is decided by where the blocks lie. Each block divides itself; a way to a summit that leaves it ends at the first voxel
//! beyond, and is led on when all blocks are known ([`divide`]). Then each outlines its part of the basins, and connected pieces
//! are put together over the outermost voxels of neighbours ([`outline`]); then each measures its part of the nuclei ([`measure`]).
//! What a block finds of its voxels stays with it: others see summits, saddles, pieces, sums, and its outermost voxels.

mod divide;
mod measure;
mod outline;
mod shell;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::exchange::{Exchange, StoredBlocks, stored, stored_units};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::background::{PlaneNoise, Scales, noise_of, noise_planes, plane_noise};
use super::{Nuclei, NucleiOptions};
use crate::blocks::{Plan, Work as BlockWork, map_units};
use crate::measure::{Crofton, RegionTable};
use crate::space::Spacing;
use divide::Basins;
use outline::Pieces;

/// The passes, in order.
pub(super) const NOISE: &str = "nuclei noise";
pub(super) const DIVIDE: &str = "nuclei divide";
pub(super) const OUTLINE: &str = "nuclei outline";
pub(super) const MEASURE: &str = "nuclei measure";

/// Nuclei of several frames, found by processes that share the volume.
pub struct SharedNuclei {
    /// Number of each nucleus, from 1 in every frame; time point `i` is frame number `i`. Read from what the blocks kept.
    pub labels: SharedLabels,
    /// For each frame one row for each nucleus.
    pub tables: Vec<RegionTable>,
    /// For each frame the standard deviation of the noise between neighbouring voxels.
    pub noise: Vec<f64>,
    /// For each frame the brightness above the background that a voxel had to have.
    pub min_contrast: Vec<f64>,
}

/// What all passes are done with.
struct Work<'a> {
    volume: &'a dyn VolumeBlocks,
    frames: &'a [Frame],
    spacing: Spacing,
    options: &'a NucleiOptions,
    scales: Scales,
    plan: Plan,
}

impl Work<'_> {
    fn shape(&self) -> [usize; 3] {
        self.plan.shape()
    }

    fn units(&self) -> usize {
        self.frames.len() * self.plan.len()
    }

    /// Units of a range, frame by frame.
    fn by_frame(&self, units: &Range<usize>) -> Vec<(usize, Range<usize>)> {
        let n = self.plan.len();
        (units.start / n..units.end.div_ceil(n))
            .map(|frame| (frame, units.start.max(frame * n)..units.end.min((frame + 1) * n)))
            .collect()
    }
}

/// As [`segment_nuclei`](super::segment_nuclei) of several frames of one channel, by processes that share the volume: with the same bits.
///
/// Four passes: the noise, from some lines; basins, contours and measurements of blocks. Each process computes some units of a
/// pass, merges the passes before, and stops; the one that merges all gets the result. `frames` are not empty and hold voxels.
///
/// Between the passes a block keeps 4 bytes for each voxel that stands out of the background, 4 for each of these and their neighbours, and runs.
/// A process holds some blocks within `memory`, and of each frame that it works on summits, saddles and pieces (some dozens of bytes each)
/// and 4 bytes for each outermost voxel of all blocks; no frame is held whole, and none is too large but for 2^32 summits.
///
/// # Errors
/// As [`segment_nuclei`](super::segment_nuclei); [`Error::PartDone`] once a part is handed over; what the exchange returns.
pub fn segment_shared(
    volume: &dyn VolumeBlocks,
    exchange: &Arc<dyn Exchange>,
    frames: &[Frame],
    spacing: Spacing,
    options: &NucleiOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<SharedNuclei> {
    options.validate()?;
    let info = volume.info();
    let shape = info.space();
    frames.iter().try_for_each(|&frame| info.check(frame, &Region::whole(shape)))?;
    let scales = Scales::new(options, spacing)?;
    // Reliefs, ways and labels beside what smoothing takes.
    let block = BlockWork { halo: scales.halo().map(|n| n + 1), bytes_per_voxel: 40, chunk: info.chunk, memory };
    let work = Work { volume, frames, spacing, options, scales, plan: Plan::shared(shape, &block)? };
    in_work(&work, exchange, ctx)
}

/// All passes, on a given cut.
fn in_work(work: &Work<'_>, exchange: &Arc<dyn Exchange>, ctx: &Ctx) -> Result<SharedNuclei> {
    let (frames, plan, units) = (work.frames, &work.plan, work.units());
    // A pass of no units would be none.
    let planes = noise_planes(work.shape()).max(1);
    let noises = stored_units::<PlaneNoise, ()>(exchange, NOISE, frames.len() * planes, false, ctx, |range, put| {
        let stage = ctx.stage(NOISE, range.len() as u64);
        let found: Vec<Result<PlaneNoise>> = range
            .into_par_iter()
            .map(|unit| {
                stage.advance(1)?;
                plane_noise(work.volume, frames[unit / planes], unit % planes)
            })
            .collect();
        found.into_iter().try_for_each(|found| put(found?, None))
    })?;
    let noise = |frame: usize| noise_of((0..planes).map(|plane| stored(NOISE, &*noises, frame * planes + plane)));
    let divided = stored_units(exchange, DIVIDE, units, true, ctx, |range, put| {
        for (frame, range) in work.by_frame(&range) {
            let least = work.scales.least_contrast(work.options, noise(frame)?);
            let divide = |_, region: &Region| work.divide(frames[frame], region, least, ctx);
            map_units(plan, range, DIVIDE, ctx, divide, |_, (found, kept)| put(found, Some(kept)))?;
        }
        Ok(())
    })?;
    let outlined = stored_units(exchange, OUTLINE, units, true, ctx, |range, put| {
        let kept = exchange.kept(DIVIDE, units)?;
        for (frame, range) in work.by_frame(&range) {
            let basins = Basins::merge(work, &*divided, frame, ctx)?;
            let outline = |unit, region: &Region| work.outline(&basins, &*kept, unit, region, ctx);
            map_units(plan, range, OUTLINE, ctx, outline, |_, (found, kept)| put(found, Some(kept)))?;
        }
        Ok(())
    })?;
    let crofton = Crofton::new(work.spacing);
    let measured = stored_units::<_, ()>(exchange, MEASURE, units, false, ctx, |range, put| {
        let kept = [exchange.kept(DIVIDE, units)?, exchange.kept(OUTLINE, units)?];
        let kept = [&*kept[0], &*kept[1]];
        for (frame, range) in work.by_frame(&range) {
            let pieces = Pieces::merge(work, &*outlined, frame, ctx)?;
            let measure = |unit, region: &Region| work.measure(&pieces, kept, unit, region, &crofton);
            map_units(plan, range, MEASURE, ctx, measure, |_, found| put(found, None))?;
        }
        Ok(())
    })?;
    let mut label_info = VolumeInfo::plain("nuclei", work.shape(), Dtype::U32);
    label_info.shape[0] = frames.len();
    label_info.axes = "tzyx".into();
    label_info.spacing = Some(work.spacing.um());
    let kept = exchange.kept(OUTLINE, units)?;
    let labels = SharedLabels { info: label_info, plan: plan.clone(), kept, numbers: Vec::new() };
    let mut all = SharedNuclei { labels, tables: Vec::new(), noise: Vec::new(), min_contrast: Vec::new() };
    for frame in 0..frames.len() {
        let found = noise(frame)?;
        all.noise.push(found.0);
        all.min_contrast.push(work.scales.least_contrast(work.options, found));
        let pieces = Pieces::merge(work, &*outlined, frame, ctx)?;
        let (hills, table) = work.table(&*measured, frame, &pieces.tops, &crofton)?;
        let (starts, nucleus) = pieces.into_numbers();
        let nucleus: Vec<u32> = nucleus.into_iter().map(|number| hills[number as usize]).collect();
        for block in starts.windows(2) {
            all.labels.numbers.push(nucleus[block[0] as usize..block[1] as usize].to_vec());
        }
        all.tables.push(table);
    }
    Ok(all)
}

/// Labels that are put together from the pieces of blocks where they are read; time points are the frames.
pub struct SharedLabels {
    info: VolumeInfo,
    plan: Plan,
    kept: Box<dyn StoredBlocks>,
    /// Of each block of each frame the label of each piece; 0 for none.
    numbers: Vec<Vec<u32>>,
}

impl VolumeBlocks for SharedLabels {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        let mut whole = Grid::filled(region.size, 0u32);
        let (block, counts) = (self.plan.block(), self.plan.counts());
        let range = |axis: usize| region.start[axis] / block[axis]..region.end()[axis].div_ceil(block[axis]);
        let mut touched = Vec::new();
        for z in range(0) {
            for y in range(1) {
                touched.extend(range(2).map(|x| (z * counts[1] + y) * counts[2] + x));
            }
        }
        if region.is_empty() {
            return Ok(());
        }
        let threads = rayon::current_num_threads();
        for some in touched.chunks(4 * threads) {
            let parts: Vec<Result<(Grid<u32>, [usize; 3])>> =
                some.par_iter().map(|&block| self.part(frame.time, block, region)).collect();
            for part in parts {
                let (part, start) = part?;
                whole.paste(&part, start);
            }
        }
        out.copy_from_slice(bytemuck::cast_slice(&whole.data));
        Ok(())
    }
}

impl SharedLabels {
    /// What a block has of a region, and where therein.
    fn part(&self, frame: usize, block: usize, region: &Region) -> Result<(Grid<u32>, [usize; 3])> {
        let (own, unit) = (self.plan.region(block), frame * self.plan.len() + block);
        let labels = measure::labels_of(&*self.kept, unit, &own, &self.numbers[unit])?;
        let common = own.intersect(region);
        let start = std::array::from_fn(|axis| common.start[axis] - own.start[axis]);
        let part = labels.crop(&Region { start, size: common.size });
        Ok((part, std::array::from_fn(|axis| common.start[axis] - region.start[axis])))
    }
}

impl SharedNuclei {
    /// The labels of frame number `frame` in memory.
    ///
    /// # Errors
    /// What was kept cannot be read.
    pub fn labels_in_memory(&self, frame: usize) -> Result<Grid<u32>> {
        let shape = self.labels.info.space();
        let mut labels = Grid::filled(shape, 0u32);
        let frame = Frame { time: frame, channel: 0 };
        self.labels.read(frame, &Region::whole(shape), bytemuck::cast_slice_mut(&mut labels.data))?;
        Ok(labels)
    }

    /// The nuclei of the first frame.
    pub(super) fn into_one(mut self, ctx: &Ctx) -> Result<Nuclei> {
        ctx.check()?;
        let labels = self.labels_in_memory(0)?;
        let table = if self.tables.is_empty() { None } else { Some(self.tables.swap_remove(0)) };
        let (Some(table), Some(&noise), Some(&min_contrast)) = (table, self.noise.first(), self.min_contrast.first())
        else {
            return Err(Error::Internal("nuclei of no frame".into()));
        };
        Ok(Nuclei { labels, table, noise, min_contrast })
    }
}

#[cfg(test)]
mod tests;
