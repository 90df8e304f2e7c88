//! Tiles as one volume that is put together where it is read.

use std::sync::Arc;

use multiversion::multiversion;
use rayon::prelude::*;
use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::options::Options;
use zensaibo_core::{Error, Result};

use super::{FuseOptions, Tile, check_tiles};
use crate::blocks::{pool, read_f32, write_as};
use crate::space::Spacing;

/// Voxels along each axis that are worked on together by one thread.
const BLOCK: [usize; 3] = [32, 128, 256];
/// Parts of a voxel below which a tile counts as lying on voxels.
const EXACT: f64 = 1e-3;

/// One tile in the fused volume.
struct Placed {
    volume: Arc<dyn VolumeBlocks>,
    /// The first voxel of the fused volume in which the tile lies, and one past the last.
    start: [usize; 3],
    end: [usize; 3],
    /// How far before `start` the first voxel of the tile lies, in parts of a voxel.
    part: [f32; 3],
    gain: f32,
    /// Weights along each axis, from `start` on.
    weights: [Vec<f32>; 3],
}

/// Tiles, each at its place and with its gain, as one volume. Nothing is held in memory: a region is put together from the
/// tiles when it is read. Where tiles overlap, their mean is taken with weights that fall towards the border of each tile;
/// elsewhere voxels are those of the tile, to the bit where it lies on voxels and its gain is 1. Where no tile lies, 0.
///
/// A voxel depends on nothing but its place, so that blocks and threads change no bit. Voxels go through f32 and are
/// rounded to the type of the tiles.
pub struct Fused {
    info: VolumeInfo,
    tiles: Vec<Placed>,
    dark: f32,
}

impl Fused {
    /// Puts tiles together. A gain for each tile; `dark` is what stays where it is when gains act.
    ///
    /// # Errors
    /// [`Error::Parameter`] and [`Error::Data`] for tiles that do not fit together, gains that are not positive.
    pub fn new(tiles: &[Tile], gains: &[f64], dark: f64, spacing: Spacing, options: &FuseOptions) -> Result<Self> {
        options.validate()?;
        check_tiles(tiles)?;
        if gains.len() != tiles.len() || gains.iter().any(|gain| !(*gain > 0.0 && gain.is_finite())) {
            return Err(Error::parameter("gains", format!("{} positive numbers", tiles.len()), format!("{gains:?}")));
        }
        let um = spacing.um();
        let low: [f64; 3] =
            std::array::from_fn(|a| tiles.iter().map(|tile| tile.position[a]).fold(f64::INFINITY, f64::min));
        let mut placed = Vec::with_capacity(tiles.len());
        for (tile, &gain) in tiles.iter().zip(gains) {
            let size = tile.volume.info().space();
            let mut start = [0; 3];
            let mut part = [0f32; 3];
            let mut end = [0; 3];
            let mut weights: [Vec<f32>; 3] = Default::default();
            for a in 0..3 {
                let mut place = (tile.position[a] - low[a]) / um[a];
                if !options.interpolate || (place - place.round()).abs() < EXACT || size[a] == 1 {
                    place = place.round();
                }
                start[a] = place.ceil() as usize;
                // Between voxels, the one before and the one after are needed: one less than the tile has.
                let inside = start[a] as f64 - place;
                part[a] = inside as f32;
                end[a] = start[a] + size[a] - usize::from(inside > 0.0);
                let reach = options.blend.map_or(f64::INFINITY, |blend| (blend / um[a]).max(1.0));
                weights[a] = (0..end[a] - start[a])
                    .map(|at| {
                        let at = at as f64 + inside + 0.5;
                        (at.min(size[a] as f64 - at).max(0.25).min(reach) / reach.min(size[a] as f64)) as f32
                    })
                    .collect();
            }
            placed.push(Placed { volume: tile.volume.clone(), start, end, part, gain: gain as f32, weights });
        }
        let mut info = tiles[0].volume.info().clone();
        info.name = format!("{} tiles", tiles.len());
        for a in 0..3 {
            info.shape[a + 2] = placed.iter().map(|tile| tile.end[a]).max().unwrap_or(0);
        }
        if !info.axes.contains('z') {
            info.axes.insert(info.axes.len() - 2, 'z');
        }
        (info.spacing, info.origin, info.chunk) = (Some(um), low, [1; 3]);
        Ok(Self { info, tiles: placed, dark: dark as f32 })
    }

