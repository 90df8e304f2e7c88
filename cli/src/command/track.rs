//! `zensaibo track DETECTIONS... -o TRACKS`: cells through time.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::options::{Common, assigned, assigned_three, carry_out, now};
use super::volume::three;
use crate::recipe::{Extras, TrackConfig, track};

/// Follows cells through time, through gaps and divisions.
///
/// Takes a table for each time point, in order; or one table with a column t; or labels over time. The output has one row
/// for each detection: track, parent (the track of the mother, or 0), t, z, y, x (micrometres), detection (its row in the
/// input), and of labels the label. Nothing is random; threads change the time and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo track t0.parquet t1.parquet t2.parquet --max-speed 12 -o tracks.parquet\n  \
    zensaibo track detections.csv --max-speed 12 -o tracks.csv --set track.max_gap=2\n  \
    zensaibo track labels.ome.zarr --spacing 1,0.4,0.4 --max-speed 8 -o tracks.csv --report tracks.html")]
pub(super) struct Args {
    /// Tables with columns z, y, x in micrometres (.parquet, .csv, .h5ad, or .xml of cellfinder), one for each time point
    /// or one with a column t; or one volume of labels with an axis t.
    #[arg(required = true)]
    detections: Vec<PathBuf>,
    /// The tracks: .parquet or .csv. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "TRACKS")]
    output: PathBuf,
    /// Farthest that a cell moves from one time point to the next, beyond the motion common to all, in micrometres; 10 by
    /// default.
    #[arg(long, value_name = "UM")]
    max_speed: Option<f64>,
    /// Micrometres per voxel: of labels instead of what the file says; of tables whose places are voxels.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    /// Also write a report, one self-contained HTML page: cells over time, lengths of tracks, divisions, the tracks drawn.
    #[arg(short, long, value_name = "REPORT.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let (text, assignments) = args
        .common
        .options(vec![assigned_three("input.spacing", args.spacing), assigned("track.max_speed", args.max_speed)])?;
    let config = TrackConfig::from_toml(&text, &assignments)?;
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(track(&args.detections, &args.output, &config, extras, terminal, ctx)?.text())
    })
}
