//! The deformation between two images that lie on each other roughly.
//!
//! Both images are deformed towards a middle (Avants, Epstein, Grossman, Gee 2008, Symmetric diffeomorphic image
//! registration with cross-correlation, Medical Image Analysis 12, 26), so that exchanging them exchanges the result.
//! Each step follows the smoothed derivative of the local correlation, is composed with what was found before (and so
//! never folds as long as it is smaller than a voxel), and the whole is smoothed a little (Yushkevich and others 2016,
//! Fast automatic segmentation of hippocampal subfields, greedy). From coarse levels to fine ones.

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, Result};

use super::align::background;
use super::correlation::{Pair, local_correlation};
use super::pyramid::Level;
use super::smooth::smooth;
use super::unfold::unfold;
use super::warp::{Beyond, add_gradient, compose, warp};
use crate::transform::{Affine, Field};

/// How the deformation is sought.
#[derive(Clone, Debug)]
pub(super) struct Effort {
    /// Steps at most at each level, from the coarsest.
    pub(super) steps: Vec<usize>,
    /// Voxels to each side of the window of the correlation.
    pub(super) radius: usize,
    /// Standard deviation of the smoothing of each step, in voxels of the level.
    pub(super) step_smoothing: f64,
    /// Standard deviation of the smoothing of the whole, in voxels of the level.
    pub(super) total_smoothing: f64,
    /// Length of the longest displacement of a step, in voxels of the level.
    pub(super) step: f64,
    /// What lies beyond the moving image does not count.
    pub(super) partial: bool,
}

/// The deformation: from the fixed image to the moving image as the affine map lays it on the fixed one.
pub(super) struct Deformed {
    pub(super) field: Field,
    /// Mean local correlation in the middle, before and after.
    pub(super) before: f64,
    pub(super) after: f64,
}

/// One side of the middle: three displacements per voxel, in voxels.
type Side = Vec<f32>;

/// Deforms `fixed` and `moving`, each given at falling spacings in the same order from coarse to fine.
pub(super) fn deform(levels: &[(Level, Level)], map: &Affine, effort: &Effort, ctx: &Ctx) -> Result<Deformed> {
    let total: usize = effort.steps.iter().sum();
    let stage = ctx.stage("deformation", total as u64);
    let mut sides: Option<([Side; 2], [usize; 3], [f64; 3])> = None;
    let (mut before, mut after) = (0.0, 0.0);
    for ((fixed, moving), &steps) in levels.iter().zip(&effort.steps) {
        let (shape, spacing) = (fixed.image.shape, fixed.spacing);
        let start = match sides.take() {
            None => [vec![0f32; 3 * fixed.image.len()], vec![0f32; 3 * fixed.image.len()]],
            Some((old, old_shape, old_spacing)) => {
                old.map(|side| refine(&side, old_shape, old_spacing, shape, spacing))
            }
        };
        let mut level = Running::new(fixed, moving, map, effort, start);
        let mut values: Vec<f64> = Vec::with_capacity(steps);
        for step in 0..steps {
            stage.advance(1)?;
            let Some(value) = level.step()? else {
                stage.advance((steps - step - 1) as u64)?;
                break;
            };
            values.push(value);
            if settled(&values) {
                stage.advance((steps - step - 1) as u64)?;
                break;
            }
        }
        after = level.end();
        before = Running::new(fixed, moving, map, effort, [0, 1].map(|_| vec![0f32; 3 * fixed.image.len()])).value();
        sides = Some((level.sides, shape, spacing));
    }
    let Some(([to_fixed, to_moving], shape, spacing)) = sides else {
        return Err(zensaibo_core::Error::Internal("deformation without a level".into()));
    };
    let field = |side: &Side| {
        let vectors = side.as_chunks::<3>().0.iter();
        Field {
            shape,
            spacing,
            vectors: vectors.map(|v| std::array::from_fn(|axis| v[axis] * spacing[axis] as f32)).collect(),
        }
    };
    let (back, _) = field(&to_fixed).inverse();
    drop(to_fixed);
    let whole = field(&to_moving).after(&back);
    // On the way through the middle two narrow places can meet.
    let voxels = |v: &[f32; 3]| (0..3).map(|axis| v[axis] / spacing[axis] as f32).collect::<Vec<f32>>();
    let mut side: Side = whole.vectors.iter().flat_map(voxels).collect();
    unfold(&mut side, shape, 40);
    Ok(Deformed { field: field(&side), before, after })
}

