//! Cells per structure.

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::{Atlas, Half};

/// Points to a task.
const POINTS: usize = 1 << 14;

/// Where in an atlas a point lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a structure (its index in the tree), in a half.
    Structure(usize, Half),
    /// In a voxel of no structure.
    Background,
    /// Beyond the grid.
    Outside,
    /// Nowhere: a coordinate is not finite.
    Lost,
}

/// Where each point lies: (z, y, x) in micrometres of the atlas, the centre of voxel 0 at 0. A point belongs to the voxel
/// whose box holds it; what lies below the box of voxel 0 is outside, not at the other end.
///
/// # Errors
/// [`Error::Interrupted`].
pub fn locate(points: &[[f64; 3]], atlas: &Atlas, ctx: &Ctx) -> Result<Vec<Place>> {
    let (shape, um) = (atlas.structure.shape, atlas.spacing.um());
    let place = |point: &[f64; 3]| {
        if point.iter().any(|value| !value.is_finite()) {
            return Place::Lost;
        }
        let mut voxel = [0usize; 3];
        for axis in 0..3 {
            let at = (point[axis] / um[axis] + 0.5).floor();
            if !(at >= 0.0 && at < shape[axis] as f64) {
                return Place::Outside;
            }
            voxel[axis] = at as usize;
        }
        match atlas.structure.at(voxel[0], voxel[1], voxel[2]) {
            0 => Place::Background,
            structure => Place::Structure(structure as usize - 1, atlas.half(voxel)),
        }
    };
    let mut out = vec![Place::Lost; points.len()];
    out.par_chunks_mut(POINTS).zip(points.par_chunks(POINTS)).try_for_each(|(out, points)| {
        ctx.check()?;
        out.iter_mut().zip(points).for_each(|(out, point)| *out = place(point));
        Ok::<(), Error>(())
    })?;
    Ok(out)
}

/// A structure with its parts: cells and volume in each half.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RegionCount {
    /// Cells in voxels of the structure itself, not of its parts: left, right.
    pub own: [u64; 2],
    /// Cells of the structure and its parts: left, right.
    pub cells: [u64; 2],
    /// Cubic millimetres of the structure and its parts: left, right.
    pub volume: [f64; 2],
}

impl RegionCount {
    /// Cells per cubic millimetre in both halves; NaN without volume.
    pub fn density(&self) -> f64 {
        ratio((self.cells[0] + self.cells[1]) as f64, self.volume[0] + self.volume[1])
    }

    /// Cells per cubic millimetre left and right; NaN without volume.
    pub fn densities(&self) -> [f64; 2] {
        [0, 1].map(|half| ratio(self.cells[half] as f64, self.volume[half]))
    }
}

fn ratio(cells: f64, volume: f64) -> f64 {
    if volume > 0.0 { cells / volume } else { f64::NAN }
}

/// Counts over all structures, and what lies in none.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionCounts {
    /// In the order of the tree.
    pub regions: Vec<RegionCount>,
    /// Cells in voxels of no structure.
    pub background: u64,
    /// Cells beyond the grid.
    pub outside: u64,
    /// Cells without a place.
    pub lost: u64,
}

impl RegionCounts {
    /// All cells: those of structures, and the rest. It is the number that came in.
    pub fn total(&self) -> u64 {
        let own: u64 = self.regions.iter().map(|region| region.own[0] + region.own[1]).sum();
        own + self.background + self.outside + self.lost
    }
}

/// Cells per structure, at every level of the tree. `growth` says by how much each voxel of the atlas grows on its way to
/// the sample (the Jacobian of the registration, on the grid of the atlas), so that volumes are those of the sample;
/// absent: those of the atlas.
///
/// # Errors
/// [`Error::Data`] for a `growth` of another shape; [`Error::Interrupted`].
pub fn count_regions(places: &[Place], atlas: &Atlas, growth: Option<&Grid<f32>>, ctx: &Ctx) -> Result<RegionCounts> {
    let [depth, height, width] = atlas.structure.shape;
    if let Some(growth) = growth
        && growth.shape != atlas.structure.shape
    {
        let expected = format!("the shape of the atlas, {:?}", atlas.structure.shape);
        return Err(Error::data(DataFault::Shape, "growth", expected, format!("{:?}", growth.shape)));
    }
    let n = atlas.tree.structures().len();
    let mut own = vec![[0u64; 2]; n];
    let (mut background, mut outside, mut lost) = (0, 0, 0);
    for place in places {
        match *place {
            Place::Structure(index, half) => own[index][usize::from(half == Half::Right)] += 1,
            Place::Background => background += 1,
            Place::Outside => outside += 1,
            Place::Lost => lost += 1,
        }
    }
    let voxel = atlas.spacing.volume() * 1e-9;
    let planes: Vec<Vec<[f64; 2]>> = (0..depth)
        .into_par_iter()
        .map(|z| {
            ctx.check()?;
            let mut volume = vec![[0f64; 2]; n];
            for at in 0..height * width {
                let (y, x) = (at / width, at % width);
                let structure = atlas.structure.at(z, y, x);
                if structure > 0 {
                    let grows = growth.map_or(1.0, |growth| f64::from(growth.at(z, y, x)));
                    volume[structure as usize - 1][usize::from(atlas.half([z, y, x]) == Half::Right)] += grows * voxel;
                }
            }
            Ok(volume)
        })
        .collect::<Result<_>>()?;
    let mut regions: Vec<RegionCount> = own.into_iter().map(|own| RegionCount { own, ..Default::default() }).collect();
    for half in 0..2 {
        let cells: Vec<f64> = regions.iter().map(|region| region.own[half] as f64).collect();
        let mut volume = vec![0f64; n];
        for plane in &planes {
            volume.iter_mut().zip(plane).for_each(|(sum, part)| *sum += part[half]);
        }
        let sums = atlas.tree.roll_up(&cells).into_iter().zip(atlas.tree.roll_up(&volume));
        for (region, (cells, volume)) in regions.iter_mut().zip(sums) {
            region.cells[half] = cells as u64;
            region.volume[half] = volume;
        }
    }
    Ok(RegionCounts { regions, background, outside, lost })
}
