//! One matrix of a file by its key, and the names of its cells and genes.

use std::path::{Path, PathBuf};

use zensaibo_core::{Ctx, Error, Result};

use crate::anndata_zarr::AnnDataZarr;
use crate::concat::ConcatPart;
use crate::counts::CountsMatrix;
use crate::detect::{Format, detect};
use crate::h5ad::AnnDataFile;
use crate::rows::{FileRows, MatrixLayout, StoredMatrix};
use crate::table::Table;
use crate::tenx::{TenxFile, TenxOptions};
use crate::turned::Turning;
use crate::values::Dtype;

/// A matrix of cells x genes in a file, found but not read: `X`, `layers/<name>` or `raw/X` of an h5ad or of AnnData in Zarr, `X` of
/// a 10x HDF5 file (all features).
pub struct MatrixFile {
    path: PathBuf,
    key: String,
    kind: Kind,
}

enum Kind {
    H5ad(AnnDataFile),
    Zarr(AnnDataZarr),
    Tenx(Box<TenxFile>),
}

impl MatrixFile {
    /// Opens the file.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read; [`Error::Format`] when it is of another kind, or damaged.
    pub fn open(path: impl AsRef<Path>, key: &str) -> Result<Self> {
        let path = path.as_ref();
        let kind = match detect(path)? {
            Format::H5ad => Kind::H5ad(AnnDataFile::open(path)?),
            Format::AnnDataZarr => Kind::Zarr(AnnDataZarr::open(path)?),
            Format::TenxV2 | Format::TenxV3 if key == "X" => {
                let all = TenxOptions { gex_only: false, ..Default::default() };
                Kind::Tenx(Box::new(TenxFile::open(path, &all)?))
            }
            other => {
                let expected = "an h5ad, AnnData in Zarr, or X of a 10x HDF5 file";
                return Err(Error::format(path, key, expected, other.name()));
            }
        };
        Ok(Self { path: path.to_path_buf(), key: key.to_string(), kind })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The matrix in the file.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn stored(&self) -> Result<StoredMatrix> {
        match &self.kind {
            Kind::H5ad(file) => file.matrix(&self.key),
            Kind::Zarr(file) => file.matrix(&self.key),
            Kind::Tenx(file) => file.matrix(),
        }
    }

    /// Its cells and genes, the type of its values, and how it is laid out.
    ///
    /// # Errors
    /// As [`MatrixFile::rows`].
    pub fn describe(&self) -> Result<((usize, usize), Dtype, MatrixLayout)> {
        let stored = self.stored()?;
        Ok(((stored.n_rows, stored.n_cols), stored.values.dtype, stored.layout))
    }

    /// The matrix as a source of row blocks. `turning`: what may be taken where it is stored by columns.
    ///
    /// # Errors
    /// [`Error::Key`] when there is no such matrix, [`Error::Format`] when it is damaged; as [`FileRows::turned`].
    pub fn rows(&self, turning: &Turning, ctx: &Ctx) -> Result<FileRows> {
        FileRows::open(self.stored()?, ctx)?.turned(turning, None, ctx)
    }

    /// The h5ad, where it is one.
    pub(crate) fn h5ad(&self) -> Option<&AnnDataFile> {
        match &self.kind {
            Kind::H5ad(file) => Some(file),
            _ => None,
        }
    }

    /// The tables of cells and genes.
    pub(crate) fn tables(&self, ctx: &Ctx) -> Result<(Table, Table)> {
        match &self.kind {
            Kind::H5ad(file) => Ok((file.obs(ctx)?, file.var(ctx)?)),
            Kind::Zarr(file) => Ok((file.obs(ctx)?, file.var(ctx)?)),
            Kind::Tenx(file) => Ok((file.obs.clone(), file.var.clone())),
        }
    }

    /// Keys of all matrices of cells x genes in the file: `X`, `layers/<name>`, `raw/X`.
    pub(crate) fn matrices(&self) -> Result<Vec<String>> {
        match &self.kind {
            Kind::H5ad(file) => file.matrices(),
            Kind::Zarr(file) => file.matrices(),
            Kind::Tenx(_) => Ok(vec!["X".into()]),
        }
    }

    /// Names of its genes: of `raw/var` for `raw/X`, else of `var`.
    ///
    /// # Errors
    /// [`Error::Format`] when they are damaged or absent.
    pub fn genes(&self, ctx: &Ctx) -> Result<Vec<String>> {
        let table = if self.key == "raw/X" { "raw/var" } else { "var" };
        match &self.kind {
            Kind::H5ad(file) => file.index(table, ctx),
            Kind::Zarr(file) => file.index(table, ctx),
            Kind::Tenx(file) => Ok(file.var.index.clone()),
        }
    }

    /// Names of its cells.
    ///
    /// # Errors
    /// [`Error::Format`] when they are damaged or absent.
    pub fn cells(&self, ctx: &Ctx) -> Result<Vec<String>> {
        match &self.kind {
            Kind::H5ad(file) => file.index("obs", ctx),
            Kind::Zarr(file) => file.index("obs", ctx),
            Kind::Tenx(file) => Ok(file.obs.index.clone()),
        }
    }

    /// The matrix and the names of its genes, to be joined with those of other files.
    ///
    /// # Errors
    /// As [`MatrixFile::rows`]; [`Error::Format`] where there are not as many names as columns.
    pub fn part(&self, turning: &Turning, ctx: &Ctx) -> Result<ConcatPart> {
        let (rows, genes) = (self.rows(turning, ctx)?, self.genes(ctx)?);
        let columns = zensaibo_core::matrix::RowBlocks::n_cols(&rows);
        if genes.len() != columns {
            let expected = format!("{} columns, as many as gene names", genes.len());
            return Err(Error::format(&self.path, &self.key, expected, columns));
        }
        let matrix = CountsMatrix::File(Box::new(rows), vec![true; columns]);
        Ok(ConcatPart { path: self.path.clone(), matrix, genes })
    }
}
