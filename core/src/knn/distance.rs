//! Distances between two rows in double precision: the last word on order, ties and zeros.

use rayon::prelude::*;

use super::{Metric, Points};
use crate::matrix::ValueSlice;
use crate::{DataFault, Error, Result};

/// Distances between rows of the data as given.
pub(super) struct Exact<'a> {
    points: Points<'a>,
    metric: Metric,
    /// What is taken off each row (its mean, for correlation); empty when nothing is.
    shift: Vec<f64>,
    /// What each row is multiplied with (1 / norm; 0 for a row of zeros); empty when nothing is.
    scale: Vec<f64>,
}

impl<'a> Exact<'a> {
    pub(super) fn new(points: Points<'a>, metric: Metric) -> Result<Self> {
        let mut exact = Self { points, metric, shift: Vec::new(), scale: Vec::new() };
        if metric == Metric::Euclidean {
            return Ok(exact);
        }
        let (n, d) = (points.n(), points.d());
        let stats: Vec<(f64, f64, bool)> = (0..n)
            .into_par_iter()
            .with_min_len(256)
            .map_init(
                || vec![0f64; d],
                |buffer, row| {
                    points.row_into(row, buffer);
                    let Form { shift, scale } = metric.form(buffer);
                    (shift, scale, is_constant(buffer))
                },
            )
            .collect();
        if metric == Metric::Correlation {
            if let Some(row) = stats.iter().position(|&(_, _, constant)| constant) {
                let found = format!("row {row}, whose values are all equal");
                return Err(Error::data(DataFault::Invalid, "points", "rows that vary (metric correlation)", found));
            }
            exact.shift = stats.iter().map(|&(mean, _, _)| mean).collect();
        }
        exact.scale = stats.iter().map(|&(_, scale, _)| scale).collect();
        Ok(exact)
    }

    /// One row as the metric sees it: shifted and scaled to unit length where the metric does so.
    pub(super) fn unit_row(&self, row: usize, out: &mut [f64]) {
        self.points.row_into(row, out);
        if let Some(&scale) = self.scale.get(row) {
            let shift = self.shift.get(row).copied().unwrap_or(0.0);
            out.iter_mut().for_each(|x| *x = (*x - shift) * scale);
        }
    }

    /// Squared euclidean distance between two rows as the metric sees them. `unit` is `unit_row(i)`.
    ///
    /// The order of operations is fixed and free of fused multiply-adds, so every machine agrees on it.
    #[inline]
    pub(super) fn square(&self, i: usize, unit: &[f64], j: usize) -> f64 {
        let d = self.points.d();
        let span = j * d..(j + 1) * d;
        let other = match self.points.values() {
            ValueSlice::F32(v) => ValueSlice::F32(&v[span]),
            ValueSlice::F64(v) => ValueSlice::F64(&v[span]),
            other => other,
        };
        if self.metric == Metric::Euclidean {
            return self.metric.square(unit, false, other, Form::NONE);
        }
        let form = Form { shift: self.shift.get(j).copied().unwrap_or(0.0), scale: self.scale[j] };
        self.metric.square(unit, self.scale[i] == 0.0, other, form)
    }

    /// The distance that belongs to a [`square`](Self::square).
    #[inline]
    pub(super) fn finish(&self, square: f64) -> f64 {
        self.metric.finish(square)
    }
}

/// What a metric does to a row before differences are taken: `shift` is taken off, then it is multiplied with `scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Form {
    pub(super) shift: f64,
    /// 1 / norm; 0 for a row without one.
    pub(super) scale: f64,
}

impl Form {
    /// Rows as they are.
    pub(super) const NONE: Self = Self { shift: 0.0, scale: 1.0 };
}

/// Whether all values of a row are equal.
pub(super) fn is_constant(row: &[f64]) -> bool {
    row.iter().all(|&x| x == row[0])
}

impl Metric {
    /// What is done to `row`.
    pub(super) fn form(self, row: &[f64]) -> Form {
        if self == Self::Euclidean {
            return Form::NONE;
        }
        let shift = if self == Self::Correlation { row.iter().sum::<f64>() / row.len() as f64 } else { 0.0 };
        // Scaled by the largest value, so that tiny and huge rows keep a norm.
        let largest = row.iter().map(|&x| (x - shift).abs()).fold(0.0, f64::max);
        if largest == 0.0 {
            return Form { shift, scale: 0.0 };
        }
        let square: f64 = row.iter().map(|&x| ((x - shift) / largest).powi(2)).sum();
        Form { shift, scale: 1.0 / (square.sqrt() * largest) }
    }

    /// Squared euclidean distance between a row as the metric sees it and one as it is stored. `zero`: the first has
    /// no norm, where the metric asks for one.
    #[inline(always)]
    pub(super) fn square(self, unit: &[f64], zero: bool, other: ValueSlice<'_>, form: Form) -> f64 {
        if self == Self::Euclidean {
            return match other {
                ValueSlice::F32(v) => square_difference(unit, v, f64::from),
                ValueSlice::F64(v) => square_difference(unit, v, |x| x),
                _ => f64::NAN,
            };
        }
        let Form { shift, scale } = form;
        if zero || scale == 0.0 {
            return 2.0;
        }
        let square = match other {
            ValueSlice::F32(v) => square_difference(unit, v, |x| (f64::from(x) - shift) * scale),
            ValueSlice::F64(v) => square_difference(unit, v, |x| (x - shift) * scale),
            _ => f64::NAN,
        };
        // Rows that are multiples of each other differ by rounding alone: that is a distance of zero.
        if square < 1e-28 { 0.0 } else { square }
    }

    /// The distance that belongs to a [`square`](Self::square).
    #[inline]
    pub(super) fn finish(self, square: f64) -> f64 {
        match self {
            Self::Euclidean => square.sqrt(),
            Self::Cosine | Self::Correlation => (0.5 * square).min(2.0),
        }
    }
}

/// Sum of squared differences in eight strands, so that it vectorises with one fixed order of additions.
#[inline(always)]
fn square_difference<T: Copy>(x: &[f64], y: &[T], widen: impl Fn(T) -> f64) -> f64 {
    let mut strands = [0f64; 8];
    let (x_chunks, y_chunks) = (x.chunks_exact(8), y.chunks_exact(8));
    let mut rest = 0.0;
    for (&a, &b) in x_chunks.remainder().iter().zip(y_chunks.remainder()) {
        let difference = a - widen(b);
        rest += difference * difference;
    }
    for (a, b) in x_chunks.zip(y_chunks) {
        for lane in 0..8 {
            let difference = a[lane] - widen(b[lane]);
            strands[lane] += difference * difference;
        }
    }
    let [a, b, c, d, e, f, g, h] = strands;
    ((a + b) + (c + d)) + ((e + f) + (g + h)) + rest
}
