//! Writing an h5ad file: beside the target, then renamed over it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_metno as hdf5;
use hdf5_metno::Group;
use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{RowBlocks, Scratch};
use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::AnnDataFile;
use super::element::{read_table, read_value};
use super::element_out::{put_column, put_order, put_table, put_value, sparse_group};
use super::subset::subset;
use crate::h5::{Attr, Outcome, Stream, put_encoding, put_text_attr, read_attr};
use crate::rows::MatrixLayout;
use crate::table::{Column, Table};
use crate::value::Value;
use crate::values::Dtype;

/// How to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// gzip level of matrices and large arrays, 1 (fast) to 9 (small); none leaves them plain, which reads
    /// fastest.
    pub gzip: Option<u8>,
}

/// An h5ad file in the making. It lies beside the target under a temporary name until [`AnnDataWriter::finish`]
/// renames it; dropped before that, nothing is left behind and what stood at the target stands there still.
///
/// Elements may be written in any order; writing one again replaces it. Slots that are never written come out
/// empty; `obs` and `var` must be written. The file is read by anndata 0.11 and later.
pub struct AnnDataWriter {
    target: PathBuf,
    partial: PathBuf,
    file: Option<hdf5::File>,
    options: WriteOptions,
}

/// The slots that every file has, beside X, obs and var.
const SLOTS: [&str; 6] = ["layers", "obsm", "obsp", "uns", "varm", "varp"];

