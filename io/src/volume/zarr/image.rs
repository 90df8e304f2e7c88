//! What the metadata of an OME-Zarr says: axes, levels, spacing, channels.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use zensaibo_core::data::{Orientation, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::store;
use super::systems::{Axis, Fault, Map, list, reference};
use crate::place::{below, document, is_url, shown};
use crate::volume::OpenOptions;
use crate::volume::open::axes_of;
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
        if group.ome["scene"].is_object() {
            // Images of a scene are named where transformations between them are.
            let mut names: Vec<String> = Vec::new();
            for step in list(&group.ome["scene"]["coordinateTransformations"]) {
                for end in ["input", "output"] {
                    let name = reference(&step[end]).0.map(str::to_string);
                    names.extend(name.filter(|name| !names.contains(name)));
                }
            }
            let none = || vec!["no image, only transformations between systems".to_string()];
            return several("scene", if names.is_empty() { none() } else { names });
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

/// Where a level leads.
struct Led {
    axes: Vec<Axis>,
    map: Map,
    /// Whether systems are named: version 0.6 on.
    systems: bool,
    /// Whether the axes are those of an array and of nothing in the world.
    array: bool,
}

/// The system that the voxels of a level are in, and the way there: from 0.6 on the one that all levels lead to, unless it is one
/// of array indices and the image says how to go on to one of space; before, the axes of the image.
fn led(path: &Path, image: &Json, dataset: &Json, rank: usize) -> std::result::Result<Led, (&'static str, Fault)> {
    const STEPS: &str = "coordinateTransformations";
    let mut map = Map::identity(rank);
    let (own, wide) = (list(&dataset[STEPS]), list(&image[STEPS]));
    let systems = list(&image["coordinateSystems"]);
    if systems.is_empty() {
        // Those of the image follow those of the level.
        for step in own.iter().chain(wide) {
            map.then(path, step).map_err(|fault| (STEPS, fault))?;
        }
        let axes = list(&image["axes"]).iter().map(Axis::of).collect();
        return Ok(Led { axes, map, systems: false, array: false });
    }
    if own.len() > 1 {
        // Each would lead to a system of its own.
        return Err((STEPS, ("one transformation of a level, which may be a sequence".into(), own.len().to_string())));
    }
    for step in own {
        map.then(path, step).map_err(|fault| (STEPS, fault))?;
    }
    let target = own.first().and_then(|step| reference(&step["output"]).1);
    let named = |name: Option<&str>| systems.iter().find(|system| name.is_some() && system["name"].as_str() == name);
    let home = named(target).or(if target.is_none() { systems.first() } else { None });
    let home = home.ok_or_else(|| {
        ("coordinateSystems", (format!("one named {:?}", target.unwrap_or_default()), "none of that name".into()))
    })?;
    let axes = |system: &Json| -> Vec<Axis> { list(&system["axes"]).iter().map(Axis::of).collect() };
    let of_space = |system: &Json| axes(system).iter().any(|axis| axis.kind.as_deref() == Some("space"));
    let array = !axes(home).is_empty() && axes(home).iter().all(|axis| axis.kind.as_deref() == Some("array"));
    if array {
        let here = home["name"].as_str();
        let further = wide.iter().filter(|step| reference(&step["input"]) == (None, here)).find_map(|step| {
            let (None, name) = reference(&step["output"]) else { return None };
            Some((step, named(name).filter(|system| of_space(system))?))
        });
        if let Some((step, system)) = further {
            map.then(path, step).map_err(|fault| (STEPS, fault))?;
            return Ok(Led { axes: axes(system), map, systems: true, array: false });
        }
    }
    Ok(Led { axes: axes(home), map, systems: true, array })
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
    let (array, rank) = store::open_level(&below(path, place))?;
    let led = led(path, image, dataset, rank).map_err(|(key, (expected, found))| bad(key, &expected, found))?;
    let Led { axes, map, .. } = led;
    let axes = if axes.is_empty() && rank == 5 {
        // Versions before 0.3 had these five axes and named none.
        let named = |name: char| Axis { name: name.into(), kind: None, unit: None, side: None };
        "tczyx".chars().map(named).collect()
    } else {
        axes
    };
    if axes.len() != rank {
        let expected = format!("{rank} axes, as the array at {place} has");
        return Err(bad("multiscales/axes", &expected, format!("{}", axes.len())));
    }
    let to = map.straight().map_err(|(expected, found)| bad("coordinateTransformations", &expected, found))?.axes;
    let (scale, shift): (Vec<f64>, Vec<f64>) = to.iter().map(|&(_, scale, shift)| (scale, shift)).unzip();
    // In the order of the array, from here on.
    let axes: Vec<&Axis> = to.iter().map(|&(at, ..)| &axes[at]).collect();
    let mut order: Vec<String> = axes.iter().map(|axis| axis.letter()).collect();
    if led.array {
        // Axes that are none of the world: what they are is said by the caller, or by how many they are.
        let known = order.iter().all(|name| name.len() == 1 && "tczyx".contains(name.as_str()));
        if !known || options.axes.is_some() {
            let named = axes_of(&shown(path), rank, options.axes.as_deref())?;
            order = named.chars().map(String::from).collect();
        }
    }
    if let Some(axis) = (0..rank).find(|&axis| led.systems && "zyx".contains(&order[axis]) && scale[axis] < 0.0) {
        let expected = format!("axis {} to run on, not back", order[axis]);
        return Err(bad("coordinateTransformations", &expected, format!("{} a voxel", scale[axis])));
    }
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
