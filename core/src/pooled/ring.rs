//! The ring of cells, and the equations of its pools.

use super::fourier::transform;

/// Weight of the equations that say "the factor is that of the library size", which decide only where pools do not.
const WEIGHT: f64 = 1e-6;

/// Cells by library size around a ring: up on one side, down on the other, so that neighbours are alike.
pub(super) fn order(totals: &[f64]) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..totals.len()).collect();
    sorted.sort_by(|&a, &b| totals[a].total_cmp(&totals[b]));
    let up = sorted.iter().step_by(2);
    let down = sorted.iter().skip(1).step_by(2);
    up.copied().chain(down.copied().collect::<Vec<_>>().into_iter().rev()).collect()
}

/// Least-squares solution of: the sum over `sizes[s]` places from place i on is `values[i][s]`, for every place of the
/// ring and every size, and each place alone is 1 with a small weight.
pub(super) fn solve(sizes: &[usize], values: &[Vec<f64>]) -> Vec<f64> {
    let n = values.len();
    // Right-hand side of the normal equations: each value, over the places that it covers.
    let mut right = vec![[WEIGHT, 0.0]; n];
    for (s, &size) in sizes.iter().enumerate() {
        for place in 0..n {
            let covering: f64 = (0..size).map(|back| values[(place + n - back % n) % n][s]).sum();
            right[place][0] += covering;
        }
    }
    // Eigenvalues of the circulant matrix: the transform of its first row.
    let mut row = vec![[0.0, 0.0]; n];
    row[0][0] += WEIGHT;
    for &size in sizes {
        for a in 0..size {
            for b in 0..size {
                row[(n + b % n - a % n) % n][0] += 1.0;
            }
        }
    }
    let (eigen, right) = (transform(&row), transform(&right));
    // The matrix is symmetric, so its eigenvalues are real; the inverse transform is the transform of the conjugate.
    let quotients: Vec<[f64; 2]> =
        eigen.iter().zip(&right).map(|(e, r)| [r[0] / e[0].max(WEIGHT), -r[1] / e[0].max(WEIGHT)]).collect();
    transform(&quotients).into_iter().map(|[re, _]| re / n as f64).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use zensaibo_linalg::solve as solve_dense;

    use super::*;
    use crate::random::Stream;

    #[test]
    fn the_ring_goes_up_and_down() {
        assert_eq!(order(&[5.0, 1.0, 4.0, 2.0, 3.0]), [1, 4, 0, 2, 3]);
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn equals_the_normal_equations_solved_densely() {
        let mut stream = Stream::new(1, 0);
        for (n, sizes) in [(30usize, vec![3usize, 5, 8]), (7, vec![7]), (101, vec![21, 26, 101]), (1, vec![1])] {
            let values: Vec<Vec<f64>> =
                (0..n).map(|_| sizes.iter().map(|&s| s as f64 + stream.normal()).collect()).collect();
            let rows = n * sizes.len();
            let mut a = Array2::<f64>::zeros((rows + n, n));
            let mut b = Array2::<f64>::zeros((rows + n, 1));
            for (s, &size) in sizes.iter().enumerate() {
                for place in 0..n {
                    (0..size).for_each(|k| a[(s * n + place, (place + k) % n)] += 1.0);
                    b[(s * n + place, 0)] = values[place][s];
                }
            }
            for place in 0..n {
                a[(rows + place, place)] = WEIGHT.sqrt();
                b[(rows + place, 0)] = WEIGHT.sqrt();
            }
            let expected = solve_dense(a.t().dot(&a).view(), a.t().dot(&b).view()).unwrap();
            for (got, expected) in solve(&sizes, &values).iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{n}: {got} {expected}");
            }
        }
    }
}
