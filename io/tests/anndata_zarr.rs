//! AnnData in Zarr, written by hand byte for byte: matrices by blocks, tables, faults.

use std::fs;
use std::path::Path;

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{RowBlocks, collect};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::{Ctx, Error};
use zensaibo_io::{AnnDataZarr, Column, Format, MatrixFile, TenxOptions, detect, inspect, open_counts, read_counts};

fn group(path: &Path, attributes: &str) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join(".zgroup"), r#"{"zarr_format": 2}"#).unwrap();
    fs::write(path.join(".zattrs"), attributes).unwrap();
}

/// An array of version 2, not compressed: chunk by chunk, each padded to its full size.
fn array<const N: usize>(path: &Path, dtype: &str, values: &[[u8; N]], chunk: usize) {
    fs::create_dir_all(path).unwrap();
    let document = format!(
        r#"{{"zarr_format": 2, "shape": [{}], "chunks": [{chunk}], "dtype": "{dtype}", "compressor": null,
            "fill_value": 0, "order": "C", "filters": null}}"#,
        values.len()
    );
    fs::write(path.join(".zarray"), document).unwrap();
    for (at, part) in values.chunks(chunk).enumerate() {
        let mut bytes = part.concat();
        bytes.resize(chunk * N, 0);
        fs::write(path.join(at.to_string()), bytes).unwrap();
    }
}

/// Strings of version 2: how many, then length and bytes of each.
fn texts(path: &Path, values: &[String]) {
    fs::create_dir_all(path).unwrap();
    let document = format!(
        r#"{{"zarr_format": 2, "shape": [{0}], "chunks": [{0}], "dtype": "|O", "compressor": null, "fill_value": 0,
            "order": "C", "filters": [{{"id": "vlen-utf8"}}]}}"#,
        values.len()
    );
    fs::write(path.join(".zarray"), document).unwrap();
    let mut bytes = (values.len() as u32).to_le_bytes().to_vec();
    for text in values {
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    fs::write(path.join("0"), bytes).unwrap();
}

fn example(n: usize, m: usize) -> Csr {
    let mut matrix = Csr { n_rows: n, n_cols: m, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    for i in 0..n {
        for j in (0..m).filter(|j| (i * 31 + j * 17 + i * j) % 7 > 3) {
            matrix.indices.push(j as u32);
            matrix.values.push(1.0 + ((i + j) % 5) as f32);
        }
        matrix.indptr.push(matrix.indices.len() as u64);
    }
    matrix
}

fn store(path: &Path, matrix: &Csr) {
    group(path, r#"{"encoding-type": "anndata", "encoding-version": "0.1.0"}"#);
    let frame = |columns: &str| {
        format!(
            r#"{{"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index", "column-order": [{columns}]}}"#
        )
    };
    group(&path.join("obs"), &frame(r#""type", "depth""#));
    texts(&path.join("obs/_index"), &(0..matrix.n_rows).map(|i| format!("célula {i}")).collect::<Vec<_>>());
    group(&path.join("obs/type"), r#"{"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": true}"#);
    texts(&path.join("obs/type/categories"), &["a".to_string(), "b".to_string()]);
    let codes: Vec<[u8; 1]> = (0..matrix.n_rows).map(|i| [[255, 0, 1][i % 3]]).collect();
    array(&path.join("obs/type/codes"), "|i1", &codes, 1000);
    let depth: Vec<[u8; 8]> = (0..matrix.n_rows).map(|i| (i as f64 / 2.0).to_be_bytes()).collect();
    // The other byte order.
    array(&path.join("obs/depth"), ">f8", &depth, 777);
    group(&path.join("var"), &frame(""));
    texts(&path.join("var/_index"), &(0..matrix.n_cols).map(|i| format!("g{i}")).collect::<Vec<_>>());
    let shape = format!(
        r#"{{"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [{}, {}]}}"#,
        matrix.n_rows, matrix.n_cols
    );
    group(&path.join("X"), &shape);
    let values: Vec<[u8; 4]> = matrix.values.iter().map(|x| x.to_le_bytes()).collect();
    let columns: Vec<[u8; 4]> = matrix.indices.iter().map(|&x| (x as i32).to_le_bytes()).collect();
    let ends: Vec<[u8; 8]> = matrix.indptr.iter().map(|&x| (x as i64).to_le_bytes()).collect();
    array(&path.join("X/data"), "<f4", &values, 30_011);
    array(&path.join("X/indices"), "<i4", &columns, 50_000);
    array(&path.join("X/indptr"), "<i8", &ends, 1 << 20);
    group(&path.join("layers"), r#"{"encoding-type": "dict", "encoding-version": "0.1.0"}"#);
}

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
