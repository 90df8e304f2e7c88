//! Sums of the highest values of a row.

use multiversion::multiversion;

/// Counts below this are tallied by value instead of being sorted.
const SMALL: usize = crate::stats::SMALL;
/// Counts up to this are tallied by comparing many values with each at once; most are that low.
const FEW: usize = 4;

/// Buffers for [`TopSums::of_row`], reused from row to row.
pub(super) struct TopSums {
    /// How often each small count occurs. All zero between calls.
    tally: Vec<u32>,
    /// Values that are not small whole numbers.
    others: Vec<f32>,
    /// Counts above [`FEW`].
    higher: Vec<u16>,
}

/// Walks down the values of a row and writes the sum at each asked rank.
struct Walk<'a> {
    ranks: &'a [usize],
    sums: &'a mut [f64],
    /// The next rank to be reached.
    next: usize,
    taken: usize,
    sum: f64,
}

impl Walk<'_> {
    /// Takes `count` more values that all equal `value`.
    fn take(&mut self, value: f64, mut count: usize) {
        while count > 0 && self.next < self.ranks.len() {
            let step = count.min(self.ranks[self.next] - self.taken);
            self.sum += value * step as f64;
            self.taken += step;
            count -= step;
            while self.next < self.ranks.len() && self.ranks[self.next] == self.taken {
                self.sums[self.next] = self.sum;
                self.next += 1;
            }
        }
    }

    fn done(&self) -> bool {
        self.next == self.ranks.len()
    }
}

impl TopSums {
    pub(super) fn new() -> Self {
        Self { tally: vec![0; SMALL], others: Vec::new(), higher: Vec::new() }
    }

    /// As [`TopSums::of_row`] for a row of small counts.
    pub(super) fn of_counts(&mut self, counts: &[u16], n_cols: usize, ranks: &[usize], sums: &mut [f64]) {
        let few = count_few(counts);
        if self.higher.len() < counts.len() {
            self.higher.resize(counts.len(), 0);
        }
        let (higher, tally) = (&mut self.higher[..counts.len()], &mut self.tally[..SMALL]);
        let mut n_higher = 0;
        for &count in counts {
            higher[n_higher] = count;
            n_higher += usize::from(usize::from(count) > FEW);
        }
        let mut highest = FEW;
        for &count in &higher[..n_higher] {
            tally[usize::from(count) % SMALL] += 1;
            highest = highest.max(usize::from(count));
        }
        let mut walk = Walk { ranks, sums, next: 0, taken: 0, sum: 0.0 };
        for value in (FEW + 1..=highest).rev() {
            if walk.done() {
                break;
            }
            walk.take(value as f64, tally[value] as usize);
        }
        for value in (1..=FEW).rev() {
            walk.take(value as f64, few[value]);
        }
        walk.take(0.0, n_cols - counts.len() + few[0]);
        tally[..=highest].fill(0);
    }

    /// For each of the ascending `ranks` n, the sum of the n highest of `n_cols` values, of which those not in
    /// `values` are zero. `ranks` lie in 1..=n_cols.
    pub(super) fn of_row(&mut self, values: &[f32], n_cols: usize, ranks: &[usize], sums: &mut [f64]) {
        let mut walk = Walk { ranks, sums, next: 0, taken: 0, sum: 0.0 };
        self.others.clear();
        let mut highest = 0;
        let mut positive = true;
        for &value in values {
            // Saturating: negative and NaN become 0, too large becomes the greatest.
            let whole = value as u32 as usize;
            if whole < SMALL && whole as f32 == value {
                self.tally[whole] += 1;
                highest = highest.max(whole);
            } else {
                positive &= value > 0.0;
                self.others.push(value);
            }
        }
        let zeros = n_cols - values.len() + self.tally[0] as usize;
        if self.others.is_empty() || (positive && self.others.iter().all(|&value| value >= SMALL as f32)) {
            self.others.sort_unstable_by(|a, b| b.total_cmp(a));
            self.others.iter().for_each(|&value| walk.take(f64::from(value), 1));
            for value in (1..=highest).rev() {
                if walk.done() {
                    break;
                }
                walk.take(value as f64, self.tally[value] as usize);
            }
            walk.take(0.0, zeros);
        } else {
            self.others.clear();
            self.others.extend(values.iter().copied().filter(|&value| value != 0.0));
            let wanted = ranks.last().copied().unwrap_or(0).min(self.others.len());
            if wanted > 0 && wanted < self.others.len() {
                self.others.select_nth_unstable_by(wanted - 1, |a, b| b.total_cmp(a));
            }
            let top = &mut self.others[..wanted];
            top.sort_unstable_by(|a, b| b.total_cmp(a));
            let above = top.partition_point(|&value| value > 0.0);
            top[..above].iter().for_each(|&value| walk.take(f64::from(value), 1));
            walk.take(0.0, zeros);
            top[above..].iter().for_each(|&value| walk.take(f64::from(value), 1));
        }
        self.tally[..=highest].fill(0);
    }
}

