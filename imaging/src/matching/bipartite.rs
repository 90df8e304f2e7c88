//! Largest one-to-one matchings.

use std::collections::VecDeque;

const NONE: u32 = u32::MAX;

/// The most pairs that can be formed when each left and each right item is used at most once: for each left item its
/// partner. `edges[i]` are the (cost, right item) that left item `i` may take, cheapest first.
///
/// Cheap pairs are made first (ties: the lower left, then the lower right item); then shortest augmenting paths are sought
/// from each left item that is still free, in order. A search that fails has seen nothing that a later path could use
/// (Berge 1957), so nothing of it is looked at again. Cost: edges, times the paths sought where those succeed.
pub fn largest_matching(edges: &[Vec<(f64, u32)>], rights: usize) -> Vec<Option<u32>> {
    let (mut left, mut right) = (vec![NONE; edges.len()], vec![NONE; rights]);
    let mut cheap: Vec<(f64, u32, u32)> =
        edges.iter().zip(0u32..).flat_map(|(list, i)| list.iter().map(move |&(cost, j)| (cost, i, j))).collect();
    cheap.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    for (_, i, j) in cheap {
        if left[i as usize] == NONE && right[j as usize] == NONE {
            (left[i as usize], right[j as usize]) = (j, i);
        }
    }
    // From which left item a right one was reached; which are of no more use.
    let mut from = vec![NONE; rights];
    let mut dead = vec![false; rights];
    let (mut seen, mut queue) = (Vec::new(), VecDeque::new());
    for start in 0..edges.len() {
        if left[start] != NONE || edges[start].is_empty() {
            continue;
        }
        queue.clear();
        queue.push_back(start as u32);
        let mut end = NONE;
        'search: while let Some(i) = queue.pop_front() {
            for &(_, j) in &edges[i as usize] {
                if from[j as usize] != NONE || dead[j as usize] {
                    continue;
                }
                from[j as usize] = i;
                seen.push(j);
                match right[j as usize] {
                    NONE => {
                        end = j;
                        break 'search;
                    }
                    next => queue.push_back(next),
                }
            }
        }
        let failed = end == NONE;
        while end != NONE {
            let i = from[end as usize];
            let given = std::mem::replace(&mut left[i as usize], end);
            right[end as usize] = i;
            end = given;
        }
        for j in seen.drain(..) {
            from[j as usize] = NONE;
            dead[j as usize] = failed;
        }
    }
    left.into_iter().map(|j| (j != NONE).then_some(j)).collect()
}
