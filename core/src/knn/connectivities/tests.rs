use super::*;
use crate::knn::{KnnOptions, Points, knn};
use crate::matrix::ValueSlice;
use crate::parallel::with_threads;
use crate::random::Stream;

fn neighbours(n: usize, d: usize, k: usize) -> Neighbors {
    let mut stream = Stream::new(n as u64, 1);
    let values: Vec<f64> = (0..n * d).map(|_| stream.normal()).collect();
    let points = Points::new(n, d, ValueSlice::F64(&values)).unwrap();
    knn(&points, &KnnOptions { n_neighbors: k, ..KnnOptions::default() }, &Ctx::quiet()).unwrap()
}

fn build(neighbors: &Neighbors, method: Method) -> Graph {
    let options = ConnectivitiesOptions { method, ..ConnectivitiesOptions::default() };
    let graph = connectivities(neighbors, &options, &Ctx::quiet()).unwrap();
    let checked = Graph::new(graph.n, graph.indptr.clone(), graph.indices.clone(), graph.weights.clone());
    assert_eq!(checked.unwrap(), graph);
    assert!(graph.is_symmetric());
    assert!((0..graph.n).all(|row| !graph.row(row).0.contains(&(row as u32))));
    graph
}

fn weight(graph: &Graph, i: usize, j: usize) -> f64 {
    let (targets, weights) = graph.row(i);
    targets.iter().position(|&target| target as usize == j).map_or(0.0, |place| f64::from(weights[place]))
}

/// Four rows on a line at 0, 1, 3, 7 with 3 neighbours each.
fn line() -> Neighbors {
    Neighbors {
        n: 4,
        k: 3,
        indices: vec![0, 1, 2, 1, 0, 2, 2, 1, 0, 3, 2, 1],
        distances: vec![0.0, 1.0, 3.0, 0.0, 1.0, 2.0, 0.0, 2.0, 3.0, 0.0, 4.0, 6.0],
        exact: true,
    }
}

#[test]
fn umap_by_hand() {
    // rho is the first distance, so its weight is 1 and the other is log2(3) - 1 in every row.
    let graph = build(&line(), Method::Umap);
    let rest = 3f64.log2() - 1.0;
    let either = |a: f64, b: f64| a + b - a * b;
    for (i, j, expected) in
        [(0, 1, 1.0), (0, 2, either(rest, rest)), (1, 2, either(rest, 1.0)), (1, 3, rest), (2, 3, 1.0), (0, 3, 0.0)]
    {
        assert!((weight(&graph, i, j) - expected).abs() < 2e-5, "{i} {j} {}", weight(&graph, i, j));
    }
    // Intersection keeps what both directions have.
    let options = ConnectivitiesOptions { set_op_mix_ratio: 0.0, ..ConnectivitiesOptions::default() };
    let graph = connectivities(&line(), &options, &Ctx::quiet()).unwrap();
    assert_eq!(weight(&graph, 1, 3), 0.0);
    assert!((weight(&graph, 0, 2) - rest * rest).abs() < 2e-5);
}

#[test]
fn gauss_by_hand() {
    // Squared widths: medians of (1, 9), (1, 4), (4, 9), (16, 36).
    let graph = build(&line(), Method::Gauss);
    let widths = [5.0f64, 2.5, 6.5, 26.0];
    for (i, j, distance) in [(0, 1, 1.0f64), (0, 2, 3.0), (1, 2, 2.0), (1, 3, 6.0), (2, 3, 4.0)] {
        let sum = widths[i] + widths[j];
        let expected = (2.0 * (widths[i] * widths[j]).sqrt() / sum).sqrt() * (-distance * distance / sum).exp();
        assert!((weight(&graph, i, j) - expected).abs() < 1e-6, "{i} {j}");
    }
    assert_eq!(weight(&graph, 0, 3), 0.0);
}

#[test]
fn jaccard_by_hand() {
    // Others: {1, 2}, {0, 2}, {0, 1}, {1, 2}. Rows 0 and 1 share 2 of three.
    let graph = build(&line(), Method::Jaccard);
    let third = 1.0 / 3.0;
    for (i, j, expected) in [(0, 1, third), (0, 2, third), (1, 2, third), (2, 3, third / 2.0), (1, 3, third / 2.0)] {
        assert!((weight(&graph, i, j) - expected).abs() < 1e-7, "{i} {j}");
    }
}

#[derive(serde::Deserialize)]
struct Expected {
    indptr: Vec<u64>,
    indices: Vec<u32>,
    weights: Vec<f32>,
}

#[derive(serde::Deserialize)]
struct Golden {
    n: usize,
    k: usize,
    indices: Vec<u32>,
    distances: Vec<f32>,
    umap: Expected,
    gauss: Expected,
}

