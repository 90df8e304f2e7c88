//! A counts matrix with its two tables, from whatever file holds it.

use std::path::Path;

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::RowBlocks;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use crate::anndata_zarr::AnnDataZarr;
use crate::detect::{Format, detect};
use crate::h5ad::AnnDataFile;
use crate::rows::FileRows;
use crate::table::Table;
use crate::tenx::{TenxFile, TenxOptions, read_folder, read_market};

/// Cells x genes with the tables of both.
#[derive(Clone, Debug)]
pub struct Counts {
    /// The matrix.
    pub matrix: Csr,
    /// Cells, as many as rows.
    pub obs: Table,
    /// Genes, as many as columns.
    pub var: Table,
    /// What kind of file they came from.
    pub format: Format,
}

impl Counts {
    /// Keeps the genes where `mask` is true.
    pub(crate) fn keep_genes(&mut self, mask: &[bool]) {
        if mask.iter().all(|&kept| kept) {
            return;
        }
        let kept: Vec<usize> = (0..mask.len()).filter(|&gene| mask[gene]).collect();
        self.var = self.var.take(&kept);
        let mut renumbered = vec![u32::MAX; mask.len()];
        kept.iter().enumerate().for_each(|(new, &old)| renumbered[old] = new as u32);
        let matrix = &mut self.matrix;
        let (mut write, mut start) = (0usize, 0usize);
        for row in 0..matrix.n_rows {
            let end = matrix.indptr[row + 1] as usize;
            for at in start..end {
                let column = renumbered[matrix.indices[at] as usize];
                if column != u32::MAX {
                    matrix.indices[write] = column;
                    matrix.values[write] = matrix.values[at];
                    write += 1;
                }
            }
            start = end;
            matrix.indptr[row + 1] = write as u64;
        }
        matrix.indices.truncate(write);
        matrix.values.truncate(write);
        matrix.n_cols = kept.len();
    }
}

/// Counts with the tables of both sides, the matrix still in its file where that can be read by rows.
pub struct OpenCounts {
    /// The matrix.
    pub matrix: CountsMatrix,
    /// Cells, as many as rows.
    pub obs: Table,
    /// Genes, as many as columns (of those that are kept).
    pub var: Table,
    /// What kind of file they come from.
    pub format: Format,
}

/// Where counts are.
pub enum CountsMatrix {
    /// In their file: the rows (see [`FileRows::turned`] for those stored by columns), and which of its columns count.
    File(Box<FileRows>, Vec<bool>),
    /// In memory: what comes as text.
    Memory(Csr),
}

/// Opens the counts of an h5ad or of AnnData in Zarr (`X`, or `layer`), a 10x file or folder or a Matrix Market file. The matrix of an HDF5 file is
/// not read (8 bytes per row; one stored by columns is to be turned by [`FileRows::turned`] before it is); text is.
///
/// # Errors
/// As [`read_counts`]; [`Error::Parameter`] for a layer of a file without layers; [`Error::Key`] for one that is not there.
pub fn open_counts(
    path: impl AsRef<Path>,
    layer: Option<&str>,
    options: &TenxOptions,
    ctx: &Ctx,
) -> Result<OpenCounts> {
    options.validate()?;
    let path = path.as_ref();
    let format = detect(path)?;
    if let (Some(layer), false) = (layer, matches!(format, Format::H5ad | Format::AnnDataZarr)) {
        let expected = format!("unset for a file without layers ({})", format.name());
        return Err(Error::parameter("layer", expected, layer));
    }
    match format {
        Format::H5ad | Format::AnnDataZarr => {
            let slot = layer.map_or("X".to_string(), |layer| format!("layers/{layer}"));
            let (rows, obs, var) = if format == Format::H5ad {
                let file = AnnDataFile::open(path)?;
                (file.open_rows(&slot, ctx)?, file.obs(ctx)?, file.var(ctx)?)
            } else {
                let file = AnnDataZarr::open(path)?;
                (file.open_rows(&slot, ctx)?, file.obs(ctx)?, file.var(ctx)?)
            };
            check_tables(path, &slot, (rows.n_rows(), rows.n_cols()), &obs, &var)?;
            let all = vec![true; rows.n_cols()];
            Ok(OpenCounts { matrix: CountsMatrix::File(Box::new(rows), all), obs, var, format })
        }
        Format::TenxV2 | Format::TenxV3 => {
            let file = TenxFile::open(path, options)?;
            let rows = file.rows(ctx)?;
            let kept: Vec<usize> = (0..file.kept.len()).filter(|&gene| file.kept[gene]).collect();
            let var = file.var.take(&kept);
            Ok(OpenCounts { matrix: CountsMatrix::File(Box::new(rows), file.kept), obs: file.obs, var, format })
        }
        _ => {
            let Counts { matrix, obs, var, format } = read_counts(path, options, ctx)?;
            Ok(OpenCounts { matrix: CountsMatrix::Memory(matrix), obs, var, format })
        }
    }
}

/// Reads `X`, `obs` and `var` of an h5ad or of AnnData in Zarr, or a 10x file or folder, or a Matrix Market file, by content.
///
/// Values become f32. Memory: 8 bytes per stored value. The result does not depend on the number of threads.
/// `options` matter for 10x data only.
///
/// # Errors
/// [`Error::Io`] when it cannot be opened, [`Error::Format`] when it is none of these or damaged,
/// [`Error::Parameter`] when the genome must be chosen.
pub fn read_counts(path: impl AsRef<Path>, options: &TenxOptions, ctx: &Ctx) -> Result<Counts> {
    options.validate()?;
    let path = path.as_ref();
    let format = detect(path)?;
    match format {
        Format::H5ad | Format::AnnDataZarr => {
            let (matrix, obs, var) = if format == Format::H5ad {
                let file = AnnDataFile::open(path)?;
                (file.csr("X", ctx)?, file.obs(ctx)?, file.var(ctx)?)
            } else {
                let file = AnnDataZarr::open(path)?;
                (file.matrix("X")?.read(ctx)?, file.obs(ctx)?, file.var(ctx)?)
            };
            check_tables(path, "X", (matrix.n_rows, matrix.n_cols), &obs, &var)?;
            Ok(Counts { matrix, obs, var, format })
        }
        Format::TenxV2 | Format::TenxV3 => TenxFile::open(path, options)?.read(ctx),
        Format::TenxFolderV2 | Format::TenxFolderV3 => read_folder(path, options, ctx),
        Format::MatrixMarket => {
            let matrix = read_market(path, false, ctx)?;
            let name = |n: usize| Table::of_names((0..n).map(|i| i.to_string()).collect());
            Ok(Counts { obs: name(matrix.n_rows), var: name(matrix.n_cols), matrix, format })
        }
    }
}

/// Refuses a matrix of another shape than its tables.
fn check_tables(path: &Path, key: &str, shape: (usize, usize), obs: &Table, var: &Table) -> Result<()> {
    if (obs.len(), var.len()) == shape {
        return Ok(());
    }
    let expected = format!("{} x {} entries, as obs and var say", obs.len(), var.len());
    Err(Error::format(path, key, expected, format!("{} x {}", shape.0, shape.1)))
}
