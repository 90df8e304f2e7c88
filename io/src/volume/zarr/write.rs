//! Writing OME-Zarr: region by region, a pyramid at the end, beside the target and renamed when it is whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde_json::json;
use zarrs::array::{Array, ArrayBytes, CodecOptions};
use zarrs::filesystem::FilesystemStore;
use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks, VolumeInfo, VolumeSink};
use zensaibo_core::{Ctx, Error, Result};

use super::image::{Node, level_paths, ome_block, spaced};
use super::layout::{along, array, attributes, put, put_group};
use super::pyramid::{Downsample, LevelPlan, levels, shrink, source_region, widened};
use super::store;
use crate::volume::OpenOptions;

/// The version of OME-Zarr to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NgffVersion {
    /// 0.4, on Zarr 2: a file per chunk.
    V04,
    /// 0.5, on Zarr 3: many chunks in a shard.
    #[default]
    V05,
}

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Blosc with byte shuffle and Zstandard.
    #[default]
    BloscZstd,
    /// Zstandard.
    Zstd,
    /// Nothing.
    None,
}

/// How an OME-Zarr is written.
#[derive(Clone, Debug, PartialEq)]
pub struct OmeZarrOptions {
    /// The version; 0.5 by default.
    pub version: NgffVersion,
    /// Voxels of a chunk along z, y and x; about 64 x 64 x 64 by default, flatter where there are few planes.
    pub chunk: Option<[usize; 3]>,
    /// Voxels of a shard, multiples of the chunk (0.5 only); by default up to 64 x 512 x 512.
    pub shard: Option<[usize; 3]>,
    /// Compression of chunks.
    pub compression: Compression,
    /// Effort of the compression, 1 (fast) to 9 (small).
    pub level: u8,
    /// Levels of the pyramid, the full one included; by default until no axis is longer than 256 voxels.
    pub levels: Option<usize>,
    /// How coarser levels come about; the mode for labels.
    pub downsample: Downsample,
    /// Bytes that writing may take; 1 GiB by default.
    pub memory: Option<u64>,
}

impl Default for OmeZarrOptions {
    fn default() -> Self {
        Self {
            version: NgffVersion::V05,
            chunk: None,
            shard: None,
            compression: Compression::BloscZstd,
            level: 3,
            levels: None,
            downsample: Downsample::Mean,
            memory: None,
        }
    }
}

const DEFAULT_MEMORY: u64 = 1 << 30;

impl OmeZarrOptions {
    /// Voxels of chunks and of shards for a volume of `shape`.
    fn pieces(&self, shape: [usize; 3]) -> Result<([usize; 3], [usize; 3])> {
        if !(1..=9).contains(&self.level) {
            return Err(Error::parameter("level", "a compression level of 1 to 9", self.level));
        }
        if self.levels == Some(0) {
            return Err(Error::parameter("levels", "at least 1", 0));
        }
        for (name, given) in [("chunk", self.chunk), ("shard", self.shard)] {
            if let Some(given) = given.filter(|given| given.iter().any(|n| !(1..=1 << 16).contains(n))) {
                return Err(Error::parameter(name, "lengths of 1 to 65536 along z, y and x", format!("{given:?}")));
            }
        }
        let side = if shape[0] == 1 {
            512
        } else if shape[0] < 32 {
            128
        } else {
            64
        };
        let chunk = self.chunk.unwrap_or([64, side, side]);
        let chunk: [usize; 3] = std::array::from_fn(|axis| chunk[axis].min(shape[axis]));
        if self.version == NgffVersion::V04 {
            if self.shard.is_some() {
                return Err(Error::parameter("shard", "nothing for OME-Zarr 0.4, which has no shards", "a shard"));
            }
            return Ok((chunk, chunk));
        }
        let whole: [usize; 3] = std::array::from_fn(|axis| shape[axis].next_multiple_of(chunk[axis]));
        let shard = match self.shard {
            Some(shard) if (0..3).any(|axis| shard[axis] % chunk[axis] != 0) => {
                return Err(Error::parameter(
                    "shard",
                    format!("multiples of the chunk {chunk:?}"),
                    format!("{shard:?}"),
                ));
            }
            Some(shard) => shard,
            None => std::array::from_fn(|axis| [64, 512, 512][axis].max(chunk[axis]) / chunk[axis] * chunk[axis]),
        };
        Ok((chunk, std::array::from_fn(|axis| shard[axis].min(whole[axis]))))
    }
}

