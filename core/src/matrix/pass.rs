//! Passes: what one look at the data computes.

use std::ops::Range;
use std::sync::Mutex;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{RowBlock, RowBlocks, Scratch};
use crate::exchange::units;
use crate::parallel::ordered_reduce;
use crate::{Ctx, Result};

/// One look at the data: a partial result per block (in parallel), merged in block order.
///
/// To add one: choose what a block yields (`Partial`), what is accumulated (`State`, f64 sums), and what comes
/// out. `block` must depend on the block alone. Compose with tuples: `(A, B)` is a pass that reads once.
pub trait Pass: Sync {
    /// What a block yields; it may come from another process.
    type Partial: Send + Serialize + DeserializeOwned;
    /// What partials are merged into, in block order.
    type State;
    /// What the pass returns.
    type Output;

    /// The state before the first block.
    fn start(&self) -> Self::State;

    /// Looks at one block.
    ///
    /// # Errors
    /// When the block holds what the pass cannot use.
    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial>;

    /// Adds a partial result; called in block order.
    ///
    /// # Errors
    /// When the partial cannot be added.
    fn merge(&self, state: &mut Self::State, partial: Self::Partial) -> Result<()>;

    /// Turns the state into the result.
    ///
    /// # Errors
    /// When no result can be had, for instance from zero rows.
    fn finish(&self, state: Self::State) -> Result<Self::Output>;
}

impl<P: Pass> Pass for &P {
    type Partial = P::Partial;
    type State = P::State;
    type Output = P::Output;
    fn start(&self) -> Self::State {
        (**self).start()
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        (**self).block(block)
    }
    fn merge(&self, state: &mut Self::State, partial: Self::Partial) -> Result<()> {
        (**self).merge(state, partial)
    }
    fn finish(&self, state: Self::State) -> Result<Self::Output> {
        (**self).finish(state)
    }
}

macro_rules! tuple_pass {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Pass),+> Pass for ($($name,)+) {
            type Partial = ($($name::Partial,)+);
            type State = ($($name::State,)+);
            type Output = ($($name::Output,)+);
            fn start(&self) -> Self::State {
                ($(self.$index.start(),)+)
            }
            fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
                Ok(($(self.$index.block(block)?,)+))
            }
            fn merge(&self, state: &mut Self::State, partial: Self::Partial) -> Result<()> {
                $(self.$index.merge(&mut state.$index, partial.$index)?;)+
                Ok(())
            }
            fn finish(&self, state: Self::State) -> Result<Self::Output> {
                Ok(($(self.$index.finish(state.$index)?,)+))
            }
        }
    };
}

tuple_pass!(A 0, B 1);
tuple_pass!(A 0, B 1, C 2);
tuple_pass!(A 0, B 1, C 2, D 3);

/// Runs a pass over all blocks of a source: blocks in parallel on the current pool, merges in block order.
///
/// # Errors
/// The first error of the source or the pass in block order, or [`crate::Error::Interrupted`].
pub fn run<P: Pass>(source: &dyn RowBlocks, pass: &P, stage: &str, ctx: &Ctx) -> Result<P::Output> {
    run_with(source, pass, stage, ctx, |_| Ok(()))
}

/// As [`run`], and calls `after_block(index)` once each block is merged (for checkpoints).
///
/// # Errors
/// As [`run`], or what `after_block` returns.
pub fn run_with<P: Pass>(
    source: &dyn RowBlocks,
    pass: &P,
    stage: &str,
    ctx: &Ctx,
    mut after_block: impl FnMut(usize) -> Result<()>,
) -> Result<P::Output> {
    let mut state = pass.start();
    each_block(
        source,
        stage,
        ctx,
        |block| pass.block(block),
        |index, partial| {
            pass.merge(&mut state, partial)?;
            after_block(index)
        },
    )?;
    pass.finish(state)
}

