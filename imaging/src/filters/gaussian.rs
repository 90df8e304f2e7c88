//! Gaussian smoothing by three one-dimensional sums.

use zensaibo_core::data::Grid;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::LocalFilter;
use super::separable::{Half, Kernel, Seen};
use crate::blocks::Border;
use crate::space::{Spacing, check_lengths};

/// A Gaussian, cut off at a number of standard deviations as scipy.ndimage does (`truncate`, 4 by default).
#[derive(Clone, Debug)]
pub struct Gaussian {
    kernel: Kernel,
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
        check_truncate(self.truncate)
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
        let mut smooth: [Half; 3] = Default::default();
        for axis in 0..3 {
            smooth[axis] = narrow(&half_kernel(options.sigma[axis] / um[axis], options.truncate)?);
        }
        Ok(Self { kernel: Kernel::Product { smooth }, border: options.border })
    }

    /// The inner part of a block that is padded by the halo, smoothed.
    pub fn smoothed(&self, padded: Grid<f32>) -> Grid<f32> {
        self.kernel.apply(padded)
    }

    /// What lies within the halo of `seen`, smoothed; with `narrow`, of that shape, that less what is smoothed.
    pub(crate) fn smoothed_part(&self, seen: &Seen<'_>, narrow: Option<&Seen<'_>>) -> Grid<f32> {
        self.kernel.applied(seen, narrow)
    }

    /// As [`Gaussian::smoothed`], of a block that is still needed.
    pub(crate) fn smoothed_copy(&self, padded: &Grid<f32>) -> Grid<f32> {
        self.kernel.applied_to(padded)
    }
}

/// Refuses a cut-off that no kernel has.
pub(super) fn check_truncate(truncate: f64) -> Result<()> {
    if !(truncate > 0.0 && truncate <= 100.0) {
        return Err(Error::parameter("truncate", "a number of standard deviations above 0, at most 100", truncate));
    }
    Ok(())
}

/// Weights from the centre outwards for a standard deviation in voxels; the whole kernel sums to 1.
pub(super) fn half_kernel(sigma: f64, truncate: f64) -> Result<Vec<f64>> {
    let radius = (truncate * sigma + 0.5) as usize;
    if radius > 10_000 {
        return Err(Error::parameter("sigma", "a kernel of at most 10000 voxels to each side", radius));
    }
    if radius == 0 {
        return Ok(vec![1.0]);
    }
    let weights: Vec<f64> = (0..=radius).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    Ok(weights.iter().map(|weight| weight / total).collect())
}

/// Weights as they are applied.
pub(super) fn narrow(half: &[f64]) -> Half {
    half.iter().map(|&weight| weight as f32).collect()
}

impl LocalFilter for Gaussian {
    fn name(&self) -> &'static str {
        "gaussian"
    }

    fn halo(&self) -> [usize; 3] {
        self.kernel.radius()
    }

    fn border(&self) -> Border {
        self.border
    }

    fn held(&self) -> usize {
        2
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        ctx.check()?;
        Ok(self.smoothed(padded))
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
        let shape = [9, 14, 150];
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
                out.paste(&filter.smoothed(padded), region.start);
            }
            out
        };
        let all = run(shape);
        for block in [[1, 1, 1], [4, 5, 6], [9, 3, 150], [2, 14, 71]] {
            assert_eq!(run(block), all);
        }
        let whole = Region::whole(shape);
        let padded = read_padded(&volume, Frame::default(), &whole, filter.halo(), Border::Reflect).unwrap();
        let halo = filter.halo();
        let Kernel::Product { smooth } = &filter.kernel else { panic!() };
        let at = [4, 0, 22];
        let mut sum = 0.0f64;
        for z in 0..=2 * halo[0] {
            for y in 0..=2 * halo[1] {
                for x in 0..=2 * halo[2] {
                    let weight: f64 =
                        [z, y, x].iter().enumerate().map(|(a, &k)| f64::from(smooth[a][k.abs_diff(halo[a])])).product();
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
