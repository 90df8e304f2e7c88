//! Tests of the protein transforms.

use super::*;
use crate::Ctx;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

fn sparse(dense: &[f32], n: usize, g: usize) -> Csr {
    crate::matrix::collect(&DenseView::new(n, g, ValueSlice::F32(dense)).unwrap(), &Ctx::quiet()).unwrap()
}

#[test]
fn centred_log_ratios_by_hand() {
    let dense = [1.0f32, 0.0, 3.0, 7.0, 0.0, 2.0];
    let matrix = sparse(&dense, 2, 3);
    for axis in [0, 1] {
        let found = clr(&matrix, &ClrOptions { axis }, &Ctx::quiet()).unwrap();
        assert_eq!((&found.indptr, &found.indices), (&matrix.indptr, &matrix.indices));
        for cell in 0..2 {
            for (&feature, &value) in found.row(cell).0.iter().zip(found.row(cell).1) {
                let group: Vec<f64> = if axis == 0 {
                    (0..2).map(|row| f64::from(dense[row * 3 + feature as usize])).collect()
                } else {
                    dense[cell * 3..cell * 3 + 3].iter().map(|&x| f64::from(x)).collect()
                };
                let centre = (group.iter().map(|x| x.ln_1p()).sum::<f64>() / group.len() as f64).exp();
                let expected = (f64::from(dense[cell * 3 + feature as usize]) / centre).ln_1p();
                assert!((f64::from(value) - expected).abs() < 1e-7);
            }
        }
    }
    assert_eq!(clr(&Csr::empty(0, 3), &ClrOptions { axis: 0 }, &Ctx::quiet()).unwrap().n_rows, 0);
    assert_eq!(clr(&Csr::empty(2, 0), &ClrOptions { axis: 1 }, &Ctx::quiet()).unwrap().n_cols, 0);
    let fault = |value, axis| clr(&sparse(&[1.0, value], 1, 2), &ClrOptions { axis }, &Ctx::quiet()).unwrap_err();
    for axis in [0, 1] {
        assert!(fault(-1.0, axis).to_string().contains("-1 in row 0, column 1"));
        assert!(fault(f32::NAN, axis).to_string().contains("NaN"));
    }
    assert!(fault(1.0, 2).to_string().contains("axis"));
}

#[test]
fn the_lower_of_two_means_is_found() {
    let mut stream = Stream::new(1, 0);
    for (share, spread) in [(0.5, 0.3), (0.8, 0.2), (0.3, 0.5)] {
        let values: Vec<f64> = (0..400)
            .map(
                |_| if stream.uniform() < share { 1.0 + 0.3 * stream.normal() } else { 5.0 + spread * stream.normal() },
            )
            .collect();
        assert!((lower_mean(&values) - 1.0).abs() < 0.08, "{}", lower_mean(&values));
    }
    assert_eq!(lower_mean(&[2.0; 9]), 2.0);
    assert_eq!(lower_mean(&[1.0, 3.0]), 2.0);
}

/// Cells with a technical factor of their own, background everywhere, signal in half of the cells for two proteins;
/// and empty droplets. 20 proteins, the last two isotype controls.
fn planted(n: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let mut stream = Stream::new(5, 0);
    let (mut cells, mut empty, mut factors) = (Vec::new(), Vec::new(), Vec::new());
    for cell in 0..n {
        let factor = (0.4 * stream.normal()).exp();
        factors.push(factor.ln());
        for protein in 0..20 {
            let level = 12.0 + protein as f64;
            let signal = if protein % 4 == cell % 4 && protein < 18 { 15.0 } else { 1.0 };
            cells.push((level * factor * signal * (0.15 * stream.normal()).exp()).round());
        }
    }
    for _ in 0..500 {
        empty.extend((0..20).map(|protein| ((12.0 + protein as f64) * 0.5 * (0.3 * stream.normal()).exp()).round()));
    }
    (cells, empty, factors)
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let product =
        |x: &[f64], mx: f64, y: &[f64], my: f64| x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>();
    product(a, ma, b, mb) / (product(a, ma, a, ma) * product(b, mb, b, mb)).sqrt()
}

