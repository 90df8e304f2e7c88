//! BigDataViewer's XML: which set-ups and time points there are, how large their voxels are, and where the voxels lie.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use roxmltree::{Document, Node};
use zensaibo_core::data::{Dtype, VolumeBlocks, VolumeInfo};
use zensaibo_core::{Error, Result};

use super::units::{micrometres, plausible};
use super::{OpenOptions, hdf5, n5};
use crate::h5::H5File;

/// One view set-up: a channel, or a tile, angle or illumination.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) id: usize,
    pub(super) name: String,
    /// Voxels along z, y and x.
    pub(super) size: Option<[usize; 3]>,
    /// Micrometres per voxel of the full resolution.
    pub(super) spacing: Option<[f64; 3]>,
    pub(super) channel: Option<String>,
    /// The other attributes: tile, angle, illumination.
    pub(super) others: Vec<(String, String)>,
}

/// Whether a text begins a BDV document.
pub(super) fn is_bdv(start: &[u8]) -> bool {
    let text = String::from_utf8_lossy(start);
    text.trim_start_matches('\u{feff}').trim_start().starts_with('<') && text.contains("<SpimData")
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.tag_name().name() == name)
}

fn text<'a>(node: Node<'a, 'a>, name: &str) -> Option<&'a str> {
    child(node, name).and_then(|child| child.text()).map(str::trim)
}

/// "x y z" as (z, y, x).
fn three<T: std::str::FromStr + Copy>(text: &str) -> Option<[T; 3]> {
    let all: Vec<T> = text.split_whitespace().map(|n| n.parse().ok()).collect::<Option<_>>()?;
    <[T; 3]>::try_from(all).ok().map(|[x, y, z]| [z, y, x])
}

/// The set-ups of an element ViewSetups.
pub(super) fn setups(path: &Path, views: Node<'_, '_>) -> Result<Vec<Setup>> {
    let bad = |key: &str, expected: &str, found: String| Error::format(path, key, expected, found);
    let mut setups = Vec::new();
    for node in views.children().filter(|node| node.tag_name().name() == "ViewSetup") {
        let id =
            text(node, "id").and_then(|id| id.parse().ok()).ok_or_else(|| bad("ViewSetup", "an id", "none".into()))?;
        let voxel = child(node, "voxelSize");
        let unit = voxel.and_then(|voxel| text(voxel, "unit")).and_then(micrometres);
        let spacing = voxel.and_then(|voxel| text(voxel, "size")).and_then(three::<f64>);
        let mut setup = Setup {
            id,
            name: text(node, "name").unwrap_or_default().to_string(),
            size: text(node, "size").and_then(three::<usize>),
            spacing: unit.zip(spacing).and_then(|(unit, spacing)| plausible(spacing.map(|x| x * unit))),
            channel: None,
            others: Vec::new(),
        };
        for attribute in child(node, "attributes").into_iter().flat_map(|node| node.children()).filter(Node::is_element)
        {
            let value = attribute.text().unwrap_or_default().trim().to_string();
            match attribute.tag_name().name() {
                "channel" => setup.channel = Some(value),
                other => setup.others.push((other.to_string(), value)),
            }
        }
        setups.push(setup);
    }
    Ok(setups)
}

/// Opens the volume that an XML describes.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let content = fs::read_to_string(path).map_err(|error| Error::io(path, "read", error))?;
    let bad = |key: &str, expected: &str, found: String| Error::format(path, key, expected, found);
    let document = Document::parse(&content).map_err(|error| bad("document", "well-formed XML", error.to_string()))?;
    let need = |node: Option<Node<'_, '_>>, name: &str| -> Result<()> {
        if node.is_some() { Ok(()) } else { Err(bad("SpimData", &format!("an element {name}"), "none".into())) }
    };
    let sequence = child(document.root_element(), "SequenceDescription");
    need(sequence, "SequenceDescription")?;
    let loader = sequence.and_then(|node| child(node, "ImageLoader"));
    need(loader, "ImageLoader")?;
    let views = sequence.and_then(|node| child(node, "ViewSetups"));
    need(views, "ViewSetups")?;
    let (Some(sequence), Some(loader), Some(views)) = (sequence, loader, views) else {
        return Err(Error::Internal("an element that was there".into()));
    };
    let setups = setups(path, views)?;
    let times = child(sequence, "Timepoints");
    let times: Vec<usize> = match times.and_then(|node| node.attribute("type")) {
        Some("range") => {
            let number = |name| times.and_then(|node| text(node, name)).and_then(|n| n.parse::<usize>().ok());
            let (first, last) = (number("first").unwrap_or(0), number("last").unwrap_or(0));
            if last < first || last - first > 1 << 24 {
                return Err(bad("Timepoints", "a first one and a last one", format!("{first} and {last}")));
            }
            (first..=last).collect()
        }
        Some("pattern") => {
            let pattern = times.and_then(|node| text(node, "integerpattern")).unwrap_or_default();
            let list: Option<Vec<usize>> = pattern
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| part.parse().ok())
                .collect();
            list.filter(|list| !list.is_empty())
                .ok_or_else(|| bad("Timepoints", "numbers apart by commas", pattern.into()))?
        }
        Some("list") => {
            let nodes =
                times.into_iter().flat_map(|node| node.children()).filter(|node| node.tag_name().name() == "Timepoint");
            nodes.filter_map(|node| text(node, "id")?.parse().ok()).collect()
        }
        _ => vec![0],
    };
    if sequence
        .children()
        .any(|node| node.tag_name().name() == "MissingViews" && node.children().any(|view| view.is_element()))
    {
        return Err(bad("MissingViews", "every set-up at every time point", "missing views".into()));
    }
    let format = loader.attribute("format").unwrap_or_default();
    let place = |name: &str| {
        let node = child(loader, name)?;
        let value = Path::new(node.text()?.trim());
        let relative = node.attribute("type") != Some("absolute");
        Some(if relative { path.parent().unwrap_or(Path::new("")).join(value) } else { value.to_path_buf() })
    };
    match format {
        "bdv.hdf5" => {
            let data = place("hdf5").ok_or_else(|| bad("ImageLoader", "an element hdf5", "none".into()))?;
            hdf5::bdv_frames(&H5File::open(&data)?, path, &setups, &times, options)
        }
        "bdv.n5" => {
            let data = place("n5").ok_or_else(|| bad("ImageLoader", "an element n5", "none".into()))?;
            n5::bdv_frames(&data, path, &setups, &times, options)
        }
        other => Err(bad("ImageLoader", "the format bdv.hdf5 or bdv.n5", other.into())),
    }
}

