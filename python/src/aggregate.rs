//! Binding of aggregation by group.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::aggregate::AggregateOptions;
use zensaibo_core::options::Options;

use crate::errors::to_python;
use crate::matrix::Matrix;

/// Dict of the tables asked for (groups x genes, f64) and `sizes`; `labels` is the group of each cell, -1 for none.
#[pyfunction]
#[pyo3(signature = (matrix, labels, n_groups, options, threads=None, progress=None))]
fn aggregate<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    labels: PyReadonlyArray1<'py, i32>,
    n_groups: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = AggregateOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let labels = labels.as_slice()?;
    let found = crate::run::run(py, threads, progress, |ctx| {
        zensaibo_core::aggregate::aggregate(parts.source()?.rows(), labels, n_groups, &options, ctx)
    })?;
    let out = PyDict::new(py);
    let (n_groups, n_genes) = (found.n_groups, found.n_genes);
    let sizes: Vec<i64> = found.sizes.iter().map(|&size| size as i64).collect();
    out.set_item("sizes", sizes.into_pyarray(py))?;
    let tables = [
        ("sum", found.sum),
        ("mean", found.mean),
        ("var", found.var),
        ("count_nonzero", found.count_nonzero),
        ("median", found.median),
    ];
    for (name, table) in tables {
        if let Some(table) = table {
            out.set_item(name, table.into_pyarray(py).reshape([n_groups, n_genes])?)?;
        }
    }
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(aggregate, module)?)
}
