use ndarray::{Array2, Axis};
use zensaibo_linalg::thin_svd;

use super::factor::factor;
use super::*;
use crate::data::Csr;
use crate::knn::Points;
use crate::matrix::{DenseView, Lazy, RowBlocks, ValueSlice};
use crate::options::Options;
use crate::parallel::with_threads;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error};

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

/// Logged counts, exact in f32: cells of `kinds` kinds, the last of which only the last `rare` cells are of, with ten
/// genes of its own.
fn cells(n: usize, g: usize, kinds: usize, rare: usize, seed: u64) -> Array2<f64> {
    Array2::from_shape_fn((n, g), |(i, j)| {
        let kind = if i >= n - rare { kinds - 1 } else { i % (kinds - 1) };
        let mut gene = Stream::new(seed, (1 << 40) + (j * kinds + kind) as u64);
        let own = j < 10 && kind == kinds - 1;
        let rate = if own { 6.0 } else { 2.0 * gene.uniform().powi(3) * f64::from(u8::from(j >= 10)) };
        let mut draw = Stream::new(seed, (i * g + j) as u64);
        let (limit, mut product, mut count) = ((-rate).exp(), draw.uniform(), 0);
        while product > limit {
            product *= draw.uniform();
            count += 1;
        }
        f64::from(f64::from(count).ln_1p() as f32)
    })
}

/// An embedding: a wide cloud, and a small one of the last `rare` cells far off.
fn clouds(n: usize, d: usize, rare: usize, seed: u64) -> Vec<f32> {
    (0..n)
        .flat_map(|row| {
            let mut stream = Stream::new(seed, row as u64);
            let centre = if row >= n - rare { 12.0 } else { 0.0 };
            (0..d).map(move |column| (stream.normal() * 3.0 / (1 + column) as f64 + centre) as f32)
        })
        .collect()
}

fn points(values: &[f32], d: usize) -> Points<'_> {
    Points::new(values.len() / d, d, ValueSlice::F32(values)).unwrap()
}

/// Leverage by the singular vectors of the dense matrix: the slow, obvious way.
fn slow(dense: &Array2<f64>, options: &LeverageOptions) -> Vec<f64> {
    let n = dense.nrows() as f64;
    let mut matrix = dense.clone();
    if options.zero_center {
        matrix -= &dense.mean_axis(Axis(0)).unwrap();
    }
    let svd = thin_svd(matrix.view()).unwrap();
    let rank = svd.s.iter().filter(|&&s| s > svd.s[0] * 1e-6).count().min(options.n_comps.unwrap_or(usize::MAX));
    svd.u
        .rows()
        .into_iter()
        .map(|row| row.iter().take(rank).map(|x| x * x).sum::<f64>() + if options.zero_center { 1.0 / n } else { 0.0 })
        .collect()
}

fn all_genes() -> LeverageOptions {
    LeverageOptions { n_comps: None, ..Default::default() }
}

#[test]
fn boxes_by_hand() {
    // Four corners of a square of side 4: three hold one cell, one holds five.
    let corners = [(0.0, 0.0), (4.0, 0.0), (0.0, 4.0), (4.0, 4.0), (4.1, 4.1), (3.9, 4.1), (4.1, 3.9), (4.0, 4.1)];
    let values: Vec<f32> = corners.iter().flat_map(|&(x, y)| [x, y]).collect();
    for seed in 0..20 {
        let options = GeometricOptions { random_state: seed, tolerance: 0.0, ..Default::default() };
        let found = geometric(&points(&values, 2), 4, &options, &quiet()).unwrap();
        assert_eq!(found.n_boxes, 4);
        assert!(found.side > 0.2 && found.side < 4.1, "{}", found.side);
        assert_eq!(found.chosen[..3], [0, 1, 2]);
        assert!(found.chosen.len() == 4 && found.chosen[3] >= 3);
        // More cells than boxes: the full box gives the others.
        let options = GeometricOptions { n_boxes: Some(4), ..options };
        let more = geometric(&points(&values, 2), 6, &options, &quiet()).unwrap();
        assert_eq!(more.chosen[..3], [0, 1, 2]);
        assert!(more.chosen.len() == 6 && found.chosen.iter().all(|row| more.chosen.contains(row)));
    }
    // Each cell of the full box has its turn.
    let turns: std::collections::BTreeSet<u32> = (0..60)
        .map(|seed| {
            let options = GeometricOptions { random_state: seed, ..Default::default() };
            geometric(&points(&values, 2), 4, &options, &quiet()).unwrap().chosen[3]
        })
        .collect();
    assert_eq!(turns.len(), 5);
}

