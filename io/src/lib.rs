//! Readers and writers of zensaibo: h5ad, AnnData in Zarr, 10x HDF5 (versions 2 and 3), 10x folders, Matrix Market.
//!
//! What a file is, is found by its content ([`detect`]). Doors, from the simplest:
//!
//! - [`read_counts`]: matrix and both tables of any of these, in memory; [`open_counts`] leaves the matrix in the file.
//! - [`AnnDataFile`], [`AnnDataZarr`], [`TenxFile`]: opened, then read piece by piece; `rows` gives a
//!   [`RowBlocks`](zensaibo_core::matrix::RowBlocks) source that reads blocks from the file and yields the same bits
//!   as the matrix in memory.
//! - [`MatrixFile`]: one matrix by its key, with the names of its cells and genes; [`ConcatRows`]: several taken as one.
//! - [`concat_files`], [`subset_file`]: files written as one, and some cells and genes of one.
//! - [`AnnDataWriter`]: an h5ad that appears whole or not at all; `copy_from` and `copy_subset` keep what an
//!   existing file holds, `rows` streams a matrix or a lazy chain, `column` and `value` add results.
//! - [`Parts`], [`PartWriter`]: partial results that processes hand each other.
//! - [`ScratchStore`]: packed blocks of a matrix in memory and, beyond a limit, in a scratch file.
//! - [`Turning`]: what turning a matrix that is stored by columns into rows may take.
//! - [`build_index`], [`open_index`]: an index of nearest neighbours in one file.
//! - [`inspect`] and [`convert`].
//! - [`read_columns`], [`write_columns`]: flat tables of cells and tracks, Parquet and CSV.
//! - [`open_volume`]: volumes of microscopes, read by regions ([`volume`]).
//!
//! Paths of inputs may be URLs (`http://`, `https://`, `s3://`) where the feature `remote` is on: HDF5 is read by ranges,
//! Zarr (AnnData and volumes) object by object.
//!
//! Bulk data are read by `pread` at the chunk addresses and decoded (gzip, lzf, blosc, zstd, shuffle, fletcher32) on
//! the current pool, outside the HDF5 library and its lock. Files are opened without locks. Everything here runs on the
//! pool it is called in; results do not depend on its size.
//!
//! ```no_run
//! # fn main() -> zensaibo_core::Result<()> {
//! use zensaibo_core::Ctx;
//! use zensaibo_io::{AnnDataFile, AnnDataWriter, Column, Value, WriteOptions};
//!
//! let ctx = Ctx::quiet();
//! let source = AnnDataFile::open("in.h5ad")?;
//! let rows = source.rows("X", &ctx)?;
//! let mut writer = AnnDataWriter::create("out.h5ad", &WriteOptions::default())?;
//! writer.copy_from(&source, &["X"], &ctx)?;
//! writer.rows("X", &rows, &ctx)?;
//! writer.column("obs", "leiden", &Column::categorical(&["0", "1"]))?;
//! writer.value("uns/log1p", &Value::dict([("base", Value::Null)]))?;
//! writer.finish()
//! # }
//! ```

pub mod anndata_zarr;
mod arrays;
pub mod atlas;
mod columns;
mod concat;
mod convert;
mod counts;
mod detect;
mod h5;
pub mod h5ad;
mod index;
mod inspect;
mod lines;
mod matrix_file;
mod numbers;
mod parts;
mod place;
#[cfg(feature = "remote")]
mod remote;
mod rows;
mod scratch;
mod table;
pub mod tenx;
mod turned;
mod value;
mod values;
pub mod volume;

pub use anndata_zarr::AnnDataZarr;
pub use arrays::{read_array, read_sparse};
pub use columns::{Columns, Marker, read_columns, read_markers, write_columns, write_markers};
pub use concat::{
    ConcatOptions, ConcatPart, ConcatRows, Join, JoinedGenes, concat_files, concat_tables, join_genes, joined_genes,
    same_columns, subset_file,
};
pub use convert::convert;
pub use counts::{Counts, CountsMatrix, OpenCounts, open_counts, read_counts};
pub use detect::{Format, detect};
pub use h5ad::{AnnDataFile, AnnDataWriter, Stack, StackLayout, StackPart, WriteOptions};
pub use index::{build_index, open_index};
pub use inspect::{Inspection, Slot, inspect};
pub use matrix_file::MatrixFile;
pub use parts::{PartWriter, Parts, units_of_part};
pub use place::{RawFile, RawStore, is_url, state_of_url};
pub use rows::{FileRows, MatrixLayout};
pub use scratch::ScratchStore;
pub use table::{Column, Table, first_repeated, make_unique};
pub use tenx::{TenxFile, TenxOptions, VarNames, read_folder, read_market};
pub use turned::Turning;
pub use value::{RecordField, SparseArray, Value};
pub use values::{Dtype, Values, dtype_named};
pub use volume::{OpenOptions, open_volume, open_volume_with};
