//! Bindings of the test of ligands and receptors.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::{Error, Result};
use zensaibo_spatial::Edges;
use zensaibo_spatial::ligrec::{self, Expression, LigrecOptions, Partners, Score};

use crate::errors::to_python;
use crate::run::run;

/// Row pointers, columns, values, as scipy's csr.
type Rows<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, f64>);

/// Where the genes of each partner begin, the genes, (ligand, receptor), (sender, receiver), interactions x pairs that are tested.
type Wanted<'py> = (
    PyReadonlyArray1<'py, u32>,
    PyReadonlyArray1<'py, u32>,
    PyReadonlyArray2<'py, u32>,
    PyReadonlyArray2<'py, u32>,
    PyReadonlyArray2<'py, u8>,
);

fn couples(flat: &[u32]) -> Vec<[u32; 2]> {
    flat.chunks_exact(2).map(|couple| [couple[0], couple[1]]).collect()
}

fn score_of(name: &str) -> Result<Score> {
    serde_json::from_value(serde_json::Value::from(name))
        .map_err(|_| Error::parameter("score", "'mean', 'geometric' or 'probability'", name))
}

/// means (groups x genes), sizes (u32).
#[pyfunction]
#[pyo3(signature = (expression, genes, labels, n_labels, graph=None, threads=None, progress=None))]
fn group_means<'py>(
    py: Python<'py>,
    expression: Rows<'py>,
    genes: usize,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    graph: Option<Rows<'py>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<u32>>)> {
    let labels = labels.as_slice()?;
    let (indptr, indices, values) = (expression.0.as_slice()?, expression.1.as_slice()?, expression.2.as_slice()?);
    let graph = match &graph {
        Some(graph) => Some((graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?)),
        None => None,
    };
    let found = run(py, threads, progress, |ctx| {
        let edges = graph.map(|(starts, columns, weights)| Edges::new(starts, columns, weights)).transpose()?;
        let expression = Expression { indptr, indices, values, genes };
        ligrec::group_means(&expression, labels, n_labels, edges.as_ref(), ctx)
    })?;
    let shape = [found.sizes.len(), genes];
    Ok((found.means.into_pyarray(py).reshape(shape)?, found.sizes.into_pyarray(py)))
}

/// scores (f64) and orders that reach them (u32), interactions x pairs.
#[pyfunction]
#[pyo3(name = "ligrec")]
#[pyo3(signature = (expression, genes, labels, n_labels, libraries, n_libraries, graph, partners, score, options, threads=None, progress=None))]
fn test<'py>(
    py: Python<'py>,
    expression: Rows<'py>,
    genes: usize,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    libraries: PyReadonlyArray1<'py, u32>,
    n_libraries: usize,
    graph: Option<Rows<'py>>,
    partners: Wanted<'py>,
    score: &str,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<u32>>)> {
    let options = LigrecOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let score = score_of(score).map_err(|error| to_python(py, error))?;
    let (labels, libraries) = (labels.as_slice()?, libraries.as_slice()?);
    let (indptr, indices, values) = (expression.0.as_slice()?, expression.1.as_slice()?, expression.2.as_slice()?);
    let graph = match &graph {
        Some(graph) => Some((graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?)),
        None => None,
    };
    let (interactions, pairs) = (couples(partners.2.as_slice()?), couples(partners.3.as_slice()?));
    let (starts, parts, tested) = (partners.0.as_slice()?, partners.1.as_slice()?, partners.4.as_slice()?);
    let found = run(py, threads, progress, |ctx| {
        let edges = graph.map(|(starts, columns, weights)| Edges::new(starts, columns, weights)).transpose()?;
        let expression = Expression { indptr, indices, values, genes };
        let partners = Partners { starts, genes: parts, interactions: &interactions, pairs: &pairs, tested };
        let edges = edges.as_ref();
        ligrec::ligrec(&expression, labels, n_labels, libraries, n_libraries, edges, &partners, score, &options, ctx)
    })?;
    let shape = [interactions.len(), pairs.len()];
    Ok((found.scores.into_pyarray(py).reshape(shape)?, found.reached.into_pyarray(py).reshape(shape)?))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(group_means, module)?)?;
    module.add_function(wrap_pyfunction!(test, module)?)
}
