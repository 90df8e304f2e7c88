//! `zensaibo cluster IN -o OUT`: from raw counts to annotated clusters.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};
use zensaibo_io::Join;

use super::options::{carry_out, now};
use super::volume::memory;
use crate::recipe::{ClusterConfig, CountConfig, DetectConfig, Extras, Inputs, Resources, SegmentConfig, cluster};

/// From raw counts to annotated clusters: quality control, filter, normalisation, highly variable genes, PCA,
/// neighbours, Leiden, UMAP, markers.
///
/// The output is an h5ad that scanpy and cellxgene open and plot. It is written beside and renamed at the end:
/// an interrupted run leaves nothing behind. The number of threads changes the time and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo cluster filtered_feature_bc_matrix.h5 -o out.h5ad --report report.html\n  \
    zensaibo cluster first.h5ad second.h5ad third.zarr -o out.h5ad\n  \
    zensaibo cluster counts.h5ad -o out.h5ad --set filter.max_pct_mito=5 --set leiden.resolution=0.8\n  \
    zensaibo config cluster > my.toml; zensaibo cluster counts.h5ad -o out.h5ad --config my.toml\n  \
    zensaibo cluster atlas.h5ad -o out.h5ad --memory 4GiB --checkpoints out.stages/")]
pub(super) struct Args {
    /// Raw counts: h5ad, AnnData in Zarr, 10x HDF5 (of these also a URL: http, https, s3), a 10x folder, or Matrix Market.
    /// Several are taken as one: cells one after the other with the column `batch`, genes joined by name.
    #[arg(required = true)]
    input: Vec<PathBuf>,
    #[command(flatten)]
    genes: Genes,
    /// The h5ad to write. An existing file is replaced once the new one is complete.
    #[arg(short, long, value_name = "OUT.h5ad")]
    output: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Threads to use; all cores by default.
    #[arg(short, long)]
    threads: Option<usize>,
    /// Memory that the run may take, such as 4GiB; counts that do not fit go to a scratch file. The result has the same bits.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Folder of the scratch file; that of the output by default. The file has no name and goes with the process.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Folder in which finished stages are kept until the output is written: after a run was killed, the same command goes
    /// on from there.
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Also write a report, one self-contained HTML page.
    #[arg(short, long, value_name = "REPORT.html")]
    report: Option<PathBuf>,
    /// Show neither progress nor summary.
    #[arg(short, long)]
    quiet: bool,
}

// No doc comment: clap would show it as that of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Genes {
    /// Genes of several inputs: those of all of them, or those of any.
    #[arg(long, value_name = "inner|outer", default_value = "inner")]
    pub(super) join: Join,
}

// No doc comment: clap would show it as that of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Options as TOML; `zensaibo config cluster` prints them all.
    #[arg(short, long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Sets one option, after the file; may be given several times.
    #[arg(long = "set", value_name = "SECTION.OPTION=VALUE")]
    set: Vec<String>,
    /// Seed of every stage that draws random numbers.
    #[arg(short, long)]
    seed: Option<u32>,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let config = args.options.read()?;
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    let resources =
        Resources { memory: args.memory, scratch: args.scratch.as_deref(), checkpoints: args.checkpoints.as_deref() };
    carry_out(args.quiet, args.threads, cancel, |terminal, ctx| {
        let inputs = Inputs { paths: &args.input, join: args.genes.join };
        let summary = cluster(inputs, &args.output, &config, extras, resources, terminal, ctx)?;
        Ok(summary.text())
    })
}

impl Options {
    /// The options of the file, then those of the command line.
    pub(super) fn read(&self) -> Result<ClusterConfig> {
        let text = self.config.as_deref().map_or(Ok(String::new()), super::options::read)?;
        let mut assignments = Vec::new();
        if let Some(seed) = self.seed {
            assignments.extend(seeds().into_iter().map(|place| format!("{place}={seed}")));
        }
        assignments.extend(self.set.iter().cloned());
        ClusterConfig::from_toml(&text, &assignments)
    }

    /// The same for `detect`.
    pub(super) fn read_detect(&self) -> Result<DetectConfig> {
        DetectConfig::from_toml(&self.without_seed("detect")?, &self.set)
    }

    /// The same for `segment`.
    pub(super) fn read_segment(&self) -> Result<SegmentConfig> {
        SegmentConfig::from_toml(&self.without_seed("segment")?, &self.set)
    }

    /// The same for `count`.
    pub(super) fn read_count(&self) -> Result<CountConfig> {
        CountConfig::from_toml(&self.without_seed("count")?, &self.set)
    }

    /// The text of the file of options, for what draws no random numbers.
    fn without_seed(&self, recipe: &str) -> Result<String> {
        if let Some(seed) = self.seed {
            return Err(Error::parameter("--seed", format!("none for {recipe}, which draws no random numbers"), seed));
        }
        self.config.as_deref().map_or(Ok(String::new()), super::options::read)
    }
}

/// Every option that is a seed, as "section.option".
fn seeds() -> Vec<String> {
    let sections = ClusterConfig::sections();
    let fields = sections.iter().flat_map(|section| section.fields.iter().map(|field| (section.name, field.name)));
    fields
        .filter(|(_, name)| matches!(*name, "seed" | "random_state"))
        .map(|(section, name)| format!("{section}.{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zensaibo_core::Error;

    #[test]
    fn one_seed_reaches_every_stage_that_draws() {
        assert!(seeds().len() >= 3, "{:?}", seeds());
        let args = Args::parse_from(["cluster", "in", "-o", "out", "--seed", "7", "--set", "umap.seed=9"]);
        let config = args.options.read().unwrap();
        assert_eq!((config.pca.random_state, config.leiden.seed, config.umap.seed), (7, 7, 9));
    }

    #[test]
    fn a_missing_options_file_is_bad_usage() {
        let args = Args::parse_from(["cluster", "in", "-o", "out", "--config", "no/such.toml"]);
        assert!(matches!(args.options.read().unwrap_err(), Error::Parameter { .. }));
    }
}
