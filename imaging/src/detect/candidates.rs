//! Places that may be cells: peaks of differences of Gaussians at two scales.

use zensaibo_core::Result;
use zensaibo_core::data::{Grid, Region};

use crate::blocks::{Border, pool};
use crate::filters::{Gaussian, GaussianOptions, LocalFilter, Seen};
use crate::space::Spacing;

/// Standard deviations of the three Gaussians as shares of the soma diameter; neighbours make the two scales.
const SIGMA: [f64; 3] = [0.2, 0.34, 0.58];

/// The filters of one spacing and soma diameter.
pub(crate) struct Scales {
    /// Each smooths what the one before it gave.
    steps: [Gaussian; 3],
    halos: [[usize; 3]; 3],
    /// Standard deviation of each scale's response to noise of standard deviation 1.
    pub gain: [f32; 2],
}

/// Responses of a block, both of the same shape.
pub(crate) struct Responses {
    /// The fine and the middle scale.
    pub scale: [Grid<f32>; 2],
}

/// A peak.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Peak {
    /// Voxel in the volume.
    pub voxel: [usize; 3],
    /// Subvoxel place in voxels of the volume.
    pub place: [f64; 3],
    /// Fine and middle response.
    pub response: [f32; 2],
}

impl Scales {
    pub(crate) fn new(spacing: Spacing, diameter: f64) -> Result<Self> {
        let step = |from: f64, to: f64| {
            let sigma = diameter * (to * to - from * from).sqrt();
            Gaussian::new(&GaussianOptions { sigma: [sigma; 3], truncate: 3.0, border: Border::Reflect }, spacing)
        };
        let steps = [step(0.0, SIGMA[0])?, step(SIGMA[0], SIGMA[1])?, step(SIGMA[1], SIGMA[2])?];
        let halos = [steps[0].halo(), steps[1].halo(), steps[2].halo()];
        let gain = std::array::from_fn(|scale| gain(&steps, &halos, scale));
        Ok(Self { steps, halos, gain })
    }

    /// How far a response looks.
    pub(crate) fn halo(&self) -> [usize; 3] {
        std::array::from_fn(|a| self.halos.iter().map(|halo| halo[a]).sum())
    }

    /// Responses in a region of a volume of `shape`, of a grid that holds it with all of the volume that lies within
    /// [`Self::halo`] of it. The voxel of the volume at the first voxel of the grid is `origin`.
    pub(crate) fn apply(&self, grid: &Grid<f32>, origin: [isize; 3], region: &Region, shape: [usize; 3]) -> Responses {
        let [first, second, third] = self.halos;
        let middle_in = region.grown(third, shape);
        let fine_in = middle_in.grown(second, shape);
        let place = |region: &Region| region.start.map(|start| start as isize);
        let fine = self.steps[0].smoothed_part(&Seen::around(grid, origin, &fine_in, first, shape), None);
        let middle =
            self.steps[1].smoothed_part(&Seen::around(&fine, place(&fine_in), &middle_in, second, shape), None);
        let from = |outer: &Region| std::array::from_fn(|a| region.start[a] - outer.start[a]);
        let fine = less(fine, from(&fine_in), &middle, from(&middle_in), region.size);
        let seen = Seen::around(&middle, place(&middle_in), region, third, shape);
        let coarse = self.steps[2].smoothed_part(&seen, Some(&Seen::part(&middle, from(&middle_in), region.size)));
        pool::give(middle.data);
        Responses { scale: [fine, coarse] }
    }
}

/// The root of the summed squares of a scale's weights: each Gaussian's is a product over the axes.
fn gain(steps: &[Gaussian; 3], halos: &[[usize; 3]; 3], scale: usize) -> f32 {
    // The response to one bright voxel is the kernel itself.
    let reach: [usize; 3] = std::array::from_fn(|a| halos.iter().map(|halo| halo[a]).sum());
    let shape: [usize; 3] = std::array::from_fn(|a| 4 * reach[a] + 1);
    if shape.iter().product::<usize>() > 1 << 24 {
        // Kernels of very many voxels: far below the noise of anything else.
        return 0.0;
    }
    let mut point = Grid::filled(shape, 0f32);
    let centre = point.index(2 * reach[0], 2 * reach[1], 2 * reach[2]);
    point.data[centre] = 1.0;
    let mut narrow = point;
    let mut halo = [0usize; 3];
    for (step, extra) in steps.iter().zip(halos).take(scale + 1) {
        narrow = step.smoothed(narrow);
        (0..3).for_each(|a| halo[a] += extra[a]);
    }
    let wide = steps[scale + 1].smoothed_copy(&narrow);
    let kernel = less(narrow, halos[scale + 1], &wide, [0; 3], wide.shape);
    kernel.data.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>().sqrt() as f32
}