/// Whether ten steps no longer gained anything.
fn settled(values: &[f64]) -> bool {
    const LOOK: usize = 10;
    let n = values.len();
    if n < 2 * LOOK {
        return false;
    }
    let best = |range: &[f64]| range.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    best(&values[n - LOOK..]) < best(&values[..n - LOOK]) + 2e-4
}

/// A field at a finer spacing.
fn refine(side: &Side, from: [usize; 3], old: [f64; 3], to: [usize; 3], new: [f64; 3]) -> Side {
    let vectors = side.as_chunks::<3>().0.to_vec();
    let field = Field { shape: from, spacing: old, vectors };
    let mut out = vec![0f32; 3 * to.iter().product::<usize>()];
    let ratio: [f64; 3] = std::array::from_fn(|axis| old[axis] / new[axis]);
    out.par_chunks_mut(3 * to[1] * to[2]).enumerate().for_each(|(z, plane)| {
        for (at, out) in plane.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let voxel = [z, at / to[2], at % to[2]];
            let vector = field.at(std::array::from_fn(|axis| voxel[axis] as f64 * new[axis]));
            *out = std::array::from_fn(|axis| (vector[axis] * ratio[axis]) as f32);
        }
    });
    out
}

/// 1 where an image of variance 1 varies by more than noise in a window, 0 elsewhere.
fn structure(image: &Grid<f32>, radius: usize) -> Grid<f32> {
    /// Variance in the window, as a share of that of the whole image.
    const LEAST: f32 = 1e-3;
    let sigma = [0.75 * radius as f64; 3];
    let (mut means, mut squares) = (image.data.clone(), image.data.iter().map(|v| v * v).collect::<Vec<f32>>());
    smooth::<1>(&mut means, image.shape, sigma);
    smooth::<1>(&mut squares, image.shape, sigma);
    let varies = |(mean, square): (&f32, &f32)| f32::from(u8::from(square - mean * mean > LEAST));
    Grid { shape: image.shape, data: means.iter().zip(&squares).map(varies).collect() }
}

/// A level at work.
struct Running<'a> {
    fixed: &'a Level,
    moving: &'a Level,
    /// From fixed to moving voxels.
    map: Affine,
    beyond: [f32; 2],
    /// Where each image has structure.
    structure: [Grid<f32>; 2],
    effort: &'a Effort,
    /// Window to each side along each axis.
    radius: [usize; 3],
    /// Voxel lengths relative to the shortest.
    relative: [f64; 3],
    sides: [Side; 2],
    by: [Vec<f32>; 2],
    spare: Vec<f32>,
    /// The sides before the last step, and the correlation that they had; nothing where there is no way back.
    last: [Side; 2],
    best: Option<f64>,
    /// Length of the next step in voxels.
    length: f64,
}

impl<'a> Running<'a> {
    fn new(fixed: &'a Level, moving: &'a Level, map: &Affine, effort: &'a Effort, sides: [Side; 2]) -> Self {
        let n = fixed.image.len();
        let shortest = fixed.spacing.iter().copied().fold(f64::INFINITY, f64::min);
        let relative = fixed.spacing.map(|spacing| spacing / shortest);
        Self {
            fixed,
            moving,
            map: map.between_voxels(fixed.spacing, moving.spacing),
            beyond: [background(fixed), background(moving)],
            structure: [fixed, moving].map(|level| structure(&level.image, effort.radius)),
            effort,
            radius: relative.map(|relative| ((effort.radius as f64 / relative).round() as usize).max(1)),
            relative,
            sides,
            by: [vec![0f32; n], vec![0f32; n]],
            spare: vec![0f32; 3 * n],
            last: [vec![0f32; 3 * n], vec![0f32; 3 * n]],
            best: None,
            length: effort.step,
        }
    }

