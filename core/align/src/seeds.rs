//! A rough fit without landmarks: a cell and its neighbours are looked for among all fixed cells by their geometry alone.
//!
//! A moving cell and three of its near neighbours have six distances, of which no turn and no shift changes any, and a scale
//! none of the ratios. About every fixed cell all triples of neighbours with the same distances are found by going through
//! them one edge at a time. Each such find gives a turn, a shift and a scale, and these say where the other neighbours
//! of the moving cell should lie; a sequential test (Wald 1945) leaves wrong ones after a few looks. What remains is far
//! beyond chance: with 24 neighbours and one in ten places taken by chance, 14 hits have odds of one to 10^8 and more, against
//! the some 10^6 finds that are tried. Cells missing on either side cost tries, not correctness, as long as the
//! neighbours that were chosen lie among the [`AMONG`] fixed cells next to the true one.

use rayon::prelude::*;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, Result};

use crate::cloud::{Point, ball, median, minus, square};
use crate::grow::{Grown, Neighbors, grow, sow};
use crate::linear::{Linear, Pairs};
use crate::scene::Scene;

/// Fixed neighbours among which the three are looked for.
const AMONG: usize = 36;
/// Moving neighbours from which three are chosen, and those that vouch for a find.
const CHOOSE: usize = 6;
const WITNESSES: usize = 24;
/// How far, in spacings, an edge may differ in length, and a neighbour lie from a fixed cell.
const EDGE: f64 = 0.3;
const HIT: f64 = 0.5;
/// Share of witnesses that find a cell by chance, at most: where cells are dense, `HIT` is lowered to that.
const CHANCE: f64 = 0.12;
/// Share of witnesses that find their cell if the find is right, as the sequential test has it.
const RIGHT: f64 = 0.7;
/// Logarithm of odds at which the test gives up.
const GIVE_UP: f64 = -2.0;
/// Logarithm of odds beyond the number of finds that a guess must have.
const CERTAIN: f64 = 5.0;
/// Guesses of a seed that are tried in full.
const BEST: usize = 3;
/// Fixed cells in a piece.
const PIECE: usize = 256;

/// What may differ beside turn and shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Freedom {
    /// Least and largest scale; the same for a rigid map.
    pub(crate) scale: (f64, f64),
    pub(crate) mirror: bool,
}

/// What the search found.
pub(crate) struct Found {
    /// The rough map that led there.
    pub(crate) map: Linear,
    /// Pairs that it grew to.
    pub(crate) grown: Grown,
    /// Moving cells tried before.
    pub(crate) tries: usize,
}

#[derive(Clone, Copy)]
struct Guess {
    score: f64,
    fixed: u32,
    map: Linear,
}

/// Tries up to `tries` moving cells in random order until one leads to pairs that spread. `None` where none does.
pub(crate) fn search(
    moving: &[Point],
    scene: &Scene<'_>,
    freedom: Freedom,
    tries: usize,
    seed: u64,
    ctx: &Ctx,
) -> Result<Option<Found>> {
    let dimensions = scene.dimensions;
    if moving.len() < WITNESSES / 2 || scene.points.len() < WITNESSES / 2 {
        return Ok(None);
    }
    let mirrored: Vec<Point>;
    let moving = if freedom.mirror {
        mirrored = moving.iter().map(|place| Linear::MIRROR.apply(place)).collect();
        &mirrored[..]
    } else {
        moving
    };
    let neighbors = Neighbors::new(moving);
    let k = AMONG.min(scene.points.len() - 1);
    let fixed_near: Vec<Vec<u32>> = scene
        .points
        .par_iter()
        .with_min_len(256)
        .enumerate()
        .map_init(Vec::new, |best, (own, place)| {
            scene.tree.nearest(place, k + 1, f64::INFINITY, None, best);
            best.iter().map(|found| found.1).filter(|&at| at as usize != own).take(k).collect()
        })
        .collect();
    let tolerance = hit_distance(scene);
    let mut order: Vec<u32> = (0..moving.len() as u32).collect();
    Stream::new(seed, u64::MAX - 1).shuffle(&mut order);
    order.truncate(tries);
    let stage = ctx.stage("seeds", order.len() as u64);
    let mut finds = 0.0f64;
    for (tried, &own) in order.iter().enumerate() {
        let Some(star) = Star::new(moving, &neighbors, own as usize, dimensions) else {
            stage.advance(1)?;
            continue;
        };
        let pieces: Vec<(usize, Vec<Guess>)> = (0..scene.points.len())
            .collect::<Vec<_>>()
            .par_chunks(PIECE)
            .map(|cells| {
                ctx.check()?;
                let mut work = Work::default();
                let mut best: Vec<Guess> = Vec::new();
                for &at in cells {
                    star.look(at, &fixed_near[at], scene, freedom, tolerance, &mut work, &mut best);
                }
                Ok((work.finds, best))
            })
            .collect::<Result<_>>()?;
        finds += pieces.iter().map(|piece| piece.0 as f64).sum::<f64>();
        let mut guesses: Vec<Guess> = pieces.into_iter().flat_map(|piece| piece.1).collect();
        guesses.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.fixed.cmp(&b.fixed)));
        guesses.retain(|guess| guess.score > CERTAIN + finds.max(1.0).ln());
        for guess in guesses.iter().take(BEST) {
            let sown = sow(moving, &neighbors, scene, &guess.map, own as usize, tolerance);
            let grown = grow(moving, &neighbors, scene, sown, tolerance, ctx)?;
            if grown.holds() {
                let map = if freedom.mirror { guess.map.after(&Linear::MIRROR) } else { guess.map };
                return Ok(Some(Found { map, grown, tries: tried + 1 }));
            }
        }
        stage.advance(1)?;
    }
    Ok(None)
}

