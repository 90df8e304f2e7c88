//! Connected components by union-find.

use super::Graph;

/// The parts of a graph that no edge joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Components {
    /// How many there are.
    pub count: usize,
    /// Component of each vertex, `n` long; components are numbered by their lowest vertex.
    pub labels: Vec<u32>,
}

impl Graph {
    /// Connected components, edges taken in both directions; an edge of weight 0 does not join.
    ///
    /// Serial, nearly linear in the number of edges, 4 bytes per vertex of scratch memory.
    pub fn components(&self) -> Components {
        let mut parent: Vec<u32> = (0..self.n as u32).collect();
        for vertex in 0..self.n {
            let (targets, weights) = self.row(vertex);
            for (&target, &weight) in targets.iter().zip(weights) {
                if weight > 0.0 {
                    let (a, b) = (root(&mut parent, vertex as u32), root(&mut parent, target));
                    // The lower vertex stays root, so that roots meet in ascending order below.
                    parent[a.max(b) as usize] = a.min(b);
                }
            }
        }
        let mut labels = vec![0u32; self.n];
        let mut count = 0u32;
        for vertex in 0..self.n as u32 {
            let root = root(&mut parent, vertex);
            labels[vertex as usize] = if root == vertex {
                count += 1;
                count - 1
            } else {
                labels[root as usize]
            };
        }
        Components { count: count as usize, labels }
    }
}

/// Root of a vertex; halves the path on the way.
fn root(parent: &mut [u32], mut vertex: u32) -> u32 {
    while parent[vertex as usize] != vertex {
        let above = parent[parent[vertex as usize] as usize];
        parent[vertex as usize] = above;
        vertex = above;
    }
    vertex
}