/// An OME-Zarr that is being written. Nothing stands at its place until [`finish`](Self::finish); dropped before,
/// it leaves nothing behind.
pub struct OmeZarrWriter {
    target: PathBuf,
    /// The image that this is a label image of.
    labels_of: Option<(PathBuf, String)>,
    temporary: PathBuf,
    info: VolumeInfo,
    levels: Vec<LevelPlan>,
    base: Array<FilesystemStore>,
    options: OmeZarrOptions,
}

impl Drop for OmeZarrWriter {
    fn drop(&mut self) {
        // Only there when the writing did not come to its end; nobody could use it.
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

/// Whether something may be replaced by an OME-Zarr: only another Zarr, or an empty folder.
fn check_target(target: &Path) -> Result<()> {
    let Ok(meta) = fs::symlink_metadata(target) else { return Ok(()) };
    let empty = || fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_none());
    if meta.is_dir() && (Node::of(target).is_some() || empty()) {
        return Ok(());
    }
    let found = if meta.is_dir() { "a folder that is no Zarr" } else { "a file" };
    Err(Error::parameter("output", format!("a new place, or a Zarr to replace, at {}", target.display()), found))
}

fn open_array(path: &Path) -> Result<Array<FilesystemStore>> {
    let refused = |found: String| Error::Internal(format!("{}: {found}", path.display()));
    let store = FilesystemStore::new(path).map_err(|error| refused(error.to_string()))?;
    Array::open(Arc::new(store), "/").map_err(|error| refused(error.to_string()))
}

impl OmeZarrWriter {
    /// Begins an image at `path` of what `info` describes (its `chunk` is ours to choose). A Zarr that stands there is
    /// replaced when this one is finished.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options out of range, for half precision (which is not written) and for a place where
    /// something other than a Zarr lies; [`Error::Io`].
    pub fn create(path: &Path, info: &VolumeInfo, options: &OmeZarrOptions) -> Result<Self> {
        Self::begin(path, None, info, options)
    }

