//! Bindings of the protein transforms.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray2};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::data::Csr;
use zensaibo_core::options::Options;
use zensaibo_core::protein::{ClrOptions, DsbOptions};

use crate::errors::to_python;
use crate::matrix::Matrix;

/// (values, columns, row pointers, shape), as scipy takes them.
pub(crate) fn csr_parts(
    py: Python<'_>,
    matrix: Csr,
) -> (Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>, (usize, usize)) {
    let indptr: Vec<i64> = matrix.indptr.iter().map(|&at| at as i64).collect();
    let indices: Vec<i32> = matrix.indices.iter().map(|&at| at as i32).collect();
    (
        matrix.values.into_pyarray(py).into_any(),
        indices.into_pyarray(py).into_any(),
        indptr.into_pyarray(py).into_any(),
        (matrix.n_rows, matrix.n_cols),
    )
}

type Parts<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, (usize, usize));

/// Centred log ratios as parts of a CSR matrix.
#[pyfunction]
#[pyo3(signature = (matrix, options, threads=None, progress=None))]
fn clr<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Parts<'py>> {
    let options = ClrOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let found = crate::run::run(py, threads, progress, |ctx| {
        zensaibo_core::protein::clr(parts.source()?.rows(), &options, ctx)
    })?;
    Ok(csr_parts(py, found))
}

/// Dict of values (cells x proteins), background_mean, background_sd, cell_background, technical.
#[pyfunction]
#[pyo3(signature = (cells, empty, isotypes, options, threads=None, progress=None))]
fn dsb<'py>(
    py: Python<'py>,
    cells: PyReadonlyArray2<'py, f64>,
    empty: PyReadonlyArray2<'py, f64>,
    isotypes: Vec<usize>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = DsbOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (n, n_proteins) = (cells.as_array().nrows(), cells.as_array().ncols());
    let (cells, empty) = (cells.as_slice()?, empty.as_slice()?);
    let found = crate::run::run(py, threads, progress, |ctx| {
        zensaibo_core::protein::dsb(cells, empty, n_proteins, &isotypes, &options, ctx)
    })?;
    let out = PyDict::new(py);
    out.set_item("values", found.values.into_pyarray(py).reshape([n, n_proteins])?)?;
    out.set_item("background_mean", found.background_mean.into_pyarray(py))?;
    out.set_item("background_sd", found.background_sd.into_pyarray(py))?;
    out.set_item("cell_background", found.cell_background.into_pyarray(py))?;
    out.set_item("technical", found.technical.into_pyarray(py))?;
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(clr, module)?)?;
    module.add_function(wrap_pyfunction!(dsb, module)?)
}
