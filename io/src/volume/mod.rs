//! Volumes of (t, c, z, y, x) in files: opened without reading a voxel, then read by regions from any thread.
//!
//! [`open_volume`] tells by content what a file or folder is. Pieces (strips, tiles, chunks) are decoded on the pool in
//! which a region is read and kept in a cache of bounded size that all open volumes share ([`set_cache_bytes`]), so
//! that regions which overlap, or are smaller than the pieces, do not decode the same twice.

mod bdv;
mod cache;
mod hdf5;
mod n5;
mod natural;
mod nifti;
mod npy;
mod nrrd;
mod open;
mod pieced;
mod raw;
mod tiff;
mod tiles;
mod units;
mod zarr;

pub use cache::{cache_bytes, cache_limit, set_cache_bytes};
pub use open::{OpenOptions, VolumeFormat, open_volume, open_volume_with, volume_format};
pub use tiles::{TileOptions, TileOrder, TileVolume, open_tiles};
pub(crate) use zarr::calm;
pub use zarr::{Compression, Downsample, NgffVersion, OmeZarrOptions, OmeZarrWriter, pyramid_levels, write_ome_zarr};
