//! Pictures of a volume for its report: maximum projections, and close-ups with the cells drawn in.

use std::collections::BTreeMap;

use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::{Ctx, Result};
use zensaibo_imaging::blocks::{Plan, Work, map_blocks, read_f32};
use zensaibo_imaging::space::Spacing;

use crate::measure::grouped;
use crate::report::{Mark, Picture, Pixels};

/// Pixels along the longer side of a projection, about.
const SIDE: f64 = 1000.0;
/// Close-ups at most.
const CLOSE: usize = 3;
/// Pixels along the longer side of a plane with outlines, about.
const EDGE: usize = 640;
/// Edge of a close-up in soma diameters.
const WINDOW: f64 = 28.0;

/// Cells to be drawn.
pub(super) struct Found<'a> {
    /// (z, y, x) in micrometres from the centre of the first voxel.
    pub(super) centre: &'a [[f64; 3]],
    pub(super) score: &'a [f32],
    /// Diameter in micrometres.
    pub(super) soma: f64,
}

/// The greatest values of a volume along z and along y, in bins of whole voxels.
struct Projections {
    /// Voxels of a bin along z, y and x.
    step: [usize; 3],
    bins: [usize; 3],
    /// y, x.
    down: Vec<f32>,
    /// z, x.
    side: Vec<f32>,
}

/// One block's part of the projections.
struct Part {
    first: [usize; 3],
    bins: [usize; 3],
    down: Vec<f32>,
    side: Vec<f32>,
}

fn merge(into: &mut [f32], from: &[f32]) {
    into.iter_mut().zip(from).for_each(|(into, &from)| *into = into.max(from));
}

