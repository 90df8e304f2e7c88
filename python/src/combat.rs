//! Binding of ComBat.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::combat::{CombatInput, CombatOptions, combat_into};
use zensaibo_core::options::Options;

use crate::matrix::Matrix;
use crate::run::run;

/// Corrected matrix (cells x genes, f32), effects (batches x genes), and the number of genes that do not vary.
#[pyfunction]
#[pyo3(signature = (matrix, batches, covariates, options_json, threads=None, progress=None))]
fn combat<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    batches: PyReadonlyArray1<'py, u32>,
    covariates: Vec<PyReadonlyArray1<'py, f64>>,
    options_json: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = CombatOptions::from_json(options_json).map_err(|error| crate::errors::to_python(py, error))?;
    let matrix = Matrix::new(matrix, "matrix")?;
    let (n, g) = matrix.shape();
    let parts = matrix.parts()?;
    let batches = batches.as_slice()?;
    let columns = covariates.iter().map(|column| column.as_slice()).collect::<Result<Vec<_>, _>>()?;
    let (values, found) = run(py, threads, progress, |ctx| {
        let input = CombatInput { batches, covariates: &columns };
        let mut values = vec![0f32; n * g];
        let found = combat_into(parts.source()?.rows(), input, &options, &mut values, ctx)?;
        Ok((values, found))
    })?;
    let out = PyDict::new(py);
    let n_batches = found.gamma.len() / g.max(1);
    out.set_item("corrected", values.into_pyarray(py).reshape([n, g])?)?;
    out.set_item("gamma", found.gamma.into_pyarray(py).reshape([n_batches, g])?)?;
    out.set_item("delta", found.delta.into_pyarray(py).reshape([n_batches, g])?)?;
    out.set_item("n_constant", found.n_constant)?;
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(combat, module)?)
}
