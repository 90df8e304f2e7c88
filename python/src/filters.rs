//! Bindings of `zensaibo_imaging::filters`.

use numpy::{PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray3};
use pyo3::prelude::*;
use zensaibo_core::data::{Grid, VolumeBlocks, VolumeInfo, VolumeSink};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Result};
use zensaibo_imaging::filters::{
    self, DestripeOptions, DifferenceOfGaussians, DifferenceOfGaussiansOptions, DownsampleOptions, FlatFieldOptions,
    Gaussian, GaussianOptions, Laplacian, LaplacianOptions, LocalContrast, LocalContrastOptions, LocalFilter, Median,
    MedianOptions, Morphology, MorphologyOptions, ResampleOptions, RollingBall, RollingBallOptions,
    SubtractBackgroundOptions, filter_volume,
};
use zensaibo_imaging::space::Spacing;

use crate::errors::to_python;
use crate::run::run;
use crate::volume::{Output, PyVolume, dtype_of, spaced};

/// The filter that options of a name describe.
fn filter_of(name: &str, options: &str, spacing: Spacing) -> Result<Box<dyn LocalFilter>> {
    Ok(match name {
        "difference_of_gaussians" => {
            Box::new(DifferenceOfGaussians::new(&DifferenceOfGaussiansOptions::from_json(options)?, spacing)?)
        }
        "gaussian" => Box::new(Gaussian::new(&GaussianOptions::from_json(options)?, spacing)?),
        "gaussian_laplace" => Box::new(Laplacian::new(&LaplacianOptions::from_json(options)?, spacing)?),
        "local_contrast" => Box::new(LocalContrast::new(&LocalContrastOptions::from_json(options)?, spacing)?),
        "median" => Box::new(Median::new(&MedianOptions::from_json(options)?, spacing)?),
        "morphology" => Box::new(Morphology::new(&MorphologyOptions::from_json(options)?, spacing)?),
        "rolling_ball" => Box::new(RollingBall::new(&RollingBallOptions::from_json(options)?, spacing)?),
        _ => return Err(zensaibo_core::Error::Internal(format!("no filter {name}"))),
    })
}

/// Memory for a result that `info` describes, of the number type of a name.
fn output(mut info: VolumeInfo, dtype: &str) -> Result<Output> {
    info.dtype = dtype_of(dtype)?;
    info.chunk = [1; 3];
    Ok(Output::new(info))
}

/// Runs a job that fills an output, and gives that as a flat numpy array.
fn filled<T: Send>(
    py: Python<'_>,
    output: Result<Output>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
    job: impl FnOnce(&dyn VolumeSink, &Ctx) -> Result<T> + Send,
) -> PyResult<(Py<PyAny>, T)> {
    let mut output = output.map_err(|error| to_python(py, error))?;
    let result = run(py, threads, progress, |ctx| output.fill(|sink| job(sink, ctx)))?;
    Ok((output.into_numpy(py)?, result))
}

/// A volume through a local filter, as a flat numpy array of `dtype`.
#[pyfunction]
#[pyo3(signature = (volume, name, options, spacing, dtype, memory=None, threads=None, progress=None))]
fn im_filter(
    py: Python<'_>,
    volume: &PyVolume,
    name: &str,
    options: &str,
    spacing: [f64; 3],
    dtype: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let made = Spacing::new(spacing).and_then(|spacing| filter_of(name, options, spacing));
    let filter = made.map_err(|error| to_python(py, error))?;
    let source = volume.source.clone();
    let output = output(source.info().clone(), dtype);
    let job = |sink: &dyn VolumeSink, ctx: &Ctx| filter_volume(&source, filter.as_ref(), sink, memory, ctx);
    Ok(filled(py, output, threads, progress, job)?.0)
}

/// A volume without stripes, as a flat numpy array of `dtype`.
#[pyfunction]
#[pyo3(signature = (volume, options, spacing, dtype, memory=None, threads=None, progress=None))]
fn im_destripe(
    py: Python<'_>,
    volume: &PyVolume,
    options: &str,
    spacing: [f64; 3],
    dtype: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let (spacing, options) = spaced::<DestripeOptions>(py, spacing, options)?;
    let source = volume.source.clone();
    let output = output(source.info().clone(), dtype);
    let job = |sink: &dyn VolumeSink, ctx: &Ctx| filters::destripe(&source, spacing, &options, sink, memory, ctx);
    Ok(filled(py, output, threads, progress, job)?.0)
}

/// A signal less its background: (flat numpy array of `dtype`, for each frame (slopes, offsets, windows along z, y and x,
/// saturated voxels, undecided windows)).
#[pyfunction]
#[pyo3(signature = (signal, background, options, spacing, dtype, memory=None, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // taken apart at once in Python
fn im_subtract_background(
    py: Python<'_>,
    signal: &PyVolume,
    background: &PyVolume,
    options: &str,
    spacing: [f64; 3],
    dtype: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Py<PyAny>, Vec<(Vec<f64>, Vec<f64>, [usize; 3], u64, usize)>)> {
    let (spacing, options) = spaced::<SubtractBackgroundOptions>(py, spacing, options)?;
    let (signal, background) = (signal.source.clone(), background.source.clone());
    let output = output(signal.info().clone(), dtype);
    let job = |sink: &dyn VolumeSink, ctx: &Ctx| {
        filters::subtract_background(&signal, &background, spacing, &options, sink, memory, ctx)
    };
    let (array, fits) = filled(py, output, threads, progress, job)?;
    let fits = fits
        .into_iter()
        .map(|fit| {
            let (slopes, offsets) = fit.lines.data.iter().map(|line| (line.slope, line.offset)).unzip();
            (slopes, offsets, fit.lines.shape, fit.saturated, fit.undecided)
        })
        .collect();
    Ok((array, fits))
}

