//! Cells per cubic millimetre at every voxel.

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, Error, Result};

use super::count::GrowthRows;
use super::{Atlas, Growth};

/// Standard deviations at which Gaussian kernels end.
const REACH: f64 = 4.0;
/// Cells to a task.
const CELLS: usize = 1 << 13;

zensaibo_core::options! {
    /// Density of cells on the grid of an atlas.
    pub struct DensityOptions("im_density_volume") {
        /// Radius in micrometres of the ball over which each cell spreads evenly; absent: a Gaussian kernel.
        pub radius: Option<f64> = None,
        /// Standard deviation in micrometres of the Gaussian kernel, when `radius` is absent. It ends at four of them.
        pub sigma: f64 = 100.0,
    }
}

impl DensityOptions {
    fn check(&self) -> Result<()> {
        for (name, value) in [("radius", self.radius), ("sigma", Some(self.sigma))] {
            if let Some(value) = value
                && !(value > 0.0 && value <= 1e5)
            {
                return Err(Error::parameter(name, "micrometres above 0, at most 100000", value));
            }
        }
        Ok(())
    }
}

/// What [`density`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    /// Cells per cubic millimetre; NaN where cells come to lie and space folds, so that there is no volume.
    pub density: Grid<f32>,
    /// Cells on the grid. The sum of density times volume over all voxels is their number.
    pub cells: u64,
    /// Cells beyond the grid, which are in no voxel.
    pub outside: u64,
    /// Cells without a place.
    pub lost: u64,
}

/// Cells per cubic millimetre on the grid of an atlas. `points` are (z, y, x) in micrometres of the atlas, the centre of
/// voxel 0 at 0. With `growth`, the volume of a voxel is the one that it takes in the sample.
///
/// A ball lies around the cell itself and its voxels (those whose centre it holds) share the cell evenly; a Gaussian
/// kernel spreads what linear interpolation gives to the voxels around the cell. Kernels are cut at the border of the
/// grid and scaled, so that no part of a cell is lost. Every voxel adds up its cells in one order: the same bits for any
/// number of threads. Time O(cells x voxels of a ball), or O(cells + voxels x length of the kernel).
///
/// # Errors
/// [`Error::Parameter`] for bad options; [`Error::Data`] for a growth that does not reach over the atlas;
/// [`Error::Interrupted`].
pub fn density(
    points: &[[f64; 3]],
    atlas: &Atlas,
    growth: Option<&Growth<'_>>,
    options: &DensityOptions,
    ctx: &Ctx,
) -> Result<Density> {
    zensaibo_core::options::Options::validate(options)?;
    let growth = growth.map(|growth| GrowthRows::new(growth, atlas)).transpose()?;
    let (shape, um) = (atlas.structure.shape, atlas.spacing.um());
    let (mut outside, mut lost) = (0, 0);
    let mut inside = Vec::with_capacity(points.len());
    for point in points {
        let voxel: [f64; 3] = std::array::from_fn(|axis| point[axis] / um[axis]);
        if voxel.iter().any(|at| !at.is_finite()) {
            lost += 1;
        } else if (0..3).all(|axis| voxel[axis] >= -0.5 && voxel[axis] < shape[axis] as f64 - 0.5) {
            inside.push(voxel);
        } else {
            outside += 1;
        }
    }
    let mut density = Grid::filled(shape, 0f32);
    let voxel = atlas.spacing.volume() * 1e-9;
    // One row of cells per voxel becomes one of cells per cubic millimetre.
    let finish = |z: usize, y: usize, cells: &[f64], scratch: &mut (Vec<f64>, Vec<f64>), out: &mut [f32]| {
        let (line, grows) = scratch;
        match &growth {
            None => out.iter_mut().zip(cells).for_each(|(out, cells)| *out = (cells / voxel) as f32),
            Some(rows) => {
                grows.resize(out.len(), 0.0);
                rows.row(z, y, line, grows);
                for ((out, &cells), &grows) in out.iter_mut().zip(cells).zip(&*grows) {
                    let bad = if cells > 0.0 { f32::NAN } else { 0.0 };
                    *out = if grows > 0.0 { (cells / (voxel * grows)) as f32 } else { bad };
                }
            }
        }
    };
    let plane = shape[1] * shape[2];
    match options.radius {
        Some(radius) => {
            let balls = Balls::new(&inside, shape, um, radius, ctx)?;
            density.data.par_chunks_mut(plane).enumerate().try_for_each(|(z, out)| {
                ctx.check()?;
                let cells = balls.plane(z);
                let mut scratch = Default::default();
                for (y, out) in out.chunks_mut(shape[2]).enumerate() {
                    finish(z, y, &cells[y * shape[2]..(y + 1) * shape[2]], &mut scratch, out);
                }
                Ok::<(), Error>(())
            })?;
        }
        None => {
            let kernels = um.map(|um| gaussian(options.sigma / um));
            let spread = across_planes(&inside, shape, &kernels, ctx)?;
            let half = kernels[0].len() / 2;
            density.data.par_chunks_mut(plane).enumerate().try_for_each(|(z, out)| {
                ctx.check()?;
                let (mut cells, mut scratch) = (vec![0f64; shape[2]], Default::default());
                for (y, out) in out.chunks_mut(shape[2]).enumerate() {
                    cells.fill(0.0);
                    for from in z.saturating_sub(half)..(z + half + 1).min(shape[0]) {
                        let weight = kernels[0][half + from - z];
                        let row = &spread[from * plane + y * shape[2]..][..shape[2]];
                        add(&mut cells, row, weight);
                    }
                    finish(z, y, &cells, &mut scratch, out);
                }
                Ok::<(), Error>(())
            })?;
        }
    }
    Ok(Density { density, cells: inside.len() as u64, outside, lost })
}

