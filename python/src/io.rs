//! Bindings of io.

use std::path::PathBuf;

use numpy::{IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::data::Csr;
use zensaibo_core::options::Options;
use zensaibo_io::{
    AnnDataFile, Column, SparseArray, Table, TenxFile, TenxOptions, Values, WriteOptions, convert, detect, inspect,
    read_array, read_folder, read_market, read_sparse,
};

use crate::errors::to_python;
use crate::run::run;

/// Numbers as a numpy array of their type.
fn numpy<'py>(py: Python<'py>, values: Values, shape: &[usize]) -> PyResult<Bound<'py, PyAny>> {
    macro_rules! array {
        ($v:expr) => {
            $v.into_pyarray(py).reshape(shape.to_vec())?.into_any()
        };
    }
    Ok(match values {
        Values::I8(v) => array!(v),
        Values::I16(v) => array!(v),
        Values::I32(v) => array!(v),
        Values::I64(v) => array!(v),
        Values::U8(v) => array!(v),
        Values::U16(v) => array!(v),
        Values::U32(v) => array!(v),
        Values::U64(v) => array!(v),
        Values::F32(v) => array!(v),
        Values::F64(v) => array!(v),
        Values::F16(v) => array!(v).call_method1("view", ("float16",))?,
        Values::Bool(v) => array!(v).call_method1("view", ("bool",))?,
    })
}

/// (format, shape, data, indices, indptr)
type SparseParts<'py> = (String, (usize, usize), Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

fn sparse_parts(py: Python<'_>, matrix: SparseArray) -> PyResult<SparseParts<'_>> {
    let SparseArray { layout, n_rows, n_cols, indptr, indices, values } = matrix;
    let (nnz, ends) = (values.len(), indptr.len());
    Ok((
        layout.name().to_string(),
        (n_rows, n_cols),
        numpy(py, values, &[nnz])?,
        numpy(py, indices, &[nnz])?,
        numpy(py, indptr, &[ends])?,
    ))
}

/// Our own rows as scipy wants them: 32-bit indices where they suffice.
fn csr_parts(py: Python<'_>, matrix: Csr) -> PyResult<SparseParts<'_>> {
    let Csr { n_rows, n_cols, indptr, indices, values } = matrix;
    let narrow = values.len() <= i32::MAX as usize && n_cols <= i32::MAX as usize;
    let (indices, indptr) = if narrow {
        // The same bits: all lie below 2^31.
        let signed = indices.into_pyarray(py).call_method1("view", ("int32",))?;
        (signed, indptr.iter().map(|&at| at as i32).collect::<Vec<_>>().into_pyarray(py).into_any())
    } else {
        let wide: Vec<i64> = indices.iter().map(|&column| i64::from(column)).collect();
        let ends: Vec<i64> = indptr.iter().map(|&at| at as i64).collect();
        (wide.into_pyarray(py).into_any(), ends.into_pyarray(py).into_any())
    };
    Ok(("csr".into(), (n_rows, n_cols), values.into_pyarray(py).into_any(), indices, indptr))
}

/// (index, [(name, values)])
pub(crate) type TableParts<'py> = (Vec<String>, Vec<(String, Bound<'py, PyAny>)>);

pub(crate) fn table_parts(py: Python<'_>, table: Table) -> PyResult<TableParts<'_>> {
    let columns = table
        .columns
        .into_iter()
        .map(|(name, column)| {
            let values = match column {
                Column::Numbers(values) => {
                    let n = values.len();
                    numpy(py, values, &[n])?
                }
                other => other.labels().into_pyobject(py)?.into_any(),
            };
            Ok((name, values))
        })
        .collect::<PyResult<_>>()?;
    Ok((table.index, columns))
}

/// The format of a file or folder, by its content.
#[pyfunction]
fn io_detect(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let format = run(py, Some(1), None, |_| detect(&path))?;
    Ok(serde_json::to_value(format).ok().and_then(|name| name.as_str().map(String::from)).unwrap_or_default())
}

/// What a file holds, as JSON.
#[pyfunction]
fn io_inspect(py: Python<'_>, path: PathBuf) -> PyResult<(String, String)> {
    let report = run(py, Some(1), None, |_| inspect(&path))?;
    Ok((serde_json::to_string(&report).unwrap_or_default(), report.to_string()))
}

/// Raises unless the file is an h5ad whose structure can be opened.
#[pyfunction]
fn io_check_h5ad(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    run(py, Some(1), None, |_| AnnDataFile::open(&path).map(|_| ()))
}

/// An array of numbers at `key`, in the type of the file.
#[pyfunction]
#[pyo3(signature = (path, key, threads=None, progress=None))]
fn io_read_array<'py>(
    py: Python<'py>,
    path: PathBuf,
    key: String,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (shape, values) = run(py, threads, progress, |ctx| read_array(&path, &key, ctx))?;
    numpy(py, values, &shape)
}

