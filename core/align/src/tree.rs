//! A tree of boxes over places, halved at the median of the widest side.
//!
//! Bounds are computed with the operations of [`square`] in its order. Rounding keeps order, so pruning never changes a
//! result, not even in the last bit.

use crate::cloud::{Point, square};

/// Places of a leaf at most.
const LEAF: usize = 12;

struct Node {
    low: Point,
    high: Point,
    start: u32,
    end: u32,
    /// The second child; the first follows its parent. 0 for a leaf.
    right: u32,
}

impl Node {
    fn nearest(&self, point: &Point) -> f64 {
        let clamped = std::array::from_fn(|axis| point[axis].clamp(self.low[axis], self.high[axis]));
        square(point, &clamped)
    }
}

/// The tree; the root is node 0.
pub(crate) struct Tree {
    nodes: Vec<Node>,
    points: Vec<Point>,
    /// The place in the given order at each place of that of the leaves: near ones are near each other in it.
    pub(crate) order: Vec<u32>,
}

/// Boxes on the way; a path is never deeper than the binary logarithm of 2^31 places over [`LEAF`].
struct Stack {
    held: [(f64, u32); 64],
    len: usize,
}

impl Stack {
    fn new(bound: f64) -> Self {
        let mut stack = Self { held: [(0.0, 0); 64], len: 0 };
        stack.push((bound, 0));
        stack
    }

    #[inline]
    fn push(&mut self, item: (f64, u32)) {
        self.held[self.len] = item;
        self.len += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<(f64, u32)> {
        self.len = self.len.checked_sub(1)?;
        Some(self.held[self.len])
    }
}

impl Tree {
    pub(crate) fn new(points: &[Point]) -> Self {
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        let mut nodes = Vec::with_capacity(4 * points.len() / LEAF + 1);
        grow(points, &mut order, 0, &mut nodes);
        let points = order.iter().map(|&at| points[at as usize]).collect();
        Self { nodes, points, order }
    }

    /// Fills `best` with at most `k` places within the squared distance `limit`, as (squared distance, place), nearest first;
    /// of equally far ones those of lower number.
    pub(crate) fn nearest(&self, point: &Point, k: usize, limit: f64, best: &mut Vec<(f64, u32)>) {
        best.clear();
        if k == 0 {
            return;
        }
        let mut stack = Stack::new(self.nodes[0].nearest(point));
        while let Some((bound, at)) = stack.pop() {
            let farthest = if best.len() == k { best[k - 1].0 } else { limit };
            // A box as far as the last of the best may hold an equally far place of lower number.
            if bound > farthest {
                continue;
            }
            let node = &self.nodes[at as usize];
            if node.right == 0 {
                for slot in node.start as usize..node.end as usize {
                    let found = (square(point, &self.points[slot]), self.order[slot]);
                    if found.0 > limit || (best.len() == k && found >= best[k - 1]) {
                        continue;
                    }
                    if best.len() == k {
                        best.pop();
                    }
                    let place = best.partition_point(|held| *held < found);
                    best.insert(place, found);
                }
                continue;
            }
            let (left, right) = (at + 1, node.right);
            let bounds = (self.nodes[left as usize].nearest(point), self.nodes[right as usize].nearest(point));
            // The nearer one is looked at first.
            if bounds.0 <= bounds.1 {
                stack.push((bounds.1, right));
                stack.push((bounds.0, left));
            } else {
                stack.push((bounds.0, left));
                stack.push((bounds.1, right));
            }
        }
    }

