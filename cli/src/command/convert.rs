//! `zensaibo convert IN OUT`: any format that is read, to h5ad; volumes to OME-Zarr.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::volume::{Compression, Downsample, NgffVersion, OmeZarrOptions, pyramid_levels, write_ome_zarr};
use zensaibo_io::{AnnDataFile, Format, TenxOptions, VarNames, WriteOptions};

use super::volume::{Input, Spoken, memory, stored_bytes, three, what};

use crate::measure::{bytes_text, counted};
use crate::recipe::check_targets;
use crate::terminal::{Show, Terminal};

/// Converts h5ad (of any version), 10x HDF5, a 10x folder, or Matrix Market to an h5ad of today; any volume to OME-Zarr.
///
/// Of an h5ad every slot is carried over, in its own types. Volumes are streamed in bounded memory; coarser levels are
/// made along. The output is written beside and renamed at the end.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo convert filtered_feature_bc_matrix.h5 counts.h5ad\n  \
    zensaibo convert planes/ brain.ome.zarr --spacing 5,2,2 --orientation psl --memory 2GiB")]
pub(super) struct Args {
    /// The file or folder to read; of HDF5 and Zarr also a URL.
    input: PathBuf,
    /// The h5ad to write; of a volume, the OME-Zarr.
    output: PathBuf,
    #[command(flatten)]
    spoken: Spoken,
    #[command(flatten)]
    zarr: Zarr,
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

// No doc comment: clap would show it as that of the command.
#[derive(Clone, Debug, Default, clap::Args)]
struct Zarr {
    /// Volumes: version of OME-Zarr.
    #[arg(long, value_enum, value_name = "VERSION")]
    ngff: Option<Ngff>,
    /// Volumes: the voxels are labels; coarser levels take the most frequent one instead of the mean.
    #[arg(long)]
    labels: bool,
    /// Volumes: voxels of a chunk.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<usize>)]
    chunk: Option<[usize; 3]>,
    /// Volumes: voxels of a shard, multiples of the chunk.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<usize>)]
    shard: Option<[usize; 3]>,
    /// Volumes: compression.
    #[arg(long, value_enum, value_name = "KIND")]
    compression: Option<Packing>,
    /// Volumes: levels of the pyramid; until no axis is longer than 256 voxels by default.
    #[arg(long, value_name = "N")]
    levels: Option<usize>,
    /// Volumes: memory that may be taken; 1GiB by default.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Ngff {
    #[value(name = "0.4")]
    V04,
    #[value(name = "0.5")]
    V05,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Packing {
    BloscZstd,
    Zstd,
    None,
}

impl Zarr {
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--ngff", self.ngff.is_some()),
            ("--labels", self.labels),
            ("--chunk", self.chunk.is_some()),
            ("--shard", self.shard.is_some()),
            ("--compression", self.compression.is_some()),
            ("--levels", self.levels.is_some()),
            ("--memory", self.memory.is_some()),
        ];
        all.into_iter().filter(|option| option.1).map(|option| option.0).collect()
    }

    fn options(&self) -> OmeZarrOptions {
        let plain = OmeZarrOptions::default();
        OmeZarrOptions {
            version: self.ngff.map_or(plain.version, |version| match version {
                Ngff::V04 => NgffVersion::V04,
                Ngff::V05 => NgffVersion::V05,
            }),
            chunk: self.chunk,
            shard: self.shard,
            compression: self.compression.map_or(plain.compression, |kind| match kind {
                Packing::BloscZstd => Compression::BloscZstd,
                Packing::Zstd => Compression::Zstd,
                Packing::None => Compression::None,
            }),
            levels: self.levels,
            downsample: if self.labels { Downsample::Mode } else { Downsample::Mean },
            memory: self.memory,
            ..plain
        }
    }
}

/// A volume to OME-Zarr.
fn run_volume(args: &Args, cancel: &CancelToken) -> Result<()> {
    let omics = [
        ("--gzip", args.gzip.is_some()),
        ("--genome", args.genome.is_some()),
        ("--all-features", args.all_features),
        ("--gene-ids", args.gene_ids),
    ];
    if let Some((name, _)) = omics.iter().find(|option| option.1) {
        return Err(Error::parameter(*name, "counts, not a volume", args.input.display()));
    }
    if !args.output.extension().is_some_and(|end| end.eq_ignore_ascii_case("zarr")) {
        return Err(Error::parameter(
            "output",
            "a name that ends with .zarr, for the input is a volume",
            args.output.display(),
        ));
    }
    let same = |a: &PathBuf, b: &PathBuf| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(&args.input, &args.output) {
        return Err(Error::parameter("output", "a place other than the input", args.output.display()));
    }
    let volume = args.spoken.open(&args.input)?;
    if args.zarr.labels && !volume.info().dtype.is_integer() {
        return Err(Error::parameter("--labels", "whole numbers", volume.info().dtype.name()));
    }
    let options = args.zarr.options();
    // Decoded pieces that are kept take a quarter of what may be taken.
    zensaibo_io::volume::set_cache_bytes(options.memory.unwrap_or(1 << 30) / 4);
    let terminal = Terminal::new(Show::fitting(args.quiet));
    let ctx = Ctx::new(cancel.clone(), terminal.clone());
    let outcome = with_threads(args.threads, || write_ome_zarr(&*volume, &args.output, &options, &ctx));
    terminal.clear();
    outcome?;
    if args.quiet {
        return Ok(());
    }
    let levels = pyramid_levels(&args.output)?;
    let shape = volume.info().shape.map(|n| n.to_string()).join(" x ");
    let size = bytes_text(stored_bytes(&args.output));
    super::print(&format!(
        "{}: {shape} (t, c, z, y, x), {}, {size}\n",
        args.output.display(),
        counted(levels.len(), "level")
    ))
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let format = match what(&args.input)? {
        Input::Volume(_) => return run_volume(args, cancel),
        Input::Omics(format) => format,
    };
    if let Some(option) = args.spoken.given().first().or(args.zarr.given().first()) {
        return Err(Error::parameter(*option, "a volume", format.name()));
    }
    check_targets(&args.output, None, Some(&args.input))?;
    let terminal = Terminal::new(Show::fitting(args.quiet));
    let ctx = Ctx::new(cancel.clone(), terminal.clone());
    let outcome = with_threads(args.threads, || ctx.check().and_then(|()| convert(args, format, &ctx)));
    terminal.clear();
    let shape = outcome?;
    if args.quiet {
        return Ok(());
    }
    let size = args.output.metadata().map_or(0, |meta| meta.len());
    super::print(&format!("{}: {shape}, {}\n", args.output.display(), bytes_text(size)))
}

fn convert(args: &Args, format: Format, ctx: &Ctx) -> Result<String> {
    let tenx = TenxOptions {
        genome: args.genome.clone(),
        gex_only: !args.all_features,
        var_names: if args.gene_ids { VarNames::GeneIds } else { VarNames::GeneSymbols },
        ..Default::default()
    };
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
