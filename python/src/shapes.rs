//! Bindings of `zensaibo_imaging::{morphology, measure, segment, matching}`.

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::options::Options;
use zensaibo_core::{DataFault, Error, Result};
use zensaibo_imaging::blocks::{read_as, read_f32};
use zensaibo_imaging::filters::filter_volume;
use zensaibo_imaging::matching::Overlaps;
use zensaibo_imaging::measure::{RegionOptions, RegionTable, region_properties};
use zensaibo_imaging::morphology::{
    BoundedDistance, Components, DistanceOptions, LabelOptions, Real, distance_transform,
};
use zensaibo_imaging::segment::{NucleiOptions, WatershedOptions, segment_nuclei, segment_shared, watershed};
use zensaibo_imaging::space::Spacing;

use crate::errors::to_python;
use crate::run::run;
use crate::volume::{Output, PyVolume, spaced};

/// What is written for all frames of a volume, in another type and in pieces of any size.
fn info_as(volume: &PyVolume, dtype: Dtype) -> VolumeInfo {
    VolumeInfo { dtype, chunk: [1; 3], ..volume.source.info().clone() }
}

/// Connected components of every frame: labels and their number in each frame.
#[pyfunction]
#[pyo3(signature = (volume, options, memory=None, threads=None, progress=None))]
fn im_label(
    py: Python<'_>,
    volume: &PyVolume,
    options: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Py<PyAny>, Vec<u64>)> {
    let options = LabelOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let (source, frames) = (volume.source.clone(), volume.source.info().frames());
    let (output, counts) = run(py, threads, progress, |ctx| {
        let share = memory.map(|memory| memory / frames.len().max(1) as u64);
        let found: Result<Vec<Components>> =
            frames.iter().map(|&frame| Components::find(&source, frame, &options, share, ctx)).collect();
        let found = found?;
        let wide = found.iter().any(|found| found.dtype() == Dtype::U64);
        let mut output = Output::new(info_as(volume, if wide { Dtype::U64 } else { Dtype::U32 }));
        output.fill(|sink| found.iter().zip(&frames).try_for_each(|(found, &frame)| found.write(frame, sink, ctx)))?;
        let counts: Vec<u64> = found.iter().map(Components::count).collect();
        Ok((output, counts))
    })?;
    Ok((output.into_numpy(py)?, counts))
}

/// Distances of all frames, one after another.
fn distances<T: Real + numpy::Element>(
    py: Python<'_>,
    volume: &PyVolume,
    spacing: Spacing,
    options: &DistanceOptions,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let all = run(py, threads, progress, |ctx| {
        let mut all = Vec::new();
        for frame in volume.source.info().frames() {
            let grid: Grid<T> = distance_transform(&volume.source, frame, spacing, options, ctx)?;
            all = joined(all, grid.data);
        }
        Ok(all)
    })?;
    Ok(PyArray1::from_vec(py, all).into_any().unbind())
}

/// One frame after those before it; the first is taken as it is.
fn joined<T: Copy>(mut all: Vec<T>, next: Vec<T>) -> Vec<T> {
    if all.is_empty() {
        return next;
    }
    all.extend_from_slice(&next);
    all
}

/// Distances to the background in every frame; up to `max_distance`, block by block, when that is given.
#[pyfunction]
#[pyo3(signature = (volume, options, spacing, wide, max_distance=None, memory=None, threads=None, progress=None))]
fn im_distance_transform(
    py: Python<'_>,
    volume: &PyVolume,
    options: &str,
    spacing: [f64; 3],
    wide: bool,
    max_distance: Option<f64>,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let (spacing, options) = spaced::<DistanceOptions>(py, spacing, options)?;
    let bounded = max_distance.map(|most| BoundedDistance::new(most, spacing, options.black_border)).transpose();
    let bounded = bounded.map_err(|error| to_python(py, error))?;
    match &bounded {
        Some(filter) => {
            let mut output = Output::new(info_as(volume, if wide { Dtype::F64 } else { Dtype::F32 }));
            run(py, threads, progress, |ctx| {
                output.fill(|sink| filter_volume(&volume.source, filter, sink, memory, ctx))
            })?;
            output.into_numpy(py)
        }
        None if wide => distances::<f64>(py, volume, spacing, &options, threads, progress),
        None => distances::<f32>(py, volume, spacing, &options, threads, progress),
    }
}

