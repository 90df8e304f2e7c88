//! Extreme eigenpairs of a large symmetric matrix, by thick-restart Lanczos iteration in f64.
//!
//! A basis of up to m orthonormal vectors is grown one product at a time. When it is full, its best approximations (Ritz
//! vectors) are kept and it grows again from there (Wu and Simon 2000, Thick-restart Lanczos method, SIAM J. Matrix Anal.
//! Appl. 22, 602). A new vector is made orthogonal to its two predecessors; to the others only when the recurrence of
//! their inner products says that rounding has let them lean on each other by more than [`LEAN`] (Simon 1984, The
//! Lanczos algorithm with partial reorthogonalization, Math. Comp. 42, 115).
//!
//! The basis lies row by row: a row of all basis vectors fits a few cache lines, so that projections and rotations
//! stream through memory once. Sums are taken over pieces of rows, in order.

use multiversion::multiversion;
use ndarray::ArrayView2;
use rayon::prelude::*;
use zensaibo_linalg::symmetric_eigen;

use crate::progress::Stage;
use crate::random::Stream;
use crate::{Ctx, Error, Result};

/// Rows per parallel piece.
pub(crate) const PIECE: usize = 2048;
/// Up to this many rows all eigenpairs are computed at once.
const DENSE: usize = 300;
/// Residual |A x - value x| of the unit vectors that are returned, relative to the largest |value|.
pub(super) const TOLERANCE: f64 = 1e-10;
/// Largest inner product of two unit vectors of a basis that is let stand.
const LEAN: f64 = 1e-10;
/// Numbers below which a task is not worth its hand-over.
const TASK: usize = 1 << 16;
/// Residual at which the look for missed eigenvalues ends.
const LOOSE: f64 = 1e-6;
/// Products after which to give up.
const PRODUCTS: usize = 20_000;

/// A symmetric matrix that can be multiplied.
pub(crate) trait Symmetric: Sync {
    /// Number of rows.
    fn len(&self) -> usize;
    /// `out` = A `x`.
    fn apply(&self, x: &[f64], out: &mut [f64], ctx: &Ctx) -> Result<()>;
}

/// Eigenvalues, falling, and unit eigenvectors as columns (n x count, row by row).
pub(crate) struct Eigenpairs {
    pub(crate) vectors: Vec<f64>,
    pub(crate) values: Vec<f64>,
    pub(crate) residual: f64,
    pub(crate) products: usize,
}

/// The `count` eigenpairs with the eigenvalues largest in magnitude, `known` among them: orthonormal eigenvectors of
/// eigenvalue 1, the largest there is. `count` lies below the number of rows.
pub(crate) fn largest(
    matrix: &impl Symmetric,
    known: Vec<Vec<f64>>,
    count: usize,
    seed: u64,
    stage: &Stage<'_>,
    ctx: &Ctx,
) -> Result<Eigenpairs> {
    let n = matrix.len();
    if n <= DENSE.max(2 * count + 30) {
        return dense(matrix, &known, count, ctx);
    }
    let mut found: Vec<(f64, Vec<f64>)> = known.into_iter().map(|vector| (1.0, vector)).collect();
    let mut products = 0;
    let mut attempt = 0;
    // Where an eigenvalue is there twice, one starting vector sees one vector of the two. So a fresh start, orthogonal
    // to what was found, looks whether anything larger was missed.
    while found.len() < count || missed(matrix, &found, count, seed, attempt, &mut products, ctx)? {
        let wanted = count.saturating_sub(found.len()).max(1);
        let more = solve(matrix, &found, wanted, seed.wrapping_add(attempt), &mut products, stage, ctx)?;
        found.extend(more);
        found.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        attempt += 1;
    }
    found.truncate(count);
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut residual = 0f64;
    let mut out = vec![0f64; n];
    for (value, vector) in &found {
        matrix.apply(vector, &mut out, ctx)?;
        let difference: Vec<f64> = out.iter().zip(vector).map(|(a, x)| a - value * x).collect();
        residual = residual.max(norm(&difference));
    }
    let mut vectors = vec![0f64; n * count];
    for (column, (_, vector)) in found.iter().enumerate() {
        vectors.iter_mut().skip(column).step_by(count).zip(vector).for_each(|(out, &x)| *out = x);
    }
    Ok(Eigenpairs { vectors, values: found.iter().map(|pair| pair.0).collect(), residual, products })
}

