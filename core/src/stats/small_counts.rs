//! Rows of small counts as whole numbers, on which sums are exact and quick.

use multiversion::multiversion;

/// Counts below this are small.
pub(crate) const SMALL: usize = 1024;

/// 2^23: added to a number below it, it leaves that number, rounded to a whole one, in the low bits.
const WHOLE: f32 = 8_388_608.0;

/// A buffer for one row.
#[derive(Default)]
pub(crate) struct SmallCounts {
    counts: Vec<u16>,
}

impl SmallCounts {
    /// The values of a row as whole numbers; none unless each is a whole number from 0 to below [`SMALL`].
    pub(crate) fn of(&mut self, values: &[f32]) -> Option<&[u16]> {
        if self.counts.len() < values.len() {
            self.counts.resize(values.len(), 0);
        }
        let counts = &mut self.counts[..values.len()];
        narrow(values, counts).then_some(&*counts)
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn narrow(values: &[f32], counts: &mut [u16]) -> bool {
    let mut small = true;
    for (count, &value) in counts.iter_mut().zip(values) {
        let shifted = value + WHOLE;
        // A comparison with NaN is false.
        small &= (0.0..SMALL as f32).contains(&value) & (shifted - WHOLE == value);
        *count = shifted.to_bits() as u16;
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_whole_numbers_are_taken() {
        let mut counts = SmallCounts::default();
        let row: Vec<f32> = (0..1024).map(|value| value as f32).collect();
        let expected: Vec<u16> = (0..1024).collect();
        assert_eq!(counts.of(&row), Some(&expected[..]));
        assert_eq!(counts.of(&[-0.0, 3.0]), Some(&[0, 3][..]));
        assert_eq!(counts.of(&[]), Some(&[][..]));
        for other in [1024.0, -1.0, 0.5, 1.000_000_1, 1023.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-30] {
            for place in 0..40 {
                let mut row = vec![2.0; 40];
                row[place] = other;
                assert_eq!(counts.of(&row), None, "{other} at {place}");
            }
        }
    }
}
