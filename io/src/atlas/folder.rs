//! Atlases as folders, and as single files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use zensaibo_core::data::{Orientation, VolumeBlocks};
use zensaibo_core::{DataFault, Error, Result};

use super::brainglobe::{store_parts, within};
use super::structures::{StructureTable, read_structures};
use crate::volume::{OpenOptions, open_volume_with};

/// One volume of an atlas: its file, and the level of its pyramid.
#[derive(Clone, Debug, PartialEq)]
pub struct AtlasVolume {
    /// The file or folder.
    pub path: PathBuf,
    /// Level of the pyramid, 0 being the finest.
    pub level: usize,
}

impl From<PathBuf> for AtlasVolume {
    fn from(path: PathBuf) -> Self {
        Self { path, level: 0 }
    }
}

/// Where the parts of an atlas lie, and what is said of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AtlasParts {
    /// Its name.
    pub name: Option<String>,
    /// Ids of structures.
    pub annotation: Option<AtlasVolume>,
    /// An image on the same grid.
    pub template: Option<AtlasVolume>,
    /// 1 left, 2 right on the same grid.
    pub hemispheres: Option<AtlasVolume>,
    /// The table of structures: CSV or BrainGlobe's JSON.
    pub structures: Option<PathBuf>,
    /// Micrometres per voxel, instead of what the files say.
    pub spacing: Option<[f64; 3]>,
    /// Which way the axes point in the body, instead of what the files say.
    pub orientation: Option<Orientation>,
    /// The shape that is stated for all parts.
    pub shape: Option<[usize; 3]>,
}

/// An atlas, opened.
#[derive(Clone)]
pub struct AtlasFiles {
    /// Its name.
    pub name: String,
    /// Ids of structures.
    pub annotation: Arc<dyn VolumeBlocks>,
    /// An image on the same grid.
    pub template: Option<Arc<dyn VolumeBlocks>>,
    /// 1 left, 2 right.
    pub hemispheres: Option<Arc<dyn VolumeBlocks>>,
    /// Micrometres per voxel.
    pub spacing: [f64; 3],
    /// Which way the axes point.
    pub orientation: Orientation,
    /// The structures in the order of their table, and what stands for them in the annotation.
    pub structures: StructureTable,
}

/// The parts of an atlas as BrainGlobe's program stores it.
///
/// Version 2: a folder with metadata.json, structures.json, annotation.tiff, and reference.tiff and hemispheres.tiff where
/// there are any; in place of TIFF the volumes may be OME-Zarr, NRRD, NIfTI or npy. Version 3: a manifest.json, the folder
/// that holds it, the folder of an atlas in `atlases` (its newest version is taken), or the store, with `name` where it
/// holds several atlases.
///
/// # Errors
/// [`Error::Io`] for files that are not there; [`Error::Format`] naming file and key; [`Error::Parameter`] for a store of
/// several atlases of which none is named.
pub fn atlas_parts(path: &Path, name: Option<&str>) -> Result<AtlasParts> {
    if !path.exists() {
        return Err(Error::io(path, "read", std::io::ErrorKind::NotFound.into()));
    }
    match within(path, name)? {
        Some(manifest) => store_parts(&manifest),
        None => of_folder(path),
    }
}

/// Opens an atlas by its parts.
///
/// # Errors
/// [`Error::Parameter`] where annotation or structures are not named, or nobody says spacing or orientation;
/// [`Error::Format`], [`Error::Data`] and [`Error::Io`] naming the file that is absent or damaged, or whose shape is not what
/// is stated.
pub fn open_atlas(parts: &AtlasParts) -> Result<AtlasFiles> {
    let Some(whole) = &parts.annotation else {
        let expected = "a folder, or an annotation with its table of structures";
        return Err(Error::parameter("atlas", expected, "neither"));
    };
    let path = whole.path.display();
    let table = parts
        .structures
        .as_ref()
        .ok_or_else(|| Error::parameter("atlas.structures", format!("a table of the structures in {path}"), "none"))?;
    let open = |volume: &AtlasVolume| {
        let options = OpenOptions {
            spacing: parts.spacing,
            orientation: parts.orientation,
            level: Some(volume.level).filter(|&level| level > 0),
            ..Default::default()
        };
        open_volume_with(&volume.path, &options)
    };
    let annotation = open(whole)?;
    let info = annotation.info();
    if info.shape[..2] != [1, 1] {
        let found = format!("{} time points of {} channels", info.shape[0], info.shape[1]);
        return Err(Error::data(DataFault::Shape, path.to_string(), "one volume of (z, y, x)", found));
    }
    if let Some(shape) = parts.shape.filter(|&shape| shape != info.space()) {
        let expected = format!("the shape that the atlas states, {shape:?}");
        return Err(Error::data(DataFault::Shape, path.to_string(), expected, format!("{:?}", info.space())));
    }
    let spacing = info.spacing.ok_or_else(|| {
        Error::parameter("atlas.spacing", format!("micrometres per voxel: {path} does not say"), "none")
    })?;
    let orientation = info.orientation.ok_or_else(|| {
        Error::parameter("atlas.orientation", format!("three letters such as asr: {path} does not say"), "none")
    })?;
    let own = || whole.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(AtlasFiles {
        name: parts.name.clone().unwrap_or_else(own),
        template: parts.template.as_ref().map(open).transpose()?,
        hemispheres: parts.hemispheres.as_ref().map(open).transpose()?,
        spacing,
        orientation,
        structures: read_structures(table)?,
        annotation,
    })
}

/// A JSON file.
pub(super) fn read_json(path: &Path) -> Result<Json> {
    let text = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
    serde_json::from_slice(&text).map_err(|error| Error::format(path, "file", "JSON", error))
}

/// The value of a key in a JSON file.
pub(super) fn value<T: serde::de::DeserializeOwned>(path: &Path, json: &Json, key: &str, expected: &str) -> Result<T> {
    let found = || json.get(key).map_or("nothing".to_string(), Json::to_string);
    json.get(key)
        .and_then(|value| serde_json::from_value(value.clone()).ok())
        .ok_or_else(|| Error::format(path, key, expected, found()))
}

/// An orientation in a JSON file.
pub(super) fn sides(path: &Path, json: &Json) -> Result<Orientation> {
    let expected = "three letters such as asr";
    let text: String = value(path, json, "orientation", expected)?;
    text.parse().map_err(|_| Error::format(path, "orientation", expected, text))
}

fn of_folder(folder: &Path) -> Result<AtlasParts> {
    let path = folder.join("metadata.json");
    let json = read_json(&path)?;
    let symmetric = json.get("symmetric").and_then(Json::as_bool).unwrap_or(false);
    // BrainGlobe's are TIFF; atlases of one's own may be any volume.
    let present = |name: &str| {
        let endings = ["tiff", "tif", "ome.zarr", "nrrd", "nii.gz", "nii", "npy"];
        endings.iter().map(|ending| folder.join(format!("{name}.{ending}"))).find(|path| path.exists())
    };
    let named = || folder.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(AtlasParts {
        name: json.get("name").and_then(Json::as_str).map(String::from).or_else(named),
        annotation: Some(present("annotation").unwrap_or_else(|| folder.join("annotation.tiff")).into()),
        template: present("reference").map(Into::into),
        hemispheres: present("hemispheres").filter(|_| !symmetric).map(Into::into),
        structures: Some(folder.join("structures.json")),
        spacing: Some(value(&path, &json, "resolution", "three lengths in micrometres")?),
        orientation: Some(sides(&path, &json)?),
        shape: json.get("shape").and_then(|shape| serde_json::from_value(shape.clone()).ok()),
    })
}
