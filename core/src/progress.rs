//! Progress and cancellation: one token that travels through every long computation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

    /// Returns an error once cancellation was asked for. Call it at least every ~10 ms of work.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
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
