//! Bindings of sketches: cells that stand for all.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use zensaibo_core::knn::Points;
use zensaibo_core::matrix::Lazy;
use zensaibo_core::options::Options;
use zensaibo_core::sketch::{GeometricOptions, LeverageOptions};

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::neighbors::dense;
use crate::run::run;

/// Rows chosen (u32, rising), side of the boxes, boxes that hold a cell.
type Chosen<'py> = (Bound<'py, PyArray1<u32>>, f64, usize);

/// `n_obs` rows of an embedding by geometric sketching.
#[pyfunction]
#[pyo3(signature = (embedding, n_obs, options, threads=None, progress=None))]
fn sketch_geometric<'py>(
    py: Python<'py>,
    embedding: &Bound<'py, PyAny>,
    n_obs: usize,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Chosen<'py>> {
    let options = GeometricOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, d, held) = dense(embedding, "embedding")?;
    let values = held.values()?;
    let found = run(py, threads, progress, |ctx| {
        zensaibo_core::sketch::geometric(&Points::new(n, d, values)?, n_obs, &options, ctx)
    })?;
    Ok((found.chosen.into_pyarray(py), found.side, found.n_boxes))
}

/// Leverage (f64) of the rows where `cells` is true, by the columns where `mask` is.
#[pyfunction]
#[pyo3(signature = (matrix, options, cells=None, mask=None, threads=None, progress=None))]
fn leverage_scores<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options: &str,
    cells: Option<PyReadonlyArray1<'py, bool>>,
    mask: Option<PyReadonlyArray1<'py, bool>>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let options = LeverageOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let cells = cells.map(|cells| cells.as_slice().map(<[bool]>::to_vec)).transpose()?;
    let mask = mask.map(|mask| mask.as_slice().map(<[bool]>::to_vec)).transpose()?;
    let found = run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        let mut rows = Lazy::new(source.rows());
        if let Some(cells) = &cells {
            rows = rows.select_rows(cells)?;
        }
        if let Some(mask) = &mask {
            rows = rows.select_columns(mask)?;
        }
        zensaibo_core::sketch::leverage_scores(&rows, &options, ctx)
    })?;
    Ok(found.into_pyarray(py))
}

/// Rows (u32, rising) drawn without replacement in proportion to their weights.
#[pyfunction]
fn sample_weighted<'py>(
    py: Python<'py>,
    weights: PyReadonlyArray1<'py, f64>,
    n_obs: usize,
    seed: u64,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let weights = weights.as_slice()?;
    let found = run(py, None, None, |ctx| zensaibo_core::sketch::sample_weighted(weights, n_obs, seed, ctx))?;
    Ok(found.into_pyarray(py))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sketch_geometric, module)?)?;
    module.add_function(wrap_pyfunction!(leverage_scores, module)?)?;
    module.add_function(wrap_pyfunction!(sample_weighted, module)?)
}
