//! Bindings of the recipes, and the command line as the wheel's console script runs it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use numpy::PyUntypedArray;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use zensaibo_cli::recipe::{
    About, Blocks, CellsConfig, CellsFiles, ClusterConfig, ClusterSummary, CountConfig, CountFiles, DetectConfig,
    DetectFiles, Extras, Input, Inputs, Origin, Resources, SegmentConfig, SegmentFiles, cells, cluster, cluster_counts,
    cluster_merge, cluster_part, cluster_steps, count_merge, count_part, count_steps, detect_merge, detect_part,
    detect_steps, segment_merge, segment_part, segment_steps,
};
use zensaibo_core::matrix::Lazy;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};
use zensaibo_io::{Column, Table, Values};

use crate::errors::to_python;
use crate::matrix::{Held, Matrix};
use crate::run;

/// Reads the options.
pub(crate) fn config_of(py: Python<'_>, toml: &str) -> PyResult<ClusterConfig> {
    ClusterConfig::from_toml(toml, &[]).map_err(|error| to_python(py, error))
}

/// The summary as JSON (for programs) and as text (for people).
pub(crate) fn told(summary: Result<ClusterSummary>) -> Result<(String, String)> {
    let summary = summary?;
    let json = serde_json::to_string(&summary).map_err(|error| Error::Internal(error.to_string()))?;
    Ok((json, summary.text()))
}

/// Runs the recipe on a file, or on several taken as one. Returns the summary as JSON and as text.
#[pyfunction]
#[pyo3(signature = (inputs, join, output, toml, report=None, memory=None, scratch=None, checkpoints=None, threads=None, progress=None))]
fn recipe_files(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    join: &str,
    output: PathBuf,
    toml: String,
    report: Option<PathBuf>,
    memory: Option<u64>,
    scratch: Option<PathBuf>,
    checkpoints: Option<PathBuf>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, String)> {
    let config = config_of(py, &toml)?;
    run::run(py, threads, progress, |ctx| {
        let inputs = Inputs { paths: &inputs, join: join.parse()? };
        let extras = Extras { report: report.as_deref(), time: None };
        let resources = Resources { memory, scratch: scratch.as_deref(), checkpoints: checkpoints.as_deref() };
        told(cluster(inputs, &output, &config, extras, resources, &(), ctx))
    })
}

/// The steps of the recipe that can be shared out, in order.
#[pyfunction]
fn recipe_steps(py: Python<'_>, toml: &str) -> PyResult<Vec<String>> {
    cluster_steps(&config_of(py, toml)?).map_err(|error| to_python(py, error))
}

