//! Binding of principal component analysis.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::matrix::{Lazy, RowBlocks};
use zensaibo_core::options::Options;
use zensaibo_core::pca::PcaOptions;
use zensaibo_core::regress::Design;

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::regress::{Categories, Covariates, design};
use crate::run::run;

/// Principal components: dict of scores (n x k, f32), components (k x g, f64), variance, variance_ratio, mean,
/// solver. `mask`, one bool per gene, restricts to the genes where it is true. `covariates` (a list of columns) or
/// `categories` (codes, their number) are regressed out first.
#[pyfunction]
#[pyo3(signature = (matrix, mask, options, covariates=None, categories=None, threads=None, progress=None))]
fn pca<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    mask: Option<PyReadonlyArray1<'py, bool>>,
    options: &str,
    covariates: Covariates<'py>,
    categories: Categories<'py>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = PcaOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let mask = mask.map(|mask| mask.as_slice().map(<[bool]>::to_vec)).transpose()?;
    let n_rows = matrix.shape().0;
    let columns = covariates.iter().flatten().map(|column| column.as_slice()).collect::<Result<Vec<_>, _>>()?;
    let codes = categories.as_ref().map(|(codes, count)| codes.as_slice().map(|codes| (codes, *count))).transpose()?;
    let given = covariates.is_some();
    let found = run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        let design = design(n_rows, given.then_some(columns.as_slice()), codes)?;
        let decompose = |rows: &dyn RowBlocks, design: Option<&Design>| match design {
            None => zensaibo_core::pca::pca(rows, &options, ctx),
            Some(design) => zensaibo_core::pca::pca_regressed(rows, design, &options, ctx),
        };
        match &mask {
            None => decompose(source.rows(), design.as_ref()),
            Some(mask) => decompose(&Lazy::new(source.rows()).select_columns(mask)?, design.as_ref()),
        }
    })?;
    let result = PyDict::new(py);
    let k = found.n_comps;
    result.set_item("scores", PyArray1::from_vec(py, found.scores).reshape([found.n_rows, k])?)?;
    let components: Bound<'py, PyArray2<f64>> = PyArray1::from_vec(py, found.components).reshape([k, found.n_cols])?;
    result.set_item("components", components)?;
    result.set_item("variance", PyArray1::from_vec(py, found.variance))?;
    result.set_item("variance_ratio", PyArray1::from_vec(py, found.variance_ratio))?;
    result.set_item("mean", PyArray1::from_vec(py, found.mean))?;
    result.set_item("solver", format!("{:?}", found.solver).to_lowercase())?;
    Ok(result)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pca, module)?)
}
