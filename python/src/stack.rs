//! Writing matrices out of parts of others, on disk.

use std::path::PathBuf;

use pyo3::prelude::*;
use zensaibo_core::{Error, Result};
use zensaibo_io::{AnnDataFile, AnnDataWriter, MatrixFile, Stack, StackLayout, StackPart, WriteOptions, dtype_named};

use crate::run::run;

/// (file, or none for lines of the fill value; key; lines; which are kept; new places in the line, -1 for those left out)
type Part = (Option<PathBuf>, String, usize, Option<Vec<bool>>, Option<Vec<i64>>);

/// (key, layout, length of the lines, type, parts)
type Matrix = (String, String, usize, String, Vec<Part>);

fn stack(layout: &str, width: usize, dtype: &str, parts: &[Part]) -> Result<Stack> {
    let layout = match layout {
        "csr" => StackLayout::Csr,
        "csc" => StackLayout::Csc,
        "dense" => StackLayout::Dense(f64::NAN),
        other => return Err(Error::Internal(format!("a matrix laid out as {other}"))),
    };
    let dtype = dtype_named(dtype).ok_or_else(|| Error::Internal(format!("values of type {dtype}")))?;
    let parts = parts
        .iter()
        .map(|(path, key, n_lines, lines, places)| {
            let source = path.as_ref().map(|path| MatrixFile::open(path, key)).transpose()?;
            let new = |&place: &i64| u32::try_from(place).unwrap_or(u32::MAX);
            let places = places.as_ref().map(|places| places.iter().map(new).collect());
            Ok(StackPart { source, n_lines: *n_lines, lines: lines.clone(), places })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Stack { layout, width, dtype, parts })
}

/// Writes an h5ad: everything that the h5ad `tables` holds, and matrices made of parts of others.
#[pyfunction]
#[pyo3(signature = (tables, out, matrices, gzip=None, threads=None, progress=None))]
fn io_write_stacked(
    py: Python<'_>,
    tables: PathBuf,
    out: PathBuf,
    matrices: Vec<Matrix>,
    gzip: Option<u8>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<()> {
    run(py, threads, progress, |ctx| {
        let mut writer = AnnDataWriter::create(&out, &WriteOptions { gzip })?;
        writer.copy_from(&AnnDataFile::open(&tables)?, &[], ctx)?;
        for (key, layout, width, dtype, parts) in &matrices {
            writer.stack(key, &stack(layout, *width, dtype, parts)?, ctx)?;
        }
        writer.finish()
    })
}

/// Shape, type and layout ("csr", "csc", "dense") of a matrix in a file.
#[pyfunction]
fn io_describe_matrix(
    py: Python<'_>,
    path: PathBuf,
    key: &str,
) -> PyResult<((usize, usize), &'static str, &'static str)> {
    let (shape, dtype, layout) = run(py, Some(1), None, |_| MatrixFile::open(&path, key)?.describe())?;
    Ok((shape, dtype.name(), layout.name()))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(io_describe_matrix, module)?)?;
    module.add_function(wrap_pyfunction!(io_write_stacked, module)?)
}
