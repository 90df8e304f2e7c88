//! Bindings of batch integration and its scores.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::bbknn::BbknnOptions;
use zensaibo_core::harmony::{BatchKey, HarmonyOptions};
use zensaibo_core::knn::Points;
use zensaibo_core::mixing;
use zensaibo_core::options::Options;
use zensaibo_core::scrublet::ScrubletOptions;

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::neighbors::{dense, graph_parts, neighbors_from};
use crate::run::run;

/// Harmony: dict of corrected (n x d, f32), centroids (k x d, f32), cluster_sizes, cluster_sums (k x d), objective,
/// converged. `keys`: (name, code of each cell, number of levels) of each batch key.
#[pyfunction]
#[pyo3(signature = (data, keys, options, threads=None, progress=None))]
fn harmony<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    keys: Vec<(String, PyReadonlyArray1<'py, u32>, usize)>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = HarmonyOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, d, held) = dense(data, "data")?;
    let values = held.values()?;
    let keys: Vec<BatchKey<'_>> = keys
        .iter()
        .map(|(name, codes, n_levels)| Ok(BatchKey { name, codes: codes.as_slice()?, n_levels: *n_levels }))
        .collect::<PyResult<_>>()?;
    let found = run(py, threads, progress, |ctx| {
        zensaibo_core::harmony::harmony(&Points::new(n, d, values)?, &keys, &options, ctx)
    })?;
    let k = found.n_clusters;
    let result = PyDict::new(py);
    result.set_item("corrected", found.corrected.into_pyarray(py).reshape([n, d])?)?;
    result.set_item("centroids", found.centroids.into_pyarray(py).reshape([k, d])?)?;
    result.set_item("cluster_sizes", found.cluster_sizes.into_pyarray(py))?;
    result.set_item("cluster_sums", found.cluster_sums.into_pyarray(py).reshape([k, d])?)?;
    result.set_item("objective", found.objective.into_pyarray(py))?;
    result.set_item("converged", found.converged)?;
    Ok(result)
}

/// Local inverse Simpson's index of each cell, from neighbours that begin with the cell itself.
#[pyfunction]
#[pyo3(signature = (indices, distances, labels, n_labels, perplexity, threads=None, progress=None))]
fn lisi<'py>(
    py: Python<'py>,
    indices: &Bound<'py, PyArray2<u32>>,
    distances: &Bound<'py, PyArray2<f32>>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    perplexity: f64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let neighbors = neighbors_from(indices, distances)?;
    let labels = labels.as_slice()?;
    let found = run(py, threads, progress, |ctx| mixing::lisi(&neighbors, labels, n_labels, perplexity, ctx))?;
    Ok(found.into_pyarray(py))
}

/// Silhouette width of the cells `wanted`.
#[pyfunction]
#[pyo3(signature = (data, labels, n_labels, wanted, threads=None, progress=None))]
fn silhouette<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    wanted: PyReadonlyArray1<'py, u32>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (n, d, held) = dense(data, "data")?;
    let (values, labels, wanted) = (held.values()?, labels.as_slice()?, wanted.as_slice()?);
    let found = run(py, threads, progress, |ctx| {
        mixing::silhouette(&Points::new(n, d, values)?, labels, n_labels, wanted, ctx)
    })?;
    Ok(found.into_pyarray(py))
}

/// Acceptance rate, statistics, p-values.
type KbetArrays<'py> = (f64, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// Chi-square test of each neighbourhood's batches.
#[pyfunction]
#[pyo3(signature = (indices, batches, n_batches, alpha, threads=None, progress=None))]
fn kbet<'py>(
    py: Python<'py>,
    indices: &Bound<'py, PyArray2<u32>>,
    batches: PyReadonlyArray1<'py, u32>,
    n_batches: usize,
    alpha: f64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<KbetArrays<'py>> {
    let (n, k) = (indices.dims()[0], indices.dims()[1]);
    let indices = indices.readonly().as_slice()?.to_vec();
    let neighbors = zensaibo_core::knn::Neighbors { n, k, distances: vec![0.0; indices.len()], indices, exact: false };
    let batches = batches.as_slice()?;
    let found = run(py, threads, progress, |ctx| mixing::kbet(&neighbors, batches, n_batches, alpha, ctx))?;
    Ok((found.acceptance_rate, found.statistics.into_pyarray(py), found.p_values.into_pyarray(py)))
}