#[test]
fn a_line_is_covered_evenly() {
    // Squares of whole numbers: dense near 0. Thirty boxes on a line are thirty even stretches.
    let values: Vec<f32> = (0..3000).map(|i| (f64::from(i) / 3000.0).powi(4) as f32).collect();
    let options = GeometricOptions::default();
    let found = geometric(&points(&values, 1), 30, &options, &quiet()).unwrap();
    assert!(found.n_boxes.abs_diff(30) <= 3, "{}", found.n_boxes);
    let chosen: Vec<f32> = found.chosen.iter().map(|&row| values[row as usize]).collect();
    let upper = chosen.iter().filter(|&&x| x > 0.5).count();
    // A uniform draw of 30 has 4.8 above the middle.
    assert!((12..=18).contains(&upper), "{upper}");
    assert!(chosen.windows(2).all(|pair| pair[1] - pair[0] < 2.1 * found.side as f32));
}

#[test]
fn sketches_keep_rare_cells() {
    let (n, rare) = (20_000, 40);
    let values = clouds(n, 10, rare, 3);
    let of_rare = |rows: &[u32]| rows.iter().filter(|&&row| row as usize >= n - rare).count();
    for seed in 0..3 {
        let options = GeometricOptions { random_state: seed, ..Default::default() };
        let found = geometric(&points(&values, 10), 500, &options, &quiet()).unwrap();
        assert_eq!(found.chosen.len(), 500);
        assert!(found.n_boxes.abs_diff(500) <= 50, "{}", found.n_boxes);
        // A uniform draw has 1.
        assert!(of_rare(&found.chosen) >= 5, "{}", of_rare(&found.chosen));
    }
    let (n, rare) = (3000, 15);
    let matrix = sparse(&cells(n, 120, 5, rare, 1));
    let of_rare = |rows: &[u32]| rows.iter().filter(|&&row| row as usize >= n - rare).count();
    let scores =
        leverage_scores(&matrix, &LeverageOptions { n_comps: Some(10), ..Default::default() }, &quiet()).unwrap();
    for seed in 0..3 {
        let chosen = sample_weighted(&scores, 300, seed, &quiet()).unwrap();
        // A uniform draw has 1.5.
        assert!(chosen.len() == 300 && of_rare(&chosen) >= 8, "{}", of_rare(&chosen));
    }
}

#[test]
fn leverage_by_hand() {
    // Two columns: the second is seen in one cell alone, which alone decides it.
    let matrix = sparse(&ndarray::array![[1.0, 0.0], [1.0, 0.0], [1.0, 5.0], [1.0, 0.0]]);
    let options = LeverageOptions { zero_center: false, ..all_genes() };
    for (n_comps, tolerance) in [(None, 1e-12), (Some(2), 1e-9)] {
        let options = LeverageOptions { n_comps, ..options.clone() };
        let found = leverage_scores(&matrix, &options, &quiet()).unwrap();
        for (score, expected) in found.iter().zip([1.0 / 3.0, 1.0 / 3.0, 1.0, 1.0 / 3.0]) {
            assert!((score - expected).abs() < tolerance, "{found:?}");
        }
        // Centred, the constant column is what the column of ones is.
        let found = leverage_scores(&matrix, &LeverageOptions { zero_center: true, ..options }, &quiet()).unwrap();
        assert!((found[2] - 1.0).abs() < tolerance && (found[0] - 1.0 / 3.0).abs() < tolerance, "{found:?}");
    }
}