/// Cells that spread over balls.
struct Balls {
    /// Place in voxels and the share of each voxel, by plane and then in the order they came.
    cells: Vec<([f64; 3], f64)>,
    /// The first cell of each plane, and one past the last.
    first: Vec<usize>,
    shape: [usize; 3],
    um: [f64; 3],
    radius: f64,
}

impl Balls {
    fn new(points: &[[f64; 3]], shape: [usize; 3], um: [f64; 3], radius: f64, ctx: &Ctx) -> Result<Self> {
        let plane = |point: &[f64; 3]| ((point[0] + 0.5).floor() as usize).min(shape[0] - 1);
        let mut first = vec![0usize; shape[0] + 1];
        points.iter().for_each(|point| first[plane(point) + 1] += 1);
        (0..shape[0]).for_each(|z| first[z + 1] += first[z]);
        let mut next = first.clone();
        let mut cells = vec![([0f64; 3], 0f64); points.len()];
        for point in points {
            let place = &mut next[plane(point)];
            cells[*place] = (*point, 0.0);
            *place += 1;
        }
        let mut balls = Self { cells, first, shape, um, radius };
        let mut cells = std::mem::take(&mut balls.cells);
        cells.par_chunks_mut(CELLS).try_for_each(|cells| {
            ctx.check()?;
            for (point, share) in cells {
                let low = ((point[0] - radius / um[0]).ceil().max(0.0)) as usize;
                let high = (((point[0] + radius / um[0]).floor() + 1.0).max(0.0) as usize).min(shape[0]);
                let mut voxels = 0usize;
                (low..high).for_each(|z| balls.rows(point, z, |_, from, to| voxels += to - from));
                // 0: a ball between the centres, whose cell goes to the voxel around it.
                *share = if voxels > 0 { 1.0 / voxels as f64 } else { 0.0 };
            }
            Ok::<(), Error>(())
        })?;
        balls.cells = cells;
        Ok(balls)
    }

    /// The rows of a plane that a ball meets: (y, first voxel, one past the last).
    fn rows(&self, point: &[f64; 3], z: usize, mut row: impl FnMut(usize, usize, usize)) {
        let um = self.um;
        let squared = |at: f64, axis: usize| ((at - point[axis]) * um[axis]).powi(2);
        let left = self.radius * self.radius - squared(z as f64, 0);
        if left < 0.0 {
            return;
        }
        let span = |half: f64, axis: usize| {
            let half = half / um[axis];
            let from = (point[axis] - half).ceil().max(0.0) as usize;
            let to = ((point[axis] + half).floor() + 1.0).max(0.0) as usize;
            (from, to.min(self.shape[axis]))
        };
        let (from, to) = span(left.sqrt(), 1);
        for y in from..to {
            let half = (left - squared(y as f64, 1)).max(0.0).sqrt();
            let (from, to) = span(half, 2);
            if to > from {
                row(y, from, to);
            }
        }
    }

