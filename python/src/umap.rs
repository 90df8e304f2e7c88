//! Bindings of umap: the layout, its curve, and the scores of a layout.

use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::Result;
use zensaibo_core::graph::Graph;
use zensaibo_core::matrix::collect;
use zensaibo_core::options::Options;
use zensaibo_core::umap::{self, UmapOptions, neighbor_preservation, trustworthiness};

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::run::run;

/// Coordinates (n x d, float32), a and b. `initial` is None or n x d, float32.
#[pyfunction]
#[pyo3(name = "umap", signature = (graph, initial, options, threads=None, progress=None))]
fn umap_layout<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    initial: Option<PyReadonlyArray2<'py, f32>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f32>>, f64, f64)> {
    let options = UmapOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(graph, "graph")?;
    let (n, _) = matrix.shape();
    let parts = matrix.parts()?;
    let initial = initial.as_ref().map(|array| array.as_slice()).transpose()?;
    let layout = run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        let graph = Graph::from_csr(collect(source.rows(), ctx)?)?;
        match initial {
            Some(initial) => umap::umap_from(&graph, initial, &options, ctx),
            None => umap::umap(&graph, &options, ctx),
        }
    })?;
    let array = numpy::PyArray1::from_vec(py, layout.coordinates).reshape([n, options.n_components])?;
    Ok((array, layout.a, layout.b))
}

/// a and b of the attraction curve.
#[pyfunction]
fn umap_curve(py: Python<'_>, min_dist: f64, spread: f64) -> PyResult<(f64, f64)> {
    let options = UmapOptions { min_dist, spread, ..UmapOptions::default() };
    let fit = options.validate().and_then(|()| umap::fit_curve(min_dist, spread));
    fit.map_err(|error| to_python(py, error))
}

/// "trustworthiness" or "neighbor_preservation" of an embedding (n x d) of `x` (n x p), both float32.
#[pyfunction]
#[pyo3(signature = (score, x, embedding, n_neighbors, sample, seed, threads=None, progress=None))]
fn layout_score(
    py: Python<'_>,
    score: &str,
    x: PyReadonlyArray2<'_, f32>,
    embedding: PyReadonlyArray2<'_, f32>,
    n_neighbors: usize,
    sample: Option<usize>,
    seed: u64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<f64> {
    let n = x.as_array().nrows();
    let (x, embedding) = (x.as_slice()?, embedding.as_slice()?);
    let preservation = score == "neighbor_preservation";
    run(py, threads, progress, |ctx| -> Result<f64> {
        let score = if preservation { neighbor_preservation } else { trustworthiness };
        score(x, embedding, n, n_neighbors, sample, seed, ctx)
    })
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(umap_layout, module)?)?;
    module.add_function(wrap_pyfunction!(umap_curve, module)?)?;
    module.add_function(wrap_pyfunction!(layout_score, module)?)
}
