//! Progress and cancellation: one token that travels through every long computation.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use crate::{Error, Result};

/// Receives what a long computation reports. Implementations must be cheap: they are called per block.
pub trait Progress: Send + Sync {
    /// A stage begins; `total` is in the stage's own units (rows, epochs), 0 when unknown.
    fn start(&self, stage: &str, total: u64);
    /// `amount` more units of the current stage are done. Called from any thread.
    fn advance(&self, amount: u64);
    /// The current stage ended, by success or failure.
    fn finish(&self);
}

/// Reports nothing.
struct Quiet;

impl Progress for Quiet {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
}

/// A flag that asks running computations to stop. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks to stop. Computations notice at their next block.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether stopping was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// That of the computation which this thread was seen to work for last, if it is still going on.
    ///
    /// For what waits on something slow where no [`Ctx`] reaches, such as a source that reads over a network.
    pub fn of_this_thread() -> Option<Self> {
        WORKS_FOR.with_borrow(Weak::upgrade).map(Self)
    }

    /// Makes this thread work for it: for threads that help with a part of a computation.
    pub fn adopt(&self) {
        WORKS_FOR.with_borrow_mut(|known| {
            if !std::ptr::eq(known.as_ptr(), Arc::as_ptr(&self.0)) {
                *known = Arc::downgrade(&self.0);
            }
        });
    }
}

thread_local! {
    /// Weak, so that a computation which is over, however it ended, says nothing to the next one on this thread.
    static WORKS_FOR: RefCell<Weak<AtomicBool>> = const { RefCell::new(Weak::new()) };
}

/// What every algorithm is handed beside its data and options: where to report, and whether to stop.
#[derive(Clone)]
pub struct Ctx {
    cancel: CancelToken,
    progress: Arc<dyn Progress>,
}

impl Default for Ctx {
    fn default() -> Self {
        Self::quiet()
    }
}

impl Ctx {
    /// Reports nothing and is never cancelled (by itself): for tests and nested calls.
    pub fn quiet() -> Self {
        Self::new(CancelToken::default(), Arc::new(Quiet))
    }

    /// A context with the given token and reporter.
    pub fn new(cancel: CancelToken, progress: Arc<dyn Progress>) -> Self {
        Self { cancel, progress }
    }

    /// Same token, no reports: for inner loops of a stage that reports as a whole.
    pub fn silent(&self) -> Self {
        Self::new(self.cancel.clone(), Arc::new(Quiet))
    }

    /// The cancel token.
    pub fn token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Returns an error once cancellation was asked for. Call it at least every ~10 ms of work. The thread that calls it is
    /// from then on known to work for this computation ([`CancelToken::of_this_thread`]).
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        self.cancel.adopt();
        if self.cancel.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Opens a stage; it is closed when the returned guard is dropped.
    pub fn stage(&self, name: &str, total: u64) -> Stage<'_> {
        self.progress.start(name, total);
        Stage { ctx: self }
    }
}

/// An open stage of progress.
pub struct Stage<'a> {
    ctx: &'a Ctx,
}

impl Stage<'_> {
    /// Reports `amount` more units and checks for cancellation.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once cancellation was asked for.
    pub fn advance(&self, amount: u64) -> Result<()> {
        self.ctx.progress.advance(amount);
        self.ctx.check()
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.ctx.progress.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_what_it_works_for_until_that_is_over() {
        std::thread::spawn(|| {
            assert!(CancelToken::of_this_thread().is_none());
            let ctx = Ctx::quiet();
            ctx.check().unwrap();
            ctx.token().cancel();
            assert!(CancelToken::of_this_thread().unwrap().is_cancelled());
            drop(ctx);
            assert!(CancelToken::of_this_thread().is_none());
        })
        .join()
        .unwrap();
    }
}
