//! Runs stages one after the other and keeps their costs.

use zensaibo_core::{Ctx, Result};

use super::Hooks;
use crate::measure::{Clock, StageRecord};

/// The stages of one run.
pub(super) struct Stages<'a> {
    hooks: &'a dyn Hooks,
    ctx: &'a Ctx,
    /// The costs so far.
    pub(super) records: Vec<StageRecord>,
}

impl<'a> Stages<'a> {
    pub(super) fn new(hooks: &'a dyn Hooks, ctx: &'a Ctx) -> Self {
        Self { hooks, ctx, records: Vec::new() }
    }

    /// Runs one stage; `job` returns its result and a few words on it.
    pub(super) fn run<R>(&mut self, name: &str, job: impl FnOnce(&Ctx) -> Result<(R, String)>) -> Result<R> {
        self.ctx.check()?;
        self.hooks.started(name);
        let clock = Clock::start();
        let (result, note) = job(self.ctx)?;
        let record = clock.read(name, note);
        self.hooks.finished(&record);
        self.records.push(record);
        Ok(result)
    }
}
