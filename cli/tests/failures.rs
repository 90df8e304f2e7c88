//! What goes wrong is said with its place and told apart by the exit code, and leaves nothing half-written.

mod common;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{CELLS, GENES, SMALL, cluster, count, errors, example, folder, names, zensaibo};

/// Runs `cluster` and expects an exit code, all of `words` on standard error, and no output.
fn refused(input: &Path, more: &[&str], code: i32, words: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("out.h5ad");
    let mut args: Vec<&str> = SMALL.to_vec();
    args.extend_from_slice(more);
    let run = cluster(input, &output, &args);
    let said = errors(&run);
    assert_eq!(run.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(!said.contains("panic"), "{said}");
    assert!(names(place.path()).is_empty(), "left behind: {:?}", names(place.path()));
}

#[test]
fn bad_input_is_3() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    refused(&at("none.h5ad"), &[], 3, &["none.h5ad", "cannot"]);

    std::fs::write(at("notes.txt"), "dear diary").unwrap();
    refused(&at("notes.txt"), &[], 3, &["notes.txt", "expected h5ad"]);
    std::fs::write(at("nothing.h5ad"), "").unwrap();
    refused(&at("nothing.h5ad"), &[], 3, &["nothing.h5ad", "empty"]);

    let logged = folder(&at("logged"), 40, 30, |cell, gene| f64::from(count(cell, gene)).ln_1p());
    refused(&logged, &["--set", "filter.min_genes=1"], 3, &["logged", "raw counts", "whole_counts"]);
    let negative = folder(&at("negative"), 40, 30, |cell, gene| if (cell, gene) == (3, 4) { -1.0 } else { 1.0 });
    refused(&negative, &[], 3, &["negative", "-1"]);
    let empty = folder(&at("empty"), 40, 30, |_, _| 0.0);
    refused(&empty, &[], 3, &["empty", "0 stored values"]);
    let no_cells = folder(&at("no_cells"), 0, 30, |_, _| 0.0);
    refused(&no_cells, &[], 3, &["no_cells"]);

    let good = example(&at("good"));
    refused(&good, &["--set", "filter.min_genes=5000"], 3, &["filter", "none of 240 cells"]);
    let market = std::fs::read_to_string(good.join("matrix.mtx")).unwrap();
    std::fs::write(good.join("matrix.mtx"), &market[..market.len() / 2]).unwrap();
    refused(&good, &[], 3, &["matrix.mtx"]);
}

#[test]
fn a_truncated_h5ad_is_3_and_an_unreadable_layer_too() {
    let place = tempfile::tempdir().unwrap();
    let good = example(&place.path().join("good"));
    let whole = place.path().join("whole.h5ad");
    assert_eq!(cluster(&good, &whole, &SMALL).status.code(), Some(0));
    refused(&whole, &["--set", "input.layer=none"], 3, &["layers/none", "layers/counts"]);
    refused(&whole, &[], 3, &["whole.h5ad", "raw counts", "input.layer"]);

    let cut = place.path().join("cut.h5ad");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    refused(&cut, &[], 3, &["cut.h5ad"]);
}

#[test]
fn bad_options_are_2() {
    let place = tempfile::tempdir().unwrap();
    let good = example(&place.path().join("good"));
    refused(&good, &["--set", "leiden.resolutoin=1"], 2, &["leiden.resolutoin", "did you mean `resolution`?"]);
    refused(&good, &["--set", "laiden.resolution=1"], 2, &["did you mean `leiden`?"]);
    refused(&good, &["--set", "leiden.resolution=high"], 2, &["leiden.resolution", "high"]);
    refused(&good, &["--set", "leiden.resolution=-1"], 2, &["leiden.resolution", "-1"]);
    refused(&good, &["--set", "neighbors.n_neighbors=1000"], 2, &["neighbors.n_neighbors", "240", "1000"]);
    refused(&good, &["--set", "pca.n_comps=500"], 2, &["pca.n_comps", "500"]);
    refused(&good, &["--set", "nonsense"], 2, &["SECTION.OPTION=VALUE"]);
    refused(&good, &["--config", "no/such/file.toml"], 2, &["no/such/file.toml"]);
    refused(&good, &["--threads", "0"], 2, &["threads"]);
    refused(&good, &["--threads", "many"], 2, &["--threads"]);
    refused(&good, &["--report", "no/such/folder/report.html"], 2, &["no/such/folder"]);
    refused(&good, &["--set", "input.layer=counts"], 2, &["input.layer"]);

    let toml = place.path().join("my.toml");
    std::fs::write(&toml, "[umap]\nmin_dist = 0.1\nspred = 2\n").unwrap();
    refused(&good, &["--config", toml.to_str().unwrap()], 2, &["umap.spred", "did you mean `spread`?"]);
    std::fs::write(&toml, "[umap\n").unwrap();
    refused(&good, &["--config", toml.to_str().unwrap()], 2, &["line 1"]);
}

