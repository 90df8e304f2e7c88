//! Tests of aggregation.

use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

fn all() -> AggregateOptions {
    AggregateOptions {
        func: vec![Statistic::CountNonzero, Statistic::Mean, Statistic::Sum, Statistic::Var, Statistic::Median],
        ..AggregateOptions::default()
    }
}

fn run(source: &dyn RowBlocks, labels: &[i32], n_groups: usize, options: &AggregateOptions) -> Aggregated {
    aggregate(source, labels, n_groups, options, &Ctx::quiet()).unwrap()
}

fn from_dense(n: usize, g: usize, dense: &[f32]) -> Csr {
    crate::matrix::collect(&DenseView::new(n, g, ValueSlice::F32(dense)).unwrap(), &Ctx::quiet()).unwrap()
}

/// Values with many zeros and some below zero.
fn random_dense(n: usize, g: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, 0);
    (0..n * g).map(|_| if stream.below(3) == 0 { stream.below(9) as f32 - 2.5 } else { 0.0 }).collect()
}

#[test]
fn by_hand() {
    // Cells of group 0: rows 0, 2, 3; group 1: row 1; row 4 in none.
    let dense = [1.0, 0.0, 7.0, 5.0, 3.0, 0.0, 0.0, -2.0, 100.0, 100.0];
    let found = run(&from_dense(5, 2, &dense), &[0, 1, 0, 0, -1], 2, &all());
    assert_eq!(found.sizes, [3, 1]);
    assert_eq!(found.sum.unwrap(), [4.0, -2.0, 7.0, 5.0]);
    assert_eq!(found.mean.unwrap(), [4.0 / 3.0, -2.0 / 3.0, 7.0, 5.0]);
    assert_eq!(found.count_nonzero.unwrap(), [2.0, 1.0, 1.0, 1.0]);
    assert_eq!(found.median.unwrap(), [1.0, 0.0, 7.0, 5.0]);
    let var = found.var.unwrap();
    assert!((var[0] - 7.0 / 3.0).abs() < 1e-14 && (var[1] - 4.0 / 3.0).abs() < 1e-14, "{var:?}");
    // One cell and one degree of freedom taken: 0 / 0.
    assert!(var[2].is_nan() && var[3].is_nan());
}

/// The slow, obvious version on dense values.
fn slowly(dense: &[f32], n: usize, g: usize, labels: &[i32], n_groups: usize, dof: usize) -> [Vec<f64>; 5] {
    let mut out: [Vec<f64>; 5] = Default::default();
    for group in 0..n_groups {
        for gene in 0..g {
            let rows = (0..n).filter(|&row| labels[row] == group as i32);
            let mut values: Vec<f64> = rows.map(|row| f64::from(dense[row * g + gene])).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            out[0].push(values.iter().sum());
            out[1].push(mean);
            out[2].push(values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - dof as f64));
            out[3].push(values.iter().filter(|&&x| x != 0.0).count() as f64);
            out[4].push(crate::stats::median(&mut values));
        }
    }
    out
}

#[test]
fn as_the_slow_way_over_a_grid() {
    for (n, g, n_groups, seed) in [(40, 7, 3, 1), (2000, 33, 11, 2), (300, 9000, 4, 3), (9, 2, 1, 4)] {
        let dense = random_dense(n, g, seed);
        let mut stream = Stream::new(seed, 1);
        let labels: Vec<i32> = (0..n).map(|_| stream.below(n_groups as u64 + 1) as i32 - 1).collect();
        for dof in [0, 1] {
            let options = AggregateOptions { dof, memory: 20_000, ..all() };
            let found = run(&from_dense(n, g, &dense), &labels, n_groups, &options);
            let expected = slowly(&dense, n, g, &labels, n_groups, dof);
            let tables = [found.sum, found.mean, found.var, found.count_nonzero, found.median];
            for (table, expected) in tables.into_iter().zip(expected) {
                for (a, b) in table.unwrap().into_iter().zip(expected) {
                    assert!((a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-10 * (1.0 + b.abs()), "{a} {b}");
                }
            }
        }
    }
}

#[test]
fn the_same_bits_for_threads_and_layouts() {
    let (n, g) = (3000, 5000);
    let dense = random_dense(n, g, 5);
    let sparse = from_dense(n, g, &dense);
    assert!(sparse.n_blocks() > 3);
    let labels: Vec<i32> = (0..n as i32).map(|row| row % 6 - 1).collect();
    let one = with_threads(Some(1), || Ok(run(&sparse, &labels, 5, &all()))).unwrap();
    for threads in [2, 8] {
        assert_eq!(with_threads(Some(threads), || Ok(run(&sparse, &labels, 5, &all()))).unwrap(), one);
    }
    assert_eq!(run(&DenseView::new(n, g, ValueSlice::F32(&dense)).unwrap(), &labels, 5, &all()), one);
}

#[test]
fn degenerate_inputs() {
    let nothing = run(&Csr::empty(0, 3), &[], 2, &all());
    assert_eq!(nothing.sum.unwrap(), [0.0; 6]);
    assert!(nothing.median.unwrap().iter().all(|x| x.is_nan()));
    assert_eq!(run(&Csr::empty(2, 0), &[0, 1], 2, &all()).sum.unwrap(), [0.0; 0]);
    // A constant has no variance, however large it is.
    let constant = from_dense(3, 1, &[1.1e6, 1.1e6, 1.1e6]);
    assert_eq!(run(&constant, &[0, 0, 0], 1, &all()).var.unwrap(), [0.0]);
    // NaN stays in its group and gene.
    let found = run(&from_dense(2, 2, &[f32::NAN, 1.0, 2.0, 3.0]), &[0, 1], 2, &all());
    let (sum, median) = (found.sum.unwrap(), found.median.unwrap());
    assert!(sum[0].is_nan() && median[0].is_nan());
    assert_eq!((&sum[1..], &median[1..]), (&[1.0, 2.0, 3.0][..], &[1.0, 2.0, 3.0][..]));
}

#[test]
fn bad_input_is_named() {
    let fault = |labels: &[i32], options: &AggregateOptions| {
        aggregate(&Csr::empty(2, 3), labels, 2, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&[0], &all()).contains("one label per cell, 2"));
    assert!(fault(&[0, 2], &all()).contains("2 at cell 1"));
    assert!(fault(&[0, 0], &AggregateOptions { func: vec![], ..all() }).contains("func"));
}
