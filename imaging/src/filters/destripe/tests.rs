use zensaibo_core::data::{Dtype, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::blocks::filled;

type Volume = (VolumeInfo, Grid<f32>);

/// Smooth tissue with round cells, and stripes along x: each line has an offset of its own.
fn tissue(shape: [usize; 3], stripe: f64) -> (Volume, Volume) {
    let mut random = Stream::new(11, 0);
    let lines: Vec<f64> = (0..shape[0] * shape[1]).map(|_| stripe * (random.uniform() - 0.5)).collect();
    let clean = |i: usize| {
        let (y, x) = ((i / shape[2] % shape[1]) as f64, (i % shape[2]) as f64);
        let cell = (-((y % 32.0 - 16.0).powi(2) + (x % 32.0 - 16.0).powi(2)) / 18.0).exp();
        500.0 + 60.0 * (y / 40.0).sin() + 50.0 * (x / 50.0).cos() + 300.0 * cell
    };
    let n: usize = shape.iter().product();
    let make = |voxel: &dyn Fn(usize) -> f64| {
        (
            VolumeInfo::plain("tissue", shape, Dtype::F32),
            Grid { shape, data: (0..n).map(|i| voxel(i) as f32).collect() },
        )
    };
    (make(&clean), make(&|i| clean(i) + lines[i / shape[2]]))
}

fn run(volume: &Volume, options: &DestripeOptions, memory: Option<u64>, threads: usize) -> Result<Grid<f32>> {
    let spacing = Spacing::new([5.0, 2.0, 2.0])?;
    let job = || filled(volume.0.clone(), |sink| destripe(volume, spacing, options, sink, memory, &Ctx::quiet()));
    Ok(Grid { shape: volume.1.shape, data: with_threads(Some(threads), job)?.0 })
}

/// Root mean square difference, less the difference of the means.
fn far(a: &Grid<f32>, b: &Grid<f32>) -> f64 {
    let difference: Vec<f64> = a.data.iter().zip(&b.data).map(|(a, b)| f64::from(a - b)).collect();
    let mean = difference.iter().sum::<f64>() / difference.len() as f64;
    (difference.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / difference.len() as f64).sqrt()
}

#[test]
fn planted_stripes_go_and_cells_stay() {
    let (clean, striped) = tissue([2, 192, 256], 120.0);
    let options = DestripeOptions { length: 250.0, wavelet: 5, ..Default::default() };
    let result = run(&striped, &options, None, 2).unwrap();
    let (before, after) = (far(&striped.1, &clean.1), far(&result, &clean.1));
    assert!(after < 0.45 * before, "{after} after {before}");
    let untouched = run(&clean, &options, None, 1).unwrap();
    // These cells stand in lines, so that a little of them is stripe as well.
    let changed = far(&untouched, &clean.1);
    assert!(changed < 0.45 * before, "{changed}");
    // The other way round: stripes along y.
    let turn = |volume: &Volume| {
        let [depth, height, width] = volume.1.shape;
        let mut data = Vec::new();
        for plane in volume.1.data.chunks_exact(height * width) {
            data.extend(transposed(&Grid { shape: [1, height, width], data: plane.to_vec() }).data);
        }
        let shape = [depth, width, height];
        (VolumeInfo::plain("turned", shape, Dtype::F32), Grid { shape, data })
    };
    let other = run(&turn(&striped), &DestripeOptions { along: Along::Y, ..options }, None, 1).unwrap();
    assert!(other == turn(&(striped.0.clone(), result)).1);
}

#[test]
fn only_what_is_constant_along_the_stripe_is_damped() {
    // With the Fourier sum by its definition: every coefficient of each column times its damping.
    let mut random = Stream::new(4, 0);
    for n in [16, 17] {
        let (width, s) = (3, 1.3f64);
        let shape = [1, n, width];
        let mut band = Grid { shape, data: (0..n * width).map(|_| random.uniform() as f32).collect() };
        let before = band.clone();
        damp(&mut band, s);
        for x in 0..width {
            for y in 0..n {
                let mut expected = 0.0;
                for k in 0..n {
                    let frequency = k.min(n - k) as f64;
                    let factor = 1.0 - (-0.5 * (frequency / s).powi(2)).exp();
                    for other in 0..n {
                        let angle = std::f64::consts::TAU * (k * (n + y - other) % n) as f64 / n as f64;
                        expected += factor * f64::from(before.at(0, other, x)) * angle.cos() / n as f64;
                    }
                }
                assert!((f64::from(band.at(0, y, x)) - expected).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn same_bits_for_any_memory_and_threads() {
    let (_, striped) = tissue([5, 70, 61], 50.0);
    for log in [false, true] {
        let options = DestripeOptions { log, ..Default::default() };
        let first = run(&striped, &options, None, 1).unwrap();
        for (memory, threads) in [(Some(400 << 10), 1), (None, 2), (None, 8)] {
            assert!(run(&striped, &options, memory, threads).unwrap() == first);
        }
        let refused = run(&striped, &options, Some(50 << 10), 1).unwrap_err().to_string();
        assert!(refused.contains("planes") && refused.contains("MiB"), "{refused}");
    }
}

#[test]
fn shadows_that_multiply_go_in_the_logarithm() {
    let (clean, mut striped) = tissue([1, 192, 256], 0.0);
    let mut random = Stream::new(13, 0);
    let shade: Vec<f32> = (0..192).map(|_| 0.7 + 0.3 * random.uniform() as f32).collect();
    striped.1.data.iter_mut().enumerate().for_each(|(i, v)| *v *= shade[i / 256]);
    let options = DestripeOptions { length: 250.0, wavelet: 5, ..Default::default() };
    let relative = |result: &Grid<f32>| {
        let ratio: Vec<f32> = result.data.iter().zip(&clean.1.data).map(|(a, b)| (a / b).ln()).collect();
        let ratio = Grid { shape: result.shape, data: ratio };
        far(&ratio, &Grid::filled(result.shape, 0.0))
    };
    let plain = relative(&run(&striped, &options, None, 1).unwrap());
    let log = relative(&run(&striped, &DestripeOptions { log: true, ..options }, None, 1).unwrap());
    assert!(log < 0.4 * relative(&striped.1) && log < plain, "{log} {plain}");
}

#[test]
fn bad_input_is_refused() {
    let (_, mut volume) = tissue([1, 40, 40], 1.0);
    let message = |volume: &Volume, options| run(volume, &options, None, 1).unwrap_err().to_string();
    let plain = DestripeOptions::default();
    assert!(message(&volume, DestripeOptions { levels: Some(9), ..plain.clone() }).contains("levels"));
    assert!(message(&volume, DestripeOptions { length: 0.0, ..plain.clone() }).contains("length"));
    assert!(message(&volume, DestripeOptions { wavelet: 11, ..plain.clone() }).contains("wavelet"));
    let (_, small) = tissue([1, 4, 40], 1.0);
    assert!(message(&small, plain.clone()).contains("large enough"));
    volume.1.data[3] = -1.0;
    assert!(message(&volume, DestripeOptions { log: true, ..plain.clone() }).contains("log"));
    volume.1.data[3] = f32::NAN;
    assert!(message(&volume, plain).contains("NaN"));
}

/// Numbers of a golden file.
fn golden(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect()
}

#[test]
fn equals_the_reference_on_its_planes() {
    macro_rules! case {
        ($number:literal) => {
            (
                golden(include_bytes!(concat!("../../../tests/golden/destripe/image_", $number, ".f32"))),
                golden(include_bytes!(concat!("../../../tests/golden/destripe/expected_", $number, ".f32"))),
            )
        };
    }
    let cases =
        [([48, 64], 3, 3, 2.5, case!("0")), ([37, 53], 1, 5, 1.0, case!("1")), ([60, 45], 7, 1, 6.0, case!("2"))];
    for ([height, width], wavelet, levels, s, (image, expected)) in cases {
        let shape = [1, height, width];
        let volume = (VolumeInfo::plain("golden", shape, Dtype::F32), Grid { shape, data: image });
        // Lines are 2 um apart.
        let length = height as f64 * 2.0 / s;
        let options = DestripeOptions { along: Along::Y, length, wavelet, levels: Some(levels), log: false };
        let found = run(&volume, &options, None, 1).unwrap();
        let worst = found.data.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Some float32 epsilons of voxels of about 100.
        assert!(worst < 1e-4, "{worst}");
    }
}
