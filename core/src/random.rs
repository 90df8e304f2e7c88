//! Counter-based random streams: the numbers depend on (seed, stream, position) and on nothing else.
//!
//! A worker never owns a generator. An item (a cell, an edge, a block) does: `Stream::new(seed, item)`. That is
//! what makes random algorithms give the same bits for any number of threads.
//!
//! The generator is Philox 4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy
//! as 1, 2, 3; SC 2011), checked against the published test vectors.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One Philox 4x32-10 block: four random words for a 128-bit counter and a 64-bit key.
#[inline]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let product0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let product1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        let next0 = (product1 >> 32) as u32 ^ c1 ^ k0;
        let next2 = (product0 >> 32) as u32 ^ c3 ^ k1;
        (c0, c1, c2, c3) = (next0, product1 as u32, next2, product0 as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// A random stream of its own for one item.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    stream: u64,
    position: u64,
    buffer: [u32; 4],
    used: usize,
    spare_normal: Option<f64>,
}

impl Stream {
    /// The stream of `item` under `seed`.
    pub fn new(seed: u64, item: u64) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            stream: item,
            position: 0,
            buffer: [0; 4],
            used: 4,
            spare_normal: None,
        }
    }

    /// 32 random bits.
    #[inline]
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let (p, s) = (self.position, self.stream);
            self.buffer = philox([p as u32, (p >> 32) as u32, s as u32, (s >> 32) as u32], self.key);
            self.position += 1;
            self.used = 0;
        }
        let word = self.buffer[self.used];
        self.used += 1;
        word
    }

    /// 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) | u64::from(self.next_u32()) << 32
    }

    /// Uniform in `[0, 1)`, 53 bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A whole number in `0..n`, without bias. `n` must be at least 1.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        // Lemire 2019: multiply, and reject the few low products that would favour some values.
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// Standard normal (Box-Muller; both values of a pair are used).
    pub fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare_normal.take() {
            return value;
        }
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.uniform();
        self.spare_normal = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_matches_the_published_vectors() {
        // Known-answer tests of Random123 1.14, philox4x32 10 rounds.
        assert_eq!(philox([0; 4], [0; 2]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox([!0; 4], [!0; 2]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        assert_eq!(
            philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
            [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]
        );
    }

    #[test]
    fn streams_are_repeatable_and_distinct() {
        let draw = |seed, item| {
            let mut stream = Stream::new(seed, item);
            (0..8).map(|_| stream.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn moments_are_right() {
        let mut stream = Stream::new(7, 0);
        let n = 200_000;
        let (mut mean, mut mean_square, mut uniform) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = stream.normal();
            mean += x / n as f64;
            mean_square += x * x / n as f64;
            uniform += stream.uniform() / n as f64;
        }
        assert!(mean.abs() < 0.01 && (mean_square - 1.0).abs() < 0.02 && (uniform - 0.5).abs() < 0.003);
    }

    #[test]
    fn below_covers_its_range() {
        let mut stream = Stream::new(3, 1);
        let mut seen = [0u32; 5];
        for _ in 0..5000 {
            seen[stream.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (850..1150).contains(&count)), "{seen:?}");
    }
}
