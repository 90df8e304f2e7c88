//! What is beyond the surface of nuclei, and what they are like.

use serde::{Deserialize, Serialize};
use zensaibo_core::Result;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::exchange::{StoredBlocks, stored};

use super::outline::Pieces;
use super::shell::Runs;
use super::{MEASURE, OUTLINE, Work};
use crate::measure::{Crofton, Part, RegionTable, Tally, measure_block};
use crate::segment::hills::{Faces, Top, risen};

/// Sums of the nuclei of a block, and their faces.
#[derive(Serialize, Deserialize)]
pub(super) struct Measured {
    sums: Part,
    faces: Vec<Faces>,
}

/// The labels of a block and one voxel around it, read as a part of the volume.
struct Around {
    info: VolumeInfo,
    start: [usize; 3],
    labels: Grid<u32>,
}

impl VolumeBlocks for Around {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, _: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        let start = std::array::from_fn(|axis| region.start[axis] - self.start[axis]);
        let part = self.labels.crop(&Region { start, size: region.size });
        out.copy_from_slice(bytemuck::cast_slice(&part.data));
        Ok(())
    }
}

/// The labels of a block from its pieces.
pub(super) fn labels_of(kept: &dyn StoredBlocks, unit: usize, region: &Region, nucleus: &[u32]) -> Result<Grid<u32>> {
    let pieces: Runs = stored(OUTLINE, kept, unit)?;
    let labels = pieces.values().into_iter().map(|piece| if piece == 0 { 0 } else { nucleus[piece as usize - 1] });
    Grid::new(region.size, labels.collect())
}

impl Work<'_> {
    /// Measures the nuclei of one block. `kept`: what the blocks kept when they were divided and when they were outlined.
    pub(super) fn measure(
        &self,
        pieces: &Pieces<'_>,
        kept: [&dyn StoredBlocks; 2],
        unit: usize,
        region: &Region,
        crofton: &Crofton,
    ) -> Result<Measured> {
        let block = unit % self.plan.len();
        let (around, core) = self.around(region);
        let light = self.ground(kept[0], unit, region)?.light;
        let inner = labels_of(kept[1], unit, region, pieces.of(block))?;
        let mut labels = Grid::filled(around.size, 0u32);
        labels.paste(&inner, core.start);
        for z in 0..around.size[0] {
            for y in 0..around.size[1] {
                for x in 0..around.size[2] {
                    // Lines of the block are skipped.
                    if !core.contains([z, y, x]) {
                        let at = [around.start[0] + z, around.start[1] + y, around.start[2] + x];
                        let place = labels.index(z, y, x);
                        labels.data[place] = pieces.at(at);
                    }
                }
            }
        }
        let mut info = VolumeInfo::plain("nuclei", self.shape(), Dtype::U32);
        info.spacing = Some(self.spacing.um());
        let labels = Around { info, start: around.start, labels };
        let time = self.frames[unit / self.plan.len()].time;
        let sums = measure_block(&labels, (self.volume, time), crofton, region)?;
        let labels = labels.labels;
        let places: std::collections::HashMap<u64, usize> = sums.labels.iter().copied().zip(0..).collect();
        let mut faces = vec![Faces::default(); sums.labels.len()];
        let (size, steps) = (around.size, [around.size[1] * around.size[2], around.size[2], 1]);
        for z in core.range(0) {
            for y in core.range(1) {
                for x in core.range(2) {
                    let at = labels.index(z, y, x);
                    let label = labels.data[at];
                    if label == 0 {
                        continue;
                    }
                    let mut own = Faces::default();
                    for (axis, place) in [z, y, x].into_iter().enumerate() {
                        // The grown block ends where the volume does, or one voxel further than this one.
                        let before = (place > 0).then(|| at - steps[axis]);
                        let after = (place + 1 < size[axis]).then(|| at + steps[axis]);
                        for next in [before, after] {
                            match next {
                                Some(next) if labels.data[next] == 0 => {
                                    own.free += 1;
                                    own.dark += u64::from(light.data[next] < pieces.dark[label as usize]);
                                }
                                Some(_) => {}
                                None => own.hidden += u64::from(self.shape()[axis] > 1),
                            }
                        }
                    }
                    if own != Faces::default() {
                        faces[places[&u64::from(label)]].add(&own);
                    }
                }
            }
        }
        Ok(Measured { sums, faces })
    }

    /// From the measured blocks of frame number `frame` the numbers of those nuclei that are hills, from 1, else 0; and their table.
    pub(super) fn table(
        &self,
        parts: &dyn StoredBlocks,
        frame: usize,
        tops: &[Top],
        crofton: &Crofton,
    ) -> Result<(Vec<u32>, RegionTable)> {
        let mut tally = Tally::new(self.volume.info().shape[1]);
        let mut faces = vec![Faces::default(); tops.len()];
        for block in 0..self.plan.len() {
            let found: Measured = stored(MEASURE, parts, frame * self.plan.len() + block)?;
            tally.add(&self.plan.region(block), &found.sums);
            for (&label, more) in found.sums.labels.iter().zip(&found.faces) {
                faces[label as usize].add(more);
            }
        }
        let numbers = risen(&faces, tops, self.spacing, self.options);
        let name = |label: u64| Some(u64::from(numbers[label as usize])).filter(|&number| number != 0);
        let table = tally.table(Some(self.volume.info()), self.spacing, self.shape(), Some(crofton), name);
        Ok((numbers, table))
    }
}
