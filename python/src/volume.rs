//! Volumes: numpy memory, Python callables and files as `VolumeBlocks`, and what comes back as numpy arrays.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use zensaibo_core::data::{Dtype, Frame, Orientation, Region, VolumeBlocks, VolumeInfo, VolumeSink, check_spacing};
use zensaibo_core::options::Options;
use zensaibo_core::{DataFault, Error, Result};
use zensaibo_imaging::blocks::{GridSink, View, copy_volume};
use zensaibo_imaging::space::Spacing;
use zensaibo_io::volume::{
    Compression, Downsample, NgffVersion, OmeZarrOptions, OmeZarrWriter, OpenOptions, open_volume_with, write_ome_zarr,
};

use crate::errors::to_python;
use crate::run::run;

/// numpy memory, held for reading.
struct Memory {
    info: VolumeInfo,
    // Keeps the memory alive.
    _owner: Py<PyAny>,
    data: *const u8,
}

// The memory is only read, and lives as long as `_owner`.
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl VolumeBlocks for Memory {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        let size = self.info.dtype.size();
        let [_, channels, depth, height, width] = self.info.shape;
        let line = region.size[2] * size;
        if region.is_empty() {
            return Ok(());
        }
        let mut lines = out.chunks_exact_mut(line);
        for z in region.range(0) {
            for (y, target) in region.range(1).zip(&mut lines) {
                let place = (((frame.time * channels + frame.channel) * depth + z) * height + y) * width;
                // Inside the array: frame and region were checked against its shape.
                let source =
                    unsafe { std::slice::from_raw_parts(self.data.add((place + region.start[2]) * size), line) };
                target.copy_from_slice(source);
            }
        }
        Ok(())
    }
}

/// A Python callable that fetches regions: dask and zarr arrays.
struct Fetched {
    info: VolumeInfo,
    fetch: Py<PyAny>,
}

impl VolumeBlocks for Fetched {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.info.check(frame, region)?;
        Python::attach(|py| {
            let fault = |error: PyErr| {
                Error::data(DataFault::Invalid, format!("{}, {region:?}", self.info.name), "readable voxels", error)
            };
            let array =
                self.fetch.bind(py).call1((frame.time, frame.channel, region.start, region.size)).map_err(fault)?;
            let bytes: PyReadonlyArray1<'_, u8> = array.extract().map_err(fault)?;
            let data = bytes.as_slice().map_err(|error| fault(error.into()))?;
            if data.len() != out.len() {
                let expected = format!("{} bytes", out.len());
                return Err(Error::data(DataFault::Shape, &self.info.name, expected, data.len()));
            }
            out.copy_from_slice(data);
            Ok(())
        })
    }
}

/// A volume of (t, c, z, y, x), read by regions.
#[pyclass(frozen, name = "Volume", module = "zensaibo._core")]
pub(crate) struct PyVolume {
    pub(crate) source: Arc<dyn VolumeBlocks>,
}

/// The number type of a numpy name such as "uint16".
pub(crate) fn dtype_of(name: &str) -> Result<Dtype> {
    use Dtype::{Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let all = [Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64];
    all.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| {
        let expected = all.map(Dtype::name).join(", ");
        Error::parameter("dtype", format!("one of {expected}"), name)
    })
}

/// Length along each of "tczyx" from the shape of an array whose axes are named.
fn five(axes: &str, shape: &[usize]) -> Result<[usize; 5]> {
    let mut out = [1; 5];
    let mut last = None;
    let places: Option<Vec<usize>> = axes.chars().map(|axis| "tczyx".find(axis)).collect();
    let ordered = places.filter(|places| places.len() == shape.len() && places.is_sorted_by(|a, b| a < b));
    for (&place, &length) in ordered.iter().flatten().zip(shape) {
        out[place] = length;
        last = Some(place);
    }
    if last.is_none() || !axes.ends_with("yx") {
        let expected = format!("{} of \"tczyx\" in that order, ending in \"yx\"", shape.len());
        return Err(Error::parameter("axes", expected, format!("{axes:?}")));
    }
    Ok(out)
}

fn described(name: String, axes: &str, shape: &[usize], dtype: Dtype) -> Result<VolumeInfo> {
    let shape = five(axes, shape)?;
    let mut info = VolumeInfo::plain(name, [shape[2], shape[3], shape[4]], dtype);
    info.shape = shape;
    info.axes = axes.to_string();
    Ok(info)
}

/// Version and compression by their names.
fn zarr_options(version: &str, compression: &str) -> Result<OmeZarrOptions> {
    let version = match version {
        "0.4" => NgffVersion::V04,
        "0.5" => NgffVersion::V05,
        _ => return Err(Error::parameter("version", "\"0.4\" or \"0.5\" of OME-Zarr", format!("{version:?}"))),
    };
    let compression = match compression {
        "blosc-zstd" => Compression::BloscZstd,
        "zstd" => Compression::Zstd,
        "none" => Compression::None,
        _ => {
            let expected = "\"blosc-zstd\", \"zstd\" or \"none\"";
            return Err(Error::parameter("compression", expected, format!("{compression:?}")));
        }
    };
    Ok(OmeZarrOptions { version, compression, ..Default::default() })
}

