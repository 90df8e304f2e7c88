//! What the metadata of an OME-Zarr says: axes, levels, spacing, channels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use zensaibo_core::data::{Orientation, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::store;
use crate::place::{below, document, is_url, shown};
use crate::volume::OpenOptions;
use crate::volume::units::{micrometres, plausible, seconds};

/// What a folder is to Zarr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::volume) enum Node {
    Group,
    Array,
}

fn json(folder: &Path, name: &str) -> Result<Option<Json>> {
    let found = document(folder, name)?.map(|text| serde_json::from_slice(&text)).transpose();
    found.map_err(|error| Error::format(folder.join(name), "document", "well-formed JSON", error))
}

impl Node {
    /// Looks at a folder; `None` when it is no Zarr.
    pub(in crate::volume) fn of(path: &Path) -> Option<Self> {
        if path.join(".zarray").is_file() {
            return Some(Self::Array);
        }
        if path.join("zarr.json").is_file() {
            let kind = json(path, "zarr.json").ok().flatten();
            let kind = kind.as_ref().and_then(|json| json["node_type"].as_str().map(str::to_string));
            return Some(if kind.as_deref() == Some("array") { Self::Array } else { Self::Group });
        }
        (path.join(".zgroup").is_file() || path.join(".zattrs").is_file()).then_some(Self::Group)
    }

    /// The same for what a URL leads to.
    ///
    /// # Errors
    /// [`Error::Io`] when the server does not let it be read.
    #[cfg(feature = "remote")]
    pub(in crate::volume) fn of_url(url: &Path) -> Result<Option<Self>> {
        let Some(folder) = crate::remote::Folder::open(url)? else { return Ok(None) };
        let document = |name: &str| folder.document(name).map_err(|fault| fault.to_error());
        if document(".zarray")?.is_some() {
            return Ok(Some(Self::Array));
        }
        let root = document("zarr.json")?.and_then(|text| serde_json::from_slice::<Json>(&text).ok());
        let is_array = root.is_some_and(|root| root["node_type"] == "array");
        Ok(Some(if is_array { Self::Array } else { Self::Group }))
    }
}

/// Metadata of a group: where it stands, and the block that OME-NGFF speaks of.
struct Group {
    /// The file that holds it, for messages.
    file: PathBuf,
    attributes: Json,
    /// `attributes.ome` from version 0.5 on, all attributes before.
    ome: Json,
}

fn group(path: &Path) -> Result<Group> {
    let v3 = shown(path).join("zarr.json");
    if let Some(document) = json(path, "zarr.json")? {
        let attributes = document["attributes"].clone();
        let ome = if attributes["ome"].is_object() { attributes["ome"].clone() } else { attributes.clone() };
        return Ok(Group { file: v3, attributes, ome });
    }
    let file = shown(path).join(".zattrs");
    let attributes = json(path, ".zattrs")?.unwrap_or(Json::Null);
    Ok(Group { ome: attributes.clone(), attributes, file })
}

