//! By hand, against slow versions, by properties, over threads and at the edges.

use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

fn csr(rows: &[Vec<f32>]) -> Csr {
    let n_cols = rows.first().map_or(0, Vec::len);
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in rows {
        for (column, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            indices.push(column as u32);
            values.push(value);
        }
        indptr.push(indices.len() as u64);
    }
    Csr::new(rows.len(), n_cols, indptr, indices, values).unwrap()
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("g{i}")).collect()
}

fn options(method: Method) -> RankGenesOptions {
    RankGenesOptions { method, ..RankGenesOptions::default() }
}

fn rank(
    source: &dyn RowBlocks,
    labels: &[i32],
    n: usize,
    reference: Option<usize>,
    o: &RankGenesOptions,
) -> Result<RankedGenes> {
    rank_genes_groups(source, &Grouping::new(labels, names(n), reference)?, o, &Ctx::quiet())
}

/// Random cells x genes: sparse, with ties, with values below zero, a constant gene and an empty one.
fn random_rows(n_cells: usize, n_genes: usize, seed: u64) -> (Vec<Vec<f32>>, Vec<i32>) {
    let mut stream = Stream::new(seed, 0);
    let labels: Vec<i32> = (0..n_cells).map(|_| stream.below(5) as i32 - 1).collect();
    let rows = (0..n_cells)
        .map(|cell| {
            (0..n_genes)
                .map(|gene| match gene % 5 {
                    0 if stream.below(3) > 0 => 0.0,
                    0 => stream.below(6) as f32 * 0.5,
                    1 => (stream.normal() + 0.3 * f64::from(labels[cell])) as f32,
                    2 => stream.below(4) as f32 - 1.0,
                    3 if gene == 3 => 0.0,
                    3 if gene == 8 => 2.0,
                    _ => (stream.below(1 + gene as u64) as f32).ln_1p(),
                })
                .collect()
        })
        .collect();
    (rows, labels)
}

/// The definition of the rank-sum z, quadratic in the number of cells.
fn slow_z(group: &[f32], other: &[f32], tie_correct: bool) -> f64 {
    let (n, m) = (group.len() as f64, other.len() as f64);
    let mut u = 0.0;
    for a in group {
        for b in other {
            u += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
        }
    }
    let mut all: Vec<f32> = group.iter().chain(other).copied().collect();
    all.sort_by(f32::total_cmp);
    let total = n + m;
    let terms: f64 = all.chunk_by(|a, b| a == b).map(|block| (block.len() as f64).powi(3) - block.len() as f64).sum();
    let factor = if tie_correct { 1.0 - terms / (total.powi(3) - total) } else { 1.0 };
    let z = (u - n * m / 2.0) / (factor * n * m * (total + 1.0) / 12.0).sqrt();
    if z.is_nan() { 0.0 } else { z }
}

fn sides_of(
    rows: &[Vec<f32>],
    labels: &[i32],
    gene: usize,
    group: i32,
    reference: Option<i32>,
) -> (Vec<f32>, Vec<f32>) {
    let pick = |wanted: &dyn Fn(i32) -> bool| -> Vec<f32> {
        rows.iter().zip(labels).filter(|(_, label)| wanted(**label)).map(|(row, _)| row[gene]).collect()
    };
    (pick(&|label| label == group), pick(&|label| reference.map_or(label != group, |reference| label == reference)))
}

#[test]
fn rank_sums_by_hand() {
    // Gene 0 in cells (A, A, B, B, B): 3, 0, 0, 1, -2. Ranks: 5, 2.5, 2.5, 4, 1; A holds 7.5, expected 6,
    // variance 2 * 3 * 6 / 12 = 3.
    let matrix = csr(&[vec![3.0], vec![0.0], vec![0.0], vec![1.0], vec![-2.0]]);
    let found = rank(&matrix, &[0, 0, 1, 1, 1], 2, None, &options(Method::Wilcoxon)).unwrap();
    assert!((found.groups[0].scores[0] - 1.5 / 3f64.sqrt()).abs() < 1e-15);
    assert_eq!(found.groups[0].scores[0], -found.groups[1].scores[0]);
    // One pair of ties: the variance is times 1 - 6 / 120.
    let corrected = RankGenesOptions { tie_correct: true, ..options(Method::Wilcoxon) };
    let found = rank(&matrix, &[0, 0, 1, 1, 1], 2, None, &corrected).unwrap();
    assert!((found.groups[0].scores[0] - 1.5 / (3.0 * 0.95f64).sqrt()).abs() < 1e-15);
}

