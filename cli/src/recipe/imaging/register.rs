//! From two volumes to a registration.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use zensaibo_core::data::{Frame, Grid, VolumeBlocks};
use zensaibo_core::{Ctx, DataFault, Error, Result, options};
use zensaibo_imaging::atlas::Atlas;
use zensaibo_imaging::register::{Image, Quality, Reduced, Registration, Sample, where_counts};

use super::atlas::{load, template};
use super::source::{described, open, orientation, spacing_of};
use super::{RegisterConfig, VolumeOptions, costs, ending, overlay, stored};
use crate::measure::StageRecord;
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
    if !quality.landmark_errors.is_empty() {
        let mut errors = quality.landmark_errors.clone();
        errors.sort_by(f64::total_cmp);
        let (n, most) = (errors.len(), errors[errors.len() - 1]);
        let median = 0.5 * (errors[(n - 1) / 2] + errors[n / 2]);
        let told = format!("median {median:.1} um, at most {most:.1} um");
        all.push((format!("{n} landmarks are missed by"), told));
    }
    all.push(("error of the way there and back".into(), format!("{:.2e} um", quality.inverse_error)));
    all
}

/// A registration, and the moving volume as coarse as it was used.
pub(super) struct Laid {
    pub(super) found: Registration,
    pub(super) moving: Reduced,
}

/// One frame of a volume as the sample that is registered.
pub(super) fn sample(
    volume: &Arc<dyn VolumeBlocks>,
    frame: Frame,
    sides: Option<&str>,
    mask: Option<&str>,
) -> Result<Sample> {
    let info = volume.info();
    let same = VolumeOptions { spacing: info.spacing, ..Default::default() };
    Ok(Sample {
        channels: vec![(volume.clone(), frame)],
        spacing: spacing_of(info)?,
        orientation: orientation(sides)?.or(info.orientation),
        mask: mask.map(|path| open(Path::new(path), &same)).transpose()?,
    })
}

/// Registers a volume to another, or to the template of an atlas, and leaves the registration in a folder.
///
/// The same as `zensaibo.im.register`. The folder is made beside and renamed; nothing is random, and threads change no bit.
///
/// # Errors
/// As [`Sample::register`]; [`Error::NotTrustworthy`] with the reasons (a report that was asked for is written all the same);
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
    let mut atlas = match config.atlas.given() {
        true => Some(stages.run("atlas", |ctx| load(&config.atlas, files.fixed.is_none(), ctx))?),
        false => None,
    };
    let fixed = fixed_of(&files, config, atlas.as_mut(), &mut stages)?;
    let shape = fixed.voxels.shape;
    if let Some(atlas) = &atlas
        && atlas.structure.shape != shape
    {
        let expected = format!("the shape of the fixed volume, {shape:?}");
        return Err(Error::data(DataFault::Shape, "atlas", expected, format!("{:?}", atlas.structure.shape)));
    }
    let landmarks = config.landmarks.read()?;
    let laid = stages.run("register", |ctx| {
        let frame = Frame { time: config.moving.time, channel: config.moving.channel };
        let moving = sample(&moving, frame, config.moving.orientation.as_deref(), config.moving.mask.as_deref())?;
        let (found, moving) = moving.register(&fixed, &landmarks, &config.register, config.trust.memory, ctx)?;
        let note = format!("correlation {:.3}", found.quality.correlation);
        Ok((Laid { found, moving }, note))
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
        let page = report(&files, config, &summary, &laid, &fixed.voxels, atlas.as_ref(), &stages.records, extras);
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

/// The fixed image: a volume of its own, or the template, which is taken out of the atlas.
fn fixed_of(
    files: &RegisterFiles<'_>,
    config: &RegisterConfig,
    atlas: Option<&mut Atlas>,
    stages: &mut Stages<'_>,
) -> Result<Image> {
    let mut image = match files.fixed {
        Some(path) => stages.run("read", |_| {
            let volume = open(path, &config.fixed.volume())?;
            let frame = Frame { time: config.fixed.time, channel: config.fixed.channel };
            let image = sample(&volume, frame, config.fixed.orientation.as_deref(), None)?.whole()?;
            Ok((image, described(volume.info())))
        })?,
        None => atlas.and_then(template).ok_or_else(|| {
            Error::parameter("fixed", "a volume to register to, or --atlas with a template", "neither")
        })?,
    };
    if let Some(path) = &config.fixed.mask {
        let same = VolumeOptions { spacing: Some(image.spacing.um()), ..Default::default() };
        image.mask = Some(where_counts(&open(Path::new(path), &same)?)?);
    }
    Ok(image)
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
    let mut rows = vec![("moving".to_string(), files.moving.display().to_string())];
    rows.extend(files.fixed.map(|path| ("fixed".to_string(), path.display().to_string())));
    rows.extend(atlas.map(|atlas| ("atlas".to_string(), atlas.name.clone())));
    rows.extend(entries(quality));
    rows.push(("zensaibo".into(), env!("CARGO_PKG_VERSION").into()));
    let growth: Vec<f64> = laid.found.field.jacobian().data.iter().map(|&value| f64::from(value)).collect();
    let mut numbers = vec![
        (format!("{:.3}", quality.correlation), "correlation of the images".into()),
        (format!("{:.3}", quality.overlap), "overlap of the tissues".into()),
        (format!("{:.3} %", 100.0 * quality.folds), "folded voxels".into()),
    ];
    numbers.extend(costs(stages, None, "from files to registration"));
    VolumeReport {
        input: files.moving.display().to_string(),
        subtitle: "Registration of a volume".into(),
        time: extras.time.map(str::to_string),
        numbers,
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
