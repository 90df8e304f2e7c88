//! Bindings of `zensaibo_imaging::filters`.

use pyo3::prelude::*;
use zensaibo_core::Result;
use zensaibo_core::options::Options;
use zensaibo_imaging::filters::{Gaussian, GaussianOptions, LocalFilter, filter_volume};
use zensaibo_imaging::space::Spacing;

use crate::errors::to_python;
use crate::run::run;
use crate::volume::{Output, PyVolume, dtype_of};

/// The filter that options of a name describe.
fn filter_of(name: &str, options: &str, spacing: Spacing) -> Result<Box<dyn LocalFilter>> {
    Ok(match name {
        "gaussian" => Box::new(Gaussian::new(&GaussianOptions::from_json(options)?, spacing)?),
        _ => return Err(zensaibo_core::Error::Internal(format!("no filter {name}"))),
    })
}

/// A volume through a local filter, as a flat numpy array of `dtype`.
#[pyfunction]
#[pyo3(signature = (volume, name, options, spacing, dtype, memory=None, threads=None, progress=None))]
fn im_filter(
    py: Python<'_>,
    volume: &PyVolume,
    name: &str,
    options: &str,
    spacing: [f64; 3],
    dtype: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let made = Spacing::new(spacing).and_then(|spacing| filter_of(name, options, spacing));
    let filter = made.map_err(|error| to_python(py, error))?;
    let mut info = volume.source.info().clone();
    info.dtype = dtype_of(dtype).map_err(|error| to_python(py, error))?;
    info.chunk = [1; 3];
    let output = Output::new(info);
    let source = volume.source.clone();
    run(py, threads, progress, |ctx| filter_volume(&source, filter.as_ref(), output.sink(), memory, ctx))?;
    output.into_numpy(py)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_filter, module)?)
}
