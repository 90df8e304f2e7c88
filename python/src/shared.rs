//! Passes over a matrix that processes share: the one that asks, and those that compute.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use zensaibo_core::exchange::{Exchange, Outbox, Turn};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::{PartWriter, Parts, units_of_part};

/// How often is looked whether parts are there.
const TICK: Duration = Duration::from_millis(10);

/// The process that asks for each pass and goes on with what the parts gave.
pub(crate) struct Leader {
    begin: Py<PyAny>,
}

impl Leader {
    pub(crate) fn new(begin: Py<PyAny>) -> Self {
        Self { begin }
    }
}

impl Exchange for Leader {
    fn turn(&self, stage: &str, units: usize, ctx: &Ctx) -> Result<Turn<'_>> {
        // What Python raises is kept there and raised again in place of this.
        let failed = |_: PyErr| Error::PartDone;
        let pending = Python::attach(|py| self.begin.call1(py, (stage, units))).map_err(failed)?;
        let (progress, mut known) = (ctx.stage(stage, 0), 0u64);
        loop {
            if let Err(stopped) = progress.advance(0) {
                Python::attach(|py| pending.call_method0(py, "cancel")).map_err(failed)?;
                return Err(stopped);
            }
            let (done, parts) =
                Python::attach(|py| pending.call_method0(py, "poll")?.extract::<(u64, Option<Vec<PyBackedBytes>>)>(py))
                    .map_err(failed)?;
            if let Some(parts) = parts {
                let parts = parts.iter().map(|part| part.to_vec()).collect();
                return Ok(Turn::Merge(Box::new(Parts::in_memory(stage, parts, units)?)));
            }
            progress.advance(done.saturating_sub(known))?;
            known = done;
            std::thread::sleep(TICK);
        }
    }
}

/// A process that computes one part of one pass, after passes that are over.
pub(crate) struct Worker {
    /// The parts of the passes that are over; each is taken once.
    history: Mutex<Vec<Option<Vec<Vec<u8>>>>>,
    passed: AtomicUsize,
    part: usize,
    of: usize,
    taken: Mutex<Option<Vec<u8>>>,
}

impl Worker {
    pub(crate) fn new(history: Vec<Vec<PyBackedBytes>>, part: usize, of: usize) -> Self {
        let pass = |parts: Vec<PyBackedBytes>| Some(parts.iter().map(|part| part.to_vec()).collect());
        let history = Mutex::new(history.into_iter().map(pass).collect());
        Self { history, passed: AtomicUsize::new(0), part, of, taken: Mutex::default() }
    }

    pub(crate) fn taken(&self) -> Option<Vec<u8>> {
        self.taken.lock().ok()?.take()
    }
}

impl Exchange for Worker {
    fn turn(&self, stage: &str, units: usize, _: &Ctx) -> Result<Turn<'_>> {
        let pass = self.passed.fetch_add(1, Ordering::Relaxed);
        let mut history = self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match history.get_mut(pass) {
            Some(parts) => {
                let parts = parts.take().ok_or_else(|| Error::Internal(format!("{stage}: a pass taken twice")))?;
                Ok(Turn::Merge(Box::new(Parts::in_memory(stage, parts, units)?)))
            }
            None => {
                let writer = PartWriter::new(Vec::new()).map_err(in_memory)?;
                Ok(Turn::Compute(
                    units_of_part(units, self.part, self.of),
                    Box::new(Letter { writer, to: &self.taken }),
                ))
            }
        }
    }
}

/// The part in memory until it is whole.
struct Letter<'a> {
    writer: PartWriter<Vec<u8>>,
    to: &'a Mutex<Option<Vec<u8>>>,
}

impl Outbox for Letter<'_> {
    fn put(&mut self, unit: &[u8]) -> Result<()> {
        self.writer.put(unit).map_err(in_memory)
    }

    fn close(self: Box<Self>) -> Result<()> {
        let bytes = self.writer.finish().map_err(in_memory)?;
        *self.to.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(bytes);
        Ok(())
    }
}

fn in_memory(error: std::io::Error) -> Error {
    Error::Internal(format!("a part in memory: {error}"))
}
