//! The whole way: from a volume to its cells, each with a place in an atlas.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use zensaibo_core::data::{Frame, VolumeBlocks};
use zensaibo_core::{Ctx, Error, Result, options};
use zensaibo_imaging::atlas::Atlas;
use zensaibo_imaging::register::Quality;

use super::atlas::{load, template};
use super::cells::{Rows, Target};
use super::detect::Search;
use super::pictures::{self, Found};
use super::regions::{Placed, map_cells};
use super::register::{Laid, entries, notes, sample, untrusted};
use super::source::{Budget, orientation};
use super::{CellsConfig, DetectConfig, costs, ending, overlay, stored};
use crate::measure::{StageRecord, counted, grouped};
use crate::recipe::Hooks;
use crate::recipe::kept::{Kept, key};
use crate::recipe::output::write_text;
use crate::recipe::stages::Stages;
use crate::report::{Distribution, VolumeReport};

options! {
    /// The sample on its way into the atlas.
    pub struct SampleOptions("sample") {
        /// The anatomical side where index 0 of each axis lies, such as psl. Unset: what the file says.
        pub orientation: Option<String> = None,
        /// Which volume is registered: "background" (autofluorescence looks most like a template) or "signal". Unset:
        /// background where there is one.
        pub volume: Option<String> = None,
        /// Volume of the same shape, not 0 where the sample counts. Unset: everywhere.
        pub mask: Option<String> = None,
        /// Go on with a registration that is not to be trusted, rather than end with its reasons.
        pub anyway: bool = false,
    }
}

impl SampleOptions {
    fn check(&self) -> Result<()> {
        if let Some(volume) = self.volume.as_deref().filter(|volume| !["background", "signal"].contains(volume)) {
            return Err(Error::parameter("volume", "background or signal", volume));
        }
        orientation(self.orientation.as_deref()).map(|_| ())
    }
}

/// Files that `cells` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct CellsFiles<'a> {
    /// The volume in which cells are sought.
    pub signal: &'a Path,
    /// The channel without the stain; may be the same file.
    pub background: Option<&'a Path>,
    /// The folder of results.
    pub output: &'a Path,
}

/// What `cells` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CellsSummary {
    /// Cells found.
    pub cells: u64,
    /// Those in structures of the atlas.
    pub in_structures: u64,
    /// Where they lie, in words.
    pub told: String,
    /// How far the registration can be trusted.
    pub quality: Quality,
    /// Bytes that the run was allowed to take.
    pub memory: Option<u64>,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The folder of results as it was named.
    pub output: String,
}

impl CellsSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {}\nregistration: correlation {:.3}, overlap {:.3}, {:.3} % folded\n",
            counted(self.cells as usize, "cell"),
            self.told,
            self.quality.correlation,
            self.quality.overlap,
            100.0 * self.quality.folds
        );
        let what = [
            ("cells", "cells.h5ad"),
            ("cells", "cells.parquet"),
            ("structures", "regions.csv"),
            ("registration", "registration"),
            ("report", "report.html"),
        ];
        let files: Vec<(&str, String)> =
            what.iter().map(|(what, name)| (*what, Path::new(&self.output).join(name).display().to_string())).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(what, path)| (*what, path.as_str())).collect();
        text.push_str(&ending(&self.stages, self.memory, &self.notes, &files));
        text
    }
}

/// Where the cells lie between the stages.
const DETECTED: &str = ".stages/detected.parquet";
const REGISTRATION: &str = "registration";

impl CellsConfig {
    /// The part that `zensaibo detect` has.
    fn detection(&self) -> DetectConfig {
        DetectConfig {
            input: self.input.clone(),
            background: self.background.clone(),
            classifier: self.classifier.clone(),
            detect: self.detect.clone(),
        }
    }
}

