use super::kernel::{exp2, log2};
use super::spectral::eigen;
use super::*;
use crate::parallel::with_threads;
use crate::progress::CancelToken;
use crate::random::Stream;

fn ring(n: usize) -> Graph {
    let edges: Vec<(u32, u32, f32)> = (0..n as u32).map(|i| (i, (i + 1) % n as u32, 1.0)).collect();
    from_edges(n, &edges)
}

/// Undirected graph from (i, j, weight) with i != j, each pair once.
fn from_edges(n: usize, edges: &[(u32, u32, f32)]) -> Graph {
    let mut rows = vec![Vec::new(); n];
    for &(i, j, weight) in edges {
        rows[i as usize].push((j, weight));
        rows[j as usize].push((i, weight));
    }
    let (mut indptr, mut indices, mut weights) = (vec![0], Vec::new(), Vec::new());
    for mut row in rows {
        row.sort_by_key(|&(j, _)| j);
        indices.extend(row.iter().map(|&(j, _)| j));
        weights.extend(row.iter().map(|&(_, weight)| weight));
        indptr.push(indices.len() as u64);
    }
    Graph::new(n, indptr, indices, weights).unwrap()
}

/// `clusters` x `size` vertices; within a cluster each vertex has about `degree` random edges, and neighbouring
/// clusters share `bridges` weak ones.
fn planted(clusters: usize, size: usize, degree: usize, bridges: usize, seed: u64) -> Graph {
    let mut edges = std::collections::BTreeMap::new();
    let mut stream = Stream::new(seed, 0);
    let mut pick = |cluster: usize| (cluster * size) as u32 + stream.below(size as u64) as u32;
    for cluster in 0..clusters {
        for _ in 0..size * degree / 2 {
            let (i, j) = (pick(cluster), pick(cluster));
            if i != j {
                edges.insert((i.min(j), i.max(j)), 0.3 + 0.7 * ((i * 7 + j * 13) % 10) as f32 / 10.0);
            }
        }
        for _ in 0..bridges {
            if cluster + 1 < clusters {
                edges.insert((pick(cluster), pick(cluster + 1)), 0.05);
            }
        }
    }
    from_edges(clusters * size, &edges.iter().map(|(&(i, j), &w)| (i, j, w)).collect::<Vec<_>>())
}

fn layout(graph: &Graph, options: &UmapOptions) -> Vec<f32> {
    umap(graph, options, &Ctx::quiet()).unwrap().coordinates
}

fn distance(coordinates: &[f32], d: usize, i: usize, j: usize) -> f32 {
    (0..d).map(|k| (coordinates[i * d + k] - coordinates[j * d + k]).powi(2)).sum::<f32>().sqrt()
}

#[test]
fn fast_powers_are_close() {
    for i in 1..20_000 {
        let x = (i as f32 / 100.0).powi(3) * 1e-6 + 1e-12;
        assert!((log2(x) - x.log2()).abs() <= 3e-6 * x.log2().abs() + 3e-6, "{x}");
        let y = (i as f32 - 10_000.0) / 100.0;
        assert!((exp2(y) / y.exp2() - 1.0).abs() < 5e-6, "{y}");
    }
    assert!(exp2(1e9).is_finite() && exp2(-1e9) > 0.0);
}

#[test]
fn curve_is_what_scipy_finds() {
    // umap-learn 0.5.12 find_ab_params(spread, min_dist) with scipy 1.17.1.
    let table = include!("../../tests/golden/umap/curve.in");
    for (spread, min_dist, a, b) in table {
        let (ours_a, ours_b) = fit_curve(min_dist, spread).unwrap();
        assert!((ours_a / a - 1.0).abs() < 1e-6, "a {ours_a} {a} at {min_dist} {spread}");
        assert!((ours_b / b - 1.0).abs() < 1e-6, "b {ours_b} {b} at {min_dist} {spread}");
    }
}

#[test]
fn ring_has_the_known_spectrum() {
    // Eigenvalues of a ring's normalised adjacency: cos(2 pi k / n), each twice for 0 < k < n / 2.
    for n in [40, 300] {
        let limits = SpectralLimits { tolerance: 2e-6, products: 20_000 };
        let found = spectral_vectors(&ring(n), 4, 0, limits, &Ctx::quiet()).unwrap();
        for (k, value) in [1.0, 1.0, 2.0, 2.0].iter().zip(&found.values) {
            let expected = (std::f64::consts::TAU * k / n as f64).cos();
            assert!((value - expected).abs() < 1e-6, "{n}: {value} {expected}");
        }
        assert!(found.residual <= 2e-6);
    }
}

