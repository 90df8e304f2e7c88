//! Passes over a matrix or a volume that processes share: the one that asks, and those that compute.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use zensaibo_core::exchange::{Exchange, Outbox, StoredBlocks, Turn};
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::{PartWriter, Parts, units_of_part};

/// How often is looked whether parts are there.
const TICK: Duration = Duration::from_millis(10);

/// The process that asks for each pass and goes on with what the parts gave.
pub(crate) struct Leader {
    passes: Py<PyAny>,
}

impl Leader {
    /// `passes` has `begin(stage, units, keeps)`, which gives something with `poll()` (how many parts are there, and all of
    /// them once they are) and `cancel()`; and `kept(stage)`, which gives what the parts of a pass kept.
    pub(crate) fn new(passes: Py<PyAny>) -> Self {
        Self { passes }
    }
}

/// What Python raises is kept there and raised again in place of this.
fn failed(_: PyErr) -> Error {
    Error::PartDone
}

impl Exchange for Leader {
    fn turn(&self, stage: &str, units: usize, keeps: bool, ctx: &Ctx) -> Result<Turn<'_>> {
        let pending =
            Python::attach(|py| self.passes.call_method1(py, "begin", (stage, units, keeps))).map_err(failed)?;
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

    fn kept(&self, stage: &str, units: usize) -> Result<Box<dyn StoredBlocks>> {
        let parts: Vec<Vec<u8>> = Python::attach(|py| {
            let parts: Vec<PyBackedBytes> = self.passes.call_method1(py, "kept", (stage,))?.extract(py)?;
            Ok(parts.iter().map(|part| part.to_vec()).collect())
        })
        .map_err(failed)?;
        Ok(Box::new(Parts::in_memory(stage, parts, units)?))
    }
}

/// A process that computes one part of one pass, after passes that are over.
pub(crate) struct Worker {
    /// The parts of the passes that are over; each is taken once.
    history: Mutex<Vec<Option<Vec<Vec<u8>>>>>,
    /// What the same part of earlier passes kept, by pass; each is taken once.
    kept: Mutex<Vec<(String, Vec<u8>)>>,
    passed: AtomicUsize,
    part: usize,
    of: usize,
    taken: Mutex<Option<Taken>>,
}

/// What a process computed of its part, and what its units keep.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) units: Vec<u8>,
    pub(crate) kept: Option<Vec<u8>>,
}

impl Worker {
    pub(crate) fn new(
        history: Vec<Vec<PyBackedBytes>>,
        kept: Vec<(String, PyBackedBytes)>,
        part: usize,
        of: usize,
    ) -> Self {
        let pass = |parts: Vec<PyBackedBytes>| Some(parts.iter().map(|part| part.to_vec()).collect());
        let history = Mutex::new(history.into_iter().map(pass).collect());
        let kept = Mutex::new(kept.into_iter().map(|(stage, bytes)| (stage, bytes.to_vec())).collect());
        Self { history, kept, passed: AtomicUsize::new(0), part, of, taken: Mutex::default() }
    }

    pub(crate) fn taken(&self) -> Option<Taken> {
        self.taken.lock().ok()?.take()
    }
}

impl Exchange for Worker {
    fn turn(&self, stage: &str, units: usize, keeps: bool, _: &Ctx) -> Result<Turn<'_>> {
        let pass = self.passed.fetch_add(1, Ordering::Relaxed);
        let mut history = self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match history.get_mut(pass) {
            Some(parts) => {
                let parts = parts.take().ok_or_else(|| Error::Internal(format!("{stage}: a pass taken twice")))?;
                Ok(Turn::Merge(Box::new(Parts::in_memory(stage, parts, units)?)))
            }
            None => {
                let writer = PartWriter::new(Vec::new()).map_err(in_memory)?;
                let kept = keeps.then(|| PartWriter::new(Vec::new())).transpose().map_err(in_memory)?;
                Ok(Turn::Compute(
                    units_of_part(units, self.part, self.of),
                    Box::new(Letter { writer, kept, to: &self.taken }),
                ))
            }
        }
    }

    fn kept(&self, stage: &str, units: usize) -> Result<Box<dyn StoredBlocks>> {
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let at = kept.iter().position(|(name, _)| name == stage);
        let at = at.ok_or_else(|| Error::Internal(format!("{stage}: nothing that was kept")))?;
        let own = units_of_part(units, self.part, self.of);
        let parts = Parts::in_memory(stage, vec![kept.swap_remove(at).1], own.len())?;
        Ok(Box::new(Own { parts, first: own.start }))
    }
}

/// What the units of one part kept.
struct Own {
    parts: Parts,
    first: usize,
}

impl StoredBlocks for Own {
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let unit = block.checked_sub(self.first);
        self.parts.visit(unit.ok_or_else(|| Error::Internal(format!("unit {block} of another part")))?, read)
    }
}

/// The part in memory until it is whole.
struct Letter<'a> {
    writer: PartWriter<Vec<u8>>,
    kept: Option<PartWriter<Vec<u8>>>,
    to: &'a Mutex<Option<Taken>>,
}

impl Outbox for Letter<'_> {
    fn put(&mut self, unit: &[u8]) -> Result<()> {
        self.writer.put(unit).map_err(in_memory)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.kept {
            Some(kept) => kept.put(bytes).map_err(in_memory),
            None => Err(Error::Internal("a pass that keeps nothing kept something".into())),
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        let units = self.writer.finish().map_err(in_memory)?;
        let kept = self.kept.map(PartWriter::finish).transpose().map_err(in_memory)?;
        *self.to.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Taken { units, kept });
        Ok(())
    }
}

fn in_memory(error: std::io::Error) -> Error {
    Error::Internal(format!("a part in memory: {error}"))
}

/// What [`Worker::taken`] gave, for Python: the units, and what they keep.
pub(crate) type PyTaken<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

/// What a worker computed; `None` before it did.
pub(crate) fn taken<'py>(py: Python<'py>, worker: Option<&Arc<Worker>>) -> Option<PyTaken<'py>> {
    let taken = worker?.taken()?;
    Some((PyBytes::new(py, &taken.units), taken.kept.map(|kept| PyBytes::new(py, &kept))))
}
