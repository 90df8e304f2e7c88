//! `zensaibo run-blocks STEP IN --work DIR --blocks i/N`: one part of one step of a run that many processes share.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};

use super::cluster::Options;
use super::options::carry_out;
use crate::recipe::{Blocks, cluster_part, cluster_steps};

/// Compute one part of one step of `cluster`, for job arrays and workflow managers.
///
/// N processes, on any machines that see the same files, compute a part each and leave it in the folder; when all parts
/// of a step are there, those of the next can begin, and `zensaibo merge` does the rest. The output has the same bits as
/// that of `zensaibo cluster`, for any N. A part that is there is not computed again, so a command can be repeated after
/// whatever went wrong. `zensaibo run-blocks list` prints the steps in their order.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo run-blocks list\n  \
    for step in read qc genes filter normalize hvg gather; do\n    \
        for i in 1 2 3 4 5; do zensaibo run-blocks $step atlas.h5ad --work atlas.parts/ --blocks $i/5; done\n  \
    done\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ --until markers\n  \
    for i in 1 2 3 4 5; do zensaibo run-blocks markers atlas.h5ad --work atlas.parts/ --blocks $i/5; done\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ -o out.h5ad")]
pub(super) struct Args {
    /// The step, or `list` to print all.
    step: String,
    /// Raw counts: h5ad or 10x HDF5, by rows.
    input: Option<PathBuf>,
    /// Folder of the parts, which all processes see; it is made.
    #[arg(short, long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Which part of how many, from 1.
    #[arg(short, long, value_name = "i/N")]
    blocks: Option<Blocks>,
    #[command(flatten)]
    options: Options,
    /// Threads to use; all cores by default.
    #[arg(short, long)]
    threads: Option<usize>,
    /// Show neither progress nor summary.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let config = args.options.read()?;
    if args.step == "list" {
        return super::print(&(cluster_steps(&config)?.join("\n") + "\n"));
    }
    let needed = |name: &str, what: &str| Error::parameter(name, what, "none");
    let input = args.input.as_deref().ok_or_else(|| needed("input", "a file of raw counts"))?;
    let work = args.work.as_deref().ok_or_else(|| needed("--work", "the folder of the parts"))?;
    let blocks = args.blocks.ok_or_else(|| needed("--blocks", "i/N, such as 2/5"))?;
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        cluster_part(input, work, &args.step, blocks, &config, terminal, ctx)?;
        Ok(format!("Step {}: part {} of {} is in {}\n", args.step, blocks.part, blocks.of, work.display()))
    })
}
