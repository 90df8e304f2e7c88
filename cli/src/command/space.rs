//! `zensaibo space IN -o OUT`: statistics of cells in tissue.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::options::{Common, assigned, carry_out, now};
use crate::recipe::{SpaceConfig, SpaceFiles, space};

/// Statistics of cells in tissue: neighbours, labels among them and by distance, genes in space.
///
/// The output is the input with a graph of neighbours (obsp), how often neighbours carry two labels and how often labels lie near
/// one another by distance (uns), and genes that are alike among neighbours or a function of place (uns), under squidpy's keys.
/// Libraries are kept apart. Threads change the time and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo space cells.h5ad -o out.h5ad --cluster cell_type --report report.html\n  \
    zensaibo space slides.h5ad -o out.h5ad --cluster region --library sample --set neighbors.method=grid\n  \
    zensaibo config space > space.toml")]
pub(super) struct Args {
    /// The cells: .h5ad with coordinates in obsm.
    input: PathBuf,
    /// The input with results: .h5ad. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "OUT.h5ad")]
    output: PathBuf,
    /// Column of obs with a label for each cell, such as its type.
    #[arg(long, value_name = "COLUMN")]
    cluster: Option<String>,
    /// Column of obs with the section or field of view of each cell.
    #[arg(long, value_name = "COLUMN")]
    library: Option<String>,
    /// Key of obsm with the coordinates; spatial by default.
    #[arg(long, value_name = "KEY")]
    spatial: Option<String>,
    /// Unit of the coordinates, such as micrometer or pixel.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Write an HTML page about the run.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let (text, assignments) = args.common.options(vec![
        assigned("input.cluster_key", args.cluster.clone()),
        assigned("input.library_key", args.library.clone()),
        assigned("input.spatial_key", args.spatial.clone()),
        assigned("input.unit", args.unit.clone()),
    ])?;
    let config = SpaceConfig::from_toml(&text, &assignments)?;
    let time = now();
    let files =
        SpaceFiles { input: &args.input, output: &args.output, report: args.report.as_deref(), time: Some(&time) };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(space(files, &config, terminal, ctx)?.text())
    })
}
