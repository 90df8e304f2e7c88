//! Many requests at a time, each repeated until it succeeds or is hopeless.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use zensaibo_core::progress::CancelToken;

use super::client::{Answer, Ask, Client, Failed, Part};
use super::fault::{Fault, Kind, Outcome};

/// How often a thread that waits for answers looks whether it is to stop.
const TICK: Duration = Duration::from_millis(25);

/// The pause before the first repetition; each further one is twice as long, at most [`LONGEST`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(20);

/// Bytes that are asked for in one request: larger parts of an object come in several, which a failure costs less.
pub(super) const MOST: u64 = 8 << 20;

/// Lets the threads of unfinished requests end when whoever waits for them has gone.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Report = (usize, Result<Answer, Failed>);

/// Asks for everything at once and waits for all answers, in the order of the questions, or for the first that fails for good.
pub(super) fn fetch(client: &Arc<Client>, asks: Vec<Ask>) -> Outcome<Vec<Answer>> {
    let asks = Arc::new(asks);
    let fault = |at: usize, kind: Kind| Fault { url: asks[at].address.shown(), action: asks[at].action(), kind };
    let token = CancelToken::of_this_thread();
    let abandon = Abandon(Arc::default());
    let (send, receive) = channel::<Report>();
    let mut answers: Vec<Option<Answer>> = asks.iter().map(|_| None).collect();
    let mut attempts = vec![0u32; asks.len()];
    // Those to be asked, the next at the end; and those that wait for another try.
    let mut waiting: Vec<usize> = (0..asks.len()).rev().collect();
    let mut later: Vec<(Instant, usize)> = Vec::new();
    let (mut running, mut done) = (0, 0);
    while done < asks.len() {
        let now = Instant::now();
        later.retain(|&(when, at)| {
            if when <= now {
                waiting.push(at);
            }
            when > now
        });
        while running < client.settings.requests {
            let Some(at) = waiting.pop() else { break };
            start(client, &asks, at, &send, &abandon.0)
                .map_err(|error| fault(at, Kind::Refused(error.kind(), format!("cannot start a thread: {error}"))))?;
            running += 1;
        }
        let (at, outcome) = match receive.recv_timeout(TICK) {
            Ok(report) => report,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                if token.as_ref().is_some_and(CancelToken::is_cancelled) {
                    return Err(fault(0, Kind::Interrupted));
                }
                continue;
            }
        };
        running -= 1;
        match outcome {
            Ok(answer) => {
                answers[at] = Some(answer);
                done += 1;
            }
            Err(Failed::Never(kind)) => return Err(fault(at, kind)),
            // A bucket moves once; whatever moves more often counts as a failure.
            Err(Failed::Elsewhere) if attempts[at] == 0 => {
                attempts[at] += 1;
                waiting.push(at);
            }
            Err(Failed::Elsewhere) => {
                let text = "the bucket is said to be in one region after the other".to_string();
                return Err(fault(at, Kind::Refused(io::ErrorKind::Other, text)));
            }
            Err(Failed::Again(kind, why, wait)) => {
                attempts[at] += 1;
                if attempts[at] > client.settings.retries {
                    let tries = if attempts[at] == 1 { String::new() } else { format!(" ({} attempts)", attempts[at]) };
                    return Err(fault(at, Kind::Refused(kind, format!("{why}{tries}"))));
                }
                let pause = wait.unwrap_or_else(|| pause(attempts[at]));
                later.push((Instant::now() + pause, at));
            }
        }
    }
    Ok(answers.into_iter().flatten().collect())
}

/// Between one and one and a half times the pause before this repetition, so that those who failed together do not come
/// back together.
fn pause(attempt: u32) -> Duration {
    let base = (PAUSE * 2u32.saturating_pow(attempt - 1).min(1 << 16)).min(LONGEST);
    let chance = RandomState::new().build_hasher().finish() as u32;
    base + base.mul_f64(0.5 * f64::from(chance) / f64::from(u32::MAX))
}

fn start(
    client: &Arc<Client>,
    asks: &Arc<Vec<Ask>>,
    at: usize,
    send: &Sender<Report>,
    abandoned: &Arc<AtomicBool>,
) -> io::Result<()> {
    let (client, asks, send, abandoned) = (client.clone(), asks.clone(), send.clone(), abandoned.clone());
    let run = move || {
        let job = || client.attempt(&asks[at], &abandoned);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        let broken = |_| Err(Failed::Never(Kind::Refused(io::ErrorKind::Other, "a panic of the client".into())));
        // Nobody listens any more where the wait was given up.
        let _ = send.send((at, outcome.unwrap_or_else(broken)));
    };
    thread::Builder::new().name("zensaibo-remote".into()).stack_size(1 << 20).spawn(run).map(drop)
}

/// One answer.
pub(super) fn fetch_one(client: &Arc<Client>, ask: Ask) -> Outcome<Answer> {
    let action = ask.action();
    let url = ask.address.shown();
    let none = || Fault { url, action, kind: Kind::Refused(io::ErrorKind::Other, "no answer".into()) };
    fetch(client, vec![ask])?.pop().ok_or_else(none)
}

/// A whole object of unknown size.
pub(super) fn fetch_whole(client: &Arc<Client>, address: &super::Address) -> Outcome<Answer> {
    let mut first = fetch_one(client, Ask::new(address, Part::Start(MOST)))?;
    let total = first.version.length;
    if (first.body.len() as u64) < total {
        let starts: Vec<u64> = (first.body.len() as u64..total).step_by(MOST as usize).collect();
        let part = |&start: &u64| Ask::new(address, Part::Range(start, MOST.min(total - start)));
        for rest in fetch(client, starts.iter().map(part).collect())? {
            check(address, &first.version, &rest.version)?;
            first.body.extend_from_slice(&rest.body);
        }
    }
    if first.gzip {
        let mut plain = Vec::new();
        let mut reader = flate2::read::MultiGzDecoder::new(first.body.as_slice());
        io::Read::read_to_end(&mut reader, &mut plain).map_err(|error| Fault {
            url: address.shown(),
            action: "read".into(),
            kind: Kind::Refused(io::ErrorKind::InvalidData, format!("content-encoding gzip: {error}")),
        })?;
        first.body = plain;
    }
    Ok(first)
}

/// Tells when another object lies there than before.
pub(super) fn check(
    address: &super::Address,
    known: &super::client::Version,
    found: &super::client::Version,
) -> Outcome<()> {
    if known.agrees(found) {
        return Ok(());
    }
    let expected = format!("the object as it was when it was opened ({})", known.shown());
    let found = format!("one that changed while it was read ({})", found.shown());
    Err(Fault { url: address.shown(), action: "read".into(), kind: Kind::Changed(expected, found) })
}
