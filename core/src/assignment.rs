//! Sparse assignment: the cheapest set of links in which every row and every column is used at most once.
//!
//! Rows are added one by one along shortest augmenting paths with dual prices (Jonker and Volgenant 1987), by Dijkstra's
//! search over the links that exist. A row that stays alone costs nothing, so only links of negative cost are ever
//! worth having. The graph is cut into its connected components, which are solved in parallel; the result is optimal,
//! and ties are broken by the order of the columns, whatever the threads.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rayon::prelude::*;

/// No partner.
const NONE: u32 = u32::MAX;

/// One possible link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// Row.
    pub row: u32,
    /// Column.
    pub column: u32,
    /// Cost against leaving both alone: links of 0 and above are never chosen.
    pub cost: f64,
}

/// For each of `rows` rows the index of the edge chosen, or `None`: the assignment of least total cost.
///
/// Edges may come in any order, and several times for a pair. Cost: for each row a search that ends at the nearest free
/// column, edges of the component times the logarithm of its columns at worst.
pub fn assign(rows: usize, columns: usize, edges: &[Edge]) -> Vec<Option<usize>> {
    let mut parent: Vec<u32> = (0..(rows + columns) as u32).collect();
    let useful: Vec<usize> = (0..edges.len()).filter(|&at| edges[at].cost < 0.0).collect();
    for &at in &useful {
        union(&mut parent, edges[at].row, rows as u32 + edges[at].column);
    }
    // Edges grouped by component, numbered by their smallest row.
    let mut grouped: Vec<(u32, usize)> = useful.iter().map(|&at| (find(&mut parent, edges[at].row), at)).collect();
    grouped.sort_unstable_by(|a, b| {
        let (x, y) = (&edges[a.1], &edges[b.1]);
        (a.0, x.row, x.column).cmp(&(b.0, y.row, y.column)).then(x.cost.total_cmp(&y.cost)).then(a.1.cmp(&b.1))
    });
    let components: Vec<&[(u32, usize)]> = grouped.chunk_by(|a, b| a.0 == b.0).collect();
    let chosen: Vec<Vec<usize>> =
        components.par_iter().with_min_len(16).map(|component| solve(component, edges)).collect();
    let mut out = vec![None; rows];
    for at in chosen.into_iter().flatten() {
        out[edges[at].row as usize] = Some(at);
    }
    out
}

fn find(parent: &mut [u32], mut node: u32) -> u32 {
    while parent[node as usize] != node {
        parent[node as usize] = parent[parent[node as usize] as usize];
        node = parent[node as usize];
    }
    node
}

/// Joins two sets; the smaller number leads.
fn union(parent: &mut [u32], a: u32, b: u32) {
    let (a, b) = (find(parent, a), find(parent, b));
    let (low, high) = (a.min(b), a.max(b));
    parent[high as usize] = low;
}

/// A place that the search may settle next: nearest first, then the lower column.
#[derive(PartialEq)]
struct Reached {
    distance: f64,
    column: u32,
}

impl Eq for Reached {}

impl Ord for Reached {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance).then(other.column.cmp(&self.column))
    }
}

impl PartialOrd for Reached {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Edges chosen in one component, whose edges are sorted by row and column.
fn solve(component: &[(u32, usize)], edges: &[Edge]) -> Vec<usize> {
    if let [(_, only)] = component {
        return vec![*only];
    }
    let mut columns: Vec<u32> = component.iter().map(|&(_, at)| edges[at].column).collect();
    columns.sort_unstable();
    columns.dedup();
    // Links of each row as (column here, cost, edge).
    let mut begins = Vec::new();
    let mut links = Vec::with_capacity(component.len());
    let mut last = None;
    for &(_, at) in component {
        let edge = &edges[at];
        if last != Some(edge.row) {
            begins.push(links.len());
            last = Some(edge.row);
        }
        let column = columns.partition_point(|&column| column < edge.column);
        links.push((column as u32, edge.cost, at));
    }
    let rows = begins.len();
    begins.push(links.len());

    let n = columns.len();
    // Prices of rows and columns; link of each row, row of each column.
    let (mut row_price, mut column_price) = (vec![0.0f64; rows], vec![0.0f64; n]);
    let (mut link_of, mut row_of) = (vec![NONE; rows], vec![NONE; n]);
    let mut distance = vec![f64::INFINITY; n];
    let mut through = vec![NONE; n];
    let mut settled = vec![false; n];
    let (mut touched, mut heap) = (Vec::new(), BinaryHeap::new());
    for start in 0..rows {
        heap.clear();
        for &column in &touched {
            let column: u32 = column;
            (distance[column as usize], settled[column as usize]) = (f64::INFINITY, false);
        }
        touched.clear();
        // Rows on the way, with the distance at which they were reached.
        let mut reached_rows = vec![(start, 0.0f64)];
        // Cheapest end so far: a row that stays alone (at no cost), or a free column.
        let mut alone = (f64::INFINITY, NONE);
        let mut end = None;
        let (mut row, mut so_far) = (start, 0.0f64);
        let total = loop {
            let leave = so_far - row_price[row];
            if leave < alone.0 {
                alone = (leave, row as u32);
            }
            for (at, &(column, cost, _)) in links[begins[row]..begins[row + 1]].iter().enumerate() {
                let there = so_far + cost - row_price[row] - column_price[column as usize];
                if !settled[column as usize] && there < distance[column as usize] {
                    if distance[column as usize] == f64::INFINITY {
                        touched.push(column);
                    }
                    distance[column as usize] = there;
                    through[column as usize] = (begins[row] + at) as u32;
                    heap.push(Reached { distance: there, column });
                }
            }
            let next = loop {
                match heap.pop() {
                    Some(next) if settled[next.column as usize] || next.distance > distance[next.column as usize] => {}
                    next => break next,
                }
            };
            match next {
                Some(next) if next.distance < alone.0 => {
                    settled[next.column as usize] = true;
                    so_far = next.distance;
                    if row_of[next.column as usize] == NONE {
                        end = Some(next.column as usize);
                        break so_far;
                    }
                    row = row_of[next.column as usize] as usize;
                    reached_rows.push((row, so_far));
                }
                _ => break alone.0,
            }
        };
        for &(row, at) in &reached_rows {
            row_price[row] += total - at;
        }
        for &column in &touched {
            if settled[column as usize] {
                column_price[column as usize] -= total - distance[column as usize];
            }
        }
        // Turns the links along the path, from its end to the new row.
        let mut column = match end {
            Some(column) => Some(column),
            None => {
                // The row that stays alone gives up its column, unless it is the new one, which never had one.
                let row = alone.1 as usize;
                let given = std::mem::replace(&mut link_of[row], NONE);
                (given != NONE).then(|| links[given as usize].0 as usize)
            }
        };
        while let Some(at) = column {
            let link = through[at];
            let row = begins.partition_point(|&begin| begin <= link as usize) - 1;
            let given = std::mem::replace(&mut link_of[row], link);
            row_of[at] = row as u32;
            column = (given != NONE).then(|| links[given as usize].0 as usize);
        }
    }
    link_of.iter().filter(|&&link| link != NONE).map(|&link| links[link as usize].2).collect()
}

#[cfg(test)]
mod tests {
    use crate::parallel::with_threads;
    use proptest::prelude::*;

