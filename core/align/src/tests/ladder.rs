//! Clouds with known partners, from easy to hard.

use zensaibo_core::random::Stream;

use crate::cloud::{Cloud, Point, square};
use crate::linear::{Linear, Pairs};

/// A cloud and a part of it that was seen elsewhere: turned, swollen, warped, jittered, with some cells that are not there.
pub(super) struct Case {
    pub(super) moving: Vec<Point>,
    pub(super) fixed: Vec<Point>,
    /// Fixed cell of each moving one; `None` for those that are not there.
    pub(super) truth: Vec<Option<u32>>,
    /// Pairs that serve as landmarks.
    pub(super) landmarks: Vec<usize>,
}

#[derive(Clone, Copy)]
pub(super) struct Rung {
    pub(super) share: f64,
    pub(super) warp: f64,
    pub(super) jitter: f64,
}

/// The rungs of the design: share of cells seen, warp and jitter in micrometres.
pub(super) const RUNGS: [Rung; 4] = [
    Rung { share: 0.35, warp: 6.0, jitter: 1.0 },
    Rung { share: 0.35, warp: 12.0, jitter: 1.5 },
    Rung { share: 0.15, warp: 12.0, jitter: 1.5 },
    Rung { share: 0.35, warp: 25.0, jitter: 2.0 },
];

impl Case {
    /// `n` cells at least 7 apart in a box, as dense as 3,000 in 300 x 300 x 150 (in the plane: 3,000 in 700 x 700).
    pub(super) fn new(n: usize, dimensions: usize, rung: Rung, seed: u64) -> Self {
        let mut stream = Stream::new(seed, 7);
        let size = if dimensions == 3 {
            let side = (n as f64 / 3000.0).cbrt();
            [300.0 * side, 300.0 * side, 150.0 * side]
        } else {
            let side = (n as f64 / 3000.0).sqrt();
            [700.0 * side, 700.0 * side, 0.0]
        };
        let mut base: Vec<Point> = Vec::with_capacity(n);
        let mut cells: std::collections::HashMap<[i64; 3], Vec<usize>> = std::collections::HashMap::new();
        while base.len() < n {
            let place: Point = std::array::from_fn(|axis| size[axis] * stream.uniform());
            let key = place.map(|value| (value / 7.0).floor() as i64);
            let free = (-1..=1).all(|a| {
                (-1..=1).all(|b| {
                    (-1..=1).all(|c| {
                        cells
                            .get(&[key[0] + a, key[1] + b, key[2] + c])
                            .is_none_or(|held| held.iter().all(|&at| square(&base[at], &place) >= 49.0))
                    })
                })
            });
            if free {
                cells.entry(key).or_default().push(base.len());
                base.push(place);
            }
        }
        let jitter = |place: &Point, stream: &mut Stream| -> Point {
            std::array::from_fn(
                |axis| if axis < dimensions { place[axis] + rung.jitter * stream.normal() } else { 0.0 },
            )
        };
        let fixed: Vec<Point> = base.iter().map(|place| jitter(place, &mut stream)).collect();
        let mut order: Vec<u32> = (0..n as u32).collect();
        stream.shuffle(&mut order);
        let seen = (rung.share * n as f64).round() as usize;
        let mut truth: Vec<Option<u32>> = order[..seen].iter().map(|&at| Some(at)).collect();
        let mut moving: Vec<Point> = order[..seen].iter().map(|&at| base[at as usize]).collect();
        for _ in 0..seen / 10 {
            moving.push(std::array::from_fn(|axis| size[axis] * stream.uniform()));
            truth.push(None);
        }
        // Eight bumps per 3,000 cells' worth of space.
        let bumps: Vec<(Point, Point)> = (0..(8.0 * n as f64 / 3000.0).ceil().max(8.0) as usize)
            .map(|_| {
                let centre = std::array::from_fn(|axis| size[axis] * stream.uniform());
                let mut way: Point = std::array::from_fn(|axis| if axis < dimensions { stream.normal() } else { 0.0 });
                let length = square(&way, &[0.0; 3]).sqrt().max(1e-9);
                way = way.map(|value| value / length * rung.warp);
                (centre, way)
            })
            .collect();
        let turn = if dimensions == 3 {
            let random: Vec<(Point, Point)> = (0..4)
                .map(|_| (std::array::from_fn(|_| stream.normal()), std::array::from_fn(|_| stream.normal())))
                .collect();
            Pairs::of(random.into_iter().map(|(a, b)| (a, b, 1.0))).similarity(3, false, false).unwrap().matrix
        } else {
            let (sine, cosine) = (6.3 * stream.uniform()).sin_cos();
            [[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]
        };
        let map = Linear { matrix: turn, shift: [0.0; 3] };
        for place in &mut moving {
            let mut bent = *place;
            for (centre, way) in &bumps {
                let height = (-square(place, centre) / (2.0 * 80.0 * 80.0)).exp();
                (0..3).for_each(|axis| bent[axis] += height * way[axis]);
            }
            let bent = jitter(&bent, &mut stream);
            *place = map.apply(&bent).map(|value| 1.8 * value);
        }
        // Six pairs far from each other.
        let mut landmarks = vec![0usize];
        while landmarks.len() < 6 {
            let far = |at: usize| {
                landmarks.iter().map(|&other| square(&moving[at], &moving[other])).fold(f64::INFINITY, f64::min)
            };
            let next = (0..seen).max_by(|&a, &b| far(a).total_cmp(&far(b))).unwrap();
            landmarks.push(next);
        }
        Self { moving, fixed, truth, landmarks }
    }

    pub(super) fn clouds(&self, dimensions: usize) -> (Cloud, Cloud) {
        (Cloud::of(dimensions, self.moving.clone()), Cloud::of(dimensions, self.fixed.clone()))
    }

    pub(super) fn marks(&self, dimensions: usize) -> (Cloud, Cloud) {
        let moving = self.landmarks.iter().map(|&at| self.moving[at]).collect();
        let fixed = self.landmarks.iter().map(|&at| self.fixed[self.truth[at].unwrap() as usize]).collect();
        (Cloud::of(dimensions, moving), Cloud::of(dimensions, fixed))
    }

    /// Share of `pairs` that is right, and share of the cells seen that they hold.
    pub(super) fn score(&self, pairs: &[(u32, u32)]) -> (f64, f64) {
        let right = pairs.iter().filter(|pair| self.truth[pair.0 as usize] == Some(pair.1)).count() as f64;
        (right / pairs.len().max(1) as f64, right / self.truth.iter().flatten().count() as f64)
    }
}