#[pymethods]
impl PyVolume {
    /// The bytes of a C-contiguous numpy array in this machine's byte order, borrowed.
    #[staticmethod]
    fn from_array(
        py: Python<'_>,
        bytes: &Bound<'_, PyArray1<u8>>,
        dtype: &str,
        axes: &str,
        shape: Vec<usize>,
    ) -> PyResult<Self> {
        let made = dtype_of(dtype).and_then(|dtype| described("array".into(), axes, &shape, dtype));
        let info = made.map_err(|error| to_python(py, error))?;
        let held = bytes.readonly();
        let slice = held.as_slice()?;
        if slice.len() != info.shape.iter().product::<usize>() * info.dtype.size() {
            return Err(to_python(py, Error::Internal("an array whose bytes do not match its shape".into())));
        }
        let data = slice.as_ptr();
        Ok(Self { source: Arc::new(Memory { info, _owner: bytes.clone().into_any().unbind(), data }) })
    }

    /// Regions by `fetch(time, channel, start, size)`, which returns the bytes of (z, y, x) voxels of the type, C-contiguous.
    #[staticmethod]
    fn from_callable(
        py: Python<'_>,
        fetch: Py<PyAny>,
        name: String,
        dtype: &str,
        axes: &str,
        shape: Vec<usize>,
        chunk: [usize; 3],
    ) -> PyResult<Self> {
        let made = dtype_of(dtype).and_then(|dtype| described(name, axes, &shape, dtype));
        let mut info = made.map_err(|error| to_python(py, error))?;
        info.chunk = chunk.map(|n| n.max(1));
        Ok(Self { source: Arc::new(Fetched { info, fetch }) })
    }

    /// A file or folder, by content.
    #[staticmethod]
    #[pyo3(signature = (path, spacing=None, orientation=None, axes=None, series=None, level=None))]
    fn from_path(
        py: Python<'_>,
        path: PathBuf,
        spacing: Option<[f64; 3]>,
        orientation: Option<&str>,
        axes: Option<String>,
        series: Option<usize>,
        level: Option<usize>,
    ) -> PyResult<Self> {
        let source = run(py, None, None, |_| {
            let orientation = orientation.map(str::parse::<Orientation>).transpose()?;
            open_volume_with(&path, &OpenOptions { spacing, orientation, axes, series, level })
        })?;
        Ok(Self { source })
    }

    /// Writes the volume as OME-Zarr, or as the labels `labels` of the OME-Zarr image at `path`.
    #[pyo3(signature = (path, labels, mode, version, chunk, shard, compression, levels, memory=None, threads=None, progress=None))]
    fn write(
        &self,
        py: Python<'_>,
        path: PathBuf,
        labels: Option<String>,
        mode: bool,
        version: &str,
        chunk: Option<[usize; 3]>,
        shard: Option<[usize; 3]>,
        compression: &str,
        levels: Option<usize>,
        memory: Option<u64>,
        threads: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let options = zarr_options(version, compression).map(|options| OmeZarrOptions {
            chunk,
            shard,
            levels,
            memory,
            downsample: if mode { Downsample::Mode } else { Downsample::Mean },
            ..options
        });
        let options = options.map_err(|error| to_python(py, error))?;
        let source = self.source.clone();
        run(py, threads, progress, |ctx| match &labels {
            None => write_ome_zarr(&source, &path, &options, ctx),
            Some(name) => {
                let writer = OmeZarrWriter::create_labels(&path, name, source.info(), &options)?;
                writer.copy_from(&source, ctx)?;
                writer.finish(ctx)
            }
        })
    }

    /// The same voxels with other metadata.
    #[pyo3(signature = (spacing=None, origin=None, time_step=None, orientation=None, channels=None))]
    fn described(
        &self,
        py: Python<'_>,
        spacing: Option<[f64; 3]>,
        origin: Option<[f64; 3]>,
        time_step: Option<f64>,
        orientation: Option<&str>,
        channels: Option<Vec<String>>,
    ) -> PyResult<Self> {
        let mut info = self.source.info().clone();
        let made = (|| {
            info.spacing = spacing.map(check_spacing).transpose()?;
            info.orientation = orientation.map(str::parse::<Orientation>).transpose()?;
            info.origin = origin.unwrap_or_default();
            info.time_step = time_step;
            info.channels = channels.unwrap_or_default();
            if !info.channels.is_empty() && info.channels.len() != info.shape[1] {
                let found = info.channels.len();
                return Err(Error::parameter("channels", format!("{} names", info.shape[1]), found));
            }
            View::renamed(self.source.clone(), info)
        })();
        Ok(Self { source: Arc::new(made.map_err(|error| to_python(py, error))?) })
    }

