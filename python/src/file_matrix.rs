//! Matrices in files as sources, with what is done to them on the way.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use serde::{Deserialize, Serialize};
use zensaibo_core::exchange::Exchange;
use zensaibo_core::matrix::{Lazy, RowBlocks, Shared, collect};
use zensaibo_core::{Error, Result};
use zensaibo_io::{ConcatRows, CountsMatrix, Join, MatrixFile, MatrixLayout, Turning, is_url};

use crate::errors::to_python;
use crate::run::run;
use crate::shared::{Leader, PyTaken, Worker, taken};
use crate::state::{Depth, State, check_state, state_of};

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

/// A matrix of cells x genes in one file or in several, read block by block each time it is looked at.
#[pyclass(name = "FileMatrix", module = "zensaibo._core", frozen)]
pub(crate) struct PyFileMatrix {
    pub(crate) chain: Chain,
    pub(crate) shape: (usize, usize),
    files: Arc<Vec<MatrixFile>>,
    /// Genes of several files, joined; those of one file are read when asked for.
    joined: Option<Arc<Vec<String>>>,
    #[pyo3(get)]
    key: String,
    /// Types of the values in the files.
    stored: Vec<&'static str>,
    dense: bool,
    join: String,
    /// Those of the files as they were opened.
    states: Vec<State>,
    /// Bytes that turning columns into rows may take.
    memory: Option<u64>,
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

    /// What the masks of the chain leave of names.
    fn left(&self, mut names: Vec<String>, mask_of: impl Fn(&Step) -> Option<&Vec<bool>>) -> Vec<String> {
        for mask in self.chain.steps.iter().filter_map(mask_of) {
            let mut kept = mask.iter();
            names.retain(|_| kept.next() == Some(&true));
        }
        names
    }

    fn copy(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            shape: self.shape,
            files: self.files.clone(),
            joined: self.joined.clone(),
            key: self.key.clone(),
            stored: self.stored.clone(),
            dense: self.dense,
            join: self.join.clone(),
            states: self.states.clone(),
            memory: self.memory,
            worker: self.worker.clone(),
        }
    }

    fn shared_by(&self, exchange: Arc<dyn Exchange>) -> Self {
        let rows = Arc::new(Shared::new(self.chain.rows.clone(), exchange));
        Self { chain: Chain { rows, steps: self.chain.steps.clone() }, ..self.copy() }
    }
}

/// Half of the memory for columns in work, half over the files for packed rows.
fn turning_of(memory: Option<u64>, scratch: Option<PathBuf>, files: usize) -> Turning {
    let plain = Turning::default();
    let (working, held) = memory.map_or((plain.working, plain.held), |memory| (memory / 2, memory / 2));
    Turning { working, held: held / files.max(1) as u64, scratch: scratch.unwrap_or(plain.scratch) }
}

#[pymethods]
impl PyFileMatrix {
    /// Opens the matrix `key` of an h5ad or of AnnData in Zarr, or that of a 10x HDF5 file; of several files the rows one after the other.
    ///
    /// `memory` and `scratch`: what turning a matrix that is stored by columns into rows may take.
    #[new]
    #[pyo3(signature = (paths, key="X", join="inner", memory=None, scratch=None, progress=None))]
    fn new(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        key: &str,
        join: &str,
        memory: Option<u64>,
        scratch: Option<PathBuf>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let turning = turning_of(memory, scratch, paths.len());
        let (states, (files, rows, joined, stored)) = run(py, None, progress, |ctx| {
            let how: Join = join.parse()?;
            let states = paths.iter().map(|path| state_of(path, Depth::Files)).collect::<Result<Vec<_>>>()?;
            let files = paths.iter().map(|path| MatrixFile::open(path, key)).collect::<Result<Vec<_>>>()?;
            if let [file] = &files[..] {
                let rows = file.rows(&turning, ctx)?;
                let stored = vec![rows.dtype().name()];
                return Ok((states, (files, Arc::new(rows) as Arc<dyn RowBlocks + Send>, None, stored)));
            }
            let parts = files.iter().map(|file| file.part(&turning, ctx)).collect::<Result<Vec<_>>>()?;
            let dtype = |matrix: &CountsMatrix| match matrix {
                CountsMatrix::File(rows, _) => rows.dtype().name(),
                CountsMatrix::Memory(_) => "float32",
            };
            let stored = parts.iter().map(|part| dtype(&part.matrix)).collect();
            let rows = ConcatRows::new(parts, how, ctx)?;
            let genes = Arc::new(rows.genes().to_vec());
            Ok((states, (files, Arc::new(rows) as Arc<dyn RowBlocks + Send>, Some(genes), stored)))
        })?;
        let layouts = run(py, None, None, |_| files.iter().map(MatrixFile::describe).collect::<Result<Vec<_>>>())?;
        let dense = layouts.iter().all(|found| found.2 == MatrixLayout::Dense);
        let shape = (rows.n_rows(), rows.n_cols());
        let chain = Chain { rows, steps: Vec::new() };
        let (key, join) = (key.to_string(), join.to_string());
        Ok(Self {
            chain,
            shape,
            files: Arc::new(files),
            joined,
            key,
            stored,
            dense,
            join,
            states,
            memory,
            worker: None,
        })
    }