    use super::*;

    fn total(chosen: &[Option<usize>], edges: &[Edge]) -> f64 {
        chosen.iter().flatten().map(|&at| edges[at].cost).sum()
    }

    /// The least cost by trying everything.
    fn least(rows: usize, edges: &[Edge], row: usize, used: &mut Vec<u32>) -> f64 {
        if row == rows {
            return 0.0;
        }
        let mut best = least(rows, edges, row + 1, used);
        for edge in edges.iter().filter(|edge| edge.row as usize == row) {
            if !used.contains(&edge.column) {
                used.push(edge.column);
                best = best.min(edge.cost + least(rows, edges, row + 1, used));
                used.pop();
            }
        }
        best
    }

    #[test]
    fn a_greedy_choice_is_undone() {
        // Row 0 takes column 0 first (-5) and must give it up: (-4) + (-4) is better than (-5) + nothing.
        let edges = [(0, 0, -5.0), (0, 1, -4.0), (1, 0, -4.0)].map(|(row, column, cost)| Edge { row, column, cost });
        let chosen = assign(2, 2, &edges);
        assert_eq!(chosen, vec![Some(1), Some(2)]);
        // Links that cost are left.
        let dear = [Edge { row: 0, column: 0, cost: 0.5 }, Edge { row: 1, column: 0, cost: 0.0 }];
        assert_eq!(assign(2, 1, &dear), vec![None, None]);
        assert_eq!(assign(0, 0, &[]), Vec::<Option<usize>>::new());
    }

    #[test]
    fn a_row_may_be_put_aside_for_a_dearer_one() {
        let edges = [(0, 0, -1.0), (1, 0, -3.0)].map(|(row, column, cost)| Edge { row, column, cost });
        assert_eq!(assign(2, 1, &edges), vec![None, Some(1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn as_cheap_as_trying_everything(
            list in prop::collection::vec((0u32..6, 0u32..6, -8i32..3), 0..18),
        ) {
            let edges: Vec<Edge> = list
                .iter()
                .map(|&(row, column, cost)| Edge { row, column, cost: f64::from(cost) })
                .collect();
            let chosen = assign(6, 6, &edges);
            let mut columns: Vec<u32> = chosen.iter().flatten().map(|&at| edges[at].column).collect();
            columns.sort_unstable();
            let count = columns.len();
            columns.dedup();
            prop_assert_eq!(count, columns.len());
            for (row, at) in chosen.iter().enumerate() {
                prop_assert!(at.is_none_or(|at| edges[at].row as usize == row));
            }
            prop_assert_eq!(total(&chosen, &edges), least(6, &edges, 0, &mut Vec::new()));
        }
    }

    #[test]
    fn the_same_for_any_threads() {
        let mut stream = crate::random::Stream::new(1, 0);
        let edges: Vec<Edge> = (0..4000)
            .map(|_| Edge {
                row: stream.next_u32() % 700,
                column: stream.next_u32() % 700,
                cost: -f64::from(stream.next_u32() % 50),
            })
            .collect();
        let run = |threads| with_threads(Some(threads), || Ok(assign(700, 700, &edges))).unwrap();
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(8));
    }
}
