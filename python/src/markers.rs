//! Bindings of markers.

use numpy::{IntoPyArray, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::markers::{GroupMarkers, Grouping, RankGenesOptions, RankedGenes, rank_genes_groups as rank};
use zensaibo_core::matrix::Lazy;
use zensaibo_core::options::Options;

use crate::errors::to_python;
use crate::matrix::Matrix;

/// One column of all tables, (tested groups x genes kept).
fn stack<'py, T: numpy::Element + Copy>(
    py: Python<'py>,
    found: &RankedGenes,
    pick: impl Fn(&GroupMarkers) -> &[T],
) -> PyResult<Bound<'py, PyArray2<T>>> {
    let width = found.groups.first().map_or(0, |group| group.genes.len());
    let all: Vec<T> = found.groups.iter().flat_map(|group| pick(group).iter().copied()).collect();
    all.into_pyarray(py).reshape([found.groups.len(), width])
}

/// Tables of `rank_genes_groups` as a dict of arrays; `labels` is the group of each cell, -1 for none, and
/// `mask` (if any) the genes to test.
#[pyfunction]
#[pyo3(signature = (matrix, labels, names, reference, mask, options, threads=None, progress=None))]
fn rank_genes_groups<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    labels: PyReadonlyArray1<'py, i32>,
    names: Vec<String>,
    reference: Option<usize>,
    mask: Option<Vec<bool>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = RankGenesOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let labels = labels.as_slice()?;
    let n_groups = names.len();
    let (found, n_genes) = crate::run::run(py, threads, progress, |ctx| {
        let grouping = Grouping::new(labels, names, reference)?;
        let source = parts.source()?;
        let chain;
        let rows = match &mask {
            None => source.rows(),
            Some(mask) => {
                chain = Lazy::new(source.rows()).select_columns(mask)?;
                &chain
            }
        };
        Ok((rank(rows, &grouping, &options, ctx)?, rows.n_cols()))
    })?;
    let tables = PyDict::new(py);
    let groups: Vec<i64> = found.groups.iter().map(|group| group.group as i64).collect();
    tables.set_item("groups", groups.into_pyarray(py))?;
    tables.set_item("genes", stack(py, &found, |group| &group.genes)?)?;
    tables.set_item("scores", stack(py, &found, |group| &group.scores)?)?;
    tables.set_item("logfoldchanges", stack(py, &found, |group| &group.logfoldchanges)?)?;
    tables.set_item("pvals", stack(py, &found, |group| &group.pvals)?)?;
    tables.set_item("pvals_adj", stack(py, &found, |group| &group.pvals_adj)?)?;
    tables.set_item("log10_pvals", stack(py, &found, |group| &group.log10_pvals)?)?;
    tables.set_item("log10_pvals_adj", stack(py, &found, |group| &group.log10_pvals_adj)?)?;
    for (name, fractions) in [("pts", found.pts), ("pts_rest", found.pts_rest)] {
        match fractions {
            Some(fractions) => tables.set_item(name, fractions.into_pyarray(py).reshape([n_groups, n_genes])?)?,
            None => tables.set_item(name, py.None())?,
        }
    }
    Ok(tables)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(rank_genes_groups, module)?)
}
