//! Binding of pooled size factors.

use numpy::{IntoPyArray, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::options::Options;
use zensaibo_core::pooled::PooledOptions;

use crate::matrix::Matrix;
use crate::run::run;

/// Size factors, which of them are library sizes, genes used per cluster, and the reference cluster.
#[pyfunction]
#[pyo3(signature = (matrix, options_json, clusters=None, threads=None, progress=None))]
fn pooled_size_factors<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options_json: &str,
    clusters: Option<PyReadonlyArray1<'py, u32>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = PooledOptions::from_json(options_json).map_err(|error| crate::errors::to_python(py, error))?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let clusters = clusters.as_ref().map(|clusters| clusters.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| {
        zensaibo_core::pooled::pooled_size_factors(parts.source()?.rows(), clusters, &options, ctx)
    })?;
    let out = PyDict::new(py);
    out.set_item("factors", found.factors.into_pyarray(py))?;
    out.set_item("replaced", found.replaced.into_pyarray(py))?;
    out.set_item("n_genes", found.n_genes)?;
    out.set_item("reference", found.reference)?;
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pooled_size_factors, module)?)
}
