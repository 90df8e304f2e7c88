//! The map from one cloud to the other: a linear one, and a smooth one carried by control points.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use zensaibo_core::{Ctx, Result};

use crate::cloud::{Point, minus, plus, square};
use crate::linear::Linear;

/// Points mapped between two looks at whether to stop.
const PIECE: usize = 256;
/// Steps towards the place that a map takes to a given one.
const STEPS: usize = 50;

/// `y = affine(u) + sum_c weights[c] exp(-|u - controls[c]|^2 / (2 beta^2))` with `u = start(x)`.
///
/// `start` leads from the moving space into the frame of the fixed one; there the control points lie. Beyond `reach` a
/// control point has no say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointMap {
    /// 2 or 3.
    pub dimensions: usize,
    /// From the moving space to the frame of the control points.
    pub start: Linear,
    /// From there to the fixed space.
    pub affine: Linear,
    /// Control points, in the frame.
    pub controls: Vec<Point>,
    /// How far each of them carries, in the unit of the fixed space.
    pub weights: Vec<Point>,
    /// Width of the kernel, in the frame; without meaning where there are no control points.
    pub beta: f64,
    /// Distance beyond which the kernel is 0.
    pub reach: f64,
}

impl PointMap {
    /// A linear map alone.
    pub fn linear(dimensions: usize, map: Linear) -> Self {
        Self {
            dimensions,
            start: Linear::IDENTITY,
            affine: map,
            controls: Vec::new(),
            weights: Vec::new(),
            beta: 1.0,
            reach: 0.0,
        }
    }

    /// The linear part from the moving to the fixed space.
    pub fn whole(&self) -> Linear {
        self.affine.after(&self.start)
    }

    /// Where a place of the frame goes, and with `slopes` how the map changes there.
    fn onward(&self, u: &Point, slopes: Option<&mut [[f64; 3]; 3]>) -> Point {
        let mut y = self.affine.apply(u);
        let (factor, limit) = (-0.5 / (self.beta * self.beta), self.reach * self.reach);
        let mut m = self.affine.matrix;
        let wanted = slopes.is_some();
        for (c, w) in self.controls.iter().zip(&self.weights) {
            let squared = square(u, c);
            if squared > limit {
                continue;
            }
            let k = (squared * factor).exp();
            for axis in 0..3 {
                y[axis] += w[axis] * k;
            }
            if wanted {
                let d = minus(u, c).map(|value| value * 2.0 * factor * k);
                for (row, w) in m.iter_mut().zip(w) {
                    (0..3).for_each(|axis| row[axis] += w * d[axis]);
                }
            }
        }
        if let Some(slopes) = slopes {
            *slopes = m;
        }
        y
    }

    /// Where a place of the moving space goes.
    pub fn apply(&self, x: &Point) -> Point {
        self.onward(&self.start.apply(x), None)
    }

    /// The place that goes to `y`, by Newton's steps from where the linear part alone would have it, each halved until it
    /// brings it nearer. `None` where none is found: beyond a fold.
    pub fn invert(&self, y: &Point) -> Option<Point> {
        let back = self.start.inverse()?;
        let flat = self.affine.inverse()?;
        let mut u = flat.apply(y);
        if self.controls.is_empty() {
            return Some(back.apply(&u));
        }
        let small = 1e-18 * self.beta * self.beta * self.affine.scale(self.dimensions).powi(2);
        let mut slopes = [[0.0; 3]; 3];
        let mut there = self.onward(&u, Some(&mut slopes));
        for _ in 0..STEPS {
            let off = square(&there, y);
            if off <= small {
                return Some(back.apply(&u));
            }
            let step = Linear { matrix: slopes, shift: [0.0; 3] }.inverse()?.turn(&minus(y, &there));
            let mut share = 1.0;
            loop {
                let next = plus(&u, &step.map(|value| value * share));
                let mut turned = [[0.0; 3]; 3];
                let reached = self.onward(&next, Some(&mut turned));
                if square(&reached, y) < off {
                    (u, there, slopes) = (next, reached, turned);
                    break;
                }
                share *= 0.5;
                if share < 1e-3 {
                    // As near as rounding lets it come, or stuck.
                    return (off <= 1e6 * small).then(|| back.apply(&u));
                }
            }
        }
        None
    }

    /// Where all `points` go; with `inverse` where they come from, NaN where nothing leads there. Each on its own, so
    /// threads change the time alone; time is points x control points.
    ///
    /// # Errors
    /// [`zensaibo_core::Error::Interrupted`].
    pub fn map(&self, points: &[Point], inverse: bool, ctx: &Ctx) -> Result<Vec<Point>> {
        let pieces: Vec<Vec<Point>> = points
            .par_chunks(PIECE)
            .map(|piece| {
                ctx.check()?;
                let one = |x: &Point| if inverse { self.invert(x).unwrap_or([f64::NAN; 3]) } else { self.apply(x) };
                Ok(piece.iter().map(one).collect())
            })
            .collect::<Result<_>>()?;
        Ok(pieces.concat())
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    #[test]
    fn the_way_back_leads_back() {
        let mut stream = Stream::new(5, 0);
        let controls: Vec<Point> = (0..30).map(|_| std::array::from_fn(|_| 100.0 * stream.uniform())).collect();
        let weights: Vec<Point> = (0..30).map(|_| std::array::from_fn(|_| 4.0 * stream.normal())).collect();
        let start = Linear { matrix: [[0.0, -2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 2.0]], shift: [100.0, 3.0, -9.0] };
        let affine = Linear { matrix: [[1.1, 0.1, 0.0], [0.0, 0.9, 0.0], [0.0, -0.1, 1.0]], shift: [1.0, 2.0, 3.0] };
        let map = PointMap { dimensions: 3, start, affine, controls, weights, beta: 30.0, reach: 150.0 };
        let points: Vec<Point> = (0..200).map(|_| std::array::from_fn(|_| 50.0 * stream.uniform())).collect();
        let there = map.map(&points, false, &Ctx::quiet()).unwrap();
        let back = map.map(&there, true, &Ctx::quiet()).unwrap();
        for (a, b) in points.iter().zip(&back) {
            assert!(square(a, b).sqrt() < 1e-6, "{a:?} {b:?}");
        }
        assert!(map.apply(&points[0]) != map.whole().apply(&points[0]));
    }

    #[test]
    fn a_fold_has_no_way_back() {
        // A pit so deep that places beyond its edge are passed over: the map covers y = 0 nowhere near.
        let map = PointMap {
            dimensions: 2,
            start: Linear::IDENTITY,
            affine: Linear { matrix: [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], shift: [0.0; 3] },
            controls: vec![[0.0; 3]],
            weights: vec![[0.0; 3]],
            beta: 1.0,
            reach: 5.0,
        };
        assert!(map.invert(&[1.0, 2.0, 0.0]).is_none());
    }
}
