use zensaibo_core::data::{Dtype, Grid, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::cosine::Basis;
use super::*;
use crate::blocks::filled;

type Volume = (VolumeInfo, Grid<f32>);

/// Vignetting that is brightest off the middle; mean 1.
fn vignette(size: [usize; 2]) -> Vec<f64> {
    let mut out = Vec::new();
    for y in 0..size[0] {
        for x in 0..size[1] {
            let (y, x) = (y as f64 / size[0] as f64 - 0.55, x as f64 / size[1] as f64 - 0.4);
            out.push((-(y * y + x * x) / 0.6).exp());
        }
    }
    let mean = out.iter().sum::<f64>() / out.len() as f64;
    out.iter().map(|value| value / mean).collect()
}

/// Planes of uneven tissue with `cells` bright cells each, behind a flat- and a dark-field, and noise.
fn planes(
    count: usize,
    size: [usize; 2],
    cells: usize,
    dark: &dyn Fn(usize, usize) -> f64,
    noise: f64,
    seed: u64,
) -> Volume {
    let flat = vignette(size);
    let mut data = Vec::new();
    for plane in 0..count {
        let mut random = Stream::new(seed, plane as u64);
        let level = 300.0 * (0.4 + 1.2 * random.uniform());
        let [slope_y, slope_x] = [random.uniform() - 0.5, random.uniform() - 0.5];
        let spots: Vec<[f64; 2]> =
            (0..cells).map(|_| [random.uniform() * size[0] as f64, random.uniform() * size[1] as f64]).collect();
        for y in 0..size[0] {
            for x in 0..size[1] {
                let tissue = 1.0
                    + 0.2 * slope_y * (y as f64 / size[0] as f64 - 0.5)
                    + 0.2 * slope_x * (x as f64 / size[1] as f64 - 0.5);
                let cell = spots.iter().any(|s| (s[0] - y as f64).powi(2) + (s[1] - x as f64).powi(2) < 16.0);
                let light = level * tissue + if cell { 3000.0 } else { 0.0 };
                let value = light * flat[y * size[1] + x] + dark(y, x) + noise * random.normal();
                data.push(value.round().clamp(0.0, 65535.0) as f32);
            }
        }
    }
    let shape = [count, size[0], size[1]];
    (VolumeInfo::plain("planes", shape, Dtype::F32), Grid { shape, data })
}

fn estimate(volume: &Volume, options: &FlatFieldOptions) -> Result<Shading> {
    estimate_flatfield(&[volume], options, &Ctx::quiet()).map(|mut all| all.remove(0))
}

/// Root mean square and greatest error of a flat-field.
fn errors(found: &Grid<f32>, size: [usize; 2]) -> (f64, f64) {
    let far: Vec<f64> = found.data.iter().zip(vignette(size)).map(|(&a, b)| f64::from(a) - b).collect();
    let root = (far.iter().map(|d| d * d).sum::<f64>() / far.len() as f64).sqrt();
    (root, far.iter().fold(0.0, |most, d| d.abs().max(most)))
}

#[test]
fn cosines_come_back() {
    let size = [9, 14];
    let mut random = Stream::new(2, 0);
    let image: Vec<f64> = (0..126).map(|_| random.normal()).collect();
    let found = Basis::new(size).forward(&image);
    assert!(found.at(size).iter().zip(&image).all(|(a, b)| (a - b).abs() < 1e-12));
    let square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
    assert!((square(&found.coefficients) / square(&image) - 1.0).abs() < 1e-12);
    assert!((found.mean() - image.iter().sum::<f64>() / 126.0).abs() < 1e-12);
    // A constant stays one at any size.
    let flat = Basis::new(size).forward(&[3.0; 126]);
    assert!(flat.at([31, 5]).iter().all(|v| (v - 3.0).abs() < 1e-12));
}

#[test]
fn known_vignetting_is_found_behind_tissue_and_cells() {
    let size = [120, 150];
    let volume = planes(60, size, 20, &|_, _| 0.0, 6.0, 1);
    let shading = estimate(&volume, &FlatFieldOptions::default()).unwrap();
    let (root, most) = errors(&shading.flat, size);
    assert!(root < 0.01 && most < 0.05, "{root} {most}");
    assert!(shading.dark.data.iter().all(|&d| d == 0.0) && shading.saturated == 0);
    assert_eq!(shading.baseline.len(), 60);
    let mean = shading.flat.data.iter().map(|&v| f64::from(v)).sum::<f64>() / shading.flat.data.len() as f64;
    assert!((mean - 1.0).abs() < 1e-3);
    // The offset of a camera, known.
    let offset = planes(60, size, 20, &|_, _| 100.0, 6.0, 1);
    let known = estimate(&offset, &FlatFieldOptions { offset: 100.0, ..Default::default() }).unwrap();
    assert!(errors(&known.flat, size).0 < 0.01);
    assert!(known.dark.data.iter().all(|&d| d == 100.0));
}

#[test]
fn a_dark_field_is_found_too() {
    let size = [96, 128];
    for (seed, dark) in [(3, (&|_, _| 120.0) as &dyn Fn(usize, usize) -> f64), (4, &|y, _| 80.0 + y as f64 / 4.0)] {
        let volume = planes(80, size, 10, dark, 4.0, seed);
        let shading = estimate(&volume, &FlatFieldOptions { darkfield: true, ..Default::default() }).unwrap();
        let (root, most) = errors(&shading.flat, size);
        assert!(root < 0.02 && most < 0.1, "{root} {most}");
        let far = |i: usize| (f64::from(shading.dark.data[i]) - dark(i / size[1], i % size[1])).abs();
        let mean = (0..shading.dark.data.len()).map(far).sum::<f64>() / shading.dark.data.len() as f64;
        // Tissue of 80 planes leaves the dark level known to a tenth, 3 % of the light.
        assert!(mean < 12.0, "{mean} counts off");
    }
}

#[test]
fn few_saturated_and_empty_images() {
    let size = [80, 80];
    let few = planes(8, size, 5, &|_, _| 0.0, 3.0, 5);
    assert!(errors(&estimate(&few, &FlatFieldOptions::default()).unwrap().flat, size).0 < 0.03);
    // A third of the planes saturated in a corner, one all over, one dark.
    let mut volume = planes(40, size, 5, &|_, _| 0.0, 3.0, 6);
    let plane = size[0] * size[1];
    for (i, value) in volume.1.data.iter_mut().enumerate() {
        let (z, y, x) = (i / plane, i / size[1] % size[0], i % size[1]);
        if (z % 3 == 0 && y < 25 && x < 25) || z == 7 {
            *value = 65535.0;
        } else if z == 11 {
            *value = 0.0;
        }
    }
    let options = FlatFieldOptions { saturation: Some(65535.0), ..Default::default() };
    let found = estimate(&volume, &options).unwrap();
    assert_eq!((found.saturated, found.baseline.len()), (1, 39));
    let (root, most) = errors(&found.flat, size);
    assert!(root < 0.015 && most < 0.08, "{root} {most}");
    // Half of each image empty, another half each time: ranks are compared.
    let mut halves = planes(60, size, 0, &|_, _| 0.0, 3.0, 7);
    for (i, value) in halves.1.data.iter_mut().enumerate() {
        let (z, y, x) = (i / plane, i / size[1] % size[0], i % size[1]);
        let side = if z % 2 == 0 { x } else { y };
        if (z / 2 % 2 == 0) == (side < 40) {
            *value *= 0.1;
        }
    }
    let sorted = estimate(&halves, &FlatFieldOptions { sort: true, ..Default::default() }).unwrap();
    assert!(errors(&sorted.flat, size).0 < 0.03, "{:?}", errors(&sorted.flat, size));
}

#[test]
fn constant_images_have_no_shading() {
    let shape = [6, 40, 50];
    let data = (0..6 * 2000).map(|i| (100 * (1 + i / 2000)) as f32).collect();
    let volume = (VolumeInfo::plain("constant", shape, Dtype::F32), Grid { shape, data });
    let found = estimate(&volume, &FlatFieldOptions::default()).unwrap();
    assert!(found.flat.data.iter().all(|v| (v - 1.0).abs() < 1e-6));
    assert!(found.baseline.iter().enumerate().all(|(i, b)| (b - 100.0 * (i + 1) as f64).abs() < 1e-3));
    let both = estimate(&volume, &FlatFieldOptions { darkfield: true, ..Default::default() }).unwrap();
    assert!(both.flat.data.iter().all(|v| (v - 1.0).abs() < 1e-6));
    assert!(both.dark.data.iter().all(|v| v.abs() < 1e-3));
}

#[test]
fn threads_and_cuts_change_nothing() {
    let size = [70, 90];
    let volume = planes(20, size, 5, &|_, _| 30.0, 3.0, 8);
    let options = FlatFieldOptions { darkfield: true, ..Default::default() };
    let run = |threads| with_threads(Some(threads), || estimate(&volume, &options)).unwrap();
    let one = run(1);
    assert!(run(2) == one && run(8) == one);
    let fields = [(one.flat.clone(), one.dark.clone())];
    let apply = |threads, memory| {
        let job = || {
            filled::<f32, _>(volume.0.clone(), |sink| apply_flatfield(&volume, &fields, sink, memory, &Ctx::quiet()))
        };
        with_threads(Some(threads), job).unwrap().0
    };
    let whole = apply(1, None);
    assert!(apply(2, Some(1 << 20)) == whole && apply(8, Some(3 << 20)) == whole);
    for (i, &value) in whole.iter().enumerate() {
        let at = i % (size[0] * size[1]);
        let expected = (volume.1.data[i] - one.dark.data[at]) / one.flat.data[at];
        assert!((value - expected).abs() <= 1e-5 * expected.abs() + 1e-5);
    }
}

#[test]
fn what_cannot_be_told_is_refused() {
    let volume = planes(5, [20, 20], 0, &|_, _| 0.0, 1.0, 9);
    let message = |volume: &Volume, options: &FlatFieldOptions| estimate(volume, options).unwrap_err().to_string();
    for (options, word) in [
        (FlatFieldOptions { max_images: 2, ..Default::default() }, "max_images"),
        (FlatFieldOptions { working_size: 4, ..Default::default() }, "working_size"),
        (FlatFieldOptions { smoothness: 0.0, ..Default::default() }, "smoothness"),
        (FlatFieldOptions { offset: f64::NAN, ..Default::default() }, "offset"),
        (FlatFieldOptions { saturation: Some(f64::INFINITY), ..Default::default() }, "saturation"),
        (FlatFieldOptions { saturation: Some(1.0), ..Default::default() }, "not saturated"),
        (FlatFieldOptions { offset: 1e6, ..Default::default() }, "light"),
    ] {
        assert!(message(&volume, &options).contains(word), "{options:?}: {}", message(&volume, &options));
    }
    let mut bad = planes(5, [20, 20], 0, &|_, _| 0.0, 1.0, 9);
    bad.1.data[777] = f32::NAN;
    assert!(message(&bad, &FlatFieldOptions::default()).contains("NaN"));
    let two = planes(2, [20, 20], 0, &|_, _| 0.0, 1.0, 9);
    assert!(message(&two, &FlatFieldOptions::default()).contains("at least 3"));
    let same = (volume.0.clone(), Grid { shape: [5, 20, 20], data: vec![50.0f32; 2000] });
    assert!(message(&same, &FlatFieldOptions { darkfield: true, ..Default::default() }).contains("1 %"));
    let other = planes(5, [20, 21], 0, &|_, _| 0.0, 1.0, 9);
    let shapes = estimate_flatfield(&[&volume, &other], &FlatFieldOptions::default(), &Ctx::quiet());
    assert!(shapes.unwrap_err().to_string().contains("20 x 21"));
    assert!(estimate_flatfield(&[], &FlatFieldOptions::default(), &Ctx::quiet()).is_err());
    let field = |value: f32, width: usize| Grid { shape: [1, 20, width], data: vec![value; 20 * width] };
    let refused = |flat: Grid<f32>, dark: Grid<f32>| {
        let job = filled::<f32, _>(volume.0.clone(), |sink| {
            apply_flatfield(&volume, &[(flat, dark)], sink, None, &Ctx::quiet())
        });
        job.unwrap_err().to_string()
    };
    assert!(refused(field(0.0, 20), field(0.0, 20)).contains("above 0"));
    assert!(refused(field(1.0, 20), field(f32::NAN, 20)).contains("darkfield"));
    assert!(refused(field(1.0, 21), field(0.0, 20)).contains("20 x 21"));
}
