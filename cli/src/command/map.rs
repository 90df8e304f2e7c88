//! `zensaibo map IN --reference CELLS -o OUT`: types for cells in place.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::options::{Common, assigned, carry_out, now};
use crate::recipe::{MapConfig, MapFiles, map};

/// Types for cells in place, from dissociated cells of known type.
///
/// Both are brought to the directions in gene space that they share; each cell in place takes the type that the nearest cells of the
/// reference have, with its confidence, and any genes that were not measured in place. The output is the input with the type
/// (obs[map_LABEL]), its confidence (obs[map_LABEL_confidence]), the shares of all types (obsm[map_LABEL]), and the scores of genes that were held out
/// (uns[map]). Threads change the time and
/// nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo map spatial.h5ad --reference cells.h5ad --label cell_type -o typed.h5ad --report map.html\n  \
    zensaibo map spatial.h5ad --reference cells.h5ad -o typed.h5ad --region region --set 'output.impute=[\"Gad1\"]'\n  \
    zensaibo map spatial.h5ad --reference cells.h5ad -o typed.h5ad --set method.name=tangram\n  \
    zensaibo config map > map.toml")]
pub(super) struct Args {
    /// The cells in place: .h5ad with coordinates in obsm.
    input: PathBuf,
    /// Dissociated cells of known type: .h5ad.
    #[arg(long, value_name = "CELLS.h5ad")]
    reference: PathBuf,
    /// The input with results: .h5ad. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "OUT.h5ad")]
    output: PathBuf,
    /// Column of obs of the reference with the type of each cell; cell_type by default.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Column of obs of the cells in place with the region of each, for the report.
    #[arg(long, value_name = "COLUMN")]
    region: Option<String>,
    /// Key of obsm with the coordinates; spatial by default.
    #[arg(long, value_name = "KEY")]
    spatial: Option<String>,
    /// Unit of the coordinates, such as micrometer or pixel.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// Write an HTML page about the run: cells in place and the reference, linked by colour.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let (text, assignments) = args.common.options(vec![
        assigned("input.label", args.label.clone()),
        assigned("input.region_key", args.region.clone()),
        assigned("input.spatial_key", args.spatial.clone()),
        assigned("input.unit", args.unit.clone()),
    ])?;
    let config = MapConfig::from_toml(&text, &assignments)?;
    let time = now();
    let files = MapFiles {
        input: &args.input,
        reference: &args.reference,
        output: &args.output,
        report: args.report.as_deref(),
        time: Some(&time),
    };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(map(files, &config, terminal, ctx)?.text())
    })
}
