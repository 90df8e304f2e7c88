//! Our own writer read back by our own reader: layouts, blocks, copies, subsets, faults.

use std::path::{Path, PathBuf};

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{Lazy, RowBlocks, collect};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::{Ctx, DataFault, Error, Result};
use zensaibo_io::{
    AnnDataFile, AnnDataWriter, Column, Format, MatrixLayout, SparseArray, Table, TenxOptions, Value, Values,
    WriteOptions, detect, inspect, read_counts,
};

fn plain() -> WriteOptions {
    WriteOptions::default()
}

fn packed() -> WriteOptions {
    WriteOptions { gzip: Some(4) }
}

/// Cells x genes with a simple rule: the value at (i, j) is (i * 31 + j * 17) % 7, zeros left out.
fn example(n: usize, m: usize) -> Csr {
    let mut matrix = Csr { n_rows: n, n_cols: m, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    for i in 0..n {
        for j in 0..m {
            let value = (i * 31 + j * 17 + i * j) % 7;
            if value > 3 {
                matrix.indices.push(j as u32);
                matrix.values.push(value as f32);
            }
        }
        matrix.indptr.push(matrix.indices.len() as u64);
    }
    matrix
}

fn names(prefix: &str, n: usize) -> Table {
    Table::of_names((0..n).map(|i| format!("{prefix}{i}")).collect())
}

fn write(path: &Path, matrix: &Csr, options: &WriteOptions) -> Result<()> {
    let ctx = Ctx::quiet();
    let mut writer = AnnDataWriter::create(path, options)?;
    writer.rows("X", matrix, &ctx)?;
    let mut obs = names("cell", matrix.n_rows);
    let kinds: Vec<String> = (0..matrix.n_rows).map(|i| format!("kind {}", i % 3)).collect();
    obs.set("kind", Column::categorical(&kinds))?;
    obs.set("score", Column::Numbers((0..matrix.n_rows).map(|i| i as f64 / 3.0).collect::<Vec<_>>().into()))?;
    writer.obs(&obs)?;
    writer.var(&names("gene", matrix.n_cols))?;
    writer.value(
        "obsm/X_pca",
        &Value::matrix(matrix.n_rows, 2, (0..2 * matrix.n_rows).map(|i| i as f32).collect::<Vec<_>>()),
    )?;
    writer.value("uns/log1p", &Value::dict([("base", Value::Null)]))?;
    writer.finish()
}

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h5ad");
    (folder, path)
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_gives_the_same_rows_and_blocks_as_memory() {
    let (_folder, path) = scratch();
    let ctx = Ctx::quiet();
    for (n, m) in [(0, 5), (1, 1), (5, 0), (300, 40), (70_000, 60)] {
        let matrix = example(n, m);
        for options in [plain(), packed()] {
            write(&path, &matrix, &options).unwrap();
            let file = AnnDataFile::open(&path).unwrap();
            for threads in [1, 2, 8] {
                let (whole, gathered, blocks) = with_threads(Some(threads), || {
                    let rows = file.rows("X", &ctx)?;
                    let blocks: Vec<_> = (0..rows.n_blocks()).map(|block| rows.block_rows(block)).collect();
                    Ok((file.csr("X", &ctx)?, collect(&rows, &ctx)?, blocks))
                })
                .unwrap();
                assert_eq!(whole, matrix);
                assert_eq!(gathered, matrix);
                assert_eq!(blocks, (0..matrix.n_blocks()).map(|block| matrix.block_rows(block)).collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn columns_and_dense_give_the_same_rows() {
    let (_folder, path) = scratch();
    let ctx = Ctx::quiet();
    let matrix = example(500, 30);
    let turned = matrix.transpose();
    let csc = Value::Sparse(SparseArray {
        layout: MatrixLayout::Csc,
        n_rows: 500,
        n_cols: 30,
        indptr: turned.indptr.iter().map(|&at| at as i64).collect::<Vec<_>>().into(),
        indices: turned.indices.iter().map(|&row| row as i32).collect::<Vec<_>>().into(),
        values: turned.values.iter().map(|&x| f64::from(x)).collect::<Vec<_>>().into(),
    });
    let mut dense = vec![0u8; 500 * 30];
    for row in 0..500 {
        let (columns, values) = matrix.row(row);
        columns.iter().zip(values).for_each(|(&column, &value)| dense[row * 30 + column as usize] = value as u8);
    }
    for value in [csc, Value::matrix(500, 30, dense)] {
        for options in [plain(), packed()] {
            let mut writer = AnnDataWriter::create(&path, &options).unwrap();
            writer.value("X", &value).unwrap();
            writer.obs(&names("c", 500)).unwrap();
            writer.var(&names("g", 30)).unwrap();
            writer.finish().unwrap();
            let file = AnnDataFile::open(&path).unwrap();
            assert_eq!(file.shape().unwrap(), (500, 30));
            assert_eq!(file.csr("X", &ctx).unwrap(), matrix);
            assert_eq!(collect(&file.rows("X", &ctx).unwrap(), &ctx).unwrap(), matrix);
            assert_eq!(file.value("X", &ctx).unwrap(), value);
        }
    }
}

#[test]
fn a_lazy_chain_is_written_as_it_yields() {
    let (_folder, path) = scratch();
    let ctx = Ctx::quiet();
    let matrix = example(400, 50);
    let cells: Vec<bool> = (0..400).map(|i| i % 3 > 0).collect();
    let genes: Vec<bool> = (0..50).map(|i| i % 2 > 0).collect();
    let chain = Lazy::new(&matrix).select_rows(&cells).unwrap().select_columns(&genes).unwrap().log1p(None);
    let mut writer = AnnDataWriter::create(&path, &packed()).unwrap();
    writer.rows("X", &chain, &ctx).unwrap();
    writer.obs(&names("c", chain.n_rows())).unwrap();
    writer.var(&names("g", chain.n_cols())).unwrap();
    writer.finish().unwrap();
    assert_eq!(AnnDataFile::open(&path).unwrap().csr("X", &ctx).unwrap(), collect(&chain, &ctx).unwrap());
}

#[test]
fn every_kind_of_element_round_trips() {
    let (_folder, path) = scratch();
    let ctx = Ctx::quiet();
    let mut table = names("r", 3);
    table
        .set("missing", Column::Optional { values: vec![1i64, 0, 3].into(), missing: vec![false, true, false] })
        .unwrap();
    table
        .set("flags", Column::Optional { values: vec![true, false, true].into(), missing: vec![false, false, true] })
        .unwrap();
    table.set("texts", Column::OptionalStrings(vec![Some("é".into()), None, Some(String::new())])).unwrap();
    let codes = vec![1, -1, 0];
    let categories = Box::new(Column::Numbers(vec![0.5f64, 1.5].into()));
    table.set("ordered", Column::Categories { codes, categories, ordered: true }).unwrap();
    let uns = Value::dict([
        ("array", Value::Array { shape: vec![2, 1, 2], values: vec![1u16, 2, 3, 4].into() }),
        ("flag", Value::flag(true)),
        ("float", Value::float(0.1)),
        ("half", Value::Array { shape: vec![2], values: Values::F16(vec![0x3c00, 0xc000]) }),
        ("nothing", Value::Null),
        (
            "records",
            Value::Records(vec![
                ("0".into(), Column::Strings(vec!["CD3D".into(), "LYZ".into()])),
                ("1".into(), Column::Numbers(vec![1.5f32, 2.5].into())),
            ]),
        ),
        ("table", Value::Table(table)),
        ("text", Value::text("ü")),
        ("texts", Value::texts(["a", "b"])),
        ("whole", Value::int(-3)),
    ]);
    for options in [plain(), packed()] {
        let mut writer = AnnDataWriter::create(&path, &options).unwrap();
        writer.obs(&names("c", 1)).unwrap();
        writer.var(&names("g", 1)).unwrap();
        writer.value("uns", &uns).unwrap();
        writer.finish().unwrap();
        assert_eq!(AnnDataFile::open(&path).unwrap().value("uns", &ctx).unwrap(), uns);
    }
}

#[test]
fn adding_to_a_file_keeps_the_rest() {
    let (folder, path) = scratch();
    let ctx = Ctx::quiet();
    let matrix = example(200, 20);
    write(&path, &matrix, &packed()).unwrap();
    let source = AnnDataFile::open(&path).unwrap();
    let before = source.value("uns", &ctx).unwrap();
    let mut writer = AnnDataWriter::create(&path, &plain()).unwrap();
    writer.copy_from(&source, &["obsm/X_pca"], &ctx).unwrap();
    let clusters = Column::categorical(&(0..200).map(|i| (i % 5).to_string()).collect::<Vec<_>>());
    writer.column("obs", "leiden", &clusters).unwrap();
    writer.column("obs", "leiden", &clusters).unwrap();
    writer.csr("obsp/connectivities", &example(200, 200), &ctx).unwrap();
    let wrong = writer.column("obs", "short", &Column::Strings(vec![])).unwrap_err();
    assert!(matches!(wrong, Error::Data { fault: DataFault::Shape, .. }), "{wrong}");
    writer.finish().unwrap();
    let after = AnnDataFile::open(&path).unwrap();
    assert_eq!(after.csr("X", &ctx).unwrap(), matrix);
    assert_eq!(after.value("uns", &ctx).unwrap(), before);
    assert_eq!(after.names("obsm").unwrap(), Vec::<String>::new());
    assert_eq!(after.csr("obsp/connectivities", &ctx).unwrap(), example(200, 200));
    let obs = after.obs(&ctx).unwrap();
    assert_eq!(obs.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["kind", "score", "leiden"]);
    assert_eq!(obs.column("leiden"), Some(&clusters));
    assert_eq!(files(folder.path()), ["a.h5ad"]);
}

#[test]
fn a_subset_follows_through_every_slot() {
    let (folder, path) = scratch();
    let ctx = Ctx::quiet();
    let matrix = example(100, 30);
    write(&path, &matrix, &plain()).unwrap();
    let (cells, genes): (Vec<usize>, Vec<usize>) = ((0..100).step_by(3).collect(), (1..30).step_by(2).collect());
    let target = folder.path().join("b.h5ad");
    let mut writer = AnnDataWriter::create(&target, &plain()).unwrap();
    let source = AnnDataFile::open(&path).unwrap();
    writer.copy_subset(&source, Some(&cells), Some(&genes), &[], &ctx).unwrap();
    writer.finish().unwrap();
    let found = AnnDataFile::open(&target).unwrap();
    let mask = |n: usize, kept: &[usize]| (0..n).map(|i| kept.contains(&i)).collect::<Vec<_>>();
    let expected =
        Lazy::new(&matrix).select_rows(&mask(100, &cells)).unwrap().select_columns(&mask(30, &genes)).unwrap();
    assert_eq!(found.csr("X", &ctx).unwrap(), collect(&expected, &ctx).unwrap());
    assert_eq!(found.obs(&ctx).unwrap(), source.obs(&ctx).unwrap().take(&cells));
    assert_eq!(found.var(&ctx).unwrap().index, genes.iter().map(|gene| format!("gene{gene}")).collect::<Vec<_>>());
    let Value::Array { shape, values: Values::F32(values) } = found.value("obsm/X_pca", &ctx).unwrap() else {
        panic!()
    };
    assert_eq!(shape, [34, 2]);
    assert_eq!(values[2..4], [6.0, 7.0]);
    assert_eq!(found.value("uns", &ctx).unwrap(), source.value("uns", &ctx).unwrap());
}

#[test]
fn an_unfinished_or_cancelled_file_leaves_nothing() {
    let (folder, path) = scratch();
    std::fs::write(&path, "old").unwrap();
    let mut writer = AnnDataWriter::create(&path, &plain()).unwrap();
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    assert!(matches!(writer.rows("X", &example(10, 10), &ctx), Err(Error::Interrupted)));
    drop(writer);
    let writer = AnnDataWriter::create(&path, &plain()).unwrap();
    assert!(matches!(writer.finish(), Err(Error::Key { .. })));
    assert_eq!((files(folder.path()), std::fs::read(&path).unwrap()), (vec!["a.h5ad".to_string()], b"old".to_vec()));
    assert!(AnnDataWriter::create(&path, &WriteOptions { gzip: Some(10) }).is_err());
    assert!(matches!(AnnDataWriter::create(folder.path().join("no/a.h5ad"), &plain()), Err(Error::Io { .. })));
}

#[test]
fn counts_and_inspection_agree() {
    let (_folder, path) = scratch();
    write(&path, &example(60, 20), &packed()).unwrap();
    let counts = read_counts(&path, &TenxOptions::default(), &Ctx::quiet()).unwrap();
    assert_eq!((counts.format, &counts.matrix), (Format::H5ad, &example(60, 20)));
    let report = inspect(&path).unwrap();
    assert_eq!((report.n_cells, report.n_genes, report.entries), (60, 20, counts.matrix.nnz() as u64));
    assert!(report.to_string().contains("csr_matrix") && report.to_string().contains("obs/kind"));
    let missing = AnnDataFile::open(&path).unwrap().csr("layers/counts", &Ctx::quiet()).unwrap_err();
    assert!(matches!(missing, Error::Key { .. }) && missing.to_string().contains("present: X"), "{missing}");
}

/// Damage at many places: whatever happens, it is an error or a sound result, never a panic.
#[test]
fn damage_is_an_error() {
    let (folder, path) = scratch();
    for options in [plain(), packed()] {
        write(&path, &example(120, 30), &options).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let target = folder.path().join("damaged.h5ad");
        let read_all = |bytes: &[u8]| -> Result<()> {
            std::fs::write(&target, bytes).unwrap();
            let ctx = Ctx::quiet();
            detect(&target)?;
            inspect(&target)?;
            let file = AnnDataFile::open(&target)?;
            for key in ["X", "obs", "var", "obsm", "uns"] {
                file.value(key, &ctx)?;
            }
            collect(&file.rows("X", &ctx)?, &ctx)?;
            read_counts(&target, &TenxOptions::default(), &ctx).map(|_| ())
        };
        read_all(&whole).unwrap();
        for cut in (0..whole.len()).step_by(whole.len() / 60) {
            assert!(read_all(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut outcomes = [0usize; 2];
        for at in (0..whole.len()).step_by(whole.len() / 200) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            outcomes[usize::from(read_all(&bytes).is_ok())] += 1;
        }
        assert!(outcomes[0] > 0, "{outcomes:?}");
    }
}
