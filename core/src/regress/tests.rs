use ndarray::{Array1, Array2, ArrayView2, s};
use zensaibo_linalg::solve;

use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, RowBlocks, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;
use crate::{Ctx, Error};

fn quiet() -> Ctx {
    Ctx::quiet()
}

/// Sparse values that depend on two properties of the cells.
fn example(n: usize, g: usize) -> (Csr, Vec<f32>, Vec<Vec<f64>>) {
    let mut stream = Stream::new(11, 0);
    let properties: Vec<Vec<f64>> =
        (0..2).map(|k| (0..n).map(|_| 1000.0 * k as f64 + 50.0 * stream.normal()).collect()).collect();
    let mut values = vec![0.0f32; n * g];
    for i in 0..n {
        for j in 0..g {
            if stream.below(3) > 0 {
                let trend = 0.01 * (j % 5) as f64 * properties[0][i] - 0.003 * properties[1][i];
                values[i * g + j] = (trend + stream.normal()) as f32;
            }
        }
    }
    let (mut indptr, mut indices, mut stored) = (vec![0u64], Vec::new(), Vec::new());
    for row in values.chunks_exact(g.max(1)) {
        for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            indices.push(column as u32);
            stored.push(value);
        }
        indptr.push(indices.len() as u64);
    }
    (Csr::new(n, g, indptr, indices, stored).unwrap(), values, properties)
}

/// The slow, obvious residuals: normal equations, gene by gene.
fn slowly(values: &[f32], n: usize, g: usize, regressors: ArrayView2<'_, f64>) -> Vec<f64> {
    let mut out = vec![0.0; n * g];
    for j in 0..g {
        let y = Array2::from_shape_fn((n, 1), |(i, _)| f64::from(values[i * g + j]));
        let coefficients = solve(regressors.t().dot(&regressors).view(), regressors.t().dot(&y).view()).unwrap();
        let left = &y - &regressors.dot(&coefficients);
        (0..n).for_each(|i| out[i * g + j] = left[(i, 0)]);
    }
    out
}

fn residuals(source: &dyn RowBlocks, design: &Design) -> Vec<f32> {
    let mut out = vec![9.0; source.n_rows() * source.n_cols()];
    regress_out_into(source, design, &mut out, &quiet()).unwrap();
    out
}

fn slices(columns: &[Vec<f64>]) -> Vec<&[f64]> {
    columns.iter().map(Vec::as_slice).collect()
}

#[test]
fn a_line_by_hand() {
    // y = 1 + 2 x is fitted exactly; y = (0, 1, 0) on x = (0, 1, 2) leaves (-1, 2, -1) / 3.
    let matrix = Csr::new(3, 2, vec![0, 1, 3, 4], vec![0, 0, 1, 0], vec![1.0, 3.0, 1.0, 5.0]).unwrap();
    let got = residuals(&matrix, &Design::continuous(3, &[&[0.0, 1.0, 2.0]]).unwrap());
    let expected = [0.0, -1.0 / 3.0, 0.0, 2.0 / 3.0, 0.0, -1.0 / 3.0];
    assert!(got.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-7), "{got:?}");
}

#[test]
fn continuous_residuals_as_the_slow_way() {
    for (n, g) in [(4, 3), (60, 20), (200, 7)] {
        let (matrix, values, properties) = example(n, g);
        let design = Design::continuous(n, &slices(&properties)).unwrap();
        assert_eq!((design.rank(), design.dropped()), (2, 0));
        let regressors = Array2::from_shape_fn((n, 3), |(i, k)| if k == 0 { 1.0 } else { properties[k - 1][i] });
        let expected = slowly(&values, n, g, regressors.view());
        let got = residuals(&matrix, &design);
        assert!(got.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 2e-5), "{n} x {g}");
        let squares = fit(&matrix, &design, &quiet()).unwrap().residual_squares();
        for j in 0..g {
            let slow: f64 = (0..n).map(|i| expected[i * g + j].powi(2)).sum();
            assert!((squares[j] - slow).abs() < 1e-8 * (1.0 + slow), "{} {slow}", squares[j]);
        }
    }
}

#[test]
fn collinear_and_constant_columns_change_nothing() {
    let (matrix, _, properties) = example(80, 10);
    let plain = residuals(&matrix, &Design::continuous(80, &slices(&properties)).unwrap());
    let mut more = properties.clone();
    more.push(vec![3.0; 80]);
    more.push((0..80).map(|i| 2.0 * properties[0][i] - properties[1][i] + 7.0).collect());
    more.push(vec![0.0; 80]);
    let design = Design::continuous(80, &slices(&more)).unwrap();
    assert_eq!((design.rank(), design.dropped()), (2, 3));
    for (a, b) in residuals(&matrix, &design).iter().zip(&plain) {
        assert!((a - b).abs() < 1e-5);
    }
    // Without any that varies only the mean goes.
    let centred = residuals(&matrix, &Design::continuous(80, &[&[3.0; 80]]).unwrap());
    for j in 0..10 {
        assert!((0..80).map(|i| f64::from(centred[i * 10 + j])).sum::<f64>().abs() < 1e-4);
    }
}

