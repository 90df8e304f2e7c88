//! Bindings of fate probabilities.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::fate::{self, FateOptions};
use zensaibo_core::options::Options;

use crate::errors::to_python;
use crate::run::run;

/// Probabilities (n x fates), entropy, cells that reach nothing, sweeps.
#[pyfunction]
#[pyo3(signature = (vectors, values, n_dcs, pseudotime, terminal, fates, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // becomes a named tuple in Python
fn fate_probabilities<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f32>,
    values: PyReadonlyArray1<'py, f64>,
    n_dcs: usize,
    pseudotime: PyReadonlyArray1<'py, f64>,
    terminal: PyReadonlyArray1<'py, i32>,
    fates: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, usize, usize)> {
    let options = FateOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (vectors, values) = (vectors.as_slice()?, values.as_slice()?);
    let (time, terminal) = (pseudotime.as_slice()?, terminal.as_slice()?);
    let found = run(py, threads, progress, |ctx| {
        let coordinates = fate::multiscale(vectors, values, n_dcs)?;
        fate::fate_probabilities(&coordinates, time, terminal, fates, &options, ctx)
    })?;
    let probabilities = found.probabilities.into_pyarray(py).reshape([time.len(), fates])?;
    Ok((probabilities, found.entropy.into_pyarray(py), found.unreached, found.sweeps))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(fate_probabilities, module)?)
}
