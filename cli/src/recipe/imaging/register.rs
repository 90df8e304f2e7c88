//! From two volumes to a registration.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use zensaibo_core::data::{Frame, Grid, Orientation, Region, VolumeBlocks};
use zensaibo_core::{Ctx, DataFault, Error, Result, options};
use zensaibo_imaging::atlas::Atlas;
use zensaibo_imaging::register::{Image, Quality, Reduced, RegisterOptions, Registration, reduced, register as find};
use zensaibo_imaging::space::Spacing;

use super::atlas::{image, load};
use super::source::{described, open, orientation, spacing_of};
use super::{RegisterConfig, VolumeOptions, ending, overlay, stored};
use crate::measure::{StageRecord, bytes_text};
use crate::recipe::output::{check_target, write_text};
use crate::recipe::stages::Stages;
use crate::recipe::{Extras, Hooks};
use crate::report::VolumeReport;

options! {
    /// One of the two volumes.
    pub struct ImageOptions("image") {
        /// Micrometres per voxel along z, y and x. Unset: what the file says; where it says nothing, this must be set.
        pub spacing: Option<[f64; 3]> = None,
        /// The anatomical side where index 0 of each axis lies, such as psl. Unset: what the file says.
        pub orientation: Option<String> = None,
        /// Channel that is registered, from 0.
        pub channel: usize = 0,
        /// Time point that is registered, from 0.
        pub time: usize = 0,
        /// Volume of the same shape, not 0 where the image counts. Unset: everywhere.
        pub mask: Option<String> = None,
        /// Names of the axes, such as tzyx, where the file does not name them.
        pub axes: Option<String> = None,
        /// Which of several images of one file, from 0.
        pub series: Option<usize> = None,
        /// Which level of a pyramid, from 0 (the finest). Unset: the finest.
        pub level: Option<usize> = None,
    }
}

impl ImageOptions {
    fn check(&self) -> Result<()> {
        self.spacing.map_or(Ok(()), |spacing| zensaibo_core::data::check_spacing(spacing).map(|_| ()))?;
        orientation(self.orientation.as_deref()).map(|_| ())
    }

    fn volume(&self) -> VolumeOptions {
        VolumeOptions { spacing: self.spacing, axes: self.axes.clone(), series: self.series, level: self.level }
    }
}

options! {
    /// What becomes of a result.
    pub struct TrustOptions("trust") {
        /// Go on with a registration that is not to be trusted, rather than end with its reasons.
        pub anyway: bool = false,
        /// Bytes of working memory for making a fine volume as coarse as needed. Unset: 2 GiB.
        pub memory: Option<u64> = None,
    }
}

impl TrustOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Files that `register` reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct RegisterFiles<'a> {
    /// The volume that is moved: a sample.
    pub moving: &'a Path,
    /// The volume that stays; the template of the atlas where there is none.
    pub fixed: Option<&'a Path>,
    /// The folder of the registration.
    pub output: &'a Path,
}

/// What `register` tells of a finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RegisterSummary {
    /// How far the result can be trusted.
    pub quality: Quality,
    /// The stages in order, with their costs.
    pub stages: Vec<StageRecord>,
    /// The folder as it was named.
    pub output: String,
    /// The report as it was named, where one was asked for.
    pub report: Option<String>,
}

impl RegisterSummary {
    /// The summary as lines of text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (what, value) in entries(&self.quality) {
            text.push_str(&format!("{what}: {value}\n"));
        }
        let mut files = vec![("registration", self.output.as_str())];
        files.extend(self.report.as_deref().map(|report| ("report", report)));
        text.push_str(&ending(&self.stages, None, &self.quality.warnings, &files));
        text
    }
}

