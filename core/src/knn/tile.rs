//! The kernel of every search here: scores of a few queries against many rows, with the test against each
//! query's threshold fused in, so that scores are never written to memory.
//!
//! Rows to be searched are packed sixteen at a time ([`Lane`]), queries twelve at a time ([`QueryTile`]). On
//! x86-64 the registers are named by hand (AVX-512: 12 x 2 accumulators, AVX2: 6 x 2), because the loop does
//! not survive auto-vectorisation; elsewhere a plain loop is used. A score is `x . y - half[y]`, summed in
//! column order.

/// Rows per packed panel.
pub(super) const LANES: usize = 16;
/// Queries per tile.
pub(super) const QUERIES: usize = 12;

/// The same coordinate of sixteen rows.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Lane(pub(super) [f32; LANES]);

/// Receives the rows whose score beats a query's threshold.
pub(super) trait Sink {
    /// Takes row `position` (counted from the first packed row) for `query`; returns the new threshold.
    fn offer(&mut self, query: usize, position: usize, score: f32) -> f32;
}

/// Packs `count` rows into panels: first the negated halves, then each coordinate. Rows that pad the last panel
/// score minus infinity.
pub(super) fn pack<'a>(d: usize, rows: impl Iterator<Item = (&'a [f32], f32)>, out: &mut Vec<Lane>) {
    let mut filled = 0;
    let mut start = out.len();
    for (row, half) in rows {
        if filled == 0 {
            start = out.len();
            out.resize(start + d + 1, Lane([0.0; LANES]));
            out[start] = Lane([f32::NEG_INFINITY; LANES]);
        }
        out[start].0[filled] = -half;
        for (lane, &value) in out[start + 1..].iter_mut().zip(row) {
            lane.0[filled] = value;
        }
        filled = (filled + 1) % LANES;
    }
}

/// Up to twelve queries, packed coordinate by coordinate, with their thresholds.
pub(super) struct QueryTile {
    coordinates: Vec<[f32; QUERIES]>,
    /// A row must score higher than this to be offered. Unused places hold infinity.
    pub(super) thresholds: [f32; QUERIES],
}

impl QueryTile {
    pub(super) fn new(d: usize) -> Self {
        Self { coordinates: vec![[0.0; QUERIES]; d], thresholds: [f32::INFINITY; QUERIES] }
    }

    /// Empties the tile.
    pub(super) fn clear(&mut self) {
        self.thresholds = [f32::INFINITY; QUERIES];
    }

    /// Puts a query in its place.
    pub(super) fn set(&mut self, place: usize, row: &[f32], threshold: f32) {
        for (column, &value) in self.coordinates.iter_mut().zip(row) {
            column[place] = value;
        }
        self.thresholds[place] = threshold;
    }
}

/// Scores every query of the tile against every packed row and offers what beats the thresholds to `sink`:
/// rows in order of panels, queries in order within a panel.
pub(super) fn scan(panels: &[Lane], tile: &mut QueryTile, sink: &mut impl Sink) {
    let QueryTile { coordinates, thresholds } = tile;
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has avx512f, which was just asked for.
            return unsafe { x86::scan_avx512(panels, coordinates, thresholds, sink) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has avx2 and fma, which was just asked for.
            return unsafe { x86::scan_avx2(panels, coordinates, thresholds, sink) };
        }
    }
    scan_plain(panels, coordinates, thresholds, sink);
}

/// Offers the lanes of one panel that beat the threshold, in order.
#[inline(never)]
fn offer(scores: &[f32; LANES], query: usize, first: usize, threshold: &mut f32, sink: &mut impl Sink) {
    for (lane, &score) in scores.iter().enumerate() {
        if score > *threshold {
            *threshold = sink.offer(query, first + lane, score);
        }
    }
}

