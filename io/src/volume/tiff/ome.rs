//! OME-XML: which page holds which plane, and what is known of the image.

use std::collections::BTreeMap;
use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};
use zensaibo_core::{Error, Result};

use super::describe::Plan;
use super::ifd::TiffFile;
use crate::volume::units::{micrometres, plausible, seconds};

/// Whether a description is OME-XML.
pub(super) fn is_ome(description: &str) -> bool {
    description.contains("<OME") || description.contains(":OME ")
}

fn parse(text: &str) -> std::result::Result<Document<'_>, roxmltree::Error> {
    Document::parse_with_options(text, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() })
}

fn children<'a>(node: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

/// Reads the description of the first page; opens further files that it names. `series` picks one of several images.
pub(super) fn plan(file: &mut TiffFile, series: Option<usize>) -> Result<Plan> {
    let text = file.about.description.clone();
    let path = file.path.clone();
    let bad =
        |what: &str, expected: &str, found: String| Error::format(&path, format!("OME-XML, {what}"), expected, found);
    let document = parse(&text).map_err(|error| bad("document", "well-formed XML", error.to_string()))?;
    let root = document.root_element();
    if let Some(only) = children(root, "BinaryOnly").next() {
        let place = only.attribute("MetadataFile").unwrap_or("another file");
        return Err(bad("BinaryOnly", "the description of the planes", format!("a pointer to {place}: open that one")));
    }
    let images: Vec<Node> = children(root, "Image").collect();
    let names: Vec<String> = images
        .iter()
        .enumerate()
        .map(|(at, image)| format!("{at}: {}", image.attribute("Name").or(image.attribute("ID")).unwrap_or("unnamed")))
        .collect();
    let chosen = match (series, images.len()) {
        (_, 0) => return Err(bad("Image", "an image", "none".into())),
        (None, 1) => 0,
        (None, _) => {
            return Err(bad(
                "Image",
                "one image, or `series` to choose one",
                format!("{} ({})", images.len(), names.join(", ")),
            ));
        }
        (Some(at), count) if at < count => at,
        (Some(at), count) => return Err(Error::parameter("series", format!("0..{count} ({})", names.join(", ")), at)),
    };
    let pixels = children(images[chosen], "Pixels").next().ok_or_else(|| bad("Pixels", "an element", "none".into()))?;
    let size = |name: &'static str| {
        let found = pixels.attribute(name).unwrap_or("nothing");
        found
            .parse::<usize>()
            .ok()
            .filter(|&n| n > 0 && n < 1 << 31)
            .ok_or_else(|| bad(name, "a length of at least 1", found.to_string()))
    };
    let [width, height] = [size("SizeX")?, size("SizeY")?];
    let sizes = [size("SizeT")?, size("SizeC")?, size("SizeZ")?];
    let order = pixels.attribute("DimensionOrder").unwrap_or("XYZCT").to_lowercase();
    let order: String = order.strip_prefix("xy").unwrap_or_default().to_string();
    if order.len() != 3 || "tcz".chars().any(|axis| !order.contains(axis)) {
        return Err(bad("DimensionOrder", "XY and an order of Z, C and T", order));
    }

    // Colours of a page are channels that lie together.
    let mut samples = 1;
    let blocks: Vec<Node> = children(pixels, "TiffData").collect();
    let mut files: Vec<TiffFile> = Vec::new();
    let mut by_name: BTreeMap<String, u32> = BTreeMap::new();
    let own_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let own_uuid = root.attribute("UUID").map(str::to_string);
    by_name.insert(own_name, 0);
    let mut first_page: Option<(u32, u32)> = None;
    let mut found: Vec<(u32, u32, [usize; 3], Option<usize>)> = Vec::new();
    for block in &blocks {
        let number = |name: &str| block.attribute(name).and_then(|text| text.parse::<usize>().ok());
        let uuid = children(*block, "UUID").next();
        let source = match uuid {
            Some(node) if node.text().map(str::trim) != own_uuid.as_deref() || own_uuid.is_none() => {
                match node.attribute("FileName") {
                    Some(name) if by_name.contains_key(name) => by_name[name],
                    Some(name) => {
                        let beside = path.parent().unwrap_or(Path::new("")).join(name);
                        files.push(TiffFile::open(&beside)?);
                        by_name.insert(name.to_string(), files.len() as u32);
                        files.len() as u32
                    }
                    None => 0,
                }
            }
            _ => 0,
        };
        let from = [number("FirstT").unwrap_or(0), number("FirstC").unwrap_or(0), number("FirstZ").unwrap_or(0)];
        // Without a count, one page if a page is named, else all of them.
        let count = number("PlaneCount").or(number("IFD").map(|_| 1));
        let page = number("IFD").unwrap_or(0) as u32;
        first_page = first_page.or(Some((source, page)));
        found.push((source, page, from, count));
    }
    if found.is_empty() {
        found.push((0, 0, [0; 3], None));
    }
    if let Some((source, page)) = first_page.or(Some((0, 0))) {
        let holder = if source == 0 { &*file } else { &files[source as usize - 1] };
        let Some(page) = holder.pages.get(page as usize) else {
            return Err(Error::format(
                &holder.path,
                format!("page {page}"),
                "a page that the OME-XML names",
                format!("{} pages", holder.pages.len()),
            ));
        };
        samples = page.samples;
        if (page.height, page.width) != (height, width) {
            return Err(bad(
                "Pixels",
                &format!("{} x {} as its pages", page.height, page.width),
                format!("{height} x {width}"),
            ));
        }
    }
    if sizes[1] % samples != 0 {
        return Err(bad("SizeC", &format!("a multiple of the {samples} samples of a page"), sizes[1].to_string()));
    }
    let lengths = [sizes[0], sizes[1] / samples, sizes[2]];
    let planes = lengths.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).filter(|&n| n < 1 << 31);
    let planes = planes.ok_or_else(|| bad("Pixels", "a number of planes that can be held", format!("{sizes:?}")))?;
    let mut pages: Vec<Option<(u32, u32)>> = vec![None; planes];
    for (source, page, from, count) in found {
        let mut at = [from[0], from[1] / samples, from[2]];
        for step in 0..count.unwrap_or(planes) as u32 {
            if (0..3).any(|axis| at[axis] >= lengths[axis]) {
                break;
            }
            pages[(at[0] * lengths[1] + at[1]) * lengths[2] + at[2]] = Some((source, page + step));
            // On to the next plane, the first axis of the order running fastest.
            for axis in order.chars().map(|axis| "tcz".find(axis).unwrap_or(2)) {
                at[axis] += 1;
                if at[axis] < lengths[axis] {
                    break;
                }
                if Some(axis) != order.chars().last().and_then(|axis| "tcz".find(axis)) {
                    at[axis] = 0;
                }
            }
        }
    }
    for (index, page) in pages.iter().enumerate() {
        let (z, c, t) = (index % lengths[2], index / lengths[2] % lengths[1], index / lengths[2] / lengths[1]);
        let key = format!("plane t={t}, c={}, z={z}", c * samples);
        match page {
            None => return Err(bad(&key, "a page that holds it", "none".into())),
            Some((source, page)) => {
                let holder = if *source == 0 { &*file } else { &files[*source as usize - 1] };
                if holder.pages.len() <= *page as usize {
                    let found = format!("{} pages (truncated?)", holder.pages.len());
                    return Err(Error::format(&holder.path, key, format!("it on page {page}"), found));
                }
            }
        }
    }
    let mut plan = Plan::in_order(sizes, &order.chars().rev().collect::<String>(), samples);
    plan.pages = pages.into_iter().flatten().collect();
    plan.others = files;
    let length = |name: &str, unit: &str| {
        let value = pixels.attribute(name)?.parse::<f64>().ok().filter(|x| x.is_finite())?;
        Some(value * micrometres(pixels.attribute(unit).unwrap_or("um"))?)
    };
    let [z, y, x] = [
        ("PhysicalSizeZ", "PhysicalSizeZUnit"),
        ("PhysicalSizeY", "PhysicalSizeYUnit"),
        ("PhysicalSizeX", "PhysicalSizeXUnit"),
    ]
    .map(|(name, unit)| length(name, unit));
    // A single plane has no distance to the next one.
    let z = if sizes[2] == 1 { z.or(y) } else { z };
    if let (Some(z), Some(y), Some(x)) = (z, y, x) {
        plan.spacing = plausible([z, y, x]);
    }
    plan.time_step = pixels
        .attribute("TimeIncrement")
        .and_then(|text| text.parse::<f64>().ok())
        .and_then(|value| Some(value * seconds(pixels.attribute("TimeIncrementUnit").unwrap_or("s"))?))
        .filter(|&step| step > 0.0 && step.is_finite());
    let channels: Vec<String> =
        children(pixels, "Channel").map(|channel| channel.attribute("Name").unwrap_or_default().to_string()).collect();
    if channels.len() == sizes[1] && channels.iter().any(|name| !name.is_empty()) {
        plan.channels = channels;
    }
    Ok(plan)
}

