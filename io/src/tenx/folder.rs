//! 10x folders: matrix, features and barcodes as text.

use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, Error, Result};

use super::market::read_market;
use super::{TenxOptions, VarNames};
use crate::counts::Counts;
use crate::detect::Format;
use crate::table::{Column, Table, make_unique};

/// The three files of a folder.
pub(crate) struct FolderFiles {
    pub(crate) matrix: PathBuf,
    pub(crate) features: PathBuf,
    pub(crate) barcodes: PathBuf,
    /// Version 2: `genes.tsv`.
    pub(crate) legacy: bool,
}

/// Finds the files of a folder, compressed or not.
pub(crate) fn folder_files(folder: &Path, prefix: &str) -> Result<FolderFiles> {
    let find = |name: &str| {
        let plain = folder.join(format!("{prefix}{name}"));
        let packed = folder.join(format!("{prefix}{name}.gz"));
        if plain.is_file() { Some(plain) } else { packed.is_file().then_some(packed) }
    };
    let need = |name: &str, expected: &str| {
        find(name).ok_or_else(|| {
            let mut present: Vec<String> = fs::read_dir(folder)
                .map(|entries| {
                    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
                })
                .unwrap_or_default();
            present.sort();
            Error::format(folder, format!("{prefix}{name}"), expected, format!("only {}", crate::h5::listed(&present)))
        })
    };
    fs::read_dir(folder).map_err(|error| Error::io(folder, "read", error))?;
    let matrix = need("matrix.mtx", "matrix.mtx or matrix.mtx.gz in a 10x folder")?;
    let barcodes = need("barcodes.tsv", "barcodes.tsv or barcodes.tsv.gz beside the matrix")?;
    let (features, legacy) = match find("genes.tsv") {
        Some(genes) if genes.extension().is_none_or(|end| end != "gz") || find("features.tsv").is_none() => {
            (genes, true)
        }
        _ => (need("features.tsv", "features.tsv, features.tsv.gz or genes.tsv beside the matrix")?, false),
    };
    Ok(FolderFiles { matrix, features, barcodes, legacy })
}

/// The bytes of a file, unpacked where they are gzip (of one or more members).
pub(crate) fn decompressed(file: fs::File) -> std::io::Result<Box<dyn Read + Send>> {
    let mut start = [0u8; 2];
    let packed = std::os::unix::fs::FileExt::read_exact_at(&file, &mut start, 0).is_ok() && start == [0x1f, 0x8b];
    Ok(if packed {
        Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file)))
    } else {
        Box::new(file)
    })
}

/// Rows of a tab-separated file of at least `columns` columns.
fn read_table(path: &Path, columns: usize) -> Result<Vec<Vec<String>>> {
    let io = |error| Error::io(path, "read", error);
    let mut text = Vec::new();
    decompressed(fs::File::open(path).map_err(io)?)
        .map_err(io)?
        .read_to_end(&mut text)
        .map_err(|error| damaged(path, error))?;
    let text = String::from_utf8(text).map_err(|_| Error::format(path, "file", "UTF-8 text", "other bytes"))?;
    let mut out = vec![Vec::new(); columns];
    for (number, line) in text.lines().enumerate() {
        let mut fields = line.split('\t');
        for (column, values) in out.iter_mut().enumerate() {
            let field = fields.next().ok_or_else(|| {
                let expected = format!("{columns} columns separated by tabs");
                Error::format(path, format!("line {}", number + 1), expected, format!("{column} columns"))
            })?;
            values.push(field.trim_matches('"').to_string());
        }
    }
    Ok(out)
}

/// An unpacking error as a fault of the file.
pub(super) fn damaged(path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => Error::format(path, "file", "whole gzip data", error),
        _ => Error::io(path, "read", error),
    }
}

/// Reads a 10x folder of version 2 or 3, gzip or not.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] when a file is missing or damaged or the lengths disagree.
pub fn read_folder(folder: impl AsRef<Path>, options: &TenxOptions, ctx: &Ctx) -> Result<Counts> {
    options.validate()?;
    let files = folder_files(folder.as_ref(), &options.prefix)?;
    if options.genome.is_some() {
        return Err(Error::parameter(
            "genome",
            "none (a folder names no genomes)",
            options.genome.as_deref().unwrap_or(""),
        ));
    }
    let mut features = read_table(&files.features, if files.legacy { 2 } else { 3 })?;
    let types = if files.legacy { None } else { features.pop() };
    let symbols = features.pop().unwrap_or_default();
    let ids = features.pop().unwrap_or_default();
    let barcodes = read_table(&files.barcodes, 1)?.pop().unwrap_or_default();
    let matrix = read_market(&files.matrix, true, ctx)?;
    if (matrix.n_rows, matrix.n_cols) != (barcodes.len(), ids.len()) {
        let expected = format!("{} features x {} barcodes, as the names beside it say", ids.len(), barcodes.len());
        return Err(Error::format(&files.matrix, "size", expected, format!("{} x {}", matrix.n_cols, matrix.n_rows)));
    }
    let (mut index, name, other) = match options.var_names {
        VarNames::GeneSymbols => (symbols, "gene_ids", ids),
        VarNames::GeneIds => (ids, "gene_symbols", symbols),
    };
    if options.make_unique && options.var_names == VarNames::GeneSymbols {
        make_unique(&mut index);
    }
    let mut var = Table::of_names(index);
    var.set(name, Column::Strings(other))?;
    let kept: Option<Vec<bool>> = types
        .as_ref()
        .filter(|_| options.gex_only)
        .map(|types| types.iter().map(|found| found == "Gene Expression").collect());
    if let Some(types) = types {
        var.set("feature_types", Column::Strings(types))?;
    }
    let format = if files.legacy { Format::TenxFolderV2 } else { Format::TenxFolderV3 };
    let mut counts = Counts { matrix, obs: Table::of_names(barcodes), var, format };
    if let Some(kept) = kept {
        counts.keep_genes(&kept);
    }
    Ok(counts)
}
