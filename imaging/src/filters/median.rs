//! The median of a neighbourhood.

use zensaibo_core::data::Grid;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Result};

use super::{Footprint, Form, LocalFilter};
use crate::blocks::pool;
use crate::space::{Spacing, check_lengths};

mod histogram;
mod network;

zensaibo_core::options! {
    /// Median of a neighbourhood.
    pub struct MedianOptions("im_median") {
        /// Voxels whose centres lie within this many micrometres along z, y and x belong to the neighbourhood; at most 500 voxels.
        pub radius: [f64; 3] = [1.0; 3],
        /// "box" or "ball" (an ellipsoid with these half axes).
        pub form: Form = Form::Box,
    }
}

impl MedianOptions {
    fn check(&self) -> Result<()> {
        check_lengths("radius", self.radius).map(|_| ())
    }
}

/// The middle of the voxels of a [`Footprint`]: scipy.ndimage's `median_filter` with `mode="reflect"`, exactly.
///
/// A box of 3 x 3 x 3 voxels goes through a sorting network on vector units, other neighbourhoods through a sliding
/// histogram: a voxel then costs about two updates for each line along x of the neighbourhood.
#[derive(Clone, Debug)]
pub struct Median {
    footprint: Footprint,
}

impl Median {
    /// The filter for voxels of a given spacing.
    ///
    /// # Errors
    /// [`zensaibo_core::Error::Parameter`] for options out of range, and a radius that reaches no neighbour.
    pub fn new(options: &MedianOptions, spacing: Spacing) -> Result<Self> {
        options.validate()?;
        Ok(Self { footprint: Footprint::new(options.radius, spacing, options.form)? })
    }

    /// The neighbourhood.
    pub fn footprint(&self) -> &Footprint {
        &self.footprint
    }
}

impl LocalFilter for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn halo(&self) -> [usize; 3] {
        self.footprint.radius
    }

    fn held(&self) -> usize {
        1
    }

    fn orders(&self) -> bool {
        true
    }

    fn apply(&self, padded: Grid<f32>, ctx: &Ctx) -> Result<Grid<f32>> {
        let radius = self.footprint.radius;
        let mut out = pool::take_grid(std::array::from_fn(|axis| padded.shape[axis] - 2 * radius[axis]));
        if self.footprint.form == Form::Box && radius == [1; 3] {
            network::median_of_27(&padded, &mut out, ctx)?;
        } else {
            histogram::median(&padded, &self.footprint, &mut out, ctx)?;
        }
        pool::give(padded.data);
        Ok(out)
    }
}
