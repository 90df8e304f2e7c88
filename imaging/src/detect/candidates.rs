//! Places that may be cells: peaks of differences of Gaussians at two scales.

use zensaibo_core::Result;
use zensaibo_core::data::Grid;

use crate::blocks::{Border, pool};
use crate::filters::{Gaussian, GaussianOptions, LocalFilter};
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

    /// Responses of the inner part of a block that is padded by [`Self::halo`].
    pub(crate) fn apply(&self, padded: &Grid<f32>) -> Responses {
        let [_, second, third] = self.halos;
        let fine = self.steps[0].smoothed_copy(padded);
        let middle = self.steps[1].smoothed_copy(&fine);
        let first = difference(&fine, &middle, second, third);
        pool::give(fine.data);
        let coarse = self.steps[2].smoothed_copy(&middle);
        let last = difference(&middle, &coarse, third, [0; 3]);
        pool::give(middle.data);
        pool::give(coarse.data);
        Responses { scale: [first, last] }
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
    let kernel = difference(&narrow, &wide, halos[scale + 1], [0; 3]);
    kernel.data.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>().sqrt() as f32
}

/// `wide` taken from the part of `narrow` that lies `halo` inside, for the part that lies `trim` further inside.
fn difference(narrow: &Grid<f32>, wide: &Grid<f32>, halo: [usize; 3], trim: [usize; 3]) -> Grid<f32> {
    let shape: [usize; 3] = std::array::from_fn(|a| wide.shape[a] - 2 * trim[a]);
    let mut out = pool::take_grid(shape);
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            let from = halo[2] + trim[2];
            let line = &narrow.row(z + halo[0] + trim[0], y + halo[1] + trim[1])[from..from + shape[2]];
            let wide = &wide.row(z + trim[0], y + trim[1])[trim[2]..trim[2] + shape[2]];
            out.row_mut(z, y).iter_mut().zip(line.iter().zip(wide)).for_each(|(out, (a, b))| *out = a - b);
        }
    }
    out
}

/// Peaks among 26 neighbours of the part of a grid that lies in the volume (`inside`: first voxel and one past the last,
/// z, y, x); what lies beyond is a mirror image and does not count. A voxel at the border of the grid itself is no peak
/// unless the volume ends there. Of equal neighbours the first is the peak.
pub(crate) fn peaks(grid: &Grid<f32>, inside: [[usize; 2]; 3], mut found: impl FnMut([usize; 3])) {
    let shape = grid.shape;
    let [zs, ys, xs] = inside;
    let own: [[usize; 2]; 3] = std::array::from_fn(|a| [inside[a][0].max(1), inside[a][1].min(shape[a] - 1)]);
    // Whether the neighbours along the axes let a voxel be a peak; padded so that eight are looked at in one word.
    let mut hopeful = vec![0u8; shape[2].next_multiple_of(8)];
    for z in own[0][0]..own[0][1] {
        for y in own[1][0]..own[1][1] {
            let line = grid.row(z, y);
            let earlier = [(z > zs[0]).then(|| grid.row(z - 1, y)), (y > ys[0]).then(|| grid.row(z, y - 1))];
            let later = [(z + 1 < zs[1]).then(|| grid.row(z + 1, y)), (y + 1 < ys[1]).then(|| grid.row(z, y + 1))];
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
                    let (first, last) = (xs[0].max(x - 1), xs[1].min(x + 2));
                    let higher = (zs[0].max(z - 1)..zs[1].min(z + 2)).any(|nz| {
                        (ys[0].max(y - 1)..ys[1].min(y + 2)).any(|ny| {
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
