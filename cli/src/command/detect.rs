//! `zensaibo detect SIGNAL -o CELLS`: where the cells of a volume are.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::Result;
use zensaibo_core::progress::CancelToken;

use super::options::{Common, assigned, assigned_three, carry_out, now};
use super::volume::{memory, three};
use crate::recipe::{DetectConfig, DetectFiles, Extras, detect};

/// Finds the cells of a volume: where they are, how sure, how large, how bright.
///
/// Reads any volume that `zensaibo inspect` knows, in blocks, within the memory that is allowed. A classifier that comes
/// with zensaibo decides, one of your own, or a threshold in local noise. The output is written beside and renamed at the
/// end: an interrupted run leaves nothing behind. Nothing is random; threads and memory change the time and nothing else.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n  \
    zensaibo detect brain.ome.zarr --soma-diameter 16 -o cells.parquet --memory 4GiB --report cells.html\n  \
    zensaibo detect signal.tif --background autofluorescence.tif --spacing 5,2,2 --soma-diameter 16 -o cells.xml\n  \
    zensaibo detect planes/ --spacing 5,2,2 --soma-diameter 16 -o cells.h5ad --classifier none --set detect.threshold=8\n  \
    zensaibo config detect > my.toml; zensaibo detect brain.ome.zarr -o cells.csv --config my.toml")]
pub(super) struct Args {
    /// The volume: OME-Zarr, TIFF, a folder of TIFF planes, N5, Imaris, BDV, HDF5, NIfTI, NRRD, npy.
    signal: PathBuf,
    /// A volume of the same shape without the stain (autofluorescence); what goes with it is taken off. For another
    /// channel of the same file name it again, with --set background.channel=1.
    #[arg(short, long, value_name = "VOLUME")]
    background: Option<PathBuf>,
    /// The cells: .parquet or .csv (places in micrometres), .h5ad (AnnData), or .xml (cellfinder, in voxels). An existing
    /// file is replaced once the new one is complete.
    #[arg(short, long, value_name = "CELLS")]
    output: PathBuf,
    /// Micrometres per voxel, instead of what the file says.
    #[arg(long, value_name = "Z,Y,X", value_parser = three::<f64>)]
    spacing: Option<[f64; 3]>,
    /// Diameter of a cell body in micrometres; 10 by default.
    #[arg(long, value_name = "UM")]
    soma_diameter: Option<f64>,
    /// Channel in which cells are sought, from 0; 0 by default.
    #[arg(long, value_name = "N")]
    channel: Option<u32>,
    /// What decides: default (trained on c-Fos nuclei), none (a threshold in local noise), or a file.
    #[arg(long, value_name = "FILE")]
    classifier: Option<String>,
    /// Memory that the command may take; 2GiB of blocks by default.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Also write a report, one self-contained HTML page with pictures. Reads the volume once more.
    #[arg(short, long, value_name = "REPORT.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &Args, cancel: &CancelToken) -> Result<()> {
    let config = options(args)?;
    let time = now();
    let extras = Extras { report: args.report.as_deref(), time: Some(&time) };
    let files = DetectFiles { signal: &args.signal, background: args.background.as_deref(), output: &args.output };
    carry_out(args.common.quiet, args.common.threads, cancel, |terminal, ctx| {
        Ok(detect(files, &config, extras, terminal, ctx)?.text())
    })
}

fn options(args: &Args) -> Result<DetectConfig> {
    let (text, assignments) = args.common.options(vec![
        assigned_three("input.spacing", args.spacing),
        assigned("detect.soma_diameter", args.soma_diameter),
        assigned("detect.channel", args.channel.map(i64::from)),
        assigned("detect.memory", args.memory.map(|bytes| bytes as i64)),
        assigned("classifier.model", args.classifier.clone()),
    ])?;
    DetectConfig::from_toml(&text, &assignments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_over_the_file_and_set_over_flags() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("my.toml");
        std::fs::write(&file, "[detect]\nsoma_diameter = 3\nthreshold = 9\nedge_zone = 1\n").unwrap();
        let args = Args::parse_from([
            "detect",
            "in",
            "-o",
            "out.csv",
            "--spacing",
            "5,2,2",
            "--soma-diameter",
            "16",
            "--memory",
            "1GiB",
            "--channel",
            "1",
            "--classifier",
            "a \"b\".json",
            "--set",
            "detect.threshold=7",
            "--config",
            file.to_str().unwrap(),
        ]);
        let config = options(&args).unwrap();
        assert_eq!(config.input.spacing, Some([5.0, 2.0, 2.0]));
        assert_eq!((config.detect.soma_diameter, config.detect.threshold, config.detect.edge_zone), (16.0, 7.0, 1.0));
        assert_eq!((config.detect.memory, config.detect.channel), (Some(1 << 30), 1));
        assert_eq!(config.classifier.model, "a \"b\".json");
    }
}
