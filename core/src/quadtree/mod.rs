//! Points in the plane as a tree of squares, so that far-away points can be taken together (Barnes and Hut 1986).
//!
//! Points are put in the order of a space-filling curve; every square of the tree is then a run of points. The walk is
//! made once for a block of neighbouring points: what the block may see as one, and what it must see point by point, goes
//! into a list that all of its points work through side by side.
//!
//! Reference: Barnes and Hut 1986, A hierarchical O(N log N) force-calculation algorithm, Nature 324, 446.

use rayon::prelude::*;

#[cfg(test)]
mod tests;

/// Points of a block, handled side by side.
pub(crate) const LANES: usize = 16;
/// A square with at most this many points is not cut further.
const LEAF: usize = 8;
/// Cuts after which points count as lying at one place.
const DEPTH: u32 = 24;

/// A square of the tree, in the order of a walk that looks at a square before those inside it.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Centre of mass.
    x: f32,
    y: f32,
    mass: f32,
    /// Squared width.
    width: f32,
    /// The next square of the walk when those inside are passed over.
    next: u32,
    /// Points, by their place on the curve, of a square that is not cut; none otherwise.
    first: u32,
    last: u32,
}

/// What a block of points is pushed by: places and masses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) x: Vec<f32>,
    pub(crate) y: Vec<f32>,
    pub(crate) mass: Vec<f32>,
}

/// Up to [`LANES`] points that lie close together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Coordinates; those beyond `count` repeat the first.
    pub(crate) x: [f32; LANES],
    pub(crate) y: [f32; LANES],
    /// Which point each lane is.
    pub(crate) point: [u32; LANES],
    pub(crate) count: usize,
}

/// The tree.
pub(crate) struct Quadtree {
    /// Points in the order of the curve.
    order: Vec<u32>,
    x: Vec<f32>,
    y: Vec<f32>,
    mass: Vec<f32>,
    nodes: Vec<Node>,
}

impl Quadtree {
    /// The tree of n finite points (x and y in turn), each of mass 1 or as given. O(n log n), 40 bytes per point.
    pub(crate) fn new(positions: &[f32], mass: Option<&[f32]>) -> Self {
        let n = positions.len() / 2;
        let axis = |axis: usize| {
            let values = positions.iter().skip(axis).step_by(2);
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
        };
        let ((left, right), (bottom, top)) = (axis(0), axis(1));
        let width = (f64::from(right) - f64::from(left)).max(f64::from(top) - f64::from(bottom)).max(1e-30);
        let scale = f64::from(u32::MAX) * (1.0 - 1e-9) / width;
        let place = |value: f32, low: f32| ((f64::from(value) - f64::from(low)) * scale) as u32;
        let mut keys: Vec<(u64, u32)> = positions
            .par_chunks_exact(2)
            .with_min_len(4096)
            .enumerate()
            .map(|(point, at)| (interleave(place(at[0], left)) | interleave(place(at[1], bottom)) << 1, point as u32))
            .collect();
        keys.par_sort_unstable();
        let order: Vec<u32> = keys.iter().map(|key| key.1).collect();
        let coordinate =
            |axis: usize| order.iter().map(|&point| positions[2 * point as usize + axis]).collect::<Vec<f32>>();
        let mut tree = Self {
            x: coordinate(0),
            y: coordinate(1),
            mass: order.iter().map(|&point| mass.map_or(1.0, |mass| mass[point as usize])).collect(),
            order,
            nodes: Vec::with_capacity(n / 2 + 1),
        };
        if n > 0 {
            let keys: Vec<u64> = keys.into_iter().map(|key| key.0).collect();
            tree.cut(&keys, 0, n, 0, width);
        }
        tree
    }

    /// Adds the square of the points `first..last`, and those inside it.
    fn cut(&mut self, keys: &[u64], first: usize, last: usize, depth: u32, width: f64) {
        let (mut x, mut y, mut mass) = (0f64, 0f64, 0f64);
        for at in first..last {
            let weight = f64::from(self.mass[at]);
            x += weight * f64::from(self.x[at]);
            y += weight * f64::from(self.y[at]);
            mass += weight;
        }
        let own = self.nodes.len();
        let leaf = last - first <= LEAF || depth >= DEPTH;
        let points = if leaf { (first as u32, last as u32) } else { (0, 0) };
        self.nodes.push(Node {
            x: (x / mass) as f32,
            y: (y / mass) as f32,
            mass: mass as f32,
            width: (width * width) as f32,
            next: 0,
            first: points.0,
            last: points.1,
        });
        if !leaf {
            let shift = 62 - 2 * depth;
            let mut start = first;
            while start < last {
                let quarter = keys[start] >> shift;
                let end = start + keys[start..last].partition_point(|key| key >> shift == quarter);
                self.cut(keys, start, end, depth + 1, 0.5 * width);
                start = end;
            }
        }
        self.nodes[own].next = self.nodes.len() as u32;
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.order.len().div_ceil(LANES)
    }

    /// A block of points that follow each other on the curve.
    pub(crate) fn block(&self, block: usize) -> Block {
        let first = block * LANES;
        let count = LANES.min(self.order.len() - first);
        let lane = |lane: usize| first + if lane < count { lane } else { 0 };
        Block {
            x: std::array::from_fn(|l| self.x[lane(l)]),
            y: std::array::from_fn(|l| self.y[lane(l)]),
            point: std::array::from_fn(|l| self.order[lane(l)]),
            count,
        }
    }

    /// What pushes the points of a block: squares narrower than `theta` times their distance from the block's bounding
    /// box, and single points (those of the block among them).
    pub(crate) fn sources(&self, block: &Block, theta: f32, found: &mut Sources) {
        found.x.clear();
        found.y.clear();
        found.mass.clear();
        let range = |values: &[f32; LANES]| {
            values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)))
        };
        let ((left, right), (bottom, top)) = (range(&block.x), range(&block.y));
        let theta = theta * theta;
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            let dx = (left - node.x).max(node.x - right).max(0.0);
            let dy = (bottom - node.y).max(node.y - top).max(0.0);
            if node.width < theta * (dx * dx + dy * dy) {
                found.x.push(node.x);
                found.y.push(node.y);
                found.mass.push(node.mass);
                at = node.next as usize;
            } else if node.last > node.first {
                let points = node.first as usize..node.last as usize;
                found.x.extend_from_slice(&self.x[points.clone()]);
                found.y.extend_from_slice(&self.y[points.clone()]);
                found.mass.extend_from_slice(&self.mass[points]);
                at = node.next as usize;
            } else {
                at += 1;
            }
        }
    }
}

/// Puts a 0 between any two bits.
fn interleave(value: u32) -> u64 {
    let mut x = u64::from(value);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333_3333_3333;
    (x | x << 1) & 0x5555_5555_5555_5555
}