    /// Both images in the middle, and where they count.
    fn middle(&self) -> (Grid<f32>, Grid<f32>, Vec<f32>) {
        let shape = self.fixed.image.shape;
        let see = |image: &Grid<f32>, side: usize, beyond| {
            let map = if side == 0 { &Affine::IDENTITY } else { &self.map };
            warp(image, map, Some(&self.sides[side]), shape, beyond)
        };
        let a = see(&self.fixed.image, 0, Beyond::Value(self.beyond[0]));
        let beyond = if self.effort.partial { Beyond::Nothing } else { Beyond::Value(self.beyond[1]) };
        let mut b = see(&self.moving.image, 1, beyond);
        // Where neither image has structure there is nothing to follow but noise.
        let mut weight = see(&self.structure[0], 0, Beyond::Value(0.0)).data;
        let other = see(&self.structure[1], 1, Beyond::Value(0.0)).data;
        let beyond = self.beyond[1];
        weight.iter_mut().zip(&other).zip(&mut b.data).for_each(|((weight, &other), b)| {
            *weight = weight.max(other);
            if b.is_nan() {
                (*weight, *b) = (0.0, beyond);
            }
        });
        for (side, level) in [self.fixed, self.moving].into_iter().enumerate() {
            if let Some(mask) = &level.mask {
                let seen = see(mask, side, Beyond::Value(0.0));
                weight.iter_mut().zip(&seen.data).filter(|pair| *pair.1 < 0.5).for_each(|(weight, _)| *weight = 0.0);
            }
        }
        (a, b, weight)
    }

    fn value(&self) -> f64 {
        let (a, b, weight) = self.middle();
        local_correlation(&Pair { a: &a, b: &b, weight: Some(&weight) }, self.radius, None)
    }

    /// Takes back the last step if it did not help; the correlation that remains.
    fn end(&mut self) -> f64 {
        let value = self.value();
        match self.best {
            Some(best) if best > value => {
                std::mem::swap(&mut self.sides, &mut self.last);
                best
            }
            _ => value,
        }
    }

    /// One step; the correlation before it. A step that made the images less alike is taken back and tried at half its
    /// length; nothing when that has become too short to matter.
    fn step(&mut self) -> Result<Option<f64>> {
        const SHORTEST: f64 = 0.02;
        let shape = self.fixed.image.shape;
        let (a, b, weight) = self.middle();
        let [by_a, by_b] = &mut self.by;
        let value = local_correlation(&Pair { a: &a, b: &b, weight: Some(&weight) }, self.radius, Some((by_a, by_b)));
        if let Some(best) = self.best.take() {
            if value < best {
                std::mem::swap(&mut self.sides, &mut self.last);
                self.length *= 0.5;
                return Ok((self.length >= SHORTEST).then_some(best));
            }
            self.length = (1.2 * self.length).min(self.effort.step);
        }
        self.best = Some(value);
        let sigma = self.relative.map(|relative| self.effort.step_smoothing / relative);
        // Uphill in micrometres, as voxels: the gradient per voxel over the squared length of a voxel.
        let scale = self.relative.map(|relative| (1.0 / (relative * relative)) as f32);
        for (side, (image, by)) in [(a, &self.by[0]), (b, &self.by[1])].into_iter().enumerate() {
            let mut step = vec![0f32; self.spare.len()];
            add_gradient(&image, by, scale, &mut step);
            drop(image);
            smooth::<3>(&mut step, shape, sigma);
            let relative = self.relative;
            let longest = step
                .par_chunks(3 << 14)
                .map(|part| {
                    let square =
                        |v: &[f32; 3]| (0..3).map(|axis| (f64::from(v[axis]) * relative[axis]).powi(2)).sum::<f64>();
                    part.as_chunks::<3>().0.iter().map(square).fold(0.0, f64::max)
                })
                .collect::<Vec<f64>>()
                .into_iter()
                .fold(0.0, f64::max)
                .sqrt();
            if !(longest > 1e-20) {
                let side_now = self.sides[side].clone();
                self.last[side] = side_now;
                continue;
            }
            let factor = (self.length / longest) as f32;
            step.par_iter_mut().with_min_len(1 << 16).for_each(|value| *value *= factor);
            compose(&self.sides[side], &step, shape, &mut self.spare);
            std::mem::swap(&mut self.sides[side], &mut self.last[side]);
            std::mem::swap(&mut self.sides[side], &mut self.spare);
            let sigma = self.relative.map(|relative| self.effort.total_smoothing / relative);
            smooth::<3>(&mut self.sides[side], shape, sigma);
            unfold(&mut self.sides[side], shape, 4);
        }
        Ok(Some(value))
    }
}
