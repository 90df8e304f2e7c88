//! AnnData in Zarr, versions 2 and 3, as a folder: matrices by blocks, and the tables of cells and genes.
//!
//! Elements carry the same `encoding-type` as in an h5ad; a group stands where HDF5 has one, an array where it has a data set.
//! Reference: anndata's "on-disk format" documentation.

mod array;
mod element;
mod file;
mod store;

pub use file::AnnDataZarr;
pub(crate) use store::is_anndata;
