//! AnnData in a Zarr store, opened for reading.

use std::path::Path;

use zensaibo_core::{Ctx, Error, Result};

use super::array::{Absent, numbers};
use super::element::{read_index, read_table};
use super::store::{Node, Store, is_anndata};
use crate::place::is_url;
use crate::rows::{FileRows, MatrixLayout, StoredMatrix};
use crate::table::Table;

/// AnnData in a Zarr store (a folder or a URL; version 2 or 3, shards too), opened for reading; nothing is read until asked for.
///
/// Matrices are read by blocks as those of an h5ad: chunks are decoded on the current pool, and the last ones (16 MiB of each
/// array, or one chunk) are kept for the blocks beside. A chunk of stored values that is not there is an error.
#[derive(Clone, Debug)]
pub struct AnnDataZarr {
    store: Store,
}

impl AnnDataZarr {
    /// Opens a folder, or what is behind a URL, and checks that it is a Zarr store with `obs` and `var`.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no such folder; [`Error::Format`] when it is something else.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let store = if is_url(path) {
            Store::open(path)?.map(|store| store.has_tables().map(|has| has.then_some(store))).transpose()?.flatten()
        } else {
            std::fs::read_dir(path).map_err(|error| Error::io(path, "read", error))?;
            if is_anndata(path)? { Store::open(path)? } else { None }
        };
        match store {
            Some(store) => Ok(Self { store }),
            None => Err(Error::format(path, "obs, var", "the tables of AnnData in a Zarr store", "none")),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.store.root
    }

    /// Whether the store has `key`, such as `raw/X`.
    ///
    /// # Errors
    /// [`Error::Format`] when its metadata are damaged.
    pub fn has(&self, key: &str) -> Result<bool> {
        Ok(self.store.node(key)?.is_some())
    }

    /// The table of cells.
    ///
    /// # Errors
    /// [`Error::Format`] when it is damaged.
    pub fn obs(&self, ctx: &Ctx) -> Result<Table> {
        read_table(&self.store, "obs", ctx)
    }

    /// The table of genes.
    ///
    /// # Errors
    /// [`Error::Format`] when it is damaged.
    pub fn var(&self, ctx: &Ctx) -> Result<Table> {
        read_table(&self.store, "var", ctx)
    }

    /// The row names of a table (`obs`, `var`, `raw/var`), without reading its columns.
    ///
    /// # Errors
    /// [`Error::Format`] when they are absent or damaged.
    pub fn index(&self, table: &str, ctx: &Ctx) -> Result<Vec<String>> {
        read_index(&self.store, table, ctx)
    }

    /// Bytes of everything at and below `key`; 0 where a server does not say.
    pub(crate) fn bytes(&self, key: &str) -> Result<u64> {
        self.store.bytes(key)
    }

    /// Keys of the matrices of cells x genes: `X`, `layers/<name>`, `raw/X`.
    ///
    /// # Errors
    /// [`Error::Format`] when metadata are damaged.
    pub fn matrices(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for key in ["X", "raw/X"] {
            let present = self.store.node(key)?;
            keys.extend(present.filter(|(_, at)| at["encoding-type"] != "null").map(|_| key.to_string()));
        }
        if self.store.node("layers")?.is_some() {
            keys.extend(self.store.members("layers")?.into_iter().map(|name| format!("layers/{name}")));
        }
        Ok(keys)
    }

    pub(crate) fn matrix(&self, key: &str) -> Result<StoredMatrix> {
        let Some((node, attributes)) = self.store.node(key)? else {
            // A web server does not say what else there is.
            let present = self.matrices().unwrap_or_default();
            return Err(Error::key(key, self.path().display().to_string(), present));
        };
        if node == Node::Array {
            return StoredMatrix::dense(numbers(&self.store, key, Absent::Fill)?);
        }
        let layout = match attributes["encoding-type"].as_str() {
            Some("csr_matrix") => MatrixLayout::Csr,
            Some("csc_matrix") => MatrixLayout::Csc,
            other => {
                let found = other.unwrap_or("a group without an encoding-type");
                return Err(self.store.fault(key, "csr_matrix, csc_matrix or a dense array", found));
            }
        };
        let shape: Option<Vec<usize>> = attributes["shape"]
            .as_array()
            .and_then(|all| all.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect());
        let Some(&[n_rows, n_cols]) = shape.as_deref() else {
            return Err(self.store.fault(key, "a shape of two numbers", &attributes["shape"]));
        };
        let part = |name: &str, absent: Absent| numbers(&self.store, &format!("{key}/{name}"), absent);
        let parts = (part("data", Absent::Fault)?, part("indices", Absent::Fill)?, part("indptr", Absent::Fill)?);
        StoredMatrix::from_parts(self.path(), key, layout, (n_rows, n_cols), parts)
    }

    /// A matrix (`X`, `layers/<name>`, `raw/X`) as a source of row blocks read from the store.
    ///
    /// # Errors
    /// [`Error::Key`] when there is no such matrix; [`Error::Format`] when it is damaged.
    pub fn rows(&self, key: &str, ctx: &Ctx) -> Result<FileRows> {
        FileRows::new(self.matrix(key)?, ctx)
    }

    /// The same; one stored by columns is not turned yet.
    pub(crate) fn open_rows(&self, key: &str, ctx: &Ctx) -> Result<FileRows> {
        FileRows::open(self.matrix(key)?, ctx)
    }
}
