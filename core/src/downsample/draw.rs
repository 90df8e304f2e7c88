//! Drawing molecules.

use crate::random::Stream;

/// Molecules of a cell up to which each has a place of its own; beyond, genes draw one after the other.
const PLACES: u64 = 1 << 26;

/// Relative weight below which the tail of a distribution is left out.
const TAIL: f64 = 1e-20;

/// Buffers of the draws from one cell after the other.
#[derive(Default)]
pub(super) struct Urn {
    /// One bit per molecule.
    taken: Vec<u64>,
    /// Gene of each molecule.
    genes: Vec<u32>,
    out: Vec<f32>,
}

impl Urn {
    /// How many of `target` molecules drawn from `total` fall on each of the counts (whose sum is `total`).
    pub(super) fn draw(
        &mut self,
        counts: &[f32],
        total: u64,
        target: u64,
        replace: bool,
        stream: &mut Stream,
    ) -> &[f32] {
        self.out.clear();
        self.out.resize(counts.len(), 0.0);
        if total == 0 {
            return &self.out;
        }
        match (total > PLACES, replace) {
            (true, _) => self.draw_by_gene(counts, total, target, replace, stream),
            (false, true) => self.draw_with(counts, total, target, stream),
            (false, false) => self.draw_without(counts, total, target, stream),
        }
        &self.out
    }

    /// Each draw any of the molecules.
    fn draw_with(&mut self, counts: &[f32], total: u64, target: u64, stream: &mut Stream) {
        self.genes.clear();
        for (gene, &count) in counts.iter().enumerate() {
            self.genes.resize(self.genes.len() + count as usize, gene as u32);
        }
        for _ in 0..target {
            self.out[self.genes[stream.below(total) as usize] as usize] += 1.0;
        }
    }

    /// Marks molecules until as many are marked as are kept or, if fewer, as are dropped.
    fn draw_without(&mut self, counts: &[f32], total: u64, target: u64, stream: &mut Stream) {
        let dropping = target > total / 2;
        let marks = if dropping { total - target } else { target };
        self.taken.clear();
        self.taken.resize(total.div_ceil(64) as usize, 0);
        for _ in 0..marks {
            // At most half are marked, so a free one is soon found.
            loop {
                let place = stream.below(total);
                let (word, bit) = (&mut self.taken[(place / 64) as usize], 1u64 << (place % 64));
                if *word & bit == 0 {
                    *word |= bit;
                    break;
                }
            }
        }
        let mut start = 0u64;
        for (out, &count) in self.out.iter_mut().zip(counts) {
            let end = start + count as u64;
            let marked = marked(&self.taken, start, end) as f32;
            *out = if dropping { count - marked } else { marked };
            start = end;
        }
    }

    /// Genes one after the other, each given what those before it took.
    fn draw_by_gene(&mut self, counts: &[f32], total: u64, target: u64, replace: bool, stream: &mut Stream) {
        let (mut left, mut wanted) = (total, target);
        for (out, &count) in self.out.iter_mut().zip(counts) {
            let count = count as u64;
            let drawn = if replace {
                binomial(wanted, count, left, stream)
            } else {
                hypergeometric(left, count, wanted, stream)
            };
            *out = drawn as f32;
            left -= count;
            wanted -= drawn;
        }
    }
}

/// Marked molecules in `start..end`.
fn marked(taken: &[u64], start: u64, end: u64) -> u32 {
    let (mut at, mut sum) = (start, 0);
    while at < end {
        let length = (64 - at % 64).min(end - at);
        let word = taken[(at / 64) as usize] >> (at % 64);
        let word = if length == 64 { word } else { word & ((1 << length) - 1) };
        sum += word.count_ones();
        at += length;
    }
    sum
}

/// How many of `drawn` balls taken from `total` without replacement are among `marked` of them.
pub(super) fn hypergeometric(total: u64, marked: u64, drawn: u64, stream: &mut Stream) -> u64 {
    let (low, high) = ((drawn + marked).saturating_sub(total), marked.min(drawn));
    if low >= high {
        return low;
    }
    let (n, m, d) = (total as f64, marked as f64, drawn as f64);
    let mode = ((d + 1.0) * (m + 1.0) / (n + 2.0)).floor() as u64;
    from_mode(low, mode.clamp(low, high), high, stream, |k| {
        let k = k as f64;
        (m - k) * (d - k) / ((k + 1.0) * (n - m - d + k + 1.0))
    })
}

/// How many of `drawn` draws, each with chance `marked` / `total`, succeed.
pub(super) fn binomial(drawn: u64, marked: u64, total: u64, stream: &mut Stream) -> u64 {
    if marked == 0 || drawn == 0 {
        return 0;
    }
    if marked >= total {
        return drawn;
    }
    let odds = marked as f64 / (total - marked) as f64;
    let mode = ((drawn as f64 + 1.0) * (marked as f64 / total as f64)).floor() as u64;
    from_mode(0, mode.min(drawn), drawn, stream, |k| (drawn - k) as f64 / (k as f64 + 1.0) * odds)
}

