//! Volumes: numpy memory, Python callables and files as `VolumeBlocks`, and what comes back as numpy arrays.

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyTuple};
use serde::{Deserialize, Serialize};
use zensaibo_core::data::{
    Dtype, Frame, Orientation, Region, SharedVolume, VolumeBlocks, VolumeInfo, VolumeSink, check_spacing,
};
use zensaibo_core::exchange::Exchange;
use zensaibo_core::memory::zeros;
use zensaibo_core::options::Options;
use zensaibo_core::{DataFault, Error, Result};
use zensaibo_imaging::blocks::{GridSink, View, copy_volume};
use zensaibo_imaging::space::Spacing;
use zensaibo_io::is_url;
use zensaibo_io::volume::{
    Compression, Downsample, NgffVersion, OmeZarrOptions, OmeZarrWriter, OpenOptions, open_volume_with, write_ome_zarr,
};

use crate::errors::to_python;
use crate::run::run;
use crate::shared::{Leader, PyTaken, Worker, taken};
use crate::state::{Depth, State, check_state, state_of};

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
    /// How to open it again, where it lies in a file.
    stored: Option<Stored>,
    /// The part of a pass that this process computes, in a worker.
    worker: Option<Arc<Worker>>,
}

/// A volume in a file, and what was done to it.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    path: PathBuf,
    spacing: Option<[f64; 3]>,
    orientation: Option<String>,
    axes: Option<String>,
    series: Option<usize>,
    level: Option<usize>,
    steps: Vec<Step>,
}

/// What is done to a volume without reading it.
#[derive(Clone, Serialize, Deserialize)]
enum Step {
    Part([usize; 5], [usize; 5]),
    Described {
        spacing: Option<[f64; 3]>,
        origin: Option<[f64; 3]>,
        time_step: Option<f64>,
        orientation: Option<String>,
        channels: Option<Vec<String>>,
    },
    Single,
}

impl Step {
    fn apply(&self, source: Arc<dyn VolumeBlocks>) -> Result<View> {
        let mut info = source.info().clone();
        match self {
            Self::Part(start, stop) => View::new(source, std::array::from_fn(|axis| start[axis]..stop[axis])),
            Self::Described { spacing, origin, time_step, orientation, channels } => {
                info.spacing = spacing.map(check_spacing).transpose()?;
                info.orientation = orientation.as_deref().map(str::parse::<Orientation>).transpose()?;
                info.origin = origin.unwrap_or_default();
                info.time_step = *time_step;
                info.channels = channels.clone().unwrap_or_default();
                if !info.channels.is_empty() && info.channels.len() != info.shape[1] {
                    let found = info.channels.len();
                    return Err(Error::parameter("channels", format!("{} names", info.shape[1]), found));
                }
                View::renamed(source, info)
            }
            Self::Single => {
                info.axes = "zyx".into();
                View::renamed(source, info)
            }
        }
    }
}

impl Stored {
    fn open(&self) -> Result<Arc<dyn VolumeBlocks>> {
        let options = OpenOptions {
            spacing: self.spacing,
            orientation: self.orientation.as_deref().map(str::parse::<Orientation>).transpose()?,
            axes: self.axes.clone(),
            series: self.series,
            level: self.level,
        };
        let mut source = open_volume_with(&self.path, &options)?;
        for step in &self.steps {
            source = Arc::new(step.apply(source)?);
        }
        Ok(source)
    }
}

impl PyVolume {
    /// A volume that lies in no file.
    pub(crate) fn new(source: Arc<dyn VolumeBlocks>) -> Self {
        Self { source, stored: None, worker: None }
    }

    /// The same volume after a step.
    fn with(&self, py: Python<'_>, step: Step) -> PyResult<Self> {
        let source = step.apply(self.source.clone()).map_err(|error| to_python(py, error))?;
        let mut stored = self.stored.clone();
        if let Some(stored) = &mut stored {
            stored.steps.push(step);
        }
        Ok(Self { stored, ..Self::new(Arc::new(source)) })
    }

