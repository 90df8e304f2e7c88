//! From a volume to a table of cells.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use zensaibo_core::data::{Frame, SharedVolume, VolumeBlocks};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_imaging::blocks::View;
use zensaibo_imaging::classify::CellClassifier;
use zensaibo_imaging::detect::{Cells, DetectOptions, DetectionReport, detect_cells};
use zensaibo_imaging::space::Spacing;

use super::cells::{Rows, provenance, target};
use super::pictures::{self, Found};
use super::source::{Budget, described, open, spacing_of};
use super::{DetectConfig, costs, ending};
use crate::measure::{StageRecord, counted, grouped};
use crate::recipe::output::{check_targets, write_text};
use crate::recipe::shared::{Blocks, Folder, Role, detect_steps};
use crate::recipe::stages::Stages;
use crate::recipe::{Extras, Hooks};
use crate::report::{Distribution, VolumeReport};

/// Files that `detect` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct DetectFiles<'a> {
    /// The volume in which cells are sought.
    pub signal: &'a Path,
    /// The channel without the stain; may be the same file.
    pub background: Option<&'a Path>,
    /// Table of cells: .parquet, .csv, .h5ad, or .xml of cellfinder.
    pub output: &'a Path,
}

/// What `detect` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DetectSummary {
    /// Cells found.
    pub cells: usize,
    /// Soma diameter in micrometres.
    pub soma_diameter: f64,
    /// What decided: "default", "none", or a file.
    pub classifier: String,
    /// What was seen on the way.
    pub seen: DetectionReport,
    /// Bytes that the run was allowed to take.
    pub memory: Option<u64>,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The output as it was named.
    pub output: String,
    /// The report as it was named, where one was asked for.
    pub report: Option<String>,
}

impl DetectSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let by = match self.classifier.as_str() {
            "none" => "by a threshold in local noise".to_string(),
            "default" => "by the classifier of zensaibo".to_string(),
            file => format!("by {file}"),
        };
        let mut text = format!(
            "{} (soma {} um, {by})\nof {}; {} stand out from darkness alone, {} too near to another, {} in the edge zone; {} voxels\n",
            counted(self.cells, "cell"),
            self.soma_diameter,
            counted(self.seen.candidates as usize, "candidate"),
            grouped(self.seen.dark),
            grouped(self.seen.too_near),
            grouped(self.seen.edge),
            grouped(self.seen.voxels),
        );
        let mut files = vec![("output", self.output.as_str())];
        files.extend(self.report.as_deref().map(|report| ("report", report)));
        text.push_str(&ending(&self.stages, self.memory, &self.notes, &files));
        text
    }
}

