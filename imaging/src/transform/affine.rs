//! Affine maps.

use zensaibo_core::{Error, Result};

/// `y = matrix x + shift`, (z, y, x), in micrometres unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Affine {
    /// Rows of the linear part.
    pub matrix: [[f64; 3]; 3],
    /// Where the origin goes.
    pub shift: [f64; 3],
}

impl Affine {
    /// The map that moves nothing.
    pub const IDENTITY: Self = Self { matrix: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], shift: [0.0; 3] };

    /// A stretch of each axis.
    pub fn scale(factors: [f64; 3]) -> Self {
        let mut map = Self::IDENTITY;
        for (axis, factor) in factors.into_iter().enumerate() {
            map.matrix[axis][axis] = factor;
        }
        map
    }

    /// The linear map `matrix` about `from`, which goes to `to`.
    pub fn about(matrix: [[f64; 3]; 3], from: [f64; 3], to: [f64; 3]) -> Self {
        let turned = times(&matrix, from);
        Self { matrix, shift: std::array::from_fn(|axis| to[axis] - turned[axis]) }
    }

    /// Where a place goes.
    #[inline]
    pub fn apply(&self, x: [f64; 3]) -> [f64; 3] {
        let y = times(&self.matrix, x);
        std::array::from_fn(|axis| y[axis] + self.shift[axis])
    }

    /// This map after `first`.
    pub fn after(&self, first: &Self) -> Self {
        let column = |at: usize| times(&self.matrix, [0, 1, 2].map(|row| first.matrix[row][at]));
        let columns = [column(0), column(1), column(2)];
        let matrix = std::array::from_fn(|row| std::array::from_fn(|at| columns[at][row]));
        Self { matrix, shift: self.apply(first.shift) }
    }

    /// How much larger volumes become; negative for a map that mirrors.
    pub fn determinant(&self) -> f64 {
        let m = &self.matrix;
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
            + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    }

    /// The map back.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a map that flattens space.
    pub fn inverse(&self) -> Result<Self> {
        let (m, determinant) = (&self.matrix, self.determinant());
        if !(determinant.abs() > 1e-12 && determinant.is_finite()) {
            return Err(Error::parameter("affine", "a matrix that has an inverse", format!("{m:?}")));
        }
        let minor = |row: usize, column: usize| {
            let (r, c) = ([(row + 1) % 3, (row + 2) % 3], [(column + 1) % 3, (column + 2) % 3]);
            m[r[0]][c[0]] * m[r[1]][c[1]] - m[r[0]][c[1]] * m[r[1]][c[0]]
        };
        let matrix = std::array::from_fn(|row| std::array::from_fn(|column| minor(column, row) / determinant));
        let back = times(&matrix, self.shift);
        Ok(Self { matrix, shift: back.map(|value| -value) })
    }

    /// The same map between voxels of two spacings: from voxels of `from` to voxels of `to`.
    pub fn between_voxels(&self, from: [f64; 3], to: [f64; 3]) -> Self {
        Self::scale(to.map(|spacing| 1.0 / spacing)).after(self).after(&Self::scale(from))
    }

    /// How much lengths change along the three directions of most and least change, falling: singular values.
    pub fn stretches(&self) -> [f64; 3] {
        // Eigenvalues of the symmetric 3 x 3 matrix M^T M, by Jacobi rotations.
        let m = &self.matrix;
        let mut a: [[f64; 3]; 3] =
            std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| m[k][i] * m[k][j]).sum()));
        for _ in 0..50 {
            for (p, q) in [(0, 1), (0, 2), (1, 2)] {
                if a[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (s, c) = theta.sin_cos();
                for k in 0..3 {
                    (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]);
                }
                for k in 0..3 {
                    (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]);
                }
            }
        }
        let mut values = [0, 1, 2].map(|i| a[i][i].max(0.0).sqrt());
        values.sort_unstable_by(|a, b| b.total_cmp(a));
        values
    }
}

fn times(matrix: &[[f64; 3]; 3], x: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|row| matrix[row][0] * x[0] + matrix[row][1] * x[1] + matrix[row][2] * x[2])
}
