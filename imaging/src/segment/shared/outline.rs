//! Contours of blocks, and the connected pieces of the volume.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zensaibo_core::data::{Dtype, Grid, Region, VolumeInfo};
use zensaibo_core::exchange::{StoredBlocks, stored};
use zensaibo_core::{Ctx, Result};

use super::divide::{Basins, number};
use super::shell::{Runs, Shell, Shells, raster, voxel};
use super::{OUTLINE, Work};
use crate::morphology::Sets;
use crate::segment::basins::AFTER;
use crate::segment::hills::Top;
use crate::segment::nuclei::{chosen, pieces_of};

/// What all need to know of the pieces of a block, in raster order.
#[derive(Serialize, Deserialize)]
pub(super) struct Outlined {
    /// The basin of each.
    basins: Vec<u32>,
    voxels: Vec<u64>,
    /// Number of the first voxel in raster order of the volume.
    firsts: Vec<u64>,
    /// Greatest contrast, the number of the first voxel that has it, and the background there.
    tops: Vec<(f32, u64, f32)>,
    /// At the outermost voxels the number of the piece from 1, else 0.
    shell: Runs,
}

impl Work<'_> {
    /// Outlines the nuclei of one block. Its pieces, by number from 1, stay with it.
    pub(super) fn outline(
        &self,
        basins: &Basins,
        kept: &dyn StoredBlocks,
        unit: usize,
        region: &Region,
        ctx: &Ctx,
    ) -> Result<(Outlined, Runs)> {
        let block = unit % self.plan.len();
        let ground = self.ground(kept, unit, region)?;
        let level = self.options.contour_level;
        let labels = ground.ends.data.iter().zip(&ground.contrast.data).map(|(&end, &value)| {
            let (basin, top) = if end == 0 { (0, 0.0) } else { basins.of(block, end) };
            if basin != 0 && f64::from(value) < level * f64::from(top) { 0 } else { basin }
        });
        let labels = Grid { shape: region.size, data: labels.collect() };
        let labels = (VolumeInfo::plain("basins", region.size, Dtype::U32), labels);
        let (pieces, voxels) = pieces_of(&labels, None, ctx)?;
        let count = voxels.len();
        let mut found = Outlined {
            basins: vec![0; count],
            voxels,
            firsts: vec![u64::MAX; count],
            tops: vec![(f32::NEG_INFINITY, 0, 0.0); count],
            shell: Shell::of(&pieces),
        };
        let (_, core) = self.around(region);
        let mut at = 0;
        for z in 0..region.size[0] {
            for y in 0..region.size[1] {
                let light = &ground.light.row(core.start[0] + z, core.start[1] + y)[core.range(2)];
                for (x, &light) in light.iter().enumerate() {
                    if let Some(piece) = pieces.data[at].checked_sub(1) {
                        let (piece, value) = (piece as usize, ground.contrast.data[at]);
                        let place = [region.start[0] + z, region.start[1] + y, region.start[2] + x];
                        let place = raster(self.shape(), place);
                        found.basins[piece] = labels.1.data[at];
                        found.firsts[piece] = found.firsts[piece].min(place);
                        if value > found.tops[piece].0 {
                            found.tops[piece] = (value, place, light - value);
                        }
                    }
                    at += 1;
                }
            }
        }
        Ok((found, Runs::of(pieces.data)))
    }
}

/// The nuclei of one frame before they are measured.
pub(super) struct Pieces<'a> {
    /// Number of the first piece of each block among those of all, and of all.
    starts: Vec<u32>,
    /// The nucleus of each piece, from 1; 0 for none.
    nucleus: Vec<u32>,
    /// The brightest place of each nucleus; that of number 0 has no meaning.
    pub(super) tops: Vec<Top>,
    /// Below which light it is dark beside each.
    pub(super) dark: Vec<f32>,
    shells: Shells<'a>,
}