#[test]
fn dense_and_iterated_eigenvectors_agree() {
    let graph = planted(3, 100, 10, 4, 5);
    let limits = SpectralLimits { tolerance: 2e-6, products: 20_000 };
    let found = spectral_vectors(&graph, 2, 1, limits, &Ctx::quiet()).unwrap();
    let degrees = graph.degrees();
    let mut full = vec![0f64; graph.n * graph.n];
    for i in 0..graph.n {
        let (targets, weights) = graph.row(i);
        for (&j, &w) in targets.iter().zip(weights) {
            full[i * graph.n + j as usize] = f64::from(w) / (degrees[i] * degrees[j as usize]).sqrt();
        }
    }
    let (values, vectors) = eigen(&full, graph.n).unwrap();
    for k in 0..2 {
        assert!((values[k + 1] - found.values[k]).abs() < 1e-6);
        let overlap: f64 =
            (0..graph.n).map(|i| vectors[i * graph.n + k + 1] * f64::from(found.vectors[i * 2 + k])).sum();
        assert!(overlap.abs() > 1.0 - 1e-6, "{k}: {overlap}");
    }
}

#[test]
fn spectral_runs_out_without_failing() {
    let limits = SpectralLimits { tolerance: 0.0, products: 30 };
    let found = spectral_vectors(&ring(5000), 2, 0, limits, &Ctx::quiet()).unwrap();
    assert!(found.residual > 0.0 && found.products <= 31 && found.vectors.iter().all(|x| x.is_finite()));
}

#[test]
fn a_large_graph_does_not_overflow() {
    // Random vectors on many vertices have Ritz values near 0, so the filter must not be sized for those: it would
    // carry the eigenvalues near 1 beyond the range of f32.
    let limits = SpectralLimits { tolerance: 0.0, products: 90 };
    let found = spectral_vectors(&ring(1_000_000), 2, 0, limits, &Ctx::quiet()).unwrap();
    assert!(
        found.vectors.iter().all(|x| x.is_finite())
            && found.values.iter().all(|&value| value > 0.9 && value <= 1.0 + 1e-6)
    );
}

#[test]
fn planted_clusters_stay_apart() {
    for seed in 0..3 {
        let options = UmapOptions { seed, ..Default::default() };
        let coordinates = layout(&planted(4, 120, 12, 2, 3), &options);
        let centre = |c: usize| -> [f32; 2] {
            let sum = |k: usize| (0..120).map(|i| coordinates[(c * 120 + i) * 2 + k]).sum::<f32>() / 120.0;
            [sum(0), sum(1)]
        };
        let centres: Vec<[f32; 2]> = (0..4).map(centre).collect();
        for vertex in 0..480 {
            let to = |c: &[f32; 2]| (coordinates[vertex * 2] - c[0]).hypot(coordinates[vertex * 2 + 1] - c[1]);
            let own = to(&centres[vertex / 120]);
            assert!((0..4).all(|c| c == vertex / 120 || to(&centres[c]) > own), "seed {seed} vertex {vertex}");
        }
    }
}

#[test]
fn a_ring_keeps_its_neighbours() {
    // Whether a thin ring stays open is a matter of the seed (umap-learn folds this one for about half of its seeds);
    // that neighbours along the ring stay neighbours is not.
    let n = 200;
    let mut edges = Vec::new();
    for i in 0..n as u32 {
        for step in 1..=6u32 {
            edges.push((i, (i + step) % n as u32, 1.0 / step as f32));
        }
    }
    for seed in 0..4 {
        let coordinates = layout(&from_edges(n, &edges), &UmapOptions { seed, ..Default::default() });
        let mut extent: Vec<f32> =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| distance(&coordinates, 2, i, j)).collect();
        extent.sort_by(f32::total_cmp);
        let typical = extent[extent.len() / 2];
        let mut along: Vec<f32> = (0..n).map(|i| distance(&coordinates, 2, i, (i + 1) % n)).collect();
        along.sort_by(f32::total_cmp);
        assert!(along[n / 2] < 0.15 * typical, "seed {seed}: {} of {typical}", along[n / 2]);
        assert!(along[n * 19 / 20] < 0.5 * typical, "seed {seed}: {} of {typical}", along[n * 19 / 20]);
    }
}

