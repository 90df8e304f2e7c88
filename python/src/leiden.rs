//! Bindings of `zensaibo_core::leiden`.

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use zensaibo_core::leiden::{Edges, LeidenOptions, agreement, leiden as leiden_core, modularity as modularity_core};
use zensaibo_core::options::Options;

use crate::errors::to_python;
use crate::run::run;

/// Communities of a symmetric matrix: (membership, communities, quality, modularity, iterations, converged).
#[pyfunction]
#[pyo3(signature = (indptr, indices, weights, initial, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // becomes a named tuple in Python
fn leiden<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, u64>,
    indices: PyReadonlyArray1<'py, u32>,
    weights: PyReadonlyArray1<'py, f32>,
    initial: Option<PyReadonlyArray1<'py, u32>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray1<u32>>, usize, f64, f64, usize, bool)> {
    let options = LeidenOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let edges = Edges { indptr: indptr.as_slice()?, indices: indices.as_slice()?, weights: weights.as_slice()? };
    let initial = initial.as_ref().map(|labels| labels.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| leiden_core(edges, initial, &options, ctx))?;
    let membership = PyArray1::from_vec(py, found.membership);
    Ok((membership, found.n_communities, found.quality, found.modularity, found.iterations, found.converged))
}

/// Modularity of a membership.
#[pyfunction]
#[pyo3(signature = (indptr, indices, weights, membership, resolution, use_weights, threads=None, progress=None))]
fn modularity<'py>(
    py: Python<'py>,
    indptr: PyReadonlyArray1<'py, u64>,
    indices: PyReadonlyArray1<'py, u32>,
    weights: PyReadonlyArray1<'py, f32>,
    membership: PyReadonlyArray1<'py, u32>,
    resolution: f64,
    use_weights: bool,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<f64> {
    let edges = Edges { indptr: indptr.as_slice()?, indices: indices.as_slice()?, weights: weights.as_slice()? };
    let labels = membership.as_slice()?;
    run(py, threads, progress, |ctx| modularity_core(edges, labels, resolution, use_weights, ctx))
}

/// (adjusted Rand index, normalised mutual information) of two labellings.
#[pyfunction]
fn partition_agreement<'py>(
    py: Python<'py>,
    a: PyReadonlyArray1<'py, u32>,
    b: PyReadonlyArray1<'py, u32>,
) -> PyResult<(f64, f64)> {
    let (a, b) = (a.as_slice()?, b.as_slice()?);
    let found = run(py, Some(1), None, |_| agreement(a, b))?;
    Ok((found.adjusted_rand, found.normalized_mutual_information))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(leiden, module)?)?;
    module.add_function(wrap_pyfunction!(modularity, module)?)?;
    module.add_function(wrap_pyfunction!(partition_agreement, module)?)
}
