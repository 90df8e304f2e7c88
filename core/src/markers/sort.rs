//! Sorting (value, group) pairs packed in 64 bits by value.

/// Below this a comparison sort beats the radix sort.
const RADIX_FROM: usize = 384;

/// Value in the upper half, mapped so that unsigned order is numeric order; group in the lower.
#[inline]
pub(super) fn ranked_key(value: f32, group: u32) -> u64 {
    let bits = value.to_bits();
    // Negative: flip all bits, so that larger magnitudes come first; else set the sign bit.
    let flip = ((bits as i32 >> 31) as u32) | 0x8000_0000;
    u64::from(bits ^ flip) << 32 | u64::from(group)
}

/// The value of a key.
#[inline]
pub(super) fn value_of(key: u64) -> f32 {
    let mapped = (key >> 32) as u32;
    f32::from_bits(if mapped & 0x8000_0000 != 0 { mapped ^ 0x8000_0000 } else { !mapped })
}

/// Sorts `keys` by value. Keys of equal value may come in any order.
///
/// Least significant digit first, over only those bits of the values that differ at all: log-normalised counts
/// need three passes, raw counts one.
pub(super) fn sort_by_value(keys: &mut Vec<u64>, spare: &mut Vec<u64>) {
    if keys.len() < RADIX_FROM {
        keys.sort_unstable();
        return;
    }
    let first = keys[0];
    let differing = (keys.iter().fold(0, |bits, &key| bits | (key ^ first)) >> 32) as u32;
    if differing == 0 {
        return;
    }
    let low = differing.trailing_zeros();
    let bits = 32 - differing.leading_zeros() - low;
    let widest = if keys.len() < 4096 { 8 } else { 11 };
    let passes = bits.div_ceil(widest);
    let width = bits.div_ceil(passes);
    let buckets = 1usize << width;
    let mask = buckets as u64 - 1;
    let mut counts = vec![0u32; buckets * passes as usize];
    for &key in keys.iter() {
        let mut digits = key >> (32 + low);
        for pass in counts.chunks_exact_mut(buckets) {
            pass[(digits & mask) as usize] += 1;
            digits >>= width;
        }
    }
    spare.clear();
    spare.resize(keys.len(), 0);
    for (pass, places) in counts.chunks_exact_mut(buckets).enumerate() {
        let shift = 32 + low + width * pass as u32;
        let mut next = 0;
        for place in places.iter_mut() {
            let count = *place;
            *place = next;
            next += count;
        }
        for &key in keys.iter() {
            let place = &mut places[(key >> shift & mask) as usize];
            spare[*place as usize] = key;
            *place += 1;
        }
        std::mem::swap(keys, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn keys_keep_numeric_order_and_come_back() {
        let values = [f32::MIN, -3.5, -1e-40, 1e-40, 0.25, 1.0, 1.0000001, f32::MAX];
        for pair in values.windows(2) {
            assert!(ranked_key(pair[0], 9) < ranked_key(pair[1], 0), "{pair:?}");
        }
        for value in values {
            assert_eq!(value_of(ranked_key(value, u32::MAX)), value);
        }
    }

    #[test]
    fn sorts_like_the_standard_library() {
        let mut stream = Stream::new(5, 0);
        for n in [0, 1, 2, 383, 384, 4095, 4096, 20_000] {
            for kind in 0..5 {
                let mut keys: Vec<u64> = (0..n)
                    .map(|_| {
                        let value = match kind {
                            0 => stream.normal() as f32,
                            1 => stream.below(9) as f32 + 1.0,
                            2 => (stream.below(300) as f32).ln_1p(),
                            3 => f32::from_bits(stream.next_u32() & 0xff7f_ffff),
                            _ => 2.0,
                        };
                        ranked_key(value, stream.below(4) as u32)
                    })
                    .collect();
                let mut expected: Vec<u32> = keys.iter().map(|key| (key >> 32) as u32).collect();
                let mut whole = keys.clone();
                expected.sort_unstable();
                whole.sort_unstable();
                sort_by_value(&mut keys, &mut Vec::new());
                assert_eq!(keys.iter().map(|key| (key >> 32) as u32).collect::<Vec<_>>(), expected);
                keys.sort_unstable();
                assert_eq!(keys, whole);
            }
        }
    }
}
