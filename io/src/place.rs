//! Inputs that are a path or a URL: one way to their bytes for both.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::filesystem::FilesystemStore;
use zarrs::storage::ReadableStorageTraits;
use zensaibo_core::{Error, Result};

#[cfg(feature = "remote")]
use crate::remote::{Folder, Object, fault_in};

/// Whether a path is a URL (`http:`, `https:`, `s3:`). Libraries of paths make one slash of the two; such are taken too.
pub fn is_url(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let Some((scheme, _)) = text.split_once(":/") else { return false };
    ["http", "https", "s3"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// What a build without the feature says of a URL.
#[cfg(not(feature = "remote"))]
pub(crate) fn unsupported(path: &Path) -> Error {
    let expected = "a path, for this build of zensaibo reads no URLs (it lacks the feature `remote`)";
    Error::parameter("input", expected, path.display())
}

/// Bytes of the object at a URL, and a text that tells its state from others (length, ETag or time of change). Of a Zarr store,
/// which is many objects: 0 and its root document's.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::Parameter`] where the feature `remote` is off.
pub fn state_of_url(path: &Path) -> Result<(u64, String)> {
    #[cfg(feature = "remote")]
    {
        let folder = named_as_folder(path).then(|| Folder::open(path)).transpose()?.flatten();
        let folder = match folder {
            Some(folder) => folder,
            None => match Object::open(path) {
                Ok(object) => {
                    let version = object.version();
                    let tag = version.tag.clone().or_else(|| version.changed.clone()).unwrap_or_default();
                    return Ok((object.len(), format!("{} {tag}", object.len())));
                }
                Err(error) => match Folder::open(path) {
                    Ok(Some(folder)) => folder,
                    _ => return Err(error),
                },
            },
        };
        Ok((0, folder.state().map_err(|fault| fault.to_error())?))
    }
    #[cfg(not(feature = "remote"))]
    Err(unsupported(path))
}

/// Whether a URL is likely that of a Zarr store, so that it is first looked at as one.
#[cfg(feature = "remote")]
pub(crate) fn named_as_folder(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let name = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    text.ends_with('/') || name.ends_with(".zarr") || name.parse::<u32>().is_ok() || !name.contains('.')
}

/// A file, or an object behind a URL, whose bytes are read at places.
pub(crate) enum Bytes {
    /// On disk.
    File(fs::File),
    /// Behind a URL.
    #[cfg(feature = "remote")]
    Object(Arc<Object>),
}

impl Bytes {
    /// Opens a file or the object at a URL.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if is_url(path) {
            #[cfg(feature = "remote")]
            return Object::open(path).map(Self::Object);
            #[cfg(not(feature = "remote"))]
            return Err(unsupported(path));
        }
        fs::File::open(path).map(Self::File).map_err(|error| Error::io(path, "read", error))
    }

    /// How long it is; `None` for a folder.
    pub(crate) fn len(&self) -> io::Result<Option<u64>> {
        match self {
            Self::File(file) => file.metadata().map(|meta| (!meta.is_dir()).then_some(meta.len())),
            #[cfg(feature = "remote")]
            Self::Object(object) => Ok(Some(object.len())),
        }
    }

    /// Fills `out` from a place on.
    pub(crate) fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(out, offset),
            #[cfg(feature = "remote")]
            Self::Object(object) => object.read_exact_at(out, offset).map_err(|fault| fault.to_io()),
        }
    }

    /// Pieces (place and length) that are needed one after the other, where it pays to ask for all of them at once.
    pub(crate) fn together(&self, pieces: &[(u64, u64)]) -> Result<Option<Vec<Arc<Vec<u8>>>>> {
        match self {
            Self::File(_) => {
                let _ = pieces;
                Ok(None)
            }
            #[cfg(feature = "remote")]
            Self::Object(object) => object.chunks(pieces).map(Some).map_err(|fault| fault.to_error()),
        }
    }

    /// What reading met that the HDF5 library may have made something else of.
    pub(crate) fn lost(&self) -> Option<Error> {
        match self {
            Self::File(_) => None,
            #[cfg(feature = "remote")]
            Self::Object(object) => object.lost(),
        }
    }
}

/// The bytes of a file or of an object behind a URL, for other readers than those of this crate.
pub struct RawFile(Bytes, u64);

impl RawFile {
    /// Opens a file or the object at a URL.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Format`] for a folder.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = Bytes::open(path)?;
        match bytes.len().map_err(|error| Error::io(path, "read", error))? {
            Some(length) => Ok(Self(bytes, length)),
            None => Err(Error::format(path, "file", "a file", "a folder")),
        }
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.1
    }

    /// At most `count` bytes from `start` on: fewer at the end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&self, start: u64, count: u64) -> Result<Vec<u8>> {
        let mut out = vec![0; count.min(self.1.saturating_sub(start)) as usize];
        self.0.read_exact_at(&mut out, start).map_err(|error| failed(Path::new(""), "read", error))?;
        Ok(out)
    }
}

