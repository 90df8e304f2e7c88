//! Least squares of what is not negative, and spots that are made of known types.

use ndarray::Array2;
use zensaibo_core::matrix::{DenseView, ValueSlice};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, Error};

use crate::{DeconvolveOptions, Signatures, Weighting, deconvolve, nnls};

/// Every subset of columns, fitted without bounds by elimination: the best of those without negative values.
fn slowly(a: &Array2<f64>, b: &[f64]) -> (Vec<f64>, f64) {
    let t = a.ncols();
    let rest = |x: &[f64]| -> f64 {
        a.rows()
            .into_iter()
            .zip(b)
            .map(|(row, b)| (row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>() - b).powi(2))
            .sum()
    };
    let mut best = (vec![0.0; t], rest(&vec![0.0; t]));
    for subset in 1u32..1 << t {
        let used: Vec<usize> = (0..t).filter(|i| subset >> i & 1 == 1).collect();
        let gram = Array2::from_shape_fn((used.len(), used.len()), |(i, j)| a.column(used[i]).dot(&a.column(used[j])));
        let right = Array2::from_shape_fn((used.len(), 1), |(i, _)| {
            a.column(used[i]).iter().zip(b).map(|(a, b)| a * b).sum::<f64>()
        });
        let Ok(solved) = zensaibo_linalg::solve_positive(gram.view(), right.view()) else { continue };
        let mut x = vec![0.0; t];
        used.iter().zip(&solved).for_each(|(&i, &value)| x[i] = value);
        if x.iter().all(|&x| x >= 0.0) && rest(&x) < best.1 {
            best = (x.clone(), rest(&x));
        }
    }
    best
}

#[test]
fn nnls_finds_the_best_of_all_subsets() {
    for seed in 0..200 {
        let mut stream = Stream::new(seed, 0);
        let (m, t) = (3 + stream.below(9) as usize, 1 + stream.below(6) as usize);
        // Columns of one sign are alike, which is where signatures lie.
        let shift = if seed % 2 == 0 { 1.0 } else { 0.0 };
        let a = Array2::from_shape_fn((m, t), |_| shift + stream.normal() * 0.7);
        let b: Vec<f64> = (0..m).map(|_| shift + stream.normal()).collect();
        let gram = a.t().dot(&a);
        let product: Vec<f64> = (0..t).map(|i| a.column(i).iter().zip(&b).map(|(a, b)| a * b).sum::<f64>()).collect();
        let x = nnls(gram.view(), &product).unwrap();
        let (best, rest) = slowly(&a, &b);
        let found: f64 = a
            .rows()
            .into_iter()
            .zip(&b)
            .map(|(row, b)| (row.iter().zip(&x).map(|(a, x)| a * x).sum::<f64>() - b).powi(2))
            .sum();
        assert!(x.iter().all(|&x| x >= 0.0));
        assert!(found <= rest + 1e-9 * (1.0 + rest), "{seed}: {found} {rest} {x:?} {best:?}");
    }
}

