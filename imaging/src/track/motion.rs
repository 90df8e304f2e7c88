//! The motion, learned from the links: drift of all cells, flow of the neighbours, and how a cell's own displacements
//! follow on each other.
//!
//! A displacement is predicted, axis by axis, as a linear function of what is known beside it: the flow around it, the
//! two displacements before and the two after. This is what a Kalman filter (and smoother) of constant velocity does
//! once it has settled, with the difference that nobody has to say how noisy the positions and how steady the
//! velocities are: the weights come from a least-squares fit to the links so far. Every subset of what may be known has
//! weights and a variance of its own.

use super::{Detections, NONE};
use crate::space::near::{Cells, median, minus, plus, quantile};

/// Flow around, one and two displacements before, one and two after.
pub(super) const FEATURES: usize = 5;
const SUBSETS: usize = 1 << FEATURES;
/// Links that a fit needs, for each weight.
const ENOUGH: f64 = 12.0;
/// Neighbours whose displacements are the flow.
const FLOW: usize = 8;
/// Degrees of freedom of the distribution of residuals: tails far heavier than of a normal one.
const FREEDOM: f64 = 5.0;

/// What is known beside a displacement; `known` has a bit for each feature.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    pub(super) known: usize,
    pub(super) values: [[f64; 3]; FEATURES],
}

/// Weights and scale of the residuals along one axis.
#[derive(Clone, Copy, Debug, Default)]
struct Fit {
    weights: [f64; FEATURES],
    sigma: f64,
}

/// The learned motion.
#[derive(Clone, Debug)]
pub(super) struct Motion {
    fits: Vec<[Fit; 3]>,
    /// Sum over the axes of log scale, against a uniform distribution over the gate.
    logs: Vec<f64>,
}

impl Motion {
    /// Before anything is known: no motion beyond the drift.
    pub(super) fn prior(sigma: [f64; 3], reach: f64) -> Self {
        let fit = std::array::from_fn(|axis| Fit { weights: [0.0; FEATURES], sigma: sigma[axis] });
        Self::with_logs(vec![fit; SUBSETS], reach)
    }

    fn with_logs(fits: Vec<[Fit; 3]>, reach: f64) -> Self {
        let logs = fits.iter().map(|axes| axes.iter().map(|fit| (fit.sigma / reach).ln()).sum()).collect();
        Self { fits, logs }
    }

    /// Squared residual of a displacement in units of its variance, and its cost: the negative log likelihood against
    /// a uniform distribution over the gate.
    pub(super) fn judge(&self, beside: &Beside, displacement: [f64; 3]) -> (f64, f64) {
        let mut squared = 0.0;
        for (axis, fit) in self.fits[beside.known].iter().enumerate() {
            let expected: f64 = (0..FEATURES).map(|k| fit.weights[k] * beside.values[k][axis]).sum();
            squared += ((displacement[axis] - expected) / fit.sigma).powi(2);
        }
        (squared, tail(squared) + self.logs[beside.known])
    }

    /// The expected displacement.
    pub(super) fn expected(&self, beside: &Beside) -> [f64; 3] {
        std::array::from_fn(|axis| {
            let fit = &self.fits[beside.known][axis];
            (0..FEATURES).map(|k| fit.weights[k] * beside.values[k][axis]).sum()
        })
    }

    /// What the scales of a set of known features add to every cost.
    pub(super) fn log(&self, known: usize) -> f64 {
        self.logs[known]
    }

    /// Scale of the residuals along each axis, where so much is known.
    pub(super) fn sigma(&self, known: usize) -> [f64; 3] {
        std::array::from_fn(|axis| self.fits[known][axis].sigma)
    }

