//! A folder of planes, one TIFF file each, in the order in which people count.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use zensaibo_core::data::VolumeBlocks;
use zensaibo_core::{Error, Result};

use super::describe::Plan;
use super::ifd::TiffFile;
use crate::volume::OpenOptions;
use crate::volume::natural::{Part, compare, parts};

/// The TIFF files of a folder, in natural order.
fn planes(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |error| Error::io(folder, "read", error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let lower = name.to_lowercase();
        // Names with a dot in front are the system's own.
        if !name.starts_with('.') && (lower.ends_with(".tif") || lower.ends_with(".tiff")) && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort_by(|a, b| compare(a, b));
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether a folder holds TIFF files.
pub(in crate::volume) fn holds_planes(folder: &Path) -> Result<bool> {
    Ok(!planes(folder)?.is_empty())
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Opens a folder of planes.
pub(in crate::volume) fn open_folder(folder: &Path, options: &OpenOptions) -> Result<Arc<dyn VolumeBlocks>> {
    let paths = planes(folder)?;
    let (sizes, order) = layout(folder, &paths)?;
    let opened: Vec<Result<TiffFile>> = paths.par_iter().map(|path| TiffFile::open(path)).collect();
    let mut files: Vec<TiffFile> = opened.into_iter().collect::<Result<_>>()?;
    for file in &files {
        if file.pages.len() != 1 {
            let expected = "one page in each file of a folder of planes";
            return Err(file.fault("pages", expected, format!("{} pages", file.pages.len())));
        }
    }
    let samples = files[0].pages[0].samples;
    let mut sizes = sizes;
    if sizes[1] == 1 {
        sizes[1] = samples;
    } else if samples > 1 {
        return Err(files[0].fault(
            "page 0",
            "one sample per pixel where files are channels",
            format!("{samples} samples"),
        ));
    }
    if let Some(given) = options.axes.as_deref()
        && sizes[0] == 1
        && sizes[1] == samples
        && given.starts_with('t')
    {
        sizes = [sizes[2], samples, 1];
    }
    let mut plan = Plan::in_order(sizes, if sizes[0] > 1 && order == "z" { "t" } else { &order }, samples);
    plan.pages.iter_mut().for_each(|place| *place = (place.1, 0));
    plan.others = files.split_off(1);
    let first = files.remove(0);
    super::volume(folder, first, plan)
}

/// Time points, channels and planes of the files, and the order in which they run (outermost first).
///
/// Names must differ in one number, or in several that are marked t, c(h) and z; each must count without a gap.
fn layout(folder: &Path, paths: &[PathBuf]) -> Result<([usize; 3], String)> {
    let names: Vec<String> = paths.iter().map(|path| file_name(path)).collect();
    let bad = |key: &str, expected: String, found: String| Err(Error::format(folder, key, expected, found));
    if names.len() == 1 {
        return Ok(([1, 1, 1], "z".into()));
    }
    let cut: Vec<Vec<Part>> = names.iter().map(|name| parts(name)).collect();
    let texts = |cut: &[Part]| -> Vec<Option<String>> {
        cut.iter().map(|part| if let Part::Text(text) = part { Some(text.clone()) } else { None }).collect()
    };
    // The pattern of most of the names; whatever differs from it is no plane of this volume.
    let pattern = texts(&cut[names.len() / 2]);
    if let Some(at) = cut.iter().position(|cut| texts(cut) != pattern) {
        let expected = format!("names that differ in their numbers alone, as {}", names[names.len() / 2]);
        return bad(&names[at], expected, "another name (an extra file?)".into());
    }
    let number = |file: usize, part: usize| if let Part::Number(n, _) = cut[file][part] { n } else { 0 };
    let varying: Vec<usize> = (0..pattern.len())
        .filter(|&part| pattern[part].is_none() && (1..cut.len()).any(|file| number(file, part) != number(0, part)))
        .collect();
    if varying.is_empty() {
        return bad("names", "numbers that differ".into(), format!("{} and {}", names[0], names[1]));
    }
    let mark = |part: usize| -> Option<char> {
        let before = part.checked_sub(1).and_then(|part| pattern[part].as_deref()).unwrap_or_default().to_lowercase();
        let word: String =
            before.chars().rev().take_while(char::is_ascii_alphabetic).collect::<Vec<_>>().into_iter().rev().collect();
        match word.as_str() {
            "t" | "time" | "timepoint" | "tp" => Some('t'),
            "c" | "ch" | "channel" => Some('c'),
            "z" | "plane" | "slice" => Some('z'),
            _ => None,
        }
    };
    let mut axes: Vec<Option<char>> = varying.iter().map(|&part| mark(part)).collect();
    // One number without a mark is z, where no other is.
    if !axes.contains(&Some('z'))
        && let [only] =
            axes.iter().enumerate().filter(|(_, axis)| axis.is_none()).map(|(at, _)| at).collect::<Vec<_>>()[..]
    {
        axes[only] = Some('z');
    }
    let order: String = axes.iter().flatten().collect();
    let distinct: BTreeSet<char> = order.chars().collect();
    if order.len() != varying.len() || distinct.len() != order.len() {
        let expected = "one number that counts planes, or numbers marked t, c (or ch) and z".to_string();
        return bad("names", expected, format!("{} and {}", names[0], names[names.len() - 1]));
    }
    let mut sizes = [1usize; 3];
    for (&part, axis) in varying.iter().zip(order.chars()) {
        let values: BTreeSet<u64> = (0..cut.len()).map(|file| number(file, part)).collect();
        let (low, high) = (*values.first().unwrap_or(&0), *values.last().unwrap_or(&0));
        if (high - low) as usize + 1 != values.len() {
            let mut before = low;
            for &value in values.iter().skip(1) {
                if value != before + 1 {
                    let expected = format!("{axis} number {} after {before} (a missing plane?)", before + 1);
                    return bad("planes", expected, format!("{value}, in {} files", names.len()));
                }
                before = value;
            }
        }
        sizes["tcz".find(axis).unwrap_or(2)] = values.len();
    }
    if sizes.iter().product::<usize>() != names.len() {
        let expected = format!(
            "{} files for {} time points of {} channels of {} planes",
            sizes.iter().product::<usize>(),
            sizes[0],
            sizes[1],
            sizes[2]
        );
        return bad("planes", expected, format!("{} (missing planes, or the same number twice?)", names.len()));
    }
    Ok((sizes, order))
}
