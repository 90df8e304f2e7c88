//! Readers and writers of zensaibo: h5ad, 10x HDF5, 10x folders, Matrix Market.

mod arrays;
mod convert;
mod counts;
mod detect;
mod h5;
pub mod h5ad;
mod inspect;
mod rows;
mod table;
pub mod tenx;
mod value;
mod values;

pub use arrays::{read_array, read_sparse};
pub use convert::convert;
pub use counts::{Counts, read_counts};
pub use detect::{Format, detect};
pub use h5ad::{AnnDataFile, AnnDataWriter, WriteOptions};
pub use inspect::{Inspection, Slot, inspect};
pub use rows::{FileRows, MatrixLayout};
pub use table::{Column, Table, first_repeated, make_unique};
pub use tenx::{TenxFile, TenxOptions, VarNames, read_folder, read_market};
pub use value::{RecordField, SparseArray, Value};
pub use values::{Dtype, Values};
