use zensaibo_core::data::{Dtype, VolumeInfo};
use zensaibo_core::random::Stream;

use super::*;
use crate::matching::match_points;

type Volume = (VolumeInfo, Grid<f32>);

/// Blobs of `diameter` um on a noisy floor, at least `apart` um from each other.
fn phantom(
    shape: [usize; 3],
    um: [f64; 3],
    diameter: f64,
    count: usize,
    apart: f64,
    seed: u64,
) -> (Volume, Vec<[f64; 3]>) {
    let mut random = Stream::new(seed, 0);
    let far = [0, 1, 2].map(|a| (shape[a] - 1) as f64 * um[a]);
    let mut truth: Vec<[f64; 3]> = Vec::new();
    let mut tries = 0;
    while truth.len() < count && tries < 100_000 {
        tries += 1;
        let point = far.map(|end| random.uniform() * end);
        if truth.iter().all(|other| square_distance(*other, point) >= apart * apart) {
            truth.push(point);
        }
    }
    let mut grid = Grid::filled(shape, 0f32);
    let sigma = diameter / 3.5;
    for point in &truth {
        let reach = um.map(|s| (3.0 * sigma / s).ceil() as isize);
        let centre = [0, 1, 2].map(|a| (point[a] / um[a]).round() as isize);
        for z in (centre[0] - reach[0]).max(0)..=(centre[0] + reach[0]).min(shape[0] as isize - 1) {
            for y in (centre[1] - reach[1]).max(0)..=(centre[1] + reach[1]).min(shape[1] as isize - 1) {
                for x in (centre[2] - reach[2]).max(0)..=(centre[2] + reach[2]).min(shape[2] as isize - 1) {
                    let place = [z as f64 * um[0], y as f64 * um[1], x as f64 * um[2]];
                    let value = 400.0 * (-0.5 * square_distance(place, *point) / (sigma * sigma)).exp();
                    let i = grid.index(z as usize, y as usize, x as usize);
                    grid.data[i] += value as f32;
                }
            }
        }
    }
    for (i, value) in grid.data.iter_mut().enumerate() {
        let mut own = Stream::new(seed + 1, i as u64);
        *value = (*value + 200.0 + 15.0 * own.normal() as f32).round();
    }
    ((VolumeInfo::plain("phantom", shape, Dtype::F32), grid), truth)
}

fn run(volume: &Volume, um: [f64; 3], options: &DetectOptions) -> Cells {
    detect_cells(volume, None, Spacing::new(um).unwrap(), None, options, &Ctx::quiet()).unwrap()
}

fn f1(cells: &Cells, truth: &[[f64; 3]], radius: f64) -> f64 {
    let right = match_points(&cells.centre, truth, radius).unwrap().pairs.len();
    2.0 * right as f64 / (cells.len() + truth.len()) as f64
}

#[test]
fn phantoms_sparse_dense_and_anisotropic() {
    for (shape, um, count, least) in [
        ([64, 96, 96], [2.0; 3], 60, 0.99),
        ([64, 96, 96], [2.0; 3], 380, 0.98),
        ([40, 100, 100], [5.0, 2.0, 2.0], 80, 0.99),
        ([40, 100, 100], [5.0, 2.0, 2.0], 400, 0.97),
    ] {
        let (volume, truth) = phantom(shape, um, 16.0, count, 16.0, 11);
        let cells = run(&volume, um, &DetectOptions { soma_diameter: 16.0, ..Default::default() });
        let f1 = f1(&cells, &truth, 8.0);
        assert!(f1 >= least, "F1 {f1} of {count} at {um:?}, {} found", cells.len());
        let pairs = match_points(&cells.centre, &truth, 8.0).unwrap().pairs;
        let error = pairs.iter().map(|pair| pair.2).sum::<f64>() / pairs.len() as f64;
        assert!(error < 1.5, "{error} um");
    }
}

