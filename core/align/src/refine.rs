//! From a rough fit to a fine one: coherent point drift with a width that is lowered, not estimated.
//!
//! Each round every moving cell looks at the fixed cells within a few widths, the odds of each pair follow from their distance
//! and the density of fixed cells, no cell may have more than one partner ([`crate::belief`]), and the map is fitted to where
//! the partners are expected. Then the width shrinks by a fixed share. A width that is estimated stays too large as long as
//! neighbours are taken for partners, and freezes them in; lowering it on a schedule does not.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Result};

use crate::belief::{Links, marginals};
use crate::cloud::{Point, minus, plus};
use crate::linear::{Linear, Pairs};
use crate::scene::{Likeness, Scene};
use crate::smooth::{Basis, Moves};

/// Widths within which partners are looked for, and how many of the nearest at most.
const CUT: f64 = 3.5;
const CANDIDATES: usize = 48;
/// Rounds of messages between the two sides at each width.
const ROUNDS: usize = 4;
/// By how much the width shrinks each round.
const SHRINK: f64 = 0.93;
/// Pieces of moving cells.
const PIECE: usize = 512;

/// How the map may bend.
pub(crate) enum Shape {
    /// A turn and a shift, with or without a scale.
    Stiff { dimensions: usize, scale: bool },
    /// An affine map, or with control points a smooth one.
    Smooth(Basis),
}

/// Where the schedule runs, in the unit of the places.
pub(crate) struct Schedule {
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Share of moving cells taken to have no partner.
    pub(crate) outliers: f64,
    /// Stiffness of the smooth map, per squared length.
    pub(crate) stiffness: f64,
}

/// The displacement found, and where the places lie after it.
pub(crate) struct Refined {
    pub(crate) moves: Moves,
    pub(crate) placed: Vec<Point>,
}

/// Fits a map of `shape` that takes `places` to the fixed cells. `known` are pairs to begin with.
pub(crate) fn refine(
    places: &[Point],
    scene: &Scene<'_>,
    shape: &Shape,
    schedule: &Schedule,
    known: Option<&[Option<u32>]>,
    likeness: Option<&Likeness<'_>>,
    ctx: &Ctx,
) -> Result<Refined> {
    let order = crate::cloud::tree(places).order;
    let none = match shape {
        Shape::Stiff { .. } => 0,
        Shape::Smooth(basis) => basis.controls.len(),
    };
    let mut now =
        Refined { moves: Moves { affine: Linear::IDENTITY, weights: vec![[0.0; 3]; none] }, placed: places.to_vec() };
    if let Some(known) = known {
        let weights: Vec<f64> = known.iter().map(|pair| f64::from(u8::from(pair.is_some()))).collect();
        let targets: Vec<Point> =
            known.iter().zip(places).map(|(pair, place)| pair.map_or(*place, |at| scene.points[at as usize])).collect();
        let width = schedule.from.min(0.3 * scene.spacing);
        now = step(places, &order, &weights, &targets, shape, schedule.stiffness * width * width, ctx)?;
    }
    let rounds = ((schedule.to / schedule.from).ln() / SHRINK.ln()).ceil().max(1.0) as usize;
    let stage = ctx.stage("drift", rounds as u64);
    let mut width = schedule.from;
    for _ in 0..rounds {
        let links = near(&now.placed, scene, CUT * width, CANDIDATES, ctx)?;
        let odds = pair_odds(&links, scene, width, 1.0 - schedule.outliers, likeness);
        let shares = marginals(&links, &odds, scene.points.len(), ROUNDS);
        let (mut weights, mut targets) = (vec![0.0; places.len()], places.to_vec());
        for moving in 0..places.len() {
            // About the place itself, so that sums of small shares stay exact.
            let (mut total, mut off) = (0.0, [0.0; 3]);
            for at in links.row(moving) {
                let away = minus(&scene.points[links.fixed[at] as usize], &places[moving]);
                total += shares[at];
                (0..3).for_each(|axis| off[axis] += shares[at] * away[axis]);
            }
            if total > 1e-9 {
                weights[moving] = total;
                targets[moving] = plus(&places[moving], &off.map(|value| value / total));
            }
        }
        now = step(places, &order, &weights, &targets, shape, schedule.stiffness * width * width, ctx)?;
        width = (width * SHRINK).max(schedule.to);
        stage.advance(1)?;
    }
    Ok(now)
}

/// One fit to weighted targets.
fn step(
    places: &[Point],
    order: &[u32],
    weights: &[f64],
    targets: &[Point],
    shape: &Shape,
    stiffness: f64,
    ctx: &Ctx,
) -> Result<Refined> {
    match shape {
        Shape::Smooth(basis) => {
            let moves = basis.fit(places, order, weights, targets, stiffness, ctx)?;
            let placed = basis.apply(&moves, places, ctx)?;
            Ok(Refined { moves, placed })
        }
        Shape::Stiff { dimensions, scale } => {
            let sums = Pairs::of((0..places.len()).map(|at| (places[at], targets[at], weights[at])));
            let affine = sums.similarity(*dimensions, *scale, false).unwrap_or(Linear::IDENTITY);
            let placed = places.iter().map(|place| affine.apply(place)).collect();
            Ok(Refined { moves: Moves { affine, weights: Vec::new() }, placed })
        }
    }
}

/// The nearest fixed cells of each place within `distance`, at most `most`.
pub(crate) fn near(placed: &[Point], scene: &Scene<'_>, distance: f64, most: usize, ctx: &Ctx) -> Result<Links> {
    let rows: Vec<Vec<Vec<(f64, u32)>>> = placed
        .par_chunks(PIECE)
        .map(|piece| {
            ctx.check()?;
            let mut best = Vec::new();
            let mut one = |place: &Point| {
                scene.tree.nearest(place, most, distance * distance, None, &mut best);
                best.clone()
            };
            Ok(piece.iter().map(&mut one).collect())
        })
        .collect::<Result<_>>()?;
    Ok(Links::of(rows.concat()))
}

/// Odds of each pair against both being without each other: partners are scattered with `width` along each axis, others lie
/// as densely as the fixed cells about them; `share` of the moving cells have a partner.
pub(crate) fn pair_odds(
    links: &Links,
    scene: &Scene<'_>,
    width: f64,
    share: f64,
    likeness: Option<&Likeness<'_>>,
) -> Vec<f64> {
    let factor = -0.5 / (width * width);
    let peak =
        (2.0 * std::f64::consts::PI * width * width).powf(-0.5 * scene.dimensions as f64) * share / (1.0 - share);
    let mut odds: Vec<f64> = links
        .fixed
        .par_iter()
        .with_min_len(4096)
        .zip(&links.squared)
        .map(|(&fixed, &squared)| peak * (factor * squared).exp() / scene.density[fixed as usize])
        .collect();
    if let Some(likeness) = likeness {
        for moving in 0..links.rows() {
            for at in links.row(moving) {
                odds[at] *= likeness.ratio(moving, links.fixed[at] as usize);
            }
        }
    }
    odds
}
