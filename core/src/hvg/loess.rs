//! Local regression of one variable: Cleveland's loess with interpolation.
//!
//! The curve is fitted by local quadratics with tricube weights, not at every point but at the vertices of a
//! k-d tree (here: at the cuts of an interval), and read off in between by cubics that match value and slope
//! at both ends. Cells are cut at a median of the points within until few enough points are left. This is what
//! dloess does by default (`surface="interpolate"`, `cell=0.2`), so results agree with it to rounding.
//!
//! References: Cleveland and Grosse, Computational methods for local regression, 1991; Cleveland, Grosse and
//! Shyu, A package of C and Fortran routines for fitting local regression models, 1992.

use crate::{DataFault, Error, Result};

/// Points per cell are at most `CELL * span * n`.
const CELL: f64 = 0.2;

/// A fitted curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Loess {
    /// Where the curve was fitted, ascending; the first and last lie just outside the data.
    vertices: Vec<f64>,
    /// Value at each vertex.
    values: Vec<f64>,
    /// Slope at each vertex.
    slopes: Vec<f64>,
}

impl Loess {
    /// Fits y on x by local quadratics over the `span` nearest fraction of the points.
    ///
    /// Nothing is random. O(vertices * span * n). Where a neighbourhood holds too few different x to determine a
    /// quadratic, the smallest of the best solutions is taken.
    ///
    /// # Errors
    /// [`Error::Data`] for no points, unequal lengths, or values that are not finite; [`Error::Parameter`] when
    /// `span` covers fewer than 3 points, or points of a single x only.
    pub fn fit(x: &[f64], y: &[f64], span: f64) -> Result<Self> {
        if x.is_empty() || x.len() != y.len() {
            let found = format!("{} and {}", x.len(), y.len());
            return Err(Error::data(DataFault::Shape, "loess", "as many y as x, at least one", found));
        }
        if x.iter().chain(y).any(|value| !value.is_finite()) {
            return Err(Error::data(DataFault::NotFinite, "loess", "finite values", "NaN or infinity"));
        }
        let mut points: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let n = points.len();
        let neighbours = n.min((n as f64 * span + 1e-5).floor() as usize);
        if neighbours < 3 {
            let expected = format!("a fraction that covers at least 3 of {n} points");
            return Err(Error::parameter("span", expected, span));
        }
        let vertices = cut(&points, span);
        let mut fit = Self { values: Vec::new(), slopes: Vec::new(), vertices };
        for &vertex in &fit.vertices {
            let (value, slope) = local_quadratic(&points, vertex, neighbours, span)?;
            fit.values.push(value);
            fit.slopes.push(slope);
        }
        Ok(fit)
    }

    /// The curve at `x`; beyond the data, the cubic of the outermost cell goes on.
    pub fn at(&self, x: f64) -> f64 {
        let right = self.vertices.partition_point(|&vertex| vertex < x).clamp(1, self.vertices.len() - 1);
        let left = right - 1;
        let width = self.vertices[right] - self.vertices[left];
        let t = (x - self.vertices[left]) / width;
        let u = 1.0 - t;
        let values = u * u * (1.0 + 2.0 * t) * self.values[left] + t * t * (3.0 - 2.0 * t) * self.values[right];
        values + width * (t * u * u * self.slopes[left] - t * t * u * self.slopes[right])
    }
}

/// The vertices: ends of the slightly widened range, and cuts at medians until cells are small.
fn cut(points: &[(f64, f64)], span: f64) -> Vec<f64> {
    let n = points.len();
    let per_cell = (n as f64 * (span * CELL)).floor() as usize;
    let (low, high) = (points[0].0, points[n - 1].0);
    let margin = 0.005 * (high - low).max(low.abs().max(high.abs()) * 1e-3 + 1e-30);
    let mut vertices = vec![low - margin, high + margin];
    let mut cells = vec![(0, n, low - margin, high + margin)];
    while let Some((from, to, left, right)) = cells.pop() {
        if to - from <= per_cell {
            continue;
        }
        let middle = median_cut(points, from, to - 1);
        let x = points[middle].0;
        if x == left || x == right {
            continue;
        }
        vertices.push(x);
        cells.push((from, middle + 1, left, x));
        cells.push((middle + 1, to, x, right));
    }
    vertices.sort_unstable_by(f64::total_cmp);
    vertices
}

