//! A folder of objects: a Zarr store, whose documents and chunks are objects of their own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};
use zarrs::storage::{Bytes, MaybeBytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};
use zensaibo_core::{Error, Result};

use super::client::{Ask, Part, Version};
use super::fault::{Fault, Kind, Outcome};
use super::fetch::{check, fetch, fetch_one, fetch_whole};
use super::{Address, Client, s3};

/// The documents of Zarr, versions 3 and 2.
const DOCUMENTS: [&str; 4] = ["zarr.json", ".zarray", ".zgroup", ".zattrs"];

/// A Zarr store behind a URL.
pub(crate) struct Folder {
    client: Arc<Client>,
    root: Address,
    /// Documents as they were read; none where there is nothing.
    documents: Mutex<HashMap<String, Option<Bytes>>>,
    /// All documents of the store, where one of them holds all.
    consolidated: Option<HashMap<String, Bytes>>,
    /// Versions of objects of which parts were read.
    versions: Mutex<HashMap<String, Version>>,
    /// Objects that were asked for ahead.
    ahead: Mutex<HashMap<String, Bytes>>,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Folder({})", self.root.shown())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The object, or none where there is nothing.
fn present<T>(outcome: Outcome<T>) -> Outcome<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.is_absent() => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl Folder {
    /// Opens the store at a URL, if there is one: its root document is read, and the one that holds all, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] when the server does not let it be read; [`Error::Parameter`] for a URL that is none;
    /// [`Error::Format`] for damaged documents.
    pub(crate) fn open(path: &Path) -> Result<Option<Arc<Self>>> {
        Self::open_at(Client::of_environment()?, Address::of(path)?)
    }

    pub(super) fn open_at(client: Arc<Client>, root: Address) -> Result<Option<Arc<Self>>> {
        let mut folder = Self {
            client,
            root,
            documents: Mutex::default(),
            consolidated: None,
            versions: Mutex::default(),
            ahead: Mutex::default(),
        };
        // Without the right to list, S3 calls what is not there forbidden: that is said only where nothing else is found.
        let mut forbidden = None;
        let mut look = |name: &str| match folder.read(name) {
            Err(fault) if matches!(fault.kind, Kind::Refused(std::io::ErrorKind::PermissionDenied, _)) => {
                forbidden.get_or_insert(fault);
                locked(&folder.documents).insert(name.to_string(), None);
                Ok(None)
            }
            other => other.map_err(|fault| fault.to_error()),
        };
        if let Some(text) = look("zarr.json")? {
            let document = folder.json("zarr.json", &text)?;
            locked(&folder.documents).insert("zarr.json".into(), Some(text.clone()));
            if let Some(all) = document["consolidated_metadata"]["metadata"].as_object() {
                let entry =
                    |(key, value): (&String, &Json)| (format!("{key}/zarr.json"), Bytes::from(value.to_string()));
                let mut all: HashMap<String, Bytes> = all.iter().map(entry).collect();
                all.insert("zarr.json".into(), text);
                folder.consolidated = Some(all);
            }
            return Ok(Some(Arc::new(folder)));
        }
        let all = look(".zmetadata")?;
        if let Some(text) = all {
            let document = folder.json(".zmetadata", &text)?;
            let Some(all) = document["metadata"].as_object() else {
                return Err(Error::format(folder.shown(), ".zmetadata", "an object `metadata`", "none"));
            };
            let entry = |(key, value): (&String, &Json)| (key.clone(), Bytes::from(value.to_string()));
            folder.consolidated = Some(all.iter().map(entry).collect());
            return Ok(Some(Arc::new(folder)));
        }
        for name in [".zgroup", ".zarray", ".zattrs"] {
            if look(name)?.is_some() {
                return Ok(Some(Arc::new(folder)));
            }
        }
        match forbidden {
            Some(fault) => Err(fault.to_error()),
            None => Ok(None),
        }
    }

    /// For messages: the URL without what may be secret.
    pub(crate) fn shown(&self) -> String {
        self.root.shown()
    }

    fn json(&self, name: &str, text: &[u8]) -> Result<Json> {
        serde_json::from_slice(text)
            .map_err(|error| Error::format(format!("{}/{name}", self.shown()), "document", "well-formed JSON", error))
    }

    /// Reads an object.
    fn read(&self, key: &str) -> Outcome<Option<Bytes>> {
        let answer = present(fetch_whole(&self.client, &self.root.join(key)))?;
        Ok(answer.map(|answer| Bytes::from(answer.body)))
    }

    /// A document of the store; none where there is nothing. Each is read once.
    pub(crate) fn document(&self, key: &str) -> Outcome<Option<Bytes>> {
        if let Some(all) = &self.consolidated {
            return Ok(all.get(key).cloned());
        }
        let known = |key: &str| locked(&self.documents).get(key).cloned();
        if let Some(found) = known(key) {
            return Ok(found);
        }
        // One version throughout: nothing of the other is asked for.
        let modern = known("zarr.json").is_some_and(|root| root.is_some());
        let name = key.rsplit('/').next().unwrap_or(key);
        let found = if DOCUMENTS.contains(&name) && modern != (name == "zarr.json") { None } else { self.read(key)? };
        locked(&self.documents).insert(key.to_string(), found.clone());
        Ok(found)
    }

    /// Names of the groups and arrays in a group, sorted.
    ///
    /// # Errors
    /// [`Error::Format`] where the store does not say and the server cannot list; [`Error::Io`].
    pub(crate) fn members(&self, key: &str) -> Result<Vec<String>> {
        let before = if key.is_empty() { String::new() } else { format!("{key}/") };
        let mut names: Vec<String> = match (&self.consolidated, &self.root) {
            (Some(all), _) => {
                let name = |document: &String| -> Option<String> {
                    let (node, name) = document.strip_prefix(&before)?.rsplit_once('/')?;
                    (DOCUMENTS.contains(&name) && name != ".zattrs" && !node.contains('/')).then(|| node.to_string())
                };
                all.keys().filter_map(name).collect()
            }
            (None, Address::S3 { .. }) => {
                let mut names = Vec::new();
                for folder in self.list(key, true).map_err(|fault| fault.to_error())?.1 {
                    let name = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_string();
                    for mark in ["zarr.json", ".zgroup", ".zarray"] {
                        let document = format!("{before}{name}/{mark}");
                        if self.document(&document).map_err(|fault| fault.to_error())?.is_some() {
                            names.push(name);
                            break;
                        }
                    }
                }
                names
            }
            (None, Address::Web { .. }) => {
                let expected = "consolidated metadata, for a web server lists nothing";
                let key = if key.is_empty() { "/" } else { key };
                return Err(Error::format(self.shown(), key, expected, "none"));
            }
        };
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// What tells this state of its root document from others.
    pub(crate) fn state(&self) -> Outcome<String> {
        let mut found = Vec::new();
        for name in ["zarr.json", ".zmetadata", ".zgroup", ".zarray", ".zattrs"] {
            let ask = Ask::new(&self.root.join(name), Part::Start(1));
            found.extend(present(fetch_one(&self.client, ask))?.map(|answer| answer.version.shown()));
        }
        Ok(found.join(", "))
    }

    /// Bytes of all objects at and below `key`, where the server can list.
    pub(crate) fn bytes(&self, key: &str) -> Result<Option<u64>> {
        match &self.root {
            Address::Web { .. } => Ok(None),
            Address::S3 { .. } => {
                let (objects, _) = self.list(key, false).map_err(|fault| fault.to_error())?;
                Ok(Some(objects.iter().map(|(_, bytes)| bytes).sum()))
            }
        }
    }

    /// S3: objects below `key` and, of one level, folders.
    fn list(&self, key: &str, one_level: bool) -> Outcome<(Vec<(String, u64)>, Vec<String>)> {
        let Address::S3 { bucket, key: prefix } = self.root.join(key) else { return Ok(Default::default()) };
        let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}/") };
        let place = Address::S3 { bucket, key: prefix.clone() };
        let (mut objects, mut folders, mut token) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let mut ask = Ask::new(&place, Part::Whole);
            // Sorted, as signatures want them.
            ask.query.extend(token.take().map(|token| ("continuation-token".to_string(), token)));
            if one_level {
                ask.query.push(("delimiter".into(), "/".into()));
            }
            ask.query.push(("list-type".into(), "2".into()));
            ask.query.push(("prefix".into(), prefix.clone()));
            let answer = fetch_one(&self.client, ask)?;
            let page = s3::listing(&String::from_utf8_lossy(&answer.body)).map_err(|found| Fault {
                url: place.shown(),
                action: "read (list)".into(),
                kind: Kind::Refused(std::io::ErrorKind::InvalidData, format!("expected a listing, found {found}")),
            })?;
            objects.extend(page.objects);
            folders.extend(page.folders);
            match page.next {
                Some(next) => token = Some(next),
                None => return Ok((objects, folders)),
            }
        }
    }

