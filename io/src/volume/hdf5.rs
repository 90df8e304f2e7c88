//! Volumes in HDF5: Imaris (.ims), BDV (.h5, or its .xml), and files with one array of numbers.

use std::path::Path;
use std::sync::Arc;

use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::OpenOptions;
use super::bdv::{self, Setup};
use super::cache::Piece;
use super::open::{axes_of, axes_over};
use super::pieced::{Pieced, Store};
use super::units::{micrometres, plausible};
use crate::h5::{Attr, BlockArray, H5File, read_attr};

/// What an HDF5 file is, as far as volumes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Imaris,
    Bdv,
    Plain,
}

/// Looks into a file; `None` where nothing in it is a volume.
pub(super) fn kind(file: &H5File) -> Option<Kind> {
    if file.exists("DataSet/ResolutionLevel 0") {
        return Some(Kind::Imaris);
    }
    if file.exists("s00/resolutions") || file.exists("t00000/s00") {
        return Some(Kind::Bdv);
    }
    // An omics file is none, whatever arrays it holds.
    if file.exists("obs") || file.exists("matrix") {
        return None;
    }
    (!arrays(file).is_empty()).then_some(Kind::Plain)
}

/// Arrays of numbers of 2 to 5 dimensions.
fn arrays(file: &H5File) -> Vec<String> {
    fn walk(file: &H5File, key: &str, depth: usize, found: &mut Vec<String>) {
        for name in file.members(key).unwrap_or_default() {
            let inner = if key.is_empty() { name } else { format!("{key}/{name}") };
            if found.len() > 64 {
                return;
            }
            if file.is_group(&inner) {
                if depth < 8 {
                    walk(file, &inner, depth + 1, found);
                }
            } else if BlockArray::open(file, &inner).is_ok_and(|array| (2..=5).contains(&array.shape.len())) {
                found.push(inner);
            }
        }
    }
    let mut found = Vec::new();
    walk(file, "", 0, &mut found);
    found
}

/// Opens a volume in HDF5.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let file = H5File::open(path)?;
    match kind(&file) {
        Some(Kind::Imaris) => imaris(&file, options),
        Some(Kind::Bdv) => bdv_file(path, options),
        Some(Kind::Plain) => plain(&file, options),
        None => {
            Err(Error::format(path, "/", "an Imaris or BDV volume, or an array of 2 to 5 dimensions", "none of them"))
        }
    }
}

/// One array per time point and channel.
struct Frames {
    arrays: Vec<BlockArray>,
    channels: usize,
    /// The axes of (t, c, z, y, x) that the dimensions of each array are.
    dims: Vec<usize>,
}

impl Store for Frames {
    fn load(&self, at: [usize; 5]) -> Result<Piece> {
        let many = self.arrays.len() > 1;
        let array = if many { &self.arrays[at[0] * self.channels + at[1]] } else { &self.arrays[0] };
        let place: Vec<usize> = self.dims.iter().map(|&axis| at[axis]).collect();
        let (size, data) = array.read(&place)?;
        let mut all = [1; 5];
        self.dims.iter().zip(&size).for_each(|(&axis, &n)| all[axis] = n);
        let data =
            if self.dims.is_sorted() { data } else { super::raw::turned(&data, &self.dims, all, array.dtype.size()) };
        Ok(Piece { size: all, data: Some(data) })
    }
}

/// A volume of arrays that must all be alike and at least as large as `info` says.
fn frames(mut info: VolumeInfo, arrays: Vec<BlockArray>, dims: Vec<usize>) -> Result<Arc<dyn VolumeBlocks>> {
    let first = &arrays[0];
    for array in &arrays {
        let expected = format!("{:?} of {}", first.shape, first.dtype.name());
        let found = format!("{:?} of {}", array.shape, array.dtype.name());
        if array.shape.len() != dims.len() || array.dtype != first.dtype || array.block != first.block {
            return Err(array.file.fault(&array.key, expected, found));
        }
        if dims.iter().zip(&array.shape).any(|(&axis, &n)| n < info.shape[axis]) {
            return Err(array.file.fault(&array.key, format!("at least {:?} voxels", info.space()), found));
        }
    }
    let mut chunk = [1; 5];
    dims.iter().zip(&first.block).for_each(|(&axis, &n)| chunk[axis] = n);
    info.chunk = std::array::from_fn(|axis| chunk[axis + 2].min(info.shape[axis + 2]));
    let channels = info.shape[1];
    Ok(Arc::new(Pieced::new(info, chunk, [0; 8], Frames { arrays, channels, dims })))
}

fn plain(file: &H5File, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let names = arrays(file);
    let chosen = options.series.unwrap_or(0);
    let Some(name) = names.get(chosen).filter(|_| names.len() == 1 || options.series.is_some()) else {
        let found = names.iter().enumerate().map(|(at, name)| format!("{at}: {name}")).collect::<Vec<_>>().join(", ");
        return Err(file.fault("/", "one array, or `series` to choose one", found));
    };
    let array = BlockArray::open(file, name)?;
    let axes = axes_of(&file.path, array.shape.len(), options.axes.as_deref())?;
    let dims: Vec<usize> = axes.chars().filter_map(|axis| "tczyx".find(axis)).collect();
    let mut info = VolumeInfo::plain(file.path.display().to_string(), [1; 3], array.dtype);
    dims.iter().zip(&array.shape).for_each(|(&axis, &n)| info.shape[axis] = n);
    info.axes = axes;
    frames(info, vec![array], dims)
}

