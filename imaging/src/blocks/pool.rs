//! Buffers that a thread keeps from one block to the next, so that memory is asked of the system once.

use std::cell::RefCell;

use zensaibo_core::data::Grid;
use zensaibo_core::memory::zeros;

/// Buffers kept by a thread; a filter holds about as many at a time.
const KEPT: usize = 4;

thread_local! {
    static POOL: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `length` whose contents are arbitrary: for results that are written whole.
pub(crate) fn take(length: usize) -> Vec<f32> {
    let kept = POOL.with_borrow_mut(|pool| {
        let fits = |buffer: &Vec<f32>| buffer.capacity() >= length;
        let best =
            pool.iter().enumerate().filter(|(_, buffer)| fits(buffer)).min_by_key(|(_, buffer)| buffer.capacity());
        best.map(|(at, _)| at).map(|at| pool.swap_remove(at))
    });
    let mut buffer = kept.unwrap_or_else(|| zeros(length));
    buffer.resize(length, 0.0);
    buffer
}

/// A grid of arbitrary contents.
pub(crate) fn take_grid(shape: [usize; 3]) -> Grid<f32> {
    Grid { shape, data: take(shape.iter().product()) }
}

/// Hands a buffer back, for the next block on this thread.
pub(crate) fn give(buffer: Vec<f32>) {
    POOL.with_borrow_mut(|pool| {
        pool.push(buffer);
        if pool.len() > KEPT
            && let Some(least) = (0..pool.len()).min_by_key(|&at| pool[at].capacity())
        {
            pool.swap_remove(least);
        }
    });
}

/// Frees what all threads of the current pool keep: called when a volume is done.
pub(crate) fn clear() {
    rayon::broadcast(|_| POOL.with_borrow_mut(Vec::clear));
    POOL.with_borrow_mut(Vec::clear);
}
