//! The one place that knows about thread pools.
//!
//! Algorithms use rayon freely inside [`with_threads`], under one rule: work is cut into pieces whose number
//! and size depend on the data alone, and floating-point partial results are merged in piece order. Then the
//! number of threads changes the time and nothing else.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use rayon::prelude::*;

use crate::{Ctx, Error, Result};

/// Runs `job` in a pool of `threads` threads (`None`: one per core available). Pools are kept and reused.
///
/// # Errors
/// [`Error::Parameter`] for zero threads; [`Error::Internal`] if the system refuses to start them; whatever
/// `job` returns.
pub fn with_threads<R: Send>(threads: Option<usize>, job: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    static POOLS: OnceLock<Mutex<BTreeMap<usize, Arc<rayon::ThreadPool>>>> = OnceLock::new();
    let count = match threads {
        Some(0) => return Err(Error::parameter("threads", "a whole number of at least 1, or none for all cores", 0)),
        Some(count) => count,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let pool = {
        let mut pools = POOLS.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match pools.get(&count) {
            Some(pool) => pool.clone(),
            None => {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(count)
                    .thread_name(|index| format!("zensaibo-{index}"))
                    .build()
                    .map_err(|error| Error::Internal(format!("cannot start {count} threads: {error}")))?;
                let pool = Arc::new(pool);
                pools.insert(count, pool.clone());
                pool
            }
        }
    };
    pool.install(job)
}

/// Cuts `0..n` into consecutive ranges of `size` (the last may be shorter). `size` must come from the data.
pub fn pieces(n: usize, size: usize) -> Vec<Range<usize>> {
    let size = size.max(1);
    (0..n.div_ceil(size)).map(|i| i * size..((i + 1) * size).min(n)).collect()
}

/// Maps `0..n` in parallel and folds the results **in index order**, holding only a few at a time.
///
/// `map` runs on any thread; `fold` runs on the calling one. At most four results per thread wait for their
/// turn, which bounds memory; the fold order, hence every bit of the result, does not depend on that.
///
/// # Errors
/// The first error of `map` or `fold` in index order, or [`Error::Interrupted`].
pub fn ordered_reduce<T: Send>(
    n: usize,
    ctx: &Ctx,
    map: impl Fn(usize) -> Result<T> + Sync,
    mut fold: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let wave = rayon::current_num_threads() * 4;
    let mut start = 0;
    while start < n {
        ctx.check()?;
        let end = (start + wave).min(n);
        let results: Vec<Result<T>> =
            (start..end).into_par_iter().with_max_len(1).map(|index| ctx.check().and_then(|()| map(index))).collect();
        for (offset, result) in results.into_iter().enumerate() {
            fold(start + offset, result?)?;
        }
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_once() {
        assert_eq!(pieces(7, 3), vec![0..3, 3..6, 6..7]);
        assert_eq!(pieces(0, 3), Vec::<Range<usize>>::new());
        assert_eq!(pieces(3, 0), vec![0..1, 1..2, 2..3]);
    }

    #[test]
    fn ordered_reduce_gives_the_same_bits_for_any_thread_count() {
        let sum = |threads| {
            with_threads(Some(threads), || {
                let mut total = 0.0f64;
                ordered_reduce(
                    1000,
                    &Ctx::quiet(),
                    |i| Ok(1.0 / (i as f64 + 0.1)),
                    |_, x| {
                        total += x;
                        Ok(())
                    },
                )?;
                Ok(total.to_bits())
            })
            .unwrap()
        };
        assert_eq!(sum(1), sum(2));
        assert_eq!(sum(1), sum(8));
    }

    #[test]
    fn zero_threads_is_refused() {
        assert!(with_threads(Some(0), || Ok(())).unwrap_err().to_string().contains("threads"));
    }
}
