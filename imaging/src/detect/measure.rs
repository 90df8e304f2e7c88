//! How large and how bright a cell is.

use zensaibo_core::data::Grid;

use super::local::Normal;
use crate::space::Spacing;

/// What is measured of a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Measured {
    /// Voxels of the body.
    pub voxels: u32,
    /// Mean intensity of the body.
    pub mean: f32,
    /// Greatest intensity of the body.
    pub peak: f32,
}

/// Voxels along each axis that a body reaches.
pub(crate) fn reach(spacing: Spacing, diameter: f64) -> [usize; 3] {
    spacing.to_voxels(0.8 * diameter).map(|r| r as usize)
}

/// The body: voxels that hang together with the centre (by faces), lie within 0.8 soma diameters of it and are brighter
/// than half way from the local median to the centre. At least the centre itself.
///
/// `inside` says which voxels of the grid lie in the volume (first and one past the last): what is mirrored does not count.
pub(crate) fn measure(
    grid: &Grid<f32>,
    at: [usize; 3],
    inside: [[usize; 2]; 3],
    normal: &Normal,
    spacing: Spacing,
    diameter: f64,
) -> Measured {
    let um = spacing.um();
    let reach = reach(spacing, diameter);
    let side = reach.map(|r| 2 * r + 1);
    let centre = grid.at(at[0], at[1], at[2]);
    let limit = normal.median + 0.5 * (centre - normal.median);
    let mut seen = vec![false; side.iter().product()];
    let first = (reach[0] * side[1] + reach[1]) * side[2] + reach[2];
    seen[first] = true;
    let mut stack = vec![reach];
    let (mut sum, mut count, mut peak) = (0f64, 0u32, centre);
    // Whole bodies are walked the same way wherever a block begins, so the sum has the same bits.
    while let Some(place) = stack.pop() {
        let value = grid.at(at[0] + place[0] - reach[0], at[1] + place[1] - reach[1], at[2] + place[2] - reach[2]);
        sum += f64::from(value);
        count += 1;
        peak = peak.max(value);
        for a in 0..3 {
            for forward in [false, true] {
                let mut next = place;
                if forward {
                    next[a] += 1;
                } else if next[a] == 0 {
                    continue;
                } else {
                    next[a] -= 1;
                }
                let there = at[a] + next[a];
                if next[a] >= side[a] || there < inside[a][0] + reach[a] || there >= inside[a][1] + reach[a] {
                    continue;
                }
                let index = (next[0] * side[1] + next[1]) * side[2] + next[2];
                if seen[index] {
                    continue;
                }
                seen[index] = true;
                let far: f64 = (0..3).map(|b| ((next[b] as f64 - reach[b] as f64) * um[b]).powi(2)).sum();
                if far > (0.8 * diameter).powi(2) {
                    continue;
                }
                let value = grid.at(at[0] + next[0] - reach[0], at[1] + next[1] - reach[1], at[2] + next[2] - reach[2]);
                if value > limit {
                    stack.push(next);
                }
            }
        }
    }
    Measured { voxels: count, mean: (sum / f64::from(count)) as f32, peak }
}
