//! Where points start.

use rayon::prelude::*;
use zensaibo_linalg::symmetric_eigen_top;

use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// Standard deviation of the first coordinate at the start.
const SPREAD: f64 = 1e-4;
/// Vectors that are iterated, more than the two wanted so that these settle soon.
const BLOCK: usize = 6;
/// Iterations.
const ROUNDS: usize = 30;

/// Scores on the first two principal axes (n x 2), scaled; the entry of largest magnitude of each axis is positive.
pub(super) fn principal_axes(points: &[f32], n: usize, seed: u64, ctx: &Ctx) -> Result<Vec<f32>> {
    let d = points.len() / n;
    let mut mean = vec![0f64; d];
    points.chunks_exact(d).for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x)));
    mean.iter_mut().for_each(|sum| *sum /= n as f64);
    let width = BLOCK.min(d);
    let mut stream = Stream::new(seed ^ 0x7473_6e65, 0);
    let mut axes: Vec<f64> = (0..d * width).map(|_| stream.normal()).collect();
    for _ in 0..ROUNDS {
        ctx.check()?;
        orthonormalise(&mut axes, width)?;
        axes = covariance_times(points, &mean, &axes, width);
    }
    orthonormalise(&mut axes, width)?;
    let image = covariance_times(points, &mean, &axes, width);
    let mut projected = ndarray::Array2::<f64>::zeros((width, width));
    for i in 0..width {
        for j in 0..width {
            projected[(i, j)] = (0..d).map(|g| axes[g * width + i] * image[g * width + j]).sum();
        }
    }
    let top = symmetric_eigen_top(projected.view(), 2)?;
    let mut scores = vec![0f64; 2 * n];
    scores.par_chunks_exact_mut(2).zip(points.par_chunks_exact(d)).for_each(|(score, row)| {
        for axis in 0..2.min(width) {
            score[axis] = row
                .iter()
                .enumerate()
                .map(|(g, &x)| {
                    let along: f64 = (0..width).map(|k| axes[g * width + k] * top.vectors[(k, axis)]).sum();
                    (f64::from(x) - mean[g]) * along
                })
                .sum();
        }
    });
    for axis in 0..2 {
        let entries = scores.iter().skip(axis).step_by(2);
        let largest = entries.fold(0f64, |best, &x| if x.abs() > best.abs() * (1.0 + 1e-6) { x } else { best });
        if largest < 0.0 {
            scores.iter_mut().skip(axis).step_by(2).for_each(|x| *x = -*x);
        }
    }
    Ok(scaled(&scores, seed))
}

/// Positions handed in, n x 2, centred and scaled.
pub(super) fn given(positions: &[f32], n: usize) -> Result<Vec<f32>> {
    if positions.len() != 2 * n {
        let found = format!("{} coordinates", positions.len());
        return Err(Error::data(DataFault::Shape, "initial positions", format!("{n} x 2"), found));
    }
    if let Some(place) = positions.iter().position(|x| !x.is_finite()) {
        let found = format!("{} at point {}", positions[place], place / 2);
        return Err(Error::data(DataFault::NotFinite, "initial positions", "finite coordinates", found));
    }
    let mut centred: Vec<f64> = positions.iter().map(|&x| f64::from(x)).collect();
    for axis in 0..2 {
        let mean = centred.iter().skip(axis).step_by(2).sum::<f64>() / n as f64;
        centred.iter_mut().skip(axis).step_by(2).for_each(|x| *x -= mean);
    }
    Ok(scaled(&centred, 0))
}

/// Brings the first coordinate to the usual spread. A hundredth of it is added at random, so that points at one place,
/// or on one line, can part.
fn scaled(positions: &[f64], seed: u64) -> Vec<f32> {
    let n = positions.len() / 2;
    let spread = (positions.iter().step_by(2).map(|x| x * x).sum::<f64>() / n as f64).sqrt();
    let factor = if spread > 0.0 { SPREAD / spread } else { 0.0 };
    let noise = |point: usize, axis: usize| {
        let mut stream = Stream::new(seed ^ 0x6e6f_6973, point as u64);
        let pair = [stream.normal(), stream.normal()];
        0.01 * SPREAD * pair[axis]
    };
    positions.iter().enumerate().map(|(at, &x)| (x * factor + noise(at / 2, at % 2)) as f32).collect()
}

/// X' X times a few vectors (d x width), X centred.
fn covariance_times(points: &[f32], mean: &[f64], axes: &[f64], width: usize) -> Vec<f64> {
    let d = mean.len();
    let parts: Vec<Vec<f64>> = points
        .par_chunks(1024 * d)
        .map(|rows| {
            let mut sum = vec![0f64; d * width];
            let mut along = vec![0f64; width];
            for row in rows.chunks_exact(d) {
                along.fill(0.0);
                for ((&x, &m), axes) in row.iter().zip(mean).zip(axes.chunks_exact(width)) {
                    let x = f64::from(x) - m;
                    along.iter_mut().zip(axes).for_each(|(sum, axis)| *sum += x * axis);
                }
                for ((&x, &m), sum) in row.iter().zip(mean).zip(sum.chunks_exact_mut(width)) {
                    let x = f64::from(x) - m;
                    sum.iter_mut().zip(&along).for_each(|(sum, along)| *sum += x * along);
                }
            }
            sum
        })
        .collect();
    let mut sum = vec![0f64; d * width];
    parts.iter().for_each(|part| sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part));
    sum
}

/// Makes the columns of a d x width matrix orthonormal; columns of zeros stay a basis of something.
fn orthonormalise(axes: &mut Vec<f64>, width: usize) -> Result<()> {
    let d = axes.len() / width;
    let largest = axes.iter().fold(0f64, |most, x| most.max(x.abs())).max(f64::MIN_POSITIVE);
    axes.iter_mut().for_each(|x| *x /= largest);
    let view = ndarray::ArrayView2::from_shape((d, width), axes).map_err(|error| Error::Internal(error.to_string()))?;
    let (q, _) = zensaibo_linalg::thin_qr(view)?;
    *axes = q.iter().copied().collect();
    Ok(())
}
