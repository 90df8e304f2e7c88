//! The recipe on several files taken as one.

use std::path::PathBuf;

use pyo3::prelude::*;
use zensaibo_cli::recipe::{Extras, Resources, cluster_counts, open_several};

use crate::recipe::{config_of, told};
use crate::run::run;

/// Runs the recipe on several files. Returns the summary as JSON and as text.
#[pyfunction]
#[pyo3(signature = (inputs, join, output, toml, report=None, memory=None, scratch=None, threads=None, progress=None))]
fn recipe_files(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    join: String,
    output: PathBuf,
    toml: &str,
    report: Option<PathBuf>,
    memory: Option<u64>,
    scratch: Option<PathBuf>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, String)> {
    let config = config_of(py, toml)?;
    run(py, threads, progress, |ctx| {
        let input = open_several(&inputs, join.parse()?, &config, memory.is_some(), ctx)?;
        let extras = Extras { report: report.as_deref(), time: None };
        let resources = Resources { memory, scratch: scratch.as_deref(), checkpoints: None };
        told(cluster_counts(input, &output, &config, extras, resources, &(), ctx))
    })
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(recipe_files, module)?)
}
