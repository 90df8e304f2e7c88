//! The second stage: every track that begins late is the other end of a gap, a daughter, or new.
//!
//! Ends of tracks (which may go on after a gap) and detections that go on (which may be mothers of a second daughter)
//! compete for the beginnings in one optimal assignment. Before it, mothers that lost both daughters get them back.

use zensaibo_core::assignment::{Edge, assign};
use zensaibo_core::{Ctx, Result};

use super::link::{Linked, size_cost};
use super::motion::{Beside, tail};
use super::reverse::{Backwards, limit};
use super::{Detections, NONE, TrackOptions};
use crate::space::near::{median, minus, plus, squared};

/// Cost of each time point without a detection inside a track.
const MISSED: f64 = 2.0;
/// Spread of the logarithm of daughters' sizes to each other, and together to the mother.
const SIZE_SISTERS: f64 = 0.4;
/// Cost of a division before anything is known of it: cells divide seldom, and the middle of two daughters is less
/// certain than the place of one cell.
const DIVIDES: f64 = 3.2;
/// Cost of a daughter that is seen only once, unless the recording ends there: stray detections are.
const FLEETING: f64 = 4.0;
/// Divisions from which the usual distance of sisters is learned.
const KNOWN: usize = 8;

/// What the second stage finds.
#[derive(Default)]
pub(super) struct Joined {
    /// For each detection the one after it in its track, gaps bridged.
    pub(super) next: Vec<u32>,
    /// For each detection its mother (the last detection of her), or `NONE`.
    pub(super) mother: Vec<u32>,
}

/// One way to explain a beginning.
#[derive(Clone, Copy)]
enum Way {
    Gap { from: u32, to: u32 },
    Division { mother: u32, second: u32 },
}

/// Distribution of how far daughters appear from the middle between them.
#[derive(Clone, Copy)]
struct Sisters {
    half: f64,
    spread: f64,
}

/// Closes gaps and finds divisions.
pub(super) fn join(detections: &Detections<'_>, linked: &Linked, options: &TrackOptions, ctx: &Ctx) -> Result<Joined> {
    let join = Join { detections, linked, options };
    if !options.divisions {
        return Ok(join.round(None, 0.0).0);
    }
    let backwards = Backwards::new(detections, linked, options);
    let mirrored = backwards.detections();
    let mirror = Join { detections: &mirrored, linked: &backwards.linked, options };
    // The usual distance of sisters is learned from the divisions that the round before believed.
    let mut sisters = None;
    let mut joined = Joined::default();
    for _ in 0..3 {
        ctx.check()?;
        let (found, costs) = join.round(sisters, 0.0);
        let limit = limit(costs, mirror.round(sisters, 0.0).1);
        joined = if limit < 0.0 { join.round(sisters, limit).0 } else { found };
        sisters = join.sisters(&joined);
        if sisters.is_none() {
            break;
        }
    }
    Ok(joined)
}

struct Join<'a> {
    detections: &'a Detections<'a>,
    linked: &'a Linked,
    options: &'a TrackOptions,
}

