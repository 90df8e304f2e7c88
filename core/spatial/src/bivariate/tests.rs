use zensaibo_core::Ctx;
use zensaibo_core::options::Options;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;

const N: usize = 60;

/// A random weighted graph, symmetric, and three columns; the last is constant.
fn drawn() -> (Vec<i64>, Vec<i32>, Vec<f64>, Vec<Vec<f64>>) {
    let mut random = Stream::new(11, 0);
    let mut table = vec![[0.0; N]; N];
    for a in 0..N - 1 {
        for b in 0..a {
            if random.below(8) == 0 {
                let weight = 0.2 + random.uniform();
                table[a][b] = weight;
                table[b][a] = weight;
            }
        }
    }
    let (mut indptr, mut indices, mut weights) = (vec![0], Vec::new(), Vec::new());
    for row in &table {
        for (column, &weight) in row.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            indices.push(column as i32);
            weights.push(weight);
        }
        indptr.push(indices.len() as i64);
    }
    let mut columns: Vec<Vec<f64>> = (0..2).map(|_| (0..N).map(|_| random.below(4) as f64).collect()).collect();
    columns.push(vec![1.0; N]);
    (indptr, indices, weights, columns)
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

const ALL: [Local; 8] = [
    Local::Cosine,
    Local::Pearson,
    Local::Spearman,
    Local::Jaccard,
    Local::Product,
    Local::NormProduct,
    Local::Morans,
    Local::Lee,
];

