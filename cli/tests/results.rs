//! A whole run: what it writes, that it is the same for any number of threads and from a file as from memory.

mod common;

use common::{CELLS, GENES, SMALL, cluster, errors, example, names, zensaibo};
use zensaibo_cli::recipe::{About, ClusterConfig, Extras, Input, Origin, Resources, cluster_counts};
use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_io::{AnnDataFile, Column, TenxOptions, Value, read_counts};

fn config() -> ClusterConfig {
    ClusterConfig::from_toml("[filter]\nmin_genes = 5\n[pca]\nn_comps = 10\n[hvg]\nn_top_genes = 60\n", &[]).unwrap()
}

fn labels(file: &AnnDataFile) -> Vec<String> {
    file.column("obs", "leiden", &Ctx::quiet()).unwrap().labels()
}

#[test]
fn a_run_writes_every_slot_and_a_report() {
    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let out = place.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let (output, report) = (out.join("out.h5ad"), out.join("report.html"));
    let mut args = SMALL.to_vec();
    args.extend(["--report", report.to_str().unwrap()]);
    let run = cluster(&input, &output, &args);
    assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    assert_eq!(names(&out), ["out.h5ad", "report.html"]);

    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    for word in ["240 cells of 240", "4 clusters", "umap", "report:", "output:"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    for stage in ["read", "qc", "filter", "normalize", "hvg", "pca", "neighbors", "leiden", "umap", "markers", "write"]
    {
        assert!(errors(&run).lines().any(|line| line.starts_with(stage)), "{stage}: {}", errors(&run));
    }

    let ctx = Ctx::quiet();
    let file = AnnDataFile::open(&output).unwrap();
    assert_eq!(file.shape().unwrap(), (CELLS, GENES));
    let counts = file.csr("layers/counts", &ctx).unwrap();
    assert_eq!(counts, read_counts(&input, &TenxOptions::default(), &ctx).unwrap().matrix);
    // X by hand: counts over (total / median total), log1p.
    let x = file.csr("X", &ctx).unwrap();
    assert_eq!((&x.indptr, &x.indices), (&counts.indptr, &counts.indices));
    let totals: Vec<f64> = (0..CELLS).map(|cell| counts.row(cell).1.iter().map(|&x| f64::from(x)).sum()).collect();
    let mut sorted = totals.clone();
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[CELLS / 2 - 1] + sorted[CELLS / 2]) / 2.0;
    for cell in [0, 17, CELLS - 1] {
        for (&got, &count) in x.row(cell).1.iter().zip(counts.row(cell).1) {
            let expected = (f64::from(count) / (totals[cell] / median)).ln_1p();
            assert!((f64::from(got) - expected).abs() < 1e-6, "{got} {expected}");
        }
    }
    // The four planted groups are found, exactly.
    let labels = labels(&file);
    for cell in 0..CELLS {
        assert_eq!(labels[cell], labels[cell % 4], "cell {cell}");
    }
    let obs = file.obs(&ctx).unwrap();
    for column in
        ["n_genes", "n_genes_by_counts", "total_counts", "pct_counts_in_top_50_genes", "pct_counts_mt", "leiden"]
    {
        assert!(obs.column(column).is_some(), "obs {column}");
    }
    let var = file.var(&ctx).unwrap();
    for column in ["gene_ids", "mt", "n_cells", "highly_variable", "means", "dispersions", "dispersions_norm"] {
        assert!(var.column(column).is_some(), "var {column}");
    }
    let Some(Column::Numbers(mito)) = var.column("mt") else { panic!("var mt") };
    assert_eq!(mito.to_f64().iter().sum::<f64>(), 2.0);
    for key in ["obsm/X_pca", "obsm/X_umap", "varm/PCs", "obsp/distances", "obsp/connectivities"] {
        assert!(file.has(key), "{key}");
    }
    let names = file.names("uns").unwrap();
    for key in ["hvg", "leiden", "log1p", "neighbors", "pca", "rank_genes_groups", "umap", "zensaibo"] {
        assert!(names.iter().any(|name| name == key), "uns {key}: {names:?}");
    }
    let uns = file.value("uns/zensaibo", &ctx).unwrap();
    let recipe = uns.get("recipe").unwrap();
    assert_eq!(recipe.get("options").unwrap().get("pca").unwrap().get("n_comps"), Some(&Value::int(10)));
    assert!(matches!(recipe.get("input").unwrap().get("sha256"), Some(Value::Text(hash)) if hash.len() == 64));

    let page = std::fs::read_to_string(&report).unwrap();
    assert!(page.len() < 1_000_000 && !page.contains("http://") && !page.contains("https://"));
    for word in ["Cluster 3", "MT-", "leiden", "n_top_genes"] {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn threads_change_no_bit_and_seeds_do() {
    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let bytes = |name: &str, more: &[&str]| {
        let output = place.path().join(name);
        let mut args = SMALL.to_vec();
        args.extend_from_slice(more);
        let run = cluster(&input, &output, &args);
        assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
        output
    };
    let one = bytes("one.h5ad", &["--threads", "1"]);
    let two = bytes("two.h5ad", &["--threads", "2"]);
    let eight = bytes("eight.h5ad", &["--threads", "8"]);
    let other = bytes("other.h5ad", &["--threads", "2", "--seed", "5"]);
    let open = |path| AnnDataFile::open(path).unwrap();
    let ctx = Ctx::quiet();
    for key in ["X", "layers/counts", "obs", "var", "obsm", "varm", "obsp", "uns"] {
        let value = |path| open(path).value(key, &ctx).unwrap();
        assert!(value(&one) == value(&two), "{key} with 1 and 2 threads");
        assert!(value(&one) == value(&eight), "{key} with 1 and 8 threads");
    }
    let umap = |path| open(path).value("obsm/X_umap", &ctx).unwrap();
    assert!(umap(&one) != umap(&other), "the seed must reach UMAP");
}

#[test]
fn memory_gives_what_the_file_gives() {
    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let (from_file, from_memory) = (place.path().join("file.h5ad"), place.path().join("memory.h5ad"));
    assert_eq!(cluster(&input, &from_file, &SMALL).status.code(), Some(0));
    let ctx = Ctx::quiet();
    let counts = read_counts(&input, &TenxOptions::default(), &ctx).unwrap();
    let about = About { obs: counts.obs, var: counts.var, origin: Origin::default() };
    let held = Input { matrix: Box::new(counts.matrix), about };
    let summary = with_threads(Some(2), || {
        cluster_counts(held, &from_memory, &config(), Extras::default(), Resources::default(), &(), &ctx)
    })
    .unwrap();
    assert_eq!(summary.clusters.len(), 4);
    let (file, memory) = (AnnDataFile::open(&from_file).unwrap(), AnnDataFile::open(&from_memory).unwrap());
    for key in ["X", "layers/counts", "obs", "var", "obsm", "varm", "obsp", "uns/rank_genes_groups", "uns/pca"] {
        assert!(file.value(key, &ctx).unwrap() == memory.value(key, &ctx).unwrap(), "{key}");
    }
}

#[test]
fn options_printed_are_options_read() {
    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let toml = place.path().join("all.toml");
    let printed = zensaibo(["config", "cluster"]).stdout;
    std::fs::write(&toml, &printed).unwrap();
    let (with, without) = (place.path().join("with.h5ad"), place.path().join("without.h5ad"));
    let mut args = SMALL.to_vec();
    args.extend(["--quiet", "--config", toml.to_str().unwrap()]);
    let run = cluster(&input, &with, &args);
    assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    assert!(run.stdout.is_empty() && run.stderr.is_empty(), "--quiet says nothing");
    assert_eq!(cluster(&input, &without, &SMALL).status.code(), Some(0));
    let uns = |path| AnnDataFile::open(path).unwrap().value("uns/zensaibo", &Ctx::quiet()).unwrap();
    assert_eq!(uns(&with), uns(&without));
}

#[test]
fn parts_can_be_left_out_and_the_output_read_again() {
    let place = tempfile::tempdir().unwrap();
    let input = example(&place.path().join("in"));
    let (first, second) = (place.path().join("first.h5ad"), place.path().join("second.h5ad"));
    let mut args = SMALL.to_vec();
    args.extend(["--set", "output.normalized=false"]);
    assert_eq!(cluster(&input, &first, &args).status.code(), Some(0));
    assert!(!AnnDataFile::open(&first).unwrap().has("X"));
    let mut args = SMALL.to_vec();
    args.extend(["--set", "input.layer=counts", "--set", "output.counts=false"]);
    let run = cluster(&first, &second, &args);
    assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    let (first, second) = (AnnDataFile::open(&first).unwrap(), AnnDataFile::open(&second).unwrap());
    assert!(!second.has("layers/counts") && second.has("X"));
    assert_eq!(labels(&first), labels(&second));
}
