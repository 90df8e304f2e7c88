//! Links from each time point to the next: learned motion and optimal assignment in turn.

use rayon::prelude::*;
use zensaibo_core::assignment::{Edge, assign};
use zensaibo_core::{Ctx, Result};

use super::motion::{Beside, Motion, drift_between, flow, mutual, scale, share, tail};
use super::{Detections, NONE, TrackOptions};
use crate::space::near::{Cells, median, minus, plus, quantile, squared};

/// Links looked at from one detection, the most likely ones.
const CANDIDATES: usize = 32;
/// Smallest scale of residuals, as a share of the gate.
const FLOOR: f64 = 0.01;

/// Links, one at most to each side of a detection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Links {
    /// Detection in the next time point.
    pub(super) next: Vec<u32>,
    /// Detection in the time point before.
    pub(super) previous: Vec<u32>,
    /// Squared residual of the link from each detection.
    pub(super) squared: Vec<f64>,
    /// Cost of it.
    pub(super) cost: Vec<f64>,
}

/// What the second stage needs of the first.
pub(super) struct Linked {
    pub(super) links: Links,
    pub(super) motion: Motion,
    /// Drift from each time point to the next.
    pub(super) drift: Vec<[f64; 3]>,
    /// Flow around each detection.
    pub(super) flow: Vec<Option<[f64; 3]>>,
    /// Cost of ending one track and beginning another.
    pub(super) unlinked: f64,
    pub(super) cells: Vec<Cells>,
}

/// Finds the links.
pub(super) fn link(detections: &Detections<'_>, options: &TrackOptions, ctx: &Ctx) -> Result<Linked> {
    let times = detections.times();
    let reach = options.max_speed;
    let floor = FLOOR * reach;
    let cells: Vec<Cells> = (0..times).into_par_iter().map(|t| Cells::new(detections.at(t), reach)).collect();
    ctx.check()?;
    let pairs: Vec<([f64; 3], Vec<[f64; 3]>)> = (1..times)
        .into_par_iter()
        .map(|t| {
            let (from, to) = (detections.at(t - 1), detections.at(t));
            let both = (&cells[t - 1], &cells[t]);
            let drift = if options.drift { drift_between(from, to, both, reach) } else { [0.0; 3] };
            (drift, mutual(from, to, both, drift, reach))
        })
        .collect();
    ctx.check()?;
    let drift: Vec<[f64; 3]> = pairs.iter().map(|pair| pair.0).collect();
    let nearest: Vec<[f64; 3]> = pairs.into_iter().flat_map(|pair| pair.1).collect();
    let sigma = scale(&nearest, floor);

    let search = Search { detections, options, drift: &drift, cells: &cells };
    // Cells that stay, and cells that go on as they go: two places to begin, of which the likelier end is kept.
    let stage = ctx.stage("tracking", 2 * options.passes as u64 * times as u64);
    let mut best: Option<(f64, Links, Motion, Vec<Option<[f64; 3]>>, f64)> = None;
    for steady in [false, true] {
        let mut motion = Motion::prior(sigma, reach);
        let mut unlinked = options.unlinked * super::motion::tail(6.0);
        let mut flows = vec![None; detections.points.len()];
        let mut links = Links::none(detections.points.len());
        if steady {
            links = search.straight(floor, ctx)?;
            flows = search.flows(&links);
            (motion, unlinked) = search.learn(&links, &flows, floor);
        }
        for pass in 0..options.passes {
            let found = search.pass(&motion, &flows, &links, unlinked, || stage.advance(1))?;
            let same = found.next == links.next;
            links = found;
            if same && pass > 0 {
                break;
            }
            flows = search.flows(&links);
            (motion, unlinked) = search.learn(&links, &flows, floor);
        }
        let score: f64 = links.cost.iter().filter(|cost| cost.is_finite()).sum();
        if best.as_ref().is_none_or(|(least, ..)| score < *least) {
            best = Some((score, links, motion, flows, unlinked));
        }
    }
    match best {
        Some((_, links, motion, flow, unlinked)) => Ok(Linked { links, motion, drift, flow, unlinked, cells }),
        None => Err(zensaibo_core::Error::Internal("no pass of tracking".into())),
    }
}

/// What the second stage needs, from links that are known.
pub(super) fn of_links(
    detections: &Detections<'_>,
    links: Links,
    drift: Vec<[f64; 3]>,
    cells: Vec<Cells>,
    options: &TrackOptions,
) -> Linked {
    let search = Search { detections, options, drift: &drift, cells: &cells };
    let flow = search.flows(&links);
    let (motion, unlinked) = search.learn(&links, &flow, FLOOR * options.max_speed);
    Linked { links, motion, drift, flow, unlinked, cells }
}

impl Links {
    pub(super) fn none(n: usize) -> Self {
        Self { next: vec![NONE; n], previous: vec![NONE; n], squared: vec![0.0; n], cost: vec![f64::INFINITY; n] }
    }
}

struct Search<'a> {
    detections: &'a Detections<'a>,
    options: &'a TrackOptions,
    drift: &'a [[f64; 3]],
    cells: &'a [Cells],
}

