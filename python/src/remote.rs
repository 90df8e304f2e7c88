//! Objects behind URLs, for Python's own readers.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zensaibo_io::{RawFile, RawStore};

use crate::run::run;

/// A file or an object behind a URL, read by ranges.
#[pyclass(name = "RemoteFile", module = "zensaibo._core", frozen)]
struct PyRemoteFile(RawFile);

#[pymethods]
impl PyRemoteFile {
    #[new]
    fn new(py: Python<'_>, url: PathBuf) -> PyResult<Self> {
        run(py, Some(1), None, |_| RawFile::open(&url)).map(Self)
    }

    /// Bytes in all.
    #[getter]
    fn size(&self) -> u64 {
        self.0.length()
    }

    /// At most `count` bytes from `start` on; fewer at the end.
    fn read<'py>(&self, py: Python<'py>, start: u64, count: u64) -> PyResult<Bound<'py, PyBytes>> {
        let found = run(py, Some(1), None, |_| self.0.read(start, count))?;
        Ok(PyBytes::new(py, &found))
    }
}

/// A Zarr store behind a URL.
#[pyclass(name = "RemoteStore", module = "zensaibo._core", frozen)]
struct PyRemoteStore(RawStore);

#[pymethods]
impl PyRemoteStore {
    #[new]
    fn new(py: Python<'_>, url: PathBuf) -> PyResult<Self> {
        run(py, Some(1), None, |_| RawStore::open(&url)).map(Self)
    }

    /// An object, or a part of it: from `start` on (negative: from the end) `count` bytes or all; None where there is nothing.
    #[pyo3(signature = (key, start=None, count=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &str,
        start: Option<i64>,
        count: Option<u64>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = run(py, Some(1), None, |_| self.0.get(key, start.map(|start| (start, count))))?;
        Ok(found.map(|bytes| PyBytes::new(py, &bytes)))
    }

    /// Names of the groups and arrays in a group.
    fn members(&self, py: Python<'_>, key: &str) -> PyResult<Vec<String>> {
        run(py, Some(1), None, |_| self.0.members(key))
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyRemoteFile>()?;
    module.add_class::<PyRemoteStore>()
}
