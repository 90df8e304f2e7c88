use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::{Correction, Mode, Ripley, RipleyOptions, Window, ripley};
use crate::Places;
use crate::places::square;

/// The unit square or cube.
fn window(places: &Places, dimensions: usize) -> Window {
    let mut planes = Vec::new();
    for axis in 0..dimensions {
        for (side, offset) in [(-1.0, 0.0), (1.0, -1.0)] {
            let mut plane = vec![0.0; dimensions + 1];
            plane[axis] = side;
            plane[dimensions] = offset;
            planes.extend(plane);
        }
    }
    Window::new(places, &planes, 1.0).unwrap()
}

fn cells(n: usize, dimensions: usize) -> (Places, Vec<u32>) {
    let mut stream = Stream::new(11, 0);
    let mut values: Vec<f64> = (0..n * dimensions).map(|_| stream.uniform()).collect();
    // Corners, so that the box around the cells is the whole region.
    (0..dimensions).for_each(|axis| {
        values[axis] = 0.0;
        values[dimensions + axis] = 1.0;
    });
    (Places::new(n, dimensions, &values).unwrap(), (0..n as u32).map(|cell| u32::from(cell % 3 == 0)).collect())
}

fn steps() -> Vec<f64> {
    (0..12).map(|step| f64::from(step) * 0.03).collect()
}

fn run(places: &Places, labels: &[u32], k: usize, options: &RipleyOptions) -> Ripley {
    let window = window(places, places.dimensions());
    ripley(places, labels, k, &window, &steps(), options, &Ctx::quiet()).unwrap()
}

#[test]
fn curves_are_those_of_all_pairs() {
    for dimensions in [2, 3] {
        let (places, labels) = cells(150, dimensions);
        let depth = |point: &[f64; 3]| {
            point[..dimensions].iter().map(|side| side.min(1.0 - side)).fold(f64::INFINITY, f64::min)
        };
        for edge_correction in [Correction::Border, Correction::None] {
            for mode in [Mode::G, Mode::L] {
                let options = RipleyOptions { mode, edge_correction, n_simulations: 1, ..Default::default() };
                let found = run(&places, &labels, 2, &options);
                for label in 0..2 {
                    let own: Vec<[f64; 3]> = (0..150)
                        .filter(|&cell| labels[cell] == label as u32)
                        .map(|cell| places.points()[cell])
                        .collect();
                    for (step, far) in steps().into_iter().enumerate() {
                        let looked: Vec<usize> = (0..own.len())
                            .filter(|&cell| edge_correction == Correction::None || depth(&own[cell]) >= far)
                            .collect();
                        let near = |a: usize| {
                            (0..own.len()).filter(|&b| b != a && square(&own[a], &own[b]).sqrt() <= far).count()
                        };
                        let expected = if mode == Mode::G {
                            looked.iter().filter(|&&cell| near(cell) > 0).count() as f64 / looked.len() as f64
                        } else {
                            let pairs: usize = looked.iter().map(|&cell| near(cell)).sum();
                            let k = pairs as f64 / looked.len() as f64 / (own.len() - 1) as f64;
                            let flat = (k / std::f64::consts::PI).sqrt();
                            if dimensions == 2 { flat } else { (k * 0.75 / std::f64::consts::PI).cbrt() }
                        };
                        let value = found.observed[label * 12 + step];
                        assert!((value - expected).abs() < 1e-12 || (value.is_nan() && expected.is_nan()));
                    }
                }
            }
        }
    }
}

#[test]
fn randomness_has_its_known_curves() {
    let (places, labels) = cells(300, 2);
    let options = RipleyOptions { n_simulations: 200, n_observations: 300, ..Default::default() };
    for (mode, dense) in [(Mode::F, 100.0), (Mode::G, 99.0), (Mode::L, 0.0)] {
        let found = run(&places, &labels, 2, &RipleyOptions { mode, ..options.clone() });
        assert_eq!((found.sizes.as_slice(), found.used.as_slice()), ([100, 200].as_slice(), [200, 100].as_slice()));
        for (step, far) in steps().into_iter().enumerate() {
            let curves = found.simulated[..200 * 12].iter().skip(step).step_by(12);
            let mean = curves.sum::<f64>() / 200.0;
            // A place inside misses all others with chance (1 - disc)^n; L is the distance itself, but for the root of a
            // random number at the shortest.
            let disc = std::f64::consts::PI * far * far;
            let expected = if mode == Mode::L { far } else { 1.0 - (1.0 - disc).powf(dense) };
            assert!((mean - expected).abs() < 0.02, "{mode:?} at {far}: {mean} for {expected}");
        }
    }
}

#[test]
fn threads_choices_and_small_labels() {
    let (places, labels) = cells(300, 3);
    for mode in [Mode::F, Mode::G, Mode::L] {
        let options = RipleyOptions { mode, n_simulations: 7, n_observations: 50, ..Default::default() };
        let bits = |threads| {
            let found = with_threads(Some(threads), || Ok(run(&places, &labels, 2, &options))).unwrap();
            let part = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            (part(&found.observed), part(&found.simulated), found.used)
        };
        assert_eq!(bits(1), bits(4));
        assert_eq!(bits(1).2, [50, 50]);
        let mut alone = vec![0; 300];
        alone[17] = 1;
        let found = run(&places, &alone, 2, &options);
        assert_eq!(found.observed[12..].iter().all(|value| value.is_nan()), mode != Mode::F);
    }
    let thin = Window::new(&places, &[1.0, 0.0, 0.0, 1.0], 1.0).unwrap();
    let error = ripley(&places, &labels, 2, &thin, &steps(), &RipleyOptions::default(), &Ctx::quiet()).unwrap_err();
    assert!(error.to_string().contains("millionth"), "{error}");
}

#[test]
fn beginnings_of_a_pattern_are_patterns() {
    for (dimensions, edge_correction) in [(2, Correction::Border), (3, Correction::Border), (2, Correction::None)] {
        let (places, _) = cells(200, dimensions);
        let window = window(&places, dimensions);
        let options = RipleyOptions { mode: Mode::L, edge_correction, ..Default::default() };
        let distances = steps();
        let intervals = super::Intervals::new(&distances);
        let look =
            super::Look { window: &window, distances: &distances, intervals, options: &options, lookouts: Vec::new() };
        let found = look.beginnings(places.points(), &[1, 2, 37, 200], &Ctx::quiet()).unwrap();
        for (curve, size) in found.iter().zip([1, 2, 37, 200]) {
            let alone = look.curve(places.points()[..size].to_vec(), &Ctx::quiet()).unwrap();
            let bits =
                |values: &[f64]| values.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect::<Vec<_>>();
            assert_eq!(bits(curve), bits(&alone));
        }
    }
}
