//! An h5ad file opened for reading.

use std::path::Path;

use zensaibo_core::data::Csr;
use zensaibo_core::{Ctx, Error, Result};

use super::element::{read_column, read_index, read_table, read_value};
use crate::h5::{Attr, H5File, read_attr};
use crate::rows::{FileRows, StoredMatrix};
use crate::table::{Column, Table};
use crate::value::Value;

/// An h5ad file opened for reading; nothing is read until asked for. Takes no lock on the file.
#[derive(Clone)]
pub struct AnnDataFile {
    pub(crate) file: H5File,
}

impl AnnDataFile {
    /// Opens a file and checks that it is an h5ad.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be opened; [`Error::Format`] when it is not HDF5, is truncated, or has no
    /// `obs` and `var`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = H5File::open(path.as_ref())?;
        let tables = file.exists("obs") && file.exists("var");
        if !file.sound(Ok(tables))? {
            let present = crate::h5::listed(&file.members("")?);
            return Err(file.fault("obs, var", "the tables of an h5ad file", format!("only {present}")));
        }
        Ok(Self { file })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Cells and genes: from `X` where there is one, else from the tables.
    ///
    /// # Errors
    /// [`Error::Format`] when neither can be read.
    pub fn shape(&self) -> Result<(usize, usize)> {
        if self.file.exists("X") && !self.is_null("X") {
            let stored = StoredMatrix::open(&self.file, "X")?;
            return Ok((stored.n_rows, stored.n_cols));
        }
        let ctx = Ctx::quiet();
        Ok((self.obs(&ctx)?.len(), self.var(&ctx)?.len()))
    }

    fn is_null(&self, key: &str) -> bool {
        let encoding =
            self.file.dataset(key).ok().and_then(|dataset| read_attr(&dataset, "encoding-type")).and_then(Attr::text);
        encoding.as_deref() == Some("null")
    }

    /// Whether the file has `key`, such as `raw/X` or `obsm/X_pca`.
    pub fn has(&self, key: &str) -> bool {
        self.file.exists(key)
    }

    /// Names under a slot such as `layers`, `obsm` or `uns`; none when the slot is absent.
    ///
    /// # Errors
    /// [`Error::Format`] when the slot is damaged.
    pub fn names(&self, slot: &str) -> Result<Vec<String>> {
        let names = if self.file.is_group(slot) { self.file.members(slot) } else { Ok(Vec::new()) };
        self.file.sound(names)
    }

    /// The table of cells.
    ///
    /// # Errors
    /// [`Error::Format`] when it is damaged.
    pub fn obs(&self, ctx: &Ctx) -> Result<Table> {
        self.file.sound(read_table(&self.file, "obs", ctx))
    }

    /// The table of genes.
    ///
    /// # Errors
    /// [`Error::Format`] when it is damaged.
    pub fn var(&self, ctx: &Ctx) -> Result<Table> {
        self.file.sound(read_table(&self.file, "var", ctx))
    }

    /// The row names of a table (`obs`, `var`, `raw/var`), without reading its columns.
    ///
    /// # Errors
    /// [`Error::Format`] when they are absent or damaged.
    pub fn index(&self, table: &str, ctx: &Ctx) -> Result<Vec<String>> {
        // Before 0.7 the table of raw lay at the root.
        let old = table == "raw/var" && !self.file.exists("raw") && self.file.exists("raw.var");
        self.file.sound(read_index(&self.file, if old { "raw.var" } else { table }, ctx))
    }

