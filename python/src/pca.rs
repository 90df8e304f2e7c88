//! Binding of principal component analysis.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::matrix::Lazy;
use zensaibo_core::options::Options;
use zensaibo_core::pca::PcaOptions;

use crate::errors::to_python;
use crate::matrix::Matrix;
use crate::run::run;

/// Principal components: dict of scores (n x k, f32), components (k x g, f64), variance, variance_ratio, mean,
/// solver. `mask`, one bool per gene, restricts to the genes where it is true.
#[pyfunction]
#[pyo3(signature = (matrix, mask, options, threads=None, progress=None))]
fn pca<'py>(
    py: Python<'py>,
    matrix: &Bound<'py, PyAny>,
    mask: Option<PyReadonlyArray1<'py, bool>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = PcaOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let matrix = Matrix::new(matrix, "X")?;
    let parts = matrix.parts()?;
    let mask = mask.map(|mask| mask.as_slice().map(<[bool]>::to_vec)).transpose()?;
    let found = run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        match &mask {
            None => zensaibo_core::pca::pca(source.rows(), &options, ctx),
            Some(mask) => {
                let selected = Lazy::new(source.rows()).select_columns(mask)?;
                zensaibo_core::pca::pca(&selected, &options, ctx)
            }
        }
    })?;
    let result = PyDict::new(py);
    let k = found.n_comps;
    result.set_item("scores", PyArray1::from_vec(py, found.scores).reshape([found.n_rows, k])?)?;
    let components: Bound<'py, PyArray2<f64>> = PyArray1::from_vec(py, found.components).reshape([k, found.n_cols])?;
    result.set_item("components", components)?;
    result.set_item("variance", PyArray1::from_vec(py, found.variance))?;
    result.set_item("variance_ratio", PyArray1::from_vec(py, found.variance_ratio))?;
    result.set_item("mean", PyArray1::from_vec(py, found.mean))?;
    result.set_item("solver", format!("{:?}", found.solver).to_lowercase())?;
    Ok(result)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pca, module)?)
}
