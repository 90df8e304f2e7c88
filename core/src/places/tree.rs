//! A tree of boxes over places, halved at the median of the widest side.
//!
//! Bounds are computed with the operations of [`square`] in its order. Rounding keeps order, so no computed distance is
//! below the computed bound of its box: pruning never changes a result, not even in the last bit.

use std::ops::Range;

use super::{Point, square};

/// A box, and the places in it: `start..end` of [`Tree::points`].
#[derive(Clone, Debug)]
pub struct Node {
    /// Lower corner.
    pub low: Point,
    /// Upper corner.
    pub high: Point,
    /// Where its places start in the order of the leaves.
    pub start: u32,
    /// Where they end.
    pub end: u32,
    /// The second child; the first follows its parent. 0 for a leaf.
    pub right: u32,
}

impl Node {
    /// Whether it has no children.
    pub fn is_leaf(&self) -> bool {
        self.right == 0
    }

    /// Its places in the order of the leaves.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// No place of this box is closer to `point`; squared.
    pub fn nearest(&self, point: &Point) -> f64 {
        let clamped = std::array::from_fn(|axis| point[axis].clamp(self.low[axis], self.high[axis]));
        square(point, &clamped)
    }

    /// No place of this box is further from `point`; squared.
    pub fn furthest(&self, point: &Point) -> f64 {
        let side = |axis: usize| (point[axis] - self.low[axis]).abs().max((self.high[axis] - point[axis]).abs());
        square(&std::array::from_fn(side), &[0.0; 3])
    }

    /// Bounds of the distances between places of two boxes; squared.
    pub fn bounds(&self, other: &Node) -> (f64, f64) {
        let (mut near, mut far) = ([0.0; 3], [0.0; 3]);
        for axis in 0..3 {
            let (up, down) = (self.high[axis] - other.low[axis], other.high[axis] - self.low[axis]);
            far[axis] = up.max(down);
            near[axis] = (-up).max(-down).max(0.0);
        }
        (square(&near, &[0.0; 3]), square(&far, &[0.0; 3]))
    }
}

/// The tree; the root is node 0.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Boxes, each before its children.
    pub nodes: Vec<Node>,
    /// Places in the order of the leaves: near ones are near each other in it.
    pub points: Vec<Point>,
    /// The number that the place at each place of that order was given with.
    pub order: Vec<u32>,
}

/// Boxes on the way; a path is never deeper than the binary logarithm of 2^31 places.
struct Stack {
    held: [(f64, u32); 40],
    len: usize,
}

