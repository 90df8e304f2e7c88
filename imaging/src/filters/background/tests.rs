use zensaibo_core::data::{Dtype, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::blocks::filled;

type Channel = (VolumeInfo, Grid<f32>);

fn channel(name: &str, shape: [usize; 3], voxel: impl FnMut(usize) -> f64) -> Channel {
    let data = (0..shape.iter().product()).map(voxel).map(|v| v as f32).collect();
    (VolumeInfo::plain(name, shape, Dtype::F32), Grid { shape, data })
}

/// Tissue that varies, its glow in the signal channel, cells in a tenth of the voxels, noise in both.
fn tissue(shape: [usize; 3], slope: impl Fn(usize) -> f64, offset: f64) -> (Channel, Channel, Vec<bool>) {
    let mut random = Stream::new(5, 0);
    let glow = |i: usize| {
        let (z, y, x) = (i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]);
        300.0 + 120.0 * ((y as f64) / 5.0).sin() + 90.0 * ((x as f64) / 7.0).cos() + 5.0 * z as f64
    };
    let background = channel("background", shape, glow);
    let mut cells = Vec::new();
    let signal = channel("signal", shape, |i| {
        let cell = random.uniform() < 0.1;
        cells.push(cell);
        offset + slope(i) * glow(i) + 4.0 * (random.uniform() - 0.5) + if cell { 900.0 } else { 0.0 }
    });
    (signal, background, cells)
}

fn run(
    signal: &Channel,
    background: &Channel,
    options: &SubtractBackgroundOptions,
    memory: Option<u64>,
    threads: usize,
) -> Result<(Vec<f32>, Vec<BackgroundFit>)> {
    let spacing = Spacing::new([2.0, 1.0, 1.0])?;
    with_threads(Some(threads), || {
        filled(signal.0.clone(), |sink| {
            subtract_background(signal, background, spacing, options, sink, memory, &Ctx::quiet())
        })
    })
}

#[test]
fn the_planted_line_is_found_and_cells_are_left() {
    let shape = [10, 60, 70];
    let (signal, background, cells) = tissue(shape, |_| 1.7, 55.0);
    let options = SubtractBackgroundOptions { clip: false, ..Default::default() };
    let (rest, fits) = run(&signal, &background, &options, None, 1).unwrap();
    let line = fits[0].lines.data[0];
    assert!((line.slope - 1.7).abs() < 0.002 && (line.offset - 55.0).abs() < 0.5, "{line:?}");
    for (rest, cell) in rest.iter().zip(&cells) {
        let expected = if *cell { 900.0 } else { 0.0 };
        assert!((rest - expected).abs() < 4.0);
    }
    let clipped = run(&signal, &background, &SubtractBackgroundOptions::default(), None, 2).unwrap().0;
    assert!(clipped.iter().zip(&rest).all(|(c, r)| *c == r.max(0.0)));
}

#[test]
fn windows_follow_a_slope_that_drifts() {
    let shape = [6, 80, 160];
    let drift = |i: usize| 1.0 + (i % 160) as f64 / 160.0;
    let (signal, background, cells) = tissue(shape, drift, 20.0);
    let worst = |options: &SubtractBackgroundOptions| {
        let (rest, _) = run(&signal, &background, options, None, 2).unwrap();
        let far = rest.iter().zip(&cells).map(|(rest, &cell)| (rest - if cell { 900.0 } else { 0.0 }).abs());
        let mut far: Vec<f32> = far.collect();
        far.sort_by(f32::total_cmp);
        far[far.len() * 95 / 100]
    };
    let one = SubtractBackgroundOptions { clip: false, ..Default::default() };
    let local = SubtractBackgroundOptions { window: Some([20.0, 20.0, 16.0]), ..one.clone() };
    let (whole, windows) = (worst(&one), worst(&local));
    assert!(windows < 0.2 * whole, "{windows} against {whole}");
}

#[test]
fn same_bits_for_any_memory_and_threads() {
    let (signal, background, _) = tissue([9, 50, 61], |_| 0.8, 10.0);
    for window in [None, Some([8.0, 20.0, 25.0])] {
        let options = SubtractBackgroundOptions { window, smooth: [2.0, 1.0, 1.0], ..Default::default() };
        let first = run(&signal, &background, &options, None, 1).unwrap();
        for (memory, threads) in [(Some(2 << 20), 1), (None, 2), (Some(8 << 20), 8)] {
            assert!(run(&signal, &background, &options, memory, threads).unwrap() == first);
        }
    }
}

#[test]
fn saturated_voxels_have_no_say_and_are_counted() {
    let (mut signal, background, _) = tissue([8, 40, 40], |_| 1.2, 30.0);
    for at in 0..signal.1.len() {
        if at % 3 == 0 {
            signal.1.data[at] = 4095.0;
        }
    }
    let options = SubtractBackgroundOptions { saturation: Some(4095.0), ..Default::default() };
    let fit = &run(&signal, &background, &options, None, 2).unwrap().1[0];
    assert_eq!(fit.saturated, signal.1.data.iter().filter(|&&v| v >= 4095.0).count() as u64);
    assert!((fit.lines.data[0].slope - 1.2).abs() < 0.003, "{:?}", fit.lines.data[0]);
}

#[test]
fn a_window_without_structure_keeps_the_slope_of_the_whole() {
    let shape = [4, 40, 80];
    let (mut signal, mut background, _) = tissue(shape, |_| 1.5, 12.0);
    let mut random = Stream::new(9, 1);
    for at in 0..signal.1.len() {
        if at % 80 < 40 {
            background.1.data[at] = 200.0 + 0.1 * random.uniform() as f32;
            signal.1.data[at] = 400.0 + 3.0 * random.uniform() as f32;
        }
    }
    let options = SubtractBackgroundOptions { window: Some([8.0, 40.0, 40.0]), clip: false, ..Default::default() };
    let (_, fits) = run(&signal, &background, &options, None, 1).unwrap();
    let [left, right] = fits[0].lines.data[..] else { panic!() };
    assert!((right.slope - 1.5).abs() < 0.01, "{right:?}");
    assert!((left.offset + left.slope * 200.05 - 401.5).abs() < 0.5, "{left:?}");
    assert!(left.slope < 5.0 && left.slope >= 0.0, "{left:?}");
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let shape = [4, 20, 20];
    let (signal, background, _) = tissue(shape, |_| 1.0, 0.0);
    let message = |signal: &Channel, background: &Channel, options: &SubtractBackgroundOptions| {
        run(signal, background, options, None, 1).unwrap_err().to_string()
    };
    let plain = SubtractBackgroundOptions::default();
    let flat = channel("flat", shape, |_| 100.0);
    assert!(message(&signal, &flat, &plain).contains("vary"));
    let other = channel("other", [4, 20, 21], |_| 1.0);
    assert!(message(&signal, &other, &plain).contains("shape"));
    let all = SubtractBackgroundOptions { saturation: Some(-1.0), ..plain.clone() };
    assert!(message(&signal, &background, &all).contains("32 voxels"));
    let mut holed = signal.clone();
    holed.1.data[7] = f32::NAN;
    assert!(message(&holed, &background, &plain).contains("NaN"));
    let bad = SubtractBackgroundOptions { window: Some([0.0; 3]), ..plain };
    assert!(message(&signal, &background, &bad).contains("window"));
}