#[test]
fn leverage_is_the_diagonal_of_the_projection() {
    // More cells than genes, more genes than cells, several panels of the factor.
    for (n, g) in [(300, 40), (50, 90), (700, 150)] {
        let mut dense = cells(n, g, 4, 12, 7);
        // A gene twice, one that is a sum, one that is constant, one that is never seen.
        let (first, second) = (dense.column(20).to_owned(), dense.column(21).to_owned());
        dense.column_mut(25).assign(&first);
        dense.column_mut(26).assign(&((&first + &second) * 0.5));
        dense.column_mut(27).fill(3.0);
        dense.column_mut(28).fill(0.0);
        let dense = dense.mapv(|x| f64::from(x as f32));
        let matrix = sparse(&dense);
        for zero_center in [true, false] {
            for n_comps in [Some(5), None] {
                let options = LeverageOptions { n_comps, zero_center, ..Default::default() };
                let (found, expected) = (leverage_scores(&matrix, &options, &quiet()).unwrap(), slow(&dense, &options));
                let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(off < 1e-5, "{n} x {g}, {options:?}: {off}");
            }
        }
    }
}

#[test]
fn projections_approximate_leverage() {
    let matrix = sparse(&cells(2000, 150, 4, 20, 2));
    let exact = leverage_scores(&matrix, &all_genes(), &quiet()).unwrap();
    assert!((exact.iter().sum::<f64>() - 151.0).abs() < 1e-6, "{}", exact.iter().sum::<f64>());
    for count in [64, 400] {
        let options = LeverageOptions { n_projections: Some(count), ..all_genes() };
        let found = leverage_scores(&matrix, &options, &quiet()).unwrap();
        let ratios: Vec<f64> = found.iter().zip(&exact).map(|(a, b)| a / b - 1.0).collect();
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let spread = (ratios.iter().map(|x| x * x).sum::<f64>() / ratios.len() as f64).sqrt();
        let expected = (2.0 / count as f64).sqrt();
        assert!(mean.abs() < 0.5 * expected && (0.7..1.3).contains(&(spread / expected)), "{mean} {spread}");
        assert_ne!(found, leverage_scores(&matrix, &LeverageOptions { random_state: 1, ..options }, &quiet()).unwrap());
    }
}

#[test]
fn the_factor_leaves_out_what_is_foretold() {
    // 150 columns of which every third is a sum of the two before it.
    let mut base = Array2::from_shape_fn((400, 150), |(i, j)| Stream::new(5, (i * 150 + j) as u64).normal());
    for j in (2..150).step_by(3) {
        let sum = &base.column(j - 1) + &base.column(j - 2);
        base.column_mut(j).assign(&sum);
    }
    let mut products = base.t().dot(&base);
    let scale: Vec<f64> = products.diag().iter().map(|x| x.sqrt().recip()).collect();
    products.indexed_iter_mut().for_each(|((i, j), value)| *value *= scale[i] * scale[j]);
    let (kept, upper) = factor(products.clone(), &quiet()).unwrap();
    assert_eq!(kept, (0..150).filter(|j| j % 3 != 2).collect::<Vec<_>>());
    let back = upper.t().dot(&upper);
    for (a, &i) in kept.iter().enumerate() {
        for (b, &j) in kept.iter().enumerate() {
            assert!((back[(a, b)] - products[(i, j)]).abs() < 1e-12);
        }
    }
}

