//! What a file or folder is, by content, and opening it.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use zensaibo_core::data::{Frame, Orientation, Region, VolumeBlocks, VolumeInfo, check_spacing};
use zensaibo_core::{Error, Result};

use super::{bdv, hdf5, n5, nifti, npy, nrrd, tiff, zarr};
use crate::h5::{H5File, is_hdf5};
use crate::place::{Bytes, is_url};

/// The kinds of volumes that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeFormat {
    /// TIFF, BigTIFF, OME-TIFF, ImageJ hyperstack.
    Tiff,
    /// A folder of TIFF planes.
    Planes,
    /// An OME-Zarr image, or a plain Zarr array.
    Zarr,
    /// N5.
    N5,
    /// Imaris (.ims).
    Imaris,
    /// BigDataViewer's HDF5.
    BdvHdf5,
    /// BigDataViewer's XML, which names an HDF5 file or an N5 container.
    BdvXml,
    /// HDF5 with one array of numbers.
    Hdf5,
    /// NIfTI-1, plain or packed.
    Nifti,
    /// NRRD.
    Nrrd,
    /// A numpy file.
    Npy,
}

impl VolumeFormat {
    /// A name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tiff => "TIFF",
            Self::Planes => "folder of TIFF planes",
            Self::Zarr => "OME-Zarr",
            Self::N5 => "N5",
            Self::Imaris => "Imaris",
            Self::BdvHdf5 => "BDV HDF5",
            Self::BdvXml => "BDV XML",
            Self::Hdf5 => "HDF5",
            Self::Nifti => "NIfTI",
            Self::Nrrd => "NRRD",
            Self::Npy => "npy",
        }
    }
}

/// What is said about a volume beyond what its file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// Micrometres per voxel along z, y and x, instead of what the file says.
    pub spacing: Option<[f64; 3]>,
    /// Which way the axes point in the body, instead of what the file says.
    pub orientation: Option<Orientation>,
    /// Names of the axes, such as "tzyx", where a file does not name them.
    pub axes: Option<String>,
    /// Which of several images of one file, from 0. A file of several images is refused without it.
    pub series: Option<usize>,
    /// Level of a pyramid, 0 (the default) being the finest.
    pub level: Option<usize>,
}

/// Opens a volume, whatever its format: see [`VolumeFormat`]. Nothing but headers and tables is read.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Format`] naming file, place, what was expected and found.
pub fn open_volume(path: &Path) -> Result<Arc<dyn VolumeBlocks>> {
    open_volume_with(path, &OpenOptions::default())
}

/// Opens a volume with more said about it.
///
/// # Errors
/// As [`open_volume`]; [`Error::Parameter`] for options that do not fit the file.
pub fn open_volume_with(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    if let Some(axes) = &options.axes {
        check_axes(axes)?;
    }
    let format = volume_format(path)?;
    let pyramid = matches!(
        format,
        VolumeFormat::Zarr | VolumeFormat::N5 | VolumeFormat::Imaris | VolumeFormat::BdvHdf5 | VolumeFormat::BdvXml
    );
    if let Some(level) = options.level.filter(|&level| level > 0 && !pyramid) {
        return Err(Error::parameter("level", format!("0 for a {}", format.name()), level));
    }
    let chooses = matches!(
        format,
        VolumeFormat::Tiff
            | VolumeFormat::Zarr
            | VolumeFormat::N5
            | VolumeFormat::BdvHdf5
            | VolumeFormat::BdvXml
            | VolumeFormat::Hdf5
    );
    if let Some(series) = options.series.filter(|&series| series > 0 && !chooses) {
        return Err(Error::parameter("series", format!("0 for {}, which holds one image", format.name()), series));
    }
    let volume = match format {
        VolumeFormat::Tiff => tiff::open(path, options)?,
        VolumeFormat::Planes => tiff::open_folder(path, options)?,
        VolumeFormat::Zarr => {
            let node = if is_url(path) { zarr_behind(path)? } else { zarr::Node::of(path) };
            zarr::open(path, node.unwrap_or(zarr::Node::Group), options)?
        }
        VolumeFormat::N5 => n5::open(path, options)?,
        VolumeFormat::Imaris | VolumeFormat::BdvHdf5 | VolumeFormat::Hdf5 => hdf5::open(path, options)?,
        VolumeFormat::BdvXml => bdv::open(path, options)?,
        VolumeFormat::Nifti => nifti::open(path, is_gzip(path))?,
        VolumeFormat::Nrrd => nrrd::open(path, options)?,
        VolumeFormat::Npy => npy::open(path, options)?,
    };
    if let Some(given) = &options.axes {
        // What the file itself names is not overruled, and never in silence.
        let (own, shape) = (&volume.info().axes, volume.info().shape);
        let long = |axes: &str| -> String {
            let all = "tczyx".chars().zip(shape);
            all.filter(|&(axis, n)| axes.contains(axis) && (n > 1 || "yx".contains(axis)))
                .map(|(axis, _)| axis)
                .collect()
        };
        if long(given) != long(own) {
            return Err(Error::parameter(
                "axes",
                format!("{own:?}, which {} has", path.display()),
                format!("{given:?}"),
            ));
        }
    }
    if options.spacing.is_none() && options.orientation.is_none() {
        return Ok(volume);
    }
    let mut info = volume.info().clone();
    if let Some(spacing) = options.spacing {
        info.spacing = Some(check_spacing(spacing)?);
    }
    info.orientation = options.orientation.or(info.orientation);
    Ok(Arc::new(Said { info, volume }))
}

/// The axes that a volume of so many time points and channels is said to have.
pub(super) fn axes_over(times: usize, channels: usize) -> String {
    [("t", times > 1), ("c", channels > 1), ("zyx", true)].iter().filter(|axis| axis.1).map(|axis| axis.0).collect()
}

