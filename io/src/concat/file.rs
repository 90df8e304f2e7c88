//! Several files written as one, matrices block by block.

use std::path::{Path, PathBuf};

use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::genes::{DROPPED, Join, join_genes};
use super::tables::{concat_tables, concat_values, same_columns};
use crate::h5ad::{AnnDataWriter, Stack, StackLayout, StackPart, WriteOptions};
use crate::matrix_file::MatrixFile;
use crate::rows::MatrixLayout;
use crate::table::{Column, Table, first_repeated};
use crate::value::Value;
use crate::values::{Dtype, Values};

/// How files are joined.
#[derive(Clone, Debug)]
pub struct ConcatOptions {
    /// Genes of the joined file.
    pub join: Join,
    /// Column of cells that says from which file a cell comes; none for no such column.
    pub label: Option<String>,
    /// Names of the files in that column; "0", "1", ... where there are none.
    pub keys: Option<Vec<String>>,
    /// Where given, cells are named `<name><index_unique><key>`.
    pub index_unique: Option<String>,
    /// How to write.
    pub write: WriteOptions,
}

impl Default for ConcatOptions {
    fn default() -> Self {
        let write = WriteOptions::default();
        Self { join: Join::Inner, label: Some("batch".into()), keys: None, index_unique: None, write }
    }
}

/// A file of which the tables are held and the matrices are not.
struct Opened {
    path: PathBuf,
    obs: Table,
    var: Table,
    /// `X` and `layers/<name>`.
    matrices: Vec<String>,
    /// Dense arrays of `obsm` that have two dimensions: name, width, values.
    arrays: Vec<(String, usize, Values)>,
}

impl Opened {
    fn open(path: &Path, ctx: &Ctx) -> Result<Self> {
        let any = MatrixFile::open(path, "X")?;
        let (obs, var) = any.tables(ctx)?;
        let mut matrices = any.matrices()?;
        matrices.retain(|key| key != "raw/X");
        let mut arrays = Vec::new();
        if let Some(file) = any.h5ad() {
            for name in file.names("obsm")? {
                let key = format!("obsm/{name}");
                if !file.is_readable(&key) {
                    continue;
                }
                if let Value::Array { shape, values } = file.value(&key, ctx)?
                    && let [rows, width] = shape[..]
                    && rows == obs.len()
                {
                    arrays.push((name, width, values));
                }
            }
        }
        Ok(Self { path: path.to_path_buf(), obs, var, matrices, arrays })
    }
}

/// Writes the cells of several files, one file after the other, as one h5ad without holding their matrices; returns cells and genes.
///
/// `X` and the layers that all files have go from file to file in blocks, in the type that holds all of theirs, as sparse rows
/// where one file is sparse. Columns of cells that all files have stay, columns of genes that say the same in all files, and two-
/// dimensional arrays of `obsm` that all files (then h5ad) have in the same width. `raw`, `uns`, `obsp`, `varm` and `varp` are left
/// out. What a file does not have of an outer join is 0 in sparse matrices and NaN in dense ones.
///
/// One read and one write of the matrices. Memory: the tables, 8 bytes per cell and matrix, a few megabytes per thread; a
/// matrix stored by columns takes what [`Turning`](crate::Turning) does by default, or is held where its type is wider than f32.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for a file that cannot be read, or is neither h5ad, AnnData in Zarr nor 10x HDF5;
/// [`Error::Data`] as [`join_genes`]; [`Error::Key`] where some files have X and others have none; [`Error::Parameter`];
/// [`Error::Interrupted`].
pub fn concat_files(paths: &[PathBuf], out: &Path, options: &ConcatOptions, ctx: &Ctx) -> Result<(usize, usize)> {
    let keys = keys_of(paths, options)?;
    let files = paths.iter().map(|path| Opened::open(path, ctx)).collect::<Result<Vec<_>>>()?;
    let names: Vec<_> = files.iter().map(|file| (file.path.as_path(), file.var.index.as_slice())).collect();
    let genes = join_genes(&names, options.join)?;
    let has = |file: &Opened, key: &str| file.matrices.iter().any(|own| own == key);
    if let Some(without) = files.iter().find(|file| !has(file, "X"))
        && files.iter().any(|file| has(file, "X"))
    {
        return Err(Error::key("X", without.path.display().to_string(), &without.matrices));
    }
    let common: Vec<&String> = files
        .first()
        .into_iter()
        .flat_map(|file| &file.matrices)
        .filter(|key| files.iter().all(|file| has(file, key)))
        .collect();
    let mut writer = AnnDataWriter::create(out, &options.write)?;
    for key in common {
        writer.stack(key, &stack_of(&files, key, &genes.names, &genes.columns)?, ctx)?;
    }
    let obs = obs_of(&files, &keys, options)?;
    writer.obs(&obs)?;
    writer.var(&var_of(&files, &genes.names))?;
    for (name, width, _) in files.first().into_iter().flat_map(|file| &file.arrays) {
        let found: Option<Vec<Values>> = files
            .iter()
            .map(|file| file.arrays.iter().find(|own| own.0 == *name && own.1 == *width).map(|own| own.2.clone()))
            .collect();
        if let Some(found) = found {
            writer.value(&format!("obsm/{name}"), &Value::matrix(obs.len(), *width, concat_values(found)))?;
        }
    }
    ctx.check()?;
    writer.finish()?;
    Ok((obs.len(), genes.names.len()))
}

