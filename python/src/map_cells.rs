//! Bindings of the mapping of dissociated cells to tissue, and of the deconvolution of spots.

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::Result;
use zensaibo_core::data::Csr;
use zensaibo_core::knn::Points;
use zensaibo_core::options::Options;
use zensaibo_map::{
    Candidates, DeconvolveOptions, Loss, NeighborWeightsOptions, PrincipalVectorsOptions, Signatures, TangramInput,
    TangramOptions,
};

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::neighbors::dense;
use crate::run::run;

/// Parts of a matrix of weights: number of columns, row pointers, columns, values.
type Weights<'py> = (usize, PyReadonlyArray1<'py, u64>, PyReadonlyArray1<'py, u32>, PyReadonlyArray1<'py, f32>);
/// Row pointers and columns.
type Pairs<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u32>>);

fn weights(parts: &Weights<'_>) -> PyResult<impl FnOnce() -> Result<Csr> + Send + use<>> {
    let (columns, indptr) = (parts.0, parts.1.as_slice()?.to_vec());
    let (indices, values) = (parts.2.as_slice()?.to_vec(), parts.3.as_slice()?.to_vec());
    Ok(move || Csr::new(indptr.len().saturating_sub(1), columns, indptr, indices, values))
}

fn pairs(py: Python<'_>, indptr: Vec<u64>, indices: Vec<u32>) -> Pairs<'_> {
    let indptr: Vec<i64> = indptr.into_iter().map(|at| at as i64).collect();
    (indptr.into_pyarray(py), indices.into_pyarray(py))
}

/// See `zensaibo.arrays.principal_vectors`.
#[pyfunction]
#[pyo3(signature = (cells, places, options, threads=None, progress=None))]
fn principal_vectors<'py>(
    py: Python<'py>,
    cells: &Bound<'py, PyAny>,
    places: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = PrincipalVectorsOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (cells, places) = (Matrix::new(cells, "cells")?, Matrix::new(places, "places")?);
    let (n, s) = (cells.shape().0, places.shape().0);
    let (cells, places) = (cells.parts()?, places.parts()?);
    let found = run(py, threads, progress, |ctx| {
        let (cells, places) = (cells.source()?, places.source()?);
        zensaibo_map::principal_vectors(cells.rows(), places.rows(), &options, ctx)
    })?;
    let q = found.len();
    let out = PyDict::new(py);
    out.set_item("used", found.used.into_pyarray(py))?;
    out.set_item("cosines", found.cosines.into_pyarray(py))?;
    out.set_item("vectors", found.vectors.into_pyarray(py))?;
    out.set_item("cells", found.cells.into_pyarray(py).reshape([n, q])?)?;
    out.set_item("places", found.places.into_pyarray(py).reshape([s, q])?)?;
    Ok(out)
}

/// Row pointers, columns, weights, similarity. See `zensaibo.arrays.neighbor_weights`.
#[pyfunction]
#[pyo3(signature = (reference, queries, options, threads=None, progress=None))]
fn neighbor_weights<'py>(
    py: Python<'py>,
    reference: &Bound<'py, PyAny>,
    queries: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Pairs<'py>, Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<f64>>)> {
    let options = NeighborWeightsOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (m, d, held) = dense(reference, "reference")?;
    let (n, e, query_held) = dense(queries, "queries")?;
    let (values, query_values) = (held.values()?, query_held.values()?);
    let found = run(py, threads, progress, |ctx| {
        let (reference, queries) = (Points::new(m, d, values)?, Points::new(n, e, query_values)?);
        zensaibo_map::neighbor_weights(&reference, &queries, &options, ctx)
    })?;
    let Csr { indptr, indices, values, .. } = found.weights;
    Ok((pairs(py, indptr, indices), values.into_pyarray(py), found.similarity.into_pyarray(py)))
}

