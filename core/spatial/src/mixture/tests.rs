use zensaibo_core::Ctx;
use zensaibo_core::options::Options;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;

/// Three clouds in the plane: a long one, a round one, a small one.
fn clouds(n: usize) -> (Vec<f64>, Vec<u32>) {
    let mut random = Stream::new(1, 0);
    let (mut values, mut truth) = (Vec::new(), Vec::new());
    for row in 0..n {
        let kind = if row % 10 < 5 {
            0
        } else if row % 10 < 8 {
            1
        } else {
            2
        };
        let (a, b) = (random.normal(), random.normal());
        let point = match kind {
            0 => [5.0 * a + 100.0, 5.0 * a + 0.5 * b],
            1 => [a + 100.0, b + 12.0],
            _ => [0.3 * a + 112.0, 0.3 * b - 3.0],
        };
        values.extend(point);
        truth.push(kind);
    }
    (values, truth)
}

fn density(mixture: &[(f64, [f64; 2], [f64; 3])], point: &[f64]) -> f64 {
    let one = |(weight, mean, [a, b, c]): &(f64, [f64; 2], [f64; 3])| {
        let (x, y) = (point[0] - mean[0], point[1] - mean[1]);
        let det = a * c - b * b;
        weight * (-0.5 * (c * x * x - 2.0 * b * x * y + a * y * y) / det).exp() / (std::f64::consts::TAU * det.sqrt())
    };
    mixture.iter().map(one).sum::<f64>().ln()
}

#[test]
fn planted_clouds_come_back() {
    let (values, truth) = clouds(3000);
    let options = MixtureOptions { n_components: 3, n_init: 4, tol: 1e-7, max_iter: 500, ..Default::default() };
    let run = |threads| with_threads(Some(threads), || gaussian_mixture(&values, 2, &options, &Ctx::quiet())).unwrap();
    let found = run(1);
    assert!(found.converged);
    let same = found.labels.iter().zip(&truth).filter(|(a, b)| a == b).count();
    assert!(same > 2900, "{same} of 3000");
    for (weight, expected) in found.weights.iter().zip([0.5, 0.3, 0.2]) {
        assert!((weight - expected).abs() < 0.02, "{weight}");
    }
    assert!((found.means[0] - 100.0).abs() < 0.5 && (found.means[5] + 3.0).abs() < 0.1);
    // No less likely than the truth itself.
    let true_mixture = [
        (0.5, [100.0, 0.0], [25.0, 25.0, 25.25]),
        (0.3, [100.0, 12.0], [1.0, 0.0, 1.0]),
        (0.2, [112.0, -3.0], [0.09, 0.0, 0.09]),
    ];
    let of_truth = values.chunks_exact(2).map(|point| density(&true_mixture, point)).sum::<f64>() / 3000.0;
    assert!(found.likelihood > of_truth && found.likelihood < of_truth + 0.02, "{} {of_truth}", found.likelihood);
    for threads in [2, 8] {
        let other = run(threads);
        assert_eq!(found.labels, other.labels);
        assert_eq!(found.likelihood.to_bits(), other.likelihood.to_bits());
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found.probability), bits(&other.probability));
        assert_eq!(bits(&found.means), bits(&other.means));
    }
}

#[test]
fn one_component_is_mean_and_covariance() {
    let (values, _) = clouds(100);
    let options = MixtureOptions { n_components: 1, reg_covar: 1e-12, ..Default::default() };
    let found = gaussian_mixture(&values, 2, &options, &Ctx::quiet()).unwrap();
    let mean = |axis: usize| values.iter().skip(axis).step_by(2).sum::<f64>() / 100.0;
    let (x, y) = (mean(0), mean(1));
    assert!((found.means[0] - x).abs() < 1e-9 && (found.means[1] - y).abs() < 1e-9);
    let over = |f: &dyn Fn(f64, f64) -> f64| values.chunks_exact(2).map(|p| f(p[0] - x, p[1] - y)).sum::<f64>() / 100.0;
    let covariance = [over(&|x, _| x * x), over(&|x, y| x * y), over(&|_, y| y * y)];
    let expected =
        values.chunks_exact(2).map(|point| density(&[(1.0, [x, y], covariance)], point)).sum::<f64>() / 100.0;
    assert!((found.likelihood - expected).abs() < 1e-6, "{} {expected}", found.likelihood);
    assert!(found.labels.iter().all(|&label| label == 0) && found.probability.iter().all(|&p| p == 1.0));
}

#[test]
fn equal_rows_and_as_many_components_as_rows_do_not_fail() {
    let equal = vec![3.0; 20];
    let options = MixtureOptions { n_components: 4, ..Default::default() };
    let found = gaussian_mixture(&equal, 2, &options, &Ctx::quiet()).unwrap();
    assert!(found.likelihood.is_finite() && found.labels.len() == 10);
    let (values, _) = clouds(5);
    let options = MixtureOptions { n_components: 5, ..Default::default() };
    let found = gaussian_mixture(&values, 2, &options, &Ctx::quiet()).unwrap();
    let mut labels = found.labels.clone();
    labels.sort_unstable();
    assert_eq!(labels, [0, 1, 2, 3, 4]);
}

#[test]
fn faults_are_named() {
    let run = |values: &[f64], width, options: &MixtureOptions| {
        gaussian_mixture(values, width, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let two = MixtureOptions { n_components: 2, ..Default::default() };
    assert!(run(&[1.0, f64::NAN, 2.0, 3.0], 2, &two).contains("row 0, column 1"));
    assert!(run(&[1.0, 2.0, 3.0], 2, &two).contains("rows of 2"));
    assert!(run(&[], 2, &two).contains("at least one row"));
    assert!(run(&[1.0, 2.0], 2, &two).contains("n_components"));
    assert!(MixtureOptions { n_init: 0, ..Default::default() }.validate().is_err());
    assert!(MixtureOptions { reg_covar: 0.0, ..Default::default() }.validate().is_err());
    assert!(MixtureOptions { tol: f64::NAN, ..Default::default() }.validate().is_err());
}
