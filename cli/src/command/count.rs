//! `zensaibo count CELLS -o REGIONS`: cells per structure of an atlas.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::atlas::Named;
use super::options::{Common, assigned_three, carry_out};
use super::volume::three;
use crate::recipe::{CountConfig, CountFiles, count};

/// Counts cells per structure of an atlas, at every level of its tree.
///
/// Every cell is counted once: in its structure and all that this is part of, or in the background, or beyond the atlas;
/// the numbers add up to the cells that came in. Volumes and densities are those that the structures have in the sample.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo count cells.parquet --registration registration --atlas allen_mouse_25um/ -o regions.csv --cells placed.csv\n  \
    zensaibo count cells.xml --spacing 5,2,2 --registration registration --atlas allen_mouse_25um/ -o regions.csv")]
pub(super) struct Args {
    /// The cells: .parquet or .csv with columns z, y, x in micrometres, .h5ad, or .xml of cellfinder in voxels.
    table: PathBuf,
    /// The folder that `zensaibo register` left, from the volume of the cells to this atlas. Without it the places of the
    /// cells are those of the atlas.
    #[arg(long, value_name = "DIR")]
    registration: Option<PathBuf>,
    /// The table of structures: .csv or .parquet. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "REGIONS")]
    output: PathBuf,
    /// Also write the cells with the structure, hemisphere and place in the atlas of each: .csv or .parquet.
    #[arg(long, value_name = "CELLS")]
    cells: Option<PathBuf>,
    /// Micrometres per voxel, of tables whose places are voxels.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    #[command(flatten)]
    atlas: Named,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let mut flags = vec![assigned_three("cells.spacing", args.spacing)];
    flags.extend(args.atlas.assignments());
    let (text, assignments) = args.common.options(flags)?;
    let config = CountConfig::from_toml(&text, &assignments)?;
    let files = CountFiles {
        cells: &args.table,
        registration: args.registration.as_deref(),
        output: &args.output,
        table: args.cells.as_deref(),
    };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(count(files, &config, terminal, ctx)?.text())
    })
}
