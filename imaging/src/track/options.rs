//! Options of tracking.

use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Detections over time to tracks with divisions.
    pub struct TrackOptions("im_track") {
        /// Farthest that a cell moves from one time point to the next, beyond the common drift; micrometres.
        /// Larger is slower, and admits more wrong links where cells are dense.
        pub max_speed: f64 = 10.0,
        /// Time points that a track may miss between two detections. 0 closes no gaps.
        pub max_gap: usize = 1,
        /// Whether cells may divide.
        pub divisions: bool = true,
        /// Farthest that a daughter appears from its mother, beyond the common drift; micrometres. None: `max_speed`.
        pub max_division_distance: Option<f64> = None,
        /// Whether the motion that all cells share from one time point to the next is estimated and taken out.
        pub drift: bool = true,
        /// Quantile of the costs of links from which the cost of ending and beginning a track is taken.
        pub quantile: f64 = 0.95,
        /// How many times that quantile it costs to end a track and begin another instead of a link. Larger links more.
        pub unlinked: f64 = 3.0,
        /// Largest number of passes in which the motion is learned from the links and the links are solved again.
        pub passes: usize = 6,
    }
}

impl TrackOptions {
    pub(super) fn check(&self) -> Result<()> {
        if !(self.max_speed > 0.0 && self.max_speed.is_finite()) {
            return Err(Error::parameter("max_speed", "a finite distance above 0", self.max_speed));
        }
        if let Some(distance) = self.max_division_distance
            && !(distance > 0.0 && distance.is_finite())
        {
            return Err(Error::parameter("max_division_distance", "a finite distance above 0, or none", distance));
        }
        if self.max_gap > 1000 {
            return Err(Error::parameter("max_gap", "at most 1000 time points", self.max_gap));
        }
        if !(self.quantile > 0.0 && self.quantile <= 1.0) {
            return Err(Error::parameter("quantile", "a share above 0, at most 1", self.quantile));
        }
        if !(self.unlinked > 0.0 && self.unlinked.is_finite()) {
            return Err(Error::parameter("unlinked", "a finite number above 0", self.unlinked));
        }
        if !(1..=100).contains(&self.passes) {
            return Err(Error::parameter("passes", "1 to 100", self.passes));
        }
        Ok(())
    }

    /// Farthest of a daughter from its mother.
    pub(super) fn division_distance(&self) -> f64 {
        self.max_division_distance.unwrap_or(self.max_speed)
    }
}
