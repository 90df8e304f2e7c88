//! Bindings of an index of neighbours in a file.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use zensaibo_core::knn::{IndexOptions, NeighborIndex, PointBlocks, PointSlice, Points, SearchOptions, fingerprint};
use zensaibo_core::matrix::ValueSlice;
use zensaibo_core::options::Options;
use zensaibo_core::{DataFault, Error, Result};

use crate::errors::to_python;
use crate::matrix::Held;
use crate::neighbors::dense;
use crate::run::run;

/// Rows that a Python callable fetches: arrays in files, sparse matrices.
struct Fetched {
    n: usize,
    d: usize,
    double: bool,
    fetch: Py<PyAny>,
}

impl PointBlocks for Fetched {
    fn n(&self) -> usize {
        self.n
    }

    fn d(&self) -> usize {
        self.d
    }

    fn is_double(&self) -> bool {
        self.double
    }

    fn visit(&self, rows: Range<usize>, read: &mut dyn FnMut(ValueSlice<'_>) -> Result<()>) -> Result<()> {
        enum Values {
            Single(Vec<f32>),
            Double(Vec<f64>),
        }
        // Copied, so that Python may go on while they are looked at.
        let values = Python::attach(|py| {
            let what = format!("X, rows {} to {}", rows.start, rows.end);
            let fault = |error: PyErr| Error::data(DataFault::Invalid, &what, "readable rows", error);
            let array = self.fetch.bind(py).call1((rows.start, rows.end)).map_err(fault)?;
            let held = Held::new(&array, "X").map_err(fault)?;
            match held.values().map_err(fault)? {
                ValueSlice::F32(values) => Ok(Values::Single(values.to_vec())),
                ValueSlice::F64(values) => Ok(Values::Double(values.to_vec())),
                _ => Err(Error::data(DataFault::Invalid, &what, "values of float32 or float64", "another type")),
            }
        })?;
        match &values {
            Values::Single(values) => read(ValueSlice::F32(values)),
            Values::Double(values) => read(ValueSlice::F64(values)),
        }
    }
}

/// Runs `job` on the rows of an array (n x d) or, with a shape and whether values are double, of a callable.
fn with_rows<T: Send>(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    fetched: Option<(usize, usize, bool)>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
    job: impl FnOnce(&dyn PointBlocks, &zensaibo_core::Ctx) -> Result<T> + Send,
) -> PyResult<T> {
    if let Some((n, d, double)) = fetched {
        let source = Fetched { n, d, double, fetch: data.clone().unbind() };
        return run(py, threads, progress, |ctx| job(&source, ctx));
    }
    let (n, d, held) = dense(data, "X")?;
    let values = held.values()?;
    run(py, threads, progress, |ctx| job(&PointSlice::new(n, d, values)?, ctx))
}

/// Indices (n x k, u32) and distances (n x k, f32).
type Pair<'py> = (Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f32>>);

/// An index of nearest neighbours in a file.
#[pyclass(name = "NeighborIndex", module = "zensaibo._core", frozen)]
pub(crate) struct PyNeighborIndex {
    index: Arc<NeighborIndex>,
    #[pyo3(get)]
    path: PathBuf,
}

#[pymethods]
impl PyNeighborIndex {
    /// Opens a file.
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let index = run(py, None, None, |_| zensaibo_io::open_index(&path))?;
        Ok(Self { index: Arc::new(index), path })
    }

    /// Makes the file from an array, or from a callable with its shape and whether values are double, and opens it.
    #[staticmethod]
    #[pyo3(signature = (data, path, options, memory=None, fetched=None, threads=None, progress=None))]
    fn build(
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        path: PathBuf,
        options: &str,
        memory: Option<u64>,
        fetched: Option<(usize, usize, bool)>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let options = IndexOptions::from_json(options).map_err(|error| to_python(py, error))?;
        let index = with_rows(py, data, fetched, threads, progress, |source, ctx| {
            zensaibo_io::build_index(&path, source, &options, memory, ctx)
        })?;
        Ok(Self { index: Arc::new(index), path })
    }

    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.index.head().n, self.index.head().d)
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        if self.index.head().double { "float64" } else { "float32" }
    }

    #[getter]
    fn metric(&self) -> String {
        format!("{:?}", self.index.head().metric).to_lowercase()
    }

    #[getter]
    fn n_lists(&self) -> usize {
        self.index.head().n_lists()
    }

    #[getter]
    fn seed(&self) -> u64 {
        self.index.head().seed
    }

    #[getter]
    fn fingerprint(&self) -> String {
        hexadecimal(self.index.head().fingerprint)
    }

    #[pyo3(signature = (options, memory=None, threads=None, progress=None))]
    fn neighbors<'py>(
        &self,
        py: Python<'py>,
        options: &str,
        memory: Option<u64>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Pair<'py>> {
        let options = SearchOptions::from_json(options).map_err(|error| to_python(py, error))?;
        let index = self.index.clone();
        let found = run(py, threads, progress, |ctx| index.neighbors(&options, memory, ctx))?;
        let shape = [found.n, found.k];
        Ok((found.indices.into_pyarray(py).reshape(shape)?, found.distances.into_pyarray(py).reshape(shape)?))
    }

    #[pyo3(signature = (queries, options, memory=None, threads=None, progress=None))]
    fn query<'py>(
        &self,
        py: Python<'py>,
        queries: &Bound<'py, PyAny>,
        options: &str,
        memory: Option<u64>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Pair<'py>> {
        let options = SearchOptions::from_json(options).map_err(|error| to_python(py, error))?;
        let (n, d, held) = dense(queries, "queries")?;
        let values = held.values()?;
        let index = self.index.clone();
        let found = run(py, threads, progress, |ctx| index.query(&Points::new(n, d, values)?, &options, memory, ctx))?;
        let shape = [found.n, found.k];
        Ok((found.indices.into_pyarray(py).reshape(shape)?, found.distances.into_pyarray(py).reshape(shape)?))
    }
}

fn hexadecimal([a, b]: [u64; 2]) -> String {
    format!("{a:016x}{b:016x}")
}

/// The fingerprint that an index over these rows has.
#[pyfunction]
#[pyo3(signature = (data, fetched=None, threads=None, progress=None))]
fn index_fingerprint(
    py: Python<'_>,
    data: &Bound<'_, PyAny>,
    fetched: Option<(usize, usize, bool)>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    with_rows(py, data, fetched, threads, progress, |source, ctx| fingerprint(source, ctx)).map(hexadecimal)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyNeighborIndex>()?;
    module.add_function(wrap_pyfunction!(index_fingerprint, module)?)
}
