//! Names with places in them: "tile_r{row}_c{column}.tif".

use std::fs;
use std::path::Path;

use zensaibo_core::{Error, Result};

use super::{TileOptions, TileVolume, on_grid};
use crate::volume::natural::compare;

/// What a place in a name may stand for.
const NAMES: [&str; 7] = ["layer", "row", "column", "z", "y", "x", "tile"];

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// One of [`NAMES`].
    Number(usize),
    Any,
}

fn parse(pattern: &str) -> Result<Vec<Part>> {
    let wrong = |found: &str| {
        let expected = format!("a name with places {{{}}}, each at most once, and *", NAMES.join("}, {"));
        Error::parameter("tiles", expected, found)
    };
    let mut parts = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let at = rest.find(['{', '*']).unwrap_or(rest.len());
        if at > 0 {
            parts.push(Part::Text(rest[..at].into()));
        }
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('*') {
            parts.push(Part::Any);
            rest = after;
        } else if rest.starts_with('{') {
            let end = rest.find('}').ok_or_else(|| wrong(pattern))?;
            let name = &rest[1..end];
            let place = NAMES.iter().position(|known| *known == name).ok_or_else(|| wrong(&format!("{{{name}}}")))?;
            if parts.contains(&Part::Number(place)) {
                return Err(wrong(&format!("{{{name}}} twice")));
            }
            parts.push(Part::Number(place));
            rest = &rest[end + 1..];
        }
    }
    Ok(parts)
}

/// The numbers in a name that follows the pattern.
fn matched(parts: &[Part], name: &str, found: &mut [Option<f64>; 7]) -> bool {
    let Some((part, rest)) = parts.split_first() else { return name.is_empty() };
    match part {
        Part::Text(text) => name.strip_prefix(text.as_str()).is_some_and(|name| matched(rest, name, found)),
        Part::Any => {
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matched(rest, &name[at..], found))
        }
        Part::Number(place) => {
            let whole = !(3..6).contains(place);
            let allowed = |at: usize, c: char| c.is_ascii_digit() || (!whole && (c == '.' || (c == '-' && at == 0)));
            let longest = name.char_indices().find(|&(at, c)| !allowed(at, c)).map_or(name.len(), |(at, _)| at);
            // The longest number first.
            (1..=longest).rev().any(|length| {
                let Ok(number) = name[..length].parse::<f64>() else { return false };
                found[*place] = Some(number);
                matched(rest, &name[length..], found)
            })
        }
    }
}

pub(super) fn open(pattern: &Path, options: &TileOptions) -> Result<Vec<TileVolume>> {
    let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !name.contains('{') {
        let found = pattern.display();
        return Err(Error::parameter("tiles", "places such as {row} in the name of the file, not of a folder", found));
    }
    let parts = parse(&name)?;
    let has = |names: &[usize]| names.iter().any(|&place| parts.contains(&Part::Number(place)));
    let (indexed, measured, numbered) = (has(&[0, 1, 2]), has(&[3, 4, 5]), has(&[6]));
    if usize::from(indexed) + usize::from(measured) + usize::from(numbered) != 1 {
        let expected = "rows and columns, or micrometres along y and x, or numbers of tiles; not several of them";
        return Err(Error::parameter("tiles", expected, name));
    }
    let entries = fs::read_dir(folder).map_err(|error| Error::io(folder, "read", error))?;
    let mut names: Vec<(String, [Option<f64>; 7])> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io(folder, "read", error))?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let mut found = [None; 7];
        if matched(&parts, &file, &mut found) {
            names.push((file, found));
        }
    }
    names.sort_by(|a, b| compare(&a.0, &b.0));
    if names.is_empty() {
        let expected = format!("files named {name}");
        return Err(Error::format(folder, "folder", expected, "none"));
    }
    let mut tiles = Vec::new();
    let mut cells = Vec::new();
    let first = names.iter().filter_map(|(_, found)| found[6]).fold(f64::INFINITY, f64::min);
    for (file, found) in &names {
        let path = folder.join(file);
        let volume = options.open(&path, None)?;
        let mut position = [0.0; 3];
        if measured {
            position = std::array::from_fn(|a| found[3 + a].unwrap_or(0.0));
        } else if let Some(number) = found[6] {
            let [row, column] = options.cell((number - first) as usize)?;
            cells.push([0, row as i64, column as i64]);
        } else {
            cells.push(std::array::from_fn(|a| found[a].unwrap_or(0.0) as i64));
        }
        tiles.push(TileVolume { name: path.display().to_string(), volume, position });
    }
    if measured { Ok(tiles) } else { on_grid(tiles, &cells, options) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_names() {
        let find = |pattern: &str, name: &str| {
            let mut found = [None; 7];
            matched(&parse(pattern).unwrap(), name, &mut found).then_some(found)
        };
        let found = find("tile_r{row}_c{column}.tif", "tile_r003_c12.tif").unwrap();
        assert_eq!((found[1], found[2], found[0]), (Some(3.0), Some(12.0), None));
        assert_eq!(find("tile_r{row}_c{column}.tif", "tile_r003_c12.tiff"), None);
        assert_eq!(find("tile_r{row}_c{column}.tif", "tile_r_c12.tif"), None);
        let found = find("*x{x}_y{y}_*.tif", "scan 7 x-120.5_y33_ch0.tif").unwrap();
        assert_eq!((found[4], found[5]), (Some(33.0), Some(-120.5)));
        assert_eq!(find("a{row}{column}", "a123").unwrap()[1..3], [Some(12.0), Some(3.0)]);
        assert!(find("{row}.tif", "-1.tif").is_none());
        for wrong in ["{rows}.tif", "{row}_{row}.tif", "{row.tif"] {
            assert!(parse(wrong).unwrap_err().to_string().contains("{column}"), "{wrong}");
        }
    }
}
