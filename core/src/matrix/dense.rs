//! Dense results of a source, one row per row, written block by block.

use std::sync::Mutex;

use rayon::prelude::*;

use super::{RowBlocks, Scratch};
use crate::{Ctx, DataFault, Error, Result};

/// Rows between two looks at whether to stop.
const ROWS: usize = 64;

/// Calls `write(state, row, columns, values, out_row)` for every row of a source, where `out_row` is the row of `out`
/// (rows x `width`, row-major) that belongs to it.
///
/// Blocks run in parallel; `fresh` makes the state (buffers) of one block. A row is written once and from its own
/// values alone, so the number of threads changes nothing. Memory: the blocks in flight.
///
/// # Errors
/// [`Error::Data`] when `out` is not rows x `width` long; whatever the source returns; [`Error::Interrupted`], when
/// some rows are written and some are not.
pub fn fill_rows<T: Send, S>(
    source: &dyn RowBlocks,
    width: usize,
    out: &mut [T],
    stage: &str,
    ctx: &Ctx,
    fresh: impl Fn() -> S + Sync,
    write: impl Fn(&mut S, usize, &[u32], &[f32], &mut [T]) + Sync,
) -> Result<()> {
    if source.n_rows().checked_mul(width) != Some(out.len()) {
        let expected = format!("{} x {width} values", source.n_rows());
        return Err(Error::data(DataFault::Shape, "dense result", expected, out.len()));
    }
    let mut rest = out;
    let mut parts = Vec::with_capacity(source.n_blocks());
    for block in 0..source.n_blocks() {
        let (own, tail) = rest.split_at_mut(source.block_rows(block).len() * width);
        parts.push((block, own));
        rest = tail;
    }
    let progress = ctx.stage(stage, source.n_rows() as u64);
    let buffers: Mutex<Vec<Scratch>> = Mutex::default();
    let lock = || buffers.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    parts
        .into_par_iter()
        .with_max_len(1)
        .map(|(index, own)| {
            ctx.check()?;
            let mut scratch = lock().pop().unwrap_or_default();
            let done = source.read(index, &mut scratch).and_then(|block| {
                let mut state = fresh();
                let mut rows = block.rows();
                for part in own.chunks_mut((ROWS * width).max(1)) {
                    let mut written = 0;
                    for out_row in part.chunks_exact_mut(width) {
                        let Some((row, columns, values)) = rows.next() else {
                            return Err(Error::Internal("a block with fewer rows than announced".into()));
                        };
                        write(&mut state, row, columns, values, out_row);
                        written += 1;
                    }
                    progress.advance(written)?;
                }
                Ok(())
            });
            lock().push(scratch);
            done
        })
        .find_map_first(Result::err)
        .map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Csr;
    use crate::parallel::with_threads;

    #[test]
    fn every_row_is_written_once_for_any_number_of_threads() {
        let n = 30_000;
        let indices = (0..n as u32).flat_map(|i| [i % 3, 3 + i % 2]).flat_map(|c| [c; 1]).collect();
        let values = (0..2 * n).map(|i| i as f32).collect();
        let matrix = Csr::new(n, 5, (0..=n as u64).map(|i| 2 * i).collect(), indices, values).unwrap();
        let run = |threads| {
            let mut out = vec![-1.0f32; n * 5];
            with_threads(Some(threads), || {
                fill_rows(
                    &matrix,
                    5,
                    &mut out,
                    "test",
                    &Ctx::quiet(),
                    || (),
                    |(), _, columns, values, row| {
                        row.fill(0.0);
                        columns.iter().zip(values).for_each(|(&c, &v)| row[c as usize] = v);
                    },
                )
            })
            .unwrap();
            out
        };
        let one = run(1);
        assert_eq!(&one[..10], &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 3.0]);
        assert!(one.iter().all(|&v| v >= 0.0));
        assert_eq!(one, run(2));
        assert_eq!(one, run(8));
    }

    #[test]
    fn wrong_lengths_and_nothing_at_all() {
        let nothing = |_: &mut (), _: usize, _: &[u32], _: &[f32], _: &mut [f32]| {};
        let run = |rows, width, out: &mut [f32]| {
            fill_rows(&Csr::empty(rows, width), width, out, "test", &Ctx::quiet(), || (), nothing)
        };
        assert!(run(2, 2, &mut [0.0; 3]).unwrap_err().to_string().contains("2 x 2"));
        run(0, 3, &mut []).unwrap();
        run(3, 0, &mut []).unwrap();
    }
}
