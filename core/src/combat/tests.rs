use ndarray::{Array1, Array2, Axis, s};
use zensaibo_linalg::solve;

use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::options::Options as _;
use crate::parallel::with_threads;
use crate::random::Stream;

fn quiet() -> Ctx {
    Ctx::quiet()
}

struct Example {
    matrix: Csr,
    values: Vec<f32>,
    batches: Vec<u32>,
    covariate: Vec<f64>,
}

/// Three batches that differ in mean and spread; the covariate shifts every third gene; the last gene is constant.
fn example(n: usize, g: usize) -> Example {
    let mut stream = Stream::new(21, 0);
    let batches: Vec<u32> = (0..n as u32).map(|i| [0, 1, 1, 2, 0, 2, 2][i as usize % 7]).collect();
    let covariate: Vec<f64> = (0..n).map(|_| stream.normal() + 5.0).collect();
    let effects: Vec<f64> = (0..3 * g).map(|_| stream.normal()).collect();
    let mut values = vec![0.0f32; n * g];
    for i in 0..n {
        let batch = batches[i] as usize;
        for j in 0..g {
            let spread = 1.0 + 0.5 * batch as f64;
            let x = effects[batch * g + j] + spread * stream.normal() + if j % 3 == 0 { covariate[i] } else { 0.0 };
            values[i * g + j] = if j + 1 == g {
                2.5
            } else if stream.below(5) == 0 {
                0.0
            } else {
                x as f32
            };
        }
    }
    let matrix = Csr::from_dense(g, &values);
    Example { matrix, values, batches, covariate }
}

/// ComBat as the paper writes it, on a dense matrix whose genes all vary.
fn slowly(x: &Array2<f64>, batches: &[u32], covariates: &[&[f64]]) -> Array2<f64> {
    let (n, g) = x.dim();
    let b = 3;
    let design = Array2::from_shape_fn((n, b + covariates.len()), |(i, k)| {
        if k < b { f64::from(u8::from(batches[i] as usize == k)) } else { covariates[k - b][i] }
    });
    let fit = solve(design.t().dot(&design).view(), design.t().dot(x).view()).unwrap();
    let sizes: Vec<f64> = (0..b).map(|k| design.column(k).sum()).collect();
    let mut grand = Array1::<f64>::zeros(g);
    for k in 0..b {
        grand = grand + &fit.row(k) * (sizes[k] / n as f64);
    }
    let pooled = (x - &design.dot(&fit)).mapv(|e| e * e).sum_axis(Axis(0)) / n as f64;
    let kept = design.slice(s![.., b..]).dot(&fit.slice(s![b.., ..])) + &grand;
    let z = (x - &kept) / &pooled.mapv(f64::sqrt);
    let mut out = Array2::zeros((n, g));
    for k in 0..b {
        let rows: Vec<usize> = (0..n).filter(|&i| batches[i] as usize == k).collect();
        let size = rows.len() as f64;
        let gamma_hat: Vec<f64> = (0..g).map(|j| rows.iter().map(|&i| z[(i, j)]).sum::<f64>() / size).collect();
        let delta_hat: Vec<f64> = (0..g)
            .map(|j| rows.iter().map(|&i| (z[(i, j)] - gamma_hat[j]).powi(2)).sum::<f64>() / (size - 1.0))
            .collect();
        let mean = |v: &[f64]| v.iter().sum::<f64>() / g as f64;
        let (gamma_bar, m) = (mean(&gamma_hat), mean(&delta_hat));
        let t2 = gamma_hat.iter().map(|x| (x - gamma_bar).powi(2)).sum::<f64>() / g as f64;
        let s2 = delta_hat.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (g - 1) as f64;
        let (a, beta) = (m * m / s2 + 2.0, m * (m * m / s2 + 1.0));
        for j in 0..g {
            let (mut gamma, mut delta) = (gamma_hat[j], delta_hat[j]);
            for _ in 0..200 {
                gamma = (t2 * size * gamma_hat[j] + delta * gamma_bar) / (t2 * size + delta);
                let left: f64 = rows.iter().map(|&i| (z[(i, j)] - gamma).powi(2)).sum();
                delta = (0.5 * left + beta) / (size / 2.0 + a - 1.0);
            }
            for &i in &rows {
                out[(i, j)] = (z[(i, j)] - gamma) / delta.sqrt() * pooled[j].sqrt() + kept[(i, j)];
            }
        }
    }
    out
}

fn corrected(source: &dyn RowBlocks, input: CombatInput<'_>, tolerance: f64) -> (Vec<f32>, Combat) {
    let mut out = vec![7.0; source.n_rows() * source.n_cols()];
    let options = CombatOptions { tolerance, ..Default::default() };
    let found = combat_into(source, input, &options, &mut out, &quiet()).unwrap();
    (out, found)
}