/// Computes one part (from 1) of one step of the recipe and leaves it in a folder.
#[pyfunction]
#[pyo3(signature = (inputs, join, work, toml, step, part, of, threads=None, progress=None))]
fn recipe_part(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    join: &str,
    work: PathBuf,
    toml: &str,
    step: String,
    part: usize,
    of: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<()> {
    let config = config_of(py, toml)?;
    let blocks = Blocks { part, of };
    run::run(py, threads, progress, |ctx| {
        let inputs = Inputs { paths: &inputs, join: join.parse()? };
        cluster_part(inputs, &work, &step, blocks, &config, &(), ctx)
    })
}

/// Merges the parts of the recipe up to a step, or to the output. Returns the summary as JSON and as text, for the output.
#[pyfunction]
#[pyo3(signature = (inputs, join, work, toml, until=None, output=None, report=None, memory=None, threads=None, progress=None))]
fn recipe_merge(
    py: Python<'_>,
    inputs: Vec<PathBuf>,
    join: &str,
    work: PathBuf,
    toml: &str,
    until: Option<String>,
    output: Option<PathBuf>,
    report: Option<PathBuf>,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Option<(String, String)>> {
    let config = config_of(py, toml)?;
    run::run(py, threads, progress, |ctx| {
        let extras = Extras { report: report.as_deref(), time: None };
        let resources = Resources { memory, ..Default::default() };
        let (until, output) = (until.as_deref(), output.as_deref());
        let inputs = Inputs { paths: &inputs, join: join.parse()? };
        let summary = cluster_merge(inputs, &work, until, output, &config, extras, resources, &(), ctx)?;
        summary.map(|summary| told(Ok(summary))).transpose()
    })
}

/// A recipe on a volume, or on its cells, whose parts can be shared out, with its options.
enum OnVolume {
    Detect(DetectConfig),
    Segment(SegmentConfig),
    Count(CountConfig),
}

impl OnVolume {
    fn new(py: Python<'_>, recipe: &str, toml: &str) -> PyResult<Self> {
        let made = match recipe {
            "detect" => DetectConfig::from_toml(toml, &[]).map(Self::Detect),
            "segment" => SegmentConfig::from_toml(toml, &[]).map(Self::Segment),
            "count" => CountConfig::from_toml(toml, &[]).map(Self::Count),
            _ => Err(Error::parameter("recipe", "detect, segment or count", recipe)),
        };
        made.map_err(|error| to_python(py, error))
    }
}

/// The steps of a recipe on a volume that can be shared out, in order.
#[pyfunction]
fn volume_steps(py: Python<'_>, recipe: &str, toml: &str) -> PyResult<Vec<String>> {
    Ok(match OnVolume::new(py, recipe, toml)? {
        OnVolume::Detect(_) => detect_steps(),
        OnVolume::Segment(_) => segment_steps(),
        OnVolume::Count(_) => count_steps(),
    })
}

/// Computes one part (from 1) of one step of a recipe on a volume and leaves it in a folder. `beside` is the background channel of
/// `detect`, the registration of `count`.
#[pyfunction]
#[pyo3(signature = (recipe, input, beside, work, toml, step, part, of, threads=None, progress=None))]
fn volume_part(
    py: Python<'_>,
    recipe: &str,
    input: PathBuf,
    beside: Option<PathBuf>,
    work: PathBuf,
    toml: &str,
    step: String,
    part: usize,
    of: usize,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<()> {
    let (config, blocks) = (OnVolume::new(py, recipe, toml)?, Blocks { part, of });
    run::run(py, threads, progress, |ctx| match &config {
        OnVolume::Detect(config) => detect_part(&input, beside.as_deref(), &work, &step, blocks, config, &(), ctx),
        OnVolume::Segment(config) => segment_part(&input, &work, &step, blocks, config, &(), ctx),
        OnVolume::Count(config) => count_part(&input, beside.as_deref(), &work, &step, blocks, config, &(), ctx),
    })
}

/// Merges the parts of a recipe on a volume. Returns the summary as JSON and as text.
#[pyfunction]
#[pyo3(signature = (recipe, input, beside, work, toml, output, table=None, report=None, threads=None, progress=None))]
fn volume_merge(
    py: Python<'_>,
    recipe: &str,
    input: PathBuf,
    beside: Option<PathBuf>,
    work: PathBuf,
    toml: &str,
    output: PathBuf,
    table: Option<PathBuf>,
    report: Option<PathBuf>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, String)> {
    let config = OnVolume::new(py, recipe, toml)?;
    run::run(py, threads, progress, |ctx| {
        let extras = Extras { report: report.as_deref(), time: None };
        let json = |json: serde_json::Result<String>| json.map_err(|error| Error::Internal(error.to_string()));
        match &config {
            OnVolume::Detect(config) => {
                let files = DetectFiles { signal: &input, background: beside.as_deref(), output: &output };
                let summary = detect_merge(files, &work, config, extras, &(), ctx)?;
                Ok((json(serde_json::to_string(&summary))?, summary.text()))
            }
            OnVolume::Segment(config) => {
                let files = SegmentFiles { volume: &input, output: &output, table: table.as_deref() };
                let summary = segment_merge(files, &work, config, extras, &(), ctx)?;
                Ok((json(serde_json::to_string(&summary))?, summary.text()))
            }
            OnVolume::Count(config) => {
                let registration = beside.as_deref();
                let files = CountFiles { cells: &input, registration, output: &output, table: table.as_deref() };
                let summary = count_merge(files, &work, config, &(), ctx)?;
                Ok((json(serde_json::to_string(&summary))?, summary.text()))
            }
        }
    })
}

/// Runs the recipe on a matrix with the tables of cells and genes. Returns the summary as JSON and as text.
#[pyfunction]
#[pyo3(signature = (matrix, obs, var, name, output, toml, report=None, memory=None, scratch=None, threads=None, progress=None))]
fn recipe_counts(
    py: Python<'_>,
    matrix: &Bound<'_, PyAny>,
    obs: &Bound<'_, PyAny>,
    var: &Bound<'_, PyAny>,
    name: String,
    output: PathBuf,
    toml: String,
    report: Option<PathBuf>,
    memory: Option<u64>,
    scratch: Option<PathBuf>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, String)> {
    let config = config_of(py, &toml)?;
    let (obs, var) = (table(obs)?, table(var)?);
    let held = Matrix::new(matrix, "X")?;
    let parts = held.parts()?;
    run::run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        let matrix = Box::new(Lazy::new(source.rows()));
        let origin = Origin { name, format: "AnnData in memory".into(), ..Default::default() };
        let extras = Extras { report: report.as_deref(), time: None };
        let resources = Resources { memory, scratch: scratch.as_deref(), checkpoints: None };
        let input = Input { matrix, about: About { obs, var, origin } };
        told(cluster_counts(input, &output, &config, extras, resources, &(), ctx))
    })
}

/// A table from `(names, [(column, kind, parts...)])` as `zensaibo.pp._recipe` hands it over.
pub(crate) fn table(object: &Bound<'_, PyAny>) -> PyResult<Table> {
    let (index, columns): (Vec<String>, Vec<(String, String, Bound<'_, PyAny>)>) = object.extract()?;
    let columns = columns
        .into_iter()
        .map(|(name, kind, part)| {
            let column = match kind.as_str() {
                "numbers" => Column::Numbers(values(&part, &name)?),
                "strings" => Column::Strings(part.extract()?),
                "optional strings" => Column::OptionalStrings(part.extract()?),
                "categories" => {
                    let (codes, categories, ordered): (Vec<i32>, Vec<String>, bool) = part.extract()?;
                    Column::Categories { codes, categories: Box::new(Column::Strings(categories)), ordered }
                }
                other => return Err(PyTypeError::new_err(format!("column `{name}`: unknown kind {other}"))),
            };
            Ok((name, column))
        })
        .collect::<PyResult<_>>()?;
    Ok(Table { index_name: None, index, columns })
}

/// A numpy array as values; booleans come as uint8 with the name of their type kept.
fn values(part: &Bound<'_, PyAny>, name: &str) -> PyResult<Values> {
    let (array, boolean): (Bound<'_, PyUntypedArray>, bool) = part.extract()?;
    Ok(match Held::new(array.as_any(), name)? {
        Held::F32(a) => Values::F32(a.as_slice()?.to_vec()),
        Held::F64(a) => Values::F64(a.as_slice()?.to_vec()),
        Held::I32(a) => Values::I32(a.as_slice()?.to_vec()),
        Held::I64(a) => Values::I64(a.as_slice()?.to_vec()),
        Held::U8(a) if boolean => Values::Bool(a.as_slice()?.to_vec()),
        Held::U8(a) => Values::U8(a.as_slice()?.to_vec()),
        Held::U16(a) => Values::U16(a.as_slice()?.to_vec()),
        Held::U32(a) => Values::U32(a.as_slice()?.to_vec()),
        Held::U64(a) => Values::U64(a.as_slice()?.to_vec()),
    })
}

/// The whole way from a volume to cells in an atlas. Returns the summary as JSON and as text.
#[pyfunction]
#[pyo3(signature = (signal, background, output, toml, threads=None, progress=None))]
fn recipe_cells(
    py: Python<'_>,
    signal: PathBuf,
    background: Option<PathBuf>,
    output: PathBuf,
    toml: String,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, String)> {
    let config = CellsConfig::from_toml(&toml, &[]).map_err(|error| to_python(py, error))?;
    run::run(py, threads, progress, |ctx| {
        let files = CellsFiles { signal: &signal, background: background.as_deref(), output: &output };
        let summary = cells(files, &config, None, &(), ctx)?;
        let json = serde_json::to_string(&summary).map_err(|error| Error::Internal(error.to_string()))?;
        Ok((json, summary.text()))
    })
}

/// Every option of the recipe with its manual and default, as TOML.
#[pyfunction]
fn recipe_template() -> String {
    ClusterConfig::template()
}

/// Runs the command line; returns the exit code. Ctrl-C stops the run, a second one does not wait.
#[pyfunction]
fn cli_main(py: Python<'_>, argv: Vec<OsString>) -> i32 {
    let cancel = CancelToken::default();
    let (send, receive) = sync_channel::<i32>(1);
    // A channel receiver is not `Sync`; the mutex is never contended, it only lets `detach` borrow it.
    let receive = Mutex::new(receive);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let code = zensaibo_cli::command::run(argv, &cancel);
            // The receiver outlives the worker, so sending cannot fail.
            let _ = send.send(code);
        });
        loop {
            let received = py.detach(|| match receive.lock() {
                Ok(receiver) => receiver.recv_timeout(Duration::from_millis(30)),
                Err(_) => Err(RecvTimeoutError::Disconnected),
            });
            match received {
                Ok(code) => return code,
                Err(RecvTimeoutError::Disconnected) => return 1,
                Err(RecvTimeoutError::Timeout) => {
                    if py.check_signals().is_err() {
                        if cancel.is_cancelled() {
                            std::process::exit(zensaibo_cli::command::INTERRUPTED);
                        }
                        cancel.cancel();
                    }
                }
            }
        }
    })
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(recipe_files, module)?)?;
    module.add_function(wrap_pyfunction!(recipe_steps, module)?)?;
    module.add_function(wrap_pyfunction!(recipe_part, module)?)?;
    module.add_function(wrap_pyfunction!(recipe_merge, module)?)?;
    module.add_function(wrap_pyfunction!(volume_steps, module)?)?;
    module.add_function(wrap_pyfunction!(volume_part, module)?)?;
    module.add_function(wrap_pyfunction!(volume_merge, module)?)?;
    module.add_function(wrap_pyfunction!(recipe_counts, module)?)?;
    module.add_function(wrap_pyfunction!(recipe_cells, module)?)?;
    module.add_function(wrap_pyfunction!(recipe_template, module)?)?;
    module.add_function(wrap_pyfunction!(cli_main, module)?)
}
