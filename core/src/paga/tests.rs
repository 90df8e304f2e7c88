use super::*;
use crate::Ctx;
use crate::graph::Graph;
use crate::parallel::with_threads;
use crate::random::Stream;

/// 0 <-> 1 -> 2 <-> 3 -> 4, and 5 <-> 4; groups {0, 1}, {2, 3}, {4, 5}, {6}.
fn example() -> (Graph, Vec<u32>) {
    let graph = Graph::new(7, vec![0, 1, 3, 4, 6, 7, 8, 8], vec![1, 0, 2, 3, 2, 4, 5, 4], vec![1.0; 8]).unwrap();
    (graph, vec![0, 0, 1, 1, 2, 2, 3])
}

fn random(n: usize, degree: usize, groups: u64) -> (Graph, Vec<u32>) {
    let (mut indptr, mut indices) = (vec![0u64], Vec::new());
    let mut labels = Vec::new();
    for cell in 0..n {
        let mut stream = Stream::new(5, cell as u64);
        let mut row: Vec<u32> = (0..degree).map(|_| ((cell as u64 + 1 + stream.below(40)) % n as u64) as u32).collect();
        row.sort_unstable();
        row.dedup();
        indices.extend(row);
        indptr.push(indices.len() as u64);
        labels.push((cell as u64 * groups / n as u64) as u32);
    }
    let weights = vec![0.5; indices.len()];
    (Graph::new(n, indptr, indices, weights).unwrap(), labels)
}

#[test]
fn by_hand() {
    let (graph, labels) = example();
    let found = paga(&graph, &labels, 4, &PagaOptions::default(), &Ctx::quiet()).unwrap();
    assert_eq!(found.sizes, [2, 2, 2, 1]);
    // One edge between groups 0 and 1; 3 leave cells of group 0, 3 of group 1: (3 x 2 + 3 x 2) / 6 = 2 by chance.
    assert_eq!(found.connectivities[1], 0.5);
    // One edge between 1 and 2; 3 and 2 leave: (3 x 2 + 2 x 2) / 6.
    assert!((found.connectivities[4 + 2] - 0.6).abs() < 1e-15);
    assert_eq!(found.connectivities[2], 0.0);
    assert_eq!(found.connectivities[4], 0.5);
    assert!(found.connectivities[12..].iter().all(|&x| x == 0.0));
    let mut tree = vec![0.0; 16];
    (tree[1], tree[4 + 2]) = (0.5, found.connectivities[4 + 2]);
    assert_eq!(found.tree, tree);
}

#[test]
fn the_older_model_by_hand() {
    // Undirected: 0 - 1 - 2; groups {0}, {1, 2}.
    let graph = Graph::new(3, vec![0, 1, 3, 4], vec![1, 0, 2, 1], vec![1.0; 4]).unwrap();
    let options = PagaOptions { model: PagaModel::V1_0, n_neighbors: Some(2) };
    let found = paga(&graph, &[0, 1, 1], 2, &options, &Ctx::quiet()).unwrap();
    assert!((found.connectivities[1] - 1.0 / (2.0 * 2f64.sqrt())).abs() < 1e-15);
}

#[test]
fn transitions_count_the_surplus() {
    let (graph, labels) = example();
    let found = transitions_confidence(&graph, &labels, 4, 2, &Ctx::quiet()).unwrap();
    let mut expected = vec![0.0; 16];
    // From group 0 to group 1, and from 1 to 2: one edge each, 2 x sqrt(2 x 2) = 4. Rows are where cells arrive.
    (expected[4], expected[8 + 1]) = (0.25, 0.25);
    assert_eq!(found, expected);
    let silent = Graph { weights: vec![0.0; 8], ..graph };
    assert_eq!(transitions_confidence(&silent, &labels, 4, 2, &Ctx::quiet()).unwrap(), [0.0; 16]);
}

#[test]
fn tables_are_symmetric_bounded_and_the_tree_is_as_strong_as_any() {
    let (graph, labels) = random(500, 6, 9);
    let found = paga(&graph, &labels, 9, &PagaOptions::default(), &Ctx::quiet()).unwrap();
    for i in 0..9 {
        for j in 0..9 {
            assert_eq!(found.connectivities[i * 9 + j], found.connectivities[j * 9 + i]);
            assert!((0.0..=1.0).contains(&found.connectivities[i * 9 + j]));
        }
    }
    let links: Vec<usize> = (0..81).filter(|&at| found.tree[at] > 0.0).collect();
    assert_eq!(links.len(), 8);
    // Prim's method, from group 0, the slow way.
    let (mut inside, mut total) = (vec![0usize], 0.0);
    while inside.len() < 9 {
        let best = inside
            .iter()
            .flat_map(|&i| (0..9).map(move |j| (i, j)))
            .filter(|(_, j)| !inside.contains(j))
            .max_by(|a, b| found.connectivities[a.0 * 9 + a.1].total_cmp(&found.connectivities[b.0 * 9 + b.1]))
            .unwrap();
        total += found.connectivities[best.0 * 9 + best.1].recip();
        inside.push(best.1);
    }
    let ours: f64 = links.iter().map(|&at| found.tree[at].recip()).sum();
    assert!((ours - total).abs() < 1e-12 * total);
}

#[test]
fn threads_change_nothing() {
    let (graph, labels) = random(20_000, 8, 30);
    let run = |threads| {
        with_threads(Some(threads), || paga(&graph, &labels, 30, &PagaOptions::default(), &Ctx::quiet())).unwrap()
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
}

#[test]
fn degenerate_graphs() {
    let options = PagaOptions::default();
    let none = paga(&Graph::empty(0), &[], 0, &options, &Ctx::quiet()).unwrap();
    assert!(none.connectivities.is_empty() && none.tree.is_empty());
    let one = paga(&Graph::empty(1), &[0], 1, &options, &Ctx::quiet()).unwrap();
    assert_eq!((one.connectivities, one.sizes), (vec![0.0], vec![1]));
    // A group without cells.
    let apart = paga(&Graph::empty(2), &[0, 2], 3, &options, &Ctx::quiet()).unwrap();
    assert_eq!((apart.sizes, apart.tree), (vec![1, 0, 1], vec![0.0; 9]));
}

#[test]
fn faults_are_named() {
    let graph = Graph::empty(2);
    let fault = |labels: &[u32], groups, options: &PagaOptions| {
        paga(&graph, labels, groups, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let fine = PagaOptions::default();
    assert!(fault(&[0], 1, &fine).contains("2 labels"));
    assert!(fault(&[0, 1], 1, &fine).contains("1 at cell 1"));
    assert!(fault(&[0, 1], 10_001, &fine).contains("10000"));
    assert!(fault(&[0, 0], 1, &PagaOptions { n_neighbors: Some(3), ..fine.clone() }).contains("n_neighbors"));
    let old = PagaOptions { model: PagaModel::V1_0, n_neighbors: None };
    assert!(fault(&[0, 0], 1, &old).contains("n_neighbors"));
    let fault = transitions_confidence(&graph, &[0, 0], 1, 0, &Ctx::quiet()).unwrap_err().to_string();
    assert!(fault.contains("n_neighbors"));
}
