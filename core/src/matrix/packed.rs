//! Rows packed into bytes, in memory or wherever a store keeps them.
//!
//! Counts of cells are small whole numbers in few columns: of each block the values become u8, u16 or u32 where these
//! hold all of them exactly (f32 otherwise), the columns u16 where there are at most 65,536. Three bytes for most counts
//! rather than eight, and unpacking runs at the speed of memory. What comes back has the same bits.

use std::ops::Range;
use std::sync::Arc;

use super::pass::{each_block, map_blocks};
use super::source::block_range;
use super::{RowBlock, RowBlocks, Scratch, rows_per_block};
use crate::exchange::{Exchange, StoredBlocks, Turn};
use crate::{Ctx, Error, Result};

/// Where packed blocks are kept.
pub trait BlockStore: StoredBlocks {
    /// Keeps a block; called in order of the blocks.
    ///
    /// # Errors
    /// When it cannot be kept, such as [`Error::Io`] on a full disk.
    fn push(&mut self, bytes: Vec<u8>) -> Result<()>;
}

/// Blocks in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    blocks: Vec<Vec<u8>>,
}

impl MemoryStore {
    /// Blocks that are held.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

impl BlockStore for MemoryStore {
    fn push(&mut self, mut bytes: Vec<u8>) -> Result<()> {
        bytes.shrink_to_fit();
        self.blocks.push(bytes);
        Ok(())
    }
}

impl StoredBlocks for MemoryStore {
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        read(&self.blocks[block])
    }
}

/// What is known of packed rows beside their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackedShape {
    /// Rows.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
    /// Stored values.
    pub entries: usize,
    /// Bytes of all blocks.
    pub bytes: u64,
}

/// A cells x genes matrix of packed blocks: a source whose blocks are those of the same matrix as a `Csr`.
pub struct PackedRows {
    shape: PackedShape,
    blocks: Box<dyn StoredBlocks>,
    exchange: Option<Arc<dyn Exchange>>,
}

impl PackedRows {
    /// Packs a source. `entries`: its stored values, which fix the blocks (see [`rows_per_block`]). One read; beside what the
    /// store takes a few blocks per thread.
    ///
    /// Processes that share the source pack some blocks each, and what they made is read where it lies: `store` then stays empty.
    /// They go on to share the packed rows.
    ///
    /// # Errors
    /// Whatever the source or the store returns; [`Error::Interrupted`]; [`Error::Internal`] where the source holds another
    /// number of values; [`Error::PartDone`].
    pub fn pack(
        source: &dyn RowBlocks,
        entries: usize,
        mut store: Box<dyn BlockStore>,
        stage: &str,
        ctx: &Ctx,
    ) -> Result<Self> {
        let (n_rows, n_cols) = (source.n_rows(), source.n_cols());
        let wanted = n_rows.div_ceil(rows_per_block(n_rows, entries));
        let exchange = source.exchange().filter(|_| wanted > 0).cloned();
        let mut shape = PackedShape { n_cols, ..Default::default() };
        let blocks: Box<dyn StoredBlocks> = match &exchange {
            None => {
                pack_blocks(source, entries, 0..wanted, stage, ctx, &mut |bytes| {
                    shape.add(&bytes)?;
                    store.push(bytes)
                })?;
                store
            }
            Some(exchange) => match exchange.turn(stage, wanted, false, ctx)? {
                Turn::Compute(range, mut out) => {
                    pack_blocks(source, entries, range, stage, ctx, &mut |bytes| out.put(&bytes))?;
                    out.close()?;
                    return Err(Error::PartDone);
                }
                Turn::Merge(parts) => {
                    (0..wanted).try_for_each(|block| parts.visit(block, &mut |bytes| shape.add(bytes)))?;
                    parts
                }
            },
        };
        if (shape.entries, shape.n_rows) != (entries, n_rows) {
            let found = format!("{} values in {} rows", shape.entries, shape.n_rows);
            return Err(Error::Internal(format!("packing: expected {entries} values in {n_rows} rows, found {found}")));
        }
        Ok(Self { shape, blocks, exchange })
    }

    /// What is known of it.
    pub fn shape(&self) -> PackedShape {
        self.shape
    }
}

impl RowBlocks for PackedRows {
    fn n_rows(&self) -> usize {
        self.shape.n_rows
    }
    fn n_cols(&self) -> usize {
        self.shape.n_cols
    }
    fn n_entries(&self) -> usize {
        self.shape.entries
    }
    fn n_blocks(&self) -> usize {
        self.shape.n_rows.div_ceil(rows_per_block(self.shape.n_rows, self.shape.entries))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        block_range(block, self.shape.n_rows, self.shape.entries)
    }
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
        let rows = self.block_rows(block);
        self.blocks.visit(block, &mut |bytes| unpack_block(bytes, rows.len(), self.shape.n_cols, scratch))?;
        Ok(scratch.as_block(rows.start, self.shape.n_cols))
    }
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        self.exchange.as_ref()
    }
}

