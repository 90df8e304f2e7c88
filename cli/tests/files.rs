//! `concat` and `subset`: what comes out is what the files hold, in their types.

mod common;

use std::path::Path;

use common::{errors, fine, names, zensaibo};
use zensaibo_core::Ctx;
use zensaibo_io::{AnnDataFile, AnnDataWriter, Column, MatrixLayout, SparseArray, Table, Value, Values, WriteOptions};

fn texts(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|at| format!("{prefix}{at}")).collect()
}

/// Value of a cell and a gene; genes are told apart by their names.
fn value(cell: usize, gene: &str, salt: usize) -> u16 {
    let gene: usize = gene[1..].parse().unwrap();
    let drawn = (cell * 31 + gene * 17 + cell * gene + salt) % 11;
    if drawn > 6 { (drawn * 40) as u16 } else { 0 }
}

/// A file of 16-bit counts with a layer of floats, tables, `obsm` and `raw`.
fn write(path: &Path, cells: usize, genes: &[&str], salt: usize, layout: MatrixLayout) {
    let (lines, places) = if layout == MatrixLayout::Csc { (genes.len(), cells) } else { (cells, genes.len()) };
    let (mut indptr, mut indices, mut values) = (vec![0i64], Vec::new(), Vec::new());
    for line in 0..lines {
        for place in 0..places {
            let (cell, gene) = if layout == MatrixLayout::Csc { (place, line) } else { (line, place) };
            let value = value(cell, genes[gene], salt);
            if value > 0 {
                indices.push(place as i32);
                values.push(value);
            }
        }
        indptr.push(indices.len() as i64);
    }
    let matrix = |values: Values| {
        Value::Sparse(SparseArray {
            layout,
            n_rows: cells,
            n_cols: genes.len(),
            indptr: indptr.clone().into(),
            indices: indices.clone().into(),
            values,
        })
    };
    let mut writer = AnnDataWriter::create(path, &WriteOptions::default()).unwrap();
    writer.value("X", &matrix(Values::U16(values.clone()))).unwrap();
    let halves: Vec<f64> = values.iter().map(|&value| f64::from(value) / 3.0).collect();
    writer.value("layers/third", &matrix(Values::F64(halves))).unwrap();
    let mut obs = Table::of_names(texts("c", cells));
    let tissue: Vec<&str> = (0..cells).map(|cell| ["liver", "lung", "gut"][cell % 3]).collect();
    obs.set("tissue", Column::categorical(&tissue)).unwrap();
    obs.set("depth", Column::Numbers((0..cells as i64).collect::<Vec<_>>().into())).unwrap();
    writer.obs(&obs).unwrap();
    let mut var = Table::of_names(genes.iter().map(ToString::to_string).collect());
    var.set("id", Column::Strings(genes.iter().map(|gene| format!("ID{gene}")).collect())).unwrap();
    var.set("mine", Column::Strings(genes.iter().map(|gene| format!("{gene} of {salt}")).collect())).unwrap();
    writer.var(&var).unwrap();
    writer
        .value("obsm/X_pca", &Value::matrix(cells, 2, (0..2 * cells).map(|at| at as f32).collect::<Vec<_>>()))
        .unwrap();
    writer.value("uns/title", &Value::text("a title")).unwrap();
    writer.value("raw/X", &matrix(Values::U16(values))).unwrap();
    writer.table("raw/var", &Table::of_names(genes.iter().map(ToString::to_string).collect())).unwrap();
    writer.finish().unwrap();
}

fn sparse(file: &AnnDataFile, key: &str) -> SparseArray {
    match file.value(key, &Ctx::quiet()).unwrap() {
        Value::Sparse(matrix) => matrix,
        other => panic!("{key}: {other:?}"),
    }
}

/// Every entry of a matrix in a file against what the rule says: (cell, file) of each row, and the genes.
fn check(path: &Path, rows: &[(usize, usize)], genes: &[&str], has: impl Fn(usize, &str) -> bool) {
    let file = AnnDataFile::open(path).unwrap();
    let found = file.csr("X", &Ctx::quiet()).unwrap();
    let third = file.csr("layers/third", &Ctx::quiet()).unwrap();
    assert_eq!((found.n_rows, found.n_cols), (rows.len(), genes.len()));
    for (at, &(cell, salt)) in rows.iter().enumerate() {
        let mut expected = Vec::new();
        for (column, gene) in genes.iter().enumerate() {
            let value = if has(salt, gene) { value(cell, gene, salt) } else { 0 };
            if value > 0 {
                expected.push((column as u32, f32::from(value), (f64::from(value) / 3.0) as f32));
            }
        }
        let (columns, values) = found.row(at);
        let thirds = third.row(at).1;
        let seen: Vec<_> = columns.iter().zip(values).zip(thirds).map(|((&c, &v), &t)| (c, v, t)).collect();
        assert_eq!(seen, expected, "row {at}");
    }
}