/// One frame of labels as u32, refused where the type or a value does not fit.
fn labels_u32(name: &str, volume: &PyVolume) -> Result<Grid<u32>> {
    let info = volume.source.info();
    if matches!(info.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64) {
        return Err(Error::data(DataFault::Invalid, name, "whole numbers", info.dtype.name()));
    }
    let region = Region::whole(info.space());
    if matches!(info.dtype, Dtype::U64 | Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8) {
        let grid: Grid<i64> = read_as(&volume.source, Frame::default(), &region)?;
        if let Some(&value) = grid.data.iter().find(|&&value| u32::try_from(value).is_err()) {
            return Err(Error::data(DataFault::Invalid, name, "numbers from 0 to 2^32 - 1", value));
        }
    }
    read_as(&volume.source, Frame::default(), &region)
}

/// Floods one frame held in memory.
#[pyfunction]
#[pyo3(signature = (image, markers, mask, options, threads=None, progress=None))]
fn im_watershed(
    py: Python<'_>,
    image: &PyVolume,
    markers: &PyVolume,
    mask: Option<PyRef<'_, PyVolume>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let options = WatershedOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let mask = mask.map(|mask| mask.source.clone());
    let labels = run(py, threads, progress, |ctx| {
        let whole = Region::whole(image.source.info().space());
        let picture = read_f32(&image.source, Frame::default(), &whole)?;
        let seeds = labels_u32("markers", markers)?;
        let mask = match &mask {
            None => None,
            Some(mask) => {
                let grid = read_f32(mask, Frame::default(), &Region::whole(mask.info().space()))?;
                Some(Grid { shape: grid.shape, data: grid.data.iter().map(|&v| u8::from(v != 0.0)).collect() })
            }
        };
        watershed(&picture, &seeds, mask.as_ref(), &options, ctx)
    })?;
    Ok(PyArray1::from_vec(py, labels.data).into_any().unbind())
}

fn triples<T: numpy::Element + Copy>(py: Python<'_>, rows: &[[T; 3]]) -> PyResult<Py<PyAny>> {
    let flat: Vec<T> = rows.iter().flatten().copied().collect();
    Ok(PyArray1::from_vec(py, flat).reshape([rows.len(), 3])?.into_any().unbind())
}

pub(crate) fn table(py: Python<'_>, table: RegionTable) -> PyResult<Bound<'_, PyDict>> {
    let out = PyDict::new(py);
    out.set_item("label", PyArray1::from_vec(py, table.label))?;
    out.set_item("voxels", PyArray1::from_vec(py, table.voxels))?;
    out.set_item("volume", PyArray1::from_vec(py, table.volume))?;
    out.set_item("centroid", triples(py, &table.centroid)?)?;
    out.set_item("low", triples(py, &table.low)?)?;
    out.set_item("high", triples(py, &table.high)?)?;
    out.set_item("axes", triples(py, &table.axes)?)?;
    out.set_item("orientation", triples(py, &table.orientation)?)?;
    out.set_item("diameter", PyArray1::from_vec(py, table.diameter))?;
    out.set_item("surface", PyArray1::from_vec(py, table.surface))?;
    out.set_item("sphericity", PyArray1::from_vec(py, table.sphericity))?;
    out.set_item("touches_border", PyArray1::from_vec(py, table.touches_border))?;
    let mut channels = Vec::new();
    for channel in table.channels {
        let columns = PyDict::new(py);
        columns.set_item("mean", PyArray1::from_vec(py, channel.mean))?;
        columns.set_item("sd", PyArray1::from_vec(py, channel.deviation))?;
        columns.set_item("min", PyArray1::from_vec(py, channel.min))?;
        columns.set_item("max", PyArray1::from_vec(py, channel.max))?;
        columns.set_item("sum", PyArray1::from_vec(py, channel.sum))?;
        channels.push((channel.name, columns));
    }
    out.set_item("channels", channels)?;
    Ok(out)
}

/// Measures the labels of every time point: one table for each.
#[pyfunction]
#[pyo3(signature = (labels, picture, options, spacing, memory=None, threads=None, progress=None))]
fn im_region_properties<'py>(
    py: Python<'py>,
    labels: &PyVolume,
    picture: Option<PyRef<'py, PyVolume>>,
    options: &str,
    spacing: [f64; 3],
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let (spacing, options) = spaced::<RegionOptions>(py, spacing, options)?;
    let picture = picture.map(|picture| picture.source.clone());
    let tables = run(py, threads, progress, |ctx| {
        let times = 0..labels.source.info().shape[0];
        times
            .map(|time| {
                let frame = Frame { time, channel: 0 };
                let picture = picture.as_ref().map(|picture| (picture as &dyn VolumeBlocks, time));
                region_properties(&labels.source, frame, picture, spacing, &options, memory, ctx)
            })
            .collect::<Result<Vec<_>>>()
    })?;
    tables.into_iter().map(|found| table(py, found)).collect()
}

