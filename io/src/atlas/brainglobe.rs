//! Stores of atlases in BrainGlobe's version 3: a manifest that names components, volumes as pyramids.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use zensaibo_core::{Error, Result};

use super::folder::{AtlasParts, AtlasVolume, read_json, sides, value};
use crate::volume::{OpenOptions, open_volume_with};

/// Names of the parts.
const TEMPLATE: &str = "template.ome.zarr";
const ANNOTATION: &str = "annotations_compressed.ome.zarr";
const HEMISPHERES: &str = "hemispheres.ome.zarr";
const TERMINOLOGY: &str = "terminology.csv";

/// The manifest of a version 3 atlas at `path`; none for a folder of version 2.
pub(super) fn within(path: &Path, name: Option<&str>) -> Result<Option<PathBuf>> {
    if path.is_file() {
        if path.file_name().is_none_or(|name| name != "manifest.json") {
            return Err(Error::format(path, "file", "a folder of an atlas or a manifest.json", "another file"));
        }
        return Ok(Some(path.to_path_buf()));
    }
    if path.join("manifest.json").exists() {
        return Ok(Some(path.join("manifest.json")));
    }
    if path.join("metadata.json").exists() {
        return Ok(None);
    }
    let mut folder = path.to_path_buf();
    if path.join("atlases").is_dir() {
        let held = folders(&path.join("atlases"))?;
        let chosen = match (name, held.as_slice()) {
            (Some(name), _) if held.iter().any(|held| held == name) => name,
            (None, [one]) => one.as_str(),
            (name, _) => {
                let expected = format!("one of the atlases in {} ({})", path.display(), held.join(", "));
                return Err(Error::parameter("name", expected, name.unwrap_or("none")));
            }
        };
        folder = path.join("atlases").join(chosen);
    }
    let mut versions: Vec<(Vec<u64>, PathBuf)> = Vec::new();
    if folder.is_dir() {
        for version in folders(&folder)? {
            let numbers: Option<Vec<u64>> = version.split('_').map(|part| part.parse().ok()).collect();
            let manifest = folder.join(&version).join("manifest.json");
            if let Some(numbers) = numbers.filter(|_| manifest.exists()) {
                versions.push((numbers, manifest));
            }
        }
    }
    match versions.into_iter().max() {
        Some((_, manifest)) => Ok(Some(manifest)),
        None => {
            let expected = "metadata.json (version 2), manifest.json (version 3) or folders of versions with one";
            Err(Error::format(&folder, "folder", expected, "none of them"))
        }
    }
}

fn folders(path: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(path).map_err(|error| Error::io(path, "read", error))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// The parts that a manifest names.
pub(super) fn store_parts(manifest: &Path) -> Result<AtlasParts> {
    let json = read_json(manifest)?;
    let whole = std::fs::canonicalize(manifest).map_err(|error| Error::io(manifest, "read", error))?;
    let Some(root) = whole.ancestors().nth(4) else {
        return Err(Error::format(
            manifest,
            "file",
            "a place in atlases/NAME/VERSION of a store",
            "no store around it",
        ));
    };
    let place = |keys: &[&str]| -> Result<PathBuf> {
        let mut at = &json;
        for key in keys {
            at = at
                .get(key)
                .ok_or_else(|| Error::format(manifest, keys.join("."), "a location", format!("no {key}")))?;
        }
        let text = at.as_str().ok_or_else(|| Error::format(manifest, keys.join("."), "a location", at))?;
        Ok(root.join(text.trim_start_matches('/')))
    };
    let spacing: [f64; 3] = value(manifest, &json, "resolution", "three lengths in micrometres")?;
    let symmetric: bool = value(manifest, &json, "symmetric", "true or false")?;
    let annotation = place(&["annotation_set", "location"])?;
    let template = place(&["annotation_set", "template", "location"])?.join(TEMPLATE);
    let named = || whole.ancestors().nth(2).and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let name = json.get("name").and_then(Json::as_str).map(String::from).or_else(named).unwrap_or_default();
    Ok(AtlasParts {
        name: Some(format!("{name}_{}um", spacing[0])),
        annotation: Some(level(annotation.join(ANNOTATION), spacing)?),
        template: if template.exists() { Some(level(template, spacing)?) } else { None },
        hemispheres: if symmetric { None } else { Some(level(annotation.join(HEMISPHERES), spacing)?) },
        structures: Some(place(&["terminology", "location"])?.join(TERMINOLOGY)),
        spacing: Some(spacing),
        orientation: Some(if json.get("orientation").is_some() { sides(manifest, &json)? } else { "asr".parse()? }),
        shape: json.get("shape").and_then(|shape| serde_json::from_value(shape.clone()).ok()),
    })
}

/// The level of a pyramid that has a spacing.
fn level(path: PathBuf, um: [f64; 3]) -> Result<AtlasVolume> {
    let (json, file) = [("zarr.json", true), (".zattrs", false)]
        .iter()
        .find(|(name, _)| path.join(name).exists())
        .map(|(name, inner)| Ok::<_, Error>((read_json(&path.join(name))?, (path.join(name), *inner))))
        .ok_or_else(|| Error::format(&path, "folder", "an OME-Zarr of the atlas", "none"))??;
    let described = if file.1 { &json["attributes"]["ome"] } else { &json };
    let levels = described["multiscales"][0]["datasets"]
        .as_array()
        .ok_or_else(|| Error::format(&file.0, "multiscales", "datasets", "none"))?;
    let mut found = Vec::new();
    for (number, dataset) in levels.iter().enumerate() {
        let options = OpenOptions { level: Some(number), ..Default::default() };
        let spacing = open_volume_with(&path, &options)?.info().spacing;
        let spacing =
            spacing.ok_or_else(|| Error::format(&path, format!("level {number}"), "a scale with a unit", "none"))?;
        if (0..3).all(|axis| (spacing[axis] / um[axis] - 1.0).abs() < 1e-4) {
            let own = path.join(dataset["path"].as_str().unwrap_or_default());
            // What was never fetched would read as zeros.
            if own.join("zarr.json").exists() && !own.join("c").exists() {
                return Err(Error::format(&own, "array", "voxels", "none (not downloaded yet?)"));
            }
            return Ok(AtlasVolume { path, level: number });
        }
        found.push(format!("{spacing:?}"));
    }
    Err(Error::format(&path, "levels", format!("one of {um:?} um"), found.join("; ")))
}
