use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::options::Options as _;
use crate::parallel::with_threads;
use crate::random::Stream;

fn quiet() -> Ctx {
    Ctx::quiet()
}

/// [[1, 0, 2], [3, 0, 2], [5, 0, 2], [0, 0, 2]]
fn example() -> Csr {
    Csr::new(4, 3, vec![0, 2, 4, 6, 7], vec![0, 2, 0, 2, 0, 2, 2], vec![1.0, 2.0, 3.0, 2.0, 5.0, 2.0, 2.0]).unwrap()
}

fn random(n: usize, g: usize) -> Csr {
    let mut stream = Stream::new(3, 0);
    let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
    for _ in 0..n {
        for column in 0..g as u32 {
            if stream.below(3) == 0 {
                indices.push(column);
                values.push(stream.normal() as f32 * 3.0 + 1.0);
            }
        }
        indptr.push(indices.len() as u64);
    }
    Csr::new(n, g, indptr, indices, values).unwrap()
}

fn dense(matrix: &Csr) -> Vec<f32> {
    let mut out = vec![0.0; matrix.n_rows * matrix.n_cols];
    for row in 0..matrix.n_rows {
        let (columns, values) = matrix.row(row);
        columns.iter().zip(values).for_each(|(&c, &v)| out[row * matrix.n_cols + c as usize] = v);
    }
    out
}

/// The slow, obvious scaling: two rounds over each column of the rows taken.
fn slowly(values: &[f32], g: usize, mask: &[bool], options: &ScaleOptions) -> Vec<f64> {
    let mut out: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    let rows: Vec<usize> = (0..mask.len()).filter(|&row| mask[row]).collect();
    for column in 0..g {
        let mean = rows.iter().map(|&r| f64::from(values[r * g + column])).sum::<f64>() / rows.len() as f64;
        let squares: f64 = rows.iter().map(|&r| (f64::from(values[r * g + column]) - mean).powi(2)).sum();
        let std = if squares == 0.0 { 1.0 } else { (squares / (rows.len() - 1) as f64).sqrt() };
        for &row in &rows {
            let shifted = out[row * g + column] - if options.zero_center { mean } else { 0.0 };
            let mut scaled = shifted / std;
            if let Some(limit) = options.max_value {
                scaled = scaled.min(limit);
                if options.zero_center {
                    scaled = scaled.max(-limit);
                }
            }
            out[row * g + column] = scaled;
        }
    }
    out
}

#[test]
fn statistics_by_hand() {
    let got = column_scale(&example(), None, &quiet()).unwrap();
    assert_eq!(got.mean, [2.25, 0.0, 2.0]);
    let variance: f64 = (1.25f64.powi(2) + 0.75f64.powi(2) + 2.75f64.powi(2) + 2.25f64.powi(2)) / 3.0;
    assert!((got.std[0] - variance.sqrt()).abs() < 1e-14);
    assert_eq!(&got.std[1..], [1.0, 1.0], "genes that do not vary");
    let masked = column_scale(&example(), Some(&[true, false, true, false]), &quiet()).unwrap();
    assert_eq!((masked.mean, masked.std), (vec![3.0, 0.0, 2.0], vec![8.0f64.sqrt(), 1.0, 1.0]));
}

#[test]
fn a_constant_that_has_no_exact_sum_counts_as_constant() {
    let n = 10_001;
    let matrix = Csr::new(n, 1, (0..=n as u64).collect(), vec![0; n], vec![0.1; n]).unwrap();
    assert_eq!(column_scale(&matrix, None, &quiet()).unwrap().std, [1.0]);
}

