//! Which of some rising distances is the first to reach as far: asked for each pair of cells.

use crate::places::largest_square;

/// Steps of the table; their ends in squared distances are evenly spaced.
const STEPS: usize = 8192;

/// Limits of distances, squared, and where among them to begin.
pub(crate) struct Intervals {
    limits: Vec<f64>,
    /// For each step how many limits are below its beginning.
    table: Vec<u32>,
    scale: f64,
}

impl Intervals {
    pub(crate) fn new(distances: &[f64]) -> Self {
        let limits: Vec<f64> = distances.iter().map(|&distance| largest_square(distance)).collect();
        let last = limits.last().copied().unwrap_or(0.0);
        let scale = if last > 0.0 { STEPS as f64 / last } else { 0.0 };
        let mut intervals = Self { limits, table: Vec::with_capacity(STEPS + 1), scale };
        // Rounding may take a number into the step before its own, hence one step less.
        let begins = (0..=STEPS).map(|step| if scale > 0.0 { (step as f64 - 1.0) / scale } else { 0.0 });
        intervals.table = begins.map(|begin| intervals.limits.partition_point(|&limit| limit < begin) as u32).collect();
        intervals
    }

    /// Number of limits.
    pub(crate) fn len(&self) -> usize {
        self.limits.len()
    }

    pub(crate) fn limits(&self) -> &[f64] {
        &self.limits
    }

    /// The first limit that is at least `squared`; their number for one beyond all.
    #[inline]
    pub(crate) fn of(&self, squared: f64) -> usize {
        // Beyond the last limit the step is the last one; casts of numbers too large stop there.
        let step = ((squared * self.scale) as usize).min(STEPS);
        let mut at = self.table[step] as usize;
        while at < self.limits.len() && self.limits[at] < squared {
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::Intervals;

    #[test]
    fn intervals_are_those_of_a_search() {
        for distances in [vec![0.0], vec![0.0, 1e-9, 0.3, 0.30001, 7.0], (0..50).map(f64::from).collect(), vec![3.0]] {
            let intervals = Intervals::new(&distances);
            let mut stream = Stream::new(1, 0);
            let some = (0..20_000).map(|_| stream.uniform() * 60.0).chain(distances.iter().copied());
            for distance in some {
                for squared in [distance * distance, (distance * distance).next_up(), (distance * distance).next_down()]
                {
                    if squared >= 0.0 {
                        let expected = intervals.limits().partition_point(|&limit| limit < squared);
                        assert_eq!(intervals.of(squared), expected);
                    }
                }
            }
            assert_eq!((intervals.of(f64::MAX), intervals.of(0.0)), (distances.len(), 0));
        }
    }
}
