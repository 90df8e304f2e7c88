//! `zensaibo register MOVING [FIXED] -o DIR`: which place of a sample is which place of an atlas.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::atlas::Named;
use super::options::{Common, assigned, assigned_three, carry_out, now};
use super::volume::{memory, three};
use crate::recipe::{Extras, RegisterConfig, RegisterFiles, register};

/// Registers a volume to another, or to the template of an atlas.
///
/// Tries all ways to turn the sample, finds an affine map, then a deformation, and judges the result: one that cannot be
/// trusted ends with its reasons (exit code 4). The folder holds the map in both directions, as OME-NGFF writes
/// transformations; `zensaibo count` and `zensaibo.im.load_registration` read it. Nothing is random; threads change the
/// time and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo register brain.tif --spacing 50,40,40 --orientation psl --atlas allen_mouse_100um/ -o registration --report r.html\n  \
    zensaibo register round2.ome.zarr round1.ome.zarr -o to_round1 --set register.similarity=mutual_information\n  \
    zensaibo register half.tif --spacing 25,25,25 --orientation asr --atlas allen_mouse_25um/ -o reg --partial")]
pub(super) struct Args {
    /// The volume that is moved: a sample.
    moving: PathBuf,
    /// The volume that stays. Without it: the template of the atlas.
    fixed: Option<PathBuf>,
    /// The folder of the registration. An earlier registration there is replaced once the new one is complete.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    atlas: Named,
    /// Micrometres per voxel of the moving volume, instead of what the file says.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    /// The anatomical side where index 0 of each axis of the moving volume lies, such as psl.
    #[arg(long, value_name = "SIDES")]
    orientation: Option<String>,
    /// Micrometres per voxel of the fixed volume, instead of what the file says.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    fixed_spacing: Option<[f64; 3]>,
    /// The anatomical side where index 0 of each axis of the fixed volume lies.
    #[arg(long, value_name = "SIDES")]
    fixed_orientation: Option<String>,
    /// Volume of the shape of the moving one, not 0 where it counts.
    #[arg(long, value_name = "VOLUME")]
    mask: Option<String>,
    /// Table of places that belong together (.csv or .parquet): columns moving_z, moving_y, moving_x, fixed_z, fixed_y,
    /// fixed_x, in micrometres. They draw the map; --set register.landmark_weight=0 only measures by how much they are missed.
    #[arg(long, value_name = "TABLE")]
    landmarks: Option<String>,
    /// The sample is a part of what the fixed volume shows: a hemisphere, a slab, a brain with a lobe missing.
    #[arg(long)]
    partial: bool,
    /// Leave the registration even where it is not to be trusted.
    #[arg(long)]
    trust: bool,
    /// Memory for making a fine volume as coarse as needed; 2GiB by default.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Also write a report, one self-contained HTML page with overlays in three planes.
    #[arg(short, long, value_name = "REPORT.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let mut flags = vec![
        assigned_three("moving.spacing", args.spacing),
        assigned("moving.orientation", args.orientation.clone()),
        assigned("moving.mask", args.mask.clone()),
        assigned_three("fixed.spacing", args.fixed_spacing),
        assigned("fixed.orientation", args.fixed_orientation.clone()),
        assigned("landmarks.file", args.landmarks.clone()),
        assigned("register.partial", args.partial.then_some(true)),
        assigned("trust.anyway", args.trust.then_some(true)),
        assigned("trust.memory", args.memory.map(|bytes| bytes as i64)),
    ];
    flags.extend(args.atlas.assignments());
    let (text, assignments) = args.common.options(flags)?;
    let config = RegisterConfig::from_toml(&text, &assignments)?;
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    let files = RegisterFiles { moving: &args.moving, fixed: args.fixed.as_deref(), output: &args.output };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(register(files, &config, extras, terminal, ctx)?.text())
    })
}
