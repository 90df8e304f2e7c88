//! The groups and arrays of a store in a folder, and their attributes.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;
use zensaibo_core::{Error, Result};

/// What lies at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Group,
    Array,
}

/// A Zarr store in a folder.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) root: PathBuf,
}

impl Store {
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
        let path = self.folder(key)?.join(name);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Error::format(&path, "document", "well-formed JSON", error)),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                Ok(None)
            }
            Err(error) => Err(Error::io(path, "read", error)),
        }
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

/// Whether the folder at `path` is a Zarr store with the tables of an AnnData.
pub(crate) fn is_anndata(path: &Path) -> bool {
    let marked = |folder: &Path, marks: &[&str]| marks.iter().any(|mark| folder.join(mark).is_file());
    marked(path, &["zarr.json", ".zgroup"])
        && ["obs", "var"].iter().all(|table| marked(&path.join(table), &["zarr.json", ".zgroup"]))
}
