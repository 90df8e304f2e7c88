//! Neighbourhoods: boxes and balls, from micrometres.

use serde::{Deserialize, Serialize};
use zensaibo_core::{Error, Result};

use crate::space::{Spacing, check_lengths};

/// The form of a neighbourhood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// All voxels within the radius along each axis.
    #[default]
    Box,
    /// All voxels within the ellipsoid that the radii span.
    Ball,
}

/// The voxels around a voxel whose centres lie within a radius; always symmetric, so it counts an odd number.
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    pub(super) form: Form,
    /// Voxels to each side along z, y and x.
    pub(super) radius: [usize; 3],
    /// Lines along x that it is made of: steps along z and y, and voxels to each side along x.
    pub(super) lines: Vec<[isize; 3]>,
}

impl Footprint {
    /// Voxels whose centres lie within `radius` micrometres along z, y and x: in a box, or in an ellipsoid of these half axes. A radius
    /// below the spacing leaves the axis out.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a radius that is negative, not finite or above 500 voxels, and for one that leaves only the voxel itself.
    pub fn new(radius: [f64; 3], spacing: Spacing, form: Form) -> Result<Self> {
        let um = spacing.um();
        let reach: [f64; 3] = {
            let radius = check_lengths("radius", radius)?;
            std::array::from_fn(|axis| radius[axis] / um[axis])
        };
        if let Some(&far) = reach.iter().find(|&&reach| reach > 500.0) {
            return Err(Error::parameter("radius", "at most 500 voxels", format!("{far:.0} voxels")));
        }
        // A hair more, so that 6 um reaches three voxels of 2 um whatever the rounding.
        let voxels = reach.map(|reach| (reach + 1e-9) as usize);
        if voxels == [0; 3] {
            let found = format!("{radius:?} with a spacing of {um:?}");
            return Err(Error::parameter("radius", "micrometres that reach at least one neighbour", found));
        }
        let mut lines = Vec::new();
        let part = |step: isize, axis: usize| {
            if voxels[axis] == 0 { 0.0 } else { (step as f64 / reach[axis]).powi(2) }
        };
        let [depth, height, width] = voxels.map(|n| n as isize);
        for z in -depth..=depth {
            for y in -height..=height {
                match form {
                    Form::Box => lines.push([z, y, width]),
                    Form::Ball => {
                        let left = 1.0 + 1e-9 - part(z, 0) - part(y, 1);
                        if left >= 0.0 {
                            let half = (left.sqrt() * reach[2] + 1e-9) as isize;
                            lines.push([z, y, half.min(width)]);
                        }
                    }
                }
            }
        }
        Ok(Self { form, radius: voxels, lines })
    }

    /// Voxels to each side along z, y and x.
    pub fn radius(&self) -> [usize; 3] {
        self.radius
    }

    /// Number of voxels.
    pub fn len(&self) -> usize {
        self.lines.iter().map(|line| 2 * line[2] as usize + 1).sum()
    }

    /// Never: the voxel itself belongs to it.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether a step belongs to it.
    pub fn contains(&self, step: [isize; 3]) -> bool {
        self.lines.iter().any(|line| line[..2] == step[..2] && step[2].abs() <= line[2])
    }
}
