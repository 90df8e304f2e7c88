//! Bindings of gene selection.

use numpy::{IntoPyArray, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::DataFault;
use zensaibo_core::hvg::{HvgInput, HvgOptions, HvgStatistics, Loess};
use zensaibo_core::options::Options;

use crate::matrix::Matrix;
use crate::run::run;

/// Highly variable genes; see `zensaibo.arrays.highly_variable_genes`.
#[pyfunction]
#[pyo3(signature = (matrix, options_json, batches=None, log_base=None, tie_order=None, threads=None, progress=None))]
fn highly_variable_genes<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options_json: &str,
    batches: Option<PyReadonlyArray1<'py, u32>>,
    log_base: Option<f64>,
    tie_order: Option<PyReadonlyArray1<'py, u32>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = HvgOptions::from_json(options_json).map_err(|error| crate::errors::to_python(py, error))?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let batches = batches.as_ref().map(|array| array.as_slice()).transpose()?;
    let tie_order = tie_order.as_ref().map(|array| array.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        let input = HvgInput { source: source.rows(), batches, log_base, tie_order };
        zensaibo_core::hvg::highly_variable_genes(input, &options, ctx)
    })?;
    let out = PyDict::new(py);
    out.set_item("highly_variable", found.highly_variable.into_pyarray(py))?;
    out.set_item("means", found.means.into_pyarray(py))?;
    match found.statistics {
        HvgStatistics::Dispersion { dispersions, dispersions_norm } => {
            out.set_item("dispersions", dispersions.into_pyarray(py))?;
            out.set_item("dispersions_norm", dispersions_norm.into_pyarray(py))?;
        }
        HvgStatistics::Variance { variances, variances_norm, rank } => {
            out.set_item("variances", variances.into_pyarray(py))?;
            out.set_item("variances_norm", variances_norm.into_pyarray(py))?;
            out.set_item("rank", rank.into_pyarray(py))?;
        }
        HvgStatistics::Residuals { variances, residual_variances, rank } => {
            out.set_item("variances", variances.into_pyarray(py))?;
            out.set_item("residual_variances", residual_variances.into_pyarray(py))?;
            out.set_item("rank", rank.into_pyarray(py))?;
        }
    }
    let n_batches = found.n_batches.map(|counts| counts.into_iter().map(i64::from).collect::<Vec<_>>());
    out.set_item("n_batches", n_batches.map(|counts| counts.into_pyarray(py)))?;
    out.set_item("intersection", found.intersection.map(|flags| flags.into_pyarray(py)))?;
    out.set_item("not_counts", found.not_counts.is_some_and(|fault| fault.fault == DataFault::NotCounts))?;
    out.set_item("notes", found.notes)?;
    Ok(out)
}

/// Loess of y on x (degree 2), read off at x.
#[pyfunction]
fn loess<'py>(
    py: Python<'py>,
    x: PyReadonlyArray1<'py, f64>,
    y: PyReadonlyArray1<'py, f64>,
    span: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    let fitted = run(py, Some(1), None, |_| {
        let fit = Loess::fit(x, y, span)?;
        Ok(x.iter().map(|&x| fit.at(x)).collect::<Vec<f64>>())
    })?;
    Ok(fitted.into_pyarray(py).into_any())
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(highly_variable_genes, module)?)?;
    module.add_function(wrap_pyfunction!(loess, module)?)
}