/// Scrublet: dict of the fields of its result.
#[pyfunction]
#[pyo3(signature = (matrix, options, threads=None, progress=None))]
fn scrublet<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = ScrubletOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let found = run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        zensaibo_core::scrublet::scrublet(source.rows(), &options, ctx)
    })?;
    let parents: Vec<i64> = found.parents.iter().flatten().map(|&cell| i64::from(cell)).collect();
    let result = PyDict::new(py);
    result.set_item("scores", found.scores.into_pyarray(py))?;
    result.set_item("errors", found.errors.into_pyarray(py))?;
    result.set_item("predicted", found.predicted.into_pyarray(py))?;
    result.set_item("simulated_scores", found.simulated_scores.into_pyarray(py))?;
    result.set_item("parents", parents.into_pyarray(py).reshape([found.parents.len(), 2])?)?;
    result.set_item("threshold", found.threshold)?;
    result.set_item("n_neighbors", found.n_neighbors)?;
    result.set_item("n_genes", found.n_genes)?;
    result.set_item("detectable_fraction", found.detectable_fraction)?;
    Ok(result)
}

/// The minimum between the two modes of some values, or None.
#[pyfunction]
fn minimum_between_modes(values: PyReadonlyArray1<'_, f64>) -> PyResult<Option<f64>> {
    Ok(zensaibo_core::scrublet::minimum_between_modes(values.as_slice()?))
}

/// Indices (n x k, u32) and distances (n x k, f32).
type Pair<'py> = (Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f32>>);

/// Neighbours of each cell in each batch, the cell itself first.
#[pyfunction]
#[pyo3(signature = (data, batches, n_batches, options, threads=None, progress=None))]
fn balanced_neighbors<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    batches: PyReadonlyArray1<'py, u32>,
    n_batches: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Pair<'py>> {
    let options = BbknnOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, d, held) = dense(data, "data")?;
    let (values, batches) = (held.values()?, batches.as_slice()?);
    let found = run(py, threads, progress, |ctx| {
        zensaibo_core::bbknn::balanced_neighbors(&Points::new(n, d, values)?, batches, n_batches, &options, ctx)
    })?;
    let shape = [found.n, found.k];
    Ok((found.indices.into_pyarray(py).reshape(shape)?, found.distances.into_pyarray(py).reshape(shape)?))
}

/// indptr, indices, weights.
type GraphArrays<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f32>>);

/// The strongest edges of each vertex.
#[pyfunction]
#[pyo3(signature = (graph, most, threads=None, progress=None))]
fn trim_graph<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    most: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<GraphArrays<'py>> {
    let parts = graph_parts(graph, "graph")?;
    let cut = run(py, threads, progress, |ctx| zensaibo_core::bbknn::trim(&parts.graph()?, most, ctx))?;
    let indptr: Vec<i64> = cut.indptr.iter().map(|&x| x as i64).collect();
    let indices: Vec<i32> = cut.indices.iter().map(|&x| x as i32).collect();
    Ok((indptr.into_pyarray(py), indices.into_pyarray(py), cut.weights.into_pyarray(py)))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(harmony, module)?)?;
    module.add_function(wrap_pyfunction!(lisi, module)?)?;
    module.add_function(wrap_pyfunction!(silhouette, module)?)?;
    module.add_function(wrap_pyfunction!(kbet, module)?)?;
    module.add_function(wrap_pyfunction!(scrublet, module)?)?;
    module.add_function(wrap_pyfunction!(minimum_between_modes, module)?)?;
    module.add_function(wrap_pyfunction!(balanced_neighbors, module)?)?;
    module.add_function(wrap_pyfunction!(trim_graph, module)?)
}
