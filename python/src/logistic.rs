//! Bindings of logistic regression.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::logistic::{LogisticOptions, Model, fit};
use zensaibo_core::matrix::Lazy;
use zensaibo_core::options::Options;

use crate::errors::to_python;
use crate::matrix::Matrix;

/// Dict of coefficients (rows x features used), intercepts, iterations, gradient, converged, loss. `labels` is the
/// class of each cell, -1 for cells to leave out; `mask` (if any) the features to use.
#[pyfunction]
#[pyo3(signature = (matrix, labels, n_classes, mask, options, threads=None, progress=None))]
fn logistic_fit<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    labels: PyReadonlyArray1<'py, i32>,
    n_classes: usize,
    mask: Option<PyReadonlyArray1<'py, bool>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = LogisticOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let labels = labels.as_slice()?;
    let mask = mask.map(|mask| mask.as_slice().map(<[bool]>::to_vec)).transpose()?;
    let model = crate::run::run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        match &mask {
            None => fit(source.rows(), labels, n_classes, &options, ctx),
            Some(mask) => fit(&Lazy::new(source.rows()).select_columns(mask)?, labels, n_classes, &options, ctx),
        }
    })?;
    let out = PyDict::new(py);
    let rows = model.intercepts.len();
    out.set_item("coefficients", model.coefficients.into_pyarray(py).reshape([rows, model.n_features])?)?;
    out.set_item("intercepts", model.intercepts.into_pyarray(py))?;
    out.set_item("iterations", model.iterations)?;
    out.set_item("gradient", model.gradient)?;
    out.set_item("converged", model.converged)?;
    out.set_item("loss", model.loss)?;
    Ok(out)
}

/// (probabilities, cells x classes, f64; the most probable class of each cell, i64).
#[pyfunction]
#[pyo3(signature = (matrix, coefficients, intercepts, n_classes, threads=None, progress=None))]
fn logistic_predict<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    coefficients: PyReadonlyArray2<'py, f64>,
    intercepts: PyReadonlyArray1<'py, f64>,
    n_classes: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let model = Model {
        n_classes,
        n_features: coefficients.as_array().ncols(),
        coefficients: coefficients.as_slice()?.to_vec(),
        intercepts: intercepts.as_slice()?.to_vec(),
        iterations: 0,
        gradient: 0.0,
        converged: true,
        loss: 0.0,
    };
    let found = crate::run::run(py, threads, progress, |ctx| model.predict(parts.source()?.rows(), ctx))?;
    let rows = found.labels.len();
    let labels: Vec<i64> = found.labels.iter().map(|&label| i64::from(label)).collect();
    let probabilities = found.probabilities.into_pyarray(py).reshape([rows, n_classes])?;
    Ok((probabilities.into_any(), labels.into_pyarray(py).into_any()))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(logistic_fit, module)?)?;
    module.add_function(wrap_pyfunction!(logistic_predict, module)?)
}
