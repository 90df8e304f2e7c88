//! Bindings of quality control, filters, normalisation and logarithm.

use numpy::{
    IntoPyArray, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadwriteArray1, PyReadwriteArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::normalize::{Float, NormalizeTotalOptions, divide_rows_in_place, log1p_in_place};
use zensaibo_core::options::Options;
use zensaibo_core::qc::{FilterCellsOptions, FilterGenesOptions, Filtered, QcOptions};

use crate::matrix::{Held, Matrix};
use crate::run::run;

type Callback = Option<Py<PyAny>>;

fn options<T: Options>(py: Python<'_>, json: &str) -> PyResult<T> {
    T::from_json(json).map_err(|error| crate::errors::to_python(py, error))
}

/// Metrics per cell and gene; see `zensaibo.arrays.qc_metrics`.
#[pyfunction]
#[pyo3(signature = (matrix, gene_masks, options_json, threads=None, progress=None))]
fn qc_metrics<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    gene_masks: Vec<PyReadonlyArray1<'py, bool>>,
    options_json: &str,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<Bound<'py, PyDict>> {
    let settings: QcOptions = options(py, options_json)?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let masks = gene_masks.iter().map(|mask| mask.as_slice()).collect::<Result<Vec<&[bool]>, _>>()?;
    let found = run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        zensaibo_core::qc::qc_metrics(source.rows(), &masks, &settings, ctx)
    })?;
    let out = PyDict::new(py);
    out.set_item("percent_dropout", found.percent_dropout().into_pyarray(py))?;
    out.set_item("gene_means", found.genes.means().into_pyarray(py))?;
    out.set_item("gene_totals", found.genes.sum.into_pyarray(py))?;
    let n_cells: Vec<i64> = found.genes.non_zeros.iter().map(|&count| count as i64).collect();
    out.set_item("n_cells", n_cells.into_pyarray(py))?;
    let n_genes: Vec<i64> = found.cells.n_genes.iter().map(|&count| i64::from(count)).collect();
    out.set_item("n_genes", n_genes.into_pyarray(py))?;
    out.set_item("totals", found.cells.total.into_pyarray(py))?;
    let arrays = |columns: Vec<Vec<f64>>| columns.into_iter().map(|column| column.into_pyarray(py)).collect::<Vec<_>>();
    out.set_item("percent_top", arrays(found.cells.percent_top))?;
    out.set_item("subset_totals", arrays(found.cells.subset_total))?;
    Ok(out)
}

/// Raises unless the matrix holds raw counts.
#[pyfunction]
#[pyo3(signature = (matrix, threads=None, progress=None))]
fn check_counts(py: Python<'_>, matrix: &Bound<'_, PyAny>, threads: Option<usize>, progress: Callback) -> PyResult<()> {
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    run(py, threads, progress, |ctx| zensaibo_core::qc::check_counts(parts.source()?.rows(), ctx))
}

type FilterResult<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

fn filtered(py: Python<'_>, found: Filtered) -> FilterResult<'_> {
    (found.keep.into_pyarray(py).into_any(), found.number.into_pyarray(py).into_any())
}

/// (kept, number compared) per cell.
#[pyfunction]
#[pyo3(signature = (matrix, options_json, threads=None, progress=None))]
fn filter_cells<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options_json: &str,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<FilterResult<'py>> {
    let settings: FilterCellsOptions = options(py, options_json)?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let found =
        run(py, threads, progress, |ctx| zensaibo_core::qc::filter_cells(parts.source()?.rows(), &settings, ctx))?;
    Ok(filtered(py, found))
}

/// (kept, number compared) per gene.
#[pyfunction]
#[pyo3(signature = (matrix, options_json, threads=None, progress=None))]
fn filter_genes<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options_json: &str,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<FilterResult<'py>> {
    let settings: FilterGenesOptions = options(py, options_json)?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let found =
        run(py, threads, progress, |ctx| zensaibo_core::qc::filter_genes(parts.source()?.rows(), &settings, ctx))?;
    Ok(filtered(py, found))
}

/// A numpy array held for writing.
fn writeable<'py, T: numpy::Element>(object: &Bound<'py, PyAny>) -> Option<PyReadwriteArrayDyn<'py, T>> {
    let array = object.cast::<PyArrayDyn<T>>().ok()?;
    array.is_c_contiguous().then(|| array.try_readwrite().ok()).flatten()
}

fn refused(name: &str, expected: &str) -> PyErr {
    PyTypeError::new_err(format!("`{name}`: expected a writeable C-contiguous numpy array of {expected}"))
}

