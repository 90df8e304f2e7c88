//! Matrices in files as sources, with what is done to them on the way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde::{Deserialize, Serialize};
use zensaibo_core::exchange::Exchange;
use zensaibo_core::matrix::{Lazy, RowBlocks, Shared, collect};
use zensaibo_core::{Error, Result};
use zensaibo_io::{AnnDataFile, Format, TenxFile, TenxOptions, detect};

use crate::errors::to_python;
use crate::run::run;
use crate::shared::{Leader, Worker};

/// What is done to rows as they are read.
#[derive(Clone, Serialize, Deserialize)]
enum Step {
    Rows(Vec<bool>),
    Columns(Vec<bool>),
    Divide(Vec<f64>),
    Log1p(Option<f64>),
}

/// A matrix in a file, and what is done to it.
#[derive(Clone)]
pub(crate) struct Chain {
    rows: Arc<dyn RowBlocks + Send>,
    steps: Vec<Step>,
}

impl Chain {
    /// The chain as a source.
    pub(crate) fn lazy(&self) -> Result<Lazy<'_>> {
        let mut lazy = Lazy::new(&*self.rows);
        for step in &self.steps {
            lazy = match step {
                Step::Rows(mask) => lazy.select_rows(mask)?,
                Step::Columns(mask) => lazy.select_columns(mask)?,
                Step::Divide(divisors) => lazy.divide_rows(divisors.clone())?,
                Step::Log1p(base) => lazy.log1p(*base),
            };
        }
        Ok(lazy)
    }
}

/// Size of a file, and when it was changed: nanoseconds since 1970.
type State = (u64, u128);

/// A matrix of cells x genes in a file, read block by block each time it is looked at.
#[pyclass(name = "FileMatrix", module = "zensaibo._core", frozen)]
pub(crate) struct PyFileMatrix {
    pub(crate) chain: Chain,
    pub(crate) shape: (usize, usize),
    #[pyo3(get)]
    path: PathBuf,
    #[pyo3(get)]
    key: String,
    /// Type of the values in the file.
    stored: &'static str,
    /// That of the file as it was opened.
    state: State,
    /// The part of a pass that this process computes, in a worker.
    worker: Option<Arc<Worker>>,
}

impl PyFileMatrix {
    fn with(&self, py: Python<'_>, step: Step) -> PyResult<Self> {
        let mut chain = self.chain.clone();
        chain.steps.push(step);
        let shape = chain.lazy().map(|lazy| (lazy.n_rows(), lazy.n_cols())).map_err(|error| to_python(py, error))?;
        Ok(Self { chain, shape, ..self.copy() })
    }

    fn copy(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            shape: self.shape,
            path: self.path.clone(),
            key: self.key.clone(),
            stored: self.stored,
            state: self.state,
            worker: self.worker.clone(),
        }
    }

    fn shared_by(&self, exchange: Arc<dyn Exchange>) -> Self {
        let rows = Arc::new(Shared::new(self.chain.rows.clone(), exchange));
        Self { chain: Chain { rows, steps: self.chain.steps.clone() }, ..self.copy() }
    }
}

fn state_of(path: &Path) -> Result<State> {
    let meta = std::fs::metadata(path).map_err(|error| Error::io(path, "open", error))?;
    let changed = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((meta.len(), changed.map_or(0, |since| since.as_nanos())))
}

#[pymethods]
impl PyFileMatrix {
    /// Opens the matrix `key` of an h5ad, or that of a 10x HDF5 file.
    #[new]
    #[pyo3(signature = (path, key="X"))]
    fn new(py: Python<'_>, path: PathBuf, key: &str) -> PyResult<Self> {
        let (rows, state) = run(py, None, None, |ctx| {
            let state = state_of(&path)?;
            let rows = match detect(&path)? {
                Format::H5ad => AnnDataFile::open(&path)?.rows(key, ctx)?,
                Format::TenxV2 | Format::TenxV3 if key == "X" => {
                    TenxFile::open(&path, &TenxOptions { gex_only: false, ..Default::default() })?.rows(ctx)?
                }
                other => {
                    let expected = "an h5ad, or X of a 10x HDF5 file";
                    return Err(Error::format(&path, key, expected, other.name()));
                }
            };
            Ok((rows, state))
        })?;
        let (shape, stored) = ((rows.n_rows(), rows.n_cols()), rows.dtype().name());
        let chain = Chain { rows: Arc::new(rows), steps: Vec::new() };
        Ok(Self { chain, shape, path, key: key.to_string(), stored, state, worker: None })
    }