#[test]
fn disconnected_parts_are_laid_apart() {
    let mut edges = Vec::new();
    // Parts of 80, 30, 3 and 2 vertices, and 5 isolated ones.
    for (first, size) in [(0u32, 80u32), (80, 30), (110, 3), (113, 2)] {
        for i in 0..size {
            for step in [1, 2, 5] {
                let j = (i + step) % size;
                if i < j {
                    edges.push((first + i, first + j, 1.0));
                }
            }
        }
    }
    edges.sort_by_key(|&(i, j, _)| (i, j));
    edges.dedup_by_key(|&mut (i, j, _)| (i, j));
    let graph = from_edges(120, &edges);
    for d in [1, 2, 3] {
        let coordinates = layout(&graph, &UmapOptions { n_components: d, ..Default::default() });
        assert_eq!(coordinates.len(), 120 * d);
        assert!(coordinates.iter().all(|x| x.is_finite() && x.abs() < 200.0));
        if d == 2 {
            // Parts do not mix: the nearest vertex is of the same part.
            for i in 0..110 {
                let nearest = (0..110)
                    .filter(|&j| j != i)
                    .min_by(|&a, &b| distance(&coordinates, 2, i, a).total_cmp(&distance(&coordinates, 2, i, b)));
                assert_eq!(nearest.unwrap() < 80, i < 80, "vertex {i}");
            }
        }
    }
}

#[test]
fn tiny_graphs() {
    for init_pos in [InitPos::Spectral, InitPos::Random] {
        let options = UmapOptions { init_pos, ..Default::default() };
        assert!(layout(&Graph::empty(0), &options).is_empty());
        assert_eq!(layout(&Graph::empty(1), &options), [0.0, 0.0]);
        for graph in [Graph::empty(2), Graph::empty(9), from_edges(2, &[(0, 1, 1.0)]), ring(3), ring(4)] {
            let coordinates = layout(&graph, &options);
            assert!(coordinates.iter().all(|x| x.is_finite() && x.abs() < 100.0), "{coordinates:?}");
        }
        let pair = layout(&from_edges(2, &[(0, 1, 1.0)]), &options);
        assert!(distance(&pair, 2, 0, 1) < 4.0, "{pair:?}");
    }
}

#[test]
fn vertices_without_edges_stay() {
    let options = UmapOptions::default();
    let start = initial_positions(&Graph::empty(50), &options, &Ctx::quiet()).unwrap();
    assert_eq!(layout(&Graph::empty(50), &options), start);
    assert!(start.iter().all(|&x| (0.0..=10.0).contains(&x)));
}

#[test]
fn self_loops_and_zero_weights_change_nothing() {
    let plain = layout(
        &from_edges(4, &[(0, 1, 1.0), (1, 2, 0.5), (2, 3, 1.0)]),
        &UmapOptions { init_pos: InitPos::Random, ..Default::default() },
    );
    let graph = Graph::new(
        4,
        vec![0, 2, 4, 7, 9],
        vec![0, 1, 0, 2, 1, 2, 3, 0, 2],
        vec![3.0, 1.0, 1.0, 0.5, 0.5, 9.0, 1.0, 0.0, 1.0],
    )
    .unwrap();
    assert_eq!(layout(&graph, &UmapOptions { init_pos: InitPos::Random, ..Default::default() }), plain);
}

#[test]
fn a_directed_graph_counts_as_its_mean() {
    let directed = Graph::new(3, vec![0, 1, 2, 2], vec![1, 2], vec![1.0, 0.6]).unwrap();
    let both = from_edges(3, &[(0, 1, 0.5), (1, 2, 0.3)]);
    assert_eq!(layout(&directed, &UmapOptions::default()), layout(&both, &UmapOptions::default()));
}

#[test]
fn threads_change_no_bit_and_seeds_do() {
    let graph = planted(5, 1500, 14, 3, 1);
    let run = |threads, seed, n_components| {
        with_threads(Some(threads), || {
            umap(&graph, &UmapOptions { seed, maxiter: Some(20), n_components, ..Default::default() }, &Ctx::quiet())
        })
        .unwrap()
        .coordinates
    };
    for d in [1, 2, 3, 5] {
        let one = run(1, 0, d);
        assert_eq!(one, run(2, 0, d));
        assert_eq!(one, run(8, 0, d));
    }
    assert_ne!(run(2, 0, 2), run(2, 1, 2));
}