    /// The mean of the tiles in a region.
    fn block(&self, frame: Frame, region: &Region) -> Result<Grid<f32>> {
        let mut mean = pool::take_grid(region.size);
        let mut weight = pool::take_grid(region.size);
        mean.data.fill(0.0);
        weight.data.fill(0.0);
        for tile in &self.tiles {
            let own = Region { start: tile.start, size: std::array::from_fn(|a| tile.end[a] - tile.start[a]) };
            let common = own.intersect(region);
            if common.is_empty() {
                continue;
            }
            let voxels = tile.voxels(frame, &common)?;
            let at = |a: usize| common.start[a] - tile.start[a]..common.end()[a] - tile.start[a];
            let across = &tile.weights[2][at(2)];
            for (z, &weight_z) in tile.weights[0][at(0)].iter().enumerate() {
                for (y, &weight_y) in tile.weights[1][at(1)].iter().enumerate() {
                    let place = [z + common.start[0] - region.start[0], y + common.start[1] - region.start[1]];
                    let from = mean.index(place[0], place[1], common.start[2] - region.start[2]);
                    let part = from..from + common.size[2];
                    blend(
                        voxels.row(z, y),
                        across,
                        (weight_z * weight_y, tile.gain, self.dark),
                        &mut mean.data[part.clone()],
                        &mut weight.data[part],
                    );
                }
            }
            pool::give(voxels.data);
        }
        pool::give(weight.data);
        Ok(mean)
    }
}

impl Placed {
    /// The tile's voxels in a region of the fused volume in which it lies.
    fn voxels(&self, frame: Frame, region: &Region) -> Result<Grid<f32>> {
        let more: [usize; 3] = self.part.map(|part| usize::from(part > 0.0));
        let source = Region {
            start: std::array::from_fn(|a| region.start[a] - self.start[a]),
            size: std::array::from_fn(|a| region.size[a] + more[a]),
        };
        let mut grid = read_f32(self.volume.as_ref(), frame, &source)?;
        for axis in (0..3).rev().filter(|&axis| more[axis] == 1) {
            let mut shape = grid.shape;
            shape[axis] -= 1;
            let mut out = pool::take_grid(shape);
            for z in 0..shape[0] {
                for y in 0..shape[1] {
                    let here = &grid.row(z, y)[..shape[2]];
                    let after = match axis {
                        0 => grid.row(z + 1, y),
                        1 => grid.row(z, y + 1),
                        _ => &grid.row(z, y)[1..],
                    };
                    between(here, after, self.part[axis], out.row_mut(z, y));
                }
            }
            pool::give(std::mem::replace(&mut grid, out).data);
        }
        Ok(grid)
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn between(here: &[f32], after: &[f32], part: f32, out: &mut [f32]) {
    let n = out.len();
    let (here, after) = (&here[..n], &after[..n]);
    for x in 0..n {
        out[x] = here[x] + part * (after[x] - here[x]);
    }
}

/// Adds voxels to a mean; of a single tile, the mean is its voxel to the bit.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn blend(voxels: &[f32], across: &[f32], (factor, gain, dark): (f32, f32, f32), mean: &mut [f32], weight: &mut [f32]) {
    let n = voxels.len();
    let (across, mean, weight) = (&across[..n], &mut mean[..n], &mut weight[..n]);
    for x in 0..n {
        let voxel = if gain == 1.0 { voxels[x] } else { gain * (voxels[x] - dark) + dark };
        let own = factor * across[x];
        let all = weight[x] + own;
        mean[x] += own / all * (voxel - mean[x]);
        weight[x] = all;
    }
}

impl VolumeBlocks for Fused {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        let size = self.info.dtype.size();
        if region.is_empty() {
            return Ok(());
        }
        let counts: [usize; 3] = std::array::from_fn(|a| region.size[a].div_ceil(BLOCK[a]));
        let blocks: Vec<Region> = (0..counts.iter().product())
            .map(|index: usize| {
                let at = [index / (counts[1] * counts[2]), index / counts[2] % counts[1], index % counts[2]];
                let start = std::array::from_fn(|a| region.start[a] + at[a] * BLOCK[a]);
                Region { start, size: std::array::from_fn(|a| BLOCK[a].min(region.end()[a] - start[a])) }
            })
            .collect();
        // A few at one time: what they hold does not grow with the region.
        for wave in blocks.chunks(2 * rayon::current_num_threads()) {
            let made: Vec<Result<Vec<u8>>> = wave
                .par_iter()
                .with_max_len(1)
                .map(|block| {
                    let grid = self.block(frame, block)?;
                    let bytes = write_as(&grid.data, self.info.dtype)?;
                    pool::give(grid.data);
                    Ok(bytes)
                })
                .collect();
            for (block, bytes) in wave.iter().zip(made) {
                let bytes = bytes?;
                let width = block.size[2] * size;
                let mut lines = bytes.chunks_exact(width);
                for z in 0..block.size[0] {
                    for y in 0..block.size[1] {
                        let line = (z + block.start[0] - region.start[0]) * region.size[1] + y + block.start[1]
                            - region.start[1];
                        let from = (line * region.size[2] + block.start[2] - region.start[2]) * size;
                        if let Some(row) = lines.next() {
                            out[from..from + width].copy_from_slice(row);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
