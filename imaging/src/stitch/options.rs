//! Options of stitching.

use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Where tiles lie, from what neighbours both show.
    pub struct StitchOptions("im_stitch") {
        /// Channel that shows the tissue, from 0. All channels are fused.
        pub channel: usize = 0,
        /// How far a tile may lie from where it is said to lie relative to a neighbour, in micrometres along z, y and x.
        /// Absent: a twentieth of the tile, at least 10 voxels.
        pub search: Option<[f64; 3]> = None,
        /// Intensity above which a voxel is tissue, as the mean around it. Absent: found for each tile, where its
        /// intensities fall into two classes.
        pub background: Option<f64> = None,
        /// What the camera reads without light. Gains act on what lies above.
        pub dark: f64 = 0.0,
        /// Correlation of two tiles below which they are not believed to show the same. More is asked where they share few
        /// voxels, as that may correlate by chance: 12 over the root of their number.
        pub least_correlation: f64 = 0.25,
        /// Tissue voxels that two tiles must share, on the level of the search.
        pub least_voxels: usize = 500,
        /// Micrometres by which a pair may contradict the others before it is dropped. Absent: 2 voxels of each axis.
        /// Three times the median of all pairs is always allowed.
        pub tolerance: Option<f64> = None,
        /// Whether every tile gets a gain, so that neighbours are equally bright where they overlap.
        pub gains: bool = true,
        /// Bytes of working memory. Absent: 2 GiB.
        pub memory: Option<u64> = None,
    }
}

impl StitchOptions {
    fn check(&self) -> Result<()> {
        if let Some(search) = self.search {
            for (axis, length) in ["z", "y", "x"].iter().zip(search) {
                if !(length >= 0.0 && length.is_finite()) {
                    return Err(Error::parameter(format!("search, axis {axis}"), "micrometres of at least 0", length));
                }
            }
        }
        if let Some(background) = self.background.filter(|value| !value.is_finite()) {
            return Err(Error::parameter("background", "a finite intensity", background));
        }
        if !self.dark.is_finite() {
            return Err(Error::parameter("dark", "a finite intensity", self.dark));
        }
        if !(0.0..1.0).contains(&self.least_correlation) {
            return Err(Error::parameter("least_correlation", "at least 0 and below 1", self.least_correlation));
        }
        if self.least_voxels < 10 {
            return Err(Error::parameter("least_voxels", "at least 10", self.least_voxels));
        }
        if let Some(tolerance) = self.tolerance.filter(|&value| !(value > 0.0 && value.is_finite())) {
            return Err(Error::parameter("tolerance", "micrometres above 0", tolerance));
        }
        Ok(())
    }
}

zensaibo_core::options! {
    /// How tiles become one volume.
    pub struct FuseOptions("im_fuse") {
        /// Micrometres from the border of a tile over which its weight rises. Absent: the whole way to its middle, so that
        /// neighbours cross-fade over all of their overlap.
        pub blend: Option<f64> = None,
        /// Whether tiles are moved by parts of a voxel, by linear interpolation; otherwise by whole voxels.
        pub interpolate: bool = true,
    }
}

impl FuseOptions {
    fn check(&self) -> Result<()> {
        if let Some(blend) = self.blend.filter(|&value| !(value > 0.0 && value.is_finite())) {
            return Err(Error::parameter("blend", "micrometres above 0", blend));
        }
        Ok(())
    }
}