/// The kernel without named registers.
fn scan_plain(panels: &[Lane], queries: &[[f32; QUERIES]], thresholds: &mut [f32; QUERIES], sink: &mut impl Sink) {
    for (index, panel) in panels.chunks_exact(queries.len() + 1).enumerate() {
        for query in 0..QUERIES {
            let mut scores = panel[0].0;
            for (lane, column) in panel[1..].iter().zip(queries) {
                for (score, &value) in scores.iter_mut().zip(&lane.0) {
                    // Fused only where the instruction surely exists: in software it would be very slow.
                    *score = if cfg!(target_arch = "aarch64") {
                        column[query].mul_add(value, *score)
                    } else {
                        column[query] * value + *score
                    };
                }
            }
            if scores.iter().fold(false, |any, &score| any | (score > thresholds[query])) {
                offer(&scores, query, index * LANES, &mut thresholds[query], sink);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{LANES, Lane, QUERIES, Sink, offer};

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(lane: &Lane) -> __m512 {
        // SAFETY: a lane is sixteen floats, aligned to 64 bytes.
        unsafe { _mm512_load_ps(lane.0.as_ptr()) }
    }

    /// Two panels at a time: 24 accumulators, so that two multiply-adds per cycle find independent work and
    /// each broadcast serves two of them. An odd last panel is done alone.
    #[target_feature(enable = "avx512f")]
    pub(super) fn scan_avx512(
        panels: &[Lane],
        queries: &[[f32; QUERIES]],
        thresholds: &mut [f32; QUERIES],
        sink: &mut impl Sink,
    ) {
        let height = queries.len() + 1;
        let mut first = 0;
        let mut pairs = panels.chunks_exact(2 * height);
        for pair in pairs.by_ref() {
            let (left, right) = pair.split_at(height);
            let mut a = [load(&left[0]); QUERIES];
            let mut b = [load(&right[0]); QUERIES];
            for ((l, r), column) in left[1..].iter().zip(&right[1..]).zip(queries) {
                let (l, r) = (load(l), load(r));
                for query in 0..QUERIES {
                    let value = _mm512_set1_ps(column[query]);
                    a[query] = _mm512_fmadd_ps(value, l, a[query]);
                    b[query] = _mm512_fmadd_ps(value, r, b[query]);
                }
            }
            for query in 0..QUERIES {
                check(a[query], query, first, thresholds, sink);
                check(b[query], query, first + LANES, thresholds, sink);
            }
            first += 2 * LANES;
        }
        let rest = pairs.remainder();
        if rest.len() >= height {
            let mut a = [load(&rest[0]); QUERIES];
            for (lane, column) in rest[1..].iter().zip(queries) {
                let lane = load(lane);
                for query in 0..QUERIES {
                    a[query] = _mm512_fmadd_ps(_mm512_set1_ps(column[query]), lane, a[query]);
                }
            }
            for query in 0..QUERIES {
                check(a[query], query, first, thresholds, sink);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn check(scores: __m512, query: usize, first: usize, thresholds: &mut [f32; QUERIES], sink: &mut impl Sink) {
        let threshold = &mut thresholds[query];
        if _mm512_cmp_ps_mask::<_CMP_GT_OQ>(scores, _mm512_set1_ps(*threshold)) != 0 {
            let mut lanes = [0f32; LANES];
            // SAFETY: room for sixteen floats; the store needs no alignment.
            unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), scores) };
            offer(&lanes, query, first, threshold, sink);
        }
    }

    /// Six queries at a time: twelve accumulators of the sixteen registers.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn scan_avx2(
        panels: &[Lane],
        queries: &[[f32; QUERIES]],
        thresholds: &mut [f32; QUERIES],
        sink: &mut impl Sink,
    ) {
        const HALF: usize = QUERIES / 2;
        for (index, panel) in panels.chunks_exact(queries.len() + 1).enumerate() {
            for start in [0, HALF] {
                let (low, high) = load_halves(&panel[0]);
                let (mut a, mut b) = ([low; HALF], [high; HALF]);
                for (lane, column) in panel[1..].iter().zip(queries) {
                    let (low, high) = load_halves(lane);
                    for query in 0..HALF {
                        let value = _mm256_set1_ps(column[start + query]);
                        a[query] = _mm256_fmadd_ps(value, low, a[query]);
                        b[query] = _mm256_fmadd_ps(value, high, b[query]);
                    }
                }
                for query in 0..HALF {
                    let threshold = &mut thresholds[start + query];
                    let limit = _mm256_set1_ps(*threshold);
                    let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a[query], limit));
                    let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(b[query], limit));
                    if low | high != 0 {
                        let mut lanes = [0f32; LANES];
                        let (left, right) = lanes.split_at_mut(LANES / 2);
                        // SAFETY: room for eight floats each; the stores need no alignment.
                        unsafe {
                            _mm256_storeu_ps(left.as_mut_ptr(), a[query]);
                            _mm256_storeu_ps(right.as_mut_ptr(), b[query]);
                        }
                        offer(&lanes, start + query, index * LANES, threshold, sink);
                    }
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load_halves(lane: &Lane) -> (__m256, __m256) {
        // SAFETY: a lane is sixteen floats, aligned to 64 bytes; each load takes eight of them.
        unsafe { (_mm256_load_ps(lane.0.as_ptr()), _mm256_load_ps(lane.0.as_ptr().add(LANES / 2))) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::random::Stream;

    /// Keeps everything it is offered; never raises a threshold.
    #[derive(Default)]
    struct All(Vec<(usize, usize, f32)>);

    impl Sink for All {
        fn offer(&mut self, query: usize, position: usize, score: f32) -> f32 {
            self.0.push((query, position, score));
            0.25
        }
    }

    #[test]
    fn every_kernel_agrees_with_the_plain_sum() {
        for (n, d) in [(1, 1), (16, 3), (17, 50), (40, 7), (65, 33), (100, 2)] {
            let mut stream = Stream::new(5, n as u64);
            let mut draw = |count: usize| (0..count).map(|_| stream.uniform() as f32 - 0.5).collect::<Vec<f32>>();
            let (rows, half, queries) = (draw(n * d), draw(n), draw(QUERIES * d));
            let mut panels = Vec::new();
            pack(d, rows.chunks(d).zip(half.iter().copied()), &mut panels);
            let mut tile = QueryTile::new(d);
            for (place, query) in queries.chunks(d).enumerate().take(QUERIES - 1) {
                tile.set(place, query, 0.25);
            }
            let mut expected = Vec::new();
            for (place, query) in queries.chunks(d).enumerate().take(QUERIES - 1) {
                for (position, row) in rows.chunks(d).enumerate() {
                    let dot: f32 = query.iter().zip(row).map(|(a, b)| a * b).sum();
                    if dot - half[position] > 0.25 {
                        expected.push((place, position, dot - half[position]));
                    }
                }
            }
            let agree = |mut found: Vec<(usize, usize, f32)>, kernel: &str| {
                found.sort_by_key(|&(query, position, _)| (query, position));
                assert_eq!(found.len(), expected.len(), "{kernel} {n} x {d}");
                for (f, e) in found.iter().zip(&expected) {
                    assert_eq!((f.0, f.1), (e.0, e.1), "{kernel} {n} x {d}");
                    assert!((f.2 - e.2).abs() < 1e-5, "{kernel} {n} x {d}");
                }
            };
            let fresh = tile.thresholds;
            let mut sink = All::default();
            scan(&panels, &mut tile, &mut sink);
            agree(sink.0, "best");
            let mut sink = All::default();
            scan_plain(&panels, &tile.coordinates, &mut fresh.clone(), &mut sink);
            agree(sink.0, "plain");
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                let mut sink = All::default();
                // SAFETY: the features were just asked for.
                unsafe { x86::scan_avx2(&panels, &tile.coordinates, &mut fresh.clone(), &mut sink) };
                agree(sink.0, "avx2");
            }
        }
    }
}
