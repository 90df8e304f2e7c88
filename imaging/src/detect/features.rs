//! What a candidate looks like: numbers that do not change with gain, offset, place, mirroring or quarter turns.
//!
//! Intensities are relative to the local median, in units of the local spread; lengths are shares of the soma diameter.

use zensaibo_core::data::Grid;

use super::local::Normal;
use crate::space::Spacing;

/// Outer radii of the shells, shares of the soma diameter.
const SHELLS: [f64; 9] = [0.17, 0.33, 0.5, 0.7, 0.9, 1.2, 1.6, 2.0, 2.4];
/// The shell whose mean is the level around a cell.
const AROUND: usize = 4;
/// Radius of the core that is compared with the sides, which lie between these radii: eight directions in the plane.
const CORE: f64 = 0.25;
const SIDES: [f64; 2] = [0.5, 0.9];
/// Which of the sides, from the brightest down, a cell has to stand out against. At a step edge three of the eight lie
/// on the bright side; a cell may touch two others.
const SIDE: usize = 2;
/// How much of the filter's answer it has to stand out there. The rim of a step reaches less than 0.2, a lone cell 2 and more,
/// one cut by the rim about 0.4.
const FREE: f32 = 0.35;
/// How far around a candidate its neighbours count.
pub(crate) const NEIGHBOURS: [f64; 2] = [1.0, 2.0];

/// The lists of voxels around a candidate, for one spacing, soma diameter and shape of padded block.
pub(crate) struct Neighbourhood {
    shells: Vec<Vec<isize>>,
    /// The body: place and offset in soma diameters.
    body: Vec<(isize, [f32; 3])>,
    core: Vec<isize>,
    sides: [Vec<isize>; 8],
}

/// Voxels along each axis that a neighbourhood reaches.
pub(crate) fn reach(spacing: Spacing, diameter: f64) -> [usize; 3] {
    spacing.to_voxels(SHELLS[SHELLS.len() - 1] * diameter).map(|r| r as usize)
}

/// Voxels along each axis that the core and the sides, and the body, reach.
pub(crate) fn reach_of_sides(spacing: Spacing, diameter: f64) -> [usize; 3] {
    spacing.to_voxels(SIDES[1] * diameter).map(|r| r.ceil() as usize)
}

/// Names of the features, in order.
pub(crate) fn names() -> Vec<String> {
    let mut all: Vec<String> = vec!["fine".into(), "middle".into()];
    all.extend((0..SHELLS.len()).map(|i| format!("shell_mean_{i}")));
    for name in ["axial", "major", "minor", "weight"] {
        all.push(name.into());
    }
    for name in ["count_near", "count_far", "rival_near", "rival_far", "stronger_distance"] {
        all.push(name.into());
    }
    all
}

impl Neighbourhood {
    pub(crate) fn new(spacing: Spacing, diameter: f64, shape: [usize; 3]) -> Self {
        let reach = reach(spacing, diameter).map(|r| r as isize);
        let um = spacing.um();
        let mut new = Self {
            shells: vec![Vec::new(); SHELLS.len()],
            body: Vec::new(),
            core: Vec::new(),
            sides: Default::default(),
        };
        let bin = |edges: &[f64], value: f64| edges.iter().position(|&edge| value < edge);
        for z in -reach[0]..=reach[0] {
            for y in -reach[1]..=reach[1] {
                for x in -reach[2]..=reach[2] {
                    let at = (z * shape[1] as isize + y) * shape[2] as isize + x;
                    let unit = [z as f64 * um[0], y as f64 * um[1], x as f64 * um[2]].map(|v| v / diameter);
                    let planar = unit[1].hypot(unit[2]);
                    let distance = planar.hypot(unit[0]);
                    if let Some(shell) = bin(&SHELLS, distance) {
                        new.shells[shell].push(at);
                    }
                    if distance < CORE {
                        new.core.push(at);
                    }
                    if unit[0].abs() < CORE && (SIDES[0]..SIDES[1]).contains(&planar) {
                        // No voxel lies between two sides: the tangent of an eighth of a turn's half is irrational.
                        let turn = unit[1].atan2(unit[2]) / std::f64::consts::FRAC_PI_4;
                        new.sides[(turn.round() as isize).rem_euclid(8) as usize].push(at);
                    }
                    if distance < 0.8 || (planar < 0.6 && unit[0].abs() < 1.3) {
                        new.body.push((at, unit.map(|v| v as f32)));
                    }
                }
            }
        }
        new
    }

    /// Whether a candidate stands out on its sides as well as from the mean around it. Where tissue ends the mean falls and
    /// the filter answers, but on the side of the tissue nothing is darker.
    pub(crate) fn stands_free(&self, grid: &Grid<f32>, centre: usize, response: [f32; 2]) -> bool {
        if self.sides.iter().any(Vec::is_empty) {
            // The voxels are too coarse to tell.
            return true;
        }
        let mut sides: [f32; 8] = std::array::from_fn(|side| mean(grid, centre, &self.sides[side]));
        sides.sort_by(|a, b| b.total_cmp(a));
        mean(grid, centre, &self.core) - sides[SIDE] >= FREE * response[0].max(response[1])
    }

    /// The features that depend on the voxels around `centre`, a place in `grid`; appended to `out`.
    pub(crate) fn describe(
        &self,
        grid: &Grid<f32>,
        centre: usize,
        normal: &Normal,
        response: [f32; 2],
        out: &mut Vec<f32>,
    ) {
        let data = &grid.data;
        let scale = 1.0 / unit(normal);
        let value = |at: isize| (data[(centre as isize + at) as usize] - normal.median) * scale;
        out.extend(response.map(|r| r * scale));
        let mut means = [0f32; SHELLS.len()];
        for (i, shell) in self.shells.iter().enumerate() {
            means[i] = if shell.is_empty() {
                // A shell between the voxels: as the one within.
                if i == 0 { value(0) } else { means[i - 1] }
            } else {
                (shell.iter().map(|&at| f64::from(value(at))).sum::<f64>() / shell.len() as f64) as f32
            };
        }
        out.extend(means);
        // Moments of what stands above the level around.
        let level = means[AROUND];
        let (mut weight, mut second, mut cross) = (0f64, [0f64; 3], 0f64);
        for (at, unit) in &self.body {
            let above = f64::from(value(*at) - level);
            if above > 0.0 {
                weight += above;
                for a in 0..3 {
                    second[a] += above * f64::from(unit[a] * unit[a]);
                }
                cross += above * f64::from(unit[1] * unit[2]);
            }
        }
        if weight > 0.0 {
            second.iter_mut().for_each(|moment| *moment /= weight);
            cross /= weight;
        }
        let middle = (second[1] + second[2]) / 2.0;
        let apart = ((second[1] - second[2]) / 2.0).hypot(cross);
        let moments = [second[0], middle + apart, middle - apart, weight];
        out.extend(moments.map(|m| m as f32));
    }
}

/// Mean over the voxels at these places from `centre`.
fn mean(grid: &Grid<f32>, centre: usize, list: &[isize]) -> f32 {
    let sum: f64 = list.iter().map(|&at| f64::from(grid.data[(centre as isize + at) as usize])).sum();
    (sum / list.len().max(1) as f64) as f32
}

/// The unit of intensities at a place: the spread, at least a tenth of the noise.
pub(crate) fn unit(normal: &Normal) -> f32 {
    normal.spread.max(0.1 * normal.noise).max(f32::MIN_POSITIVE)
}