/// Within this distance of where it should be a cell counts as found.
pub(crate) fn hit_distance(scene: &Scene<'_>) -> f64 {
    let typical = median(&mut scene.density.clone()).unwrap_or(1.0);
    let unit = ball(scene.dimensions, 1.0);
    (HIT * scene.spacing).min((CHANCE / (typical * unit)).powf(1.0 / scene.dimensions as f64))
}

/// A moving cell with its neighbours.
struct Star<'a> {
    moving: &'a [Point],
    own: usize,
    dimensions: usize,
    /// The three neighbours, the farthest first.
    chosen: [usize; 3],
    /// Their distances to the cell, and to each other: first-second, first-third, second-third.
    arms: [f64; 3],
    sides: [f64; 3],
    witnesses: Vec<u32>,
}

#[derive(Default)]
struct Work {
    finds: usize,
    offsets: Vec<Point>,
    lengths: Vec<f64>,
}

impl<'a> Star<'a> {
    /// Of the nearest neighbours the three that span most. `None` where cells lie at one place.
    fn new(moving: &'a [Point], neighbors: &Neighbors, own: usize, dimensions: usize) -> Option<Self> {
        let near = neighbors.of(own);
        let near = &near[..near.len().min(WITNESSES)];
        let arm = |at: u32| minus(&moving[at as usize], &moving[own]);
        let first = &near[..near.len().min(CHOOSE)];
        let mut best = (0.0, [0usize; 3]);
        for i in 0..first.len() {
            for j in i + 1..first.len() {
                for k in j + 1..first.len() {
                    let [a, b, c] = [arm(first[i]), arm(first[j]), arm(first[k])];
                    let span = if dimensions == 3 {
                        Linear { matrix: [a, b, c], shift: [0.0; 3] }.determinant().abs()
                    } else {
                        let area = |a: Point, b: Point| (a[0] * b[1] - a[1] * b[0]).abs();
                        area(a, b).min(area(b, c).max(area(a, c)))
                    };
                    if span > best.0 {
                        best = (span, [first[i], first[j], first[k]].map(|at| at as usize));
                    }
                }
            }
        }
        if best.0 <= 0.0 {
            return None;
        }
        let mut chosen = best.1;
        chosen.sort_by(|&a, &b| square(&moving[b], &moving[own]).total_cmp(&square(&moving[a], &moving[own])));
        let far = |a: usize, b: usize| square(&moving[a], &moving[b]).sqrt();
        Some(Self {
            moving,
            own,
            dimensions,
            chosen,
            arms: chosen.map(|at| far(at, own)),
            sides: [far(chosen[0], chosen[1]), far(chosen[0], chosen[2]), far(chosen[1], chosen[2])],
            witnesses: near.to_vec(),
        })
    }

