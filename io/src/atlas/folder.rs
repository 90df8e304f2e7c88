//! Atlases as folders, and as single files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use zensaibo_core::data::{Orientation, VolumeBlocks};
use zensaibo_core::{DataFault, Error, Result};

use super::structures::{StructureRow, read_structures};
use crate::volume::{OpenOptions, open_volume_with};

/// Where the parts of an atlas lie. Either `folder`, or `annotation` with `structures`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AtlasParts {
    /// A folder in BrainGlobe's layout of version 2: metadata.json, structures.json, annotation.tiff, and reference.tiff and
    /// hemispheres.tiff where there are any. In place of TIFF the volumes may be OME-Zarr, NRRD, NIfTI or npy.
    pub folder: Option<PathBuf>,
    /// Ids of structures.
    pub annotation: Option<PathBuf>,
    /// An image on the same grid.
    pub template: Option<PathBuf>,
    /// The table of structures: CSV or BrainGlobe's JSON.
    pub structures: Option<PathBuf>,
    /// 1 left, 2 right on the same grid.
    pub hemispheres: Option<PathBuf>,
    /// Micrometres per voxel, instead of what the files say.
    pub spacing: Option<[f64; 3]>,
    /// Which way the axes point in the body, instead of what the files say.
    pub orientation: Option<Orientation>,
}

/// An atlas, opened.
#[derive(Clone)]
pub struct AtlasFiles {
    /// Its name.
    pub name: String,
    /// Ids of structures; its `info` has spacing and orientation.
    pub annotation: Arc<dyn VolumeBlocks>,
    /// An image on the same grid.
    pub template: Option<Arc<dyn VolumeBlocks>>,
    /// 1 left, 2 right.
    pub hemispheres: Option<Arc<dyn VolumeBlocks>>,
    /// Micrometres per voxel.
    pub spacing: [f64; 3],
    /// Which way the axes point.
    pub orientation: Orientation,
    /// The table of structures in its own order.
    pub structures: Vec<StructureRow>,
}

/// Opens an atlas.
///
/// # Errors
/// [`Error::Parameter`] where neither or both of folder and annotation are given, or where nobody says spacing or
/// orientation; [`Error::Format`], [`Error::Data`] and [`Error::Io`] naming the file that is absent or damaged.
pub fn open_atlas(parts: &AtlasParts) -> Result<AtlasFiles> {
    let whole = match (&parts.folder, &parts.annotation) {
        (Some(folder), None) => of_folder(folder, parts)?,
        (None, Some(_)) => parts.clone(),
        (folder, _) => {
            let found = if folder.is_some() { "both" } else { "neither" };
            return Err(Error::parameter("atlas", "a folder, or an annotation with its table of structures", found));
        }
    };
    let Some(path) = &whole.annotation else { return Err(Error::Internal("an atlas without annotation".into())) };
    let table = whole.structures.as_ref().ok_or_else(|| {
        Error::parameter("atlas.structures", format!("a table of the structures in {}", path.display()), "none")
    })?;
    let options = OpenOptions { spacing: whole.spacing, orientation: whole.orientation, ..Default::default() };
    let open = |path: &PathBuf| open_volume_with(path, &options);
    let annotation = open(path)?;
    let info = annotation.info();
    if info.shape[..2] != [1, 1] {
        let found = format!("{} time points of {} channels", info.shape[0], info.shape[1]);
        return Err(Error::data(DataFault::Shape, path.display().to_string(), "one volume of (z, y, x)", found));
    }
    let spacing = info.spacing.ok_or_else(|| {
        Error::parameter("atlas.spacing", format!("micrometres per voxel: {} does not say", path.display()), "none")
    })?;
    let orientation = info.orientation.ok_or_else(|| {
        let expected = format!("three letters such as asr: {} does not say", path.display());
        Error::parameter("atlas.orientation", expected, "none")
    })?;
    let named = whole.folder.as_ref().unwrap_or(path);
    let name = named.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(AtlasFiles {
        name,
        template: whole.template.as_ref().map(open).transpose()?,
        hemispheres: whole.hemispheres.as_ref().map(open).transpose()?,
        spacing,
        orientation,
        structures: read_structures(table)?,
        annotation,
    })
}

/// Where the parts lie in a folder of BrainGlobe's version 2.
fn of_folder(folder: &Path, given: &AtlasParts) -> Result<AtlasParts> {
    for (name, part) in
        [("template", &given.template), ("structures", &given.structures), ("hemispheres", &given.hemispheres)]
    {
        if let Some(part) = part {
            let expected = "none beside a folder, which has its own";
            return Err(Error::parameter(format!("atlas.{name}"), expected, part.display()));
        }
    }
    let path = folder.join("metadata.json");
    let text = std::fs::read(&path).map_err(|error| Error::io(&path, "read", error))?;
    let json: Json = serde_json::from_slice(&text).map_err(|error| Error::format(&path, "file", "JSON", error))?;
    let wrong = |key: &str, expected: &str| {
        Error::format(&path, key, expected, json.get(key).map_or("nothing".to_string(), Json::to_string))
    };
    let spacing = match given.spacing {
        Some(spacing) => spacing,
        None => json
            .get("resolution")
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .ok_or_else(|| wrong("resolution", "three lengths in micrometres"))?,
    };
    let orientation = match given.orientation {
        Some(orientation) => orientation,
        None => json
            .get("orientation")
            .and_then(Json::as_str)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong("orientation", "three letters such as asr"))?,
    };
    let symmetric = json.get("symmetric").and_then(Json::as_bool).unwrap_or(false);
    // BrainGlobe's are TIFF; atlases of one's own may be any volume.
    let present = |name: &str| {
        let endings = ["tiff", "tif", "ome.zarr", "nrrd", "nii.gz", "nii", "npy"];
        endings.iter().map(|ending| folder.join(format!("{name}.{ending}"))).find(|path| path.exists())
    };
    Ok(AtlasParts {
        folder: Some(folder.to_path_buf()),
        annotation: Some(present("annotation").unwrap_or_else(|| folder.join("annotation.tiff"))),
        template: present("reference"),
        structures: Some(folder.join("structures.json")),
        hemispheres: present("hemispheres").filter(|_| !symmetric),
        spacing: Some(spacing),
        orientation: Some(orientation),
    })
}