    /// One column of `obs` or `var`, without reading the others.
    ///
    /// # Errors
    /// [`Error::Key`] when there is none of that name; [`Error::Format`] when it is damaged.
    pub fn column(&self, table: &str, name: &str, ctx: &Ctx) -> Result<Column> {
        let key = format!("{table}/{name}");
        if self.file.is_group(table) {
            if self.file.exists(&key) {
                return self.file.sound(read_column(&self.file, &key, ctx));
            }
            return Err(Error::key(name, format!("{} of {}", table, self.path().display()), self.file.members(table)?));
        }
        let whole = self.file.sound(read_table(&self.file, table, ctx))?;
        let present: Vec<&String> = whole.columns.iter().map(|(present, _)| present).collect();
        whole.column(name).cloned().ok_or_else(|| Error::key(name, table, present))
    }

    /// Keys of the matrices of cells x genes: `X`, `layers/<name>`, `raw/X`.
    ///
    /// # Errors
    /// [`Error::Format`] when a slot is damaged.
    pub fn matrices(&self) -> Result<Vec<String>> {
        let mut keys = vec!["X".to_string()];
        keys.extend(self.names("layers")?.into_iter().map(|name| format!("layers/{name}")));
        keys.push("raw/X".into());
        keys.retain(|key| self.has(key) && !self.is_null(key));
        Ok(keys)
    }

    pub(crate) fn matrix(&self, slot: &str) -> Result<StoredMatrix> {
        // Before 0.7 the raw matrix lay at the root.
        let slot =
            if slot == "raw/X" && !self.file.exists("raw") && self.file.exists("raw.X") { "raw.X" } else { slot };
        if !self.file.exists(slot) {
            let container = self.path().display().to_string();
            return self.file.sound(Err(Error::key(slot, container, self.matrices()?)));
        }
        self.file.sound(StoredMatrix::open(&self.file, slot))
    }

    /// A matrix (`X`, `layers/<name>`, `raw/X`) as a source of row blocks read from the file.
    ///
    /// # Errors
    /// [`Error::Key`] when there is no such matrix; [`Error::Format`] when it is damaged.
    pub fn rows(&self, slot: &str, ctx: &Ctx) -> Result<FileRows> {
        FileRows::new(self.matrix(slot)?, ctx)
    }

    /// The same; one stored by columns is not turned yet.
    pub(crate) fn open_rows(&self, slot: &str, ctx: &Ctx) -> Result<FileRows> {
        FileRows::open(self.matrix(slot)?, ctx)
    }

    /// A matrix (`X`, `layers/<name>`, `raw/X`) whole in memory, in parallel on the current pool: 8 bytes per
    /// stored value and nothing beside it. Values become f32; unsorted columns are sorted, repeated ones added up.
    ///
    /// # Errors
    /// As [`AnnDataFile::rows`]; [`Error::Limit`] when memory does not suffice.
    pub fn csr(&self, slot: &str, ctx: &Ctx) -> Result<Csr> {
        self.matrix(slot)?.read(ctx)
    }

    /// Whether the element at `key` is of an encoding that [`AnnDataFile::value`] reads.
    pub fn is_readable(&self, key: &str) -> bool {
        let encoding = match self.file.group(key) {
            Ok(group) => read_attr(&group, "encoding-type"),
            Err(_) => self.file.dataset(key).ok().and_then(|dataset| read_attr(&dataset, "encoding-type")),
        };
        let known = [
            "",
            "anndata",
            "array",
            "bytes",
            "categorical",
            "csc_matrix",
            "csr_matrix",
            "dataframe",
            "dict",
            "null",
            "nullable-boolean",
            "nullable-integer",
            "nullable-string-array",
            "numeric-scalar",
            "raw",
            "rec-array",
            "string",
            "string-array",
        ];
        encoding.and_then(Attr::text).is_none_or(|name| known.contains(&name.as_str()))
    }

    /// Any element by its path in the file (`obsm/X_pca`, `uns`, `raw/var`, ...), in the types of the file.
    ///
    /// # Errors
    /// [`Error::Format`] when it is absent, damaged, or of an encoding that zensaibo does not read.
    pub fn value(&self, key: &str, ctx: &Ctx) -> Result<Value> {
        self.file.sound(read_value(&self.file, key, ctx))
    }
}
