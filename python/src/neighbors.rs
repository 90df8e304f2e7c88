//! Bindings of the neighbour search and of the graphs made from it.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use zensaibo_core::data::Csr;
use zensaibo_core::graph::Graph;
use zensaibo_core::knn::{ConnectivitiesOptions, KnnOptions, Metric, Neighbors, Points, connectivities, knn, recall};
use zensaibo_core::matrix::ValueSlice;
use zensaibo_core::options::Options;
use zensaibo_core::{DataFault, Error};

use crate::errors::to_python;
use crate::matrix::Held;
use crate::run::run;

/// A dense array of f32 or f64 with its shape.
pub(crate) fn dense<'py>(object: &Bound<'py, PyAny>, name: &str) -> PyResult<(usize, usize, Held<'py>)> {
    let held = Held::new(object, name)?;
    let shape: Vec<usize> = object.getattr("shape")?.extract()?;
    match shape[..] {
        [n, d] => Ok((n, d, held)),
        _ => Err(PyTypeError::new_err(format!("`{name}`: expected two dimensions, found shape {shape:?}"))),
    }
}

/// Two arrays n x k as numpy, without a copy.
type Pair<'py> = (Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f32>>);

fn pair(py: Python<'_>, found: Neighbors) -> PyResult<Pair<'_>> {
    let shape = [found.n, found.k];
    Ok((found.indices.into_pyarray(py).reshape(shape)?, found.distances.into_pyarray(py).reshape(shape)?))
}

/// Neighbours handed in from Python: u32 indices and f32 distances of the same shape n x k.
pub(crate) fn neighbors_from<'py>(
    indices: &Bound<'py, PyArray2<u32>>,
    distances: &Bound<'py, PyArray2<f32>>,
) -> PyResult<Neighbors> {
    let (n, k) = (indices.dims()[0], indices.dims()[1]);
    let (indices, distances) = (indices.readonly(), distances.readonly());
    Ok(Neighbors {
        n,
        k,
        indices: indices.as_slice()?.to_vec(),
        distances: distances.as_slice()?.to_vec(),
        exact: false,
    })
}

/// The parts of a scipy CSR matrix, free of Python, to be made a graph on the worker thread.
pub(crate) struct GraphParts {
    n: usize,
    m: usize,
    indptr: Vec<u64>,
    indices: Vec<u32>,
    weights: Vec<f32>,
}

/// Copies the parts of a scipy CSR matrix of connectivities; `name` is used in errors.
pub(crate) fn graph_parts(object: &Bound<'_, PyAny>, name: &str) -> PyResult<GraphParts> {
    let format: String = object
        .getattr("format")
        .and_then(|format| format.extract())
        .map_err(|_| PyTypeError::new_err(format!("`{name}`: expected a scipy csr matrix or array")))?;
    if format != "csr" {
        return Err(PyTypeError::new_err(format!("`{name}`: expected csr, found {format}; use .tocsr()")));
    }
    let (n, m): (usize, usize) = object.getattr("shape")?.extract()?;
    let part = |part: &str| Held::new(&object.getattr(part)?, &format!("{name}.{part}"));
    let (indptr, indices, values) = (part("indptr")?, part("indices")?, part("data")?);
    let range = |what: &str| {
        let expected = format!("whole numbers from 0 to below {m}");
        let error = Error::data(DataFault::Invalid, format!("{name}.{what}"), expected, "one outside");
        to_python(object.py(), error)
    };
    fn narrow<T: Copy, U: TryFrom<T>>(values: &[T]) -> Option<Vec<U>> {
        values.iter().map(|&value| U::try_from(value).ok()).collect()
    }
    let whole = |held: &Held<'_>| -> PyResult<Option<Vec<u32>>> {
        Ok(match held.values()? {
            ValueSlice::I32(v) => narrow(v),
            ValueSlice::I64(v) => narrow(v),
            ValueSlice::U32(v) => Some(v.to_vec()),
            ValueSlice::U64(v) => narrow(v),
            _ => None,
        })
    };
    let starts: Option<Vec<u64>> = match indptr.values()? {
        ValueSlice::I32(v) => narrow(v),
        ValueSlice::I64(v) => narrow(v),
        ValueSlice::U32(v) => narrow(v),
        ValueSlice::U64(v) => Some(v.to_vec()),
        _ => None,
    };
    let mut buffer = Vec::new();
    let weights = values.values()?;
    let weights = weights.as_f32(0..weights.len(), &mut buffer).to_vec();
    Ok(GraphParts {
        n,
        m,
        indptr: starts.ok_or_else(|| range("indptr"))?,
        indices: whole(&indices)?.ok_or_else(|| range("indices"))?,
        weights,
    })
}

