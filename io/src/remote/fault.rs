//! What went wrong for good, as an error that can be handed on through other libraries.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use zensaibo_core::Error;

/// A request that failed for good.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The URL, without what may be secret.
    pub(crate) url: String,
    /// What was asked for: "read", "read bytes 0..100".
    pub(crate) action: String,
    pub(crate) kind: Kind,
}

/// The result of asking a server.
pub(crate) type Outcome<T> = std::result::Result<T, Fault>;

/// What came back.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// The server, or the way to it, refused; how it is called, and why.
    Refused(io::ErrorKind, String),
    /// Another object than the one that was opened: what was expected and what was found.
    Changed(String, String),
    /// The user asked to stop.
    Interrupted,
}

impl Fault {
    /// As everybody sees it.
    pub(crate) fn to_error(&self) -> Error {
        match &self.kind {
            Kind::Refused(kind, why) => Error::io(&self.url, &self.action, io::Error::new(*kind, why.clone())),
            Kind::Changed(expected, found) => Error::format(PathBuf::from(&self.url), "object", expected, found),
            Kind::Interrupted => Error::Interrupted,
        }
    }

    /// Whether there is nothing at the place.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.kind, Kind::Refused(io::ErrorKind::NotFound, _))
    }

    /// For libraries that hand on errors of the system.
    pub(crate) fn to_io(&self) -> io::Error {
        io::Error::other(Carried(self.clone()))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_error().fmt(out)
    }
}

impl StdError for Fault {}

/// Has the fault as its source, which is found again however often it is wrapped: `io::Error` shows the source of what it
/// holds, not what it holds.
#[derive(Debug)]
struct Carried(Fault);

impl fmt::Display for Carried {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl StdError for Carried {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// The fault from which an error of another library stems.
pub(crate) fn fault_in<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Fault> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(fault);
        }
        at = error.source();
    }
    None
}