    fn shared_by(&self, exchange: Arc<dyn Exchange>) -> Self {
        let source = Arc::new(SharedVolume::new(self.source.clone(), exchange));
        Self { stored: self.stored.clone(), ..Self::new(source) }
    }
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
        Ok(Self::new(Arc::new(Memory { info, _owner: bytes.clone().into_any().unbind(), data })))
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
        Ok(Self::new(Arc::new(Fetched { info, fetch })))
    }

    /// A file or folder, by content.
    #[staticmethod]
    #[pyo3(signature = (path, spacing=None, orientation=None, axes=None, series=None, level=None))]
    fn from_path(
        py: Python<'_>,
        path: PathBuf,
        spacing: Option<[f64; 3]>,
        orientation: Option<String>,
        axes: Option<String>,
        series: Option<usize>,
        level: Option<usize>,
    ) -> PyResult<Self> {
        let stored = Stored { path, spacing, orientation, axes, series, level, steps: Vec::new() };
        let opened = run(py, None, None, |_| stored.open())?;
        Ok(Self { stored: Some(stored), ..Self::new(opened) })
    }

    /// Whether it lies in a file, so that other processes can open it.
    #[getter]
    fn in_file(&self) -> bool {
        self.stored.is_some()
    }

    /// The file and what is done to it; it is opened anew where this is read, and must not have changed.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>, State))> {
        let Some(stored) = &self.stored else {
            return Err(PyTypeError::new_err("a volume that lies in no file cannot be pickled"));
        };
        // As others see it, whatever folder they are in.
        let path = if is_url(&stored.path) { stored.path.clone() } else { std::path::absolute(&stored.path)? };
        let stored = Stored { path, ..stored.clone() };
        let state = run(py, Some(1), None, |_| state_of(&stored.path, Depth::Top))?;
        let bytes = postcard::to_allocvec(&stored)
            .map_err(|error| to_python(py, Error::Internal(format!("steps of a volume: {error}"))))?;
        Ok((py.get_type::<Self>().getattr("_again")?, (PyBytes::new(py, &bytes), state)))
    }

    /// Undoes `__reduce__`.
    #[staticmethod]
    fn _again(py: Python<'_>, stored: &[u8], state: State) -> PyResult<Self> {
        let stored: Stored = postcard::from_bytes(stored)
            .map_err(|error| to_python(py, Error::Internal(format!("steps of a volume: {error}"))))?;
        let opened = run(py, Some(1), None, |_| {
            check_state(&stored.path, "volume", Depth::Top, state)?;
            stored.open()
        })?;
        Ok(Self { stored: Some(stored), ..Self::new(opened) })
    }

    /// The same volume with passes that other processes compute: see [`Leader::new`].
    fn shared(&self, passes: Py<PyAny>) -> Self {
        self.shared_by(Arc::new(Leader::new(passes)))
    }

    /// The same volume for the process that computes `part` of `of`, after passes whose parts are `history`; `kept`: what the
    /// same part of these kept, by pass.
    fn for_part(
        &self,
        history: Vec<Vec<PyBackedBytes>>,
        kept: Vec<(String, PyBackedBytes)>,
        part: usize,
        of: usize,
    ) -> Self {
        let worker = Arc::new(Worker::new(history, kept, part, of));
        Self { worker: Some(worker.clone()), ..self.shared_by(worker) }
    }

    /// What this process computed of its part and what that keeps; `None` before it did.
    fn taken<'py>(&self, py: Python<'py>) -> Option<PyTaken<'py>> {
        taken(py, self.worker.as_ref())
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
        orientation: Option<String>,
        channels: Option<Vec<String>>,
    ) -> PyResult<Self> {
        self.with(py, Step::Described { spacing, origin, time_step, orientation, channels })
    }

    /// The same voxels as the axes zyx; None where there are more time points or channels than one, or no z.
    fn single(&self, py: Python<'_>) -> PyResult<Option<Self>> {
        let info = self.source.info();
        let single = info.shape[..2] == [1, 1] && info.axes.ends_with("zyx");
        single.then(|| self.with(py, Step::Single)).transpose()
    }

    /// The part between `start` and `stop` along t, c, z, y and x.
    fn part(&self, py: Python<'_>, start: [usize; 5], stop: [usize; 5]) -> PyResult<Self> {
        self.with(py, Step::Part(start, stop))
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
            Dtype::U8 | Dtype::Bool => Voxels::U8(zeros(n)),
            Dtype::U16 | Dtype::F16 => Voxels::U16(zeros(n)),
            Dtype::U32 => Voxels::U32(zeros(n)),
            Dtype::U64 => Voxels::U64(zeros(n)),
            Dtype::I8 => Voxels::I8(zeros(n)),
            Dtype::I16 => Voxels::I16(zeros(n)),
            Dtype::I32 => Voxels::I32(zeros(n)),
            Dtype::I64 => Voxels::I64(zeros(n)),
            Dtype::F32 => Voxels::F32(zeros(n)),
            Dtype::F64 => Voxels::F64(zeros(n)),
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