impl<'a> Pieces<'a> {
    /// Merges the blocks of frame number `frame`.
    pub(super) fn merge(work: &'a Work<'_>, parts: &dyn StoredBlocks, frame: usize, ctx: &Ctx) -> Result<Self> {
        let plan = &work.plan;
        let (mut starts, mut shells) = (vec![0u32], Shells::new(plan));
        let (mut basins, mut voxels, mut firsts, mut tops) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for block in 0..plan.len() {
            ctx.check()?;
            let mut found: Outlined = stored(OUTLINE, parts, frame * plan.len() + block)?;
            basins.append(&mut found.basins);
            voxels.append(&mut found.voxels);
            firsts.append(&mut found.firsts);
            tops.append(&mut found.tops);
            shells.push(&found.shell);
            starts.push(number(basins.len())?);
        }
        let meetings: Vec<Vec<(u32, u32)>> =
            (0..plan.len()).into_par_iter().map(|block| meetings(work, &shells, &starts, &basins, block)).collect();
        let mut sets = Sets((0..basins.len() as u32).collect());
        meetings.into_iter().flatten().for_each(|(a, b)| sets.join(a, b));
        // Each set stands at its first member, with the sums of all.
        for piece in 0..basins.len() {
            let set = sets.find(piece as u32) as usize;
            if set != piece {
                voxels[set] += voxels[piece];
                firsts[set] = firsts[set].min(firsts[piece]);
                let (here, there) = (tops[piece], tops[set]);
                if here.0 > there.0 || (here.0 == there.0 && here.1 < there.1) {
                    tops[set] = here;
                }
            }
        }
        let mut order: Vec<u32> = (0..basins.len() as u32).filter(|&piece| sets.find(piece) == piece).collect();
        order.par_sort_unstable_by_key(|&piece| firsts[piece as usize]);
        let found: Vec<(u32, u64)> =
            order.iter().map(|&piece| (basins[piece as usize], voxels[piece as usize])).collect();
        let numbers = chosen(&found, work.spacing, work.options);
        let nothing = Top { contrast: f32::NEG_INFINITY, voxel: [0; 3], background: 0.0 };
        let (mut nucleus, mut nuclei) = (vec![0u32; basins.len()], vec![nothing]);
        for (&piece, &number) in order.iter().zip(&numbers).filter(|(_, number)| **number != 0) {
            nucleus[piece as usize] = number;
            let (contrast, place, background) = tops[piece as usize];
            nuclei.push(Top { contrast, voxel: voxel(work.shape(), place), background });
        }
        let nucleus = (0..basins.len() as u32).map(|piece| nucleus[sets.find(piece) as usize]).collect();
        let dark = nuclei.iter().map(|top| top.dark_below(work.options)).collect();
        Ok(Self { starts, nucleus, tops: nuclei, dark, shells })
    }

    /// The nuclei of the pieces of a block.
    pub(super) fn of(&self, block: usize) -> &[u32] {
        &self.nucleus[self.starts[block] as usize..self.starts[block + 1] as usize]
    }

    /// The nucleus at one of the outermost voxels of a block; 0 for none.
    pub(super) fn at(&self, voxel: [usize; 3]) -> u32 {
        let (block, piece) = self.shells.at(voxel);
        piece.checked_sub(1).map_or(0, |piece| self.of(block)[piece as usize])
    }

    /// Where the pieces of each block begin among those of all, and the nucleus of each.
    pub(super) fn into_numbers(self) -> (Vec<u32>, Vec<u32>) {
        (self.starts, self.nucleus)
    }
}

/// Pieces of a block that touch pieces of the same basin in blocks that follow.
fn meetings(work: &Work<'_>, shells: &Shells<'_>, starts: &[u32], basins: &[u32], block: usize) -> Vec<(u32, u32)> {
    let (region, shape) = (work.plan.region(block), work.shape());
    let values = shells.of(block);
    let (mut found, mut place) = (Vec::new(), 0);
    Shell::new(region.size).each(|at| {
        let piece = values[place];
        place += 1;
        if piece == 0 {
            return;
        }
        let here = starts[block] + piece - 1;
        let at: [usize; 3] = std::array::from_fn(|axis| region.start[axis] + at[axis]);
        for step in AFTER {
            let next: [usize; 3] = std::array::from_fn(|axis| at[axis].wrapping_add_signed(step[axis]));
            if (0..3).any(|axis| next[axis] >= shape[axis]) || region.contains(next) {
                continue;
            }
            let (there, piece) = shells.at(next);
            if piece != 0 {
                let there = starts[there] + piece - 1;
                if basins[here as usize] == basins[there as usize] {
                    found.push((here, there));
                }
            }
        }
    });
    found.sort_unstable();
    found.dedup();
    found
}
