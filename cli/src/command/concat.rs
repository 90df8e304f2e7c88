//! `zensaibo concat A B ... -o OUT`: one h5ad of several files, without holding their matrices.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};
use zensaibo_io::{ConcatOptions, Join, WriteOptions, concat_files};

use super::options::carry_out;
use crate::measure::{bytes_text, counted};
use crate::recipe::check_targets;

/// Write the cells of several files, one file after the other, as one h5ad; genes are joined by name.
///
/// X and the layers that all files have go from file to file in blocks, in their own types. Columns of cells that all files have
/// stay, columns of genes that say the same in all files, and arrays of obsm that all have; raw, uns, obsp, varm and varp are left
/// out. The output is written beside and renamed at the end.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo concat first.h5ad second.h5ad third.zarr -o all.h5ad\n  \
    zensaibo concat a.h5ad b.h5ad -o all.h5ad --join outer --label sample --keys A,B --index-unique -")]
pub(super) struct Args {
    /// The files: h5ad, AnnData in Zarr, 10x HDF5 (all features).
    #[arg(required = true)]
    input: Vec<PathBuf>,
    /// The h5ad to write. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "OUT.h5ad")]
    output: PathBuf,
    /// Genes: those of all files, or those of any.
    #[arg(long, value_name = "inner|outer", default_value = "inner")]
    join: Join,
    /// Column of cells that says from which file a cell comes.
    #[arg(long, value_name = "NAME", default_value = "batch")]
    label: String,
    /// Names of the files in that column; 0, 1, ... by default.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    keys: Option<Vec<String>>,
    /// Put this and the name of the file behind the names of cells, which makes names unique that occur in several files.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    index_unique: Option<String>,
    /// Compress with gzip at this level, 1 (fast) to 9 (small); not compressed by default.
    #[arg(long, value_name = "LEVEL")]
    gzip: Option<u8>,
    /// Threads to use; all cores by default.
    #[arg(short, long)]
    threads: Option<usize>,
    /// Show neither progress nor summary.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    for input in &args.input {
        check_targets(&args.output, None, Some(input))?;
    }
    if args.label.is_empty() {
        return Err(Error::parameter("--label", "the name of a column", "nothing"));
    }
    let options = ConcatOptions {
        join: args.join,
        label: Some(args.label.clone()),
        keys: args.keys.clone(),
        index_unique: args.index_unique.clone(),
        write: WriteOptions { gzip: args.gzip },
    };
    carry_out(args.quiet, args.threads, cancel, |_, ctx| {
        let (cells, genes) = concat_files(&args.input, &args.output, &options, ctx)?;
        let size = args.output.metadata().map_or(0, |meta| meta.len());
        let shape = format!("{} x {}", counted(cells, "cell"), counted(genes, "gene"));
        let files = counted(args.input.len(), "file");
        Ok(format!("{}: {shape} of {files}, {}\n", args.output.display(), bytes_text(size)))
    })
}
