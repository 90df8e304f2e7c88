//! The strongest links that join all groups.

/// Links (i, j), i < j, of the spanning tree of largest strength (a forest if the groups do not all hang together).
/// `strength` is n x n, symmetric; 0 is no link. Of equal links the one with the smaller i, then j, comes first.
pub(super) fn maximum_tree(strength: &[f64], n: usize) -> Vec<(usize, usize)> {
    let mut links: Vec<(usize, usize)> =
        (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).filter(|&(i, j)| strength[i * n + j] > 0.0).collect();
    links.sort_by(|&(a, b), &(c, d)| strength[c * n + d].total_cmp(&strength[a * n + b]));
    let mut part: Vec<usize> = (0..n).collect();
    links.retain(|&(i, j)| {
        let (from, to) = (part[i].max(part[j]), part[i].min(part[j]));
        if from == to {
            return false;
        }
        part.iter_mut().filter(|part| **part == from).for_each(|part| *part = to);
        true
    });
    links
}
