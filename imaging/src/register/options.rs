//! Options of registration.

use zensaibo_core::{Error, Result};

use super::similarity::Similarity;
use crate::space::Spacing;

/// Voxels of the finest level unless the caller says otherwise.
const MOST_VOXELS: f64 = 16e6;

zensaibo_core::options! {
    /// Registration of one volume to another.
    pub struct RegisterOptions("im_register") {
        /// How the images are compared for the affine map: "correlation" for stains that look alike, or
        /// "mutual_information" for any two.
        pub similarity: Similarity = Similarity::Correlation,
        /// Brightness above the background counts linearly up to this share of that of bright tissue and logarithmically
        /// beyond, which makes bright spots count less and the edge of tissue more. 0: linearly throughout.
        pub compression: f64 = 0.0,
        /// Whether the moving volume is a part of the fixed one: a hemisphere, a slab, tissue with a lobe missing. What
        /// lies beyond it then does not count.
        pub partial: bool = false,
        /// Weight of each channel in the likeness of volumes of several; empty: all alike.
        pub channel_weights: Vec<f64> = Vec::new(),
        /// How much landmarks count: at 1, a mean distance of a tenth of the half diagonal of the fixed volume costs as much
        /// as images that are not alike at all. 0: they are only measured.
        pub landmark_weight: f64 = 1.0,
        /// Whether all 24 ways to turn the moving volume by right angles are tried, rather than what the headers say.
        pub try_orientations: bool = true,
        /// Whether a deformation follows the affine map.
        pub deform: bool = true,
        /// Spacing of the finest level in micrometres; absent: that of the fixed volume, or coarser where it has more
        /// than 16 million voxels.
        pub finest: Option<f64> = None,
        /// Steps at most at each level of the deformation, from the coarsest (each level is twice as fine as the one
        /// before). More are slower and fit more closely.
        pub iterations: Vec<usize> = vec![100, 100, 60, 40],
        /// Voxels of a level to each side of the window in which images are correlated. Larger is slower and follows
        /// coarser structure.
        pub radius: usize = 2,
        /// Smoothing of each step: standard deviation in voxels of a level. Larger makes stiffer deformations. One number
        /// for all levels, or several of which the last is for the finest level and the first for all that remain.
        pub step_smoothing: Vec<f64> = vec![4.0, 2.0],
        /// Smoothing of the whole deformation after each step: as `step_smoothing`.
        pub total_smoothing: Vec<f64> = vec![1.5, 0.5],
        /// Detail of the deformation (what smoothing by some 4 voxels of a level would take away) that is shorter than so many
        /// voxels of the level is taken for noise at its end and left out; from 1.4 times this on it stays. 0: all stays,
        /// which fits the images more closely and the places less.
        pub least_detail: f64 = 0.35,
        /// Longest displacement of a step, in voxels of a level.
        pub step: f64 = 0.5,
    }
}

impl RegisterOptions {
    /// Micrometres per voxel of the finest level of a registration to a grid.
    pub(super) fn finest_to(&self, shape: [usize; 3], spacing: Spacing) -> f64 {
        self.finest.unwrap_or_else(|| {
            let volume = spacing.volume() * shape.into_iter().product::<usize>() as f64;
            spacing.um().into_iter().fold(0.0, f64::max).max((volume / MOST_VOXELS).cbrt())
        })
    }

    /// Weights of `channels` channels, together 1.
    pub(super) fn shares(&self, channels: usize) -> Vec<f64> {
        if self.channel_weights.is_empty() {
            return vec![1.0 / channels as f64; channels];
        }
        let total: f64 = self.channel_weights.iter().sum();
        self.channel_weights.iter().map(|weight| weight / total).collect()
    }

    /// Smoothing of steps and of the whole at each of `levels` levels, from the coarsest.
    pub(super) fn smoothing(&self, levels: usize) -> Vec<[f64; 2]> {
        let of =
            |values: &[f64], level: usize| values[(values.len() + level).saturating_sub(levels).min(values.len() - 1)];
        (0..levels).map(|level| [of(&self.step_smoothing, level), of(&self.total_smoothing, level)]).collect()
    }

    fn check(&self) -> Result<()> {
        if let Some(finest) = self.finest
            && !(finest > 0.0 && finest.is_finite())
        {
            return Err(Error::parameter("finest", "micrometres above 0", finest));
        }
        if self.deform && (self.iterations.is_empty() || self.iterations.len() > 10) {
            return Err(Error::parameter(
                "iterations",
                "1 to 10 numbers, one per level",
                format!("{:?}", self.iterations),
            ));
        }
        if self.channel_weights.iter().any(|&weight| !(weight >= 0.0 && weight.is_finite()))
            || (!self.channel_weights.is_empty() && self.channel_weights.iter().sum::<f64>() <= 0.0)
        {
            let expected = "numbers of at least 0, not all 0";
            return Err(Error::parameter("channel_weights", expected, format!("{:?}", self.channel_weights)));
        }
        if !(1..=16).contains(&self.radius) {
            return Err(Error::parameter("radius", "1 to 16 voxels", self.radius));
        }
        for (name, values) in [("step_smoothing", &self.step_smoothing), ("total_smoothing", &self.total_smoothing)] {
            if values.is_empty() || values.iter().any(|value| !(0.0..=50.0).contains(value)) {
                return Err(Error::parameter(name, "one or more numbers from 0 to 50", format!("{values:?}")));
            }
        }
        for (name, value, most) in [
            ("step", self.step, 1.0),
            ("least_detail", self.least_detail, 100.0),
            ("compression", self.compression, 100.0),
            ("landmark_weight", self.landmark_weight, 1e6),
        ] {
            if !((0.0..=most).contains(&value) && (name != "step" || value > 0.0)) {
                return Err(Error::parameter(name, format!("0 to {most}"), value));
            }
        }
        Ok(())
    }
}