/// Index of the last point of the lower half of `first..=last`. Equal x should not be parted: the nearest index
/// where x changes is taken, above before below at the same distance, or the median itself when either end is met first.
fn median_cut(points: &[(f64, f64)], first: usize, last: usize) -> usize {
    // One-based positions (l + u) / 2, rounded down, in the published algorithm.
    let middle = (first + last + 2) / 2 - 1;
    for distance in 0.. {
        for below in [false, true] {
            if below && distance == 0 {
                continue;
            }
            let Some(at) = (if below { middle.checked_sub(distance) } else { Some(middle + distance) }) else {
                return middle;
            };
            if at >= last || at < first {
                return middle;
            }
            if points[at].0 != points[at + 1].0 {
                return at;
            }
        }
    }
    middle
}

/// Value and slope at `q` of the quadratic fitted to its `neighbours` nearest points with tricube weights.
fn local_quadratic(points: &[(f64, f64)], q: f64, neighbours: usize, span: f64) -> Result<(f64, f64)> {
    // The nearest points are consecutive: the window moves right while that brings the farthest point nearer.
    let n = points.len();
    let (mut low, mut high) = (0, n - neighbours);
    while low < high {
        let middle = (low + high) / 2;
        if q - points[middle].0 > points[middle + neighbours].0 - q {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let window = &points[low..low + neighbours];
    let farthest = (q - window[0].0).abs().max((window[neighbours - 1].0 - q).abs());
    // Squared, as a span above 1 widens the squared distance.
    let reach = farthest * farthest * span.max(1.0);
    if !(reach > 0.0) {
        let expected = "a fraction whose neighbourhoods hold more than one mean";
        return Err(Error::parameter("span", expected, span));
    }
    let mut columns = [Vec::with_capacity(neighbours), Vec::with_capacity(neighbours), Vec::with_capacity(neighbours)];
    let mut target = Vec::with_capacity(neighbours);
    for &(x, y) in window {
        let d = x - q;
        let ratio = d * d / reach;
        if ratio < 1.0 {
            let tricube = 1.0 - ratio * ratio.sqrt();
            let weight = (tricube * tricube * tricube).sqrt();
            columns[0].push(weight);
            columns[1].push(weight * d);
            columns[2].push(weight * d * d);
            target.push(weight * y);
        }
    }
    let coefficients = least_squares(columns, &target);
    Ok((coefficients[0], coefficients[1]))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Least squares with three columns by one-sided Jacobi rotations (singular value decomposition) of the columns
/// scaled to length 1; directions whose singular value is below 100 roundings of the largest are left out.
fn least_squares(mut columns: [Vec<f64>; 3], target: &[f64]) -> [f64; 3] {
    let mut scale = [1.0; 3];
    for (column, scale) in columns.iter_mut().zip(&mut scale) {
        let norm = dot(column, column).sqrt();
        if norm > 0.0 {
            *scale = norm;
            column.iter_mut().for_each(|value| *value /= norm);
        }
    }
    // Columns become U S, rotations gather in V.
    let mut rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _sweep in 0..30 {
        let mut off = 0.0f64;
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            let (alpha, beta) = (dot(&columns[a], &columns[a]), dot(&columns[b], &columns[b]));
            let gamma = dot(&columns[a], &columns[b]);
            if gamma == 0.0 {
                continue;
            }
            off = off.max(gamma.abs() / (alpha * beta).sqrt().max(f64::MIN_POSITIVE));
            let zeta = (beta - alpha) / (2.0 * gamma);
            let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let cosine = 1.0 / (1.0 + tangent * tangent).sqrt();
            let sine = cosine * tangent;
            let (left, right) = columns.split_at_mut(b);
            for (p, q) in left[a].iter_mut().zip(right[0].iter_mut()) {
                (*p, *q) = (cosine * *p - sine * *q, sine * *p + cosine * *q);
            }
            for row in &mut rotation {
                (row[a], row[b]) = (cosine * row[a] - sine * row[b], sine * row[a] + cosine * row[b]);
            }
        }
        if off < 1e-15 {
            break;
        }
    }
    let squares: Vec<f64> = columns.iter().map(|column| dot(column, column)).collect();
    let largest = squares.iter().copied().fold(0.0, f64::max).sqrt();
    let mut solution = [0.0; 3];
    for direction in 0..3 {
        if squares[direction].sqrt() > largest * 100.0 * f64::EPSILON {
            let weight = dot(&columns[direction], target) / squares[direction];
            for (entry, row) in solution.iter_mut().zip(&rotation) {
                *entry += row[direction] * weight;
            }
        }
    }
    for (entry, scale) in solution.iter_mut().zip(scale) {
        *entry /= scale;
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quadratic_is_recovered() {
        let x: Vec<f64> = (0..200).map(|i| (f64::from(i) * 0.37).sin() * 3.0 + f64::from(i) * 0.01).collect();
        let curve = |x: f64| 2.0 - 3.0 * x + 0.5 * x * x;
        let y: Vec<f64> = x.iter().map(|&x| curve(x)).collect();
        for span in [0.2, 0.3, 0.75, 1.0, 1.7] {
            let fit = Loess::fit(&x, &y, span).unwrap();
            for &x in &x {
                assert!((fit.at(x) - curve(x)).abs() < 1e-9, "span {span} at {x}");
            }
        }
    }

    #[test]
    fn vertices_carry_the_obvious_local_fit() {
        // Slow version: weights by definition, normal equations in full.
        let x: Vec<f64> = (0..60).map(|i| f64::from(i * i % 61) / 7.0).collect();
        let y: Vec<f64> = x.iter().map(|x| x.sin() + 0.1 * (x * 9.0).cos()).collect();
        let fit = Loess::fit(&x, &y, 0.5).unwrap();
        for (&q, (&value, &slope)) in fit.vertices.iter().zip(fit.values.iter().zip(&fit.slopes)) {
            let mut distances: Vec<f64> = x.iter().map(|x| (x - q).abs()).collect();
            distances.sort_by(f64::total_cmp);
            let reach = distances[29];
            let mut normal = [[0.0; 4]; 3];
            for (&x, &y) in x.iter().zip(&y) {
                let d = (x - q).abs() / reach;
                if d < 1.0 {
                    let weight = (1.0 - d.powi(3)).powi(3);
                    let row = [1.0, x - q, (x - q) * (x - q), y];
                    for i in 0..3 {
                        for j in 0..4 {
                            normal[i][j] += weight * row[i] * row[j];
                        }
                    }
                }
            }
            for i in 0..3 {
                let pivot = normal[i][i];
                normal[i].iter_mut().for_each(|v| *v /= pivot);
                let row = normal[i];
                for k in (0..3).filter(|&k| k != i) {
                    let factor = normal[k][i];
                    normal[k].iter_mut().zip(row).for_each(|(v, r)| *v -= factor * r);
                }
            }
            assert!((value - normal[0][3]).abs() < 1e-9 && (slope - normal[1][3]).abs() < 1e-8, "{q}");
            assert!((fit.at(q) - value).abs() < 1e-12);
        }
    }

    #[test]
    fn few_points_and_ties() {
        let fit = Loess::fit(&[1.0, 2.0, 3.0], &[1.0, 4.0, 9.0], 1.0).unwrap();
        assert!(fit.at(2.0).is_finite());
        // Two different x determine no quadratic; the result still passes between the points.
        let x: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
        let fit = Loess::fit(&x, &x, 1.0).unwrap();
        assert!((fit.at(0.0)).abs() < 0.1 && (fit.at(1.0) - 1.0).abs() < 0.1, "{} {}", fit.at(0.0), fit.at(1.0));
    }

    #[test]
    fn refusals() {
        let text = |x: &[f64], y: &[f64], span| Loess::fit(x, y, span).unwrap_err().to_string();
        assert!(text(&[], &[], 0.3).contains("loess"));
        assert!(text(&[1.0], &[1.0, 2.0], 0.3).contains("as many"));
        assert!(text(&[1.0, f64::NAN], &[1.0, 2.0], 0.3).contains("finite"));
        assert!(text(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0], 0.3).contains("span"));
    }
}
