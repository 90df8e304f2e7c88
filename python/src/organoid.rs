//! Bindings of `zensaibo_imaging::organoid`.

use numpy::{PyArray1, PyArray3, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::data::{Frame, Grid, VolumeBlocks};
use zensaibo_imaging::organoid::{OrganoidOptions, organoids};

use crate::run::run;
use crate::shapes::table;
use crate::volume::{PyVolume, spaced};

fn array<T: numpy::Element>(py: Python<'_>, grid: Grid<T>) -> PyResult<Bound<'_, PyArray3<T>>> {
    PyArray1::from_vec(py, grid.data).reshape(grid.shape)
}

/// Organoids of one frame of labels: columns of bodies and of lumens by name, and the grids `body`, `lumen`, `depth`, `to_lumen`.
#[pyfunction]
#[pyo3(signature = (labels, picture, options, spacing, threads=None, progress=None))]
fn im_organoids<'py>(
    py: Python<'py>,
    labels: &PyVolume,
    picture: Option<PyRef<'py, PyVolume>>,
    options: &str,
    spacing: [f64; 3],
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let (spacing, options) = spaced::<OrganoidOptions>(py, spacing, options)?;
    let picture = picture.map(|picture| picture.source.clone());
    let found = run(py, threads, progress, |ctx| {
        let picture = picture.as_ref().map(|picture| (picture as &dyn VolumeBlocks, Frame::default()));
        organoids(&labels.source, Frame::default(), picture, spacing, &options, ctx)
    })?;
    let bodies = table(py, found.bodies.shape)?;
    bodies.set_item("tissue_volume", PyArray1::from_vec(py, found.bodies.tissue_volume))?;
    bodies.set_item("lumens", PyArray1::from_vec(py, found.bodies.lumens))?;
    bodies.set_item("lumen_volume", PyArray1::from_vec(py, found.bodies.lumen_volume))?;
    bodies.set_item("largest_lumen", PyArray1::from_vec(py, found.bodies.largest_lumen))?;
    bodies.set_item("max_depth", PyArray1::from_vec(py, found.bodies.max_depth))?;
    bodies.set_item("wall", PyArray1::from_vec(py, found.bodies.wall))?;
    bodies.set_item("level", PyArray1::from_vec(py, found.bodies.level))?;
    let lumens = table(py, found.lumens.shape)?;
    lumens.set_item("organoid", PyArray1::from_vec(py, found.lumens.organoid))?;
    lumens.set_item("open", PyArray1::from_vec(py, found.lumens.open))?;
    lumens.set_item("radius", PyArray1::from_vec(py, found.lumens.radius))?;
    let out = PyDict::new(py);
    out.set_item("bodies", bodies)?;
    out.set_item("lumens", lumens)?;
    out.set_item("body", array(py, found.body)?)?;
    out.set_item("lumen", array(py, found.lumen)?)?;
    out.set_item("depth", array(py, found.depth)?)?;
    out.set_item("to_lumen", array(py, found.to_lumen)?)?;
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_organoids, module)?)
}