/// A number in `low..=high` whose probability rises up to `mode` and falls beyond it; `ratio(k)` is that of k + 1 over
/// that of k. One uniform number decides; weights are taken relative to the mode, outward until they vanish.
fn from_mode(low: u64, mode: u64, high: u64, stream: &mut Stream, ratio: impl Fn(u64) -> f64) -> u64 {
    let mut sum = 1.0;
    rise(mode, high, &ratio, |_, weight| {
        sum += weight;
        false
    });
    fall(mode, low, &ratio, |_, weight| {
        sum += weight;
        false
    });
    let mut left = stream.uniform() * sum - 1.0;
    // Rounding may leave a trifle at the end: then the mode.
    let mut found = mode;
    let mut visit = |k: u64, weight: f64| {
        if left >= 0.0 {
            left -= weight;
            if left < 0.0 {
                found = k;
            }
        }
        left < 0.0
    };
    rise(mode, high, &ratio, &mut visit);
    fall(mode, low, &ratio, &mut visit);
    found
}

/// Visits the numbers above `mode` with their weights, until told to stop.
fn rise(mode: u64, high: u64, ratio: &impl Fn(u64) -> f64, mut visit: impl FnMut(u64, f64) -> bool) {
    let mut weight = 1.0;
    for k in mode..high {
        weight *= ratio(k);
        if weight < TAIL || visit(k + 1, weight) {
            break;
        }
    }
}

/// Visits the numbers below `mode` with their weights, until told to stop.
fn fall(mode: u64, low: u64, ratio: &impl Fn(u64) -> f64, mut visit: impl FnMut(u64, f64) -> bool) {
    let mut weight = 1.0;
    for k in (low..mode).rev() {
        weight /= ratio(k);
        if weight < TAIL || visit(k, weight) {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frequencies of `draws` numbers against their probabilities: the statistic over its degrees of freedom.
    fn chi_square(draws: usize, probabilities: &[f64], mut draw: impl FnMut(&mut Stream) -> u64) -> f64 {
        let mut stream = Stream::new(5, 5);
        let mut seen = vec![0usize; probabilities.len()];
        (0..draws).for_each(|_| seen[draw(&mut stream) as usize] += 1);
        let expected = |k: usize| probabilities[k] * draws as f64;
        let common: Vec<usize> = (0..probabilities.len()).filter(|&k| expected(k) > 5.0).collect();
        let sum: f64 = common.iter().map(|&k| (seen[k] as f64 - expected(k)).powi(2) / expected(k)).sum();
        sum / (common.len() - 1) as f64
    }

    fn choose(n: u64, k: u64) -> f64 {
        (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product()
    }

    #[test]
    fn distributions_are_right() {
        let hyper: Vec<f64> = (0..=12).map(|k| choose(12, k) * choose(30, 20 - k) / choose(42, 20)).collect();
        assert!(chi_square(40_000, &hyper, |s| hypergeometric(42, 12, 20, s)) < 2.0);
        let tight: Vec<f64> =
            (0..=9).map(|k| if k < 7 { 0.0 } else { choose(9, k) * choose(3, 10 - k) / choose(12, 10) }).collect();
        assert!(chi_square(40_000, &tight, |s| hypergeometric(12, 9, 10, s)) < 4.0);
        let binom: Vec<f64> =
            (0..=15).map(|k| choose(15, k) * 0.3f64.powi(k as i32) * 0.7f64.powi(15 - k as i32)).collect();
        assert!(chi_square(40_000, &binom, |s| binomial(15, 3, 10, s)) < 2.5);
    }

    #[test]
    fn both_ways_of_drawing_have_the_same_distribution() {
        let counts = [3.0, 0.0, 5.0, 12.0, 70.0];
        for (target, replace) in [(20, false), (70, false), (20, true), (200, true)] {
            let (mut a, mut b) = (Urn::default(), Urn::default());
            let mut sums = [[0.0f64; 5]; 4];
            let draws = 4000;
            for seed in 0..draws {
                let mut stream = Stream::new(seed, 0);
                let one = a.draw(&counts, 90, target, replace, &mut stream).to_vec();
                b.out = vec![0.0; 5];
                b.draw_by_gene(&counts, 90, target, replace, &mut stream);
                for j in 0..5 {
                    for (k, x) in [one[j], b.out[j]].into_iter().enumerate() {
                        sums[2 * k][j] += f64::from(x) / draws as f64;
                        sums[2 * k + 1][j] += f64::from(x).powi(2) / draws as f64;
                    }
                }
                assert_eq!(one.iter().sum::<f32>(), target as f32);
                assert_eq!(b.out.iter().sum::<f32>(), target as f32);
            }
            for j in 0..5 {
                let (p, t) = (f64::from(counts[j]) / 90.0, target as f64);
                let variance = t * p * (1.0 - p) * if replace { 1.0 } else { (90.0 - t) / 89.0 };
                for k in 0..2 {
                    let mean = sums[2 * k][j];
                    assert!((mean - t * p).abs() < 5.0 * (variance / draws as f64).sqrt() + 1e-9, "{j} {mean}");
                    let got = sums[2 * k + 1][j] - mean * mean;
                    assert!((got - variance).abs() < 0.15 * variance + 1e-9, "{j}: {got} {variance}");
                }
            }
        }
    }

    #[test]
    fn extremes() {
        let mut stream = Stream::new(0, 0);
        assert_eq!(hypergeometric(10, 10, 4, &mut stream), 4);
        assert_eq!(hypergeometric(10, 0, 4, &mut stream), 0);
        assert_eq!(hypergeometric(0, 0, 0, &mut stream), 0);
        assert_eq!(
            (binomial(0, 1, 2, &mut stream), binomial(7, 2, 2, &mut stream), binomial(7, 0, 2, &mut stream)),
            (0, 7, 0)
        );
        let large = hypergeometric(1 << 40, 1 << 30, 1 << 39, &mut stream) as f64;
        assert!((large - 2f64.powi(29)).abs() < 6.0 * 2f64.powi(14));
    }
}
