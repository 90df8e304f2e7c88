//! Objects in volumes: watersheds and nuclei.
//!
//! [`watershed`] floods from markers as scikit-image does. [`segment_nuclei`] finds the nuclei of dense stains and
//! organoids: background by opening, one summit of a difference of Gaussians for each nucleus, slopes to the summit,
//! summits joined where the saddle between them is shallow, and a contour at a share of each nucleus' own brightness, so that
//! neither light lost with depth nor bright neighbours move it.

mod background;
mod basins;
mod hills;
mod nuclei;
mod options;
mod shared;
mod watershed;

pub use nuclei::{Nuclei, segment_nuclei};
pub use options::{NucleiOptions, WatershedOptions};
pub use shared::{SharedNuclei, segment_shared};
pub use watershed::watershed;

#[cfg(test)]
mod tests;
