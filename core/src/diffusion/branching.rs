//! Branchings: segments of cells between the tips of the diffusion.

use rayon::prelude::*;

use super::concordance::{SHORTEST, split};
use super::distances::Distances;
use super::options::BranchingOptions;
use crate::graph::Graph;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Segments of cells, as [`branchings`] finds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Branchings {
    /// Segment of each of the n cells.
    pub groups: Vec<u32>,
    /// The two cells at the ends of each segment, the one nearer to the root first; one pair per segment.
    pub tips: Vec<[u32; 2]>,
    /// All cells, by segment and within it by distance from the root, equal ones by index.
    pub order: Vec<u32>,
    /// Places in `order` where a new segment begins; one less than there are segments.
    pub changepoints: Vec<u32>,
}

/// Segments of n cells, from at most `n_branchings` successive splits along the diffusion.
///
/// `graph`, `vectors` and `values` are as for [`pseudotime`](super::pseudotime), `root` a cell. At first all cells are
/// one segment, whose tips are the cell furthest from the root and the one furthest from that. Each round takes the
/// segment that reaches furthest aside from the line between its tips, in relation to that line, and finds its third
/// tip there. From each tip cells are taken in order of distance, as long as their distances to the other two tips fall
/// and rise together: up to where Kendall's tau of what is taken exceeds that of what is left the most. What only one
/// tip takes is a branch of its own; what several take or none is undecided between them, and keeps the number of the
/// segment. Where no cell is taken twice the branch closest to the other two keeps it.
///
/// Nothing is random; the same result for any number of threads. A round costs O(n log^2 n) time for the segment it
/// splits and O(n `n_dcs`) to choose it; memory is about 200 bytes per cell.
///
/// # Errors
/// As [`pseudotime`](super::pseudotime); [`Error::Data`] for a graph of several parts, between which no distance is
/// finite.
///
/// # Reference
/// Haghverdi, Büttner, Wolf, Büttner, Theis 2016, Nature Methods 13, 845; rounds and choices after scanpy 1.11.
pub fn branchings(
    graph: &Graph,
    vectors: &[f32],
    values: &[f64],
    root: usize,
    options: &BranchingOptions,
    ctx: &Ctx,
) -> Result<Branchings> {
    options.validate()?;
    let n = graph.n;
    let distances = Distances::new(n, vectors, values, options.n_dcs)?;
    if root >= n {
        return Err(Error::parameter("root", format!("a cell below {n}"), root));
    }
    let parts = graph.components().labels.iter().max().map_or(0, |&last| last as usize + 1);
    if parts > 1 {
        let found = format!("{parts} parts; take the cells of one, or n_branchings = 0");
        return Err(Error::data(DataFault::Invalid, "graph", "a graph in one part, to look for branchings", found));
    }
    let smallest = if options.min_group_size >= 1.0 {
        options.min_group_size as usize
    } else {
        (options.min_group_size * n as f64) as usize
    };
    let search = Search { distances: &distances, smallest: smallest.max(SHORTEST - 1), options, ctx };
    let all: Vec<u32> = (0..n as u32).collect();
    let first = furthest(&distances.to(root, &all), &all);
    let second = furthest(&distances.to(first as usize, &all), &all);
    let mut segments = vec![Segment { cells: all, tips: [first, second], undecided: true, whole: false }];
    let mut groups = vec![0u32; n];
    let stage = ctx.stage("branchings", options.n_branchings as u64);
    let mut done = 0;
    while done < options.n_branchings {
        let Some((chosen, tips)) = search.choose(&segments)? else { break };
        let Some(Parts { mut branches, trunk }) = search.parts(&segments[chosen], tips)? else {
            segments[chosen].whole = true;
            continue;
        };
        let mut kept = branches.remove(trunk);
        kept.undecided |= segments[chosen].undecided;
        segments[chosen] = kept;
        for branch in branches {
            let number = segments.len() as u32;
            branch.cells.iter().for_each(|&cell| groups[cell as usize] = number);
            segments.push(branch);
        }
        done += 1;
        stage.advance(1)?;
    }

    let time: Vec<f64> = (0..n).into_par_iter().map(|cell| distances.between(root, cell)).collect();
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_unstable_by(|&a, &b| {
        let key = |cell: u32| (groups[cell as usize], time[cell as usize]);
        key(a).0.cmp(&key(b).0).then(key(a).1.total_cmp(&key(b).1)).then(a.cmp(&b))
    });
    let begins = |&at: &usize| groups[order[at] as usize] != groups[order[at - 1] as usize];
    let changepoints = (1..n).filter(begins).map(|at| at as u32).collect();
    let tips = segments
        .iter()
        .map(|segment| {
            let [a, b] = segment.tips;
            if time[b as usize] < time[a as usize] { [b, a] } else { [a, b] }
        })
        .collect();
    Ok(Branchings { groups, tips, order, changepoints })
}

