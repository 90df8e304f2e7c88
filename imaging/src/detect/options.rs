//! What detection asks of its caller.

use zensaibo_core::{Error, Result, options};

options! {
    /// Detection of cells in a volume.
    pub struct DetectOptions("detect_cells") {
        /// Diameter of a cell body in micrometres, above 0. Every other length is a share of it.
        pub soma_diameter: f64 = 10.0,
        /// How many times longer a cell looks along z than across, 0.2 to 10: about 3 for thin light sheets of low aperture.
        /// None for that of the classifier, and 1 without one. Every length along z is as many times longer.
        pub elongation: Option<f64> = None,
        /// How far a cell must stand out, in local noise, above 0, when no classifier decides. Larger finds fewer
        /// cells. Ignored when a classifier is given.
        pub threshold: f64 = 5.0,
        /// Least local noise that is believed, as a share of the noise of tissue, 0 to 1: in black surroundings, where noise is
        /// next to nothing, a cell must stand out from this much. The noise of tissue is the level above which tiles of the volume hold
        /// half of all noise. 0 believes any.
        pub noise_floor: f64 = 0.2,
        /// Smallest probability of a cell that a classifier lets pass, between 0 and 1; none for the value that the
        /// classifier was trained with. Ignored without a classifier.
        pub min_score: Option<f64> = None,
        /// Smallest distance between two cells, as a share of the soma diameter, between 0 and 2: of two that are
        /// nearer, the one that stands out less is dropped and counted. Smaller splits more.
        pub min_distance: f64 = 0.6,
        /// Width of the edge zone as a share of the soma diameter, between 0 and 5: cells nearer than this to a border
        /// of the volume are marked, since part of them may lie outside.
        pub edge_zone: f64 = 0.5,
        /// Channel of the volume in which cells are sought, from 0.
        pub channel: usize = 0,
        /// Time point, from 0.
        pub time: usize = 0,
        /// Bytes of working memory; none for 2 GiB.
        pub memory: Option<u64> = None,
    }
}

impl DetectOptions {
    fn check(&self) -> Result<()> {
        let range = |name: &str, value: f64, low: f64, high: f64| {
            if value > low && value <= high {
                Ok(())
            } else {
                Err(Error::parameter(name, format!("a number above {low}, at most {high}"), value))
            }
        };
        range("soma_diameter", self.soma_diameter, 0.0, 1e4)?;
        if let Some(elongation) = self.elongation {
            check_elongation(elongation)?;
        }
        range("threshold", self.threshold, 0.0, 1e9)?;
        if let Some(score) = self.min_score
            && !(0.0..=1.0).contains(&score)
        {
            return Err(Error::parameter("min_score", "a probability between 0 and 1", score));
        }
        if !(0.0..=1.0).contains(&self.noise_floor) {
            return Err(Error::parameter("noise_floor", "a share between 0 and 1", self.noise_floor));
        }
        for (name, value, high) in [("min_distance", self.min_distance, 2.0), ("edge_zone", self.edge_zone, 5.0)] {
            if !(0.0..=high).contains(&value) {
                return Err(Error::parameter(name, format!("between 0 and {high} soma diameters"), value));
            }
        }
        Ok(())
    }
}

/// Refuses an elongation that no microscope gives.
pub(crate) fn check_elongation(elongation: f64) -> Result<()> {
    if (0.2..=10.0).contains(&elongation) {
        Ok(())
    } else {
        Err(Error::parameter("elongation", "a number between 0.2 and 10", elongation))
    }
}
