//! The deformation between two images that lie on each other roughly.
//!
//! Both images are deformed towards a middle (Avants, Epstein, Grossman, Gee 2008, Symmetric diffeomorphic image
//! registration with cross-correlation, Medical Image Analysis 12, 26), so that exchanging them exchanges the result.
//! Each step follows the smoothed derivative of the local correlation, is composed with what was found before (and so
//! never folds as long as it is smaller than a voxel), and the whole is smoothed a little (Yushkevich and others 2016,
//! Fast automatic segmentation of hippocampal subfields, greedy). From coarse levels to fine ones; at the end of each, detail
//! that is no more than noise goes ([`keep_detail`]).

use rayon::prelude::*;
use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, Result};

use super::correlation::{Pair, local_correlation};
use super::detail::keep_detail;
use super::landmarks::{Anchors, Landmark};
use super::pyramid::{Level, background};
use super::smooth::smooth;
use super::tissue::missing;
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
    /// Standard deviations of the smoothing of each step and of the whole, in voxels of the level, at each level.
    pub(super) smoothing: Vec<[f64; 2]>,
    /// Detail shorter than this is left out at the end of a level, in its voxels.
    pub(super) least_detail: f64,
    /// Length of the longest displacement of a step, in voxels of the level.
    pub(super) step: f64,
    /// What lies beyond the moving image does not count.
    pub(super) partial: bool,
    /// Weight of each channel; together 1.
    pub(super) weights: Vec<f64>,
    pub(super) landmarks: Vec<Landmark>,
    pub(super) landmark_weight: f64,
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
    // Ahead of the search, which needs the memory.
    let before = levels.last().map_or(0.0, |(fixed, moving)| {
        let still = [0, 1].map(|_| vec![0f32; 3 * fixed.image.len()]);
        Running { anchors: None, ..Running::new(fixed, moving, map, effort, [0.0; 2], still) }.value(None)
    });
    let mut after = 0.0;
    for (((fixed, moving), &steps), &smoothing) in levels.iter().zip(&effort.steps).zip(&effort.smoothing) {
        let (shape, spacing) = (fixed.image.shape, fixed.spacing);
        let start = match sides.take() {
            None => [vec![0f32; 3 * fixed.image.len()], vec![0f32; 3 * fixed.image.len()]],
            Some((old, old_shape, old_spacing)) => {
                old.map(|side| refine(&side, old_shape, old_spacing, shape, spacing))
            }
        };
        let mut level = Running::new(fixed, moving, map, effort, smoothing, start);
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
        level.end();
        level.keep_detail();
        level.anchors = None;
        after = level.value(None);
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
    // On the way through the middle two narrow places can meet; wide folds take many rounds.
    let voxels = |v: &[f32; 3]| (0..3).map(|axis| v[axis] / spacing[axis] as f32).collect::<Vec<f32>>();
    let mut side: Side = whole.vectors.iter().flat_map(voxels).collect();
    unfold(&mut side, shape, 400);
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
    /// Background of each channel of the two.
    beyond: [Vec<f32>; 2],
    /// Where each image has structure.
    structure: [Grid<f32>; 2],
    effort: &'a Effort,
    /// Smoothing of each step and of the whole along each axis, in voxels.
    smoothing: [[f64; 3]; 2],
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
    anchors: Option<Anchors>,
}

impl<'a> Running<'a> {
    fn new(
        fixed: &'a Level,
        moving: &'a Level,
        map: &Affine,
        effort: &'a Effort,
        smoothing: [f64; 2],
        sides: [Side; 2],
    ) -> Self {
        let n = fixed.image.len();
        let shortest = fixed.spacing.iter().copied().fold(f64::INFINITY, f64::min);
        let relative = fixed.spacing.map(|spacing| spacing / shortest);
        Self {
            fixed,
            moving,
            map: map.between_voxels(fixed.spacing, moving.spacing),
            beyond: [fixed, moving].map(|level| level.channels().map(background).collect()),
            structure: [fixed, moving].map(|level| {
                let mut found = structure(&level.image, effort.radius);
                for image in &level.more {
                    let other = structure(image, effort.radius);
                    found.data.iter_mut().zip(&other.data).for_each(|(a, b)| *a = a.max(*b));
                }
                found
            }),
            effort,
            smoothing: smoothing.map(|sigma| relative.map(|relative| sigma / relative)),
            radius: relative.map(|relative| ((effort.radius as f64 / relative).round() as usize).max(1)),
            relative,
            sides,
            by: [vec![0f32; n], vec![0f32; n]],
            spare: vec![0f32; 3 * n],
            last: [vec![0f32; 3 * n], vec![0f32; 3 * n]],
            best: None,
            length: effort.step,
            anchors: Anchors::new(&effort.landmarks, effort.landmark_weight, fixed, map),
        }
    }