/// Finds the cells of a volume, registers it to an atlas and counts cells per structure.
///
/// Leaves cells.h5ad, cells.parquet, regions.csv, registration/ and report.html in a folder. A run into the folder of an
/// earlier one goes on from the stages whose options and inputs are still the same: an interrupted run is resumed by
/// running it again. The same results as `zensaibo.im.detect_cells`, `register` and `count_regions` give.
///
/// # Errors
/// As those; [`Error::NotTrustworthy`] where the registration is not to be trusted: the report then shows why.
pub fn cells(
    files: CellsFiles<'_>,
    config: &CellsConfig,
    time: Option<&str>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<CellsSummary> {
    config.validate()?;
    if !config.atlas.given() {
        return Err(Error::parameter("atlas", "a folder (--atlas), or an annotation with its structures", "none"));
    }
    let from_background = match (config.sample.volume.as_deref(), files.background) {
        (Some("background"), None) => {
            return Err(Error::parameter("sample.volume", "signal, as there is no background", "background"));
        }
        (Some("signal"), _) | (_, None) => false,
        _ => true,
    };
    let mut kept = Kept::open("output", files.output)?;
    let detection = config.detection();
    let budget = Budget::new(config.detect.memory);
    let mut stages = Stages::new(hooks, ctx);
    let search = Search::open(files.signal, files.background, &detection, &budget, &mut stages)?;
    let mut atlas = stages.run("atlas", |ctx| load(&config.atlas, true, ctx))?;
    let rows = detected(&files, &detection, &search, &mut kept, &mut stages)?;
    let (path, moving) = match (&search.background, files.background) {
        (Some(volume), Some(path)) if from_background => (path, volume),
        _ => (files.signal, &search.signal),
    };
    let frame = match from_background {
        true => Frame::default(),
        false => Frame { time: config.detect.time, channel: config.detect.channel },
    };
    let laid = registered(path, moving, frame, config, &mut atlas, &budget, &mut kept, &mut stages)?;
    let quality = laid.found.quality.clone();
    let mut summary = CellsSummary {
        cells: rows.places.len() as u64,
        memory: config.detect.memory,
        notes: notes(&quality),
        quality,
        output: files.output.display().to_string(),
        ..Default::default()
    };
    let page = kept.path("report.html");
    if !summary.quality.trustworthy() && !config.sample.anyway {
        let report = report(&files, config, &summary, &rows, None, &laid, &atlas, Vec::new(), &stages.records, time);
        write_text(&page, &crate::report::volume_page(&report))?;
        return Err(untrusted(&summary.quality, Some(&page)));
    }
    let placed = stages.run("count", |ctx| {
        let placed =
            Placed::new(map_cells(&rows.places, Some(&laid.found), None, ctx)?, Some(&laid.found), &atlas, ctx)?;
        let note = placed.told();
        Ok((placed, note))
    })?;
    let rows = in_atlas(rows, &placed, &atlas, config);
    stages.run("write", |_| {
        rows.write(&kept.path("cells.h5ad"), Target::AnnData, &[])?;
        rows.write(&kept.path("cells.parquet"), Target::Table, &[])?;
        placed.write(&atlas, &kept.path("regions.csv"))?;
        Ok(((), "cells and structures".into()))
    })?;
    let counts = &placed.counts;
    summary.in_structures = counts.total() - counts.background - counts.outside - counts.lost;
    summary.told = placed.told();
    let drawn = stages.run("report", |ctx| {
        let signal = Frame { time: config.detect.time, channel: config.detect.channel };
        let origin = search.signal.info().origin;
        let centre: Vec<[f64; 3]> =
            rows.places.iter().map(|place| std::array::from_fn(|a| place[a] - origin[a])).collect();
        let score = rows.floats("score");
        let found = Found { centre: &centre, score: &score, soma: config.detect.soma_diameter };
        let drawn = pictures::of_cells(&search.signal, signal, search.spacing, &found, budget.blocks, ctx)?;
        let note = counted(drawn.len() + 9, "picture");
        Ok((drawn, note))
    })?;
    let html = report(&files, config, &summary, &rows, Some(&placed), &laid, &atlas, drawn, &stages.records, time);
    write_text(&page, &crate::report::volume_page(&html))?;
    summary.stages = stages.records;
    Ok(summary)
}

/// The cells: found now, or by an earlier run.
fn detected(
    files: &CellsFiles<'_>,
    config: &DetectConfig,
    search: &Search,
    kept: &mut Kept,
    stages: &mut Stages<'_>,
) -> Result<Rows> {
    let mut options = json!(config);
    if let Some(detect) = options["detect"].as_object_mut() {
        // Memory changes the time and nothing else.
        detect.shift_remove("memory");
    }
    let model = Path::new(&config.classifier.model);
    let inputs: Vec<&Path> = [Some(files.signal), files.background, Some(model).filter(|model| model.exists())]
        .into_iter()
        .flatten()
        .collect();
    let key = key(&[options.to_string()], &inputs);
    let path = kept.path(DETECTED);
    if kept.has("detect", &key) {
        return stages.run("detect", |_| {
            let rows = Rows::read(&path, search.spacing)?;
            let note = format!("{}, from the earlier run", counted(rows.places.len(), "cell"));
            Ok((rows, note))
        });
    }
    let cells = search.run(stages)?;
    let rows = Rows::detected(&cells, search.signal.info().origin, search.spacing, search.said(&cells, config));
    let folder = path.parent().unwrap_or(&path);
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, "write", error))?;
    rows.write(&path, Target::Table, &[])?;
    kept.note("detect", &key, &[DETECTED])?;
    Ok(rows)
}

