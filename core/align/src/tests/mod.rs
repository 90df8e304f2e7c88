//! The whole way on clouds with known truth.

mod ladder;

use ladder::{Case, RUNGS, Rung};
use ndarray::Array2;
use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use crate::cloud::{Cloud, Point, square};
use crate::{AlignOptions, Alignment, DriftOptions, Linear, Start, align, drift, match_points};

fn run(case: &Case, dimensions: usize, start: &Start, options: &AlignOptions) -> zensaibo_core::Result<Alignment> {
    let (moving, fixed) = case.clouds(dimensions);
    align(&moving, &fixed, start, None, options, &Ctx::quiet())
}

fn from_marks(case: &Case, dimensions: usize) -> Start {
    let (from, to) = case.marks(dimensions);
    Start::Landmarks(from, to, None)
}

fn pairs(found: &Alignment) -> Vec<(u32, u32)> {
    found.matches.pairs.iter().map(|pair| (pair.moving, pair.fixed)).collect()
}

fn with_scale() -> AlignOptions {
    AlignOptions { scale: true, ..AlignOptions::default() }
}

/// Precision, recall, and how far the rate counted by decoys is from the true one.
fn judge(case: &Case, found: &Alignment) -> (f64, f64, f64) {
    let (precision, recall) = case.score(&pairs(found));
    (precision, recall, (found.matches.false_match_rate - (1.0 - precision)).abs())
}

#[test]
fn the_ladder_from_landmarks() {
    for (rung, precision, recall) in [(0, 0.98, 0.98), (1, 0.95, 0.93), (2, 0.95, 0.90)] {
        for seed in 0..2 {
            let case = Case::new(3000, 3, RUNGS[rung], seed);
            let found = run(&case, 3, &from_marks(&case, 3), &with_scale()).unwrap();
            let (p, r, off) = judge(&case, &found);
            assert!(p >= precision && r >= recall, "rung {} seed {seed}: precision {p}, recall {r}", rung + 1);
            assert!(off <= 0.02, "rung {} seed {seed}: rate off by {off}", rung + 1);
            assert!(found.faults.is_empty(), "{:?}", found.faults);
        }
    }
}

#[test]
fn the_ladder_without_landmarks() {
    for (rung, seed, precision, recall) in [(0, 0, 0.98, 0.98), (0, 1, 0.98, 0.98), (1, 0, 0.95, 0.93)] {
        let case = Case::new(3000, 3, RUNGS[rung], seed);
        let found = run(&case, 3, &Start::Geometry, &with_scale()).unwrap();
        let (p, r, off) = judge(&case, &found);
        assert!(p >= precision && r >= recall && off <= 0.02, "rung {}: {p} {r} {off}", rung + 1);
        assert!(found.seeds.unwrap().1 >= 16);
    }
}

