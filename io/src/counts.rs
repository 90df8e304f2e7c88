//! A counts matrix with its two tables, from whatever file holds it.

use std::path::Path;

use zensaibo_core::data::Csr;
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use crate::detect::{Format, detect};
use crate::h5ad::AnnDataFile;
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

/// Reads `X`, `obs` and `var` of an h5ad, or a 10x file or folder, or a Matrix Market file, by content.
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
        Format::H5ad => {
            let file = AnnDataFile::open(path)?;
            let (matrix, obs, var) = (file.csr("X", ctx)?, file.obs(ctx)?, file.var(ctx)?);
            if (obs.len(), var.len()) != (matrix.n_rows, matrix.n_cols) {
                let expected = format!("{} x {} entries, as obs and var say", obs.len(), var.len());
                return Err(Error::format(path, "X", expected, format!("{} x {}", matrix.n_rows, matrix.n_cols)));
            }
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
