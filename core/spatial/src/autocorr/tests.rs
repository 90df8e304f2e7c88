use zensaibo_core::Ctx;
use zensaibo_core::options::Options;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::lanes::{Block, LANES, Walk};
use super::weights::Weights;
use super::{AutocorrOptions, Column, Columns, Mode, spatial_autocorr};
use crate::Edges;

const N: usize = 40;

/// A directed random graph with weights, and columns of every kind: dense, sparse, constant, zero, with stored zeros.
fn drawn() -> (Vec<i64>, Vec<i32>, Vec<f64>, Vec<Vec<f64>>) {
    let mut stream = Stream::new(1, 1);
    let (mut indptr, mut indices, mut weights) = (vec![0], Vec::new(), Vec::new());
    for from in 0..N {
        for to in 0..N {
            if from != to && from != 7 && stream.uniform() < 0.15 {
                indices.push(to as i32);
                weights.push(0.1 + stream.uniform());
            }
        }
        indptr.push(indices.len() as i64);
    }
    let sparse =
        |stream: &mut Stream| (0..N).map(|_| if stream.uniform() < 0.2 { stream.uniform() } else { 0.0 }).collect();
    let mut columns: Vec<Vec<f64>> = vec![
        (0..N).map(|_| 1e6 + stream.normal()).collect(),
        (0..N).map(|_| stream.normal()).collect(),
        vec![3.3; N],
        vec![0.0; N],
    ];
    for _ in 0..20 {
        columns.push(sparse(&mut stream));
    }
    (indptr, indices, weights, columns)
}

fn packed(columns: &[Vec<f64>], zeros: bool) -> (Vec<i64>, Vec<i32>, Vec<f64>) {
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for column in columns {
        for (cell, &value) in column.iter().enumerate().filter(|(_, value)| zeros || **value != 0.0) {
            indices.push(cell as i32);
            values.push(value);
        }
        indptr.push(indices.len() as i64);
    }
    (indptr, indices, values)
}

#[test]
fn scores_are_those_of_the_formula_and_layouts_give_the_same_bits() {
    let (indptr, indices, weights, columns) = drawn();
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    for mode in [Mode::Moran, Mode::Geary] {
        for transformation in [true, false] {
            let mut w = vec![vec![0.0; N]; N];
            for from in 0..N {
                let sum: f64 = edges.weights_of(from).iter().sum();
                for (&to, weight) in edges.of(from).iter().zip(edges.weights_of(from)) {
                    w[from][to as usize] = if transformation { weight / sum } else { *weight };
                }
            }
            let s0: f64 = w.iter().flatten().sum();
            let options = AutocorrOptions { mode, transformation, ..Default::default() };
            let run = |zeros| {
                let (indptr, indices, values) = packed(&columns, zeros);
                let columns = Columns { indptr: &indptr, indices: &indices, values: &values };
                spatial_autocorr(&edges, &columns, &options, &Ctx::quiet()).unwrap().scores
            };
            let (found, stored) = (run(false), run(true));
            for (at, x) in columns.iter().enumerate() {
                assert_eq!(found[at].to_bits(), stored[at].to_bits());
                if at == 2 || at == 3 {
                    assert!(found[at].is_nan());
                    continue;
                }
                let mean = x.iter().sum::<f64>() / N as f64;
                let spread: f64 = x.iter().map(|value| (value - mean).powi(2)).sum();
                let mut sum = 0.0;
                for i in 0..N {
                    for j in 0..N {
                        sum += w[i][j]
                            * if mode == Mode::Moran { (x[i] - mean) * (x[j] - mean) } else { (x[i] - x[j]).powi(2) };
                    }
                }
                let n = N as f64;
                let expected = if mode == Mode::Moran { n / s0 } else { (n - 1.0) / (2.0 * s0) } * sum / spread;
                assert!((found[at] - expected).abs() < 1e-9, "{mode:?} {at}: {} {expected}", found[at]);
            }
        }
    }
}

#[test]
fn permutations_have_the_moments_of_chance_for_any_number_of_threads() {
    let (indptr, indices, weights, columns) = drawn();
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let (column_ends, cells, values) = packed(&columns, false);
    let columns = Columns { indptr: &column_ends, indices: &cells, values: &values };
    for mode in [Mode::Moran, Mode::Geary] {
        let options = AutocorrOptions { mode, n_perms: Some(2000), seed: 5, ..Default::default() };
        let run = |threads| {
            let found =
                with_threads(Some(threads), || spatial_autocorr(&edges, &columns, &options, &Ctx::quiet())).unwrap();
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            let permuted = found.permuted.clone().unwrap();
            let all =
                (bits(&found.scores), permuted.at_least.clone(), bits(&permuted.means), bits(&permuted.variances));
            (found, all)
        };
        let (found, one) = run(1);
        assert!(one == run(2).1 && one == run(8).1);
        let permuted = found.permuted.unwrap();
        // Column 1 is normal: both its mean and its variance are those under normality.
        let sd = found.variance.sqrt();
        assert!((permuted.means[1] - found.expected).abs() < 5.0 * sd / 2000f64.sqrt());
        assert!(
            (permuted.variances[1] / found.variance - 1.0).abs() < 0.25,
            "{}",
            permuted.variances[1] / found.variance
        );
    }
}