    /// All finds about the fixed cell `at`.
    #[allow(clippy::too_many_arguments)]
    fn look(
        &self,
        at: usize,
        near: &[u32],
        scene: &Scene<'_>,
        freedom: Freedom,
        tolerance: f64,
        work: &mut Work,
        best: &mut Vec<Guess>,
    ) {
        work.offsets.clear();
        work.offsets.extend(near.iter().map(|&other| minus(&scene.points[other as usize], &scene.points[at])));
        work.lengths.clear();
        work.lengths.extend(work.offsets.iter().map(|offset| square(offset, &[0.0; 3]).sqrt()));
        let edge = EDGE * scene.spacing;
        let rigid = freedom.scale.0 == freedom.scale.1;
        for i in 0..near.len() {
            let mut scale = work.lengths[i] / self.arms[0];
            if rigid {
                if (work.lengths[i] - freedom.scale.0 * self.arms[0]).abs() > edge {
                    continue;
                }
                scale = freedom.scale.0;
            } else if !(freedom.scale.0..=freedom.scale.1).contains(&scale) {
                continue;
            }
            let (arms, sides) = (self.arms.map(|arm| arm * scale), self.sides.map(|side| side * scale));
            for j in 0..near.len() {
                if (work.lengths[j] - arms[1]).abs() > edge || j == i {
                    continue;
                }
                let side = square(&work.offsets[i], &work.offsets[j]).sqrt();
                if (side - sides[0]).abs() > edge {
                    continue;
                }
                for k in 0..near.len() {
                    if (work.lengths[k] - arms[2]).abs() > edge || k == i || k == j {
                        continue;
                    }
                    let (a, b) = (
                        square(&work.offsets[i], &work.offsets[k]).sqrt(),
                        square(&work.offsets[j], &work.offsets[k]).sqrt(),
                    );
                    if (a - sides[1]).abs() > edge || (b - sides[2]).abs() > edge {
                        continue;
                    }
                    work.finds += 1;
                    let three = [near[i], near[j], near[k]];
                    if let Some(guess) = self.test(at, three, scene, freedom, tolerance)
                        && best.len() < 64
                    {
                        best.push(guess);
                    }
                }
            }
        }
    }

    /// The map of a find, if the other neighbours bear it out.
    fn test(&self, at: usize, three: [u32; 3], scene: &Scene<'_>, freedom: Freedom, tolerance: f64) -> Option<Guess> {
        let free = freedom.scale.0 != freedom.scale.1;
        let fit = |sums: &Pairs| -> Option<Linear> {
            let map = sums.similarity(self.dimensions, free, false)?;
            let scale = map.scale(self.dimensions);
            (!free || (freedom.scale.0 * 0.9..=freedom.scale.1 * 1.1).contains(&scale)).then_some(map)
        };
        let mut sums = Pairs::default();
        sums.add(&self.moving[self.own], &scene.points[at], 1.0);
        for (&from, to) in self.chosen.iter().zip(three) {
            sums.add(&self.moving[from], &scene.points[to as usize], 1.0);
        }
        let mut map = fit(&sums)?;
        // The four themselves tell a mirrored find.
        let limit = tolerance * tolerance;
        let off = |map: &Linear, from: usize, to: usize| square(&map.apply(&self.moving[from]), &scene.points[to]);
        if off(&map, self.own, at) > limit
            || self.chosen.iter().zip(three).any(|(&from, to)| off(&map, from, to as usize) > limit)
        {
            return None;
        }
        let chance = (scene.density[at] * ball(self.dimensions, tolerance)).clamp(0.01, 0.5);
        let (hit, miss) = ((RIGHT / chance).ln(), ((1.0 - RIGHT) / (1.0 - chance)).ln());
        let mut odds = 0.0;
        for &witness in self.witnesses.iter().filter(|&&witness| !self.chosen.contains(&(witness as usize))) {
            let there = map.apply(&self.moving[witness as usize]);
            odds += if scene.tree.first(&there, limit, None).is_some() { hit } else { miss };
            if odds < GIVE_UP {
                return None;
            }
        }
        // All that agree have their say, twice; then they are counted.
        let mut score = 0.0;
        for round in 0..3 {
            let mut sums = Pairs::default();
            sums.add(&self.moving[self.own], &scene.points[at], 1.0);
            let mut taken = vec![at as u32];
            for &witness in &self.witnesses {
                let place = &self.moving[witness as usize];
                if let Some((_, found)) = scene.tree.first(&map.apply(place), limit, None)
                    && !taken.contains(&found)
                {
                    taken.push(found);
                    sums.add(place, &scene.points[found as usize], 1.0);
                }
            }
            // Three of the hits were there by choice.
            let (hits, all) = ((taken.len() as f64 - 4.0).max(0.0), self.witnesses.len() as f64 - 3.0);
            let share = (hits / all).min(1.0 - 1e-9);
            if share <= chance {
                return None;
            }
            score = all * (share * (share / chance).ln() + (1.0 - share) * ((1.0 - share) / (1.0 - chance)).ln());
            if round < 2 {
                map = fit(&sums)?;
            }
        }
        Some(Guess { score, fixed: at as u32, map })
    }
}
