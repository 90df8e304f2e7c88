//! Bindings of what brings new cells to a reference, and of demultiplexing.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::harmony::{BatchKey, MapOptions, Reference};
use zensaibo_core::hashsolo::HashsoloOptions;
use zensaibo_core::knn::{KnnOptions, Nearest, Points, knn_between};
use zensaibo_core::options::Options;
use zensaibo_core::umap::UmapOptions;

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::neighbors::dense;
use crate::run::run;

/// Coordinates (cells x components, f32) along given components (components x genes), after taking `center` off.
#[pyfunction]
#[pyo3(signature = (matrix, components, center, threads=None, progress=None))]
fn pca_project<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    components: PyReadonlyArray2<'py, f64>,
    center: Option<PyReadonlyArray1<'py, f64>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let matrix = Matrix::new(matrix, "X")?;
    let n = matrix.shape().0;
    let parts = matrix.parts()?;
    let k = components.as_array().nrows();
    let components = components.as_slice()?;
    let center = center.as_ref().map(|center| center.as_slice()).transpose()?;
    let found =
        run(py, threads, progress, |ctx| zensaibo_core::pca::project(parts.source()?.rows(), components, center, ctx))?;
    found.into_pyarray(py).reshape([n, k])
}

/// Indices (n x k, u32) and distances (n x k, f32).
type Pair<'py> = (Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f32>>);

/// The nearest rows of `reference` for each row of `queries`.
#[pyfunction]
#[pyo3(signature = (reference, queries, n_neighbors, metric, algorithm, threads=None, progress=None))]
fn knn_query<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    queries: &Bound<'py, PyAny>,
    n_neighbors: usize,
    metric: &str,
    algorithm: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Pair<'py>> {
    let chosen = serde_json::json!({ "metric": metric, "algorithm": algorithm }).to_string();
    let KnnOptions { metric, algorithm, .. } = KnnOptions::from_json(&chosen).map_err(|error| to_python(py, error))?;
    let (m, d, held) = dense(reference, "reference")?;
    let (n, e, query_held) = dense(queries, "queries")?;
    let (values, query_values) = (held.values()?, query_held.values()?);
    let found = run(py, threads, progress, |ctx| {
        let (reference, queries) = (Points::new(m, d, values)?, Points::new(n, e, query_values)?);
        knn_between(&reference, &queries, n_neighbors, metric, algorithm, ctx)
    })?;
    let shape = [found.n, found.k];
    Ok((found.indices.into_pyarray(py).reshape(shape)?, found.distances.into_pyarray(py).reshape(shape)?))
}

/// Places of new points in a layout (m x components) that stays as it is.
#[pyfunction]
#[pyo3(signature = (indices, distances, layout, a, b, options, threads=None, progress=None))]
fn umap_place<'py>(
    py: Python<'py>,
    indices: PyReadonlyArray2<'py, u32>,
    distances: PyReadonlyArray2<'py, f32>,
    layout: PyReadonlyArray2<'py, f32>,
    a: f64,
    b: f64,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let options = UmapOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, k) = indices.as_array().dim();
    let nearest = Nearest { n, k, indices: indices.as_slice()?.to_vec(), distances: distances.as_slice()?.to_vec() };
    let layout = layout.as_slice()?;
    let found = run(py, threads, progress, |ctx| zensaibo_core::umap::place(&nearest, layout, a, b, &options, ctx))?;
    found.into_pyarray(py).reshape([n, options.n_components])
}

/// Coordinates of new cells (n x d, f32) in the space of a corrected reference.
#[pyfunction]
#[pyo3(signature = (data, batches, centroids, sizes, sums, options, threads=None, progress=None))]
fn harmony_map<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    batches: (String, PyReadonlyArray1<'py, u32>, usize),
    centroids: PyReadonlyArray2<'py, f32>,
    sizes: PyReadonlyArray1<'py, f64>,
    sums: PyReadonlyArray2<'py, f64>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let options = MapOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, d, held) = dense(data, "data")?;
    let values = held.values()?;
    let key = BatchKey { name: &batches.0, codes: batches.1.as_slice()?, n_levels: batches.2 };
    let reference = Reference {
        centroids: centroids.as_slice()?,
        cluster_sizes: sizes.as_slice()?,
        cluster_sums: sums.as_slice()?,
    };
    let found = run(py, threads, progress, |ctx| {
        zensaibo_core::harmony::map(&Points::new(n, d, values)?, &key, &reference, &options, ctx)
    })?;
    found.into_pyarray(py).reshape([n, d])
}

/// Hypothesis (n, u8), probabilities (n x 3), barcode (n, u32).
type Demultiplexed<'py> = (Bound<'py, PyArray1<u8>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<u32>>);

/// HashSolo on counts (cells x barcodes).
#[pyfunction]
fn hashsolo<'py>(py: Python<'py>, counts: PyReadonlyArray2<'py, f64>, options: &str) -> PyResult<Demultiplexed<'py>> {
    let options = HashsoloOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, b) = counts.as_array().dim();
    let counts = counts.as_slice()?;
    let found = run(py, Some(1), None, |ctx| zensaibo_core::hashsolo::hashsolo(counts, b, &options, ctx))?;
    let probabilities = found.probabilities.into_pyarray(py).reshape([n, 3])?;
    Ok((found.hypothesis.into_pyarray(py), probabilities, found.barcode.into_pyarray(py)))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pca_project, module)?)?;
    module.add_function(wrap_pyfunction!(knn_query, module)?)?;
    module.add_function(wrap_pyfunction!(umap_place, module)?)?;
    module.add_function(wrap_pyfunction!(harmony_map, module)?)?;
    module.add_function(wrap_pyfunction!(hashsolo, module)?)
}