/// Cells between two tips.
struct Segment {
    cells: Vec<u32>,
    tips: [u32; 2],
    /// Whether it lies between branches, so that its tips may be where others begin.
    undecided: bool,
    /// Whether it was found not to fall into branches.
    whole: bool,
}

/// What a segment falls into, and which of it keeps its number.
struct Parts {
    branches: Vec<Segment>,
    trunk: usize,
}

struct Search<'a> {
    distances: &'a Distances<'a>,
    /// Segments of this many cells or fewer are not split.
    smallest: usize,
    options: &'a BranchingOptions,
    ctx: &'a Ctx,
}

impl Search<'_> {
    /// The segment that reaches furthest aside from its line, relative to the length of that, and its three tips.
    fn choose(&self, segments: &[Segment]) -> Result<Option<(usize, [u32; 3])>> {
        let mut best: Option<(f64, usize, [u32; 3])> = None;
        for (at, segment) in segments.iter().enumerate() {
            self.ctx.check()?;
            if segment.whole || segment.cells.len() <= self.smallest {
                continue;
            }
            let (score, tips) = self.triangle(segments, at);
            if score.is_finite() && score > 0.0 && best.is_none_or(|(highest, ..)| score > highest) {
                best = Some((score, at, tips));
            }
        }
        Ok(best.map(|(_, at, tips)| (at, tips)))
    }

    /// The third tip of a segment, and how far it lies aside.
    fn triangle(&self, segments: &[Segment], at: usize) -> (f64, [u32; 3]) {
        let Segment { cells, tips, undecided, .. } = &segments[at];
        let between = |a: u32, b: u32| self.distances.between(a as usize, b as usize);
        // A tip of undecided cells close to the inner tip of another segment is where that one joins, not an end.
        let joins = *undecided
            && segments.iter().enumerate().any(|(other, segment)| {
                other != at
                    && (0..2).any(|tip| between(segment.tips[1], tips[tip]) < 0.5 * between(tips[1 - tip], tips[tip]))
            });
        let mut aside = self.distances.to(tips[0] as usize, cells);
        let add = |aside: &mut [f64], tip: u32, sign: f64| {
            let more = self.distances.to(tip as usize, cells);
            aside.iter_mut().zip(more).for_each(|(sum, distance)| *sum += sign * distance);
        };
        add(&mut aside, tips[1], 1.0);
        let third_at = argmax(&aside);
        let third = cells[third_at];
        let mut second = tips[1];
        if joins {
            // Then an end is looked for that lies far from all three.
            add(&mut aside, third, 1.0);
            let fourth = furthest(&aside, cells);
            if fourth != tips[0] && fourth != third {
                second = fourth;
                add(&mut aside, fourth, -1.0);
            } else {
                add(&mut aside, third, -1.0);
            }
        }
        (aside[third_at] / between(tips[0], second), [tips[0], second, third])
    }

    /// The branches of a segment at its three tips, and what is undecided between them; none if one has no cell.
    fn parts(&self, segment: &Segment, tips: [u32; 3]) -> Result<Option<Parts>> {
        let cells = &segment.cells;
        let from: Vec<Vec<f64>> = tips.par_iter().map(|&tip| self.distances.to(tip as usize, cells)).collect();
        let taken = (0..3usize)
            .into_par_iter()
            .map(|tip| self.taken(&from[tip], &from[(tip + 1) % 3], &from[(tip + 2) % 3]))
            .collect::<Vec<Result<Option<Vec<u32>>>>>()
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let mut takers = vec![0u8; cells.len()];
        let mut taker = vec![0u8; cells.len()];
        for (tip, places) in taken.iter().enumerate() {
            let Some(places) = places else { return Ok(None) };
            for &place in places {
                takers[place as usize] += 1;
                taker[place as usize] = tip as u8;
            }
        }
        let pick = |wanted: &dyn Fn(usize) -> bool| -> Vec<u32> {
            (0..cells.len()).filter(|&at| wanted(at)).map(|at| cells[at]).collect()
        };
        let mut branches = Vec::with_capacity(4);
        for (tip, &end) in tips.iter().enumerate() {
            let own = pick(&|at| takers[at] == 1 && usize::from(taker[at]) == tip);
            if own.is_empty() {
                return Ok(None);
            }
            let inner = furthest(&self.distances.to(end as usize, &own), &own);
            branches.push(Segment { cells: own, tips: [end, inner], undecided: false, whole: false });
        }
        let undecided = pick(&|at| takers[at] > 1);
        if undecided.is_empty() {
            return Ok(Some(Parts { trunk: self.closest(&branches), branches }));
        }
        let one = furthest(&self.distances.to(undecided[0] as usize, &undecided), &undecided);
        let other = furthest(&self.distances.to(one as usize, &undecided), &undecided);
        branches.push(Segment { cells: undecided, tips: [one, other], undecided: true, whole: false });
        Ok(Some(Parts { branches, trunk: 3 }))
    }

    /// Places of the cells that a tip takes, nearest first.
    fn taken(&self, own: &[f64], second: &[f64], third: &[f64]) -> Result<Option<Vec<u32>>> {
        let mut order: Vec<u32> = (0..own.len() as u32).collect();
        order.sort_by(|&a, &b| own[a as usize].total_cmp(&own[b as usize]));
        let along = |distances: &[f64]| -> Vec<f64> { order.iter().map(|&at| distances[at as usize]).collect() };
        let Some(last) = split(&along(second), &along(third), self.ctx)? else { return Ok(None) };
        // Where nearly all would be taken there is hardly a branch: draw back.
        let nearly_all = last as f64 > 0.95 * order.len() as f64;
        let count =
            if nearly_all && self.options.allow_kendall_tau_shift { (0.95 * last as f64) as usize } else { last + 1 };
        order.truncate(count);
        Ok(Some(order))
    }

    /// The branch whose ends towards the two others lie closest to theirs.
    fn closest(&self, branches: &[Segment]) -> usize {
        let nearest = |from: usize, within: usize| -> usize {
            let cells = &branches[within].cells;
            let away = self.distances.to(branches[from].tips[0] as usize, cells);
            cells[(0..away.len()).fold(0, |best, at| if away[at] < away[best] { at } else { best })] as usize
        };
        let gap = |a: usize, b: usize| self.distances.between(nearest(b, a), nearest(a, b));
        let sums = [gap(0, 1) + gap(0, 2), gap(0, 1) + gap(1, 2), gap(1, 2) + gap(0, 2)];
        (0..3).fold(0, |best, at| if sums[at] < sums[best] { at } else { best })
    }
}

/// Place of the largest value, the first of equals.
fn argmax(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}

/// The cell with the largest value, the first of equals.
fn furthest(values: &[f64], cells: &[u32]) -> u32 {
    cells.get(argmax(values)).copied().unwrap_or(0)
}
