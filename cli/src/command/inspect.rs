//! `zensaibo inspect FILE`: what a file holds.

use std::path::PathBuf;

use clap::Parser;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Error, Result};
use zensaibo_io::volume::{VolumeFormat, pyramid_levels};

use super::volume::{Input, Spoken, describe, stored_bytes, what};

/// Shows what a file or folder holds: h5ad, AnnData in Zarr, 10x HDF5, a 10x folder, Matrix Market; or a volume: TIFF, a folder of TIFF
/// planes, OME-Zarr, N5, Imaris, BDV, HDF5, NIfTI, NRRD, npy. HDF5 and Zarr also behind a URL (http, https, s3).
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The file or folder. What it is, is seen from its content, not from its name.
    file: PathBuf,
    #[command(flatten)]
    spoken: Spoken,
}

pub(super) fn run(args: &Args, _: &CancelToken) -> Result<()> {
    match what(&args.file)? {
        Input::Omics(format) => {
            if let Some(option) = args.spoken.given().first() {
                return Err(Error::parameter(*option, "a volume", format.name()));
            }
            let text = zensaibo_io::inspect(&args.file)?.to_string();
            super::print(&format!("{}\n", text.trim_end()))
        }
        Input::Volume(format) => {
            let volume = args.spoken.open(&args.file)?;
            // Plain arrays have no levels, and neither has what is no multiscale image.
            let levels =
                if format == VolumeFormat::Zarr { pyramid_levels(&args.file).unwrap_or_default() } else { Vec::new() };
            super::print(&describe(volume.info(), format.name(), &levels, stored_bytes(&args.file)))
        }
    }
}
