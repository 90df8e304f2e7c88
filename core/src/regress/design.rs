//! What is regressed out.

use ndarray::Array2;
use zensaibo_linalg::thin_svd;

use crate::{DataFault, Error, Result};

/// Properties of the cells, as an orthonormal basis U (cells x width) of what they span beside a constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    n_rows: usize,
    /// Columns that add nothing: constant, or combinations of others.
    dropped: usize,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// Row-major n x width; each column sums to 0.
    Basis { width: usize, values: Vec<f64> },
    /// U has 1 / sqrt(size) in the column of the cell's category.
    Categories { codes: Vec<u32>, roots: Vec<f64> },
}

impl Design {
    /// A constant and the given columns, each as long as there are cells.
    ///
    /// Columns are centred and brought to unit length; a singular value below max(n, p) eps of the largest counts as
    /// none. O(n p^2) on the calling thread.
    ///
    /// # Errors
    /// [`Error::Data`] for columns of different lengths, NaN or infinite values.
    pub fn continuous(n_rows: usize, columns: &[&[f64]]) -> Result<Self> {
        let mut kept: Vec<Vec<f64>> = Vec::new();
        for (number, column) in columns.iter().enumerate() {
            if column.len() != n_rows {
                let what = format!("covariate {number}");
                return Err(Error::data(DataFault::Shape, what, format!("{n_rows} entries"), column.len()));
            }
            if let Some(row) = column.iter().position(|value| !value.is_finite()) {
                let found = format!("{} in cell {row}", column[row]);
                return Err(Error::data(DataFault::NotFinite, format!("covariate {number}"), "finite values", found));
            }
            // By the largest first, so that squares do not overflow.
            let largest = column.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            let scale = if largest > 0.0 { largest } else { 1.0 };
            let mean = column.iter().map(|value| value / scale).sum::<f64>() / n_rows.max(1) as f64;
            let centred: Vec<f64> = column.iter().map(|value| value / scale - mean).collect();
            let length = centred.iter().map(|value| value * value).sum::<f64>().sqrt();
            if length > 1e-14 * (n_rows as f64).sqrt() {
                kept.push(centred.into_iter().map(|value| value / length).collect());
            }
        }
        let basis = if kept.is_empty() { Array2::zeros((n_rows, 0)) } else { orthonormal(n_rows, &kept)? };
        let width = basis.ncols();
        let values = basis.iter().copied().collect();
        Ok(Self { n_rows, dropped: columns.len() - width, kind: Kind::Basis { width, values } })
    }

    /// One category per cell, numbered from 0; numbers without cells do no harm.
    ///
    /// # Errors
    /// [`Error::Data`] for a number of `n_categories` or more.
    pub fn categories(codes: &[u32], n_categories: usize) -> Result<Self> {
        let mut sizes = vec![0usize; n_categories];
        for (row, &code) in codes.iter().enumerate() {
            match sizes.get_mut(code as usize) {
                Some(size) => *size += 1,
                None => {
                    let expected = format!("numbers in 0..{n_categories}");
                    return Err(Error::data(
                        DataFault::Invalid,
                        "categories",
                        expected,
                        format!("{code} in cell {row}"),
                    ));
                }
            }
        }
        let roots = sizes.iter().map(|&size| (size as f64).sqrt()).collect();
        Ok(Self { n_rows: codes.len(), dropped: 0, kind: Kind::Categories { codes: codes.to_vec(), roots } })
    }

    /// Number of cells.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Columns of U.
    pub fn width(&self) -> usize {
        match &self.kind {
            Kind::Basis { width, .. } => *width,
            Kind::Categories { roots, .. } => roots.len(),
        }
    }

    /// Columns given that add nothing: constant ones, and combinations of others.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Dimensions that the design takes away, the constant not counted.
    pub fn rank(&self) -> usize {
        match &self.kind {
            Kind::Basis { width, .. } => *width,
            Kind::Categories { roots, .. } => roots.iter().filter(|&&root| root > 0.0).count().saturating_sub(1),
        }
    }

    /// `out += u a`: u the row of U of this cell, `a` (width x m, row-major), `out` m long.
    #[inline]
    pub(crate) fn add_row(&self, row: usize, a: &[f64], out: &mut [f64]) {
        let m = out.len();
        match &self.kind {
            Kind::Basis { width, values } => {
                for (k, &u) in values[row * width..(row + 1) * width].iter().enumerate() {
                    add_scaled(out, &a[k * m..(k + 1) * m], u);
                }
            }
            Kind::Categories { codes, roots } => {
                let k = codes[row] as usize;
                add_scaled(out, &a[k * m..(k + 1) * m], 1.0 / roots[k]);
            }
        }
    }

    /// The basis (n x width, row-major), or the categories and the square roots of their sizes.
    pub(super) fn parts(&self) -> std::result::Result<&[f64], (&[u32], &[f64])> {
        match &self.kind {
            Kind::Basis { values, .. } => Ok(values),
            Kind::Categories { codes, roots } => Err((codes, roots)),
        }
    }
}

/// An orthonormal basis of the columns, by their singular values.
fn orthonormal(n_rows: usize, columns: &[Vec<f64>]) -> Result<Array2<f64>> {
    let matrix = Array2::from_shape_fn((n_rows, columns.len()), |(row, column)| columns[column][row]);
    let found = thin_svd(matrix.view())?;
    let least = found.s.first().copied().unwrap_or(0.0) * n_rows.max(columns.len()) as f64 * f64::EPSILON;
    let rank = found.s.iter().filter(|&&s| s > least).count();
    let mut basis = found.u.slice(ndarray::s![.., ..rank]).to_owned();
    // Left vectors of centred columns sum to 0 up to rounding, which small singular values magnify.
    for mut column in basis.columns_mut() {
        let mean = column.sum() / n_rows as f64;
        column.mapv_inplace(|value| value - mean);
    }
    Ok(basis)
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn add_scaled(out: &mut [f64], row: &[f64], factor: f64) {
    for (sum, value) in out.iter_mut().zip(row) {
        *sum += factor * value;
    }
}
