//! What the description in a TIFF file says about its pages: ImageJ's and tifffile's. OME-XML has a file of its own.

use zensaibo_core::Result;

use super::ifd::{TiffFile, page_name};
use crate::volume::units::{micrometres, plausible};

/// How pages become a volume.
pub(super) struct Plan {
    /// Files beside the first one.
    pub(super) others: Vec<TiffFile>,
    /// Time points, channels and planes.
    pub(super) sizes: [usize; 3],
    /// File and page of each plane, time outermost, planes innermost. With several samples per page, one entry
    /// stands for that many channels.
    pub(super) pages: Vec<(u32, u32)>,
    pub(super) axes: String,
    pub(super) spacing: Option<[f64; 3]>,
    pub(super) time_step: Option<f64>,
    pub(super) channels: Vec<String>,
}

impl Plan {
    /// `sizes` along the axes of `order`, outermost first, page after page.
    pub(super) fn in_order(sizes: [usize; 3], order: &str, samples: usize) -> Self {
        let length = |axis: char| match axis {
            't' => sizes[0],
            'c' => sizes[1] / samples,
            _ => sizes[2],
        };
        let mut steps = [0usize; 3];
        let mut step = 1;
        for axis in order.chars().rev() {
            steps["tcz".find(axis).unwrap_or(2)] = step;
            step *= length(axis);
        }
        let [times, channels, planes] = ['t', 'c', 'z'].map(length);
        let mut pages = Vec::with_capacity(times * channels * planes);
        for t in 0..times {
            for c in 0..channels {
                pages.extend((0..planes).map(|z| (0, (t * steps[0] + c * steps[1] + z * steps[2]) as u32)));
            }
        }
        let mut axes = String::new();
        for (axis, &length) in "tcz".chars().zip(&sizes) {
            if length > 1 {
                axes.push(axis);
            }
        }
        axes.push_str("yx");
        Self { others: Vec::new(), sizes, pages, axes, spacing: None, time_step: None, channels: Vec::new() }
    }
}

/// ImageJ's description: lines of key=value.
pub(super) fn imagej(file: &mut TiffFile) -> Result<Plan> {
    let text = file.about.description.clone();
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.split_once('=').filter(|(name, _)| name.trim() == key))
            .map(|(_, v)| v.trim().to_string())
    };
    let number = |key: &str| value(key).and_then(|text| text.parse::<f64>().ok()).filter(|x| x.is_finite());
    let count = |key: &str| number(key).map_or(1, |x| (x as usize).max(1));
    let images = count("images");
    let samples = file.pages[0].samples;
    let mut sizes = [count("frames"), count("channels"), count("slices")];
    if samples > 1 {
        // Colours of a pixel are no channels of the stack.
        sizes[1] = samples;
    }
    let planes = |sizes: [usize; 3]| sizes[0].saturating_mul(sizes[1] / samples).saturating_mul(sizes[2]);
    if value("slices").is_none() && value("frames").is_none() && planes(sizes) != images {
        sizes[2] = images;
    }
    if planes(sizes) != images.max(1) {
        let expected = format!("{images} images, as images= says");
        let found = format!("{} time points of {} channels of {} slices", sizes[0], sizes[1], sizes[2]);
        return Err(file.fault("ImageJ description", expected, found));
    }
    one_page_for_all(file, images, "images=")?;
    if file.pages.len() != images {
        let expected = format!("{images} pages, as the ImageJ description says");
        return Err(file.fault("pages", expected, file.pages.len()));
    }
    // Channels run fastest, then slices, then frames.
    let mut plan = Plan::in_order(sizes, "tzc", samples);
    let unit = value("unit").or_else(|| value("yunit")).and_then(|unit| micrometres(&unit));
    if let (Some(unit), [Some(x), Some(y)]) = (unit, file.about.resolution) {
        let z_unit = value("zunit").and_then(|unit| micrometres(&unit)).unwrap_or(unit);
        let z = number("spacing").map(|z| z.abs() * z_unit);
        let z = if sizes[2] == 1 { z.or(Some(unit / y)) } else { z };
        plan.spacing = z.and_then(|z| plausible([z, unit / y, unit / x]));
    }
    plan.time_step = number("finterval").filter(|&step| step > 0.0);
    Ok(plan)
}

