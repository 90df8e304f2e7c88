//! Arrows in an embedding.

use super::options::VelocityEmbeddingOptions;
use crate::data::Csr;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Height over width of the drawing that the scale of arrows is made for.
const ASPECT: f64 = 0.77 * 4.8 / (0.775 * 6.4);
/// Share of its extent by which a drawing is wider than its points.
const MARGINS: f64 = 1.1;

/// Expected direction of each cell in an embedding of d dimensions: n x d, row by row.
///
/// `transitions` is n x n ([`transition_matrix`](super::transition_matrix)), `positions` n x d, finite. The arrow of a
/// cell is the sum over its targets (itself left out) of probability less the mean probability, times the unit vector
/// there. With `autoscale` all arrows are divided by one number: 5.4 max(10, sqrt n) times their mean length, as a share
/// of the width of a drawing of the first two dimensions that is 1.34 times as wide as high.
///
/// Nothing is random; serial, O(entries x d).
///
/// # Errors
/// [`Error::Data`] for shapes that disagree or values that are not finite; [`Error::Interrupted`].
///
/// # Reference
/// La Manno et al. 2018, Nature 560, 494; Bergen et al. 2020, Nature Biotechnology 38, 1408.
pub fn velocity_embedding(
    transitions: &Csr,
    positions: &[f64],
    dimensions: usize,
    options: &VelocityEmbeddingOptions,
    ctx: &Ctx,
) -> Result<Vec<f64>> {
    options.validate()?;
    let n = transitions.n_rows;
    if transitions.n_cols != n || dimensions == 0 || n.checked_mul(dimensions) != Some(positions.len()) {
        let found = format!("{} x {} and {} coordinates", n, transitions.n_cols, positions.len());
        let expected = format!("transitions n x n and n x {dimensions} positions");
        return Err(Error::data(DataFault::Shape, "embedding", expected, found));
    }
    if let Some(place) = positions.iter().position(|x| !x.is_finite()) {
        let found = format!("{} at cell {}", positions[place], place / dimensions);
        return Err(Error::data(DataFault::NotFinite, "embedding", "finite positions", found));
    }
    if let Some(value) = transitions.values.iter().find(|value| !value.is_finite()) {
        return Err(Error::data(DataFault::NotFinite, "transitions", "finite values", value));
    }
    let mut arrows = vec![0f64; n * dimensions];
    let mut direction = vec![0f64; dimensions];
    for (cell, arrow) in arrows.chunks_exact_mut(dimensions).enumerate() {
        if cell & 0x3ff == 0 {
            ctx.check()?;
        }
        let here = &positions[cell * dimensions..(cell + 1) * dimensions];
        let (targets, probabilities) = transitions.row(cell);
        let others = || targets.iter().zip(probabilities).filter(|&(&target, &p)| target as usize != cell && p != 0.0);
        let (count, total) = others().fold((0usize, 0f64), |(count, total), (_, &p)| (count + 1, total + f64::from(p)));
        if count == 0 {
            continue;
        }
        let mean = total / count as f64;
        for (&target, &probability) in others() {
            let there = &positions[target as usize * dimensions..(target as usize + 1) * dimensions];
            let mut squared = 0f64;
            for ((d, to), from) in direction.iter_mut().zip(there).zip(here) {
                *d = to - from;
                squared += *d * *d;
            }
            if squared > 0.0 {
                let factor = (f64::from(probability) - mean) / squared.sqrt();
                arrow.iter_mut().zip(&direction).for_each(|(arrow, d)| *arrow += factor * d);
            }
        }
    }
    if options.autoscale && n > 0 {
        let factor = scale(positions, &arrows, dimensions);
        if factor > 0.0 && factor.is_finite() {
            arrows.iter_mut().for_each(|x| *x /= 3.0 * factor);
        }
    }
    Ok(arrows)
}

/// What arrows are divided by so that a drawing is not all arrows.
fn scale(positions: &[f64], arrows: &[f64], dimensions: usize) -> f64 {
    let n = (positions.len() / dimensions) as f64;
    let axes = dimensions.min(2);
    let extent = |axis: usize| {
        let values = positions.iter().skip(axis).step_by(dimensions);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        (high - low) * MARGINS
    };
    let wide = extent(0);
    let high = if axes > 1 { extent(1) } else { 1.0 };
    let lengths = arrows.chunks_exact(dimensions).map(|arrow| {
        let up = if axes > 1 && high > 0.0 { arrow[1] / high * ASPECT } else { 0.0 };
        (arrow[0] / wide).hypot(up)
    });
    1.8 * lengths.sum::<f64>() / n * n.sqrt().max(10.0)
}
