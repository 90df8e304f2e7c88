//! Bindings of scaling and of gene scores.

use numpy::{IntoPyArray, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadwriteArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::scale::{
    ColumnScale, Real, ScaleOptions, column_scale, scale_dense_in_place, scale_into, scale_rows_in_place,
};
use zensaibo_core::score::{self, Adding};

use crate::matrix::{Held, Matrix};
use crate::run::run;

type Callback = Option<Py<PyAny>>;
type Mask<'py> = Option<PyReadonlyArray1<'py, bool>>;

fn options(py: Python<'_>, json: &str) -> PyResult<ScaleOptions> {
    ScaleOptions::from_json(json).map_err(|error| crate::errors::to_python(py, error))
}

fn writeable<'py, T: numpy::Element>(object: &Bound<'py, PyAny>) -> Option<PyReadwriteArrayDyn<'py, T>> {
    let array = object.cast::<PyArrayDyn<T>>().ok()?;
    array.is_c_contiguous().then(|| array.try_readwrite().ok()).flatten()
}

fn refused(name: &str) -> PyErr {
    PyTypeError::new_err(format!("`{name}`: expected a writeable C-contiguous numpy array of float32 or float64"))
}

/// Mean and standard deviation per gene over the cells of the mask.
#[pyfunction]
#[pyo3(signature = (matrix, mask=None, threads=None, progress=None))]
fn scale_statistics<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    mask: Mask<'py>,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let found = run(py, threads, progress, |ctx| column_scale(parts.source()?.rows(), mask, ctx))?;
    Ok((found.mean.into_pyarray(py).into_any(), found.std.into_pyarray(py).into_any()))
}

fn dense<T: Real + numpy::Element>(
    py: Python<'_>,
    mut data: PyReadwriteArrayDyn<'_, T>,
    scale: &ColumnScale,
    mask: Option<&[bool]>,
    options: &ScaleOptions,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<()> {
    let n_rows = data.shape().first().copied().unwrap_or(0);
    let values = data.as_slice_mut()?;
    run(py, threads, progress, |ctx| scale_dense_in_place(values, n_rows, scale, mask, options, ctx))
}

fn rows<T: Real + numpy::Element>(
    py: Python<'_>,
    indptr: &[u64],
    indices: &Held<'_>,
    mut data: PyReadwriteArrayDyn<'_, T>,
    scale: &ColumnScale,
    mask: Option<&[bool]>,
    options: &ScaleOptions,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<()> {
    let values = data.as_slice_mut()?;
    match indices {
        Held::I32(array) => {
            let indices = array.as_slice()?;
            run(py, threads, progress, |ctx| scale_rows_in_place(indptr, indices, values, scale, mask, options, ctx))
        }
        Held::I64(array) => {
            let indices = array.as_slice()?;
            run(py, threads, progress, |ctx| scale_rows_in_place(indptr, indices, values, scale, mask, options, ctx))
        }
        _ => Err(PyTypeError::new_err("`indices`: expected int32 or int64")),
    }
}

/// Scales a dense matrix, or (with `indptr` and `indices`) the values of sparse rows, in place.
#[pyfunction]
#[pyo3(signature = (data, mean, std, options_json, mask=None, indptr=None, indices=None, threads=None, progress=None))]
fn scale_in_place<'py>(
    py: Python<'py>,
    data: &Bound<'py, PyAny>,
    mean: PyReadonlyArray1<'py, f64>,
    std: PyReadonlyArray1<'py, f64>,
    options_json: &str,
    mask: Mask<'py>,
    indptr: Option<Bound<'py, PyAny>>,
    indices: Option<Bound<'py, PyAny>>,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<()> {
    let settings = options(py, options_json)?;
    let scale = ColumnScale { mean: mean.as_slice()?.to_vec(), std: std.as_slice()?.to_vec() };
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let (Some(indptr), Some(indices)) = (indptr, indices) else {
        if let Some(array) = writeable::<f32>(data) {
            return dense(py, array, &scale, mask, &settings, threads, progress);
        }
        if let Some(array) = writeable::<f64>(data) {
            return dense(py, array, &scale, mask, &settings, threads, progress);
        }
        return Err(refused("data"));
    };
    let pointers: Vec<u64> = match Held::new(&indptr, "indptr")? {
        Held::I32(array) => array.as_slice()?.iter().map(|&at| at as u64).collect(),
        Held::I64(array) => array.as_slice()?.iter().map(|&at| at as u64).collect(),
        _ => return Err(PyTypeError::new_err("`indptr`: expected int32 or int64")),
    };
    let indices = Held::new(&indices, "indices")?;
    if let Some(array) = writeable::<f32>(data) {
        return rows(py, &pointers, &indices, array, &scale, mask, &settings, threads, progress);
    }
    if let Some(array) = writeable::<f64>(data) {
        return rows(py, &pointers, &indices, array, &scale, mask, &settings, threads, progress);
    }
    Err(refused("data"))
}

/// Writes the scaled matrix into `out`, dense float32.
#[pyfunction]
#[pyo3(signature = (matrix, mean, std, options_json, out, mask=None, threads=None, progress=None))]
fn scale_to_dense<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    mean: PyReadonlyArray1<'py, f64>,
    std: PyReadonlyArray1<'py, f64>,
    options_json: &str,
    out: &Bound<'py, PyAny>,
    mask: Mask<'py>,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<()> {
    let settings = options(py, options_json)?;
    let scale = ColumnScale { mean: mean.as_slice()?.to_vec(), std: std.as_slice()?.to_vec() };
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let mut out = writeable::<f32>(out).ok_or_else(|| refused("out"))?;
    let out = out.as_slice_mut()?;
    run(py, threads, progress, |ctx| scale_into(parts.source()?.rows(), &scale, mask, &settings, out, ctx))
}

/// Mean of each gene set in each cell, cells x sets.
#[pyfunction]
#[pyo3(signature = (matrix, sets, threads=None, progress=None))]
fn gene_set_means<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    sets: Vec<PyReadonlyArray1<'py, bool>>,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<Bound<'py, PyAny>> {
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let sets = sets.iter().map(|set| set.as_slice().map(<[bool]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
    let found = run(py, threads, progress, |ctx| score::set_means(parts.source()?.rows(), &sets, ctx))?;
    Ok(found.into_pyarray(py).reshape([matrix.shape().0, sets.len()])?.into_any())
}

/// Sum of each gene, added up cell by cell in single or `double` precision, or each cell times its weight in double precision; and how
/// many of its values are NaN and left out.
#[pyfunction]
#[pyo3(signature = (matrix, double, weights=None, threads=None, progress=None))]
fn gene_totals<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    double: bool,
    weights: Option<PyReadonlyArray1<'py, f64>>,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let weights = weights.as_ref().map(|weights| weights.as_slice()).transpose()?;
    let adding = match weights {
        Some(weights) => Adding::Weighted(weights),
        None if double => Adding::Double,
        None => Adding::Single,
    };
    let found = run(py, threads, progress, |ctx| score::gene_totals(parts.source()?.rows(), adding, ctx))?;
    Ok((found.sums.into_pyarray(py).into_any(), found.missing.into_pyarray(py).into_any()))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(scale_statistics, module)?)?;
    module.add_function(wrap_pyfunction!(scale_in_place, module)?)?;
    module.add_function(wrap_pyfunction!(scale_to_dense, module)?)?;
    module.add_function(wrap_pyfunction!(gene_totals, module)?)?;
    module.add_function(wrap_pyfunction!(gene_set_means, module)?)
}
