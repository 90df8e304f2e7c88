//! Pictures of a registration: planes of the sample as the atlas sees it, and cells over the atlas.

use zensaibo_core::data::Grid;
use zensaibo_imaging::atlas::Atlas;
use zensaibo_imaging::register::{Reduced, Registration, other_axes};

use super::pictures::{coloured, greys, outlined};
use crate::report::{Mark, Picture, Pixels};

/// Names of planes across each axis.
const ACROSS: [&str; 3] = ["z", "y", "x"];

/// A plane of a grid across an axis: the other two axes in order.
fn plane<T: Copy>(grid: &Grid<T>, axis: usize, at: usize) -> Vec<T> {
    let (down, across) = other_axes(axis);
    let mut out = Vec::with_capacity(grid.shape[down] * grid.shape[across]);
    for row in 0..grid.shape[down] {
        for column in 0..grid.shape[across] {
            let mut voxel = [0usize; 3];
            (voxel[axis], voxel[down], voxel[across]) = (at, row, column);
            out.push(grid.at(voxel[0], voxel[1], voxel[2]));
        }
    }
    out
}

/// The plane through the middle of what is not background, along each axis.
fn middles(fixed: &Grid<f32>, labels: Option<&Grid<u32>>) -> [usize; 3] {
    let Some(labels) = labels else { return fixed.shape.map(|n| n / 2) };
    let (mut low, mut high) = (labels.shape, [0usize; 3]);
    for z in 0..labels.shape[0] {
        for y in 0..labels.shape[1] {
            let row = labels.row(z, y);
            let Some(first) = row.iter().position(|&label| label != 0) else { continue };
            let last = row.iter().rposition(|&label| label != 0).unwrap_or(first);
            low = [low[0].min(z), low[1].min(y), low[2].min(first)];
            high = [high[0].max(z), high[1].max(y), high[2].max(last)];
        }
    }
    // A little off the middle: there the halves part, and a plane shows least.
    std::array::from_fn(|axis| {
        if low[axis] > high[axis] { fixed.shape[axis] / 2 } else { (9 * low[axis] + 11 * high[axis]) / 20 }
    })
}

/// Three planes across each axis: the sample in its new place, with the outlines of structures where there is an atlas; and
/// both images as colours, where green (the sample) and magenta (the fixed image) make grey where they agree.
pub(super) fn of_registration(
    found: &Registration,
    moving: &Reduced,
    fixed: &Grid<f32>,
    atlas: Option<&Atlas>,
) -> Vec<Picture> {
    let um = found.fixed.1;
    let places = middles(fixed, atlas.map(|atlas| &atlas.structure));
    let mut pictures = Vec::new();
    for axis in 0..3 {
        let (down, across) = other_axes(axis);
        let (at, size) = (places[axis], [fixed.shape[down], fixed.shape[across]]);
        let (sample, still) = (greys(&moving.plane(found, axis, at)), greys(&plane(fixed, axis, at)));
        let place = format!("{} = {:.0} µm", ACROSS[axis], at as f64 * um[axis]);
        let extent = [size[0] as f64 * um[down], size[1] as f64 * um[across]];
        let mut picture = |title: &str, caption: &str, (pixels_size, pixels): ([usize; 2], Vec<u8>)| {
            pictures.push(Picture {
                title: format!("{title}, {place}"),
                caption: caption.into(),
                size: pixels_size,
                um: extent,
                pixels: Pixels::Rgb(pixels),
                marks: Vec::new(),
                wide: false,
            });
        };
        if let Some(atlas) = atlas {
            let labels = plane(&atlas.structure, axis, at);
            let drawn = outlined(size, &coloured(&sample), |y, x| labels[y * size[1] + x]);
            picture("Sample with structures", "The sample on the grid of the atlas; lines part its structures.", drawn);
        }
        let both: Vec<[u8; 3]> = sample.iter().zip(&still).map(|(&sample, &still)| [still, sample, still]).collect();
        picture(
            "Both",
            "Green: the sample; magenta: what it was registered to; grey: both.",
            outlined(size, &both, |_, _| 0),
        );
    }
    pictures
}

/// Cells over the atlas, from above and from the side of each axis: the mean of the template, and a dot per cell.
pub(super) fn of_places(places: &[[f64; 3]], atlas: &Atlas) -> Vec<Picture> {
    let Some(template) = &atlas.template else { return Vec::new() };
    let um = atlas.spacing.um();
    (0..3)
        .map(|axis| {
            let (down, across) = other_axes(axis);
            let size = [template.shape[down], template.shape[across]];
            let mut mean = vec![0f32; size[0] * size[1]];
            for at in 0..template.shape[axis] {
                mean.iter_mut().zip(plane(template, axis, at)).for_each(|(sum, value)| *sum += value);
            }
            let inside = |value: f64, n: usize, um: f64| (-0.5 * um..(n as f64 - 0.5) * um).contains(&value);
            let marks = places
                .iter()
                .filter(|place| inside(place[down], size[0], um[down]) && inside(place[across], size[1], um[across]))
                .map(|place| Mark {
                    x: place[across] + 0.5 * um[across],
                    y: place[down] + 0.5 * um[down],
                    radius: None,
                    strength: 0.9,
                })
                .collect();
            Picture {
                title: format!("Cells in the atlas, along {}", ACROSS[axis]),
                caption: "Mean of the template; every cell is a dot.".into(),
                size,
                um: [size[0] as f64 * um[down], size[1] as f64 * um[across]],
                pixels: Pixels::Grey(greys(&mean)),
                marks,
                wide: false,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_across_each_axis() {
        let grid = Grid { shape: [2, 3, 4], data: (0..24).collect::<Vec<i32>>() };
        assert_eq!(plane(&grid, 0, 1), (12..24).collect::<Vec<_>>());
        assert_eq!(plane(&grid, 1, 2), [8, 9, 10, 11, 20, 21, 22, 23]);
        assert_eq!(plane(&grid, 2, 3), [3, 7, 11, 15, 19, 23]);
        let labels = Grid { shape: [4, 4, 4], data: (0..64).map(|at| u32::from(at == 21)).collect() };
        assert_eq!(middles(&Grid::filled([4, 4, 4], 0.0), Some(&labels)), [1, 1, 1]);
        assert_eq!(middles(&Grid::filled([4, 6, 8], 0.0), None), [2, 3, 4]);
    }
}
