//! From detections over time to tracks.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_imaging::track::{Detections, Tracks, label_centres, track as link};
use zensaibo_io::{Columns, write_columns};

use super::cells::{Target, numbers, provenance, target};
use super::places::{is_table, read_places};
use super::source::{open, spacing_of};
use super::tracks::Paths;
use super::{TrackConfig, costs, ending};
use crate::measure::{StageRecord, bytes_text, counted, grouped};
use crate::recipe::output::{check_targets, write_text};
use crate::recipe::stages::Stages;
use crate::recipe::{Extras, Hooks};
use crate::report::{Curve, Distribution, VolumeReport};

/// What `track` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TrackSummary {
    /// Detections read.
    pub detections: usize,
    /// Time points.
    pub times: usize,
    /// Tracks found.
    pub tracks: usize,
    /// Tracks that divide.
    pub divisions: usize,
    /// Detections that are a track by themselves.
    pub alone: usize,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// The output as it was named.
    pub output: String,
    /// The report as it was named, where one was asked for.
    pub report: Option<String>,
}

impl TrackSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} of {} at {}; {}; {} tracks of one detection\n",
            counted(self.tracks, "track"),
            counted(self.detections, "detection"),
            counted(self.times, "time point"),
            counted(self.divisions, "division"),
            grouped(self.alone as u64)
        );
        let mut files = vec![("output", self.output.as_str())];
        files.extend(self.report.as_deref().map(|report| ("report", report)));
        text.push_str(&ending(&self.stages, None, &[], &files));
        text
    }
}

/// Detections ordered by time.
#[derive(Default)]
struct Found {
    offsets: Vec<usize>,
    points: Vec<[f64; 3]>,
    sizes: Option<Vec<f64>>,
    /// Time point of each.
    times: Vec<i64>,
    /// Row of each in its table.
    rows: Vec<i64>,
    /// Label of each, of label volumes.
    labels: Option<Vec<i64>>,
}

