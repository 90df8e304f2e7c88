//! Binding of the pseudobulk test.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::options::Options;
use zensaibo_core::pseudobulk::{Design, PseudobulkOptions};

use crate::errors::to_python;

/// Columns of the test by name (see `zensaibo.arrays.pseudobulk_test`); `counts` and `design` have a row per sample.
#[pyfunction]
#[pyo3(signature = (counts, design, coefficients, samples, contrast, options, threads=None, progress=None))]
fn pseudobulk_test<'py>(
    py: Python<'py>,
    counts: PyReadonlyArray2<'py, f64>,
    design: PyReadonlyArray2<'py, f64>,
    coefficients: Vec<String>,
    samples: Vec<String>,
    contrast: PyReadonlyArray1<'py, f64>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = PseudobulkOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (counts, design, contrast) = (counts.as_slice()?, design.as_slice()?, contrast.as_slice()?);
    let found = crate::run::run(py, threads, progress, |ctx| {
        let design = Design::new(design, coefficients, samples)?;
        zensaibo_core::pseudobulk::pseudobulk_test(counts, &design, contrast, &options, ctx)
    })?;
    let out = PyDict::new(py);
    out.set_item("kept", found.kept.into_pyarray(py))?;
    out.set_item("logfoldchanges", found.logfoldchanges.into_pyarray(py))?;
    out.set_item("mean_expression", found.mean_expression.into_pyarray(py))?;
    out.set_item("scores", found.scores.into_pyarray(py))?;
    out.set_item("pvals", found.pvals.into_pyarray(py))?;
    out.set_item("pvals_adj", found.pvals_adj.into_pyarray(py))?;
    out.set_item("sigma", found.sigma.into_pyarray(py))?;
    out.set_item("library_sizes", found.library_sizes.into_pyarray(py))?;
    out.set_item("norm_factors", found.norm_factors.into_pyarray(py))?;
    out.set_item("df_residual", found.df_residual)?;
    out.set_item("df_prior", found.prior.df)?;
    out.set_item("variance_prior", found.prior.variance)?;
    let rows = found.trend.len();
    let trend: Vec<f64> = found.trend.into_iter().flatten().collect();
    out.set_item("trend", trend.into_pyarray(py).reshape([rows, 3])?)?;
    Ok(out)
}

/// A robust local line through points whose abscissae rise.
#[pyfunction]
fn lowess<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f64>,
    y: PyReadonlyArray1<'py, f64>,
    span: f64,
    delta: f64,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(zensaibo_core::pseudobulk::lowess(x.as_slice()?, y.as_slice()?, span, delta).into_pyarray(py).into_any())
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pseudobulk_test, module)?)?;
    module.add_function(wrap_pyfunction!(lowess, module)?)
}
