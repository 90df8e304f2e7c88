use ndarray::{Array2, ArrayView2, array};
use proptest::prelude::*;

use super::*;

/// The slow, obvious product.
fn product(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| (0..a.ncols()).map(|l| a[(i, l)] * b[(l, j)]).sum())
}

fn close(a: &Array2<f64>, b: &Array2<f64>, tolerance: f64) -> bool {
    a.dim() == b.dim() && a.iter().zip(b).all(|(x, y)| (x - y).abs() <= tolerance)
}

fn identity(n: usize) -> Array2<f64> {
    Array2::eye(n)
}

/// Values in -1..1 from a counter, so a failing case is its three numbers.
fn filled(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    Array2::from_shape_fn((rows, columns), |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    })
}

#[test]
fn by_hand() {
    let eigen = symmetric_eigen(array![[2.0, 1.0], [1.0, 2.0]].view()).unwrap();
    assert!((eigen.values[0] - 1.0).abs() < 1e-14 && (eigen.values[1] - 3.0).abs() < 1e-14);
    assert!((eigen.vectors[(0, 1)].abs() - 0.5f64.sqrt()).abs() < 1e-14);
    let svd = thin_svd(array![[3.0, 0.0], [0.0, -4.0], [0.0, 0.0]].view()).unwrap();
    assert!((svd.s[0] - 4.0).abs() < 1e-14 && (svd.s[1] - 3.0).abs() < 1e-14);
    let x = solve(array![[0.0, 2.0], [1.0, 0.0]].view(), array![[4.0], [3.0]].view()).unwrap();
    assert!(close(&x, &array![[3.0], [2.0]], 1e-14));
    let mut out = vec![0.0f32; 4];
    gemm_abt_f32(&mut out, &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], 2, 2, 2).unwrap();
    assert_eq!(out, [17.0, 23.0, 39.0, 53.0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_agree_with_the_slow_one(m in 0usize..40, n in 0usize..40, k in 0usize..70, seed in 0u64..1000) {
        let (a, b) = (filled(m, k, seed), filled(n, k, seed + 1));
        let expected = product(a.view(), b.t());
        let mut out = Array2::from_elem((m, n), 7.0);
        gemm_f64(out.view_mut(), false, a.view(), b.t()).unwrap();
        prop_assert!(close(&out, &expected, 1e-12));
        gemm_f64(out.view_mut(), true, a.view(), b.t()).unwrap();
        prop_assert!(close(&out, &(&expected * 2.0), 1e-12));
        let (a32, b32) = (a.mapv(|x| x as f32), b.mapv(|x| x as f32));
        let mut tile = vec![9.0f32; m * n];
        gemm_abt_f32(&mut tile, a32.as_slice().unwrap(), b32.as_slice().unwrap(), m, n, k).unwrap();
        for (x, y) in tile.iter().zip(&expected) {
            prop_assert!((f64::from(*x) - y).abs() < 1e-4);
        }
        let gram_expected = product(a.t(), a.view());
        let mut gram = Array2::from_elem((k, k), f64::NAN);
        let mut gram32 = Array2::from_elem((k, k), f32::NAN);
        gram_f64(gram.view_mut(), false, a.view()).unwrap();
        gram_f32(gram32.view_mut(), false, a32.view()).unwrap();
        if m > 0 {
            for i in 0..k {
                for j in 0..k {
                    if j <= i {
                        prop_assert!((gram[(i, j)] - gram_expected[(i, j)]).abs() < 1e-12);
                        prop_assert!((f64::from(gram32[(i, j)]) - gram_expected[(i, j)]).abs() < 1e-4);
                    } else {
                        prop_assert!(gram[(i, j)].is_nan());
                    }
                }
            }
        }
    }

    #[test]
    fn eigenpairs_rebuild_the_matrix(n in 0usize..60, rank in 1usize..60, seed in 0u64..1000) {
        let factor = filled(n, rank, seed);
        let a = product(factor.view(), factor.t());
        let eigen = symmetric_eigen(a.view()).unwrap();
        prop_assert!(eigen.values.windows(2).all(|pair| pair[0] <= pair[1]));
        let scaled = &eigen.vectors * &ndarray::Array1::from(eigen.values.clone());
        prop_assert!(close(&product(scaled.view(), eigen.vectors.t()), &a, 1e-11));
        prop_assert!(close(&product(eigen.vectors.t(), eigen.vectors.view()), &identity(n), 1e-12));
        let top = symmetric_eigen_top(a.view(), 3).unwrap();
        prop_assert_eq!(top.values.len(), n.min(3));
        prop_assert!(top.values.iter().zip(eigen.values.iter().rev()).all(|(x, y)| x == y));
    }

    #[test]
    fn svd_and_qr_rebuild_the_matrix(m in 1usize..80, n in 1usize..50, seed in 0u64..1000) {
        let a = filled(m, n, seed);
        let svd = thin_svd(a.view()).unwrap();
        prop_assert!(svd.s.windows(2).all(|pair| pair[0] >= pair[1]) && svd.s.iter().all(|&s| s >= 0.0));
        let scaled = &svd.u * &ndarray::Array1::from(svd.s.clone());
        prop_assert!(close(&product(scaled.view(), svd.vt.view()), &a, 1e-12));
        let (q, r) = thin_qr(a.view()).unwrap();
        prop_assert!(close(&product(q.view(), r.view()), &a, 1e-12));
        prop_assert!(close(&product(q.t(), q.view()), &identity(m.min(n)), 1e-12));
        for i in 0..r.nrows() {
            for j in 0..i.min(r.ncols()) {
                prop_assert_eq!(r[(i, j)], 0.0);
            }
        }
        let (q32, _) = thin_qr_f32(a.mapv(|x| x as f32).view()).unwrap();
        let q32 = q32.mapv(f64::from);
        prop_assert!(close(&product(q32.t(), q32.view()), &identity(m.min(n)), 1e-5));
    }

    #[test]
    fn solutions_solve(n in 1usize..30, m in 1usize..5, seed in 0u64..1000) {
        let a = &filled(n, n, seed) + &(identity(n) * n as f64);
        let x = filled(n, m, seed + 1);
        let b = product(a.view(), x.view());
        prop_assert!(close(&solve(a.view(), b.view()).unwrap(), &x, 1e-10));
        let positive = product(a.view(), a.t());
        let b = product(positive.view(), x.view());
        prop_assert!(close(&solve_positive(positive.view(), b.view()).unwrap(), &x, 1e-8));
        let (_, r) = thin_qr(a.view()).unwrap();
        prop_assert!(close(&solve_upper(r.view(), product(r.view(), x.view()).view()).unwrap(), &x, 1e-10));
    }
}

#[test]
fn a_rank_deficient_matrix_still_gets_an_orthonormal_basis() {
    let a = Array2::from_elem((10, 3), 1.0);
    let (q, _) = thin_qr(a.view()).unwrap();
    assert!(close(&product(q.t(), q.view()), &identity(3), 1e-12));
    let (q, _) = thin_qr(Array2::zeros((10, 3)).view()).unwrap();
    assert!(close(&product(q.t(), q.view()), &identity(3), 1e-12));
}

#[test]
fn faults_are_named() {
    let nan = array![[1.0, 0.0], [f64::NAN, 1.0]];
    assert!(symmetric_eigen(nan.view()).unwrap_err().to_string().contains("row 1, column 0"));
    assert!(thin_svd(nan.view()).unwrap_err().to_string().contains("finite"));
    assert!(thin_qr(nan.view()).unwrap_err().to_string().contains("finite"));
    assert!(symmetric_eigen(Array2::zeros((2, 3)).view()).unwrap_err().to_string().contains("square"));
    let singular = array![[1.0, 2.0], [2.0, 4.0]];
    let b = array![[1.0], [1.0]];
    assert!(matches!(solve(singular.view(), b.view()), Err(Failure::Singular { pivot: 1, .. })));
    assert!(matches!(solve_positive((-identity(2)).view(), b.view()), Err(Failure::Singular { .. })));
    assert!(solve(singular.view(), Array2::zeros((3, 1)).view()).unwrap_err().to_string().contains("2 rows"));
    let mut out = vec![0.0f32; 3];
    assert!(gemm_abt_f32(&mut out, &[0.0; 4], &[0.0; 4], 2, 2, 2).unwrap_err().to_string().contains("2 x 2"));
    let a = Array2::<f64>::zeros((2, 3));
    let mut out = Array2::zeros((2, 2));
    assert!(gemm_f64(out.view_mut(), false, a.view(), a.view()).is_err());
}
