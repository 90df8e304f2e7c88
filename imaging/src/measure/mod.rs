//! What each labelled region of a volume is like: size, place, shape, intensity.
//!
//! [`region_properties`] reads labels and pictures once, in blocks, and adds up whole numbers for each label (counts, sums and
//! products of coordinates, boundary crossings, intensities), so that nothing depends on blocks or threads. Names and
//! definitions follow scikit-image's regionprops where it has them, in micrometres.
//!
//! The surface is Crofton's: boundaries that lines in the 13 directions of the grid cross, each direction weighed by the part of the
//! sphere that is nearest to it under the given spacing (Lehmann and Legland, Insight Journal 2012).

mod crofton;
mod moments;
mod options;
mod sums;
mod table;

pub(crate) use crofton::Crofton;
pub use options::RegionOptions;
pub use table::{ChannelTable, RegionTable, region_properties};
pub(crate) use table::{Part, Tally, measure_block};

#[cfg(test)]
mod tests;