/// The axes of an array of `rank` dimensions: those given, or the last of (z, y, x).
pub(super) fn axes_of(path: &Path, rank: usize, given: Option<&str>) -> Result<String> {
    match given {
        Some(axes) => {
            check_axes(axes)?;
            if axes.len() == rank {
                return Ok(axes.into());
            }
            Err(Error::parameter("axes", format!("{rank} letters for {}", path.display()), format!("{axes:?}")))
        }
        None if (2..=3).contains(&rank) => Ok("zyx"[3 - rank..].into()),
        None => {
            let expected = "`axes` to be given (such as \"tzyx\" or \"czyx\"), for the file names none";
            Err(Error::format(path, "dimensions", expected, format!("an array of {rank} dimensions")))
        }
    }
}

fn is_gzip(path: &Path) -> bool {
    let mut start = [0u8; 2];
    fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start == [0x1f, 0x8b]
}

/// Refuses axes that are no subset of "tczyx" with y and x at the end.
pub(super) fn check_axes(axes: &str) -> Result<()> {
    let order: Vec<usize> = axes.chars().filter_map(|axis| "tczyx".find(axis)).collect();
    let distinct = order.iter().enumerate().all(|(at, axis)| !order[..at].contains(axis));
    if order.len() == axes.chars().count() && distinct && axes.ends_with("yx") {
        return Ok(());
    }
    Err(Error::parameter(
        "axes",
        "letters of t, c and z, each at most once, then yx (such as \"tzyx\")",
        format!("{axes:?}"),
    ))
}

/// A volume of which more is said than its file says.
struct Said {
    info: VolumeInfo,
    volume: Arc<dyn VolumeBlocks>,
}

impl VolumeBlocks for Said {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        self.volume.read(frame, region, out)
    }
}

/// Looks at the content of `path`.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Format`] when it is no volume that zensaibo reads.
pub fn volume_format(path: &Path) -> Result<VolumeFormat> {
    let io = |error| Error::io(path, "read", error);
    let expected = "a volume (TIFF, a folder of TIFF planes, OME-Zarr, N5, Imaris, BDV, HDF5, NIfTI, NRRD or npy)";
    if is_url(path) {
        return url_format(path);
    }
    let meta = fs::metadata(path).map_err(io)?;
    if meta.is_dir() {
        if zarr::Node::of(path).is_some() {
            return Ok(VolumeFormat::Zarr);
        }
        if n5::is_n5(path) {
            return Ok(VolumeFormat::N5);
        }
        if tiff::holds_planes(path)? {
            return Ok(VolumeFormat::Planes);
        }
        return Err(Error::format(path, "folder", expected, "a folder without any of them"));
    }
    let mut start = Vec::new();
    fs::File::open(path).map_err(io)?.take(512).read_to_end(&mut start).map_err(io)?;
    if tiff::is_tiff(&start) {
        return Ok(VolumeFormat::Tiff);
    }
    if start.starts_with(npy::MAGIC) {
        return Ok(VolumeFormat::Npy);
    }
    if start.starts_with(nrrd::MAGIC) {
        return Ok(VolumeFormat::Nrrd);
    }
    if nifti::is_nifti(&start) || (start.starts_with(&[0x1f, 0x8b]) && nifti::is_nifti(&nifti::unpacked_start(path))) {
        return Ok(VolumeFormat::Nifti);
    }
    if bdv::is_bdv(&start) {
        return Ok(VolumeFormat::BdvXml);
    }
    if is_hdf5(&Bytes::open(path)?)? {
        return hdf5_format(path, expected);
    }
    let found = if start.is_empty() { "an empty file" } else { "none of their signatures" };
    Err(Error::format(path, "file", expected, found))
}

fn hdf5_format(path: &Path, expected: &str) -> Result<VolumeFormat> {
    let file = H5File::open(path)?;
    match file.sound(Ok(hdf5::kind(&file)))? {
        Some(hdf5::Kind::Imaris) => Ok(VolumeFormat::Imaris),
        Some(hdf5::Kind::Bdv) => Ok(VolumeFormat::BdvHdf5),
        Some(hdf5::Kind::Plain) => Ok(VolumeFormat::Hdf5),
        None => Err(Error::format(path, "file", expected, "an HDF5 file without arrays of 2 to 5 dimensions")),
    }
}

/// Looks at what a URL leads to: a Zarr store, or an HDF5 file.
#[cfg(feature = "remote")]
fn url_format(path: &Path) -> Result<VolumeFormat> {
    let expected = "OME-Zarr, Imaris, BDV or HDF5 behind a URL (other formats are read from disk)";
    let first = crate::place::named_as_folder(path);
    if first && zarr_behind(path)?.is_some() {
        return Ok(VolumeFormat::Zarr);
    }
    let found = match Bytes::open(path) {
        Ok(bytes) if is_hdf5(&bytes)? => return hdf5_format(path, expected),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    if !first && let Ok(Some(_)) = zarr_behind(path) {
        return Ok(VolumeFormat::Zarr);
    }
    let shown = crate::remote::Address::of(path)?.shown();
    Err(found.unwrap_or_else(|| Error::format(shown, "object", expected, "none of them")))
}

#[cfg(feature = "remote")]
fn zarr_behind(path: &Path) -> Result<Option<zarr::Node>> {
    zarr::Node::of_url(path)
}

#[cfg(not(feature = "remote"))]
fn url_format(path: &Path) -> Result<VolumeFormat> {
    Err(crate::place::unsupported(path))
}

#[cfg(not(feature = "remote"))]
fn zarr_behind(path: &Path) -> Result<Option<zarr::Node>> {
    Err(crate::place::unsupported(path))
}
