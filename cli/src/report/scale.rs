//! Axes: from values to places, and where the ticks go.

/// A linear or logarithmic axis from `low` to `high`, drawn from `from` to `to` (in pixels; may fall).
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) log: bool,
    from: f64,
    to: f64,
}

impl Scale {
    /// An axis over the finite values of `values` (the positive ones where logarithmic), padded a little.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, log: bool, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            if value.is_finite() && (!log || value > 0.0) {
                low = low.min(value);
                high = high.max(value);
            }
        }
        if low > high {
            (low, high) = if log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        if log {
            if low == high {
                (low, high) = (low / 2.0, high * 2.0);
            }
            let pad = (high / low).powf(0.03);
            (low, high) = (low / pad, high * pad);
        } else {
            if low == high {
                (low, high) = (low - 0.5, high + 0.5);
            }
            let pad = (high - low) * 0.03;
            (low, high) = (low - pad, high + pad);
        }
        Self { low, high, log, from, to }
    }

    /// A linear axis from `low` to `high` exactly.
    pub(super) fn exact(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log: false, from, to }
    }

    /// The share of the axis at which `value` lies, 0 to 1 within it.
    pub(super) fn share(&self, value: f64) -> f64 {
        if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// Where `value` is drawn; values beyond an end are drawn at that end.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + self.share(value).clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// About `wanted` values at round numbers within the axis.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.log { self.log_ticks(wanted) } else { self.linear_ticks(wanted) }
    }

    fn linear_ticks(&self, wanted: usize) -> Vec<f64> {
        let raw = (self.high - self.low) / wanted.max(1) as f64;
        let power = 10f64.powf(raw.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= raw).unwrap_or(10.0 * power);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).take(50).map(|i| i as f64 * step).collect()
    }

    fn log_ticks(&self, wanted: usize) -> Vec<f64> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let within = |value: &f64| *value >= self.low && *value <= self.high;
        let whole: Vec<f64> = decades.clone().map(|e| 10f64.powi(e)).filter(within).collect();
        if whole.len() >= 3 || whole.len() >= wanted {
            let stride = whole.len().div_ceil(wanted.max(1)).max(1);
            return whole.into_iter().step_by(stride).collect();
        }
        decades.flat_map(|e| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(e))).filter(within).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let axis = Scale::exact(0.0, 97.0, 0.0, 100.0);
        assert_eq!(axis.ticks(5), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(axis.at(97.0), 100.0);
        assert_eq!(axis.at(-3.0), 0.0);
        let log = Scale::over([1.0, 1000.0], true, 0.0, 300.0);
        assert_eq!(log.ticks(5), [1.0, 10.0, 100.0, 1000.0]);
        assert!((log.at(10f64.powf(1.5)) - 150.0).abs() < 1e-9);
    }

    #[test]
    fn empty_and_constant_values_still_make_an_axis() {
        for log in [false, true] {
            for values in [vec![], vec![5.0, 5.0], vec![f64::NAN], vec![0.0]] {
                let axis = Scale::over(values, log, 0.0, 1.0);
                assert!(axis.low < axis.high && !axis.ticks(4).is_empty(), "{axis:?}");
            }
        }
    }
}
