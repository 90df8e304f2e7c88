//! One-to-one pairs with a probability each, and how many of them are false.

use rayon::prelude::*;
use zensaibo_core::assignment::{Edge, assign};
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, Result};

use crate::belief::{Links, marginals};
use crate::cloud::{Point, minus, plus, square};
use crate::grow::Neighbors;
use crate::refine::{near, pair_odds};
use crate::scene::{Likeness, Scene};

/// Fixed cells looked at from one moving cell.
const CANDIDATES: usize = 12;
/// Rounds in which scatter and share are learned, and rounds of messages in each.
const LEARN: usize = 15;
const ROUNDS: usize = 12;
/// Displaced cells lie this many spacings beyond the gate, at least and at most, at one of so many fixed cells.
const AWAY: (f64, f64) = (0.2, 3.0);
const PLACES: usize = 64;
/// Neighbours that are displaced together, and how often they slide to where they fit better.
const COMPANY: usize = 12;
const SLIDES: usize = 3;
/// Within this many spacings of a fixed cell a moving one lies in the tissue.
const ABOUT: f64 = 3.0;

/// A moving cell and its partner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Moving cell.
    pub moving: u32,
    /// Fixed cell.
    pub fixed: u32,
    /// Distance after alignment, in the unit of the fixed cells.
    pub distance: f64,
    /// Probability that the two are the same cell.
    pub probability: f64,
    /// The share of false ones among all pairs at least as probable, from displaced copies.
    pub false_match_rate: f64,
}

/// Pairs and what is known of them together.
#[derive(Clone, Debug, PartialEq)]
pub struct Matches {
    /// Pairs in the order of the moving cells.
    pub pairs: Vec<Match>,
    /// The share of them that is false, from displaced copies of the moving cells; 1 without pairs.
    pub false_match_rate: f64,
    /// The same from the probabilities alone: the mean of what they lack of 1.
    pub expected_false: f64,
    /// Share of displaced cells that found a partner.
    pub decoy_rate: f64,
    /// Moving cells that lie among the fixed ones.
    pub inside: usize,
    /// Scatter of partners along each axis, learned.
    pub scatter: f64,
    /// Share of moving cells that have a partner, learned.
    pub share: f64,
    /// Beyond this distance no pairs are formed.
    pub gate: f64,
}

/// What decides on pairs; lengths in the unit of the places.
pub(crate) struct Rules {
    pub(crate) gate: f64,
    pub(crate) min_probability: f64,
    pub(crate) decoys: usize,
    pub(crate) seed: u64,
}