#[test]
fn stepping_gives_what_a_run_gives() {
    let graph = planted(3, 60, 8, 3, 2);
    let options = UmapOptions { maxiter: Some(60), ..Default::default() };
    let whole = umap(&graph, &options, &Ctx::quiet()).unwrap();
    let start = initial_positions(&graph, &options, &Ctx::quiet()).unwrap();
    let mut layout = Layout::new(&graph, &start, whole.a, whole.b, &options).unwrap();
    assert_eq!(layout.coordinates(), start);
    for epoch in [1, 7, 7, 30, 1000] {
        layout.run_until(epoch, &Ctx::quiet()).unwrap();
        assert_eq!(layout.epoch(), epoch.min(60));
    }
    assert_eq!(layout.n_epochs(), 60);
    assert_eq!(layout.coordinates(), whole.coordinates);
    let none = UmapOptions { maxiter: Some(0), ..options };
    assert_eq!(super::umap(&graph, &none, &Ctx::quiet()).unwrap().coordinates, start);
}

#[test]
fn positions_handed_in_are_used() {
    let graph = planted(2, 40, 8, 0, 2);
    let options = UmapOptions { maxiter: Some(0), ..Default::default() };
    let given: Vec<f32> = (0..160).map(|i| (i * i % 97) as f32 - 3.0).collect();
    let kept = umap_from(&graph, &given, &options, &Ctx::quiet()).unwrap().coordinates;
    for axis in 0..2 {
        let values: Vec<f32> = kept.iter().skip(axis).step_by(2).copied().collect();
        let (low, high) =
            (values.iter().copied().fold(f32::MAX, f32::min), values.iter().copied().fold(f32::MIN, f32::max));
        assert!(low.abs() < 1e-2 && (high - 10.0).abs() < 1e-2, "{low} {high}");
    }
    // All at one place: they still come apart.
    let together = umap_from(&graph, &[1.0; 160], &UmapOptions::default(), &Ctx::quiet()).unwrap().coordinates;
    let spread = |axis: usize| {
        let values = together.iter().skip(axis).step_by(2);
        values.clone().fold(f32::MIN, |m, &x| m.max(x)) - values.fold(f32::MAX, |m, &x| m.min(x))
    };
    assert!(spread(0) > 2.0 && spread(1) > 2.0);
    let error = |given: &[f32]| umap_from(&graph, given, &options, &Ctx::quiet()).unwrap_err().to_string();
    assert!(error(&given[1..]).contains("80 vertices x 2 coordinates"));
    let mut bad = given.clone();
    bad[7] = f32::NAN;
    assert!(error(&bad).contains("NaN at vertex 3"));
}

