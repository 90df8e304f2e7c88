//! One request and its answer.

use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};

use ureq::http::header::{ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER};
use ureq::http::{HeaderMap, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};
use zensaibo_core::{Error, Result};

use super::address::Address;
use super::fault::Kind;
use super::s3::Access;
use super::settings::Settings;

/// Asks for objects.
pub(crate) struct Client {
    pub(super) settings: Settings,
    agents: Agents,
    access: Mutex<Access>,
}

/// Connections are kept and used again, by all clients of the same settings.
#[derive(Clone)]
struct Agents {
    /// Through the proxy that the environment names.
    usual: Agent,
    /// To this machine itself.
    own: Agent,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) address: Address,
    pub(super) part: Part,
    /// S3: names and values after the question mark, sorted.
    pub(super) query: Vec<(String, String)>,
}

/// Which bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All, or as many from the start if the server cuts.
    Start(u64),
    /// From a place on, so many.
    Range(u64, u64),
    /// The last so many.
    Last(u64),
    /// Without conditions: listings.
    Whole,
}

impl Ask {
    pub(super) fn new(address: &Address, part: Part) -> Self {
        Self { address: address.clone(), part, query: Vec::new() }
    }

    /// For messages.
    pub(super) fn action(&self) -> String {
        match self.part {
            _ if !self.query.is_empty() => "read (list)".into(),
            Part::Range(start, length) => format!("read bytes {start}..{}", start + length),
            Part::Last(length) => format!("read the last {length} bytes"),
            Part::Start(_) | Part::Whole => "read".into(),
        }
    }
}

/// What tells one state of an object from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Bytes.
    pub(crate) length: u64,
    pub(crate) tag: Option<String>,
    pub(crate) changed: Option<String>,
}

