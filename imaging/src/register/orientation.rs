//! Which of the 24 ways to turn a volume by right angles fits.

use rayon::prelude::*;
use zensaibo_core::{Ctx, Result};

use super::align::{Freedom, Search, align, likeness};
use super::pyramid::Level;
use super::similarity::Similarity;
use crate::transform::Affine;

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
/// A whole sample is laid centre of mass on centre of mass; a part of one (`partial`) is tried at many places.
pub(super) fn try_turns(
    fixed: &Level,
    moving: &Level,
    said: &[[f64; 3]; 3],
    turns: &[usize],
    kind: Similarity,
    partial: bool,
    ctx: &Ctx,
) -> Result<Vec<Turned>> {
    /// Places of a part along each axis.
    const PLACES: usize = 5;
    /// Steps of the search from each start, and how many starts of a part are searched.
    const STEPS: usize = 20;
    const STARTS: usize = 3;
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
            if partial {
                for place in 0..PLACES.pow(3) {
                    let at = [place / PLACES / PLACES, place / PLACES % PLACES, place % PLACES];
                    let share = |step: usize| (step as f64 + 0.5) / PLACES as f64;
                    let from = std::array::from_fn(|axis| extent[axis] * share(at[axis]));
                    starts.push(Affine::about(matrix.matrix, from, to));
                }
                let mut scored: Vec<(f64, Affine)> = starts
                    .into_iter()
                    .map(|start| (worth(likeness(fixed, moving, &start, kind, true)), start))
                    .collect();
                scored.sort_by(|a, b| b.0.total_cmp(&a.0));
                starts = scored.into_iter().take(STARTS).map(|(_, start)| start).collect();
            }
            let mut best: Option<Turned> = None;
            for start in starts {
                let search = Search { similarity: kind, freedom: Freedom::Similar, steps: STEPS, partial };
                let (map, _) = align(fixed, moving, &start, &search, ctx)?;
                let score = worth(likeness(fixed, moving, &map, kind, partial));
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

/// Likeness over a larger overlap is worth more.
fn worth((value, share): (f64, f64)) -> f64 {
    value * share.sqrt()
}

/// Centre of what stands out from the background, in micrometres.
fn centre_of_mass(level: &Level) -> [f64; 3] {
    let floor = super::align::background(level);
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
