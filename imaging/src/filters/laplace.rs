//! Blobs of a given size: the Laplacian of a Gaussian, and the difference of two Gaussians.

use zensaibo_core::data::Grid;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::gaussian::{check_truncate, half_kernel, narrow};
use super::separable::{Half, Kernel};
use super::{Gaussian, GaussianOptions, LocalFilter, inner_part, subtract};
use crate::blocks::Border;
use crate::space::{Spacing, check_lengths};

zensaibo_core::options! {
    /// Laplacian of a Gaussian.
    pub struct LaplacianOptions("im_gaussian_laplace") {
        /// Standard deviation along z, y and x in micrometres; 0 leaves an axis out: neither smoothed nor differentiated.
        pub sigma: [f64; 3] = [1.0; 3],
        /// Multiply each second derivative by its sigma squared, so that responses of different sizes compare.
        pub normalized: bool = false,
        /// Standard deviations at which the kernel is cut off.
        pub truncate: f64 = 4.0,
        /// What lies beyond the volume: "reflect", "mirror", "nearest" or "zero".
        pub border: Border = Border::Reflect,
    }
}

impl LaplacianOptions {
    fn check(&self) -> Result<()> {
        check_truncate(self.truncate)?;
        if check_lengths("sigma", self.sigma)? == [0.0; 3] {
            return Err(Error::parameter("sigma", "above 0 along at least one axis", 0.0));
        }
        Ok(())
    }
}

/// The sum of the second derivatives of a volume that is smoothed by a Gaussian: scipy.ndimage's `gaussian_laplace`, with
/// derivatives per square micrometre. Bright blobs of radius `sqrt(3) * sigma` give the most negative values.
///
/// Six one-dimensional sums a voxel where three filters would take nine.
#[derive(Clone, Debug)]
pub struct Laplacian {
    kernel: Kernel,
    border: Border,
}

impl Laplacian {
    /// The filter for voxels of a given spacing. Normalised as in Lindeberg, Int. J. Comput. Vis. 30, 79-116, 1998.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options out of range, a sigma above 0 and too small for the voxels (below 0.5 / truncate of
    /// one), or a kernel beyond 10,000 voxels.
    pub fn new(options: &LaplacianOptions, spacing: Spacing) -> Result<Self> {
        options.validate()?;
        let LaplacianOptions { sigma, normalized, truncate, border } = *options;
        let um = spacing.um();
        let (mut smooth, mut bent): ([Half; 3], [Half; 3]) = Default::default();
        for (axis, name) in ["z", "y", "x"].iter().enumerate() {
            let voxels = sigma[axis] / um[axis];
            let half = half_kernel(voxels, truncate)?;
            if half.len() == 1 && voxels > 0.0 {
                let least = 0.5 / truncate * um[axis];
                return Err(Error::parameter(
                    format!("sigma, axis {name}"),
                    format!("0, or at least {least} um (a kernel of one neighbour)"),
                    sigma[axis],
                ));
            }
            // The second derivative per voxel squared, as per micrometre squared or per sigma squared.
            let scale = if normalized { voxels * voxels } else { 1.0 / (um[axis] * um[axis]) };
            let second = half.iter().enumerate().map(|(x, weight)| {
                let x = x as f64 / voxels;
                if voxels > 0.0 { weight * (x * x - 1.0) / (voxels * voxels) * scale } else { 0.0 }
            });
            bent[axis] = second.map(|weight| weight as f32).collect();
            smooth[axis] = narrow(&half);
        }
        Ok(Self { kernel: Kernel::SumOfBent { smooth, bent }, border })
    }
}

impl LocalFilter for Laplacian {
    fn name(&self) -> &'static str {
        "laplacian of gaussian"
    }

    fn halo(&self) -> [usize; 3] {
        self.kernel.radius()
    }

    fn border(&self) -> Border {
        self.border
    }

    fn held(&self) -> usize {
        1
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        ctx.check()?;
        Ok(self.kernel.apply(padded))
    }
}

zensaibo_core::options! {
    /// Difference of two Gaussians.
    pub struct DifferenceOfGaussiansOptions("im_difference_of_gaussians") {
        /// Standard deviation of the narrow Gaussian along z, y and x in micrometres.
        pub low_sigma: [f64; 3] = [1.0; 3],
        /// Standard deviation of the wide Gaussian; at least `low_sigma` along each axis, more along one.
        pub high_sigma: [f64; 3] = [1.6; 3],
        /// Standard deviations at which the kernels are cut off.
        pub truncate: f64 = 4.0,
        /// What lies beyond the volume: "reflect", "mirror", "nearest" or "zero".
        pub border: Border = Border::Reflect,
    }
}

impl DifferenceOfGaussiansOptions {
    fn check(&self) -> Result<()> {
        check_truncate(self.truncate)?;
        let (low, high) = (check_lengths("low_sigma", self.low_sigma)?, check_lengths("high_sigma", self.high_sigma)?);
        if (0..3).any(|axis| high[axis] < low[axis]) || low == high {
            let expected = format!("at least low_sigma {low:?} along each axis, and more along one");
            return Err(Error::parameter("high_sigma", expected, format!("{high:?}")));
        }
        Ok(())
    }
}

/// A narrow Gaussian less a wide one: bright blobs between the two in size.
#[derive(Clone, Debug)]
pub struct DifferenceOfGaussians {
    low: Gaussian,
    high: Gaussian,
}

impl DifferenceOfGaussians {
    /// The filter for voxels of a given spacing.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options out of range, or a kernel beyond 10,000 voxels.
    pub fn new(options: &DifferenceOfGaussiansOptions, spacing: Spacing) -> Result<Self> {
        options.validate()?;
        let one = |sigma| {
            let options = GaussianOptions { sigma, truncate: options.truncate, border: options.border };
            Gaussian::new(&options, spacing)
        };
        Ok(Self { low: one(options.low_sigma)?, high: one(options.high_sigma)? })
    }
}

impl LocalFilter for DifferenceOfGaussians {
    fn name(&self) -> &'static str {
        "difference of gaussians"
    }

    fn halo(&self) -> [usize; 3] {
        self.high.halo()
    }

    fn border(&self) -> Border {
        self.high.border()
    }

    fn held(&self) -> usize {
        3
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        ctx.check()?;
        let (low, high) = (self.low.halo(), self.high.halo());
        let inner = inner_part(&padded, std::array::from_fn(|axis| high[axis] - low[axis]));
        Ok(subtract(self.low.smoothed(inner), self.high.smoothed(padded)))
    }
}