impl Version {
    /// Whether both are of one state, as far as both say.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let alike = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
        self.length == other.length && alike(&self.tag, &other.tag) && alike(&self.changed, &other.changed)
    }

    /// For messages.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("{} bytes", self.length);
        if let Some(tag) = &self.tag {
            text.push_str(&format!(", ETag {tag}"));
        } else if let Some(changed) = &self.changed {
            text.push_str(&format!(", changed {changed}"));
        }
        text
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// Of the whole object.
    pub(super) version: Version,
    /// The object is stored packed by gzip, which is no part of it.
    pub(super) gzip: bool,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// It may pass: how it is called, why, and how long the server wants to be left alone.
    Again(io::ErrorKind, String, Option<Duration>),
    /// It will not.
    Never(Kind),
    /// The bucket lies elsewhere.
    Elsewhere,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    /// A client of the environment's settings.
    ///
    /// # Errors
    /// [`Error::Parameter`] for settings that are none; [`Error::Io`] for certificates that cannot be read.
    pub(crate) fn of_environment() -> Result<Arc<Self>> {
        Self::new(Settings::of_environment()?, Access::of_environment())
    }

    pub(super) fn new(settings: Settings, access: Access) -> Result<Arc<Self>> {
        let agents = Agents::of(settings)?;
        Ok(Arc::new(Self { settings, agents, access: Mutex::new(access) }))
    }

    /// One attempt. Gives up early once `abandoned` is set.
    pub(super) fn attempt(&self, ask: &Ask, abandoned: &AtomicBool) -> std::result::Result<Answer, Failed> {
        let _turn = Turn::wait(self.settings.requests, abandoned);
        let (url, mut headers, region) = self.request(ask);
        let range = match ask.part {
            Part::Start(length) => Some(format!("bytes=0-{}", length.max(1) - 1)),
            Part::Range(start, length) => Some(format!("bytes={start}-{}", start + length.max(1) - 1)),
            Part::Last(length) => Some(format!("bytes=-{length}")),
            Part::Whole => None,
        };
        headers.extend(range.map(|range| ("range".to_string(), range)));
        let host = url.split("://").nth(1).unwrap_or_default();
        let own = ["127.", "localhost", "[::1]"].iter().any(|name| host.starts_with(name));
        let agent = if own { &self.agents.own } else { &self.agents.usual };
        let mut request = agent.get(&url);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        // A request to S3 is signed for its place and goes to no other.
        let outcome = match region {
            Some(_) => request.config().max_redirects(0).max_redirects_will_error(false).build().call(),
            None => request.call(),
        };
        let mut response = outcome.map_err(|error| self.failed(&error))?;
        let status = response.status().as_u16();
        if let Some(region) = region
            && matches!(status, 301 | 307 | 400 | 403)
            && let Some(other) = text(response.headers(), &HeaderName::from_static("x-amz-bucket-region"))
            && other != region
        {
            locked(&self.access).region = other;
            return Err(Failed::Elsewhere);
        }
        match status {
            200 | 206 => self.body(ask, response, abandoned),
            // Of nothing there is no range.
            416 if length_of(response.headers()).is_some_and(|(_, total)| total == 0) => {
                let version = version(response.headers(), 0);
                Ok(Answer { body: Vec::new(), version, gzip: false })
            }
            _ => {
                let said = said(&mut response);
                let wait = text(response.headers(), &RETRY_AFTER).and_then(|text| text.trim().parse().ok());
                let wait = wait.map(|seconds: u64| Duration::from_secs(seconds.min(60)));
                Err(refused(status, &said, wait))
            }
        }
    }

    /// URL and headers; for S3 on Amazon's own hosts also the region.
    fn request(&self, ask: &Ask) -> (String, Vec<(String, String)>, Option<String>) {
        match &ask.address {
            Address::Web { base, query: None } => (base.clone(), Vec::new(), None),
            Address::Web { base, query: Some(query) } => (format!("{base}?{query}"), Vec::new(), None),
            Address::S3 { bucket, key } => {
                let access = locked(&self.access);
                let query: Vec<(&str, &str)> = ask.query.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                let key = if query.is_empty() { key } else { "" };
                let (url, headers) = access.get(bucket, key, &query);
                let region = if access.endpoint.is_none() { access.region.clone() } else { String::new() };
                (url, headers, Some(region))
            }
        }
    }

    fn body(&self, ask: &Ask, response: Response<Body>, abandoned: &AtomicBool) -> std::result::Result<Answer, Failed> {
        let never = |expected: &str, found: String| {
            let text = format!("expected {expected}, found {found}");
            Err(Failed::Never(Kind::Refused(io::ErrorKind::InvalidData, text)))
        };
        let headers = response.headers().clone();
        let packed = text(&headers, &HeaderName::from_static("content-encoding")).unwrap_or_default();
        let gzip = match packed.trim() {
            "" | "identity" => false,
            "gzip" | "x-gzip" if matches!(ask.part, Part::Start(_)) => true,
            other => return never("an object that is stored as it is", format!("content-encoding {other}")),
        };
        let partial = response.status().as_u16() == 206;
        let declared = response.body().content_length();
        let (expected, total) = match (partial, length_of(&headers)) {
            (true, Some((start, total))) => {
                let (wanted, length) = match ask.part {
                    Part::Start(length) => (0, length),
                    Part::Range(start, length) => (start, length),
                    Part::Last(length) => (total.saturating_sub(length), length),
                    Part::Whole => (0, total),
                };
                if start != wanted {
                    return never(&format!("bytes from {wanted} on"), format!("bytes from {start} on"));
                }
                (Some(length.min(total - start.min(total))), Some(total))
            }
            (true, None) => return never("a status 206 with a content-range", "none".into()),
            (false, _) => {
                // A server that knows no ranges sends everything.
                let fits = match ask.part {
                    Part::Range(0, length) => declared.is_some_and(|all| all <= length),
                    Part::Range(..) | Part::Last(_) => false,
                    Part::Start(_) | Part::Whole => true,
                };
                if !fits {
                    return never("a server that answers range requests (status 206)", "status 200, all bytes".into());
                }
                (declared, declared)
            }
        };
        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            if abandoned.load(Ordering::Relaxed) {
                return Err(Failed::Never(Kind::Interrupted));
            }
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.cut(&error, body.len(), expected)),
            };
            body.extend_from_slice(&buffer[..count]);
            if expected.is_some_and(|expected| body.len() as u64 > expected) {
                return never(&format!("{} bytes", expected.unwrap_or(0)), "more".into());
            }
        }
        if let Some(expected) = expected.filter(|&expected| expected != body.len() as u64) {
            let text = format!("{} of {expected} bytes came", body.len());
            return Err(Failed::Again(io::ErrorKind::UnexpectedEof, text, None));
        }
        let version = version(&headers, total.unwrap_or(body.len() as u64));
        Ok(Answer { body, version, gzip })
    }

    /// What a body that ended early means.
    fn cut(&self, error: &io::Error, came: usize, expected: Option<u64>) -> Failed {
        let of = expected.map_or(String::new(), |all| format!(" of {all}"));
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(inner @ ureq::Error::Timeout(_)) => match self.failed(inner) {
                Failed::Again(kind, why, wait) => Failed::Again(kind, format!("{why}, after {came}{of} bytes"), wait),
                other => other,
            },
            _ => Failed::Again(io::ErrorKind::UnexpectedEof, format!("{came}{of} bytes came: {error}"), None),
        }
    }

    fn failed(&self, error: &ureq::Error) -> Failed {
        use ureq::Error as E;
        let again = |kind, text: String| Failed::Again(kind, text, None);
        match error {
            E::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve | ureq::Timeout::SendRequest) => {
                let text = format!("no connection within {} s", self.settings.connect.as_secs_f64());
                again(io::ErrorKind::TimedOut, text)
            }
            E::Timeout(_) => {
                let text = format!("the server stalls: nothing came for {} s", self.settings.stall.as_secs_f64());
                again(io::ErrorKind::TimedOut, text)
            }
            E::HostNotFound => again(io::ErrorKind::NotConnected, "no such host".into()),
            E::ConnectionFailed => again(io::ErrorKind::NotConnected, "no connection".into()),
            E::Io(error) => again(error.kind(), error.to_string()),
            E::Protocol(error) => again(io::ErrorKind::InvalidData, error.to_string()),
            other => Failed::Never(Kind::Refused(io::ErrorKind::Other, other.to_string())),
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_string)
}

