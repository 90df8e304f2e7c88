//! Normal distributions with full covariances, and the sums over rows that they are made from.

use zensaibo_core::{Error, Result};

use super::centres::nearest;

/// Rows that are worked on together, so that inner loops run over rows.
const BLOCK: usize = 64;

/// One distribution of the mixture.
pub(super) struct Normal {
    pub(super) weight: f64,
    pub(super) mean: Vec<f64>,
    covariance: Vec<f64>,
    /// Its Cholesky factor, lower, row by row.
    factor: Vec<f64>,
    /// ln of weight and of what stands before the exponential.
    front: f64,
}

impl Normal {
    fn new(weight: f64, mean: Vec<f64>, covariance: Vec<f64>) -> Result<Self> {
        let width = mean.len();
        let factor = cholesky(&covariance, width).ok_or_else(|| Error::NotConverged {
            what: "the mixture (a covariance is not positive: columns too large for `reg_covar`)".into(),
            iterations: 0,
            reached: f64::NAN,
            asked: f64::EPSILON,
        })?;
        let log_root: f64 = (0..width).map(|at| factor[at * width + at].ln()).sum();
        let front = weight.ln() - 0.5 * width as f64 * std::f64::consts::TAU.ln() - log_root;
        Ok(Self { weight, mean, covariance, factor, front })
    }

    /// ln of weight times density of up to [`BLOCK`] rows, given by columns in `block`; `work` is as large.
    fn ln_density(&self, block: &[f64], work: &mut [f64], out: &mut [f64]) {
        let (width, many) = (self.mean.len(), out.len());
        out.fill(0.0);
        for i in 0..width {
            let (done, rest) = work.split_at_mut(i * BLOCK);
            let row = &mut rest[..many];
            let values = &block[i * BLOCK..][..many];
            row.iter_mut().zip(values).for_each(|(slot, value)| *slot = value - self.mean[i]);
            for j in 0..i {
                let entry = self.factor[i * width + j];
                row.iter_mut().zip(&done[j * BLOCK..]).for_each(|(slot, before)| *slot -= entry * before);
            }
            let inverse = 1.0 / self.factor[i * width + i];
            for (slot, sum) in row.iter_mut().zip(out.iter_mut()) {
                *slot *= inverse;
                *sum += *slot * *slot;
            }
        }
        out.iter_mut().for_each(|sum| *sum = self.front - 0.5 * *sum);
    }
}

/// The lower factor; None where a pivot is not above 0.
fn cholesky(matrix: &[f64], width: usize) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; width * width];
    for i in 0..width {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| factor[i * width + k] * factor[j * width + k]).sum();
            let left = matrix[i * width + j] - dot;
            if i == j {
                if !(left > 0.0 && left.is_finite()) {
                    return None;
                }
                factor[i * width + i] = left.sqrt();
            } else {
                factor[i * width + j] = left / factor[j * width + j];
            }
        }
    }
    Some(factor)
}

/// Puts the rows of a block side by side: column c of row r at c * BLOCK + r.
fn turn(rows: &[f64], width: usize, block: &mut [f64]) -> usize {
    for (r, row) in rows.chunks_exact(width).enumerate() {
        for (c, value) in row.iter().enumerate() {
            block[c * BLOCK + r] = *value;
        }
    }
    rows.len() / width
}

/// ln of weight times density of each component and row of a block, components one after the other; and of their sum.
struct Shares {
    block: Vec<f64>,
    work: Vec<f64>,
    ln: Vec<f64>,
    total: Vec<f64>,
}

impl Shares {
    fn new(width: usize, k: usize) -> Self {
        Self {
            block: vec![0.0; width * BLOCK],
            work: vec![0.0; width * BLOCK],
            ln: vec![0.0; k * BLOCK],
            total: vec![0.0; BLOCK],
        }
    }

    fn compute(&mut self, rows: &[f64], normals: &[Normal]) -> usize {
        let many = turn(rows, normals[0].mean.len(), &mut self.block);
        for (at, normal) in normals.iter().enumerate() {
            normal.ln_density(&self.block, &mut self.work, &mut self.ln[at * BLOCK..][..many]);
        }
        for row in 0..many {
            let of = |at: usize| self.ln[at * BLOCK + row];
            let most = (0..normals.len()).map(of).fold(f64::NEG_INFINITY, f64::max);
            self.total[row] = most + (0..normals.len()).map(|at| (of(at) - most).exp()).sum::<f64>().ln();
        }
        many
    }
}

/// The most likely component of each row, and its probability.
pub(super) fn most_likely(rows: &[f64], normals: &[Normal]) -> (Vec<u32>, Vec<f64>) {
    let width = normals[0].mean.len();
    let mut shares = Shares::new(width, normals.len());
    let (mut labels, mut probability) = (Vec::new(), Vec::new());
    for block in rows.chunks(BLOCK * width) {
        let many = shares.compute(block, normals);
        for row in 0..many {
            let of = |at: usize| shares.ln[at * BLOCK + row];
            let best = (1..normals.len()).fold(0, |best, at| if of(at) > of(best) { at } else { best });
            labels.push(best as u32);
            probability.push((of(best) - shares.total[row]).exp());
        }
    }
    (labels, probability)
}

