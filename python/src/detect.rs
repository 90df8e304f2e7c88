//! Bindings of `zensaibo_imaging::detect` and `zensaibo_imaging::classify`.

use numpy::{IntoPyArray, PyReadonlyArray2, PyReadonlyArray3};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::data::Grid;
use zensaibo_imaging::classify::{Annotated, CellClassifier, TrainOptions, train_cell_classifier};
use zensaibo_imaging::detect::{DetectOptions, detect_cells};
use zensaibo_imaging::matching::match_points;

use crate::errors::to_python;
use crate::run::run;
use crate::volume::{PyVolume, spaced};

/// Rows of (z, y, x).
fn points_of(points: &PyReadonlyArray2<'_, f64>) -> Vec<[f64; 3]> {
    points.as_array().rows().into_iter().map(|row| [row[0], row[1], row[2]]).collect()
}

/// A volume, its background channel, its cells, the voxels that were looked at and its group.
type PyAnnotated<'py> = (
    PyRef<'py, PyVolume>,
    Option<PyRef<'py, PyVolume>>,
    PyReadonlyArray2<'py, f64>,
    Option<PyReadonlyArray3<'py, bool>>,
    usize,
);

/// The text of the classifier that comes with the program.
#[pyfunction]
fn im_default_classifier(py: Python<'_>) -> PyResult<String> {
    CellClassifier::default_model().map(CellClassifier::to_json).map_err(|error| to_python(py, error))
}

/// Refuses a text that is no classifier.
#[pyfunction]
fn im_check_classifier(py: Python<'_>, name: &str, text: &str) -> PyResult<()> {
    CellClassifier::from_json(name, text).map(|_| ()).map_err(|error| to_python(py, error))
}

/// Cells as a dict of columns and the report as JSON.
#[pyfunction]
#[pyo3(signature = (signal, background, options, spacing, classifier=None, threads=None, progress=None))]
fn im_detect_cells(
    py: Python<'_>,
    signal: &PyVolume,
    background: Option<&PyVolume>,
    options: &str,
    spacing: [f64; 3],
    classifier: Option<&str>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyDict>> {
    let (spacing, options) = spaced::<DetectOptions>(py, spacing, options)?;
    let classifier = classifier.map(|text| CellClassifier::from_json("classifier", text)).transpose();
    let classifier = classifier.map_err(|error| to_python(py, error))?;
    let source = signal.source.clone();
    let other = background.map(|volume| volume.source.clone());
    let cells = run(py, threads, progress, |ctx| {
        let other = other.as_ref().map(|volume| volume as &dyn zensaibo_core::data::VolumeBlocks);
        detect_cells(&source, other, spacing, classifier.as_ref(), &options, ctx)
    })?;
    let out = PyDict::new(py);
    let flat: Vec<f64> = cells.centre.iter().flatten().copied().collect();
    out.set_item("centre", flat.into_pyarray(py))?;
    let report = serde_json::to_string(&cells.report).unwrap_or_default();
    for (name, column) in [
        ("score", cells.score),
        ("volume", cells.volume),
        ("radius", cells.radius),
        ("mean_intensity", cells.mean),
        ("peak_intensity", cells.peak),
        ("background", cells.background),
        ("noise", cells.noise),
    ] {
        out.set_item(name, column.into_pyarray(py))?;
    }
    out.set_item("edge", cells.edge.into_pyarray(py))?;
    out.set_item("report", report)?;
    Ok(out.unbind())
}

/// The text of a classifier trained on annotated volumes: (signal, background, points, annotated voxels, group) each.
#[pyfunction]
#[pyo3(signature = (patches, options, spacing, threads=None, progress=None))]
fn im_train_cell_classifier(
    py: Python<'_>,
    patches: Vec<PyAnnotated<'_>>,
    options: &str,
    spacing: [f64; 3],
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let (spacing, options) = spaced::<TrainOptions>(py, spacing, options)?;
    let held: Vec<_> = patches
        .iter()
        .map(|(signal, background, points, looked, group)| {
            let other = background.as_ref().map(|volume| volume.source.clone());
            let looked = looked.as_ref().map(|mask| {
                let mask = mask.as_array();
                let (z, y, x) = mask.dim();
                Grid { shape: [z, y, x], data: mask.iter().copied().collect() }
            });
            (signal.source.clone(), other, points_of(points), looked, *group)
        })
        .collect();
    let model = run(py, threads, progress, |ctx| {
        let volumes: Vec<Annotated<'_>> = held
            .iter()
            .map(|(signal, background, cells, looked, group)| Annotated {
                signal,
                background: background.as_ref().map(|volume| volume as &dyn zensaibo_core::data::VolumeBlocks),
                spacing,
                cells,
                looked: looked.as_ref(),
                group: *group,
            })
            .collect();
        train_cell_classifier(&volumes, &options, ctx)
    })?;
    Ok(model.to_json())
}

/// Pairs (found, true) of points and their distances.
#[pyfunction]
fn im_match_points(
    py: Python<'_>,
    found: PyReadonlyArray2<'_, f64>,
    truth: PyReadonlyArray2<'_, f64>,
    radius: f64,
) -> PyResult<(Vec<usize>, Vec<usize>, Vec<f64>)> {
    let (found, truth) = (points_of(&found), points_of(&truth));
    let matching = match_points(&found, &truth, radius).map_err(|error| to_python(py, error))?;
    let mut out = (Vec::new(), Vec::new(), Vec::new());
    for (f, t, distance) in matching.pairs {
        out.0.push(f);
        out.1.push(t);
        out.2.push(distance);
    }
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_default_classifier, module)?)?;
    module.add_function(wrap_pyfunction!(im_check_classifier, module)?)?;
    module.add_function(wrap_pyfunction!(im_detect_cells, module)?)?;
    module.add_function(wrap_pyfunction!(im_train_cell_classifier, module)?)?;
    module.add_function(wrap_pyfunction!(im_match_points, module)?)
}
