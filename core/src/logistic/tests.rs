//! Tests of logistic regression.

use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

/// Cells x features, about a third of them not zero, shifted for the cells of a class; and the labels.
fn example(n: usize, g: usize, k: usize, seed: u64) -> (Vec<f32>, Vec<i32>) {
    let mut stream = Stream::new(seed, 0);
    let labels: Vec<i32> = (0..n).map(|_| stream.below(k as u64) as i32).collect();
    let mut dense = vec![0.0; n * g];
    for (cell, row) in dense.chunks_exact_mut(g).enumerate() {
        for (feature, value) in row.iter_mut().enumerate() {
            let shift = if feature % k == labels[cell] as usize { 0.8 } else { 0.0 };
            if stream.below(3) == 0 {
                *value = (stream.normal() + shift) as f32;
            }
        }
    }
    (dense, labels)
}

fn sparse(dense: &[f32], n: usize, g: usize) -> Csr {
    crate::matrix::collect(&DenseView::new(n, g, ValueSlice::F32(dense)).unwrap(), &Ctx::quiet()).unwrap()
}

fn run(source: &dyn RowBlocks, labels: &[i32], k: usize, options: &LogisticOptions) -> Model {
    fit(source, labels, k, options, &Ctx::quiet()).unwrap()
}

fn tight() -> LogisticOptions {
    LogisticOptions { tol: 1e-10, ..LogisticOptions::default() }
}

#[test]
fn one_feature_by_hand() {
    // Without penalty the fitted probabilities of a feature that is 0 or 1 are the class shares: 1/4 and 2/3.
    let values = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
    let labels = [0, 0, 0, 1, 1, 1, 0];
    let model = run(&sparse(&values, 7, 1), &labels, 2, &LogisticOptions { c: 1e12, ..tight() });
    assert!(model.converged);
    assert!((model.intercepts[0] - (0.25f64 / 0.75).ln()).abs() < 1e-6, "{:?}", model.intercepts);
    assert!((model.coefficients[0] + model.intercepts[0] - 2f64.ln()).abs() < 1e-6, "{:?}", model.coefficients);
    let predicted = model.predict(&sparse(&[0.0, 1.0], 2, 1), &Ctx::quiet()).unwrap();
    assert!((predicted.probabilities[1] - 0.25).abs() < 1e-6 && (predicted.probabilities[3] - 2.0 / 3.0).abs() < 1e-6);
    assert_eq!(predicted.labels, [0, 1]);
}

/// The objective on dense values, as its definition reads.
fn objective(dense: &[f32], labels: &[i32], g: usize, k: usize, model: &Model, c: f64) -> f64 {
    let cells = labels.iter().filter(|&&label| label >= 0).count() as f64;
    let mut loss = 0.0;
    for (row, &label) in dense.chunks_exact(g).zip(labels).filter(|(_, label)| **label >= 0) {
        let logit = |class: usize| -> f64 {
            let weights = &model.coefficients[class * g..(class + 1) * g];
            model.intercepts[class] + row.iter().zip(weights).map(|(&x, w)| f64::from(x) * w).sum::<f64>()
        };
        let logits: Vec<f64> = if k == 2 { vec![0.0, logit(0)] } else { (0..k).map(logit).collect() };
        loss += logits.iter().map(|z| z.exp()).sum::<f64>().ln() - logits[label as usize];
    }
    let squares: f64 = model.coefficients.iter().map(|w| w * w).sum();
    loss / cells + squares / (2.0 * c * cells)
}

#[test]
fn the_minimum_of_the_objective_over_a_grid() {
    for (n, g, k, c, seed) in [(60, 5, 2, 1.0, 1), (200, 12, 3, 0.1, 2), (150, 30, 6, 10.0, 3), (90, 4, 4, 1e-3, 4)] {
        let (dense, mut labels) = example(n, g, k, seed);
        labels[7] = -1;
        for fit_intercept in [true, false] {
            let options = LogisticOptions { c, fit_intercept, ..tight() };
            let model = run(&sparse(&dense, n, g), &labels, k, &options);
            assert!(model.converged && model.gradient < 1e-8, "{} {}", model.gradient, model.iterations);
            let lowest = objective(&dense, &labels, g, k, &model, c);
            assert!((model.loss - lowest).abs() < 1e-12 * lowest.max(1.0));
            if !fit_intercept {
                assert!(model.intercepts.iter().all(|&b| b == 0.0));
            }
            // A step along any axis goes up by half the curvature, to the precision of the slope.
            for at in 0..model.coefficients.len() {
                for step in [-1e-3, 1e-3] {
                    let mut moved = model.clone();
                    moved.coefficients[at] += step;
                    assert!(objective(&dense, &labels, g, k, &moved, c) > lowest - 1e-12, "{at}");
                }
            }
            if fit_intercept && k > 2 {
                assert!(model.intercepts.iter().sum::<f64>().abs() < 1e-8);
            }
        }
    }
}

