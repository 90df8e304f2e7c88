//! From overlapping tiles to one volume.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zensaibo_core::data::{Frame, Region, VolumeBlocks};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_imaging::blocks::read_f32;
use zensaibo_imaging::space::Spacing;
use zensaibo_imaging::stitch::{Fused, Pair, StitchOptions, Stitching, Summary, Tile, Verdict, stitch as find};
use zensaibo_io::volume::{OmeZarrOptions, TileOptions, open_tiles, write_ome_zarr};

use super::source::{Budget, described, spacing_of};
use super::{StitchConfig, costs, ending, pictures};
use crate::measure::{StageRecord, counted, grouped};
use crate::recipe::output::{check_target, write_text};
use crate::recipe::stages::Stages;
use crate::recipe::{Extras, Hooks};
use crate::report::{Distribution, Picture, Pixels, VolumeReport};

/// Files that `stitch` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct StitchFiles<'a> {
    /// The tiles: BDV XML, a table, a name with {row} and {column}, an OME-TIFF of several images, or all their names.
    pub tiles: &'a [PathBuf],
    /// The whole: an OME-Zarr.
    pub output: &'a Path,
    /// What was found, to go on from: read where it stands already and is of the same tiles and options.
    pub positions: Option<&'a Path>,
}

/// What `stitch` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StitchSummary {
    /// Tiles.
    pub tiles: usize,
    /// Tiles that pairs place.
    pub placed: usize,
    /// How well they fit together.
    pub found: Summary,
    /// What was written, in words.
    pub volume: String,
    /// Bytes that the run was allowed to take.
    pub memory: Option<u64>,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The output as it was named.
    pub output: String,
    /// The positions as they were named.
    pub positions: Option<String>,
    /// The report as it was named.
    pub report: Option<String>,
}

impl StitchSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let found = &self.found;
        let mut text = format!(
            "{} placed by {} of {}: {}\n",
            counted(self.tiles, "tile"),
            grouped(found.used as u64),
            counted(found.pairs, "pair"),
            self.volume
        );
        for (what, unit, spread) in [
            ("residual of a pair", "um", found.residual),
            ("closure of a loop", "um", found.closure),
            ("step in intensity before", "%", found.step_before),
            ("step in intensity after", "%", found.step_after),
            ("moved by", "um", Some(found.moved)),
        ] {
            if let Some([median, most]) = spread {
                text.push_str(&format!("{what}: median {median:.2} {unit}, at most {most:.2} {unit}\n"));
            }
        }
        let mut files = vec![("output", self.output.as_str())];
        files.extend(self.positions.as_deref().map(|path| ("positions", path)));
        files.extend(self.report.as_deref().map(|path| ("report", path)));
        text.push_str(&ending(&self.stages, self.memory, &self.notes, &files));
        text
    }
}

/// How tiles were opened, as `zensaibo.im.load_stitching` opens them again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Source {
    paths: Vec<PathBuf>,
    spacing: Option<[f64; 3]>,
    axes: Option<String>,
    overlap: Option<[f64; 3]>,
    grid: Option<[usize; 2]>,
    order: String,
}

/// What is kept to go on from.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    zensaibo: String,
    version: u32,
    names: Vec<String>,
    source: Source,
    fuse: serde_json::Value,
    #[serde(default)]
    options: Option<StitchOptions>,
    found: Stitching,
}