    /// An object, or a part of it (from a place on, or from the end); none where there is nothing.
    pub(crate) fn get(self: &Arc<Self>, key: &str, part: Option<(i64, Option<u64>)>) -> Outcome<Option<Vec<u8>>> {
        let storage = self.storage("");
        let found = match part {
            None if DOCUMENTS.contains(&key.rsplit('/').next().unwrap_or_default()) => self.document(key)?,
            None => self.read(key)?,
            Some((start, _)) if start < 0 => storage.part(key, ByteRange::Suffix(start.unsigned_abs()))?,
            Some((start, length)) => storage.part(key, ByteRange::FromStart(start.unsigned_abs(), length))?,
        };
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    /// The array (or group) at `key` as zarrs reads it.
    pub(crate) fn storage(self: &Arc<Self>, key: &str) -> Storage {
        Storage { folder: self.clone(), before: if key.is_empty() { String::new() } else { format!("{key}/") } }
    }

    /// Reads objects all at once, to be taken by whoever reads them next, each once.
    pub(crate) fn ahead(&self, keys: &[String]) -> Outcome<()> {
        let wanted: Vec<&String> = {
            let ahead = locked(&self.ahead);
            keys.iter().filter(|key| !ahead.contains_key(*key)).collect()
        };
        if wanted.len() < 2 {
            return Ok(());
        }
        // What is not there fails the whole; then each is left to its own request.
        let asks = wanted.iter().map(|key| Ask::new(&self.root.join(key), Part::Start(super::fetch::MOST))).collect();
        let Some(answers) = present(fetch(&self.client, asks))? else { return Ok(()) };
        let mut ahead = locked(&self.ahead);
        // What nobody came for, because something else failed.
        if ahead.len() > 512 {
            ahead.clear();
        }
        for (key, answer) in wanted.into_iter().zip(answers) {
            // Longer ones come in parts.
            if answer.body.len() as u64 == answer.version.length && !answer.gzip {
                ahead.insert(key.clone(), Bytes::from(answer.body));
            }
        }
        Ok(())
    }
}

/// A part of a store, as zarrs reads it.
pub(crate) struct Storage {
    folder: Arc<Folder>,
    before: String,
}

fn handed_on(fault: Fault) -> StorageError {
    StorageError::from(fault.to_io())
}

impl Storage {
    fn key(&self, key: &StoreKey) -> String {
        format!("{}{}", self.before, key.as_str())
    }