#[test]
fn concat_joins_by_name_and_keeps_types() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let (ours, theirs) = (["g5", "g1", "g2", "g9"], ["g2", "g5", "g7"]);
    write(&at("a.h5ad"), 50, &ours, 0, MatrixLayout::Csr);
    write(&at("b.h5ad"), 40, &theirs, 1, MatrixLayout::Csc);
    let rows: Vec<(usize, usize)> = (0..50).map(|cell| (cell, 0)).chain((0..40).map(|cell| (cell, 1))).collect();
    let has = |salt: usize, gene: &str| if salt == 0 { ours.contains(&gene) } else { theirs.contains(&gene) };
    let concat = |output: &str, more: &[&str]| {
        let (a, b, out) = (at("a.h5ad"), at("b.h5ad"), at(output));
        let mut args = vec!["concat", a.to_str().unwrap(), b.to_str().unwrap(), "-o", out.to_str().unwrap()];
        args.extend(more);
        zensaibo(args)
    };
    let run = concat("inner.h5ad", &["--keys", "A,B", "--label", "sample", "--index-unique", "-", "--threads", "1"]);
    fine(&run);
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(said.contains("90 cells x 2 genes of 2 files"), "{said}");
    check(&at("inner.h5ad"), &rows, &["g5", "g2"], has);
    let file = AnnDataFile::open(at("inner.h5ad")).unwrap();
    assert!(
        matches!(sparse(&file, "X").values, Values::U16(_))
            && matches!(sparse(&file, "layers/third").values, Values::F64(_))
    );
    let (obs, var) = (file.obs(&Ctx::quiet()).unwrap(), file.var(&Ctx::quiet()).unwrap());
    assert_eq!((&*obs.index[0], &*obs.index[49], &*obs.index[50]), ("c0-A", "c49-A", "c0-B"));
    assert_eq!(obs.column("sample").unwrap().labels()[48..52], ["A", "A", "B", "B"]);
    assert_eq!(obs.column("depth").unwrap().labels()[48..52], ["48", "49", "0", "1"]);
    assert_eq!(var.column("id").unwrap().labels(), ["IDg5", "IDg2"]);
    assert!(var.column("mine").is_none() && !file.has("uns/title") && !file.has("raw"));
    let Value::Array { shape, values } = file.value("obsm/X_pca", &Ctx::quiet()).unwrap() else { panic!() };
    assert_eq!((shape, values.to_f64()[99..102].to_vec()), (vec![90, 2], vec![99.0, 0.0, 1.0]));

    fine(&concat("outer.h5ad", &["--join", "outer", "--quiet", "--gzip", "1"]));
    check(&at("outer.h5ad"), &rows, &["g1", "g2", "g5", "g7", "g9"], has);
    let outer = AnnDataFile::open(at("outer.h5ad")).unwrap();
    assert_eq!(outer.obs(&Ctx::quiet()).unwrap().column("batch").unwrap().labels()[49..51], ["0", "1"]);
    // The same bytes with any number of threads.
    fine(&concat("again.h5ad", &["--join", "outer", "--gzip", "1", "--threads", "3"]));
    for key in ["X", "layers/third"] {
        let again = AnnDataFile::open(at("again.h5ad")).unwrap();
        assert_eq!(sparse(&outer, key), sparse(&again, key));
    }

    for (more, word) in [
        (&["--keys", "A,A"][..], "different names"),
        (&["--keys", "A"], "2 different names"),
        (&["--join", "left"], "inner or outer"),
        (&["--gzip", "11"], "gzip"),
    ] {
        let run = concat("none.h5ad", more);
        assert!(run.status.code() == Some(2) && errors(&run).contains(word), "{}", errors(&run));
    }
    write(&at("c.h5ad"), 5, &["g8"], 2, MatrixLayout::Csr);
    let (a, c, b) = (at("a.h5ad"), at("c.h5ad"), at("b.h5ad"));
    let run = zensaibo(["concat".as_ref(), a.as_os_str(), c.as_os_str(), "-o".as_ref(), at("none.h5ad").as_os_str()]);
    assert!(run.status.code() == Some(3) && errors(&run).contains("c.h5ad"), "{}", errors(&run));
    let run = zensaibo(["concat".as_ref(), a.as_os_str(), b.as_os_str(), "-o".as_ref(), b.as_os_str()]);
    assert!(run.status.code() == Some(2) && errors(&run).contains("other than the input"), "{}", errors(&run));
    let expected = ["a.h5ad", "again.h5ad", "b.h5ad", "c.h5ad", "inner.h5ad", "outer.h5ad"];
    assert_eq!(names(place.path()), expected);
}

