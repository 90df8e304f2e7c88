use super::*;
use crate::data::Csr;
use crate::hvg::Bound;
use crate::matrix::{DenseView, ValueSlice};
use crate::options::Options as _;
use crate::parallel::with_threads;
use crate::random::Stream;
use crate::stats::gene_moments_by;

fn quiet() -> Ctx {
    Ctx::quiet()
}

/// Counts with rates that differ between cells and genes; the last gene and the last cell are empty.
fn counts(n: usize, g: usize, seed: u64) -> (Csr, Vec<f32>) {
    let mut values = vec![0.0f32; n * g];
    for i in 0..n.saturating_sub(1) {
        let mut stream = Stream::new(seed, i as u64);
        for j in 0..g.saturating_sub(1) {
            let rate = 0.05 + 4.0 * ((i * 7 % 11) as f64 / 11.0) * ((j * 5 % 13) as f64 / 13.0).powi(2);
            let (mut count, mut left) = (0.0, (-rate).exp());
            let mut u = stream.uniform();
            while u > left && count < 50.0 {
                u -= left;
                count += 1.0;
                left *= rate / count;
            }
            values[i * g + j] = count as f32;
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
    (Csr::new(n, g, indptr, indices, stored).unwrap(), values)
}

/// The slow, obvious residuals.
fn slowly(values: &[f32], n: usize, g: usize, theta: f64, clip: f64) -> Vec<f64> {
    let cell = |i: usize| (0..g).map(|j| f64::from(values[i * g + j])).sum::<f64>();
    let gene = |j: usize| (0..n).map(|i| f64::from(values[i * g + j])).sum::<f64>();
    let (cells, genes): (Vec<f64>, Vec<f64>) = ((0..n).map(cell).collect(), (0..g).map(gene).collect());
    let total: f64 = cells.iter().sum();
    (0..n * g)
        .map(|at| {
            let mu = cells[at / g] * genes[at % g] / total;
            let residual = (f64::from(values[at]) - mu) / (mu + mu * mu / theta).sqrt();
            if mu == 0.0 { 0.0 } else { residual.clamp(-clip, clip) }
        })
        .collect()
}

fn variances_slowly(values: &[f32], n: usize, g: usize, theta: f64, clip: f64) -> Vec<f64> {
    let residuals = slowly(values, n, g, theta, clip);
    (0..g)
        .map(|j| {
            let mean = (0..n).map(|i| residuals[i * g + j]).sum::<f64>() / n as f64;
            (0..n).map(|i| (residuals[i * g + j] - mean).powi(2)).sum::<f64>() / n as f64
        })
        .collect()
}

fn residuals(source: &dyn RowBlocks, options: &PearsonOptions) -> Vec<f32> {
    let mut out = vec![7.0; source.n_rows() * source.n_cols()];
    pearson_residuals_into(source, options, &mut out, &quiet()).unwrap();
    out
}

#[test]
fn residuals_by_hand() {
    // [[1, 1], [0, 2]]: mu = [[0.5, 1.5], [0.5, 1.5]]
    let matrix = Csr::new(2, 2, vec![0, 2, 3], vec![0, 1, 1], vec![1.0, 1.0, 2.0]).unwrap();
    let options = PearsonOptions { theta: Bound(f64::INFINITY), clip: Some(0.6), ..Default::default() };
    let expected = [0.6f64, -0.5 / 1.5f64.sqrt(), -0.6, 0.5 / 1.5f64.sqrt()];
    for (got, expected) in residuals(&matrix, &options).iter().zip(expected) {
        assert!((f64::from(*got) - expected).abs() < 1e-6, "{got} {expected}");
    }
}

#[test]
fn residuals_and_variances_as_the_slow_way_over_a_grid() {
    for (n, g) in [(40, 17), (7, 300), (300, 900)] {
        let (matrix, values) = counts(n, g, 5);
        for theta in [1.0, 100.0, f64::INFINITY] {
            for clip in [None, Some(0.7), Some(f64::INFINITY)] {
                let limit = clip.unwrap_or((n as f64).sqrt());
                let expected = slowly(&values, n, g, theta, limit);
                let got = residuals(&matrix, &PearsonOptions { theta: Bound(theta), clip, ..Default::default() });
                assert!(got.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5 * (1.0 + b.abs())));
                let moments = [gene_moments(&matrix, ValueMap::Identity, &quiet()).unwrap()];
                let got = residual_variances(&matrix, &moments, None, theta, clip, &quiet()).unwrap();
                for (a, b) in got[0].iter().zip(variances_slowly(&values, n, g, theta, limit)) {
                    assert!((a - b).abs() < 1e-9 * (1.0 + b.abs()), "{n} x {g}, theta {theta}, clip {clip:?}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn batches_are_the_variances_of_their_own_cells() {
    let (n, g) = (90, 40);
    let (matrix, values) = counts(n, g, 8);
    let groups: Vec<u32> = (0..n as u32).map(|i| (i % 3) / 2).collect();
    let moments = gene_moments_by(&matrix, &groups, 2, ValueMap::Identity, &quiet()).unwrap();
    let got = residual_variances(&matrix, &moments, Some(&groups), 100.0, None, &quiet()).unwrap();
    for batch in 0..2u32 {
        let rows: Vec<usize> = (0..n).filter(|&i| groups[i] == batch).collect();
        let part: Vec<f32> = rows.iter().flat_map(|&i| values[i * g..(i + 1) * g].to_vec()).collect();
        let expected = variances_slowly(&part, rows.len(), g, 100.0, (rows.len() as f64).sqrt());
        for (a, b) in got[batch as usize].iter().zip(expected) {
            assert!((a - b).abs() < 1e-9 * (1.0 + b));
        }
    }
}

#[test]
fn threads_and_layouts_give_the_same_bits() {
    let (n, g) = (3000, 700);
    let (matrix, values) = counts(n, g, 1);
    let view = DenseView::new(n, g, ValueSlice::F32(&values)).unwrap();
    let groups: Vec<u32> = (0..n as u32).map(|i| i % 4).collect();
    let run = |source: &dyn RowBlocks, threads| {
        with_threads(Some(threads), || {
            let moments = gene_moments_by(source, &groups, 4, ValueMap::Identity, &quiet())?;
            let found = residual_variances(source, &moments, Some(&groups), 100.0, None, &quiet())?;
            let bits: Vec<u64> = found.into_iter().flatten().map(f64::to_bits).collect();
            Ok((bits, residuals(source, &PearsonOptions::default())))
        })
        .unwrap()
    };
    let one = run(&matrix, 1);
    assert!(one == run(&matrix, 2) && one == run(&matrix, 8) && one == run(&view, 2));
}

#[test]
fn degenerate_and_bad_input() {
    let zeros = residuals(&Csr::empty(2, 3), &PearsonOptions::default());
    assert_eq!(zeros, [0.0; 6]);
    let run = |matrix: &Csr| {
        let mut out = vec![0.0; matrix.n_rows * matrix.n_cols];
        pearson_residuals_into(matrix, &PearsonOptions::default(), &mut out, &quiet())
    };
    assert!(run(&Csr::empty(0, 3)).unwrap_err().to_string().contains("at least one cell"));
    let single = Csr::new(1, 1, vec![0, 1], vec![0], vec![3.0]).unwrap();
    assert_eq!(run(&single).unwrap().genes, [3.0]);
    for (value, text) in [(-1.0, "at least 0"), (f32::NAN, "finite")] {
        let broken = Csr::new(1, 1, vec![0, 1], vec![0], vec![value]).unwrap();
        assert!(run(&broken).unwrap_err().to_string().contains(text));
    }
    let halves = Csr::new(1, 1, vec![0, 1], vec![0], vec![0.5]).unwrap();
    assert_eq!(run(&halves).unwrap().not_counts.unwrap().fault, DataFault::NotCounts);
    for theta in [0.0, -1.0, f64::NAN] {
        let options = PearsonOptions { theta: Bound(theta), ..Default::default() };
        assert!(options.validate().unwrap_err().to_string().contains("theta"));
    }
    for clip in [-1.0, f64::NAN] {
        let options = PearsonOptions { clip: Some(clip), ..Default::default() };
        assert!(options.validate().unwrap_err().to_string().contains("clip"));
    }
    let text = residual_variances(&single, &[], None, 100.0, None, &quiet()).unwrap_err().to_string();
    assert!(text.contains("batches"), "{text}");
}
