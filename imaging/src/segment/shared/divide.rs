//! Basins of blocks, and how they become those of the volume.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zensaibo_core::data::{Frame, Grid, Region};
use zensaibo_core::exchange::{StoredBlocks, stored};
use zensaibo_core::{Ctx, Error, Result};

use super::shell::{Runs, Shell, Shells, raster, voxel};
use super::{DIVIDE, Work};
use crate::segment::basins::{OUTSIDE, ends, highest, join, saddles, steepest};

/// What all need to know of the basins of a block. A way that leaves the block ends at the first voxel beyond.
#[derive(Serialize, Deserialize)]
pub(super) struct Divided {
    /// Where ways end, in raster order of the volume.
    ends: Vec<u64>,
    /// Heights of those that lie in the block.
    heights: Vec<f32>,
    /// Greatest contrast among the voxels of the block whose way ends there.
    tops: Vec<f32>,
    /// The highest place at which two meet; numbers from 0.
    saddles: Vec<(u32, u32, f32)>,
    /// At the outermost voxels the number of the end from 1; 0 in the background.
    shell: Runs,
}

/// What stays with a block: the end of each voxel from 1, 0 in the background; its contrast where it has one; and the light
/// where a voxel or one of its six neighbours has one ([`lit`]).
#[derive(Serialize, Deserialize)]
pub(super) struct Relief {
    ends: Runs,
    contrast: Vec<f32>,
    light: Vec<f32>,
}

/// A [`Relief`] as grids.
pub(super) struct Ground {
    pub(super) ends: Grid<u32>,
    /// 0 in the background.
    pub(super) contrast: Grid<f32>,
    /// Of the block and one voxel around it, as far as the volume goes.
    pub(super) light: Grid<f32>,
}

/// Whether the light of each voxel of a grown block is kept: it or one of its six neighbours has an end in the block.
fn lit(ends: &Grid<u32>, core: &Region, around: [usize; 3]) -> Vec<bool> {
    let mut lit = vec![false; around.iter().product()];
    let steps = [around[1] * around[2], around[2], 1];
    for z in 0..core.size[0] {
        for y in 0..core.size[1] {
            for (x, _) in ends.row(z, y).iter().enumerate().filter(|(_, end)| **end != 0) {
                let at = [core.start[0] + z, core.start[1] + y, core.start[2] + x];
                let place = (at[0] * around[1] + at[1]) * around[2] + at[2];
                lit[place] = true;
                for axis in 0..3 {
                    if at[axis] > 0 {
                        lit[place - steps[axis]] = true;
                    }
                    if at[axis] + 1 < around[axis] {
                        lit[place + steps[axis]] = true;
                    }
                }
            }
        }
    }
    lit
}

impl Work<'_> {
    /// A block, one voxel around it, and where the block lies therein.
    pub(super) fn around(&self, region: &Region) -> (Region, Region) {
        let around = region.grown([1; 3], self.shape());
        let start = std::array::from_fn(|axis| region.start[axis] - around.start[axis]);
        (around, Region { start, size: region.size })
    }

    /// Divides one block.
    pub(super) fn divide(&self, frame: Frame, region: &Region, least: f64, ctx: &Ctx) -> Result<(Divided, Relief)> {
        let (around, core) = self.around(region);
        let reliefs = self.scales.apply(self.volume, frame, &around)?;
        reliefs.check(&self.volume.info().name, &around)?;
        let inside: Vec<bool> = reliefs.contrast.data.iter().map(|&value| f64::from(value) > least).collect();
        let mut up = steepest(&reliefs.summits, &inside, ctx)?;
        for (at, up) in up.iter_mut().enumerate().filter(|(_, up)| **up != OUTSIDE) {
            if !core.contains(voxel(around.size, at as u64)) {
                *up = at as u32;
            }
        }
        let (numbers, places) = ends(up, ctx)?;
        let mut meet = saddles(&reliefs.summits, &numbers, &core, ctx)?;
        let numbers = Grid { shape: around.size, data: numbers }.crop(&core);
        let contrast = reliefs.contrast.crop(&core);

        // Only ends that something of the block leads to or meets.
        let mut used = vec![0u32; places.len() + 1];
        numbers.data.iter().for_each(|&number| used[number as usize] = 1);
        meet.iter().for_each(|&(a, b, _)| (used[a as usize], used[b as usize]) = (1, 1));
        used[0] = 0;
        let mut next = 0;
        for number in used.iter_mut().filter(|number| **number != 0) {
            next += 1;
            *number = next;
        }
        let ends = Grid { shape: region.size, data: numbers.data.iter().map(|&n| used[n as usize]).collect() };
        meet.iter_mut().for_each(|(a, b, _)| (*a, *b) = (used[*a as usize] - 1, used[*b as usize] - 1));
        let (mut found, mut heights) = (Vec::new(), Vec::new());
        for (&place, _) in places.iter().zip(&used[1..]).filter(|(_, number)| **number != 0) {
            let at = voxel(around.size, u64::from(place));
            found.push(raster(self.shape(), std::array::from_fn(|axis| at[axis] + around.start[axis])));
            if core.contains(at) {
                heights.push(reliefs.summits.data[place as usize]);
            }
        }
        let mut tops = vec![0f32; found.len()];
        for (&end, &value) in ends.data.iter().zip(&contrast.data).filter(|(end, _)| **end != 0) {
            let top = &mut tops[end as usize - 1];
            *top = top.max(value);
        }
        let contrast = ends.data.iter().zip(&contrast.data).filter(|(end, _)| **end != 0).map(|(_, &value)| value);
        let lit = lit(&ends, &core, around.size);
        let light = reliefs.light.data.iter().zip(&lit).filter(|(_, lit)| **lit).map(|(&light, _)| light);
        let relief =
            Relief { ends: Runs::of(ends.data.iter().copied()), contrast: contrast.collect(), light: light.collect() };
        Ok((Divided { ends: found, heights, tops, saddles: meet, shell: Shell::of(&ends) }, relief))
    }

    /// What stayed with a block.
    pub(super) fn ground(&self, kept: &dyn StoredBlocks, unit: usize, region: &Region) -> Result<Ground> {
        let relief: Relief = stored(DIVIDE, kept, unit)?;
        let (around, core) = self.around(region);
        let damaged = || Error::Internal(format!("{DIVIDE}: a block of another size"));
        let ends = Grid::new(region.size, relief.ends.values()).map_err(|_| damaged())?;
        let spread = |there: &mut dyn Iterator<Item = bool>, values: &[f32]| {
            let mut values = values.iter();
            let spread = there.map(|there| if there { values.next().copied() } else { Some(0.0) });
            spread.collect::<Option<Vec<f32>>>().ok_or_else(damaged)
        };
        let contrast = spread(&mut ends.data.iter().map(|&end| end != 0), &relief.contrast)?;
        let light = spread(&mut lit(&ends, &core, around.size).into_iter(), &relief.light)?;
        Ok(Ground {
            contrast: Grid { shape: region.size, data: contrast },
            light: Grid { shape: around.size, data: light },
            ends,
        })
    }
}