/// The objects of a Zarr store behind a URL, for other readers than those of this crate.
pub struct RawStore {
    #[cfg(feature = "remote")]
    folder: Arc<Folder>,
    #[cfg(not(feature = "remote"))]
    never: std::convert::Infallible,
}

impl RawStore {
    /// Opens the store at a URL.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] where there is no store; [`Error::Parameter`] where the feature `remote` is off.
    pub fn open(url: &Path) -> Result<Self> {
        #[cfg(feature = "remote")]
        return match Folder::open(url)? {
            Some(folder) => Ok(Self { folder }),
            None => Err(Error::format(shown(url), "/", "a Zarr store (zarr.json or .zgroup)", "neither")),
        };
        #[cfg(not(feature = "remote"))]
        Err(unsupported(url))
    }

    /// An object, or a part of it: from a place on, so many bytes or all; with a negative start so many from the end. None where
    /// there is nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn get(&self, key: &str, part: Option<(i64, Option<u64>)>) -> Result<Option<Vec<u8>>> {
        #[cfg(feature = "remote")]
        return self.folder.get(key, part).map_err(|fault| fault.to_error());
        #[cfg(not(feature = "remote"))]
        {
            let _ = (key, part);
            match self.never {}
        }
    }

    /// Names of the groups and arrays in a group.
    ///
    /// # Errors
    /// [`Error::Format`] where the store does not say and the server cannot list; [`Error::Io`].
    pub fn members(&self, key: &str) -> Result<Vec<String>> {
        #[cfg(feature = "remote")]
        return self.folder.members(key);
        #[cfg(not(feature = "remote"))]
        {
            let _ = key;
            match self.never {}
        }
    }
}

/// An error of the system at a file; of a URL, what the server said.
pub(crate) fn failed(path: &Path, action: &str, error: io::Error) -> Error {
    #[cfg(feature = "remote")]
    if let Some(fault) = fault_in(&error) {
        return fault.to_error();
    }
    Error::io(path, action, error)
}

/// What a server said, where an error of another library stems from that.
pub(crate) fn said_by_server(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    #[cfg(feature = "remote")]
    return fault_in(error).map(|fault| fault.to_error());
    #[cfg(not(feature = "remote"))]
    {
        let _ = error;
        None
    }
}

/// The array (or group) in a folder, or behind a URL, as zarrs reads it.
pub(crate) type Storage = dyn ReadableStorageTraits;

/// The Zarr store at `path` as zarrs reads it. A folder on disk that is not there is empty.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] where there is nothing behind a URL.
pub(crate) fn storage(path: &Path) -> Result<Arc<Storage>> {
    if is_url(path) {
        #[cfg(feature = "remote")]
        return match Folder::open(path)? {
            Some(folder) => Ok(Arc::new(folder.storage(""))),
            None => Err(Error::format(path, "array", "a Zarr array", "nothing")),
        };
        #[cfg(not(feature = "remote"))]
        return Err(unsupported(path));
    }
    let store = FilesystemStore::new(path).map_err(|error| Error::format(path, "array", "a Zarr array", error))?;
    Ok(Arc::new(store))
}

/// What lies below a folder or a URL; of a URL before what stands after its question mark.
pub(crate) fn below(path: &Path, key: &str) -> PathBuf {
    let text = path.to_string_lossy();
    match text.split_once('?') {
        Some((base, query)) if is_url(path) => format!("{}/{key}?{query}", base.trim_end_matches('/')).into(),
        _ => path.join(key),
    }
}

/// A path for messages: a URL without what may be secret in it.
pub(crate) fn shown(path: &Path) -> PathBuf {
    #[cfg(feature = "remote")]
    if is_url(path) {
        return crate::remote::Address::of(path).map_or_else(|_| "URL".into(), |address| address.shown().into());
    }
    path.to_path_buf()
}

/// A document of a Zarr store (JSON); `None` where there is no such file.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn document(folder: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    if is_url(folder) {
        #[cfg(feature = "remote")]
        return crate::remote::document(folder, name);
        #[cfg(not(feature = "remote"))]
        return Err(unsupported(folder));
    }
    let path = folder.join(name);
    match fs::read(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io(path, "read", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for url in ["http://host/a", "https://host/a.zarr", "s3://bucket/key", "S3://bucket", "https:/host/a"] {
            assert!(is_url(Path::new(url)), "{url}");
        }
        for path in ["a.h5ad", "/a/http", "http", "./https:x", "gs://bucket/key", "C:/a"] {
            assert!(!is_url(Path::new(path)), "{path}");
        }
    }

    #[cfg(not(feature = "remote"))]
    #[test]
    fn without_the_feature_a_url_is_refused_by_name() {
        let url = Path::new("https://host/a.h5ad");
        let said = Bytes::open(url).err().unwrap().to_string();
        assert!(said.contains("feature `remote`") && said.contains("https://host/a.h5ad"), "{said}");
        assert!(crate::detect(url).unwrap_err().to_string().contains("feature `remote`"));
        assert!(crate::open_volume(url).err().unwrap().to_string().contains("feature `remote`"));
        assert!(crate::AnnDataZarr::open(url).unwrap_err().to_string().contains("feature `remote`"));
    }
}
