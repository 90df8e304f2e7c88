//! Plain types that several crates share: no algorithms here.

mod csr;
mod dtype;
mod grid;
mod orientation;
mod region;
mod volume;

pub use csr::Csr;
pub(crate) use csr::check_indptr;
pub use dtype::Dtype;
pub use grid::Grid;
pub use orientation::{Orientation, Side};
pub use region::Region;
pub use volume::{Frame, SharedVolume, VolumeBlocks, VolumeInfo, VolumeSink, check_spacing};
