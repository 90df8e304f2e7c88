//! Gaussian smoothing by three one-dimensional sums.

use zensaibo_core::data::Grid;
use zensaibo_core::options::Options;
use zensaibo_core::{Error, Result};

use super::LocalFilter;
use crate::blocks::Border;
use crate::space::{Spacing, check_lengths};

/// A Gaussian, cut off at a number of standard deviations as scipy.ndimage does (`truncate`, 4 by default).
#[derive(Clone, Debug)]
pub struct Gaussian {
    /// One half of each kernel, from its centre outwards; z, y, x.
    weights: [Vec<f32>; 3],
    border: Border,
}

zensaibo_core::options! {
    /// Gaussian smoothing.
    pub struct GaussianOptions("im_gaussian") {
        /// Standard deviation along z, y and x in micrometres. Larger smooths more.
        pub sigma: [f64; 3] = [1.0; 3],
        /// Standard deviations at which the kernel is cut off. Larger is slower and closer to a true Gaussian.
        pub truncate: f64 = 4.0,
        /// What lies beyond the volume: "reflect", "mirror", "nearest" or "zero".
        pub border: Border = Border::Reflect,
    }
}

impl GaussianOptions {
    fn check(&self) -> Result<()> {
        check_lengths("sigma", self.sigma)?;
        if !(self.truncate > 0.0 && self.truncate <= 100.0) {
            let expected = "a number of standard deviations above 0, at most 100";
            return Err(Error::parameter("truncate", expected, self.truncate));
        }
        Ok(())
    }
}

impl Gaussian {
    /// The filter for voxels of a given spacing.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options out of range, or a kernel beyond 10,000 voxels.
    pub fn new(options: &GaussianOptions, spacing: Spacing) -> Result<Self> {
        options.validate()?;
        let um = spacing.um();
        let mut weights: [Vec<f32>; 3] = Default::default();
        for axis in 0..3 {
            weights[axis] = half_kernel(options.sigma[axis] / um[axis], options.truncate)?;
        }
        Ok(Self { weights, border: options.border })
    }
}

/// Weights from the centre outwards for a standard deviation in voxels; the whole kernel sums to 1.
fn half_kernel(sigma: f64, truncate: f64) -> Result<Vec<f32>> {
    let radius = (truncate * sigma + 0.5) as usize;
    if radius > 10_000 {
        return Err(Error::parameter("sigma", "a kernel of at most 10000 voxels to each side", radius));
    }
    if radius == 0 {
        return Ok(vec![1.0]);
    }
    let weights: Vec<f64> = (0..=radius).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    Ok(weights.iter().map(|weight| (weight / total) as f32).collect())
}

impl LocalFilter for Gaussian {
    fn name(&self) -> &'static str {
        "gaussian"
    }

    fn halo(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.weights[axis].len() - 1)
    }

    fn border(&self) -> Border {
        self.border
    }

    fn held(&self) -> usize {
        2
    }

    fn apply(&self, padded: Grid<f32>) -> Grid<f32> {
        (0..3).fold(padded, |grid, axis| symmetric(grid, axis, &self.weights[axis]))
    }
}

/// Correlates with a symmetric kernel along one axis; the result is shorter by twice the radius.
pub(crate) fn symmetric(grid: Grid<f32>, axis: usize, half: &[f32]) -> Grid<f32> {
    let radius = half.len() - 1;
    if radius == 0 && half[0] == 1.0 {
        return grid;
    }
    let mut shape = grid.shape;
    shape[axis] -= 2 * radius;
    let mut out = Grid::filled(shape, 0f32);
    let [_, height, width] = shape;
    match axis {
        2 => {
            for z in 0..shape[0] {
                for y in 0..height {
                    weigh(grid.row(z, y), half, 1, out.row_mut(z, y));
                }
            }
        }
        // Along y and z whole stretches of lines are weighed at once: the step from one to the next is a line or a plane.
        1 => {
            let plane = grid.shape[1] * width;
            for z in 0..shape[0] {
                weigh(
                    &grid.data[z * plane..(z + 1) * plane],
                    half,
                    width,
                    &mut out.data[z * height * width..(z + 1) * height * width],
                );
            }
        }
        _ => weigh(&grid.data, half, height * width, &mut out.data),
    }
    out
}