    /// Fitted to displacements and what was known beside them. `shares` are weights between 0 and 1.
    pub(super) fn fit(samples: &[(Beside, [f64; 3])], shares: &[f64], floor: f64, reach: f64) -> Self {
        // Sums of products for each exact set of known features; the last place is the displacement itself.
        let mut sums = vec![[[[0.0f64; FEATURES + 1]; FEATURES + 1]; 3]; SUBSETS];
        let mut counts = [0.0f64; SUBSETS];
        for ((beside, displacement), &share) in samples.iter().zip(shares) {
            counts[beside.known] += share;
            for axis in 0..3 {
                let mut row = [0.0; FEATURES + 1];
                for k in 0..FEATURES {
                    row[k] = beside.values[k][axis];
                }
                row[FEATURES] = displacement[axis];
                let sum = &mut sums[beside.known][axis];
                for a in 0..=FEATURES {
                    for b in 0..=a {
                        sum[a][b] += share * row[a] * row[b];
                    }
                }
            }
        }
        let mut fits: Vec<[Fit; 3]> = Vec::with_capacity(SUBSETS);
        for subset in 0..SUBSETS {
            let above: Vec<usize> = (0..SUBSETS).filter(|&other| other & subset == subset).collect();
            let count: f64 = above.iter().map(|&other| counts[other]).sum();
            let features: Vec<usize> = (0..FEATURES).filter(|&k| subset >> k & 1 == 1).collect();
            if subset != 0 && count < ENOUGH * (features.len() + 1) as f64 {
                // Too few to tell: as if the last feature were unknown.
                let without = subset & !(1 << features[features.len() - 1]);
                fits.push(fits[without]);
                continue;
            }
            fits.push(std::array::from_fn(|axis| {
                let mut matrix = [[0.0; FEATURES + 1]; FEATURES + 1];
                for &other in &above {
                    for a in 0..=FEATURES {
                        for b in 0..=a {
                            matrix[a][b] += sums[other][axis][a][b];
                        }
                    }
                }
                let (weights, left) = regress(&matrix, &features);
                let sigma = if count > 0.0 { (left / count).max(0.0).sqrt() } else { floor };
                Fit { weights, sigma: sigma.max(floor) }
            }));
        }
        Self::with_logs(fits, reach)
    }
}

/// Cost of a squared residual: negative log of a Student distribution in three dimensions, 0 at its centre.
pub(super) fn tail(squared: f64) -> f64 {
    (FREEDOM + 3.0) / 2.0 * (squared / FREEDOM).ln_1p()
}

/// Share that a link with a squared residual has in the next fit, by the same distribution.
pub(super) fn share(squared: f64) -> f64 {
    FREEDOM / (FREEDOM + squared)
}

/// Least squares of the last variable on some of the others (a touch of ridge keeps it solvable), from the lower half
/// of the sums of products: weights, and sum of squares left.
fn regress(sums: &[[f64; FEATURES + 1]; FEATURES + 1], features: &[usize]) -> ([f64; FEATURES], f64) {
    let at = |a: usize, b: usize| sums[a.max(b)][a.min(b)];
    let n = features.len();
    let mut lower = [[0.0f64; FEATURES]; FEATURES];
    let mut solution = [0.0f64; FEATURES];
    for i in 0..n {
        for j in 0..=i {
            let ridge = if i == j { 1e-6 * at(features[i], features[i]) + 1e-30 } else { 0.0 };
            let known: f64 = (0..j).map(|k| lower[i][k] * lower[j][k]).sum();
            let value = at(features[i], features[j]) + ridge - known;
            lower[i][j] = if i == j { value.max(1e-30).sqrt() } else { value / lower[j][j] };
        }
        let known: f64 = (0..i).map(|k| lower[i][k] * solution[k]).sum();
        solution[i] = (at(features[i], FEATURES) - known) / lower[i][i];
    }
    let left = at(FEATURES, FEATURES) - solution[..n].iter().map(|x| x * x).sum::<f64>();
    let mut weights = [0.0; FEATURES];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| lower[k][i] * solution[k]).sum();
        solution[i] = (solution[i] - known) / lower[i][i];
        weights[features[i]] = solution[i];
    }
    (weights, left)
}

/// Pairs of nearest neighbours, each of the other, once a drift is taken out: displacements beyond the drift.
pub(super) fn mutual(
    from: &[[f64; 3]],
    to: &[[f64; 3]],
    cells: (&Cells, &Cells),
    drift: [f64; 3],
    radius: f64,
) -> Vec<[f64; 3]> {
    (0..from.len())
        .filter_map(|i| {
            let j = cells.1.nearest(to, plus(from[i], drift), radius)? as usize;
            let back = cells.0.nearest(from, minus(to[j], drift), radius)? as usize;
            (back == i).then(|| minus(minus(to[j], from[i]), drift))
        })
        .collect()
}

/// Pairs below which no drift is told from the motion of single cells.
const CROWD: usize = 10;