impl Stack {
    fn new(bound: f64) -> Self {
        let mut stack = Self { held: [(0.0, 0); 40], len: 0 };
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
    /// Over at least one and less than 2^31 finite places, with at most `leaf` (at least 1) in a leaf unless all lie at one place.
    pub fn new(points: &[Point], leaf: usize) -> Self {
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        let mut nodes = Vec::with_capacity(4 * points.len() / leaf + 1);
        grow(points, leaf, &mut order, 0, &mut nodes);
        let points = order.iter().map(|&at| points[at as usize]).collect();
        Self { nodes, points, order }
    }

    /// Looks into leaves, nearer boxes first, as long as a box may hold a place within the squared distance `limit`: `look` takes the
    /// places of a leaf, in the order of the leaves, and returns the limit from there on.
    #[inline]
    fn descend(&self, point: &Point, mut limit: f64, mut look: impl FnMut(Range<usize>) -> f64) {
        let mut stack = Stack::new(self.nodes[0].nearest(point));
        while let Some((bound, at)) = stack.pop() {
            // A box as far as the limit may hold an equally far place of lower number.
            if bound > limit {
                continue;
            }
            let node = &self.nodes[at as usize];
            if node.is_leaf() {
                limit = look(node.range());
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
    }

    /// Fills `best` with at most `k` places within the squared distance `limit`, as (squared distance, number), nearest first; of
    /// equally far ones those of lower number. `own` is not counted.
    pub fn nearest(&self, point: &Point, k: usize, limit: f64, own: Option<u32>, best: &mut Vec<(f64, u32)>) {
        best.clear();
        if k == 0 {
            return;
        }
        self.descend(point, limit, |leaf| {
            for slot in leaf {
                let found = (square(point, &self.points[slot]), self.order[slot]);
                if found.0 > limit || Some(found.1) == own || (best.len() == k && found >= best[k - 1]) {
                    continue;
                }
                if best.len() == k {
                    best.pop();
                }
                let place = best.partition_point(|held| *held < found);
                best.insert(place, found);
            }
            if best.len() == k { best[k - 1].0 } else { limit }
        });
    }

    /// The nearest place within the squared distance `limit`, as [`Tree::nearest`] finds it.
    pub fn first(&self, point: &Point, limit: f64, own: Option<u32>) -> Option<(f64, u32)> {
        let mut best: Option<(f64, u32)> = None;
        self.descend(point, limit, |leaf| {
            for slot in leaf {
                let found = (square(point, &self.points[slot]), self.order[slot]);
                if found.0 <= limit && Some(found.1) != own && best.is_none_or(|held| found < held) {
                    best = Some(found);
                }
            }
            best.map_or(limit, |found| found.0)
        });
        best
    }

    /// Hands over every place within the squared distance `limit` (squared distance, number), in the order of the leaves.
    pub fn within(&self, point: &Point, limit: f64, mut take: impl FnMut(f64, u32)) {
        let mut stack = Stack::new(self.nodes[0].nearest(point));
        while let Some((bound, at)) = stack.pop() {
            if bound > limit {
                continue;
            }
            let node = &self.nodes[at as usize];
            if node.is_leaf() {
                for slot in node.range() {
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
fn grow(points: &[Point], leaf: usize, cells: &mut [u32], start: usize, nodes: &mut Vec<Node>) {
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
    // Places all at one stay together: no cut parts them.
    if cells.len() <= leaf || side(widest) == 0.0 {
        return;
    }
    let middle = cells.len() / 2;
    cells.select_nth_unstable_by(middle, |&a, &b| {
        points[a as usize][widest].total_cmp(&points[b as usize][widest]).then(a.cmp(&b))
    });
    let (left, right) = cells.split_at_mut(middle);
    grow(points, leaf, left, start, nodes);
    nodes[at].right = nodes.len() as u32;
    grow(points, leaf, right, start + middle, nodes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn the_tree_finds_what_a_full_search_finds() {
        let mut stream = Stream::new(3, 0);
        // Places on a coarse lattice, so that many are equally far or the same.
        let points: Vec<Point> = (0..500).map(|_| std::array::from_fn(|_| stream.below(12) as f64)).collect();
        for leaf in [1, 12, 16] {
            let tree = Tree::new(&points, leaf);
            let mut best = Vec::new();
            for (own, point) in points.iter().enumerate().step_by(7) {
                let own = Some(own as u32);
                let point = [point[0] + 0.25, point[1], point[2]];
                let mut all: Vec<(f64, u32)> =
                    points.iter().zip(0..).map(|(other, at)| (square(&point, other), at)).collect();
                all.sort_by(|a, b| a.partial_cmp(b).unwrap());
                tree.nearest(&point, 9, f64::INFINITY, None, &mut best);
                assert_eq!(best, all[..9]);
                let near: Vec<_> = all.iter().copied().filter(|found| found.0 <= 4.1).collect();
                tree.nearest(&point, 500, 4.1, None, &mut best);
                assert_eq!(best, near);
                assert_eq!(tree.first(&point, 4.1, None), near.first().copied());
                let others: Vec<_> = all.iter().copied().filter(|found| Some(found.1) != own).collect();
                tree.nearest(&point, 9, f64::INFINITY, own, &mut best);
                assert_eq!(best, others[..9]);
                assert_eq!(tree.first(&point, f64::INFINITY, own), Some(others[0]));
                let mut seen = 0;
                tree.within(&point, 4.1, |_, _| seen += 1);
                assert_eq!(seen, near.len());
            }
        }
    }
}