/// `out[i] = half[0] * line[i + r*step] + sum_k half[k] * (line[i + (r-k)*step] + line[i + (r+k)*step])`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+fma", "x86_64+avx2+fma"))]
fn weigh(line: &[f32], half: &[f32], step: usize, out: &mut [f32]) {
    const STRETCH: usize = 512;
    let radius = half.len() - 1;
    // A stretch of results stays in the first cache while all its neighbours are added, nearest last.
    for (part, out) in out.chunks_mut(STRETCH).enumerate() {
        let start = part * STRETCH + radius * step;
        let n = out.len();
        let centre = &line[start..start + n];
        out.iter_mut().zip(centre).for_each(|(out, &value)| *out = half[0] * value);
        for k in 1..=radius {
            let weight = half[k];
            let (before, after) = (&line[start - k * step..][..n], &line[start + k * step..][..n]);
            for i in 0..n {
                out[i] = weight.mul_add(before[i] + after[i], out[i]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::data::{Dtype, Frame, Region, VolumeInfo};
    use zensaibo_core::random::Stream;

    use super::*;
    use crate::blocks::{Plan, read_padded};

    #[test]
    fn equals_the_triple_sum_and_does_not_depend_on_the_cuts() {
        let shape = [9, 14, 23];
        let mut random = Stream::new(1, 0);
        let data = (0..shape.iter().product()).map(|_| random.uniform() as f32).collect();
        let volume = (VolumeInfo::plain("noise", shape, Dtype::F32), Grid { shape, data });
        let spacing = Spacing::new([2.0, 1.0, 0.5]).unwrap();
        let options = GaussianOptions { sigma: [1.5, 1.2, 1.1], truncate: 3.0, ..Default::default() };
        let filter = Gaussian::new(&options, spacing).unwrap();
        let run = |block| {
            let plan = Plan::with_block(shape, block, filter.halo());
            let mut out = Grid::filled(shape, 0f32);
            for i in 0..plan.len() {
                let region = plan.region(i);
                let padded = read_padded(&volume, Frame::default(), &region, filter.halo(), Border::Reflect).unwrap();
                out.paste(&filter.apply(padded), region.start);
            }
            out
        };
        let all = run(shape);
        for block in [[1, 1, 1], [4, 5, 6], [9, 3, 23], [2, 14, 7]] {
            assert_eq!(run(block), all);
        }
        let whole = Region::whole(shape);
        let padded = read_padded(&volume, Frame::default(), &whole, filter.halo(), Border::Reflect).unwrap();
        let halo = filter.halo();
        let at = [4, 0, 22];
        let mut sum = 0.0f64;
        for z in 0..=2 * halo[0] {
            for y in 0..=2 * halo[1] {
                for x in 0..=2 * halo[2] {
                    let weight: f64 = [z, y, x]
                        .iter()
                        .enumerate()
                        .map(|(a, &k)| f64::from(filter.weights[a][k.abs_diff(halo[a])]))
                        .product();
                    sum += weight * f64::from(padded.at(at[0] + z, at[1] + y, at[2] + x));
                }
            }
        }
        assert!((sum - f64::from(all.at(at[0], at[1], at[2]))).abs() < 1e-6);
    }

    #[test]
    fn bad_lengths_are_refused() {
        let bad = |sigma, truncate| {
            let options = GaussianOptions { sigma, truncate, ..Default::default() };
            Gaussian::new(&options, Spacing::voxels()).unwrap_err().to_string()
        };
        assert!(bad([-1.0, 1.0, 1.0], 4.0).contains("axis z"));
        assert!(bad([1.0, f64::NAN, 1.0], 4.0).contains("axis y"));
        assert!(bad([1.0; 3], 0.0).contains("truncate"));
    }
}
