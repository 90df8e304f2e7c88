//! The one way from Python into long work: releases the GIL, watches for Ctrl-C, reports progress, maps errors.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::progress::{CancelToken, Progress};
use zensaibo_core::{Ctx, Error, Result};

use crate::errors::to_python;

/// How often the calling thread looks for Ctrl-C and reports progress.
const TICK: Duration = Duration::from_millis(40);

/// What the worker has reported, read by the calling thread at each tick.
#[derive(Default)]
struct Meter {
    stages: Mutex<Vec<(String, u64)>>,
    done: AtomicU64,
}

impl Progress for Meter {
    fn start(&self, stage: &str, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        if let Ok(mut stages) = self.stages.lock() {
            stages.push((stage.to_string(), total));
        }
    }
    fn advance(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }
    fn finish(&self) {
        if let Ok(mut stages) = self.stages.lock() {
            stages.pop();
        }
    }
}

/// Runs `job` on a worker thread inside a pool of `threads`, with the GIL released.
///
/// `progress(stage, done, total)` is called about every 40 ms on the calling thread. Ctrl-C, or an exception
/// in `progress`, cancels the job; the call returns once the job has noticed. A panic in the job becomes an
/// ordinary exception.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
    job: impl FnOnce(&Ctx) -> Result<T> + Send,
) -> PyResult<T> {
    let meter = Arc::new(Meter::default());
    let token = CancelToken::default();
    let ctx = Ctx::new(token.clone(), meter.clone());
    let (send, receive) = sync_channel::<Result<T>>(1);
    let mut interrupted: Option<PyErr> = None;

    // A channel receiver is not `Sync`; the mutex is never contended, it only lets `detach` borrow it.
    let receive = Mutex::new(receive);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let ctx = ctx;
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
                with_threads(threads, || {
                    // From here on this thread works for this call.
                    ctx.check()?;
                    job(&ctx)
                })
            }))
            .unwrap_or_else(|panic| Err(Error::Internal(panic_message(panic.as_ref()))));
            // The receiver outlives the worker, so sending cannot fail.
            let _ = send.send(result);
        });
        loop {
            let received = py.detach(|| match receive.lock() {
                Ok(receiver) => receiver.recv_timeout(TICK),
                Err(_) => Err(RecvTimeoutError::Disconnected),
            });
            match received {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal("the worker thread vanished".into()));
                }
                Err(RecvTimeoutError::Timeout) if interrupted.is_none() => {
                    if let Err(error) = py.check_signals().and_then(|()| report(py, &meter, progress.as_ref())) {
                        token.cancel();
                        interrupted = Some(error);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    });
    match interrupted {
        Some(error) => Err(error),
        None => outcome.map_err(|error| to_python(py, error)),
    }
}

fn report(py: Python<'_>, meter: &Meter, progress: Option<&Py<PyAny>>) -> PyResult<()> {
    let Some(callback) = progress else { return Ok(()) };
    let current = meter.stages.lock().ok().and_then(|stages| stages.last().cloned());
    if let Some((stage, total)) = current {
        callback.call1(py, (stage, meter.done.load(Ordering::Relaxed), total))?;
    }
    Ok(())
}

/// Text of a caught panic.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".into())
}