/// The part of `narrow` from `at` on, less that of `wide` from `there` on, in the memory of `narrow`.
fn less(mut narrow: Grid<f32>, at: [usize; 3], wide: &Grid<f32>, there: [usize; 3], shape: [usize; 3]) -> Grid<f32> {
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            // A line moves towards the front, where nothing is needed any more.
            let from = narrow.index(z + at[0], y + at[1], at[2]);
            let to = (z * shape[1] + y) * shape[2];
            narrow.data.copy_within(from..from + shape[2], to);
            let wide = &wide.row(z + there[0], y + there[1])[there[2]..there[2] + shape[2]];
            narrow.data[to..to + shape[2]].iter_mut().zip(wide).for_each(|(narrow, wide)| *narrow -= wide);
        }
    }
    narrow.data.truncate(shape.iter().product());
    Grid { shape, data: narrow.data }
}

/// Peaks among 26 neighbours of a part of a volume. A voxel at the border of the part is no peak unless the volume ends
/// there (`ends`: before and after along z, y, x). Of equal neighbours the first is the peak.
pub(crate) fn peaks(grid: &Grid<f32>, ends: [[bool; 2]; 3], mut found: impl FnMut([usize; 3])) {
    let shape = grid.shape;
    let own: [[usize; 2]; 3] = std::array::from_fn(|a| {
        let [before, after] = ends[a].map(|end| usize::from(!end));
        [before, shape[a].saturating_sub(after)]
    });
    // Whether the neighbours along the axes let a voxel be a peak; padded so that eight are looked at in one word.
    let mut hopeful = vec![0u8; shape[2].next_multiple_of(8)];
    for z in own[0][0]..own[0][1] {
        for y in own[1][0]..own[1][1] {
            let line = grid.row(z, y);
            let earlier = [(z > 0).then(|| grid.row(z - 1, y)), (y > 0).then(|| grid.row(z, y - 1))];
            let later =
                [(z + 1 < shape[0]).then(|| grid.row(z + 1, y)), (y + 1 < shape[1]).then(|| grid.row(z, y + 1))];
            stands_out(line, earlier, later, &mut hopeful[..shape[2]]);
            for (at, eight) in hopeful.chunks_exact(8).enumerate() {
                let mut word = u64::from_le_bytes([
                    eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7],
                ]);
                while word != 0 {
                    let x = at * 8 + word.trailing_zeros() as usize / 8;
                    word &= word - 1;
                    if x < own[2][0] || x >= own[2][1] {
                        continue;
                    }
                    let value = line[x];
                    let (first, last) = (x.saturating_sub(1), shape[2].min(x + 2));
                    let higher = (z.saturating_sub(1)..shape[0].min(z + 2)).any(|nz| {
                        (y.saturating_sub(1)..shape[1].min(y + 2)).any(|ny| {
                            let other = &grid.row(nz, ny)[first..last];
                            if (nz, ny) == (z, y) {
                                other[..x - first].iter().any(|&o| o >= value)
                                    || other[x - first..].iter().any(|&o| o > value)
                            } else if (nz, ny) < (z, y) {
                                // Equal neighbours that come before in raster order win.
                                other.iter().any(|&o| o >= value)
                            } else {
                                other.iter().any(|&o| o > value)
                            }
                        })
                    });
                    if !higher {
                        found([z, y, x]);
                    }
                }
            }
        }
    }
}

/// Which voxels of a line are above 0 and not below their neighbours in the lines beside it: those before it in raster order
/// must be lower.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn stands_out(line: &[f32], earlier: [Option<&[f32]>; 2], later: [Option<&[f32]>; 2], out: &mut [u8]) {
    let n = out.len();
    let line = &line[..n];
    for i in 0..n {
        out[i] = u8::from(line[i] > 0.0);
    }
    for other in earlier.into_iter().flatten() {
        let other = &other[..n];
        for i in 0..n {
            out[i] &= u8::from(!(other[i] >= line[i]));
        }
    }
    for other in later.into_iter().flatten() {
        let other = &other[..n];
        for i in 0..n {
            out[i] &= u8::from(!(other[i] > line[i]));
        }
    }
}

/// The top of the parabola through three values, within half a voxel.
pub(crate) fn parabola(before: f32, centre: f32, after: f32) -> f64 {
    let (before, centre, after) = (f64::from(before), f64::from(centre), f64::from(after));
    let bend = before - 2.0 * centre + after;
    if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}
