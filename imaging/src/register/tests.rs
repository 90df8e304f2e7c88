use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;

/// An organ with blobs in it, sampled at a spacing through a map from its places to those of the plan.
fn organ(shape: [usize; 3], spacing: [f64; 3], map: impl Fn([f64; 3]) -> [f64; 3]) -> Grid<f32> {
    let mut random = Stream::new(7, 0);
    let blobs: Vec<([f64; 3], f64, f64)> = (0..60)
        .map(|_| {
            let place = [1000.0, 1400.0, 1200.0].map(|length| length * (0.15 + 0.7 * random.uniform()));
            (place, 40.0 + 80.0 * random.uniform(), 0.3 + random.uniform())
        })
        .collect();
    let voxel = |at: usize| {
        let at = [at / shape[2] / shape[1], at / shape[2] % shape[1], at % shape[2]];
        let p = map(std::array::from_fn(|axis| at[axis] as f64 * spacing[axis]));
        // An egg, heavier at one end, so that no two turns look alike.
        let inside =
            ((p[0] - 500.0) / 440.0).powi(2) + ((p[1] - 700.0) / 640.0).powi(2) + ((p[2] - 600.0) / 540.0).powi(2);
        let body =
            1.0 / (1.0 + (12.0 * (inside.sqrt() - 1.0)).exp()) * (1.0 + 0.4 * (p[1] / 1400.0) + 0.2 * p[0] / 1000.0);
        let spots: f64 = blobs
            .iter()
            .map(|(place, size, bright)| {
                let d: f64 = (0..3).map(|axis| ((p[axis] - place[axis]) / size).powi(2)).sum();
                bright * (-0.5 * d).exp()
            })
            .sum();
        (100.0 * (body + spots)) as f32
    };
    Grid { shape, data: (0..shape.iter().product()).map(voxel).collect() }
}

const SHAPE: [usize; 3] = [40, 56, 48];
const UM: [f64; 3] = [25.0; 3];

fn image(voxels: Grid<f32>, spacing: [f64; 3], orientation: Option<&str>) -> Image {
    let orientation = orientation.map(|text| text.parse().unwrap());
    Image { voxels, more: Vec::new(), spacing: Spacing::new(spacing).unwrap(), orientation, mask: None }
}

