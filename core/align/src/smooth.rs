//! The smooth displacement that best carries places to where they belong.
//!
//! Displacements are an affine map plus a sum of Gaussians about control points; weights are held small in the norm of
//! that kernel (the motion coherence of Myronenko and Song 2010). With control points on a grid wider than the cells
//! this is its low-rank form: cells do not enter the size of the system.

use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_linalg::{gemm_f64, gram_f64, solve_positive};

use crate::cloud::{Point, minus, square};
use crate::linear::Linear;

/// Places handled at once; near ones, so that they share most control points.
const PIECE: usize = 256;
/// Kernel widths beyond which a control point has no say: there the kernel is below 4e-6.
pub(crate) const REACH: f64 = 5.0;
/// Distance of control points in kernel widths: waves that a coarser grid would miss are damped to 3 % of their height by the kernel.
const GRID: f64 = 1.2;

/// Control points and the kernel about them; none for an affine map.
pub(crate) struct Basis {
    pub(crate) controls: Vec<Point>,
    pub(crate) beta: f64,
    dimensions: usize,
    /// Middle and size of the places, in which the affine part is written.
    middle: Point,
    size: f64,
    /// Kernel between control points.
    between: Array2<f64>,
}

/// A displacement: affine part (of the place itself, not of the displacement) and weights.
#[derive(Clone)]
pub(crate) struct Moves {
    pub(crate) affine: Linear,
    pub(crate) weights: Vec<Point>,
}

impl Basis {
    /// Control points on a grid over `places`, those within one and a half kernel widths of a place. With more than `most` of
    /// them the kernel is widened, unless it is `kept`; then they are refused.
    pub(crate) fn over(places: &[Point], dimensions: usize, beta: f64, most: usize, kept: bool) -> Result<Self> {
        let mut width = beta;
        loop {
            let controls = grid(places, dimensions, width, most);
            if let Some(controls) = controls {
                return Ok(Self::at(controls, places, dimensions, width));
            }
            if kept {
                let found =
                    format!("{beta}: kernels of this width take more than `max_controls` = {most} control points");
                return Err(Error::parameter("beta", "a wider kernel, or more control points", found));
            }
            width *= 1.1;
        }
    }

    /// No control points.
    pub(crate) fn affine(places: &[Point], dimensions: usize) -> Self {
        Self::at(Vec::new(), places, dimensions, 1.0)
    }

    fn at(controls: Vec<Point>, places: &[Point], dimensions: usize, beta: f64) -> Self {
        let (low, high) = bounds(places);
        let size = (0..3).map(|axis| high[axis] - low[axis]).fold(f64::MIN_POSITIVE, f64::max) / 2.0;
        let limit = (REACH * beta) * (REACH * beta);
        let m = controls.len();
        let between = Array2::from_shape_fn((m, m), |(a, b)| kernel(square(&controls[a], &controls[b]), beta, limit));
        let middle = std::array::from_fn(|axis| (low[axis] + high[axis]) / 2.0);
        Self { controls, beta, dimensions, middle, size, between }
    }

    /// Affine part and weights that least move `places` from `targets`, each place with its weight, held back by
    /// `stiffness`. `order` lists the places so that near ones follow each other.
    pub(crate) fn fit(
        &self,
        places: &[Point],
        order: &[u32],
        weights: &[f64],
        targets: &[Point],
        stiffness: f64,
        ctx: &Ctx,
    ) -> Result<Moves> {
        let (m, extra) = (self.controls.len(), self.dimensions + 1);
        let width = m + extra;
        let (mut normal, mut right) = (Array2::<f64>::zeros((width, width)), Array2::<f64>::zeros((width, 3)));
        let pieces: Vec<&[u32]> = order.chunks(PIECE).collect();
        zensaibo_core::parallel::ordered_reduce(
            pieces.len(),
            ctx,
            |at| Ok(self.piece(pieces[at], places, weights, targets)?),
            |_, piece| {
                for (a, &row) in piece.columns.iter().enumerate() {
                    for (b, &column) in piece.columns[..=a].iter().enumerate() {
                        normal[(row, column)] += piece.gram[(a, b)];
                    }
                    for axis in 0..3 {
                        right[(row, axis)] += piece.right[(a, axis)];
                    }
                }
                Ok(())
            },
        )?;
        let mut largest = 0.0f64;
        for a in 0..m {
            for b in 0..=a {
                normal[(a, b)] += stiffness * self.between[(a, b)];
            }
        }
        for a in 0..width {
            largest = largest.max(normal[(a, a)]);
        }
        if !(largest > 0.0) {
            return Ok(Moves { affine: Linear::IDENTITY, weights: vec![[0.0; 3]; m] });
        }
        // The kernel on a grid is close to singular to working precision.
        for a in 0..width {
            normal[(a, a)] += 1e-9 * largest;
        }
        let found = solve_positive(normal.view(), right.view())?;
        let weights = (0..m).map(|at| std::array::from_fn(|axis| found[(at, axis)])).collect();
        let mut affine = Linear::IDENTITY;
        for row in 0..self.dimensions {
            for column in 0..self.dimensions {
                affine.matrix[row][column] += found[(m + column, row)] / self.size;
            }
            let turned: f64 =
                (0..self.dimensions).map(|column| found[(m + column, row)] / self.size * self.middle[column]).sum();
            affine.shift[row] = found[(m + self.dimensions, row)] - turned;
        }
        Ok(Moves { affine, weights })
    }

