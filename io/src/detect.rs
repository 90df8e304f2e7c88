//! What a file or folder is, by its content and not by its name.

use std::fs;
use std::io::Read;
use std::path::Path;

use zensaibo_core::{Error, Result};

use crate::anndata_zarr::is_anndata;
use crate::h5::{H5File, is_hdf5, listed};
use crate::place::{Bytes, is_url};
use crate::tenx::{decompressed, folder_files};

/// The kinds of input that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// AnnData in HDF5.
    H5ad,
    /// AnnData in a Zarr store.
    #[serde(rename = "zarr")]
    AnnDataZarr,
    /// 10x HDF5 of Cell Ranger 2 and before: a group per genome.
    TenxV2,
    /// 10x HDF5 of Cell Ranger 3 and later, and Visium probe files.
    TenxV3,
    /// A folder with `matrix.mtx`, `genes.tsv` and `barcodes.tsv`.
    TenxFolderV2,
    /// A folder with `matrix.mtx`, `features.tsv` and `barcodes.tsv`.
    TenxFolderV3,
    /// A Matrix Market file.
    MatrixMarket,
}

impl Format {
    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::H5ad => "h5ad",
            Self::AnnDataZarr => "AnnData in Zarr",
            Self::TenxV2 => "10x HDF5 (version 2)",
            Self::TenxV3 => "10x HDF5 (version 3)",
            Self::TenxFolderV2 => "10x folder (version 2)",
            Self::TenxFolderV3 => "10x folder (version 3)",
            Self::MatrixMarket => "Matrix Market",
        }
    }
}

/// Looks at the content of `path`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Format`] when it is nothing that zensaibo reads.
pub fn detect(path: impl AsRef<Path>) -> Result<Format> {
    let path = path.as_ref();
    if is_url(path) {
        return detect_url(path);
    }
    let io = |error| Error::io(path, "read", error);
    let meta = fs::metadata(path).map_err(io)?;
    if meta.is_dir() {
        if is_anndata(path)? {
            return Ok(Format::AnnDataZarr);
        }
        let files = folder_files(path, "")?;
        return Ok(if files.legacy { Format::TenxFolderV2 } else { Format::TenxFolderV3 });
    }
    let mut file = fs::File::open(path).map_err(io)?;
    let bytes = Bytes::File(file.try_clone().map_err(io)?);
    if is_hdf5(&bytes)? {
        return detect_hdf5(&H5File::open(path)?);
    }
    let mut start = Vec::new();
    std::io::Seek::rewind(&mut file).map_err(io)?;
    // Text that cannot be unpacked is no Matrix Market file either.
    let _ = decompressed(file).and_then(|text| text.take(14).read_to_end(&mut start));
    if start == b"%%MatrixMarket" {
        return Ok(Format::MatrixMarket);
    }
    let found = match start.as_slice() {
        [] if meta.len() == 0 => "an empty file".to_string(),
        [b'P', b'K', ..] => "a zip archive".into(),
        _ => "none of their signatures".into(),
    };
    Err(Error::format(path, "file", "h5ad, AnnData in a Zarr folder, 10x HDF5, a 10x folder or Matrix Market", found))
}

/// Looks at what a URL leads to: an HDF5 file, or a Zarr store.
#[cfg(feature = "remote")]
fn detect_url(path: &Path) -> Result<Format> {
    let store = || -> Result<Option<Format>> { Ok(if is_anndata(path)? { Some(Format::AnnDataZarr) } else { None }) };
    let first = crate::place::named_as_folder(path);
    if first && let Some(format) = store()? {
        return Ok(format);
    }
    let found = match Bytes::open(path) {
        Ok(bytes) if is_hdf5(&bytes)? => return detect_hdf5(&H5File::open(path)?),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    if !first && let Ok(Some(format)) = store() {
        return Ok(format);
    }
    let expected = "h5ad, AnnData in Zarr or 10x HDF5 behind a URL (other formats are read from disk)";
    let shown = crate::remote::Address::of(path)?.shown();
    Err(found.unwrap_or_else(|| Error::format(shown, "object", expected, "none of them")))
}

#[cfg(not(feature = "remote"))]
fn detect_url(path: &Path) -> Result<Format> {
    Err(crate::place::unsupported(path))
}

pub(crate) fn detect_hdf5(file: &H5File) -> Result<Format> {
    file.sound(format_of(file))
}

fn format_of(file: &H5File) -> Result<Format> {
    if file.exists("obs") && file.exists("var") {
        return Ok(Format::H5ad);
    }
    if file.is_group("matrix") {
        return Ok(Format::TenxV3);
    }
    let members = file.members("")?;
    let genome = |name: &String| {
        ["barcodes", "genes", "gene_names", "data"].iter().all(|part| file.exists(&format!("{name}/{part}")))
    };
    if !members.is_empty() && members.iter().any(genome) {
        return Ok(Format::TenxV2);
    }
    let found = match &members[..] {
        [] => "an empty HDF5 file".to_string(),
        _ if file.exists("row_attrs") => "a loom file".into(),
        _ => format!("an HDF5 file with {}", listed(&members)),
    };
    Err(file.fault("/", "h5ad (obs, var) or 10x (matrix, or a group per genome)", found))
}
