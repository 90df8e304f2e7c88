//! `zensaibo convert IN OUT`: any format that is read, to h5ad.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::{AnnDataFile, Format, TenxOptions, VarNames, WriteOptions, detect};

use crate::measure::{bytes_text, counted};
use crate::recipe::check_targets;
use crate::terminal::{Show, Terminal};

/// Converts h5ad (of any version), 10x HDF5, a 10x folder, or Matrix Market to an h5ad of today.
///
/// Of an h5ad every slot is carried over, in its own types. The output is written beside and renamed at the end.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The file or folder to read.
    input: PathBuf,
    /// The h5ad to write.
    output: PathBuf,
    /// Compress with gzip at this level, 1 (fast) to 9 (small); not compressed by default.
    #[arg(long, value_name = "LEVEL")]
    gzip: Option<u8>,
    /// 10x: take only this genome.
    #[arg(long)]
    genome: Option<String>,
    /// 10x: take every feature, such as antibodies, and not only gene expression.
    #[arg(long)]
    all_features: bool,
    /// 10x: name genes by identifier instead of symbol.
    #[arg(long)]
    gene_ids: bool,
    /// Threads to use; all cores by default.
    #[arg(short, long)]
    threads: Option<usize>,
    /// Show neither progress nor summary.
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    check_targets(&args.output, None, Some(&args.input))?;
    let terminal = Terminal::new(Show::fitting(args.quiet));
    let ctx = Ctx::new(cancel.clone(), terminal.clone());
    let outcome = with_threads(args.threads, || convert(args, &ctx));
    terminal.clear();
    let shape = outcome?;
    if args.quiet {
        return Ok(());
    }
    let size = args.output.metadata().map_or(0, |meta| meta.len());
    super::print(&format!("{}: {shape}, {}\n", args.output.display(), bytes_text(size)))
}

fn convert(args: &Args, ctx: &Ctx) -> Result<String> {
    let tenx = TenxOptions {
        genome: args.genome.clone(),
        gex_only: !args.all_features,
        var_names: if args.gene_ids { VarNames::GeneIds } else { VarNames::GeneSymbols },
        ..Default::default()
    };
    let format = detect(&args.input)?;
    let known = matches!(format, Format::TenxV2 | Format::TenxV3 | Format::TenxFolderV2 | Format::TenxFolderV3);
    for (name, given) in
        [("--genome", args.genome.is_some()), ("--all-features", args.all_features), ("--gene-ids", args.gene_ids)]
    {
        if given && !known {
            return Err(Error::parameter(name, "10x input", format.name()));
        }
    }
    zensaibo_io::convert(&args.input, &args.output, &tenx, &WriteOptions { gzip: args.gzip }, ctx)?;
    let (cells, genes) = AnnDataFile::open(&args.output)?.shape()?;
    Ok(format!("{} x {}", counted(cells, "cell"), counted(genes, "gene")))
}
