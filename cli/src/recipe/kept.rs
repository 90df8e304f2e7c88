//! What an earlier run into the same folder has finished.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zensaibo_core::{Error, Result};
use zensaibo_io::{is_url, state_of_url};

use crate::recipe::hash::hexadecimal;
use crate::recipe::output::write_text;

/// Name of the record in the folder of a run.
const RECORD: &str = "run.json";

/// A folder of results, and which stages made what is in it.
pub(super) struct Kept {
    folder: PathBuf,
    record: Record,
    /// Held until the run ends, so that two runs never write one folder; absent for one that only reads.
    _lock: Option<File>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    zensaibo: String,
    stages: BTreeMap<String, Finished>,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Finished {
    /// What the stage was made from: options and inputs.
    key: String,
    /// Its files or folders with the state in which it left them.
    files: BTreeMap<String, String>,
}

impl Kept {
    /// Opens a folder, which is made where it is not there. `name`: the parameter that names it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a folder that holds other things, or into which another run is writing; [`Error::Io`].
    pub(super) fn open(name: &str, folder: &Path) -> Result<Self> {
        let io = |error| Error::io(folder, "write", error);
        let expected = "a folder that is new, empty, or of an earlier run";
        if folder.exists() && !folder.is_dir() {
            return Err(Error::parameter(name, expected, format!("{}, a file", folder.display())));
        }
        if !folder.join(RECORD).exists()
            && let Ok(mut entries) = fs::read_dir(folder)
            && let Some(Ok(other)) = entries.find(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name() != LOCK))
        {
            let found = format!("{} with {}", folder.display(), other.file_name().to_string_lossy());
            return Err(Error::parameter(name, expected, found));
        }
        fs::create_dir_all(folder).map_err(io)?;
        let path = folder.join(LOCK);
        let lock = File::create(&path).map_err(|error| Error::io(&path, "write", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let found = format!("{}, into which another run is writing", folder.display());
                return Err(Error::parameter(name, "a folder of its own", found));
            }
            // Some file systems of clusters know no locks: there the user must see to it.
            Err(TryLockError::Error(_)) => {}
        }
        // A record that is damaged or of another version keeps nothing.
        let record: Option<Record> =
            fs::read(folder.join(RECORD)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let version = env!("CARGO_PKG_VERSION");
        let record = record
            .filter(|record| record.zensaibo == version)
            .unwrap_or_else(|| Record { zensaibo: version.into(), ..Default::default() });
        let kept = Self { folder: folder.to_path_buf(), record, _lock: Some(lock) };
        kept.write()?;
        Ok(kept)
    }

    /// What another run keeps in a folder.
    pub(super) fn read(folder: &Path) -> Self {
        let record: Option<Record> =
            fs::read(folder.join(RECORD)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let record = record.filter(|record| record.zensaibo == env!("CARGO_PKG_VERSION")).unwrap_or_default();
        Self { folder: folder.to_path_buf(), record, _lock: None }
    }

    /// The path of a result.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether a stage with this key is finished and its files are as it left them.
    pub(super) fn has(&self, stage: &str, key: &str) -> bool {
        self.record.stages.get(stage).is_some_and(|done| {
            done.key == key
                && done.files.iter().all(|(name, state)| state_of(&self.path(name)).as_deref() == Some(state))
        })
    }

    /// Notes that a stage is finished.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn note(&mut self, stage: &str, key: &str, files: &[&str]) -> Result<()> {
        let files = files.iter().filter_map(|&name| Some((name.to_string(), state_of(&self.path(name))?))).collect();
        self.record.stages.insert(stage.into(), Finished { key: key.into(), files });
        self.write()
    }

    /// Removes the folder with all that is kept in it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn clear(self) -> Result<()> {
        let remove = |path: &Path| match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove", error)),
            _ => Ok(()),
        };
        // The record first: without it what is left is of no run.
        remove(&self.path(RECORD))?;
        for name in self.record.stages.values().flat_map(|stage| stage.files.keys()) {
            remove(&self.path(name))?;
        }
        remove(&self.path(LOCK))?;
        // Other files in it are not ours to remove.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.record).unwrap_or_default();
        write_text(&self.path(RECORD), &(text + "\n"))
    }
}

/// Name of the lock in the folder of a run.
const LOCK: &str = ".lock";

/// What tells whether a file or folder changed: sizes and times of all that is in it; of a URL what the server says of the object.
/// `None` where there is nothing.
pub(super) fn state_of(path: &Path) -> Option<String> {
    if is_url(path) {
        return state_of_url(path).ok().map(|(_, state)| state);
    }
    let mut hash = Sha256::new();
    add_state(path, "", &mut hash)?;
    Some(hexadecimal(&hash.finalize()[..16]))
}

fn add_state(path: &Path, name: &str, hash: &mut Sha256) -> Option<()> {
    let meta = fs::metadata(path).ok()?;
    if meta.is_dir() {
        let mut names: Vec<_> = fs::read_dir(path).ok()?.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for inner in names {
            add_state(&path.join(&inner), &format!("{name}/{}", inner.to_string_lossy()), hash)?;
        }
        return Some(());
    }
    let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    hash.update(format!("{name} {} {changed}\n", meta.len()));
    Some(())
}

/// A key of options (as text) and inputs: which files, and whether they changed.
pub(super) fn key(options: &[String], inputs: &[&Path]) -> String {
    let mut hash = Sha256::new();
    for text in options {
        hash.update(format!("{} {text}\n", text.len()));
    }
    for path in inputs {
        let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        hash.update(format!("{} {}\n", whole.display(), state_of(path).unwrap_or_default()));
    }
    hexadecimal(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_finished_is_known_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (input, out) = (folder.path().join("in"), folder.path().join("out"));
        fs::write(&input, "one").unwrap();
        let key_now = || key(&["a=1".into()], &[&input]);
        let first = key_now();
        {
            let mut kept = Kept::open("output", &out).unwrap();
            assert!(!kept.has("detect", &first));
            fs::create_dir(kept.path("made")).unwrap();
            fs::write(kept.path("made/x"), "x").unwrap();
            kept.note("detect", &first, &["made"]).unwrap();
            let busy = Kept::open("output", &out).err().unwrap().to_string();
            assert!(busy.contains("another run"), "{busy}");
        }
        let kept = Kept::open("output", &out).unwrap();
        assert!(kept.has("detect", &first) && !kept.has("register", &first));
        assert_ne!(first, key(&["a=2".into()], &[&input]));
        fs::write(&input, "another").unwrap();
        assert_ne!(first, key_now());
        fs::write(kept.path("made/y"), "y").unwrap();
        assert!(!kept.has("detect", &first));
    }

    #[test]
    fn other_peoples_folders_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "mine").unwrap();
        let refused = Kept::open("output", folder.path()).err().unwrap().to_string();
        assert!(refused.contains("thesis.txt"), "{refused}");
        assert!(Kept::open("output", &folder.path().join("thesis.txt")).err().unwrap().to_string().contains("a file"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A record that is damaged is as good as none.
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join(RECORD), "{").unwrap();
        assert!(!Kept::open("output", &out).unwrap().has("detect", ""));
    }
}
