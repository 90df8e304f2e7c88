//! Binding of drawing counts.

use numpy::{IntoPyArray, PyReadonlyArray1};
use pyo3::prelude::*;
use zensaibo_core::downsample::{DownsampleOptions, Target};
use zensaibo_core::options::Options;

use crate::matrix::Matrix;
use crate::run::run;

type Parts<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Row pointers (int64), columns (uint32) and values (float32) of what is drawn: per cell, or in all.
#[pyfunction]
#[pyo3(signature = (matrix, options_json, counts_per_cell=None, total_counts=0, threads=None, progress=None))]
fn downsample_counts<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options_json: &str,
    counts_per_cell: Option<PyReadonlyArray1<'py, u64>>,
    total_counts: u64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    let options = DownsampleOptions::from_json(options_json).map_err(|error| crate::errors::to_python(py, error))?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let targets = counts_per_cell.as_ref().map(|targets| targets.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| {
        let target = targets.map_or(Target::Total(total_counts), Target::PerCell);
        zensaibo_core::downsample::downsample_counts(parts.source()?.rows(), target, &options, ctx)
    })?;
    let indptr: Vec<i64> = found.indptr.iter().map(|&at| at as i64).collect();
    Ok((
        indptr.into_pyarray(py).into_any(),
        found.indices.into_pyarray(py).into_any(),
        found.values.into_pyarray(py).into_any(),
    ))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(downsample_counts, module)?)
}