/// Files of more than 4 GB by ImageJ, and truncated ones by tifffile, describe one page and let the others follow it.
fn one_page_for_all(file: &mut TiffFile, images: usize, said: &str) -> Result<()> {
    if file.pages.len() != 1 || images <= 1 {
        return Ok(());
    }
    let first = file.pages[0].clone();
    let size = first.height * first.width * first.samples * first.dtype.size();
    let key = page_name(0);
    if first.compression != 1 || first.tiled || first.separate {
        return Err(file.fault(&key, format!("{images} pages ({said})"), "one compressed or tiled page"));
    }
    let start = first.offsets[0];
    // The strips of the described page must follow each other, as must all other pages.
    let mut at = start;
    for (&offset, &count) in first.offsets.iter().zip(&first.counts) {
        if offset != at {
            return Err(file.fault(
                &key,
                format!("{images} pages ({said}) in one piece"),
                "strips apart from each other",
            ));
        }
        at += count;
    }
    let end = (size as u64).checked_mul(images as u64).and_then(|bytes| bytes.checked_add(start));
    if end.is_none_or(|end| end > file.len) {
        let expected = format!("{images} pages of {size} bytes ({said})");
        let found = format!("{} bytes after the header (truncated?)", file.len - start);
        return Err(file.fault("pages", expected, found));
    }
    file.pages = (0..images)
        .map(|index| {
            let mut page = first.clone();
            page.unit[0] = page.height;
            page.offsets = vec![start + (index * size) as u64];
            page.counts = vec![size as u64];
            page
        })
        .collect();
    Ok(())
}

/// tifffile's description, `{"shape": [...], "axes": "..."}`; `None` where it is something else.
pub(super) fn shaped(file: &mut TiffFile, given: Option<&str>) -> Result<Option<Plan>> {
    #[derive(serde::Deserialize)]
    struct Shaped {
        shape: Vec<usize>,
        #[serde(default)]
        axes: Option<String>,
        #[serde(default)]
        truncated: bool,
    }
    let Ok(said) = serde_json::from_str::<Shaped>(&file.about.description) else { return Ok(None) };
    let page = &file.pages[0];
    let samples = page.samples;
    let mut shape = said.shape;
    // Axes of one pixel of colour stand last or, stored apart, before y and x.
    let mut axes: Option<String> = said.axes.map(|axes| axes.to_lowercase()).or_else(|| given.map(str::to_string));
    if samples > 1 {
        let at = if page.separate { shape.len().checked_sub(3) } else { shape.len().checked_sub(1) };
        let at = at.filter(|&at| shape[at] == samples);
        let Some(at) = at else { return Ok(None) };
        shape.remove(at);
        if let Some(axes) = axes.as_mut().filter(|axes| axes.chars().count() == shape.len() + 1) {
            axes.remove(at);
        }
    }
    if shape.len() < 2 || shape[shape.len() - 2..] != [page.height, page.width] {
        return Ok(None);
    }
    let outer: Vec<usize> = shape[..shape.len() - 2].to_vec();
    let images = outer.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).unwrap_or(usize::MAX);
    if said.truncated {
        one_page_for_all(file, images, "shape")?;
    }
    if images != file.pages.len() {
        let expected = format!("{images} pages for the shape {shape:?} of the description");
        return Err(file.fault("pages", expected, file.pages.len()));
    }
    let names = match axes.as_deref() {
        // "i", "q" and the like say nothing.
        Some(axes) if axes.len() == shape.len() && axes.ends_with("yx") => axes[..outer.len()].to_string(),
        _ => String::new(),
    };
    let known = names.len() == outer.len()
        && names.chars().all(|axis| "tcz".contains(axis))
        && names.chars().enumerate().all(|(at, axis)| !names[..at].contains(axis));
    let long: Vec<usize> = outer.iter().copied().filter(|&n| n > 1).collect();
    let order = if known {
        names
    } else if long.len() <= 1 {
        // One axis of pages is z unless someone says otherwise.
        "z".into()
    } else {
        let expected =
            format!("axes to be given for the shape {shape:?} (such as \"tzyx\" or \"czyx\"), for the file names none");
        return Err(file.fault("axes", expected, axes.unwrap_or_else(|| "nothing".into())));
    };
    let outer = if order == "z" { vec![images] } else { outer };
    let length = |axis: char| order.find(axis).map_or(1, |at| outer[at]);
    let sizes = [length('t'), length('c') * samples, length('z')];
    if samples > 1 && length('c') > 1 {
        return Err(file.fault("axes", "channels or colours", "both"));
    }
    Ok(Some(Plan::in_order(sizes, &order, samples)))
}

/// No description: pages are planes, or what `given` says of one axis.
pub(super) fn plain(file: &TiffFile, given: Option<&str>) -> Plan {
    let samples = file.pages[0].samples;
    let axis = given.and_then(|axes| axes.chars().find(|axis| "tcz".contains(*axis))).unwrap_or('z');
    let count = file.pages.len();
    let sizes = match axis {
        't' => [count, samples, 1],
        'c' => [1, count * samples, 1],
        _ => [1, samples, count],
    };
    Plan::in_order(sizes, &axis.to_string(), samples)
}
