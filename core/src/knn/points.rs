//! The rows to search: a checked view, and the form the kernels work on.

use rayon::prelude::*;

use super::Metric;
use super::distance::Exact;
use crate::matrix::ValueSlice;
use crate::{Ctx, DataFault, Error, Result};

/// Rows of a dense matrix, borrowed: `n` rows of `d` finite values, row-major, f32 or f64.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    n: usize,
    d: usize,
    values: ValueSlice<'a>,
}

impl<'a> Points<'a> {
    /// A checked view. Cost: one pass over the values.
    ///
    /// # Errors
    /// [`Error::Data`] for no rows or columns, a length that is not `n * d`, values that are neither f32 nor
    /// f64, more than 2^32 - 17 rows, and NaN or infinity (naming row and column).
    pub fn new(n: usize, d: usize, values: ValueSlice<'a>) -> Result<Self> {
        if n == 0 || d == 0 {
            let found = format!("{n} x {d}");
            return Err(Error::data(DataFault::Empty, "points", "at least one row and one column", found));
        }
        if n.checked_mul(d) != Some(values.len()) {
            let expected = format!("{n} x {d} values");
            return Err(Error::data(DataFault::Shape, "points", expected, values.len()));
        }
        if n > (u32::MAX - 16) as usize {
            return Err(Error::data(DataFault::Shape, "points", "fewer than 2^32 - 16 rows", n));
        }
        let fault = match values {
            ValueSlice::F32(v) => v.par_iter().position_first(|x| !x.is_finite()),
            ValueSlice::F64(v) => v.par_iter().position_first(|x| !x.is_finite()),
            _ => return Err(Error::data(DataFault::Invalid, "points", "values of f32 or f64", "another type")),
        };
        if let Some(place) = fault {
            let value = Self { n, d, values }.value(place);
            let found = format!("{value} at row {}, column {}", place / d, place % d);
            return Err(Error::data(DataFault::NotFinite, "points", "finite values", found));
        }
        Ok(Self { n, d, values })
    }

    /// Number of rows.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Number of columns.
    pub fn d(&self) -> usize {
        self.d
    }

    pub(crate) fn values(&self) -> ValueSlice<'a> {
        self.values
    }

    #[inline]
    fn value(&self, place: usize) -> f64 {
        match self.values {
            ValueSlice::F32(v) => f64::from(v[place]),
            ValueSlice::F64(v) => v[place],
            _ => f64::NAN,
        }
    }

    /// Writes one row as f64.
    pub(crate) fn row_into(&self, row: usize, out: &mut [f64]) {
        let span = row * self.d..(row + 1) * self.d;
        match self.values {
            ValueSlice::F32(v) => out.iter_mut().zip(&v[span]).for_each(|(o, &x)| *o = f64::from(x)),
            ValueSlice::F64(v) => out.copy_from_slice(&v[span]),
            _ => {}
        }
    }
}

/// The rows in single precision, moved and scaled so that a dot product ranks neighbours.
///
/// For rows x and y the score `x . y - half[y]` falls as their distance grows: euclidean rows are centred and
/// `half` is half the squared norm, cosine and correlation rows have unit length and `half` is 0.
pub(super) struct Prepared {
    pub(super) n: usize,
    pub(super) d: usize,
    /// `n x d`, row-major.
    pub(super) rows: Vec<f32>,
    /// `n` long.
    pub(super) half: Vec<f32>,
    /// Squared norm of each row as stored, `n` long.
    pub(super) square: Vec<f64>,
    /// Largest norm of a row.
    pub(super) radius: f64,
    /// Whether rows have unit length (cosine, correlation).
    unit: bool,
    /// What the rows were multiplied with: a power of two that brings the largest coordinate to about 1, so that
    /// neither huge nor tiny data leave the range of f32.
    pub(super) scale: f64,
}

/// Rows handled at once.
pub(super) const PIECE: usize = 1024;

/// How rows are moved and scaled before they become single precision: see [`Prepared`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) metric: Metric,
    /// Taken off each row, `d` long.
    pub(super) centre: Vec<f64>,
    pub(super) scale: f64,
}

impl Frame {
    /// That of euclidean rows with these means, of which no coordinate lies farther from its mean than `largest`.
    pub(super) fn around(centre: Vec<f64>, largest: f64, what: &str) -> Result<Self> {
        if !largest.is_finite() {
            let expected = "values whose differences stay below 1e308";
            return Err(Error::data(DataFault::Invalid, what, expected, "larger ones"));
        }
        // Clamped so that the power itself and its square stay ordinary numbers.
        let exponent = if largest > 0.0 { largest.log2().ceil().clamp(-500.0, 500.0) } else { 0.0 };
        Ok(Self { metric: Metric::Euclidean, centre, scale: (-exponent).exp2() })
    }

    /// That of rows of unit length.
    pub(super) fn unit(metric: Metric, d: usize) -> Self {
        Self { metric, centre: vec![0.0; d], scale: 1.0 }
    }