#[test]
fn welch_by_hand() {
    // A: 1, 3 (mean 2, variance 2); B: 0, 0, 3 (mean 1, variance 3). t = 1 / sqrt(2/2 + 3/3).
    let matrix = csr(&[vec![1.0], vec![3.0], vec![0.0], vec![0.0], vec![3.0]]);
    let found = rank(&matrix, &[0, 0, 1, 1, 1], 2, None, &options(Method::TTest)).unwrap();
    let a = &found.groups[0];
    assert!((a.scores[0] - 0.5f64.sqrt()).abs() < 1e-15);
    // df = 4 / (1 + 1/2); p from scipy 1.16, stats.ttest_ind([1, 3], [0, 0, 3], equal_var=False).
    assert!((a.pvals[0] - 0.536_254_603_259_515_1).abs() < 1e-13, "{}", a.pvals[0]);
    let fold = ((2f64.exp_m1() + 1e-9) / (1f64.exp_m1() + 1e-9)).log2();
    assert!((a.logfoldchanges[0] - fold).abs() < 1e-14);
    // Before the logarithm: (e - 1 + e^3 - 1) / 2 over (e^3 - 1) / 3.
    let unlogged = RankGenesOptions { fold_change: FoldChange::MeanOfExp, ..options(Method::TTest) };
    let b = &rank(&matrix, &[0, 0, 1, 1, 1], 2, None, &unlogged).unwrap().groups[0];
    let fold = (((1f64.exp_m1() + 3f64.exp_m1()) / 2.0) / (3f64.exp_m1() / 3.0)).log2();
    assert!((b.logfoldchanges[0] - fold).abs() < 1e-8);
    assert_eq!(a.scores, b.scores);
}

#[test]
fn fold_changes_by_hand() {
    // Base 2, so that values before the logarithm are 2^x - 1. A: 1, 3 (1, 7); B: 0, 0, 2 (0, 0, 3).
    let matrix = csr(&[vec![1.0], vec![3.0], vec![0.0], vec![0.0], vec![2.0]]);
    let cases = [
        (FoldChange::ExpOfMean, None, (3.0 + 1e-9f64) / (2f64.powf(2.0 / 3.0) - 1.0 + 1e-9)),
        (FoldChange::ExpOfMean, Some(0.5), 3.5 / (2f64.powf(2.0 / 3.0) - 0.5)),
        (FoldChange::MeanOfExp, None, (4.0 + 1e-9) / (1.0 + 1e-9)),
        (FoldChange::MeanOfExp, Some(1.0), 5.0 / 2.0),
        (FoldChange::SumOfExp, None, (9.0 / 2.0) / (4.0 / 3.0)),
        (FoldChange::SumOfExp, Some(0.5), (8.5 / 2.0) / (3.5 / 3.0)),
        (FoldChange::MeanDifference, None, 2f64.powf(2.0 - 2.0 / 3.0)),
    ];
    for method in [Method::TTest, Method::TTestOverestimVar, Method::Wilcoxon] {
        for reference in [None, Some(1)] {
            for (fold_change, pseudocount, ratio) in cases {
                let o = RankGenesOptions { fold_change, pseudocount, log_base: Some(2.0), ..options(method) };
                let found = rank(&matrix, &[0, 0, 1, 1, 1], 2, reference, &o).unwrap();
                let fold = found.groups[0].logfoldchanges[0];
                assert!((fold - ratio.log2()).abs() < 1e-14, "{method:?} {fold_change:?} {pseudocount:?} {fold}");
                if reference.is_none() {
                    assert!((found.groups[1].logfoldchanges[0] + fold).abs() < 1e-14);
                }
            }
        }
    }
    // Natural logarithms in units of log2, and below zero.
    let matrix = csr(&[vec![-1.0], vec![-3.0], vec![0.0], vec![0.0]]);
    let o = RankGenesOptions { fold_change: FoldChange::MeanDifference, ..options(Method::TTest) };
    let fold = rank(&matrix, &[0, 0, 1, 1], 2, None, &o).unwrap().groups[0].logfoldchanges[0];
    assert!((fold + 2.0 / 2f64.ln()).abs() < 1e-14);
}