/// Stored values of a source; one read.
///
/// # Errors
/// Whatever the source returns, or [`Error::Interrupted`].
pub fn count_entries(source: &dyn RowBlocks, stage: &str, ctx: &Ctx) -> Result<usize> {
    let mut entries = 0;
    let count = |block: &RowBlock<'_>| Ok(block.indices.len());
    each_block(source, stage, ctx, count, |_, stored| {
        entries += stored;
        Ok(())
    })?;
    Ok(entries)
}

impl PackedShape {
    /// Adds a packed block.
    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let (rows, entries) = number(bytes, 0).zip(number(bytes, 4)).ok_or_else(broken)?;
        self.n_rows += rows;
        self.entries += entries;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// A packed block, or rows to be cut into blocks.
enum Part {
    Block(Vec<u8>),
    Rows(Scratch),
}

/// Packs blocks `wanted` of the rows of a source under the block rule for `entries` values.
fn pack_blocks(
    source: &dyn RowBlocks,
    entries: usize,
    wanted: Range<usize>,
    stage: &str,
    ctx: &Ctx,
    put: &mut dyn FnMut(Vec<u8>) -> Result<()>,
) -> Result<()> {
    let (n_rows, n_cols) = (source.n_rows(), source.n_cols());
    let size = rows_per_block(n_rows, entries);
    let rows = wanted.start * size..(wanted.end * size).min(n_rows);
    if rows.is_empty() {
        return Ok(());
    }
    let aligned = source.n_blocks() == n_rows.div_ceil(size)
        && (0..source.n_blocks()).all(|block| source.block_rows(block) == block_range(block, n_rows, entries));
    let blocks = if aligned {
        wanted
    } else {
        let holds = |block: &usize| source.block_rows(*block).end > rows.start;
        let first = (0..source.n_blocks()).find(holds).unwrap_or(0);
        first
            ..(first..source.n_blocks())
                .find(|&block| source.block_rows(block).start >= rows.end)
                .unwrap_or(source.n_blocks())
    };
    let part = |block: &RowBlock<'_>| {
        if aligned {
            return Ok(Part::Block(pack_block(block)));
        }
        let (indptr, indices, values) = block.with_values(block.values.to_vec());
        Ok(Part::Rows(Scratch { indptr, indices, values, inner: None }))
    };
    let mut waiting = Scratch::default();
    waiting.begin();
    map_blocks(source, blocks, stage, ctx, part, |block, part| match part {
        Part::Block(bytes) => put(bytes),
        Part::Rows(found) => {
            for (row, columns, values) in found.as_block(source.block_rows(block).start, n_cols).rows() {
                if !rows.contains(&row) {
                    continue;
                }
                waiting.indices.extend_from_slice(columns);
                waiting.values.extend_from_slice(values);
                waiting.end_row();
                if waiting.indptr.len() > size || row + 1 == rows.end {
                    put(pack_block(&waiting.as_block(0, n_cols)))?;
                    waiting.begin();
                }
            }
            Ok(())
        }
    })
}

/// How the values of a block are kept.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    U8 = 1,
    U16 = 2,
    U32 = 4,
    F32 = 8,
}

/// Bytes before the lengths of the rows: rows, values (u32 each), kind of the values, bytes per column.
const HEADER: usize = 10;

/// Packs a block of fewer than 2^32 rows and values: header, length of each row (u32), columns, values.
pub fn pack_block(block: &RowBlock<'_>) -> Vec<u8> {
    let kind = kind_of(block.values);
    let wide = block.n_cols > 1 << 16;
    let (rows, entries) = (block.n_rows(), block.indices.len());
    let width = match kind {
        Kind::U8 => 1,
        Kind::U16 => 2,
        Kind::U32 | Kind::F32 => 4,
    };
    let mut out = Vec::with_capacity(HEADER + 4 * rows + entries * (width + if wide { 4 } else { 2 }));
    out.extend_from_slice(&(rows as u32).to_le_bytes());
    out.extend_from_slice(&(entries as u32).to_le_bytes());
    out.extend_from_slice(&[kind as u8, if wide { 4 } else { 2 }]);
    block.indptr.windows(2).for_each(|ends| out.extend_from_slice(&((ends[1] - ends[0]) as u32).to_le_bytes()));
    if wide {
        out.extend(block.indices.iter().flat_map(|column| column.to_le_bytes()));
    } else {
        out.extend(block.indices.iter().flat_map(|&column| (column as u16).to_le_bytes()));
    }
    match kind {
        Kind::U8 => out.extend(block.values.iter().map(|&value| value as u8)),
        Kind::U16 => out.extend(block.values.iter().flat_map(|&value| (value as u16).to_le_bytes())),
        Kind::U32 => out.extend(block.values.iter().flat_map(|&value| (value as u32).to_le_bytes())),
        Kind::F32 => out.extend(block.values.iter().flat_map(|value| value.to_le_bytes())),
    }
    out
}

