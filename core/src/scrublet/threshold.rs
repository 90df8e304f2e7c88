//! The minimum between two modes.

/// Bins of the histogram.
const BINS: usize = 256;
/// Rounds of smoothing at most.
const ROUNDS: usize = 10_000;

/// The place of the least bin between the two modes of `values`: their histogram of 256 bins is smoothed by running
/// means of three until at most two modes are left. None when fewer are left, or more after 10,000 rounds, or the values
/// do not differ.
///
/// Reference: Prewitt and Mendelsohn, Annals of the New York Academy of Sciences 128, 1035 (1966).
pub fn minimum_between_modes(values: &[f64]) -> Option<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !(low < high && low.is_finite() && high.is_finite()) {
        return None;
    }
    let width = (high - low) / BINS as f64;
    let edge = |bin: usize| low + bin as f64 * width;
    let mut bins = [0f32; BINS];
    for &value in values {
        let mut bin = (((value - low) / (high - low) * BINS as f64) as usize).min(BINS - 1);
        // A value on an edge belongs to the bin above, whatever the division has rounded.
        if value < edge(bin) {
            bin -= 1;
        } else if bin + 1 < BINS && value >= edge(bin + 1) {
            bin += 1;
        }
        bins[bin] += 1.0;
    }
    for _ in 0..ROUNDS - 1 {
        smooth(&mut bins);
        let modes = modes(&bins);
        match modes[..] {
            [first, second] => {
                let between = &bins[first..=second];
                let mut least = 0;
                between.iter().enumerate().for_each(|(at, &x)| least = if x < between[least] { at } else { least });
                let bin = first + least;
                return Some((edge(bin) + edge(bin + 1)) / 2.0);
            }
            [] | [_] => return None,
            _ => {}
        }
    }
    None
}

/// Running mean of three; beyond an end stands the end itself.
fn smooth(bins: &mut [f32; BINS]) {
    let old = *bins;
    let at = |index: isize| f64::from(old[index.clamp(0, BINS as isize - 1) as usize]);
    let mut sum = at(-1) + at(0) + at(1);
    for (index, bin) in bins.iter_mut().enumerate() {
        *bin = (sum / 3.0) as f32;
        sum += at(index as isize + 2) - at(index as isize - 1);
    }
}

/// Bins after which the histogram begins to fall.
fn modes(bins: &[f32; BINS]) -> Vec<usize> {
    let (mut found, mut rising) = (Vec::new(), true);
    for (bin, pair) in bins.windows(2).enumerate() {
        if rising && pair[1] < pair[0] {
            rising = false;
            found.push(bin);
        } else if !rising && pair[1] > pair[0] {
            rising = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn the_minimum_lies_between_the_modes() {
        let mut stream = Stream::new(1, 0);
        let two: Vec<f64> =
            (0..20_000).map(|i| if i % 4 == 0 { 5.0 + stream.normal() } else { 0.5 * stream.normal() }).collect();
        let found = minimum_between_modes(&two).unwrap();
        assert!((1.2..3.0).contains(&found), "{found}");
        // Fewer and fewer from left to right: one mode.
        let one: Vec<f64> = (0..256).flat_map(|bin| vec![f64::from(bin); 256 - bin as usize]).collect();
        assert_eq!(minimum_between_modes(&one), None);
        assert_eq!(minimum_between_modes(&[]), None);
        assert_eq!(minimum_between_modes(&[2.0; 10]), None);
        assert_eq!(minimum_between_modes(&[0.0, f64::NAN, f64::INFINITY]), None);
        // Two separate values: the modes are the ends, all between are empty; the first of them after smoothing.
        assert!(minimum_between_modes(&[0.0, 1.0]).is_none_or(|x| (0.0..1.0).contains(&x)));
    }
}