/// Sums over rows by component: shares, rows less the former mean, and their products.
pub(super) struct Sums {
    width: usize,
    shares: Vec<f64>,
    firsts: Vec<f64>,
    /// Lower triangles.
    seconds: Vec<f64>,
    pub(super) likelihood: f64,
}

impl Sums {
    pub(super) fn new(k: usize, width: usize) -> Self {
        Self {
            width,
            shares: vec![0.0; k],
            firsts: vec![0.0; k * width],
            seconds: vec![0.0; k * width * width],
            likelihood: 0.0,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let pairs =
            [(&mut self.shares, &other.shares), (&mut self.firsts, &other.firsts), (&mut self.seconds, &other.seconds)];
        for (sums, more) in pairs {
            sums.iter_mut().zip(more).for_each(|(sum, value)| *sum += value);
        }
        self.likelihood += other.likelihood;
    }

    /// Each row belongs to the nearest centre alone.
    pub(super) fn of_nearest(rows: &[f64], centres: &[f64], k: usize, width: usize) -> Self {
        let mut sums = Self::new(k, width);
        for row in rows.chunks_exact(width) {
            let at = nearest(row, centres);
            let left: Vec<f64> = row.iter().zip(&centres[at * width..]).map(|(value, centre)| value - centre).collect();
            sums.shares[at] += 1.0;
            sums.firsts[at * width..][..width].iter_mut().zip(&left).for_each(|(sum, value)| *sum += value);
            let seconds = &mut sums.seconds[at * width * width..][..width * width];
            for i in 0..width {
                let line = &mut seconds[i * width..][..=i];
                line.iter_mut().zip(&left).for_each(|(sum, value)| *sum += left[i] * value);
            }
        }
        sums
    }

    /// Each row belongs to all components by their probability.
    pub(super) fn of_shares(rows: &[f64], normals: &[Normal]) -> Self {
        let (k, width) = (normals.len(), normals[0].mean.len());
        let mut sums = Self::new(k, width);
        let mut shares = Shares::new(width, k);
        let mut weighted = [0.0; BLOCK];
        for block in rows.chunks(BLOCK * width) {
            let many = shares.compute(block, normals);
            sums.likelihood += shares.total[..many].iter().sum::<f64>();
            for (at, normal) in normals.iter().enumerate() {
                let mut share = [0.0; BLOCK];
                for row in 0..many {
                    share[row] = (shares.ln[at * BLOCK + row] - shares.total[row]).exp();
                }
                let share = &share[..many];
                let sum: f64 = share.iter().sum();
                sums.shares[at] += sum;
                // What adds nothing in double precision is not worth its products.
                if sum < 1e-30 {
                    continue;
                }
                for i in 0..width {
                    let values = &shares.block[i * BLOCK..][..many];
                    shares.work[i * BLOCK..][..many]
                        .iter_mut()
                        .zip(values)
                        .for_each(|(slot, value)| *slot = value - normal.mean[i]);
                }
                for i in 0..width {
                    let values = &shares.work[i * BLOCK..][..many];
                    for row in 0..many {
                        weighted[row] = share[row] * values[row];
                    }
                    sums.firsts[at * width + i] += weighted[..many].iter().sum::<f64>();
                    for j in 0..=i {
                        let others = &shares.work[j * BLOCK..][..many];
                        sums.seconds[(at * width + i) * width + j] +=
                            weighted[..many].iter().zip(others).map(|(a, b)| a * b).sum::<f64>();
                    }
                }
            }
        }
        sums
    }

    /// The distributions of these sums, taken about `means`. One that lost its rows stays what it was.
    pub(super) fn normals(
        &self,
        means: &[f64],
        before: Option<Vec<Normal>>,
        n: usize,
        reg_covar: f64,
    ) -> Result<Vec<Normal>> {
        let width = self.width;
        let mut before: Vec<Option<Normal>> =
            before.map_or_else(Vec::new, |before| before.into_iter().map(Some).collect());
        (0..self.shares.len())
            .map(|at| {
                let share = self.shares[at];
                let mean = &means[at * width..][..width];
                if share < 1e-9 {
                    let tiny = 1e-9 / n as f64;
                    return match before.get_mut(at).and_then(Option::take) {
                        Some(normal) => Normal::new(tiny, normal.mean, normal.covariance),
                        None => {
                            let mut unit = vec![0.0; width * width];
                            (0..width).for_each(|i| unit[i * width + i] = 1.0 + reg_covar);
                            Normal::new(tiny, mean.to_vec(), unit)
                        }
                    };
                }
                let shift: Vec<f64> = self.firsts[at * width..][..width].iter().map(|sum| sum / share).collect();
                let mut covariance = vec![0.0; width * width];
                for i in 0..width {
                    for j in 0..=i {
                        let second = self.seconds[(at * width + i) * width + j] / share - shift[i] * shift[j];
                        let value = second + if i == j { reg_covar } else { 0.0 };
                        covariance[i * width + j] = value;
                        covariance[j * width + i] = value;
                    }
                }
                let mean = mean.iter().zip(&shift).map(|(mean, shift)| mean + shift).collect();
                Normal::new(share / n as f64, mean, covariance)
            })
            .collect()
    }
}