/// Finds where tiles lie and writes them as one volume; the same as `zensaibo.im.stitch`.
///
/// `config.stitch.memory` bounds the process. Files are written beside and renamed.
///
/// # Errors
/// As [`zensaibo_imaging::stitch::stitch`] and [`open_tiles`]; [`Error::Parameter`] for tiles whose spacing nobody says, an
/// output that is one of the tiles or no name of a Zarr; [`Error::Io`].
pub fn stitch(
    files: StitchFiles<'_>,
    config: &StitchConfig,
    extras: Extras<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<StitchSummary> {
    config.validate()?;
    if !files.output.extension().is_some_and(|end| end.eq_ignore_ascii_case("zarr")) {
        return Err(Error::parameter("output", "a name ending in .zarr (an OME-Zarr)", files.output.display()));
    }
    for (name, path) in [("report", extras.report), ("positions", files.positions)] {
        path.map_or(Ok(()), |path| check_target(name, path))?;
    }
    let budget = Budget::new(config.stitch.memory);
    let options = StitchOptions { memory: budget.blocks, ..config.stitch.clone() };
    let mut stages = Stages::new(hooks, ctx);
    let source = source_of(files.tiles, config);
    let (names, tiles, spacing) = stages.run("open", |_| {
        let opened = open_tiles(
            files.tiles,
            &TileOptions {
                spacing: source.spacing,
                axes: source.axes.clone(),
                overlap: source.overlap,
                grid: source.grid,
                order: source.order.parse()?,
            },
        )?;
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        let target = real(files.output);
        if let Some(tile) = opened.iter().find(|tile| target.is_some() && real(Path::new(&tile.name)) == target) {
            return Err(Error::parameter("output", "a name other than those of the tiles", &tile.name));
        }
        let first = opened[0].volume.info();
        let spacing = spacing_of(first)?;
        let note = format!("{} of {}", counted(opened.len(), "tile"), described(first));
        let names: Vec<String> = opened.iter().map(|tile| tile.name.clone()).collect();
        let tiles: Vec<Tile> =
            opened.into_iter().map(|tile| Tile { volume: tile.volume, position: tile.position }).collect();
        Ok(((names, tiles, spacing), note))
    })?;
    let kept = files.positions.and_then(|path| known(path, &names, &tiles, spacing, &config.stitch));
    let again = kept.is_some();
    let found = stages.run("compare", |ctx| {
        let found = match kept {
            Some(found) => found,
            None => find(&tiles, spacing, &options, ctx)?,
        };
        let summary = found.summary();
        let from = if again { ", as found before" } else { "" };
        let note = format!("{} of {} used{from}", grouped(summary.used as u64), counted(summary.pairs, "pair"));
        Ok((found, note))
    })?;
    if let Some(path) = files.positions.filter(|_| !again) {
        let kept = Kept {
            zensaibo: "stitching".into(),
            version: 1,
            names: names.clone(),
            source,
            fuse: serde_json::json!(config.fuse),
            options: Some(config.stitch.clone()),
            found: found.clone(),
        };
        let text = serde_json::to_string_pretty(&kept).map_err(|error| Error::Internal(error.to_string()))?;
        write_text(path, &text)?;
    }
    let fused = found.fuse(&tiles, &config.fuse)?;
    stages.run("fuse", |ctx| {
        let zarr = OmeZarrOptions { memory: budget.blocks, ..Default::default() };
        write_ome_zarr(&fused, files.output, &zarr, ctx)?;
        Ok(((), described(fused.info())))
    })?;
    let mut summary = StitchSummary {
        tiles: tiles.len(),
        placed: found.placed.iter().filter(|&&placed| placed).count(),
        found: found.summary(),
        volume: described(fused.info()),
        memory: config.stitch.memory,
        notes: found.warnings.clone(),
        output: files.output.display().to_string(),
        positions: files.positions.map(|path| path.display().to_string()),
        ..Default::default()
    };
    if let Some(path) = extras.report {
        let pictures = stages.run("pictures", |ctx| {
            let channel = config.stitch.channel;
            let before = Fused::new(&tiles, &vec![1.0; tiles.len()], 0.0, spacing, &config.fuse)?;
            let (title, text) = ("Stitched", "The middle plane, tiles where they were found to lie, with their gains.");
            let mut pictures = vec![plane(&fused, channel, spacing, title, text, ctx)?];
            let (title, text) = ("As they came", "The middle plane, tiles where they were said to lie, without gains.");
            pictures.push(plane(&before, channel, spacing, title, text, ctx)?);
            Ok((pictures, "2 pictures".into()))
        })?;
        let page = page(&files, config, &summary, &found, &names, pictures, &stages.records, extras);
        write_text(path, &crate::report::volume_page(&page))?;
        summary.report = Some(path.display().to_string());
    }
    summary.stages = stages.records;
    Ok(summary)
}

fn source_of(tiles: &[PathBuf], config: &StitchConfig) -> Source {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    Source {
        paths: tiles.iter().map(absolute).collect(),
        spacing: config.input.spacing,
        axes: config.input.axes.clone(),
        overlap: config.input.overlap.map(|share| [share; 3]),
        grid: config.input.grid,
        order: config.input.order.clone(),
    }
}

/// What was found before, if it was of the same tiles with the same options.
fn known(
    path: &Path,
    names: &[String],
    tiles: &[Tile],
    spacing: Spacing,
    options: &StitchOptions,
) -> Option<Stitching> {
    let kept: Kept = serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    // Memory changes nothing of what is found.
    let plain = |options: &StitchOptions| StitchOptions { memory: None, ..options.clone() };
    let same = kept.zensaibo == "stitching"
        && kept.version == 1
        && kept.names == names
        && kept.options.as_ref().map(plain) == Some(plain(options))
        && kept.found.spacing == spacing.um()
        && kept.found.nominal.iter().eq(tiles.iter().map(|tile| &tile.position))
        && kept.found.positions.len() == names.len()
        && kept.found.gains.len() == names.len();
    same.then_some(kept.found)
}

/// The middle plane of a volume, made coarser until it is no longer than a thousand pixels. Rows of pixels are read one by one.
fn plane(
    volume: &dyn VolumeBlocks,
    channel: usize,
    spacing: Spacing,
    title: &str,
    caption: &str,
    ctx: &Ctx,
) -> Result<Picture> {
    const SIDE: f64 = 1000.0;
    let (shape, um) = (volume.info().space(), spacing.um());
    let pixel = (shape[1] as f64 * um[1]).max(shape[2] as f64 * um[2]) / SIDE;
    let step: [usize; 2] = [1, 2].map(|a| ((pixel / um[a]).round() as usize).clamp(1, shape[a]));
    let size = [shape[1] / step[0], shape[2] / step[1]];
    let mut values = Vec::with_capacity(size[0] * size[1]);
    for y in 0..size[0] {
        ctx.check()?;
        let region = Region { start: [shape[0] / 2, y * step[0], 0], size: [1, step[0], size[1] * step[1]] };
        let rows = read_f32(volume, Frame { time: 0, channel }, &region)?;
        for x in 0..size[1] {
            let part = (0..step[0]).map(|row| rows.row(0, row)[x * step[1]..(x + 1) * step[1]].iter().sum::<f32>());
            values.push(part.sum::<f32>() / (step[0] * step[1]) as f32);
        }
    }
    Ok(Picture {
        title: title.into(),
        caption: caption.into(),
        size,
        um: [(size[0] * step[0]) as f64 * um[1], (size[1] * step[1]) as f64 * um[2]],
        pixels: Pixels::Grey(pictures::greys(&values)),
        marks: Vec::new(),
        wide: true,
    })
}

/// Pairs that are listed in a report at most.
const LISTED: usize = 400;

#[allow(clippy::too_many_arguments)] // all that a page shows
fn page(
    files: &StitchFiles<'_>,
    config: &StitchConfig,
    summary: &StitchSummary,
    found: &Stitching,
    names: &[String],
    pictures: Vec<Picture>,
    stages: &[StageRecord],
    extras: Extras<'_>,
) -> VolumeReport {
    let length = |by: &[f64; 3]| by.iter().map(|x| x * x).sum::<f64>().sqrt();
    let used = || found.pairs.iter().filter(|pair| pair.verdict == Verdict::Used);
    let spread =
        |label: &str, values: Vec<f64>| Distribution { label: label.into(), of: "pairs".into(), values, limit: None };
    let mut entries = vec![("output".to_string(), summary.output.clone())];
    entries.extend(summary.positions.clone().map(|path| ("positions".to_string(), path)));
    let three = |by: &[f64; 3]| by.map(|x| format!("{x:.2}")).join(", ");
    for (at, name) in names.iter().enumerate().take(LISTED) {
        let text = format!(
            "{name}: at {} um, gain {:.3}{}",
            three(&found.positions[at]),
            found.gains[at],
            if found.placed[at] { "" } else { ", placed by its neighbours alone" }
        );
        entries.push((format!("tile {at}"), text));
    }
    let line = |pair: &Pair| {
        let mut text = format!(
            "{}: correlation {:.3}, moved {} um, {} voxels",
            pair.verdict,
            pair.correlation,
            three(&pair.shift),
            grouped(pair.voxels)
        );
        for (what, value) in [("residual", pair.residual.as_ref()), ("closure", pair.closure.as_ref())] {
            if let Some(value) = value {
                text.push_str(&format!(", {what} {:.2} um", length(value)));
            }
        }
        if let (Some(before), Some(after)) = (pair.step_before, pair.step_after) {
            text.push_str(&format!(", step {before:.1} % before and {after:.1} % after"));
        }
        text
    };
    entries.extend(found.pairs.iter().take(LISTED).map(|pair| (format!("pair {} - {}", pair.a, pair.b), line(pair))));
    if found.pairs.len() > LISTED {
        entries.push(("more pairs".into(), grouped((found.pairs.len() - LISTED) as u64)));
    }
    entries.push(("zensaibo".into(), env!("CARGO_PKG_VERSION").into()));
    let median = |spread: Option<[f64; 2]>, unit: &str| spread.map_or("none".into(), |[m, _]| format!("{m:.2} {unit}"));
    let mut numbers = vec![
        (grouped(summary.tiles as u64), "tiles".into()),
        (format!("{} of {}", summary.found.used, summary.found.pairs), "pairs used".into()),
        (median(summary.found.residual, "µm"), "median residual of a pair".into()),
        (median(summary.found.step_after, "%"), "median step in intensity, with gains".into()),
    ];
    numbers.extend(costs(stages, summary.memory, "from tiles to volume"));
    VolumeReport {
        input: files.tiles.first().map(|path| path.display().to_string()).unwrap_or_default(),
        subtitle: format!("{} as one volume: {}", counted(summary.tiles, "tile"), summary.volume),
        time: extras.time.map(str::to_string),
        numbers,
        notes: summary.notes.clone(),
        legend: "Every tile and every pair is listed below, under Run.".into(),
        pictures,
        bars: None,
        marked: None,
        curves: Vec::new(),
        distributions: vec![
            spread("correlation of all pairs", found.pairs.iter().map(|pair| pair.correlation).collect()),
            spread("residual, um", used().filter_map(|pair| pair.residual.as_ref().map(length)).collect()),
            spread("step in intensity with gains, %", used().filter_map(|pair| pair.step_after).collect()),
        ],
        stages: stages.to_vec(),
        entries,
        options: config.values(),
    }
}