#[test]
fn equals_the_slow_way_with_and_without_covariates() {
    let (n, g) = (70, 25);
    let Example { matrix, values, batches, covariate } = example(n, g);
    let other: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i % 4 == 1))).collect();
    for covariates in [vec![], vec![covariate.as_slice()], vec![covariate.as_slice(), other.as_slice()]] {
        let input = CombatInput { batches: &batches, covariates: &covariates };
        let (got, found) = corrected(&matrix, input, 1e-10);
        assert_eq!(found.n_constant, 1);
        let varying = Array2::from_shape_fn((n, g - 1), |(i, j)| f64::from(values[i * g + j]));
        let expected = slowly(&varying, &batches, &covariates);
        for i in 0..n {
            for j in 0..g - 1 {
                let (a, b) = (f64::from(got[i * g + j]), expected[(i, j)]);
                assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{} covariates, {i}, {j}: {a} {b}", covariates.len());
            }
            assert!((got[i * g + g - 1] - 2.5).abs() < 1e-6, "a constant gene stays");
        }
    }
}

#[test]
fn batches_agree_afterwards() {
    let (n, g) = (700, 40);
    let Example { matrix, batches, .. } = example(n, g);
    let (got, found) = corrected(&matrix, CombatInput { batches: &batches, covariates: &[] }, 1e-4);
    let means = |batch: u32, j: usize| {
        let rows: Vec<usize> = (0..n).filter(|&i| batches[i] == batch).collect();
        rows.iter().map(|&i| f64::from(got[i * g + j])).sum::<f64>() / rows.len() as f64
    };
    for j in 1..g - 1 {
        assert!((means(0, j) - means(1, j)).abs() < 0.1 && (means(0, j) - means(2, j)).abs() < 0.1);
    }
    assert_eq!((found.gamma[g - 1], found.delta[g - 1]), (0.0, 1.0));
    assert!(found.delta[2 * g + 1] > found.delta[1], "the third batch spreads wider");
}

#[test]
fn threads_and_layouts_give_the_same_bits() {
    let (n, g) = (6000, 200);
    let Example { matrix, values, batches, covariate } = example(n, g);
    let view = DenseView::new(n, g, ValueSlice::F32(&values)).unwrap();
    let covariates = [covariate.as_slice()];
    let input = CombatInput { batches: &batches, covariates: &covariates };
    let run =
        |source: &dyn RowBlocks, threads| with_threads(Some(threads), || Ok(corrected(source, input, 1e-4))).unwrap();
    let one = run(&matrix, 1);
    assert!(one == run(&matrix, 2) && one == run(&matrix, 8) && one == run(&view, 2));
}

#[test]
fn bad_input_is_named() {
    let (n, g) = (14, 4);
    let Example { matrix, batches, covariate, .. } = example(n, g);
    let text = |matrix: &Csr, batches: &[u32], covariates: &[&[f64]]| {
        let mut out = vec![0.0; matrix.n_rows * matrix.n_cols];
        let input = CombatInput { batches, covariates };
        combat_into(matrix, input, &CombatOptions::default(), &mut out, &quiet()).unwrap_err().to_string()
    };
    assert!(text(&matrix, &batches[1..], &[]).contains("14 entries"));
    assert!(text(&matrix, &vec![0; n], &[]).contains("at least 2, found 1"));
    let mut lonely = vec![0; n];
    lonely[3] = 1;
    assert!(text(&matrix, &lonely, &[]).contains("1 in batch 1"));
    lonely[3] = 900;
    assert!(text(&matrix, &lonely, &[]).contains("without gaps"));
    assert!(text(&matrix, &batches, &[&covariate[1..]]).contains("covariate 0"));
    let mut holes = covariate.clone();
    holes[2] = f64::NAN;
    assert!(text(&matrix, &batches, &[&covariate, &holes]).contains("covariate 1"));
    let confounded: Vec<f64> = batches.iter().map(|&batch| f64::from(batch)).collect();
    for column in [vec![1.0; n], confounded] {
        assert!(text(&matrix, &batches, &[&column]).contains("collinear"));
    }
    assert!(text(&matrix, &batches, &[&covariate, &covariate]).contains("collinear"));
    let mut broken = matrix.clone();
    broken.values[0] = f32::INFINITY;
    assert!(text(&broken, &batches, &[]).contains("column"));
    assert!(text(&Csr::empty(n, g), &batches, &[]).contains("at least 2 genes"));
    for options in [
        CombatOptions { tolerance: 0.0, ..Default::default() },
        CombatOptions { tolerance: f64::NAN, ..Default::default() },
        CombatOptions { max_iter: 0, ..Default::default() },
    ] {
        assert!(options.validate().is_err(), "{options:?}");
    }
    let mut out = vec![0.0; n * g];
    let hurried = CombatOptions { tolerance: 1e-15, max_iter: 1 };
    let input = CombatInput { batches: &batches, covariates: &[] };
    let error = combat_into(&matrix, input, &hurried, &mut out, &quiet()).unwrap_err();
    assert!(matches!(error, Error::NotConverged { iterations: 1, .. }));
}