    /// The files, the key and what is done to the rows; the files are opened anew where this is read, and must not have changed.
    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Vec<OsString>, String, String, Vec<State>, Option<u64>, Bound<'py, PyBytes>))>
    {
        let steps = postcard::to_allocvec(&self.chain.steps)
            .map_err(|error| to_python(py, Error::Internal(format!("steps of a matrix: {error}"))))?;
        let again = py.get_type::<Self>().getattr("_again")?;
        // As others see them, whatever folder they are in.
        let whole = |path: &Path| if is_url(path) { Ok(path.to_path_buf()) } else { std::path::absolute(path) };
        let paths = self.files.iter().map(|file| whole(file.path()).map(OsString::from));
        let paths = paths.collect::<std::io::Result<_>>()?;
        Ok((
            again,
            (paths, self.key.clone(), self.join.clone(), self.states.clone(), self.memory, PyBytes::new(py, &steps)),
        ))
    }

    /// Undoes `__reduce__`.
    #[staticmethod]
    fn _again(
        py: Python<'_>,
        paths: Vec<PathBuf>,
        key: &str,
        join: &str,
        states: Vec<State>,
        memory: Option<u64>,
        steps: &[u8],
    ) -> PyResult<Self> {
        for (path, &state) in paths.iter().zip(&states) {
            run(py, Some(1), None, |_| check_state(path, key, Depth::Files, state))?;
        }
        let made = Self::new(py, paths, key, join, memory, None, None)?;
        let steps = postcard::from_bytes(steps)
            .map_err(|error| to_python(py, Error::Internal(format!("steps of a matrix: {error}"))))?;
        let chain = Chain { rows: made.chain.rows.clone(), steps };
        let shape = chain.lazy().map(|lazy| (lazy.n_rows(), lazy.n_cols())).map_err(|error| to_python(py, error))?;
        Ok(Self { chain, shape, ..made })
    }

    /// The same matrix with passes that other processes compute: see [`Leader::new`].
    fn shared(&self, passes: Py<PyAny>) -> Self {
        self.shared_by(Arc::new(Leader::new(passes)))
    }

    /// The same matrix for the process that computes `part` of `of`, after passes whose parts are `history`; `kept`: what the
    /// same part of these kept, by pass.
    fn for_part(
        &self,
        history: Vec<Vec<PyBackedBytes>>,
        kept: Vec<(String, PyBackedBytes)>,
        part: usize,
        of: usize,
    ) -> Self {
        let worker = Arc::new(Worker::new(history, kept, part, of));
        Self { worker: Some(worker.clone()), ..self.shared_by(worker) }
    }

    /// What this process computed of its part and what that keeps; `None` before it did.
    fn taken<'py>(&self, py: Python<'py>) -> Option<PyTaken<'py>> {
        taken(py, self.worker.as_ref())
    }

    /// The files.
    #[getter]
    fn paths(&self) -> Vec<OsString> {
        self.files.iter().map(|file| file.path().into()).collect()
    }

    /// Names of the cells, read from the files.
    fn obs_names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let mut names = Vec::new();
        run(py, None, None, |ctx| {
            for file in self.files.iter() {
                names.append(&mut file.cells(ctx)?);
            }
            Ok(())
        })?;
        Ok(self.left(names, |step| if let Step::Rows(mask) = step { Some(mask) } else { None }))
    }

    /// Names of the genes, read from the file.
    fn var_names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let names = match &self.joined {
            Some(joined) => joined.to_vec(),
            None => run(py, None, None, |ctx| self.files[0].genes(ctx))?,
        };
        Ok(self.left(names, |step| if let Step::Columns(mask) = step { Some(mask) } else { None }))
    }

    /// Cells and genes.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// Whether the files hold every value, zeros too.
    #[getter]
    fn dense(&self) -> bool {
        self.dense
    }

    /// The type of the values, as numpy names it.
    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let changed = self.chain.steps.iter().any(|step| matches!(step, Step::Divide(_) | Step::Log1p(_)));
        let numpy = py.import("numpy")?;
        if changed {
            return numpy.call_method1("dtype", ("float32",));
        }
        numpy.call_method1("result_type", pyo3::types::PyTuple::new(py, &self.stored)?)
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
