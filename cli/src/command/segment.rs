//! `zensaibo segment VOLUME -o LABELS`: the nuclei of a dense stain.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::options::{Common, assigned, assigned_three, carry_out, now};
use super::volume::{memory, three};
use crate::recipe::{Extras, SegmentConfig, SegmentFiles, segment};

/// Finds, divides, outlines and measures the nuclei of a dense stain or an organoid, at every time point.
///
/// One time point is held in memory with 21 bytes per voxel; `zensaibo run-blocks --recipe segment` and `merge` hold none
/// whole. The labels are an OME-Zarr, the table has one row for each nucleus: volume, axes, sphericity, intensity in every
/// channel. Files are written beside and renamed at the end. Nothing is random; threads and memory change the time and
/// nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo segment organoid.tif --spacing 2,0.5,0.5 --diameter 9 -o nuclei.ome.zarr --table nuclei.parquet\n  \
    zensaibo segment nuclei.ome.zarr --diameter 8 -o labels.ome.zarr --report nuclei.html --set segment.merge_depth=0.05")]
pub(super) struct Args {
    /// The volume: OME-Zarr, TIFF, a folder of TIFF planes, N5, Imaris, BDV, HDF5, NIfTI, NRRD, npy.
    volume: PathBuf,
    /// The labels: an OME-Zarr. A Zarr of that name is replaced once the new one is complete.
    #[arg(short, long, value_name = "LABELS.ome.zarr")]
    output: PathBuf,
    /// Also write a table of the nuclei: .parquet, .csv, or .h5ad (AnnData).
    #[arg(long, value_name = "TABLE")]
    table: Option<PathBuf>,
    /// Micrometres per voxel, instead of what the file says.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    /// Typical diameter of a nucleus in micrometres; 10 by default.
    #[arg(long, value_name = "UM")]
    diameter: Option<f64>,
    /// Channel that shows the nuclei, from 0; 0 by default.
    #[arg(long, value_name = "N")]
    channel: Option<u32>,
    /// Memory that the command may take.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Also write a report, one self-contained HTML page with pictures.
    #[arg(short, long, value_name = "REPORT.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let (text, assignments) = args.common.options(vec![
        assigned_three("input.spacing", args.spacing),
        assigned("input.channel", args.channel.map(i64::from)),
        assigned("input.memory", args.memory.map(|bytes| bytes as i64)),
        assigned("segment.diameter", args.diameter),
    ])?;
    let config = SegmentConfig::from_toml(&text, &assignments)?;
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    let files = SegmentFiles { volume: &args.volume, output: &args.output, table: args.table.as_deref() };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(segment(files, &config, extras, terminal, ctx)?.text())
    })
}