fn keys_of(paths: &[PathBuf], options: &ConcatOptions) -> Result<Vec<String>> {
    let keys = options.keys.clone().unwrap_or_else(|| (0..paths.len()).map(|at| at.to_string()).collect());
    if paths.is_empty() {
        return Err(Error::parameter("input", "at least one file", "none"));
    }
    if keys.len() != paths.len() || first_repeated(&keys).is_some() {
        let expected = format!("{} different names, one per file", paths.len());
        return Err(Error::parameter("keys", expected, keys.join(", ")));
    }
    Ok(keys)
}

/// The parts of a matrix.
fn stack_of(files: &[Opened], key: &str, genes: &[String], columns: &[Option<Vec<u32>>]) -> Result<Stack> {
    let (mut parts, mut dtype, mut dense, mut filled) = (Vec::new(), None, true, false);
    for (file, places) in files.iter().zip(columns) {
        let source = MatrixFile::open(&file.path, key)?;
        let (shape, own, layout) = source.describe()?;
        if shape != (file.obs.len(), file.var.len()) {
            let expected = format!("{} x {} entries, as obs and var say", file.obs.len(), file.var.len());
            return Err(Error::format(&file.path, key, expected, format!("{} x {}", shape.0, shape.1)));
        }
        dtype = Some(dtype.map_or(own, |dtype| joined_type(dtype, own)));
        dense &= layout == MatrixLayout::Dense;
        let places = places.clone();
        let there = places.as_ref().map_or(shape.1, |places| places.iter().filter(|&&place| place != DROPPED).count());
        filled |= there < genes.len();
        parts.push(StackPart { source: Some(source), n_lines: shape.0, lines: None, places });
    }
    let mut dtype = dtype.unwrap_or(Dtype::F32);
    // NaN is no whole number.
    if dense && filled {
        dtype = joined_type(dtype, Dtype::F16);
    }
    let layout = if dense { StackLayout::Dense(f64::NAN) } else { StackLayout::Csr };
    Ok(Stack { layout, width: genes.len(), dtype, parts })
}

fn obs_of(files: &[Opened], keys: &[String], options: &ConcatOptions) -> Result<Table> {
    let tables: Vec<Table> = files.iter().map(|file| file.obs.clone()).collect();
    let mut obs = concat_tables(&tables);
    let codes: Vec<i32> = tables.iter().zip(0..).flat_map(|(table, code)| vec![code; table.len()]).collect();
    if let Some(between) = &options.index_unique {
        for (name, &code) in obs.index.iter_mut().zip(&codes) {
            name.push_str(between);
            name.push_str(&keys[code as usize]);
        }
    }
    if let Some(label) = &options.label {
        let categories = Box::new(Column::Strings(keys.to_vec()));
        obs.set(label, Column::Categories { codes, categories, ordered: false })?;
    }
    Ok(obs)
}

/// The joined genes, with the columns that say the same in all files.
fn var_of(files: &[Opened], names: &[String]) -> Table {
    let tables: Vec<Table> = files.iter().map(|file| file.var.clone()).collect();
    joined_genes(&tables, names)
}

/// The joined genes, with the columns that say the same in all tables; those of genes that a table does not have say nothing.
pub fn joined_genes(tables: &[Table], names: &[String]) -> Table {
    let mut var = Table::of_names(names.to_vec());
    let places: Option<Vec<Vec<usize>>> = tables
        .iter()
        .map(|table| {
            if table.index == names {
                return Some((0..names.len()).collect());
            }
            let place: std::collections::HashMap<&str, usize> =
                table.index.iter().map(String::as_str).zip(0..).collect();
            names.iter().map(|name| place.get(name.as_str()).copied()).collect()
        })
        .collect();
    if let Some(places) = places {
        var.columns = same_columns(tables, &places);
    }
    var
}