    fn part(&self, key: &str, range: ByteRange) -> Outcome<Option<Bytes>> {
        let part = match range {
            ByteRange::FromStart(start, Some(length)) => Part::Range(start, length),
            ByteRange::Suffix(length) => Part::Last(length),
            ByteRange::FromStart(start, None) => {
                let whole = self.folder.read(key)?;
                return Ok(whole.map(|whole| whole.slice((start as usize).min(whole.len())..)));
            }
        };
        let address = self.folder.root.join(key);
        let Some(answer) = present(fetch_one(&self.folder.client, Ask::new(&address, part)))? else { return Ok(None) };
        let mut versions = locked(&self.folder.versions);
        match versions.get(key) {
            Some(known) => check(&address, known, &answer.version)?,
            None => drop(versions.insert(key.to_string(), answer.version)),
        }
        Ok(Some(Bytes::from(answer.body)))
    }
}

impl ReadableStorageTraits for Storage {
    fn get(&self, key: &StoreKey) -> std::result::Result<MaybeBytes, StorageError> {
        let name = key.as_str().rsplit('/').next().unwrap_or_default();
        let key = self.key(key);
        if DOCUMENTS.contains(&name) {
            return self.folder.document(&key).map_err(handed_on);
        }
        if let Some(found) = locked(&self.folder.ahead).remove(&key) {
            return Ok(Some(found));
        }
        self.folder.read(&key).map_err(handed_on)
    }

    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        byte_ranges: ByteRangeIterator<'a>,
    ) -> std::result::Result<MaybeBytesIterator<'a>, StorageError> {
        let key = self.key(key);
        let mut parts = Vec::new();
        for range in byte_ranges {
            match self.part(&key, range).map_err(handed_on)? {
                Some(bytes) => parts.push(Ok(bytes)),
                None => return Ok(None),
            }
        }
        Ok(Some(Box::new(parts.into_iter())))
    }

    fn size_key(&self, key: &StoreKey) -> std::result::Result<Option<u64>, StorageError> {
        let address = self.folder.root.join(&self.key(key));
        let answer = present(fetch_one(&self.folder.client, Ask::new(&address, Part::Start(1)))).map_err(handed_on)?;
        Ok(answer.map(|answer| answer.version.length))
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}

/// A document of the Zarr store at a URL; none where there is nothing.
///
/// # Errors
/// [`Error::Io`] when the server does not let it be read.
pub(crate) fn document(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let address = Address::of(folder)?.join(name);
    let answer = present(fetch_whole(&Client::of_environment()?, &address)).map_err(|fault| fault.to_error())?;
    Ok(answer.map(|answer| answer.body))
}
