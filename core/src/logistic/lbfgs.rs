//! Minimisation of a smooth function by limited-memory BFGS.

use std::collections::VecDeque;

use crate::Result;

/// Pairs of steps and changes of gradient that are remembered.
const HISTORY: usize = 10;

/// Sufficient decrease and curvature of the line search.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;

/// Evaluations of one line search at most.
const SEARCH: usize = 30;

/// Where the minimisation ended.
pub(super) struct Minimum {
    pub(super) at: Vec<f64>,
    pub(super) value: f64,
    /// Largest entry of the gradient.
    pub(super) gradient: f64,
    pub(super) iterations: usize,
    pub(super) converged: bool,
}

/// A point on the line of search.
struct Point {
    step: f64,
    value: f64,
    /// Derivative along the line.
    slope: f64,
    at: Vec<f64>,
    gradient: Vec<f64>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

/// Minimises `function` (value and gradient at a point) from `at`, until no entry of the gradient is beyond `tol`, no
/// step lowers the value any more, or `max_iter` iterations are done. `tick` is called after each.
pub(super) fn minimise(
    mut at: Vec<f64>,
    max_iter: usize,
    tol: f64,
    function: impl Fn(&[f64]) -> Result<(f64, Vec<f64>)>,
    tick: impl Fn() -> Result<()>,
) -> Result<Minimum> {
    let (mut value, mut gradient) = function(&at)?;
    // (step, change of gradient, 1 / their product), the newest last.
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::with_capacity(HISTORY);
    let mut iterations = 0;
    let mut stuck = false;
    while iterations < max_iter && largest(&gradient) > tol && !stuck {
        let mut direction = two_loops(&gradient, &pairs);
        if dot(&direction, &gradient) >= 0.0 {
            // Curvature lost to rounding: start over from the slope.
            pairs.clear();
            direction = gradient.iter().map(|slope| -slope).collect();
        }
        let first = if pairs.is_empty() { (1.0 / dot(&gradient, &gradient).sqrt()).min(1.0) } else { 1.0 };
        let Some(next) = search(&at, value, &gradient, &direction, first, &function)? else {
            if pairs.is_empty() {
                // Not even along the slope: this is as low as double precision goes.
                stuck = true;
            }
            pairs.clear();
            continue;
        };
        let step: Vec<f64> = next.at.iter().zip(&at).map(|(new, old)| new - old).collect();
        let change: Vec<f64> = next.gradient.iter().zip(&gradient).map(|(new, old)| new - old).collect();
        let product = dot(&step, &change);
        if product > 1e-10 * dot(&change, &change) * f64::EPSILON {
            if pairs.len() == HISTORY {
                pairs.pop_front();
            }
            pairs.push_back((step, change, 1.0 / product));
        }
        (at, value, gradient) = (next.at, next.value, next.gradient);
        iterations += 1;
        tick()?;
    }
    let left = largest(&gradient);
    Ok(Minimum { at, value, gradient: left, iterations, converged: stuck || left <= tol })
}

/// Minus the inverse Hessian, as the pairs approximate it, times the gradient.
fn two_loops(gradient: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut taken = Vec::with_capacity(pairs.len());
    for (step, change, inverse) in pairs.iter().rev() {
        let a = inverse * dot(step, &q);
        q.iter_mut().zip(change).for_each(|(q, y)| *q -= a * y);
        taken.push(a);
    }
    if let Some((_, change, inverse)) = pairs.back() {
        let scale = 1.0 / (inverse * dot(change, change));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((step, change, inverse), a) in pairs.iter().zip(taken.into_iter().rev()) {
        let b = inverse * dot(change, &q);
        q.iter_mut().zip(step).for_each(|(q, s)| *q += (a - b) * s);
    }
    q
}

/// A step along `direction` that satisfies the strong Wolfe conditions; none when no step lowers the value.
fn search(
    at: &[f64],
    value: f64,
    gradient: &[f64],
    direction: &[f64],
    first: f64,
    function: &impl Fn(&[f64]) -> Result<(f64, Vec<f64>)>,
) -> Result<Option<Point>> {
    let slope = dot(gradient, direction);
    let point = |step: f64| -> Result<Point> {
        let at: Vec<f64> = at.iter().zip(direction).map(|(x, d)| x + step * d).collect();
        let (value, gradient) = function(&at)?;
        Ok(Point { step, value, slope: dot(&gradient, direction), at, gradient })
    };
    // Rounding of the value itself must not stop a step that the slope approves.
    let slack = 1e-14 * value.abs();
    let low_enough = |next: &Point| next.value <= value + DECREASE * next.step * slope + slack;
    let flat_enough = |next: &Point| next.slope.abs() <= -CURVATURE * slope;

    let mut before = Point { step: 0.0, value, slope, at: Vec::new(), gradient: Vec::new() };
    let mut step = first;
    let (mut low, mut high) = loop {
        let next = point(step)?;
        if !next.value.is_finite() || !low_enough(&next) || (before.step > 0.0 && next.value >= before.value + slack) {
            break (before, next);
        }
        if flat_enough(&next) {
            return Ok(Some(next));
        }
        if next.slope >= 0.0 {
            break (next, before);
        }
        if step > 1e10 {
            return Ok(Some(next));
        }
        step *= 2.0;
        before = next;
    };
    for _ in 0..SEARCH {
        let next = point(between(&low, &high))?;
        if !next.value.is_finite() || !low_enough(&next) || next.value >= low.value + slack {
            high = next;
        } else {
            if flat_enough(&next) {
                return Ok(Some(next));
            }
            if next.slope * (high.step - low.step) >= 0.0 {
                high = low;
            }
            low = next;
        }
        if (high.step - low.step).abs() <= 1e-14 * low.step.max(1e-10) {
            break;
        }
    }
    Ok(if low.step > 0.0 && low.value < value { Some(low) } else { None })
}

/// A step between two: the minimum of the cubic through both, or their middle when that lies too near to an end.
fn between(low: &Point, high: &Point) -> f64 {
    let middle = 0.5 * (low.step + high.step);
    let width = high.step - low.step;
    if !high.value.is_finite() || !high.slope.is_finite() {
        return middle;
    }
    let d1 = low.slope + high.slope - 3.0 * (high.value - low.value) / width;
    let square = d1 * d1 - low.slope * high.slope;
    if square < 0.0 {
        return middle;
    }
    let d2 = width.signum() * square.sqrt();
    let step = high.step - width * (high.slope + d2 - d1) / (high.slope - low.slope + 2.0 * d2);
    let (from, to) = (low.step + 0.1 * width, low.step + 0.9 * width);
    if step.is_finite() && step >= from.min(to) && step <= from.max(to) { step } else { middle }
}