/// Nuclei of one channel at every time point: labels of all, and for each a table, the noise and the least contrast.
#[pyfunction]
#[pyo3(signature = (volume, channel, options, spacing, memory=None, threads=None, progress=None))]
fn im_segment_nuclei<'py>(
    py: Python<'py>,
    volume: &PyVolume,
    channel: usize,
    options: &str,
    spacing: [f64; 3],
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Py<PyAny>, Vec<(Bound<'py, PyDict>, f64, f64)>)> {
    let (spacing, options) = spaced::<NucleiOptions>(py, spacing, options)?;
    let (labels, tables) = run(py, threads, progress, |ctx| {
        let (mut labels, mut tables) = (Vec::new(), Vec::new());
        let info = volume.source.info();
        if let Some(exchange) = volume.source.exchange().filter(|_| !info.shape.contains(&0)) {
            let frames: Vec<Frame> = (0..info.shape[0]).map(|time| Frame { time, channel }).collect();
            let found = segment_shared(&volume.source, exchange, &frames, spacing, &options, memory, ctx)?;
            for (frame, table) in found.tables.iter().enumerate() {
                labels = joined(labels, found.labels_in_memory(frame)?.data);
                tables.push((table.clone(), found.noise[frame], found.min_contrast[frame]));
            }
            return Ok((labels, tables));
        }
        for time in 0..info.shape[0] {
            let frame = Frame { time, channel };
            let found = segment_nuclei(&volume.source, frame, spacing, &options, memory, ctx)?;
            labels = joined(labels, found.labels.data);
            tables.push((found.table, found.noise, found.min_contrast));
        }
        Ok((labels, tables))
    })?;
    let tables: PyResult<Vec<_>> =
        tables.into_iter().map(|(found, noise, contrast)| Ok((table(py, found)?, noise, contrast))).collect();
    Ok((PyArray1::from_vec(py, labels).into_any().unbind(), tables?))
}

/// Scores of labels found against true ones at each threshold, and SEG.
#[pyfunction]
#[pyo3(signature = (truth, found, thresholds, memory=None, threads=None, progress=None))]
fn im_segmentation_scores<'py>(
    py: Python<'py>,
    truth: &PyVolume,
    found: &PyVolume,
    thresholds: Vec<f64>,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Vec<Bound<'py, PyDict>>, f64)> {
    let (scores, seg) = run(py, threads, progress, |ctx| {
        let frame = Frame::default();
        let overlaps = Overlaps::count(&truth.source, frame, &found.source, frame, memory, ctx)?;
        let scores: Result<Vec<_>> = thresholds.iter().map(|&threshold| overlaps.score(threshold)).collect();
        Ok((scores?, overlaps.seg()))
    })?;
    let rows = scores.into_iter().map(|score| {
        let row = PyDict::new(py);
        row.set_item("threshold", score.threshold)?;
        row.set_item("true_positives", score.true_positives)?;
        row.set_item("false_positives", score.false_positives)?;
        row.set_item("false_negatives", score.false_negatives)?;
        row.set_item("precision", score.precision)?;
        row.set_item("recall", score.recall)?;
        row.set_item("f1", score.f1)?;
        row.set_item("average_precision", score.average_precision)?;
        row.set_item("mean_iou", score.mean_iou)?;
        row.set_item("panoptic_quality", score.panoptic_quality)?;
        Ok(row)
    });
    Ok((rows.collect::<PyResult<_>>()?, seg))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_label, module)?)?;
    module.add_function(wrap_pyfunction!(im_distance_transform, module)?)?;
    module.add_function(wrap_pyfunction!(im_watershed, module)?)?;
    module.add_function(wrap_pyfunction!(im_region_properties, module)?)?;
    module.add_function(wrap_pyfunction!(im_segment_nuclei, module)?)?;
    module.add_function(wrap_pyfunction!(im_segmentation_scores, module)?)
}