#[test]
fn what_is_technical_is_taken_off() {
    let (cells, empty, factors) = planted(600);
    for isotypes in [&[][..], &[18, 19][..]] {
        let raw = DsbOptions { denoise_counts: false, ..DsbOptions::default() };
        let raw = dsb(&cells, &empty, 20, isotypes, &raw, &Ctx::quiet()).unwrap();
        let found = dsb(&cells, &empty, 20, isotypes, &DsbOptions::default(), &Ctx::quiet()).unwrap();
        assert!(correlation(&found.technical, &factors).abs() > 0.85, "{}", correlation(&found.technical, &factors));
        // A protein without signal followed the factor, and no longer does.
        let control = |table: &[f64]| -> Vec<f64> { table.iter().skip(18).step_by(20).copied().collect() };
        assert!(correlation(&control(&raw.values), &factors) > 0.85);
        assert!(correlation(&control(&found.values), &factors).abs() < 0.5);
        assert!(correlation(&control(&found.values), &found.technical).abs() < 0.6);
    }
}

#[test]
fn scaling_by_hand() {
    let cells = [10.0, 0.0, 3.0, 8.0];
    let empty = [1.0, 2.0, 3.0, 2.5, 0.0, 7.0];
    let options = DsbOptions { denoise_counts: false, pseudocount: 1.0, ..DsbOptions::default() };
    let found = dsb(&cells, &empty, 2, &[], &options, &Ctx::quiet()).unwrap();
    let logs = [2f64.ln(), 4f64.ln(), 1f64.ln()];
    let mean = logs.iter().sum::<f64>() / 3.0;
    let sd = (logs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    assert!((found.values[0] - (11f64.ln() - mean) / sd).abs() < 1e-12);
    let centred = dsb(
        &cells,
        &empty,
        2,
        &[],
        &DsbOptions { scale_factor: Scale::MeanSubtract, ..options.clone() },
        &Ctx::quiet(),
    );
    assert!((centred.unwrap().values[0] - (11f64.ln() - mean)).abs() < 1e-12);
    let clipped = DsbOptions { quantile_clipping: true, quantile_clip: [0.0, 0.5], ..options };
    let clipped = dsb(&cells, &empty, 2, &[], &clipped, &Ctx::quiet()).unwrap();
    assert!((clipped.values[0] - (found.values[0] + found.values[2]) / 2.0).abs() < 1e-12);
}

#[test]
fn the_same_bits_for_threads_and_layouts() {
    let (cells, empty, _) = planted(300);
    let run = |threads| {
        with_threads(Some(threads), || dsb(&cells, &empty, 20, &[18, 19], &DsbOptions::default(), &Ctx::quiet()))
            .unwrap()
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
    let floats: Vec<f32> = cells.iter().map(|&x| x as f32).collect();
    let view = DenseView::new(300, 20, ValueSlice::F32(&floats)).unwrap();
    for axis in [0, 1] {
        let options = ClrOptions { axis };
        let one = with_threads(Some(1), || clr(&view, &options, &Ctx::quiet())).unwrap();
        assert_eq!(with_threads(Some(8), || clr(&sparse(&floats, 300, 20), &options, &Ctx::quiet())).unwrap(), one);
    }
}

#[test]
fn bad_input_is_named() {
    let (cells, empty, _) = planted(10);
    let options = DsbOptions::default;
    let fault = |cells: &[f64], empty: &[f64], isotypes: &[usize], options: DsbOptions| {
        dsb(cells, empty, 20, isotypes, &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&cells[..7], &empty, &[], options()).contains("rows of 20 proteins"));
    assert!(fault(&cells, &[], &[], options()).contains("empty droplets"));
    assert!(fault(&cells, &empty[..20], &[], options()).contains("at least 2"));
    assert!(fault(&cells, &empty, &[20], options()).contains("isotype_controls"));
    let mut bad = cells.clone();
    bad[25] = -1.0;
    assert!(fault(&bad, &empty, &[], options()).contains("-1 in row 1, protein 5"));
    assert!(fault(&cells, &[4.0; 40], &[], options()).contains("protein 0"));
    assert!(fault(&cells[..20], &empty, &[], options()).contains("1 cells and 20 proteins"));
    assert!(fault(&cells, &empty, &[], DsbOptions { pseudocount: 0.0, ..options() }).contains("pseudocount"));
    assert!(
        fault(&cells, &empty, &[], DsbOptions { quantile_clip: [0.9, 0.1], ..options() }).contains("quantile_clip")
    );
}