/// All eigenpairs of a small matrix.
fn dense(matrix: &impl Symmetric, known: &[Vec<f64>], count: usize, ctx: &Ctx) -> Result<Eigenpairs> {
    let n = matrix.len();
    let mut full = vec![0f64; n * n];
    let mut unit = vec![0f64; n];
    for (column, out) in full.chunks_exact_mut(n).enumerate() {
        unit[column] = 1.0;
        matrix.apply(&unit, out, ctx)?;
        unit[column] = 0.0;
    }
    // The known vectors are lifted to eigenvalue 3, clear of all others, and so come first.
    for vector in known {
        for (row, &x) in vector.iter().enumerate() {
            full[row * n..(row + 1) * n].iter_mut().zip(vector).for_each(|(out, &y)| *out += 2.0 * x * y);
        }
    }
    let eigen = symmetric_eigen(view(&full, n)?)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| eigen.values[j].abs().total_cmp(&eigen.values[i].abs()));
    let mut order: Vec<usize> = order[known.len()..count].to_vec();
    order.sort_by(|&i, &j| eigen.values[j].total_cmp(&eigen.values[i]));
    let columns = |row: usize| known.iter().map(move |vector| vector[row]);
    Ok(Eigenpairs {
        vectors: (0..n)
            .flat_map(|row| columns(row).chain(order.iter().map(move |&i| (row, i)).map(|at| eigen.vectors[at])))
            .collect(),
        values: known.iter().map(|_| 1.0).chain(order.iter().map(|&i| eigen.values[i])).collect(),
        residual: 0.0,
        products: n,
    })
}

/// Whether the space orthogonal to all `found` holds an eigenvalue larger than the `count`-th of them.
///
/// A Ritz value is never larger than the largest eigenvalue, so one that exceeds it answers at once; otherwise the
/// search goes on until the largest is known well enough to lie below, or to [`LOOSE`].
fn missed(
    matrix: &impl Symmetric,
    found: &[(f64, Vec<f64>)],
    count: usize,
    seed: u64,
    attempt: u64,
    products: &mut usize,
    ctx: &Ctx,
) -> Result<bool> {
    let least = found[count - 1].0.abs();
    let locked = Locked::new(found, matrix.len());
    let mut basis = Basis::new(matrix.len(), 60, &locked, seed ^ 0x6d69_7373 ^ attempt);
    loop {
        let left = basis.grow(matrix, products, ctx)?;
        let (values, rotation) = basis.ritz()?;
        let m = values.len();
        if values[0].abs() > least * (1.0 + 1e-9) + 1e-12 {
            return Ok(true);
        }
        let known_to = (0.5 * (least - values[0].abs())).max(LOOSE);
        if left * rotation[(m - 1) * m].abs() <= known_to || m < 3 || *products >= 2 * PRODUCTS {
            return Ok(false);
        }
        basis.restart(&values, &rotation, m / 2);
    }
}

/// `wanted` eigenpairs of the matrix on the space orthogonal to `found`.
fn solve(
    matrix: &impl Symmetric,
    found: &[(f64, Vec<f64>)],
    wanted: usize,
    seed: u64,
    products: &mut usize,
    stage: &Stage<'_>,
    ctx: &Ctx,
) -> Result<Vec<(f64, Vec<f64>)>> {
    let n = matrix.len();
    let locked = Locked::new(found, n);
    let width = (2 * wanted + 30).min(n - found.len());
    let mut basis = Basis::new(n, width, &locked, seed);
    loop {
        stage.advance(1)?;
        let left = basis.grow(matrix, products, ctx)?;
        let (values, rotation) = basis.ritz()?;
        let m = values.len();
        let scale = values[0].abs().max(f64::MIN_POSITIVE);
        let residual = (0..wanted.min(m)).map(|i| left * rotation[(m - 1) * m + i].abs()).fold(0.0, f64::max);
        if residual <= TOLERANCE * scale || m == n - found.len() {
            let keep = wanted.min(m);
            basis.rotate(&rotation, m, keep);
            let vectors = (0..keep).map(|column| basis.column(column)).collect::<Vec<_>>();
            return Ok(values[..keep].iter().copied().zip(vectors).collect());
        }
        if *products >= PRODUCTS {
            return Err(Error::NotConverged {
                what: "eigenvectors of the diffusion map".into(),
                iterations: *products,
                reached: residual,
                asked: TOLERANCE * scale,
            });
        }
        let keep = (wanted + (m - wanted) / 2).min(m - 1);
        basis.restart(&values, &rotation, keep);
    }
}

