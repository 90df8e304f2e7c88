//! Principal axes of a region.

use super::sums::{PAIRS, Total};

/// Lengths (micrometres, longest first) of the axes of the ellipsoid with the same second moments, and the direction (z, y, x)
/// of the longest, with its first component that is not 0 above 0.
pub(super) fn axes(total: &Total, um: [f64; 3]) -> ([f64; 3], [f64; 3]) {
    let n = total.count as f64;
    let mut covariance = [[0.0; 3]; 3];
    for (k, [a, b]) in PAIRS.into_iter().enumerate() {
        // In whole numbers, so that nothing cancels.
        let central = (total.count * total.products[k]) as i128 - (total.sum[a] * total.sum[b]) as i128;
        let value = central as f64 / n / n * um[a] * um[b];
        covariance[a][b] = value;
        covariance[b][a] = value;
    }
    let (values, vectors) = eigen(covariance);
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
    let lengths = order.map(|k| 2.0 * (5.0 * values[k].max(0.0)).sqrt());
    let mut longest: [f64; 3] = std::array::from_fn(|axis| vectors[axis][order[0]]);
    if longest.iter().find(|x| x.abs() > 1e-12).is_some_and(|&x| x < 0.0) {
        longest = longest.map(|x| -x);
    }
    (lengths, longest)
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix by Jacobi rotations.
fn eigen(mut a: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut v = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for _ in 0..30 {
        let scale = (0..3).map(|i| a[i][i].abs()).sum::<f64>();
        if a[0][1].abs() + a[0][2].abs() + a[1][2].abs() <= 1e-16 * scale {
            break;
        }
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q] == 0.0 {
                continue;
            }
            let half = 0.5 * (a[q][q] - a[p][p]) / a[p][q];
            let t = half.signum() / (half.abs() + (half * half + 1.0).sqrt());
            let cos = 1.0 / (t * t + 1.0).sqrt();
            let sin = t * cos;
            for k in 0..3 {
                let (x, y) = (a[k][p], a[k][q]);
                (a[k][p], a[k][q]) = (cos * x - sin * y, sin * x + cos * y);
            }
            for k in 0..3 {
                let (x, y) = (a[p][k], a[q][k]);
                (a[p][k], a[q][k]) = (cos * x - sin * y, sin * x + cos * y);
                let (x, y) = (v[k][p], v[k][q]);
                (v[k][p], v[k][q]) = (cos * x - sin * y, sin * x + cos * y);
            }
        }
    }
    ([a[0][0], a[1][1], a[2][2]], v)
}
