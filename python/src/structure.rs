//! Bindings of what describes the structure of a graph of cells: diffusion maps, pseudotime, PAGA, Louvain, density.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::density::gaussian_density as density_core;
use zensaibo_core::diffusion::{self, BranchingOptions, DiffmapOptions, DptOptions};
use zensaibo_core::graph::Graph;
use zensaibo_core::leiden::{Edges, LouvainOptions, louvain as louvain_core};
use zensaibo_core::options::Options;
use zensaibo_core::paga::{self as paga_core, PagaOptions};
use zensaibo_core::{Ctx, Result};

use crate::errors::to_python;
use crate::neighbors::graph_parts;
use crate::run::run;

/// Runs a job on a graph with the options of its text.
fn on_graph<O: Options + Sync, T: Send>(
    py: Python<'_>,
    graph: &Bound<'_, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
    job: impl FnOnce(&Graph, &O, &Ctx) -> Result<T> + Send,
) -> PyResult<T> {
    let options = O::from_json(options).map_err(|error| to_python(py, error))?;
    let parts = graph_parts(graph, "graph")?;
    run(py, threads, progress, |ctx| job(&parts.graph()?, &options, ctx))
}

/// Vectors (n x comps, float32), values (float64), residual, products.
#[pyfunction]
#[pyo3(signature = (graph, options, threads=None, progress=None))]
fn diffmap<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<f64>>, f64, usize)> {
    let (n, found) = on_graph(py, graph, options, threads, progress, |graph, options: &DiffmapOptions, ctx| {
        Ok((graph.n, diffusion::diffmap(graph, options, ctx)?))
    })?;
    let vectors = found.vectors.into_pyarray(py).reshape([n, found.n_comps])?;
    Ok((vectors, found.values.into_pyarray(py), found.residual, found.products))
}

/// Pseudotime of each cell (float32).
#[pyfunction]
#[pyo3(signature = (graph, vectors, values, root, options, threads=None, progress=None))]
fn pseudotime<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    vectors: PyReadonlyArray2<'py, f32>,
    values: PyReadonlyArray1<'py, f64>,
    root: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (vectors, values) = (vectors.as_slice()?, values.as_slice()?);
    let found = on_graph(py, graph, options, threads, progress, |graph, options: &DptOptions, ctx| {
        diffusion::pseudotime(graph, vectors, values, root, options, ctx)
    })?;
    Ok(found.into_pyarray(py))
}

/// Group of each cell, tips (groups x 2), order of the cells, places in it where groups begin; all int64.
#[pyfunction]
#[pyo3(signature = (graph, vectors, values, root, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // becomes a named tuple in Python
fn dpt_branchings<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    vectors: PyReadonlyArray2<'py, f32>,
    values: PyReadonlyArray1<'py, f64>,
    root: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray2<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
)> {
    let (vectors, values) = (vectors.as_slice()?, values.as_slice()?);
    let found = on_graph(py, graph, options, threads, progress, |graph, options: &BranchingOptions, ctx| {
        diffusion::branchings(graph, vectors, values, root, options, ctx)
    })?;
    let wide = |values: &[u32]| values.iter().map(|&x| i64::from(x)).collect::<Vec<i64>>().into_pyarray(py);
    let tips = wide(found.tips.as_flattened()).reshape([found.tips.len(), 2])?;
    Ok((wide(&found.groups), tips, wide(&found.order), wide(&found.changepoints)))
}

/// Connectivities and tree (groups x groups), sizes.
#[pyfunction]
#[pyo3(signature = (graph, labels, groups, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // becomes a named tuple in Python
fn paga<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    labels: PyReadonlyArray1<'py, u32>,
    groups: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<u64>>)> {
    let labels = labels.as_slice()?;
    let found = on_graph(py, graph, options, threads, progress, |graph, options: &PagaOptions, ctx| {
        paga_core::paga(graph, labels, groups, options, ctx)
    })?;
    let square = |values: Vec<f64>| values.into_pyarray(py).reshape([groups, groups]);
    Ok((square(found.connectivities)?, square(found.tree)?, found.sizes.into_pyarray(py)))
}

/// Confidence of transitions between groups (groups x groups).
#[pyfunction]
#[pyo3(signature = (graph, labels, groups, n_neighbors, threads=None, progress=None))]
fn paga_transitions<'py>(
    py: Python<'py>,
    graph: &Bound<'py, PyAny>,
    labels: PyReadonlyArray1<'py, u32>,
    groups: usize,
    n_neighbors: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let parts = graph_parts(graph, "graph")?;
    let labels = labels.as_slice()?;
    let found = run(py, threads, progress, |ctx| {
        paga_core::transitions_confidence(&parts.graph()?, labels, groups, n_neighbors, ctx)
    })?;
    found.into_pyarray(py).reshape([groups, groups])
}

/// As `leiden`: (membership, communities, quality, modularity, iterations, converged).
#[pyfunction]
#[pyo3(signature = (indptr, indices, weights, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // becomes a named tuple in Python
fn louvain<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, u64>,
    indices: PyReadonlyArray1<'py, u32>,
    weights: PyReadonlyArray1<'py, f32>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray1<u32>>, usize, f64, f64, usize, bool)> {
    let options = LouvainOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let edges = Edges { indptr: indptr.as_slice()?, indices: indices.as_slice()?, weights: weights.as_slice()? };
    let found = run(py, threads, progress, |ctx| louvain_core(edges, &options, ctx))?;
    let membership = found.membership.into_pyarray(py);
    Ok((membership, found.n_communities, found.quality, found.modularity, found.iterations, found.converged))
}

/// Density at each of n points (n x 2, float64).
#[pyfunction]
#[pyo3(signature = (points, threads=None, progress=None))]
fn gaussian_density<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'py, f64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let points = points.as_slice()?;
    Ok(run(py, threads, progress, |ctx| density_core(points, ctx))?.into_pyarray(py))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(diffmap, module)?)?;
    module.add_function(wrap_pyfunction!(pseudotime, module)?)?;
    module.add_function(wrap_pyfunction!(dpt_branchings, module)?)?;
    module.add_function(wrap_pyfunction!(paga, module)?)?;
    module.add_function(wrap_pyfunction!(paga_transitions, module)?)?;
    module.add_function(wrap_pyfunction!(louvain, module)?)?;
    module.add_function(wrap_pyfunction!(gaussian_density, module)?)
}