/// Vectors that are settled, row by row.
struct Locked {
    width: usize,
    rows: Vec<f64>,
}

impl Locked {
    fn new(found: &[(f64, Vec<f64>)], n: usize) -> Self {
        let width = found.len();
        let mut rows = vec![0f64; n * width];
        for (column, (_, vector)) in found.iter().enumerate() {
            rows.iter_mut().skip(column).step_by(width).zip(vector).for_each(|(out, &x)| *out = x);
        }
        Self { width, rows }
    }
}

/// Estimates of the inner products of the newest vectors with all before them.
struct Leaning {
    /// What rounding alone leaves.
    rounding: f64,
    /// Of the newest vector but one, and of the newest.
    before: Vec<f64>,
    newest: Vec<f64>,
    /// Whether the next vector is to be cleaned whatever its estimates.
    again: bool,
}

impl Leaning {
    fn new(n: usize) -> Self {
        Self { rounding: f64::EPSILON * (n as f64).sqrt(), before: Vec::new(), newest: Vec::new(), again: false }
    }

    /// Forgets: the newest vector was made orthogonal to all others.
    fn clear(&mut self) {
        self.before.clear();
        self.newest.clear();
        self.again = false;
    }

    /// Goes on to the vector that follows from the `basis` by the recurrence with its diagonal entry `own`, `tie` to the
    /// last but one and `length`; whether that vector is to be cleaned.
    fn next(&mut self, basis: &Basis<'_>, own: f64, tie: f64, length: f64) -> bool {
        let (newest, width) = (basis.filled - 1, basis.width);
        self.before.resize(newest, self.rounding);
        self.newest.resize(newest, self.rounding);
        // Inner products of the newest with itself (1) and of the one before with the newest take part too.
        let mut leaning = vec![0f64; newest];
        let length = length.max(f64::MIN_POSITIVE);
        for (other, leaning) in leaning.iter_mut().enumerate() {
            let ties = &basis.projected[other * width..other * width + newest];
            let image: f64 = ties.iter().zip(&self.newest).map(|(tie, lean)| tie * lean).sum();
            // The tie of the vector just before to the newest is the recurrence's own and cancels.
            let before = if other + 1 == newest { self.rounding } else { self.before[other] };
            let sum = image - own * self.newest[other] - tie * before;
            *leaning = (sum + self.rounding.copysign(sum)) / length;
        }
        self.before = std::mem::replace(&mut self.newest, leaning);
        let clean = self.again || self.newest.iter().any(|lean| lean.is_nan() || lean.abs() > LEAN);
        self.again = clean && !self.again;
        clean
    }

    /// The newest vector was cleaned.
    fn cleaned(&mut self) {
        self.newest.fill(self.rounding);
    }
}

/// An orthonormal basis that grows.
struct Basis<'a> {
    n: usize,
    /// Room for vectors.
    width: usize,
    /// Vectors there are.
    filled: usize,
    /// n x width, row by row.
    rows: Vec<f64>,
    /// The matrix on the basis, width x width.
    projected: Vec<f64>,
    /// The next vector, orthonormal to all others.
    next: Vec<f64>,
    locked: &'a Locked,
    stream: u64,
    seed: u64,
}

impl<'a> Basis<'a> {
    fn new(n: usize, width: usize, locked: &'a Locked, seed: u64) -> Self {
        let width = width.min(n.saturating_sub(locked.width)).max(1);
        let mut basis = Self {
            n,
            width,
            filled: 0,
            rows: vec![0.0; n * width],
            projected: vec![0.0; width * width],
            next: vec![0.0; n],
            locked,
            stream: 0,
            seed,
        };
        basis.fresh();
        basis
    }

    /// Makes `next` a random unit vector orthogonal to all others.
    fn fresh(&mut self) {
        let (seed, stream) = (self.seed, self.stream);
        self.stream += 1;
        self.next.par_chunks_mut(PIECE).enumerate().for_each(|(piece, next)| {
            let mut random = Stream::new(seed ^ 0x6469_6666, stream << 40 | piece as u64);
            next.iter_mut().for_each(|x| *x = random.normal());
        });
        let mut next = std::mem::take(&mut self.next);
        self.orthogonalise(&mut next, 2);
        let length = norm(&next).max(f64::MIN_POSITIVE);
        next.iter_mut().for_each(|x| *x /= length);
        self.next = next;
    }

