//! Criterion benches of the kernels, one per stage of the spine: `make bench`.
//!
//! Data is made outside the timed part; sizes stand in the names. Whole chains, and peers, are measured by
//! `benches/compare/`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use zensaibo_benches::{counts, logged};
use zensaibo_core::Ctx;
use zensaibo_core::knn::{ConnectivitiesOptions, KnnOptions, Points, connectivities, knn};
use zensaibo_core::leiden::{LeidenOptions, leiden};
use zensaibo_core::markers::{Grouping, Method, RankGenesOptions, rank_genes_groups};
use zensaibo_core::matrix::ValueSlice;
use zensaibo_core::normalize::log1p_values;
use zensaibo_core::pca::{PcaOptions, pca};
use zensaibo_core::qc::{QcOptions, qc_metrics};
use zensaibo_core::stats::{ValueMap, gene_moments};
use zensaibo_core::umap::{UmapOptions, umap};

const CELLS: usize = 5_000;

fn matrix_kernels(c: &mut Criterion) {
    let ctx = Ctx::quiet();
    let (raw, types) = counts(CELLS).expect("the simulation runs");
    let log = logged(&raw).expect("the counts normalise");
    let mut group = c.benchmark_group("matrix/5k x 4k");
    group.sample_size(20).throughput(Throughput::Elements(raw.nnz() as u64));
    group.bench_function("log1p", |b| {
        b.iter_batched_ref(
            || raw.values.clone(),
            |values| log1p_values(black_box(values), None),
            criterion::BatchSize::LargeInput,
        );
    });
    group.bench_function("qc metrics", |b| b.iter(|| qc_metrics(&raw, &[], &QcOptions::default(), &ctx)));
    group.bench_function("gene moments", |b| b.iter(|| gene_moments(&log, ValueMap::Identity, &ctx)));
    group.bench_function("transpose", |b| b.iter(|| black_box(&log).transpose()));
    let names: Vec<String> = (0..=types.iter().copied().max().unwrap_or(0)).map(|t| t.to_string()).collect();
    let grouping = Grouping::new(&types, names, None).expect("every type has cells");
    for (name, method) in [("t-test", Method::TTest), ("wilcoxon", Method::Wilcoxon)] {
        let options = RankGenesOptions { method, ..Default::default() };
        group.bench_function(name, |b| b.iter(|| rank_genes_groups(&log, &grouping, &options, &ctx)));
    }
    group.finish();
}

fn graph_kernels(c: &mut Criterion) {
    let ctx = Ctx::quiet();
    let (raw, _) = counts(CELLS).expect("the simulation runs");
    let log = logged(&raw).expect("the counts normalise");
    let options = PcaOptions { n_comps: Some(50), ..Default::default() };
    let scores = pca(&log, &options, &ctx).expect("components exist").scores;
    let points = Points::new(CELLS, 50, ValueSlice::F32(&scores)).expect("the scores are finite");
    let neighbors = knn(&points, &KnnOptions::default(), &ctx).expect("neighbours exist");
    let graph = connectivities(&neighbors, &ConnectivitiesOptions::default(), &ctx).expect("weights exist");
    let mut group = c.benchmark_group("graph/5k");
    group.sample_size(10);
    group.bench_function("pca 50", |b| b.iter(|| pca(&log, &options, &ctx)));
    group.bench_function("knn 15 exact", |b| b.iter(|| knn(&points, &KnnOptions::default(), &ctx)));
    group.bench_function("connectivities", |b| {
        b.iter(|| connectivities(&neighbors, &ConnectivitiesOptions::default(), &ctx));
    });
    group.bench_function("leiden", |b| b.iter(|| leiden(&graph, None, &LeidenOptions::default(), &ctx)));
    let short = UmapOptions { maxiter: Some(100), ..Default::default() };
    group.bench_function("umap, 100 epochs", |b| b.iter(|| umap(&graph, &short, &ctx)));
    group.finish();
}

criterion_group!(kernels, matrix_kernels, graph_kernels);
criterion_main!(kernels);