    /// What one piece of places adds to the normal equations.
    fn piece(
        &self,
        piece: &[u32],
        places: &[Point],
        weights: &[f64],
        targets: &[Point],
    ) -> zensaibo_linalg::Result<Part> {
        let used: Vec<u32> = piece.iter().copied().filter(|&at| weights[at as usize] > 0.0).collect();
        let limit = (REACH * self.beta) * (REACH * self.beta);
        let here: Vec<Point> = used.iter().map(|&at| places[at as usize]).collect();
        let (low, high) = bounds(&here);
        let near = |control: &Point| {
            let clamped: Point = std::array::from_fn(|axis| control[axis].clamp(low[axis], high[axis]));
            square(control, &clamped) <= limit
        };
        let mut columns: Vec<usize> = if here.is_empty() {
            Vec::new()
        } else {
            (0..self.controls.len()).filter(|&at| near(&self.controls[at])).collect()
        };
        let active = columns.len();
        columns.extend(self.controls.len()..self.controls.len() + self.dimensions + 1);
        let (mut rows, mut goals) = (Array2::zeros((used.len(), columns.len())), Array2::zeros((used.len(), 3)));
        for (slot, (&at, place)) in used.iter().zip(&here).enumerate() {
            let root = weights[at as usize].sqrt();
            for column in 0..active {
                rows[(slot, column)] = root * kernel(square(place, &self.controls[columns[column]]), self.beta, limit);
            }
            for axis in 0..self.dimensions {
                rows[(slot, active + axis)] = root * (place[axis] - self.middle[axis]) / self.size;
            }
            rows[(slot, active + self.dimensions)] = root;
            let goal = minus(&targets[at as usize], place);
            (0..3).for_each(|axis| goals[(slot, axis)] = root * goal[axis]);
        }
        let mut gram = Array2::zeros((columns.len(), columns.len()));
        let mut right = Array2::zeros((columns.len(), 3));
        gram_f64(gram.view_mut(), false, rows.view())?;
        gemm_f64(right.view_mut(), false, rows.view().reversed_axes(), goals.view())?;
        Ok(Part { columns, gram, right })
    }

    /// Where places go, each on its own.
    pub(crate) fn apply(&self, moves: &Moves, places: &[Point], ctx: &Ctx) -> Result<Vec<Point>> {
        let map = crate::map::PointMap {
            dimensions: self.dimensions,
            start: Linear::IDENTITY,
            affine: moves.affine,
            controls: self.controls.clone(),
            weights: moves.weights.clone(),
            beta: self.beta,
            reach: self.reach(),
        };
        map.map(places, false, ctx)
    }

    pub(crate) fn reach(&self) -> f64 {
        REACH * self.beta
    }
}

struct Part {
    columns: Vec<usize>,
    /// Lower triangle.
    gram: Array2<f64>,
    right: Array2<f64>,
}

fn kernel(squared: f64, beta: f64, limit: f64) -> f64 {
    if squared > limit { 0.0 } else { (-0.5 * squared / (beta * beta)).exp() }
}

fn bounds(places: &[Point]) -> (Point, Point) {
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for place in places {
        for axis in 0..3 {
            low[axis] = low[axis].min(place[axis]);
            high[axis] = high[axis].max(place[axis]);
        }
    }
    (low, high)
}

/// Nodes of a grid near places; `None` when there are more than `most`.
fn grid(places: &[Point], dimensions: usize, beta: f64, most: usize) -> Option<Vec<Point>> {
    let (low, high) = bounds(places);
    let step = GRID * beta;
    let margin = 1.5 * beta;
    let counts: [usize; 3] = std::array::from_fn(|axis| {
        if axis >= dimensions {
            1
        } else {
            ((high[axis] - low[axis] + 2.0 * margin) / step).ceil().min(1e9) as usize + 1
        }
    });
    if counts.iter().map(|&count| count as f64).product::<f64>() > 1000.0 * most as f64 {
        return None;
    }
    let node = |axis: usize, at: usize| {
        if axis >= dimensions {
            return 0.0;
        }
        (low[axis] + high[axis]) / 2.0 + step * (at as f64 - (counts[axis] - 1) as f64 / 2.0)
    };
    let tree = crate::cloud::tree(places);
    let nodes: Vec<Point> = (0..counts[0] * counts[1] * counts[2])
        .into_par_iter()
        .filter_map(|at| {
            let place = [at / (counts[1] * counts[2]), at / counts[2] % counts[1], at % counts[2]];
            let place: Point = std::array::from_fn(|axis| node(axis, place[axis]));
            tree.first(&place, margin * margin, None).map(|_| place)
        })
        .collect();
    (nodes.len() <= most).then_some(nodes)
}

/// `(diag(weights) G + stiffness) w = goals` for a full kernel matrix `g`: the exact form, one control point per place.
pub(crate) fn solve_full(
    g: ArrayView2<'_, f64>,
    weights: &[f64],
    goals: &Array2<f64>,
    stiffness: f64,
) -> Result<Array2<f64>> {
    let n = weights.len();
    let mut a = g.to_owned();
    for (row, &weight) in weights.iter().enumerate() {
        a.slice_mut(s![row, ..]).mapv_inplace(|value| value * weight);
        a[(row, row)] += stiffness;
    }
    debug_assert_eq!(n, goals.nrows());
    Ok(zensaibo_linalg::solve(a.view(), goals.view())?)
}
