//! Runs that many processes share: the same bits as of one.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use zensaibo_core::Ctx;
use zensaibo_imaging::phantom::{Phantom, PhantomOptions};
use zensaibo_io::volume::{OmeZarrOptions, write_ome_zarr};

use common::{SLOTS, cluster, errors, example, fine, many_counts, results, zensaibo};

const OPTIONS: [&str; 6] =
    ["--set", "umap.maxiter=20", "--set", "hvg.n_top_genes=1500", "--set", "markers.method=wilcoxon"];

fn part(step: &str, input: &Path, work: &Path, blocks: &str, options: &[&str]) -> Output {
    let mut args = vec!["run-blocks", step, input.to_str().unwrap(), "--work", work.to_str().unwrap()];
    args.extend(["--blocks", blocks, "--threads", "1"]);
    args.extend(options);
    zensaibo(args)
}

fn merge(input: &Path, work: &Path, to: [&str; 2], options: &[&str]) -> Output {
    let mut args = vec!["merge", input.to_str().unwrap(), "--work", work.to_str().unwrap(), to[0], to[1]];
    args.extend(options);
    zensaibo(args)
}

fn steps(options: &[&str]) -> Vec<String> {
    let listed = zensaibo(["run-blocks", "list"].iter().chain(options));
    fine(&listed);
    String::from_utf8(listed.stdout).unwrap().lines().map(String::from).collect()
}

/// All steps in parts, and the merge.
fn shared(input: &Path, work: &Path, output: &Path, parts: usize, options: &[&str]) {
    for step in steps(options) {
        if step == "markers" {
            fine(&merge(input, work, ["--until", "markers"], options));
        }
        // In any order.
        for at in (1..=parts).rev() {
            fine(&part(&step, input, work, &format!("{at}/{parts}"), options));
        }
    }
    fine(&merge(input, work, ["-o", output.to_str().unwrap()], options));
}