    /// Writes a row (as the metric sees it) in its place; returns its squared norm there.
    #[inline]
    pub(super) fn place(&self, row: &[f64], out: &mut [f32]) -> f64 {
        for ((out, &value), &mean) in out.iter_mut().zip(row).zip(&self.centre) {
            *out = ((value - mean) * self.scale) as f32;
        }
        out.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
    }

    /// What is taken off the score of a row of this squared norm.
    #[inline]
    pub(super) fn half(&self, square: f64) -> f32 {
        if self.metric == Metric::Euclidean { (square * 0.5) as f32 } else { 0.0 }
    }

    /// Squared distance that belongs to a score of 0 of a query of this squared norm.
    #[inline]
    pub(super) fn base(&self, square: f64) -> f64 {
        if self.metric == Metric::Euclidean { square } else { 2.0 }
    }
}

impl Prepared {
    pub(super) fn new(points: &Points<'_>, exact: &Exact<'_>, metric: Metric, ctx: &Ctx) -> Result<Self> {
        let frame = match metric {
            Metric::Euclidean => {
                let centre = column_means(points);
                let largest = largest_coordinate(points, &centre);
                Frame::around(centre, largest, "points")?
            }
            Metric::Cosine | Metric::Correlation => Frame::unit(metric, points.d),
        };
        Self::in_frame(points, exact, &frame, ctx)
    }

    /// The rows in a frame that is known.
    pub(super) fn in_frame(points: &Points<'_>, exact: &Exact<'_>, frame: &Frame, ctx: &Ctx) -> Result<Self> {
        let (n, d) = (points.n, points.d);
        let mut rows = vec![0f32; n * d];
        let mut half = vec![0f32; n];
        let mut square = vec![0f64; n];
        rows.par_chunks_mut(PIECE * d)
            .zip(half.par_chunks_mut(PIECE))
            .zip(square.par_chunks_mut(PIECE))
            .enumerate()
            .try_for_each(|(piece, ((rows, half), square))| {
                ctx.check()?;
                let mut buffer = vec![0f64; d];
                for (offset, row) in rows.chunks_exact_mut(d).enumerate() {
                    exact.unit_row(piece * PIECE + offset, &mut buffer);
                    square[offset] = frame.place(&buffer, row);
                    half[offset] = frame.half(square[offset]);
                }
                Ok::<(), crate::Error>(())
            })?;
        let radius = square.iter().copied().fold(0.0, f64::max).sqrt();
        Ok(Self { n, d, rows, half, square, radius, unit: frame.metric != Metric::Euclidean, scale: frame.scale })
    }

    /// Squared distance (of scaled rows) that belongs to a score of 0 of query `row`; a score s stands for the
    /// squared distance `base - 2 s`.
    pub(super) fn base(&self, row: usize) -> f64 {
        if self.unit { 2.0 } else { self.square[row] }
    }

    /// One row.
    #[inline]
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.rows[row * self.d..(row + 1) * self.d]
    }

    /// Bound on the error of a score of query `row` against any row: rounding of the stored rows and of a chain
    /// of d multiply-adds, by the standard bounds.
    pub(super) fn score_error(&self, row: usize) -> f64 {
        let (square, radius) = (self.square[row], self.radius);
        let unit = f64::from(f32::EPSILON) * 0.5;
        let chain = (self.d as f64 + 4.0) * (square.sqrt() * radius + 0.5 * radius * radius);
        unit * (chain + 2.0 * (square + radius * radius)) * 1.01 + f64::from(f32::MIN_POSITIVE)
    }
}

/// Mean of each column, in f64, pieces summed in order.
fn column_means(points: &Points<'_>) -> Vec<f64> {
    let (n, d) = (points.n, points.d);
    let partial: Vec<Vec<f64>> = crate::parallel::pieces(n, PIECE)
        .into_par_iter()
        .map(|rows| {
            let (mut sums, mut buffer) = (vec![0f64; d], vec![0f64; d]);
            for row in rows {
                points.row_into(row, &mut buffer);
                sums.iter_mut().zip(&buffer).for_each(|(sum, &x)| *sum += x);
            }
            sums
        })
        .collect();
    let mut means = vec![0f64; d];
    for sums in partial {
        means.iter_mut().zip(&sums).for_each(|(mean, sum)| *mean += sum);
    }
    means.iter_mut().for_each(|mean| *mean /= n as f64);
    means
}

/// Largest absolute coordinate after centring; infinite if a difference overflows.
fn largest_coordinate(points: &Points<'_>, centre: &[f64]) -> f64 {
    crate::parallel::pieces(points.n, PIECE)
        .into_par_iter()
        .map(|rows| {
            let mut buffer = vec![0f64; points.d];
            let mut largest = 0f64;
            for row in rows {
                points.row_into(row, &mut buffer);
                for (&x, &mean) in buffer.iter().zip(centre) {
                    let size = (x - mean).abs();
                    // NaN (infinity minus infinity) counts as infinite.
                    largest = if size.is_nan() { f64::INFINITY } else { largest.max(size) };
                }
            }
            largest
        })
        .reduce(|| 0.0, f64::max)
}