/// Drops rows and columns of a CSR matrix inside its arrays; the number of values left comes back.
/// `data` comes as unsigned integers of the width of its values. `done[0]` becomes 1 once the arrays are changed,
/// also when the call then raises because of Ctrl-C.
#[pyfunction]
#[pyo3(signature = (indptr, indices, data, row_mask, column_mask, done, threads=None))]
fn compact_csr<'py>(
    py: Python<'py>,
    indptr: &Bound<'py, PyAny>,
    indices: &Bound<'py, PyAny>,
    data: &Bound<'py, PyAny>,
    row_mask: Option<PyReadonlyArray1<'py, bool>>,
    column_mask: Option<PyReadonlyArray1<'py, bool>>,
    mut done: PyReadwriteArray1<'py, u8>,
    threads: Option<usize>,
) -> PyResult<usize> {
    let done = done.as_slice_mut()?.first_mut().ok_or_else(|| refused("done", "one uint8"))?;
    let rows = row_mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let columns = column_mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    macro_rules! attempt {
        ($($index:ty, $value:ty);*) => {
            $(if let (Some(mut pointers), Some(mut indices), Some(mut values)) =
                (writeable::<$index>(indptr), writeable::<$index>(indices), writeable::<$value>(data))
            {
                let (pointers, indices, values) =
                    (pointers.as_slice_mut()?, indices.as_slice_mut()?, values.as_slice_mut()?);
                // Not to be interrupted halfway: the job never looks whether it should stop.
                return run(py, threads, None, |_| {
                    let stored = zensaibo_core::qc::compact_parts(pointers, indices, values, rows, columns)?;
                    *done = 1;
                    Ok(stored)
                });
            })*
        };
    }
    attempt!(i32, u8; i32, u16; i32, u32; i32, u64; i64, u8; i64, u16; i64, u32; i64, u64);
    Err(refused("indptr, indices, data", "int32 or int64 (both alike), and uint8, uint16, uint32 or uint64"))
}

/// Totals, factors and target of total-count normalisation.
#[pyfunction]
#[pyo3(signature = (matrix, options_json, threads=None, progress=None))]
fn size_factors<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options_json: &str,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<Bound<'py, PyDict>> {
    let settings: NormalizeTotalOptions = options(py, options_json)?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let parts = matrix.parts()?;
    let found = run(py, threads, progress, |ctx| {
        zensaibo_core::normalize::size_factors(parts.source()?.rows(), &settings, ctx)
    })?;
    let out = PyDict::new(py);
    out.set_item("divisors", found.divisors().into_pyarray(py))?;
    out.set_item("totals", found.totals.into_pyarray(py))?;
    out.set_item("factors", found.factors.into_pyarray(py))?;
    out.set_item("target_sum", found.target)?;
    out.set_item("excluded", found.excluded.into_pyarray(py))?;
    out.set_item("n_empty", found.n_empty)?;
    Ok(out)
}

fn divide<T: Float + numpy::Element>(
    py: Python<'_>,
    indptr: &[u64],
    mut data: PyReadwriteArrayDyn<'_, T>,
    divisors: &[f64],
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<()> {
    let values = data.as_slice_mut()?;
    run(py, threads, progress, |ctx| divide_rows_in_place(indptr, values, divisors, ctx))
}

/// Divides the rows of CSR values, or of a dense matrix (`indptr` none), in place.
#[pyfunction]
#[pyo3(signature = (indptr, data, divisors, threads=None, progress=None))]
fn divide_rows<'py>(
    py: Python<'py>,
    indptr: Option<Bound<'py, PyAny>>,
    data: &Bound<'py, PyAny>,
    divisors: PyReadonlyArray1<'py, f64>,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<()> {
    let divisors = divisors.as_slice()?;
    let pointers: Vec<u64> = match indptr {
        Some(indptr) => match Held::new(&indptr, "indptr")? {
            Held::I32(array) => array.as_slice()?.iter().map(|&at| at as u64).collect(),
            Held::I64(array) => array.as_slice()?.iter().map(|&at| at as u64).collect(),
            _ => return Err(PyTypeError::new_err("`indptr`: expected int32 or int64")),
        },
        None => {
            let width = data.getattr("shape")?.extract::<(usize, usize)>()?.1 as u64;
            (0..=divisors.len() as u64).map(|row| row * width).collect()
        }
    };
    if let Some(array) = writeable::<f32>(data) {
        return divide(py, &pointers, array, divisors, threads, progress);
    }
    if let Some(array) = writeable::<f64>(data) {
        return divide(py, &pointers, array, divisors, threads, progress);
    }
    Err(refused("data", "float32 or float64"))
}

/// ln(1 + x) in place.
#[pyfunction]
#[pyo3(signature = (data, base=None, threads=None, progress=None))]
fn log1p(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    base: Option<f64>,
    threads: Option<usize>,
    progress: Callback,
) -> PyResult<()> {
    if let Some(mut array) = writeable::<f32>(data) {
        let values = array.as_slice_mut()?;
        return run(py, threads, progress, |ctx| log1p_in_place(values, base, ctx));
    }
    if let Some(mut array) = writeable::<f64>(data) {
        let values = array.as_slice_mut()?;
        return run(py, threads, progress, |ctx| log1p_in_place(values, base, ctx));
    }
    Err(refused("data", "float32 or float64"))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(qc_metrics, module)?)?;
    module.add_function(wrap_pyfunction!(check_counts, module)?)?;
    module.add_function(wrap_pyfunction!(filter_cells, module)?)?;
    module.add_function(wrap_pyfunction!(filter_genes, module)?)?;
    module.add_function(wrap_pyfunction!(compact_csr, module)?)?;
    module.add_function(wrap_pyfunction!(size_factors, module)?)?;
    module.add_function(wrap_pyfunction!(divide_rows, module)?)?;
    module.add_function(wrap_pyfunction!(log1p, module)?)
}