    /// The channels of both in the middle, and where they count.
    fn middle(&self) -> (Vec<[Grid<f32>; 2]>, Vec<f32>) {
        let shape = self.fixed.image.shape;
        let see = |image: &Grid<f32>, side: usize, beyond| {
            let map = if side == 0 { &Affine::IDENTITY } else { &self.map };
            warp(image, map, Some(&self.sides[side]), shape, beyond)
        };
        // Where neither image has structure there is nothing to follow but noise.
        let mut weight = see(&self.structure[0], 0, Beyond::Value(0.0)).data;
        let other = see(&self.structure[1], 1, Beyond::Value(0.0)).data;
        weight.iter_mut().zip(&other).for_each(|(weight, &other)| *weight = weight.max(other));
        drop(other);
        let mut pairs = Vec::with_capacity(1 + self.fixed.more.len());
        for (channel, (fixed, moving)) in self.fixed.channels().zip(self.moving.channels()).enumerate() {
            let a = see(fixed, 0, Beyond::Value(self.beyond[0][channel]));
            let value = self.beyond[1][channel];
            let beyond = if self.effort.partial { Beyond::Nothing } else { Beyond::Value(value) };
            let mut b = see(moving, 1, beyond);
            weight.iter_mut().zip(&mut b.data).filter(|pair| pair.1.is_nan()).for_each(|(weight, b)| {
                (*weight, *b) = (0.0, value);
            });
            pairs.push([a, b]);
        }
        if let (true, Some(still), Some(body)) = (self.effort.partial, &self.fixed.body, &self.moving.body) {
            let still = see(still, 0, Beyond::Value(0.0));
            let body = see(body, 1, Beyond::Value(0.0));
            let pairs = still.data.iter().zip(&body.data);
            weight.iter_mut().zip(pairs).filter(|(_, (a, b))| missing(**a, **b)).for_each(|(weight, _)| *weight = 0.0);
        }
        for (side, level) in [self.fixed, self.moving].into_iter().enumerate() {
            if let Some(mask) = &level.mask {
                let seen = see(mask, side, Beyond::Value(0.0));
                weight.iter_mut().zip(&seen.data).filter(|pair| *pair.1 < 0.5).for_each(|(weight, _)| *weight = 0.0);
            }
        }
        (pairs, weight)
    }

    /// Correlation in the middle less what the landmarks cost; with `by`, the uphill direction of the two sides in voxels.
    fn value(&mut self, mut by: Option<&mut [Side; 2]>) -> f64 {
        let (pairs, weight) = self.middle();
        // Uphill in micrometres, as voxels: the gradient per voxel over the squared length of a voxel.
        let scale = self.relative.map(|relative| (1.0 / (relative * relative)) as f32);
        let mut value = 0.0;
        for ([a, b], &share) in pairs.into_iter().zip(&self.effort.weights) {
            let pair = Pair { a: &a, b: &b, weight: Some(&weight) };
            match &mut by {
                None => value += share * local_correlation(&pair, self.radius, None),
                Some(by) => {
                    let [by_a, by_b] = &mut self.by;
                    value += share * local_correlation(&pair, self.radius, Some((by_a, by_b)));
                    let scale = scale.map(|scale| scale * share as f32);
                    add_gradient(&a, by_a, scale, &mut by[0]);
                    add_gradient(&b, by_b, scale, &mut by[1]);
                }
            }
        }
        let shape = self.fixed.image.shape;
        value - self.anchors.as_mut().map_or(0.0, |anchors| anchors.cost(&self.sides, shape))
    }

    /// Takes back the last step if it did not help.
    fn end(&mut self) {
        let value = self.value(None);
        if self.best.is_some_and(|best| best > value) {
            std::mem::swap(&mut self.sides, &mut self.last);
        }
    }

    /// Leaves out what is too fine and short to be more than noise.
    fn keep_detail(&mut self) {
        let shape = self.fixed.image.shape;
        let least = self.effort.least_detail;
        let (spare, strength) = (&mut self.spare, &mut self.by[0]);
        keep_detail(&mut self.sides, shape, self.relative, least, &mut self.last, spare, strength);
        self.sides.iter_mut().for_each(|side| unfold(side, shape, 4));
    }

    /// One step; the correlation before it. A step that made the images less alike is taken back and tried at half its
    /// length; nothing when that has become too short to matter.
    fn step(&mut self) -> Result<Option<f64>> {
        const SHORTEST: f64 = 0.02;
        let shape = self.fixed.image.shape;
        let mut steps = [0, 1].map(|_| vec![0f32; self.spare.len()]);
        let value = self.value(Some(&mut steps));
        if let Some(best) = self.best.take() {
            if value < best {
                std::mem::swap(&mut self.sides, &mut self.last);
                self.length *= 0.5;
                return Ok((self.length >= SHORTEST).then_some(best));
            }
            self.length = (1.2 * self.length).min(self.effort.step);
        }
        self.best = Some(value);
        for step in &mut steps {
            smooth::<3>(step, shape, self.smoothing[0]);
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
            let factor = if longest > 1e-20 { (self.length / longest) as f32 } else { 0.0 };
            step.par_iter_mut().with_min_len(1 << 16).for_each(|value| *value *= factor);
        }
        if let Some(anchors) = &mut self.anchors {
            anchors.pull(&self.sides, shape, self.effort.step, &mut steps);
        }
        for (side, step) in steps.into_iter().enumerate() {
            compose(&self.sides[side], &step, shape, &mut self.spare);
            std::mem::swap(&mut self.sides[side], &mut self.last[side]);
            std::mem::swap(&mut self.sides[side], &mut self.spare);
            smooth::<3>(&mut self.sides[side], shape, self.smoothing[1]);
            unfold(&mut self.sides[side], shape, 4);
        }
        Ok(Some(value))
    }
}