#[test]
fn each_invalid_option_is_named() {
    let refused = |options: UmapOptions, name: &str| {
        let message = umap(&ring(10), &options, &Ctx::quiet()).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    };
    let good = UmapOptions::default;
    for value in [-0.1, 1.1, f64::NAN] {
        refused(UmapOptions { min_dist: value, ..good() }, "`min_dist`");
    }
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        refused(UmapOptions { spread: value, ..good() }, "`spread`");
        refused(UmapOptions { alpha: value, ..good() }, "`alpha`");
        refused(UmapOptions { a: Some(value), b: Some(1.0), ..good() }, "`a`");
        refused(UmapOptions { a: Some(1.0), b: Some(value), ..good() }, "`b`");
    }
    refused(UmapOptions { n_components: 0, ..good() }, "`n_components`");
    refused(UmapOptions { n_components: 65, ..good() }, "`n_components`");
    refused(UmapOptions { gamma: -1.0, ..good() }, "`gamma`");
    refused(UmapOptions { gamma: f64::NAN, ..good() }, "`gamma`");
    refused(UmapOptions { a: Some(1.0), ..good() }, "both or neither");
    refused(UmapOptions { maxiter: Some(2_000_000), ..good() }, "`maxiter`");
    refused(UmapOptions { negative_sample_rate: 100_000, ..good() }, "`negative_sample_rate`");
    assert!(UmapOptions::from_json(r#"{"init_pos": "pca"}"#).unwrap_err().to_string().contains("pca"));
}

#[test]
fn options_have_their_effect() {
    let graph = planted(1, 300, 12, 0, 4);
    let extent = |options: UmapOptions| {
        let coordinates = layout(&graph, &options);
        let mean: [f32; 2] = std::array::from_fn(|k| coordinates.iter().skip(k).step_by(2).sum::<f32>() / 300.0);
        coordinates.chunks(2).map(|x| (x[0] - mean[0]).hypot(x[1] - mean[1])).sum::<f32>() / 300.0
    };
    let default = extent(UmapOptions::default());
    assert!(extent(UmapOptions { gamma: 0.0, ..Default::default() }) < 0.3 * default);
    assert!(extent(UmapOptions { negative_sample_rate: 0, ..Default::default() }) < 0.3 * default);
    assert!(extent(UmapOptions { gamma: 4.0, ..Default::default() }) > 1.2 * default);
    assert!(extent(UmapOptions { spread: 3.0, min_dist: 1.5, ..Default::default() }) > 1.5 * default);
    let moved = |alpha| {
        let options = UmapOptions { alpha, maxiter: Some(50), ..Default::default() };
        let start = initial_positions(&graph, &options, &Ctx::quiet()).unwrap();
        layout(&graph, &options).iter().zip(&start).map(|(x, y)| (x - y).abs()).sum::<f32>()
    };
    assert!(moved(1e-3) < 0.2 * moved(1.0));
}

#[test]
fn a_cancelled_run_stops() {
    let token = CancelToken::default();
    token.cancel();
    let ctx = Ctx::new(token, std::sync::Arc::new(Nothing));
    for init_pos in [InitPos::Spectral, InitPos::Random] {
        let result = umap(&ring(1000), &UmapOptions { init_pos, ..Default::default() }, &ctx);
        assert!(matches!(result, Err(crate::Error::Interrupted)));
    }
}

struct Nothing;

impl crate::progress::Progress for Nothing {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
}

#[test]
fn scores_by_hand_and_by_the_slow_way() {
    let ctx = Ctx::quiet();
    let mut stream = Stream::new(1, 1);
    let (n, p) = (60, 21);
    let x: Vec<f32> = (0..n * p).map(|_| stream.normal() as f32).collect();
    let y: Vec<f32> = x.chunks(p).flat_map(|row| [row[0], row[1] + row[2]]).collect();
    // The data itself keeps everything.
    assert_eq!(trustworthiness(&x, &x, n, 5, None, 0, &ctx).unwrap(), 1.0);
    assert_eq!(neighbor_preservation(&x, &x, n, 5, None, 0, &ctx).unwrap(), 1.0);
    for k in [1, 5, 15] {
        let ranked = |points: &[f32], dim: usize, i: usize| {
            let mut order: Vec<usize> = (0..n).filter(|&j| j != i).collect();
            order.sort_by(|&a, &b| distance(points, dim, i, a).total_cmp(&distance(points, dim, i, b)).then(a.cmp(&b)));
            order
        };
        let (mut penalty, mut kept) = (0.0, 0.0);
        for i in 0..n {
            let (high, low) = (ranked(&x, p, i), ranked(&y, 2, i));
            for j in &low[..k] {
                let rank = 1 + high.iter().position(|other| other == j).unwrap();
                penalty += rank.saturating_sub(k) as f64;
                kept += f64::from(u8::from(rank <= k));
            }
        }
        let expected = 1.0 - 2.0 * penalty / ((n * k * (2 * n - 3 * k - 1)) as f64);
        assert!((trustworthiness(&x, &y, n, k, None, 0, &ctx).unwrap() - expected).abs() < 1e-12);
        let expected = kept / (n * k) as f64;
        assert!((neighbor_preservation(&x, &y, n, k, None, 0, &ctx).unwrap() - expected).abs() < 1e-12);
    }
    let sampled = |threads| with_threads(Some(threads), || trustworthiness(&x, &y, n, 5, Some(20), 3, &ctx)).unwrap();
    assert_eq!(sampled(1).to_bits(), sampled(2).to_bits());
    assert_eq!(sampled(1).to_bits(), sampled(8).to_bits());
    let error =
        |x: &[f32], y: &[f32], n, k, sample| trustworthiness(x, y, n, k, sample, 0, &ctx).unwrap_err().to_string();
    assert!(error(&x, &y, n, 30, None).contains("n_neighbors"));
    assert!(error(&x, &y, n, 0, None).contains("n_neighbors"));
    assert!(error(&x, &y, n, 5, Some(0)).contains("sample"));
    assert!(error(&[], &[], 0, 5, None).contains("at least one row"));
    assert!(error(&x, &y[1..], n, 5, None).contains("embedding"));
    let mut bad = x.clone();
    bad[p] = f32::INFINITY;
    assert!(error(&bad, &y, n, 5, None).contains("row 1"));
}
