//! A line through pairs of voxels of which some lie far above it.

/// Steps of reweighting at most; they settle in far fewer.
const STEPS: usize = 50;

/// Standard deviations at which a voxel has no more say: 95 % efficient where the noise is normal (Beaton and Tukey,
/// Technometrics 16, 147-185, 1974).
const CUT: f64 = 4.685;

/// `signal = offset + slope * background`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Line {
    /// Signal units per background unit; never negative: autofluorescence adds.
    pub slope: f64,
    /// Signal where the background is 0.
    pub offset: f64,
}

impl Line {
    /// The line between two, `share` of the way to the other.
    pub(super) fn mix(self, other: Self, share: f64) -> Self {
        Self {
            slope: self.slope + share * (other.slope - self.slope),
            offset: self.offset + share * (other.offset - self.offset),
        }
    }

    fn rest(self, (background, signal): (f32, f32)) -> f64 {
        f64::from(signal) - (self.offset + self.slope * f64::from(background))
    }
}

/// What is known before the voxels of a window are seen.
pub(super) struct Prior {
    /// The line of the whole.
    pub(super) line: Line,
    /// Standard deviation of the background of the whole.
    pub(super) spread: f64,
}

/// A robust line through pairs of (background, signal), sorted: medians of stretches of equal count first, then least squares with Tukey's
/// biweight. With a prior, a window whose background hardly varies keeps the slope of the whole: the prior counts as if each voxel had
/// a tenth of the whole's spread more. `None` when there are too few pairs, or the background is constant and there is no prior.
pub(super) fn fit_line(pairs: &[(f32, f32)], prior: Option<&Prior>) -> Option<Line> {
    if pairs.len() < 32 {
        return None;
    }
    let ridge = prior.map_or(0.0, |prior| (0.1 * prior.spread).powi(2));
    let slope = prior.map_or(0.0, |prior| prior.line.slope);
    let stretches = (pairs.len() / 8).min(24);
    let medians: Vec<(f32, f32)> = (0..stretches)
        .map(|k| {
            let part = &pairs[k * pairs.len() / stretches..(k + 1) * pairs.len() / stretches];
            (part[part.len() / 2].0, median(part.iter().map(|pair| pair.1)))
        })
        .collect();
    let mut line = weighted(&medians, |_| 1.0, ridge, slope)?;
    for _ in 0..STEPS {
        let scale = 1.4826 * f64::from(median(pairs.iter().map(|&pair| line.rest(pair).abs() as f32)));
        // More than half of the voxels lie on the line.
        if scale <= 0.0 {
            break;
        }
        let weight = |pair| {
            let far = line.rest(pair) / (CUT * scale);
            if far.abs() < 1.0 { (1.0 - far * far).powi(2) } else { 0.0 }
        };
        let Some(next) = weighted(pairs, weight, ridge, slope) else { break };
        let moved = (next.slope - line.slope).abs() * f64::from(pairs[pairs.len() / 2].0).abs()
            + (next.offset - line.offset).abs();
        line = next;
        if moved < 1e-6 * scale {
            break;
        }
    }
    Some(line)
}

/// Least squares, with `ridge` times the weights pulling towards a slope; never below 0. `None` where the background does not vary.
fn weighted(pairs: &[(f32, f32)], weight: impl Fn((f32, f32)) -> f64, ridge: f64, towards: f64) -> Option<Line> {
    let (mut total, mut sum_b, mut sum_s) = (0.0, 0.0, 0.0);
    for &pair in pairs {
        let w = weight(pair);
        total += w;
        sum_b += w * f64::from(pair.0);
        sum_s += w * f64::from(pair.1);
    }
    if total <= 0.0 {
        return None;
    }
    let (mean_b, mean_s) = (sum_b / total, sum_s / total);
    let (mut across, mut along) = (ridge * total, ridge * total * towards);
    for &pair in pairs {
        let (w, b) = (weight(pair), f64::from(pair.0) - mean_b);
        across += w * b * b;
        along += w * b * (f64::from(pair.1) - mean_s);
    }
    // Below this, what varies is rounding.
    if across <= total * (1e-6 * mean_b).powi(2) {
        return None;
    }
    let slope = (along / across).max(0.0);
    Some(Line { slope, offset: mean_s - slope * mean_b })
}

fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
