//! Several files as the counts of one run: cells one after the other, genes joined by name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use zensaibo_core::matrix::RowBlocks;
use zensaibo_core::{Ctx, Error, Result};
use zensaibo_io::{
    Column, ConcatPart, ConcatRows, CountsMatrix, Join, MatrixLayout, OpenCounts, Table, concat_tables, first_repeated,
    make_unique, open_counts, same_columns,
};

use super::input::of_section;
use super::{About, ClusterConfig, Input, Origin, hash};

/// Opens the counts of several files for [`cluster_counts`](super::cluster_counts). Counts stay in their files and are read in
/// blocks wherever a stage looks at them.
///
/// Cells get the column `batch`, the name of their file without its ending. Where names of cells repeat over the files (and
/// `input.make_names_unique` holds), `-` and that name are appended to all of them. Columns of cells that all files have stay, and
/// columns of genes that say the same in all files. `limited`: whether memory is; counts that can only be held whole are refused
/// then.
///
/// # Errors
/// What opening returns; [`Error::Data`] where no gene is in all files, or names of genes repeat in a file and must not;
/// [`Error::Parameter`] for fewer than two files.
pub fn open_several(
    paths: &[PathBuf],
    join: Join,
    config: &ClusterConfig,
    limited: bool,
    ctx: &Ctx,
) -> Result<Input<'static>> {
    if paths.len() < 2 {
        return Err(Error::parameter("input", "at least two files", paths.len()));
    }
    // Opened before anything is hashed: what cannot be read is said at once.
    let layer = config.input.layer.as_deref();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let opened = open_counts(path, layer, &config.tenx, ctx).map_err(of_section)?;
        if limited {
            check_rows(path, &opened.matrix)?;
        }
        files.push(opened);
    }
    let differ = files.iter().any(|file| file.var.index != files[0].var.index);
    if differ && config.input.make_names_unique {
        files.iter_mut().for_each(|file| {
            make_unique(&mut file.var.index);
        });
    }
    let batches = batches_of(paths);
    let formats = formats_of(&files);
    let (mut parts, mut obs, mut var) = (Vec::new(), Vec::new(), Vec::new());
    for (path, OpenCounts { matrix, obs: cells, var: genes, .. }) in paths.iter().zip(files) {
        parts.push(ConcatPart { path: path.clone(), matrix, genes: genes.index.clone() });
        obs.push(cells);
        var.push(genes);
    }
    let matrix = ConcatRows::new(parts, join, ctx)?;
    let obs = cells_of(&obs, &batches, config.input.make_names_unique)?;
    let var = genes_of(&var, matrix.genes());
    let (bytes, sha256) = hash::digest_of_all(paths, &|| ctx.check())?;
    let name = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let origin = Origin { name, format: format!("{} files ({formats})", paths.len()), bytes, sha256 };
    Ok(Input { matrix: Box::new(matrix) as Box<dyn RowBlocks + Send>, about: About { obs, var, origin } })
}

/// Refuses what can only be held whole.
fn check_rows(path: &Path, matrix: &CountsMatrix) -> Result<()> {
    let how = match matrix {
        CountsMatrix::File(rows, _) if rows.layout() != MatrixLayout::Csc => return Ok(()),
        CountsMatrix::File(..) => "stored by columns",
        CountsMatrix::Memory(_) => "text",
    };
    let expected = "counts that are read by rows, for a limit of memory (`zensaibo convert` makes an h5ad of them)";
    Err(Error::format(path, "counts", expected, how))
}

/// The kinds of the files, each once.
fn formats_of(files: &[OpenCounts]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for file in files {
        if !names.contains(&file.format.name()) {
            names.push(file.format.name());
        }
    }
    names.join(", ")
}

/// A name for each file: its own without the ending, made unique.
fn batches_of(paths: &[PathBuf]) -> Vec<String> {
    let stem = |path: &PathBuf| {
        let whole = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = whole.unwrap_or_else(|| path.display().to_string());
        [".h5ad", ".h5", ".zarr", ".mtx.gz", ".mtx"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(&name)
            .to_string()
    };
    let mut names: Vec<String> = paths.iter().map(stem).collect();
    make_unique(&mut names);
    names
}

/// The cells of all files, with the name of their file.
fn cells_of(tables: &[Table], batches: &[String], unique: bool) -> Result<Table> {
    let mut obs = concat_tables(tables);
    let codes: Vec<i32> = tables.iter().zip(0..).flat_map(|(table, code)| vec![code; table.len()]).collect();
    if unique && first_repeated(&obs.index).is_some() {
        for (name, &code) in obs.index.iter_mut().zip(&codes) {
            name.push('-');
            name.push_str(&batches[code as usize]);
        }
    }
    let categories = Box::new(Column::Strings(batches.to_vec()));
    obs.set("batch", Column::Categories { codes, categories, ordered: false })?;
    Ok(obs)
}

/// The joined genes, with the columns that say the same in all files.
fn genes_of(tables: &[Table], names: &[String]) -> Table {
    let mut var = Table::of_names(names.to_vec());
    let places: Option<Vec<Vec<usize>>> = tables
        .iter()
        .map(|table| {
            if table.index == names {
                return Some((0..names.len()).collect());
            }
            let place: HashMap<&str, usize> = table.index.iter().map(String::as_str).zip(0..).collect();
            names.iter().map(|name| place.get(name.as_str()).copied()).collect()
        })
        .collect();
    // Genes that a file does not have say nothing there.
    if let Some(places) = places {
        var.columns = same_columns(tables, &places);
    }
    var
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_have_different_names() {
        let paths = ["a/one.h5ad", "b/one.h5ad", "two.zarr", "folder", "matrix.mtx.gz"].map(PathBuf::from);
        assert_eq!(batches_of(&paths), ["one", "one-1", "two", "folder", "matrix"]);
    }

    #[test]
    fn cells_and_genes_of_two_files() {
        let mut one = Table::of_names(texts(&["x", "y"]));
        one.set("depth", Column::Numbers(vec![1.0f64, 2.0].into())).unwrap();
        let mut other = Table::of_names(texts(&["x"]));
        other.set("depth", Column::Numbers(vec![3.0f64].into())).unwrap();
        let batches = texts(&["a", "b"]);
        let obs = cells_of(&[one.clone(), other], &batches, true).unwrap();
        assert_eq!(obs.index, ["x-a", "y-a", "x-b"]);
        assert_eq!(obs.column("batch").unwrap().labels(), ["a", "a", "b"]);
        assert_eq!(obs.column("depth"), Some(&Column::Numbers(vec![1.0f64, 2.0, 3.0].into())));
        let apart = cells_of(&[one, Table::of_names(texts(&["z"]))], &batches, true).unwrap();
        assert_eq!(apart.index, ["x", "y", "z"]);
        let genes = |names: &[&str], ids: &[&str]| {
            let mut table = Table::of_names(texts(names));
            table.set("id", Column::Strings(texts(ids))).unwrap();
            table
        };
        let tables = [genes(&["g", "h"], &["1", "2"]), genes(&["h", "i", "g"], &["2", "3", "1"])];
        assert_eq!(genes_of(&tables, &texts(&["g", "h"])).column("id").unwrap().labels(), ["1", "2"]);
        assert!(genes_of(&tables, &texts(&["g", "h", "i"])).columns.is_empty());
    }
}
