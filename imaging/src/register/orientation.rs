//! Which of the 24 ways to turn a volume by right angles fits.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Result};

use super::align::{Search, align, likeness};
use super::pyramid::{Level, background};
use super::warp::{Beyond, warp};
use crate::transform::Affine;

/// A part of a sample that is turned against what the headers say must fit better by this than one that is not.
const AGAINST: f64 = 0.9;

/// The 24 turns by right angles, the one that turns nothing first.
pub fn right_turns() -> Vec<[[f64; 3]; 3]> {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut turns = Vec::with_capacity(24);
    for order in orders {
        for signs in 0..8usize {
            let sign = |row: usize| if signs >> row & 1 == 1 { -1.0 } else { 1.0 };
            let mut matrix = [[0f64; 3]; 3];
            for row in 0..3 {
                matrix[row][order[row]] = sign(row);
            }
            if (Affine { matrix, shift: [0.0; 3] }).determinant() > 0.0 {
                turns.push(matrix);
            }
        }
    }
    turns
}

/// One way to turn the moving volume.
#[derive(Clone, Debug)]
pub(super) struct Turned {
    /// Index into [`right_turns`]: 0 is what the headers say.
    pub(super) turn: usize,
    /// The map found with it, fixed to moving.
    pub(super) map: Affine,
    /// How alike the images are under it.
    pub(super) score: f64,
}

/// Tries all `turns` of `said` (fixed to moving, as the headers say) on small images; the best first.
///
/// A whole sample is laid centre of mass on centre of mass; a part of one (`partial`) is tried at many places. `known`: the
/// headers of both say how they lie.
pub(super) fn try_turns(
    fixed: &Level,
    moving: &Level,
    (said, known): (&[[f64; 3]; 3], bool),
    turns: &[usize],
    search: &Search<'_>,
    ctx: &Ctx,
) -> Result<Vec<Turned>> {
    /// Places of a part along each axis.
    const PLACES: usize = 5;
    /// How many starts of a part are searched.
    const STARTS: usize = 3;
    let partial = search.partial;
    let all = right_turns();
    let (from, to) = (centre_of_mass(fixed), centre_of_mass(moving));
    let extent = fixed.extent();
    let mut found: Vec<Turned> = turns
        .par_iter()
        .map(|&turn| {
            ctx.check()?;
            let matrix =
                Affine { matrix: *said, shift: [0.0; 3] }.after(&Affine { matrix: all[turn], shift: [0.0; 3] });
            let mut starts = vec![Affine::about(matrix.matrix, from, to)];
            if let Some((from, to)) = search.pull.centres() {
                starts.push(Affine::about(matrix.matrix, from, to));
            }
            if partial {
                for place in 0..PLACES.pow(3) {
                    let at = [place / PLACES / PLACES, place / PLACES % PLACES, place % PLACES];
                    let share = |step: usize| (step as f64 + 0.5) / PLACES as f64;
                    let from = std::array::from_fn(|axis| extent[axis] * share(at[axis]));
                    starts.push(Affine::about(matrix.matrix, from, to));
                }
                let mut scored: Vec<(f64, Affine)> =
                    starts.into_iter().map(|start| (worth(fixed, moving, &start, search), start)).collect();
                scored.sort_by(|a, b| b.0.total_cmp(&a.0));
                starts = scored.into_iter().take(STARTS).map(|(_, start)| start).collect();
            }
            let mut best: Option<Turned> = None;
            for start in starts {
                let (map, _) = align(fixed, moving, &start, search, ctx)?;
                let against = if partial && known && turn != 0 { AGAINST } else { 1.0 };
                let score = against * worth(fixed, moving, &map, search);
                if best.as_ref().is_none_or(|best| score > best.score) {
                    best = Some(Turned { turn, map, score });
                }
            }
            Ok(best)
        })
        .collect::<Result<Vec<Option<Turned>>>>()?
        .into_iter()
        .flatten()
        .collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.turn.cmp(&b.turn)));
    Ok(found)
}

/// How good a map is: how alike the images are under it; of a part of a sample, with all its tissue on that of the fixed
/// volume and as large as it is.
fn worth(fixed: &Level, moving: &Level, map: &Affine, search: &Search<'_>) -> f64 {
    /// Stretch (logarithm) that costs a third of the worth.
    const STRETCH: f64 = 0.4;
    let (value, share) = likeness(fixed, moving, map, search);
    let value = value * (-search.pull.cost(map, [0.0; 3]).0).exp();
    let (Some(still), Some(body)) = (&fixed.body, &moving.body) else { return value * share.sqrt() };
    let voxels = map.between_voxels(fixed.spacing, moving.spacing);
    let laid = warp(body, &voxels, None, fixed.image.shape, Beyond::Value(0.0));
    let on: f64 = laid.data.iter().zip(&still.data).map(|(a, b)| f64::from(a.min(*b))).sum();
    let all: f64 = body.data.iter().map(|&value| f64::from(value)).sum();
    let held = (on * voxels.determinant().abs() / all.max(1e-9)).min(1.0);
    let stretch = map.determinant().abs().max(1e-9).ln() / 3.0;
    value * held * (-(stretch / STRETCH).powi(2)).exp()
}

/// Centre of what stands out from the background, in micrometres.
fn centre_of_mass(level: &Level) -> [f64; 3] {
    let floor = background(&level.image);
    let (mut total, mut sums) = (0f64, [0f64; 3]);
    let [_, height, width] = level.image.shape;
    for (at, &value) in level.image.data.iter().enumerate() {
        let inside = level.mask.as_ref().is_none_or(|mask| mask.data[at] > 0.5);
        let weight = f64::from((value - floor).max(0.0));
        if inside && weight > 0.0 {
            total += weight;
            let voxel = [at / width / height, at / width % height, at % width];
            (0..3).for_each(|axis| sums[axis] += weight * voxel[axis] as f64);
        }
    }
    if total > 0.0 {
        std::array::from_fn(|axis| sums[axis] / total * level.spacing[axis])
    } else {
        level.extent().map(|length| 0.5 * length)
    }
}
