//! Local contrast normalisation.

use zensaibo_core::data::Grid;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::gaussian::check_truncate;
use super::{Gaussian, GaussianOptions, LocalFilter, inner_part, subtract};
use crate::blocks::{Border, pool};
use crate::space::{Spacing, check_lengths};

/// A standard deviation below this share of the local mean is rounding, not structure.
const ROUNDING: f32 = 1e-5;

zensaibo_core::options! {
    /// Local contrast normalisation.
    pub struct LocalContrastOptions("im_local_contrast") {
        /// Standard deviation of the window of the local mean along z, y and x, in micrometres. Some times the size of what shall
        /// stand out; smaller takes away more.
        pub sigma: [f64; 3] = [20.0; 3],
        /// Standard deviation of the window of the local standard deviation; none for the same as `sigma`.
        pub sigma_deviation: Option<[f64; 3]> = None,
        /// Standard deviations of intensity below this count as this: the noise of empty regions is not blown up.
        pub floor: f64 = 0.0,
        /// Standard deviations at which the windows are cut off.
        pub truncate: f64 = 4.0,
    }
}

impl LocalContrastOptions {
    fn check(&self) -> Result<()> {
        check_lengths("sigma", self.sigma)?;
        check_lengths("sigma_deviation", self.sigma_deviation.unwrap_or(self.sigma))?;
        if !(self.floor >= 0.0 && self.floor.is_finite()) {
            return Err(Error::parameter("floor", "a finite number of intensity units of at least 0", self.floor));
        }
        check_truncate(self.truncate)
    }
}

/// Each voxel less the mean around it, divided by the standard deviation around it: dim and bright regions come to the same
/// contrast. Mean and variance are weighted by Gaussians; the variance is that of the voxels less their own local
/// means (Sage and Unser, IEEE Signal Process. Mag. 20(6), 43-52, 2003), which loses no digits where the background is high.
#[derive(Clone, Debug)]
pub struct LocalContrast {
    mean: Gaussian,
    deviation: Gaussian,
    floor: f32,
}

impl LocalContrast {
    /// The filter for voxels of a given spacing. Where there is no deviation at all, the result is 0.
    ///
    /// # Errors
    /// [`Error::Parameter`] for options out of range, and windows of one voxel or beyond 10,000.
    pub fn new(options: &LocalContrastOptions, spacing: Spacing) -> Result<Self> {
        options.validate()?;
        let window = |sigma| {
            let options = GaussianOptions { sigma, truncate: options.truncate, border: Border::Reflect };
            Gaussian::new(&options, spacing)
        };
        let filter = Self {
            mean: window(options.sigma)?,
            deviation: window(options.sigma_deviation.unwrap_or(options.sigma))?,
            floor: options.floor as f32,
        };
        for (name, window) in [("sigma", &filter.mean), ("sigma_deviation", &filter.deviation)] {
            if window.halo() == [0; 3] {
                return Err(Error::parameter(name, "a window wider than one voxel", "0 voxels to each side"));
            }
        }
        Ok(filter)
    }
}

impl LocalFilter for LocalContrast {
    fn name(&self) -> &'static str {
        "local contrast"
    }

    fn halo(&self) -> [usize; 3] {
        let (mean, deviation) = (self.mean.halo(), self.deviation.halo());
        std::array::from_fn(|axis| mean[axis] + deviation[axis])
    }

    fn held(&self) -> usize {
        4
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        ctx.check()?;
        let around = self.deviation.halo();
        let voxels = inner_part(&padded, self.mean.halo());
        let means = self.mean.smoothed(padded);
        let local = inner_part(&means, around);
        let difference = subtract(voxels, means);
        let mut out = inner_part(&difference, around);
        let mut square = difference;
        square.data.iter_mut().for_each(|value| *value *= *value);
        let variance = self.deviation.smoothed(square);
        for ((out, &variance), &mean) in out.data.iter_mut().zip(&variance.data).zip(&local.data) {
            let deviation = variance.sqrt();
            // Not a comparison that NaN would pass: NaN spreads, as from any other filter.
            let real = !(deviation <= ROUNDING * mean.abs());
            *out = if real || self.floor > 0.0 { *out / deviation.max(self.floor) } else { 0.0 };
        }
        pool::give(variance.data);
        pool::give(local.data);
        Ok(out)
    }
}