#[test]
fn columns_in_blocks_score_as_columns_alone() {
    let (indptr, indices, weights, columns) = drawn();
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let weights = Weights::new(&edges, true).unwrap();
    let walk = Walk::new(&weights);
    let (column_ends, cells, values) = packed(&columns, false);
    let packed = Columns { indptr: &column_ends, indices: &cells, values: &values };
    let mut block = Block::new(N);
    let mut work = vec![0.0; N];
    for mode in [Mode::Moran, Mode::Geary] {
        for seed in 0..5 {
            let mut order: Vec<u32> = (0..N as u32).collect();
            Stream::new(3, seed).shuffle(&mut order);
            for numbers in (0..columns.len()).collect::<Vec<_>>().chunks(LANES) {
                block.fill(&packed, numbers);
                let scores = block.scores(&walk, mode, &walk.sources(&order));
                for (&at, score) in numbers.iter().zip(scores) {
                    let alone = Column::new(&packed, at, N).score(&weights, mode, Some(&order), &mut work);
                    assert!((score - alone).abs() < 1e-9 || score.is_nan() && alone.is_nan(), "{at}: {score} {alone}");
                }
            }
        }
    }
}

#[test]
fn permutations_of_sparse_and_of_dense_columns_agree_whatever_zeros_are_stored() {
    // A ring of 200 cells; columns of 5 and of 10 cells that are not zero stand on both sides of the limit.
    let n = 200;
    let (mut indptr, mut indices) = (vec![0i64], Vec::new());
    for cell in 0..n {
        let mut both = [(cell + 1) % n, (cell + n - 1) % n];
        both.sort_unstable();
        indices.extend(both.map(|other| other as i32));
        indptr.push(indices.len() as i64);
    }
    let weights = vec![1.0; indices.len()];
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let run = |filled: usize, zeros: bool| {
        let column: Vec<f64> = (0..n).map(|cell| if cell < filled { 1.0 } else { 0.0 }).collect();
        let (ends, cells, values) = packed(&[column], zeros);
        let options = AutocorrOptions { n_perms: Some(500), seed: 2, ..Default::default() };
        let columns = Columns { indptr: &ends, indices: &cells, values: &values };
        let found = spatial_autocorr(&edges, &columns, &options, &Ctx::quiet()).unwrap();
        (found.expected, found.permuted.unwrap())
    };
    for filled in [5, 10] {
        let ((expected, bare), (_, stored)) = (run(filled, false), run(filled, true));
        assert_eq!((bare.at_least[0], bare.means[0].to_bits()), (stored.at_least[0], stored.means[0].to_bits()));
        // Cells in a row are as alike as can be, and no order of the cells in 500 does as well.
        assert_eq!(bare.at_least[0], 0);
        assert!((bare.means[0] - expected).abs() < 5.0 * (bare.variances[0] / 500.0).sqrt());
    }
    // All but one cell alike: every order scores the same, and all of them count.
    assert_eq!(run(n - 1, false).1.at_least[0], 500);
}

#[test]
fn faults_are_named() {
    let (indptr, indices, weights) = ([0, 1, 2, 2], [1, 0], [1.0, 1.0]);
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let run = |edges: &Edges<'_>, indptr: &[i64], indices: &[i32], values: &[f64]| {
        let columns = Columns { indptr, indices, values };
        spatial_autocorr(edges, &columns, &AutocorrOptions::default(), &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(run(&edges, &[0, 1], &[2], &[f64::NAN]).contains("column 0, cell 2"));
    assert!(run(&edges, &[0, 1], &[3], &[1.0]).contains("below 3"));
    assert!(run(&edges, &[0, 2], &[0], &[1.0]).contains("compressed columns"));
    let empty = Edges::new(&[0, 0, 0, 0], &[], &[]).unwrap();
    assert!(run(&empty, &[0], &[], &[]).contains("no edges"));
    let two = Edges::new(&[0, 0, 0], &[], &[]).unwrap();
    assert!(run(&two, &[0], &[], &[]).contains("three cells"));
    assert!(AutocorrOptions { n_perms: Some(0), ..Default::default() }.validate().is_err());
}
