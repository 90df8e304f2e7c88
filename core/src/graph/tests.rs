use proptest::prelude::*;

use super::Graph;
use crate::data::Csr;

/// 0 - 1 - 2 (weights 0.5, 0.25), 3 alone, 4 - 5 (weight 1).
fn example() -> Graph {
    Graph::new(6, vec![0, 1, 3, 4, 4, 5, 6], vec![1, 0, 2, 1, 5, 4], vec![0.5, 0.5, 0.25, 0.25, 1.0, 1.0]).unwrap()
}

#[test]
fn by_hand() {
    let graph = example();
    assert_eq!(graph.nnz(), 6);
    assert_eq!(graph.row(1), (&[0u32, 2][..], &[0.5f32, 0.25][..]));
    assert_eq!(graph.degrees(), [0.5, 0.75, 0.25, 0.0, 1.0, 1.0]);
    assert_eq!(graph.total_weight(), 3.5);
    assert!(graph.is_symmetric());
    let components = graph.components();
    assert_eq!((components.count, components.labels), (3, vec![0, 0, 0, 1, 2, 2]));
}

#[test]
fn one_direction_or_another_weight_is_not_symmetric() {
    assert!(!Graph::new(2, vec![0, 1, 1], vec![1], vec![1.0]).unwrap().is_symmetric());
    assert!(!Graph::new(2, vec![0, 0, 1], vec![0], vec![1.0]).unwrap().is_symmetric());
    assert!(!Graph::new(2, vec![0, 1, 2], vec![1, 0], vec![1.0, 0.5]).unwrap().is_symmetric());
    assert!(!Graph::new(3, vec![0, 1, 2, 3], vec![1, 2, 0], vec![1.0; 3]).unwrap().is_symmetric());
    assert!(Graph::new(2, vec![0, 1, 1], vec![0], vec![1.0]).unwrap().is_symmetric());
    // One direction is enough to join.
    assert_eq!(Graph::new(2, vec![0, 1, 1], vec![1], vec![1.0]).unwrap().components().count, 1);
}

#[test]
fn zero_weights_do_not_join() {
    assert_eq!(Graph::new(2, vec![0, 1, 2], vec![1, 0], vec![0.0, 0.0]).unwrap().components().count, 2);
}

#[test]
fn empty_and_single() {
    assert_eq!(Graph::empty(0).components().count, 0);
    assert!(Graph::empty(0).is_symmetric());
    assert_eq!(Graph::empty(3).components().labels, [0, 1, 2]);
    assert_eq!(Graph::new(1, vec![0, 0], vec![], vec![]).unwrap().degrees(), [0.0]);
}

#[test]
fn a_chain_in_falling_order_is_one_component() {
    // Vertex i points to n - 1 - i, and neighbours touch: long paths for union-find.
    let n = 1000;
    let indices: Vec<u32> = (0..n as u32).map(|i| if i + 1 < n as u32 { i + 1 } else { 0 }).collect();
    let graph = Graph::new(n, (0..=n as u64).collect(), indices, vec![1.0; n]).unwrap();
    assert_eq!(graph.components().count, 1);
}

#[test]
fn unsorted_matrices_are_put_in_order() {
    let matrix = Csr::new(2, 2, vec![0, 3, 3], vec![1, 0, 1], vec![1.0, 2.0, 4.0]).unwrap();
    let graph = Graph::from_csr(matrix).unwrap();
    assert_eq!((graph.indices, graph.weights), (vec![0, 1], vec![2.0, 5.0]));
    let oblong = Csr::empty(2, 3);
    assert!(Graph::from_csr(oblong).unwrap_err().to_string().contains("square"));
}

#[test]
fn faults_are_named() {
    let fault = |indptr, indices: Vec<u32>, weights| Graph::new(2, indptr, indices, weights).unwrap_err().to_string();
    assert!(fault(vec![0, 1], vec![0], vec![1.0]).contains("3 entries"));
    assert!(fault(vec![0, 1, 2], vec![0, 2], vec![1.0, 1.0]).contains("below 2"));
    assert!(fault(vec![0, 1, 1], vec![0, 1], vec![1.0]).contains("as many"));
    assert!(fault(vec![0, 2, 2], vec![1, 0], vec![1.0, 1.0]).contains("ascending"));
    assert!(fault(vec![0, 2, 2], vec![1, 1], vec![1.0, 1.0]).contains("ascending"));
    assert!(fault(vec![0, 1, 1], vec![1], vec![-1.0]).contains("-1 at stored edge 0"));
    assert!(fault(vec![0, 1, 1], vec![1], vec![f32::NAN]).contains("NaN"));
    assert!(fault(vec![0, 1, 1], vec![1], vec![f32::INFINITY]).contains("inf"));
}

proptest! {
    #[test]
    fn components_match_flooding(n in 1usize..30, edges in prop::collection::vec((0usize..30, 0usize..30), 0..40)) {
        let mut dense = vec![vec![0f32; n]; n];
        for (a, b) in edges {
            dense[a % n][b % n] = 1.0;
        }
        let mut matrix = Csr::empty(n, n);
        for (i, row) in dense.iter().enumerate() {
            for (j, &weight) in row.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                matrix.indices.push(j as u32);
                matrix.values.push(weight);
            }
            matrix.indptr[i + 1] = matrix.indices.len() as u64;
        }
        let graph = Graph::from_csr(matrix).unwrap();
        let symmetric = (0..n).all(|i| (0..n).all(|j| dense[i][j] == dense[j][i]));
        prop_assert_eq!(graph.is_symmetric(), symmetric);
        // Flood from each unseen vertex in order.
        let mut labels = vec![u32::MAX; n];
        let mut count = 0;
        for start in 0..n {
            if labels[start] != u32::MAX {
                continue;
            }
            let mut stack = vec![start];
            labels[start] = count;
            while let Some(vertex) = stack.pop() {
                for other in 0..n {
                    if (dense[vertex][other] > 0.0 || dense[other][vertex] > 0.0) && labels[other] == u32::MAX {
                        labels[other] = count;
                        stack.push(other);
                    }
                }
            }
            count += 1;
        }
        let components = graph.components();
        prop_assert_eq!(components.count, count as usize);
        prop_assert_eq!(components.labels, labels);
    }
}