/// Text of an attribute that Imaris writes as an array of single letters.
fn letters(file: &H5File, key: &str, name: &str) -> Option<String> {
    let group = file.group(key).ok()?;
    match read_attr(&group, name)? {
        Attr::Text(text) => Some(text),
        Attr::Texts(texts) => Some(texts.concat()),
        _ => None,
    }
}

fn imaris(file: &H5File, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let level = options.level.unwrap_or(0);
    let root = format!("DataSet/ResolutionLevel {level}");
    if !file.is_group(&root) {
        let count = (0..).take_while(|at| file.is_group(&format!("DataSet/ResolutionLevel {at}"))).count();
        return Err(Error::parameter("level", format!("0..{count} in {}", file.path.display()), level));
    }
    let times = (0..).take_while(|at| file.is_group(&format!("{root}/TimePoint {at}"))).count();
    let channels = (0..).take_while(|at| file.is_group(&format!("{root}/TimePoint 0/Channel {at}"))).count();
    if times == 0 || channels == 0 {
        return Err(file.fault(
            &root,
            "time points with channels",
            format!("{times} time points of {channels} channels"),
        ));
    }
    let mut arrays = Vec::with_capacity(times * channels);
    for time in 0..times {
        for channel in 0..channels {
            arrays.push(BlockArray::open(file, &format!("{root}/TimePoint {time}/Channel {channel}/Data"))?);
        }
    }
    // The arrays are padded to whole chunks; how much of them is image stands beside.
    let channel = format!("{root}/TimePoint 0/Channel 0");
    let first = &arrays[0];
    if first.shape.len() != 3 {
        return Err(file.fault(&first.key, "three dimensions", format!("{:?}", first.shape)));
    }
    let size = |at: usize, name: &str| {
        letters(file, &channel, name)
            .and_then(|text| text.trim().parse::<usize>().ok())
            .filter(|&n| n > 0)
            .unwrap_or(first.shape[at])
    };
    let space = [size(0, "ImageSizeZ"), size(1, "ImageSizeY"), size(2, "ImageSizeX")];
    let mut info = VolumeInfo::plain(file.path.display().to_string(), space, first.dtype);
    info.shape = [times, channels, space[0], space[1], space[2]];
    info.axes = axes_over(times, channels);
    let number =
        |name: String| letters(file, "DataSetInfo/Image", &name).and_then(|text| text.trim().parse::<f64>().ok());
    // An absent unit is micrometres by the format's definition.
    let unit = letters(file, "DataSetInfo/Image", "Unit").map_or(Some(1.0), |unit| micrometres(&unit));
    let extent = |at: usize| Some((number(format!("ExtMin{at}"))?, number(format!("ExtMax{at}"))?));
    if let (Some(unit), Some(x), Some(y), Some(z)) = (unit, extent(0), extent(1), extent(2)) {
        let ranges = [z, y, x];
        info.spacing = plausible(std::array::from_fn(|a| (ranges[a].1 - ranges[a].0).abs() * unit / space[a] as f64));
        if let Some(spacing) = info.spacing {
            // Extents go from edge to edge; places are those of centres.
            info.origin = std::array::from_fn(|a| ranges[a].0.min(ranges[a].1) * unit + spacing[a] / 2.0);
        }
    }
    let names: Vec<String> = (0..channels)
        .map(|at| letters(file, &format!("DataSetInfo/Channel {at}"), "Name").unwrap_or_default())
        .collect();
    if names.iter().any(|name| !name.is_empty()) {
        info.channels = names;
    }
    frames(info, arrays, vec![2, 3, 4])
}

/// A BDV file by itself: what its XML says is used where that lies beside it.
fn bdv_file(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let beside = path.with_extension("xml");
    if !crate::place::is_url(path) && beside.is_file() {
        return bdv::open(&beside, options);
    }
    let file = H5File::open(path)?;
    let mut setups = Vec::new();
    for name in file.members("")? {
        if let Some(id) = name.strip_prefix('s').and_then(|id| id.parse::<usize>().ok()) {
            setups.push(Setup { id, name, size: None, spacing: None, channel: None, others: Vec::new() });
        }
    }
    let times: Vec<usize> =
        file.members("")?.iter().filter_map(|name| name.strip_prefix('t').and_then(|id| id.parse().ok())).collect();
    bdv_frames(&file, path, &setups, &times, options)
}

/// BDV's views in one file.
struct Views<'a>(&'a H5File);

impl Views<'_> {
    fn key(time: usize, setup: &Setup, level: usize) -> String {
        format!("t{time:05}/s{:02}/{level}/cells", setup.id)
    }
}

impl bdv::Views for Views<'_> {
    type Array = BlockArray;

    fn has(&self, time: usize, setup: &Setup, level: usize) -> bool {
        self.0.exists(&Self::key(time, setup, level))
    }

    fn open(&self, time: usize, setup: &Setup, level: usize) -> Result<BlockArray> {
        let mut array = BlockArray::open(self.0, &Self::key(time, setup, level))?;
        // BDV keeps unsigned numbers under the signed type of the same width.
        if array.dtype == Dtype::I16 {
            array.dtype = Dtype::U16;
        }
        Ok(array)
    }

    fn of(array: &BlockArray) -> (Dtype, Option<[usize; 3]>) {
        (array.dtype, array.shape[..].try_into().ok())
    }
}

/// The volume of BDV's set-ups (as channels) over time points.
pub(super) fn bdv_frames(
    file: &H5File,
    name: &Path,
    setups: &[Setup],
    times: &[usize],
    options: &OpenOptions,
) -> Result<Arc<dyn VolumeBlocks>> {
    let (info, arrays) = bdv::gather(&Views(file), name, setups, times, options)?;
    frames(info, arrays, vec![2, 3, 4])
}
