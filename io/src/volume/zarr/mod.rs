//! OME-Zarr 0.4, 0.5 and 0.6rc0 (in `systems`: what of its transformations is honoured, and what refused); plain Zarr arrays (versions 2 and 3).

mod image;
mod layout;
mod pyramid;
mod store;
mod systems;
mod write;

pub(super) use self::image::{Node, open};
pub use self::pyramid::Downsample;
pub(crate) use self::store::calm;
pub use self::write::{Compression, NgffVersion, OmeZarrOptions, OmeZarrWriter, pyramid_levels, write_ome_zarr};
