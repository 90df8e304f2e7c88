//! Bindings of the flat tables of `zensaibo_io`: Parquet and CSV.

use std::path::PathBuf;

use pyo3::prelude::*;
use zensaibo_io::{Column, Columns, Table, read_columns, write_columns};

use crate::io::{TableParts, table_parts};
use crate::recipe::table;
use crate::run::run;

/// Writes a table, as `zensaibo.pp._recipe` hands tables over, with what is said of it.
#[pyfunction]
fn columns_write(
    py: Python<'_>,
    path: PathBuf,
    rows: &Bound<'_, PyAny>,
    metadata: Vec<(String, String)>,
) -> PyResult<()> {
    let table = Columns { columns: table(rows)?.columns, metadata };
    run(py, Some(1), None, |_| write_columns(&path, &table))
}

/// Columns as names and arrays (or lists of texts), and what is said of them. Gaps among numbers are NaN.
#[pyfunction]
fn columns_read<'py>(py: Python<'py>, path: PathBuf) -> PyResult<(TableParts<'py>, Vec<(String, String)>)> {
    let found = run(py, Some(1), None, |_| read_columns(&path))?;
    let columns = found.columns.into_iter().map(|(name, column)| (name, filled(column))).collect();
    let parts = table_parts(py, Table { index_name: None, index: Vec::new(), columns })?;
    Ok((parts, found.metadata))
}

/// Numbers with gaps as f64 with NaN.
fn filled(column: Column) -> Column {
    match column {
        Column::Optional { values, missing } => {
            let all = values.to_f64();
            let filled: Vec<f64> =
                all.into_iter().zip(missing).map(|(value, gone)| if gone { f64::NAN } else { value }).collect();
            Column::Numbers(filled.into())
        }
        other => other,
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(columns_write, module)?)?;
    module.add_function(wrap_pyfunction!(columns_read, module)?)
}