    /// The nearest place within the squared distance `limit`.
    pub(crate) fn first(&self, point: &Point, limit: f64) -> Option<(f64, u32)> {
        let mut best: Option<(f64, u32)> = None;
        let mut stack = Stack::new(self.nodes[0].nearest(point));
        while let Some((bound, at)) = stack.pop() {
            if bound > best.map_or(limit, |found| found.0) {
                continue;
            }
            let node = &self.nodes[at as usize];
            if node.right == 0 {
                for slot in node.start as usize..node.end as usize {
                    let found = (square(point, &self.points[slot]), self.order[slot]);
                    if found.0 <= limit && best.is_none_or(|held| found < held) {
                        best = Some(found);
                    }
                }
                continue;
            }
            let (left, right) = (at + 1, node.right);
            let bounds = (self.nodes[left as usize].nearest(point), self.nodes[right as usize].nearest(point));
            if bounds.0 <= bounds.1 {
                stack.push((bounds.1, right));
                stack.push((bounds.0, left));
            } else {
                stack.push((bounds.0, left));
                stack.push((bounds.1, right));
            }
        }
        best
    }

    /// Hands over every place within the squared distance `limit` (squared distance, place), in the order of the tree.
    pub(crate) fn within(&self, point: &Point, limit: f64, mut take: impl FnMut(f64, u32)) {
        let mut stack = Stack::new(self.nodes[0].nearest(point));
        while let Some((bound, at)) = stack.pop() {
            if bound > limit {
                continue;
            }
            let node = &self.nodes[at as usize];
            if node.right == 0 {
                for slot in node.start as usize..node.end as usize {
                    let squared = square(point, &self.points[slot]);
                    if squared <= limit {
                        take(squared, self.order[slot]);
                    }
                }
                continue;
            }
            let right = node.right;
            stack.push((self.nodes[right as usize].nearest(point), right));
            stack.push((self.nodes[at as usize + 1].nearest(point), at + 1));
        }
    }
}

/// Makes the subtree over `cells`, which lie at `start` in the order of all.
fn grow(points: &[Point], cells: &mut [u32], start: usize, nodes: &mut Vec<Node>) {
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for &cell in cells.iter() {
        for axis in 0..3 {
            low[axis] = low[axis].min(points[cell as usize][axis]);
            high[axis] = high[axis].max(points[cell as usize][axis]);
        }
    }
    let at = nodes.len();
    nodes.push(Node { low, high, start: start as u32, end: (start + cells.len()) as u32, right: 0 });
    let side = |axis: usize| high[axis] - low[axis];
    let widest = (1..3).fold(0, |best, axis| if side(axis) > side(best) { axis } else { best });
    if cells.len() <= LEAF {
        return;
    }
    let middle = cells.len() / 2;
    cells.select_nth_unstable_by(middle, |&a, &b| {
        points[a as usize][widest].total_cmp(&points[b as usize][widest]).then(a.cmp(&b))
    });
    let (left, right) = cells.split_at_mut(middle);
    grow(points, left, start, nodes);
    nodes[at].right = nodes.len() as u32;
    grow(points, right, start + middle, nodes);
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    #[test]
    fn the_tree_finds_what_a_full_search_finds() {
        let mut stream = Stream::new(3, 0);
        // Places on a coarse lattice, so that many are equally far or the same.
        let points: Vec<Point> = (0..500).map(|_| std::array::from_fn(|_| stream.below(12) as f64)).collect();
        let tree = Tree::new(&points);
        let mut best = Vec::new();
        for point in points.iter().step_by(7) {
            let point = [point[0] + 0.25, point[1], point[2]];
            let mut all: Vec<(f64, u32)> =
                points.iter().zip(0..).map(|(other, at)| (square(&point, other), at)).collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            tree.nearest(&point, 9, f64::INFINITY, &mut best);
            assert_eq!(best, all[..9]);
            let near: Vec<_> = all.iter().copied().filter(|found| found.0 <= 4.1).collect();
            tree.nearest(&point, 500, 4.1, &mut best);
            assert_eq!(best, near);
            assert_eq!(tree.first(&point, 4.1), near.first().copied());
            let mut seen = 0;
            tree.within(&point, 4.1, |_, _| seen += 1);
            assert_eq!(seen, near.len());
        }
    }
}
