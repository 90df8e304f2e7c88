//! What a caller can choose.

use crate::{Error, Result};

/// Which points lie on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrawOrder {
    /// Later points over earlier ones.
    Given,
    /// In an order shuffled by the seed, so that no group hides another by its place in the table.
    Shuffled,
    /// Higher values over lower ones; equal values as given. Needs colours from values.
    Ascending,
}

crate::options! {
    /// Options of [`draw`](crate::raster::draw).
    pub struct RasterOptions("raster") {
        /// Width of the image in pixels, 1 to 16384.
        pub width: usize = 800,
        /// Height of the image in pixels, 1 to 16384.
        pub height: usize = 800,
        /// Radius of a point in pixels, above 0, at most 1000. Below 0.58 points fade instead of shrinking further.
        pub radius: f64 = 1.5,
        /// Opacity of a point, above 0, at most 1; multiplied with the alpha of its colour.
        pub opacity: f64 = 1.0,
        /// Left, right, bottom and top of the image in the units of the coordinates. If not given, the range of the
        /// points with a margin of 4 % and of the radius.
        pub extent: Option<[f64; 4]> = None,
        /// Colour of the empty image: red, green, blue, alpha.
        pub background: [u8; 4] = [255, 255, 255, 0],
        /// Which points lie on top: `given`, `shuffled` or `ascending`. Points without a value or category always
        /// lie at the bottom.
        pub order: DrawOrder = DrawOrder::Shuffled,
        /// Seed of the shuffled order; used by no other.
        pub seed: u64 = 0,
    }
}

/// Largest side of an image.
const LARGEST: usize = 16_384;

impl RasterOptions {
    fn check(&self) -> Result<()> {
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side == 0 || side > LARGEST {
                return Err(Error::parameter(name, format!("1 to {LARGEST} pixels"), side));
            }
        }
        if !(self.radius > 0.0 && self.radius <= 1000.0) {
            return Err(Error::parameter("radius", "a number above 0, at most 1000 pixels", self.radius));
        }
        if !(self.opacity > 0.0 && self.opacity <= 1.0) {
            return Err(Error::parameter("opacity", "a number above 0, at most 1", self.opacity));
        }
        if let Some([left, right, bottom, top]) = self.extent
            && (![left, right, bottom, top].iter().all(|side| side.is_finite()) || left >= right || bottom >= top)
        {
            let found = format!("{left}, {right}, {bottom}, {top}");
            return Err(Error::parameter("extent", "finite numbers, left < right, bottom < top", found));
        }
        Ok(())
    }
}
