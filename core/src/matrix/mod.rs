//! Sources of row blocks, lazy transforms over them, and passes that reduce them.
//!
//! ```text
//! source of blocks -> pass over each block (in parallel) -> merge of partial results (in order) -> finish
//! ```
//!
//! A source ([`RowBlocks`]) hands out rows in blocks whose size is fixed by the data alone. A [`Lazy`] chain
//! wraps a source and is again a source, so normalising copies nothing. A [`Pass`] says what one look at the
//! data computes; passes compose as tuples, so several statistics cost one read.

mod block;
mod columns;
mod dense;
mod exchange;
mod gather;
mod grouped;
mod lazy;
mod packed;
mod pass;
mod source;
mod view;

pub use block::{RowBlock, Scratch};
pub use columns::{ColumnChunk, Entry, column_chunks};
pub use dense::fill_rows;
pub use exchange::{Local, Shared};
pub use gather::{Rows, collect, column_sums, gather};
pub(crate) use grouped::by_group;
pub use lazy::Lazy;
pub use packed::{BlockStore, MemoryStore, PackedRows, PackedShape, count_entries, pack_block, unpack_block};
pub use pass::{Pass, run, run_with};
pub use source::{RowBlocks, rows_per_block};
pub use view::{DenseView, IndexSlice, SparseView, ValueSlice};