#[test]
fn all_ways_agree_with_the_slow_one() {
    let (n, g) = (57, 13);
    let matrix = random(n, g);
    let values = dense(&matrix);
    let every_third: Vec<bool> = (0..n).map(|row| row % 3 != 0).collect();
    for zero_center in [true, false] {
        for max_value in [None, Some(1.0)] {
            for mask in [None, Some(every_third.as_slice())] {
                let options = ScaleOptions { zero_center, max_value };
                let scale = column_scale(&matrix, mask, &quiet()).unwrap();
                let expected = slowly(&values, g, mask.unwrap_or(&vec![true; n]), &options);
                let close =
                    |got: &[f64]| got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0));
                let mut single = values.clone();
                scale_dense_in_place(&mut single, n, &scale, mask, &options, &quiet()).unwrap();
                assert!(close(&single.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()), "{options:?}");
                let mut double: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
                scale_dense_in_place(&mut double, n, &scale, mask, &options, &quiet()).unwrap();
                assert!(double.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12 * b.abs().max(1.0)));
                let mut out = vec![9.0f32; n * g];
                scale_into(&matrix, &scale, mask, &options, &mut out, &quiet()).unwrap();
                assert_eq!(out, single, "sparse and dense give the same bits");
                let mut rows = matrix.clone();
                let sparse = scale_rows_in_place(
                    &rows.indptr,
                    &rows.indices,
                    &mut rows.values,
                    &scale,
                    mask,
                    &options,
                    &quiet(),
                );
                if zero_center {
                    assert!(sparse.unwrap_err().to_string().contains("zero_center"));
                } else {
                    sparse.unwrap();
                    assert_eq!(dense(&rows), single);
                }
            }
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_layout() {
    let matrix = random(9000, 200);
    let values = dense(&matrix);
    let options = ScaleOptions { max_value: Some(10.0), ..Default::default() };
    let run = |threads, from_dense| {
        with_threads(Some(threads), || {
            let view = DenseView::new(9000, 200, ValueSlice::F32(&values))?;
            let source: &dyn RowBlocks = if from_dense { &view } else { &matrix };
            let scale = column_scale(source, None, &quiet())?;
            let mut out = vec![0.0f32; values.len()];
            scale_into(source, &scale, None, &options, &mut out, &quiet())?;
            Ok((scale, out))
        })
        .unwrap()
    };
    let one = run(1, false);
    assert_eq!(one, run(2, false));
    assert_eq!(one, run(8, false));
    assert_eq!(one, run(2, true));
}

#[test]
fn degenerate_input() {
    let single = Csr::new(1, 2, vec![0, 1], vec![1], vec![4.0]).unwrap();
    let scale = column_scale(&single, None, &quiet()).unwrap();
    assert_eq!((scale.mean.as_slice(), scale.std.as_slice()), (&[0.0, 4.0][..], &[1.0, 1.0][..]));
    let text = column_scale(&Csr::empty(0, 2), None, &quiet()).unwrap_err().to_string();
    assert!(text.contains("at least one cell"), "{text}");
    let text = column_scale(&example(), Some(&[false; 4]), &quiet()).unwrap_err().to_string();
    assert!(text.contains("mask"), "{text}");
    let text = column_scale(&example(), Some(&[true]), &quiet()).unwrap_err().to_string();
    assert!(text.contains("mask_obs") && text.contains("4 entries"), "{text}");
    let mut broken = example();
    broken.values[1] = f32::NAN;
    assert!(column_scale(&broken, None, &quiet()).unwrap_err().to_string().contains("column 2"));
    let no_genes = column_scale(&Csr::empty(3, 0), None, &quiet()).unwrap();
    scale_dense_in_place::<f32>(&mut [], 3, &no_genes, None, &ScaleOptions::default(), &quiet()).unwrap();
}

#[test]
fn bad_options_and_lengths_are_refused() {
    for limit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = ScaleOptions { max_value: Some(limit), ..Default::default() };
        assert!(options.validate().unwrap_err().to_string().contains("max_value"), "{limit}");
    }
    let scale = ColumnScale { mean: vec![0.0; 2], std: vec![1.0; 2] };
    let sparse = ScaleOptions { zero_center: false, ..Default::default() };
    let fault = |indptr: &[u64], indices: &[i32], values: &mut [f32]| {
        scale_rows_in_place(indptr, indices, values, &scale, None, &sparse, &quiet()).unwrap_err().to_string()
    };
    assert!(fault(&[0, 1], &[2], &mut [1.0]).contains("0..2"));
    assert!(fault(&[0, 1], &[-1], &mut [1.0]).contains("0..2"));
    assert!(fault(&[0, 2], &[0], &mut [1.0, 2.0]).contains("indices"));
    assert!(fault(&[0, 3], &[0], &mut [1.0]).contains("indptr"));
    let text = scale_dense_in_place(&mut [1.0f32; 3], 2, &scale, None, &sparse, &quiet()).unwrap_err().to_string();
    assert!(text.contains("2 x 2"), "{text}");
    let text = scale_into(&example(), &scale, None, &sparse, &mut [0.0f32; 12], &quiet()).unwrap_err().to_string();
    assert!(text.contains("3 of each"), "{text}");
}
