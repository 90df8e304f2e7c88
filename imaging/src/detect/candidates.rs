//! Places that may be cells: peaks of differences of Gaussians at two scales.

use zensaibo_core::Result;
use zensaibo_core::data::Grid;

use crate::blocks::Border;
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
#[derive(Clone, Copy, Debug, PartialEq)]
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
    pub(crate) fn apply(&self, padded: Grid<f32>) -> Responses {
        let fine = self.steps[0].apply(padded);
        let middle = self.steps[1].apply(fine.clone());
        let first = difference(&fine, &middle, self.halos[1]);
        drop(fine);
        let coarse = self.steps[2].apply(middle.clone());
        let second = difference(&middle, &coarse, self.halos[2]);
        Responses { scale: [inner(first, self.halos[2]), second] }
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
        narrow = step.apply(narrow);
        (0..3).for_each(|a| halo[a] += extra[a]);
    }
    let wide = steps[scale + 1].apply(narrow.clone());
    let kernel = difference(&narrow, &wide, halos[scale + 1]);
    kernel.data.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>().sqrt() as f32
}

/// `wide` taken from the part of `narrow` that lies `halo` inside.
fn difference(narrow: &Grid<f32>, wide: &Grid<f32>, halo: [usize; 3]) -> Grid<f32> {
    let shape = wide.shape;
    let mut out = Vec::with_capacity(wide.data.len());
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            let line = &narrow.row(z + halo[0], y + halo[1])[halo[2]..halo[2] + shape[2]];
            out.extend(line.iter().zip(wide.row(z, y)).map(|(a, b)| a - b));
        }
    }
    Grid { shape, data: out }
}

/// The part that lies `halo` inside.
fn inner(grid: Grid<f32>, halo: [usize; 3]) -> Grid<f32> {
    let size = std::array::from_fn(|a| grid.shape[a] - 2 * halo[a]);
    grid.crop(&zensaibo_core::data::Region { start: halo, size })
}

/// Peaks among 26 neighbours of the part of a grid that lies in the volume (`inside`: first voxel and one past the last,
/// z, y, x); what lies beyond is a mirror image and does not count. A voxel at the border of the grid itself is no peak
/// unless the volume ends there. Of equal neighbours the first is the peak.
pub(crate) fn peaks(grid: &Grid<f32>, inside: [[usize; 2]; 3], mut found: impl FnMut([usize; 3])) {
    let shape = grid.shape;
    let [zs, ys, xs] = inside;
    let own: [[usize; 2]; 3] = std::array::from_fn(|a| [inside[a][0].max(1), inside[a][1].min(shape[a] - 1)]);
    for z in own[0][0]..own[0][1] {
        for y in own[1][0]..own[1][1] {
            let line = grid.row(z, y);
            for x in own[2][0]..own[2][1] {
                let value = line[x];
                let after = x + 1 < xs[1] && line[x + 1] > value;
                let before = x > xs[0] && line[x - 1] >= value;
                if value <= 0.0 || value.is_nan() || after || before {
                    continue;
                }
                let (first, last) = (xs[0].max(x - 1), xs[1].min(x + 2));
                let higher = (zs[0].max(z - 1)..zs[1].min(z + 2)).any(|nz| {
                    (ys[0].max(y - 1)..ys[1].min(y + 2)).any(|ny| {
                        if nz == z && ny == y {
                            return false;
                        }
                        // Equal neighbours that come before in raster order win.
                        let earlier = (nz, ny) < (z, y);
                        let other = &grid.row(nz, ny)[first..last];
                        if earlier { other.iter().any(|&o| o >= value) } else { other.iter().any(|&o| o > value) }
                    })
                });
                if !higher {
                    found([z, y, x]);
                }
            }
        }
    }
}

/// The top of the parabola through three values, within half a voxel.
pub(crate) fn parabola(before: f32, centre: f32, after: f32) -> f64 {
    let (before, centre, after) = (f64::from(before), f64::from(centre), f64::from(after));
    let bend = before - 2.0 * centre + after;
    if bend < 0.0 { (0.5 * (before - after) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}