impl Join<'_> {
    /// Gaps and divisions, and what each division costs less than no division; none that costs `limit` or more is made.
    fn round(&self, sisters: Option<Sisters>, limit: f64) -> (Joined, Vec<f64>) {
        let n = self.detections.points.len();
        let mut next = self.linked.links.next.clone();
        let mut previous = self.linked.links.previous.clone();
        let mut mother = vec![NONE; n];
        let mut costs = Vec::new();
        if self.options.divisions {
            self.both_lost(sisters, limit, (&next, &previous), &mut mother, &mut costs);
        }
        // Rows: detections as mother or as end. Columns: beginnings.
        let (mut edges, mut ways) = (Vec::new(), Vec::new());
        for t in 1..self.detections.times() {
            for start in self.detections.range(t) {
                if previous[start] != NONE || mother[start] != NONE {
                    continue;
                }
                let mut offer = |row: u32, cost: f64, way: Way| {
                    if cost < 0.0 {
                        edges.push(Edge { row, column: start as u32, cost });
                        ways.push(way);
                    }
                };
                if self.options.divisions {
                    self.mothers(t, start, sisters, &next, &mut |row, cost, way| {
                        if cost < limit {
                            offer(row, cost, way);
                        }
                    });
                }
                self.ends(t, start, &next, &mother, &mut offer);
            }
        }
        for at in assign(n, n, &edges).into_iter().flatten() {
            match ways[at] {
                Way::Gap { from, to } => {
                    next[from as usize] = to;
                    previous[to as usize] = from;
                }
                Way::Division { mother: from, second } => {
                    costs.push(edges[at].cost);
                    mother[second as usize] = from;
                    mother[next[from as usize] as usize] = from;
                }
            }
        }
        // A mother ends where her daughters begin.
        for detection in 0..n {
            if mother[detection] != NONE {
                next[mother[detection] as usize] = NONE;
            }
        }
        (Joined { next, mother }, costs)
    }

    /// What is known of detection `i` of time `t` without what comes after.
    fn behind(&self, t: usize, i: usize) -> Beside {
        let mut beside = Beside::default();
        if let Some(flow) = self.linked.flow[i] {
            (beside.known, beside.values[0]) = (1, flow);
        }
        self.way_before(t, i, &mut beside);
        beside
    }

    /// Where detection `i` of time `t` is expected next, by the drift, the flow and its own way.
    fn ahead(&self, t: usize, i: usize, beside: &Beside) -> [f64; 3] {
        plus(plus(self.detections.points[i], self.linked.drift[t]), self.linked.motion.expected(beside))
    }

    /// Cost of a division into two, against a uniform distribution; `None` beyond the gate.
    fn division(&self, t: usize, i: usize, a: usize, b: usize, sisters: Option<Sisters>) -> Option<f64> {
        let points = self.detections.points;
        let beside = self.behind(t, i);
        let expected = self.ahead(t, i, &beside);
        let gate = self.options.division_distance();
        if squared(points[a], expected).max(squared(points[b], expected)) > gate * gate {
            return None;
        }
        let centre: [f64; 3] = std::array::from_fn(|axis| 0.5 * (points[a][axis] + points[b][axis]));
        let sigma = self.linked.motion.sigma(beside.known);
        // The middle of two daughters is as uncertain as the place of one cell, and they need not part alike.
        let off = minus(centre, expected);
        let residual: f64 = (0..3).map(|axis| (off[axis] / (1.5 * sigma[axis])).powi(2)).sum();
        let mut cost = tail(residual) + self.linked.motion.log(beside.known) + DIVIDES;
        let half = 0.5 * squared(points[a], points[b]).sqrt();
        if let Some(sisters) = sisters {
            cost += 0.5 * ((half - sisters.half) / sisters.spread).powi(2).min(25.0);
        }
        if t + 2 < self.detections.times() {
            let fleeting = [a, b].iter().filter(|&&daughter| self.linked.links.next[daughter] == NONE).count();
            cost += FLEETING * fleeting as f64;
        }
        if let Some(sizes) = self.detections.sizes {
            cost += size_cost((sizes[a] + sizes[b]) / sizes[i], SIZE_SISTERS);
            cost += size_cost(sizes[a] / sizes[b], SIZE_SISTERS);
        }
        Some(cost)
    }

    /// Mothers whose two daughters both stand alone: cheapest first, each cell once.
    fn both_lost(
        &self,
        sisters: Option<Sisters>,
        limit: f64,
        (next, previous): (&[u32], &[u32]),
        mother: &mut [u32],
        costs: &mut Vec<f64>,
    ) {
        let gate = self.options.division_distance();
        let mut found: Vec<(f64, usize, usize, usize)> = Vec::new();
        for t in 0..self.detections.times().saturating_sub(1) {
            let first = self.detections.range(t + 1).start;
            for i in self.detections.range(t).filter(|&i| next[i] == NONE) {
                let expected = self.ahead(t, i, &self.behind(t, i));
                let mut alone = Vec::new();
                self.linked.cells[t + 1].within(self.detections.at(t + 1), expected, gate, |j, _| {
                    if previous[first + j as usize] == NONE {
                        alone.push(first + j as usize);
                    }
                });
                alone.sort_unstable();
                for (k, &a) in alone.iter().enumerate() {
                    for &b in &alone[k + 1..] {
                        // One end and two beginnings are saved.
                        let cost = self.division(t, i, a, b, sisters).map(|cost| cost - 1.5 * self.linked.unlinked);
                        if let Some(cost) = cost.filter(|&cost| cost < limit) {
                            found.push((cost, i, a, b));
                        }
                    }
                }
            }
        }
        found.sort_unstable_by(|x, y| x.0.total_cmp(&y.0).then((x.1, x.2, x.3).cmp(&(y.1, y.2, y.3))));
        let mut used = std::collections::HashSet::new();
        for (cost, i, a, b) in found {
            if !used.contains(&i) && mother[a] == NONE && mother[b] == NONE {
                used.insert(i);
                costs.push(cost);
                mother[a] = i as u32;
                mother[b] = i as u32;
            }
        }
    }

    /// Detections of time `t - 1` that go on to another one and may be the mother of `start` too.
    fn mothers(
        &self,
        t: usize,
        start: usize,
        sisters: Option<Sisters>,
        next: &[u32],
        offer: &mut impl FnMut(u32, f64, Way),
    ) {
        let first = self.detections.range(t - 1).start;
        let place = minus(self.detections.points[start], self.linked.drift[t - 1]);
        // The flow may carry the mother on by up to as much again.
        let reach = self.options.division_distance() + self.options.max_speed;
        let mut near = Vec::new();
        self.linked.cells[t - 1].within(self.detections.at(t - 1), place, reach, |i, _| near.push(first + i as usize));
        near.sort_unstable();
        for i in near {
            let other = next[i];
            if other == NONE {
                continue;
            }
            if let Some(cost) = self.division(t - 1, i, other as usize, start, sisters) {
                // Saves a beginning and the link that it replaces.
                let saved = self.linked.unlinked + self.linked.links.cost[i].min(self.linked.unlinked);
                let way = Way::Division { mother: i as u32, second: start as u32 };
                offer(i as u32, cost - saved, way);
            }
        }
    }

    /// Tracks that ended before time `t` and may go on at `start`.
    fn ends(&self, t: usize, start: usize, next: &[u32], mother: &[u32], offer: &mut impl FnMut(u32, f64, Way)) {
        let points = self.detections.points;
        let mut carried = self.linked.drift[t - 1];
        for gap in 1..=self.options.max_gap.min(t - 1) {
            let before = t - 1 - gap;
            carried = plus(carried, self.linked.drift[before]);
            let steps = (gap + 1) as f64;
            let first = self.detections.range(before).start;
            let place = minus(points[start], carried);
            let mut near = Vec::new();
            let reach = self.options.max_speed * steps;
            self.linked.cells[before].within(self.detections.at(before), place, reach, |i, _| {
                near.push(first + i as usize);
            });
            near.sort_unstable();
            for i in near.into_iter().filter(|&i| next[i] == NONE) {
                if mother[self.detections.range(before + 1)].contains(&(i as u32)) {
                    continue;
                }
                let mut beside = self.behind(before, i);
                self.way_after(t, start, &mut beside);
                let step = minus(points[start], plus(points[i], carried)).map(|x| x / steps);
                // A mean step of so many is as uncertain as one, over the root of their number; the whole, times it.
                let (squared, _) = self.linked.motion.judge(&beside, step);
                let mut cost = tail(squared * steps) + self.linked.motion.log(beside.known) + 1.5 * steps.ln();
                if let Some(sizes) = self.detections.sizes {
                    cost += size_cost(sizes[start] / sizes[i], SIZE_SISTERS);
                }
                let way = Way::Gap { from: i as u32, to: start as u32 };
                offer(i as u32, cost + MISSED * gap as f64 - self.linked.unlinked, way);
            }
        }
    }

    fn way_before(&self, t: usize, i: usize, beside: &mut Beside) {
        let points = self.detections.points;
        let mut at = i;
        for feature in [1, 2] {
            let from = self.linked.links.previous[at];
            if from == NONE {
                return;
            }
            beside.known |= 1 << feature;
            beside.values[feature] = minus(minus(points[at], points[from as usize]), self.linked.drift[t - feature]);
            at = from as usize;
        }
    }

    fn way_after(&self, t: usize, j: usize, beside: &mut Beside) {
        let to = self.linked.links.next[j];
        if to != NONE {
            let points = self.detections.points;
            beside.known |= 8;
            beside.values[3] = minus(minus(points[to as usize], points[j]), self.linked.drift[t]);
        }
    }

    /// Usual half distance of sisters, from the divisions found so far; `None` for few.
    fn sisters(&self, joined: &Joined) -> Option<Sisters> {
        let mut first: std::collections::HashMap<u32, usize> = std::collections::HashMap::new();
        let mut halves = Vec::new();
        for (detection, &mother) in joined.mother.iter().enumerate() {
            if mother == NONE {
                continue;
            }
            if let Some(&sister) = first.get(&mother) {
                let points = self.detections.points;
                halves.push(0.5 * squared(points[detection], points[sister]).sqrt());
            } else {
                first.insert(mother, detection);
            }
        }
        if halves.len() < KNOWN {
            return None;
        }
        let half = median(&mut halves);
        let mut off: Vec<f64> = halves.iter().map(|x| (x - half).abs()).collect();
        let spread = (1.4826 * median(&mut off)).max(0.05 * half).max(1e-9);
        Some(Sisters { half, spread })
    }
}
