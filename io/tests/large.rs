//! More than 2^31 stored values, for real: written and read block by block. Takes some minutes and 1 GB of disk, so it runs
//! where ZENSAIBO_LARGE is set.

use std::ops::Range;

use zensaibo_core::matrix::{Lazy, RowBlock, RowBlocks, Scratch, collect, rows_per_block};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::stats::{ValueMap, gene_moments};
use zensaibo_core::{Ctx, Result};
use zensaibo_io::{AnnDataFile, AnnDataWriter, Table, WriteOptions};

const GENES: usize = 1000;
/// 2.2e9 values; 2^31 is 2.147e9.
const CELLS: usize = 2_200_000;

fn value(row: usize, column: usize) -> f32 {
    (1 + (row * 7 + column * 13) % 5) as f32
}

/// Every gene of every cell is stored.
struct Full;

impl RowBlocks for Full {
    fn n_rows(&self) -> usize {
        CELLS
    }
    fn n_cols(&self) -> usize {
        GENES
    }
    fn n_entries(&self) -> usize {
        CELLS * GENES
    }
    fn n_blocks(&self) -> usize {
        CELLS.div_ceil(rows_per_block(CELLS, CELLS * GENES))
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        let size = rows_per_block(CELLS, CELLS * GENES);
        block * size..((block + 1) * size).min(CELLS)
    }
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
        let rows = self.block_rows(block);
        scratch.indptr = (0..=rows.len()).map(|row| (row * GENES) as u64).collect();
        scratch.indices = (0..rows.len()).flat_map(|_| 0..GENES as u32).collect();
        scratch.values = rows.clone().flat_map(|row| (0..GENES).map(move |column| value(row, column))).collect();
        let Scratch { indptr, indices, values, .. } = scratch;
        Ok(RowBlock { first_row: rows.start, n_cols: GENES, indptr, indices, values })
    }
}

#[test]
fn more_than_two_to_the_31_values() {
    if std::env::var_os("ZENSAIBO_LARGE").is_none() {
        println!("skipped: set ZENSAIBO_LARGE=1 for a file of 2.2e9 values");
        return;
    }
    let place = tempfile::tempdir_in(std::env::var_os("ZENSAIBO_LARGE_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let path = place.path().join("large.h5ad");
    let ctx = Ctx::quiet();
    with_threads(None, || {
        let mut writer = AnnDataWriter::create(&path, &WriteOptions { gzip: Some(1) })?;
        writer.rows("X", &Full, &ctx)?;
        writer.obs(&Table::of_names((0..CELLS).map(|cell| format!("c{cell}")).collect()))?;
        writer.var(&Table::of_names((0..GENES).map(|gene| format!("g{gene}")).collect()))?;
        writer.finish()?;

        let rows = AnnDataFile::open(&path)?.rows("X", &ctx)?;
        assert!(rows.n_entries() > 1 << 31);
        assert_eq!((rows.n_rows(), rows.n_cols(), rows.n_entries()), (CELLS, GENES, CELLS * GENES));
        let moments = gene_moments(&rows, ValueMap::Identity, &ctx)?;
        for gene in 0..GENES {
            let expected: f64 = (0..CELLS).map(|row| f64::from(value(row, gene))).sum();
            assert_eq!((moments.sum[gene], moments.non_zeros[gene]), (expected, CELLS as u64), "gene {gene}");
        }
        // Rows at the far end, beyond 2^31 values.
        let last: Vec<bool> = (0..CELLS).map(|row| row + 3 >= CELLS).collect();
        let tail = collect(&Lazy::new(&rows).select_rows(&last)?, &ctx)?;
        for row in 0..3 {
            let expected: Vec<f32> = (0..GENES).map(|column| value(CELLS - 3 + row, column)).collect();
            assert_eq!(tail.row(row).1, expected);
        }
        Ok(())
    })
    .unwrap();
}
