use ndarray::Array2;
use zensaibo_linalg::{thin_qr, thin_svd};

use super::gram::accumulate;
use super::panel::Split;
use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, Lazy, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

fn quiet() -> Ctx {
    Ctx::quiet()
}

/// Rows from a dense array; zeros are not stored.
fn sparse(dense: &Array2<f64>) -> Csr {
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in dense.rows() {
        for (column, &value) in row.iter().enumerate() {
            if value != 0.0 {
                indices.push(column as u32);
                values.push(value as f32);
            }
        }
        indptr.push(indices.len() as u64);
    }
    Csr::new(dense.nrows(), dense.ncols(), indptr, indices, values).unwrap()
}

/// Counts-like values: three kinds of cells, genes from seen everywhere to hardly ever, logged. f32-exact.
fn cells(n: usize, g: usize, seed: u64) -> Array2<f64> {
    Array2::from_shape_fn((n, g), |(i, j)| {
        let mut gene = Stream::new(seed, (1 << 40) + (j * 3 + i % 3) as u64);
        let rate = 4.0 * gene.uniform().powi(4);
        let mut draw = Stream::new(seed, (i * g + j) as u64);
        // A Poisson count by multiplying uniforms.
        let (limit, mut product, mut count) = ((-rate).exp(), draw.uniform(), 0);
        while product > limit {
            product *= draw.uniform();
            count += 1;
        }
        f64::from((f64::from(count)).ln_1p() as f32)
    })
}

/// Centred singular value decomposition of the dense matrix: the slow, obvious way.
fn slow(dense: &Array2<f64>, zero_center: bool) -> zensaibo_linalg::Svd {
    let mut matrix = dense.clone();
    if zero_center {
        for mut column in matrix.columns_mut() {
            let mean = column.sum() / column.len() as f64;
            column.mapv_inplace(|x| x - mean);
        }
    }
    thin_svd(matrix.view()).unwrap()
}

fn options(k: usize, svd_solver: Solver) -> PcaOptions {
    PcaOptions { n_comps: Some(k), svd_solver, ..Default::default() }
}

/// |cosine| between component j and the slow one.
fn cosine(found: &Pca, expected: &zensaibo_linalg::Svd, j: usize) -> f64 {
    (0..found.n_cols).map(|i| found.components[j * found.n_cols + i] * expected.vt[(j, i)]).sum::<f64>().abs()
}

#[test]
fn two_genes_by_hand() {
    // Points on the line y = 2x: one component, (1, 2) / sqrt 5, variance 5 * var(x).
    let matrix = sparse(&ndarray::array![[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]]);
    for solver in [Solver::Gram, Solver::Krylov] {
        let found = pca(&matrix, &options(1, solver), &quiet()).unwrap();
        let root = 5f64.sqrt();
        assert!((found.components[0] - 1.0 / root).abs() < 1e-12 && (found.components[1] - 2.0 / root).abs() < 1e-12);
        assert!((found.variance[0] - 5.0).abs() < 1e-9 && (found.variance_ratio[0] - 1.0).abs() < 1e-9);
        assert_eq!(found.mean, [1.0, 2.0]);
        for (score, expected) in found.scores.iter().zip([-root, 0.0, root]) {
            assert!((f64::from(*score) - expected).abs() < 1e-6);
        }
        assert_eq!(found.solver, solver);
    }
}