#[test]
fn wilcoxon_equals_the_definition() {
    let (rows, labels) = random_rows(150, 12, 3);
    let matrix = csr(&rows);
    for tie_correct in [false, true] {
        for reference in [None, Some(2)] {
            let o = RankGenesOptions { tie_correct, ..options(Method::Wilcoxon) };
            let found = rank(&matrix, &labels, 4, reference, &o).unwrap();
            assert_eq!(found.groups.len(), if reference.is_some() { 3 } else { 4 });
            for table in &found.groups {
                for (&gene, &score) in table.genes.iter().zip(&table.scores) {
                    let (own, other) =
                        sides_of(&rows, &labels, gene as usize, table.group as i32, reference.map(|r| r as i32));
                    let expected = slow_z(&own, &other, tie_correct);
                    assert!((score - expected).abs() < 1e-12, "gene {gene} group {}: {score} {expected}", table.group);
                }
            }
        }
    }
}

#[test]
fn t_test_equals_two_passes() {
    let (rows, labels) = random_rows(200, 15, 4);
    let matrix = csr(&rows);
    for (method, reference) in [(Method::TTest, None), (Method::TTest, Some(0)), (Method::TTestOverestimVar, None)] {
        let found = rank(&matrix, &labels, 4, reference, &options(method)).unwrap();
        for table in &found.groups {
            for (&gene, &score) in table.genes.iter().zip(&table.scores) {
                let (own, other) =
                    sides_of(&rows, &labels, gene as usize, table.group as i32, reference.map(|r| r as i32));
                let moments = |values: &[f32]| {
                    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len() as f64;
                    let spread: f64 = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
                    (mean, spread / (values.len() - 1) as f64)
                };
                let ((a, va), (b, vb)) = (moments(&own), moments(&other));
                let n = own.len() as f64;
                let m = if method == Method::TTestOverestimVar { n } else { other.len() as f64 };
                let expected = if va + vb == 0.0 { 0.0 } else { (a - b) / (va / n + vb / m).sqrt() };
                assert!((score - expected).abs() < 1e-11 * (1.0 + expected.abs()), "{score} {expected}");
            }
        }
    }
}

#[test]
fn layouts_threads_memory_and_stored_zeros_change_no_bit() {
    let (rows, labels) = random_rows(7000, 300, 5);
    let matrix = csr(&rows);
    assert!(matrix.n_blocks() > 1);
    let flat: Vec<f32> = rows.concat();
    let dense = DenseView::new(7000, 300, ValueSlice::F32(&flat)).unwrap();
    let stored = Csr::new(
        7000,
        300,
        (0..=7000).map(|i| i * 300).collect(),
        (0..7000).flat_map(|_| 0..300).collect(),
        flat.clone(),
    )
    .unwrap();
    for method in [Method::TTest, Method::Wilcoxon] {
        for reference in [None, Some(1)] {
            let o = RankGenesOptions {
                pts: true,
                fold_change: FoldChange::SumOfExp,
                tie_correct: method == Method::Wilcoxon,
                ..options(method)
            };
            let run = |source: &dyn RowBlocks, threads, o: &RankGenesOptions| {
                with_threads(Some(threads), || rank(source, &labels, 4, reference, o)).unwrap()
            };
            let expected = run(&matrix, 1, &o);
            for threads in [2, 8] {
                assert_eq!(run(&matrix, threads, &o), expected);
            }
            assert_eq!(run(&dense, 2, &o), expected);
            assert_eq!(run(&stored, 2, &o), expected);
            assert_eq!(run(&matrix, 2, &RankGenesOptions { memory: 50_000, ..o.clone() }), expected);
        }
    }
}

#[test]
fn permuting_cells_permutes_nothing_in_the_ranks() {
    let (rows, labels) = random_rows(300, 20, 6);
    let mut order: Vec<usize> = (0..300).collect();
    Stream::new(9, 9).shuffle(&mut order);
    let shuffled: Vec<Vec<f32>> = order.iter().map(|&cell| rows[cell].clone()).collect();
    let new_labels: Vec<i32> = order.iter().map(|&cell| labels[cell]).collect();
    let o = options(Method::Wilcoxon);
    let (a, b) =
        (rank(&csr(&rows), &labels, 4, None, &o).unwrap(), rank(&csr(&shuffled), &new_labels, 4, None, &o).unwrap());
    for (a, b) in a.groups.iter().zip(&b.groups) {
        assert_eq!((&a.genes, &a.scores, &a.log10_pvals_adj), (&b.genes, &b.scores, &b.log10_pvals_adj));
    }
}

