//! Matrices stored by columns: the blocks and bits of the same matrix stored by rows, whatever turning them may take.

use std::path::{Path, PathBuf};

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{RowBlocks, Scratch, collect};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::progress::CancelToken;
use zensaibo_core::{Ctx, Error};
use zensaibo_io::{
    AnnDataFile, AnnDataWriter, ConcatPart, ConcatRows, Join, MatrixFile, MatrixLayout, SparseArray, Table,
    TenxOptions, Turning, Value, WriteOptions, open_counts,
};

/// Rows of very different lengths, some empty; one column that nothing is in.
fn example(n: usize, m: usize) -> Csr {
    let mut matrix = Csr { n_rows: n, n_cols: m, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    for i in 0..n {
        for j in (0..m).filter(|j| j % 7 != 3 && i % 13 > 0) {
            if (i * 31 + j * 17 + i * j) % 11 > i % 5 {
                matrix.indices.push(j as u32);
                matrix.values.push(((i + j * 3) % 300) as f32);
            }
        }
        matrix.indptr.push(matrix.indices.len() as u64);
    }
    matrix
}

fn write(path: &Path, columns: &Csr) {
    let (cells, genes) = (columns.n_cols, columns.n_rows);
    let value = Value::Sparse(SparseArray {
        layout: MatrixLayout::Csc,
        n_rows: cells,
        n_cols: genes,
        indptr: columns.indptr.iter().map(|&at| at as i64).collect::<Vec<_>>().into(),
        indices: columns.indices.iter().map(|&row| row as i32).collect::<Vec<_>>().into(),
        values: columns.values.clone().into(),
    });
    let mut writer = AnnDataWriter::create(path, &WriteOptions { gzip: Some(1) }).unwrap();
    writer.value("X", &value).unwrap();
    writer.obs(&Table::of_names((0..cells).map(|i| format!("c{i}")).collect())).unwrap();
    writer.var(&Table::of_names((0..genes).map(|j| format!("g{j}")).collect())).unwrap();
    writer.finish().unwrap();
}

fn bits(matrix: &Csr) -> (Vec<u64>, Vec<u32>, Vec<u32>) {
    let values = matrix.values.iter().map(|value| value.to_bits()).collect();
    (matrix.indptr.clone(), matrix.indices.clone(), values)
}

fn blocks(source: &dyn RowBlocks) -> Vec<std::ops::Range<usize>> {
    (0..source.n_blocks()).map(|block| source.block_rows(block)).collect()
}

fn turning(working: u64, held: u64, scratch: &Path) -> Turning {
    Turning { working, held, scratch: scratch.to_path_buf() }
}

#[test]
fn any_memory_and_threads_give_the_rows_of_the_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("columns.h5ad");
    let scratch = folder.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    // Three turns of 2^18 values, and several blocks of rows.
    let matrix = example(100_000, 50);
    assert!(matrix.nnz() > 2 << 20 && matrix.n_blocks() > 2, "{} {}", matrix.nnz(), matrix.n_blocks());
    write(&path, &matrix.transpose());
    for (working, held) in [(0, 0), (0, u64::MAX), (8 << 20, 1 << 20), (u64::MAX, 0)] {
        for threads in [1, 3] {
            let rows = with_threads(Some(threads), || {
                MatrixFile::open(&path, "X")?.rows(&turning(working, held, &scratch), &Ctx::quiet())
            })
            .unwrap();
            assert_eq!((rows.n_entries(), blocks(&rows)), (matrix.nnz(), blocks(&matrix)));
            let found = with_threads(Some(threads), || collect(&rows, &Ctx::quiet())).unwrap();
            assert_eq!(bits(&found), bits(&matrix), "{working} {held} {threads}");
            // The file has no name.
            assert_eq!(std::fs::read_dir(&scratch).unwrap().count(), 0);
        }
    }
    // Beside another file, blocks begin and end anywhere.
    let other = example(33_333, 50);
    let second = folder.path().join("other.h5ad");
    write(&second, &other.transpose());
    let part = |path: &PathBuf| MatrixFile::open(path, "X")?.part(&turning(0, 0, &scratch), &Ctx::quiet());
    let joined =
        ConcatRows::new(vec![part(&second).unwrap(), part(&path).unwrap()], Join::Inner, &Ctx::quiet()).unwrap();
    let mut both = other;
    let base = both.nnz() as u64;
    both.indptr.extend(matrix.indptr[1..].iter().map(|&end| base + end));
    both.indices.extend(&matrix.indices);
    both.values.extend(&matrix.values);
    both.n_rows += matrix.n_rows;
    assert_eq!(blocks(&joined), blocks(&both));
    assert_eq!(bits(&collect(&joined, &Ctx::quiet()).unwrap()), bits(&both));
}