#[test]
fn agrees_with_the_slow_decomposition_over_a_grid() {
    for (n, g, k) in [(40, 12, 5), (60, 700, 10), (700, 60, 20), (500, 450, 8), (12, 11, 11)] {
        let dense = cells(n, g, 5);
        let matrix = sparse(&dense);
        for zero_center in [true, false] {
            let expected = slow(&dense, zero_center);
            for solver in [Solver::Gram, Solver::Krylov] {
                let options = PcaOptions { zero_center, ..options(k, solver) };
                let found = pca(&matrix, &options, &quiet()).unwrap();
                let what = format!("{n} x {g}, k {k}, {solver:?}, zero_center {zero_center}");
                for j in 0..k {
                    let squared = expected.s[j].powi(2);
                    let gap = (0..expected.s.len())
                        .filter(|&i| i != j)
                        .map(|i| (squared - expected.s[i].powi(2)).abs() / squared)
                        .fold(f64::INFINITY, f64::min);
                    if gap > 1e-3 {
                        assert!(cosine(&found, &expected, j) > 0.999_999, "{what}, component {j}");
                    }
                    if zero_center {
                        let variance = squared / (n - 1) as f64;
                        let relative = (found.variance[j] / variance - 1.0).abs();
                        assert!(relative < 3e-6 || variance < 1e-9, "{what}, variance {j}: {relative}");
                    }
                }
                if zero_center && k == g.min(n - 1) {
                    assert!((found.variance_ratio.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{what}");
                }
                // Scores are the centred data times the components.
                for i in (0..n).step_by(7) {
                    for j in 0..k {
                        let score: f64 = (0..g)
                            .map(|c| {
                                let mean = if zero_center { found.mean[c] } else { 0.0 };
                                (dense[(i, c)] - mean) * found.components[j * g + c]
                            })
                            .sum();
                        assert!((score - f64::from(found.scores[i * k + j])).abs() < 1e-5, "{what}");
                    }
                }
                if !zero_center {
                    for j in 0..k {
                        let column: Vec<f64> = (0..n).map(|i| f64::from(found.scores[i * k + j])).collect();
                        let mean = column.iter().sum::<f64>() / n as f64;
                        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                        assert!((variance - found.variance[j]).abs() < 1e-5 * variance.max(1e-3), "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_split_gives_the_exact_products() {
    let dense = cells(333, 90, 8);
    let matrix = sparse(&dense);
    let moments = gene_moments(&matrix, ValueMap::Identity, &quiet()).unwrap();
    let mean = moments.means();
    for zero_center in [true, false] {
        for n_dense in [0, 1, 16, 63, 65, 89, 90] {
            let split = Split::with_dense(&moments, n_dense);
            let center = zero_center.then_some(mean.as_slice());
            for chunk in [1, 50, 512] {
                let gram = accumulate(&matrix, &split, center, chunk, &quiet()).unwrap();
                for i in 0..90 {
                    for j in 0..90 {
                        let (a, b) = (split.order[i] as usize, split.order[j] as usize);
                        let shift = |c: usize| if zero_center { mean[c] } else { 0.0 };
                        let exact: f64 =
                            (0..333).map(|r| (dense[(r, a)] - shift(a)) * (dense[(r, b)] - shift(b))).sum();
                        // Sums of f32 products within a piece: some epsilons of f32 of the columns' lengths.
                        let size = (moments.sum_squares[a] * moments.sum_squares[b]).sqrt();
                        assert!((gram[(i, j)] - exact).abs() < 2e-6 * size + 1e-9, "{n_dense} {chunk} {i} {j}");
                        assert_eq!(gram[(i, j)], gram[(j, i)]);
                    }
                }
            }
        }
    }
}

#[test]
fn a_split_puts_frequent_genes_into_the_panel() {
    let split_of = |non_zeros: Vec<u64>| {
        let zeros = vec![0.0; non_zeros.len()];
        Split::choose(&GeneMoments { n_rows: 100_000, sum: zeros.clone(), sum_squares: zeros, non_zeros })
    };
    assert_eq!(split_of(vec![100_000; 640]).dense, 640);
    assert_eq!(split_of(vec![200; 640]).dense, 0);
    let mixed = split_of((0..640).map(|j| if j % 10 == 0 { 90_000 } else { 500 }).collect());
    assert_eq!(mixed.dense, 64);
    assert!(mixed.order[..64].iter().all(|column| column % 10 == 0));
    assert!(mixed.order[64..].is_sorted());
    let few = GeneMoments { n_rows: 50, sum: vec![0.0; 9], sum_squares: vec![0.0; 9], non_zeros: vec![50; 9] };
    assert_eq!(Split::choose(&few).dense, 0);
}

#[test]
fn a_planted_subspace_is_found() {
    // Rank 3 with standard deviations 10, 5, 2 along known directions, plus noise of 0.01.
    let (n, g) = (2000, 400);
    let mut draw = Stream::new(1, 0);
    let directions = thin_qr(Array2::from_shape_fn((g, 3), |_| draw.normal()).view()).unwrap().0;
    let spread = [10.0, 5.0, 2.0];
    let dense = Array2::from_shape_fn((n, g), |(i, j)| {
        let mut cell = Stream::new(2, i as u64);
        let signal: f64 = (0..3).map(|c| spread[c] * cell.normal() * directions[(j, c)]).sum();
        3.0 + signal + 0.01 * Stream::new(3, (i * g + j) as u64).normal()
    });
    let values: Vec<f32> = dense.iter().map(|&x| x as f32).collect();
    let source = DenseView::new(n, g, ValueSlice::F32(&values)).unwrap();
    for solver in [Solver::Gram, Solver::Krylov] {
        let found = pca(&source, &options(3, solver), &quiet()).unwrap();
        for c in 0..3 {
            let cosine: f64 = (0..g).map(|i| found.components[c * g + i] * directions[(i, c)]).sum();
            assert!(cosine.abs() > 0.99, "{solver:?} {c}: {cosine}");
            assert!((found.variance[c].sqrt() / spread[c] - 1.0).abs() < 0.1);
        }
        assert!(found.variance_ratio.iter().sum::<f64>() > 0.999);
    }
}

#[test]
fn threads_layouts_and_chains_give_the_same_bits() {
    let dense = cells(1500, 420, 3);
    let matrix = sparse(&dense);
    let values: Vec<f32> = dense.iter().map(|&x| x as f32).collect();
    let view = DenseView::new(1500, 420, ValueSlice::F32(&values)).unwrap();
    let chain = Lazy::new(&matrix).divide_rows(vec![1.0; 1500]).unwrap();
    for solver in [Solver::Gram, Solver::Krylov] {
        let run = |source: &dyn RowBlocks, threads, chunked| {
            let options = PcaOptions { chunked, ..options(12, solver) };
            with_threads(Some(threads), || pca(source, &options, &quiet())).unwrap()
        };
        let one = run(&matrix, 1, false);
        for threads in [2, 8] {
            assert_eq!(run(&matrix, threads, false), one, "{solver:?}");
        }
        assert_eq!(run(&view, 2, false), one, "{solver:?}");
        assert_eq!(run(&chain, 2, false), one, "{solver:?}");
        assert_eq!(run(&chain, 2, true), one, "{solver:?}");
    }
}

#[test]
fn several_blocks_give_the_same_bits_for_any_thread_count() {
    // 1.4 million values: more than one block under the block rule.
    let dense = cells(9000, 160, 4);
    let values: Vec<f32> = dense.iter().map(|&x| (x + 0.5) as f32).collect();
    let source = DenseView::new(9000, 160, ValueSlice::F32(&values)).unwrap();
    assert!(source.n_blocks() > 1);
    for solver in [Solver::Gram, Solver::Krylov] {
        let run = |threads| with_threads(Some(threads), || pca(&source, &options(6, solver), &quiet())).unwrap();
        let one = run(1);
        assert_eq!(run(2), one);
        assert_eq!(run(8), one);
    }
}

#[test]
fn both_routes_agree_and_the_seed_hardly_matters() {
    let matrix = sparse(&cells(900, 500, 6));
    let gram = pca(&matrix, &options(15, Solver::Gram), &quiet()).unwrap();
    let krylov = pca(&matrix, &options(15, Solver::Krylov), &quiet()).unwrap();
    let seeded = PcaOptions { random_state: 99, ..options(15, Solver::Krylov) };
    let seeded = pca(&matrix, &seeded, &quiet()).unwrap();
    for other in [krylov, seeded] {
        for j in 0..15 {
            assert!((gram.variance[j] / other.variance[j] - 1.0).abs() < 1e-6);
        }
        // Two kinds of difference between three kinds of cells: the first two components stand clear.
        for at in 0..2 * 500 {
            assert!((gram.components[at] - other.components[at]).abs() < 1e-4);
        }
    }
}

#[test]
fn permuting_cells_and_genes_permutes_the_result() {
    let dense = cells(300, 80, 7);
    let turned = Array2::from_shape_fn((300, 80), |(i, j)| dense[(299 - i, 79 - j)]);
    let (there, back) = (sparse(&dense), sparse(&turned));
    let there = pca(&there, &options(2, Solver::Gram), &quiet()).unwrap();
    let back = pca(&back, &options(2, Solver::Gram), &quiet()).unwrap();
    for i in 0..300 {
        for j in 0..2 {
            assert!((there.scores[i * 2 + j] - back.scores[(299 - i) * 2 + j]).abs() < 1e-4);
        }
    }
    for i in 0..80 {
        assert!((there.components[i] - back.components[79 - i]).abs() < 1e-5);
    }
}

#[test]
fn repeated_and_missing_directions_do_no_harm() {
    // 600 genes, of which only 4 differ: the matrix of products has rank 4.
    let dense = Array2::from_shape_fn((50, 600), |(i, j)| Stream::new(9, (i * 4 + j % 4) as u64).uniform());
    let matrix = sparse(&dense);
    for solver in [Solver::Gram, Solver::Krylov] {
        let found = pca(&matrix, &options(10, solver), &quiet()).unwrap();
        assert!(found.variance[3] > 1.0 && found.variance[4..].iter().all(|&v| v < 1e-3));
        assert!(found.components.iter().all(|x| x.is_finite()));
    }
    // Columns without values, and rows without.
    let mut dense = cells(100, 30, 2);
    dense.column_mut(3).fill(0.0);
    dense.row_mut(5).fill(0.0);
    let found = pca(&sparse(&dense), &options(4, Solver::Gram), &quiet()).unwrap();
    assert!((0..4).all(|j| found.components[j * 30 + 3].abs() < 1e-9));
}

#[test]
fn the_default_number_of_components_is_scanpys() {
    let count = |n: usize, g: usize| pca(&sparse(&cells(n, g, 1)), &PcaOptions::default(), &quiet()).unwrap().n_comps;
    assert_eq!(count(30, 20), 19);
    assert_eq!(count(20, 30), 19);
    assert_eq!(count(80, 90), 50);
    assert_eq!(count(10, 1), 1);
}

#[test]
fn unusable_data_is_refused() {
    let fault = |matrix: &Csr, options: &PcaOptions| pca(matrix, options, &quiet()).unwrap_err().to_string();
    let any = PcaOptions::default();
    let one = sparse(&cells(1, 5, 1));
    assert!(fault(&one, &any).contains("at least 2 cells"));
    assert!(fault(&Csr::empty(0, 5), &any).contains("at least 2 cells"));
    assert!(fault(&Csr::empty(5, 0), &any).contains("at least one gene"));
    assert!(fault(&Csr::empty(5, 4), &any).contains("varies"));
    assert!(fault(&sparse(&Array2::from_elem((70, 40), 0.1)), &any).contains("varies"));
    let good = cells(10, 6, 1);
    for bad in [f64::NAN, f64::INFINITY] {
        let mut dense = good.clone();
        dense[(3, 2)] = bad;
        let message = fault(&sparse(&dense), &any);
        assert!(message.contains("finite") && message.contains('2'), "{message}");
    }
    let good = sparse(&good);
    assert!(fault(&good, &options(7, Solver::Auto)).contains("1 to 6"));
    assert!(fault(&sparse(&cells(6, 10, 1)), &options(6, Solver::Auto)).contains("1 to 5"));
    assert!(fault(&good, &options(0, Solver::Auto)).contains("n_comps"));
}

#[test]
fn invalid_options_are_refused() {
    let fault = |text: &str| PcaOptions::from_json(text).unwrap_err().to_string();
    assert!(fault(r#"{"chunk_size": 10}"#).contains("chunked"));
    assert!(fault(r#"{"chunk_size": 0, "chunked": true}"#).contains("at least 1"));
    assert!(fault(r#"{"tolerance": 0}"#).contains("tolerance"));
    assert!(fault(r#"{"tolerance": 0.5}"#).contains("tolerance"));
    assert!(fault(r#"{"svd_solver": "tsqr"}"#).contains("tsqr"));
    for name in ["krylov", "arpack", "randomized", "lobpcg"] {
        let options = PcaOptions::from_json(&format!(r#"{{"svd_solver": "{name}"}}"#)).unwrap();
        assert_eq!(options.svd_solver, Solver::Krylov);
    }
    assert_eq!(PcaOptions::from_json(r#"{"svd_solver": "covariance_eigh"}"#).unwrap().svd_solver, Solver::Gram);
    let matrix = sparse(&cells(40, 20, 1));
    let sized = PcaOptions { chunked: true, chunk_size: Some(7), ..options(3, Solver::Krylov) };
    assert!(pca(&matrix, &sized, &quiet()).unwrap_err().to_string().contains("krylov"));
    let sized = PcaOptions { svd_solver: Solver::Gram, ..sized };
    let found = pca(&matrix, &sized, &quiet()).unwrap();
    let whole = pca(&matrix, &options(3, Solver::Gram), &quiet()).unwrap();
    assert!((found.variance[0] / whole.variance[0] - 1.0).abs() < 1e-6);
}

#[test]
fn a_cancelled_context_stops_it() {
    let ctx = quiet();
    ctx.token().cancel();
    for solver in [Solver::Gram, Solver::Krylov] {
        let stopped = pca(&sparse(&cells(40, 20, 1)), &options(3, solver), &ctx);
        assert!(matches!(stopped, Err(Error::Interrupted)));
    }
}

/// What regressing out and scaling make of a dense matrix, the slow way.
fn adjusted_slowly(dense: &Array2<f64>, columns: &[Vec<f64>], scale: bool, limit: f64) -> Array2<f64> {
    let n = dense.nrows();
    let mut all = Array2::from_elem((n, columns.len() + 1), 1.0);
    for (k, column) in columns.iter().enumerate() {
        (0..n).for_each(|i| all[(i, k + 1)] = column[i]);
    }
    let (q, _) = thin_qr(all.view()).unwrap();
    let mut left = dense - &q.dot(&q.t().dot(dense));
    if scale {
        for mut column in left.columns_mut() {
            let deviation = (column.iter().map(|x| x * x).sum::<f64>() / (n - 1) as f64).sqrt();
            let deviation = if deviation > 1e-9 { deviation } else { 1.0 };
            column.mapv_inplace(|x| (x / deviation).clamp(-limit, limit));
        }
    }
    left
}

fn agrees(got: &Pca, expected: &Array2<f64>) {
    let (svd, n) = (slow(expected, true), expected.nrows());
    let total: f64 = svd.s.iter().map(|s| s * s).sum::<f64>() / (n - 1) as f64;
    for j in 0..got.n_comps {
        let variance = svd.s[j] * svd.s[j] / (n - 1) as f64;
        assert!((got.variance[j] - variance).abs() < 1e-5 * variance, "{j}: {} {variance}", got.variance[j]);
        assert!((got.variance_ratio[j] - variance / total).abs() < 1e-5);
        let dot: f64 = (0..got.n_cols).map(|i| got.components[j * got.n_cols + i] * svd.vt[(j, i)]).sum();
        assert!(dot.abs() > 1.0 - 1e-5, "component {j}: {dot}");
        for i in 0..n {
            let score = svd.u[(i, j)] * svd.s[j] * dot.signum();
            assert!((f64::from(got.scores[i * got.n_comps + j]) - score).abs() < 2e-3 * svd.s[0] / (n as f64).sqrt());
        }
    }
}

#[test]
fn scaling_and_regressing_out_equal_the_dense_way() {
    let (n, g) = (240, 60);
    let dense = cells(n, g, 4);
    let matrix = sparse(&dense);
    let mut stream = Stream::new(4, 99);
    let columns: Vec<Vec<f64>> =
        (0..2).map(|k| (0..n).map(|i| dense[(i, k)] + dense.row(i).sum() * 0.1 + stream.normal()).collect()).collect();
    let design = crate::regress::Design::continuous(n, &[&columns[0], &columns[1]]).unwrap();
    let codes: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
    let kinds = crate::regress::Design::categories(&codes, 3).unwrap();
    let indicators: Vec<Vec<f64>> =
        (0..2).map(|k| codes.iter().map(|&code| f64::from(u8::from(code == k))).collect()).collect();
    for solver in [Solver::Gram, Solver::Krylov] {
        for scale in [false, true] {
            let options = PcaOptions { scale, ..options(4, solver) };
            agrees(&pca(&matrix, &options, &quiet()).unwrap(), &adjusted_slowly(&dense, &[], scale, f64::INFINITY));
            let got = pca_regressed(&matrix, &design, &options, &quiet()).unwrap();
            agrees(&got, &adjusted_slowly(&dense, &columns, scale, f64::INFINITY));
            let got = pca_regressed(&matrix, &kinds, &options, &quiet()).unwrap();
            agrees(&got, &adjusted_slowly(&dense, &indicators, scale, f64::INFINITY));
        }
        // A limit that cuts many values, zeros of genes seen nearly everywhere among them.
        let options = PcaOptions { scale: true, max_value: Some(1.2), ..options(4, solver) };
        agrees(&pca(&matrix, &options, &quiet()).unwrap(), &adjusted_slowly(&dense, &[], true, 1.2));
    }
}

#[test]
fn adjusted_components_have_the_same_bits_for_any_number_of_threads_and_layout() {
    let dense = cells(500, 80, 6);
    let matrix = sparse(&dense);
    let values: Vec<f64> = dense.iter().copied().collect();
    let view = DenseView::new(500, 80, ValueSlice::F64(&values)).unwrap();
    let column: Vec<f64> = (0..500).map(|i| (i as f64).sin()).collect();
    let design = crate::regress::Design::continuous(500, &[&column]).unwrap();
    let options = PcaOptions { scale: true, ..options(5, Solver::Auto) };
    let run = |source: &dyn RowBlocks, threads| {
        with_threads(Some(threads), || pca_regressed(source, &design, &options, &quiet())).unwrap()
    };
    let one = run(&matrix, 1);
    assert!(one == run(&matrix, 2) && one == run(&matrix, 8) && one == run(&view, 2));
}

#[test]
fn adjustments_that_cannot_be_are_refused() {
    let matrix = sparse(&cells(20, 10, 1));
    let design = crate::regress::Design::continuous(20, &[&(0..20).map(f64::from).collect::<Vec<_>>()]).unwrap();
    let text = |options: PcaOptions, design: Option<&crate::regress::Design>| {
        adjusted(&matrix, design, &options, &quiet()).unwrap_err().to_string()
    };
    assert!(text(PcaOptions { scale: true, zero_center: false, ..Default::default() }, None).contains("zero_center"));
    assert!(text(PcaOptions { max_value: Some(10.0), ..Default::default() }, None).contains("scale = true"));
    assert!(text(PcaOptions { scale: true, max_value: Some(0.0), ..Default::default() }, None).contains("max_value"));
    let cut = PcaOptions { scale: true, max_value: Some(10.0), ..Default::default() };
    assert!(text(cut, Some(&design)).contains("regressed out"));
    assert!(text(PcaOptions { zero_center: false, ..Default::default() }, Some(&design)).contains("zero_center"));
    let short = crate::regress::Design::continuous(3, &[]).unwrap();
    assert!(text(PcaOptions { n_comps: Some(3), ..Default::default() }, Some(&short)).contains("20 entries"));
    let few = sparse(&cells(5, 10, 1));
    let design = crate::regress::Design::continuous(5, &[&[1.0, 5.0, 2.0, 8.0, 1.0]]).unwrap();
    let most = adjusted(&few, Some(&design), &PcaOptions { n_comps: Some(4), ..Default::default() }, &quiet());
    assert!(most.unwrap_err().to_string().contains("1 to 3"));
}