/// The narrowest kind that holds all values with their bits.
fn kind_of(values: &[f32]) -> Kind {
    // Whole, not below zero, and not the zero with a sign.
    let whole = |value: f32| (value as u32 as f32).to_bits() == value.to_bits();
    let mut most = 0f32;
    for part in values.chunks(1 << 12) {
        if !part.iter().fold(true, |all, &value| all & whole(value)) {
            return Kind::F32;
        }
        most = part.iter().fold(most, |most, &value| most.max(value));
    }
    match most {
        most if most <= f32::from(u8::MAX) => Kind::U8,
        most if most <= f32::from(u16::MAX) => Kind::U16,
        _ => Kind::U32,
    }
}

fn broken() -> Error {
    Error::Internal("a packed block does not hold what its header says".into())
}

/// The number at a place of the header.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4)?.first_chunk().map(|&four| u32::from_le_bytes(four) as usize)
}

/// Unpacks a block of `rows` rows into `scratch`.
///
/// # Errors
/// [`Error::Internal`] for bytes that are no such block.
pub fn unpack_block(bytes: &[u8], rows: usize, n_cols: usize, scratch: &mut Scratch) -> Result<()> {
    let (Some(n), Some(entries), Some(&[kind, per_column])) =
        (number(bytes, 0), number(bytes, 4), bytes.get(8..HEADER).and_then(|part| part.first_chunk::<2>()))
    else {
        return Err(broken());
    };
    let kind = [Kind::U8, Kind::U16, Kind::U32, Kind::F32].into_iter().find(|&known| known as u8 == kind);
    let per_value = match kind {
        Some(Kind::U8) => 1,
        Some(Kind::U16) => 2,
        Some(Kind::U32 | Kind::F32) => 4,
        None => return Err(broken()),
    };
    let lengths = HEADER..HEADER + 4 * rows;
    let columns = lengths.end..lengths.end + entries * per_column as usize;
    let values = columns.end..columns.end + entries * per_value;
    if n != rows || bytes.len() != values.end || ![2, 4].contains(&per_column) {
        return Err(broken());
    }
    scratch.indptr.clear();
    scratch.indptr.push(0);
    let mut end = 0u64;
    for &length in bytes[lengths].as_chunks::<4>().0 {
        end += u64::from(u32::from_le_bytes(length));
        scratch.indptr.push(end);
    }
    scratch.indices.clear();
    if per_column == 2 {
        scratch.indices.extend(bytes[columns].as_chunks::<2>().0.iter().map(|&at| u32::from(u16::from_le_bytes(at))));
    } else {
        scratch.indices.extend(bytes[columns].as_chunks::<4>().0.iter().map(|&at| u32::from_le_bytes(at)));
    }
    if end != entries as u64 || scratch.indices.iter().any(|&column| column as usize >= n_cols) {
        return Err(broken());
    }
    let (out, bytes) = (&mut scratch.values, &bytes[values]);
    out.clear();
    match kind {
        Some(Kind::U8) => out.extend(bytes.iter().map(|&value| f32::from(value))),
        Some(Kind::U16) => {
            out.extend(bytes.as_chunks::<2>().0.iter().map(|&value| f32::from(u16::from_le_bytes(value))))
        }
        Some(Kind::U32) => out.extend(bytes.as_chunks::<4>().0.iter().map(|&value| u32::from_le_bytes(value) as f32)),
        _ => out.extend(bytes.as_chunks::<4>().0.iter().map(|&value| f32::from_le_bytes(value))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Csr;
    use crate::matrix::{Lazy, collect};
    use crate::parallel::with_threads;
    use crate::random::Stream;

    fn matrix(n_rows: usize, n_cols: usize, value: impl Fn(&mut Stream) -> f32) -> Csr {
        let mut stream = Stream::new(5, 0);
        let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
        for row in 0..n_rows {
            // Some rows hold nothing.
            let mut at = if row % 17 == 0 { n_cols as u32 } else { stream.below(9) as u32 };
            while (at as usize) < n_cols {
                indices.push(at);
                values.push(value(&mut stream));
                at += 1 + stream.below(n_cols as u64 / 40) as u32;
            }
            indptr.push(indices.len() as u64);
        }
        Csr::new(n_rows, n_cols, indptr, indices, values).unwrap()
    }

    fn packed(source: &dyn RowBlocks, entries: usize) -> PackedRows {
        PackedRows::pack(source, entries, Box::new(MemoryStore::default()), "pack", &Ctx::quiet()).unwrap()
    }

    fn bits(matrix: &Csr) -> (Vec<u64>, Vec<u32>, Vec<u32>) {
        let values = matrix.values.iter().map(|value| value.to_bits()).collect();
        (matrix.indptr.clone(), matrix.indices.clone(), values)
    }

    #[test]
    fn all_kinds_of_values_come_back_with_their_bits() {
        let kinds: [(&dyn Fn(&mut Stream) -> f32, usize, f64); 6] = [
            (&|stream| stream.below(256) as f32, 3000, 3.1),
            (&|stream| stream.below(65_536) as f32, 3000, 4.1),
            (&|stream| (stream.below(1 << 20) << 11) as f32, 3000, 6.1),
            (&|stream| stream.normal() as f32, 3000, 6.1),
            (&|stream| stream.below(9) as f32, 70_000, 5.1),
            (&|stream| [0.0, -0.0, f32::NAN, f32::INFINITY, 1.0][stream.below(5) as usize], 3000, 6.1),
        ];
        for (value, n_cols, most) in kinds {
            let matrix = matrix(if n_cols > 5000 { 700 } else { 60_000 }, n_cols, value);
            let packed = packed(&matrix, matrix.nnz());
            assert_eq!(packed.n_blocks(), matrix.n_blocks());
            assert!((0..packed.n_blocks()).all(|block| packed.block_rows(block) == matrix.block_rows(block)));
            assert_eq!(bits(&collect(&packed, &Ctx::quiet()).unwrap()), bits(&matrix));
            let per_value = packed.shape().bytes as f64 / matrix.nnz() as f64;
            assert!(per_value < most, "{per_value} bytes per value, {most} expected");
        }
    }

    #[test]
    fn chains_are_cut_into_the_blocks_of_what_they_make() {
        let matrix = matrix(200_000, 3000, |stream| stream.below(300) as f32);
        let rows: Vec<bool> = (0..200_000).map(|row| row % 3 > 0).collect();
        let columns: Vec<bool> = (0..3000).map(|column| column % 2 == 0).collect();
        let lazy = Lazy::new(&matrix).select_rows(&rows).unwrap().select_columns(&columns).unwrap().log1p(None);
        let whole = collect(&lazy, &Ctx::quiet()).unwrap();
        assert!(matrix.n_blocks() > whole.n_blocks() && whole.n_blocks() > 1);
        let entries = count_entries(&lazy, "count", &Ctx::quiet()).unwrap();
        assert_eq!(entries, whole.nnz());
        for threads in [1, 3] {
            let packed = with_threads(Some(threads), || Ok(packed(&lazy, entries))).unwrap();
            assert!((0..whole.n_blocks()).all(|block| packed.block_rows(block) == whole.block_rows(block)));
            assert_eq!(bits(&collect(&packed, &Ctx::quiet()).unwrap()), bits(&whole));
        }
        let wrong = PackedRows::pack(&lazy, entries + 1, Box::new(MemoryStore::default()), "pack", &Ctx::quiet());
        assert!(wrong.err().unwrap().to_string().contains("expected"));
    }

    #[test]
    fn nothing_is_packed_of_nothing() {
        let empty = Csr::new(0, 5, vec![0], vec![], vec![]).unwrap();
        assert_eq!(packed(&empty, 0).shape(), PackedShape { n_cols: 5, ..Default::default() });
        let blank = Csr::new(40, 0, vec![0; 41], vec![], vec![]).unwrap();
        let found = packed(&blank, 0);
        assert_eq!(collect(&found, &Ctx::quiet()).unwrap(), blank);
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let matrix = matrix(50, 300, |stream| stream.below(9) as f32);
        let mut scratch = Scratch::default();
        let whole = pack_block(&matrix.read(0, &mut Scratch::default()).unwrap());
        assert!(unpack_block(&whole, 50, 300, &mut scratch).is_ok());
        for cut in [0, 3, 9, 40, whole.len() - 1] {
            assert!(unpack_block(&whole[..cut], 50, 300, &mut scratch).is_err());
        }
        assert!(
            unpack_block(&whole, 49, 300, &mut scratch).is_err()
                && unpack_block(&whole, 50, 200, &mut scratch).is_err()
        );
        let mut kind = whole.clone();
        kind[8] = 3;
        assert!(unpack_block(&kind, 50, 300, &mut scratch).is_err());
    }
}