    /// The file, the key and what is done to the rows; the file is opened anew where this is read, and must not have changed.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (PathBuf, String, State, Bound<'py, PyBytes>))> {
        let steps = postcard::to_allocvec(&self.chain.steps)
            .map_err(|error| to_python(py, Error::Internal(format!("steps of a matrix: {error}"))))?;
        let again = py.get_type::<Self>().getattr("_again")?;
        // As others see it, whatever folder they are in.
        let path = std::path::absolute(&self.path)?;
        Ok((again, (path, self.key.clone(), self.state, PyBytes::new(py, &steps))))
    }

    /// Undoes `__reduce__`.
    #[staticmethod]
    fn _again(py: Python<'_>, path: PathBuf, key: &str, state: State, steps: &[u8]) -> PyResult<Self> {
        let made = Self::new(py, path, key)?;
        if made.state != state {
            let text =
                |(bytes, changed): State| format!("{bytes} bytes, changed {} s after 1970", changed / 1_000_000_000);
            let expected = format!("the file as it was when it was first opened ({})", text(state));
            return Err(to_python(py, Error::format(&made.path, key, expected, text(made.state))));
        }
        let steps = postcard::from_bytes(steps)
            .map_err(|error| to_python(py, Error::Internal(format!("steps of a matrix: {error}"))))?;
        let chain = Chain { rows: made.chain.rows.clone(), steps };
        let shape = chain.lazy().map(|lazy| (lazy.n_rows(), lazy.n_cols())).map_err(|error| to_python(py, error))?;
        Ok(Self { chain, shape, ..made })
    }

    /// The same matrix with passes that other processes compute: `begin(stage, units)` gives something with `poll()`: how many parts
    /// are there, and all of them once they are; and `cancel()`.
    fn shared(&self, begin: Py<PyAny>) -> Self {
        self.shared_by(Arc::new(Leader::new(begin)))
    }

    /// The same matrix for the process that computes `part` of `of`, after passes whose parts are `history`.
    fn part(&self, history: Vec<Vec<PyBackedBytes>>, part: usize, of: usize) -> Self {
        let worker = Arc::new(Worker::new(history, part, of));
        Self { worker: Some(worker.clone()), ..self.shared_by(worker) }
    }

    /// What this process computed of its part; `None` before it did.
    fn taken<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        Some(PyBytes::new(py, &self.worker.as_ref()?.taken()?))
    }

    /// Cells and genes.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// The type of the values, as numpy names it.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let changed = self.chain.steps.iter().any(|step| matches!(step, Step::Divide(_) | Step::Log1p(_)));
        let name = if changed { "float32" } else { self.stored };
        py.import("numpy")?.call_method1("dtype", (name,))
    }

    /// The matrix in memory: values, columns and row pointers of sparse rows.
    #[pyo3(signature = (threads=None, progress=None))]
    fn collect<'py>(
        &self,
        py: Python<'py>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyArray1<f32>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u64>>)> {
        let found = run(py, threads, progress, |ctx| collect(&self.chain.lazy()?, ctx))?;
        Ok((found.values.into_pyarray(py), found.indices.into_pyarray(py), found.indptr.into_pyarray(py)))
    }

    /// Keeps the cells where `mask` is true.
    fn select_rows(&self, py: Python<'_>, mask: Vec<bool>) -> PyResult<Self> {
        self.with(py, Step::Rows(mask))
    }

    /// Keeps the genes where `mask` is true.
    fn select_columns(&self, py: Python<'_>, mask: Vec<bool>) -> PyResult<Self> {
        self.with(py, Step::Columns(mask))
    }

    /// Divides each cell by its number.
    fn divide_rows(&self, py: Python<'_>, divisors: Vec<f64>) -> PyResult<Self> {
        self.with(py, Step::Divide(divisors))
    }

    /// ln(1 + x), or the logarithm to `base`.
    #[pyo3(signature = (base=None))]
    fn log1p(&self, py: Python<'_>, base: Option<f64>) -> PyResult<Self> {
        self.with(py, Step::Log1p(base))
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFileMatrix>()
}
