use super::*;
use crate::knn::Neighbors;
use crate::parallel::with_threads;
use crate::random::Stream;

/// Three groups of points, far apart, in 5 dimensions.
fn groups(n: usize) -> Vec<f32> {
    let mut stream = Stream::new(4, 0);
    (0..n)
        .flat_map(|i| {
            (0..5).map(|d| (if d == i % 3 { 20.0 } else { 0.0 }) + stream.normal() as f32).collect::<Vec<_>>()
        })
        .collect()
}

fn quick(options: TsneOptions) -> TsneOptions {
    TsneOptions { n_iter: 300, early_exaggeration_iter: 100, perplexity: 10.0, ..options }
}

#[test]
fn similarities_have_the_perplexity_asked_for() {
    let (n, d) = (200, 5);
    let points = groups(n);
    let view = Points::new(n, d, ValueSlice::F32(&points)).unwrap();
    let neighbors = knn(&view, &KnnOptions { n_neighbors: 61, ..Default::default() }, &Ctx::quiet()).unwrap();
    let similar = affinities::affinities(&neighbors, 20.0, &Ctx::quiet()).unwrap();
    assert!(similar.is_symmetric() && (similar.total_weight() - 1.0).abs() < 1e-6);
    // One point sees the others with the entropy asked for: kernels by hand, from one neighbourhood alone.
    let alone =
        Neighbors { n: 1, k: 61, indices: vec![0; 61], distances: neighbors.distances[..61].to_vec(), exact: true };
    let distances: Vec<f64> = alone.distances[1..].iter().map(|&d| f64::from(d).powi(2)).collect();
    let entropy = |b: f64| {
        let p: Vec<f64> = distances.iter().map(|d| (-b * d).exp()).collect();
        let sum: f64 = p.iter().sum();
        p.iter().map(|p| -p / sum * (p / sum).ln()).sum::<f64>()
    };
    let (mut low, mut high) = (1e-6, 1e3);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if entropy(middle) > 20f64.ln() { low = middle } else { high = middle }
    }
    let p: Vec<f64> = distances.iter().map(|d| (-low * d).exp()).collect();
    let sum: f64 = p.iter().sum();
    // What both sides see is averaged: at least half of this side's share is there.
    for (k, &other) in neighbors.indices[1..61].iter().enumerate() {
        let (targets, weights) = similar.row(0);
        let at = targets.iter().position(|&target| target == other).unwrap();
        assert!(f64::from(weights[at]) * 2.0 * n as f64 >= p[k] / sum * (1.0 - 1e-4));
    }
}

#[test]
fn groups_stay_together() {
    let n = 300;
    for learning_rate in [None, Some(1000.0)] {
        let options = quick(TsneOptions { learning_rate, ..Default::default() });
        let found = tsne(&groups(n), n, None, &options, &Ctx::quiet()).unwrap();
        let y = &found.coordinates;
        assert_eq!(y.len(), 2 * n);
        let distance = |a: usize, b: usize| (y[2 * a] - y[2 * b]).hypot(y[2 * a + 1] - y[2 * b + 1]);
        let apart = (0..n).filter(|&a| {
            let others = (0..n).filter(|&b| b != a);
            let nearest = others.min_by(|&b, &c| distance(a, b).total_cmp(&distance(a, c)));
            nearest.is_none_or(|b| a % 3 != b % 3)
        });
        // Steps as long as 1000, on so few points, may leave one astray.
        let apart = apart.count();
        assert!(apart <= if learning_rate.is_none() { 0 } else { n / 50 }, "{learning_rate:?}: {apart}");
        assert!(found.kl_divergence > 0.0 && found.kl_divergence < 1.5, "{}", found.kl_divergence);
        assert!((y.iter().step_by(2).sum::<f32>() / n as f32).abs() < 1e-2);
    }
}