#[test]
fn cuts_and_threads_change_nothing() {
    let um = [4.0, 2.0, 2.0];
    let (volume, _) = phantom([30, 61, 67], um, 10.0, 150, 8.0, 5);
    let spacing = Spacing::new(um).unwrap();
    let options = DetectOptions { threshold: 3.0, ..Default::default() };
    let model = CellClassifier::default_model().unwrap();
    for classifier in [None, Some(model)] {
        let run = |block: [usize; 3], threads| {
            zensaibo_core::parallel::with_threads(Some(threads), || {
                let ctx = Ctx::quiet();
                let described = classifier.is_some();
                let manner = Manner { diameter: 10.0, elongation: 1.5, noise_floor: 0.2, describe: described };
                let search = Search::new(&volume, None, Frame::default(), spacing, manner, &ctx)?;
                let plan = Plan::with_block([30, 61, 67], block, search.halo());
                let mut cells = Cells::new(&search, false);
                detect_in(&search, &plan, classifier, &options, &ctx, &mut cells)?;
                cells.finish(spacing, search.round, [30, 61, 67], &options);
                Ok(cells)
            })
            .unwrap()
        };
        let whole = run([30, 61, 67], 1);
        assert!(!whole.is_empty());
        for (block, threads) in [([7, 13, 17], 1), ([30, 20, 9], 2), ([5, 61, 30], 8)] {
            assert_eq!(run(block, threads), whole);
        }
    }
}

#[test]
fn mirrors_and_quarter_turns_move_the_cells_and_nothing_else() {
    let um = [4.0, 2.0, 2.0];
    let shape = [24, 60, 60];
    let (volume, _) = phantom(shape, um, 10.0, 60, 12.0, 9);
    let options = DetectOptions::default();
    let cells = run(&volume, um, &options);
    assert!(cells.len() > 30);
    let turn = |pick: &dyn Fn([usize; 3]) -> [usize; 3]| {
        let mut turned = volume.clone();
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let from = pick([z, y, x]);
                    let i = turned.1.index(z, y, x);
                    turned.1.data[i] = volume.1.at(from[0], from[1], from[2]);
                }
            }
        }
        run(&turned, um, &options)
    };
    let far = [0, 1, 2].map(|a| (shape[a] - 1) as f64 * um[a]);
    let same = |other: Cells, back: &dyn Fn([f64; 3]) -> [f64; 3]| {
        assert_eq!(other.len(), cells.len());
        let moved: Vec<[f64; 3]> = other.centre.iter().map(|&centre| back(centre)).collect();
        let pairs = match_points(&moved, &cells.centre, 0.05).unwrap().pairs;
        assert_eq!(pairs.len(), cells.len());
        for (a, b, _) in pairs {
            assert!((other.score[a] - cells.score[b]).abs() <= 1e-3 * cells.score[b]);
            assert_eq!(other.volume[a], cells.volume[b]);
        }
    };
    same(turn(&|[z, y, x]| [shape[0] - 1 - z, y, x]), &|p| [far[0] - p[0], p[1], p[2]]);
    same(turn(&|[z, y, x]| [z, y, shape[2] - 1 - x]), &|p| [p[0], p[1], far[2] - p[2]]);
    same(turn(&|[z, y, x]| [z, x, shape[1] - 1 - y]), &|p| [p[0], p[2], far[1] - p[1]]);
}

#[test]
fn a_background_channel_takes_its_structures_away() {
    let um = [2.0; 3];
    let shape = [40, 60, 60];
    let (background, _) = phantom(shape, um, 12.0, 40, 14.0, 21);
    let (mut signal, truth) = phantom(shape, um, 12.0, 25, 14.0, 33);
    let own = background.1.data.iter().map(|value| 1.5 * (value - 200.0));
    signal.1.data.iter_mut().zip(own).for_each(|(value, extra)| *value += extra);
    let options = DetectOptions { soma_diameter: 12.0, ..Default::default() };
    let spacing = Spacing::new(um).unwrap();
    let with = detect_cells(&signal, Some(&background), spacing, None, &options, &Ctx::quiet()).unwrap();
    let without = run(&signal, um, &options);
    assert!(f1(&with, &truth, 6.0) > 0.95, "{}", f1(&with, &truth, 6.0));
    assert!(f1(&without, &truth, 6.0) < 0.8);
}