fn version(headers: &HeaderMap, length: u64) -> Version {
    Version { length, tag: text(headers, &ETAG), changed: text(headers, &LAST_MODIFIED) }
}

/// First byte and length of the whole, as `Content-Range` has them (`bytes 0-9/100`, `bytes */0`).
fn length_of(headers: &HeaderMap) -> Option<(u64, u64)> {
    let range = text(headers, &HeaderName::from_static("content-range"))?;
    let (part, total) = range.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let start = part.split('-').next().and_then(|start| start.trim().parse().ok()).unwrap_or(0);
    Some((start, total.trim().parse().ok()?))
}

/// What a server says beside its status: S3's code and message.
fn said(response: &mut Response<Body>) -> String {
    let mut text = String::new();
    if response.body_mut().as_reader().take(4096).read_to_string(&mut text).is_err() || !text.contains("<Error") {
        return String::new();
    }
    let inner = |name: &str| -> Option<String> {
        let from = text.split_once(&format!("<{name}>"))?.1;
        Some(from.split_once('<')?.0.to_string())
    };
    [inner("Code"), inner("Message")].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// What a status other than success means.
fn refused(status: u16, said: &str, wait: Option<Duration>) -> Failed {
    let reason = ureq::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut text = format!("status {status}");
    if let Some(reason) = reason {
        text.push_str(&format!(" {reason}"));
    }
    if !said.is_empty() {
        text.push_str(&format!(" ({said})"));
    }
    let kind = match status {
        404 | 410 => io::ErrorKind::NotFound,
        401 | 403 => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    match status {
        408 | 429 | 500 | 502..=504 | 506..=599 => Failed::Again(kind, text, wait),
        _ => Failed::Never(Kind::Refused(kind, text)),
    }
}

impl Agents {
    fn of(settings: Settings) -> Result<Self> {
        type Made = (Settings, Option<String>, Agents);
        static KEPT: Mutex<Option<Made>> = Mutex::new(None);
        let roots = ["SSL_CERT_FILE", "AWS_CA_BUNDLE"].iter().find_map(|name| std::env::var(name).ok());
        let roots = roots.filter(|path| !path.is_empty());
        let mut kept = locked(&KEPT);
        if let Some((known, known_roots, agents)) = &*kept
            && (*known, known_roots) == (settings, &roots)
        {
            return Ok(agents.clone());
        }
        let mut tls = TlsConfig::builder();
        if let Some(path) = &roots {
            tls = tls.root_certs(certificates(Path::new(path))?);
        }
        let tls = tls.build();
        let made = |to_itself: bool| {
            let mut config = Agent::config_builder()
                .http_status_as_error(false)
                .user_agent(concat!("zensaibo/", env!("CARGO_PKG_VERSION")))
                .timeout_resolve(Some(settings.connect))
                .timeout_connect(Some(settings.connect))
                .timeout_send_request(Some(settings.connect))
                .timeout_recv_response(Some(settings.stall))
                .timeout_per_read(Some(settings.stall))
                .max_idle_connections(settings.requests)
                .max_idle_connections_per_host(settings.requests)
                .tls_config(tls.clone());
            if to_itself {
                config = config.proxy(None);
            }
            config.build().new_agent()
        };
        let agents = Self { usual: made(false), own: made(true) };
        *kept = Some((settings, roots, agents.clone()));
        Ok(agents)
    }
}

/// The certificates that are trusted instead of those that come with the client (Mozilla's).
fn certificates(path: &Path) -> Result<RootCerts> {
    let text = fs::read(path).map_err(|error| Error::io(path, "read", error))?;
    let found: Vec<Certificate<'static>> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(Error::format(path, "file", "certificates (PEM)", "none"));
    }
    Ok(RootCerts::new_with_certs(&found))
}

/// A place among the requests in flight.
struct Turn;

static IN_FLIGHT: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Turn {
    fn wait(limit: usize, abandoned: &AtomicBool) -> Self {
        let mut count = locked(&IN_FLIGHT.0);
        while *count >= limit && !abandoned.load(Ordering::Relaxed) {
            let waited = IN_FLIGHT.1.wait_timeout(count, Duration::from_millis(50));
            count = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *count += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *locked(&IN_FLIGHT.0) -= 1;
        IN_FLIGHT.1.notify_one();
    }
}