/// What is said of a registration, in words.
pub(super) fn entries(quality: &Quality) -> Vec<(String, String)> {
    let mut all = vec![
        ("correlation".to_string(), format!("{:.3}", quality.correlation)),
        ("overlap of tissues".into(), format!("{:.3}", quality.overlap)),
    ];
    if let (Some(before), Some(after)) = (quality.local_before, quality.local_after) {
        all.push(("local squared correlation".into(), format!("{before:.3} before the deformation, {after:.3} after")));
    }
    let turn = match quality.turn {
        0 => "as the orientations say".to_string(),
        turn => format!("number {turn}, against what the orientations say"),
    };
    all.push(("turn".into(), turn));
    let [a, b, c] = quality.stretches;
    all.push(("stretches of the affine map".into(), format!("{a:.3}, {b:.3}, {c:.3}")));
    all.push(("folded voxels".into(), format!("{:.4} %", 100.0 * quality.folds)));
    all.push(("growth by the deformation".into(), format!("{:.2} to {:.2}", quality.growth[0], quality.growth[1])));
    all.push(("error of the way there and back".into(), format!("{:.2e} um", quality.inverse_error)));
    all
}

/// The volume that stays.
pub(super) struct Fixed<'a> {
    pub(super) voxels: &'a Grid<f32>,
    pub(super) spacing: Spacing,
    pub(super) orientation: Option<Orientation>,
    pub(super) mask: Option<Grid<f32>>,
}

/// A registration, and the moving volume as coarse as it was used.
pub(super) struct Laid {
    pub(super) found: Registration,
    pub(super) moving: Reduced,
}

/// Spacing to which a moving volume is brought before it is registered to a grid.
fn goal(fixed: Spacing, options: &RegisterOptions) -> f64 {
    options.finest.unwrap_or_else(|| fixed.um().into_iter().fold(0.0, f64::max))
}

