//! AnnData in Zarr, written by hand byte for byte: matrices by blocks, tables, faults.

mod common;

use std::fs;

use common::zarr_store::*;
use zensaibo_core::matrix::{RowBlocks, collect};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::{Ctx, Error};
use zensaibo_io::{AnnDataZarr, Column, Format, MatrixFile, TenxOptions, detect, inspect, open_counts, read_counts};

#[test]
fn blocks_and_tables_are_those_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zarr");
    let matrix = example(70_000, 60);
    store(&path, &matrix);
    let ctx = Ctx::quiet();
    assert_eq!(detect(&path).unwrap(), Format::AnnDataZarr);
    let file = AnnDataZarr::open(&path).unwrap();
    let rows = file.rows("X", &ctx).unwrap();
    assert!(matrix.n_blocks() > 1 && rows.n_blocks() == matrix.n_blocks());
    assert!((0..rows.n_blocks()).all(|block| rows.block_rows(block) == matrix.block_rows(block)));
    for threads in [1, 3] {
        assert_eq!(with_threads(Some(threads), || collect(&rows, &ctx)).unwrap(), matrix);
    }
    let obs = file.obs(&ctx).unwrap();
    assert_eq!((obs.len(), obs.index[7].as_str()), (70_000, "célula 7"));
    assert_eq!(obs.column("type").unwrap().take(&[0, 1, 2]).labels(), ["nan", "a", "b"]);
    assert!(matches!(obs.column("type"), Some(Column::Categories { ordered: true, .. })));
    assert_eq!(obs.column("depth").unwrap().take(&[3]).labels(), ["1.5"]);
    let counts = read_counts(&path, &TenxOptions::default(), &ctx).unwrap();
    assert_eq!((counts.matrix, counts.var.len()), (matrix, 60));
    let found = inspect(&path).unwrap();
    assert_eq!((found.n_cells, found.n_genes, found.slots.len()), (70_000, 60, 1));
    assert_eq!(MatrixFile::open(&path, "X").unwrap().genes(&ctx).unwrap()[3], "g3");
    assert!(open_counts(&path, None, &TenxOptions::default(), &ctx).is_ok());
}

#[test]
fn faults_name_folder_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zarr");
    let matrix = example(20_000, 40);
    let ctx = Ctx::quiet();
    let read =
        || -> zensaibo_core::Result<()> { collect(&AnnDataZarr::open(&path)?.rows("X", &ctx)?, &ctx).map(|_| ()) };
    let refused = |says: &[&str]| {
        let error = read().unwrap_err().to_string();
        assert!(error.contains("x.zarr") && says.iter().all(|part| error.contains(part)), "{error}");
    };
    store(&path, &matrix);
    read().unwrap();
    // A chunk cut short; a chunk of values that is not there; pointers that are not there.
    let chunk = fs::read(path.join("X/data/3")).unwrap();
    fs::write(path.join("X/data/3"), &chunk[..1000]).unwrap();
    refused(&["X/data: chunk [3]"]);
    fs::remove_file(path.join("X/data/3")).unwrap();
    refused(&["X/data: chunk [3]", "an incomplete copy?"]);
    fs::write(path.join("X/data/3"), &chunk).unwrap();
    fs::remove_file(path.join("X/indptr/0")).unwrap();
    refused(&["X/indptr"]);
    store(&path, &matrix);
    // Columns out of range, metadata that are none, parts that do not belong together.
    let mut wrong = fs::read(path.join("X/indices/0")).unwrap();
    wrong[..4].copy_from_slice(&40i32.to_le_bytes());
    fs::write(path.join("X/indices/0"), wrong).unwrap();
    refused(&["X/indices", "0..40"]);
    store(&path, &matrix);
    fs::write(path.join("X/data/.zarray"), "{").unwrap();
    refused(&[".zarray", "JSON"]);
    store(&path, &matrix);
    fs::write(path.join("X/.zattrs"), r#"{"encoding-type": "csr_matrix", "shape": [20000]}"#).unwrap();
    refused(&["X", "two numbers"]);
    store(&path, &matrix);
    fs::remove_dir_all(path.join("X/indices")).unwrap();
    refused(&["X/indices", "nothing"]);
    let error = AnnDataZarr::open(&path).unwrap().rows("layers/counts", &ctx).err().unwrap();
    assert!(matches!(&error, Error::Key { container, .. } if container.contains("x.zarr")), "{error}");
    assert!(AnnDataZarr::open(&path).unwrap().rows("../x.zarr/X", &ctx).is_err());
    assert!(matches!(AnnDataZarr::open(folder.path().join("none")), Err(Error::Io { .. })));
    assert!(matches!(AnnDataZarr::open(folder.path()), Err(Error::Format { .. })));
}