#[test]
fn bad_outputs_are_2() {
    let place = tempfile::tempdir().unwrap();
    let good = example(&place.path().join("good"));
    for (output, word) in [("no/such/folder/out.h5ad", "no/such/folder"), ("/proc/out.h5ad", "/proc")] {
        let run = cluster(&good, Path::new(output), &SMALL);
        assert_eq!(run.status.code(), Some(2), "{}", errors(&run));
        assert!(errors(&run).contains(word), "{}", errors(&run));
    }
    let run = cluster(&good, place.path(), &SMALL);
    assert_eq!(run.status.code(), Some(2), "a folder as output: {}", errors(&run));
    let input = place.path().join("in.h5ad");
    assert_eq!(cluster(&good, &input, &SMALL).status.code(), Some(0));
    let before = std::fs::read(&input).unwrap();
    let run = cluster(&input, &input, &SMALL);
    assert_eq!(run.status.code(), Some(2), "output over input: {}", errors(&run));
    assert!(std::fs::read(&input).unwrap() == before, "the input was touched");
}

#[test]
fn usage() {
    for (args, code) in [
        (vec![], 2),
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["cluster"], 2),
        (vec!["cluster", "--help"], 0),
        (vec!["config"], 2),
        (vec!["config", "nothing"], 2),
        (vec!["inspect", "no/such/file"], 3),
        (vec!["bogus"], 2),
    ] {
        assert_eq!(zensaibo(&args).status.code(), Some(code), "{args:?}");
    }
    let help = String::from_utf8(zensaibo(["cluster", "--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("--report"));
}

/// Starts a run that takes minutes, and returns once Leiden is done.
#[cfg(unix)]
fn long_run(input: &Path, output: &Path) -> std::process::Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_zensaibo"))
        .args(["cluster".as_ref(), input.as_os_str(), "-o".as_ref(), output.as_os_str()])
        .args(SMALL)
        .args(["--set", "umap.maxiter=1000000"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("leiden")), "the run ended early");
    child
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_nothing_and_is_130() {
    let place = tempfile::tempdir().unwrap();
    let good = example(&place.path().join("good"));
    let results = place.path().join("results");
    std::fs::create_dir(&results).unwrap();
    let output = results.join("out.h5ad");
    std::fs::write(&output, "an older result").unwrap();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut child = long_run(&good, &output);
        let asked = std::time::Instant::now();
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(child.id() as i32, signal) };
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{status:?}");
        assert!(asked.elapsed().as_secs() < 5, "took {:?}", asked.elapsed());
        assert_eq!(names(&results), ["out.h5ad"]);
        assert_eq!(std::fs::read(&output).unwrap(), b"an older result");
    }
}

#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file_and_is_1() {
    let place = tempfile::tempdir().unwrap();
    let good = example(&place.path().join("good"));
    let output = place.path().join("out").join("out.h5ad");
    std::fs::create_dir(output.parent().unwrap()).unwrap();
    std::fs::write(&output, "an older result").unwrap();
    // Files of at most 8 blocks of 1024 bytes: writing beyond fails as on a full disk.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} cluster {} -o {} {}",
        env!("CARGO_BIN_EXE_zensaibo"),
        good.display(),
        output.display(),
        SMALL.join(" ")
    );
    let run = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(run.status.code(), Some(1), "{}", errors(&run));
    assert!(errors(&run).contains("out.h5ad"), "{}", errors(&run));
    assert_eq!(names(output.parent().unwrap()), ["out.h5ad"]);
    assert_eq!(std::fs::read(&output).unwrap(), b"an older result");
}

#[test]
fn the_example_has_what_the_tests_assume() {
    assert!((0..CELLS).all(|cell| (0..GENES).filter(|&gene| count(cell, gene) > 0).count() >= 5));
}
