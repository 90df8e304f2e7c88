//! New points in a layout that stays as it is.

use rayon::prelude::*;

use super::options::UmapOptions;
use crate::knn::{Nearest, row_weights};
use crate::options::Options;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// Points of one task.
const PIECE: usize = 256;
/// Share of the learning rate of a whole layout: new points start near their places.
const RATE: f64 = 0.25;

/// Places new points in the layout of a reference: n x `n_components`, row by row.
///
/// Each point starts at the mean of its neighbours' positions, weighted as the edges of a layout are, and moves under
/// the forces of a layout, its neighbours and randomly drawn points of the reference standing still. `nearest`: n x k
/// rows of the reference by distance; `layout`: m x `n_components`; `a` and `b`: the curve of the layout. Epochs:
/// `maxiter`, or 100 for up to 10,000 points, else 30.
///
/// Random under `seed`, one stream per point; the bits do not depend on the number of threads, nor a point's place on
/// the other points. Cost: about epochs x k x (1 + `negative_sample_rate`) force terms per point.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for a layout or neighbours that do not fit;
/// [`Error::Interrupted`].
///
/// Reference: McInnes, Healy, Melville, arXiv:1802.03426.
pub fn place(nearest: &Nearest, layout: &[f32], a: f64, b: f64, options: &UmapOptions, ctx: &Ctx) -> Result<Vec<f32>> {
    options.validate()?;
    let (n, k, d) = (nearest.n, nearest.k, options.n_components);
    let m = layout.len() / d;
    if layout.len() != m * d || m == 0 {
        let expected = format!("positions of {d} coordinates");
        return Err(Error::data(DataFault::Shape, "layout", expected, format!("{} values", layout.len())));
    }
    if let Some(&row) = nearest.indices.iter().find(|&&row| row as usize >= m) {
        return Err(Error::data(DataFault::Invalid, "neighbours", format!("rows below {m}"), row));
    }
    if let Some(place) = layout.iter().position(|value| !value.is_finite()) {
        let found = format!("{} at row {}", layout[place], place / d);
        return Err(Error::data(DataFault::NotFinite, "layout", "finite positions", found));
    }
    if n > 0 && k == 0 {
        return Err(Error::data(DataFault::TooFew, "neighbours", "at least one per point", k));
    }
    let epochs = options.maxiter.unwrap_or(if n <= 10_000 { 100 } else { 30 });
    let mean = nearest.distances.iter().map(|&x| f64::from(x)).sum::<f64>() / (n * k).max(1) as f64;
    let stage = ctx.stage("umap: new points", n as u64);
    let mut positions = vec![0f32; n * d];
    positions.par_chunks_mut(PIECE * d).enumerate().try_for_each(|(piece, out)| {
        ctx.check()?;
        let mut point = vec![0f64; d];
        for (offset, out) in out.chunks_exact_mut(d).enumerate() {
            let row = piece * PIECE + offset;
            let span = row * k..(row + 1) * k;
            let neighbors = &nearest.indices[span.clone()];
            let weights = row_weights(&nearest.distances[span], mean);
            start(neighbors, &weights, layout, &mut point);
            let mut stream = Stream::new(options.seed, row as u64);
            travel(&mut point, neighbors, &weights, layout, (a, b), epochs, options, &mut stream);
            out.iter_mut().zip(&point).for_each(|(out, &x)| *out = x as f32);
        }
        stage.advance((out.len() / d) as u64)
    })?;
    Ok(positions)
}

/// The weighted mean of the neighbours' positions.
fn start(neighbors: &[u32], weights: &[f32], layout: &[f32], point: &mut [f64]) {
    let d = point.len();
    let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    point.fill(0.0);
    for (&neighbor, &weight) in neighbors.iter().zip(weights) {
        let share = if total > 0.0 { f64::from(weight) / total } else { 1.0 / weights.len() as f64 };
        let position = &layout[neighbor as usize * d..(neighbor as usize + 1) * d];
        point.iter_mut().zip(position).for_each(|(x, &y)| *x += share * f64::from(y));
    }
}

