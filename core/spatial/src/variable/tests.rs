use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;

/// Cells anywhere in a square, in two libraries.
fn drawn(n: usize, seed: u64) -> (Places, Vec<u32>) {
    let mut random = Stream::new(seed, 0);
    let values: Vec<f64> = (0..2 * n).map(|_| 100.0 * random.uniform()).collect();
    (Places::new(n, 2, &values).unwrap(), (0..n).map(|cell| (cell % 2) as u32).collect())
}

fn packed(columns: &[Vec<f64>]) -> (Vec<i64>, Vec<i32>, Vec<f64>) {
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for column in columns {
        for (cell, &value) in column.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            indices.push(cell as i32);
            values.push(value);
        }
        indptr.push(values.len() as i64);
    }
    (indptr, indices, values)
}

fn tested(places: &Places, libraries: &[u32], count: usize, columns: &[Vec<f64>], threads: usize) -> Variable {
    let (indptr, indices, values) = packed(columns);
    let columns = Columns { indptr: &indptr, indices: &indices, values: &values };
    with_threads(Some(threads), || spatially_variable(places, libraries, count, &columns, &Ctx::quiet())).unwrap()
}

#[test]
fn the_first_set_is_the_regression_on_the_coordinates() {
    let (places, _) = drawn(40, 3);
    let mut random = Stream::new(4, 0);
    let gene: Vec<f64> = places.points().iter().map(|point| (point[0] * 0.02 + random.normal()).max(0.0)).collect();
    let found = tested(&places, &[0; 40], 1, std::slice::from_ref(&gene), 1);
    // Normal equations of two centred coordinates, by hand.
    let mean = |of: &dyn Fn(usize) -> f64| (0..40).map(of).sum::<f64>() / 40.0;
    let means = [mean(&|i| places.points()[i][0]), mean(&|i| places.points()[i][1]), mean(&|i| gene[i])];
    let at = |i: usize, k: usize| if k == 2 { gene[i] } else { places.points()[i][k] } - means[k];
    let dot = |a: usize, b: usize| (0..40).map(|i| at(i, a) * at(i, b)).sum::<f64>();
    let det = dot(0, 0) * dot(1, 1) - dot(0, 1) * dot(0, 1);
    let (b0, b1) =
        ((dot(0, 2) * dot(1, 1) - dot(1, 2) * dot(0, 1)) / det, (dot(1, 2) * dot(0, 0) - dot(0, 2) * dot(0, 1)) / det);
    let share = (b0 * dot(0, 2) + b1 * dot(1, 2)) / dot(2, 2);
    // Two degrees of freedom: the tail is e^(-x / 2).
    assert!((found.ln_pvals_of_sets[0] + 20.0 * share).abs() < 1e-9, "{} {share}", found.ln_pvals_of_sets[0]);
}

#[test]
fn patterns_are_found_and_noise_is_uniform() {
    let (places, libraries) = drawn(2000, 8);
    let mut random = Stream::new(9, 1);
    let mut genes: Vec<Vec<f64>> = (0..300).map(|_| (0..2000).map(|_| random.below(3) as f64).collect()).collect();
    // A spot in the middle, which no plane shows.
    let spot = |point: &[f64; 3]| (-((point[0] - 50.0).powi(2) + (point[1] - 50.0).powi(2)) / 400.0).exp();
    genes.push(places.points().iter().map(|point| (4.0 * spot(point) + 2.0 * random.uniform()).floor()).collect());
    genes.push(vec![0.0; 2000]);
    genes.push(vec![2.5; 2000]);
    let found = tested(&places, &libraries, 2, &genes, 1);
    let small = found.ln_pvals[..300].iter().filter(|p| p.exp() < 0.05).count();
    assert!((4..=30).contains(&small), "{small} of 300 below 0.05");
    assert!(found.ln_pvals[300] < -100.0 && found.share[300] > 0.2 && (1..=5).contains(&found.set[300]));
    assert!(found.ln_pvals[301].is_nan() && found.ln_pvals[302].is_nan() && found.share[302].is_nan());
    let bits = |found: &Variable| {
        let all = [&found.ln_pvals, &found.ln_pvals_of_sets, &found.share];
        all.map(|values| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
    };
    for threads in [2, 8] {
        assert_eq!(bits(&found), bits(&tested(&places, &libraries, 2, &genes, threads)));
    }
}

#[test]
fn a_difference_between_libraries_is_no_pattern() {
    // Left library low, right library high: within each there is nothing.
    let mut random = Stream::new(2, 0);
    let values: Vec<f64> =
        (0..400).flat_map(|cell| [(cell % 2) as f64 * 100.0 + random.uniform(), random.uniform()]).collect();
    let places = Places::new(400, 2, &values).unwrap();
    let libraries: Vec<u32> = (0..400).map(|cell| cell % 2).collect();
    let gene: Vec<f64> = (0..400).map(|cell| (cell % 2 * 10) as f64 + random.uniform()).collect();
    let both = tested(&places, &libraries, 2, std::slice::from_ref(&gene), 1);
    assert!(both.ln_pvals[0] > 0.001f64.ln());
    assert!(tested(&places, &[0; 400], 1, &[gene], 1).ln_pvals[0] < -100.0);
}

#[test]
fn faults_are_named() {
    let places = Places::new(6, 2, &[1.0; 12]).unwrap();
    let columns = Columns { indptr: &[0], indices: &[], values: &[] };
    let run = |libraries: &[u32], count| {
        spatially_variable(&places, libraries, count, &columns, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(run(&[0; 6], 1).contains("at one place"));
    assert!(run(&[0, 0, 0, 0, 1, 1], 2).contains("4 in library 0"));
    assert!(run(&[0; 5], 1).contains("6 cells"));
}
