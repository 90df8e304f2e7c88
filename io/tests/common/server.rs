//! A web server on this machine that serves a folder, answers range requests and S3's listings, and misbehaves on demand.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the server does instead of answering well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Answers with this status and nothing else.
    Status(u16),
    /// Says nothing, for this long.
    Silence(Duration),
    /// Sends the head and half of the body, then nothing, for this long.
    Stall(Duration),
    /// Sends half of the body and hangs up.
    Cut,
    /// Hangs up at once.
    HangUp,
}

struct Rule {
    path: String,
    skip: usize,
    times: usize,
    fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<String>>,
    /// Whether it ignores ranges.
    no_ranges: Mutex<bool>,
    /// Part of every ETag.
    generation: Mutex<u64>,
}

/// The server; it ends with the process.
pub struct Server {
    port: u16,
    state: Arc<State>,
}

impl Server {
    pub fn new(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (root, shared) = (root.to_path_buf(), state.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, shared) = (root.clone(), shared.clone());
                thread::spawn(move || serve(stream, &root, &shared));
            }
        });
        Self { port, state }
    }

    pub fn url(&self, path: &str) -> PathBuf {
        format!("http://127.0.0.1:{}/{path}", self.port).into()
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests whose path ends so go wrong: `times`, after the first `skip`.
    pub fn fail(&self, path: &str, skip: usize, times: usize, fault: Fault) {
        self.state.rules.lock().unwrap().push(Rule { path: path.into(), skip, times, fault });
    }

    pub fn behave(&self) {
        self.state.rules.lock().unwrap().clear();
    }

    /// Whether all that was to go wrong so many times went wrong.
    pub fn is_spent(&self) -> bool {
        self.state.rules.lock().unwrap().iter().all(|rule| rule.times == 0)
    }

    /// Has every object taken for another, so that nothing that is known of it serves.
    pub fn renew(&self) {
        *self.state.generation.lock().unwrap() += 1;
    }

    pub fn ignore_ranges(&self, ignore: bool) {
        *self.state.no_ranges.lock().unwrap() = ignore;
    }

    /// The requests so far: `GET /path bytes=0-9`, with `signed` where they are.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.log.lock().unwrap())
    }
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            out.push(u8::from_str_radix(&text[at + 1..at + 3], 16).unwrap());
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).unwrap()
}

fn serve(stream: TcpStream, root: &Path, state: &State) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let (mut range, mut signed) = (None, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            match name.to_ascii_lowercase().as_str() {
                "range" => range = Some(value.trim().to_string()),
                "authorization" => signed = value.trim().starts_with("AWS4-HMAC-SHA256 Credential="),
                _ => {}
            }
        }
        let target = first.split(' ').nth(1).unwrap().to_string();
        let note = format!("GET {target} {}{}", range.as_deref().unwrap_or("-"), if signed { " signed" } else { "" });
        state.log.lock().unwrap().push(note);
        let fault = state.rules.lock().unwrap().iter_mut().find_map(|rule| {
            if !target.ends_with(&rule.path) {
                return None;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                return None;
            }
            (rule.times > 0).then(|| {
                rule.times -= 1;
                rule.fault
            })
        });
        if *state.no_ranges.lock().unwrap() {
            range = None;
        }
        let generation = *state.generation.lock().unwrap();
        if !answer(&mut stream, root, (&target, generation), range.as_deref(), fault) {
            return;
        }
    }
}

/// Whether the connection goes on.
fn answer(
    stream: &mut TcpStream,
    root: &Path,
    (target, generation): (&str, u64),
    range: Option<&str>,
    fault: Option<Fault>,
) -> bool {
    match fault {
        Some(Fault::HangUp) => return false,
        Some(Fault::Silence(time)) => {
            thread::sleep(time);
            return false;
        }
        Some(Fault::Status(status)) => {
            let body = "<Error><Code>SlowDown</Code><Message>Ask later</Message></Error>";
            return write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).is_ok();
        }
        _ => {}
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = decoded(path);
    let (status, extra, body) = if query.contains("list-type=2") {
        (200, String::new(), listing(&root.join(path.trim_matches('/')), query).into_bytes())
    } else {
        match fs::read(root.join(path.trim_start_matches('/'))) {
            Err(_) => (404, String::new(), b"nothing".to_vec()),
            Ok(all) => {
                let tag = all.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
                });
                let tag = format!("ETag: \"{tag:x}-{generation}\"\r\n");
                match range.map(|range| cut(range, all.len())) {
                    None => (200, tag, all),
                    Some(None) => (416, format!("Content-Range: bytes */{}\r\n", all.len()), Vec::new()),
                    Some(Some((from, to))) => {
                        let extra = format!("{tag}Content-Range: bytes {from}-{}/{}\r\n", to - 1, all.len());
                        (206, extra, all[from..to].to_vec())
                    }
                }
            }
        }
    };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{extra}\r\n", body.len());
    if stream.write_all(head.as_bytes()).is_err() {
        return false;
    }
    match fault {
        Some(Fault::Cut) => {
            let _ = stream.write_all(&body[..body.len() / 2]);
            false
        }
        Some(Fault::Stall(time)) => {
            let _ = stream.write_all(&body[..body.len() / 2]);
            thread::sleep(time);
            false
        }
        _ => stream.write_all(&body).is_ok(),
    }
}

/// `bytes=from-to`, `bytes=-last`.
fn cut(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) => (from, (to + 1).min(length)),
        (Err(_), Ok(last)) => (length.saturating_sub(last), length),
        _ => panic!("{range}"),
    };
    (from < to).then_some((from, to))
}

/// ListObjectsV2 with at most three entries a page.
fn listing(bucket: &Path, query: &str) -> String {
    fn walk(folder: &Path, before: &str, out: &mut BTreeSet<(String, u64)>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = format!("{before}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), out);
            } else {
                out.insert((name, entry.metadata().unwrap().len()));
            }
        }
    }
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(decoded);
    let prefix = value("prefix").unwrap_or_default();
    let mut all = BTreeSet::new();
    walk(bucket, "", &mut all);
    let mut entries = Vec::new();
    for (name, size) in all {
        let Some(rest) = name.strip_prefix(&prefix) else { continue };
        let entry = match (value("delimiter"), rest.split_once('/')) {
            (Some(_), Some((folder, _))) => {
                format!("<CommonPrefixes><Prefix>{prefix}{folder}/</Prefix></CommonPrefixes>")
            }
            _ => format!("<Contents><Key>{name}</Key><Size>{size}</Size></Contents>"),
        };
        if entries.last() != Some(&entry) {
            entries.push(entry);
        }
    }
    let start: usize = value("continuation-token").map_or(0, |token| token.parse().unwrap());
    let end = (start + 3).min(entries.len());
    let more = end < entries.len();
    let token = if more { format!("<NextContinuationToken>{end}</NextContinuationToken>") } else { String::new() };
    format!(
        "<ListBucketResult><IsTruncated>{more}</IsTruncated>{token}{}</ListBucketResult>",
        entries[start..end].concat()
    )
}