/// Finds the cells of a volume and writes them, and a report where one is asked for.
///
/// The same cells as `zensaibo.im.detect_cells` finds. `config.detect.memory` bounds the whole process but for the cells
/// themselves and the map of what is normal. Files are written beside and renamed. Runs on the current thread pool.
///
/// # Errors
/// As [`detect_cells`]; [`Error::Parameter`] for a volume whose spacing nobody says, and for names with an ending that is
/// not known; [`Error::Io`].
pub fn detect(
    files: DetectFiles<'_>,
    config: &DetectConfig,
    extras: Extras<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<DetectSummary> {
    detect_with(files, config, extras, None, hooks, ctx)
}

/// Computes one part of one step of [`detect`] and leaves it in the folder `work`, for [`detect_merge`].
///
/// All processes see `work` and the volumes under the same names, and take the same options. A part that is there is not
/// computed again.
///
/// # Errors
/// As [`detect`]; [`Error::Parameter`] for a step that is none, or a folder of another run; [`Error::Format`] that names what
/// is missing of the step before.
#[expect(clippy::too_many_arguments, reason = "those of `detect`, and the part")]
pub fn detect_part(
    signal: &Path,
    background: Option<&Path>,
    work: &Path,
    step: &str,
    blocks: Blocks,
    config: &DetectConfig,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<()> {
    config.validate()?;
    let folder = folder_of(work, signal, background, config, Role::Part(step.into(), blocks))?;
    let mut stages = Stages::new(hooks, ctx);
    let budget = Budget::new(config.detect.memory);
    let search = Search::open(signal, background, config, &budget, &mut stages)?.shared(folder);
    match search.run(&mut stages) {
        // A volume without contrast has no second step.
        Err(Error::PartDone) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// As [`detect`], from the parts that processes left in the folder `work`: with the same bits.
///
/// # Errors
/// As [`detect`] and [`detect_part`].
pub fn detect_merge(
    files: DetectFiles<'_>,
    work: &Path,
    config: &DetectConfig,
    extras: Extras<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<DetectSummary> {
    config.validate()?;
    let folder = folder_of(work, files.signal, files.background, config, Role::Merge(None))?;
    detect_with(files, config, extras, Some(folder), hooks, ctx)
}

fn folder_of(
    work: &Path,
    signal: &Path,
    background: Option<&Path>,
    config: &DetectConfig,
    role: Role,
) -> Result<Arc<Folder>> {
    let inputs: Vec<&Path> = [Some(signal), background].into_iter().flatten().collect();
    Folder::open(work, &inputs, &detect_steps(), config, role).map(Arc::new)
}

fn detect_with(
    files: DetectFiles<'_>,
    config: &DetectConfig,
    extras: Extras<'_>,
    folder: Option<Arc<Folder>>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<DetectSummary> {
    config.validate()?;
    let target = target("output", files.output, &["parquet", "csv", "h5ad", "xml"])?;
    check_targets(files.output, extras.report, Some(files.signal))?;
    let budget = Budget::new(config.detect.memory);
    let mut stages = Stages::new(hooks, ctx);
    let search = Search::open(files.signal, files.background, config, &budget, &mut stages)?;
    let search = match folder {
        None => search,
        Some(folder) => search.shared(folder),
    };
    let cells = search.run(&mut stages)?;
    let (signal, spacing, options) = (&search.signal, search.spacing, &search.options);
    let said = search.said(&cells, config);
    stages.run("write", |_| {
        let rows = Rows::detected(&cells, signal.info().origin, spacing, said);
        rows.write(files.output, target, &cells.centre)?;
        let bytes = std::fs::metadata(files.output).map_or(0, |meta| meta.len());
        Ok(((), crate::measure::bytes_text(bytes)))
    })?;
    let mut summary = DetectSummary {
        cells: cells.len(),
        soma_diameter: config.detect.soma_diameter,
        classifier: config.classifier.model.clone(),
        seen: cells.report.clone(),
        memory: config.detect.memory,
        notes: notes(&cells),
        output: files.output.display().to_string(),
        ..Default::default()
    };
    if let Some(path) = extras.report {
        let frame = Frame { time: options.time, channel: options.channel };
        let pictures = stages.run("pictures", |ctx| {
            let found = Found { centre: &cells.centre, score: &cells.score, soma: options.soma_diameter };
            let pictures = pictures::of_cells(signal, frame, spacing, &found, budget.blocks, ctx)?;
            let note = counted(pictures.len(), "picture");
            Ok((pictures, note))
        })?;
        let page =
            report(&files, config, &summary, &cells, signal.info().dtype.name(), pictures, &stages.records, extras);
        write_text(path, &crate::report::volume_page(&page))?;
        summary.report = Some(path.display().to_string());
    }
    summary.stages = stages.records;
    Ok(summary)
}

/// Volumes in which cells are sought, and how.
pub(super) struct Search {
    pub(super) signal: Arc<dyn VolumeBlocks>,
    pub(super) background: Option<Arc<dyn VolumeBlocks>>,
    pub(super) spacing: Spacing,
    /// Of the detection; their memory is what the budget leaves for blocks.
    pub(super) options: DetectOptions,
    classifier: Option<CellClassifier>,
}

impl Search {
    /// Opens volumes and classifier.
    pub(super) fn open(
        signal: &Path,
        other: Option<&Path>,
        config: &DetectConfig,
        budget: &Budget,
        stages: &mut Stages<'_>,
    ) -> Result<Self> {
        let classifier = classifier(&config.classifier.model)?;
        // A plan keeps as much again for results, which are small here: most of that goes to the blocks.
        let memory = budget.blocks.map(|bytes| bytes + bytes / 5 * 2);
        let options = DetectOptions { memory, ..config.detect.clone() };
        stages.run("open", |_| {
            let signal = open(signal, &config.input)?;
            let background = other.map(|path| background(path, config)).transpose()?;
            let spacing = spacing_of(signal.info())?;
            let with = if background.is_some() { ", with background" } else { "" };
            let note = format!("{}{with}", described(signal.info()));
            Ok((Self { signal, background, spacing, options, classifier }, note))
        })
    }

    /// The same with the work shared out.
    fn shared(self, folder: Arc<Folder>) -> Self {
        Self { signal: Arc::new(SharedVolume::new(self.signal, folder)), ..self }
    }

    /// Finds the cells.
    pub(super) fn run(&self, stages: &mut Stages<'_>) -> Result<Cells> {
        stages.run("detect", |ctx| {
            let other = self.background.as_ref().map(|volume| volume as &dyn VolumeBlocks);
            let classifier = self.classifier.as_ref();
            let cells = detect_cells(&self.signal, other, self.spacing, classifier, &self.options, ctx)?;
            let candidates = counted(cells.report.candidates as usize, "candidate");
            let note = format!("{} of {candidates}", counted(cells.len(), "cell"));
            Ok((cells, note))
        })
    }

    /// What is said of cells that were found so.
    pub(super) fn said(&self, cells: &Cells, config: &DetectConfig) -> Vec<(String, serde_json::Value)> {
        let kind = match config.classifier.model.as_str() {
            name @ ("default" | "none") => name,
            _ => "own",
        };
        vec![
            ("detection".to_string(), json!(cells.report)),
            provenance("detect_cells", recorded(&config.detect, self.spacing, kind)),
        ]
    }
}

fn classifier(model: &str) -> Result<Option<CellClassifier>> {
    match model {
        "none" => Ok(None),
        "default" => CellClassifier::default_model().cloned().map(Some),
        path => {
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", error))?;
            CellClassifier::from_json(path, &text).map(Some)
        }
    }
}

/// One channel and time point of the background volume.
fn background(path: &Path, config: &DetectConfig) -> Result<Arc<dyn VolumeBlocks>> {
    let volume = open(path, &config.input)?;
    let [times, channels, z, y, x] = volume.info().shape;
    let (channel, time) = (config.background.channel, config.background.time);
    for (name, at, length) in [("background.time", time, times), ("background.channel", channel, channels)] {
        if at >= length {
            return Err(Error::parameter(name, format!("0..{length} in {}", path.display()), at));
        }
    }
    Ok(Arc::new(View::new(volume, [time..time + 1, channel..channel + 1, 0..z, 0..y, 0..x])?))
}

/// The options as Python's provenance lists them.
fn recorded(options: &DetectOptions, spacing: Spacing, classifier: &str) -> serde_json::Value {
    let mut all = json!(options);
    if let Some(fields) = all.as_object_mut() {
        fields.shift_remove("memory");
        fields.insert("spacing".into(), json!(spacing.um()));
        fields.insert("classifier".into(), json!(classifier));
    }
    all
}

fn notes(cells: &Cells) -> Vec<String> {
    let seen = &cells.report;
    let mut notes = Vec::new();
    if seen.constant {
        notes.push("The volume has no contrast anywhere: it is empty or constant.".to_string());
    }
    if seen.saturated > 0 {
        let share = 100.0 * seen.saturated as f64 / seen.voxels.max(1) as f64;
        notes.push(format!(
            "{} ({share:.2} %) hold the largest value of their type: what is brighter was cut off.",
            counted(seen.saturated as usize, "voxel")
        ));
    }
    notes
}

#[allow(clippy::too_many_arguments)] // what the page tells
fn report(
    files: &DetectFiles<'_>,
    config: &DetectConfig,
    summary: &DetectSummary,
    cells: &Cells,
    dtype: &str,
    pictures: Vec<crate::report::Picture>,
    stages: &[StageRecord],
    extras: Extras<'_>,
) -> VolumeReport {
    let number = |value: u64, what: &str| (grouped(value), what.to_string());
    let column = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let classified = cells.report.classified;
    let limit = if classified { None } else { Some(config.detect.threshold) };
    let contrast: Vec<f64> =
        cells.peak.iter().zip(&cells.background).map(|(&peak, &around)| f64::from(peak - around)).collect();
    let mut entries = vec![("signal".to_string(), files.signal.display().to_string())];
    entries.extend(files.background.map(|path| ("background".to_string(), path.display().to_string())));
    entries.push(("voxels".into(), format!("{} of {dtype}", grouped(cells.report.voxels))));
    entries.push(("candidates".into(), grouped(cells.report.candidates)));
    entries.push(("stand out from darkness alone".into(), grouped(cells.report.dark)));
    entries.push(("least noise believed".into(), format!("{:.3}", cells.report.least_noise)));
    entries.push(("too near to another".into(), grouped(cells.report.too_near)));
    entries.push(("saturated voxels".into(), grouped(cells.report.saturated)));
    entries.push(("output".into(), summary.output.clone()));
    entries.push(("zensaibo".into(), env!("CARGO_PKG_VERSION").into()));
    let mut numbers = vec![
        number(cells.len() as u64, "cells"),
        number(cells.report.candidates, "candidates"),
        number(cells.report.edge, "cells in the edge zone"),
    ];
    numbers.extend(costs(stages, summary.memory, "from file to table"));
    VolumeReport {
        input: files.signal.display().to_string(),
        subtitle: "Cells of a volume".into(),
        time: extras.time.map(str::to_string),
        numbers,
        notes: summary.notes.clone(),
        legend: if cells.is_empty() {
            "No cell was found.".into()
        } else if classified {
            "Rings and dots are cells, from yellow (lowest score) to red (highest).".into()
        } else {
            "Rings and dots are cells, from yellow (stands out least) to red (most).".into()
        },
        pictures,
        bars: None,
        marked: None,
        curves: Vec::new(),
        distributions: vec![
            Distribution {
                label: if classified { "score (probability of a cell)" } else { "score (prominence in local noise)" }
                    .into(),
                of: "cells".into(),
                values: column(&cells.score),
                limit,
            },
            Distribution { label: "peak above local median".into(), of: "cells".into(), values: contrast, limit: None },
            Distribution {
                label: "volume of the half-height body, cubic um".into(),
                of: "cells".into(),
                values: column(&cells.volume),
                limit: None,
            },
        ],
        stages: stages.to_vec(),
        entries,
        options: config.values(),
    }
}
