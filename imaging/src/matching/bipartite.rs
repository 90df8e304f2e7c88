//! Largest one-to-one matchings.

use std::collections::VecDeque;

const NONE: u32 = u32::MAX;

/// The most pairs that can be formed when each left and each right item is used at most once (Hopcroft and Karp 1973):
/// for each left item its partner. `edges[i]` are the right items that left item `i` may take, most wanted first; the order
/// decides between matchings of the same size and nothing else. Cost: edges times root of items.
pub fn largest_matching(edges: &[Vec<u32>], rights: usize) -> Vec<Option<u32>> {
    let (mut left, mut right) = (vec![NONE; edges.len()], vec![NONE; rights]);
    let mut level = vec![0u32; edges.len()];
    loop {
        // Levels of free left items and of all that alternating paths reach from them.
        let mut queue: VecDeque<u32> = VecDeque::new();
        for (i, partner) in left.iter().enumerate() {
            level[i] = if *partner == NONE {
                queue.push_back(i as u32);
                0
            } else {
                NONE
            };
        }
        let mut open = false;
        while let Some(i) = queue.pop_front() {
            for &j in &edges[i as usize] {
                match right[j as usize] {
                    NONE => open = true,
                    next if level[next as usize] == NONE => {
                        level[next as usize] = level[i as usize] + 1;
                        queue.push_back(next);
                    }
                    _ => {}
                }
            }
        }
        if !open {
            break;
        }
        let mut next_edge = vec![0usize; edges.len()];
        for start in 0..edges.len() {
            if left[start] == NONE {
                augment(start, edges, &mut left, &mut right, &mut level, &mut next_edge);
            }
        }
    }
    left.into_iter().map(|j| (j != NONE).then_some(j)).collect()
}

/// Follows one alternating path to a free right item and flips it; a stack of its own, since paths may be long.
fn augment(
    start: usize,
    edges: &[Vec<u32>],
    left: &mut [u32],
    right: &mut [u32],
    level: &mut [u32],
    next_edge: &mut [usize],
) {
    let mut path = vec![start];
    while let Some(&i) = path.last() {
        if next_edge[i] == edges[i].len() {
            // A dead end: nobody else needs to come here in this round.
            level[i] = NONE;
            path.pop();
            continue;
        }
        let j = edges[i][next_edge[i]] as usize;
        next_edge[i] += 1;
        match right[j] {
            NONE => {
                // Each item on the path takes the edge that it followed last.
                for &i in path.iter().rev() {
                    let j = edges[i][next_edge[i] - 1];
                    left[i] = j;
                    right[j as usize] = i as u32;
                }
                return;
            }
            other if level[other as usize] == level[i].wrapping_add(1) => path.push(other as usize),
            _ => {}
        }
    }
}