/// The moving volume as coarse as a registration to `fixed` uses it.
pub(super) fn coarse(
    moving: &Arc<dyn VolumeBlocks>,
    frame: Frame,
    fixed: Spacing,
    options: &RegisterOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<Reduced> {
    moving.info().check(frame, &Region::whole(moving.info().space()))?;
    reduced(moving.clone(), frame, goal(fixed, options), memory, ctx)
}

/// Registers a volume; the same as `zensaibo.im.register`.
#[allow(clippy::too_many_arguments)] // two volumes and what is known of them
pub(super) fn lay(
    moving: &Arc<dyn VolumeBlocks>,
    frame: Frame,
    sides: Option<Orientation>,
    mask: Option<&Path>,
    fixed: Fixed<'_>,
    options: &RegisterOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<Laid> {
    let sample = coarse(moving, frame, fixed.spacing, options, memory, ctx)?;
    let info = moving.info();
    let mask = match mask {
        Some(path) => Some(mask_of(path, info.space(), info.spacing, |volume| {
            Ok(coarse(&volume, Frame::default(), fixed.spacing, options, memory, ctx)?.voxels)
        })?),
        None => None,
    };
    let image = Image {
        voxels: sample.voxels.clone(),
        more: Vec::new(),
        spacing: sample.spacing,
        orientation: sides.or(info.orientation),
        mask,
    };
    let still = Image {
        voxels: fixed.voxels.clone(),
        more: Vec::new(),
        spacing: fixed.spacing,
        orientation: fixed.orientation,
        mask: fixed.mask,
    };
    let found = find(&image, &still, &[], options, ctx)?;
    let spacing = spacing_of(info)?.um();
    Ok(Laid { found: sample.of_whole(found, (info.space(), spacing), info.origin)?, moving: sample })
}

/// Reads a mask of a volume of `shape`.
fn mask_of(
    path: &Path,
    shape: [usize; 3],
    spacing: Option<[f64; 3]>,
    read: impl FnOnce(Arc<dyn VolumeBlocks>) -> Result<Grid<f32>>,
) -> Result<Grid<f32>> {
    let volume = open(path, &VolumeOptions { spacing, ..Default::default() })?;
    if volume.info().space() != shape {
        let expected = format!("the shape of its volume, {shape:?}");
        let found = format!("{:?}", volume.info().space());
        return Err(Error::data(DataFault::Shape, format!("mask {}", path.display()), expected, found));
    }
    let mut grid = read(volume)?;
    grid.data.iter_mut().for_each(|value| *value = f32::from(*value != 0.0));
    Ok(grid)
}

/// Registers a volume to another, or to the template of an atlas, and leaves the registration in a folder.
///
/// The same as `zensaibo.im.register`. The folder is made beside and renamed; nothing is random, and threads change no bit.
///
/// # Errors
/// As [`find`]; [`Error::NotTrustworthy`] with the reasons (a report that was asked for is written all the same);
/// [`Error::Parameter`] where neither a fixed volume nor an atlas is named; [`Error::Io`].
pub fn register(
    files: RegisterFiles<'_>,
    config: &RegisterConfig,
    extras: Extras<'_>,
    hooks: &dyn Hooks,
    ctx: &Ctx,
) -> Result<RegisterSummary> {
    config.validate()?;
    if let Some(report) = extras.report {
        check_target("report", report)?;
    }
    stored::check_output(files.output)?;
    let mut stages = Stages::new(hooks, ctx);
    let moving = stages.run("open", |_| {
        let volume = open(files.moving, &config.moving.volume())?;
        spacing_of(volume.info())?;
        let note = described(volume.info());
        Ok((volume, note))
    })?;
    let atlas = match config.atlas.given() {
        true => Some(stages.run("atlas", |ctx| load(&config.atlas, files.fixed.is_none(), ctx))?),
        false => None,
    };
    let (voxels, spacing, sides) = fixed_of(&files, config, atlas.as_ref(), &mut stages)?;
    let shape = voxels.shape;
    if let Some(atlas) = &atlas
        && atlas.structure.shape != shape
    {
        let expected = format!("the shape of the fixed volume, {shape:?}");
        return Err(Error::data(DataFault::Shape, "atlas", expected, format!("{:?}", atlas.structure.shape)));
    }
    let fixed_mask = match config.fixed.mask.as_deref().map(Path::new) {
        Some(path) => Some(mask_of(path, shape, Some(spacing.um()), |volume| {
            zensaibo_imaging::blocks::whole(&volume, Frame::default())
        })?),
        None => None,
    };
    let laid = stages.run("register", |ctx| {
        let still = Fixed { voxels: &voxels, spacing, orientation: sides, mask: fixed_mask };
        let frame = Frame { time: config.moving.time, channel: config.moving.channel };
        let mask = config.moving.mask.as_deref().map(Path::new);
        let sides = orientation(config.moving.orientation.as_deref())?;
        let laid = lay(&moving, frame, sides, mask, still, &config.register, config.trust.memory, ctx)?;
        let note = format!("correlation {:.3}", laid.found.quality.correlation);
        Ok((laid, note))
    })?;
    let quality = laid.found.quality.clone();
    let accepted = quality.trustworthy() || config.trust.anyway;
    if accepted {
        stages.run("write", |ctx| {
            stored::save_registration(&laid.found, files.output, ctx)?;
            Ok(((), String::new()))
        })?;
    }
    let mut summary = RegisterSummary { quality, output: files.output.display().to_string(), ..Default::default() };
    if let Some(path) = extras.report {
        let page = report(&files, config, &summary, &laid, &voxels, atlas.as_ref(), &stages.records, extras);
        write_text(path, &crate::report::volume_page(&page))?;
        summary.report = Some(path.display().to_string());
    }
    if !accepted {
        return Err(untrusted(&summary.quality, extras.report));
    }
    summary.stages = stages.records;
    Ok(summary)
}

/// The error of a registration that is not to be trusted.
pub(super) fn untrusted(quality: &Quality, report: Option<&Path>) -> Error {
    let mut reasons = quality.faults.clone();
    if let Some(report) = report {
        reasons.push(format!("see {}", report.display()));
    }
    Error::NotTrustworthy { what: "the registration".into(), reasons }
}

/// The fixed image: a volume of its own, or the template of the atlas.
#[allow(clippy::type_complexity)] // an image with what is known of it
fn fixed_of(
    files: &RegisterFiles<'_>,
    config: &RegisterConfig,
    atlas: Option<&Atlas>,
    stages: &mut Stages<'_>,
) -> Result<(Grid<f32>, Spacing, Option<Orientation>)> {
    if let Some(path) = files.fixed {
        return stages.run("read", |_| {
            let volume = open(path, &config.fixed.volume())?;
            let spacing = spacing_of(volume.info())?;
            let frame = Frame { time: config.fixed.time, channel: config.fixed.channel };
            let region = Region::whole(volume.info().space());
            volume.info().check(frame, &region)?;
            let voxels = zensaibo_imaging::blocks::whole(&volume, frame)?;
            let sides = orientation(config.fixed.orientation.as_deref())?.or(volume.info().orientation);
            let note = described(volume.info());
            Ok(((voxels, spacing, sides), note))
        });
    }
    match atlas.and_then(image) {
        Some((template, spacing, sides)) => Ok((template.clone(), spacing, Some(sides))),
        None => Err(Error::parameter("fixed", "a volume to register to, or --atlas with a template", "neither")),
    }
}

#[allow(clippy::too_many_arguments)] // what the page tells
fn report(
    files: &RegisterFiles<'_>,
    config: &RegisterConfig,
    summary: &RegisterSummary,
    laid: &Laid,
    fixed: &Grid<f32>,
    atlas: Option<&Atlas>,
    stages: &[StageRecord],
    extras: Extras<'_>,
) -> VolumeReport {
    let quality = &summary.quality;
    let seconds: f64 = stages.iter().map(|stage| stage.wall_seconds).sum();
    let peak = stages.iter().map(|stage| stage.peak_bytes).max().unwrap_or(0);
    let mut rows = vec![("moving".to_string(), files.moving.display().to_string())];
    rows.extend(files.fixed.map(|path| ("fixed".to_string(), path.display().to_string())));
    rows.extend(atlas.map(|atlas| ("atlas".to_string(), atlas.name.clone())));
    rows.extend(entries(quality));
    rows.push(("zensaibo".into(), env!("CARGO_PKG_VERSION").into()));
    let growth: Vec<f64> = laid.found.field.jacobian().data.iter().map(|&value| f64::from(value)).collect();
    VolumeReport {
        input: files.moving.display().to_string(),
        subtitle: "Registration of a volume".into(),
        time: extras.time.map(str::to_string),
        numbers: vec![
            (format!("{:.3}", quality.correlation), "correlation of the images".into()),
            (format!("{:.3}", quality.overlap), "overlap of the tissues".into()),
            (format!("{:.3} %", 100.0 * quality.folds), "folded voxels".into()),
            (format!("{seconds:.1} s"), "from files to registration".into()),
            (bytes_text(peak), "peak memory".into()),
        ],
        notes: notes(quality),
        legend: "Planes of the fixed volume with the sample in its place.".into(),
        pictures: overlay::of_registration(&laid.found, &laid.moving, fixed, atlas),
        distributions: vec![crate::report::Distribution {
            label: "growth of volume by the deformation".into(),
            of: "voxels".into(),
            values: growth,
            limit: None,
        }],
        stages: stages.to_vec(),
        entries: rows,
        options: config.values(),
        ..Default::default()
    }
}

/// Warnings and faults of a registration, as notes of a page.
pub(super) fn notes(quality: &Quality) -> Vec<String> {
    let faults = quality.faults.iter().map(|fault| format!("Not to be trusted: {fault}."));
    faults.chain(quality.warnings.iter().cloned()).collect()
}