#[test]
fn weights_are_those_of_scanpy() {
    // See tests/golden/connectivities/make.py.
    let text = include_str!("../../../tests/golden/connectivities/expected.json");
    let golden: Golden = serde_json::from_str(text).unwrap();
    let Golden { n, k, indices, distances, umap, gauss } = golden;
    let neighbors = Neighbors { n, k, indices, distances, exact: true };
    for (method, expected) in [(Method::Umap, umap), (Method::Gauss, gauss)] {
        let graph = build(&neighbors, method);
        assert_eq!((&graph.indptr, &graph.indices), (&expected.indptr, &expected.indices), "{method:?}");
        for (ours, theirs) in graph.weights.iter().zip(&expected.weights) {
            assert!((ours - theirs).abs() < 1e-6, "{method:?} {ours} {theirs}");
        }
    }
}

#[test]
fn umap_rows_sum_to_the_logarithm() {
    // Before joining, the weights of a row sum to log2(k): recover that from a graph whose edges do not meet.
    let n = 40;
    let k = 20;
    // Row 0 lists 1..19; every other row lists only rows of its own block, at equal distances.
    let mut neighbors = Neighbors { n, k, exact: true, ..Neighbors::default() };
    for row in 0..n as u32 {
        neighbors.indices.push(row);
        neighbors.distances.push(0.0);
        for step in 1..k as u32 {
            neighbors.indices.push(if row == 0 { step } else { (row + step) % n as u32 });
            neighbors.distances.push(if row == 0 { step as f32 } else { 1.0 });
        }
    }
    let options = ConnectivitiesOptions { set_op_mix_ratio: 1.0, ..ConnectivitiesOptions::default() };
    let graph = connectivities(&neighbors, &options, &Ctx::quiet()).unwrap();
    // Rows 1 to 20 do not point back to 0, so (0, j) carries row 0's weight alone.
    let sum: f64 = (1..k).map(|j| weight(&graph, 0, j)).sum();
    assert!((sum - (k as f64).log2()).abs() < 1e-4, "{sum}");
}

#[test]
fn permuting_rows_permutes_the_graph() {
    let neighbors = neighbours(60, 5, 8);
    let n = neighbors.n;
    let mut to: Vec<u32> = (0..n as u32).collect();
    Stream::new(1, 1).shuffle(&mut to);
    let mut permuted = neighbors.clone();
    for row in 0..n {
        for place in 0..neighbors.k {
            let new = to[row] as usize * neighbors.k + place;
            permuted.indices[new] = to[neighbors.indices[row * neighbors.k + place] as usize];
            permuted.distances[new] = neighbors.distances[row * neighbors.k + place];
        }
    }
    for method in [Method::Umap, Method::Gauss, Method::Jaccard] {
        let (graph, other) = (build(&neighbors, method), build(&permuted, method));
        for i in 0..n {
            for j in 0..n {
                assert_eq!(weight(&graph, i, j), weight(&other, to[i] as usize, to[j] as usize));
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let neighbors = neighbours(3000, 4, 10);
    for method in [Method::Umap, Method::Gauss, Method::Jaccard] {
        let run = |threads| with_threads(Some(threads), || Ok(build(&neighbors, method))).unwrap();
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(8));
    }
}

#[test]
fn duplicates_and_zeros_give_finite_weights() {
    // Three copies of one row and one apart; all distances of the copies are 0.
    let neighbors = Neighbors {
        n: 4,
        k: 3,
        indices: vec![0, 1, 2, 1, 0, 2, 2, 0, 1, 3, 0, 1],
        distances: vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 5.0],
        exact: true,
    };
    for method in [Method::Umap, Method::Gauss, Method::Jaccard] {
        let graph = build(&neighbors, method);
        assert!(weight(&graph, 0, 1) > 0.0 && weight(&graph, 0, 1) <= 1.0, "{method:?}");
    }
    assert_eq!(build(&Neighbors::default(), Method::Umap), Graph::empty(0));
}

#[test]
fn faults_are_named() {
    let fault = |change: &dyn Fn(&mut Neighbors)| {
        let mut neighbors = line();
        change(&mut neighbors);
        connectivities(&neighbors, &ConnectivitiesOptions::default(), &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&|x| x.indices[4] = 9).contains("9 in row 1"));
    assert!(fault(&|x| x.distances[4] = -1.0).contains("-1 in row 1"));
    assert!(fault(&|x| x.distances[4] = f32::NAN).contains("NaN"));
    assert!(fault(&|x| x.indices[4] = 2).contains("2 twice in row 1"));
    assert!(fault(&|x| x.k = 4).contains("4 x 4"));
    let options = |text: &str| ConnectivitiesOptions::from_json(text).unwrap_err().to_string();
    assert!(options(r#"{"local_connectivity": -1}"#).contains("local_connectivity"));
    assert!(options(r#"{"set_op_mix_ratio": 2}"#).contains("set_op_mix_ratio"));
    assert!(options(r#"{"method": "nearest"}"#).contains("nearest"));
}