#[test]
fn categories_lose_their_means() {
    let (n, g) = (50, 9);
    let (matrix, values, _) = example(n, g);
    let codes: Vec<u32> = (0..n as u32).map(|i| [0, 0, 1, 3][i as usize % 4]).collect();
    let design = Design::categories(&codes, 5).unwrap();
    assert_eq!(design.rank(), 2);
    let got = residuals(&matrix, &design);
    for j in 0..g {
        for code in [0, 1, 3] {
            let rows: Vec<usize> = (0..n).filter(|&i| codes[i] == code).collect();
            let mean = rows.iter().map(|&i| f64::from(values[i * g + j])).sum::<f64>() / rows.len() as f64;
            for &i in &rows {
                assert!((f64::from(got[i * g + j]) - (f64::from(values[i * g + j]) - mean)).abs() < 1e-5);
            }
        }
    }
    let squares = fit(&matrix, &design, &quiet()).unwrap().residual_squares();
    let slow: f64 = (0..n).map(|i| f64::from(got[i * g]).powi(2)).sum();
    assert!((squares[0] - slow).abs() < 1e-4 * slow);
}

#[test]
fn residuals_are_orthogonal_to_the_design() {
    let (n, g) = (300, 12);
    let (matrix, _, properties) = example(n, g);
    let got = residuals(&matrix, &Design::continuous(n, &slices(&properties)).unwrap());
    let left = Array2::from_shape_fn((n, g), |(i, j)| f64::from(got[i * g + j]));
    for property in &properties {
        let unit = Array1::from(property.clone());
        let unit = &unit - unit.mean().unwrap();
        let unit = &unit / unit.dot(&unit).sqrt();
        assert!(unit.dot(&left).iter().all(|x| x.abs() < 1e-4));
    }
    assert!(left.sum_axis(ndarray::Axis(0)).slice(s![..]).iter().all(|x| x.abs() < 1e-3));
}

#[test]
fn threads_and_layouts_give_the_same_bits() {
    let (n, g) = (5000, 400);
    let (matrix, values, properties) = example(n, g);
    let view = DenseView::new(n, g, ValueSlice::F32(&values)).unwrap();
    let codes: Vec<u32> = (0..n as u32).map(|i| i % 7).collect();
    let designs = [Design::continuous(n, &slices(&properties)).unwrap(), Design::categories(&codes, 7).unwrap()];
    for design in &designs {
        let run =
            |source: &dyn RowBlocks, threads| with_threads(Some(threads), || Ok(residuals(source, design))).unwrap();
        let one = run(&matrix, 1);
        assert!(one == run(&matrix, 2) && one == run(&matrix, 8) && one == run(&view, 2));
    }
}

#[test]
fn degenerate_and_bad_input() {
    let text = |result: crate::Result<Design>| result.unwrap_err().to_string();
    assert!(text(Design::continuous(3, &[&[1.0]])).contains("covariate 0"));
    assert!(text(Design::continuous(2, &[&[1.0, 2.0], &[1.0, f64::NAN]])).contains("covariate 1"));
    assert!(text(Design::categories(&[0, 2], 2)).contains("2 in cell 1"));
    let (matrix, ..) = example(4, 3);
    let fault = |matrix: &Csr, design: &Design| -> Error { fit(matrix, design, &quiet()).unwrap_err() };
    let short = Design::continuous(2, &[&[1.0, 2.0]]).unwrap();
    assert!(fault(&matrix, &short).to_string().contains("4 entries"));
    assert!(fault(&Csr::empty(0, 3), &Design::continuous(0, &[]).unwrap()).to_string().contains("at least one cell"));
    let single = Csr::new(1, 1, vec![0, 1], vec![0], vec![3.0]).unwrap();
    assert_eq!(residuals(&single, &Design::continuous(1, &[&[5.0]]).unwrap()), [0.0]);
    assert_eq!(residuals(&single, &Design::categories(&[0], 1).unwrap()), [0.0]);
    let huge = Design::continuous(3, &[&[1e300, -1e300, 0.0]]).unwrap();
    assert_eq!(huge.rank(), 1);
    let mut broken = matrix.clone();
    broken.values[0] = f32::INFINITY;
    let design = Design::continuous(4, &[&[1.0, 2.0, 3.0, 5.0]]).unwrap();
    assert!(fault(&broken, &design).to_string().contains("finite"));
}
