//! `zensaibo run-blocks STEP IN --work DIR --blocks i/N`: one part of one step of a run that many processes share.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};
use zensaibo_io::Join;

use super::cluster::{Genes, Options};
use super::options::carry_out;
use crate::recipe::{
    Blocks, Inputs, cluster_part, cluster_steps, count_part, count_steps, detect_part, detect_steps, segment_part,
    segment_steps,
};

/// Compute one part of one step of `cluster`, `detect`, `segment` or `count`, for job arrays and workflow managers.
///
/// N processes, on any machines that see the same files, compute a part each and leave it in the folder; when all parts
/// of a step are there, those of the next can begin, and `zensaibo merge` does the rest. The output has the same bits as
/// that of `zensaibo cluster` (`detect`, `segment`, `count`), for any N. A part that is there is not computed again, so a command can be
/// repeated after whatever went wrong. `zensaibo run-blocks list` prints the steps in their order.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo run-blocks list\n  \
    for step in read qc genes filter normalize hvg gather; do\n    \
        for i in 1 2 3 4 5; do zensaibo run-blocks $step atlas.h5ad --work atlas.parts/ --blocks $i/5; done\n  \
    done\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ --until markers\n  \
    for i in 1 2 3 4 5; do zensaibo run-blocks markers atlas.h5ad --work atlas.parts/ --blocks $i/5; done\n  \
    zensaibo merge atlas.h5ad --work atlas.parts/ -o out.h5ad\n  \
    zensaibo run-blocks --recipe detect local-noise brain.ome.zarr --work brain.parts/ --blocks 1/5 \\\n      \
        --set detect.soma_diameter=16\n  \
    zensaibo run-blocks list --recipe segment\n  \
    zensaibo run-blocks --recipe count place-cells cells.parquet --registration registration/ --work count.parts/ \\\n      \
        --blocks 1/5 --set atlas.path=allen_mouse_25um/")]
pub(super) struct Args {
    /// The step, or `list` to print all.
    step: String,
    /// Raw counts: h5ad, AnnData in Zarr or 10x HDF5; several are taken as one. For detect and segment: the volume; for count: the
    /// table of cells.
    input: Vec<PathBuf>,
    #[command(flatten)]
    genes: Genes,
    /// What is shared out.
    #[arg(long, value_enum, default_value_t)]
    recipe: Recipe,
    /// For detect: the channel without the stain; may be the same file.
    #[arg(long, value_name = "VOLUME")]
    background: Option<PathBuf>,
    /// For count: the folder that `zensaibo register` left.
    #[arg(long, value_name = "DIR")]
    registration: Option<PathBuf>,
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

/// What can be shared out.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(super) enum Recipe {
    /// From raw counts to annotated clusters.
    #[default]
    Cluster,
    /// Cells in a volume.
    Detect,
    /// Nuclei of a dense stain.
    Segment,
    /// Cells per structure of an atlas.
    Count,
}

impl Recipe {
    /// Refuses a background channel and a registration where none is looked at.
    pub(super) fn only_its_own(self, background: Option<&Path>, registration: Option<&Path>) -> Result<()> {
        let name = self.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default();
        let background = background.filter(|_| !matches!(self, Self::Detect)).map(|path| ("--background", path));
        let registration = registration.filter(|_| !matches!(self, Self::Count)).map(|path| ("--registration", path));
        background
            .or(registration)
            .map_or(Ok(()), |(option, path)| Err(Error::parameter(option, format!("none for {name}"), path.display())))
    }
}

/// The one volume or table of cells; refuses several, and a join of genes.
pub(super) fn one_input<'a>(paths: &'a [PathBuf], genes: &Genes) -> Result<&'a Path> {
    if genes.join != Join::Inner {
        return Err(Error::parameter("--join", "none but for cluster", "outer"));
    }
    match paths {
        [path] => Ok(path),
        several => Err(Error::parameter("input", "one, for detect, segment and count", several.len())),
    }
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    if args.step == "list" {
        let steps = match args.recipe {
            Recipe::Cluster => cluster_steps(&args.options.read()?)?,
            Recipe::Detect => detect_steps(),
            Recipe::Segment => segment_steps(),
            Recipe::Count => count_steps(),
        };
        return super::print(&(steps.join("\n") + "\n"));
    }
    let needed = |name: &str, what: &str| Error::parameter(name, what, "none");
    if args.input.is_empty() {
        return Err(needed("input", "a file of raw counts, a volume or a table of cells"));
    }
    let work = args.work.as_deref().ok_or_else(|| needed("--work", "the folder of the parts"))?;
    let blocks = args.blocks.ok_or_else(|| needed("--blocks", "i/N, such as 2/5"))?;
    args.recipe.only_its_own(args.background.as_deref(), args.registration.as_deref())?;
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        match args.recipe {
            Recipe::Cluster => {
                let inputs = Inputs { paths: &args.input, join: args.genes.join };
                cluster_part(inputs, work, &args.step, blocks, &args.options.read()?, terminal, ctx)?;
            }
            Recipe::Detect => {
                let (config, other) = (args.options.read_detect()?, args.background.as_deref());
                detect_part(
                    one_input(&args.input, &args.genes)?,
                    other,
                    work,
                    &args.step,
                    blocks,
                    &config,
                    terminal,
                    ctx,
                )?;
            }
            Recipe::Segment => {
                let volume = one_input(&args.input, &args.genes)?;
                segment_part(volume, work, &args.step, blocks, &args.options.read_segment()?, terminal, ctx)?;
            }
            Recipe::Count => {
                let (config, registration) = (args.options.read_count()?, args.registration.as_deref());
                let cells = one_input(&args.input, &args.genes)?;
                count_part(cells, registration, work, &args.step, blocks, &config, terminal, ctx)?;
            }
        }
        Ok(format!("Step {}: part {} of {} is in {}\n", args.step, blocks.part, blocks.of, work.display()))
    })
}
