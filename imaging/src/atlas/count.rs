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

/// By how much small volumes of the atlas grow on their way to a sample: the Jacobian of a registration, on a grid whose
/// voxel 0 lies on that of the atlas and which may be coarser. Between its voxels it is interpolated, beyond them it is
/// that of the nearest.
#[derive(Clone, Copy, Debug)]
pub struct Growth<'a> {
    /// Factors.
    pub grid: &'a Grid<f32>,
    /// Micrometres per voxel of the grid.
    pub spacing: [f64; 3],
}

/// For each voxel of an axis the voxel of another grid below it and the share of the one above.
fn shares(n: usize, um: f64, other: usize, other_um: f64) -> Vec<(usize, f64)> {
    let last = other - 1;
    let share = |at: usize| {
        let place = (at as f64 * um / other_um).clamp(0.0, last as f64);
        let low = (place as usize).min(last.saturating_sub(1));
        (low, place - low as f64)
    };
    (0..n).map(share).collect()
}

/// Growth at the voxels of an atlas, row by row.
pub(super) struct GrowthRows<'a> {
    grid: &'a Grid<f32>,
    axes: [Vec<(usize, f64)>; 3],
}

impl<'a> GrowthRows<'a> {
    /// For an atlas of this grid.
    ///
    /// # Errors
    /// [`Error::Data`] for a grid that is empty or does not reach over the atlas.
    pub(super) fn new(growth: &Growth<'a>, atlas: &Atlas) -> Result<Self> {
        let (shape, um, other) = (atlas.structure.shape, atlas.spacing.um(), growth.grid.shape);
        // The last voxel of the atlas lies at most one voxel of the growth beyond its last.
        let reaches = (0..3).all(|axis| {
            let (last, end) = ((shape[axis] - 1) as f64 * um[axis], other[axis] as f64 * growth.spacing[axis]);
            other[axis] > 0 && last <= end * (1.0 + 1e-9)
        });
        if !reaches {
            let expected = format!("one over the atlas, {shape:?} voxels of {um:?} um");
            let found = format!("{other:?} voxels of {:?} um", growth.spacing);
            return Err(Error::data(DataFault::Shape, "growth", expected, found));
        }
        let axes = std::array::from_fn(|axis| shares(shape[axis], um[axis], other[axis], growth.spacing[axis]));
        Ok(Self { grid: growth.grid, axes })
    }

    /// The growth along one row of the atlas. `line` is scratch.
    pub(super) fn row(&self, z: usize, y: usize, line: &mut Vec<f64>, out: &mut [f64]) {
        let ((z, up), (y, over)) = (self.axes[0][z], self.axes[1][y]);
        let [depth, height, _] = self.grid.shape;
        let rows = [(z, y), (z, (y + 1).min(height - 1)), ((z + 1).min(depth - 1), y)];
        let last = self.grid.row((z + 1).min(depth - 1), (y + 1).min(height - 1));
        let [a, b, c] = rows.map(|(z, y)| self.grid.row(z, y));
        let weights = [(1.0 - up) * (1.0 - over), (1.0 - up) * over, up * (1.0 - over), up * over];
        line.clear();
        line.extend(a.iter().zip(b).zip(c).zip(last).map(|(((a, b), c), d)| {
            weights[0] * f64::from(*a)
                + weights[1] * f64::from(*b)
                + weights[2] * f64::from(*c)
                + weights[3] * f64::from(*d)
        }));
        for (out, &(x, share)) in out.iter_mut().zip(&self.axes[2]) {
            let (low, high) = (line[x], line[(x + 1).min(line.len() - 1)]);
            *out = low + share * (high - low);
        }
    }
}

/// Cubic millimetres of each structure itself, left and right, as deformed: by planes, added in their order.
fn grown_volumes(atlas: &Atlas, growth: &Growth<'_>, ctx: &Ctx) -> Result<Vec<[f64; 2]>> {
    let rows = GrowthRows::new(growth, atlas)?;
    let [depth, height, width] = atlas.structure.shape;
    let n = atlas.tree.structures().len();
    let planes: Vec<Vec<[f64; 2]>> = (0..depth)
        .into_par_iter()
        .map(|z| {
            ctx.check()?;
            let mut volume = vec![[0f64; 2]; n];
            let (mut line, mut grows) = (Vec::new(), vec![0f64; width]);
            for y in 0..height {
                let structures = atlas.structure.row(z, y);
                if structures.iter().all(|&structure| structure == 0) {
                    continue;
                }
                rows.row(z, y, &mut line, &mut grows);
                for (x, (&structure, &grows)) in structures.iter().zip(&grows).enumerate() {
                    if structure > 0 {
                        let right = atlas.half([z, y, x]) == Half::Right;
                        volume[structure as usize - 1][usize::from(right)] += grows;
                    }
                }
            }
            Ok(volume)
        })
        .collect::<Result<_>>()?;
    let voxel = atlas.spacing.volume() * 1e-9;
    let mut all = vec![[0f64; 2]; n];
    for plane in planes {
        all.iter_mut().zip(plane).for_each(|(all, own)| {
            all[0] += own[0] * voxel;
            all[1] += own[1] * voxel;
        });
    }
    Ok(all)
}

/// Cells per structure, at every level of the tree. With `growth` volumes are those that the structures take in the
/// sample; without, those of the atlas.
///
/// # Errors
/// [`Error::Data`] for a `growth` that does not reach over the atlas; [`Error::Interrupted`].
pub fn count_regions(places: &[Place], atlas: &Atlas, growth: Option<&Growth<'_>>, ctx: &Ctx) -> Result<RegionCounts> {
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
    let volumes = match growth {
        Some(growth) => grown_volumes(atlas, growth, ctx)?,
        None => atlas.voxels().iter().map(|own| own.map(|n| n as f64 * voxel)).collect(),
    };
    let mut regions: Vec<RegionCount> = own.into_iter().map(|own| RegionCount { own, ..Default::default() }).collect();
    for half in 0..2 {
        let cells: Vec<f64> = regions.iter().map(|region| region.own[half] as f64).collect();
        let volume: Vec<f64> = volumes.iter().map(|own| own[half]).collect();
        let sums = atlas.tree.roll_up(&cells).into_iter().zip(atlas.tree.roll_up(&volume));
        for (region, (cells, volume)) in regions.iter_mut().zip(sums) {
            region.cells[half] = cells as u64;
            region.volume[half] = volume;
        }
    }
    Ok(RegionCounts { regions, background, outside, lost })
}