#[test]
fn five_processes_give_the_bits_of_one() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let input = many_counts(place.path());
    assert_eq!(steps(&OPTIONS), ["read", "qc", "genes", "filter", "normalize", "hvg", "gather", "markers"]);
    fine(&cluster(&input, &at("one.h5ad"), &OPTIONS));
    shared(&input, &at("work"), &at("five.h5ad"), 5, &OPTIONS);
    let (one, five) = (results(&at("one.h5ad")), results(&at("five.h5ad")));
    SLOTS.iter().enumerate().for_each(|(slot, key)| assert!(one[slot] == five[slot], "{key}"));

    // What is there is not computed again, and what is damaged is.
    let path = at("work/steps/qc/part-2-of-5");
    let state = || std::fs::metadata(&path).unwrap().modified().unwrap();
    let (before, bytes) = (state(), std::fs::read(&path).unwrap());
    fine(&part("qc", &input, &at("work"), "2/5", &OPTIONS));
    assert_eq!(state(), before);
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let refused = part("genes", &input, &at("work"), "1/7", &OPTIONS);
    assert_eq!(refused.status.code(), Some(3));
    assert!(errors(&refused).contains("part-2-of-5") && errors(&refused).contains("cut short"), "{}", errors(&refused));
    fine(&part("qc", &input, &at("work"), "2/5", &OPTIONS));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);

    // So is one that was lost, also when all else is done.
    for step in ["gather", "markers"] {
        let path = at(&format!("work/steps/{step}/part-1-of-5"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        fine(&part(step, &input, &at("work"), "1/5", &OPTIONS));
        assert!(std::fs::read(&path).unwrap() == bytes, "{step}");
    }

    // Another number of parts on top changes nothing.
    for at_part in 1..=2 {
        fine(&part("hvg", &input, &at("work"), &format!("{at_part}/2"), &OPTIONS));
    }
    fine(&merge(&input, &at("work"), ["-o", at("again.h5ad").to_str().unwrap()], &OPTIONS));
    assert!(results(&at("again.h5ad")) == one);
}

#[test]
fn every_flavor_has_the_steps_that_are_listed() {
    let place = tempfile::tempdir().unwrap();
    let folder = example(&place.path().join("tenx"));
    let input = place.path().join("counts.h5ad");
    fine(&zensaibo(["convert".as_ref(), folder.as_os_str(), input.as_os_str()]));
    for flavor in ["seurat", "cell_ranger", "seurat_v3", "pearson_residuals"] {
        let flavor = format!("hvg.flavor={flavor}");
        let mut options = common::SMALL.to_vec();
        options.extend(["--set", &flavor, "--set", "normalize.exclude_highly_expressed=true"]);
        let (one, two, work) = (place.path().join("one"), place.path().join("two"), place.path().join("work"));
        fine(&cluster(&input, &one, &options));
        shared(&input, &work, &two, 2, &options);
        // As text: NaN is not equal to itself.
        assert!(format!("{:?}", results(&one)) == format!("{:?}", results(&two)), "{flavor}");
        std::fs::remove_dir_all(work).unwrap();
    }
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { place.path().join(name) };
    let folder = example(&at("tenx"));
    let input = at("counts.h5ad");
    fine(&zensaibo(["convert".as_ref(), folder.as_os_str(), input.as_os_str()]));
    let small = common::SMALL;
    let said = |output: Output, code: i32, parts: &[&str]| {
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{said}"));
    };
    said(part("umap", &input, &at("work"), "1/2", &small), 2, &["step", "read, qc", "umap"]);
    said(part("read", &input, &at("work"), "3/2", &small), 2, &["i/N"]);
    said(part("read", &folder, &at("work"), "1/2", &small), 3, &["tenx", "convert"]);
    std::fs::remove_dir_all(at("work")).unwrap();
    said(part("qc", &input, &at("work"), "1/2", &small), 3, &["step read", "none"]);
    fine(&part("read", &input, &at("work"), "1/3", &small));
    said(part("qc", &input, &at("work"), "1/3", &small), 3, &["step read", "2/3, 3/3"]);
    let other = ["--set", "filter.min_genes=6"];
    said(part("read", &input, &at("work"), "2/3", &other), 2, &["other options"]);
    said(merge(&input, &at("work"), ["-o", at("out").to_str().unwrap()], &small), 3, &["step read"]);
    said(merge(&input, &at("work"), ["--until", "umap"], &small), 2, &["until", "umap"]);
    assert!(!at("out").exists());
    for step in ["read", "qc", "genes", "filter", "normalize", "hvg", "gather"] {
        for blocks in ["1/2", "2/2"] {
            fine(&part(step, &input, &at("work"), blocks, &small));
        }
    }
    // Clusters are found by the merge, not by every part.
    said(part("markers", &input, &at("work"), "1/2", &small), 2, &["zensaibo merge"]);
    fine(&merge(&input, &at("work"), ["--until", "markers"], &small));
    fine(&part("markers", &input, &at("work"), "1/2", &small));
    std::fs::write(&input, std::fs::read(&input).unwrap()).unwrap();
    said(part("markers", &input, &at("work"), "2/2", &small), 2, &["input that changed"]);
}

#[test]
fn a_part_that_is_killed_leaves_nothing_and_is_done_again() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let input = many_counts(place.path());
    let files = |step: &str| {
        let entries = std::fs::read_dir(at("work").join("steps").join(step)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    for delay in [20, 60, 120, 200] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zensaibo"))
            .args(["run-blocks", "read", input.to_str().unwrap(), "--work", at("work").to_str().unwrap()])
            .args(["--blocks", "1/1", "--quiet"])
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever is there under the name of a part is whole.
        if files("read").contains(&"part-1-of-1".to_string()) {
            fine(&part("qc", &input, &at("work"), "1/1", &[]));
        }
    }
    fine(&part("read", &input, &at("work"), "1/1", &[]));
    fine(&part("qc", &input, &at("work"), "1/1", &[]));
}

#[test]
fn cells_found_in_parts_are_those_of_the_whole() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let options = PhantomOptions { shape: [40, 200, 180], spacing: [5.0, 2.0, 2.0], nuclei: 200, ..Default::default() };
    let chunks = OmeZarrOptions { chunk: Some([16, 64, 64]), ..Default::default() };
    write_ome_zarr(&Phantom::new(&options).unwrap(), &at("in.ome.zarr"), &chunks, &Ctx::quiet()).unwrap();
    let input = at("in.ome.zarr");
    let input = input.to_str().unwrap();
    let (work, whole, merged) = (at("work"), at("whole.csv"), at("merged.csv"));
    let options = ["--set", "detect.soma_diameter=12", "--set", "detect.memory=100000000"];
    let run = |first: &[&str]| zensaibo(first.iter().chain(&options));
    fine(&run(&["detect", input, "-o", whole.to_str().unwrap()]));
    let found = std::fs::read_to_string(&whole).unwrap();
    assert!(found.lines().count() > 100, "{}", found.lines().count());
    let work = work.to_str().unwrap();
    let listed = zensaibo(["run-blocks", "list", "--recipe", "detect"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "local-noise\ndetect-cells\n");
    let early = run(&["run-blocks", "detect-cells", input, "--recipe", "detect", "--work", work, "--blocks", "1/3"]);
    assert_eq!(early.status.code(), Some(3));
    assert!(errors(&early).contains("local-noise"), "{}", errors(&early));
    for step in ["local-noise", "detect-cells"] {
        for blocks in ["3/3", "1/3", "2/3"] {
            let threads = if blocks == "1/3" { "2" } else { "1" };
            fine(&run(&[
                "run-blocks",
                step,
                input,
                "--recipe",
                "detect",
                "--work",
                work,
                "--blocks",
                blocks,
                "-t",
                threads,
            ]));
        }
    }
    // Each part has cells of its own.
    let parts = ["1", "2", "3"].map(|part| at("work/steps/detect-cells").join(format!("part-{part}-of-3")));
    assert!(parts.iter().all(|part| std::fs::metadata(part).unwrap().len() > 500));
    fine(&run(&["merge", input, "--recipe", "detect", "--work", work, "-o", merged.to_str().unwrap()]));
    assert_eq!(std::fs::read_to_string(&merged).unwrap(), found);
    let seed = zensaibo(["merge", input, "--recipe", "detect", "--work", work, "-o", "x.csv", "--seed", "1"]);
    assert_eq!(seed.status.code(), Some(2));
}

/// All files of a folder, by name.
fn files_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(place) = waiting.pop() {
        for entry in std::fs::read_dir(&place).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                all.insert(path.strip_prefix(folder).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn nuclei_found_in_parts_are_those_of_the_whole() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_string();
    let options = PhantomOptions { shape: [24, 120, 110], spacing: [5.0, 2.0, 2.0], nuclei: 150, ..Default::default() };
    let chunks = OmeZarrOptions { chunk: Some([8, 16, 16]), ..Default::default() };
    let (input, work) = (at("in.ome.zarr"), at("work"));
    write_ome_zarr(&Phantom::new(&options).unwrap(), Path::new(&input), &chunks, &Ctx::quiet()).unwrap();
    let options = ["--set", "segment.diameter=14", "--set", "input.memory=400000000"];
    let run = |first: &[&str]| zensaibo(first.iter().chain(&options));
    // The name of a Zarr stands in it.
    ["whole", "merged"].iter().for_each(|name| std::fs::create_dir(at(name)).unwrap());
    fine(&run(&["segment", &input, "-o", &at("whole/labels.ome.zarr"), "--table", &at("whole.csv")]));
    let found = std::fs::read_to_string(at("whole.csv")).unwrap();
    assert!(found.lines().count() > 80, "{}", found.lines().count());
    let listed = zensaibo(["run-blocks", "list", "--recipe", "segment"]);
    let steps = String::from_utf8(listed.stdout).unwrap();
    let steps: Vec<&str> = steps.lines().collect();
    assert_eq!(steps, ["nuclei-noise", "nuclei-divide", "nuclei-outline", "nuclei-measure"]);

    let part = |step: &str, blocks: &str| {
        let threads = if blocks.starts_with('1') { "2" } else { "1" };
        let place = ["--recipe", "segment", "--work", &work, "--blocks", blocks, "-t", threads];
        run(&[&["run-blocks", step, &input], &place[..]].concat())
    };
    let merge = |out: &str, table: &str| {
        run(&["merge", &input, "--recipe", "segment", "--work", &work, "-o", &at(out), "--table", &at(table)])
    };
    let said = |output: Output, code: i32, parts: &[&str]| {
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        parts.iter().for_each(|part| assert!(said.contains(part), "{said}"));
    };
    said(part("nuclei-outline", "1/5"), 3, &["step nuclei-noise", "none"]);
    for (step, number) in steps.iter().zip([2, 5, 5, 3]) {
        for one in (1..=number).rev() {
            fine(&part(step, &format!("{one}/{number}")));
        }
    }
    // Every part of five has blocks of its own, and keeps what is theirs.
    let of_five = |step: &str, kind: &str, part: usize| format!("{work}/steps/{step}/{kind}-{part}-of-5");
    for part in 1..=5 {
        for kind in ["part", "kept"] {
            assert!(std::fs::metadata(of_five("nuclei-divide", kind, part)).unwrap().len() > 500);
        }
    }
    fine(&merge("merged/labels.ome.zarr", "merged.csv"));
    assert!(std::fs::read_to_string(at("merged.csv")).unwrap() == found);
    let (whole, merged) = (files_of(Path::new(&at("whole"))), files_of(Path::new(&at("merged"))));
    assert!(whole.keys().eq(merged.keys()) && whole.len() >= 3, "{:?} {:?}", whole.keys(), merged.keys());
    whole.iter().for_each(|(name, bytes)| assert!(merged[name] == *bytes, "{}", name.display()));

    // What is there is not computed again; what is lost or cut is named, and comes back as it was.
    let state = |path: &str| std::fs::metadata(path).unwrap().modified().unwrap();
    let path = of_five("nuclei-outline", "part", 2);
    let (before, kept) = (state(&path), of_five("nuclei-outline", "kept", 2));
    fine(&part("nuclei-outline", "2/5"));
    assert_eq!(state(&path), before);
    let bytes = std::fs::read(&kept).unwrap();
    std::fs::remove_file(&kept).unwrap();
    said(merge("lost.ome.zarr", "lost.csv"), 3, &["step nuclei-outline", "no kept 2/5"]);
    std::fs::write(&kept, &bytes[..bytes.len() / 2]).unwrap();
    said(merge("lost.ome.zarr", "lost.csv"), 3, &["kept-2-of-5", "cut short"]);
    assert!(!Path::new(&at("lost.ome.zarr")).exists() && !Path::new(&at("lost.csv")).exists());
    fine(&part("nuclei-outline", "2/5"));
    assert!(std::fs::read(&kept).unwrap() == bytes);
    std::fs::remove_file(of_five("nuclei-divide", "part", 4)).unwrap();
    said(part("nuclei-measure", "1/4"), 3, &["step nuclei-divide", "no part 4/5"]);
    fine(&part("nuclei-divide", "4/5"));

    let other = ["merge", &input, "--recipe", "segment", "--work", &work, "-o", &at("x.ome.zarr")];
    said(zensaibo(other.iter().chain(&["--set", "segment.diameter=9"])), 2, &["other options"]);
    said(run(&[&other[..], &["--memory", "1GiB"]].concat()), 2, &["input.memory"]);
    said(run(&[&other[..], &["--background", &input]].concat()), 2, &["none for segment"]);
    said(zensaibo(["merge", &input, "-w", &work, "-o", &at("x.h5ad"), "--table", &at("x.csv")]), 2, &["--table"]);
}
