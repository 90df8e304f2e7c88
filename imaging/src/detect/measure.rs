//! How large and how bright a cell is.

use zensaibo_core::data::Grid;

use super::local::Normal;
use crate::space::Spacing;

/// How far a body reaches from its centre, in soma diameters.
const REACH: f64 = 0.8;

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

/// How bodies are walked, for one spacing, soma diameter and shape of padded block.
pub(crate) struct Bodies {
    /// Voxels along each axis that a body reaches.
    reach: [usize; 3],
    /// Voxels along each axis of the box that is walked: the reach to both sides, and one more that no walk enters.
    side: [usize; 3],
    /// Where no body goes.
    beyond: Vec<bool>,
    /// Steps to the six neighbours, in the box and in the block.
    steps: [[isize; 2]; 6],
    /// Voxels that one walk has seen or may not see.
    seen: Vec<bool>,
    /// Voxels to be looked at: places in the box and in the block.
    stack: Vec<[usize; 2]>,
}

impl Bodies {
    pub(crate) fn new(spacing: Spacing, diameter: f64, shape: [usize; 3]) -> Self {
        let um = spacing.um();
        let reach = spacing.to_voxels(REACH * diameter).map(|r| r as usize);
        let side = reach.map(|r| 2 * r + 3);
        let mut beyond = Vec::with_capacity(side.iter().product());
        for z in 0..side[0] {
            for y in 0..side[1] {
                for x in 0..side[2] {
                    let at = [z, y, x];
                    let inner = (0..3).all(|a| at[a] > 0 && at[a] + 1 < side[a]);
                    let far: f64 = (0..3).map(|a| ((at[a] as f64 - (reach[a] + 1) as f64) * um[a]).powi(2)).sum();
                    beyond.push(!inner || far > (REACH * diameter).powi(2));
                }
            }
        }
        let (plane, line) = ([side[1] * side[2], shape[1] * shape[2]], [side[2], shape[2]]);
        let steps = [plane, line, [1, 1]].map(|step| step.map(|n| n as isize));
        let steps = std::array::from_fn(|i| steps[i / 2].map(|n| if i % 2 == 0 { -n } else { n }));
        Self { reach, side, seen: beyond.clone(), beyond, steps, stack: Vec::new() }
    }

    /// The body around `at`: voxels that hang together with the centre (by faces), lie within 0.8 soma diameters of it and are
    /// brighter than half way from the local median to the centre. At least the centre itself.
    ///
    /// `inside` says which voxels of the grid lie in the volume (first and one past the last): what is mirrored does not count.
    pub(crate) fn measure(
        &mut self,
        grid: &Grid<f32>,
        at: [usize; 3],
        inside: [[usize; 2]; 3],
        normal: &Normal,
    ) -> Measured {
        let (reach, side) = (self.reach, self.side);
        self.seen.copy_from_slice(&self.beyond);
        if (0..3).any(|a| at[a] < inside[a][0] + reach[a] || at[a] + reach[a] >= inside[a][1]) {
            for (i, seen) in self.seen.iter_mut().enumerate() {
                let place = [i / (side[1] * side[2]), i / side[2] % side[1], i % side[2]];
                *seen |= (0..3).any(|a| {
                    let there = at[a] + place[a];
                    there < inside[a][0] + reach[a] + 1 || there > inside[a][1] + reach[a]
                });
            }
        }
        let first = ((reach[0] + 1) * side[1] + reach[1] + 1) * side[2] + reach[2] + 1;
        let here = grid.index(at[0], at[1], at[2]);
        let centre = grid.data[here];
        let limit = normal.median + 0.5 * (centre - normal.median);
        self.seen[first] = true;
        self.stack.push([first, here]);
        let (mut sum, mut count, mut peak) = (0f64, 0u32, centre);
        // Whole bodies are walked the same way wherever a block begins, so the sum has the same bits.
        while let Some([place, voxel]) = self.stack.pop() {
            let value = grid.data[voxel];
            sum += f64::from(value);
            count += 1;
            peak = peak.max(value);
            for [step, stride] in self.steps {
                let next = place.wrapping_add_signed(step);
                if !self.seen[next] {
                    self.seen[next] = true;
                    let there = voxel.wrapping_add_signed(stride);
                    if grid.data[there] > limit {
                        self.stack.push([next, there]);
                    }
                }
            }
        }
        Measured { voxels: count, mean: (sum / f64::from(count)) as f32, peak }
    }
}
