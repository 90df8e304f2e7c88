//! From a volume of dense nuclei to labels and a table.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use zensaibo_core::data::{Dtype, Frame, Region, SharedVolume, VolumeBlocks, VolumeInfo, VolumeSink};
use zensaibo_core::exchange::Exchange;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_imaging::measure::RegionTable;
use zensaibo_imaging::segment::{SharedNuclei, segment_nuclei, segment_shared};
use zensaibo_imaging::space::Spacing;
use zensaibo_io::Column;
use zensaibo_io::volume::{Downsample, OmeZarrOptions, OmeZarrWriter};

use super::cells::{Rows, numbers, provenance, target};
use super::source::{Budget, described, open, spacing_of};
use super::{SegmentConfig, costs, ending, pictures};
use crate::measure::{StageRecord, bytes_text, grouped};
use crate::recipe::output::{check_target, check_targets, write_text};
use crate::recipe::shared::{Blocks, Folder, Role, segment_steps};
use crate::recipe::stages::Stages;
use crate::recipe::{Extras, Hooks};
use crate::report::{Distribution, Picture, VolumeReport};

/// Files that `segment` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFiles<'a> {
    /// The volume.
    pub volume: &'a Path,
    /// The labels: an OME-Zarr.
    pub output: &'a Path,
    /// The table of nuclei: .parquet, .csv or .h5ad.
    pub table: Option<&'a Path>,
}

/// What `segment` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SegmentSummary {
    /// Nuclei of all time points.
    pub nuclei: usize,
    /// Time points.
    pub times: usize,
    /// Nuclei that touch the border of the volume.
    pub at_border: usize,
    /// Median volume of the others in cubic micrometres; 0 where there are none.
    pub median_volume: f64,
    /// Bytes that the run was allowed to take.
    pub memory: Option<u64>,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// The labels as they were named.
    pub output: String,
    /// The table as it was named.
    pub table: Option<String>,
    /// The report as it was named.
    pub report: Option<String>,
}

impl SegmentSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let times =
            if self.times > 1 { format!(" at {} time points", grouped(self.times as u64)) } else { String::new() };
        let mut text = format!(
            "{} {}{times}; {} touch the border; median volume of the others {:.0} cubic um\n",
            grouped(self.nuclei as u64),
            if self.nuclei == 1 { "nucleus" } else { "nuclei" },
            grouped(self.at_border as u64),
            self.median_volume
        );
        let mut files = vec![("labels", self.output.as_str())];
        files.extend(self.table.as_deref().map(|table| ("table", table)));
        files.extend(self.report.as_deref().map(|report| ("report", report)));
        text.push_str(&ending(&self.stages, self.memory, &[], &files));
        text
    }
}

/// Bytes that [`segment_nuclei`] holds for each voxel of a time point.
const HELD: u64 = 21;