impl GraphParts {
    /// The checked graph: columns sorted, duplicates summed.
    pub(crate) fn graph(self) -> zensaibo_core::Result<Graph> {
        Graph::from_csr(Csr::new(self.n, self.m, self.indptr, self.indices, self.weights)?)
    }
}

/// Parts of a graph as numpy: indptr (i64), indices (i32), weights (f32).
type GraphArrays<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f32>>);

/// indices, distances, exact.
#[pyfunction]
#[pyo3(signature = (data, options, threads=None, progress=None))]
fn knn_search<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f32>>, bool)> {
    let options = KnnOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, d, held) = dense(data, "data")?;
    let values = held.values()?;
    let found = run(py, threads, progress, |ctx| knn(&Points::new(n, d, values)?, &options, ctx))?;
    let exact = found.exact;
    let (indices, distances) = pair(py, found)?;
    Ok((indices, distances, exact))
}

/// indptr, indices, weights.
#[pyfunction]
#[pyo3(signature = (indices, distances, options, threads=None, progress=None))]
fn connectivities_from_neighbors<'py>(
    py: Python<'py>,
    indices: &Bound<'py, PyArray2<u32>>,
    distances: &Bound<'py, PyArray2<f32>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<GraphArrays<'py>> {
    let options = ConnectivitiesOptions::from_json(options).map_err(|error| to_python(py, error))?;
    if indices.dims() != distances.dims() {
        let found = format!("{:?} and {:?}", indices.shape(), distances.shape());
        let error = Error::data(DataFault::Shape, "indices, distances", "the same shape", found);
        return Err(to_python(py, error));
    }
    let neighbors = neighbors_from(indices, distances)?;
    let (indptr, indices, weights) = run(py, threads, progress, |ctx| {
        let graph = connectivities(&neighbors, &options, ctx)?;
        // scipy wants signed indices.
        let indptr: Vec<i64> = graph.indptr.iter().map(|&x| x as i64).collect();
        let indices: Vec<i32> = graph.indices.iter().map(|&x| x as i32).collect();
        Ok((indptr, indices, graph.weights))
    })?;
    Ok((indptr.into_pyarray(py), indices.into_pyarray(py), weights.into_pyarray(py)))
}

/// mean, lowest, sample.
#[pyfunction]
#[pyo3(signature = (data, indices, metric, sample, seed, threads=None, progress=None))]
fn knn_recall<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyArray2<u32>>,
    metric: &str,
    sample: usize,
    seed: u64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(f64, f64, usize)> {
    let metric: Metric = KnnOptions::from_json(&serde_json::json!({ "metric": metric }).to_string())
        .map_err(|error| to_python(py, error))?
        .metric;
    let (n, d, held) = dense(data, "data")?;
    let values = held.values()?;
    let (rows, k) = (indices.dims()[0], indices.dims()[1]);
    let indices = indices.readonly().as_slice()?.to_vec();
    let found = Neighbors { n: rows, k, distances: vec![0.0; indices.len()], indices, exact: false };
    let measured =
        run(py, threads, progress, |ctx| recall(&Points::new(n, d, values)?, &found, metric, sample, seed, ctx))?;
    Ok((measured.mean, measured.lowest, measured.sample))
}

/// Vertices, stored edges, whether symmetric, number of connected parts, and the part of each vertex.
#[pyfunction]
#[pyo3(signature = (graph, threads=None, progress=None))]
fn graph_summary<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(usize, usize, bool, usize, Bound<'py, PyArray1<u32>>)> {
    let parts = graph_parts(graph, "graph")?;
    let (n, nnz, symmetric, components) = run(py, threads, progress, |_| {
        let graph = parts.graph()?;
        Ok((graph.n, graph.nnz(), graph.is_symmetric(), graph.components()))
    })?;
    Ok((n, nnz, symmetric, components.count, components.labels.into_pyarray(py)))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(knn_search, module)?)?;
    module.add_function(wrap_pyfunction!(connectivities_from_neighbors, module)?)?;
    module.add_function(wrap_pyfunction!(knn_recall, module)?)?;
    module.add_function(wrap_pyfunction!(graph_summary, module)?)
}