/// Pairs the moving cells, which lie at `placed` among the fixed ones.
pub(crate) fn pair_up(
    placed: &[Point],
    scene: &Scene<'_>,
    rules: &Rules,
    likeness: Option<&Likeness<'_>>,
    ctx: &Ctx,
) -> Result<Matches> {
    let stage = ctx.stage("pairs", 2 + rules.decoys as u64);
    let links = near(placed, scene, rules.gate, CANDIDATES, ctx)?;
    stage.advance(1)?;
    let n_fixed = scene.points.len();
    // Scatter and share are learned in turn with the probabilities, from a wide and even start.
    let (mut scatter, mut share) = (rules.gate / 3.0, 0.5);
    let (mut odds, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..LEARN {
        ctx.check()?;
        odds = pair_odds(&links, scene, scatter, share, likeness);
        shares = marginals(&links, &odds, n_fixed, ROUNDS);
        let total: f64 = shares.iter().sum();
        if !(total > 0.0) {
            break;
        }
        let squared: f64 = shares.iter().zip(&links.squared).map(|(share, squared)| share * squared).sum();
        scatter = (squared / (scene.dimensions as f64 * total)).sqrt().clamp(1e-3 * rules.gate, rules.gate / 2.0);
        share = (total / placed.len() as f64).clamp(0.01, 0.99);
    }
    stage.advance(1)?;
    let chosen = choose(&links, &odds, n_fixed, rules.min_probability);
    let mut pairs: Vec<Match> = chosen
        .into_iter()
        .filter(|&(_, at)| shares[at] >= rules.min_probability)
        .map(|(moving, at)| Match {
            moving,
            fixed: links.fixed[at],
            distance: links.squared[at].sqrt(),
            probability: shares[at],
            false_match_rate: f64::NAN,
        })
        .collect();

    // Cells of the tissue, and the partners so far.
    let about = (ABOUT * scene.spacing) * (ABOUT * scene.spacing);
    let inside =
        placed.par_iter().with_min_len(256).filter(|place| scene.tree.first(place, about, None).is_some()).count();
    let mut partner = vec![None; placed.len()];
    pairs.iter().for_each(|pair| partner[pair.moving as usize] = Some(pair.fixed));
    let neighbors = Neighbors::new(placed);
    let (mut tried, mut found) = (0usize, Vec::new());
    for copy in 0..rules.decoys {
        let best: Vec<Option<f64>> = (0..placed.len())
            .into_par_iter()
            .with_min_len(256)
            .map_init(Vec::new, |best, moving| {
                let item = (copy * placed.len() + moving) as u64;
                let mut stream = Stream::new(rules.seed, item);
                let shift = displacement(moving, placed, &partner, &neighbors, scene, rules, &mut stream, best)?;
                scene.tree.nearest(&plus(&placed[moving], &shift), CANDIDATES, rules.gate * rules.gate, None, best);
                let row = Links::of(vec![std::mem::take(best)]);
                let mut odds = pair_odds(&row, scene, scatter, share, None);
                for (odds, &fixed) in odds.iter_mut().zip(&row.fixed) {
                    *odds *= likeness.map_or(1.0, |likeness| likeness.ratio(moving, fixed as usize));
                }
                let total: f64 = 1.0 + odds.iter().sum::<f64>();
                Some(odds.iter().fold(0.0, |most: f64, &odds| most.max(odds / total)))
            })
            .collect();
        for probability in best.into_iter().flatten() {
            tried += 1;
            if probability >= rules.min_probability {
                found.push(probability);
            }
        }
        stage.advance(1)?;
    }
    let decoy_rate = if tried == 0 { f64::NAN } else { found.len() as f64 / tried as f64 };
    let false_match_rate = rate_pairs(&mut pairs, &mut found, tried, inside);
    let lack: f64 = pairs.iter().map(|pair| 1.0 - pair.probability).sum();
    let expected_false = if pairs.is_empty() { 1.0 } else { lack / pairs.len() as f64 };
    Ok(Matches { pairs, false_match_rate, expected_false, decoy_rate, inside, scatter, share, gate: rules.gate })
}

/// The likeliest set of pairs in which no cell stands twice: (moving cell, link).
fn choose(links: &Links, odds: &[f64], n_fixed: usize, min_probability: f64) -> Vec<(u32, usize)> {
    // A pair has to be worth more than leaving both alone, or than the least probability asked for where that is lower.
    let least = (min_probability.min(0.5) / (1.0 - min_probability.min(0.5))).max(1e-9).ln();
    let mut edges = Vec::with_capacity(odds.len());
    for moving in 0..links.rows() {
        for at in links.row(moving) {
            edges.push(Edge { row: moving as u32, column: links.fixed[at], cost: least - odds[at].max(1e-300).ln() });
        }
    }
    let chosen = assign(links.rows(), n_fixed, &edges);
    chosen.into_iter().enumerate().filter_map(|(moving, at)| Some((moving as u32, at?))).collect()
}

/// A shift of a moving cell to where it does not belong: with the cells about it, to another part of the tissue, and there to
/// where these fit best. The cell itself has no say, so that it meets a fixed one by chance in loose tissue, and for sure in a
/// lattice, where a whole neighbourhood may be one cell off and fit as well.
#[allow(clippy::too_many_arguments)]
fn displacement(
    moving: usize,
    placed: &[Point],
    partner: &[Option<u32>],
    neighbors: &Neighbors,
    scene: &Scene<'_>,
    rules: &Rules,
    stream: &mut Stream,
    best: &mut Vec<(f64, u32)>,
) -> Option<Point> {
    let near = neighbors.of(moving);
    let near = &near[..near.len().min(COMPANY)];
    let paired: Vec<u32> = near.iter().filter_map(|&other| partner[other as usize]).collect();
    if paired.is_empty() {
        return None;
    }
    let from = &scene.points[paired[stream.below(paired.len() as u64) as usize] as usize];
    let (least, most) = (rules.gate + AWAY.0 * scene.spacing, rules.gate + AWAY.1 * scene.spacing);
    scene.tree.nearest(from, PLACES, most * most, None, best);
    best.retain(|found| found.0 > least * least);
    if best.is_empty() {
        return None;
    }
    let to = best[stream.below(best.len() as u64) as usize].1;
    let mut shift = minus(&scene.points[to as usize], from);
    for _ in 0..SLIDES {
        let (mut off, mut count) = ([0.0; 3], 0.0);
        for &other in near {
            let there = plus(&placed[other as usize], &shift);
            if let Some((_, fixed)) = scene.tree.first(&there, rules.gate * rules.gate, None) {
                off = plus(&off, &minus(&scene.points[fixed as usize], &there));
                count += 1.0;
            }
        }
        if count > 0.0 {
            shift = plus(&shift, &off.map(|value| value / count));
        }
    }
    // Those that slid back home say nothing.
    (square(&shift, &[0.0; 3]) > rules.gate * rules.gate).then_some(shift)
}

/// Fills in the false match rate of each pair, and returns that of all.
///
/// Of `inside` moving cells those without a true partner find one as often as displaced cells do. How many these are
/// follows from the cells that found none, as the share of null hypotheses does in Storey's estimate (2002).
fn rate_pairs(pairs: &mut [Match], found: &mut [f64], tried: usize, inside: usize) -> f64 {
    if pairs.is_empty() || tried == 0 {
        pairs.iter_mut().for_each(|pair| pair.false_match_rate = 1.0);
        return 1.0;
    }
    found.sort_unstable_by(f64::total_cmp);
    let decoys = |least: f64| (found.len() - found.partition_point(|&p| p < least)) as f64 / tried as f64;
    let without = (inside.max(pairs.len()) - pairs.len()) as f64;
    let lonely = (without / (1.0 - found.len() as f64 / tried as f64).max(1e-9)).min(inside as f64);
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_unstable_by(|&a, &b| pairs[b].probability.total_cmp(&pairs[a].probability).then(a.cmp(&b)));
    let mut rates: Vec<f64> = order
        .iter()
        .enumerate()
        .map(|(rank, &at)| (lonely * decoys(pairs[at].probability) / (rank + 1) as f64).min(1.0))
        .collect();
    let all = (lonely * decoys(0.0) / pairs.len() as f64).min(1.0);
    // The least rate of any set that holds the pair.
    let mut least = all;
    for (slot, &at) in order.iter().enumerate().rev() {
        least = least.min(rates[slot]);
        rates[slot] = least;
        pairs[at].false_match_rate = least;
    }
    all
}