/// A sparse matrix at `key`, in the types of the file.
#[pyfunction]
#[pyo3(signature = (path, key, threads=None, progress=None))]
fn io_read_sparse<'py>(
    py: Python<'py>,
    path: PathBuf,
    key: String,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<SparseParts<'py>> {
    let matrix = run(py, threads, progress, |ctx| read_sparse(&path, &key, ctx))?;
    sparse_parts(py, matrix)
}

/// A 10x HDF5 file: its matrix and tables, before any feature is dropped, and which features the options keep.
#[pyfunction]
#[pyo3(signature = (path, options, threads=None, progress=None))]
fn io_read_10x_h5<'py>(
    py: Python<'py>,
    path: PathBuf,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = TenxOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (file, matrix) = run(py, threads, progress, |ctx| {
        let file = TenxFile::open(&path, &options)?;
        let matrix = file.sparse(ctx)?;
        Ok((file, matrix))
    })?;
    let out = PyDict::new(py);
    out.set_item("matrix", sparse_parts(py, matrix)?)?;
    out.set_item("kept", file.kept.clone().into_pyarray(py))?;
    out.set_item("obs", table_parts(py, file.obs)?)?;
    out.set_item("var", table_parts(py, file.var)?)?;
    Ok(out)
}

/// A 10x folder: its matrix and tables.
#[pyfunction]
#[pyo3(signature = (path, options, threads=None, progress=None))]
fn io_read_10x_mtx<'py>(
    py: Python<'py>,
    path: PathBuf,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = TenxOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let counts = run(py, threads, progress, |ctx| read_folder(&path, &options, ctx))?;
    let out = PyDict::new(py);
    out.set_item("matrix", csr_parts(py, counts.matrix)?)?;
    out.set_item("obs", table_parts(py, counts.obs)?)?;
    out.set_item("var", table_parts(py, counts.var)?)?;
    Ok(out)
}

/// A Matrix Market file.
#[pyfunction]
#[pyo3(signature = (path, threads=None, progress=None))]
fn io_read_mtx(
    py: Python<'_>,
    path: PathBuf,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<SparseParts<'_>> {
    let matrix = run(py, threads, progress, |ctx| read_market(&path, false, ctx))?;
    csr_parts(py, matrix)
}

/// Any readable file to h5ad.
#[pyfunction]
#[pyo3(signature = (input, output, options, gzip=None, threads=None, progress=None))]
fn io_convert(
    py: Python<'_>,
    input: PathBuf,
    output: PathBuf,
    options: &str,
    gzip: Option<u8>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<()> {
    let options = TenxOptions::from_json(options).map_err(|error| to_python(py, error))?;
    run(py, threads, progress, |ctx| convert(&input, &output, &options, &WriteOptions { gzip }, ctx))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(io_detect, module)?)?;
    module.add_function(wrap_pyfunction!(io_inspect, module)?)?;
    module.add_function(wrap_pyfunction!(io_check_h5ad, module)?)?;
    module.add_function(wrap_pyfunction!(io_read_array, module)?)?;
    module.add_function(wrap_pyfunction!(io_read_sparse, module)?)?;
    module.add_function(wrap_pyfunction!(io_read_10x_h5, module)?)?;
    module.add_function(wrap_pyfunction!(io_read_10x_mtx, module)?)?;
    module.add_function(wrap_pyfunction!(io_read_mtx, module)?)?;
    module.add_function(wrap_pyfunction!(io_convert, module)?)
}