impl AnnDataWriter {
    /// Starts a file that will stand at `path`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a gzip level outside 1 to 9; [`Error::Io`] when the folder cannot be written.
    pub fn create(path: impl AsRef<Path>, options: &WriteOptions) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if let Some(level) = options.gzip.filter(|level| !(1..=9).contains(level)) {
            return Err(Error::parameter("gzip", "1 to 9, or none", level));
        }
        // A link is followed, so that what it points at is replaced and the link stays.
        let target = fs::canonicalize(path.as_ref()).unwrap_or_else(|_| path.as_ref().to_path_buf());
        let io = |error| Error::io(&target, "write", error);
        if target.is_dir() {
            return Err(io(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        let name = target.file_name().ok_or_else(|| io(std::io::Error::from(std::io::ErrorKind::InvalidInput)))?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let partial = format!(".{}.{}-{number}.partial", name.to_string_lossy(), std::process::id());
        let partial = target.with_file_name(partial);
        // Made by us first: the rights follow the user's mask, and a refusal carries the system's reason.
        fs::OpenOptions::new().write(true).create_new(true).open(&partial).map_err(io)?;
        let mut writer = Self { target: target.clone(), partial, file: None, options: options.clone() };
        let file = hdf5::File::with_options()
            .with_fapl(|fapl| fapl.sec2().file_locking(false))
            .create(&writer.partial)
            .map_err(|error| io(std::io::Error::other(error.to_string())))?;
        writer.file = Some(file);
        writer.put("file", |root, _| put_encoding(root, "anndata", "0.1.0"))?;
        Ok(writer)
    }

    fn root(&self) -> Result<&hdf5::File> {
        self.file.as_ref().ok_or_else(|| Error::Internal("a writer used after it was finished".into()))
    }

    /// Runs `write` on the root and names the key in its error.
    pub(super) fn put<T>(&self, key: &str, write: impl FnOnce(&Group, Option<u8>) -> Outcome<T>) -> Result<T> {
        write(self.root()?, self.options.gzip).map_err(|reason| self.refused(key, reason))
    }

    pub(super) fn refused(&self, key: &str, reason: String) -> Error {
        Error::io(&self.target, format!("write {key}"), std::io::Error::other(reason))
    }

    /// The group that holds the last part of `key`, made where it is missing, without anything of that name.
    pub(super) fn place<'k>(&self, key: &'k str) -> Result<(Group, &'k str)> {
        self.put(key, |root, _| {
            let mut parts: Vec<&str> = key.split('/').collect();
            let name = parts.pop().unwrap_or_default();
            if name.is_empty() || parts.iter().any(|part| part.is_empty()) {
                return Err(format!("a key is made of names and single slashes, not {key:?}"));
            }
            let text = |error: hdf5::Error| error.to_string();
            let mut group: Group = root.group("/").map_err(text)?;
            for part in parts {
                group = if group.link_exists(part) {
                    group.group(part).map_err(|_| format!("{part} is not a group"))?
                } else {
                    let made = group.create_group(part).map_err(text)?;
                    let kind = if part == "raw" { "raw" } else { "dict" };
                    put_encoding(&made, kind, "0.1.0")?;
                    made
                };
            }
            if group.link_exists(name) {
                group.unlink(name).map_err(text)?;
            }
            Ok((group, name))
        })
    }

    /// Copies everything from a file except the elements named (`X`, `obsm/X_pca`, `uns/neighbors`, ...), as it
    /// is stored: encodings, compression and unknown elements stay what they are. Tables of older files are
    /// rewritten in today's encoding.
    ///
    /// # Errors
    /// [`Error::Format`] when the source is damaged; [`Error::Io`] when writing fails.
    pub fn copy_from(&mut self, source: &AnnDataFile, except: &[&str], ctx: &Ctx) -> Result<()> {
        self.copy_group(source, "", except, ctx)
    }

    fn copy_group(&mut self, source: &AnnDataFile, group: &str, except: &[&str], ctx: &Ctx) -> Result<()> {
        for name in source.file.members(group)? {
            ctx.check()?;
            let key = if group.is_empty() { name } else { format!("{group}/{name}") };
            if except.contains(&key.as_str()) {
                continue;
            }
            let inside = format!("{key}/");
            if except.iter().any(|other| other.starts_with(&inside))
                && source.file.is_group(&key)
                && !self.is_table(source, &key)
            {
                self.copy_group(source, &key, except, ctx)?;
                continue;
            }
            if self.is_table(source, &key)
                && (!current_table(source, &key) || except.iter().any(|other| other.starts_with(&inside)))
            {
                let mut table = read_table(&source.file, &key, ctx)?;
                table.columns.retain(|(column, _)| !except.contains(&format!("{key}/{column}").as_str()));
                self.table(&key, &table)?;
                continue;
            }
            let (place, last) = self.place(&key)?;
            let location: hdf5::Location = if source.file.is_group(&key) {
                (*source.file.group(&key)?).clone()
            } else {
                (**source.file.dataset(&key)?).clone()
            };
            location.copy_to(&place, last).map_err(|error| self.refused(&key, error.to_string()))?;
        }
        Ok(())
    }

    fn is_table(&self, source: &AnnDataFile, key: &str) -> bool {
        matches!(key, "obs" | "var" | "raw/var" | "raw.var")
            || source
                .file
                .group(key)
                .ok()
                .and_then(|group| read_attr(&group, "encoding-type"))
                .and_then(Attr::text)
                .as_deref()
                == Some("dataframe")
    }

    /// Copies everything from a file except the elements named, keeping only some cells and genes: `obs`, `var`,
    /// `X`, `layers`, `obsm`, `varm`, `obsp`, `varp` and the rows of `raw` follow; `uns` stays. Places must rise.
    /// Holds one element in memory at a time.
    ///
    /// # Errors
    /// As [`AnnDataWriter::copy_from`]; [`Error::Data`] when an element has not the length of its axis.
    pub fn copy_subset(
        &mut self,
        source: &AnnDataFile,
        cells: Option<&[usize]>,
        genes: Option<&[usize]>,
        except: &[&str],
        ctx: &Ctx,
    ) -> Result<()> {
        if cells.is_none() && genes.is_none() {
            return self.copy_from(source, except, ctx);
        }
        let mut keys = Vec::new();
        for slot in source.file.members("")? {
            let nested = matches!(slot.as_str(), "layers" | "obsm" | "varm" | "obsp" | "varp" | "raw")
                && source.file.is_group(&slot);
            if nested {
                keys.extend(source.file.members(&slot)?.into_iter().map(|name| format!("{slot}/{name}")));
            } else {
                keys.push(slot);
            }
        }
        let others: Vec<&str> = keys.iter().map(String::as_str).collect();
        for key in &keys {
            ctx.check()?;
            if except.contains(&key.as_str()) || except.contains(&key.split('/').next().unwrap_or_default()) {
                continue;
            }
            let (rows, columns) = match key.split('/').next().unwrap_or_default() {
                "X" | "layers" => (cells, genes),
                "obs" | "obsm" => (cells, None),
                "var" | "varm" => (genes, None),
                "obsp" => (cells, cells),
                "varp" => (genes, genes),
                "raw" | "raw.X" if key == "raw/X" || key == "raw.X" => (cells, None),
                _ => (None, None),
            };
            if rows.is_none() && columns.is_none() {
                let skip: Vec<&str> =
                    others.iter().copied().filter(|other| other != key).chain(except.iter().copied()).collect();
                self.copy_group(source, "", &skip, ctx)?;
                continue;
            }
            let value = match key.as_str() {
                "obs" | "var" => Value::Table(read_table(&source.file, key, ctx)?),
                _ => read_value(&source.file, key, ctx)?,
            };
            let value = subset(value, rows, columns).map_err(|(expected, found)| {
                Error::data(DataFault::Shape, format!("{}: {key}", source.path().display()), expected, found)
            })?;
            self.value(key, &value)?;
        }
        Ok(())
    }

    /// Writes a matrix (`X`, `layers/<name>`, `raw/X`) as sparse rows, block by block as the source yields them,
    /// so that a lazy chain is never held whole. The column numbers are 32 bits wide unless there are 2^31 entries.
    ///
    /// # Errors
    /// What the source returns; [`Error::Io`] when writing fails; [`Error::Interrupted`].
    pub fn rows(&mut self, key: &str, source: &dyn RowBlocks, ctx: &Ctx) -> Result<()> {
        let (parent, name) = self.place(key)?;
        let wide = source.n_entries() > i32::MAX as usize || source.n_cols() > i32::MAX as usize;
        let index = if wide { Dtype::I64 } else { Dtype::I32 };
        let most = source.n_entries() as u64;
        let (group, mut columns, mut values) = self.put(key, |_, gzip| {
            let group = sparse_group(&parent, name, MatrixLayout::Csr, source.n_rows(), source.n_cols())?;
            let columns = Stream::new(&group, "indices", index, &[], most, gzip)?;
            let values = Stream::new(&group, "data", Dtype::F32, &[], most, gzip)?;
            Ok((group, columns, values))
        })?;
        let progress = ctx.stage("write", source.n_rows() as u64);
        let mut pointers: Vec<i64> = Vec::with_capacity(source.n_rows() + 1);
        pointers.push(0);
        let refused = |reason: String| self.refused(key, reason);
        ordered_reduce(
            source.n_blocks(),
            ctx,
            |index| {
                let mut scratch = Scratch::default();
                let block = source.read(index, &mut scratch)?;
                Ok((block.indptr.to_vec(), block.indices.to_vec(), block.values.to_vec()))
            },
            |index, (ends, block_columns, block_values): (Vec<u64>, Vec<u32>, Vec<f32>)| {
                let base = pointers.last().copied().unwrap_or(0);
                pointers.extend(ends[1..].iter().map(|&end| base + end as i64));
                if wide {
                    let widened: Vec<i64> = block_columns.iter().map(|&column| i64::from(column)).collect();
                    columns.push(bytemuck::cast_slice(&widened)).map_err(refused)?;
                } else {
                    columns.push(bytemuck::cast_slice(&block_columns)).map_err(refused)?;
                }
                values.push(bytemuck::cast_slice(&block_values)).map_err(refused)?;
                progress.advance(source.block_rows(index).len() as u64)
            },
        )?;
        self.put(key, |_, gzip| {
            put_encoding(&*columns.finish()?, "array", "0.2.0")?;
            put_encoding(&*values.finish()?, "array", "0.2.0")?;
            let mut stream = Stream::new(&group, "indptr", index, &[], pointers.len() as u64, gzip)?;
            if wide {
                stream.push(bytemuck::cast_slice(&pointers))?;
            } else {
                let narrow: Vec<i32> = pointers.iter().map(|&at| at as i32).collect();
                stream.push(bytemuck::cast_slice(&narrow))?;
            }
            put_encoding(&*stream.finish()?, "array", "0.2.0")
        })
    }

    /// Writes a sparse matrix of f32, such as `obsp/connectivities`.
    ///
    /// # Errors
    /// As [`AnnDataWriter::rows`].
    pub fn csr(&mut self, key: &str, matrix: &Csr, ctx: &Ctx) -> Result<()> {
        self.rows(key, matrix, ctx)
    }

    /// Writes a table: `obs`, `var`, `raw/var`.
    ///
    /// # Errors
    /// [`Error::Io`] with the reason.
    pub fn table(&mut self, key: &str, table: &Table) -> Result<()> {
        let (parent, name) = self.place(key)?;
        self.put(key, |_, _| put_table(&parent, name, table))
    }

    /// Writes the table of cells.
    ///
    /// # Errors
    /// [`Error::Io`] with the reason.
    pub fn obs(&mut self, table: &Table) -> Result<()> {
        self.table("obs", table)
    }

    /// Writes the table of genes.
    ///
    /// # Errors
    /// [`Error::Io`] with the reason.
    pub fn var(&mut self, table: &Table) -> Result<()> {
        self.table("var", table)
    }

    /// Adds or replaces a column of a table that was written or copied already.
    ///
    /// # Errors
    /// [`Error::Key`] when there is no such table; [`Error::Data`] when the length disagrees; [`Error::Io`].
    pub fn column(&mut self, table: &str, name: &str, column: &Column) -> Result<()> {
        let root = self.root()?;
        if !root.link_exists(table) {
            return Err(Error::key(table, self.target.display().to_string(), root.member_names().unwrap_or_default()));
        }
        let key = format!("{table}/{name}");
        let (order, rows) = self.put(&key, |root, _| {
            let text = |error: hdf5::Error| error.to_string();
            let group = root.group(table).map_err(text)?;
            let order =
                read_attr(&group, "column-order").and_then(Attr::texts).ok_or("the table has no order of columns")?;
            let index = read_attr(&group, "_index").and_then(Attr::text).ok_or("the table has no row names")?;
            if index == name {
                return Err(format!("{name} holds the row names"));
            }
            Ok((order, group.dataset(&index).map_err(text)?.size()))
        })?;
        if rows != column.len() {
            return Err(Error::data(
                DataFault::Shape,
                format!("column `{name}`"),
                format!("{rows} rows"),
                column.len(),
            ));
        }
        let (parent, last) = self.place(&key)?;
        self.put(&key, |_, _| {
            put_column(&parent, last, column)?;
            let mut order: Vec<&str> = order.iter().map(String::as_str).collect();
            if !order.contains(&name) {
                order.push(name);
            }
            put_order(&parent, order)
        })
    }

    /// Writes any element under its path: `obsm/X_pca`, `varm/PCs`, `uns/log1p`, `obsp/distances`, ... Groups on
    /// the way are made.
    ///
    /// # Errors
    /// [`Error::Io`] with the reason.
    pub fn value(&mut self, key: &str, value: &Value) -> Result<()> {
        let (parent, name) = self.place(key)?;
        self.put(key, |_, gzip| put_value(&parent, name, value, gzip))
    }

    /// Removes an element where it is present.
    ///
    /// # Errors
    /// [`Error::Io`] with the reason.
    pub fn remove(&mut self, key: &str) -> Result<()> {
        self.place(key).map(|_| ())
    }

    /// Completes the file, brings it to the disk and renames it to its target.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or the system refuses; what stood at the target then stands there still.
    pub fn finish(mut self) -> Result<()> {
        let root = self.root()?;
        for table in ["obs", "var"] {
            if !root.link_exists(table) {
                return Err(Error::key(
                    table,
                    self.target.display().to_string(),
                    root.member_names().unwrap_or_default(),
                ));
            }
        }
        for slot in SLOTS {
            self.put(slot, |root, _| {
                if !root.link_exists(slot) {
                    let group = root.create_group(slot).map_err(|error| error.to_string())?;
                    put_encoding(&group, "dict", "0.1.0")?;
                }
                Ok(())
            })?;
        }
        self.put("file", |root, _| put_text_attr(root, "encoding-type", "anndata"))?;
        let io = |error| Error::io(&self.target, "write", error);
        root.flush().map_err(|error| self.refused("file", error.to_string()))?;
        if let Some(file) = self.file.take() {
            file.close().map_err(|error| io(std::io::Error::other(error.to_string())))?;
        }
        let written = fs::File::open(&self.partial).map_err(io)?;
        if let Ok(old) = fs::metadata(&self.target) {
            written.set_permissions(fs::Permissions::from_mode(old.permissions().mode() & 0o777)).map_err(io)?;
        }
        written.sync_all().map_err(io)?;
        fs::rename(&self.partial, &self.target).map_err(io)?;
        // The new name itself reaches the disk with its folder.
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(folder) = fs::File::open(folder) {
            folder.sync_all().map_err(io)?;
        }
        self.partial = PathBuf::new();
        Ok(())
    }
}

impl Drop for AnnDataWriter {
    fn drop(&mut self) {
        if self.partial.as_os_str().is_empty() {
            return;
        }
        // Emptied first: on a full disk that gives the library room to close what it still holds.
        if let Ok(file) = fs::OpenOptions::new().write(true).open(&self.partial) {
            let _ = file.set_len(0);
        }
        self.file = None;
        let _ = fs::remove_file(&self.partial);
    }
}

/// Whether a table is in the encoding that is written today.
fn current_table(source: &AnnDataFile, key: &str) -> bool {
    source.file.group(key).ok().and_then(|group| read_attr(&group, "encoding-version")).and_then(Attr::text).as_deref()
        == Some("0.2.0")
}