/// The set-ups that are channels of one volume: all of them where they differ in their channel alone, else the chosen.
fn channels(path: &Path, setups: &[Setup], options: &OpenOptions) -> Result<Vec<Setup>> {
    let names = || setups.iter().map(|setup| format!("{}: {}", setup.id, setup.name)).collect::<Vec<_>>().join(", ");
    if let Some(series) = options.series {
        let found = setups.iter().find(|setup| setup.id == series);
        let found = found.ok_or_else(|| Error::parameter("series", format!("one of {}", names()), series))?;
        return Ok(vec![found.clone()]);
    }
    let Some(first) = setups.first() else {
        return Err(Error::format(path, "set-ups", "at least one", "none"));
    };
    let alike = setups
        .iter()
        .all(|setup| setup.others == first.others && setup.size == first.size && setup.spacing == first.spacing);
    let mut channels: Vec<&Option<String>> = setups.iter().map(|setup| &setup.channel).collect();
    channels.sort();
    channels.dedup();
    if setups.len() > 1 && !(alike && channels.len() == setups.len()) {
        let expected = "set-ups that differ in their channel alone, or `series` to choose one (by id)";
        return Err(Error::format(path, "set-ups", expected, names()));
    }
    Ok(setups.to_vec())
}

/// Where the arrays of set-ups at time points lie: one level of one view is one array.
pub(super) trait Views {
    /// An array that was opened.
    type Array;
    /// Whether there is such a level.
    fn has(&self, time: usize, setup: &Setup, level: usize) -> bool;
    /// Opens it.
    fn open(&self, time: usize, setup: &Setup, level: usize) -> Result<Self::Array>;
    /// Its type, and its voxels along z, y and x if it has three dimensions.
    fn of(array: &Self::Array) -> (Dtype, Option<[usize; 3]>);
}

/// The volume of set-ups (as channels) over time points: what it is, and its arrays, time points outermost.
pub(super) fn gather<V: Views>(
    views: &V,
    name: &Path,
    setups: &[Setup],
    times: &[usize],
    options: &OpenOptions,
) -> Result<(VolumeInfo, Vec<V::Array>)> {
    let chosen = channels(name, setups, options)?;
    let level = options.level.unwrap_or(0);
    let mut arrays = Vec::new();
    for &time in times {
        for setup in &chosen {
            if level > 0 && !views.has(time, setup, level) {
                let count = (0..).take_while(|&at| views.has(time, setup, at)).count();
                return Err(Error::parameter("level", format!("0..{count} in {}", name.display()), level));
            }
            arrays.push(views.open(time, setup, level)?);
        }
    }
    let Some((dtype, Some(space))) = arrays.first().map(V::of) else {
        return Err(Error::format(name, "set-ups", "arrays of three dimensions", format!("{} arrays", arrays.len())));
    };
    let mut info = VolumeInfo::plain(name.display().to_string(), space, dtype);
    info.shape = [times.len(), chosen.len(), space[0], space[1], space[2]];
    info.axes = super::open::axes_over(times.len(), chosen.len());
    describe(&mut info, &chosen, level);
    Ok((info, arrays))
}

/// Adds what the set-ups say. The size of coarser voxels follows from how many there are.
fn describe(info: &mut VolumeInfo, setups: &[Setup], level: usize) {
    let first = &setups[0];
    info.spacing = first.spacing;
    if level > 0 {
        let full = first.spacing.zip(first.size);
        info.spacing = full.and_then(|(spacing, size)| {
            // Levels shrink by whole factors, rounded up at the end.
            plausible(std::array::from_fn(|a| {
                spacing[a] * (size[a] as f64 / info.shape[a + 2] as f64).round().max(1.0)
            }))
        });
    }
    if setups.iter().any(|setup| !setup.name.is_empty()) {
        info.channels = setups.iter().map(|setup| setup.name.clone()).collect();
    }
}