#[test]
fn subset_keeps_what_is_asked_for_in_every_slot() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let genes = ["g5", "g1", "g2", "g9"];
    std::fs::write(at("genes.txt"), "g9\n\ng5\n").unwrap();
    std::fs::write(at("cells.txt"), "c3\nc6\nc4\nc30\n").unwrap();
    for (name, layout) in [("rows", MatrixLayout::Csr), ("columns", MatrixLayout::Csc)] {
        let input = at(&format!("{name}.h5ad"));
        write(&input, 50, &genes, 0, layout);
        let subset = |output: &str, more: &[&str]| {
            let out = at(output);
            let mut args = vec!["subset", input.to_str().unwrap(), "-o", out.to_str().unwrap()];
            args.extend(more);
            zensaibo(args)
        };
        let (list, cells) = (at("genes.txt"), at("cells.txt"));
        let (list, cells) = (list.to_str().unwrap(), cells.to_str().unwrap());
        let output = format!("{name}-liver.h5ad");
        fine(&subset(&output, &["--obs", "tissue=liver,gut", "--genes", list]));
        let rows: Vec<(usize, usize)> = (0..50).filter(|cell| cell % 3 != 1).map(|cell| (cell, 0)).collect();
        check(&at(&output), &rows, &["g5", "g9"], |_, _| true);
        let file = AnnDataFile::open(at(&output)).unwrap();
        assert_eq!((sparse(&file, "X").layout, sparse(&file, "raw/X").n_cols), (layout, 4));
        assert!(matches!(sparse(&file, "X").values, Values::U16(_)));
        assert_eq!(file.obs(&Ctx::quiet()).unwrap().column("depth").unwrap().labels()[..3], ["0", "2", "3"]);
        assert_eq!(file.var(&Ctx::quiet()).unwrap().column("id").unwrap().labels(), ["IDg5", "IDg9"]);
        assert_eq!(file.value("uns/title", &Ctx::quiet()).unwrap(), Value::text("a title"));
        let Value::Array { shape, values } = file.value("obsm/X_pca", &Ctx::quiet()).unwrap() else { panic!() };
        assert_eq!((shape[0], values.to_f64()[2]), (rows.len(), 4.0));

        let both = format!("{name}-both.h5ad");
        let run = subset(&both, &["--obs", "tissue=liver", "--cells", cells]);
        fine(&run);
        assert!(String::from_utf8(run.stdout).unwrap().contains("3 cells x 4 genes"));
        check(&at(&both), &[(3, 0), (6, 0), (30, 0)], &genes, |_, _| true);
        let only = format!("{name}-genes.h5ad");
        fine(&subset(&only, &["--genes", list, "--threads", "1"]));
        check(&at(&only), &(0..50).map(|cell| (cell, 0)).collect::<Vec<_>>(), &["g5", "g9"], |_, _| true);

        for (more, code, word) in [
            (&[][..], 2, "at least one of them"),
            (&["--obs", "tissue"], 2, "COLUMN=VALUE"),
            (&["--obs", "organ=liver"], 3, "tissue"),
            (&["--obs", "tissue=brain"], 2, "gut, liver, lung"),
            (&["--obs", "tissue=liver", "--obs", "depth=1"], 3, "all of --cells and --obs"),
            (&["--cells", list], 2, "2 of 2 names"),
            (&["--genes", "no/such"], 2, "readable"),
        ] {
            let run = subset("none.h5ad", more);
            assert!(run.status.code() == Some(code) && errors(&run).contains(word), "{more:?}: {}", errors(&run));
            assert!(!at("none.h5ad").exists());
        }
    }
}

/// Ctrl-C at any moment: the output is whole or is not there, and nothing lies beside it.
#[cfg(unix)]
#[test]
fn what_is_interrupted_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let input = common::many_counts(place.path());
    for command in ["concat", "subset"] {
        let output = place.path().join("out.h5ad");
        let list = place.path().join("genes.txt");
        let genes = AnnDataFile::open(&input).unwrap().index("var", &Ctx::quiet()).unwrap();
        std::fs::write(&list, genes[..genes.len() / 2].join("\n")).unwrap();
        let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_zensaibo"));
        run.args([command, input.to_str().unwrap(), "-o", output.to_str().unwrap(), "--gzip", "9", "--threads", "1"]);
        match command {
            "concat" => run.arg(&input),
            _ => run.args(["--genes", list.to_str().unwrap()]),
        };
        let mut child = run.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(400));
        let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{command}");
        assert_eq!(names(place.path()).iter().filter(|name| name.contains("out")).count(), 0);
    }
}