/// The registration: found now, or by an earlier run.
#[allow(clippy::too_many_arguments)] // what a registration depends on
fn registered(
    path: &Path,
    moving: &Arc<dyn VolumeBlocks>,
    frame: Frame,
    config: &CellsConfig,
    atlas: &mut Atlas,
    budget: &Budget,
    kept: &mut Kept,
    stages: &mut Stages<'_>,
) -> Result<Laid> {
    // What becomes of the result does not change it.
    let own = SampleOptions { anyway: false, ..config.sample.clone() };
    let options = [
        json!(config.register),
        json!(own),
        json!(config.input),
        json!(config.atlas),
        json!(config.background),
        json!(config.landmarks),
    ];
    let options: Vec<String> = options.iter().map(ToString::to_string).chain([format!("{frame:?}")]).collect();
    let mut inputs = vec![path.to_path_buf()];
    inputs.extend(config.atlas.files());
    inputs.extend(config.sample.mask.as_ref().map(Into::into));
    inputs.extend(config.landmarks.file.as_ref().map(Into::into));
    let inputs: Vec<&Path> = inputs.iter().map(AsRef::as_ref).collect();
    let key = key(&options, &inputs);
    let folder = kept.path(REGISTRATION);
    let moving = sample(moving, frame, own.orientation.as_deref(), own.mask.as_deref())?;
    if kept.has("register", &key) {
        return stages.run("register", |ctx| {
            let found = stored::load_registration(&folder)?;
            let moving =
                moving.reduced((atlas.structure.shape, atlas.spacing), &config.register, budget.blocks, ctx)?;
            Ok((Laid { found, moving }, "from the earlier run".into()))
        });
    }
    let landmarks = config.landmarks.read()?;
    let fixed = template(atlas).ok_or_else(|| Error::Internal("an atlas without template".into()))?;
    let outcome = stages.run("register", |ctx| {
        let (found, moving) = moving.register(&fixed, &landmarks, &config.register, budget.blocks, ctx)?;
        let quality = &found.quality;
        let note = format!("correlation {:.3}, overlap {:.3}", quality.correlation, quality.overlap);
        Ok((Laid { found, moving }, note))
    });
    atlas.template = Some(fixed.voxels);
    let laid = outcome?;
    if laid.found.quality.trustworthy() || config.sample.anyway {
        stored::save_registration(&laid.found, &folder, &Ctx::quiet())?;
        kept.note("register", &key, &[REGISTRATION])?;
    }
    Ok(laid)
}