/// How many of the counts are 0, 1, .. [`FEW`].
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn count_few(counts: &[u16]) -> [usize; FEW + 1] {
    let mut found = [0; FEW + 1];
    // Runs short enough for tallies of 16 bits.
    for run in counts.chunks(1 << 15) {
        let mut tallies = [[0u16; 32]; FEW + 1];
        let chunks = run.chunks_exact(32);
        for (at, &count) in chunks.remainder().iter().enumerate() {
            for (value, tally) in tallies.iter_mut().enumerate() {
                tally[at] += u16::from(usize::from(count) == value);
            }
        }
        for chunk in chunks {
            for (value, tally) in (0u16..).zip(tallies.iter_mut()) {
                for (tally, &count) in tally.iter_mut().zip(chunk) {
                    *tally += u16::from(count == value);
                }
            }
        }
        for (found, tally) in found.iter_mut().zip(&tallies) {
            *found += tally.iter().map(|&n| usize::from(n)).sum::<usize>();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::TopSums;
    use crate::random::Stream;
    use crate::stats::SmallCounts;

    /// The obvious way: write the row out, sort it, add up.
    fn slow(values: &[f32], n_cols: usize, ranks: &[usize]) -> Vec<f64> {
        let mut row = values.to_vec();
        row.resize(n_cols, 0.0);
        row.sort_by(|a, b| b.total_cmp(a));
        ranks.iter().map(|&n| row[..n].iter().map(|&v| f64::from(v)).sum()).collect()
    }

    #[test]
    fn agrees_with_sorting_over_a_grid() {
        let mut stream = Stream::new(1, 2);
        let mut top = TopSums::new();
        let kinds: [(&str, fn(f64) -> f32); 6] = [
            ("small counts", |u| (u * u * 12.0).floor() as f32),
            ("counts across the limit", |u| (u * 3000.0).floor() as f32),
            ("fractions", |u| (u * 8.0) as f32),
            ("both signs", |u| ((u - 0.5) * 10.0) as f32),
            ("negative counts", |u| (u * 10.0).floor() as f32 - 5.0),
            ("halves above the limit", |u| (u * 10.0).floor() as f32 + 2000.5),
        ];
        for (name, make) in kinds {
            for (stored, n_cols) in [(0, 5), (1, 5), (5, 5), (40, 60), (300, 300), (100, 1000)] {
                let values: Vec<f32> = (0..stored).map(|_| make(stream.uniform())).collect();
                let ranks: Vec<usize> = [1, 2, 5, 40, 50, 99, 300, 900].into_iter().filter(|&n| n <= n_cols).collect();
                let mut sums = vec![f64::NAN; ranks.len()];
                top.of_row(&values, n_cols, &ranks, &mut sums);
                for (a, b) in sums.iter().zip(slow(&values, n_cols, &ranks)) {
                    assert!((a - b).abs() < 1e-6 * b.abs().max(1.0), "{name} {stored} of {n_cols}: {a} {b}");
                }
                if let Some(counts) = SmallCounts::default().of(&values) {
                    let mut again = vec![f64::NAN; ranks.len()];
                    top.of_counts(counts, n_cols, &ranks, &mut again);
                    assert_eq!(again, sums, "{name} {stored} of {n_cols}");
                }
            }
        }
    }

    #[test]
    fn repeated_ranks() {
        let mut sums = [0.0; 3];
        TopSums::new().of_row(&[5.0, 1.0], 3, &[1, 1, 3], &mut sums);
        assert_eq!(sums, [5.0, 5.0, 6.0]);
    }
}
