//! Binding of weighted nearest neighbours.

use numpy::{IntoPyArray, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use zensaibo_core::options::Options;
use zensaibo_core::wnn::{Modality, WnnOptions};

use crate::errors::to_python;

/// (indices, n x k, u32; distances, n x k, f32; weights, n x modalities, f64).
#[pyfunction]
#[pyo3(signature = (modalities, options, threads=None, progress=None))]
fn wnn<'py>(
    py: Python<'py>,
    modalities: Vec<PyReadonlyArray2<'py, f32>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let options = WnnOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let mut lent = Vec::with_capacity(modalities.len());
    for modality in &modalities {
        lent.push(Modality { values: modality.as_slice()?, d: modality.shape()[1] });
    }
    let n_modalities = lent.len();
    let found = crate::run::run(py, threads, progress, |ctx| zensaibo_core::wnn::wnn(&lent, &options, ctx))?;
    let (n, k) = (found.neighbors.n, found.neighbors.k);
    Ok((
        found.neighbors.indices.into_pyarray(py).reshape([n, k])?.into_any(),
        found.neighbors.distances.into_pyarray(py).reshape([n, k])?.into_any(),
        found.weights.into_pyarray(py).reshape([n, n_modalities])?.into_any(),
    ))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(wnn, module)?)
}
