//! The state of an input, so that processes that open it anew see that it changed.

use std::fs::Metadata;
use std::path::Path;
use std::time::UNIX_EPOCH;

use zensaibo_core::{Error, Result};
use zensaibo_io::{is_url, state_of_url};

/// Size of a file, or of the files of a folder, and when they were changed last (nanoseconds since 1970); of a URL, what its
/// server says.
pub(crate) type State = (u64, u128);

/// How far into a folder to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// At every file.
    Files,
    /// At what lies in it and no deeper: the chunks of a volume are too many to ask each. Whoever writes a chunked store replaces its
    /// folder, or what describes it there.
    Top,
}

/// The state of what lies at `path`.
pub(crate) fn state_of(path: &Path, depth: Depth) -> Result<State> {
    if is_url(path) {
        // FNV-1a of what the server says of the object.
        let (bytes, said) = state_of_url(path)?;
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        return Ok((bytes, u128::from(said.bytes().fold(0xcbf2_9ce4_8422_2325, mix))));
    }
    let io = |error| Error::io(path, "open", error);
    let changed = |meta: &Metadata| {
        let since = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_nanos())
    };
    let meta = std::fs::metadata(path).map_err(io)?;
    if !meta.is_dir() {
        return Ok((meta.len(), changed(&meta)));
    }
    std::fs::read_dir(path).map_err(io)?.try_fold((0, 0), |(bytes, latest), entry| {
        let entry = entry.map_err(io)?;
        let (more, later) = if depth == Depth::Files {
            state_of(&entry.path(), depth)?
        } else {
            let meta = entry.metadata().map_err(io)?;
            (if meta.is_dir() { 0 } else { meta.len() }, changed(&meta))
        };
        Ok((bytes + more, later.max(latest)))
    })
}

/// Refuses an input that is not as it was. Before anything is read: what has changed may look damaged to those who expect it as it
/// was.
pub(crate) fn check_state(path: &Path, key: &str, depth: Depth, state: State) -> Result<()> {
    let found = state_of(path, depth)?;
    if found == state {
        return Ok(());
    }
    let text = |(bytes, changed): State| {
        if is_url(path) {
            format!("{bytes} bytes, {changed:x} by what the server says")
        } else {
            format!("{bytes} bytes, changed {} s after 1970", changed / 1_000_000_000)
        }
    };
    let expected = format!("the file as it was when it was first opened ({})", text(state));
    Err(Error::format(path, key, expected, text(found)))
}
