//! A tree of boxes over cells, halved at the median of the widest side.
//!
//! Bounds are computed with the operations of [`square`] in its order. Rounding keeps order, so no computed distance is
//! below the computed bound of its box: pruning never changes a result, not even in the last bit.

use crate::places::{Places, square};

/// Cells of a leaf at most.
const LEAF: usize = 16;

/// A box, and the cells in it: `start..end` of [`Tree::points`].
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) low: [f64; 3],
    pub(crate) high: [f64; 3],
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// The second child; the first follows its parent. 0 for a leaf.
    pub(crate) right: u32,
}

impl Node {
    pub(crate) fn is_leaf(&self) -> bool {
        self.right == 0
    }

    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// No cell of this box is closer to `point`; squared.
    pub(crate) fn nearest(&self, point: &[f64; 3]) -> f64 {
        let clamped = std::array::from_fn(|axis| point[axis].clamp(self.low[axis], self.high[axis]));
        square(point, &clamped)
    }

    /// No cell of this box is further from `point`; squared.
    pub(crate) fn furthest(&self, point: &[f64; 3]) -> f64 {
        let side = |axis: usize| (point[axis] - self.low[axis]).abs().max((self.high[axis] - point[axis]).abs());
        square(&std::array::from_fn(side), &[0.0; 3])
    }

    /// Bounds of the distances between cells of two boxes; squared.
    pub(crate) fn bounds(&self, other: &Node) -> (f64, f64) {
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
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// Positions in the order of the leaves.
    pub(crate) points: Vec<[f64; 3]>,
    /// The cell at each place of that order.
    pub(crate) order: Vec<u32>,
}

impl Tree {
    pub(crate) fn new(places: &Places) -> Self {
        let points = places.points();
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        let mut nodes = Vec::with_capacity(4 * points.len() / LEAF + 1);
        grow(points, &mut order, 0, &mut nodes);
        let points = order.iter().map(|&cell| points[cell as usize]).collect();
        Self { nodes, points, order }
    }
}

/// Makes the subtree over `cells`, which lie at `start` in the order of all.
fn grow(points: &[[f64; 3]], cells: &mut [u32], start: usize, nodes: &mut Vec<Node>) {
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
    // Cells all at one place stay together: no cut parts them.
    if cells.len() <= LEAF || side(widest) == 0.0 {
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
