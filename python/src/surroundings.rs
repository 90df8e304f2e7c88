//! Bindings of what cells share with their surroundings: kinds of them, genes in space, pairs of values.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::options::Options;
use zensaibo_spatial::autocorr::Columns;
use zensaibo_spatial::bivariate::BivariateOptions;
use zensaibo_spatial::mixture::MixtureOptions;
use zensaibo_spatial::variable::SETS;
use zensaibo_spatial::{Edges, Places};

use crate::errors::to_python;
use crate::run::run;

/// A matrix as scipy's csr or csc: where rows or columns start, places, values.
type Packed<'py> = (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, f64>);

/// p values as natural logarithms: joined (genes) and of each set (genes x sets); shares (f64) and sets (u32).
type GenesInSpace<'py> =
    (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<u32>>);

/// labels (u32), probability, weights, means (components x columns), likelihood, steps, whether it converged.
#[pyfunction]
#[pyo3(signature = (values, options, threads=None, progress=None))]
fn gaussian_mixture<'py>(
    py: Python<'py>,
    values: PyReadonlyArray2<'py, f64>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = MixtureOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let width = values.as_array().ncols();
    let rows = values.as_slice()?;
    let found =
        run(py, threads, progress, |ctx| zensaibo_spatial::mixture::gaussian_mixture(rows, width, &options, ctx))?;
    let all = PyDict::new(py);
    let means = found.means.into_pyarray(py).reshape([found.weights.len(), width])?;
    all.set_item("labels", found.labels.into_pyarray(py))?;
    all.set_item("probability", found.probability.into_pyarray(py))?;
    all.set_item("weights", found.weights.into_pyarray(py))?;
    all.set_item("means", means)?;
    all.set_item("likelihood", found.likelihood)?;
    all.set_item("n_iter", found.n_iter)?;
    all.set_item("converged", found.converged)?;
    Ok(all)
}

/// See [`GenesInSpace`].
#[pyfunction]
#[pyo3(signature = (places, libraries, n_libraries, columns, threads=None, progress=None))]
fn spatially_variable<'py>(
    py: Python<'py>,
    places: PyReadonlyArray2<'py, f64>,
    libraries: PyReadonlyArray1<'py, u32>,
    n_libraries: usize,
    columns: Packed<'py>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<GenesInSpace<'py>> {
    let (n, dimensions) = places.as_array().dim();
    let (values, libraries) = (places.as_slice()?, libraries.as_slice()?);
    let columns =
        Columns { indptr: columns.0.as_slice()?, indices: columns.1.as_slice()?, values: columns.2.as_slice()? };
    let found = run(py, threads, progress, |ctx| {
        let places = Places::new(n, dimensions, values)?;
        zensaibo_spatial::variable::spatially_variable(&places, libraries, n_libraries, &columns, ctx)
    })?;
    let genes = found.share.len();
    Ok((
        found.ln_pvals.into_pyarray(py),
        found.ln_pvals_of_sets.into_pyarray(py).reshape([genes, SETS])?,
        found.share.into_pyarray(py),
        found.set.into_pyarray(py),
    ))
}

/// local, categories (pairs x cells), morans, lee (pairs), and with permutations local_pvals, morans_pvals, lee_pvals.
#[pyfunction]
#[pyo3(signature = (graph, columns, pairs, options, threads=None, progress=None))]
fn bivariate<'py>(
    py: Python<'py>,
    graph: Packed<'py>,
    columns: Packed<'py>,
    pairs: Vec<[u32; 2]>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = BivariateOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (indptr, indices, weights) = (graph.0.as_slice()?, graph.1.as_slice()?, graph.2.as_slice()?);
    let columns =
        Columns { indptr: columns.0.as_slice()?, indices: columns.1.as_slice()?, values: columns.2.as_slice()? };
    let found = run(py, threads, progress, |ctx| {
        let edges = Edges::new(indptr, indices, weights)?;
        zensaibo_spatial::bivariate::bivariate(&edges, &columns, &pairs, &options, ctx)
    })?;
    let shape = [pairs.len(), indptr.len().saturating_sub(1)];
    let all = PyDict::new(py);
    all.set_item("local", found.local.into_pyarray(py).reshape(shape)?)?;
    all.set_item("categories", found.categories.into_pyarray(py).reshape(shape)?)?;
    all.set_item("morans", found.morans.into_pyarray(py))?;
    all.set_item("lee", found.lee.into_pyarray(py))?;
    if let Some(pvals) = found.local_pvals {
        all.set_item("local_pvals", pvals.into_pyarray(py).reshape(shape)?)?;
    }
    for (name, pvals) in [("morans_pvals", found.morans_pvals), ("lee_pvals", found.lee_pvals)] {
        if let Some(pvals) = pvals {
            all.set_item(name, pvals.into_pyarray(py))?;
        }
    }
    Ok(all)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(gaussian_mixture, module)?)?;
    module.add_function(wrap_pyfunction!(spatially_variable, module)?)?;
    module.add_function(wrap_pyfunction!(bivariate, module)?)
}
