//! Linear maps of the plane and of space, and the best one between pairs of places.

use serde::{Deserialize, Serialize};

use crate::cloud::{Point, minus};

/// `y = matrix x + shift`. In the plane the third axis stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    /// Rows of the linear part.
    pub matrix: [[f64; 3]; 3],
    /// Where the origin goes.
    pub shift: [f64; 3],
}

const UNIT: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

impl Linear {
    /// The map that moves nothing.
    pub const IDENTITY: Self = Self { matrix: UNIT, shift: [0.0; 3] };

    /// The map that turns the first axis round.
    pub(crate) const MIRROR: Self =
        Self { matrix: [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], shift: [0.0; 3] };

    /// Where a place goes.
    #[inline]
    pub fn apply(&self, x: &Point) -> Point {
        let turned = self.turn(x);
        std::array::from_fn(|axis| turned[axis] + self.shift[axis])
    }

    /// Where a difference of places goes.
    #[inline]
    pub(crate) fn turn(&self, x: &Point) -> Point {
        std::array::from_fn(|row| self.matrix[row][0] * x[0] + self.matrix[row][1] * x[1] + self.matrix[row][2] * x[2])
    }

    /// This map after `first`.
    pub fn after(&self, first: &Self) -> Self {
        Self { matrix: product(&self.matrix, &first.matrix), shift: self.apply(&first.shift) }
    }

    /// How much larger volumes become (in the plane: areas); negative for a map that mirrors.
    pub fn determinant(&self) -> f64 {
        determinant(&self.matrix)
    }

    /// The map back; `None` for one that flattens.
    pub fn inverse(&self) -> Option<Self> {
        let matrix = inverse(&self.matrix)?;
        let back = Self { matrix, shift: [0.0; 3] };
        Some(Self { matrix, shift: back.turn(&self.shift).map(|value| -value) })
    }

    /// By how much lengths grow: the root of the determinant that belongs to the dimensions.
    pub fn scale(&self, dimensions: usize) -> f64 {
        self.determinant().abs().powf(1.0 / dimensions as f64)
    }

    /// The linear part `matrix` that takes `from` to `to`.
    fn about(matrix: [[f64; 3]; 3], from: &Point, to: &Point) -> Self {
        let map = Self { matrix, shift: [0.0; 3] };
        Self { matrix, shift: minus(to, &map.turn(from)) }
    }
}

fn product(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j]))
}

fn determinant(m: &[[f64; 3]; 3]) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