fn list(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

/// Opens an OME-Zarr image, or a plain array.
pub(in crate::volume) fn open(path: &Path, node: Node, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    if node == Node::Array {
        if let Some(level) = options.level.filter(|&level| level > 0) {
            return Err(Error::parameter("level", "0 for a single array", level));
        }
        if let Some(series) = options.series.filter(|&series| series > 0) {
            return Err(Error::parameter("series", "0 for a single array", series));
        }
        return store::open_array(path, options.axes.as_deref());
    }
    let group = group(path)?;
    let several = |what: &str, names: Vec<String>| {
        let expected = "one image; open one of those that it holds";
        let shown = names.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
        let more = if names.len() > 20 { format!(", ... ({} in all)", names.len()) } else { String::new() };
        Err(Error::format(path, what, expected, format!("{shown}{more}")))
    };
    let images = list(&group.ome["multiscales"]);
    if images.is_empty() {
        let paths = |list: &[Json]| -> Vec<String> {
            list.iter().filter_map(|item| item.as_str().or(item["path"].as_str())).map(str::to_string).collect()
        };
        if group.ome["plate"].is_object() {
            let mut names = Vec::new();
            for well in paths(list(&group.ome["plate"]["wells"])) {
                let fields = self::group(&below(path, &well))?;
                let fields = paths(list(&fields.ome["well"]["images"]));
                if fields.is_empty() {
                    names.push(well);
                } else {
                    names.extend(fields.iter().map(|field| format!("{well}/{field}")));
                }
            }
            return several("plate of wells", names);
        }
        if group.ome["well"].is_object() {
            return several("well of images", paths(list(&group.ome["well"]["images"])));
        }
        let labels = paths(list(&group.ome["labels"]));
        if !labels.is_empty() {
            return several("group of labels", labels);
        }
        if !group.ome["bioformats2raw.layout"].is_null() || !group.attributes["bioformats2raw.layout"].is_null() {
            let mut names = series_in(path)?;
            names.sort_by(|a, b| crate::volume::natural::compare(a, b));
            let chosen = match options.series {
                Some(series) => names.iter().find(|name| **name == series.to_string()),
                None if names.len() == 1 => names.first(),
                None => None,
            };
            return match chosen {
                Some(name) => {
                    let inner = OpenOptions { series: None, ..options.clone() };
                    open(&below(path, name), Node::Group, &inner)
                }
                None => several("series", names),
            };
        }
        let present: Vec<String> = group.ome.as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
        return Err(Error::format(
            &group.file,
            "attributes",
            "`multiscales` of an OME-Zarr image",
            format!("{present:?}"),
        ));
    }
    let chosen = options.series.unwrap_or(0);
    let Some(image) = images.get(chosen) else {
        return Err(Error::parameter("series", format!("0..{} in {}", images.len(), path.display()), chosen));
    };
    multiscale(path, &group, image, options)
}

/// Names of the images of a collection, which are numbers from 0 on.
fn series_in(path: &Path) -> Result<Vec<String>> {
    if !is_url(path) {
        let entries = std::fs::read_dir(path).map_err(|error| Error::io(path, "read", error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        return Ok(names.filter(|name| name.chars().all(|c| c.is_ascii_digit())).collect());
    }
    // A web server lists nothing: they are asked for one after the other.
    let mut names = Vec::new();
    loop {
        let name = names.len().to_string();
        let folder = below(path, &name);
        if json(&folder, "zarr.json")?.is_none() && json(&folder, ".zattrs")?.is_none() {
            return Ok(names);
        }
        names.push(name);
    }
}

/// An axis, as the metadata describes it.
struct Axis {
    name: String,
    unit: Option<String>,
    /// The side where index 0 lies, as a word.
    side: Option<String>,
}

fn axis(json: &Json) -> Axis {
    let text = |key: &str| json[key].as_str().map(str::to_string);
    let side = json["orientation"]["value"].as_str().or(json["orientation"].as_str());
    Axis {
        name: json.as_str().map(str::to_string).or_else(|| text("name")).unwrap_or_default(),
        unit: text("unit"),
        side: side.and_then(|value| value.split("-to-").next()).map(str::to_string),
    }
}

/// Name of the system that `input` or `output` of a transformation points at: a string, or an object from 0.6 on.
fn system(json: &Json) -> Option<&str> {
    json.as_str().or(json["name"].as_str())
}

fn multiscale(path: &Path, group: &Group, image: &Json, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let bad = |key: &str, expected: &str, found: String| Error::format(&group.file, key, expected, found);
    let datasets = list(&image["datasets"]);
    let level = options.level.unwrap_or(0);
    let Some(dataset) = datasets.get(level) else {
        if datasets.is_empty() {
            return Err(bad("multiscales/datasets", "at least one level", "none".into()));
        }
        return Err(Error::parameter("level", format!("0..{} in {}", datasets.len(), path.display()), level));
    };
    let place = dataset["path"]
        .as_str()
        .ok_or_else(|| bad("multiscales/datasets/path", "a path", dataset["path"].to_string()))?;
    if Path::new(place)
        .components()
        .any(|part| !matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
    {
        return Err(bad("multiscales/datasets/path", "a path inside the image", place.into()));
    }
    let systems = list(&image["coordinateSystems"]);
    let axes: Vec<Axis> = if systems.is_empty() {
        list(&image["axes"]).iter().map(axis).collect()
    } else {
        // The system that the levels lead to.
        let target = list(&dataset["coordinateTransformations"]).first().and_then(|step| system(&step["output"]));
        let own = systems.iter().find(|system| target.is_some() && system["name"].as_str() == target);
        let own = own.or(if target.is_none() { systems.first() } else { None });
        let own =
            own.ok_or_else(|| bad("coordinateSystems", &format!("one named {target:?}"), "none of that name".into()))?;
        list(&own["axes"]).iter().map(axis).collect()
    };
    let (array, rank) = store::open_level(&below(path, place))?;
    let axes = if axes.is_empty() && rank == 5 {
        // Versions before 0.3 had these five axes and named none.
        "tczyx".chars().map(|name| Axis { name: name.into(), unit: None, side: None }).collect()
    } else {
        axes
    };
    if axes.len() != rank {
        let expected = format!("{rank} axes, as the array at {place} has");
        return Err(bad("multiscales/axes", &expected, format!("{}", axes.len())));
    }
    let mut scale = vec![1.0f64; rank];
    let mut shift = vec![0.0f64; rank];
    let mut steps: Vec<&Json> = list(&dataset["coordinateTransformations"]).iter().collect();
    if systems.is_empty() {
        // Those of the image follow those of the level; from 0.6 on they lead to further systems and are no part of it.
        steps.extend(list(&image["coordinateTransformations"]));
    }
    for step in steps {
        apply(step, &mut scale, &mut shift, 0)
            .map_err(|(expected, found)| bad("coordinateTransformations", &expected, found))?;
    }
    let order: Vec<String> = axes.iter().map(|axis| axis.name.to_lowercase()).collect();
    let mut info = array.info(&order)?;
    info.name = shown(path).display().to_string();
    let at = |name: &str| order.iter().position(|axis| axis == name);
    let length = |name: &str| {
        let at = at(name)?;
        Some((at, axes[at].unit.as_deref().and_then(micrometres)?))
    };
    let spacing = ["z", "y", "x"].map(|name| length(name).map(|(at, unit)| scale[at] * unit));
    if let [z, Some(y), Some(x)] = spacing {
        // Planes without a z axis have no distance to the next one.
        let z = if at("z").is_none() { Some(y) } else { z };
        info.spacing = z.and_then(|z| plausible([z, y, x]));
        if info.spacing.is_some() {
            info.origin = ["z", "y", "x"].map(|name| length(name).map_or(0.0, |(at, unit)| shift[at] * unit));
        }
    }
    if let Some(time) = at("t") {
        let unit = axes[time].unit.as_deref().and_then(seconds);
        info.time_step = unit.map(|unit| unit * scale[time]).filter(|&step| step > 0.0 && step.is_finite());
    }
    let sides: Option<String> = ["z", "y", "x"]
        .iter()
        .map(|name| match axes[at(name)?].side.as_deref()? {
            "dorsal" => Some('s'),
            "ventral" => Some('i'),
            side => side.chars().next().filter(|letter| "asilpr".contains(*letter)),
        })
        .collect();
    let said = sides.or_else(|| group.attributes["zensaibo"]["orientation"].as_str().map(str::to_string));
    info.orientation = said.and_then(|text| text.parse::<Orientation>().ok());
    let omero = if group.ome["omero"].is_object() { &group.ome["omero"] } else { &group.attributes["omero"] };
    let channels: Vec<String> = list(&omero["channels"])
        .iter()
        .map(|channel| channel["label"].as_str().unwrap_or_default().to_string())
        .collect();
    if channels.len() == info.shape[1] && channels.iter().any(|name| !name.is_empty()) {
        info.channels = channels;
    }
    array.volume(info, &order)
}

/// Adds one transformation to what was there: identity, scale, translation, or a sequence of them.
fn apply(step: &Json, scale: &mut [f64], shift: &mut [f64], depth: usize) -> std::result::Result<(), (String, String)> {
    let kind = step["type"].as_str().unwrap_or("nothing");
    let numbers = |key: &str| -> std::result::Result<Vec<f64>, (String, String)> {
        let found: Vec<f64> = list(&step[key]).iter().filter_map(Json::as_f64).collect();
        if found.len() == scale.len() && found.iter().all(|x| x.is_finite()) {
            return Ok(found);
        }
        Err((format!("{} numbers for `{key}`", scale.len()), step[key].to_string()))
    };
    match kind {
        "identity" => {}
        "scale" => {
            let factors = numbers("scale")?;
            for axis in 0..scale.len() {
                scale[axis] *= factors[axis];
                shift[axis] *= factors[axis];
            }
        }
        "translation" => {
            let by = numbers("translation")?;
            shift.iter_mut().zip(by).for_each(|(shift, by)| *shift += by);
        }
        "sequence" if depth < 8 => {
            for inner in list(&step["transformations"]) {
                apply(inner, scale, shift, depth + 1)?;
            }
        }
        other => return Err(("identity, scale, translation, or a sequence of them".into(), other.into())),
    }
    Ok(())
}

/// Levels of an image, finest first: their paths. For reports.
pub(super) fn level_paths(path: &Path) -> Result<Vec<String>> {
    let group = group(path)?;
    let image = list(&group.ome["multiscales"]).first().cloned().unwrap_or(Json::Null);
    Ok(list(&image["datasets"]).iter().filter_map(|dataset| dataset["path"].as_str().map(str::to_string)).collect())
}

/// The block that OME-NGFF speaks of, and its version, of a group that lies there.
pub(super) fn ome_block(path: &Path) -> Result<(Json, bool)> {
    let v3 = path.join("zarr.json").is_file();
    Ok((group(path)?.ome, v3))
}

/// Shape along the axes, for plain information.
pub(super) fn spaced(info: &VolumeInfo) -> [f64; 3] {
    info.spacing.unwrap_or([1.0; 3])
}
