//! The tables of several files that are taken as one: cells one after the other, genes joined by name.

use std::path::PathBuf;

use zensaibo_core::Result;
use zensaibo_io::{Column, Table, concat_tables, first_repeated, make_unique};

/// A name for each file: its own without the ending, made unique.
pub(super) fn batches_of(paths: &[PathBuf]) -> Vec<String> {
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
pub(super) fn cells_of(tables: &[Table], batches: &[String], unique: bool) -> Result<Table> {
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
        assert_eq!(zensaibo_io::joined_genes(&tables, &texts(&["g", "h"])).column("id").unwrap().labels(), ["1", "2"]);
        assert!(zensaibo_io::joined_genes(&tables, &texts(&["g", "h", "i"])).columns.is_empty());
    }
}
