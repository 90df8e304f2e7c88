//! The linear model: samples x coefficients, checked for what cannot be estimated.

use ndarray::{Array2, ArrayView2};
use zensaibo_linalg::thin_qr;

use crate::{DataFault, Error, Result};

/// A design matrix of full column rank, with the names of its coefficients and samples.
#[derive(Clone, Debug)]
pub struct Design {
    matrix: Array2<f64>,
    names: Vec<String>,
    samples: Vec<String>,
    leverage: Vec<f64>,
}

/// Length left of a column, relative to its own, below which it counts as a combination of those before it.
const RANK: f64 = 1e-9;

impl Design {
    /// `values` holds samples x coefficients, row-major.
    ///
    /// # Errors
    /// [`Error::Data`] for lengths that disagree, values that are not finite, no coefficients, or a coefficient that
    /// is a linear combination of those before it (it is named).
    pub fn new(values: &[f64], names: Vec<String>, samples: Vec<String>) -> Result<Self> {
        let (n, p) = (samples.len(), names.len());
        if p == 0 || n == 0 {
            let found = format!("{n} samples and {p} coefficients");
            return Err(Error::data(DataFault::Empty, "design", "at least one sample and one coefficient", found));
        }
        let matrix = ArrayView2::from_shape((n, p), values)
            .map_err(|_| Error::data(DataFault::Shape, "design", format!("{n} x {p} values"), values.len()))?
            .to_owned();
        if let Some(((sample, column), value)) = matrix.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let found = format!("{value} for `{}` of sample {}", names[column], samples[sample]);
            return Err(Error::data(DataFault::NotFinite, "design", "finite values", found));
        }
        let basis = independent(&matrix, &names)?;
        let leverage = basis.rows().into_iter().map(|row| row.dot(&row)).collect();
        Ok(Self { matrix, names, samples, leverage })
    }

    /// Number of samples.
    pub fn n_samples(&self) -> usize {
        self.samples.len()
    }

    /// Number of coefficients.
    pub fn n_coefficients(&self) -> usize {
        self.names.len()
    }

    /// Names of the coefficients.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Samples x coefficients.
    pub(super) fn matrix(&self) -> &Array2<f64> {
        &self.matrix
    }

    /// Leverage of each sample, in 0..=1; they sum to the number of coefficients.
    pub(super) fn leverage(&self) -> &[f64] {
        &self.leverage
    }

    /// Samples less coefficients.
    ///
    /// # Errors
    /// [`Error::Data`] when there is none, or when a sample alone determines a coefficient (a group with one
    /// replicate), so that its variation cannot be told from its mean.
    pub(super) fn residual_df(&self) -> Result<f64> {
        let (n, p) = (self.n_samples(), self.n_coefficients());
        if n <= p {
            let expected = format!("more samples than the {p} coefficients ({})", self.names.join(", "));
            return Err(Error::data(DataFault::TooFew, "design", expected, n));
        }
        if let Some(sample) = self.leverage.iter().position(|&h| h > 1.0 - 1e-9) {
            let found = format!("sample {}, which alone determines a coefficient", self.samples[sample]);
            let expected =
                "at least two samples (replicates) in every group; leave the sample out, or simplify the design";
            return Err(Error::data(DataFault::TooFew, "design", expected, found));
        }
        Ok((n - p) as f64)
    }
}

/// An orthonormal basis of the columns, or the first column that adds nothing to those before it.
fn independent(matrix: &Array2<f64>, names: &[String]) -> Result<Array2<f64>> {
    let (n, p) = matrix.dim();
    let lengths: Vec<f64> = matrix.columns().into_iter().map(|column| column.dot(&column).sqrt()).collect();
    let dependent = |column: usize| {
        let found = if lengths[column] == 0.0 {
            format!("`{}`, which is zero in every sample", names[column])
        } else {
            format!("`{}`, which is a linear combination of `{}`", names[column], names[..column].join("`, `"))
        };
        Error::data(DataFault::Invalid, "design", "coefficients that are linearly independent (not collinear)", found)
    };
    // More columns than rows are never independent; the first n + 1 show it.
    let shown = p.min(n + 1);
    let (q, r) =
        thin_qr(matrix.slice(ndarray::s![.., ..shown])).map_err(|failure| Error::Internal(failure.to_string()))?;
    for column in 0..shown {
        let left = if column < r.nrows() { r[(column, column)].abs() } else { 0.0 };
        if left <= RANK * lengths[column] {
            return Err(dependent(column));
        }
    }
    Ok(q)
}
