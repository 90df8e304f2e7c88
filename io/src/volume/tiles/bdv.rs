//! Tiles of BigDataViewer's XML: set-ups that differ in more than their channel, where the registrations put them.

use std::fs;
use std::path::Path;

use roxmltree::{Document, Node};
use zensaibo_core::{Error, Result};

use super::{Channels, TileOptions, TileVolume};
use crate::volume::bdv::{Setup, setups};

/// x, y, z of the result from x, y, z, 1.
type Affine = [[f64; 4]; 3];

/// a after b.
fn after(a: &Affine, b: &Affine) -> Affine {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let sum: f64 = (0..3).map(|k| a[row][k] * b[k][column]).sum();
            if column == 3 { sum + a[row][3] } else { sum }
        })
    })
}

fn affine(text: &str) -> Option<Affine> {
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().ok()).collect::<Option<_>>()?;
    (numbers.len() == 12 && numbers.iter().all(|x| x.is_finite()))
        .then(|| std::array::from_fn(|row| std::array::from_fn(|column| numbers[4 * row + column])))
}

pub(super) fn open(path: &Path, options: &TileOptions) -> Result<Vec<TileVolume>> {
    let content = fs::read_to_string(path).map_err(|error| Error::io(path, "read", error))?;
    let bad = |key: &str, expected: &str, found: String| Error::format(path, key, expected, found);
    let document = Document::parse(&content).map_err(|error| bad("document", "well-formed XML", error.to_string()))?;
    let root = document.root_element();
    let named = |name: &str| root.descendants().find(|node| node.tag_name().name() == name);
    let views = named("ViewSetups").ok_or_else(|| bad("SpimData", "an element ViewSetups", "none".into()))?;
    let all = setups(path, views)?;
    // In the order in which tiles first appear.
    let mut by_tile: Vec<Vec<&Setup>> = Vec::new();
    for setup in &all {
        match by_tile.iter_mut().find(|members| members[0].others == setup.others) {
            Some(members) => members.push(setup),
            None => by_tile.push(vec![setup]),
        }
    }
    let registrations = named("ViewRegistrations");
    let place = |setup: &Setup| -> Result<[f64; 3]> {
        let key = format!("ViewRegistration of set-up {}", setup.id);
        let own = |node: &Node<'_, '_>| node.attribute("setup").and_then(|id| id.parse().ok()) == Some(setup.id);
        // The first time point stands for all.
        let view = registrations
            .into_iter()
            .flat_map(|node| node.children())
            .filter(own)
            .min_by_key(|node| node.attribute("timepoint").and_then(|time| time.parse::<i64>().ok()).unwrap_or(0))
            .ok_or_else(|| bad(&key, "where the tile lies", "none".into()))?;
        let mut total: Affine =
            std::array::from_fn(|row| std::array::from_fn(|column| f64::from(u8::from(row == column))));
        for node in view.descendants().filter(|node| node.tag_name().name() == "affine") {
            let text = node.text().unwrap_or_default();
            let next = affine(text).ok_or_else(|| bad(&key, "an affine map of 12 numbers", text.trim().into()))?;
            total = after(&total, &next);
        }
        let straight = (0..3).all(|row| {
            let scale = total[row][row];
            scale > 0.0 && (0..3).all(|column| column == row || total[row][column].abs() <= 1e-6 * scale)
        });
        if !straight {
            return Err(bad(&key, "scales and shifts: tiles of one angle that are not turned", format!("{total:?}")));
        }
        let um = options.spacing.or(setup.spacing).unwrap_or([1.0; 3]);
        // x, y, z there, z, y, x here. Units of the registration are what a voxel is long in it.
        Ok(std::array::from_fn(|a| total[2 - a][3] / total[2 - a][2 - a] * um[a]))
    };
    let mut tiles = Vec::new();
    for members in by_tile {
        let parts = members.iter().map(|setup| options.open(path, Some(setup.id))).collect::<Result<Vec<_>>>()?;
        let texts: Vec<String> = members[0].others.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let name = if texts.is_empty() { format!("set-up {}", members[0].id) } else { texts.join(", ") };
        tiles.push(TileVolume {
            name: format!("{}, {name}", path.display()),
            volume: Channels::together(path, parts)?,
            position: place(members[0])?,
        });
    }
    Ok(tiles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_follow_each_other() {
        let shift = affine("1 0 0 10  0 1 0 20  0 0 1 30").unwrap();
        let scale = affine("2 0 0 0  0 2 0 0  0 0 5 0").unwrap();
        assert_eq!(after(&shift, &scale), [[2.0, 0.0, 0.0, 10.0], [0.0, 2.0, 0.0, 20.0], [0.0, 0.0, 5.0, 30.0]]);
        assert_eq!(after(&scale, &shift)[2][3], 150.0);
        assert_eq!(affine("1 2 3"), None);
    }
}
