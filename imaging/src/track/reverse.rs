//! The recording backwards in time.
//!
//! Cells divide and never fuse. Whatever looks like a division in the recording played backwards (a cell that takes the
//! place of two) is a mistake: a stray detection beside a cell, one that was missed, a wrong link. Such mistakes do not know
//! which way time runs, so there are as many of them forwards: what is found backwards says how many of the divisions found
//! forwards are none, at each cost. (In the search of mass spectra, decoys serve the same end: Elias and Gygi 2007.)

use super::link::{Linked, Links, of_links};
use super::{Detections, NONE, TrackOptions};
use crate::space::near::Cells;

/// Detections backwards, with the same links.
pub(super) struct Backwards {
    offsets: Vec<usize>,
    points: Vec<[f64; 3]>,
    sizes: Option<Vec<f64>>,
    pub(super) linked: Linked,
}

impl Backwards {
    pub(super) fn new(forwards: &Detections<'_>, linked: &Linked, options: &TrackOptions) -> Self {
        let times = forwards.times();
        let n = forwards.points.len();
        let order: Vec<usize> = (0..times).rev().flat_map(|t| forwards.range(t)).collect();
        let mut place = vec![0u32; n];
        order.iter().zip(0u32..).for_each(|(&old, new)| place[old] = new);
        let mut offsets = vec![0];
        for t in (0..times).rev() {
            offsets.push(offsets[offsets.len() - 1] + forwards.range(t).len());
        }
        let points: Vec<[f64; 3]> = order.iter().map(|&old| forwards.points[old]).collect();
        let sizes: Option<Vec<f64>> = forwards.sizes.map(|sizes| order.iter().map(|&old| sizes[old]).collect());
        let mut links = Links::none(n);
        for (from, &to) in linked.links.next.iter().enumerate() {
            if to != NONE {
                let (now_from, now_to) = (place[to as usize] as usize, place[from] as usize);
                links.next[now_from] = now_to as u32;
                links.previous[now_to] = now_from as u32;
                links.cost[now_from] = linked.links.cost[from];
                links.squared[now_from] = linked.links.squared[from];
            }
        }
        let drift = linked.drift.iter().rev().map(|drift| drift.map(|x| -x)).collect();
        let detections = Detections { offsets: &offsets, points: &points, sizes: sizes.as_deref() };
        let cells = (0..times).map(|t| Cells::new(detections.at(t), options.max_speed)).collect();
        let linked = of_links(&detections, links, drift, cells, options);
        Self { offsets, points, sizes, linked }
    }

    pub(super) fn detections(&self) -> Detections<'_> {
        Detections { offsets: &self.offsets, points: &self.points, sizes: self.sizes.as_deref() }
    }
}

/// The cost below which divisions are believed: where those found less twice those found backwards are most, that is as
/// long as more than half of the next ones are true. 0, which is all of them, where nothing was found backwards.
pub(super) fn limit(mut found: Vec<f64>, mut backwards: Vec<f64>) -> f64 {
    if backwards.is_empty() {
        return 0.0;
    }
    found.sort_unstable_by(f64::total_cmp);
    backwards.sort_unstable_by(f64::total_cmp);
    let (mut best, mut at) = (0isize, f64::NEG_INFINITY);
    for (k, &cost) in found.iter().enumerate() {
        let gain = k as isize + 1 - 2 * backwards.partition_point(|&other| other <= cost) as isize;
        // Of equal gains the one that believes more.
        if gain >= best && gain > 0 {
            best = gain;
            at = found.get(k + 1).map_or(0.0, |next| 0.5 * (cost + next));
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::limit;

    #[test]
    fn divisions_are_believed_while_most_are_true() {
        assert_eq!(limit(vec![-3.0, -1.0], vec![]), 0.0);
        assert_eq!(limit(vec![-9.0, -8.0, -7.0, -2.0], vec![-1.0]), 0.0);
        // Two good ones; then as many backwards as forwards.
        assert_eq!(limit(vec![-9.0, -8.0, -4.0, -3.0], vec![-5.0, -3.5, -2.0]), -6.0);
        // Nothing stands out of what is found backwards.
        assert_eq!(limit(vec![-4.0, -3.0], vec![-5.0, -4.5]), f64::NEG_INFINITY);
        assert_eq!(limit(vec![], vec![-1.0]), f64::NEG_INFINITY);
    }
}
