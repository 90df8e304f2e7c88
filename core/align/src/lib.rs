//! Clouds of cells brought together: live to fixed, round to round, section to section, cells to atlas.
//!
//! - [`landmark_map`]: the best linear map between known pairs, in closed form.
//! - [`drift`]: coherent point drift as published.
//! - [`align()`]: the whole way from two clouds to one-to-one pairs with a probability each, and the share of them that is false.
//! - [`match_points`]: its last step alone.
//! - [`PointMap`]: the maps themselves, forth and back.
//!
//! In two and three dimensions. The promises of `zensaibo_core` hold: the same bits for any number of threads, and a
//! parameter is used or refused.

mod align;
mod belief;
mod cloud;
mod drift;
mod grow;
mod landmarks;
mod linear;
mod map;
mod options;
mod pairs;
mod refine;
mod scene;
mod seeds;
mod smooth;
#[cfg(test)]
mod tests;

pub use align::{Alignment, Features, Start, align, match_points};
pub use cloud::{Cloud, Point};
pub use drift::{Drift, DriftOptions, drift};
pub use landmarks::{LandmarkOptions, landmark_map};
pub use linear::Linear;
pub use map::PointMap;
pub use options::AlignOptions;
pub use pairs::{Match, Matches};
