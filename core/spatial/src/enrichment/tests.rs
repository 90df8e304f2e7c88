use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::{NhoodOptions, count_edges, exact, permuted, sum_weights};
use crate::Edges;

struct Drawn {
    indptr: Vec<i64>,
    indices: Vec<i32>,
    weights: Vec<f64>,
    labels: Vec<u32>,
}

/// A random directed graph on n cells, with or without an edge of each cell to itself.
fn drawn(n: usize, chance: f64, k: u64, own: bool, seed: u64) -> Drawn {
    let mut stream = Stream::new(seed, 0);
    let mut graph = Drawn { indptr: vec![0], indices: Vec::new(), weights: Vec::new(), labels: Vec::new() };
    for from in 0..n {
        for to in 0..n {
            if (from == to && own) || (from != to && stream.uniform() < chance) {
                graph.indices.push(to as i32);
                graph.weights.push(stream.uniform());
            }
        }
        graph.indptr.push(graph.indices.len() as i64);
        graph.labels.push(stream.below(k) as u32);
    }
    graph
}

impl Drawn {
    fn edges(&self) -> Edges<'_> {
        Edges::new(&self.indptr, &self.indices, &self.weights).unwrap()
    }
}

/// All orders of the labels, one by one.
fn every_order(labels: &mut Vec<u32>, from: usize, visit: &mut impl FnMut(&[u32])) {
    if from == labels.len() {
        return visit(labels);
    }
    for at in from..labels.len() {
        labels.swap(from, at);
        every_order(labels, from + 1, visit);
        labels.swap(from, at);
    }
}

#[test]
fn the_closed_form_is_that_of_all_orders() {
    for (n, chance, k, own, seed) in [
        (7, 0.5, 3, false, 1),
        (7, 0.3, 2, true, 2),
        (6, 1.0, 3, false, 3),
        (4, 0.6, 2, false, 4),
        (3, 0.8, 3, false, 5),
        (2, 1.0, 2, true, 6),
    ] {
        let graph = drawn(n, chance, k, own, seed);
        let (k, edges) = (k as usize, graph.edges());
        let found = exact(&edges, &graph.labels, k, &vec![0; n], 1, &Ctx::quiet()).unwrap();
        let (mut sums, mut squares, mut orders) = (vec![0.0; k * k], vec![0.0; k * k], 0.0);
        every_order(&mut graph.labels.clone(), 0, &mut |labels| {
            orders += 1.0;
            for (at, &count) in count_edges(&edges, labels, k, &Ctx::quiet()).unwrap().iter().enumerate() {
                sums[at] += count as f64;
                squares[at] += (count * count) as f64;
            }
        });
        for at in 0..k * k {
            let mean: f64 = sums[at] / orders;
            assert!((found.means[at] - mean).abs() < 1e-9, "mean {at} of {n} cells");
            assert!((found.variances[at] - (squares[at] / orders - mean * mean)).abs() < 1e-9, "variance {at} of {n}");
        }
    }
}

#[test]
fn libraries_add_up() {
    let (a, b) = (drawn(30, 0.2, 3, false, 1), drawn(20, 0.3, 3, false, 2));
    let joined = Drawn {
        indptr: a.indptr.iter().copied().chain(b.indptr[1..].iter().map(|end| end + a.indices.len() as i64)).collect(),
        indices: a.indices.iter().copied().chain(b.indices.iter().map(|to| to + 30)).collect(),
        weights: [a.weights.clone(), b.weights.clone()].concat(),
        labels: [a.labels.clone(), b.labels.clone()].concat(),
    };
    let libraries: Vec<u32> = (0..50).map(|cell| u32::from(cell >= 30)).collect();
    let one = |graph: &Drawn| {
        exact(&graph.edges(), &graph.labels, 3, &vec![0; graph.labels.len()], 1, &Ctx::quiet()).unwrap()
    };
    let both = exact(&joined.edges(), &joined.labels, 3, &libraries, 2, &Ctx::quiet()).unwrap();
    let (a, b) = (one(&a), one(&b));
    for at in 0..9 {
        assert_eq!(both.counts[at], a.counts[at] + b.counts[at]);
        assert_eq!(both.means[at], a.means[at] + b.means[at]);
        assert_eq!(both.variances[at], a.variances[at] + b.variances[at]);
    }
    let mixed: Vec<u32> = (0..50).map(|cell| cell % 2).collect();
    let error = exact(&joined.edges(), &joined.labels, 3, &mixed, 2, &Ctx::quiet()).unwrap_err().to_string();
    assert!(error.contains("between libraries"), "{error}");
}

#[test]
fn permutations_come_close_and_do_not_depend_on_threads() {
    let graph = drawn(200, 0.03, 4, false, 7);
    let libraries: Vec<u32> = vec![0; 200];
    let options = NhoodOptions { n_perms: Some(4000), seed: 3 };
    let run = |threads| {
        with_threads(Some(threads), || {
            permuted(&graph.edges(), &graph.labels, 4, &libraries, 1, &options, &Ctx::quiet())
        })
        .unwrap()
    };
    let (drawn, closed) = (run(1), exact(&graph.edges(), &graph.labels, 4, &libraries, 1, &Ctx::quiet()).unwrap());
    assert!(drawn == run(2) && drawn == run(8));
    assert_eq!(drawn.counts, closed.counts);
    for at in 0..16 {
        let sd = closed.variances[at].sqrt();
        assert!((drawn.means[at] - closed.means[at]).abs() < 5.0 * sd / 4000f64.sqrt());
        assert!((drawn.variances[at] / closed.variances[at] - 1.0).abs() < 0.15);
    }
}

#[test]
fn weights_between_labels_add_up() {
    let graph = drawn(50, 0.2, 3, true, 8);
    let sums = sum_weights(&graph.edges(), &graph.labels, 3, &Ctx::quiet()).unwrap();
    assert!((sums.iter().sum::<f64>() - graph.weights.iter().sum::<f64>()).abs() < 1e-9);
}

#[test]
fn faults_are_named() {
    let graph = drawn(5, 0.5, 2, false, 1);
    let none = NhoodOptions::default();
    let text = permuted(&graph.edges(), &graph.labels, 2, &[0; 5], 1, &none, &Ctx::quiet()).unwrap_err().to_string();
    assert!(text.contains("n_perms"), "{text}");
    let one = NhoodOptions { n_perms: Some(1), seed: 0 };
    assert!(permuted(&graph.edges(), &graph.labels, 2, &[0; 5], 1, &one, &Ctx::quiet()).is_err());
    assert!(count_edges(&graph.edges(), &[0; 4], 2, &Ctx::quiet()).unwrap_err().to_string().contains("one per cell"));
    let (indptr, indices, weights) = ([0, 1, 2], [0, 0], [1.0; 2]);
    let some = Edges::new(&indptr, &indices, &weights).unwrap();
    assert!(exact(&some, &[0, 1], 2, &[0; 2], 1, &Ctx::quiet()).unwrap_err().to_string().contains("1 of 2 cells"));
}
