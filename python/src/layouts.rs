//! Bindings of the layouts beside UMAP: t-SNE and ForceAtlas2.

use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::forceatlas::{self, ForceAtlasOptions};
use zensaibo_core::options::Options;
use zensaibo_core::tsne::{self as tsne_core, TsneOptions};

use crate::errors::to_python;
use crate::neighbors::graph_parts;
use crate::run::run;

/// Coordinates (n x 2, float32), divergence, steps. `initial` is None or n x 2, float32.
#[pyfunction]
#[pyo3(signature = (points, initial, options, threads=None, progress=None))]
fn tsne<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'py, f32>,
    initial: Option<PyReadonlyArray2<'py, f32>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f32>>, f64, usize)> {
    let options = TsneOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let n = points.as_array().nrows();
    let points = points.as_slice()?;
    let initial = initial.as_ref().map(|array| array.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| tsne_core::tsne(points, n, initial, &options, ctx))?;
    Ok((found.coordinates.into_pyarray(py).reshape([n, 2])?, found.kl_divergence, found.iterations))
}

/// Coordinates (n x 2, float32). `initial` is None or n x 2, float32.
#[pyfunction]
#[pyo3(signature = (graph, initial, options, threads=None, progress=None))]
fn force_atlas<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    initial: Option<PyReadonlyArray2<'py, f32>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let options = ForceAtlasOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let parts = graph_parts(graph, "graph")?;
    let initial = initial.as_ref().map(|array| array.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| forceatlas::force_atlas(&parts.graph()?, initial, &options, ctx))?;
    let n = found.len() / 2;
    found.into_pyarray(py).reshape([n, 2])
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(tsne, module)?)?;
    module.add_function(wrap_pyfunction!(force_atlas, module)?)
}