    /// Takes out of `w` all that lies along locked and basis vectors, `times` over; returns what lay along the basis.
    fn orthogonalise(&self, w: &mut [f64], times: usize) -> Vec<f64> {
        let mut along = vec![0f64; self.filled];
        for _ in 0..times {
            self.settle(w);
            if self.filled > 0 {
                let part = project(&self.rows, self.width, self.filled, w);
                subtract(&self.rows, self.width, &part, w);
                along.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
        }
        along
    }

    /// Takes the locked vectors out of `w`.
    fn settle(&self, w: &mut [f64]) {
        if self.locked.width > 0 {
            let part = project(&self.locked.rows, self.locked.width, self.locked.width, w);
            subtract(&self.locked.rows, self.locked.width, &part, w);
        }
    }

    /// Takes `tie` x `last` out of `w` and what then lies along the newest vector; returns how much that was.
    fn three_terms(&self, w: &mut [f64], last: &[f64], tie: f64) -> f64 {
        subtract_scaled(w, last, tie);
        let own = inner(w, &self.next);
        subtract_scaled(w, &self.next, own);
        own
    }

    /// Fills the basis; returns the length of what the last product leaves over.
    fn grow(&mut self, matrix: &impl Symmetric, products: &mut usize, ctx: &Ctx) -> Result<f64> {
        let mut w = vec![0f64; self.n];
        // The vector before `next` and the length that ties them, where nothing else does.
        let mut before: Option<(Vec<f64>, f64)> = None;
        let mut leaning = Leaning::new(self.n);
        loop {
            let (column, width) = (self.filled, self.width);
            let next = &self.next;
            let pairs = self.rows.par_chunks_mut(PIECE * width).zip(next.par_chunks(PIECE)).with_min_len(pieces(1));
            pairs.for_each(|(rows, next)| {
                rows.iter_mut().skip(column).step_by(width).zip(next).for_each(|(out, &x)| *out = x);
            });
            self.filled += 1;
            matrix.apply(&self.next, &mut w, ctx)?;
            *products += 1;
            let full = column + 1 == width;
            let along = match &before {
                None => {
                    leaning.clear();
                    self.orthogonalise(&mut w, 2)
                }
                Some((last, tie)) => {
                    let mut along = vec![0f64; column + 1];
                    along[column - 1] = *tie;
                    along[column] = self.three_terms(&mut w, last, *tie);
                    self.settle(&mut w);
                    let length = norm(&w);
                    // Two vectors in a row are cleaned, or the recurrence would carry the first one's lean on.
                    if leaning.next(self, along[column], *tie, length) || full {
                        self.orthogonalise(&mut w, 1);
                        leaning.cleaned();
                    }
                    along
                }
            };
            for (row, &value) in along.iter().enumerate() {
                self.projected[row * width + column] = value;
                self.projected[column * width + row] = value;
            }
            let length = norm(&w);
            if self.filled == width {
                if length > f64::EPSILON {
                    self.next.iter_mut().zip(&w).for_each(|(next, x)| *next = x / length);
                } else {
                    self.fresh();
                }
                return Ok(length);
            }
            if length > 1e-14 {
                let mut last = before.take().map_or_else(|| vec![0f64; self.n], |(last, _)| last);
                last.copy_from_slice(&self.next);
                self.next.iter_mut().zip(&w).for_each(|(next, x)| *next = x / length);
                before = Some((last, length));
            } else {
                // The basis is closed under the matrix: go on in another direction.
                self.fresh();
                before = None;
            }
        }
    }

    /// Ritz values, falling in magnitude, and the rotation to their vectors (filled x filled, columns).
    fn ritz(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let (m, width) = (self.filled, self.width);
        let square: Vec<f64> = (0..m * m).map(|at| self.projected[at / m * width + at % m]).collect();
        let eigen = symmetric_eigen(view(&square, m)?)?;
        let mut order: Vec<usize> = (0..m).collect();
        order.sort_by(|&i, &j| eigen.values[j].abs().total_cmp(&eigen.values[i].abs()).then(i.cmp(&j)));
        let values = order.iter().map(|&i| eigen.values[i]).collect();
        Ok((values, (0..m * m).map(|at| eigen.vectors[(at / m, order[at % m])]).collect()))
    }

    /// The first `keep` columns of basis x rotation (m x m) become the basis.
    fn rotate(&mut self, rotation: &[f64], m: usize, keep: usize) {
        let width = self.width;
        self.rows.par_chunks_mut(PIECE * width).for_each(|rows| rotate_rows(rows, width, rotation, m, keep));
        self.filled = keep;
    }

    fn restart(&mut self, values: &[f64], rotation: &[f64], keep: usize) {
        self.rotate(rotation, values.len(), keep);
        self.projected.fill(0.0);
        for (i, value) in values[..keep].iter().enumerate() {
            self.projected[i * self.width + i] = *value;
        }
    }

    fn column(&self, column: usize) -> Vec<f64> {
        self.rows.iter().skip(column).step_by(self.width).copied().collect()
    }
}

fn view(square: &[f64], n: usize) -> Result<ArrayView2<'_, f64>> {
    ArrayView2::from_shape((n, n), square).map_err(|error| Error::Internal(error.to_string()))
}

