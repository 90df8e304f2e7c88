//! `zensaibo cells SIGNAL -o DIR`: from a volume to its cells in an atlas.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::atlas::Named;
use super::options::{Common, assigned, assigned_three, carry_out, now};
use super::volume::{memory, three};
use crate::recipe::{CellsConfig, CellsFiles, cells};

/// The whole way: finds the cells of a volume, registers it to an atlas, counts cells per structure.
///
/// Leaves cells.h5ad, cells.parquet, regions.csv, registration/ and report.html in a folder. Run again into the same folder
/// it goes on where it was interrupted, and repeats only what other options or other files change. Nothing is random;
/// threads and memory change the time and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo cells signal.tif --background autofluorescence.tif --spacing 5,2,2 --orientation psl \\\n      \
    --soma-diameter 16 --atlas allen_mouse_25um/ -o brain/ --memory 4GiB\n  \
    zensaibo config cells > my.toml; zensaibo cells brain.ome.zarr --config my.toml -o brain/")]
pub(super) struct Args {
    /// The volume: OME-Zarr, TIFF, a folder of TIFF planes, N5, Imaris, BDV, HDF5, NIfTI, NRRD, npy.
    signal: PathBuf,
    /// A volume of the same shape without the stain (autofluorescence); what goes with it is taken off the signal, and it is
    /// what is registered. For another channel of the same file name it again, with --set background.channel=1.
    #[arg(short, long, value_name = "VOLUME")]
    background: Option<PathBuf>,
    /// The folder of results: new, empty, or of an earlier run.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Micrometres per voxel, instead of what the file says.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    /// The anatomical side where index 0 of each axis lies, such as psl.
    #[arg(long, value_name = "SIDES")]
    orientation: Option<String>,
    /// Diameter of a cell body in micrometres; 10 by default.
    #[arg(long, value_name = "UM")]
    soma_diameter: Option<f64>,
    /// Channel in which cells are sought, from 0; 0 by default.
    #[arg(long, value_name = "N")]
    channel: Option<u32>,
    /// What decides: default (trained on c-Fos nuclei), none (a threshold in local noise), or a file.
    #[arg(long, value_name = "FILE")]
    classifier: Option<String>,
    #[command(flatten)]
    atlas: Named,
    /// Table of places that belong together (.csv or .parquet): columns moving_z, moving_y, moving_x, fixed_z, fixed_y,
    /// fixed_x, in micrometres. They draw the map; --set register.landmark_weight=0 only measures by how much they are missed.
    #[arg(long, value_name = "TABLE")]
    landmarks: Option<String>,
    /// The sample is a part of what the atlas shows: a hemisphere, a slab, a brain with a lobe missing.
    #[arg(long)]
    partial: bool,
    /// Go on even where the registration is not to be trusted.
    #[arg(long)]
    trust: bool,
    /// Memory that detection and the preparation of volumes may take; 2GiB of blocks by default.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let mut flags = vec![
        assigned_three("input.spacing", args.spacing),
        assigned("sample.orientation", args.orientation.clone()),
        assigned("detect.soma_diameter", args.soma_diameter),
        assigned("detect.channel", args.channel.map(i64::from)),
        assigned("detect.memory", args.memory.map(|bytes| bytes as i64)),
        assigned("classifier.model", args.classifier.clone()),
        assigned("landmarks.file", args.landmarks.clone()),
        assigned("register.partial", args.partial.then_some(true)),
        assigned("sample.anyway", args.trust.then_some(true)),
    ];
    flags.extend(args.atlas.assignments());
    let (text, assignments) = args.common.options(flags)?;
    let config = CellsConfig::from_toml(&text, &assignments)?;
    let time = now();
    let files = CellsFiles { signal: &args.signal, background: args.background.as_deref(), output: &args.output };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(cells(files, &config, Some(&time), terminal, ctx)?.text())
    })
}
