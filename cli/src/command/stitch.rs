//! `zensaibo stitch TILES... -o OUT.zarr`: overlapping tiles as one volume.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::options::{Common, assigned, assigned_three, carry_out, now};
use super::volume::{memory, three};
use crate::recipe::{Extras, StitchConfig, StitchFiles, stitch};

/// Finds where overlapping tiles lie, evens out their brightness and writes one volume.
///
/// Neighbours are compared over the tissue that both show; pairs that contradict the others are dropped. The volume is
/// streamed within the memory that is allowed. Files are written beside and renamed at the end. Nothing is random; threads
/// and memory change the time and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo stitch dataset.xml -o brain.ome.zarr --report stitch.html\n  \
    zensaibo stitch 'scan/tile_r{row}_c{column}.tif' --overlap 0.1 --spacing 5,2,2 -o brain.ome.zarr --memory 4GiB\n  \
    zensaibo stitch tiles.csv -o brain.ome.zarr --positions found.json\n  \
    zensaibo stitch t1.tif t2.tif t3.tif t4.tif --grid 2,2 --order snake --overlap 0.15 -o brain.ome.zarr")]
pub(super) struct Args {
    /// BDV XML; a table (.csv, .parquet) with columns file and y, x (and z) in micrometres, or row, column (and layer); a
    /// name with {row} and {column} (and {layer}), {y} and {x} (and {z}), or {tile}, where * stands for anything; an
    /// OME-TIFF of several images; or the names of all tiles.
    #[arg(required = true)]
    tiles: Vec<PathBuf>,
    /// The volume: an OME-Zarr. A Zarr of that name is replaced once the new one is complete.
    #[arg(short, long, visible_alias = "out", value_name = "VOLUME.ome.zarr")]
    output: PathBuf,
    /// Keep where tiles were found to lie in this file; where it stands already and is of the same tiles and options, go
    /// on from there.
    #[arg(long, value_name = "POSITIONS.json")]
    positions: Option<PathBuf>,
    /// Share of a tile that its neighbour shows too, such as 0.1: where tiles lie by rows and columns.
    #[arg(long, value_name = "SHARE")]
    overlap: Option<f64>,
    /// Rows and columns, where tiles are listed or numbered.
    #[arg(long, value_name = "ROWS,COLUMNS", value_parser = two)]
    grid: Option<[i64; 2]>,
    /// Their order in the grid: rows, snake, columns or snake_columns.
    #[arg(long)]
    order: Option<String>,
    /// Micrometres per voxel, instead of what the files say.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    /// Channel that shows the tissue, from 0; all are written.
    #[arg(long, value_name = "N")]
    channel: Option<u32>,
    /// How far a tile may lie from where it is said to, in micrometres; a twentieth of the tile by default.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    search: Option<[f64; 3]>,
    /// Memory that the command may take.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Also write a report, one self-contained HTML page with pictures and every pair.
    #[arg(short, long, value_name = "REPORT.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Two numbers apart by a comma.
fn two(text: &str) -> std::result::Result<[i64; 2], String> {
    let all: Option<Vec<i64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    all.and_then(|all| <[i64; 2]>::try_from(all).ok()).ok_or_else(|| "expected rows and columns (such as 3,4)".into())
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let (text, assignments) = args.common.options(vec![
        assigned_three("input.spacing", args.spacing),
        assigned("input.overlap", args.overlap),
        assigned("input.grid", args.grid.map(|all| all.to_vec())),
        assigned("input.order", args.order.clone()),
        assigned("stitch.channel", args.channel.map(i64::from)),
        assigned_three("stitch.search", args.search),
        assigned("stitch.memory", args.memory.map(|bytes| bytes as i64)),
    ])?;
    let config = StitchConfig::from_toml(&text, &assignments)?;
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    let files = StitchFiles { tiles: &args.tiles, output: &args.output, positions: args.positions.as_deref() };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(stitch(files, &config, extras, terminal, ctx)?.text())
    })
}