#[test]
fn draws_are_in_proportion_and_nested() {
    let weights = [1.0, 2.0, 0.0, 4.0, 1.0];
    let mut first = [0u32; 5];
    let trials = 20_000;
    for seed in 0..trials {
        first[sample_weighted(&weights, 1, seed, &quiet()).unwrap()[0] as usize] += 1;
    }
    for (count, weight) in first.iter().zip(weights) {
        let expected = trials as f64 * weight / 8.0;
        assert!((f64::from(*count) - expected).abs() < 5.0 * expected.sqrt() + 1.0, "{first:?}");
    }
    for seed in 0..50 {
        let draws: Vec<_> = (0..=5).map(|n| sample_weighted(&weights, n, seed, &quiet()).unwrap()).collect();
        for (n, pair) in draws.windows(2).enumerate() {
            assert!(pair[0].len() == n && pair[0].iter().all(|row| pair[1].contains(row)));
        }
        // The row of no weight comes last.
        assert!(!draws[4].contains(&2) && draws[5] == [0, 1, 2, 3, 4]);
    }
}

#[test]
fn layouts_and_threads_give_the_same_bits() {
    // Nothing is zero: several blocks.
    let dense = cells(15_000, 150, 5, 20, 4).mapv(|x| f64::from((x + 0.1) as f32));
    let wide: Vec<f32> = dense.iter().map(|&x| x as f32).collect();
    let matrix = sparse(&dense);
    assert!(matrix.n_blocks() > 2);
    let view = DenseView::new(15_000, 150, ValueSlice::F32(&wide)).unwrap();
    let lazy = Lazy::new(&matrix).select_columns(&[true; 150]).unwrap();
    let values = clouds(9000, 6, 50, 1);
    let double: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
    let run = |threads| {
        with_threads(Some(threads), || {
            let scores = [
                LeverageOptions::default(),
                all_genes(),
                LeverageOptions { n_projections: Some(20), zero_center: false, ..all_genes() },
            ]
            .map(|options| leverage_scores(&matrix, &options, &quiet()).unwrap());
            let chosen = sample_weighted(&scores[0], 100, 3, &quiet())?;
            Ok((scores, chosen, geometric(&points(&values, 6), 300, &GeometricOptions::default(), &quiet())?))
        })
        .unwrap()
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(8));
    assert_eq!(leverage_scores(&view, &LeverageOptions::default(), &quiet()).unwrap(), one.0[0]);
    assert_eq!(leverage_scores(&lazy, &all_genes(), &quiet()).unwrap(), one.0[1]);
    let double = Points::new(9000, 6, ValueSlice::F64(&double)).unwrap();
    assert_eq!(geometric(&double, 300, &GeometricOptions::default(), &quiet()).unwrap(), one.2);
}

#[test]
fn hardly_data() {
    let options = GeometricOptions::default();
    let values = clouds(50, 3, 5, 0);
    let take = |n| geometric(&points(&values, 3), n, &options, &quiet()).unwrap().chosen;
    assert_eq!(take(0), Vec::<u32>::new());
    assert_eq!(take(50), (0..50).collect::<Vec<_>>());
    // Cells that are all alike are one box.
    let alike = geometric(&points(&[2.0; 60], 3), 7, &options, &quiet()).unwrap();
    assert_eq!((alike.chosen.len(), alike.n_boxes, alike.side), (7, 1, 0.0));
    let one = geometric(&points(&[1.0, 5.0], 2), 1, &options, &quiet()).unwrap();
    assert_eq!((one.chosen, one.n_boxes), (vec![0], 1));
    // Fewer different cells than boxes.
    let twice: Vec<f32> = (0..40).map(|i| (i % 4) as f32).collect();
    let found = geometric(&points(&twice, 1), 20, &options, &quiet()).unwrap();
    assert_eq!((found.n_boxes, found.chosen.len()), (4, 20));
    assert!((0..4).all(|kind| found.chosen.iter().filter(|&&row| row % 4 == kind).count() == 5));

    for options in [LeverageOptions::default(), all_genes()] {
        let score = |dense: &Array2<f64>| leverage_scores(&sparse(dense), &options, &quiet()).unwrap();
        assert!(leverage_scores(&Csr::empty(0, 4), &options, &quiet()).unwrap().is_empty());
        assert_eq!(score(&ndarray::array![[0.0, 3.0]]), [1.0]);
        assert_eq!(score(&Array2::from_elem((4, 3), 2.0)), [0.25; 4]);
        let pair = score(&ndarray::array![[0.0, 3.0], [1.0, 1.0]]);
        assert!(pair.iter().all(|score| (score - 1.0).abs() < 1e-9), "{pair:?}");
        let raw = LeverageOptions { zero_center: false, ..options.clone() };
        assert_eq!(leverage_scores(&Csr::empty(3, 4), &raw, &quiet()).unwrap(), [0.0; 3]);
    }
    assert!(sample_weighted(&[], 0, 0, &quiet()).unwrap().is_empty());
    assert_eq!(sample_weighted(&[0.0, 0.0], 2, 0, &quiet()).unwrap(), [0, 1]);
}