/// Row pointers and places. See `zensaibo.arrays.map_candidates`.
#[pyfunction]
#[pyo3(signature = (cells, places, per_cell, per_place, options, threads=None, progress=None))]
fn map_candidates<'py>(
    py: Python<'py>,
    cells: &Bound<'py, PyAny>,
    places: &Bound<'py, PyAny>,
    per_cell: usize,
    per_place: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Pairs<'py>> {
    let algorithm = NeighborWeightsOptions::from_json(options).map_err(|error| to_python(py, error))?.algorithm;
    let (n, q, held) = dense(cells, "cells")?;
    let (s, e, place_held) = dense(places, "places")?;
    let (values, place_values) = (held.values()?, place_held.values()?);
    let found = run(py, threads, progress, |ctx| {
        let (cells, places) = (Points::new(n, q, values)?, Points::new(s, e, place_values)?);
        zensaibo_map::candidates(&cells, &places, per_cell, per_place, algorithm, ctx)
    })?;
    Ok(pairs(py, found.indptr, found.indices))
}

/// See `zensaibo.arrays.tangram`.
#[pyfunction]
#[pyo3(signature = (cells, places, options, candidates=None, density=None, masses=None, threads=None, progress=None))]
fn tangram<'py>(
    py: Python<'py>,
    cells: PyReadonlyArray2<'py, f32>,
    places: PyReadonlyArray2<'py, f32>,
    options: &str,
    candidates: Option<(PyReadonlyArray1<'py, u64>, PyReadonlyArray1<'py, u32>)>,
    density: Option<PyReadonlyArray1<'py, f64>>,
    masses: Option<PyReadonlyArray1<'py, f64>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = TangramOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, g) = (cells.shape()[0], cells.shape()[1]);
    let s = places.shape()[0];
    let candidates = match candidates {
        None => Candidates::all(n, s),
        Some((indptr, indices)) => Candidates::new(s, indptr.as_slice()?.to_vec(), indices.as_slice()?.to_vec()),
    }
    .map_err(|error| to_python(py, error))?;
    let density = density.as_ref().map(|values| values.as_slice()).transpose()?;
    let masses = masses.as_ref().map(|values| values.as_slice()).transpose()?;
    let (cells, places) = (cells.as_slice()?, places.as_slice()?);
    let input = TangramInput { n_genes: g, cells, places, candidates: &candidates, density, masses };
    let found = run(py, threads, progress, |ctx| zensaibo_map::tangram(&input, &options, ctx))?;
    let out = PyDict::new(py);
    let Csr { indptr, indices, values, .. } = found.weights;
    out.set_item("pairs", pairs(py, indptr, indices))?;
    out.set_item("weights", values.into_pyarray(py))?;
    let history = PyDict::new(py);
    let terms: [(&str, fn(&Loss) -> f64); 5] = [
        ("total_loss", |loss| loss.total),
        ("main_loss", |loss| loss.genes),
        ("vg_reg", |loss| loss.places),
        ("kl_reg", |loss| loss.divergence),
        ("entropy_reg", |loss| loss.entropy),
    ];
    for (name, term) in terms {
        let values: Vec<f64> = found.history.iter().chain([&found.last]).map(term).collect();
        history.set_item(name, values.into_pyarray(py))?;
    }
    out.set_item("history", history)?;
    out.set_item("cosines", found.cosines.into_pyarray(py))?;
    Ok(out)
}

/// See `zensaibo.arrays.weighted_rows`.
#[pyfunction]
#[pyo3(signature = (parts, matrix, empty, threads=None, progress=None))]
fn weighted_rows<'py>(
    py: Python<'py>,
    parts: Weights<'py>,
    matrix: &Bound<'py, PyAny>,
    empty: f32,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let weights = weights(&parts)?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let (n, g) = (parts.1.len().saturating_sub(1), matrix.shape().1);
    let matrix = matrix.parts()?;
    let found = run(py, threads, progress, |ctx| {
        zensaibo_map::weighted_rows(&weights()?, matrix.source()?.rows(), empty, ctx)
    })?;
    found.into_pyarray(py).reshape([n, g])
}

