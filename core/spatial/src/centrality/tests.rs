use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::{Undirected, centrality};
use crate::Edges;

#[test]
fn a_triangle_with_a_tail() {
    // 0 -> 1 -> 2 -> 0, 2 -> 3 -> 4; 5 alone. 3 is its own neighbour, which changes nothing.
    let (indptr, indices, weights) = ([0, 1, 2, 4, 6, 6, 6], [1, 2, 0, 3, 3, 4], [1.0; 6]);
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let found = centrality(&edges, &[0, 0, 1, 1, 2, 2], 3, &Ctx::quiet()).unwrap();
    assert_eq!(found.degree, [1.0 / 4.0, 3.0 / 4.0, 1.0 / 4.0]);
    // Cells 0 and 1 have closed pairs; 2 one of three; 3 none of one.
    assert_eq!(found.clustering, [1.0, 1.0 / 6.0, 0.0]);
    // From {0, 1}: 2, 3, 4 in 1, 2, 3 steps, 5 not at all. From {2, 3}: 0, 1, 4. From {4, 5}: 3, 2, 0, 1 in 1, 2, 3, 3.
    assert_eq!(found.closeness, [4.0 / 6.0, 4.0 / 3.0, 4.0 / 9.0]);
    assert_eq!(found.reached, [0.75, 0.75, 1.0]);
    let one = centrality(&edges, &[0; 6], 1, &Ctx::quiet()).unwrap();
    assert!(one.degree[0].is_nan() && one.reached[0].is_nan() && one.closeness == [0.0]);
}

#[test]
fn edges_of_either_direction_join_once_and_threads_change_nothing() {
    let n = 300;
    let mut stream = Stream::new(3, 0);
    let (mut indptr, mut indices) = (vec![0i64], Vec::new());
    for _ in 0..n {
        let mut row: Vec<i32> = (0..5).map(|_| stream.below(n as u64) as i32).collect();
        row.sort_unstable();
        row.dedup();
        indices.extend(row);
        indptr.push(indices.len() as i64);
    }
    let weights = vec![0.5; indices.len()];
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let graph = Undirected::new(&edges);
    for a in 0..n {
        let all: Vec<u32> = (0..n as u32)
            .filter(|&b| {
                b as usize != a && (edges.find(a, b as usize).is_some() || edges.find(b as usize, a).is_some())
            })
            .collect();
        assert_eq!(graph.of(a), all);
    }
    let labels: Vec<u32> = (0..n as u32).map(|cell| cell % 7).collect();
    let bits = |threads| with_threads(Some(threads), || centrality(&edges, &labels, 7, &Ctx::quiet())).unwrap();
    assert_eq!(bits(1), bits(4));
}
