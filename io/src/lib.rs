//! Readers and writers of zensaibo: h5ad, 10x HDF5, 10x folders, Matrix Market.

mod counts;
mod detect;
mod h5;
pub mod h5ad;
mod rows;
mod table;
pub mod tenx;
mod value;
mod values;

pub use counts::{Counts, read_counts};
pub use detect::{Format, detect};
pub use h5ad::AnnDataFile;
pub use rows::{FileRows, MatrixLayout};
pub use table::{Column, Table, first_repeated, make_unique};
pub use tenx::{TenxFile, TenxOptions, VarNames, read_folder, read_market};
pub use value::{RecordField, SparseArray, Value};
pub use values::{Dtype, Values};
