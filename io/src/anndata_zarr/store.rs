//! The groups and arrays of a store in a folder, and their attributes.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use zensaibo_core::{Error, Result};

use crate::place::{self, is_url};
#[cfg(feature = "remote")]
use crate::remote::Folder;

/// What lies at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Group,
    Array,
}

/// A Zarr store in a folder or behind a URL.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// For a URL without what may be secret in it.
    pub(super) root: PathBuf,
    #[cfg(feature = "remote")]
    remote: Option<Arc<Folder>>,
}

impl Store {
    /// The store at `path`; none where there is nothing behind a URL.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] for what is behind a URL.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        if is_url(path) {
            #[cfg(feature = "remote")]
            return Ok(Folder::open(path)?.map(|folder| Self { root: folder.shown().into(), remote: Some(folder) }));
            #[cfg(not(feature = "remote"))]
            return Err(place::unsupported(path));
        }
        Ok(Some(Self {
            root: path.to_path_buf(),
            #[cfg(feature = "remote")]
            remote: None,
        }))
    }

    /// The array at `key` as zarrs reads it.
    pub(super) fn storage(&self, key: &str) -> Result<Arc<place::Storage>> {
        let folder = self.folder(key)?;
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            return Ok(Arc::new(remote.storage(key)));
        }
        place::storage(&folder)
    }

    /// Whether it is behind a URL.
    #[cfg(feature = "remote")]
    pub(super) fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// Objects that will be read one after the other, asked for at once where that pays.
    #[cfg(feature = "remote")]
    pub(super) fn ahead(&self, keys: impl Iterator<Item = String>) -> Result<()> {
        match &self.remote {
            Some(remote) => remote.ahead(&keys.collect::<Vec<_>>()).map_err(|fault| fault.to_error()),
            None => Ok(()),
        }
    }

    /// Bytes of everything at and below `key`; 0 where a server does not say.
    pub(super) fn bytes(&self, key: &str) -> Result<u64> {
        let folder = self.folder(key)?;
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            return Ok(remote.bytes(key)?.unwrap_or(0));
        }
        folder_bytes(&folder)
    }

    /// A format error at `key`.
    pub(super) fn fault(&self, key: &str, expected: impl Into<String>, found: impl ToString) -> Error {
        Error::format(&self.root, if key.is_empty() { "/" } else { key }, expected, found)
    }

    /// The folder of `key`.
    ///
    /// # Errors
    /// [`Error::Format`] for a key that leads out of the store.
    pub(super) fn folder(&self, key: &str) -> Result<PathBuf> {
        let inside = Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
        if inside {
            Ok(self.root.join(key))
        } else {
            Err(self.fault(key, "a key of names and single slashes", "another"))
        }
    }

    fn document(&self, key: &str, name: &str) -> Result<Option<Json>> {
        let folder = self.folder(key)?;
        let text = self.text(&folder, key, name)?;
        let parsed = text.map(|text| serde_json::from_slice(&text)).transpose();
        parsed.map_err(|error| Error::format(folder.join(name), "document", "well-formed JSON", error))
    }

    fn text(&self, folder: &Path, key: &str, name: &str) -> Result<Option<Vec<u8>>> {
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            let document = if key.is_empty() { name.to_string() } else { format!("{key}/{name}") };
            let found = remote.document(&document).map_err(|fault| fault.to_error())?;
            return Ok(found.map(|text| text.to_vec()));
        }
        let _ = key;
        place::document(folder, name)
    }

    /// What lies at `key` and its attributes; none where there is nothing.
    pub(super) fn node(&self, key: &str) -> Result<Option<(Node, Json)>> {
        if let Some(mut document) = self.document(key, "zarr.json")? {
            let kind = match document["node_type"].as_str() {
                Some("array") => Node::Array,
                Some("group") => Node::Group,
                other => return Err(self.fault(key, "a group or an array", format!("{other:?}"))),
            };
            return Ok(Some((kind, document["attributes"].take())));
        }
        let kind = match (self.document(key, ".zarray")?, self.document(key, ".zgroup")?) {
            (Some(_), _) => Node::Array,
            (None, Some(_)) => Node::Group,
            (None, None) => return Ok(None),
        };
        Ok(Some((kind, self.document(key, ".zattrs")?.unwrap_or(Json::Null))))
    }

    /// Names of the compression steps of the array at `key`.
    pub(super) fn compression(&self, key: &str) -> Result<Vec<String>> {
        let names = |list: &Json, field: &str| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(|step| step[field].as_str()).map(String::from).collect()
        };
        if let Some(document) = self.document(key, "zarr.json")? {
            let inner = |step: &Json| names(&step["configuration"]["codecs"], "name");
            let steps = document["codecs"].as_array().cloned().unwrap_or_default();
            let all = steps.iter().flat_map(|step| match step["name"].as_str() {
                Some("sharding_indexed") => inner(step),
                Some(name) => vec![name.to_string()],
                None => Vec::new(),
            });
            return Ok(all.filter(|name| name != "bytes").collect());
        }
        let document = self.document(key, ".zarray")?.unwrap_or(Json::Null);
        let mut found = names(&document["filters"], "id");
        found.extend(document["compressor"]["id"].as_str().map(String::from));
        Ok(found)
    }

    /// Whether it is a group with `obs` and `var`.
    pub(super) fn has_tables(&self) -> Result<bool> {
        for key in ["", "obs", "var"] {
            if self.node(key)?.is_none_or(|(node, _)| node != Node::Group) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`Store::node`].
    ///
    /// # Errors
    /// [`Error::Format`] where there is nothing.
    pub(super) fn need(&self, key: &str) -> Result<(Node, Json)> {
        self.node(key)?.ok_or_else(|| self.fault(key, "it to be present", "nothing"))
    }

    /// Names of the groups and arrays in a group, sorted.
    pub(super) fn members(&self, key: &str) -> Result<Vec<String>> {
        let folder = self.folder(key)?;
        #[cfg(feature = "remote")]
        if let Some(remote) = &self.remote {
            return remote.members(key);
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| Error::io(&folder, "read", error))? {
            let entry = entry.map_err(|error| Error::io(&folder, "read", error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_node = ["zarr.json", ".zgroup", ".zarray"].iter().any(|mark| entry.path().join(mark).is_file());
            if is_node {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Bytes of all files under a folder.
fn folder_bytes(path: &Path) -> Result<u64> {
    let read = |error| Error::io(path, "read", error);
    fs::read_dir(path).map_err(read)?.try_fold(0, |all, entry| {
        let entry = entry.map_err(read)?;
        let meta = entry.metadata().map_err(read)?;
        Ok(all + if meta.is_dir() { folder_bytes(&entry.path())? } else { meta.len() })
    })
}

/// Whether the folder or URL at `path` is a Zarr store with the tables of an AnnData.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for what is behind a URL.
pub(crate) fn is_anndata(path: &Path) -> Result<bool> {
    if is_url(path) {
        let Some(store) = Store::open(path)? else { return Ok(false) };
        return store.has_tables();
    }
    let marked = |folder: &Path, marks: &[&str]| marks.iter().any(|mark| folder.join(mark).is_file());
    Ok(marked(path, &["zarr.json", ".zgroup"])
        && ["obs", "var"].iter().all(|table| marked(&path.join(table), &["zarr.json", ".zgroup"])))
}
