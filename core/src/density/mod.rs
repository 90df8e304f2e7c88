//! Density of points in the plane by a Gaussian kernel.
//!
//! The kernel has the shape of the points' covariance, shrunk by Scott's factor n^(-1/6). In coordinates that make it
//! round and of unit width ([`whiten`]) the density at a point is a sum of exp(-d^2 / 2) over all points ([`sums`]).
//!
//! Reference: Scott 1992, Multivariate Density Estimation, Wiley.

mod kernel;

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::parallel::pieces;
use crate::{Ctx, DataFault, Error, Result};

/// Kernel density of n points in the plane at each of them, per unit of area.
///
/// `points` holds x and y of each point in turn, finite. Every point counts at every other, and at itself. Nothing is
/// random; the same bits for any number of threads. O(n^2) time, about 5 ns of one core per pair; 32 bytes per
/// point.
///
/// # Errors
/// [`Error::Data`] for an odd number of coordinates, values that are not finite, fewer than 3 points, or points on one
/// line; [`Error::Interrupted`].
///
/// # Reference
/// Scott 1992, Multivariate Density Estimation.
pub fn gaussian_density(points: &[f64], ctx: &Ctx) -> Result<Vec<f64>> {
    if !points.len().is_multiple_of(2) {
        return Err(Error::data(DataFault::Shape, "points", "two coordinates for each", points.len()));
    }
    let n = points.len() / 2;
    if n < 3 {
        return Err(Error::data(DataFault::TooFew, "points", "at least 3 to estimate a density", n));
    }
    if let Some(place) = points.iter().position(|x| !x.is_finite()) {
        let found = format!("{} at point {}", points[place], place / 2);
        return Err(Error::data(DataFault::NotFinite, "points", "finite coordinates", found));
    }
    let Whitened { x, y, scale } = whiten(points)?;
    let stage = ctx.stage("density", n as u64);
    let sums: Vec<Vec<f64>> = pieces(n, 256)
        .into_par_iter()
        .map(|piece| {
            let length = piece.len() as u64;
            let mut found = Vec::with_capacity(piece.len());
            for batch in pieces(piece.len(), 16) {
                ctx.check()?;
                let batch = piece.start + batch.start..piece.start + batch.end;
                found.extend(batch.map(|point| kernel::sum(x[point], y[point], &x, &y) * scale));
            }
            stage.advance(length)?;
            Ok(found)
        })
        .collect::<Result<_>>()?;
    Ok(sums.concat())
}

/// Points in the coordinates of the kernel, and what a sum of kernels is multiplied by.
struct Whitened {
    x: Vec<f64>,
    y: Vec<f64>,
    scale: f64,
}

fn whiten(points: &[f64]) -> Result<Whitened> {
    let n = points.len() / 2;
    let count = n as f64;
    let mean = [0, 1].map(|axis| points.iter().skip(axis).step_by(2).sum::<f64>() / count);
    let (mut xx, mut xy, mut yy) = (0f64, 0f64, 0f64);
    for point in points.chunks_exact(2) {
        let (dx, dy) = (point[0] - mean[0], point[1] - mean[1]);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    let factor = count.powf(-1.0 / 6.0);
    let shrink = factor * factor / (count - 1.0);
    let (xx, xy, yy) = (xx * shrink, xy * shrink, yy * shrink);
    // Cholesky: [[a, 0], [b, c]].
    let a = xx.sqrt();
    let b = if a > 0.0 { xy / a } else { 0.0 };
    let rest = yy - b * b;
    if !(a > 0.0 && rest > yy * 1e-12 && (a * rest.sqrt()).is_normal()) {
        let found = "points on one line, or at one place";
        return Err(Error::data(DataFault::Invalid, "points", "points spread over an area", found));
    }
    let c = rest.sqrt();
    let (mut x, mut y) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for point in points.chunks_exact(2) {
        let u = (point[0] - mean[0]) / a;
        x.push(u);
        y.push((point[1] - mean[1] - b * u) / c);
    }
    Ok(Whitened { x, y, scale: 1.0 / (count * std::f64::consts::TAU * a * c) })
}
