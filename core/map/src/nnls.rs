//! Least squares of what is not negative, by active sets.

use ndarray::ArrayView2;
use zensaibo_core::{DataFault, Error, Result};

/// A column counts as a mixture of those in use when what it adds to them is below this, of its own length squared.
const DEPENDENT: f64 = 1e-12;
/// Gradients below this, for columns and values of length 1, count as zero.
const FLAT: f64 = 1e-12;

/// The x >= 0 that makes |b - A x|^2 least, from `gram` = A^T A (t x t, only what lies on and below the diagonal is read) and `product` = A^T b.
///
/// The active-set method of Lawson and Hanson on the normal equations: exact up to rounding, the unique minimum where the columns
/// are independent. A column that is zero, or a mixture of those in use, stays at 0.
///
/// Cost: t^3 / 6 multiply-adds per exchange, some t exchanges.
///
/// Reference: Lawson and Hanson, Solving Least Squares Problems, 1974, chapter 23; Bro and de Jong, J. Chemometrics 11 (1997).
///
/// # Errors
/// [`Error::Data`] for sizes that do not fit, and for values that are not finite.
pub fn nnls(gram: ArrayView2<'_, f64>, product: &[f64]) -> Result<Vec<f64>> {
    let t = product.len();
    if gram.dim() != (t, t) {
        let found = format!("{} x {}", gram.nrows(), gram.ncols());
        return Err(Error::data(DataFault::Shape, "gram", format!("{t} x {t}, as the products"), found));
    }
    let lower = (0..t).all(|i| (0..=i).all(|j| gram[(i, j)].is_finite()));
    if !lower || product.iter().any(|value| !value.is_finite()) {
        return Err(Error::data(DataFault::NotFinite, "least squares", "finite products", "NaN or infinity"));
    }
    let mut solver = Nnls::new(t);
    let mut packed = Vec::with_capacity(t * t);
    packed.extend((0..t).flat_map(|i| (0..t).map(move |j| (i.max(j), i.min(j)))).map(|place| gram[place]));
    Ok(solver.solve(&packed, product).to_vec())
}

/// Buffers of one solver, for many systems of one size.
pub(crate) struct Nnls {
    t: usize,
    /// Lengths of the columns; 0 for those that are left out.
    scale: Vec<f64>,
    x: Vec<f64>,
    trial: Vec<f64>,
    used: Vec<usize>,
    factor: Vec<f64>,
    barred: Vec<bool>,
}

impl Nnls {
    pub(crate) fn new(t: usize) -> Self {
        Self {
            t,
            scale: vec![0.0; t],
            x: vec![0.0; t],
            trial: vec![0.0; t],
            used: Vec::with_capacity(t),
            factor: vec![0.0; t * t],
            barred: vec![false; t],
        }
    }

    /// `gram` is t x t and symmetric.
    pub(crate) fn solve(&mut self, gram: &[f64], product: &[f64]) -> &[f64] {
        let t = self.t;
        for i in 0..t {
            self.scale[i] = gram[i * t + i].max(0.0).sqrt();
        }
        self.x.fill(0.0);
        self.used.clear();
        self.barred.fill(false);
        // What a column of length 1 is worth, at most.
        let most =
            (0..t).filter(|&i| self.scale[i] > 0.0).map(|i| (product[i] / self.scale[i]).abs()).fold(0.0, f64::max);
        // Exchanges go on as long as the sum of squares falls; the bound is for what rounding can do to ties.
        for _ in 0..10 * t + 10 {
            let mut best: Option<(f64, usize)> = None;
            for i in (0..t).filter(|&i| self.scale[i] > 0.0 && !self.barred[i] && !self.used.contains(&i)) {
                let along: f64 = self.used.iter().map(|&j| gram[i * t + j] * self.x[j]).sum();
                let gain = (product[i] - along) / self.scale[i];
                if gain > FLAT * most && best.is_none_or(|(most, _)| gain > most) {
                    best = Some((gain, i));
                }
            }
            let Some((_, entering)) = best else { break };
            self.used.push(entering);
            if !self.fit(gram, product) || self.trial[entering] <= 0.0 {
                // A mixture of the others, or too near to one for the gradient to be believed.
                self.used.pop();
                self.barred[entering] = true;
                continue;
            }
            self.barred.fill(false);
            // Back to where the first of those in use reaches zero, until none lies below.
            while self.used.iter().any(|&i| self.trial[i] <= 0.0) {
                let mut step = 1.0f64;
                for &i in self.used.iter().filter(|&&i| self.trial[i] <= 0.0) {
                    step = step.min(self.x[i] / (self.x[i] - self.trial[i]));
                }
                for &i in &self.used {
                    self.x[i] += step * (self.trial[i] - self.x[i]);
                }
                // Those that cannot go on leave, the one that bounds the step for sure.
                let (x, trial, scale) = (&mut self.x, &self.trial, &self.scale);
                let bound = self
                    .used
                    .iter()
                    .copied()
                    .filter(|&i| trial[i] <= 0.0)
                    .min_by(|&a, &b| (x[a] * scale[a]).total_cmp(&(x[b] * scale[b])));
                self.used.retain(|&i| Some(i) != bound && !(trial[i] <= 0.0 && x[i] <= 0.0));
                for i in 0..t {
                    if !self.used.contains(&i) {
                        x[i] = 0.0;
                    }
                }
                if !self.fit(gram, product) {
                    break;
                }
            }
            for i in 0..t {
                self.x[i] = if self.used.contains(&i) { self.trial[i].max(0.0) } else { 0.0 };
            }
        }
        &self.x
    }

    /// Fits those in use, without bounds, into `trial`; false where they are not independent.
    fn fit(&mut self, gram: &[f64], product: &[f64]) -> bool {
        let (t, m) = (self.t, self.used.len());
        let (used, scale, factor) = (&self.used, &self.scale, &mut self.factor);
        for a in 0..m {
            let i = used[a];
            for b in 0..=a {
                let j = used[b];
                let mut value = gram[i * t + j] / (scale[i] * scale[j]);
                for c in 0..b {
                    value -= factor[a * t + c] * factor[b * t + c];
                }
                if a != b {
                    factor[a * t + b] = value / factor[b * t + b];
                } else if value > DEPENDENT {
                    factor[a * t + a] = value.sqrt();
                } else {
                    return false;
                }
            }
        }
        let solved = &mut self.trial;
        let mut z = vec![0.0; m];
        for a in 0..m {
            let before: f64 = (0..a).map(|c| factor[a * t + c] * z[c]).sum();
            z[a] = (product[used[a]] / scale[used[a]] - before) / factor[a * t + a];
        }
        for a in (0..m).rev() {
            let after: f64 = (a + 1..m).map(|c| factor[c * t + a] * z[c]).sum();
            z[a] = (z[a] - after) / factor[a * t + a];
        }
        for a in 0..m {
            solved[used[a]] = z[a] / scale[used[a]];
        }
        true
    }
}