fn inverse(m: &[[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let whole = determinant(m);
    // Against the product of the lengths of the rows, so that the unit does not matter.
    let lengths: f64 = m.iter().map(|row| row.iter().map(|value| value * value).sum::<f64>().sqrt()).product();
    if !(whole.abs() > 1e-12 * lengths) || !whole.is_finite() {
        return None;
    }
    let minor = |row: usize, column: usize| {
        let (r, c) = ([(row + 1) % 3, (row + 2) % 3], [(column + 1) % 3, (column + 2) % 3]);
        m[r[0]][c[0]] * m[r[1]][c[1]] - m[r[0]][c[1]] * m[r[1]][c[0]]
    };
    Some(std::array::from_fn(|row| std::array::from_fn(|column| minor(column, row) / whole)))
}

/// Weighted sums over pairs of places: enough for every linear fit. Coordinates are taken about the first pair, so that
/// nothing is lost far from the origin.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pairs {
    origin: Option<(Point, Point)>,
    weight: f64,
    x: Point,
    y: Point,
    xx: [[f64; 3]; 3],
    yx: [[f64; 3]; 3],
    yy: f64,
}

impl Pairs {
    pub(crate) fn of(pairs: impl IntoIterator<Item = (Point, Point, f64)>) -> Self {
        let mut sums = Self::default();
        pairs.into_iter().for_each(|(x, y, weight)| sums.add(&x, &y, weight));
        sums
    }

    pub(crate) fn add(&mut self, x: &Point, y: &Point, weight: f64) {
        let (from, to) = *self.origin.get_or_insert((*x, *y));
        let (x, y) = (minus(x, &from), minus(y, &to));
        self.weight += weight;
        for i in 0..3 {
            self.x[i] += weight * x[i];
            self.y[i] += weight * y[i];
            self.yy += weight * y[i] * y[i];
            for j in 0..3 {
                self.xx[i][j] += weight * x[i] * x[j];
                self.yx[i][j] += weight * y[i] * x[j];
            }
        }
    }

    /// Means, and sums of products about them: (x, y, xx, yx, yy).
    #[allow(clippy::type_complexity)]
    fn centred(&self) -> Option<(Point, Point, [[f64; 3]; 3], [[f64; 3]; 3], f64)> {
        let (from, to) = self.origin?;
        if !(self.weight > 0.0) {
            return None;
        }
        let (x, y) = (self.x.map(|v| v / self.weight), self.y.map(|v| v / self.weight));
        let xx = std::array::from_fn(|i| std::array::from_fn(|j| self.xx[i][j] - self.weight * x[i] * x[j]));
        let yx = std::array::from_fn(|i| std::array::from_fn(|j| self.yx[i][j] - self.weight * y[i] * x[j]));
        let yy = self.yy - self.weight * (y[0] * y[0] + y[1] * y[1] + y[2] * y[2]);
        let place = |mean: Point, origin: Point| std::array::from_fn(|axis| mean[axis] + origin[axis]);
        Some((place(x, from), place(y, to), xx, yx, yy))
    }

    /// The rigid map of least weighted squares, with `scale` the similarity (Umeyama 1991; the turn by Horn's quaternion,
    /// 1987); with `mirror` the best one that mirrors. `None` where all places are one.
    pub(crate) fn similarity(&self, dimensions: usize, scale: bool, mirror: bool) -> Option<Linear> {
        let (from, to, xx, mut yx, _) = self.centred()?;
        let spread = xx[0][0] + xx[1][1] + xx[2][2];
        if !(spread > 0.0) {
            return None;
        }
        if mirror {
            // The first axis of x turned round.
            yx.iter_mut().for_each(|row| row[0] = -row[0]);
        }
        let turn = if dimensions == 2 {
            let angle = (yx[1][0] - yx[0][1]).atan2(yx[0][0] + yx[1][1]);
            let (sine, cosine) = angle.sin_cos();
            [[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]
        } else {
            best_turn(&yx)
        };
        let mut factor = 1.0;
        if scale {
            let along: f64 = (0..3).map(|i| (0..3).map(|j| turn[i][j] * yx[i][j]).sum::<f64>()).sum();
            factor = along / spread;
            if !(factor > 0.0) {
                return None;
            }
        }
        let mut matrix: [[f64; 3]; 3] = turn.map(|row| row.map(|value| value * factor));
        if mirror {
            matrix.iter_mut().for_each(|row| row[0] = -row[0]);
        }
        if dimensions == 2 {
            matrix[2] = UNIT[2];
        }
        Some(Linear::about(matrix, &from, &to))
    }

    /// The affine map of least weighted squares, drawn with the weight `ridge` (in squared length) to the linear part of
    /// `prior`. `None` where places leave it open.
    pub(crate) fn affine(&self, dimensions: usize, ridge: f64, prior: &Linear) -> Option<Linear> {
        let (from, to, mut xx, mut yx, _) = self.centred()?;
        for i in 0..3 {
            xx[i][i] += ridge;
            for j in 0..3 {
                yx[i][j] += ridge * prior.matrix[i][j];
            }
        }
        if dimensions == 2 {
            (xx[2], yx[2]) = (UNIT[2], UNIT[2]);
        }
        // Invert in the unit of the spread.
        let spread = (xx[0][0] + xx[1][1] + if dimensions == 3 { xx[2][2] } else { 0.0 }) / dimensions as f64;
        if !(spread > 0.0) {
            return None;
        }
        let mut scaled = xx.map(|row| row.map(|value| value / spread));
        if dimensions == 2 {
            scaled[2] = UNIT[2];
        }
        if determinant(&scaled) <= 1e-10 {
            return None;
        }
        let mut matrix = product(&yx, &inverse(&scaled)?).map(|row| row.map(|value| value / spread));
        if dimensions == 2 {
            matrix[2] = UNIT[2];
        }
        Some(Linear::about(matrix, &from, &to))
    }

    /// How many directions the first places span, for a share of the widest of at least 1e-6: a line has 1.
    pub(crate) fn rank(&self, dimensions: usize) -> usize {
        let Some((_, _, xx, _, _)) = self.centred() else { return 0 };
        let full: [[f64; 4]; 4] =
            std::array::from_fn(|i| std::array::from_fn(|j| if i < 3 && j < 3 { xx[i][j] } else { 0.0 }));
        let (values, _) = jacobi(full);
        let widest = values.iter().fold(0.0f64, |a, &b| a.max(b));
        values.iter().filter(|&&value| value > 1e-12 * widest && value > 0.0).count().min(dimensions)
    }
}

/// The proper turn of largest trace with `h`, the sum of products of y and x: the eigenvector of Horn's matrix.
fn best_turn(h: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    // Horn writes S[x][y] = sum x y; h[y][x] is its transpose.
    let s = |i: usize, j: usize| h[j][i];
    let n = [
        [s(0, 0) + s(1, 1) + s(2, 2), s(1, 2) - s(2, 1), s(2, 0) - s(0, 2), s(0, 1) - s(1, 0)],
        [s(1, 2) - s(2, 1), s(0, 0) - s(1, 1) - s(2, 2), s(0, 1) + s(1, 0), s(2, 0) + s(0, 2)],
        [s(2, 0) - s(0, 2), s(0, 1) + s(1, 0), s(1, 1) - s(0, 0) - s(2, 2), s(1, 2) + s(2, 1)],
        [s(0, 1) - s(1, 0), s(2, 0) + s(0, 2), s(1, 2) + s(2, 1), s(2, 2) - s(0, 0) - s(1, 1)],
    ];
    let (values, vectors) = jacobi(n);
    let best = (1..4).fold(0, |best, at| if values[at] > values[best] { at } else { best });
    let [w, x, y, z] = [0, 1, 2, 3].map(|row| vectors[row][best]);
    [
        [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
}

/// Eigenvalues and eigenvectors (columns) of a symmetric 4 x 4 matrix, by Jacobi's rotations.
fn jacobi(mut a: [[f64; 4]; 4]) -> ([f64; 4], [[f64; 4]; 4]) {
    let mut v = [[0.0; 4]; 4];
    (0..4).for_each(|i| v[i][i] = 1.0);
    let size: f64 = a.iter().flatten().map(|value| value * value).sum();
    for _ in 0..30 {
        let off: f64 = (0..4).flat_map(|p| (p + 1..4).map(move |q| (p, q))).map(|(p, q)| a[p][q] * a[p][q]).sum();
        if off <= 1e-32 * size {
            break;
        }
        for p in 0..4 {
            for q in p + 1..4 {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..4 {
                    (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]);
                }
                for k in 0..4 {
                    (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                }
                for row in &mut v {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
    }
    ([0, 1, 2, 3].map(|i| a[i][i]), v)
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    fn points(stream: &mut Stream, dimensions: usize) -> Vec<Point> {
        (0..20)
            .map(|_| std::array::from_fn(|axis| if axis < dimensions { 1e4 + 100.0 * stream.uniform() } else { 0.0 }))
            .collect()
    }

    #[test]
    fn a_known_map_comes_back() {
        let mut stream = Stream::new(1, 0);
        for dimensions in [2, 3] {
            for mirror in [false, true] {
                let x = points(&mut stream, dimensions);
                // Any turn: the one nearest to a random matrix.
                let random: [[f64; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| stream.normal()));
                let turn =
                    if dimensions == 3 { best_turn(&random) } else { [[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], UNIT[2]] };
                let mut matrix = turn.map(|row| row.map(|value| 1.8 * value));
                if dimensions == 2 {
                    matrix[2] = UNIT[2];
                }
                let mut map = Linear { matrix, shift: [5.0, -7.0, if dimensions == 3 { 11.0 } else { 0.0 }] };
                if mirror {
                    map = map.after(&Linear::MIRROR);
                }
                assert!((map.determinant() > 0.0) != mirror);
                let sums = Pairs::of(x.iter().map(|x| (*x, map.apply(x), 0.5)));
                let near = |found: Linear| {
                    x.iter().all(|x| minus(&found.apply(x), &map.apply(x)).iter().all(|d| d.abs() < 1e-8))
                };
                assert!(near(sums.similarity(dimensions, true, mirror).unwrap()), "{dimensions} {mirror}");
                assert!(near(sums.affine(dimensions, 0.0, &Linear::IDENTITY).unwrap()));
                assert!(!near(sums.similarity(dimensions, true, !mirror).unwrap()));
                let back = map.inverse().unwrap();
                assert!(x.iter().all(|x| minus(&back.apply(&map.apply(x)), x).iter().all(|d| d.abs() < 1e-8)));
                assert!((map.scale(dimensions) - 1.8).abs() < 1e-12);
                assert_eq!(sums.rank(dimensions), dimensions);
            }
        }
    }

    #[test]
    fn places_on_a_line_leave_an_affine_map_open() {
        let line = Pairs::of((0..5).map(|i| ([f64::from(i), 2.0 * f64::from(i), 0.0], [1.0, f64::from(i), 0.0], 1.0)));
        assert!(line.affine(2, 0.0, &Linear::IDENTITY).is_none());
        assert_eq!(line.rank(2), 1);
        assert_eq!(line.rank(3), 1);
    }
}