impl Search<'_> {
    /// Displacement of a link from time `t`, beyond the drift.
    fn moved(&self, t: usize, from: u32, to: u32) -> [f64; 3] {
        let points = self.detections.points;
        minus(minus(points[to as usize], points[from as usize]), self.drift[t])
    }

    /// What is known of the way of detection `i` of time `t` before it.
    fn before(&self, t: usize, i: u32, previous: &[u32], beside: &mut Beside) {
        let mut at = i;
        for (step, feature) in [1, 2].into_iter().enumerate() {
            let from = previous[at as usize];
            if from == NONE {
                return;
            }
            beside.known |= 1 << feature;
            beside.values[feature] = self.moved(t - step - 1, from, at);
            at = from;
        }
    }

    /// What is known of the way of detection `j` of time `t` after it.
    fn after(&self, t: usize, j: u32, next: &[u32], beside: &mut Beside) {
        let mut at = j;
        for (step, feature) in [3, 4].into_iter().enumerate() {
            let to = next[at as usize];
            if to == NONE {
                return;
            }
            beside.known |= 1 << feature;
            beside.values[feature] = self.moved(t + step, at, to);
            at = to;
        }
    }

    /// Links as they are likeliest where cells go straight on, whoever they are: a link is as good as the best one that
    /// could go before it and the best that could follow it.
    fn straight(&self, floor: f64, ctx: &Ctx) -> Result<Links> {
        let detections = self.detections;
        let steps = detections.times().saturating_sub(1);
        // Nearest candidates of every detection: place in the next time point, and displacement beyond the drift.
        let ways: Vec<Vec<(u32, [f64; 3])>> = (0..steps)
            .into_par_iter()
            .flat_map_iter(|t| {
                let (range, targets) = (detections.range(t), detections.at(t + 1));
                range.map(move |i| {
                    let place = plus(detections.points[i], self.drift[t]);
                    let mut list = Vec::new();
                    self.cells[t + 1].within(targets, place, self.options.max_speed, |j, squared| {
                        list.push((squared, j));
                    });
                    list.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    list.truncate(CANDIDATES);
                    list.into_iter().map(|(_, j)| (j, minus(targets[j as usize], place))).collect()
                })
            })
            .collect();
        ctx.check()?;
        // Least change of velocity (squared) on either side of every candidate; infinite where there is none.
        let mut changes: Vec<Vec<[f64; 2]>> = ways.iter().map(|list| vec![[f64::INFINITY; 2]; list.len()]).collect();
        for t in 0..steps.saturating_sub(1) {
            let next = detections.range(t + 1).start;
            for i in detections.range(t) {
                for (at, (j, here)) in ways[i].iter().enumerate() {
                    let j = next + *j as usize;
                    for (after, (_, there)) in ways[j].iter().enumerate() {
                        let change = squared(*here, *there);
                        changes[i][at][1] = changes[i][at][1].min(change);
                        changes[j][after][0] = changes[j][after][0].min(change);
                    }
                }
            }
            ctx.check()?;
        }
        let mut least: Vec<f64> = changes
            .iter()
            .filter_map(|list| list.iter().flatten().copied().filter(|x| x.is_finite()).min_by(f64::total_cmp))
            .collect();
        let scale = (median(&mut least) / 3.0).max(floor * floor);
        // As far off as a change of the whole gate.
        let worst = self.options.max_speed.powi(2);
        let cost = |sides: &[f64; 2]| sides.iter().map(|side| tail(side.min(worst) / scale)).sum::<f64>();
        let dearest = 2.0 * tail(worst / scale) + 1.0;
        let mut links = Links::none(detections.points.len());
        for t in 0..steps {
            let (from, to) = (detections.range(t), detections.range(t + 1));
            let edges: Vec<Edge> = from
                .clone()
                .zip(0u32..)
                .flat_map(|(i, row)| {
                    let costs = changes[i].iter().map(cost);
                    ways[i].iter().zip(costs).map(move |(way, cost)| Edge { row, column: way.0, cost: cost - dearest })
                })
                .collect();
            for edge in assign(from.len(), to.len(), &edges).into_iter().flatten().map(|at| edges[at]) {
                let (i, j) = (from.start + edge.row as usize, to.start + edge.column as usize);
                links.next[i] = j as u32;
                links.previous[j] = i as u32;
                (links.cost[i], links.squared[i]) = (edge.cost, edge.cost + dearest);
            }
            ctx.check()?;
        }
        Ok(links)
    }

    /// All links solved again, in the order of time: what came before from this pass, what comes after from the last.
    fn pass(
        &self,
        motion: &Motion,
        flows: &[Option<[f64; 3]>],
        old: &Links,
        unlinked: f64,
        mut done: impl FnMut() -> Result<()>,
    ) -> Result<Links> {
        let mut links = Links::none(self.detections.points.len());
        for t in 0..self.detections.times().saturating_sub(1) {
            let (from, to) = (self.detections.range(t), self.detections.range(t + 1));
            // What is known after each target.
            let ahead: Vec<Beside> = to
                .clone()
                .map(|j| {
                    let mut beside = Beside::default();
                    self.after(t + 1, j as u32, &old.next, &mut beside);
                    beside
                })
                .collect();
            let found: Vec<Vec<(f64, f64, u32)>> = from
                .clone()
                .into_par_iter()
                .with_min_len(64)
                .map(|i| self.candidates(motion, flows, &links.previous, &ahead, unlinked, t, i))
                .collect();
            let edges: Vec<Edge> = found
                .iter()
                .zip(0u32..)
                .flat_map(|(list, row)| {
                    list.iter().map(move |&(cost, _, column)| Edge { row, column, cost: cost - unlinked })
                })
                .collect();
            let chosen = assign(from.len(), to.len(), &edges);
            for (row, edge) in chosen.iter().enumerate() {
                let Some(edge) = edge.map(|at| edges[at]) else { continue };
                let (i, j) = (from.start + row, to.start + edge.column as usize);
                links.next[i] = j as u32;
                links.previous[j] = i as u32;
                if let Some(&(cost, squared, _)) = found[row].iter().find(|entry| entry.2 == edge.column) {
                    (links.cost[i], links.squared[i]) = (cost, squared);
                }
            }
            done()?;
        }
        Ok(links)
    }

    /// (cost, squared residual, place in the next time point) of the links that `i` may have.
    #[allow(clippy::too_many_arguments)] // the state of one pass
    fn candidates(
        &self,
        motion: &Motion,
        flows: &[Option<[f64; 3]>],
        previous: &[u32],
        ahead: &[Beside],
        unlinked: f64,
        t: usize,
        i: usize,
    ) -> Vec<(f64, f64, u32)> {
        let mut behind = Beside::default();
        if let Some(flow) = flows[i] {
            behind.known |= 1;
            behind.values[0] = flow;
        }
        self.before(t, i as u32, previous, &mut behind);
        let point = self.detections.points[i];
        let targets = self.detections.at(t + 1);
        let mut list = Vec::new();
        self.cells[t + 1].within(targets, plus(point, self.drift[t]), self.options.max_speed, |j, _| {
            let mut beside = ahead[j as usize];
            beside.known |= behind.known;
            beside.values[..3].copy_from_slice(&behind.values[..3]);
            let moved = minus(minus(targets[j as usize], point), self.drift[t]);
            let (squared, mut cost) = motion.judge(&beside, moved);
            if let Some(sizes) = self.detections.sizes {
                let place = self.detections.range(t + 1).start + j as usize;
                cost += size_cost(sizes[place] / sizes[i], SIZE_STEP);
            }
            if cost < unlinked {
                list.push((cost, squared, j));
            }
        });
        list.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
        list.truncate(CANDIDATES);
        list
    }

    fn flows(&self, links: &Links) -> Vec<Option<[f64; 3]>> {
        let times = self.detections.times();
        (0..times)
            .into_par_iter()
            .flat_map_iter(|t| {
                if t + 1 == times {
                    return vec![None; self.detections.range(t).len()];
                }
                let radius = 2.0 * self.options.max_speed;
                flow(self.detections, t, &links.next, &self.cells[t], self.drift[t], radius)
            })
            .collect()
    }

    /// The motion that the links show, and the cost of going without a link.
    fn learn(&self, links: &Links, flows: &[Option<[f64; 3]>], floor: f64) -> (Motion, f64) {
        let (mut samples, mut shares) = (Vec::new(), Vec::new());
        for t in 0..self.detections.times().saturating_sub(1) {
            for i in self.detections.range(t) {
                let j = links.next[i];
                if j == NONE {
                    continue;
                }
                let mut beside = Beside::default();
                if let Some(flow) = flows[i] {
                    beside.known |= 1;
                    beside.values[0] = flow;
                }
                self.before(t, i as u32, &links.previous, &mut beside);
                self.after(t + 1, j, &links.next, &mut beside);
                samples.push((beside, self.moved(t, i as u32, j)));
                shares.push(share(links.squared[i]));
            }
        }
        let motion = Motion::fit(&samples, &shares, floor, self.options.max_speed);
        let mut costs: Vec<f64> = samples.iter().map(|(beside, moved)| tail(motion.judge(beside, *moved).0)).collect();
        let mut logs: Vec<f64> = samples.iter().map(|(beside, _)| motion.log(beside.known)).collect();
        let typical = quantile(&mut costs, self.options.quantile);
        // Few links, or motion along one axis alone, say too little of the others.
        let typical = typical.max(tail(6.0));
        let base = if logs.is_empty() { motion.log(0) } else { median(&mut logs) };
        (motion, self.options.unlinked * typical + base)
    }
}

/// Spread of the logarithm of the size of a cell from one time point to the next.
const SIZE_STEP: f64 = 0.3;

/// Cost of a ratio of sizes.
pub(super) fn size_cost(ratio: f64, spread: f64) -> f64 {
    0.5 * (ratio.ln() / spread).powi(2).min(16.0)
}