#[test]
fn nnls_of_odd_systems() {
    // Two columns that are the same, one that is zero, and nothing to explain.
    let a = ndarray::array![[1.0, 1.0, 0.0, 2.0], [2.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    let x = nnls(a.t().dot(&a).view(), &a.t().dot(&ndarray::array![3.0, 2.0, 1.0]).to_vec()).unwrap();
    assert!((x[0] + x[1] - 1.0).abs() < 1e-12 && x[0] * x[1] == 0.0 && x[2] == 0.0 && (x[3] - 1.0).abs() < 1e-12);
    assert_eq!(nnls(a.t().dot(&a).view(), &[0.0; 4]).unwrap(), [0.0; 4]);
    assert_eq!(nnls(a.t().dot(&a).view(), &[-1.0, -1.0, 0.0, -3.0]).unwrap(), [0.0; 4]);
    assert!(nnls(a.t().dot(&a).view(), &[0.0; 3]).is_err());
    assert!(nnls(a.t().dot(&a).view(), &[f64::NAN; 4]).is_err());
}

/// Signatures and variances of t types, and s spots mixed of them.
fn mixed(t: usize, g: usize, s: usize) -> (Vec<f64>, Vec<f64>, Vec<f32>, Vec<f64>) {
    let mut stream = Stream::new(11, 0);
    let mean: Vec<f64> = (0..t * g).map(|_| (8.0 * stream.uniform().powi(3)).floor()).collect();
    let variance: Vec<f64> = mean.iter().map(|mean| mean * (1.0 + stream.uniform())).collect();
    let abundance: Vec<f64> = (0..s * t).map(|_| stream.below(4) as f64).collect();
    let spots = (0..s * g)
        .map(|at| (0..t).map(|kind| abundance[at / g * t + kind] * mean[kind * g + at % g]).sum::<f64>() as f32)
        .collect();
    (mean, variance, spots, abundance)
}

#[test]
fn mixtures_without_noise_are_taken_apart_for_any_number_of_threads() {
    let (t, g, s) = (5, 60, 300);
    let (mean, variance, spots, abundance) = mixed(t, g, s);
    let signatures = Signatures { n_types: t, mean: &mean, variance: &variance };
    let view = DenseView::new(s, g, ValueSlice::F32(&spots)).unwrap();
    for weighting in [Weighting::Variance, Weighting::Dampened, Weighting::Equal] {
        let options = DeconvolveOptions { weighting, ..Default::default() };
        let run =
            |threads| with_threads(Some(threads), || deconvolve(&view, &signatures, &options, &Ctx::quiet())).unwrap();
        let found = run(1);
        let mut seen = 0;
        for spot in 0..s {
            let truth = &abundance[spot * t..(spot + 1) * t];
            if truth.iter().all(|&x| x == 0.0) {
                assert!(found.residual[spot].is_nan() && found.abundance[spot * t].is_nan());
                continue;
            }
            seen += 1;
            for (x, truth) in found.abundance[spot * t..].iter().zip(truth) {
                assert!((x - truth).abs() < 1e-6, "{weighting:?} {x} {truth}");
            }
            assert!(found.residual[spot] < 1e-6);
        }
        assert!(seen > 250);
        let bits = |values: &[f64]| values.iter().map(|x| x.to_bits()).collect::<Vec<u64>>();
        for threads in [2, 8] {
            let other = run(threads);
            assert_eq!(bits(&found.abundance), bits(&other.abundance));
            assert_eq!(bits(&found.residual), bits(&other.residual));
        }
    }
}

#[test]
fn faults_of_mixtures_are_named() {
    let (mean, variance, spots, _) = mixed(2, 6, 4);
    let run = |mean: &[f64], spots: &[f32]| {
        let signatures = Signatures { n_types: 2, mean, variance: &variance };
        let view = DenseView::new(4, 6, ValueSlice::F32(spots)).unwrap();
        deconvolve(&view, &signatures, &DeconvolveOptions::default(), &Ctx::quiet())
    };
    let with = |value: f32| {
        let mut spots = spots.clone();
        spots[8] = value;
        spots
    };
    assert!(run(&mean, &with(-1.0)).unwrap_err().to_string().contains("-1 in row 1, column 2"));
    assert!(matches!(run(&mean, &with(f32::NAN)), Err(Error::Data { .. })));
    assert!(run(&mean[..6], &spots).unwrap_err().to_string().contains("2 types x 6 genes"));
    let mut silent = mean.clone();
    silent[6..].fill(0.0);
    assert!(run(&silent, &spots).unwrap_err().to_string().contains("type 1"));
    for options in [
        DeconvolveOptions { dampening: 0.5, ..Default::default() },
        DeconvolveOptions { max_iterations: 0, ..Default::default() },
        DeconvolveOptions { tolerance: 0.0, ..Default::default() },
    ] {
        let signatures = Signatures { n_types: 2, mean: &mean, variance: &variance };
        let view = DenseView::new(4, 6, ValueSlice::F32(&spots)).unwrap();
        assert!(deconvolve(&view, &signatures, &options, &Ctx::quiet()).is_err());
    }
}
