//! Opening files without locks and walking their groups.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use hdf5_metno as hdf5;
use hdf5_metno::{Dataset, Group};
use zensaibo_core::{Error, Result};

use super::locked;
use crate::place::{Bytes, said_by_server};

const SIGNATURE: [u8; 8] = [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n'];

/// Whether the bytes at one of the places where the signature may stand are those of an HDF5 file.
///
/// # Errors
/// What a server said of a URL; a file that is too short is none.
pub(crate) fn is_hdf5(file: &Bytes) -> Result<bool> {
    let mut bytes = [0u8; 8];
    let mut offset = 0u64;
    loop {
        if file.len().ok().flatten().is_some_and(|length| offset + 8 > length) {
            return Ok(false);
        }
        if let Err(error) = file.read_exact_at(&mut bytes, offset) {
            return said_by_server(&error).map_or(Ok(false), Err);
        }
        if bytes == SIGNATURE {
            return Ok(true);
        }
        offset = if offset == 0 { 512 } else { offset * 2 };
        if offset > 1 << 26 {
            return Ok(false);
        }
    }
}

/// An HDF5 file opened for reading, and the same file as plain bytes.
#[derive(Clone)]
pub(crate) struct H5File {
    pub(crate) path: PathBuf,
    pub(crate) file: hdf5::File,
    /// For reading chunks beside the library.
    pub(crate) bytes: Arc<Bytes>,
    pub(crate) len: u64,
    /// Whether chunk addresses are offsets in the file.
    pub(crate) plain: bool,
}

impl H5File {
    /// Opens `path` for reading, without taking a lock on it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        static NO_PLUGINS: Once = Once::new();
        let bytes = Bytes::open(path)?;
        let Some(len) = bytes.len().map_err(|error| Error::io(path, "read", error))? else {
            return Err(Error::format(path, "file", "an HDF5 file", "a folder"));
        };
        if !is_hdf5(&bytes)? {
            let found = if len == 0 { "an empty file" } else { "no HDF5 signature" };
            return Err(Error::format(path, "file", "an HDF5 file", found));
        }
        // Filters come from this crate alone; searching the disk for more would run whatever lies there.
        NO_PLUGINS.call_once(|| {
            // The binding declares the mask, a number, as a pointer; no bit set switches the search off.
            locked(|| unsafe { hdf5_metno_sys::h5pl::H5PLset_loading_state(std::ptr::null_mut()) });
        });
        let opened = match &bytes {
            Bytes::File(_) => hdf5::File::with_options().with_fapl(|fapl| fapl.sec2().file_locking(false)).open(path),
            #[cfg(feature = "remote")]
            Bytes::Object(object) => super::driver::open_object(object),
        };
        let file = opened.map_err(|error| {
            let damaged = || Error::format(path, "file", "a whole HDF5 file", reason(&error));
            bytes.lost().unwrap_or_else(damaged)
        })?;
        let plain = file.userblock() == 0;
        let path = match &bytes {
            Bytes::File(_) => path.to_path_buf(),
            // What may be secret in a URL shows in no message.
            #[cfg(feature = "remote")]
            Bytes::Object(object) => object.shown().into(),
        };
        Ok(Self { path, file, bytes: Arc::new(bytes), len, plain })
    }

    /// A format error at `key`; of a file behind a URL that could not be read, what the server said.
    pub(crate) fn fault(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> Error {
        self.bytes.lost().unwrap_or_else(|| Error::format(&self.path, key, expected, found))
    }

    /// The outcome of something that takes what cannot be read for absent; of a file behind a URL that could not be read, what
    /// the server said.
    pub(crate) fn sound<T>(&self, outcome: Result<T>) -> Result<T> {
        match self.bytes.lost() {
            Some(error) => Err(error),
            None => outcome,
        }
    }

    /// Turns an error of the library into one that names file and key.
    pub(crate) fn broken(&self, key: &str, error: &hdf5::Error) -> Error {
        self.fault(key, "a readable object", reason(error))
    }

    /// Names of the members of a group, sorted (large groups keep no order of their own).
    pub(crate) fn members(&self, key: &str) -> Result<Vec<String>> {
        let mut names = self.group(key)?.member_names().map_err(|error| self.broken(key, &error))?;
        names.sort();
        Ok(names)
    }

    /// Whether something lies at `key` (every part of the path is looked at).
    pub(crate) fn exists(&self, key: &str) -> bool {
        let mut at = String::new();
        for part in key.split('/').filter(|part| !part.is_empty()) {
            if !at.is_empty() {
                at.push('/');
            }
            at.push_str(part);
            if !self.file.link_exists(&at) {
                return false;
            }
        }
        true
    }

    /// Whether a group lies at `key`.
    pub(crate) fn is_group(&self, key: &str) -> bool {
        self.exists(key) && self.file.group(key).is_ok()
    }

    /// Whether a data set lies at `key`.
    pub(crate) fn is_dataset(&self, key: &str) -> bool {
        self.exists(key) && self.file.dataset(key).is_ok()
    }

    /// The group at `key`.
    pub(crate) fn group(&self, key: &str) -> Result<Group> {
        self.require(key)?;
        self.file.group(if key.is_empty() { "/" } else { key }).map_err(|error| {
            if self.is_dataset(key) { self.fault(key, "a group", "a data set") } else { self.broken(key, &error) }
        })
    }

    /// The data set at `key`.
    pub(crate) fn dataset(&self, key: &str) -> Result<Dataset> {
        self.require(key)?;
        self.file.dataset(key).map_err(|error| {
            if self.is_group(key) { self.fault(key, "a data set", "a group") } else { self.broken(key, &error) }
        })
    }

    fn require(&self, key: &str) -> Result<()> {
        if key.is_empty() || key == "/" || self.exists(key) {
            return Ok(());
        }
        let parent = key.rsplit_once('/').map_or("", |(parent, _)| parent);
        let present =
            self.file.group(if parent.is_empty() { "/" } else { parent }).and_then(|group| group.member_names());
        let present = present.map_or_else(|_| "nothing there".into(), |names| listed(&names));
        Err(self.fault(key, "it to be present", format!("nothing; beside it are {present}")))
    }
}

/// Names for a message, at most twenty.
pub(crate) fn listed(names: &[String]) -> String {
    match names.len() {
        0 => "(nothing)".into(),
        1..=20 => names.join(", "),
        count => format!("{}, ... ({count} in all)", names[..20].join(", ")),
    }
}

/// The library's reason, without its function names and build paths.
fn reason(error: &hdf5::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit(": ").next().unwrap_or_default().trim();
    if text.contains('/') || text.is_empty() { "damaged or unsupported data".into() } else { text.to_string() }
}