/// Cells with their structures and their places in the atlas.
fn in_atlas(mut rows: Rows, placed: &Placed, atlas: &Atlas, config: &CellsConfig) -> Rows {
    rows.columns.extend(placed.columns(atlas));
    rows.atlas = Some((atlas.name.clone(), placed.places.clone()));
    let steps = [("register", json!(config.register)), ("count_regions", json!({ "atlas": atlas.name }))];
    let added = steps.map(|(step, options)| super::cells::provenance(step, options).1);
    if let Some((_, said)) = rows.said.iter_mut().find(|(name, _)| name == "zensaibo")
        && let Some(all) = said.as_object_mut()
    {
        for step in added {
            all.extend(step.as_object().cloned().unwrap_or_default());
        }
    }
    rows
}

#[allow(clippy::too_many_arguments)] // what the page tells
fn report(
    files: &CellsFiles<'_>,
    config: &CellsConfig,
    summary: &CellsSummary,
    rows: &Rows,
    placed: Option<&Placed>,
    laid: &Laid,
    atlas: &Atlas,
    drawn: Vec<crate::report::Picture>,
    stages: &[StageRecord],
    time: Option<&str>,
) -> VolumeReport {
    let quality = &summary.quality;
    let mut told = vec![("signal".to_string(), files.signal.display().to_string())];
    told.extend(files.background.map(|path| ("background".to_string(), path.display().to_string())));
    told.push(("atlas".into(), atlas.name.clone()));
    told.extend(entries(quality));
    if let Some(placed) = placed {
        for (what, count) in [
            ("cells in no structure", placed.counts.background),
            ("cells beyond the atlas", placed.counts.outside),
            ("cells without a place", placed.counts.lost),
        ] {
            told.push((what.into(), grouped(count)));
        }
    }
    told.extend(atlas.remarks.iter().map(|remark| ("remark on the atlas".to_string(), remark.clone())));
    told.push(("output".into(), summary.output.clone()));
    told.push(("zensaibo".into(), env!("CARGO_PKG_VERSION").into()));
    let mut all = overlay::of_registration(
        &laid.found,
        &laid.moving,
        atlas.template.as_ref().unwrap_or(&laid.moving.voxels),
        Some(atlas),
    );
    if let Some(placed) = placed {
        all.extend(overlay::of_places(&placed.places, atlas));
    }
    all.extend(drawn);
    let of = |label: &str, column: &str| Distribution {
        label: label.into(),
        of: "cells".into(),
        values: rows.floats(column).into_iter().map(f64::from).collect(),
        limit: None,
    };
    let mut numbers = vec![(grouped(summary.cells), "cells".to_string())];
    if placed.is_some() {
        numbers.push((grouped(summary.in_structures), "in structures of the atlas".into()));
    }
    numbers.extend([
        (format!("{:.3}", quality.correlation), "correlation with the template".into()),
        (format!("{:.3}", quality.overlap), "overlap of the tissues".into()),
    ]);
    numbers.extend(costs(stages, summary.memory, "from volume to table"));
    VolumeReport {
        input: files.signal.display().to_string(),
        subtitle: "Cells of a volume in an atlas".into(),
        time: time.map(str::to_string),
        numbers,
        notes: summary.notes.clone(),
        legend: "First the sample as the atlas sees it, with the structures; then the cells in the atlas and in the sample, from \
                 yellow (lowest score) to red (highest)."
            .into(),
        pictures: all,
        bars: placed.map(|placed| placed.chart(atlas)),
        marked: None,
        curves: Vec::new(),
        distributions: vec![of("score", "score"), of("volume of the half-height body, cubic um", "volume")],
        stages: stages.to_vec(),
        entries: told,
        options: config.values(),
    }
}
