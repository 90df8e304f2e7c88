//! Minimising a smooth function of a few numbers: limited-memory BFGS with a search along each direction.
//!
//! Nocedal 1980, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35, 773.

use zensaibo_core::Result;

/// Steps whose curvature is remembered.
const MEMORY: usize = 8;

/// Goes downhill from `start` for up to `steps` steps; ends when a step is shorter than `enough`. `function` returns the
/// value and its gradient. `first` is the length of the first step. The best numbers and their value.
pub(super) fn minimise(
    start: &[f64],
    steps: usize,
    first: f64,
    enough: f64,
    mut function: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>)>,
) -> Result<(Vec<f64>, f64)> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut x = start.to_vec();
    let (mut value, mut gradient) = function(&x)?;
    let mut history: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..steps {
        // The two-loop recursion: direction = - H gradient.
        let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut shares = Vec::with_capacity(history.len());
        for (s, y) in history.iter().rev() {
            let share = dot(s, &direction) / dot(s, y);
            direction.iter_mut().zip(y).for_each(|(d, y)| *d -= share * y);
            shares.push(share);
        }
        match history.last() {
            Some((s, y)) => {
                let scale = dot(s, y) / dot(y, y);
                direction.iter_mut().for_each(|d| *d *= scale);
            }
            None => {
                let length = dot(&direction, &direction).sqrt();
                if !(length > 0.0) {
                    break;
                }
                direction.iter_mut().for_each(|d| *d *= first / length);
            }
        }
        for ((s, y), share) in history.iter().zip(shares.iter().rev()) {
            let back = dot(y, &direction) / dot(s, y);
            direction.iter_mut().zip(s).for_each(|(d, s)| *d += (share - back) * s);
        }
        let slope = dot(&direction, &gradient);
        if !(slope < 0.0) {
            // Remembered curvature misleads: begin anew.
            if history.is_empty() {
                break;
            }
            history.clear();
            continue;
        }
        let length = dot(&direction, &direction).sqrt();
        let mut share = (8.0 * first / length).min(1.0);
        let mut found = None;
        while share * length > 0.1 * enough {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + share * d).collect();
            let (there, slopes) = function(&next)?;
            if there <= value + 1e-4 * share * slope {
                found = Some((next, there, slopes));
                break;
            }
            share *= 0.4;
        }
        let Some((next, there, slopes)) = found else {
            if history.is_empty() {
                break;
            }
            history.clear();
            continue;
        };
        let s: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = slopes.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let moved = dot(&s, &s).sqrt();
        (x, value, gradient) = (next, there, slopes);
        if dot(&s, &y) > 1e-12 * moved * dot(&y, &y).sqrt() {
            history.push((s, y));
            if history.len() > MEMORY {
                history.remove(0);
            }
        }
        if moved < enough {
            break;
        }
    }
    Ok((x, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_curved_valley_is_found() {
        // Rosenbrock's function: 0 at (1, 1).
        let function = |x: &[f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            Ok((a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b]))
        };
        let (x, value) = minimise(&[-1.2, 1.0], 200, 0.1, 1e-9, function).unwrap();
        assert!(value < 1e-10 && (x[0] - 1.0).abs() < 1e-4, "{x:?} {value}");
        let (x, _) = minimise(&[3.0], 5, 0.1, 1e-9, |_| Ok((1.0, vec![0.0]))).unwrap();
        assert_eq!(x, [3.0]);
    }
}
