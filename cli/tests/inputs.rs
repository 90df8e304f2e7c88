//! What a run reads: files stored by columns and several files taken as one have the bits of one file stored by rows.

mod common;

use std::path::{Path, PathBuf};

use common::{
    SLOTS, SMALL, cluster, errors, example, fine, finish_from, many_counts, names, results, write_columns, zensaibo,
};
use zensaibo_core::Ctx;
use zensaibo_core::data::Csr;
use zensaibo_io::{AnnDataFile, AnnDataWriter, Value, WriteOptions};

const OPTIONS: [&str; 4] = ["--set", "umap.maxiter=20", "--set", "hvg.n_top_genes=1500"];

/// Some rows of a matrix.
fn rows(matrix: &Csr, rows: std::ops::Range<usize>) -> Csr {
    let (from, to) = (matrix.indptr[rows.start] as usize, matrix.indptr[rows.end] as usize);
    let indptr = matrix.indptr[rows.start..=rows.end].iter().map(|&end| end - from as u64).collect();
    Csr::new(rows.len(), matrix.n_cols, indptr, matrix.indices[from..to].to_vec(), matrix.values[from..to].to_vec())
        .unwrap()
}

/// The counts of a file and the names of its genes.
fn counts(path: &Path) -> (Csr, Vec<String>) {
    let file = AnnDataFile::open(path).unwrap();
    (file.csr("X", &Ctx::quiet()).unwrap(), file.var(&Ctx::quiet()).unwrap().index)
}

/// The results without the column that says which file a cell is of.
fn without_batch(path: &Path) -> Vec<Value> {
    let mut found = results(path);
    let obs = SLOTS.iter().position(|&slot| slot == "obs").unwrap();
    let Value::Table(table) = &mut found[obs] else { panic!("no table of cells") };
    assert!(table.column("batch").is_some());
    table.columns.retain(|(name, _)| name != "batch");
    found
}

fn same(found: &[Value], expected: &[Value], what: &str) {
    SLOTS.iter().enumerate().for_each(|(at, slot)| assert!(found[at] == expected[at], "{what}: {slot}"));
}

#[test]
fn columns_and_several_files_have_the_bits_of_one_file_by_rows() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let input = many_counts(place.path());
    let (matrix, genes) = counts(&input);
    fine(&cluster(&input, &at("rows.h5ad"), &OPTIONS));
    let expected = results(&at("rows.h5ad"));

    // By columns, in the least memory that is taken: columns are turned and packed in a scratch file.
    write_columns(&at("columns.h5ad"), &matrix, 0, genes.clone());
    let mut tight = OPTIONS.to_vec();
    tight.extend(["--threads", "1", "--memory", "414MiB"]);
    for (name, options) in [("free", &OPTIONS[..]), ("tight", &tight)] {
        let output = at(&format!("{name}.h5ad"));
        fine(&cluster(&at("columns.h5ad"), &output, options));
        same(&results(&output), &expected, name);
    }

    // Three files, one of them by columns, cut where no block ends.
    let cuts = [0, 5_001, 11_234, matrix.n_rows];
    let files: Vec<PathBuf> = (0..3)
        .map(|part| {
            let path = at(&format!("part{part}.h5ad"));
            let own = rows(&matrix, cuts[part]..cuts[part + 1]);
            if part == 1 {
                write_columns(&path, &own, cuts[part], genes.clone());
            } else {
                let mut writer = AnnDataWriter::create(&path, &WriteOptions::default()).unwrap();
                writer.rows("X", &own, &Ctx::quiet()).unwrap();
                finish_from(writer, cuts[part], own.n_rows, genes.clone());
            }
            path
        })
        .collect();
    let several = |options: &[&str], command: &[&str], output: Option<&Path>| {
        let mut args: Vec<&str> = command.to_vec();
        args.extend(files.iter().map(|path| path.to_str().unwrap()));
        if let Some(output) = output {
            args.extend(["-o", output.to_str().unwrap()]);
        }
        args.extend(options);
        zensaibo(args)
    };
    let kept = at("kept");
    let mut checked = tight.clone();
    checked.extend(["--checkpoints", kept.to_str().unwrap()]);
    for (name, options) in [("three", &OPTIONS[..]), ("three-checked", &checked)] {
        let output = at(&format!("{name}.h5ad"));
        fine(&several(options, &["cluster"], Some(&output)));
        same(&without_batch(&output), &expected, name);
    }
    assert!(!kept.exists());

    // Shared out, and one file by columns as well.
    for (name, one) in [("shared", false), ("shared-columns", true)] {
        let (work, output) = (at(&format!("{name}.parts")), at(&format!("{name}.h5ad")));
        let run = |command: &[&str], more: &[&str], output: Option<&Path>| {
            let mut options = OPTIONS.to_vec();
            options.extend(["--work", work.to_str().unwrap()]);
            options.extend(more);
            if !one {
                return several(&options, command, output);
            }
            let columns = at("columns.h5ad");
            let mut args = command.to_vec();
            args.push(columns.to_str().unwrap());
            if let Some(output) = output {
                args.extend(["-o", output.to_str().unwrap()]);
            }
            args.extend(options);
            zensaibo(args)
        };
        for step in ["read", "qc", "genes", "filter", "normalize", "hvg", "gather", "markers"] {
            if step == "markers" {
                fine(&run(&["merge"], &["--until", "markers"], None));
            }
            for blocks in ["2/2", "1/2"] {
                fine(&run(&["run-blocks", step], &["--blocks", blocks], None));
            }
        }
        fine(&run(&["merge"], &[], Some(&output)));
        same(&if one { results(&output) } else { without_batch(&output) }, &expected, name);
    }
    // The same files in another order, or joined otherwise, are of another run.
    let work = at("shared.parts");
    let (part, work) = (["--blocks", "1/2"], ["--work", work.to_str().unwrap()]);
    let mut options = OPTIONS.to_vec();
    options.extend(part.iter().chain(&work).chain(&["--join", "outer"]));
    let refused = several(&options, &["run-blocks", "qc"], None);
    assert_eq!(refused.status.code(), Some(2));
    assert!(errors(&refused).contains("folder of the same run"), "{}", errors(&refused));
}

