use super::*;
use crate::data::Csr;
use crate::matrix::{Lazy, collect};
use crate::parallel::with_threads;
use crate::{Ctx, DataFault, Error};

/// [[1, 2, 0], [0, 0, 0], [0, 0, 12], [3, 0, 3]]
fn example() -> Csr {
    Csr::new(4, 3, vec![0, 2, 2, 3, 5], vec![0, 1, 2, 0, 2], vec![1.0, 2.0, 12.0, 3.0, 3.0]).unwrap()
}

fn factors(matrix: &Csr, options: &NormalizeTotalOptions) -> SizeFactors {
    size_factors(matrix, options, &Ctx::quiet()).unwrap()
}

#[test]
fn factors_by_hand() {
    let got = factors(&example(), &NormalizeTotalOptions::default());
    assert_eq!(got.totals, [3.0, 0.0, 12.0, 6.0]);
    assert_eq!(got.target, 6.0, "the empty cell does not count");
    assert_eq!(got.factors, [0.5, 0.0, 2.0, 1.0]);
    assert_eq!(got.divisors(), [0.5, 1.0, 2.0, 1.0]);
    assert_eq!(got.n_empty, 1);
    assert_eq!(got.excluded, [false; 3]);
    let asked = factors(&example(), &NormalizeTotalOptions { target_sum: Some(12.0), ..Default::default() });
    assert_eq!(asked.factors, [0.25, 0.0, 1.0, 0.5]);
}

#[test]
fn highly_expressed_genes_leave_the_totals() {
    let options = NormalizeTotalOptions { exclude_highly_expressed: true, max_fraction: 0.6, ..Default::default() };
    let got = factors(&example(), &options);
    assert_eq!(got.excluded, [false, true, true]);
    assert_eq!(got.totals, [1.0, 0.0, 0.0, 3.0]);
    assert_eq!((got.target, got.n_empty), (2.0, 2));
}

#[test]
fn in_place_and_lazy_agree_to_the_last_bit() {
    let n = 3000;
    let indices = (0..n as u32).flat_map(|_| 0..100u32).collect::<Vec<_>>();
    let values: Vec<f32> = (0..n * 100).map(|i| ((i * 7919) % 31) as f32).collect();
    let matrix = Csr::new(n, 100, (0..=n as u64).map(|i| i * 100).collect(), indices, values).unwrap();
    let divisors = factors(&matrix, &NormalizeTotalOptions { target_sum: Some(1e4), ..Default::default() }).divisors();
    for base in [None, Some(2.0)] {
        let lazy = Lazy::new(&matrix).divide_rows(divisors.clone()).unwrap().log1p(base);
        let lazily = collect(&lazy, &Ctx::quiet()).unwrap().values;
        for threads in [1, 2, 8] {
            let mut values = matrix.values.clone();
            with_threads(Some(threads), || {
                divide_rows_in_place(&matrix.indptr, &mut values, &divisors, &Ctx::quiet())?;
                log1p_in_place(&mut values, base, &Ctx::quiet())
            })
            .unwrap();
            assert!(values.iter().zip(&lazily).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }
}

#[test]
fn f64_keeps_its_accuracy() {
    let mut values = [1.0f64, 2.0, 3.0];
    divide_rows_in_place(&[0, 2, 3], &mut values, &[3.0, 7.0], &Ctx::quiet()).unwrap();
    assert_eq!(values, [1.0 / 3.0, 2.0 / 3.0, 3.0 / 7.0]);
    log1p_in_place(&mut values, None, &Ctx::quiet()).unwrap();
    assert_eq!(values[2], (3.0f64 / 7.0).ln_1p());
}

#[test]
fn rows_of_all_lengths_are_divided_once() {
    for lengths in [vec![0, 0, 5, 0], vec![1 << 19, 3, 0, 1 << 18], vec![], vec![0], vec![(1 << 18) - 1, 1, 1, 1]] {
        let mut indptr = vec![0u64];
        lengths.iter().for_each(|n| indptr.push(indptr[indptr.len() - 1] + n));
        let mut values = vec![6.0f32; indptr[lengths.len()] as usize];
        let divisors: Vec<f64> = (0..lengths.len()).map(|row| (row + 1) as f64).collect();
        divide_rows_in_place(&indptr, &mut values, &divisors, &Ctx::quiet()).unwrap();
        for row in 0..lengths.len() {
            let span = indptr[row] as usize..indptr[row + 1] as usize;
            assert!(values[span].iter().all(|&v| v == (6.0 / divisors[row]) as f32));
        }
    }
}

#[test]
fn degenerate_matrices() {
    let nothing = factors(&Csr::empty(0, 3), &NormalizeTotalOptions::default());
    assert_eq!((nothing.totals.len(), nothing.target), (0, 1.0));
    let zeros = factors(&Csr::empty(2, 3), &NormalizeTotalOptions::default());
    assert_eq!((zeros.divisors(), zeros.n_empty), (vec![1.0, 1.0], 2));
}

#[test]
fn bad_values_are_placed() {
    let fault = |value: f32| {
        let mut matrix = example();
        matrix.values[3] = value;
        match size_factors(&matrix, &NormalizeTotalOptions::default(), &Ctx::quiet()).unwrap_err() {
            Error::Data { fault, found, .. } => (fault, found),
            other => panic!("{other}"),
        }
    };
    assert_eq!(fault(-1.0), (DataFault::Negative, "-1 in cell 3, gene 0".into()));
    assert_eq!(fault(f32::NAN).0, DataFault::NotFinite);
    assert_eq!(fault(f32::INFINITY).0, DataFault::NotFinite);
    assert_eq!(fault(f32::NEG_INFINITY).0, DataFault::NotFinite);
}

#[test]
fn bad_options_are_named() {
    let message = |options| size_factors(&example(), &options, &Ctx::quiet()).unwrap_err().to_string();
    let default = NormalizeTotalOptions::default();
    assert!(message(NormalizeTotalOptions { target_sum: Some(0.0), ..default.clone() }).contains("target_sum"));
    assert!(message(NormalizeTotalOptions { target_sum: Some(f64::NAN), ..default.clone() }).contains("target_sum"));
    assert!(message(NormalizeTotalOptions { max_fraction: 1.5, ..default }).contains("max_fraction"));
    for base in [0.0, 1.0, -2.0, f64::NAN] {
        assert!(log1p_in_place(&mut [1.0f32], Some(base), &Ctx::quiet()).unwrap_err().to_string().contains("base"));
    }
    assert!(divide_rows_in_place(&[0, 1], &mut [1.0f32, 2.0], &[1.0], &Ctx::quiet()).is_err());
}
