//! Options of the alignment.

use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Options for [`align`](crate::align()). Lengths are in spacings: the median distance of a fixed cell to its nearest one.
    pub struct AlignOptions("align") {
        /// Whether the two sides may differ in scale, as by swelling or clearing.
        pub scale: bool = false,
        /// With `scale`: the largest factor either way, above 1.
        pub max_scale: f64 = 4.0,
        /// Look for the map that mirrors, instead of refusing it.
        pub mirror: bool = false,
        /// How the fit is refined: `none` (turn, shift and scale alone), `affine` or `nonrigid`.
        pub deform: String = "nonrigid".to_string(),
        /// Width of the kernel of the smooth map in spacings, above 0. Larger is smoother. None: 8, or what `max_controls` allows.
        pub beta: Option<f64> = None,
        /// How much the smooth map is held back, above 0: about the share of a cell's pull that smoothness has when the search is one
        /// spacing wide.
        pub stiffness: f64 = 4.0,
        /// Control points of the smooth map at most; time grows with their cube, memory with their square.
        pub max_controls: usize = 1500,
        /// Width of the search at the beginning, in spacings. None: 1.25 from landmarks or a given map, 0.6 where cells
        /// were paired without them.
        pub start_width: Option<f64> = None,
        /// Width of the search at the end, in spacings, at most that at the beginning.
        pub end_width: f64 = 0.125,
        /// Share of moving cells taken to have no partner while the map is fitted; above 0 and below 1.
        pub outliers: f64 = 0.3,
        /// Farthest partner after alignment, in spacings, above 0.
        pub gate: f64 = 0.7,
        /// Pairs less probable than this are left out, above 0 and below 1.
        pub min_probability: f64 = 0.5,
        /// Displaced copies of each moving cell by which false matches are counted, at least 1.
        pub decoys: usize = 8,
        /// Moving cells tried as seeds where there are no landmarks, at least 1.
        pub tries: usize = 200,
        /// Pairs below which a result is not to be trusted.
        pub min_matches: usize = 10,
        /// False match rate above which a result is not to be trusted, at most 1.
        pub max_false_rate: f64 = 0.25,
        /// Width of the likeness of features, in their unit, above 0. None: half the median distance between cells of the two sides.
        pub feature_width: Option<f64> = None,
        /// Seed of the order of seeds and of the displacements.
        pub seed: u64 = 0,
    }
}

impl AlignOptions {
    fn check(&self) -> Result<()> {
        let above = |name: &str, value: f64| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(Error::parameter(name, "a finite number above 0", value))
            }
        };
        let share = |name: &str, value: f64| {
            if value > 0.0 && value < 1.0 { Ok(()) } else { Err(Error::parameter(name, "above 0 and below 1", value)) }
        };
        if !(self.max_scale > 1.0 && self.max_scale.is_finite()) {
            return Err(Error::parameter("max_scale", "a finite number above 1", self.max_scale));
        }
        if !["none", "affine", "nonrigid"].contains(&self.deform.as_str()) {
            return Err(Error::parameter("deform", "none, affine or nonrigid", &self.deform));
        }
        self.beta.map_or(Ok(()), |beta| above("beta", beta))?;
        self.start_width.map_or(Ok(()), |width| above("start_width", width))?;
        self.feature_width.map_or(Ok(()), |width| above("feature_width", width))?;
        above("stiffness", self.stiffness)?;
        above("end_width", self.end_width)?;
        above("gate", self.gate)?;
        share("outliers", self.outliers)?;
        share("min_probability", self.min_probability)?;
        if let Some(width) = self.start_width
            && width < self.end_width
        {
            return Err(Error::parameter("start_width", format!("at least `end_width` = {}", self.end_width), width));
        }
        for (name, value) in [("max_controls", self.max_controls), ("decoys", self.decoys), ("tries", self.tries)] {
            if value == 0 {
                return Err(Error::parameter(name, "at least 1", 0));
            }
        }
        if !(0.0..=1.0).contains(&self.max_false_rate) {
            return Err(Error::parameter("max_false_rate", "0 to 1", self.max_false_rate));
        }
        Ok(())
    }
}