#[test]
fn some_rows_are_turned_where_others_are_not_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("columns.h5ad");
    let matrix = example(50_000, 60);
    write(&path, &matrix.transpose());
    let open = || {
        let opened = open_counts(&path, None, &TenxOptions::default(), &Ctx::quiet()).unwrap();
        let part = ConcatPart { path: path.clone(), matrix: opened.matrix, genes: opened.var.index };
        ConcatRows::new(vec![part], Join::Inner, &Ctx::quiet()).unwrap()
    };
    let unturned = open();
    assert_eq!((unturned.by_columns(), unturned.entries_of_parts()), (1, vec![matrix.nnz()]));
    let error = unturned.read(0, &mut Scratch::default()).err().unwrap();
    assert!(matches!(error, Error::Internal(_)), "{error}");
    let wanted = matrix.block_rows(1);
    let some = open().turned(&turning(0, 0, folder.path()), Some(wanted), &Ctx::quiet()).unwrap();
    assert_eq!(blocks(&some), blocks(&matrix));
    let (mut own, mut whole) = (Scratch::default(), Scratch::default());
    let (found, expected) = (some.read(1, &mut own).unwrap(), matrix.read(1, &mut whole).unwrap());
    assert_eq!((found.indptr, found.indices, found.values), (expected.indptr, expected.indices, expected.values));
    assert!(some.read(0, &mut Scratch::default()).is_err());
}

#[test]
fn repeated_entries_are_added_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("columns.h5ad");
    // Every value of every third column in two parts.
    let matrix = example(40_000, 60);
    let columns = matrix.transpose();
    let mut doubled = Csr { indptr: vec![0], indices: Vec::new(), values: Vec::new(), ..columns };
    for column in 0..columns.n_rows {
        let (rows, values) = columns.row(column);
        for (&row, &value) in rows.iter().zip(values) {
            doubled.indices.push(row);
            if column % 3 == 0 {
                doubled.values.push((value / 2.0).floor());
                doubled.indices.push(row);
                doubled.values.push(value - (value / 2.0).floor());
            } else {
                doubled.values.push(value);
            }
        }
        doubled.indptr.push(doubled.indices.len() as u64);
    }
    write(&path, &doubled);
    let rows = MatrixFile::open(&path, "X").unwrap().rows(&turning(0, 0, folder.path()), &Ctx::quiet()).unwrap();
    assert_eq!((rows.n_entries(), blocks(&rows)), (matrix.nnz(), blocks(&matrix)));
    assert_eq!(bits(&collect(&rows, &Ctx::quiet()).unwrap()), bits(&matrix));
    assert_eq!(bits(&AnnDataFile::open(&path).unwrap().csr("X", &Ctx::quiet()).unwrap()), bits(&matrix));
    let opened = open_counts(&path, None, &TenxOptions::default(), &Ctx::quiet()).unwrap();
    let part = ConcatPart { path: path.clone(), matrix: opened.matrix, genes: opened.var.index };
    let some = ConcatRows::new(vec![part], Join::Inner, &Ctx::quiet()).unwrap();
    let error = some.turned(&Turning::default(), Some(0..100), &Ctx::quiet()).err().unwrap().to_string();
    assert!(error.contains("columns.h5ad") && error.contains("repeated rows"), "{error}");
}

#[test]
fn what_goes_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("columns.h5ad");
    let mut columns = example(3_000, 30).transpose();
    write(&path, &columns);
    let open = |turning: &Turning, ctx: &Ctx| MatrixFile::open(&path, "X").unwrap().rows(turning, ctx).err().unwrap();
    let gone = turning(0, 0, Path::new("/no/such/folder"));
    assert!(open(&gone, &Ctx::quiet()).to_string().contains("/no/such/folder"));
    let cancel = CancelToken::default();
    cancel.cancel();
    let ctx = Ctx::new(cancel, std::sync::Arc::new(Silent));
    assert!(matches!(open(&Turning::default(), &ctx), Error::Interrupted));
    columns.indices[5] = 3_000;
    write(&path, &columns);
    assert!(open(&Turning::default(), &Ctx::quiet()).to_string().contains("3000 at position 5"));
}

struct Silent;

impl zensaibo_core::progress::Progress for Silent {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
}