/// The basins of one frame: which end of which block belongs to which.
pub(super) struct Basins {
    /// Number of the first end of each block among those of all, and of all.
    starts: Vec<u32>,
    /// The basin of each end, from 1; 0 for none.
    basin: Vec<u32>,
    /// Greatest contrast of each basin.
    tops: Vec<f32>,
}

impl Basins {
    /// Merges the blocks of frame number `frame` (of those that are worked on).
    pub(super) fn merge(work: &Work<'_>, parts: &dyn StoredBlocks, frame: usize, ctx: &Ctx) -> Result<Self> {
        let (plan, shape) = (&work.plan, work.shape());
        let (mut starts, mut places, mut tops) = (vec![0u32], Vec::<u64>::new(), Vec::<f32>::new());
        let (mut shells, mut summits, mut meet) = (Shells::new(plan), Vec::<(u64, u32, f32)>::new(), Vec::new());
        for block in 0..plan.len() {
            ctx.check()?;
            let found: Divided = stored(DIVIDE, parts, frame * plan.len() + block)?;
            let (first, region) = (starts[block], plan.region(block));
            let mut heights = found.heights.into_iter();
            for (end, &place) in (first..).zip(&found.ends) {
                if region.contains(voxel(shape, place)) {
                    let height = heights.next().ok_or_else(|| Error::Internal(format!("{DIVIDE}: no height")))?;
                    summits.push((place, end, height));
                }
            }
            meet.extend(found.saddles.iter().map(|&(a, b, low)| (first + a, first + b, low)));
            places.extend_from_slice(&found.ends);
            tops.extend_from_slice(&found.tops);
            shells.push(&found.shell);
            starts.push(number(places.len())?);
        }
        // A way that left its block goes on where it entered the next.
        let mut up: Vec<u32> = (0..places.len() as u32).collect();
        for block in 0..plan.len() {
            let region = plan.region(block);
            for end in starts[block]..starts[block + 1] {
                let at = voxel(shape, places[end as usize]);
                if !region.contains(at) {
                    let (there, entered) = shells.at(at);
                    let way = entered.checked_sub(1).map(|entered| starts[there] + entered);
                    up[end as usize] = way.ok_or_else(|| Error::Internal(format!("{DIVIDE}: a way into nothing")))?;
                }
            }
        }
        drop((shells, places));
        let mut way = Vec::new();
        for start in 0..up.len() as u32 {
            let mut at = start;
            while up[at as usize] != at {
                way.push(at);
                at = up[at as usize];
            }
            way.drain(..).for_each(|end| up[end as usize] = at);
        }
        // Summits by number, in raster order of the volume.
        summits.par_sort_unstable_by_key(|&(place, ..)| place);
        let mut numbers = vec![0u32; up.len()];
        summits.iter().zip(1..).for_each(|(&(_, end, _), number)| numbers[end as usize] = number);
        let numbers: Vec<u32> = up.iter().map(|&end| numbers[end as usize]).collect();
        let mut meet: Vec<(u32, u32, f32)> = meet
            .into_iter()
            .map(|(a, b, low)| (numbers[a as usize], numbers[b as usize], low))
            .filter(|(a, b, _)| a != b)
            .map(|(a, b, low)| (a.min(b), a.max(b), low))
            .collect();
        highest(&mut meet);
        let heights: Vec<f32> = summits.iter().map(|&(.., height)| height).collect();
        let joined = join(&heights, meet, work.options.merge_depth);
        let basin: Vec<u32> = numbers.iter().map(|&number| joined[number as usize - 1]).collect();
        let mut most = vec![0f32; summits.len() + 1];
        for (&basin, &top) in basin.iter().zip(&tops) {
            let most = &mut most[basin as usize];
            *most = most.max(top);
        }
        Ok(Self { starts, basin, tops: most })
    }

    /// The basin of an end of a block (from 1), and its greatest contrast.
    pub(super) fn of(&self, block: usize, end: u32) -> (u32, f32) {
        let basin = self.basin[(self.starts[block] + end - 1) as usize];
        (basin, self.tops[basin as usize])
    }
}

/// A count that must stay below 2^32.
pub(super) fn number(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::Limit {
        what: "segment_nuclei".into(),
        needed: format!("{count} pieces of basins in one frame"),
        limit: "2^32 - 1 (cut it)".into(),
    })
}