#[test]
fn what_several_files_left_is_gone_on_from() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    // Text and an h5ad that have different genes.
    let text = example(&at("text"));
    fine(&zensaibo(["convert".as_ref(), text.as_os_str(), at("whole.h5ad").as_os_str()]));
    let (matrix, mut genes) = counts(&at("whole.h5ad"));
    genes[3] = "other".into();
    write_columns(&at("other.h5ad"), &matrix, 0, genes);
    let kept = at("kept");
    let (output, plain) = (at("out.h5ad"), at("plain.h5ad"));
    let run = |output: &Path, join: &str, checkpoints: bool, full: bool| {
        let files = format!("{} {}", text.display(), at("other.h5ad").display());
        let more = if checkpoints { format!("--checkpoints {}", kept.display()) } else { String::new() };
        let limit = if full { "trap '' XFSZ; ulimit -f 64; " } else { "" };
        let script = format!(
            "{limit}exec {} cluster {files} --join {join} -o {} {} {more}",
            env!("CARGO_BIN_EXE_zensaibo"),
            output.display(),
            SMALL.join(" ")
        );
        std::process::Command::new("bash").args(["-c", &script]).output().unwrap()
    };
    fine(&run(&plain, "outer", false, false));
    // Files of at most 64 blocks of 1024 bytes: the output fails as on a full disk, the stages that fit are kept.
    assert_eq!(run(&output, "outer", true, true).status.code(), Some(1));
    assert!(names(&kept).iter().any(|name| name.ends_with(".bin")) && !output.exists());
    let again = |run: std::process::Output| {
        fine(&run);
        String::from_utf8(run.stdout).unwrap().matches("from the earlier run").count()
    };
    assert_eq!(again(run(&output, "inner", true, false)), 0);
    assert_eq!(run(&output, "outer", true, true).status.code(), Some(1));
    assert!(again(run(&output, "outer", true, false)) > 0);
    same(&results(&output), &results(&plain), "outer");
}

#[test]
fn inputs_that_do_not_go_together_are_named() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let text = example(&at("text"));
    let refused = |more: &[&str], code: i32, word: &str| {
        let run = cluster(&text, &at("out.h5ad"), more);
        assert!(run.status.code() == Some(code) && errors(&run).contains(word), "{}", errors(&run));
    };
    refused(&["--join", "outer"], 2, "join");
    refused(&["--join", "left"], 2, "inner or outer");
    let gone = at("gone.h5ad");
    refused(&[gone.to_str().unwrap()], 3, "gone.h5ad");
    let volume =
        ["run-blocks", "local-noise", "a.tif", "b.tif", "--recipe", "detect", "--work", "w", "--blocks", "1/2"];
    let run = zensaibo(volume);
    assert!(run.status.code() == Some(2) && errors(&run).contains("one, for detect"), "{}", errors(&run));
    // Text is parsed whole by whoever reads it.
    let work = at("work");
    let run = zensaibo(["run-blocks", "read", text.to_str().unwrap(), "--work", work.to_str().unwrap(), "-b", "1/2"]);
    assert!(run.status.code() == Some(3) && errors(&run).contains("text"), "{}", errors(&run));
}