#[test]
fn p_values_below_the_smallest_double_keep_their_order() {
    let n = 30_000;
    let rows: Vec<Vec<f32>> = (0..n)
        .map(|cell| {
            let inside = f32::from(cell % 2 == 0);
            let noise = (cell % 7) as f32 * 0.01;
            vec![inside + noise, 2.0 * inside + noise, inside * f32::from(cell % 5 > 0) + noise]
        })
        .collect();
    let labels: Vec<i32> = (0..n).map(|cell| cell % 2).collect();
    for method in [Method::TTest, Method::Wilcoxon] {
        let found = rank(&csr(&rows), &labels, 2, None, &options(method)).unwrap();
        let table = &found.groups[0];
        assert_eq!(table.pvals[0], 0.0);
        assert!(table.log10_pvals.iter().all(|p| p.is_finite() && *p < -310.0), "{:?}", table.log10_pvals);
        assert!(table.log10_pvals.is_sorted() && table.log10_pvals_adj.is_sorted());
        assert!(table.log10_pvals_adj[0] > table.log10_pvals[0] || method == Method::Wilcoxon);
    }
}

#[test]
fn adjustments_by_hand() {
    let ln: Vec<f64> = [0.01f64, 0.04, 0.03, 0.5].iter().map(|p| p.ln()).collect();
    let back = |values: Vec<f64>| values.into_iter().map(f64::exp).collect::<Vec<_>>();
    let found = back(scores::adjust(&ln, Correction::BenjaminiHochberg));
    for (found, expected) in found.iter().zip([0.04, 0.16 / 3.0, 0.16 / 3.0, 0.5]) {
        assert!((found - expected).abs() < 1e-15, "{found} {expected}");
    }
    let found = back(scores::adjust(&ln, Correction::Bonferroni));
    for (found, expected) in found.iter().zip([0.04, 0.16, 0.12, 1.0]) {
        assert!((found - expected).abs() < 1e-15);
    }
}

#[test]
fn fractions_and_cut() {
    let matrix = csr(&[vec![1.0, 0.0], vec![2.0, 0.0], vec![0.0, 5.0], vec![0.0, 0.0]]);
    for method in [Method::TTest, Method::Wilcoxon] {
        let o = RankGenesOptions { pts: true, n_genes: Some(1), ..options(method) };
        let found = rank(&matrix, &[0, 0, 1, 1], 2, None, &o).unwrap();
        assert_eq!(found.pts.unwrap(), [1.0, 0.0, 0.0, 0.5]);
        assert_eq!(found.pts_rest.unwrap(), [0.0, 0.5, 1.0, 0.0]);
        assert_eq!((found.groups[0].genes.as_slice(), found.groups[1].genes.as_slice()), (&[0][..], &[1][..]));
        let against = rank(&matrix, &[0, 0, 1, 1], 2, Some(1), &o).unwrap();
        assert!(against.pts_rest.is_none() && against.pts.unwrap().len() == 4);
    }
}

#[test]
fn ranking_by_size_puts_losses_first() {
    let rows: Vec<Vec<f32>> = (0..40)
        .map(|cell| vec![(cell % 4) as f32 * 0.1, if cell < 20 { 0.0 } else { 1.0 + (cell % 3) as f32 }])
        .collect();
    let labels: Vec<i32> = (0..40).map(|cell| i32::from(cell >= 20)).collect();
    let o = RankGenesOptions { rankby_abs: true, ..options(Method::TTest) };
    let found = rank(&csr(&rows), &labels, 2, None, &o).unwrap();
    assert_eq!(found.groups[0].genes, [1, 0]);
    assert!(found.groups[0].scores[0] < 0.0);
}