    /// The same voxels as the axes zyx; None where there are more time points or channels than one, or no z.
    fn single(&self, py: Python<'_>) -> PyResult<Option<Self>> {
        let mut info = self.source.info().clone();
        if info.shape[..2] != [1, 1] || !info.axes.ends_with("zyx") {
            return Ok(None);
        }
        info.axes = "zyx".into();
        let view = View::renamed(self.source.clone(), info).map_err(|error| to_python(py, error))?;
        Ok(Some(Self { source: Arc::new(view) }))
    }

    /// The part between `start` and `stop` along t, c, z, y and x.
    fn part(&self, py: Python<'_>, start: [usize; 5], stop: [usize; 5]) -> PyResult<Self> {
        let ranges = std::array::from_fn(|axis| start[axis]..stop[axis]);
        let view = View::new(self.source.clone(), ranges).map_err(|error| to_python(py, error))?;
        Ok(Self { source: Arc::new(view) })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.source.info().name
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.source.info().shape)
    }

    #[getter]
    fn axes(&self) -> &str {
        &self.source.info().axes
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        self.source.info().dtype.name()
    }

    #[getter]
    fn spacing(&self) -> Option<(f64, f64, f64)> {
        self.source.info().spacing.map(|[z, y, x]| (z, y, x))
    }

    #[getter]
    fn origin(&self) -> (f64, f64, f64) {
        self.source.info().origin.into()
    }

    #[getter]
    fn time_step(&self) -> Option<f64> {
        self.source.info().time_step
    }

    #[getter]
    fn orientation(&self) -> Option<String> {
        self.source.info().orientation.map(|orientation| orientation.to_string())
    }

    #[getter]
    fn channels(&self) -> Vec<String> {
        self.source.info().channels.clone()
    }

    #[getter]
    fn chunk(&self) -> (usize, usize, usize) {
        self.source.info().chunk.into()
    }

    /// The voxels, all frames, as a flat numpy array of the volume's own type.
    #[pyo3(signature = (threads=None, progress=None))]
    fn read(&self, py: Python<'_>, threads: Option<usize>, progress: Option<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let source = self.source.clone();
        let mut output = Output::new(source.info().clone());
        run(py, threads, progress, |ctx| output.fill(|sink| copy_volume(&source, sink, None, ctx)))?;
        output.into_numpy(py)
    }
}

/// Memory for a result, one allocation that becomes the numpy array.
pub(crate) struct Output {
    info: VolumeInfo,
    voxels: Voxels,
}

/// Voxels of a number type; half precision as its bits, booleans as bytes of 0 and 1.
enum Voxels {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

macro_rules! each_kind {
    ($voxels:expr, $data:ident => $body:expr) => {
        match $voxels {
            Voxels::U8($data) => $body,
            Voxels::U16($data) => $body,
            Voxels::U32($data) => $body,
            Voxels::U64($data) => $body,
            Voxels::I8($data) => $body,
            Voxels::I16($data) => $body,
            Voxels::I32($data) => $body,
            Voxels::I64($data) => $body,
            Voxels::F32($data) => $body,
            Voxels::F64($data) => $body,
        }
    };
}

impl Output {
    /// Zeros for what `info` describes.
    pub(crate) fn new(info: VolumeInfo) -> Self {
        let n = info.shape.iter().product();
        let voxels = match info.dtype {
            Dtype::U8 | Dtype::Bool => Voxels::U8(vec![0; n]),
            Dtype::U16 | Dtype::F16 => Voxels::U16(vec![0; n]),
            Dtype::U32 => Voxels::U32(vec![0; n]),
            Dtype::U64 => Voxels::U64(vec![0; n]),
            Dtype::I8 => Voxels::I8(vec![0; n]),
            Dtype::I16 => Voxels::I16(vec![0; n]),
            Dtype::I32 => Voxels::I32(vec![0; n]),
            Dtype::I64 => Voxels::I64(vec![0; n]),
            Dtype::F32 => Voxels::F32(vec![0.0; n]),
            Dtype::F64 => Voxels::F64(vec![0.0; n]),
        };
        Self { info, voxels }
    }

    /// Gives `job` a sink into the memory.
    pub(crate) fn fill<R>(&mut self, job: impl FnOnce(&dyn VolumeSink) -> Result<R>) -> Result<R> {
        let info = self.info.clone();
        each_kind!(&mut self.voxels, data => job(&GridSink::new(info, data)?))
    }

    /// A flat numpy array; half precision and booleans are views of their bits.
    pub(crate) fn into_numpy(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let name = self.info.dtype.name();
        let array = each_kind!(self.voxels, data => PyArray1::from_vec(py, data).into_any());
        Ok(if matches!(name, "float16" | "bool") { array.call_method1("view", (name,))? } else { array }.unbind())
    }
}

/// The spacing and the options of a call.
pub(crate) fn spaced<T: Options>(py: Python<'_>, spacing: [f64; 3], options: &str) -> PyResult<(Spacing, T)> {
    let made = Spacing::new(spacing).and_then(|spacing| Ok((spacing, T::from_json(options)?)));
    made.map_err(|error| to_python(py, error))
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyVolume>()
}
