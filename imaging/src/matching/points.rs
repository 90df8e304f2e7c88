//! One-to-one pairs of found and true points.

use zensaibo_core::{DataFault, Error, Result};

use super::largest_matching;
use crate::space::near::{Cells, squared};

/// Pairs of two sets of points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// Index among the found, index among the true, distance; by the true index.
    pub pairs: Vec<(usize, usize, f64)>,
}

/// As many pairs as there can be of points at most `radius` apart, no point in two pairs. Near pairs are made first, so
/// that few are farther apart than need be.
///
/// # Errors
/// [`Error::Parameter`] for a radius that is not positive; [`Error::Data`] for points that are not finite.
pub fn match_points(found: &[[f64; 3]], truth: &[[f64; 3]], radius: f64) -> Result<Matching> {
    check_radius(radius)?;
    check_points("found points", found)?;
    check_points("true points", truth)?;
    Ok(Matching { pairs: pairs_within(found, truth, radius) })
}

/// Refuses a radius within which nothing lies, or everything.
pub(crate) fn check_radius(radius: f64) -> Result<()> {
    if radius > 0.0 && radius.is_finite() {
        return Ok(());
    }
    Err(Error::parameter("radius", "a finite length above 0", radius))
}

/// Refuses NaN and infinity.
pub(crate) fn check_points(name: &str, points: &[[f64; 3]]) -> Result<()> {
    match points.iter().position(|point| point.iter().any(|x| !x.is_finite())) {
        None => Ok(()),
        Some(at) => {
            let found = format!("{:?} in point {at}", points[at]);
            Err(Error::data(DataFault::NotFinite, name, "finite coordinates", found))
        }
    }
}

/// The pairs of [`match_points`], of points that were checked.
pub(crate) fn pairs_within(found: &[[f64; 3]], truth: &[[f64; 3]], radius: f64) -> Vec<(usize, usize, f64)> {
    let cubes = Cells::new(found, radius);
    let partners: Vec<Vec<(f64, u32)>> = truth
        .iter()
        .map(|&point| {
            let mut near = Vec::new();
            // The distance decides, not its square, which rounds otherwise.
            cubes.within(found, point, radius * (1.0 + 1e-12), |at, squared| {
                let distance = squared.sqrt();
                if distance <= radius {
                    near.push((distance, at));
                }
            });
            near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            near
        })
        .collect();
    let chosen = largest_matching(&partners, found.len());
    let pair = |(t, f): (usize, Option<u32>)| f.map(|f| (f as usize, t, squared(found[f as usize], truth[t]).sqrt()));
    chosen.into_iter().enumerate().filter_map(pair).collect()
}
