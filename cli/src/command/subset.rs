//! `zensaibo subset IN -o OUT`: some cells and genes of an h5ad, without holding its matrices.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use clap::Parser;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{AnnDataFile, WriteOptions, subset_file};

use super::options::carry_out;
use crate::measure::{bytes_text, counted};
use crate::recipe::check_targets;

/// Write some cells and genes of an h5ad as another.
///
/// Every slot is cut to what is kept, in the order of the file; raw keeps its genes. Matrices go from file to file in blocks, in their
/// own types and layouts. The output is written beside and renamed at the end.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo subset atlas.h5ad -o liver.h5ad --obs tissue=liver\n  \
    zensaibo subset atlas.h5ad -o few.h5ad --obs \"cell type=B cell,T cell\" --obs sex=F --genes panel.txt\n  \
    zensaibo subset atlas.h5ad -o some.h5ad --cells barcodes.txt")]
pub(super) struct Args {
    /// The h5ad.
    input: PathBuf,
    /// The h5ad to write. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "OUT.h5ad")]
    output: PathBuf,
    /// File with the names of the cells to keep, one a line.
    #[arg(long, value_name = "FILE")]
    cells: Option<PathBuf>,
    /// Keep cells with one of these values in a column; may be given several times, and then all must hold.
    #[arg(long, value_name = "COLUMN=VALUE,...")]
    obs: Vec<String>,
    /// File with the names of the genes to keep, one a line.
    #[arg(long, value_name = "FILE")]
    genes: Option<PathBuf>,
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
    check_targets(&args.output, None, Some(&args.input))?;
    if args.cells.is_none() && args.obs.is_empty() && args.genes.is_none() {
        return Err(Error::parameter("--cells, --obs, --genes", "at least one of them", "none"));
    }
    carry_out(args.quiet, args.threads, cancel, |_, ctx| {
        let file = AnnDataFile::open(&args.input)?;
        let cells = cells_of(args, &file, ctx)?;
        let genes = match &args.genes {
            Some(list) => Some(named(list, "--genes", &file.index("var", ctx)?)?),
            None => None,
        };
        let masks = (cells.as_deref(), genes.as_deref());
        let kept = subset_file(&args.input, &args.output, masks, &WriteOptions { gzip: args.gzip }, ctx)?;
        let size = args.output.metadata().map_or(0, |meta| meta.len());
        let shape = format!("{} x {}", counted(kept.0, "cell"), counted(kept.1, "gene"));
        Ok(format!("{}: {shape}, {}\n", args.output.display(), bytes_text(size)))
    })
}

/// Which cells are kept; all where nothing is said of cells.
fn cells_of(args: &Args, file: &AnnDataFile, ctx: &Ctx) -> Result<Option<Vec<bool>>> {
    let mut mask = match &args.cells {
        Some(list) => Some(named(list, "--cells", &file.index("obs", ctx)?)?),
        None => None,
    };
    for wanted in &args.obs {
        let Some((column, values)) = wanted.split_once('=').filter(|(column, _)| !column.is_empty()) else {
            return Err(Error::parameter("--obs", "COLUMN=VALUE,...", format!("`{wanted}`")));
        };
        let labels = file.column("obs", column, ctx)?.labels();
        let values: Vec<&str> = values.split(',').collect();
        if let Some(absent) = values.iter().find(|value| !labels.iter().any(|label| label == *value)) {
            let present: BTreeSet<&String> = labels.iter().collect();
            let shown: Vec<&str> = present.iter().take(20).map(|label| label.as_str()).collect();
            let more = if present.len() > 20 { format!(", and {} more", present.len() - 20) } else { String::new() };
            let expected = format!("values of the column {column}: {}{more}", shown.join(", "));
            return Err(Error::parameter("--obs", expected, format!("`{absent}`")));
        }
        let holds = labels.iter().map(|label| values.contains(&label.as_str()));
        mask = Some(match mask {
            Some(mask) => mask.into_iter().zip(holds).map(|(kept, holds)| kept && holds).collect(),
            None => holds.collect(),
        });
    }
    if mask.as_ref().is_some_and(|mask| !mask.contains(&true)) {
        let what = format!("{}: obs", args.input.display());
        return Err(Error::data(DataFault::Empty, what, "a cell for which all of --cells and --obs hold", "none"));
    }
    Ok(mask)
}

/// Which of `names` a file lists.
fn named(list: &Path, option: &str, names: &[String]) -> Result<Vec<bool>> {
    let text = std::fs::read_to_string(list)
        .map_err(|error| Error::parameter(option, "a readable file", format!("{}: {error}", list.display())))?;
    let wanted: HashSet<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let present: HashSet<&str> = names.iter().map(String::as_str).collect();
    let mut absent: Vec<&&str> = wanted.iter().filter(|name| !present.contains(**name)).collect();
    absent.sort_unstable();
    if let Some(first) = absent.first() {
        let found = format!("{} of {} names that are not there, such as {first}", absent.len(), wanted.len());
        return Err(Error::parameter(option, "names that the file has", found));
    }
    if wanted.is_empty() {
        return Err(Error::parameter(option, "a file with names, one a line", format!("none in {}", list.display())));
    }
    Ok(names.iter().map(|name| wanted.contains(name.as_str())).collect())
}
