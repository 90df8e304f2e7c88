//! Bindings of RNA velocity.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::data::Csr;
use zensaibo_core::matrix::collect;
use zensaibo_core::options::Options;
use zensaibo_core::velocity::{
    self as core, TransitionOptions, VelocityEmbeddingOptions, VelocityGraphOptions, VelocityOptions,
};
use zensaibo_core::{Ctx, Result};

use crate::errors::to_python;
use crate::matrix::{Matrix, Parts};
use crate::neighbors::graph_parts;
use crate::run::run;

/// indptr (i64), indices (i32) and values (f32) of a matrix, as scipy takes them.
type CsrArrays<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f32>>);

fn arrays(py: Python<'_>, matrix: Csr) -> CsrArrays<'_> {
    let indptr: Vec<i64> = matrix.indptr.iter().map(|&x| x as i64).collect();
    let indices: Vec<i32> = matrix.indices.iter().map(|&x| x as i32).collect();
    (indptr.into_pyarray(py), indices.into_pyarray(py), matrix.values.into_pyarray(py))
}

/// The rows of a matrix in memory.
fn gather(parts: &Parts<'_>, ctx: &Ctx) -> Result<Csr> {
    collect(parts.source()?.rows(), ctx)
}

/// Means over neighbours (n x g, float32).
#[pyfunction]
#[pyo3(signature = (graph, counts, threads=None, progress=None))]
fn velocity_moments<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    counts: &Bound<'py, PyAny>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let neighbors = graph_parts(graph, "graph")?;
    let matrix = Matrix::new(counts, "counts")?;
    let (n, genes) = matrix.shape();
    let parts = matrix.parts()?;
    let found = run(py, threads, progress, |ctx| core::moments(&neighbors.graph()?, &gather(&parts, ctx)?, ctx))?;
    found.into_pyarray(py).reshape([n, genes])
}

/// A dictionary: velocity (n x g, float32), gamma, qreg_ratio, r2 (float64), genes (bool), min_r2.
#[pyfunction]
#[pyo3(signature = (spliced_means, unspliced_means, counts, eligible, options, threads=None, progress=None))]
fn velocity<'py>(
    py: Python<'py>,
    spliced_means: PyReadonlyArray2<'py, f32>,
    unspliced_means: PyReadonlyArray2<'py, f32>,
    counts: Option<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)>,
    eligible: Option<PyReadonlyArray1<'py, bool>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = VelocityOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, genes) = spliced_means.as_array().dim();
    let (s, u) = (spliced_means.as_slice()?, unspliced_means.as_slice()?);
    let eligible = eligible.as_ref().map(|flags| flags.as_slice()).transpose()?;
    let held =
        counts.as_ref().map(|(s, u, _)| PyResult::Ok((Matrix::new(s, "spliced")?, Matrix::new(u, "unspliced")?)));
    let held = held.transpose()?;
    let parts = held.as_ref().map(|(s, u)| PyResult::Ok((s.parts()?, u.parts()?))).transpose()?;
    let graph = counts.as_ref().map(|(.., graph)| graph_parts(graph, "graph")).transpose()?;
    let found = run(py, threads, progress, |ctx| match (parts.as_ref(), graph) {
        (Some((spliced, unspliced)), Some(graph)) => {
            let (spliced, unspliced, graph) = (gather(spliced, ctx)?, gather(unspliced, ctx)?, graph.graph()?);
            core::velocity(s, u, n, Some((&spliced, &unspliced, &graph)), eligible, &options, ctx)
        }
        _ => core::velocity(s, u, n, None, eligible, &options, ctx),
    })?;
    let result = PyDict::new(py);
    result.set_item("velocity", found.velocity.into_pyarray(py).reshape([n, genes])?)?;
    result.set_item("gamma", found.gamma.into_pyarray(py))?;
    result.set_item("qreg_ratio", found.qreg_ratio.into_pyarray(py))?;
    result.set_item("r2", found.r2.into_pyarray(py))?;
    result.set_item("genes", found.genes.into_pyarray(py))?;
    result.set_item("min_r2", found.min_r2)?;
    Ok(result)
}

/// Positive and negative cosines, and self transitions.
#[pyfunction]
#[pyo3(signature = (expression, velocity, distances, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // becomes a named tuple in Python
fn velocity_graph<'py>(
    py: Python<'py>,
    expression: PyReadonlyArray2<'py, f32>,
    velocity: PyReadonlyArray2<'py, f32>,
    distances: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(CsrArrays<'py>, CsrArrays<'py>, Bound<'py, PyArray1<f64>>)> {
    let options = VelocityGraphOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (x, v) = (expression.as_slice()?, velocity.as_slice()?);
    let distances = graph_parts(distances, "distances")?;
    let found = run(py, threads, progress, |ctx| core::velocity_graph(x, v, &distances.graph()?, &options, ctx))?;
    Ok((arrays(py, found.positive), arrays(py, found.negative), found.self_transition.into_pyarray(py)))
}

/// Transition probabilities.
#[pyfunction]
#[pyo3(signature = (positive, negative, options, threads=None, progress=None))]
fn transition_matrix<'py>(
    py: Python<'py>,
    positive: &Bound<'py, PyAny>,
    negative: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<CsrArrays<'py>> {
    let options = TransitionOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (positive, negative) = (Matrix::new(positive, "positive")?, Matrix::new(negative, "negative")?);
    let (positive, negative) = (positive.parts()?, negative.parts()?);
    let found = run(py, threads, progress, |ctx| {
        core::transition_matrix(&gather(&positive, ctx)?, &gather(&negative, ctx)?, &options, ctx)
    })?;
    Ok(arrays(py, found))
}

/// Arrows (n x d, float64).
#[pyfunction]
#[pyo3(signature = (transitions, positions, options, threads=None, progress=None))]
fn velocity_embedding<'py>(
    py: Python<'py>,
    transitions: &Bound<'py, PyAny>,
    positions: PyReadonlyArray2<'py, f64>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let options = VelocityEmbeddingOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let transitions = Matrix::new(transitions, "transitions")?;
    let parts = transitions.parts()?;
    let (n, d) = positions.as_array().dim();
    let positions = positions.as_slice()?;
    let found =
        run(py, threads, progress, |ctx| core::velocity_embedding(&gather(&parts, ctx)?, positions, d, &options, ctx))?;
    found.into_pyarray(py).reshape([n, d])
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(velocity_moments, module)?)?;
    module.add_function(wrap_pyfunction!(velocity, module)?)?;
    module.add_function(wrap_pyfunction!(velocity_graph, module)?)?;
    module.add_function(wrap_pyfunction!(transition_matrix, module)?)?;
    module.add_function(wrap_pyfunction!(velocity_embedding, module)?)
}
