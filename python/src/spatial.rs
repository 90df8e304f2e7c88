//! Bindings of the statistics of cells in tissue.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_spatial::autocorr::{AutocorrOptions, Columns};
use zensaibo_spatial::cooccurrence::{self, Sample};
use zensaibo_spatial::enrichment::{self, NhoodOptions};
use zensaibo_spatial::neighbors::{self, SpatialKnnOptions};
use zensaibo_spatial::ripley::{RipleyOptions, Window};
use zensaibo_spatial::{Edges, Places};

use crate::errors::to_python;
use crate::run::run;

/// A graph as scipy's csr: row pointers, columns, weights.
type Graph<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, f64>);

/// Row pointers, columns, values of neighbours found.
type Rows<'py, T> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<T>>);

/// Numbers of edges, means and variances, each labels x labels.
type Table<'py> = (Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>);

/// Numbers of permuted scores at least as large, their means and variances.
type PermutedScores<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// Curves of labels, numbers of cells, curves of simulations, cells used of each label.
type Curves<'py> =
    (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<usize>>, Bound<'py, PyArray3<f64>>, Bound<'py, PyArray1<usize>>);

/// indices (n x k, u32), distances (n x k, f64).
#[pyfunction]
#[pyo3(signature = (places, options, threads=None, progress=None))]
fn spatial_nearest<'py>(
    py: Python<'py>,
    places: PyReadonlyArray2<'py, f64>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f64>>)> {
    let options = SpatialKnnOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, dimensions) = places.as_array().dim();
    let values = places.as_slice()?;
    let found =
        run(py, threads, progress, |ctx| neighbors::nearest(&Places::new(n, dimensions, values)?, &options, ctx))?;
    let shape = [n, found.k];
    Ok((found.indices.into_pyarray(py).reshape(shape)?, found.distances.into_pyarray(py).reshape(shape)?))
}

/// indptr, indices, distances (f64).
#[pyfunction]
#[pyo3(signature = (places, least, most, threads=None, progress=None))]
fn spatial_within<'py>(
    py: Python<'py>,
    places: PyReadonlyArray2<'py, f64>,
    least: f64,
    most: f64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Rows<'py, f64>> {
    let (n, dimensions) = places.as_array().dim();
    let values = places.as_slice()?;
    let found =
        run(py, threads, progress, |ctx| neighbors::within(&Places::new(n, dimensions, values)?, least, most, ctx))?;
    Ok((found.indptr.into_pyarray(py), found.indices.into_pyarray(py), found.distances.into_pyarray(py)))
}

/// indptr, indices, rings (u32).
#[pyfunction]
#[pyo3(signature = (graph, n_rings, threads=None, progress=None))]
fn spatial_rings<'py>(
    py: Python<'py>,
    graph: Graph<'py>,
    n_rings: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Rows<'py, u32>> {
    let (indptr, indices, weights) = (graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?);
    let found =
        run(py, threads, progress, |ctx| neighbors::rings(&Edges::new(indptr, indices, weights)?, n_rings, ctx))?;
    Ok((found.indptr.into_pyarray(py), found.indices.into_pyarray(py), found.steps.into_pyarray(py)))
}

/// counts (u64), means, variances (f64), each labels x labels.
#[pyfunction]
#[pyo3(signature = (graph, labels, n_labels, libraries, n_libraries, options, threads=None, progress=None))]
fn nhood_enrichment<'py>(
    py: Python<'py>,
    graph: Graph<'py>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    libraries: PyReadonlyArray1<'py, u32>,
    n_libraries: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Table<'py>> {
    let options = NhoodOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (indptr, indices, weights) = (graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?);
    let (labels, libraries) = (labels.as_slice()?, libraries.as_slice()?);
    let found = run(py, threads, progress, |ctx| {
        let edges = Edges::new(indptr, indices, weights)?;
        if options.n_perms.is_some() {
            enrichment::permuted(&edges, labels, n_labels, libraries, n_libraries, &options, ctx)
        } else {
            enrichment::exact(&edges, labels, n_labels, libraries, n_libraries, ctx)
        }
    })?;
    let shape = [n_labels, n_labels];
    Ok((
        found.counts.into_pyarray(py).reshape(shape)?,
        found.means.into_pyarray(py).reshape(shape)?,
        found.variances.into_pyarray(py).reshape(shape)?,
    ))
}

/// Numbers of edges (u64) and sums of weights (f64), each labels x labels.
#[pyfunction]
#[pyo3(signature = (graph, labels, n_labels, threads=None))]
fn interaction_matrix<'py>(
    py: Python<'py>,
    graph: Graph<'py>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    threads: Option<usize>,
) -> PyResult<(Bound<'py, PyArray2<u64>>, Bound<'py, PyArray2<f64>>)> {
    let (indptr, indices, weights) = (graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?);
    let labels = labels.as_slice()?;
    let (counts, sums) = run(py, threads, None, |ctx| {
        let edges = Edges::new(indptr, indices, weights)?;
        let counts = enrichment::count_edges(&edges, labels, n_labels, ctx)?;
        Ok((counts, enrichment::sum_weights(&edges, labels, n_labels, ctx)?))
    })?;
    let shape = [n_labels, n_labels];
    Ok((counts.into_pyarray(py).reshape(shape)?, sums.into_pyarray(py).reshape(shape)?))
}

