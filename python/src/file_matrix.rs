//! Matrices in files as sources, with what is done to them on the way.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use zensaibo_core::matrix::{Lazy, RowBlocks, collect};
use zensaibo_core::{Error, Result};
use zensaibo_io::{AnnDataFile, Format, TenxFile, TenxOptions, detect};

use crate::errors::to_python;
use crate::run::run;

/// What is done to rows as they are read.
#[derive(Clone)]
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

/// A matrix of cells x genes in a file, read block by block each time it is looked at.
#[pyclass(name = "FileMatrix", frozen)]
pub(crate) struct PyFileMatrix {
    pub(crate) chain: Chain,
    pub(crate) shape: (usize, usize),
    #[pyo3(get)]
    path: PathBuf,
    #[pyo3(get)]
    key: String,
    /// Type of the values in the file.
    stored: &'static str,
}

impl PyFileMatrix {
    fn with(&self, py: Python<'_>, step: Step) -> PyResult<Self> {
        let mut chain = self.chain.clone();
        chain.steps.push(step);
        let shape = chain.lazy().map(|lazy| (lazy.n_rows(), lazy.n_cols())).map_err(|error| to_python(py, error))?;
        Ok(Self { chain, shape, path: self.path.clone(), key: self.key.clone(), stored: self.stored })
    }
}

#[pymethods]
impl PyFileMatrix {
    /// Opens the matrix `key` of an h5ad, or that of a 10x HDF5 file.
    #[new]
    #[pyo3(signature = (path, key="X"))]
    fn new(py: Python<'_>, path: PathBuf, key: &str) -> PyResult<Self> {
        let rows = run(py, None, None, |ctx| {
            Ok(match detect(&path)? {
                Format::H5ad => AnnDataFile::open(&path)?.rows(key, ctx)?,
                Format::TenxV2 | Format::TenxV3 if key == "X" => {
                    TenxFile::open(&path, &TenxOptions { gex_only: false, ..Default::default() })?.rows(ctx)?
                }
                other => {
                    let expected = "an h5ad, or X of a 10x HDF5 file";
                    return Err(Error::format(&path, key, expected, other.name()));
                }
            })
        })?;
        let (shape, stored) = ((rows.n_rows(), rows.n_cols()), rows.dtype().name());
        Ok(Self { chain: Chain { rows: Arc::new(rows), steps: Vec::new() }, shape, path, key: key.to_string(), stored })
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
