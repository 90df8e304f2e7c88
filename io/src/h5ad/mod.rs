//! h5ad: AnnData in HDF5, as anndata >= 0.7 writes it.
//!
//! Every element carries `encoding-type` and `encoding-version`; files of 0.7 carry fewer and keep the categories
//! of a column beside it, under `__categories`. Reference: anndata's "on-disk format" documentation.

mod element;
mod element_out;
mod file;
mod stack;
mod subset;
mod writer;

pub(crate) use element::read_sparse;
pub use file::AnnDataFile;
pub use stack::{Stack, StackLayout, StackPart};
pub use writer::{AnnDataWriter, WriteOptions};