#[test]
fn in_the_plane_with_and_without_landmarks() {
    let case = Case::new(2000, 2, Rung { share: 0.7, warp: 8.0, jitter: 0.7 }, 3);
    for start in [from_marks(&case, 2), Start::Geometry] {
        let found = run(&case, 2, &start, &with_scale()).unwrap();
        let (p, r, off) = judge(&case, &found);
        assert!(p >= 0.93 && r >= 0.9 && off <= 0.04, "{p} {r} {off}");
        assert!(found.placed.iter().all(|place| place[2] == 0.0));
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let case = Case::new(800, 3, RUNGS[0], 5);
    for start in [from_marks(&case, 3), Start::Geometry] {
        let one = |threads| with_threads(Some(threads), || run(&case, 3, &start, &with_scale())).unwrap();
        let first = one(1);
        for threads in [2, 5] {
            // Every number, through its text: no two bits differ without a digit that does.
            assert_eq!(format!("{first:?}"), format!("{:?}", one(threads)));
        }
    }
}

#[test]
fn the_decoys_see_that_nothing_is_shared() {
    // Two clouds of the same tissue with no cell in common: whatever is paired is false.
    let (a, b) = (Case::new(2000, 3, RUNGS[0], 1), Case::new(2000, 3, RUNGS[0], 2));
    let moving = Cloud::of(3, a.fixed.clone());
    let fixed = Cloud::of(3, b.fixed);
    let found = match_points(&moving, &fixed, None, &AlignOptions::default(), &Ctx::quiet()).unwrap();
    assert!(
        found.false_match_rate > 0.9 || found.pairs.len() < 5,
        "{} of {}",
        found.false_match_rate,
        found.pairs.len()
    );
    let options = AlignOptions { deform: "none".into(), ..AlignOptions::default() };
    let found = align(&moving, &fixed, &Start::Map(Linear::IDENTITY), None, &options, &Ctx::quiet()).unwrap();
    assert!(!found.faults.is_empty());
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let case = Case::new(1500, 3, Rung { share: 0.5, warp: 0.0, jitter: 0.3 }, 4);
    let (moving, fixed) = case.clouds(3);
    let say = |moving: &Cloud, start: &Start, options: &AlignOptions| {
        align(moving, &fixed, start, None, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let (from, to) = case.marks(3);
    let few = AlignOptions { tries: 12, ..with_scale() };
    // A mirror image, with landmarks and without.
    let flip = |cloud: &Cloud| Cloud::of(3, cloud.points().iter().map(|place| Linear::MIRROR.apply(place)).collect());
    let marks = Start::Landmarks(flip(&from), to.clone(), None);
    assert!(say(&flip(&moving), &marks, &with_scale()).contains("mirror=True"));
    assert!(say(&flip(&moving), &Start::Geometry, &few).contains("mirror=True"));
    let allowed = AlignOptions { mirror: true, ..with_scale() };
    for start in [marks, Start::Geometry] {
        let found = align(&flip(&moving), &fixed, &start, None, &allowed, &Ctx::quiet()).unwrap();
        assert!(found.map.whole().determinant() < 0.0 && judge(&case, &found).0 > 0.98);
    }
    // A scale that was not allowed, and one beyond what is: another unit.
    let rigid = AlignOptions { tries: 12, ..AlignOptions::default() };
    assert!(say(&moving, &Start::Landmarks(from.clone(), to.clone(), None), &rigid).contains("scale=True"));
    assert!(say(&moving, &Start::Geometry, &rigid).contains("scale of 0.55"));
    let small = |cloud: &Cloud| Cloud::of(3, cloud.points().iter().map(|place| place.map(|v| v / 1000.0)).collect());
    assert!(say(&small(&moving), &Start::Landmarks(small(&from), to, None), &with_scale()).contains("one unit"));
    assert!(say(&small(&moving), &Start::Geometry, &few).contains("one unit"));
    // Far apart; unlike.
    assert!(
        say(&small(&moving), &Start::Map(Linear { shift: [1e4; 3], ..Linear::IDENTITY }), &rigid)
            .contains("no overlap")
    );
    let other = Case::new(600, 3, RUNGS[0], 9);
    assert!(say(&Cloud::of(3, other.moving), &Start::Geometry, &few).contains("may not overlap"));
}

#[test]
fn likeness_helps_where_places_do_not() {
    // Jitter as wide as the spacing: places alone pair badly, types well.
    let case = Case::new(1500, 3, Rung { share: 0.6, warp: 0.0, jitter: 2.5 }, 6);
    let (from, to) = case.clouds(3);
    let kinds = 12;
    let mut stream = Stream::new(11, 0);
    let of_fixed: Vec<usize> = case.fixed.iter().map(|_| stream.below(kinds) as usize).collect();
    let one_hot = |kinds_of: Vec<usize>| {
        Array2::from_shape_fn((kinds_of.len(), kinds as usize), |(cell, kind)| {
            f64::from(u8::from(kinds_of[cell] == kind))
        })
    };
    let of_moving: Vec<usize> = case
        .truth
        .iter()
        .map(|truth| truth.map_or_else(|| stream.below(kinds) as usize, |at| of_fixed[at as usize]))
        .collect();
    let (a, b) = (one_hot(of_moving), one_hot(of_fixed));
    let options = AlignOptions { feature_width: Some(0.5), ..with_scale() };
    let start = from_marks(&case, 3);
    let plain = align(&from, &to, &start, None, &options, &Ctx::quiet()).unwrap();
    let helped = align(&from, &to, &start, Some((a.view(), b.view())), &options, &Ctx::quiet()).unwrap();
    let (plain, helped) = (judge(&case, &plain), judge(&case, &helped));
    assert!(helped.0 > plain.0 + 0.01 && helped.1 > plain.1 + 0.05, "{plain:?} {helped:?}");
}

#[test]
fn drift_finds_what_was_planted() {
    let mut stream = Stream::new(2, 0);
    let moving: Vec<Point> = (0..150).map(|_| std::array::from_fn(|_| stream.normal())).collect();
    let turn = Linear { matrix: [[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], shift: [0.3, -0.2, 0.1] };
    let fixed: Vec<Point> = moving.iter().map(|place| turn.apply(place).map(|v| 1.2 * v)).collect();
    let (from, to) = (Cloud::of(3, moving.clone()), Cloud::of(3, fixed.clone()));
    for (kind, truncate, low_rank) in [
        ("similarity", None, false),
        ("similarity", Some(6.0), false),
        ("affine", None, false),
        ("nonrigid", None, false),
        ("nonrigid", Some(6.0), true),
    ] {
        let options = DriftOptions {
            kind: kind.into(),
            truncate,
            low_rank,
            tolerance: 1e-8,
            max_iterations: 300,
            ..DriftOptions::default()
        };
        let found = drift(&from, &to, &options, &Ctx::quiet()).unwrap();
        let worst = found.placed.iter().zip(&fixed).map(|(a, b)| square(a, b).sqrt()).fold(0.0, f64::max);
        let allowed = if kind == "nonrigid" { 0.3 } else { 1e-3 };
        assert!(worst < allowed, "{kind} {truncate:?} {low_rank}: {worst}");
        let again = found.map.map(&moving, false, &Ctx::quiet()).unwrap();
        assert!(again.iter().zip(&found.placed).all(|(a, b)| square(a, b) < 1e-18), "{kind}");
    }
}

#[test]
fn the_decoys_see_a_lattice() {
    // A regular sheet taken one cell aside fits as well as the right way.
    let mut stream = Stream::new(4, 0);
    let fixed: Vec<Point> = (0..900)
        .map(|at| [f64::from(at / 30), f64::from(at % 30), 0.0].map(|v| 10.0 * v))
        .map(|place| [place[0] + 0.4 * stream.normal(), place[1] + 0.4 * stream.normal(), 0.0])
        .collect();
    let moving = fixed.iter().map(|place| [place[0] + 10.0, place[1] + 0.3, 0.0]).collect();
    let (from, to) = (Cloud::of(2, moving), Cloud::of(2, fixed));
    let found = match_points(&from, &to, None, &AlignOptions::default(), &Ctx::quiet()).unwrap();
    assert!(found.pairs.len() > 800 && found.false_match_rate > 0.5, "{}", found.false_match_rate);
}