/// Pieces of rows of `width` that make a task.
fn pieces(width: usize) -> usize {
    (TASK / (PIECE * width)).max(1)
}

/// Products of `w` with the first `filled` columns of rows of `width`.
fn project(rows: &[f64], width: usize, filled: usize, w: &[f64]) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = rows
        .par_chunks(PIECE * width)
        .zip(w.par_chunks(PIECE))
        .with_min_len(pieces(width))
        .map(|(rows, w)| {
            let mut sum = vec![0f64; filled];
            project_rows(rows, width, w, &mut sum);
            sum
        })
        .collect();
    let mut sum = vec![0f64; filled];
    for part in &parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn project_rows(rows: &[f64], width: usize, w: &[f64], sum: &mut [f64]) {
    for (row, &x) in rows.chunks_exact(width).zip(w) {
        for (sum, &value) in sum.iter_mut().zip(row) {
            *sum += x * value;
        }
    }
}

/// `w` -= rows x `along`.
fn subtract(rows: &[f64], width: usize, along: &[f64], w: &mut [f64]) {
    let pairs = w.par_chunks_mut(PIECE).zip(rows.par_chunks(PIECE * width)).with_min_len(pieces(width));
    pairs.for_each(|(w, rows)| {
        subtract_rows(rows, width, along, w);
    });
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn subtract_rows(rows: &[f64], width: usize, along: &[f64], w: &mut [f64]) {
    for (row, w) in rows.chunks_exact(width).zip(w) {
        // Four sums side by side, in a fixed order.
        let mut sum = [0f64; 4];
        let whole = along.len() / 4 * 4;
        for (row, along) in row[..whole].chunks_exact(4).zip(along.chunks_exact(4)) {
            for lane in 0..4 {
                sum[lane] += row[lane] * along[lane];
            }
        }
        for at in whole..along.len() {
            sum[0] += row[at] * along[at];
        }
        *w -= (sum[0] + sum[2]) + (sum[1] + sum[3]);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn rotate_rows(rows: &mut [f64], width: usize, rotation: &[f64], m: usize, keep: usize) {
    let mut result = vec![0f64; keep];
    for row in rows.chunks_exact_mut(width) {
        result.fill(0.0);
        for (&value, factors) in row.iter().zip(rotation.chunks_exact(m)) {
            for (result, &factor) in result.iter_mut().zip(&factors[..keep]) {
                *result += value * factor;
            }
        }
        row[..keep].copy_from_slice(&result);
        row[keep..].fill(0.0);
    }
}

/// Length of a vector.
fn norm(x: &[f64]) -> f64 {
    inner(x, x).sqrt()
}

/// Inner product, in pieces summed in order.
fn inner(x: &[f64], y: &[f64]) -> f64 {
    let piece = |(x, y): (&[f64], &[f64])| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    x.par_chunks(PIECE).zip(y.par_chunks(PIECE)).with_min_len(pieces(1)).map(piece).collect::<Vec<f64>>().iter().sum()
}

/// `w` -= factor x `x`.
fn subtract_scaled(w: &mut [f64], x: &[f64], factor: f64) {
    w.iter_mut().zip(x).for_each(|(w, x)| *w -= factor * x);
}

/// Turns columns so that the entry of largest magnitude, the first of equals, is positive.
pub(crate) fn fix_signs(vectors: &mut [f64], count: usize) {
    for column in 0..count {
        let entries = vectors.iter().skip(column).step_by(count);
        let largest = entries.fold(0f64, |best, &x| if x.abs() > best.abs() * (1.0 + 1e-6) { x } else { best });
        if largest < 0.0 {
            vectors.iter_mut().skip(column).step_by(count).for_each(|x| *x = -*x);
        }
    }
}