/// Segments and measures the nuclei of every time point; the same as `zensaibo.im.segment_nuclei`.
///
/// `config.input.memory` bounds the process: one time point is held with 21 bytes per voxel, blocks take what is left. The
/// labels are streamed to an OME-Zarr with a pyramid. Files are written beside and renamed.
///
/// # Errors
/// As [`segment_nuclei`]; [`Error::Limit`] when the memory does not hold a time point; [`Error::Parameter`] for a volume
/// whose spacing nobody says, and for names with an ending that is not known; [`Error::Io`].
pub fn segment(
    files: SegmentFiles<'_>,
    config: &SegmentConfig,
    extras: Extras<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<SegmentSummary> {
    segment_with(files, config, extras, None, hooks, ctx)
}

/// Computes one part of one step of [`segment`] and leaves it in the folder `work`, for [`segment_merge`].
///
/// All processes see `work` and the volume under the same names, and take the same options. A part that is there is not
/// computed again. No time point is held whole.
///
/// # Errors
/// As [`segment`]; [`Error::Parameter`] for a step that is none, or a folder of another run; [`Error::Format`] that names what
/// is missing of the step before.
pub fn segment_part(
    volume: &Path,
    work: &Path,
    step: &str,
    blocks: Blocks,
    config: &SegmentConfig,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<()> {
    config.validate()?;
    let folder = folder_of(work, volume, config, Role::Part(step.into(), blocks))?;
    let mut stages = Stages::new(hooks, ctx);
    let opened = Opened::new(volume, config, &mut stages)?;
    if opened.voxels() == 0 {
        return Ok(());
    }
    let budget = Budget::new(config.input.memory);
    match stages.run("segment", |ctx| opened.shared(&folder, config, &budget, ctx).map(|_| ((), String::new()))) {
        Err(Error::PartDone) => Ok(()),
        outcome => outcome,
    }
}

/// As [`segment`], from the parts that processes left in the folder `work`: with the same bits. Labels are put together as they are
/// written; with a report one time point is held with 4 bytes per voxel.
///
/// # Errors
/// As [`segment`] and [`segment_part`].
pub fn segment_merge(
    files: SegmentFiles<'_>,
    work: &Path,
    config: &SegmentConfig,
    extras: Extras<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<SegmentSummary> {
    config.validate()?;
    let folder = folder_of(work, files.volume, config, Role::Merge(None))?;
    segment_with(files, config, extras, Some(folder), hooks, ctx)
}

fn folder_of(work: &Path, volume: &Path, config: &SegmentConfig, role: Role) -> Result<Arc<Folder>> {
    Folder::open(work, &[volume], &segment_steps(), config, role).map(Arc::new)
}

/// The volume that is segmented.
struct Opened {
    volume: Arc<dyn VolumeBlocks>,
    spacing: Spacing,
}

impl Opened {
    fn new(path: &Path, config: &SegmentConfig, stages: &mut Stages<'_>) -> Result<Self> {
        let opened = stages.run("open", |_| {
            let volume = open(path, &config.input.volume())?;
            let spacing = spacing_of(volume.info())?;
            let note = described(volume.info());
            Ok((Self { volume, spacing }, note))
        })?;
        let info = opened.volume.info();
        info.check(Frame { time: 0, channel: config.input.channel }, &Region::whole(info.space()))
            .map_err(|error| crate::recipe::sections::within("input", error))?;
        Ok(opened)
    }

    /// Voxels of a time point.
    fn voxels(&self) -> u64 {
        self.volume.info().space().iter().map(|&n| n as u64).product()
    }

    /// All time points, by processes that share them through a folder.
    fn shared(&self, folder: &Arc<Folder>, config: &SegmentConfig, budget: &Budget, ctx: &Ctx) -> Result<SharedNuclei> {
        let exchange: Arc<dyn Exchange> = folder.clone();
        let volume = SharedVolume::new(self.volume.clone(), exchange.clone());
        let channel = config.input.channel;
        let frames: Vec<Frame> = (0..self.volume.info().shape[0]).map(|time| Frame { time, channel }).collect();
        segment_shared(&volume, &exchange, &frames, self.spacing, &config.segment, budget.blocks, ctx)
    }
}

/// What is known of the nuclei of all time points.
#[derive(Default)]
struct Found {
    tables: Vec<RegionTable>,
    shown: Vec<Picture>,
    noise: Vec<f64>,
    contrast: Vec<f64>,
}

fn segment_with(
    files: SegmentFiles<'_>,
    config: &SegmentConfig,
    extras: Extras<'_>,
    folder: Option<Arc<Folder>>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<SegmentSummary> {
    config.validate()?;
    if !files.output.extension().is_some_and(|end| end.eq_ignore_ascii_case("zarr")) {
        return Err(Error::parameter(
            "output",
            "a name ending in .zarr (an OME-Zarr of labels)",
            files.output.display(),
        ));
    }
    let table_target = files.table.map(|path| target("table", path, &["parquet", "csv", "h5ad"])).transpose()?;
    match files.table {
        Some(table) => check_targets(table, extras.report, Some(files.volume))?,
        None => extras.report.map_or(Ok(()), |report| check_target("report", report))?,
    }
    let mut stages = Stages::new(hooks, ctx);
    let opened = Opened::new(files.volume, config, &mut stages)?;
    let folder = folder.filter(|_| opened.voxels() > 0);
    let (volume, spacing, channel) = (&opened.volume, opened.spacing, config.input.channel);
    let info = volume.info();
    let held = if folder.is_some() { 0 } else { opened.voxels() * HELD };
    if let Some(memory) = config.input.memory.filter(|&memory| held > memory) {
        let needed = format!("{} for one time point of {} voxels", bytes_text(held), grouped(opened.voxels()));
        let limit = format!("{} (`zensaibo run-blocks --recipe segment` holds less)", bytes_text(memory));
        return Err(Error::Limit { what: "memory".into(), needed, limit });
    }
    let left = config.input.memory.map(|memory| (memory - held).max(128 << 20));
    // Shared blocks are cut as those of the parts were.
    let budget = Budget::new(if folder.is_some() { config.input.memory } else { left });
    let written = labels_of(info, files.volume);
    let zarr = OmeZarrOptions { downsample: Downsample::Mode, memory: left, ..Default::default() };
    let writer = OmeZarrWriter::create(files.output, &written, &zarr)?;
    let times = info.shape[0];
    let found = stages.run("segment", |ctx| {
        let mut found = Found::default();
        if let Some(folder) = &folder {
            let shared = opened.shared(folder, config, &budget, ctx)?;
            writer.copy_from(&shared.labels, ctx)?;
            if extras.report.is_some() {
                let labels = shared.labels_in_memory(times / 2)?;
                found.shown = pictures::of_labels(volume, Frame { time: times / 2, channel }, spacing, &labels)?;
            }
            (found.tables, found.noise, found.contrast) = (shared.tables, shared.noise, shared.min_contrast);
        } else {
            for time in 0..times {
                let frame = Frame { time, channel };
                let nuclei = segment_nuclei(volume, frame, spacing, &config.segment, budget.blocks, ctx)?;
                let bytes = bytemuck::cast_slice(&nuclei.labels.data);
                writer.write(Frame { time, channel: 0 }, &Region::whole(nuclei.labels.shape), bytes)?;
                if extras.report.is_some() && time == times / 2 {
                    found.shown = pictures::of_labels(volume, frame, spacing, &nuclei.labels)?;
                }
                found.tables.push(nuclei.table);
                found.noise.push(nuclei.noise);
                found.contrast.push(nuclei.min_contrast);
            }
        }
        let nuclei: usize = found.tables.iter().map(RegionTable::len).sum();
        Ok((found, format!("{} nuclei", grouped(nuclei as u64))))
    })?;
    let Found { tables, shown, noise, contrast } = found;
    let rows = table(&tables, info, spacing, provenance_of(config, spacing, &noise, &contrast));
    stages.run("write", |ctx| {
        if let (Some(path), Some(target)) = (files.table, table_target) {
            rows.write(path, target, &[])?;
        }
        writer.finish(ctx)?;
        Ok(((), if files.table.is_some() { "labels and table" } else { "labels" }.into()))
    })?;
    let border: Vec<bool> = tables.iter().flat_map(|table| table.touches_border.iter().copied()).collect();
    let mut inner: Vec<f64> = tables.iter().flat_map(|table| table.volume.iter().copied()).collect();
    let mut at = 0;
    inner.retain(|_| {
        at += 1;
        !border[at - 1]
    });
    inner.sort_by(f64::total_cmp);
    let mut summary = SegmentSummary {
        nuclei: border.len(),
        times,
        at_border: border.iter().filter(|&&border| border).count(),
        median_volume: inner.get(inner.len() / 2).copied().unwrap_or(0.0),
        memory: config.input.memory,
        output: files.output.display().to_string(),
        table: files.table.map(|path| path.display().to_string()),
        ..Default::default()
    };
    if let Some(path) = extras.report {
        let page = report(&files, config, &summary, &tables, shown, &stages.records, extras);
        write_text(path, &crate::report::volume_page(&page))?;
        summary.report = Some(path.display().to_string());
    }
    summary.stages = stages.records;
    Ok(summary)
}

/// What is said of the labels of a volume.
fn labels_of(info: &VolumeInfo, path: &Path) -> VolumeInfo {
    let mut labels = info.clone();
    labels.dtype = Dtype::U32;
    labels.shape[1] = 1;
    labels.axes.retain(|axis| axis != 'c');
    labels.channels = Vec::new();
    labels.name = format!("labels of {}", path.display());
    labels
}

fn provenance_of(
    config: &SegmentConfig,
    spacing: Spacing,
    noise: &[f64],
    contrast: &[f64],
) -> Vec<(String, serde_json::Value)> {
    let found = json!({ "spacing": spacing.um(), "noise": noise, "min_contrast": contrast });
    let mut options = json!(config.segment);
    options["channel"] = json!(config.input.channel);
    options["spacing"] = json!(spacing.um());
    vec![("segment_nuclei".to_string(), found), provenance("segment_nuclei", options)]
}

/// The columns of `zensaibo.im.region_properties`, all time points one below the other.
fn table(tables: &[RegionTable], info: &VolumeInfo, spacing: Spacing, said: Vec<(String, serde_json::Value)>) -> Rows {
    let all = |read: &dyn Fn(&RegionTable) -> Vec<f64>| tables.iter().flat_map(read).collect::<Vec<f64>>();
    let whole = |read: &dyn Fn(&RegionTable) -> Vec<u64>| tables.iter().flat_map(read).collect::<Vec<u64>>();
    let mut columns: Vec<(String, Column)> = Vec::new();
    if info.axes.contains('t') {
        let times = tables.iter().zip(0i64..).flat_map(|(table, time)| std::iter::repeat_n(time, table.len()));
        columns.push(numbers("time", times.collect::<Vec<i64>>()));
    }
    columns.push(numbers("label", whole(&|table| table.label.clone())));
    columns.push(numbers("voxels", whole(&|table| table.voxels.clone())));
    columns.push(numbers("volume", all(&|table| table.volume.clone())));
    let axes = ["z", "y", "x"];
    for (axis, name) in axes.into_iter().enumerate() {
        columns.push(numbers(name, all(&|table| table.centroid.iter().map(|place| place[axis]).collect())));
    }
    for (axis, name) in axes.into_iter().enumerate() {
        columns.push(numbers(&format!("{name}_first"), whole(&|table| table.low.iter().map(|at| at[axis]).collect())));
        columns.push(numbers(&format!("{name}_end"), whole(&|table| table.high.iter().map(|at| at[axis]).collect())));
    }
    for place in 0..3 {
        let values = all(&|table| table.axes.iter().map(|axes| axes[place]).collect());
        columns.push(numbers(&format!("axis_{}", place + 1), values));
    }
    for (axis, name) in axes.into_iter().enumerate() {
        let values = all(&|table| table.orientation.iter().map(|way| way[axis]).collect());
        columns.push(numbers(&format!("direction_{name}"), values));
    }
    columns.push(numbers("diameter", all(&|table| table.diameter.clone())));
    columns.push(numbers("surface", all(&|table| table.surface.clone())));
    columns.push(numbers("sphericity", all(&|table| table.sphericity.clone())));
    let border: Vec<bool> = tables.iter().flat_map(|table| table.touches_border.iter().copied()).collect();
    columns.push(numbers("touches_border", border));
    let mut values = Vec::new();
    for channel in 0..tables.first().map_or(0, |table| table.channels.len()) {
        let name = tables[0].channels[channel].name.clone();
        let mean = all(&|table| table.channels[channel].mean.clone());
        values.push((name.clone(), mean.iter().map(|&value| value as f32).collect()));
        columns.push(numbers(&format!("mean_{name}"), mean));
        columns.push(numbers(&format!("sd_{name}"), all(&|table| table.channels[channel].deviation.clone())));
        columns.push(numbers(&format!("min_{name}"), all(&|table| table.channels[channel].min.clone())));
        columns.push(numbers(&format!("max_{name}"), all(&|table| table.channels[channel].max.clone())));
        columns.push(numbers(&format!("sum_{name}"), all(&|table| table.channels[channel].sum.clone())));
    }
    let centroids = tables.iter().flat_map(|table| table.centroid.iter());
    let places: Vec<[f64; 3]> = centroids.map(|place| std::array::from_fn(|a| place[a] + info.origin[a])).collect();
    Rows {
        names: (0..places.len()).map(|row| row.to_string()).collect(),
        columns,
        places,
        values,
        said,
        atlas: None,
        spacing,
    }
}

fn report(
    files: &SegmentFiles<'_>,
    config: &SegmentConfig,
    summary: &SegmentSummary,
    tables: &[RegionTable],
    pictures: Vec<Picture>,
    stages: &[StageRecord],
    extras: Extras<'_>,
) -> VolumeReport {
    let all = |read: fn(&RegionTable) -> &[f64]| tables.iter().flat_map(read).copied().collect::<Vec<f64>>();
    let of =
        |label: &str, values: Vec<f64>| Distribution { label: label.into(), of: "nuclei".into(), values, limit: None };
    let mut entries = vec![
        ("volume".to_string(), files.volume.display().to_string()),
        ("labels".to_string(), summary.output.clone()),
    ];
    entries.extend(summary.table.clone().map(|table| ("table".to_string(), table)));
    entries.push(("zensaibo".into(), env!("CARGO_PKG_VERSION").into()));
    let mut numbers = vec![
        (grouped(summary.nuclei as u64), "nuclei".into()),
        (grouped(summary.at_border as u64), "touch the border".into()),
        (format!("{:.0}", summary.median_volume), "µm³, median volume of the others".into()),
    ];
    numbers.extend(costs(stages, summary.memory, "from file to labels"));
    VolumeReport {
        input: files.volume.display().to_string(),
        subtitle: "Nuclei of a volume".into(),
        time: extras.time.map(str::to_string),
        numbers,
        notes: Vec::new(),
        legend: match summary.times {
            1 => "Outlines in three planes.".into(),
            times => format!("Outlines in three planes of time point {} of {times}.", times / 2),
        },
        pictures,
        bars: None,
        marked: None,
        curves: Vec::new(),
        distributions: vec![
            of("volume, cubic um", all(|table| &table.volume)),
            of("sphericity", all(|table| &table.sphericity)),
            of(
                "mean intensity",
                tables.iter().flat_map(|table| &table.channels[config.input.channel].mean).copied().collect(),
            ),
        ],
        stages: stages.to_vec(),
        entries,
        options: config.values(),
    }
}