#[test]
fn noise_outside_of_tissue_is_no_cell() {
    let um = [2.0; 3];
    let shape = [60, 120, 120];
    let (mut volume, mut truth) = phantom(shape, um, 12.0, 260, 14.0, 3);
    // Around a slab of tissue a camera in the dark: mostly the same value, so that the noise around is none.
    for i in (0..volume.1.len()).filter(|i| !(40..80).contains(&(i % shape[2]))) {
        volume.1.data[i] = if Stream::new(5, i as u64).uniform() < 0.02 { 8.0 } else { 5.0 };
    }
    // Cells cut by the faces of the slab count on neither side.
    truth.retain(|point| (88.0..152.0).contains(&point[2]));
    let model = CellClassifier::default_model().unwrap();
    for classifier in [None, Some(model)] {
        let run = |noise_floor: f64| {
            let options = DetectOptions { soma_diameter: 12.0, noise_floor, ..Default::default() };
            let spacing = Spacing::new(um).unwrap();
            detect_cells(&volume, None, spacing, classifier, &options, &Ctx::quiet()).unwrap()
        };
        let outside = |cells: &Cells| cells.centre.iter().filter(|p| p[2] < 74.0 || p[2] > 164.0).count();
        let right = |cells: &Cells| match_points(&cells.centre, &truth, 6.0).unwrap().pairs.len();
        let (any, least) = (run(0.0), run(DetectOptions::default().noise_floor));
        assert!(outside(&any) > 50 && any.report.dark == 0 && any.report.least_noise == 0.0, "{}", outside(&any));
        assert_eq!(outside(&least), 0);
        assert!(least.report.dark > 50 && least.report.least_noise > 0.0);
        assert_eq!(right(&least), right(&any));
        assert!(classifier.is_some() || right(&least) * 100 >= truth.len() * 97, "{}", right(&least));
    }
}

#[test]
fn cells_on_nothing_are_found() {
    let um = [2.0; 3];
    let (mut volume, truth) = phantom([60, 120, 120], um, 12.0, 150, 14.0, 8);
    // What is left is the light of the cells.
    volume.1.data.iter_mut().for_each(|value| *value = if *value < 290.0 { 0.0 } else { *value - 200.0 });
    let cells = run(&volume, um, &DetectOptions { soma_diameter: 12.0, ..Default::default() });
    assert!(f1(&cells, &truth, 6.0) >= 0.98, "{}", f1(&cells, &truth, 6.0));
    assert!(!cells.report.constant && cells.score.iter().all(|score| score.is_finite()));
    // Nor does a level below all of it matter, whose sums are rounded.
    volume.1.data.iter_mut().for_each(|value| *value += 100.7);
    let lifted = run(&volume, um, &DetectOptions { soma_diameter: 12.0, ..Default::default() });
    assert!(f1(&lifted, &truth, 6.0) >= 0.98, "{} {}", f1(&lifted, &truth, 6.0), lifted.len());
}

#[test]
fn odd_volumes_are_named_or_flagged() {
    let um = [2.0; 3];
    let options = DetectOptions::default();
    let spacing = Spacing::new(um).unwrap();
    let refuse = |volume: &Volume, background: Option<&dyn VolumeBlocks>, options: &DetectOptions| {
        detect_cells(volume, background, spacing, None, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let make =
        |shape: [usize; 3], value: f32| (VolumeInfo::plain("odd", shape, Dtype::F32), Grid::filled(shape, value));
    let constant = make([9, 30, 30], 7.0);
    let cells = run(&constant, um, &options);
    assert!(cells.is_empty() && cells.report.constant);
    let mut bad = constant.clone();
    let at = bad.1.index(3, 4, 5);
    bad.1.data[at] = f32::NAN;
    assert!(refuse(&bad, None, &options).contains("(3, 4, 5)"));
    assert!(refuse(&make([0, 5, 5], 0.0), None, &options).contains("0 x 5 x 5"));
    assert!(refuse(&constant, Some(&make([9, 30, 31], 0.0)), &options).contains("background"));
    let wide = DetectOptions { soma_diameter: 1000.0, ..Default::default() };
    assert!(refuse(&constant, None, &wide).contains("soma_diameter"));
    let wrong = DetectOptions { threshold: 0.0, ..Default::default() };
    assert!(refuse(&constant, None, &wrong).contains("threshold"));
    let floor = DetectOptions { noise_floor: 1.5, ..Default::default() };
    assert!(refuse(&constant, None, &floor).contains("noise_floor"));
    let flat = DetectOptions { elongation: Some(0.0), ..Default::default() };
    assert!(refuse(&constant, None, &flat).contains("elongation"));
    let full = (VolumeInfo::plain("full", [4, 20, 20], Dtype::U16), Grid::filled([4, 20, 20], u16::MAX));
    let cells = detect_cells(&full, None, spacing, None, &options, &Ctx::quiet()).unwrap();
    assert_eq!(cells.report.saturated, 1600);
    for shape in [[1, 40, 40], [2, 1, 30], [1, 1, 1]] {
        let (volume, _) = phantom(shape, um, 10.0, 1, 0.0, 2);
        assert!(run(&volume, um, &options).len() <= 1 + shape.iter().product::<usize>() / 100);
    }
}