#[test]
fn scores_are_their_formulas_over_all_pairs_of_cells() {
    let (indptr, indices, weights, columns) = drawn();
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let mut w = vec![vec![0.0; N]; N];
    for cell in 0..N {
        edges.of(cell).iter().zip(edges.weights_of(cell)).for_each(|(&to, weight)| w[cell][to as usize] = *weight);
    }
    let (column_ends, cells, values) = packed(&columns);
    let columns_of = Columns { indptr: &column_ends, indices: &cells, values: &values };
    let total: f64 = w.iter().flatten().sum();
    let squares: f64 = w.iter().map(|row| row.iter().sum::<f64>().powi(2)).sum();
    let standard = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / N as f64;
        let sd = (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / N as f64).sqrt();
        x.iter().map(|v| (v - mean) / sd).collect::<Vec<f64>>()
    };
    let rank = |x: &[f64]| {
        let below = |v: f64| x.iter().filter(|o| **o < v).count() as f64;
        let equal = |v: f64| x.iter().filter(|o| **o == v).count() as f64;
        x.iter().map(|&v| below(v) + (equal(v) + 1.0) / 2.0).collect::<Vec<f64>>()
    };
    let (zx, zy) = (standard(&columns[0]), standard(&columns[1]));
    for local_name in ALL {
        let options = BivariateOptions { local_name, ..Default::default() };
        let found = bivariate(&edges, &columns_of, &[[0, 1], [0, 2]], &options, &Ctx::quiet()).unwrap();
        assert!(found.local_pvals.is_none() && found.lee_pvals.is_none());
        let (x, y) = match local_name {
            Local::Spearman => (rank(&columns[0]), rank(&columns[1])),
            Local::Morans | Local::Lee => (zx.clone(), zy.clone()),
            _ => (columns[0].clone(), columns[1].clone()),
        };
        let sum = |i: usize, f: &dyn Fn(usize) -> f64| (0..N).map(|j| w[i][j] * f(j)).sum::<f64>();
        let most = |v: &[f64]| (0..N).map(|i| sum(i, &|j| v[j]).abs()).fold(0.0, f64::max);
        let (most_x, most_y) = (most(&x), most(&y));
        for i in 0..N {
            let (wx, wy) = (sum(i, &|j| x[j]), sum(i, &|j| y[j]));
            let root = |a: f64, b: f64| if a > 1e-9 && b > 1e-9 { 1.0 / (a * b).sqrt() } else { 0.0 };
            let expected = match local_name {
                Local::Cosine => sum(i, &|j| x[j] * y[j]) * root(sum(i, &|j| x[j] * x[j]), sum(i, &|j| y[j] * y[j])),
                Local::Pearson | Local::Spearman => {
                    let s = sum(i, &|_| 1.0);
                    if s == 0.0 {
                        0.0
                    } else {
                        let (mx, my) = (wx / s, wy / s);
                        sum(i, &|j| (x[j] - mx) * (y[j] - my))
                            * root(sum(i, &|j| (x[j] - mx).powi(2)), sum(i, &|j| (y[j] - my).powi(2)))
                    }
                }
                Local::Jaccard => {
                    let either = sum(i, &|j| f64::from(u8::from(x[j] > 0.0 || y[j] > 0.0)));
                    let both = sum(i, &|j| f64::from(u8::from(x[j] > 0.0 && y[j] > 0.0)));
                    if either > 0.0 { both / either } else { 0.0 }
                }
                Local::Product => wx * wy,
                Local::NormProduct => wx * wy / (most_x * most_y),
                Local::Morans => N as f64 / total * (x[i] * wy + y[i] * wx),
                Local::Lee => wx * wy * N as f64 / squares,
            };
            assert!((found.local[i] - expected).abs() < 1e-9, "{local_name:?} {i}: {} {expected}", found.local[i]);
            let (a, b) = (sum(i, &|j| zx[j]), sum(i, &|j| zy[j]));
            let category = if a > 0.0 && b > 0.0 {
                1
            } else if a * b < 0.0 {
                -1
            } else {
                0
            };
            assert_eq!(found.categories[i], category);
        }
        let cross: f64 = (0..N).map(|i| zy[i] * sum(i, &|j| zx[j])).sum();
        assert!((found.morans[0] - cross / total).abs() < 1e-12);
        let lee: f64 = (0..N).map(|i| sum(i, &|j| zx[j]) * sum(i, &|j| zy[j])).sum::<f64>() / squares;
        assert!((found.lee[0] - lee).abs() < 1e-12);
        assert!(found.morans[1].is_nan() && found.lee[1].is_nan() && found.local.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn permutations_are_the_same_for_any_number_of_threads() {
    let (indptr, indices, weights, columns) = drawn();
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let (column_ends, cells, values) = packed(&columns);
    let columns = Columns { indptr: &column_ends, indices: &cells, values: &values };
    for local_name in ALL {
        for mask_negatives in [false, true] {
            let options = BivariateOptions { local_name, n_perms: Some(200), seed: 3, mask_negatives };
            let run = |threads| {
                let job = || bivariate(&edges, &columns, &[[0, 1], [1, 0], [0, 2]], &options, &Ctx::quiet());
                let found = with_threads(Some(threads), job).unwrap();
                let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                let pvals = found.local_pvals.clone().unwrap();
                let global = [found.morans_pvals.clone().unwrap(), found.lee_pvals.clone().unwrap()].concat();
                assert!(pvals.iter().all(|p| (1.0 / 201.0..=1.0).contains(p)));
                // Of values that know nothing of space, nothing is rare.
                assert!(global[0] > 0.01 && global[3] > 0.01 && global[2].is_nan());
                (bits(&found.local), bits(&pvals), bits(&global))
            };
            let one = run(1);
            assert!(one == run(2) && one == run(8));
        }
    }
}

#[test]
fn what_goes_together_is_found() {
    // A ring of cells; both values are high on one half.
    let n = 100;
    let indptr: Vec<i64> = (0..=n).map(|cell| 2 * cell as i64).collect();
    let indices: Vec<i32> = (0..n)
        .flat_map(|cell| {
            let mut two = [(cell + 1) % n, (cell + n - 1) % n];
            two.sort_unstable();
            two.map(|other| other as i32)
        })
        .collect();
    let weights = vec![1.0; 2 * n];
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let high: Vec<f64> = (0..n).map(|cell| f64::from(u8::from(cell < 50))).collect();
    let other: Vec<f64> = high.iter().map(|value| 1.0 - value).collect();
    let (column_ends, cells, values) = packed(&[high.clone(), high, other]);
    let columns = Columns { indptr: &column_ends, indices: &cells, values: &values };
    let options = BivariateOptions { local_name: Local::Morans, n_perms: Some(99), ..Default::default() };
    let found = bivariate(&edges, &columns, &[[0, 1], [0, 2]], &options, &Ctx::quiet()).unwrap();
    assert!(found.morans[0] > 0.9 && found.morans[1] < -0.9);
    assert_eq!(found.morans_pvals.unwrap(), [0.01, 0.01]);
    assert_eq!((found.categories[25], found.categories[75]), (1, 0));
    assert_eq!((found.categories[n + 25], found.categories[n + 75]), (-1, -1));
}

#[test]
fn faults_are_named() {
    let (indptr, indices, weights) = ([0, 1, 2, 2], [1, 0], [1.0, 1.0]);
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let columns = Columns { indptr: &[0, 1], indices: &[0], values: &[1.0] };
    let run = |edges: &Edges<'_>, columns: &Columns<'_>, pairs: &[[u32; 2]]| {
        bivariate(edges, columns, pairs, &BivariateOptions::default(), &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(run(&edges, &columns, &[[0, 1]]).contains("below 1"));
    assert!(run(&edges, &Columns { indptr: &[0, 1], indices: &[0], values: &[f64::NAN] }, &[]).contains("NaN"));
    let negative = Edges::new(&indptr, &indices, &[1.0, -1.0]).unwrap();
    assert!(run(&negative, &columns, &[[0, 0]]).contains("at least 0"));
    let empty = Edges::new(&[0, 0, 0, 0], &[], &[]).unwrap();
    assert!(run(&empty, &columns, &[[0, 0]]).contains("no edges"));
    assert!(BivariateOptions { n_perms: Some(0), ..Default::default() }.validate().is_err());
}
