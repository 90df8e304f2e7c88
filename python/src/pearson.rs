//! Binding of Pearson residuals.

use numpy::{IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::DataFault;
use zensaibo_core::options::Options;
use zensaibo_core::pearson::{PearsonOptions, pearson_residuals_into};

use crate::matrix::Matrix;
use crate::run::run;

/// Residuals (cells x genes, f32), totals of cells and genes, and whether values other than counts were seen.
#[pyfunction]
#[pyo3(signature = (matrix, options_json, threads=None, progress=None))]
fn pearson_residuals<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    options_json: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = PearsonOptions::from_json(options_json).map_err(|error| crate::errors::to_python(py, error))?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let (n, g) = matrix.shape();
    let parts = matrix.parts()?;
    let (values, margins) = run(py, threads, progress, |ctx| {
        let mut values = vec![0f32; n * g];
        let margins = pearson_residuals_into(parts.source()?.rows(), &options, &mut values, ctx)?;
        Ok((values, margins))
    })?;
    let out = PyDict::new(py);
    out.set_item("residuals", values.into_pyarray(py).reshape([n, g])?)?;
    out.set_item("cell_totals", margins.cells.into_pyarray(py))?;
    out.set_item("gene_totals", margins.genes.into_pyarray(py))?;
    out.set_item("not_counts", margins.not_counts.is_some_and(|fault| fault.fault == DataFault::NotCounts))?;
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pearson_residuals, module)?)
}
