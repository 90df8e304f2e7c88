//! Binding of regressing out.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use zensaibo_core::regress::{Design, regress_out_into};
use zensaibo_core::{Error, Result};

use crate::matrix::Matrix;
use crate::run::run;

/// Columns of continuous properties of the cells.
pub(crate) type Covariates<'py> = Option<Vec<PyReadonlyArray1<'py, f64>>>;

/// Category of each cell, and the number of categories.
pub(crate) type Categories<'py> = Option<(PyReadonlyArray1<'py, u32>, usize)>;

/// The design that the arguments describe: columns, or codes; none without either.
pub(crate) fn design(
    n_rows: usize,
    columns: Option<&[&[f64]]>,
    codes: Option<(&[u32], usize)>,
) -> Result<Option<Design>> {
    match (columns, codes) {
        (None, None) => Ok(None),
        (Some(columns), None) => Design::continuous(n_rows, columns).map(Some),
        (None, Some((codes, count))) => Design::categories(codes, count).map(Some),
        (Some(_), Some(_)) => Err(Error::parameter("categories", "none beside covariates", "both")),
    }
}

/// Residuals (cells x genes, f32), and how many covariates added nothing.
#[pyfunction]
#[pyo3(signature = (matrix, covariates=None, categories=None, threads=None, progress=None))]
fn regress_out<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    covariates: Covariates<'py>,
    categories: Categories<'py>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, usize)> {
    let matrix = Matrix::new(matrix, "matrix")?;
    let (n, g) = matrix.shape();
    let parts = matrix.parts()?;
    let columns =
        covariates.iter().flatten().map(|column| column.as_slice()).collect::<std::result::Result<Vec<_>, _>>()?;
    let codes = categories.as_ref().map(|(codes, count)| codes.as_slice().map(|codes| (codes, *count))).transpose()?;
    let given = covariates.is_some();
    let (values, dropped) = run(py, threads, progress, |ctx| {
        let design = design(n, given.then_some(columns.as_slice()), codes)?
            .ok_or_else(|| Error::parameter("covariates", "covariates or categories", "neither"))?;
        let mut values = vec![0f32; n * g];
        regress_out_into(parts.source()?.rows(), &design, &mut values, ctx)?;
        Ok((values, design.dropped()))
    })?;
    Ok((values.into_pyarray(py).reshape([n, g])?.into_any(), dropped))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(regress_out, module)?)
}
