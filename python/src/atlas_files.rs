//! Bindings of the files of atlases.

use std::collections::HashMap;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_io::atlas::{AtlasVolume, StructureTable, atlas_parts, read_structures, structures_of_csv};

use crate::errors::to_python;

/// (id, acronym, name, id of the parent or None, (red, green, blue)).
type Row = (u64, String, String, Option<u64>, [u8; 3]);

fn rows(table: StructureTable) -> (Vec<Row>, Option<HashMap<u64, u64>>) {
    let row = |row: zensaibo_io::atlas::StructureRow| (row.id, row.acronym, row.name, row.parent, row.rgb);
    (table.rows.into_iter().map(row).collect(), table.values)
}

/// Where the parts of an atlas lie: volumes as (path, level).
#[pyfunction]
#[pyo3(signature = (path, name=None))]
fn atlas_files<'py>(py: Python<'py>, path: PathBuf, name: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
    let parts = atlas_parts(&path, name).map_err(|error| to_python(py, error))?;
    let volume = |volume: Option<AtlasVolume>| volume.map(|volume| (volume.path, volume.level));
    let out = PyDict::new(py);
    out.set_item("annotation", volume(parts.annotation))?;
    out.set_item("template", volume(parts.template))?;
    out.set_item("hemispheres", volume(parts.hemispheres))?;
    out.set_item("structures", parts.structures)?;
    out.set_item("spacing", parts.spacing)?;
    out.set_item("orientation", parts.orientation.map(|sides| sides.to_string()))?;
    out.set_item("shape", parts.shape)?;
    out.set_item("name", parts.name)?;
    Ok(out)
}

/// The rows of a table of structures in a file, and the id that each value of the annotation stands for where that is
/// another number.
#[pyfunction]
fn atlas_structures(py: Python<'_>, path: PathBuf) -> PyResult<(Vec<Row>, Option<HashMap<u64, u64>>)> {
    read_structures(&path).map(rows).map_err(|error| to_python(py, error))
}

/// The same of CSV text.
#[pyfunction]
fn atlas_structures_csv(py: Python<'_>, text: &str, name: &str) -> PyResult<(Vec<Row>, Option<HashMap<u64, u64>>)> {
    structures_of_csv(text, name).map(rows).map_err(|error| to_python(py, error))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(atlas_files, module)?)?;
    module.add_function(wrap_pyfunction!(atlas_structures, module)?)?;
    module.add_function(wrap_pyfunction!(atlas_structures_csv, module)?)
}
