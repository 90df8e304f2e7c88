//! Several files taken as one: the blocks and bits of the joined matrix in memory, and faults by file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{RowBlocks, Scratch, collect};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::{Ctx, Error};
use zensaibo_io::{
    AnnDataWriter, ConcatPart, ConcatRows, CountsMatrix, Join, MatrixFile, MatrixLayout, SparseArray, Table, Turning,
    Value, WriteOptions,
};

/// A matrix of many short rows whose entries follow a simple rule.
fn example(n: usize, m: usize, salt: usize) -> Csr {
    let mut matrix = Csr { n_rows: n, n_cols: m, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    for i in 0..n {
        for j in 0..m {
            if (i * 31 + j * 17 + salt * i * j + salt) % 11 > 6 {
                matrix.indices.push(j as u32);
                matrix.values.push(((i + j * 3 + salt) % 9) as f32);
            }
        }
        matrix.indptr.push(matrix.indices.len() as u64);
    }
    matrix
}

#[derive(Clone, Copy)]
enum Layout {
    Csr,
    Csc,
    Dense,
}

fn write(path: &Path, matrix: &Csr, genes: &[&str], layout: Layout, options: &WriteOptions) {
    let ctx = Ctx::quiet();
    let mut writer = AnnDataWriter::create(path, options).unwrap();
    match layout {
        Layout::Csr => writer.rows("X", matrix, &ctx).unwrap(),
        Layout::Csc => {
            let turned = matrix.transpose();
            let value = Value::Sparse(SparseArray {
                layout: MatrixLayout::Csc,
                n_rows: matrix.n_rows,
                n_cols: matrix.n_cols,
                indptr: turned.indptr.iter().map(|&at| at as i64).collect::<Vec<_>>().into(),
                indices: turned.indices.iter().map(|&row| row as i32).collect::<Vec<_>>().into(),
                values: turned.values.into(),
            });
            writer.value("X", &value).unwrap();
        }
        Layout::Dense => {
            let mut dense = vec![0f32; matrix.n_rows * matrix.n_cols];
            for row in 0..matrix.n_rows {
                let (columns, values) = matrix.row(row);
                columns.iter().zip(values).for_each(|(&at, &x)| dense[row * matrix.n_cols + at as usize] = x);
            }
            writer.value("X", &Value::matrix(matrix.n_rows, matrix.n_cols, dense)).unwrap();
        }
    }
    writer.obs(&Table::of_names((0..matrix.n_rows).map(|i| format!("c{i}")).collect())).unwrap();
    writer.var(&Table::of_names(genes.iter().map(ToString::to_string).collect())).unwrap();
    writer.finish().unwrap();
}

/// The joined matrix the slow way: gene by gene, by name.
fn joined(parts: &[(Csr, Vec<&str>)], join: Join) -> (Csr, Vec<String>) {
    let first = &parts[0].1;
    let names: Vec<&str> = if parts.iter().all(|(_, genes)| genes == first) {
        first.clone()
    } else if join == Join::Inner {
        first.iter().copied().filter(|gene| parts.iter().all(|(_, genes)| genes.contains(gene))).collect()
    } else {
        parts.iter().flat_map(|(_, genes)| genes.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let n_rows = parts.iter().map(|(matrix, _)| matrix.n_rows).sum();
    let mut out = Csr { n_rows, n_cols: names.len(), indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    for (matrix, genes) in parts {
        for row in 0..matrix.n_rows {
            let (columns, values) = matrix.row(row);
            for (at, name) in names.iter().enumerate() {
                let own = genes.iter().position(|gene| gene == name);
                if let Some(found) = own.and_then(|own| columns.iter().position(|&column| column as usize == own)) {
                    out.indices.push(at as u32);
                    out.values.push(values[found]);
                }
            }
            out.indptr.push(out.indices.len() as u64);
        }
    }
    (out, names.into_iter().map(String::from).collect())
}

fn open(paths: &[PathBuf], join: Join) -> zensaibo_core::Result<ConcatRows> {
    let ctx = Ctx::quiet();
    let parts = paths
        .iter()
        .map(|path| MatrixFile::open(path, "X")?.part(&Turning::default(), &ctx))
        .collect::<Result<Vec<_>, _>>()?;
    ConcatRows::new(parts, join, &ctx)
}

#[test]
fn the_blocks_and_bits_of_the_joined_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let ctx = Ctx::quiet();
    let genes = [
        vec!["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"],
        vec!["l", "x", "b", "a", "j", "y", "c", "d", "i", "h"],
        vec!["c", "z", "d", "h", "a", "b", "i"],
    ];
    // Enough rows that blocks end within files and begin in others.
    let sizes = [90_000, 70_000, 60_011];
    let layouts = [[Layout::Csr, Layout::Csr, Layout::Csr], [Layout::Csr, Layout::Csc, Layout::Dense]];
    for (case, layouts) in layouts.into_iter().enumerate() {
        for same in [true, false] {
            let mut parts = Vec::new();
            let mut paths = Vec::new();
            for at in 0..3 {
                let own = if same { genes[0].clone() } else { genes[at].clone() };
                let matrix = example(sizes[at], own.len(), at);
                let path = folder.path().join(format!("{case}-{same}-{at}.h5ad"));
                write(&path, &matrix, &own, layouts[at], &WriteOptions { gzip: (at == 0).then_some(1) });
                // What a dense matrix stores as zero is no entry.
                let matrix = if case == 1 && at == 2 { without_zeros(matrix) } else { matrix };
                parts.push((matrix, own));
                paths.push(path);
            }
            for join in [Join::Inner, Join::Outer] {
                let (wanted, names) = joined(&parts, join);
                let rows = open(&paths, join).unwrap();
                assert_eq!(rows.genes(), names);
                assert_eq!((rows.n_rows(), rows.n_cols(), rows.n_entries()), (220_011, names.len(), wanted.nnz()));
                assert!(wanted.n_blocks() > 3);
                assert_eq!(rows.n_blocks(), wanted.n_blocks());
                let (mut one, mut other) = (Scratch::default(), Scratch::default());
                for block in 0..wanted.n_blocks() {
                    assert_eq!(rows.block_rows(block), wanted.block_rows(block));
                    let (found, want) = (rows.read(block, &mut one).unwrap(), wanted.read(block, &mut other).unwrap());
                    assert_eq!((found.first_row, found.indptr), (want.first_row, want.indptr));
                    assert!(found.indices == want.indices && found.values == want.values);
                }
                for threads in [1, 3] {
                    assert_eq!(with_threads(Some(threads), || collect(&rows, &ctx)).unwrap(), wanted);
                }
            }
        }
    }
}

fn without_zeros(matrix: Csr) -> Csr {
    let mut out = Csr { indptr: vec![0], indices: Vec::new(), values: Vec::new(), ..matrix.clone() };
    for row in 0..matrix.n_rows {
        let (columns, values) = matrix.row(row);
        for (&column, &value) in columns.iter().zip(values).filter(|(_, value)| **value != 0.0) {
            out.indices.push(column);
            out.values.push(value);
        }
        out.indptr.push(out.indices.len() as u64);
    }
    out
}

#[test]
fn matrices_in_memory_empty_ones_and_features_that_do_not_count() {
    let ctx = Ctx::quiet();
    let part = |name: &str, matrix: CountsMatrix, genes: &[&str]| ConcatPart {
        path: name.into(),
        matrix,
        genes: genes.iter().map(ToString::to_string).collect(),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.h5ad");
    let matrix = example(50, 4, 1);
    write(&path, &matrix, &["a", "protein", "b", "c"], Layout::Csr, &WriteOptions::default());
    let file = MatrixFile::open(&path, "X").unwrap().rows(&Turning::default(), &ctx).unwrap();
    let counted = CountsMatrix::File(Box::new(file), vec![true, false, true, true]);
    let (held, empty) = (example(30, 3, 2), example(0, 3, 0));
    let genes = ["a", "b", "c"];
    let rows = ConcatRows::new(
        vec![
            part("one", CountsMatrix::Memory(held.clone()), &genes),
            part("none", CountsMatrix::Memory(empty.clone()), &genes),
            part("features", counted, &genes),
        ],
        Join::Inner,
        &ctx,
    )
    .unwrap();
    let parts = [(held, genes.to_vec()), (empty, genes.to_vec()), (matrix, vec!["a", "protein", "b", "c"])];
    assert_eq!(collect(&rows, &ctx).unwrap(), joined(&parts, Join::Inner).0);
}

#[test]
fn faults_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let matrix = example(40_000, 6, 1);
    write(&path("a.h5ad"), &matrix, &["a", "b", "c", "d", "e", "f"], Layout::Csr, &WriteOptions { gzip: Some(1) });
    write(&path("b.h5ad"), &matrix, &["u", "v", "w", "x", "y", "z"], Layout::Csr, &WriteOptions { gzip: Some(1) });
    let error = open(&[path("a.h5ad"), path("b.h5ad")], Join::Inner).err().unwrap().to_string();
    assert!(error.contains("a.h5ad") && error.contains("b.h5ad"), "{error}");
    assert_eq!(open(&[path("a.h5ad"), path("b.h5ad")], Join::Outer).unwrap().n_cols(), 12);
    let error = open(&[path("a.h5ad"), path("none.h5ad")], Join::Inner).err().unwrap();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("none.h5ad")), "{error}");
    let error = MatrixFile::open(path("b.h5ad"), "layers/counts")
        .unwrap()
        .part(&Turning::default(), &Ctx::quiet())
        .err()
        .unwrap();
    assert!(matches!(&error, Error::Key { container, .. } if container.contains("b.h5ad")), "{error}");
    // Cut short after it was opened.
    let rows = open(&[path("a.h5ad"), path("b.h5ad")], Join::Outer).unwrap();
    std::fs::OpenOptions::new().write(true).open(path("b.h5ad")).unwrap().set_len(4096).unwrap();
    let error = collect(&rows, &Ctx::quiet()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("b.h5ad: X/") && error.contains("the end of the file"), "{error}");
}