#[test]
fn the_tree_changes_little_and_steps_help() {
    let n = 250;
    let points = groups(n);
    let with = |theta, n_iter| {
        let options =
            TsneOptions { theta, n_iter, early_exaggeration_iter: 100, perplexity: 10.0, ..Default::default() };
        tsne(&points, n, None, &options, &Ctx::quiet()).unwrap().kl_divergence
    };
    let (exact, tree) = (with(0.0, 400), with(0.5, 400));
    assert!((exact - tree).abs() < 0.1 * exact, "{exact} {tree}");
    assert!(with(0.5, 120) > tree);
}

#[test]
fn threads_change_nothing_and_seeds_little() {
    let n = 2000;
    let points = groups(n);
    let options = TsneOptions { n_iter: 60, early_exaggeration_iter: 40, ..Default::default() };
    let run = |threads| with_threads(Some(threads), || tsne(&points, n, None, &options, &Ctx::quiet())).unwrap();
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
    assert!(tsne(&points, n, None, &TsneOptions { seed: 1, ..options }, &Ctx::quiet()).unwrap() != one);
}

#[test]
fn a_given_start_is_used() {
    let n = 60;
    let points = groups(n);
    let start: Vec<f32> = (0..2 * n).map(|i| ((i * 37) % 101) as f32).collect();
    let none = TsneOptions { n_iter: 0, early_exaggeration_iter: 0, perplexity: 5.0, ..Default::default() };
    let found = tsne(&points, n, Some(&start), &none, &Ctx::quiet()).unwrap();
    let spread = |values: &[f32]| {
        let mean = values.iter().step_by(2).sum::<f32>() / n as f32;
        values.iter().step_by(2).map(|x| x - mean).collect::<Vec<_>>()
    };
    let (a, b) = (spread(&start), spread(&found.coordinates));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!(dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt() > 0.999);
}

#[test]
fn degenerate_points() {
    let options = quick(TsneOptions { early_exaggeration: 4.0, ..Default::default() });
    for points in [vec![1f32; 200], (0..200).map(|i| (i / 20 % 2) as f32).collect()] {
        let found = tsne(&points, 40, None, &options, &Ctx::quiet()).unwrap();
        assert!(found.coordinates.iter().all(|x| x.is_finite()) && found.kl_divergence.is_finite());
    }
    let few = TsneOptions { perplexity: 1.5, ..options.clone() };
    let found = tsne(&[0.0, 1.0, 5.0, 6.0], 4, None, &few, &Ctx::quiet()).unwrap();
    assert!(found.coordinates.iter().all(|x| x.is_finite()));
    let auto = TsneOptions { learning_rate: None, ..options };
    assert!(tsne(&groups(100), 100, None, &auto, &Ctx::quiet()).unwrap().kl_divergence < 2.0);
}

#[test]
fn faults_are_named() {
    let points = groups(30);
    let fault = |points: &[f32], n, options: &TsneOptions| {
        tsne(points, n, None, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let fine = TsneOptions { perplexity: 5.0, ..Default::default() };
    assert!(fault(&points[..15], 3, &fine).contains("at least 4"));
    assert!(fault(&[], 0, &fine).contains("at least 4"));
    assert!(fault(&points, 30, &TsneOptions { perplexity: 30.0, ..fine.clone() }).contains("perplexity"));
    assert!(fault(&points, 30, &TsneOptions { perplexity: f64::NAN, ..fine.clone() }).contains("perplexity"));
    assert!(
        fault(&points, 30, &TsneOptions { early_exaggeration: 0.5, ..fine.clone() }).contains("early_exaggeration")
    );
    assert!(fault(&points, 30, &TsneOptions { learning_rate: Some(0.0), ..fine.clone() }).contains("learning_rate"));
    assert!(fault(&points, 30, &TsneOptions { n_iter: 10, ..fine.clone() }).contains("early_exaggeration_iter"));
    assert!(fault(&points, 30, &TsneOptions { theta: 2.0, ..fine.clone() }).contains("theta"));
    let mut broken = points.clone();
    broken[7] = f32::NAN;
    assert!(fault(&broken, 30, &fine).contains("row 1"));
    let short = tsne(&points, 30, Some(&[0.0; 4]), &fine, &Ctx::quiet()).unwrap_err().to_string();
    assert!(short.contains("30 x 2"));
}