    /// Begins a label image `labels/<name>` of the OME-Zarr image at `image`, in that image's version. Labels without a
    /// spacing that have the image's extent lie where the image lies: its spacing, origin and orientation are taken. Unless
    /// `options` say otherwise there are as many levels as the image has.
    ///
    /// # Errors
    /// As [`create`](Self::create); [`Error::Format`] when `image` is no OME-Zarr image; [`Error::Data`] when its voxels
    /// are not whole numbers.
    pub fn create_labels(image: &Path, name: &str, info: &VolumeInfo, options: &OmeZarrOptions) -> Result<Self> {
        if name.is_empty() || name.starts_with('.') || name.starts_with("__") || name.contains(['/', '\\']) {
            return Err(Error::parameter(
                "name",
                "a name for the labels without slashes, not beginning with a dot",
                format!("{name:?}"),
            ));
        }
        if !info.dtype.is_integer() {
            return Err(Error::parameter("dtype", "whole numbers for labels", info.dtype.name()));
        }
        let known = pyramid_levels(image)?;
        let Some(first) = known.first() else {
            return Err(Error::format(image, "multiscales", "an OME-Zarr image", "none"));
        };
        let mut info = info.clone();
        if info.spacing.is_none() && info.space() == first.space() {
            (info.spacing, info.origin) = (first.spacing, first.origin);
            info.orientation = info.orientation.or(first.orientation);
            info.time_step = info.time_step.or(first.time_step);
        }
        let (_, v3) = ome_block(image)?;
        let version = if v3 { NgffVersion::V05 } else { NgffVersion::V04 };
        let levels = options.levels.or(Some(known.len()));
        let options = OmeZarrOptions { version, levels, downsample: Downsample::Mode, ..options.clone() };
        let folder = image.join("labels");
        fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, "write", error))?;
        Self::begin(&folder.join(name), Some((image.to_path_buf(), name.to_string())), &info, &options)
    }

    fn begin(
        target: &Path,
        labels_of: Option<(PathBuf, String)>,
        info: &VolumeInfo,
        options: &OmeZarrOptions,
    ) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        check_target(target)?;
        if info.dtype == Dtype::F16 {
            return Err(Error::parameter("dtype", "a type other than float16", "float16"));
        }
        if info.shape.contains(&0) {
            return Err(Error::parameter("shape", "voxels along every axis", format!("{:?}", info.shape)));
        }
        let (chunk, shard) = options.pieces(info.space())?;
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| Error::parameter("output", "a path with a name", target.display()))?;
        let beside = format!(".{name}.{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let temporary = target.parent().unwrap_or(Path::new("")).join(beside);
        let mut info = info.clone();
        // Every axis longer than one voxel has a name.
        info.axes = "tczyx"
            .chars()
            .enumerate()
            .filter(|&(at, axis)| at > 2 || info.shape[at] > 1 || info.axes.contains(axis))
            .map(|(_, axis)| axis)
            .collect();
        info.name = target.display().to_string();
        info.chunk = shard;
        let levels = levels(info.space(), spaced(&info), options.levels);
        let put_levels = || {
            for (at, level) in levels.iter().enumerate() {
                let folder = temporary.join(at.to_string());
                fs::create_dir_all(&folder).map_err(|error| Error::io(&folder, "write", error))?;
                let (chunk, shard): ([usize; 3], [usize; 3]) = if options.version == NgffVersion::V04 {
                    (chunk, chunk)
                } else {
                    let whole: [usize; 3] = std::array::from_fn(|axis| level.shape[axis].next_multiple_of(chunk[axis]));
                    (chunk, std::array::from_fn(|axis| shard[axis].min(whole[axis])))
                };
                let file = if options.version == NgffVersion::V04 { ".zarray" } else { "zarr.json" };
                put(&folder.join(file), &array(&info, level.shape, chunk, shard, options))?;
            }
            open_array(&temporary.join("0"))
        };
        match put_levels() {
            Ok(base) => Ok(Self {
                target: target.to_path_buf(),
                labels_of,
                temporary,
                info,
                levels,
                base,
                options: options.clone(),
            }),
            Err(error) => {
                let _ = fs::remove_dir_all(&temporary);
                Err(error)
            }
        }
    }

    /// Writes every voxel of `source`, which must have the shape and type of this image, in bounded memory.
    ///
    /// # Errors
    /// Whatever reading and writing return; [`Error::Interrupted`].
    pub fn copy_from(&self, source: &dyn VolumeBlocks, ctx: &Ctx) -> Result<()> {
        let from = source.info();
        let widen = from.dtype == Dtype::F16 && self.info.dtype == Dtype::F32;
        if from.shape != self.info.shape || (from.dtype != self.info.dtype && !widen) {
            let expected = format!("{:?} voxels of {}", self.info.shape, self.info.dtype.name());
            return Err(Error::parameter("source", expected, format!("{:?} of {}", from.shape, from.dtype.name())));
        }
        let (shape, shard) = (self.info.space(), self.info.chunk);
        let size = self.info.dtype.size();
        // As many shards along x, then along y, as memory holds: sources that store whole planes are then read once.
        let memory = self.options.memory.unwrap_or(DEFAULT_MEMORY) / 4;
        let mut block = shard;
        for axis in [2, 1] {
            let others: u64 = (0..3).filter(|&other| other != axis).map(|other| block[other] as u64).product();
            let fit = memory / (others * shard[axis] as u64 * size as u64).max(1);
            block[axis] = shard[axis] * (fit.max(1) as usize).min(shape[axis].div_ceil(shard[axis]));
            if block[axis] < shape[axis] {
                break;
            }
        }
        let total = self.info.shape.iter().map(|&n| n as u64).product();
        let stage = ctx.stage("write", total);
        let mut buffer: Vec<u64> = Vec::new();
        let mut halves: Vec<u64> = Vec::new();
        for frame in self.info.frames() {
            for z in (0..shape[0]).step_by(block[0]) {
                for y in (0..shape[1]).step_by(block[1]) {
                    for x in (0..shape[2]).step_by(block[2]) {
                        let start = [z, y, x];
                        let region = Region { start, size: std::array::from_fn(|a| block[a].min(shape[a] - start[a])) };
                        let bytes = region.len() * size;
                        buffer.resize(bytes.div_ceil(8), 0);
                        let voxels = &mut bytemuck::cast_slice_mut(&mut buffer)[..bytes];
                        if widen {
                            halves.resize(bytes.div_ceil(16), 0);
                            let narrow = &mut bytemuck::cast_slice_mut(&mut halves)[..bytes / 2];
                            source.read(frame, &region, narrow)?;
                            widened(narrow, voxels);
                        } else {
                            source.read(frame, &region, voxels)?;
                        }
                        ctx.check()?;
                        self.write(frame, &region, voxels)?;
                        stage.advance(region.len() as u64)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Computes the coarser levels, writes the metadata and puts the whole in its place.
    ///
    /// # Errors
    /// What writing can meet; [`Error::Interrupted`]. Nothing of it stays then, and what stood there before does.
    pub fn finish(self, ctx: &Ctx) -> Result<()> {
        for at in 1..self.levels.len() {
            self.coarser(at, ctx)?;
        }
        let name = self.target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.trim_end_matches(".zarr").trim_end_matches(".ome");
        let block = attributes(name, &self.info, &self.levels, &self.options, self.labels_of.is_some());
        put_group(&self.temporary, self.options.version, block)?;
        ctx.check()?;
        let io = |error| Error::io(&self.target, "write", error);
        check_target(&self.target)?;
        if self.target.exists() {
            let old = self.temporary.with_extension("old");
            fs::rename(&self.target, &old).map_err(io)?;
            if let Err(error) = fs::rename(&self.temporary, &self.target) {
                let _ = fs::rename(&old, &self.target);
                return Err(io(error));
            }
            fs::remove_dir_all(&old).map_err(|error| Error::io(&old, "remove", error))?;
        } else {
            fs::rename(&self.temporary, &self.target).map_err(io)?;
        }
        match &self.labels_of {
            Some((image, name)) => self.register(image, name),
            None => Ok(()),
        }
    }

    /// Adds the name to the list of labels of the image.
    fn register(&self, image: &Path, name: &str) -> Result<()> {
        let folder = image.join("labels");
        let mut names: Vec<String> = match ome_block(&folder) {
            Ok((block, _)) => block["labels"]
                .as_array()
                .map(|list| list.iter().filter_map(|name| name.as_str().map(str::to_string)).collect())
                .unwrap_or_default(),
            Err(error) => return Err(error),
        };
        if names.iter().any(|known| known == name) {
            return Ok(());
        }
        names.push(name.to_string());
        let block = match self.options.version {
            NgffVersion::V05 => json!({ "ome": { "version": "0.5", "labels": names } }),
            NgffVersion::V04 => json!({ "labels": names }),
        };
        put_group(&folder, self.options.version, block)
    }

    /// Computes level `at` from the one before.
    fn coarser(&self, at: usize, ctx: &Ctx) -> Result<()> {
        let level = &self.levels[at];
        let order: Vec<String> = self.info.axes.chars().map(String::from).collect();
        let (before, _) = store::open_level(&self.temporary.join((at - 1).to_string()))?;
        let info = before.info(&order)?;
        let source = before.volume(info, &order)?;
        let array = open_array(&self.temporary.join(at.to_string()))?;
        let shard = self.shard_of(&array);
        let mut jobs = Vec::new();
        for frame in self.info.frames() {
            for z in (0..level.shape[0]).step_by(shard[0]) {
                for y in (0..level.shape[1]).step_by(shard[1]) {
                    jobs.extend((0..level.shape[2]).step_by(shard[2]).map(|x| (frame, [z, y, x])));
                }
            }
        }
        let stage = ctx.stage(&format!("level {at}"), jobs.len() as u64);
        // What one shard comes from, as read and as numbers, and itself.
        let each = (shard.iter().product::<usize>()
            * (2 * level.step.iter().product::<usize>() + 2)
            * self.info.dtype.size()) as u64;
        let at_once =
            (self.options.memory.unwrap_or(DEFAULT_MEMORY) / each.max(1)).clamp(1, rayon::current_num_threads() as u64);
        let shape = self.levels[at - 1].shape;
        let one = |&(frame, start): &(Frame, [usize; 3])| {
            ctx.check()?;
            let region = Region { start, size: std::array::from_fn(|a| shard[a].min(level.shape[a] - start[a])) };
            let wanted = source_region(&region, level.step, shape);
            let mut words = vec![0u64; (wanted.len() * self.info.dtype.size()).div_ceil(8)];
            let voxels = &mut bytemuck::cast_slice_mut(&mut words)[..wanted.len() * self.info.dtype.size()];
            source.read(frame, &wanted, voxels)?;
            let small = shrink(self.info.dtype, voxels, wanted.size, level.step, self.options.downsample);
            self.put(&array, shard, frame, &region, &small, region.start)?;
            stage.advance(1)
        };
        for wave in jobs.chunks(at_once as usize) {
            let outcomes: Vec<Result<()>> = wave.par_iter().with_max_len(1).map(one).collect();
            outcomes.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// Voxels of a shard of an array, along z, y and x.
    fn shard_of(&self, array: &Array<FilesystemStore>) -> [usize; 3] {
        let mut shard = [1usize; 3];
        let lengths = array.chunk_shape(&vec![0; self.info.axes.len()]).unwrap_or_default();
        for (axis, length) in self.info.axes.chars().zip(lengths.iter()) {
            if let Some(at) = "zyx".find(axis) {
                shard[at] = length.get() as usize;
            }
        }
        shard
    }

    /// Writes the shard that begins at `start`; `voxels` are those of `region`, which holds it.
    fn put(
        &self,
        array: &Array<FilesystemStore>,
        shard: [usize; 3],
        frame: Frame,
        region: &Region,
        voxels: &[u8],
        start: [usize; 3],
    ) -> Result<()> {
        let size = self.info.dtype.size();
        let end = region.end();
        let used: [usize; 3] = std::array::from_fn(|axis| shard[axis].min(end[axis] - start[axis]));
        let at = |axis: usize| start[axis] / shard[axis];
        let place = along(&self.info.axes, [frame.time, frame.channel, at(0), at(1), at(2)].map(|n| n as u64));
        let bytes = if used == shard && region.size == shard {
            ArrayBytes::new_flen(voxels)
        } else {
            // Shards are whole: what lies beyond the volume is zero.
            let mut data = vec![0u8; shard.iter().product::<usize>() * size];
            let line = used[2] * size;
            for z in 0..used[0] {
                for y in 0..used[1] {
                    let from = ((start[0] - region.start[0] + z) * region.size[1] + start[1] - region.start[1] + y)
                        * region.size[2]
                        + start[2]
                        - region.start[2];
                    let to = (z * shard[1] + y) * shard[2];
                    data[to * size..to * size + line].copy_from_slice(&voxels[from * size..from * size + line]);
                }
            }
            ArrayBytes::new_flen(data)
        };
        // The chunks of a shard one after another: their order in the file must not depend on the threads.
        let options = CodecOptions::default().with_concurrent_target(1);
        array
            .store_chunk_opt(&place, bytes, &options)
            .map_err(|error| Error::io(&self.target, "write", std::io::Error::other(error.to_string())))
    }
}

impl VolumeSink for OmeZarrWriter {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, frame: Frame, region: &Region, voxels: &[u8]) -> Result<()> {
        self.info.check(frame, region)?;
        if voxels.len() != region.len() * self.info.dtype.size() {
            return Err(Error::Internal(format!("{} bytes for a region of {} voxels", voxels.len(), region.len())));
        }
        let (shape, shard, end) = (self.info.space(), self.info.chunk, region.end());
        if (0..3).any(|a| {
            !region.start[a].is_multiple_of(shard[a]) || (!end[a].is_multiple_of(shard[a]) && end[a] != shape[a])
        }) {
            let expected = format!("a beginning and an end at multiples of {shard:?} or at the end of the volume");
            return Err(Error::parameter("region", expected, format!("{:?}..{end:?}", region.start)));
        }
        let mut starts = Vec::new();
        for z in region.range(0).step_by(shard[0]) {
            for y in region.range(1).step_by(shard[1]) {
                starts.extend(region.range(2).step_by(shard[2]).map(|x| [z, y, x]));
            }
        }
        let outcomes: Vec<Result<()>> = starts
            .into_par_iter()
            .with_max_len(1)
            .map(|start| self.put(&self.base, shard, frame, region, voxels, start))
            .collect();
        outcomes.into_iter().collect()
    }
}

/// Writes a volume as an OME-Zarr image at `path`: see [`OmeZarrWriter`]. Half precision becomes float32.
///
/// Memory stays within `options.memory`; the result appears whole or not at all.
///
/// # Errors
/// What reading and writing return; [`Error::Interrupted`].
pub fn write_ome_zarr(source: &dyn VolumeBlocks, path: &Path, options: &OmeZarrOptions, ctx: &Ctx) -> Result<()> {
    let mut info = source.info().clone();
    if info.dtype == Dtype::F16 {
        info.dtype = Dtype::F32;
    }
    let writer = OmeZarrWriter::create(path, &info, options)?;
    writer.copy_from(source, ctx)?;
    writer.finish(ctx)
}

/// What is known of each level of an OME-Zarr, finest first.
///
/// # Errors
/// As opening it.
pub fn pyramid_levels(path: &Path) -> Result<Vec<VolumeInfo>> {
    let count = level_paths(path)?.len();
    (0..count)
        .map(|level| {
            let options = OpenOptions { level: Some(level), ..OpenOptions::default() };
            super::image::open(path, Node::Group, &options).map(|volume| volume.info().clone())
        })
        .collect()
}