/// Where each image of a file lies, in micrometres (z, y, x) of its first plane: PositionX and its like. Numbers without a
/// unit are micrometres. Empty where the file has no OME-XML.
pub(in crate::volume) fn positions(path: &Path) -> Result<Vec<Option<[f64; 3]>>> {
    let file = TiffFile::open(path)?;
    let text = &file.about.description;
    if !is_ome(text) {
        return Ok(Vec::new());
    }
    let bad = |error: roxmltree::Error| Error::format(path, "OME-XML, document", "well-formed XML", error.to_string());
    let document = parse(text).map_err(bad)?;
    let of = |image: Node<'_, '_>| -> Option<[f64; 3]> {
        let pixels = image.children().find(|child| child.tag_name().name() == "Pixels")?;
        let index = |plane: &Node<'_, '_>| {
            ["TheT", "TheC", "TheZ"].map(|name| plane.attribute(name).and_then(|n| n.parse::<usize>().ok()))
        };
        let plane = pixels.children().filter(|child| child.tag_name().name() == "Plane").min_by_key(index)?;
        let length = |name: &str, size: &str| {
            let value = plane.attribute(name)?.parse::<f64>().ok().filter(|x| x.is_finite())?;
            let unit = plane.attribute(format!("{name}Unit").as_str()).unwrap_or("um");
            let voxel = || {
                let unit = micrometres(pixels.attribute(format!("{size}Unit").as_str()).unwrap_or("um"))?;
                Some(pixels.attribute(size)?.parse::<f64>().ok()? * unit)
            };
            let scale = match unit {
                "pixel" => voxel().unwrap_or(1.0),
                // An unnamed unit of the stage.
                "reference frame" => 1.0,
                other => micrometres(other)?,
            };
            Some(value * scale)
        };
        let z = length("PositionZ", "PhysicalSizeZ").unwrap_or(0.0);
        Some([z, length("PositionY", "PhysicalSizeY")?, length("PositionX", "PhysicalSizeX")?])
    };
    Ok(document.root_element().children().filter(|node| node.tag_name().name() == "Image").map(of).collect())
}
