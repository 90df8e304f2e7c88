//! Rows group by group, for sums per group and column in one read.

use std::ops::Range;

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{RowBlock, RowBlocks, Scratch};
use crate::exchange::units;
use crate::parallel::pieces;
use crate::{Ctx, Result};

/// Blocks read at once, per thread. Bounds the buffers of sources that cannot lend their memory.
const BLOCKS_PER_THREAD: usize = 2;

/// Some blocks of a source, their rows put in order of their groups.
pub(crate) struct Batch<'a> {
    /// The blocks, in their order.
    pub(crate) blocks: Vec<RowBlock<'a>>,
    /// (group, block of the batch, row of the block): group by group, and in row order within each.
    order: Vec<(u32, u32, u32)>,
}

impl Batch<'_> {
    /// Hands the columns of `span` of every row that has a group to `visit`: group, columns, values.
    pub(crate) fn rows(
        &self,
        span: &Range<usize>,
        ctx: &Ctx,
        mut visit: impl FnMut(usize, &[u32], &[f32]),
    ) -> Result<()> {
        for (done, &(group, at, row)) in self.order.iter().enumerate() {
            if done % 1024 == 0 {
                ctx.check()?;
            }
            let block = &self.blocks[at as usize];
            let (indices, values) = block.row(row as usize);
            let part = if span.len() == block.n_cols { 0..indices.len() } else { within(indices, span) };
            visit(group as usize, &indices[part.clone()], &values[part]);
        }
        Ok(())
    }
}

/// The part of the sorted `indices` that lies in `span`.
fn within(indices: &[u32], span: &Range<usize>) -> Range<usize> {
    let from = indices.partition_point(|&column| (column as usize) < span.start);
    from..from + indices[from..].partition_point(|&column| (column as usize) < span.end)
}

/// Reads the source once, in batches of blocks; `add` adds each batch to each tile of columns, which `fresh` makes of the columns
/// that it is for: one of each of `spans`. `group` gives the group of a row; rows without one are left out.
///
/// Columns are shared out over threads, and over processes that share the source, rows are not: what a tile holds is added
/// in the order of the rows within each group, so that the bits depend neither on threads nor on how the source cuts its
/// blocks. Within a batch rows come group by group, which keeps the sums of the present group in cache.
pub(crate) fn by_group<T: Send + Serialize + DeserializeOwned>(
    source: &dyn RowBlocks,
    stage: &str,
    ctx: &Ctx,
    group: impl Fn(usize) -> Option<u32>,
    spans: &[Range<usize>],
    fresh: impl Fn(&Range<usize>) -> T,
    add: impl Fn(&mut T, &Range<usize>, &Batch<'_>) -> Result<()> + Sync,
) -> Result<Vec<T>> {
    let mut all = Vec::with_capacity(spans.len());
    let here = |wanted: Range<usize>, put: &mut dyn FnMut(usize, T) -> Result<()>| {
        let mut tiles: Vec<T> = spans[wanted.clone()].iter().map(&fresh).collect();
        add_blocks(source, stage, ctx, &group, &spans[wanted.clone()], &mut tiles, &add)?;
        wanted.zip(tiles).try_for_each(|(at, tile)| put(at, tile))
    };
    units(source.exchange(), stage, spans.len(), ctx, here, |_, tile| {
        all.push(tile);
        Ok(())
    })?;
    Ok(all)
}

fn add_blocks<T: Send>(
    source: &dyn RowBlocks,
    stage: &str,
    ctx: &Ctx,
    group: &impl Fn(usize) -> Option<u32>,
    spans: &[Range<usize>],
    tiles: &mut [T],
    add: &(impl Fn(&mut T, &Range<usize>, &Batch<'_>) -> Result<()> + Sync),
) -> Result<()> {
    let progress = ctx.stage(stage, source.n_rows() as u64);
    let batch = rayon::current_num_threads() * BLOCKS_PER_THREAD;
    let mut buffers: Vec<Scratch> = (0..batch).map(|_| Scratch::default()).collect();
    for wanted in pieces(source.n_blocks(), batch) {
        ctx.check()?;
        let blocks: Vec<RowBlock<'_>> = buffers
            .par_iter_mut()
            .zip(wanted.clone())
            .map(|(scratch, block)| ctx.check().and_then(|()| source.read(block, scratch)))
            .collect::<Vec<Result<RowBlock<'_>>>>()
            .into_iter()
            .collect::<Result<_>>()?;
        let mut order: Vec<(u32, u32, u32)> = Vec::new();
        for (at, block) in blocks.iter().enumerate() {
            let grouped = (0..block.n_rows()).filter_map(|row| group(block.first_row + row).map(|group| (group, row)));
            order.extend(grouped.map(|(group, row)| (group, at as u32, row as u32)));
        }
        order.sort_unstable();
        let batch = Batch { blocks, order };
        tiles
            .par_iter_mut()
            .zip(spans)
            .with_max_len(1)
            .map(|(tile, span)| add(tile, span, &batch))
            .collect::<Vec<Result<()>>>()
            .into_iter()
            .collect::<Result<()>>()?;
        progress.advance(wanted.map(|block| source.block_rows(block).len() as u64).sum())?;
    }
    Ok(())
}
