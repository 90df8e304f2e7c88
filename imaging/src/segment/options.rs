//! Options of segmentation.

use zensaibo_core::{Error, Result, options};

use crate::morphology::Connectivity;

options! {
    /// Options for [`watershed`](super::watershed).
    pub struct WatershedOptions("im_watershed") {
        /// Neighbours that water flows to: 6, 18 or 26.
        pub connectivity: Connectivity = Connectivity::Faces,
    }
}

impl WatershedOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

options! {
    /// Options for [`segment_nuclei`](super::segment_nuclei).
    pub struct NucleiOptions("im_segment_nuclei") {
        /// Typical diameter of a nucleus in micrometres; all scales follow from it.
        pub diameter: f64 = 10.0,
        /// Standard deviation of the smoothing before the contour is drawn, as a share of the diameter.
        pub smoothing: f64 = 0.1,
        /// Standard deviation of the finer Gaussian whose difference from a coarser one has a summit for each nucleus, as a
        /// share of the diameter. Larger joins more.
        pub scale: f64 = 0.2,
        /// Two summits are one nucleus where the saddle between them is less than this share below the lower one.
        pub merge_depth: f64 = 0.1,
        /// Where the contour lies between background (0) and the brightest place of the nucleus (1).
        pub contour_level: f64 = 0.45,
        /// Width of the opening that estimates the background, as a multiple of the diameter.
        pub background_width: f64 = 2.0,
        /// Least brightness above the background; none for `noise_factor` times the noise that smoothing leaves.
        /// That default knows the noise of the camera alone: set it where the tissue itself is grainy.
        pub min_contrast: Option<f64> = None,
        /// Standard deviations of the noise that a voxel must stand out when `min_contrast` is none.
        pub noise_factor: f64 = 5.0,
        /// Least share of the surface beyond which it is darker: a nucleus is a hill, and what is bright on one side of an
        /// edge (tissue beside a crack) is none. Surface shared with other nuclei, and what the border of the volume
        /// hides, does not count. 0 keeps all.
        pub min_rim: f64 = 0.85,
        /// Least share of its contrast by which a nucleus that the border of the volume cuts is brighter than the background around
        /// it: the upper quartile at the nuclei within six diameters, of which there must be four. A sliver of tissue between a
        /// crack and the border is a hill above the crack and no brighter than other tissue. 0 keeps all.
        pub min_rise: f64 = 0.35,
        /// Least volume in cubic micrometres; none for a tenth of a ball of the diameter.
        pub min_volume: Option<f64> = None,
        /// Greatest volume in cubic micrometres; none for any.
        pub max_volume: Option<f64> = None,
    }
}

impl NucleiOptions {
    fn check(&self) -> Result<()> {
        let within = |name: &str, value: f64, least: f64, most: f64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::parameter(name, format!("a number between {least} and {most}"), value))
        };
        within("diameter", self.diameter, 0.01, 1e4)?;
        within("smoothing", self.smoothing, 0.0, 1.0)?;
        within("scale", self.scale, 0.01, 1.0)?;
        within("merge_depth", self.merge_depth, 0.0, 1.0)?;
        within("contour_level", self.contour_level, 0.0, 1.0)?;
        within("background_width", self.background_width, 1.0, 20.0)?;
        within("noise_factor", self.noise_factor, 0.0, 1e3)?;
        within("min_rim", self.min_rim, 0.0, 1.0)?;
        within("min_rise", self.min_rise, 0.0, 1.0)?;
        for (name, value) in
            [("min_contrast", self.min_contrast), ("min_volume", self.min_volume), ("max_volume", self.max_volume)]
        {
            if let Some(value) = value {
                within(name, value, 0.0, 1e15)?;
            }
        }
        if let (Some(least), Some(most)) = (self.min_volume, self.max_volume)
            && least > most
        {
            return Err(Error::parameter("max_volume", format!("at least min_volume ({least})"), most));
        }
        Ok(())
    }
}