/// Moves a point: an edge acts as often as its weight over the largest says, each time with some repelling points.
fn travel(
    point: &mut [f64],
    neighbors: &[u32],
    weights: &[f32],
    layout: &[f32],
    (a, b): (f64, f64),
    epochs: usize,
    options: &UmapOptions,
    stream: &mut Stream,
) {
    let d = point.len();
    let m = (layout.len() / d) as u64;
    // Weights are above 0, the largest nearly always 1; a tiny floor keeps shares defined.
    let largest = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let at = |row: usize| &layout[row * d..(row + 1) * d];
    let square = |point: &[f64], other: &[f32]| -> f64 {
        point.iter().zip(other).map(|(x, &y)| (x - f64::from(y)).powi(2)).sum()
    };
    for epoch in 0..epochs {
        let rate = options.alpha * RATE * (1.0 - epoch as f64 / epochs as f64);
        for (&neighbor, &weight) in neighbors.iter().zip(weights) {
            let share = f64::from(weight / largest);
            // Due in this epoch when the number of visits so far rises; less than one visit in all is none.
            if share * (epochs as f64) < 1.0 || ((epoch + 1) as f64 * share).floor() <= (epoch as f64 * share).floor() {
                continue;
            }
            let other = at(neighbor as usize);
            let distance = square(point, other);
            if distance > 0.0 {
                let pull = -2.0 * a * b * distance.powf(b - 1.0) / (1.0 + a * distance.powf(b));
                point
                    .iter_mut()
                    .zip(other)
                    .for_each(|(x, &y)| *x += rate * (pull * (*x - f64::from(y))).clamp(-4.0, 4.0));
            }
            for _ in 0..options.negative_sample_rate {
                let other = at(stream.below(m) as usize);
                let distance = square(point, other);
                if distance > 0.0 {
                    let push = 2.0 * options.gamma * b / ((0.001 + distance) * (1.0 + a * distance.powf(b)));
                    point
                        .iter_mut()
                        .zip(other)
                        .for_each(|(x, &y)| *x += rate * (push * (*x - f64::from(y))).clamp(-4.0, 4.0));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knn::{Algorithm, Metric, Points, knn_between};
    use crate::matrix::ValueSlice;
    use crate::parallel::with_threads;

    /// A reference of two groups far apart, its layout, and new points of the second group.
    fn example(n: usize) -> (Nearest, Vec<f32>) {
        let mut stream = Stream::new(1, 0);
        let reference: Vec<f32> =
            (0..300).map(|i| if i < 450 / 3 { 0.0 } else { 20.0 } + stream.normal() as f32).collect();
        let layout: Vec<f32> = (0..100)
            .flat_map(|i| [if i < 50 { -5.0 } else { 5.0 } + stream.normal() as f32, stream.normal() as f32])
            .collect();
        let queries: Vec<f32> = (0..3 * n).map(|_| 20.0 + stream.normal() as f32).collect();
        let a = Points::new(100, 3, ValueSlice::F32(&reference)).unwrap();
        let b = Points::new(n, 3, ValueSlice::F32(&queries)).unwrap();
        (knn_between(&a, &b, 8, Metric::Euclidean, Algorithm::Exact, &Ctx::quiet()).unwrap(), layout)
    }

    #[test]
    fn new_points_come_to_their_group() {
        let (nearest, layout) = example(40);
        let options = UmapOptions::default();
        let run = |threads| {
            with_threads(Some(threads), || place(&nearest, &layout, 0.58, 1.33, &options, &Ctx::quiet())).unwrap()
        };
        let found = run(1);
        assert!(found.chunks(2).all(|point| point[0] > 1.0 && point[0] < 10.0 && point[1].abs() < 6.0), "{found:?}");
        assert_eq!(found, run(2));
        assert_eq!(found, run(8));
        // A point's place does not depend on the others.
        let first =
            Nearest { n: 1, k: 8, indices: nearest.indices[..8].to_vec(), distances: nearest.distances[..8].to_vec() };
        let still = UmapOptions { maxiter: Some(0), ..UmapOptions::default() };
        let mean = place(&first, &layout, 0.58, 1.33, &still, &Ctx::quiet()).unwrap();
        let low = nearest.indices[..8].iter().map(|&row| layout[row as usize * 2]).fold(f32::INFINITY, f32::min);
        let high = nearest.indices[..8].iter().map(|&row| layout[row as usize * 2]).fold(f32::NEG_INFINITY, f32::max);
        assert!(low <= mean[0] && mean[0] <= high);
    }

    #[test]
    fn faults_are_named() {
        let (nearest, mut layout) = example(3);
        let fault = |nearest: &Nearest, layout: &[f32]| {
            place(nearest, layout, 1.0, 1.0, &UmapOptions::default(), &Ctx::quiet()).unwrap_err().to_string()
        };
        assert!(fault(&nearest, &layout[..7]).contains("2 coordinates"));
        assert!(fault(&nearest, &layout[..8]).contains("rows below 4"));
        layout[5] = f32::NAN;
        assert!(fault(&nearest, &layout).contains("NaN at row 2"));
    }
}
