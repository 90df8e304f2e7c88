//! Options of organoids.

use zensaibo_core::{Error, Result, options};

options! {
    /// Options for [`organoids`](super::organoids).
    pub struct OrganoidOptions("im_organoid") {
        /// Least volume of an organoid in cubic micrometres, cavities included; smaller ones are left out.
        pub min_volume: f64 = 0.0,
        /// Least volume of a lumen in cubic micrometres; smaller cavities count as tissue.
        pub min_lumen_volume: f64 = 500.0,
        /// Least radius in micrometres of the largest ball that fits into a lumen; flatter cavities count as tissue.
        pub min_lumen_radius: f64 = 0.0,
        /// Width in micrometres of the holes through which a cavity may open to the outside and still be a lumen. 0: lumens
        /// are closed.
        pub max_opening: f64 = 0.0,
        /// With a picture: standard deviation in micrometres of the Gaussian before dark places are looked for.
        pub lumen_smoothing: f64 = 3.0,
        /// With a picture: what is darker than this inside an organoid is no tissue; absent: halfway between
        /// the median of its box outside of all organoids and the upper quartile inside it.
        pub lumen_level: Option<f64> = None,
    }
}

impl OrganoidOptions {
    fn check(&self) -> Result<()> {
        for (name, value, most) in [
            ("min_volume", self.min_volume, 1e18),
            ("min_lumen_volume", self.min_lumen_volume, 1e18),
            ("min_lumen_radius", self.min_lumen_radius, 1e6),
            ("max_opening", self.max_opening, 1e4),
            ("lumen_smoothing", self.lumen_smoothing, 1e4),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Error::parameter(name, format!("0 to {most:e}"), value));
            }
        }
        if let Some(level) = self.lumen_level
            && !level.is_finite()
        {
            return Err(Error::parameter("lumen_level", "a finite brightness", level));
        }
        Ok(())
    }
}