/// The type that holds the values of both, as numpy promotes them.
fn joined_type(one: Dtype, other: Dtype) -> Dtype {
    use Dtype::{Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    // Bits of whole numbers that each type holds, with and without sign.
    let kind = |dtype| match dtype {
        Bool => (false, 0, 0),
        U8 => (false, 8, 0),
        U16 => (false, 16, 0),
        U32 => (false, 32, 0),
        U64 => (false, 64, 0),
        I8 => (false, 0, 8),
        I16 => (false, 0, 16),
        I32 => (false, 0, 32),
        I64 => (false, 0, 64),
        F16 => (true, 8, 8),
        F32 => (true, 16, 16),
        F64 => (true, 64, 64),
    };
    let (a, b) = (kind(one), kind(other));
    let (unsigned, signed) = (a.1.max(b.1), a.2.max(b.2));
    if one == other {
        return one;
    }
    if a.0 || b.0 {
        let bits = unsigned.max(signed);
        return if bits <= 8 {
            F16
        } else if bits <= 16 {
            F32
        } else {
            F64
        };
    }
    match (unsigned, signed) {
        (unsigned, 0) => [U8, U16, U32, U64][match unsigned {
            0..=8 => 0,
            16 => 1,
            32 => 2,
            _ => 3,
        }],
        (unsigned, signed) => match signed.max(2 * unsigned) {
            0..=8 => I8,
            16 => I16,
            32 => I32,
            64 => I64,
            _ => F64,
        },
    }
}

/// Writes some cells and genes of an h5ad, as another, without holding its matrices; returns how many of each.
///
/// Masks say what is kept, in the order of the file; none keeps all. Every slot is cut to what is kept, `raw` keeps its genes. Matrices
/// go from file to file in blocks, in their types and layouts.
///
/// Memory: the largest other element, 8 bytes per cell and a few megabytes per thread.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] for a file that cannot be read or is no h5ad; [`Error::Data`] for masks of other lengths;
/// [`Error::Interrupted`].
pub fn subset_file(
    path: &Path,
    out: &Path,
    (cells, genes): (Option<&[bool]>, Option<&[bool]>),
    write: &WriteOptions,
    ctx: &Ctx,
) -> Result<(usize, usize)> {
    let any = MatrixFile::open(path, "X")?;
    let Some(file) = any.h5ad() else {
        let expected = "an h5ad (zensaibo.io.subset_on_disk in Python takes AnnData in Zarr, `zensaibo convert` makes one of others)";
        return Err(Error::format(path, "/", expected, "another kind of file"));
    };
    let (n_cells, n_genes) = (file.index("obs", ctx)?.len(), file.index("var", ctx)?.len());
    for (mask, n, what) in [(cells, n_cells, "cells"), (genes, n_genes, "genes")] {
        if let Some(mask) = mask.filter(|mask| mask.len() != n) {
            return Err(Error::data(DataFault::Shape, format!("mask of {what}"), n.to_string(), mask.len()));
        }
    }
    let places = |mask: &[bool]| (0..mask.len()).filter(|&at| mask[at]).collect::<Vec<usize>>();
    let (kept_cells, kept_genes) = (cells.map(places), genes.map(places));
    let matrices = any.matrices()?;
    let except: Vec<&str> = matrices.iter().map(String::as_str).collect();
    let mut writer = AnnDataWriter::create(out, write)?;
    writer.copy_subset(file, kept_cells.as_deref(), kept_genes.as_deref(), &except, ctx)?;
    for key in &matrices {
        // Genes of raw are its own.
        writer.stack(key, &subset_of(path, key, cells, if key == "raw/X" { None } else { genes })?, ctx)?;
    }
    writer.finish()?;
    Ok((kept_cells.map_or(n_cells, |kept| kept.len()), kept_genes.map_or(n_genes, |kept| kept.len())))
}

fn subset_of(path: &Path, key: &str, cells: Option<&[bool]>, genes: Option<&[bool]>) -> Result<Stack> {
    let source = MatrixFile::open(path, key)?;
    let ((rows, columns), dtype, layout) = source.describe()?;
    let (n_lines, width, lines, others) =
        if layout == MatrixLayout::Csc { (columns, rows, genes, cells) } else { (rows, columns, cells, genes) };
    let mut next = 0..;
    let new = |&kept: &bool| if kept { next.next().unwrap_or(DROPPED) } else { DROPPED };
    let places = others.map(|mask| mask.iter().map(new).collect::<Vec<u32>>());
    let width = others.map_or(width, |mask| mask.iter().filter(|&&kept| kept).count());
    let part = StackPart { source: Some(source), n_lines, lines: lines.map(<[bool]>::to_vec), places };
    let layout = match layout {
        MatrixLayout::Csr => StackLayout::Csr,
        MatrixLayout::Csc => StackLayout::Csc,
        MatrixLayout::Dense => StackLayout::Dense(0.0),
    };
    Ok(Stack { layout, width, dtype, parts: vec![part] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_promoted_as_numpy_does() {
        use Dtype::{Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        for (one, other, both) in [
            (F32, F32, F32),
            (F32, F64, F64),
            (F16, F32, F32),
            (F32, I16, F32),
            (F32, I32, F64),
            (F16, U8, F16),
            (F16, I16, F32),
            (U8, U32, U32),
            (U8, I8, I16),
            (U16, I8, I32),
            (U32, I32, I64),
            (U64, I8, F64),
            (I32, I64, I64),
            (I32, U8, I32),
            (Bool, U16, U16),
            (Bool, I8, I8),
            (Bool, F32, F32),
            (Bool, Bool, Bool),
            (I64, F16, F64),
        ] {
            assert_eq!((joined_type(one, other), joined_type(other, one)), (both, both), "{one:?} {other:?}");
        }
    }
}
