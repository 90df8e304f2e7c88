//! Coherent point drift as published (Myronenko and Song 2010): the width of the search is estimated, not scheduled.

use ndarray::Array2;
use rayon::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::cloud::{Cloud, Point, minus, plus, square};
use crate::linear::{Linear, Pairs};
use crate::map::PointMap;
use crate::smooth::{Basis, solve_full};

/// Moving cells beyond which the exact kernel matrix is refused.
const FULL: usize = 6000;
/// Fixed cells in a piece.
const PIECE: usize = 256;

zensaibo_core::options! {
    /// Options for [`drift`].
    pub struct DriftOptions("coherent_point_drift") {
        /// `rigid` (turn and shift), `similarity` (and one scale), `affine` or `nonrigid`.
        pub kind: String = "similarity".to_string(),
        /// Share of fixed points that no moving one explains, at least 0 and below 1.
        pub outliers: f64 = 0.0,
        /// Width of the kernel of the smooth motion, in the unit of the points, above 0. Larger is smoother. Only for `nonrigid`.
        pub beta: f64 = 2.0,
        /// Weight of the smoothness, per squared unit of the points, above 0. Larger moves less. Only for `nonrigid`.
        pub stiffness: f64 = 2.0,
        /// Carry the motion by control points on a grid, with an affine part, instead of one per moving point: for more than
        /// some thousand points. Only for `nonrigid`.
        pub low_rank: bool = false,
        /// Leave out pairs farther apart than this many widths of the search; above 0. None: all pairs count.
        pub truncate: Option<f64> = None,
        /// Stop when the objective (for `nonrigid`: the squared width) changes by no more than this.
        pub tolerance: f64 = 0.001,
        /// Iterations at most, at least 1.
        pub max_iterations: usize = 100,
    }
}

impl DriftOptions {
    fn check(&self) -> Result<()> {
        if !["rigid", "similarity", "affine", "nonrigid"].contains(&self.kind.as_str()) {
            return Err(Error::parameter("kind", "rigid, similarity, affine or nonrigid", &self.kind));
        }
        if !(0.0..1.0).contains(&self.outliers) {
            return Err(Error::parameter("outliers", "at least 0 and below 1", self.outliers));
        }
        for (name, value) in [("beta", self.beta), ("stiffness", self.stiffness)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::parameter(name, "a finite number above 0", value));
            }
        }
        if let Some(widths) = self.truncate
            && !(widths > 0.0 && widths.is_finite())
        {
            return Err(Error::parameter("truncate", "a finite number above 0, or none", widths));
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return Err(Error::parameter("tolerance", "a finite number of at least 0", self.tolerance));
        }
        if self.max_iterations == 0 {
            return Err(Error::parameter("max_iterations", "at least 1", 0));
        }
        if self.low_rank && self.kind != "nonrigid" {
            return Err(Error::parameter("low_rank", "false unless `kind` is nonrigid", true));
        }
        Ok(())
    }
}

/// What [`drift`] returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// From the moving to the fixed space.
    pub map: PointMap,
    /// Where the moving points lie after it.
    pub placed: Vec<Point>,
    /// Square of the width of the search at the end.
    pub sigma2: f64,
    /// Iterations done.
    pub iterations: usize,
    /// Whether the change fell to the tolerance.
    pub converged: bool,
}

/// What the moving points are drawn to.
struct Drawn {
    /// Sum of the shares of each moving point, and of the fixed points times shares (about the first fixed point).
    weights: Vec<f64>,
    sums: Vec<Point>,
    /// Sum over fixed points of share and squared size.
    squares: f64,
}

