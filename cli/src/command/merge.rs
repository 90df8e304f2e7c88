//! `zensaibo merge IN --work DIR -o OUT`: goes through a shared run with the parts that are there.

use std::path::{Path, PathBuf};

use clap::Parser;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};

use super::cluster::{Genes, Options};
use super::options::{carry_out, now};
use super::run_blocks::{Recipe, one_input};
use super::volume::memory;
use crate::recipe::{
    CountFiles, DetectFiles, Extras, Inputs, Resources, SegmentFiles, cluster_merge, count_merge, detect_merge,
    segment_merge,
};

/// Merge the parts of `run-blocks`, and do what is not shared out: components, neighbours, clusters, layout, the output.
///
/// With --until it stops before that step; what it found is kept in the folder. It can be repeated after whatever went wrong, and
/// goes on from what is kept. The folder is left as it is; remove it once the output is there.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ --until markers\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ -o out.h5ad --report report.html\n  \
    zensaibo merge --recipe detect brain.ome.zarr --work brain.parts/ -o cells.parquet --set detect.soma_diameter=16\n  \
    zensaibo merge --recipe segment organoid.ome.zarr --work organoid.parts/ -o labels.ome.zarr --table nuclei.parquet \\\n      \
        --set segment.diameter=9\n  \
    zensaibo merge --recipe count cells.parquet --registration registration/ --work count.parts/ -o regions.csv \\\n      \
        --table placed.csv --set atlas.path=allen_mouse_25um/")]
pub(super) struct Args {
    /// Raw counts, or for detect and segment the volume, for count the table of cells: the files that the parts were made of.
    #[arg(required = true)]
    input: Vec<PathBuf>,
    #[command(flatten)]
    genes: Genes,
    /// What was shared out.
    #[arg(long, value_enum, default_value_t)]
    recipe: Recipe,
    /// For detect: the channel without the stain; may be the same file.
    #[arg(long, value_name = "VOLUME")]
    background: Option<PathBuf>,
    /// For count: the folder that `zensaibo register` left.
    #[arg(long, value_name = "DIR")]
    registration: Option<PathBuf>,
    /// Folder of the parts.
    #[arg(short, long, value_name = "DIR")]
    work: PathBuf,
    /// The h5ad to write, for detect the table of cells, for segment the labels (OME-Zarr), for count the
    /// table of structures. An existing file is replaced once the new
    /// one is complete.
    #[arg(short, long, value_name = "OUT", required_unless_present = "until", conflicts_with = "until")]
    output: Option<PathBuf>,
    /// For segment: also write a table of the nuclei; for count: the cells with the structure of each.
    #[arg(long, value_name = "TABLE", requires = "output")]
    table: Option<PathBuf>,
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
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    if let Some(table) = args.table.as_ref().filter(|_| !matches!(args.recipe, Recipe::Segment | Recipe::Count)) {
        return Err(Error::parameter("--table", "none but for segment and count", table.display()));
    }
    args.recipe.only_its_own(args.background.as_deref(), args.registration.as_deref())?;
    match args.recipe {
        Recipe::Cluster => {}
        Recipe::Count => return regions(args, cancel),
        Recipe::Detect => return cells(args, extras, cancel),
        Recipe::Segment => return nuclei(args, extras, cancel),
    }
    let config = args.options.read()?;
    let resources = Resources { memory: args.memory, ..Default::default() };
    let inputs = Inputs { paths: &args.input, join: args.genes.join };
    let (until, output) = (args.until.as_deref(), args.output.as_deref());
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        let summary = cluster_merge(inputs, &args.work, until, output, &config, extras, resources, terminal, ctx)?;
        Ok(summary.map_or_else(
            || format!("All before step {} is in {}\n", until.unwrap_or_default(), args.work.display()),
            |summary| summary.text(),
        ))
    })
}

/// The output of a recipe on a volume, whose parts need no merge between them and whose memory is an option of theirs.
fn output<'a>(args: &'a Args, recipe: &str, memory: Option<&str>) -> Result<&'a Path> {
    if args.memory.is_some() {
        let instead = memory.map(|memory| format!(": --set {memory}, as for the parts")).unwrap_or_default();
        return Err(Error::parameter("--memory", format!("none for {recipe}{instead}"), "one"));
    }
    let expected = || format!("none for {recipe}, whose parts need no merge between them");
    args.output.as_deref().ok_or_else(|| Error::parameter("--until", expected(), "one"))
}

/// Cells of a volume.
fn cells(args: &Args, extras: Extras<'_>, cancel: &CancelToken) -> Result<()> {
    let config = args.options.read_detect()?;
    let output = output(args, "detect", Some("detect.memory"))?;
    let signal = one_input(&args.input, &args.genes)?;
    let files = DetectFiles { signal, background: args.background.as_deref(), output };
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        Ok(detect_merge(files, &args.work, &config, extras, terminal, ctx)?.text())
    })
}

/// Nuclei of a volume.
fn nuclei(args: &Args, extras: Extras<'_>, cancel: &CancelToken) -> Result<()> {
    let config = args.options.read_segment()?;
    let output = output(args, "segment", Some("input.memory"))?;
    let files = SegmentFiles { volume: one_input(&args.input, &args.genes)?, output, table: args.table.as_deref() };
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        Ok(segment_merge(files, &args.work, &config, extras, terminal, ctx)?.text())
    })
}

/// Cells per structure of an atlas.
fn regions(args: &Args, cancel: &CancelToken) -> Result<()> {
    let config = args.options.read_count()?;
    let output = output(args, "count", None)?;
    if let Some(report) = &args.report {
        return Err(Error::parameter("--report", "none for count", report.display()));
    }
    let cells = one_input(&args.input, &args.genes)?;
    let files = CountFiles { cells, registration: args.registration.as_deref(), output, table: args.table.as_deref() };
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        Ok(count_merge(files, &args.work, &config, terminal, ctx)?.text())
    })
}
