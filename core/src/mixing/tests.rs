use super::*;
use crate::Ctx;
use crate::knn::{KnnOptions, Neighbors, Points, knn};
use crate::matrix::ValueSlice;
use crate::parallel::with_threads;
use crate::random::Stream;

fn draw(n: usize, d: usize, gap: f64, seed: u64) -> (Vec<f32>, Vec<u32>) {
    let mut stream = Stream::new(seed, 0);
    let labels: Vec<u32> = (0..n).map(|_| stream.below(3) as u32).collect();
    let values = labels.iter().flat_map(|&l| vec![gap * f64::from(l); d]).collect::<Vec<f64>>();
    (values.into_iter().map(|x| (x + stream.normal()) as f32).collect(), labels)
}

fn neighbors(values: &[f32], n: usize, k: usize) -> Neighbors {
    let points = Points::new(n, values.len() / n, ValueSlice::F32(values)).unwrap();
    knn(&points, &KnnOptions { n_neighbors: k, ..KnnOptions::default() }, &Ctx::quiet()).unwrap()
}

#[test]
fn lisi_counts_labels() {
    let ctx = Ctx::quiet();
    let (mixed, labels) = draw(600, 4, 0.0, 1);
    let (apart, own) = draw(600, 4, 50.0, 1);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let found = lisi(&neighbors(&mixed, 600, 90), &labels, 3, 30.0, &ctx).unwrap();
    assert!(mean(&found) > 2.6 && found.iter().all(|&x| (1.0..=3.0).contains(&x)), "{}", mean(&found));
    let found = lisi(&neighbors(&apart, 600, 90), &own, 3, 30.0, &ctx).unwrap();
    assert!((mean(&found) - 1.0).abs() < 1e-12);
    // Equal distances: every weight the same, so the index follows from the counts alone.
    let row = Neighbors { n: 5, k: 5, indices: [0, 1, 2, 3, 4].repeat(5), distances: vec![0.0; 25], exact: true };
    let found = lisi(&row, &[0, 0, 0, 1, 1], 2, 4.0, &ctx).unwrap();
    assert!((found[0] - 2.0).abs() < 1e-12, "two and two: {}", found[0]);
}

/// The definition, cell by cell.
fn silhouette_slowly(values: &[f32], d: usize, labels: &[u32]) -> Vec<f64> {
    let n = labels.len();
    let distance = |i: usize, j: usize| {
        (0..d).map(|c| (f64::from(values[i * d + c]) - f64::from(values[j * d + c])).powi(2)).sum::<f64>().sqrt()
    };
    let mean = |i: usize, label: u32| {
        let others: Vec<usize> = (0..n).filter(|&j| j != i && labels[j] == label).collect();
        others.iter().map(|&j| distance(i, j)).sum::<f64>() / others.len() as f64
    };
    (0..n)
        .map(|i| {
            let inside = mean(i, labels[i]);
            let outside = (0..3).filter(|&l| l != labels[i]).map(|l| mean(i, l)).fold(f64::INFINITY, f64::min);
            if inside.is_nan() { 0.0 } else { (outside - inside) / inside.max(outside) }
        })
        .collect()
}

#[test]
fn silhouette_is_the_definition() {
    for (n, d, gap) in [(50, 2, 1.0), (700, 5, 0.5), (131, 1, 3.0)] {
        let (values, labels) = draw(n, d, gap, 2);
        let points = Points::new(n, d, ValueSlice::F32(&values)).unwrap();
        let all: Vec<u32> = (0..n as u32).collect();
        let found = silhouette(&points, &labels, 4, &all, &Ctx::quiet()).unwrap();
        for (a, b) in found.iter().zip(silhouette_slowly(&values, d, &labels)) {
            assert!((a - b).abs() < 1e-9, "{n} {d}: {a} {b}");
        }
        let some = silhouette(&points, &labels, 4, &[7, 3], &Ctx::quiet()).unwrap();
        assert!((some[0] - found[7]).abs() < 1e-12 && (some[1] - found[3]).abs() < 1e-12);
    }
}

#[test]
fn kbet_accepts_what_is_mixed() {
    let ctx = Ctx::quiet();
    let (mixed, labels) = draw(900, 3, 0.0, 3);
    let found = kbet(&neighbors(&mixed, 900, 40), &labels, 3, 0.05, &ctx).unwrap();
    assert!(found.acceptance_rate > 0.85, "{}", found.acceptance_rate);
    let (apart, own) = draw(900, 3, 20.0, 3);
    let found = kbet(&neighbors(&apart, 900, 40), &own, 3, 0.05, &ctx).unwrap();
    assert_eq!(found.acceptance_rate, 0.0);
    // By hand: two batches of one half each, a neighbourhood of 3 and 1: chi square 1, p 0.3173.
    let row = Neighbors { n: 4, k: 4, indices: [0, 1, 2, 2].repeat(4), distances: vec![0.0; 16], exact: true };
    let found = kbet(&row, &[0, 1, 0, 1], 2, 0.05, &ctx).unwrap();
    assert!((found.statistics[0] - 1.0).abs() < 1e-12 && (found.p_values[0] - 0.317_310_507_862_9).abs() < 1e-9);
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let (values, labels) = draw(800, 6, 0.7, 4);
    let graph = neighbors(&values, 800, 50);
    let run = |threads| {
        with_threads(Some(threads), || {
            let ctx = Ctx::quiet();
            let points = Points::new(800, 6, ValueSlice::F32(&values))?;
            let all: Vec<u32> = (0..800).collect();
            Ok((
                lisi(&graph, &labels, 3, 20.0, &ctx)?,
                silhouette(&points, &labels, 3, &all, &ctx)?,
                kbet(&graph, &labels, 3, 0.05, &ctx)?,
            ))
        })
        .unwrap()
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(8));
}

#[test]
fn faults_are_named() {
    let ctx = Ctx::quiet();
    let (values, labels) = draw(30, 2, 1.0, 5);
    let graph = neighbors(&values, 30, 9);
    let points = Points::new(30, 2, ValueSlice::F32(&values)).unwrap();
    let text = |result: Result<Vec<f64>>| result.unwrap_err().to_string();
    assert!(text(lisi(&graph, &labels[1..], 3, 3.0, &ctx)).contains("30 labels"));
    assert!(text(lisi(&graph, &labels, 1, 3.0, &ctx)).contains("labels below 1"));
    assert!(text(lisi(&graph, &labels, 3, 0.5, &ctx)).contains("perplexity"));
    assert!(text(silhouette(&points, &[0; 30], 3, &[0], &ctx)).contains("two labels"));
    assert!(text(silhouette(&points, &labels, 3, &[30], &ctx)).contains("below 30"));
    assert!(kbet(&graph, &labels, 3, 1.0, &ctx).unwrap_err().to_string().contains("alpha"));
    assert!(kbet(&graph, &[2; 30], 3, 0.1, &ctx).unwrap_err().to_string().contains("two batches"));
}