/// Means over blocks of voxels: (flat numpy array of `dtype`, shape along t, c, z, y and x, spacing, origin).
#[pyfunction]
#[pyo3(signature = (volume, options, dtype, memory=None, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // taken apart at once in Python
fn im_downsample(
    py: Python<'_>,
    volume: &PyVolume,
    options: &str,
    dtype: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Py<PyAny>, [usize; 5], Option<[f64; 3]>, [f64; 3])> {
    let options = DownsampleOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let source = volume.source.clone();
    let info = filters::downsampled(source.info(), &options);
    let output = output(info.clone(), dtype);
    let job = |sink: &dyn VolumeSink, ctx: &Ctx| filters::downsample(&source, &options, sink, memory, ctx);
    Ok((filled(py, output, threads, progress, job)?.0, info.shape, info.spacing, info.origin))
}

/// A volume at another spacing: (flat numpy array of `dtype`, shape along t, c, z, y and x, spacing, origin).
#[pyfunction]
#[pyo3(signature = (volume, options, spacing, dtype, memory=None, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // taken apart at once in Python
fn im_resample(
    py: Python<'_>,
    volume: &PyVolume,
    options: &str,
    spacing: [f64; 3],
    dtype: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Py<PyAny>, [usize; 5], Option<[f64; 3]>, [f64; 3])> {
    let (spacing, options) = spaced::<ResampleOptions>(py, spacing, options)?;
    let source = volume.source.clone();
    let info = filters::resampled(source.info(), spacing, &options);
    let output = output(info.clone(), dtype);
    let job = |sink: &dyn VolumeSink, ctx: &Ctx| filters::resample(&source, spacing, &options, sink, memory, ctx);
    Ok((filled(py, output, threads, progress, job)?.0, info.shape, info.spacing, info.origin))
}

/// Shading of each channel: (flat-field, dark-field, brightness of each image, images left out).
#[pyfunction]
#[pyo3(signature = (tiles, options, threads=None, progress=None))]
#[allow(clippy::type_complexity)] // taken apart at once in Python
fn im_estimate_flatfield<'py>(
    py: Python<'py>,
    tiles: Vec<PyRef<'py, PyVolume>>,
    options: &str,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<f64>>, usize)>> {
    let options = FlatFieldOptions::from_json(options).map_err(|error| to_python(py, error))?;
    let held: Vec<_> = tiles.iter().map(|tile| tile.source.clone()).collect();
    let found = run(py, threads, progress, |ctx| {
        let tiles: Vec<&dyn VolumeBlocks> = held.iter().map(|tile| tile as &dyn VolumeBlocks).collect();
        filters::estimate_flatfield(&tiles, &options, ctx)
    })?;
    let field = |grid: Grid<f32>| PyArray1::from_vec(py, grid.data).reshape([grid.shape[1], grid.shape[2]]);
    let shading = found.into_iter().map(|shading| {
        let baseline = PyArray1::from_vec(py, shading.baseline);
        Ok((field(shading.flat)?, field(shading.dark)?, baseline, shading.saturated))
    });
    shading.collect()
}

/// A volume without its shading, as a flat numpy array of `dtype`; fields are (1 or channels, y, x).
#[pyfunction]
#[pyo3(signature = (volume, flatfield, darkfield, dtype, memory=None, threads=None, progress=None))]
fn im_apply_flatfield(
    py: Python<'_>,
    volume: &PyVolume,
    flatfield: PyReadonlyArray3<'_, f32>,
    darkfield: PyReadonlyArray3<'_, f32>,
    dtype: &str,
    memory: Option<u64>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let grids = |field: &PyReadonlyArray3<'_, f32>| -> Vec<Grid<f32>> {
        let view = field.as_array();
        let shape = [1, view.shape()[1], view.shape()[2]];
        view.outer_iter().map(|plane| Grid { shape, data: plane.iter().copied().collect() }).collect()
    };
    let shadings: Vec<_> = grids(&flatfield).into_iter().zip(grids(&darkfield)).collect();
    let source = volume.source.clone();
    let output = output(source.info().clone(), dtype);
    let job = |sink: &dyn VolumeSink, ctx: &Ctx| filters::apply_flatfield(&source, &shadings, sink, memory, ctx);
    Ok(filled(py, output, threads, progress, job)?.0)
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(im_apply_flatfield, module)?)?;
    module.add_function(wrap_pyfunction!(im_estimate_flatfield, module)?)?;
    module.add_function(wrap_pyfunction!(im_filter, module)?)?;
    module.add_function(wrap_pyfunction!(im_destripe, module)?)?;
    module.add_function(wrap_pyfunction!(im_subtract_background, module)?)?;
    module.add_function(wrap_pyfunction!(im_downsample, module)?)?;
    module.add_function(wrap_pyfunction!(im_resample, module)?)
}