/// Moves `moving` onto `fixed`: points of the one are centres of Gaussians of one width, of which the others are a sample.
///
/// Cost per iteration: pairs within reach (all of them unless `truncate` is set), and for `nonrigid` the cube of the moving
/// (with `low_rank`: control) points, whose square times 8 bytes is the memory. Sums run in an order of their own, so threads change
/// the time alone. Nothing is random.
///
/// # Errors
/// [`Error::Parameter`], [`Error::Data`] for sides that differ in dimensions, [`Error::Limit`] for too many points for an
/// exact kernel matrix, [`Error::Interrupted`].
pub fn drift(moving: &Cloud, fixed: &Cloud, options: &DriftOptions, ctx: &Ctx) -> Result<Drift> {
    options.validate()?;
    let dimensions = fixed.dimensions();
    if moving.dimensions() != dimensions {
        let found = format!("{} dimensions", moving.dimensions());
        return Err(Error::data(DataFault::Shape, "moving points", format!("{dimensions}, as the fixed ones"), found));
    }
    let (x, y) = (moving.points(), fixed.points());
    let nonrigid = options.kind == "nonrigid";
    if nonrigid && !options.low_rank && x.len() > FULL {
        let needed = format!("a matrix of {0} x {0}", x.len());
        return Err(Error::Limit {
            what: "coherent point drift without `low_rank`".into(),
            needed,
            limit: format!("{FULL} moving points"),
        });
    }
    let full = (nonrigid && !options.low_rank).then(|| {
        let factor = -0.5 / (options.beta * options.beta);
        Array2::from_shape_fn((x.len(), x.len()), |(a, b)| (factor * square(&x[a], &x[b])).exp())
    });
    let basis = match (nonrigid, options.low_rank) {
        (true, true) => Some(Basis::over(x, dimensions, options.beta, 4000, true)?),
        _ => None,
    };
    let order = crate::cloud::tree(x).order;
    let mut map = PointMap::linear(dimensions, Linear::IDENTITY);
    let mut placed = x.to_vec();
    let mut sigma2 = spread(x, y, dimensions);
    let (mut objective, mut iterations, mut converged) = (f64::INFINITY, 0, false);
    let stage = ctx.stage("drift", options.max_iterations as u64);
    let origin = y[0];
    while iterations < options.max_iterations && !converged {
        let drawn = expect(&placed, y, sigma2, options, dimensions, ctx)?;
        let total: f64 = drawn.weights.iter().sum();
        if !(total > 0.0) {
            let found = "none within reach of the moving ones";
            return Err(Error::data(DataFault::Invalid, "fixed points", "some that moving points explain", found));
        }
        let target = |at: usize| plus(&origin, &drawn.sums[at].map(|value| value / drawn.weights[at]));
        if let Some(kernel) = &full {
            let goals = Array2::from_shape_fn((x.len(), 3), |(at, axis)| {
                drawn.sums[at][axis] - drawn.weights[at] * (x[at][axis] - origin[axis])
            });
            let found = solve_full(kernel.view(), &drawn.weights, &goals, options.stiffness * sigma2)?;
            map.controls = x.to_vec();
            map.weights = (0..x.len()).map(|at| std::array::from_fn(|axis| found[(at, axis)])).collect();
            (map.beta, map.reach) = (options.beta, f64::MAX.sqrt());
            let moved = kernel.dot(&found);
            placed = (0..x.len()).map(|at| plus(&x[at], &std::array::from_fn(|axis| moved[(at, axis)]))).collect();
        } else if let Some(basis) = &basis {
            let targets: Vec<Point> =
                (0..x.len()).map(|at| if drawn.weights[at] > 0.0 { target(at) } else { x[at] }).collect();
            let moves = basis.fit(x, &order, &drawn.weights, &targets, options.stiffness * sigma2, ctx)?;
            placed = basis.apply(&moves, x, ctx)?;
            (map.affine, map.weights) = (moves.affine, moves.weights);
            (map.beta, map.reach) = (basis.beta, basis.reach());
            map.controls.clone_from(&basis.controls);
        } else {
            let pairs = (0..x.len()).filter(|&at| drawn.weights[at] > 0.0);
            let sums = Pairs::of(pairs.map(|at| (x[at], target(at), drawn.weights[at])));
            let found = match options.kind.as_str() {
                "affine" => sums.affine(dimensions, 0.0, &Linear::IDENTITY),
                kind => sums.similarity(dimensions, kind == "similarity", false),
            };
            let open = || Error::data(DataFault::TooFew, "moving points", "enough to fix the map", "too few");
            map.affine = found.ok_or_else(open)?;
            placed = x.iter().map(|place| map.affine.apply(place)).collect();
        }
        let mut left = drawn.squares;
        for at in 0..x.len() {
            let there = minus(&placed[at], &origin);
            let along: f64 = (0..3).map(|axis| there[axis] * drawn.sums[at][axis]).sum();
            left += drawn.weights[at] * square(&there, &[0.0; 3]) - 2.0 * along;
        }
        let size = dimensions as f64 * total;
        let before = (objective, sigma2);
        objective = left / (2.0 * sigma2) + 0.5 * size * sigma2.ln();
        sigma2 = left / size;
        if !(sigma2 > 0.0) {
            sigma2 = (options.tolerance / 10.0).max(f64::MIN_POSITIVE);
        }
        let change = if nonrigid { (sigma2 - before.1).abs() } else { (objective - before.0).abs() };
        converged = change <= options.tolerance;
        iterations += 1;
        stage.advance(1)?;
    }
    Ok(Drift { map, placed, sigma2, iterations, converged })
}

