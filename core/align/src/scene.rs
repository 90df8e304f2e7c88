//! The fixed cells, made ready for search, and how alike cells of the two sides are beside where they lie.

use ndarray::ArrayView2;
use rayon::prelude::*;
use zensaibo_core::random::Stream;
use zensaibo_core::{DataFault, Error, Result};

use crate::cloud::{Cloud, Point, ball, median, spacing};
use zensaibo_core::places::Tree;

/// Neighbours by which the density about a cell is told.
const NEAR: usize = 16;

/// The fixed cells.
pub(crate) struct Scene<'a> {
    pub(crate) points: &'a [Point],
    pub(crate) dimensions: usize,
    pub(crate) tree: Tree,
    /// Median distance of a cell to its nearest: the unit of every default.
    pub(crate) spacing: f64,
    /// Cells per area or volume about each cell.
    pub(crate) density: Vec<f64>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(name: &str, cloud: &'a Cloud) -> Result<Self> {
        let (points, dimensions) = (cloud.points(), cloud.dimensions());
        let tree = crate::cloud::tree(points);
        let spacing = spacing(points, &tree)
            .ok_or_else(|| Error::data(DataFault::TooFew, name, "cells at two places at least", "one place"))?;
        let k = NEAR.min(points.len() - 1).max(1);
        let floor = ball(dimensions, 0.1 * spacing);
        let density = points
            .par_iter()
            .map_init(Vec::new, |best, point| {
                tree.nearest(point, k + 1, f64::INFINITY, None, best);
                let farthest = best.last().map_or(0.0, |found| found.0.sqrt());
                k as f64 / ball(dimensions, farthest).max(floor)
            })
            .collect();
        Ok(Self { points, dimensions, tree, spacing, density })
    }
}

/// Values measured on both sides (expression, intensity, sizes), and how much a pair's likeness says.
///
/// A pair gains the factor `exp(-d^2 / (2 width^2))` over the mean of that factor between the moving cell and fixed cells in
/// general, `d` being the distance of their values: 1 where likeness says nothing.
pub(crate) struct Likeness<'a> {
    moving: ArrayView2<'a, f64>,
    fixed: ArrayView2<'a, f64>,
    factor: f64,
    chance: Vec<f64>,
}

/// Fixed cells that stand for all.
const SAMPLE: usize = 256;

impl<'a> Likeness<'a> {
    /// `width` in the unit of the values; `None`: half the median distance between cells of the two sides.
    pub(crate) fn new(
        moving: ArrayView2<'a, f64>,
        fixed: ArrayView2<'a, f64>,
        width: Option<f64>,
        seed: u64,
    ) -> Result<Self> {
        let mut stream = Stream::new(seed, u64::MAX);
        let sample: Vec<usize> = (0..SAMPLE).map(|_| stream.below(fixed.nrows() as u64) as usize).collect();
        let far = |a: usize, b: usize| -> f64 {
            moving.row(a).iter().zip(fixed.row(b)).map(|(a, b)| (a - b) * (a - b)).sum()
        };
        let width = match width {
            Some(width) => width,
            None => {
                let mut distances: Vec<f64> =
                    sample.iter().map(|&b| far(stream.below(moving.nrows() as u64) as usize, b).sqrt()).collect();
                0.5 * median(&mut distances).unwrap_or(0.0)
            }
        };
        if !(width > 0.0) {
            let expected = "features that differ between cells, or a `feature_width` above 0";
            return Err(Error::data(DataFault::Invalid, "features", expected, "none that do"));
        }
        let factor = -0.5 / (width * width);
        let chance = (0..moving.nrows())
            .into_par_iter()
            .map(|a| sample.iter().map(|&b| (factor * far(a, b)).exp()).sum::<f64>() / SAMPLE as f64)
            .map(|mean| mean.max(1e-12))
            .collect();
        Ok(Self { moving, fixed, factor, chance })
    }

    pub(crate) fn ratio(&self, moving: usize, fixed: usize) -> f64 {
        let squared: f64 =
            self.moving.row(moving).iter().zip(self.fixed.row(fixed)).map(|(a, b)| (a - b) * (a - b)).sum();
        (self.factor * squared).exp() / self.chance[moving]
    }
}