/// Tracks detections over time: tables, one for each time point or one with a column of time, or a volume of labels with
/// time. Writes one row per detection, as `zensaibo.im.track` returns them, and a report where one is asked for. Files are
/// written beside and renamed.
///
/// # Errors
/// As [`zensaibo_imaging::track::track`]; [`Error::Data`], [`Error::Format`] for tables without places or times;
/// [`Error::Parameter`] for labels whose spacing nobody says and for an output of another kind; [`Error::Io`].
pub fn track(
    inputs: &[PathBuf],
    output: &Path,
    config: &TrackConfig,
    extras: Extras<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<TrackSummary> {
    config.validate()?;
    let kind = target("output", output, &["parquet", "csv"])?;
    debug_assert_eq!(kind, Target::Table);
    for input in inputs {
        check_targets(output, extras.report, Some(input))?;
    }
    let mut stages = Stages::new(hooks, ctx);
    let found = stages.run("read", |ctx| {
        let found = read(inputs, config, ctx)?;
        let note = format!(
            "{} at {}",
            counted(found.points.len(), "detection"),
            counted(found.offsets.len().saturating_sub(1), "time point")
        );
        Ok((found, note))
    })?;
    let tracks = stages.run("track", |ctx| {
        let detections = Detections { offsets: &found.offsets, points: &found.points, sizes: found.sizes.as_deref() };
        let tracks = link(&detections, &config.track, ctx)?;
        let note = counted(tracks.len(), "track");
        Ok((tracks, note))
    })?;
    stages.run("write", |_| {
        let parent = |&track: &u32| i64::from(tracks.parent[track as usize - 1]);
        let axis = |a: usize| found.points.iter().map(|point| point[a]).collect::<Vec<f64>>();
        let mut columns = vec![
            numbers("track", tracks.track.iter().map(|&track| i64::from(track)).collect::<Vec<i64>>()),
            numbers("parent", tracks.track.iter().map(parent).collect::<Vec<i64>>()),
            numbers("t", found.times.clone()),
            numbers("z", axis(0)),
            numbers("y", axis(1)),
            numbers("x", axis(2)),
            numbers("detection", found.rows.clone()),
        ];
        columns.extend(found.labels.clone().map(|labels| numbers("label", labels)));
        let (name, said) = provenance("track", json!(config.track));
        let metadata = vec![("unit".to_string(), "micrometer".to_string()), (name, said.to_string())];
        write_columns(output, &Columns { columns, metadata })?;
        Ok(((), bytes_text(std::fs::metadata(output).map_or(0, |meta| meta.len()))))
    })?;
    let paths = Paths::new(&found.points, &found.times, &tracks);
    let mut summary = TrackSummary {
        detections: found.points.len(),
        times: found.offsets.len().saturating_sub(1),
        tracks: tracks.len(),
        divisions: paths.divisions().len(),
        alone: lengths(&tracks).filter(|&length| length == 1.0).count(),
        output: output.display().to_string(),
        ..Default::default()
    };
    if let Some(path) = extras.report {
        let pictures = stages.run("pictures", |_| {
            let pictures = paths.pictures();
            let note = counted(pictures.len(), "picture");
            Ok((pictures, note))
        })?;
        let mut page = report(inputs, config, &summary, &found, &tracks, &paths, &stages.records, extras);
        page.pictures = pictures;
        write_text(path, &crate::report::volume_page(&page))?;
        summary.report = Some(path.display().to_string());
    }
    summary.stages = stages.records;
    Ok(summary)
}

/// Detections of each track.
fn lengths(tracks: &Tracks) -> impl Iterator<Item = f64> {
    let mut lengths = vec![0usize; tracks.len()];
    tracks.track.iter().for_each(|&track| lengths[track as usize - 1] += 1);
    lengths.into_iter().map(|length| length as f64)
}

/// The page, without its pictures.
#[expect(clippy::too_many_arguments, reason = "all that the page tells")]
fn report(
    inputs: &[PathBuf],
    config: &TrackConfig,
    summary: &TrackSummary,
    found: &Found,
    tracks: &Tracks,
    paths: &Paths<'_>,
    stages: &[StageRecord],
    extras: Extras<'_>,
) -> VolumeReport {
    let number = |value: usize, what: &str| (grouped(value as u64), what.to_string());
    let mut numbers = vec![
        number(summary.tracks, "tracks"),
        number(summary.detections, "detections"),
        number(summary.times, "time points"),
        number(summary.divisions, "divisions"),
    ];
    numbers.extend(costs(stages, None, "from file to tracks"));
    let mut entries = match inputs {
        [one] => vec![("detections".to_string(), one.display().to_string())],
        [] => Vec::new(),
        several => vec![
            ("first table".to_string(), several[0].display().to_string()),
            ("tables".to_string(), grouped(several.len() as u64)),
        ],
    };
    entries.push(("tracks of one detection".into(), grouped(summary.alone as u64)));
    entries.push(("output".into(), summary.output.clone()));
    entries.push(("zensaibo".into(), env!("CARGO_PKG_VERSION").into()));
    let of = |label: &str, of: &str, values: Vec<f64>, limit: Option<f64>| Distribution {
        label: label.into(),
        of: of.into(),
        values,
        limit,
    };
    // The first time point that holds any cell says which number the first of all has.
    let empty = found.offsets.iter().filter(|&&offset| offset == 0).count().saturating_sub(1) as i64;
    let first = found.times.first().map_or(0, |time| time - empty);
    let over_time = |label: &str, values: Vec<usize>| Curve {
        over: "time point".into(),
        label: label.into(),
        points: values.into_iter().zip(first..).map(|(value, time)| [time as f64, value as f64]).collect(),
    };
    let mut curves = vec![over_time("cells", found.offsets.windows(2).map(|pair| pair[1] - pair[0]).collect())];
    if summary.divisions > 0 {
        let mut divisions = vec![0usize; summary.times];
        paths.divisions().iter().for_each(|&at| divisions[(found.times[at] - first) as usize] += 1);
        curves.push(over_time("divisions", divisions));
    }
    VolumeReport {
        input: inputs.first().map_or(String::new(), |input| input.display().to_string()),
        subtitle: "Cells through time".into(),
        time: extras.time.map(str::to_string),
        numbers,
        legend: match summary.tracks {
            0 => "No cell was there.".into(),
            _ => "Lines are tracks, from blue (first time point) to yellow (last); rings are divisions.".into(),
        },
        marked: Some("divisions"),
        curves,
        distributions: vec![
            of("length of the track, detections", "tracks", lengths(tracks).collect(), None),
            of("step to the next time point, um", "links", paths.steps(), Some(config.track.max_speed)),
        ],
        stages: stages.to_vec(),
        entries,
        options: config.values(),
        ..Default::default()
    }
}

fn read(inputs: &[PathBuf], config: &TrackConfig, ctx: &Ctx) -> Result<Found> {
    match inputs {
        [labels] if !is_table(labels) => from_labels(labels, config, ctx),
        [whole] => from_whole(whole, config, ctx),
        several => from_frames(several, config, ctx),
    }
}

/// A table for each time point.
fn from_frames(inputs: &[PathBuf], config: &TrackConfig, ctx: &Ctx) -> Result<Found> {
    let mut found =
        Found { offsets: vec![0], sizes: config.input.size.as_ref().map(|_| Vec::new()), ..Default::default() };
    for (time, path) in inputs.iter().enumerate() {
        ctx.check()?;
        let frame = read_places(path, config.input.spacing, ctx)?;
        if let (Some(name), Some(sizes)) = (&config.input.size, &mut found.sizes) {
            sizes.extend(frame.columns.numbers(path, name)?);
        }
        found.times.extend(std::iter::repeat_n(time as i64, frame.points.len()));
        found.rows.extend(0..frame.points.len() as i64);
        found.points.extend(frame.points);
        found.offsets.push(found.points.len());
    }
    Ok(found)
}

/// One table of all time points.
fn from_whole(path: &Path, config: &TrackConfig, ctx: &Ctx) -> Result<Found> {
    const MOST: i64 = 10_000_000;
    let frame = read_places(path, config.input.spacing, ctx)?;
    let name = config.input.time.as_str();
    if frame.columns.columns.is_empty() {
        let expected = format!("a column {name} of time points, or a table for each time point");
        return Err(Error::data(DataFault::Shape, path.display().to_string(), expected, "places alone"));
    }
    let times = frame.columns.numbers(path, name)?;
    if let Some(row) = times.iter().position(|time| time.fract() != 0.0 || !time.is_finite()) {
        let what = format!("{}, column {name}", path.display());
        return Err(Error::data(DataFault::Invalid, what, "whole numbers", format!("{} in row {row}", times[row])));
    }
    let times: Vec<i64> = times.iter().map(|&time| time as i64).collect();
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|&row| times[row]);
    let (first, last) = (times.iter().min().copied().unwrap_or(0), times.iter().max().copied().unwrap_or(-1));
    let number = last.saturating_sub(first).saturating_add(1);
    if number > MOST {
        let what = format!("{}, column {name}", path.display());
        return Err(Error::data(
            DataFault::Invalid,
            what,
            format!("at most {MOST} time points"),
            format!("{first} to {last}"),
        ));
    }
    let sorted: Vec<i64> = order.iter().map(|&row| times[row]).collect();
    let sizes = config.input.size.as_ref().map(|size| frame.columns.numbers(path, size)).transpose()?;
    Ok(Found {
        offsets: (0..=number).map(|time| sorted.partition_point(|&at| at < first + time)).collect(),
        points: order.iter().map(|&row| frame.points[row]).collect(),
        sizes: sizes.map(|sizes| order.iter().map(|&row| sizes[row]).collect()),
        times: sorted,
        rows: order.iter().map(|&row| row as i64).collect(),
        labels: None,
    })
}