/// Median and largest distance between where places of the organ go and where they should.
fn errors(found: &Registration, truth: impl Fn([f64; 3]) -> [f64; 3]) -> (f64, f64) {
    let mut random = Stream::new(2, 0);
    let mut errors: Vec<f64> = (0..500)
        .map(|_| {
            let place = [1000.0, 1400.0, 1200.0].map(|length| length * (0.25 + 0.5 * random.uniform()));
            let (to, should) = (found.to_moving(place), truth(place));
            (0..3).map(|axis| (to[axis] - should[axis]).powi(2)).sum::<f64>().sqrt()
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    (errors[250], errors[499])
}

#[test]
fn there_are_24_turns() {
    let turns = right_turns();
    assert_eq!(turns.len(), 24);
    assert_eq!(turns[0], Affine::IDENTITY.matrix);
    for (at, turn) in turns.iter().enumerate() {
        assert!((Affine { matrix: *turn, shift: [0.0; 3] }.determinant() - 1.0).abs() < 1e-12);
        assert!(!turns[..at].contains(turn));
    }
}

#[test]
fn affine_maps_are_found_to_a_tenth_of_a_voxel() {
    let fixed = image(organ(SHAPE, UM, |p| p), UM, None);
    // Sampled at other spacings, turned, stretched, shifted.
    let plan = Affine::about(
        [[1.06, 0.10, -0.03], [-0.08, 0.95, 0.05], [0.02, -0.06, 1.02]],
        [500.0, 700.0, 600.0],
        [530.0, 660.0, 640.0],
    );
    let back = plan.inverse().unwrap();
    let um = [50.0, 20.0, 20.0];
    let moving = image(organ([22, 72, 62], um, |p| back.apply(p)), um, None);
    for (similarity, enough) in [(Similarity::Correlation, 2.5), (Similarity::MutualInformation, 5.0)] {
        let options = RegisterOptions { similarity, deform: false, ..Default::default() };
        let found = register(&moving, &fixed, &[], &options, &Ctx::quiet()).unwrap();
        let (median, most) = errors(&found, |p| plan.apply(p));
        assert!(median < enough && most < 4.0 * enough, "{similarity:?}: {median} {most} um; {:?}", found.quality);
        assert!(found.quality.trustworthy() && found.quality.turn == 0, "{:?}", found.quality);
    }
}

#[test]
fn every_turn_is_found_and_headers_are_believed() {
    let fixed = image(organ(SHAPE, UM, |p| p), UM, Some("asr"));
    for (at, turn) in right_turns().iter().enumerate().step_by(5) {
        // The organ's place p lies at turn p + shift of the sample.
        let size: [f64; 3] =
            std::array::from_fn(|row| (0..3).map(|k| turn[row][k].abs() * (SHAPE[k] - 1) as f64 * 25.0).sum());
        let plan = Affine::about(*turn, [487.5, 687.5, 587.5], size.map(|length| 0.5 * length));
        let back = plan.inverse().unwrap();
        let shape = size.map(|length| (length / 25.0).round() as usize + 1);
        let moving = image(organ(shape, UM, |p| back.apply(p)), UM, Some("asr"));
        let options = RegisterOptions { deform: false, ..Default::default() };
        let found = register(&moving, &fixed, &[], &options, &Ctx::quiet()).unwrap();
        assert_eq!(found.quality.turn, at, "{:?}", found.quality);
        assert!(errors(&found, |p| plan.apply(p)).0 < 2.5);
        assert_eq!(found.quality.warnings.is_empty(), at == 0);
        // Trusting a wrong header ends in an honest refusal or a bad fit, never in a good one.
        if at > 0 {
            let options = RegisterOptions { try_orientations: false, ..options };
            let wrong = register(&moving, &fixed, &[], &options, &Ctx::quiet()).unwrap();
            assert!(errors(&wrong, |p| plan.apply(p)).0 > 50.0);
            assert!(wrong.quality.correlation < found.quality.correlation);
        }
    }
    // A sample stored as the header says: no turn, no warning. Its axes are (z reversed, x, y) of the fixed volume's.
    let plan = Affine { matrix: [[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], shift: [975.0, 0.0, 0.0] };
    let moving = image(organ([40, 48, 56], UM, |p| plan.inverse().unwrap().apply(p)), UM, Some("prs"));
    let found = register(&moving, &fixed, &[], &RegisterOptions { deform: false, ..Default::default() }, &Ctx::quiet())
        .unwrap();
    assert!(found.quality.turn == 0 && found.quality.warnings.is_empty(), "{:?}", found.quality);
    assert!(errors(&found, |p| plan.apply(p)).0 < 2.5);
}

/// A smooth deformation of up to 60 um.
fn bend(p: [f64; 3]) -> [f64; 3] {
    [
        p[0] + 50.0 * (p[1] / 260.0).sin() * (p[2] / 300.0).cos(),
        p[1] + 45.0 * (p[2] / 240.0 + 1.0).sin(),
        p[2] + 40.0 * (p[0] / 220.0).cos() * (p[1] / 330.0).sin(),
    ]
}

/// The place that `bend` brings to `goal`.
fn unbend(goal: [f64; 3]) -> [f64; 3] {
    let mut p = goal;
    for _ in 0..60 {
        let to = bend(p);
        p = std::array::from_fn(|axis| p[axis] + goal[axis] - to[axis]);
    }
    p
}

#[test]
fn deformations_are_found_and_lead_home() {
    let fixed = image(organ(SHAPE, UM, |p| p), UM, None);
    let moving = image(organ(SHAPE, UM, unbend), UM, None);
    let options = RegisterOptions { iterations: vec![60, 60, 30], ..Default::default() };
    let run =
        |threads| with_threads(Some(threads), || register(&moving, &fixed, &[], &options, &Ctx::quiet())).unwrap();
    let found = run(1);
    let (median, most) = errors(&found, bend);
    let affine =
        register(&moving, &fixed, &[], &RegisterOptions { deform: false, ..options.clone() }, &Ctx::quiet()).unwrap();
    assert!(errors(&affine, bend).0 > 15.0);
    assert!(median < 5.0 && most < 30.0, "{median} {most} um: {:?}", found.quality);
    assert!(found.quality.folds == 0.0 && found.quality.trustworthy(), "{:?}", found.quality);
    assert!(found.quality.inverse_error < 0.01, "{:?}", found.quality);
    // Exchanging the volumes leads back.
    let other = register(&fixed, &moving, &[], &options, &Ctx::quiet()).unwrap();
    let (median, _) = errors(&found, |p| other.to_fixed(p).0);
    assert!(median < 5.0, "{median}");
    // Same bits for any number of threads.
    let again = run(8);
    assert!(found.field == again.field && found.affine == again.affine && found.quality == again.quality);
}

#[test]
fn noise_makes_no_detail() {
    let mut random = Stream::new(5, 0);
    let mut noisy = |mut voxels: Grid<f32>| {
        voxels.data.iter_mut().for_each(|value| *value += 6.0 * random.normal() as f32);
        image(voxels, UM, None)
    };
    let (fixed, moving) = (noisy(organ(SHAPE, UM, |p| p)), noisy(organ(SHAPE, UM, unbend)));
    let median = |least_detail| {
        let options = RegisterOptions { least_detail, try_orientations: false, ..Default::default() };
        let found = register(&moving, &fixed, &[], &options, &Ctx::quiet()).unwrap();
        assert!(found.quality.folds == 0.0 && found.quality.trustworthy(), "{:?}", found.quality);
        errors(&found, bend).0
    };
    let (without, with) = (median(0.0), median(RegisterOptions::default().least_detail));
    assert!(with < 0.96 * without, "{with} {without} um");
    let wrong = RegisterOptions { least_detail: -1.0, ..Default::default() };
    let error = register(&moving, &fixed, &[], &wrong, &Ctx::quiet()).unwrap_err().to_string();
    assert!(error.contains("least_detail"), "{error}");
}

#[test]
fn images_and_labels_travel() {
    let voxels = organ(SHAPE, UM, |p| p);
    let shift = Affine { shift: [25.0, -50.0, 0.0], ..Affine::IDENTITY };
    let registration = Registration::new(Field::still(SHAPE, UM), shift, (SHAPE, UM), (SHAPE, UM)).unwrap();
    let ctx = Ctx::quiet();
    let seen = registration.warp(&voxels, Interpolation::Linear, false, |value| value as f32, &ctx).unwrap();
    assert_eq!(seen.at(5, 10, 7), voxels.at(6, 8, 7));
    assert_eq!(seen.at(39, 10, 7), 0.0);
    let labels = Grid { shape: SHAPE, data: (0..voxels.len() as u32).map(|at| at + 4_000_000_000).collect() };
    let there = registration.warp(&labels, Interpolation::Nearest, true, |value| value as u32, &ctx).unwrap();
    assert_eq!(there.at(6, 8, 7), labels.at(5, 10, 7));
    assert_eq!(there.at(0, 8, 7), 0);
    let points = [[100.0, 200.0, 300.0], [-40.0, 2000.0, 0.0], [f64::NAN, 0.0, 0.0]];
    let moved = registration.map_points(&points, true, &ctx).unwrap();
    assert_eq!(moved[0], [125.0, 150.0, 300.0]);
    assert_eq!(moved[1], [-15.0, 1950.0, 0.0]);
    assert!(moved[2].iter().all(|value| value.is_nan()));
    assert_eq!(registration.map_points(&moved[..2], false, &ctx).unwrap(), points[..2]);
    assert!(
        registration.warp(&Grid::filled([2, 2, 2], 0f32), Interpolation::Linear, false, |v| v as f32, &ctx).is_err()
    );
}

#[test]
fn bad_images_are_refused_and_bad_fits_said() {
    let good = image(organ(SHAPE, UM, |p| p), UM, None);
    let refused = |moving: &Image| {
        register(moving, &good, &[], &RegisterOptions::default(), &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(refused(&image(Grid::filled(SHAPE, 3.0), UM, None)).contains("moving volume"));
    assert!(refused(&image(Grid::filled([2, 40, 40], 3.0), UM, None)).contains("at least 4"));
    let mut broken = good.clone();
    broken.voxels.data[9] = f32::NAN;
    assert!(refused(&broken).contains("voxel 9"));
    let masked = Image { mask: Some(Grid::filled(SHAPE, 0.0)), ..good.clone() };
    assert!(refused(&masked).contains("mask"));
    // Noise fits nothing, and that is said.
    let mut random = Stream::new(4, 0);
    let noise = Grid { shape: SHAPE, data: (0..good.voxels.len()).map(|_| random.uniform() as f32).collect() };
    let options = RegisterOptions { deform: false, ..Default::default() };
    let found = register(&image(noise, UM, None), &good, &[], &options, &Ctx::quiet()).unwrap();
    assert!(!found.quality.trustworthy(), "{:?}", found.quality);
}

#[test]
fn a_part_finds_its_place() {
    let fixed = image(organ(SHAPE, UM, |p| p), UM, None);
    // The half beyond y = 700, cut through tissue.
    let plan = Affine { shift: [0.0, -700.0, 0.0], ..Affine::IDENTITY };
    let moving = image(organ([40, 28, 48], UM, |p| [p[0], p[1] + 700.0, p[2]]), UM, None);
    let options =
        RegisterOptions { partial: true, try_orientations: false, iterations: vec![40, 40, 20], ..Default::default() };
    let found = register(&moving, &fixed, &[], &options, &Ctx::quiet()).unwrap();
    let mut random = Stream::new(2, 0);
    let mut far: Vec<f64> = (0..300)
        .map(|_| {
            let place =
                [250.0 + 500.0 * random.uniform(), 750.0 + 400.0 * random.uniform(), 300.0 + 600.0 * random.uniform()];
            let (to, should) = (found.to_moving(place), plan.apply(place));
            (0..3).map(|axis| (to[axis] - should[axis]).powi(2)).sum::<f64>().sqrt()
        })
        .collect();
    far.sort_by(f64::total_cmp);
    assert!(far[150] < 5.0, "{} {:?}", far[150], found.quality);
    assert!(found.quality.trustworthy(), "{:?}", found.quality);
}

#[test]
fn landmarks_draw_the_affine_map_and_the_deformation() {
    let fixed = image(organ(SHAPE, UM, |p| p), UM, None);
    let plan = Affine::about(
        [[1.06, 0.10, -0.03], [-0.08, 0.95, 0.05], [0.02, -0.06, 1.02]],
        [500.0, 700.0, 600.0],
        [560.0, 620.0, 690.0],
    );
    let mut random = Stream::new(4, 0);
    let landmarks: Vec<Landmark> = (0..8)
        .map(|_| {
            let fixed = [1000.0, 1400.0, 1200.0].map(|length| length * random.uniform());
            Landmark { moving: plan.apply(fixed), fixed }
        })
        .collect();
    // Nothing to see in the moving volume: the landmarks alone.
    let noise = Grid { shape: SHAPE, data: (0..fixed.voxels.len()).map(|_| random.uniform() as f32).collect() };
    let options = RegisterOptions { deform: false, landmark_weight: 20.0, ..Default::default() };
    let found = register(&image(noise, UM, None), &fixed, &landmarks, &options, &Ctx::quiet()).unwrap();
    assert!(found.quality.landmark_errors.iter().all(|&error| error < 25.0), "{:?}", found.quality);
    // The same volume twice, and one pair that lies 70 micrometres beside: the field follows it near it, and only there.
    let beside = [Landmark { moving: [500.0, 760.0, 636.0], fixed: [500.0, 700.0, 600.0] }];
    for (weight, [least, most]) in [(0.0, [69.0, 71.0]), (1.0, [0.0, 30.0])] {
        let options = RegisterOptions {
            landmark_weight: weight,
            try_orientations: false,
            iterations: vec![30, 30],
            ..Default::default()
        };
        let found = register(&fixed, &fixed, &beside, &options, &Ctx::quiet()).unwrap();
        let error = found.quality.landmark_errors[0];
        assert!((least..most).contains(&error), "{weight}: {error}");
        assert!(found.quality.folds == 0.0 && found.quality.trustworthy(), "{:?}", found.quality);
        let corner = found.to_moving([200.0, 300.0, 250.0]);
        assert!((0..3).all(|axis| (corner[axis] - [200.0, 300.0, 250.0][axis]).abs() < 12.5), "{corner:?}");
    }
    let bad = [Landmark { moving: [f64::NAN; 3], fixed: [0.0; 3] }];
    assert!(register(&fixed, &fixed, &bad, &options, &Ctx::quiet()).unwrap_err().to_string().contains("landmarks"));
}

#[test]
fn channels_count_by_their_weights() {
    let plan = Affine { shift: [40.0, -35.0, 30.0], ..Affine::IDENTITY };
    let mut random = Stream::new(9, 0);
    let mut noise = || Grid { shape: SHAPE, data: (0..107_520).map(|_| random.uniform() as f32).collect() };
    let good = [organ(SHAPE, UM, |p| p), organ(SHAPE, UM, |p| plan.inverse().unwrap().apply(p))];
    let with = |voxels: Grid<f32>, more: Grid<f32>| Image { more: vec![more], ..image(voxels, UM, None) };
    let (fixed, moving) = (with(noise(), good[0].clone()), with(noise(), good[1].clone()));
    let run = |weights: Vec<f64>| {
        let options =
            RegisterOptions { channel_weights: weights, try_orientations: false, deform: false, ..Default::default() };
        register(&moving, &fixed, &[], &options, &Ctx::quiet())
    };
    let found = run(vec![0.0, 3.0]).unwrap();
    assert!(errors(&found, |p| plan.apply(p)).0 < 5.0, "{:?}", found.quality);
    // The channel that shows nothing leads nowhere.
    assert!(errors(&run(vec![1.0, 0.0]).unwrap(), |p| plan.apply(p)).0 > 15.0);
    assert!(run(vec![1.0]).unwrap_err().to_string().contains("channel_weights"));
    assert!(run(vec![1.0, -1.0]).unwrap_err().to_string().contains("channel_weights"));
    let one = image(good[0].clone(), UM, None);
    let error = register(&moving, &one, &[], &RegisterOptions::default(), &Ctx::quiet()).unwrap_err();
    assert!(error.to_string().contains("channels"), "{error}");
    // Twice the same channel is that channel.
    let options =
        RegisterOptions { deform: false, try_orientations: false, compression: 0.0, ..RegisterOptions::default() };
    let single = register(&image(good[1].clone(), UM, None), &one, &[], &options, &Ctx::quiet()).unwrap();
    let (two, other) = (with(good[1].clone(), good[1].clone()), with(good[0].clone(), good[0].clone()));
    let double = register(&two, &other, &[], &options, &Ctx::quiet()).unwrap();
    for row in 0..3 {
        assert!((single.affine.shift[row] - double.affine.shift[row]).abs() < 0.5);
    }
}

#[test]
fn the_finest_level_takes_the_last_smoothing_and_coarser_ones_the_first() {
    let of = |step: &[f64], total: &[f64], levels| {
        let options =
            RegisterOptions { step_smoothing: step.to_vec(), total_smoothing: total.to_vec(), ..Default::default() };
        options.smoothing(levels)
    };
    assert_eq!(of(&[4.0, 2.0], &[1.0], 4), [[4.0, 1.0], [4.0, 1.0], [4.0, 1.0], [2.0, 1.0]]);
    assert_eq!(of(&[3.0], &[1.0, 0.7], 1), [[3.0, 0.7]]);
    assert_eq!(of(&[5.0, 4.0, 3.0], &[3.0, 2.0, 1.0, 0.0], 2), [[4.0, 1.0], [3.0, 0.0]]);
    for wrong in [vec![], vec![1.0, -1.0], vec![f64::NAN]] {
        let options = RegisterOptions { total_smoothing: wrong, ..Default::default() };
        let fixed = image(organ(SHAPE, UM, |p| p), UM, None);
        let error = register(&fixed, &fixed, &[], &options, &Ctx::quiet()).unwrap_err().to_string();
        assert!(error.contains("total_smoothing") && error.contains("0 to 50"), "{error}");
    }
}