#[test]
fn bad_input_is_named() {
    let text = |error: Error| error.to_string();
    let values = clouds(10, 2, 1, 0);
    let make = |n, options: &GeometricOptions| geometric(&points(&values, 2), n, options, &quiet());
    let options = GeometricOptions::default();
    assert!(
        text(make(11, &options).unwrap_err()).contains("`n_obs`: expected at most the number of cells, 10, found 11")
    );
    assert!(text(make(3, &GeometricOptions { n_boxes: Some(0), ..options.clone() }).unwrap_err()).contains("n_boxes"));
    for tolerance in [-0.1, 1.0, f64::NAN] {
        let error = make(3, &GeometricOptions { tolerance, ..options.clone() }).unwrap_err();
        assert!(text(error).contains("tolerance"));
    }
    let far = [-1e308, 1e308];
    let far = Points::new(2, 1, ValueSlice::F64(&far)).unwrap();
    assert!(text(geometric(&far, 1, &options, &quiet()).unwrap_err()).contains("differences"));

    let options = LeverageOptions::default();
    for (wrong, name) in [
        (LeverageOptions { n_comps: Some(0), ..options.clone() }, "n_comps"),
        (LeverageOptions { n_projections: Some(9), ..options.clone() }, "n_projections"),
        (LeverageOptions { n_projections: Some(0), ..all_genes() }, "n_projections"),
    ] {
        assert!(text(wrong.validate().unwrap_err()).contains(name));
    }
    let empty = leverage_scores(&Csr::empty(3, 0), &options, &quiet()).unwrap_err();
    assert!(matches!(empty, Error::Data { fault: DataFault::Empty, .. }), "{empty}");
    let wide = leverage_scores(&Csr::empty(3, 6001), &all_genes(), &quiet()).unwrap_err();
    assert!(matches!(wide, Error::Limit { .. }) && text(wide).contains("6001"));
    let mut broken = sparse(&cells(20, 30, 3, 2, 0));
    broken.values[4] = f32::NAN;
    assert!(text(leverage_scores(&broken, &options, &quiet()).unwrap_err()).contains("finite values"));

    assert!(text(sample_weighted(&[1.0], 2, 0, &quiet()).unwrap_err()).contains("n_obs"));
    let negative = sample_weighted(&[1.0, -1.0], 1, 0, &quiet()).unwrap_err();
    assert!(text(negative).contains("-1 in row 1"));
    assert!(text(sample_weighted(&[f64::NAN], 1, 0, &quiet()).unwrap_err()).contains("finite"));
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    assert!(matches!(sample_weighted(&[1.0], 1, 0, &ctx), Err(Error::Interrupted)));
    assert!(matches!(leverage_scores(&sparse(&cells(20, 30, 3, 2, 0)), &options, &ctx), Err(Error::Interrupted)));
}