#[test]
fn two_classes_agree_with_the_general_case() {
    // K = 3 with an empty third class cannot be asked for, so: symmetric two-row softmax = one row with twice the
    // penalty on the difference. w = w1 - w0 with |w1|^2 + |w0|^2 = |w|^2 / 2.
    let (dense, labels) = example(120, 6, 2, 9);
    let one_row = run(&sparse(&dense, 120, 6), &labels, 2, &LogisticOptions { c: 0.7, ..tight() });
    let flipped: Vec<i32> = labels.iter().map(|label| 1 - label).collect();
    let other = run(&sparse(&dense, 120, 6), &flipped, 2, &LogisticOptions { c: 0.7, ..tight() });
    for (a, b) in one_row.coefficients.iter().zip(&other.coefficients) {
        assert!((a + b).abs() < 1e-7, "{a} {b}");
    }
}

#[test]
fn planted_classes_are_found() {
    let (dense, labels) = example(1500, 40, 5, 11);
    let matrix = sparse(&dense, 1500, 40);
    let model = run(&matrix, &labels, 5, &LogisticOptions::default());
    let predicted = model.predict(&matrix, &Ctx::quiet()).unwrap();
    let right = predicted.labels.iter().zip(&labels).filter(|(a, b)| **a as i32 == **b).count();
    // Two thirds of the values are missing, so not all cells can be told; chance finds 300.
    assert!(right > 800, "{right}");
    for row in predicted.probabilities.chunks_exact(5) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}

#[test]
fn the_same_bits_for_threads_and_layouts() {
    let (n, g) = (4000, 60);
    let (dense, labels) = example(n, g, 4, 5);
    let matrix = sparse(&dense, n, g);
    let one = with_threads(Some(1), || Ok(run(&matrix, &labels, 4, &LogisticOptions::default()))).unwrap();
    for threads in [2, 8] {
        let other = with_threads(Some(threads), || Ok(run(&matrix, &labels, 4, &LogisticOptions::default()))).unwrap();
        assert_eq!(other, one);
    }
    let view = DenseView::new(n, g, ValueSlice::F32(&dense)).unwrap();
    assert_eq!(run(&view, &labels, 4, &LogisticOptions::default()), one);
    assert_eq!(one.predict(&view, &Ctx::quiet()).unwrap(), one.predict(&matrix, &Ctx::quiet()).unwrap());
}

#[test]
fn stops_where_it_is_told_to() {
    let (dense, labels) = example(200, 10, 3, 2);
    let model = run(&sparse(&dense, 200, 10), &labels, 3, &LogisticOptions { max_iter: 2, ..tight() });
    assert_eq!((model.iterations, model.converged), (2, false));
    // Not to be reached in double precision: ends all the same.
    let model = run(&sparse(&dense, 200, 10), &labels, 3, &LogisticOptions { tol: 0.0, ..tight() });
    assert!(model.gradient < 1e-7, "{}", model.gradient);
    // Values that never vary: weights stay 0, the intercepts are the class shares.
    let model = run(&Csr::empty(4, 2), &[0, 0, 0, 1], 2, &tight());
    assert_eq!(model.coefficients, [0.0, 0.0]);
    assert!((model.intercepts[0] - (1.0f64 / 3.0).ln()).abs() < 1e-6);
}

#[test]
fn bad_input_is_named() {
    let matrix = sparse(&[1.0, 0.0, 2.0, 1.0], 2, 2);
    let fault = |labels: &[i32], k: usize, options: LogisticOptions| {
        fit(&matrix, labels, k, &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let options = LogisticOptions::default;
    assert!(fault(&[0], 2, options()).contains("one label per cell, 2"));
    assert!(fault(&[0, 0], 1, options()).contains("at least two classes"));
    assert!(fault(&[0, 0], 2, options()).contains("none in class 1"));
    assert!(fault(&[0, 2], 2, options()).contains("2 at cell 1"));
    assert!(fault(&[0, 1], 2, LogisticOptions { c: 0.0, ..options() }).contains("`c`"));
    assert!(fault(&[0, 1], 2, LogisticOptions { max_iter: 0, ..options() }).contains("max_iter"));
    assert!(fault(&[0, 1], 2, LogisticOptions { tol: f64::NAN, ..options() }).contains("tol"));
    let nan = sparse(&[1.0, f32::NAN, 2.0, 1.0], 2, 2);
    assert!(fit(&nan, &[0, 1], 2, &options(), &Ctx::quiet()).unwrap_err().to_string().contains("finite"));
    let none = fit(&Csr::empty(2, 0), &[0, 1], 2, &options(), &Ctx::quiet()).unwrap_err().to_string();
    assert!(none.contains("at least one feature"));
    let model = run(&matrix, &[0, 1], 2, &options());
    assert!(model.predict(&nan, &Ctx::quiet()).unwrap_err().to_string().contains("finite"));
    assert!(model.predict(&Csr::empty(1, 3), &Ctx::quiet()).unwrap_err().to_string().contains("2 features"));
}
