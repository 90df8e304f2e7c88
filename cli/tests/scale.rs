//! Runs within a limit of memory, and runs that were killed: the same bits as without.

mod common;

use std::io::Write as _;
use std::process::{Command, Stdio};

use common::{CELLS, GENES, SLOTS, SMALL, cluster, count, errors, example, fine, finish, many_counts, names, results};
use zensaibo_core::Ctx;
use zensaibo_core::data::Csr;
use zensaibo_io::{AnnDataWriter, MatrixLayout, SparseArray, Value, WriteOptions};

#[test]
fn a_limit_of_memory_changes_no_bit() {
    let place = tempfile::tempdir().unwrap();
    let input = many_counts(place.path());
    let out = place.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let run = |name: &str, more: &[&str]| {
        let output = out.join(name);
        let mut args =
            vec!["--set", "umap.maxiter=20", "--set", "hvg.n_top_genes=1500", "--set", "markers.method=wilcoxon"];
        args.extend_from_slice(more);
        let run = cluster(&input, &output, &args);
        fine(&run);
        results(&output)
    };
    let free = run("free.h5ad", &["--threads", "2"]);
    // The least that is taken for two threads: a third of 96 MiB for 40 MB of packed counts, twice.
    let tight = run("tight.h5ad", &["--threads", "2", "--memory", "510MiB"]);
    let alone = run("alone.h5ad", &["--threads", "1", "--memory", "414MiB"]);
    for (at, key) in SLOTS.iter().enumerate() {
        assert!(free[at] == tight[at], "{key} with a limit");
        assert!(free[at] == alone[at], "{key} with a limit and one thread");
    }
    // Nothing is left beside the outputs.
    assert_eq!(names(&out), ["alone.h5ad", "free.h5ad", "tight.h5ad"]);

    let output = out.join("none.h5ad");
    let refused = cluster(&input, &output, &["--threads", "2", "--memory", "300MiB"]);
    assert_eq!(refused.status.code(), Some(3));
    let said = errors(&refused);
    assert!(said.contains("18,000 cells") && said.contains("needs") && said.contains("limit"), "{said}");
    let refused = cluster(&input, &output, &["--threads", "2", "--memory", "510MiB", "--scratch", "no/such"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors(&refused).contains("no/such"), "{}", errors(&refused));
    assert!(!output.exists());
}

#[test]
fn repeated_columns_of_a_layer_are_added_up() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    // Every count in two halves, in a layer; X holds something else.
    let halves = |cell: usize| {
        (0..GENES as u32).filter(move |&gene| count(cell, gene as usize) > 0).flat_map(move |gene| {
            let whole = count(cell, gene as usize);
            [(gene, (whole / 2) as f32), (gene, (whole - whole / 2) as f32)]
        })
    };
    let (mut indptr, mut indices, mut values) = (vec![0i64], Vec::new(), Vec::new());
    for cell in 0..CELLS {
        for (gene, half) in halves(cell) {
            indices.push(gene as i32);
            values.push(half);
        }
        indptr.push(indices.len() as i64);
    }
    let doubled = SparseArray {
        layout: MatrixLayout::Csr,
        n_rows: CELLS,
        n_cols: GENES,
        indptr: indptr.into(),
        indices: indices.into(),
        values: values.into(),
    };
    let entries: Vec<(u64, u32, f32)> = (0..CELLS)
        .flat_map(|cell| (0..GENES).map(move |gene| (cell as u64, gene as u32, count(cell, gene) as f32)))
        .filter(|entry| entry.2 > 0.0)
        .collect();
    let ends = (0..=CELLS as u64).map(|cell| entries.partition_point(|entry| entry.0 < cell) as u64).collect();
    let (genes, numbers) = entries.iter().map(|entry| (entry.1, entry.2)).unzip();
    let whole = Csr::new(CELLS, GENES, ends, genes, numbers).unwrap();
    let other = Csr::new(CELLS, GENES, vec![0; CELLS + 1], vec![], vec![]).unwrap();
    let write = |name: &str, x: &Csr, layer: Option<SparseArray>| {
        let mut writer = AnnDataWriter::create(at(name), &WriteOptions::default()).unwrap();
        writer.rows("X", x, &Ctx::quiet()).unwrap();
        if let Some(layer) = layer {
            writer.value("layers/raw", &Value::Sparse(layer)).unwrap();
        }
        finish(writer, CELLS, (0..GENES).map(|gene| format!("g{gene}")).collect());
    };
    write("plain.h5ad", &whole, None);
    write("halves.h5ad", &other, Some(doubled));
    fine(&cluster(&at("plain.h5ad"), &at("a.h5ad"), &SMALL));
    let mut args = SMALL.to_vec();
    args.extend(["--set", "input.layer=raw"]);
    fine(&cluster(&at("halves.h5ad"), &at("b.h5ad"), &args));
    assert!(results(&at("a.h5ad")) == results(&at("b.h5ad")));
}

