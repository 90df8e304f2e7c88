//! scipy.sparse and numpy matrices, and those in files, as sources; without copying where their types allow it.

use numpy::{PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use zensaibo_core::Result;
use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{DenseView, IndexSlice, Lazy, RowBlocks, SparseView, ValueSlice};

use crate::file_matrix::{Chain, PyFileMatrix};

/// A one-dimensional or flattened numpy array of any number type we take, held for reading.
pub(crate) enum Held<'py> {
    F32(PyReadonlyArrayDyn<'py, f32>),
    F64(PyReadonlyArrayDyn<'py, f64>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    U8(PyReadonlyArrayDyn<'py, u8>),
    U16(PyReadonlyArrayDyn<'py, u16>),
    U32(PyReadonlyArrayDyn<'py, u32>),
    U64(PyReadonlyArrayDyn<'py, u64>),
}

fn contiguous(name: &str) -> PyErr {
    PyTypeError::new_err(format!("`{name}`: expected a C-contiguous array; pass numpy.ascontiguousarray({name})"))
}

impl<'py> Held<'py> {
    /// Holds a numpy array; `name` is used in errors.
    pub(crate) fn new(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        macro_rules! attempt {
            ($($kind:ty => $variant:ident),*) => {
                $(if let Ok(array) = object.cast::<PyArrayDyn<$kind>>() {
                    if !array.is_c_contiguous() {
                        return Err(contiguous(name));
                    }
                    return Ok(Self::$variant(array.readonly()));
                })*
            };
        }
        attempt!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64);
        let found = match object.cast::<PyUntypedArray>() {
            Ok(array) => array.dtype().to_string(),
            Err(_) => object.get_type().name()?.to_string(),
        };
        let expected = "a numpy array of float32, float64, int32, int64, uint8, uint16, uint32 or uint64";
        Err(PyTypeError::new_err(format!("`{name}`: expected {expected}, found {found}")))
    }

    /// The values as a slice of their own type.
    pub(crate) fn values(&self) -> PyResult<ValueSlice<'_>> {
        Ok(match self {
            Self::F32(a) => ValueSlice::F32(a.as_slice()?),
            Self::F64(a) => ValueSlice::F64(a.as_slice()?),
            Self::I32(a) => ValueSlice::I32(a.as_slice()?),
            Self::I64(a) => ValueSlice::I64(a.as_slice()?),
            Self::U8(a) => ValueSlice::U8(a.as_slice()?),
            Self::U16(a) => ValueSlice::U16(a.as_slice()?),
            Self::U32(a) => ValueSlice::U32(a.as_slice()?),
            Self::U64(a) => ValueSlice::U64(a.as_slice()?),
        })
    }

    /// The values as indices.
    pub(crate) fn indices(&self, name: &str) -> PyResult<IndexSlice<'_>> {
        Ok(match self {
            Self::I32(a) => IndexSlice::I32(a.as_slice()?),
            Self::I64(a) => IndexSlice::I64(a.as_slice()?),
            Self::U32(a) => IndexSlice::U32(a.as_slice()?),
            Self::U64(a) => IndexSlice::U64(a.as_slice()?),
            _ => return Err(PyTypeError::new_err(format!("`{name}`: expected an integer array of 32 or 64 bits"))),
        })
    }
}

/// A matrix of cells x genes handed in from Python: scipy CSR (matrix or array), CSC, a dense numpy array, or one in a file.
///
/// CSR and dense are borrowed; CSC is turned into rows once (a copy of the matrix); a file is read block by block.
pub(crate) enum Matrix<'py> {
    Csr { shape: (usize, usize), indptr: Held<'py>, indices: Held<'py>, values: Held<'py> },
    Csc { shape: (usize, usize), indptr: Held<'py>, indices: Held<'py>, values: Held<'py> },
    Dense { shape: (usize, usize), values: Held<'py> },
    File { shape: (usize, usize), chain: Chain },
}

/// What a [`Matrix`] becomes on the Rust side.
pub(crate) enum Source<'a> {
    Sparse(SparseView<'a>),
    Dense(DenseView<'a>),
    Owned(Csr),
    File(Lazy<'a>),
}

impl Source<'_> {
    pub(crate) fn rows(&self) -> &dyn RowBlocks {
        match self {
            Self::Sparse(view) => view,
            Self::Dense(view) => view,
            Self::Owned(matrix) => matrix,
            Self::File(chain) => chain,
        }
    }
}

/// Slices of a [`Matrix`], free of Python, to be turned into a source on the worker thread.
pub(crate) enum Parts<'a> {
    Csr((usize, usize), IndexSlice<'a>, IndexSlice<'a>, ValueSlice<'a>),
    Csc((usize, usize), IndexSlice<'a>, IndexSlice<'a>, ValueSlice<'a>),
    Dense((usize, usize), ValueSlice<'a>),
    File(&'a Chain),
}

impl<'a> Parts<'a> {
    /// Checks the parts (a scan of all indices) and makes them a source.
    pub(crate) fn source(&self) -> Result<Source<'a>> {
        Ok(match *self {
            Self::Csr((n, m), indptr, indices, values) => {
                Source::Sparse(SparseView::new(n, m, indptr, indices, values)?)
            }
            Self::Csc((n, m), indptr, indices, values) => {
                // Columns as rows of the transposed matrix, checked, then turned.
                let columns = SparseView::new(m, n, indptr, indices, values)?;
                let gathered = zensaibo_core::matrix::collect(&columns, &zensaibo_core::Ctx::quiet())?;
                Source::Owned(gathered.transpose())
            }
            Self::Dense((n, m), values) => Source::Dense(DenseView::new(n, m, values)?),
            Self::File(chain) => Source::File(chain.lazy()?),
        })
    }
}

impl<'py> Matrix<'py> {
    /// Takes a scipy sparse matrix or array (csr, csc) or a 2-D numpy array; `name` is used in errors.
    ///
    /// Columns must be sorted and unique within rows; the Python face sees to that.
    pub(crate) fn new(object: &Bound<'py, PyAny>, name: &str) -> PyResult<Self> {
        if let Ok(file) = object.cast::<PyFileMatrix>() {
            let file = file.get();
            return Ok(Self::File { shape: file.shape, chain: file.chain.clone() });
        }
        if let Ok(format) = object.getattr("format").and_then(|format| format.extract::<String>()) {
            let shape: (usize, usize) = object.getattr("shape")?.extract()?;
            let part = |part: &str| Held::new(&object.getattr(part)?, &format!("{name}.{part}"));
            let (indptr, indices, values) = (part("indptr"), part("indices"), part("data"));
            return match format.as_str() {
                "csr" => Ok(Self::Csr { shape, indptr: indptr?, indices: indices?, values: values? }),
                "csc" => Ok(Self::Csc { shape, indptr: indptr?, indices: indices?, values: values? }),
                other => Err(PyTypeError::new_err(format!(
                    "`{name}`: expected a csr or csc matrix or a numpy array, found sparse format {other}; use .tocsr()"
                ))),
            };
        }
        let values = Held::new(object, name)?;
        let shape: Vec<usize> = object.getattr("shape")?.extract()?;
        match shape[..] {
            [n, m] => Ok(Self::Dense { shape: (n, m), values }),
            _ => Err(PyTypeError::new_err(format!("`{name}`: expected two dimensions, found shape {shape:?}"))),
        }
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        match self {
            Self::Csr { shape, .. }
            | Self::Csc { shape, .. }
            | Self::Dense { shape, .. }
            | Self::File { shape, .. } => *shape,
        }
    }

    /// Slices that can go to the worker thread.
    pub(crate) fn parts(&self) -> PyResult<Parts<'_>> {
        Ok(match self {
            Self::Csr { shape, indptr, indices, values } => {
                Parts::Csr(*shape, indptr.indices("indptr")?, indices.indices("indices")?, values.values()?)
            }
            Self::Csc { shape, indptr, indices, values } => {
                Parts::Csc(*shape, indptr.indices("indptr")?, indices.indices("indices")?, values.values()?)
            }
            Self::Dense { shape, values } => Parts::Dense(*shape, values.values()?),
            Self::File { chain, .. } => Parts::File(chain),
        })
    }
}

/// Shape, stored entries and sum of a matrix as zensaibo sees it: for diagnosis and tests of the bridge.
#[pyfunction]
#[pyo3(signature = (matrix, threads=None, progress=None))]
fn matrix_summary(
    py: Python<'_>,
    matrix: &Bound<'_, PyAny>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(usize, usize, usize, f64)> {
    let matrix = Matrix::new(matrix, "matrix")?;
    let (n, m) = matrix.shape();
    let parts = matrix.parts()?;
    let (entries, sum) = crate::run::run(py, threads, progress, |ctx| {
        let source = parts.source()?;
        let gathered = zensaibo_core::matrix::collect(source.rows(), ctx)?;
        Ok((gathered.nnz(), gathered.values.iter().map(|&x| f64::from(x)).sum::<f64>()))
    })?;
    Ok((n, m, entries, sum))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(matrix_summary, module)?)
}