/// Mean squared distance along an axis over all pairs.
fn spread(x: &[Point], y: &[Point], dimensions: usize) -> f64 {
    // Over sums about a common origin: no need to visit the pairs.
    let origin = y[0];
    let moments = |points: &[Point]| {
        let (mut sum, mut squares) = ([0.0; 3], 0.0);
        for point in points {
            let away = minus(point, &origin);
            squares += square(&away, &[0.0; 3]);
            (0..3).for_each(|axis| sum[axis] += away[axis]);
        }
        (sum.map(|value| value / points.len() as f64), squares / points.len() as f64)
    };
    let ((a, aa), (b, bb)) = (moments(x), moments(y));
    let across: f64 = (0..3).map(|axis| a[axis] * b[axis]).sum();
    (aa + bb - 2.0 * across) / dimensions as f64
}

/// Shares of each fixed point among the moving ones, summed up over fixed points.
fn expect(
    placed: &[Point],
    fixed: &[Point],
    sigma2: f64,
    options: &DriftOptions,
    dimensions: usize,
    ctx: &Ctx,
) -> Result<Drawn> {
    let (m, n) = (placed.len(), fixed.len());
    let factor = -0.5 / sigma2;
    let uniform = (2.0 * std::f64::consts::PI * sigma2).powf(0.5 * dimensions as f64) * options.outliers
        / (1.0 - options.outliers)
        * m as f64
        / n as f64;
    let origin = fixed[0];
    let tree = options.truncate.map(|widths| (crate::cloud::tree(placed), widths * widths * sigma2));
    let mut drawn = Drawn { weights: vec![0.0; m], sums: vec![[0.0; 3]; m], squares: 0.0 };
    let pieces: Vec<&[Point]> = fixed.chunks(PIECE).collect();
    let mut add = |at: usize, share: f64, away: &Point| {
        drawn.weights[at] += share;
        (0..3).for_each(|axis| drawn.sums[at][axis] += share * away[axis]);
    };
    if let Some((tree, limit)) = &tree {
        let found: Vec<Vec<(u32, u32, f64)>> = pieces
            .par_iter()
            .enumerate()
            .map(|(piece, points)| {
                ctx.check()?;
                let mut out: Vec<(u32, u32, f64)> = Vec::new();
                for (slot, point) in points.iter().enumerate() {
                    let (begin, mut total) = (out.len(), 0.0);
                    tree.within(point, *limit, |squared, at| {
                        let share = (factor * squared).exp();
                        total += share;
                        out.push((at, (piece * PIECE + slot) as u32, share));
                    });
                    total = total.max(f64::EPSILON) + uniform;
                    out[begin..].iter_mut().for_each(|found| found.2 /= total);
                }
                Ok(out)
            })
            .collect::<Result<_>>()?;
        let mut squares = 0.0;
        for (at, from, share) in found.into_iter().flatten() {
            let away = minus(&fixed[from as usize], &origin);
            add(at as usize, share, &away);
            squares += share * square(&away, &[0.0; 3]);
        }
        drawn.squares = squares;
        return Ok(drawn);
    }
    let mut squares = 0.0;
    ordered_reduce(
        pieces.len(),
        ctx,
        |piece| {
            let (mut weights, mut sums, mut squares) = (vec![0.0; m], vec![[0.0; 3]; m], 0.0);
            let mut shares = vec![0.0; m];
            for point in pieces[piece] {
                let mut total = 0.0;
                for (share, place) in shares.iter_mut().zip(placed) {
                    *share = (factor * square(point, place)).exp();
                    total += *share;
                }
                let inverse = 1.0 / (total.max(f64::EPSILON) + uniform);
                let away = minus(point, &origin);
                for (at, share) in shares.iter().enumerate() {
                    let share = share * inverse;
                    weights[at] += share;
                    (0..3).for_each(|axis| sums[at][axis] += share * away[axis]);
                }
                squares += total * inverse * square(&away, &[0.0; 3]);
            }
            Ok((weights, sums, squares))
        },
        |_, (weights, sums, part)| {
            for at in 0..m {
                drawn.weights[at] += weights[at];
                (0..3).for_each(|axis| drawn.sums[at][axis] += sums[at][axis]);
            }
            squares += part;
            Ok(())
        },
    )?;
    drawn.squares = squares;
    Ok(drawn)
}