/// Reads each voxel once.
fn project(
    volume: &dyn VolumeBlocks,
    frame: Frame,
    spacing: Spacing,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<Projections> {
    let (info, um) = (volume.info(), spacing.um());
    let shape = info.space();
    let pixel = (0..3).map(|a| shape[a] as f64 * um[a]).fold(0.0, f64::max) / SIDE;
    let step = um.map(|um| ((pixel / um) as usize).max(1));
    let bins: [usize; 3] = std::array::from_fn(|a| shape[a].div_ceil(step[a]));
    let mut all = Projections {
        step,
        bins,
        down: vec![f32::NEG_INFINITY; bins[1] * bins[2]],
        side: vec![f32::NEG_INFINITY; bins[0] * bins[2]],
    };
    let work = Work { halo: [0; 3], bytes_per_voxel: 4 + info.dtype.size(), chunk: info.chunk, memory };
    let plan = Plan::new(shape, &work)?;
    map_blocks(
        &plan,
        "projections",
        ctx,
        |region| Ok(part(&read_f32(volume, frame, region)?, region, step)),
        |_, part| {
            for y in 0..part.bins[1] {
                let at = (part.first[1] + y) * bins[2] + part.first[2];
                merge(&mut all.down[at..at + part.bins[2]], &part.down[y * part.bins[2]..(y + 1) * part.bins[2]]);
            }
            for z in 0..part.bins[0] {
                let at = (part.first[0] + z) * bins[2] + part.first[2];
                merge(&mut all.side[at..at + part.bins[2]], &part.side[z * part.bins[2]..(z + 1) * part.bins[2]]);
            }
            Ok(())
        },
    )?;
    Ok(all)
}

fn part(grid: &Grid<f32>, region: &Region, step: [usize; 3]) -> Part {
    let first: [usize; 3] = std::array::from_fn(|a| region.start[a] / step[a]);
    let bins: [usize; 3] = std::array::from_fn(|a| (region.start[a] + region.size[a]).div_ceil(step[a]) - first[a]);
    let width = bins[2];
    let mut down = vec![f32::NEG_INFINITY; bins[1] * width];
    let mut side = vec![f32::NEG_INFINITY; bins[0] * width];
    let mut line = vec![0f32; width];
    // The first bin may have begun before the block.
    let begun = region.start[2] % step[2];
    for z in 0..region.size[0] {
        let z_bin = (region.start[0] + z) / step[0] - first[0];
        for y in 0..region.size[1] {
            let y_bin = (region.start[1] + y) / step[1] - first[1];
            let row = grid.row(z, y);
            let line: &[f32] = if step[2] == 1 {
                row
            } else {
                let (head, rest) = row.split_at((step[2] - begun).min(row.len()));
                line[0] = head.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                for (bin, voxels) in line[1..].iter_mut().zip(rest.chunks(step[2])) {
                    *bin = voxels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                }
                &line
            };
            merge(&mut down[y_bin * width..(y_bin + 1) * width], line);
            merge(&mut side[z_bin * width..(z_bin + 1) * width], line);
        }
    }
    Part { first, bins, down, side }
}

/// Values as greys: the darkest hundredth is black, the brightest three thousandths white.
pub(super) fn greys(values: &[f32]) -> Vec<u8> {
    let mut sorted: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if sorted.is_empty() {
        return vec![0; values.len()];
    }
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
    let (low, high) = (at(0.01), at(0.997));
    let width = if high > low { high - low } else { 1.0 };
    let grey = |value: f32| (((value - low) / width).clamp(0.0, 1.0).powf(0.7) * 255.0) as u8;
    values.iter().map(|&value| if value.is_finite() { grey(value) } else { 0 }).collect()
}

/// How strong each score is among all, 0 to 1: its rank.
fn strengths(scores: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    let mut out = vec![0.0; scores.len()];
    for (rank, at) in order.into_iter().enumerate() {
        out[at] = rank as f64 / scores.len().max(2).saturating_sub(1) as f64;
    }
    out
}

/// Projections of the whole with all cells, and close-ups where cells are many, middling and few.
pub(super) fn of_cells(
    volume: &dyn VolumeBlocks,
    frame: Frame,
    spacing: Spacing,
    cells: &Found<'_>,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<Vec<Picture>> {
    let all = project(volume, frame, spacing, memory, ctx)?;
    let (um, strength) = (spacing.um(), strengths(cells.score));
    let bin: [f64; 3] = std::array::from_fn(|a| all.step[a] as f64 * um[a]);
    let marks = |down: usize| -> Vec<Mark> {
        let place = |cell: usize| {
            let at = cells.centre[cell];
            Mark { x: at[2] + um[2] / 2.0, y: at[down] + um[down] / 2.0, radius: None, strength: strength[cell] }
        };
        (0..cells.centre.len()).map(place).collect()
    };
    let mut pictures = vec![Picture {
        title: "The whole, from above".into(),
        caption: "Greatest value along z; every cell is a dot.".into(),
        size: [all.bins[1], all.bins[2]],
        um: [all.bins[1] as f64 * bin[1], all.bins[2] as f64 * bin[2]],
        pixels: Pixels::Grey(greys(&all.down)),
        marks: marks(1),
        wide: true,
    }];
    if all.bins[0] > 1 {
        pictures.push(Picture {
            title: "The whole, from the side".into(),
            caption: "Greatest value along y; z runs downwards.".into(),
            size: [all.bins[0], all.bins[2]],
            um: [all.bins[0] as f64 * bin[0], all.bins[2] as f64 * bin[2]],
            pixels: Pixels::Grey(greys(&all.side)),
            marks: marks(0),
            wide: true,
        });
    }
    for (title, start) in windows(volume.info().space(), spacing, cells) {
        ctx.check()?;
        pictures.push(close_up(volume, frame, spacing, cells, &strength, title, start)?);
    }
    Ok(pictures)
}

/// Voxels of a close-up: one soma diameter thick.
fn extent(shape: [usize; 3], spacing: Spacing, soma: f64) -> [usize; 3] {
    let edges = [soma, WINDOW * soma, WINDOW * soma];
    std::array::from_fn(|a| ((edges[a] / spacing.um()[a]).round() as usize).clamp(1, 900).min(shape[a].max(1)))
}

/// Where to look closer: the fullest window, one in the middle and one of the emptier ones that hold cells.
fn windows(shape: [usize; 3], spacing: Spacing, cells: &Found<'_>) -> Vec<(&'static str, [usize; 3])> {
    let size = extent(shape, spacing, cells.soma);
    let mut counts: BTreeMap<[usize; 3], usize> = BTreeMap::new();
    for &centre in cells.centre {
        let voxel = spacing.point_voxels(centre);
        let window: [usize; 3] = std::array::from_fn(|a| (voxel[a].max(0.0) as usize).min(shape[a] - 1) / size[a]);
        *counts.entry(window).or_default() += 1;
    }
    let mut order: Vec<([usize; 3], usize)> = counts.into_iter().collect();
    order.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut chosen: Vec<(&str, [usize; 3])> = Vec::new();
    let places = [("Most cells", 0), ("Middling", order.len() / 2), ("Few cells", order.len() * 9 / 10)];
    for (title, place) in places.into_iter().take(CLOSE) {
        let Some((window, _)) = order.get(place) else { continue };
        // The last window of an axis is moved inward, so that all have one size.
        let start: [usize; 3] = std::array::from_fn(|a| (window[a] * size[a]).min(shape[a] - size[a]));
        if chosen.iter().all(|(_, other)| *other != start) {
            chosen.push((title, start));
        }
    }
    chosen
}

#[allow(clippy::too_many_arguments)] // all that a picture shows
fn close_up(
    volume: &dyn VolumeBlocks,
    frame: Frame,
    spacing: Spacing,
    cells: &Found<'_>,
    strength: &[f64],
    title: &str,
    start: [usize; 3],
) -> Result<Picture> {
    let (um, soma) = (spacing.um(), cells.soma);
    let region = Region { start, size: extent(volume.info().space(), spacing, soma) };
    let grid = read_f32(volume, frame, &region)?;
    let plane = region.size[1] * region.size[2];
    let mut greatest = vec![f32::NEG_INFINITY; plane];
    grid.data.chunks_exact(plane.max(1)).for_each(|one| merge(&mut greatest, one));
    let mut marks = Vec::new();
    for (cell, &centre) in cells.centre.iter().enumerate() {
        let voxel = spacing.point_voxels(centre);
        let inside = (0..3).all(|a| {
            let at = voxel[a] + 0.5 - region.start[a] as f64;
            (0.0..region.size[a] as f64).contains(&at)
        });
        if inside {
            let at = |a: usize| (voxel[a] + 0.5 - region.start[a] as f64) * um[a];
            marks.push(Mark { x: at(2), y: at(1), radius: Some(0.62 * soma), strength: strength[cell] });
        }
    }
    let (from, to) = (start[0] as f64 * um[0], (start[0] + region.size[0] - 1) as f64 * um[0]);
    Ok(Picture {
        title: title.to_string(),
        caption: format!(
            "{} in a slab of {} planes, z {from:.0} to {to:.0} um, y from {:.0}, x from {:.0} um. Bodies without a ring have \
             their centre above or below.",
            crate::measure::counted(marks.len(), "cell"),
            grouped(region.size[0] as u64),
            start[1] as f64 * um[1],
            start[2] as f64 * um[2]
        ),
        size: [region.size[1], region.size[2]],
        um: [region.size[1] as f64 * um[1], region.size[2] as f64 * um[2]],
        pixels: Pixels::Grey(greys(&greatest)),
        marks,
        wide: false,
    })
}

/// Three planes of a segmented volume with the outlines of its nuclei.
pub(super) fn of_labels(
    volume: &dyn VolumeBlocks,
    frame: Frame,
    spacing: Spacing,
    labels: &Grid<u32>,
) -> Result<Vec<Picture>> {
    let (shape, um) = (labels.shape, spacing.um());
    let mut planes: Vec<usize> = [1, 2, 3].iter().map(|&quarter| (shape[0] * quarter / 4).min(shape[0] - 1)).collect();
    planes.dedup();
    let size = [1, shape[1].min(EDGE), shape[2].min(EDGE)];
    let mut pictures = Vec::new();
    for z in planes {
        let start = [z, (shape[1] - size[1]) / 2, (shape[2] - size[2]) / 2];
        let grid = read_f32(volume, frame, &Region { start, size })?;
        let at = |y: usize, x: usize| labels.at(z, start[1] + y, start[2] + x);
        let shown: std::collections::BTreeSet<u32> =
            (0..size[1]).flat_map(|y| (0..size[2]).map(move |x| at(y, x))).filter(|&label| label != 0).collect();
        let ([height, width], pixels) = outlined([size[1], size[2]], &coloured(&greys(&grid.data)), at);
        pictures.push(Picture {
            title: format!("Plane {z}"),
            caption: format!(
                "{} {} outlined, z {:.0} um.",
                grouped(shown.len() as u64),
                if shown.len() == 1 { "nucleus" } else { "nuclei" },
                z as f64 * um[0]
            ),
            size: [height, width],
            um: [size[1] as f64 * um[1], size[2] as f64 * um[2]],
            pixels: Pixels::Rgb(pixels),
            marks: Vec::new(),
            wide: false,
        });
    }
    Ok(pictures)
}

/// Greys as colours.
pub(super) fn coloured(greys: &[u8]) -> Vec<[u8; 3]> {
    greys.iter().map(|&grey| [grey; 3]).collect()
}

/// A plane with the outlines of labels over it, and its size. Small planes are drawn with several pixels a voxel, so that
/// the lines stay thin.
pub(super) fn outlined(size: [usize; 2], plane: &[[u8; 3]], at: impl Fn(usize, usize) -> u32) -> ([usize; 2], Vec<u8>) {
    let fold = (EDGE / size[0].max(size[1]).max(1)).clamp(1, 6);
    let (height, width) = (size[0] * fold, size[1] * fold);
    let mut pixels = Vec::with_capacity(3 * height * width);
    for y in 0..height {
        for x in 0..width {
            let own = at(y / fold, x / fold);
            let differs = own != 0
                && ((y > 0 && at((y - 1) / fold, x / fold) != own)
                    || (x > 0 && at(y / fold, (x - 1) / fold) != own)
                    || (y + 1 < height && at((y + 1) / fold, x / fold) != own)
                    || (x + 1 < width && at(y / fold, (x + 1) / fold) != own));
            let colour = if differs { [255, 205, 60] } else { plane[y / fold * size[1] + x / fold] };
            pixels.extend_from_slice(&colour);
        }
    }
    ([height, width], pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zensaibo_core::data::{Dtype, VolumeInfo};

    #[test]
    fn projections_are_those_of_the_whole_whatever_the_blocks() {
        let shape = [7, 2100, 33];
        let voxels: usize = shape.iter().product();
        let data: Vec<u16> = (0..voxels).map(|at| (at * 7919 % 4001) as u16).collect();
        let volume = (VolumeInfo::plain("test", shape, Dtype::U16), Grid { shape, data });
        let spacing = Spacing::new([5.0, 1.0, 1.0]).unwrap();
        for memory in [None, Some(1 << 20)] {
            let all = project(&volume, Frame::default(), spacing, memory, &Ctx::quiet()).unwrap();
            assert_eq!((all.step, all.bins), ([1, 2, 2], [7, 1050, 17]));
            for (y, x) in [(0, 0), (1049, 16), (500, 7)] {
                let mut greatest = 0;
                for z in 0..7 {
                    for v in 2 * y..(2 * y + 2).min(2100) {
                        for w in 2 * x..(2 * x + 2).min(33) {
                            greatest = greatest.max(volume.1.at(z, v, w));
                        }
                    }
                }
                assert_eq!(all.down[y * 17 + x], f32::from(greatest));
            }
            let side = (0..2100).flat_map(|y| [volume.1.at(3, y, 4), volume.1.at(3, y, 5)]).max().unwrap();
            assert_eq!(all.side[3 * 17 + 2], f32::from(side));
        }
    }

    #[test]
    fn outlines_run_around_labels() {
        let shape = [4, 20, 30];
        let volume = (VolumeInfo::plain("test", shape, Dtype::U16), Grid::filled(shape, 7u16));
        let mut labels = Grid::filled(shape, 0u32);
        for (y, x) in (5..9).flat_map(|y| (10..13).map(move |x| (y, x))) {
            labels.row_mut(2, y)[x] = 3;
        }
        let spacing = Spacing::new([5.0, 1.0, 1.0]).unwrap();
        let pictures = of_labels(&volume, Frame::default(), spacing, &labels).unwrap();
        let titles: Vec<&str> = pictures.iter().map(|picture| picture.title.as_str()).collect();
        assert_eq!(titles, ["Plane 1", "Plane 2", "Plane 3"]);
        let yellow = |picture: &Picture| match &picture.pixels {
            Pixels::Rgb(bytes) => bytes.chunks_exact(3).filter(|pixel| pixel[2] == 60 && pixel[0] == 255).count(),
            Pixels::Grey(_) => 0,
        };
        // Six pixels a voxel: the rim of a box of 24 x 18 pixels.
        assert_eq!(pictures.iter().map(yellow).collect::<Vec<_>>(), [0, 2 * 24 + 2 * 18 - 4, 0]);
        assert_eq!(pictures[1].size, [120, 180]);
        assert!(pictures[1].caption.starts_with("1 nucleus"), "{}", pictures[1].caption);
    }

    #[test]
    fn greys_span_the_values() {
        let values: Vec<f32> = (0..1000).map(|x| x as f32).collect();
        let greys = greys(&values);
        assert_eq!((greys[0], greys[999]), (0, 255));
        assert!(greys.is_sorted());
        assert_eq!(super::greys(&[f32::NEG_INFINITY; 3]), [0; 3]);
        assert_eq!(strengths(&[0.5, 0.9, 0.1]), [0.5, 1.0, 0.0]);
    }
}