/// Ordered pairs of cells (u64): intervals x labels x labels.
#[pyfunction]
#[pyo3(signature = (places, labels, n_labels, distances, sample=None, threads=None, progress=None))]
fn pairs_by_distance<'py>(
    py: Python<'py>,
    places: PyReadonlyArray2<'py, f64>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    distances: PyReadonlyArray1<'py, f64>,
    sample: Option<(usize, u64)>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray3<u64>>> {
    let (n, dimensions) = places.as_array().dim();
    let (values, labels, distances) = (places.as_slice()?, labels.as_slice()?, distances.as_slice()?);
    let found = run(py, threads, progress, |ctx| {
        let places = Places::new(n, dimensions, values)?;
        let sample = sample.map(|(count, seed)| Sample { count, seed });
        cooccurrence::pairs_by_distance(&places, labels, n_labels, distances, sample, ctx)
    })?;
    found.into_pyarray(py).reshape([distances.len(), n_labels, n_labels])
}

/// scores, expected, variance, and of permutations (numbers at least as large, means, variances) or None.
#[pyfunction]
#[pyo3(signature = (graph, columns, options, threads=None, progress=None))]
fn spatial_autocorr<'py>(
    py: Python<'py>,
    graph: Graph<'py>,
    columns: Graph<'py>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray1<f64>>, f64, f64, Option<PermutedScores<'py>>)> {
    let options = AutocorrOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (indptr, indices, weights) = (graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?);
    let columns =
        Columns { indptr: columns.0.as_slice()?, indices: columns.1.as_slice()?, values: columns.2.as_slice()? };
    let found = run(py, threads, progress, |ctx| {
        let edges = Edges::new(indptr, indices, weights)?;
        zensaibo_spatial::autocorr::spatial_autocorr(&edges, &columns, &options, ctx)
    })?;
    let permuted = found.permuted.map(|permuted| {
        (permuted.at_least.into_pyarray(py), permuted.means.into_pyarray(py), permuted.variances.into_pyarray(py))
    });
    Ok((found.scores.into_pyarray(py), found.expected, found.variance, permuted))
}

/// degree, clustering, closeness, reached (f64, one per label).
#[pyfunction]
#[pyo3(signature = (graph, labels, n_labels, threads=None, progress=None))]
fn centrality<'py>(
    py: Python<'py>,
    graph: Graph<'py>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<[Bound<'py, PyArray1<f64>>; 4]> {
    let (indptr, indices, weights) = (graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?);
    let labels = labels.as_slice()?;
    let found = run(py, threads, progress, |ctx| {
        zensaibo_spatial::centrality::centrality(&Edges::new(indptr, indices, weights)?, labels, n_labels, ctx)
    })?;
    Ok([found.degree, found.clustering, found.closeness, found.reached].map(|column| column.into_pyarray(py)))
}

/// observed (labels x distances), sizes, simulated (sizes x simulations x distances), used.
#[pyfunction]
#[pyo3(signature = (places, labels, n_labels, planes, measure, distances, options, threads=None, progress=None))]
fn ripley<'py>(
    py: Python<'py>,
    places: PyReadonlyArray2<'py, f64>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    planes: PyReadonlyArray2<'py, f64>,
    measure: f64,
    distances: PyReadonlyArray1<'py, f64>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Curves<'py>> {
    let options = RipleyOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, dimensions) = places.as_array().dim();
    let (values, labels, planes) = (places.as_slice()?, labels.as_slice()?, planes.as_slice()?);
    let distances = distances.as_slice()?;
    let found = run(py, threads, progress, |ctx| {
        let places = Places::new(n, dimensions, values)?;
        let window = Window::new(&places, planes, measure)?;
        zensaibo_spatial::ripley::ripley(&places, labels, n_labels, &window, distances, &options, ctx)
    })?;
    let shape = [found.sizes.len(), options.n_simulations, distances.len()];
    Ok((
        found.observed.into_pyarray(py).reshape([n_labels, distances.len()])?,
        found.sizes.into_pyarray(py),
        found.simulated.into_pyarray(py).reshape(shape)?,
        found.used.into_pyarray(py),
    ))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(spatial_nearest, module)?)?;
    module.add_function(wrap_pyfunction!(spatial_within, module)?)?;
    module.add_function(wrap_pyfunction!(spatial_rings, module)?)?;
    module.add_function(wrap_pyfunction!(nhood_enrichment, module)?)?;
    module.add_function(wrap_pyfunction!(interaction_matrix, module)?)?;
    module.add_function(wrap_pyfunction!(pairs_by_distance, module)?)?;
    module.add_function(wrap_pyfunction!(spatial_autocorr, module)?)?;
    module.add_function(wrap_pyfunction!(centrality, module)?)?;
    module.add_function(wrap_pyfunction!(ripley, module)?)
}
