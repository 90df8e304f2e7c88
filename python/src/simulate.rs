//! Bindings of simulate.

use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use zensaibo_core::matrix::{RowBlocks, collect};
use zensaibo_core::options::Options;
use zensaibo_core::simulate::{GeneRole, SimulateOptions, Simulation as Model};

use crate::errors::to_python;

/// A simulated data set: genes, cells and counts, any block of cells at a time.
#[pyclass(frozen)]
struct Simulation(Model);

/// Rows of a simulation as a source of its own.
struct Rows<'a> {
    model: &'a Model,
    blocks: std::ops::Range<usize>,
}

impl RowBlocks for Rows<'_> {
    fn n_rows(&self) -> usize {
        self.blocks.clone().map(|block| self.model.block_rows(block).len()).sum()
    }
    fn n_cols(&self) -> usize {
        self.model.n_cols()
    }
    fn n_entries(&self) -> usize {
        self.model.n_entries() / self.model.n_blocks().max(1) * self.blocks.len()
    }
    fn n_blocks(&self) -> usize {
        self.blocks.len()
    }
    fn block_rows(&self, block: usize) -> std::ops::Range<usize> {
        let first = self.model.block_rows(self.blocks.start).start;
        let rows = self.model.block_rows(self.blocks.start + block);
        rows.start - first..rows.end - first
    }
    fn read<'a>(
        &'a self,
        block: usize,
        scratch: &'a mut zensaibo_core::matrix::Scratch,
    ) -> zensaibo_core::Result<zensaibo_core::matrix::RowBlock<'a>> {
        let first = self.block_rows(block).start;
        let read = self.model.read(self.blocks.start + block, scratch)?;
        Ok(zensaibo_core::matrix::RowBlock { first_row: first, ..read })
    }
}

#[pymethods]
impl Simulation {
    #[new]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let options = SimulateOptions::from_json(options).map_err(|error| to_python(py, error))?;
        Ok(Self(crate::run::run(py, None, None, |_| Model::new(&options))?))
    }

    /// Number of blocks that cells come in.
    #[getter]
    fn n_blocks(&self) -> usize {
        self.0.n_blocks()
    }

    /// (cells, genes).
    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.0.n_rows(), self.0.n_cols())
    }

    /// Names of types and lineages, lineage and trajectory (-1: none) of each type, names and roles of genes.
    fn genes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let model = &self.0;
        let types: Vec<&str> = model.type_names().collect();
        let number = |wanted: fn(GeneRole) -> Option<usize>| -> Vec<i32> {
            model.roles().iter().map(|&role| wanted(role).map_or(-1, |at| at as i32)).collect()
        };
        let table = PyDict::new(py);
        let lineage_of: Vec<i32> = (0..types.len()).map(|kind| model.lineage_of(kind) as i32).collect();
        let trajectory_of: Vec<i32> =
            (0..types.len()).map(|kind| model.trajectory_of(kind).map_or(-1, |path| path as i32)).collect();
        table.set_item("names", model.gene_names())?;
        table.set_item("types", types)?;
        table.set_item("lineages", model.lineage_names())?;
        table.set_item("lineage_of", lineage_of.into_pyarray(py))?;
        table.set_item("trajectory_of", trajectory_of.into_pyarray(py))?;
        let marker = |role| if let GeneRole::TypeMarker(at) = role { Some(at) } else { None };
        let lineage = |role| if let GeneRole::LineageMarker(at) = role { Some(at) } else { None };
        let path = |role| if let GeneRole::Trajectory(at) = role { Some(at) } else { None };
        let mito = |role| (role == GeneRole::Mitochondrial).then_some(1);
        table.set_item("marker_of", number(marker).into_pyarray(py))?;
        table.set_item("lineage_marker_of", number(lineage).into_pyarray(py))?;
        table.set_item("trajectory", number(path).into_pyarray(py))?;
        table.set_item("is_mito", number(mito).into_pyarray(py))?;
        Ok(table)
    }

    /// The truth about all cells: type, batch, second type (-1: none), pseudotime (NaN: none), depth.
    fn cells<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let cells: Vec<_> = py.detach(|| (0..self.0.n_rows()).map(|index| self.0.cell(index)).collect());
        let table = PyDict::new(py);
        let ints = |values: Vec<i32>| values.into_pyarray(py);
        table.set_item("cell_type", ints(cells.iter().map(|cell| cell.cell_type as i32).collect()))?;
        table.set_item("batch", ints(cells.iter().map(|cell| cell.batch as i32).collect()))?;
        let other = cells.iter().map(|cell| cell.doublet_of.map_or(-1, |kind| kind as i32)).collect();
        table.set_item("doublet_of", ints(other))?;
        let times: Vec<f64> = cells.iter().map(|cell| cell.pseudotime.unwrap_or(f64::NAN)).collect();
        table.set_item("pseudotime", times.into_pyarray(py))?;
        let depths: Vec<f64> = cells.iter().map(|cell| cell.depth).collect();
        table.set_item("depth", depths.into_pyarray(py))?;
        Ok(table)
    }

    /// Counts of blocks `start..stop` as CSR parts: (indptr int64, indices int32, values float32).
    #[pyo3(signature = (start, stop, threads=None, progress=None))]
    fn counts<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        stop: usize,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let blocks = start.min(self.0.n_blocks())..stop.min(self.0.n_blocks());
        let (indptr, indices, values) = crate::run::run(py, threads, progress, |ctx| {
            let matrix = collect(&Rows { model: &self.0, blocks }, ctx)?;
            let indptr: Vec<i64> = matrix.indptr.into_iter().map(|at| at as i64).collect();
            // Same size and alignment; genes are far below 2^31.
            let indices: Vec<i32> = bytemuck::allocation::cast_vec(matrix.indices);
            Ok((indptr, indices, matrix.values))
        })?;
        let parts = (indptr.into_pyarray(py), indices.into_pyarray(py), values.into_pyarray(py));
        parts.into_pyobject(py)
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Simulation>()
}
