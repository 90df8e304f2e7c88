//! Points of one set in a grid of cubes, for all within a radius and for the nearest few.

/// Points sorted by the cube in which they lie.
pub(crate) struct Cells {
    low: [f64; 3],
    side: f64,
    /// Key of the cube (x fastest) and point, sorted.
    sorted: Vec<(u64, u32)>,
}

/// Cubes along an axis at most; what lies beyond shares the last.
const LIMIT: u64 = 1 << 20;

impl Cells {
    /// Cubes of a side, which is best about the radius that will be asked for.
    pub(crate) fn new(points: &[[f64; 3]], side: f64) -> Self {
        let mut low = [f64::INFINITY; 3];
        for point in points {
            for axis in 0..3 {
                low[axis] = low[axis].min(point[axis]);
            }
        }
        let mut out = Self { low, side, sorted: Vec::new() };
        out.sorted =
            points.iter().zip(0u32..).map(|(&point, at)| (key(out.cube(point).map(|c| c as u64)), at)).collect();
        out.sorted.sort_unstable();
        out
    }

    fn cube(&self, point: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|axis| ((point[axis] - self.low[axis]) / self.side).floor().clamp(0.0, (LIMIT - 1) as f64))
    }

    /// Calls `found(point, squared distance)` for the points within a radius of a place; in no particular order, but
    /// always the same.
    pub(crate) fn within(&self, points: &[[f64; 3]], centre: [f64; 3], radius: f64, mut found: impl FnMut(u32, f64)) {
        if self.sorted.is_empty() {
            return;
        }
        let first = self.cube(centre.map(|x| x - radius)).map(|c| c as u64);
        let last = self.cube(centre.map(|x| x + radius)).map(|c| c as u64);
        for z in first[0]..=last[0] {
            for y in first[1]..=last[1] {
                let (from, to) = (key([z, y, first[2]]), key([z, y, last[2]]));
                let begin = self.sorted.partition_point(|entry| entry.0 < from);
                for &(_, at) in self.sorted[begin..].iter().take_while(|entry| entry.0 <= to) {
                    let squared = squared(points[at as usize], centre);
                    if squared <= radius * radius {
                        found(at, squared);
                    }
                }
            }
        }
    }

    /// The nearest within a radius: ties go to the lower number.
    pub(crate) fn nearest(&self, points: &[[f64; 3]], centre: [f64; 3], radius: f64) -> Option<u32> {
        let mut best = (f64::INFINITY, u32::MAX);
        self.within(points, centre, radius, |at, squared| {
            if (squared, at) < best {
                best = (squared, at);
            }
        });
        (best.1 != u32::MAX).then_some(best.1)
    }
}

fn key(cube: [u64; 3]) -> u64 {
    (cube[0] * LIMIT + cube[1]) * LIMIT + cube[2]
}

/// Squared distance of two places.
pub(crate) fn squared(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum()
}

/// `a - b`.
pub(crate) fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] - b[axis])
}

/// `a + b`.
pub(crate) fn plus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| a[axis] + b[axis])
}

/// The middle of unsorted values (the mean of the two middle ones of an even number); 0 for none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// A quantile of unsorted values, between neighbours where it falls between them; 0 for none.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let place = share * (values.len() - 1) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let high = (low + 1).min(values.len() - 1);
    values[low] + part * (values[high] - values[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_full_search_finds() {
        let mut stream = zensaibo_core::random::Stream::new(3, 0);
        let mut draw = || f64::from(stream.next_u32() % 10_000) / 100.0;
        let points: Vec<[f64; 3]> = (0..300).map(|_| [draw(), draw(), draw()]).collect();
        for side in [0.7, 9.0, 300.0] {
            let cells = Cells::new(&points, side);
            for radius in [0.0, 4.0, 25.0] {
                for centre in [[50.0; 3], [-3.0, 101.0, 20.0], points[7]] {
                    let mut found = Vec::new();
                    cells.within(&points, centre, radius, |at, _| found.push(at));
                    found.sort_unstable();
                    let all: Vec<u32> =
                        (0..300u32).filter(|&at| squared(points[at as usize], centre) <= radius * radius).collect();
                    assert_eq!(found, all);
                }
            }
        }
        assert_eq!(Cells::new(&[], 1.0).nearest(&[], [0.0; 3], 5.0), None);
    }

    #[test]
    fn quantiles_by_hand() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0, 10.0]), 2.5);
        assert_eq!(quantile(&mut [0.0, 10.0], 0.95), 9.5);
        assert_eq!(median(&mut []), 0.0);
    }
}
