//! `zensaibo inspect FILE`: what a file holds.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

/// Shows what a file holds: h5ad, 10x HDF5, a 10x folder, or Matrix Market.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The file or folder. What it is, is seen from its content, not from its name.
    file: PathBuf,
}

pub(super) fn run(args: &Args, _: &CancelToken) -> Result<()> {
    let text = zensaibo_io::inspect(&args.file)?.to_string();
    super::print(&format!("{}\n", text.trim_end()))
}
