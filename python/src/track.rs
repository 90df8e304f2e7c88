//! Bindings of `zensaibo_imaging::track`.

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::options::Options;
use zensaibo_core::{DataFault, Error, Result};
use zensaibo_imaging::track::{self, Ctc, Detections, Graph, LabelCentres, TrackOptions};

use crate::errors::to_python;
use crate::run::run;
use crate::volume::PyVolume;

/// (n, 3) coordinates as places.
fn places<'a>(points: &'a PyReadonlyArray2<'_, f64>) -> Result<&'a [[f64; 3]]> {
    let (shape, flat) = (points.shape(), points.as_slice());
    match flat {
        Ok(flat) if shape[1] == 3 => Ok(flat.as_chunks().0),
        _ => Err(Error::data(DataFault::Shape, "points", "(n, 3) in C order", format!("{shape:?}"))),
    }
}

/// Track of each detection (from 1) and parent of each track (0: none).
#[pyfunction]
#[pyo3(signature = (offsets, points, sizes, options, threads=None, progress=None))]
fn im_track<'py>(
    py: Python<'py>,
    offsets: Vec<usize>,
    points: PyReadonlyArray2<'py, f64>,
    sizes: Option<PyReadonlyArray1<'py, f64>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>)> {
    let options = TrackOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let points = places(&points).map_err(|error| to_python(py, error))?;
    let sizes = sizes.as_ref().map(|sizes| sizes.as_slice()).transpose()?;
    let detections = Detections { offsets: &offsets, points, sizes };
    let found = run(py, threads, progress, |ctx| track::track(&detections, &options, ctx))?;
    Ok((found.track.into_pyarray(py), found.parent.into_pyarray(py)))
}

/// Objects of label volumes: time, label, voxels, centre in voxels (n x 3).
type Objects<'py> =
    (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>, Bound<'py, PyArray2<f64>>);

fn objects<'py>(py: Python<'py>, frames: &[LabelCentres]) -> PyResult<Objects<'py>> {
    let times: Vec<i64> =
        frames.iter().zip(0i64..).flat_map(|(frame, t)| std::iter::repeat_n(t, frame.labels.len())).collect();
    let labels: Vec<u64> = frames.iter().flat_map(|frame| frame.labels.iter().copied()).collect();
    let voxels: Vec<u64> = frames.iter().flat_map(|frame| frame.voxels.iter().copied()).collect();
    let centres: Vec<f64> = frames.iter().flat_map(|frame| frame.centres.as_flattened().iter().copied()).collect();
    let n = labels.len();
    Ok((
        times.into_pyarray(py),
        labels.into_pyarray(py),
        voxels.into_pyarray(py),
        centres.into_pyarray(py).reshape([n, 3])?,
    ))
}

/// Objects of a label volume over time.
#[pyfunction]
#[pyo3(signature = (volume, threads=None, progress=None))]
fn im_label_centres<'py>(
    py: Python<'py>,
    volume: &PyVolume,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Objects<'py>> {
    let source = volume.source.clone();
    let frames = run(py, threads, progress, |ctx| track::label_centres(&source, ctx))?;
    objects(py, &frames)
}

/// Objects of the reference, of the result, the result object for each of the reference (-1: none), SEG.
#[pyfunction]
#[pyo3(signature = (reference, result, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // taken apart at once in Python
fn im_match_labels<'py>(
    py: Python<'py>,
    reference: &PyVolume,
    result: &PyVolume,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Objects<'py>, Objects<'py>, Bound<'py, PyArray1<i64>>, f64)> {
    let (a, b) = (reference.source.clone(), result.source.clone());
    let found = run(py, threads, progress, |ctx| track::match_labels(&a, &b, ctx))?;
    let matches = signed(&found.matches).into_pyarray(py);
    Ok((objects(py, &found.reference)?, objects(py, &found.result)?, matches, found.seg))
}

fn signed(matches: &[Option<u32>]) -> Vec<i64> {
    matches.iter().map(|found| found.map_or(-1, i64::from)).collect()
}

/// For each reference point the result point that stands for it, within a radius; -1 for none.
#[pyfunction]
#[pyo3(signature = (reference_times, reference, result_times, result, radius, threads=None, progress=None))]
#[allow(clippy::too_many_arguments)] // two tables
fn im_match_detections<'py>(
    py: Python<'py>,
    reference_times: PyReadonlyArray1<'py, i64>,
    reference: PyReadonlyArray2<'py, f64>,
    result_times: PyReadonlyArray1<'py, i64>,
    result: PyReadonlyArray2<'py, f64>,
    radius: f64,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let reference = (reference_times.as_slice()?, places(&reference).map_err(|error| to_python(py, error))?);
    let result = (result_times.as_slice()?, places(&result).map_err(|error| to_python(py, error))?);
    let found = run(py, threads, progress, |_| track::match_points(reference, result, radius))?;
    Ok(signed(&found).into_pyarray(py))
}

/// Scores of the Cell Tracking Challenge, by name.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // two graphs
fn ctc_scores<'py>(
    py: Python<'py>,
    reference_times: PyReadonlyArray1<'py, i64>,
    reference_tracks: PyReadonlyArray1<'py, u32>,
    reference_parents: PyReadonlyArray1<'py, u32>,
    result_times: PyReadonlyArray1<'py, i64>,
    result_tracks: PyReadonlyArray1<'py, u32>,
    result_parents: PyReadonlyArray1<'py, u32>,
    matches: PyReadonlyArray1<'py, i64>,
    tolerance: i64,
) -> PyResult<Bound<'py, PyDict>> {
    let reference = Graph {
        times: reference_times.as_slice()?,
        tracks: reference_tracks.as_slice()?,
        parents: reference_parents.as_slice()?,
    };
    let result = Graph {
        times: result_times.as_slice()?,
        tracks: result_tracks.as_slice()?,
        parents: result_parents.as_slice()?,
    };
    let matches: Vec<Option<u32>> = matches.as_slice()?.iter().map(|&found| u32::try_from(found).ok()).collect();
    let Ctc {
        det,
        tra,
        lnk,
        missed,
        false_positives,
        splits,
        links_missed,
        links_false,
        links_changed,
        links,
        division_recall,
        division_precision,
        divisions,
        complete_tracks,
        track_fractions,
    } = run(py, None, None, |_| track::ctc_scores(&reference, &result, &matches, tolerance))?;
    let out = PyDict::new(py);
    let shares = [
        ("DET", det),
        ("TRA", tra),
        ("LNK", lnk),
        ("division_recall", division_recall),
        ("division_precision", division_precision),
        ("CT", complete_tracks),
        ("TF", track_fractions),
    ];
    for (name, value) in shares {
        out.set_item(name, value)?;
    }
    let counts = [
        ("missed", missed),
        ("false_positives", false_positives),
        ("splits", splits),
        ("links_missed", links_missed),
        ("links_false", links_false),
        ("links_changed", links_changed),
        ("links_truth", links[0]),
        ("links_result", links[1]),
        ("divisions_truth", divisions[0]),
        ("divisions_result", divisions[1]),
        ("divisions_found", divisions[2]),
    ];
    for (name, value) in counts {
        out.set_item(name, value)?;
    }
    Ok(out)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_track, module)?)?;
    module.add_function(wrap_pyfunction!(im_label_centres, module)?)?;
    module.add_function(wrap_pyfunction!(im_match_labels, module)?)?;
    module.add_function(wrap_pyfunction!(im_match_detections, module)?)?;
    module.add_function(wrap_pyfunction!(ctc_scores, module)?)
}
