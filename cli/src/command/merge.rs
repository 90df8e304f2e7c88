//! `zensaibo merge IN --work DIR -o OUT`: goes through a shared run with the parts that are there.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::cluster::Options;
use super::options::{carry_out, now};
use super::volume::memory;
use crate::recipe::{Extras, Resources, cluster_merge};

/// Merge the parts of `run-blocks`, and do what is not shared out: components, neighbours, clusters, layout, the output.
///
/// With --until it stops before that step; what it found is kept in the folder. It can be repeated after whatever went wrong, and
/// goes on from what is kept. The folder is left as it is; remove it once the output is there.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ --until markers\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ -o out.h5ad --report report.html")]
pub(super) struct Args {
    /// Raw counts: the file that the parts were made of.
    input: PathBuf,
    /// Folder of the parts.
    #[arg(short, long, value_name = "DIR")]
    work: PathBuf,
    /// The h5ad to write. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "OUT.h5ad", required_unless_present = "until", conflicts_with = "until")]
    output: Option<PathBuf>,
    /// Go as far as before this step and keep what was found.
    #[arg(long, value_name = "STEP")]
    until: Option<String>,
    #[command(flatten)]
    options: Options,
    /// Threads to use; all cores by default.
    #[arg(short, long)]
    threads: Option<usize>,
    /// Memory that the run may take, such as 4GiB. The result has the same bits.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Also write a report, one self-contained HTML page.
    #[arg(short, long, value_name = "REPORT.html", requires = "output")]
    report: Option<PathBuf>,
    /// Show neither progress nor summary.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let config = args.options.read()?;
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    let resources = Resources { memory: args.memory, ..Default::default() };
    let (until, output) = (args.until.as_deref(), args.output.as_deref());
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        let summary = cluster_merge(&args.input, &args.work, until, output, &config, extras, resources, terminal, ctx)?;
        Ok(summary.map_or_else(
            || format!("All before step {} is in {}\n", until.unwrap_or_default(), args.work.display()),
            |summary| summary.text(),
        ))
    })
}