/// Means and spread. See `zensaibo.arrays.weighted_places`.
#[pyfunction]
#[pyo3(signature = (parts, places, threads=None, progress=None))]
fn weighted_places<'py>(
    py: Python<'py>,
    parts: Weights<'py>,
    places: PyReadonlyArray2<'py, f64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray2<f64>>, Bound<'py, PyArray1<f64>>)> {
    let weights = weights(&parts)?;
    let dimensions = places.shape()[1];
    let n = parts.1.len().saturating_sub(1);
    let places = places.as_slice()?;
    let (means, spread) =
        run(py, threads, progress, |ctx| zensaibo_map::weighted_places(&weights()?, places, dimensions, ctx))?;
    Ok((means.into_pyarray(py).reshape([n, dimensions])?, spread.into_pyarray(py)))
}

/// See `zensaibo.arrays.label_shares`.
#[pyfunction]
#[pyo3(signature = (parts, labels, n_labels, mass=None, threads=None, progress=None))]
fn label_shares<'py>(
    py: Python<'py>,
    parts: Weights<'py>,
    labels: PyReadonlyArray1<'py, u32>,
    n_labels: usize,
    mass: Option<PyReadonlyArray1<'py, f64>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let weights = weights(&parts)?;
    let n = parts.1.len().saturating_sub(1);
    let labels = labels.as_slice()?;
    let mass = mass.as_ref().map(|mass| mass.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| zensaibo_map::label_shares(&weights()?, labels, n_labels, mass, ctx))?;
    found.into_pyarray(py).reshape([n, n_labels])
}

/// Abundance, residual, rounds, whether they were enough. See `zensaibo.arrays.deconvolve`.
#[pyfunction]
#[pyo3(signature = (spots, mean, variance, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)]
fn deconvolve<'py>(
    py: Python<'py>,
    spots: &Bound<'py, PyAny>,
    mean: PyReadonlyArray2<'py, f64>,
    variance: PyReadonlyArray2<'py, f64>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<bool>>,
)> {
    let options = DeconvolveOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let spots = Matrix::new(spots, "spots")?;
    let n = spots.shape().0;
    let spots = spots.parts()?;
    let t = mean.shape()[0];
    let signatures = Signatures { n_types: t, mean: mean.as_slice()?, variance: variance.as_slice()? };
    let found =
        run(py, threads, progress, |ctx| zensaibo_map::deconvolve(spots.source()?.rows(), &signatures, &options, ctx))?;
    Ok((
        found.abundance.into_pyarray(py).reshape([n, t])?,
        found.residual.into_pyarray(py),
        found.iterations.into_pyarray(py),
        found.converged.into_pyarray(py),
    ))
}

/// See `zensaibo.arrays.nnls`: one row of solutions for each row of products.
#[pyfunction]
#[pyo3(signature = (gram, products, threads=None))]
fn nnls<'py>(
    py: Python<'py>,
    gram: PyReadonlyArray2<'py, f64>,
    products: PyReadonlyArray2<'py, f64>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    use rayon::prelude::*;
    let (rows, t) = (products.shape()[0], products.shape()[1]);
    let (gram, products) = (gram.as_array(), products.as_slice()?);
    let found: Vec<Vec<f64>> = run(py, threads, None, |ctx| {
        products
            .par_chunks(t.max(1))
            .map(|product| {
                ctx.check()?;
                zensaibo_map::nnls(gram, product)
            })
            .collect()
    })?;
    found.concat().into_pyarray(py).reshape([rows, t])
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(principal_vectors, module)?)?;
    module.add_function(wrap_pyfunction!(neighbor_weights, module)?)?;
    module.add_function(wrap_pyfunction!(map_candidates, module)?)?;
    module.add_function(wrap_pyfunction!(tangram, module)?)?;
    module.add_function(wrap_pyfunction!(weighted_rows, module)?)?;
    module.add_function(wrap_pyfunction!(weighted_places, module)?)?;
    module.add_function(wrap_pyfunction!(label_shares, module)?)?;
    module.add_function(wrap_pyfunction!(deconvolve, module)?)?;
    module.add_function(wrap_pyfunction!(nnls, module)?)
}