#[test]
fn no_spread_scores_nothing_and_certainty_is_certain() {
    // Gene 0: zeros; gene 1: constant 0.1; gene 2: 1 in one group, 0 in the other, without spread.
    let rows: Vec<Vec<f32>> = (0..30).map(|cell| vec![0.0, 0.1, f32::from(cell < 15)]).collect();
    let labels: Vec<i32> = (0..30).map(|cell| i32::from(cell >= 15)).collect();
    let table = &rank(&csr(&rows), &labels, 2, None, &options(Method::TTest)).unwrap().groups[0];
    assert_eq!(table.genes, [2, 0, 1]);
    assert_eq!(table.scores, [f64::INFINITY, 0.0, 0.0]);
    assert_eq!(table.pvals, [0.0, 1.0, 1.0]);
    let o = RankGenesOptions { tie_correct: true, ..options(Method::Wilcoxon) };
    let table = &rank(&csr(&rows), &labels, 2, None, &o).unwrap().groups[0];
    assert_eq!((table.scores[1], table.scores[2], table.pvals[2]), (0.0, 0.0, 1.0));
}

#[test]
fn bad_input_is_named() {
    let matrix = csr(&[vec![1.0, 2.0], vec![0.0, 1.0], vec![3.0, 0.0], vec![1.0, 1.0]]);
    let fault = |labels: &[i32], n, reference| {
        rank(&matrix, labels, n, reference, &options(Method::TTest)).unwrap_err().to_string()
    };
    assert!(fault(&[0, 0, 0, 1], 2, None).contains("statistics for groups g1"));
    assert!(fault(&[0, 0, 0, 1], 2, None).contains("only one sample"));
    assert!(fault(&[0, 0, 1, 1], 3, None).contains("no sample"));
    assert!(fault(&[0, 0, 0, 0], 1, None).contains("every cell"));
    assert!(fault(&[0, 0, 2, 1], 2, None).contains("labels below 2"));
    assert!(fault(&[0, 0, 1, 1], 2, Some(2)).contains("reference"));
    assert!(fault(&[0, 0, -1], 1, None).contains("one label per cell"));
    assert!(fault(&[], 0, None).contains("at least one group"));
    for bad in [f32::NAN, f32::INFINITY] {
        let matrix = csr(&[vec![1.0, 2.0], vec![0.0, 1.0], vec![3.0, bad], vec![1.0, 1.0]]);
        for method in [Method::TTest, Method::Wilcoxon] {
            let error = rank(&matrix, &[0, 0, 1, 1], 2, None, &options(method)).unwrap_err().to_string();
            assert!(error.contains("row 2, column 1"), "{error}");
        }
    }
    let none = Csr::empty(4, 0);
    assert!(rank(&none, &[0, 0, 1, 1], 2, None, &options(Method::TTest)).unwrap_err().to_string().contains("one gene"));
}

#[test]
fn options_are_checked() {
    let refused = |json: &str| RankGenesOptions::from_json(json).unwrap_err().to_string();
    assert!(refused(r#"{"n_genes": 0}"#).contains("n_genes"));
    assert!(refused(r#"{"tie_correct": true}"#).contains("tie_correct"));
    assert!(refused(r#"{"log_base": 1.0}"#).contains("log_base"));
    assert!(refused(r#"{"fold_change": "ratio"}"#).contains("ratio"));
    for bad in ["0.0", "-1.0", "1e999"] {
        assert!(RankGenesOptions::from_json(&format!(r#"{{"pseudocount": {bad}}}"#)).is_err(), "{bad}");
    }
    assert!(refused(r#"{"pseudocount": 0.0}"#).contains("pseudocount"));
    assert!(refused(r#"{"pseudocount": 1.0, "fold_change": "mean_difference"}"#).contains("mean_difference"));
    assert!(refused(r#"{"method": "logreg"}"#).contains("logreg"));
    assert!(refused(r#"{"corr_method": "x"}"#).contains('x'));
    assert!(RankGenesOptions::from_json(r#"{"method": "t-test_overestim_var", "corr_method": "bonferroni"}"#).is_ok());
}

#[test]
fn a_cancelled_context_stops() {
    let (rows, labels) = random_rows(100, 10, 1);
    let grouping = Grouping::new(&labels, names(4), None).unwrap();
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    for method in [Method::TTest, Method::Wilcoxon] {
        assert!(matches!(rank_genes_groups(&csr(&rows), &grouping, &options(method), &ctx), Err(Error::Interrupted)));
    }
}