#[cfg(unix)]
#[test]
fn a_run_goes_on_from_its_checkpoints() {
    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let (plain, output, kept) =
        (place.path().join("plain.h5ad"), place.path().join("out.h5ad"), place.path().join("kept"));
    fine(&cluster(&input, &plain, &SMALL));
    let mut args = SMALL.to_vec();
    args.extend(["--checkpoints", kept.to_str().unwrap()]);
    // Files of at most 64 blocks of 1024 bytes: the output fails as on a full disk, the stages are kept.
    let full = || {
        let script = format!(
            "trap '' XFSZ; ulimit -f 64; exec {} cluster {} -o {} {}",
            env!("CARGO_BIN_EXE_zensaibo"),
            input.display(),
            output.display(),
            args.join(" ")
        );
        let run = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{}", errors(&run));
        assert!(!output.exists());
    };
    let again = |more: &[&str]| {
        let mut all = args.clone();
        all.extend_from_slice(more);
        let run = cluster(&input, &output, &all);
        fine(&run);
        String::from_utf8(run.stdout).unwrap().matches("from the earlier run").count()
    };
    full();
    assert_eq!(names(&kept).iter().filter(|name| name.ends_with(".bin")).count(), 5);
    assert_eq!(again(&[]), 5);
    assert!(results(&output) == results(&plain) && !kept.exists());
    // Components and neighbours stay where Leiden is told otherwise; nothing does where the filter is.
    std::fs::remove_file(&output).unwrap();
    full();
    assert_eq!(again(&["--set", "leiden.resolution=2"]), 2);
    std::fs::remove_file(&output).unwrap();
    full();
    assert_eq!(again(&["--set", "filter.min_genes=6"]), 0);
    // A folder of someone else is left alone.
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join("thesis.txt"), "mine").unwrap();
    let refused = cluster(&input, &output, &args);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        errors(&refused).contains("checkpoints") && errors(&refused).contains("thesis.txt"),
        "{}",
        errors(&refused)
    );
    assert_eq!(names(&kept), ["thesis.txt"]);
}

/// Kills a run ten times, at another moment each time; each goes on where the one before was, and the last ends it.
#[cfg(unix)]
#[test]
fn killed_at_any_moment_a_run_ends_with_the_same_bits() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let (plain, output, kept) =
        (place.path().join("plain.h5ad"), place.path().join("out.h5ad"), place.path().join("kept"));
    // Long enough to be caught everywhere.
    let mut options = SMALL.to_vec();
    options.extend(["--set", "umap.maxiter=20000"]);
    let started = Instant::now();
    fine(&cluster(&input, &plain, &options));
    let whole = started.elapsed();
    options.extend(["--checkpoints", kept.to_str().unwrap()]);
    std::fs::write(&output, "an older result").unwrap();
    let mut random = zensaibo_core::random::Stream::new(21, 0);
    let mut kills = 0;
    for _ in 0..10 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zensaibo"))
            .args(["cluster".as_ref(), input.as_os_str(), "-o".as_ref(), output.as_os_str()])
            .args(&options)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole.mul_f64(0.9 * random.uniform()).max(Duration::from_millis(5)));
        child.kill().unwrap();
        if child.wait().unwrap().code().is_some() {
            break; // it was done before
        }
        kills += 1;
        assert_eq!(std::fs::read(&output).unwrap(), b"an older result");
    }
    assert!(kills >= 3, "{kills}");
    let last = cluster(&input, &output, &options);
    fine(&last);
    assert!(results(&output) == results(&plain));
    assert!(!kept.exists());
    // No half file is left beside the output, but for those of killed writers, which are hidden and named after them.
    let visible: Vec<String> = names(place.path()).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, ["in", "out.h5ad", "plain.h5ad"]);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let place = tempfile::tempdir().unwrap();
    let input = many_counts(place.path());
    let output = place.path().join("out.h5ad");
    let mut child = Command::new(env!("CARGO_BIN_EXE_zensaibo"))
        .args(["cluster", input.to_str().unwrap(), "-o", output.to_str().unwrap(), "--quiet", "--threads", "1"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Somebody writes into it until the run is over: a byte that says nothing, at the end.
    let mut file = std::fs::OpenOptions::new().append(true).open(&input).unwrap();
    while child.try_wait().unwrap().is_none() {
        file.write_all(&[0]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let run = child.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(3));
    assert!(
        errors(&run).contains("counts.h5ad") && errors(&run).contains("changed while it was read"),
        "{}",
        errors(&run)
    );
    assert!(!output.exists());
}

#[test]
fn of_two_runs_that_write_one_output_one_is_there_whole() {
    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let (alone, output) = (place.path().join("alone.h5ad"), place.path().join("out.h5ad"));
    fine(&cluster(&input, &alone, &SMALL));
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zensaibo"));
        command.args(["cluster", input.to_str().unwrap(), "-o", output.to_str().unwrap(), "--quiet"]).args(SMALL);
        command.spawn().unwrap()
    };
    let runs: Vec<_> = (0..4).map(|_| start()).collect();
    runs.into_iter().for_each(|mut run| assert!(run.wait().unwrap().success()));
    assert!(results(&output) == results(&alone));
    assert_eq!(names(place.path()), ["alone.h5ad", "in", "out.h5ad"]);
}