/// The displacement that most cells share from one time point to the next, at most `reach` long; 0 for few cells.
///
/// Displacements of all pairs vote in a coarse grid; the place most voted for is taken where it brings the cells
/// clearly closer to each other than no drift does; either is then refined by medians of mutual nearest neighbours.
pub(super) fn drift_between(from: &[[f64; 3]], to: &[[f64; 3]], cells: (&Cells, &Cells), reach: f64) -> [f64; 3] {
    if from.len().min(to.len()) < CROWD {
        return [0.0; 3];
    }
    const SIDE: i64 = 9;
    let bin = reach / 4.0;
    let mut votes = vec![0u32; (SIDE * SIDE * SIDE) as usize];
    for &point in from {
        cells.1.within(to, point, reach, |j, _| {
            let place = minus(to[j as usize], point).map(|x| (x / bin).round() as i64 + SIDE / 2);
            votes[((place[0] * SIDE + place[1]) * SIDE + place[2]) as usize] += 1;
        });
    }
    let mut best = (0u32, 0i64, [0i64; 3]);
    for z in 1..SIDE - 1 {
        for y in 1..SIDE - 1 {
            for x in 1..SIDE - 1 {
                let mut sum = 0;
                for near in 0..27i64 {
                    let (dz, dy, dx) = (near / 9 - 1, near / 3 % 3 - 1, near % 3 - 1);
                    sum += votes[(((z + dz) * SIDE + y + dy) * SIDE + x + dx) as usize];
                }
                let place = [z - SIDE / 2, y - SIDE / 2, x - SIDE / 2];
                let from_zero = -place.iter().map(|x| x * x).sum::<i64>();
                if (sum, from_zero) > (best.0, best.1) || best.0 == 0 {
                    best = (sum, from_zero, place);
                }
            }
        }
    }
    let voted = best.2.map(|x| x as f64 * bin);
    let spread = |drift| {
        let mut lengths: Vec<f64> =
            mutual(from, to, cells, drift, reach).iter().map(|d| d.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        if lengths.len() < CROWD { f64::INFINITY } else { median(&mut lengths) }
    };
    let (still, still_spread) = refined(from, to, cells, [0.0; 3], reach, spread);
    if voted == [0.0; 3] {
        return still;
    }
    let (moved, moved_spread) = refined(from, to, cells, voted, reach, spread);
    if moved_spread < 0.7 * still_spread { moved } else { still }
}

/// A drift improved by medians until it stays, and the spread of the cells about it.
fn refined(
    from: &[[f64; 3]],
    to: &[[f64; 3]],
    cells: (&Cells, &Cells),
    mut drift: [f64; 3],
    reach: f64,
    spread: impl Fn([f64; 3]) -> f64,
) -> ([f64; 3], f64) {
    for _ in 0..6 {
        let pairs = mutual(from, to, cells, drift, reach);
        if pairs.len() < CROWD {
            break;
        }
        let step = centre(&pairs);
        drift = plus(drift, step);
        if step.iter().all(|x| x.abs() < 1e-3 * reach) {
            break;
        }
    }
    (drift, spread(drift))
}

/// Medians along each axis.
pub(super) fn centre(values: &[[f64; 3]]) -> [f64; 3] {
    std::array::from_fn(|axis| median(&mut values.iter().map(|v| v[axis]).collect::<Vec<_>>()))
}

/// Scale along each axis of displacements, from their middle two thirds; at least `floor`.
pub(super) fn scale(values: &[[f64; 3]], floor: f64) -> [f64; 3] {
    std::array::from_fn(|axis| {
        let mut sizes: Vec<f64> = values.iter().map(|v| v[axis].abs()).collect();
        quantile(&mut sizes, 0.683).max(floor)
    })
}

/// The flow around each linked or unlinked detection of a time point: median displacement, beyond the drift, of the
/// nearest linked neighbours without itself. `None` where fewer than three are near.
pub(super) fn flow(
    detections: &Detections<'_>,
    time: usize,
    next: &[u32],
    cells: &Cells,
    drift: [f64; 3],
    radius: f64,
) -> Vec<Option<[f64; 3]>> {
    let range = detections.range(time);
    let points = &detections.points[range.clone()];
    (0..points.len())
        .map(|i| {
            let mut near: Vec<(f64, u32)> = Vec::new();
            cells.within(points, points[i], radius, |other, squared| {
                if other as usize != i && next[range.start + other as usize] != NONE {
                    near.push((squared, other));
                }
            });
            near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            near.truncate(FLOW);
            if near.len() < 3 {
                return None;
            }
            let moved: Vec<[f64; 3]> = near
                .iter()
                .map(|&(_, other)| {
                    let from = range.start + other as usize;
                    minus(minus(detections.points[next[from] as usize], detections.points[from]), drift)
                })
                .collect();
            Some(centre(&moved))
        })
        .collect()
}