/// Maps all blocks of a source in parallel and folds what comes out in block order. Processes that share the source map
/// some of its blocks each.
pub(super) fn each_block<T: Send + Serialize + DeserializeOwned>(
    source: &dyn RowBlocks,
    stage: &str,
    ctx: &Ctx,
    map: impl Fn(&RowBlock<'_>) -> Result<T> + Sync,
    fold: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let here = |range, fold: &mut dyn FnMut(usize, T) -> Result<()>| map_blocks(source, range, stage, ctx, &map, fold);
    units(source.exchange(), stage, source.n_blocks(), ctx, here, fold)
}

/// Maps some blocks of a source in parallel, in this process, and folds what comes out in block order.
pub(super) fn map_blocks<T: Send>(
    source: &dyn RowBlocks,
    blocks: Range<usize>,
    stage: &str,
    ctx: &Ctx,
    map: impl Fn(&RowBlock<'_>) -> Result<T> + Sync,
    mut fold: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let rows = blocks.clone().map(|block| source.block_rows(block).len() as u64).sum();
    let progress = ctx.stage(stage, rows);
    // Buffers go round: a fresh one per block would cost its page faults again and again.
    let buffers: Mutex<Vec<Scratch>> = Mutex::default();
    let lock = || buffers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    ordered_reduce(
        blocks.len(),
        ctx,
        |at| {
            let index = blocks.start + at;
            let mut scratch = lock().pop().unwrap_or_default();
            let partial = source.read(index, &mut scratch).and_then(|block| map(&block));
            lock().push(scratch);
            partial
        },
        |at, partial| {
            let index = blocks.start + at;
            fold(index, partial)?;
            progress.advance(source.block_rows(index).len() as u64)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Csr;
    use crate::parallel::with_threads;

    struct ColumnSums(usize);
    impl Pass for ColumnSums {
        type Partial = Vec<f64>;
        type State = Vec<f64>;
        type Output = Vec<f64>;
        fn start(&self) -> Vec<f64> {
            vec![0.0; self.0]
        }
        fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
            let mut sums = self.start();
            for (&column, &value) in block.indices.iter().zip(block.values) {
                sums[column as usize] += f64::from(value);
            }
            Ok(sums)
        }
        fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
            state.iter_mut().zip(partial).for_each(|(a, b)| *a += b);
            Ok(())
        }
        fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
            Ok(state)
        }
    }

    struct CountRows;
    impl Pass for CountRows {
        type Partial = usize;
        type State = usize;
        type Output = usize;
        fn start(&self) -> usize {
            0
        }
        fn block(&self, block: &RowBlock<'_>) -> Result<usize> {
            Ok(block.n_rows())
        }
        fn merge(&self, state: &mut usize, partial: usize) -> Result<()> {
            *state += partial;
            Ok(())
        }
        fn finish(&self, state: usize) -> Result<usize> {
            Ok(state)
        }
    }

    fn many_rows(n: usize) -> Csr {
        let width = 200;
        let indices = (0..n).flat_map(|_| 0..width as u32).collect::<Vec<_>>();
        let values = (0..n * width).map(|i| 0.1 + (i % 97) as f32).collect();
        Csr::new(n, width, (0..=n as u64).map(|i| i * width as u64).collect(), indices, values).unwrap()
    }

    #[test]
    fn composed_passes_read_once_and_agree_over_threads() {
        let matrix = many_rows(20_000);
        assert!(matrix.n_blocks() > 3);
        let sums = |threads| {
            with_threads(Some(threads), || run(&matrix, &(ColumnSums(200), CountRows), "test", &Ctx::quiet())).unwrap()
        };
        let (one, rows) = sums(1);
        assert_eq!(rows, 20_000);
        for threads in [2, 8] {
            assert_eq!(sums(threads).0, one);
        }
    }

    #[test]
    fn a_cancelled_context_stops_the_pass() {
        let ctx = Ctx::quiet();
        ctx.token().cancel();
        let stopped = run(&many_rows(100), &CountRows, "test", &ctx);
        assert!(matches!(stopped, Err(crate::Error::Interrupted)));
    }
}
