//! Micrometres and voxels: the one place where one becomes the other.

pub(crate) mod near;

use zensaibo_core::data::check_spacing;
use zensaibo_core::{Error, Result};

/// Micrometres per voxel along z, y and x, checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spacing([f64; 3]);

impl Spacing {
    /// A checked spacing.
    ///
    /// # Errors
    /// [`Error::Parameter`] for values that no microscope has.
    pub fn new(spacing: [f64; 3]) -> Result<Self> {
        Ok(Self(check_spacing(spacing)?))
    }

    /// One micrometre along every axis: for lengths that are given in voxels.
    pub fn voxels() -> Self {
        Self([1.0; 3])
    }

    /// Micrometres per voxel.
    pub fn um(&self) -> [f64; 3] {
        self.0
    }

    /// Micrometres cubed per voxel.
    pub fn volume(&self) -> f64 {
        self.0.iter().product()
    }

    /// The spacing in which bodies that look `elongation` times longer along z are as long as they are wide.
    pub(crate) fn compressed(&self, elongation: f64) -> Self {
        Self([self.0[0] / elongation, self.0[1], self.0[2]])
    }

    /// A length in micrometres as voxels along each axis, not rounded.
    pub fn to_voxels(&self, um: f64) -> [f64; 3] {
        self.0.map(|spacing| um / spacing)
    }

    /// A place in voxels (of centres) in micrometres.
    pub fn point_um(&self, voxel: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| voxel[axis] * self.0[axis])
    }

    /// A place in micrometres in voxels (of centres).
    pub fn point_voxels(&self, um: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| um[axis] / self.0[axis])
    }
}

/// Refuses lengths that are negative or not finite.
///
/// # Errors
/// [`Error::Parameter`] naming the parameter and the axis.
pub fn check_lengths(name: &str, lengths: [f64; 3]) -> Result<[f64; 3]> {
    for (axis, &value) in ["z", "y", "x"].iter().zip(&lengths) {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::parameter(format!("{name}, axis {axis}"), "a finite length of at least 0", value));
        }
    }
    Ok(lengths)
}