/// A volume of labels over time.
fn from_labels(path: &Path, config: &TrackConfig, ctx: &Ctx) -> Result<Found> {
    if config.input.size.is_some() {
        return Err(Error::parameter("input.size", "unset for labels, whose sizes are known", "a column"));
    }
    let volume = open(path, &config.input.volume())?;
    let spacing = spacing_of(volume.info())?;
    if !volume.info().axes.contains('t') {
        let expected = "labels with an axis t (--set input.axes=tzyx where the file does not name its axes)";
        let found = format!("axes {}", volume.info().axes);
        return Err(Error::data(DataFault::Shape, path.display().to_string(), expected, found));
    }
    let frames = label_centres(&volume, ctx)?;
    let mut found = Found { offsets: vec![0], ..Default::default() };
    let (mut sizes, mut labels) = (Vec::new(), Vec::new());
    for (time, frame) in frames.into_iter().enumerate() {
        found.times.extend(std::iter::repeat_n(time as i64, frame.labels.len()));
        found.rows.extend(0..frame.labels.len() as i64);
        found.points.extend(frame.centres.iter().map(|&centre| spacing.point_um(centre)));
        found.offsets.push(found.points.len());
        sizes.extend(frame.voxels.iter().map(|&voxels| voxels as f64));
        labels.extend(frame.labels.iter().map(|&label| label as i64));
    }
    Ok(Found { sizes: Some(sizes), labels: Some(labels), ..found })
}