    /// Cells per voxel of one plane.
    fn plane(&self, z: usize) -> Vec<f64> {
        let [depth, height, width] = self.shape;
        let mut out = vec![0f64; height * width];
        let reach = (self.radius / self.um[0]).ceil() as usize + 1;
        let range = self.first[z.saturating_sub(reach)]..self.first[(z + reach + 1).min(depth)];
        for (point, share) in &self.cells[range] {
            if *share > 0.0 {
                self.rows(point, z, |y, from, to| {
                    out[y * width + from..y * width + to].iter_mut().for_each(|sum| *sum += share);
                });
            } else {
                let at: [usize; 3] =
                    std::array::from_fn(|axis| ((point[axis] + 0.5).floor() as usize).min(self.shape[axis] - 1));
                if at[0] == z {
                    out[at[1] * width + at[2]] += 1.0;
                }
            }
        }
        out
    }
}

/// Adds a row times a weight to another.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn add(sums: &mut [f64], row: &[f64], weight: f64) {
    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
}

/// A Gaussian kernel of `sigma` voxels, from its end to its other end, with sum 1.
fn gaussian(sigma: f64) -> Vec<f64> {
    let half = (REACH * sigma).ceil() as i64;
    let raw: Vec<f64> = (-half..=half).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|value| value / sum).collect()
}

/// What of a kernel around each voxel of an axis stays on the grid.
fn kept(n: usize, kernel: &[f64]) -> Vec<f64> {
    let half = kernel.len() / 2;
    (0..n)
        .map(|at| {
            let (low, high) = (half.saturating_sub(at), (half + n - at).min(kernel.len()));
            kernel[low..high].iter().sum()
        })
        .collect()
}

/// Cells on the grid, spread along y and x; for what the kernel along z will cut, they are scaled already.
fn across_planes(points: &[[f64; 3]], shape: [usize; 3], kernels: &[Vec<f64>; 3], ctx: &Ctx) -> Result<Vec<f64>> {
    let [_, height, width] = shape;
    let kept: [Vec<f64>; 3] = std::array::from_fn(|axis| kept(shape[axis], &kernels[axis]));
    let mut cells = vec![0f64; shape.iter().product()];
    for points in points.chunks(CELLS) {
        ctx.check()?;
        for point in points {
            let ends: [[(usize, f64); 2]; 3] = std::array::from_fn(|axis| {
                let at = point[axis].clamp(0.0, (shape[axis] - 1) as f64);
                let low = (at as usize).min(shape[axis] - 1);
                let share = at - low as f64;
                let high = (low + 1).min(shape[axis] - 1);
                [(low, (1.0 - share) / kept[axis][low]), (high, share / kept[axis][high])]
            });
            for (z, up) in ends[0] {
                for (y, over) in ends[1] {
                    for (x, on) in ends[2] {
                        cells[(z * height + y) * width + x] += up * over * on;
                    }
                }
            }
        }
    }
    cells.par_chunks_mut(height * width).try_for_each(|plane| {
        ctx.check()?;
        if plane.iter().all(|&value| value == 0.0) {
            return Ok(());
        }
        let half = kernels[2].len() / 2;
        let mut line = vec![0f64; width + 2 * half];
        for row in plane.chunks_mut(width) {
            line[half..half + width].copy_from_slice(row);
            row.fill(0.0);
            for (at, &weight) in kernels[2].iter().enumerate() {
                add(row, &line[at..at + width], weight);
            }
        }
        let held = plane.to_vec();
        let half = kernels[1].len() / 2;
        for (y, row) in plane.chunks_mut(width).enumerate() {
            row.fill(0.0);
            for from in y.saturating_sub(half)..(y + half + 1).min(height) {
                let weight = kernels[1][half + from - y];
                add(row, &held[from * width..(from + 1) * width], weight);
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok(cells)
}
