use super::*;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

fn quiet() -> Ctx {
    Ctx::quiet()
}

fn poisson(rate: f64, stream: &mut Stream) -> f32 {
    let (limit, mut product, mut count) = ((-rate).exp(), stream.uniform(), 0);
    while product > limit {
        product *= stream.uniform();
        count += 1;
    }
    count as f32
}

/// Counts of two kinds of cells with known factors: a tenth of the genes is 20-fold up in the second kind, which makes
/// library sizes misleading.
fn example(n: usize, g: usize) -> (Vec<f32>, Vec<f64>, Vec<u32>) {
    let mut stream = Stream::new(31, 0);
    let factors: Vec<f64> = (0..n).map(|_| (0.4 * stream.normal()).exp()).collect();
    let rates: Vec<f64> = (0..g).map(|_| 0.5 + 3.0 * stream.uniform().powi(3)).collect();
    let kinds: Vec<u32> = (0..n as u32).map(|i| u32::from(i % 3 == 0)).collect();
    let mut values = Vec::with_capacity(n * g);
    for i in 0..n {
        for j in 0..g {
            let up = if kinds[i] == 1 && j % 10 == 0 { 20.0 } else { 1.0 };
            values.push(poisson(factors[i] * rates[j] * up, &mut stream));
        }
    }
    (values, factors, kinds)
}

/// Root mean square difference of the logarithms, after the scale common to all is taken off.
fn error(got: &[f64], truth: &[f64]) -> f64 {
    let logs: Vec<f64> = got.iter().zip(truth).map(|(a, b)| (a / b).ln()).collect();
    let middle = logs.iter().sum::<f64>() / logs.len() as f64;
    (logs.iter().map(|x| (x - middle).powi(2)).sum::<f64>() / logs.len() as f64).sqrt()
}

#[test]
fn known_factors_are_found_where_library_sizes_mislead() {
    let (n, g) = (240, 600);
    let (values, truth, kinds) = example(n, g);
    let matrix = Csr::from_dense(g, &values);
    let libraries: Vec<f64> = values.chunks_exact(g).map(|row| row.iter().map(|&x| f64::from(x)).sum()).collect();
    for clusters in [None, Some(kinds.as_slice())] {
        let got = pooled_size_factors(&matrix, clusters, &PooledOptions::default(), &quiet()).unwrap();
        let (ours, theirs) = (error(&got.factors, &truth), error(&libraries, &truth));
        assert!(ours < 0.25 && ours < theirs / 2.0, "{ours} against {theirs} of library sizes");
        assert!((got.factors.iter().sum::<f64>() / n as f64 - 1.0).abs() < 1e-12);
        assert!(got.replaced.iter().all(|&flag| !flag));
        // The two kinds on one scale.
        let bias = |kind: u32| {
            let cells = (0..n).filter(|&i| kinds[i] == kind);
            median(&mut cells.map(|i| (got.factors[i] / truth[i]).ln()).collect::<Vec<_>>())
        };
        assert!((bias(0) - bias(1)).abs() < 0.15, "{} {}", bias(0), bias(1));
    }
}

#[test]
fn cells_that_differ_in_depth_alone_get_their_depth() {
    let g = 50;
    let depths = [1.0f32, 2.0, 4.0, 3.0, 8.0, 5.0, 6.0, 2.0];
    let values: Vec<f32> = depths.iter().flat_map(|&d| (0..g).map(move |j| d * (j % 5 + 1) as f32)).collect();
    let options = PooledOptions { sizes: vec![2, 3, 20], min_mean: 0.0 };
    let got = pooled_size_factors(&Csr::from_dense(g, &values), None, &options, &quiet()).unwrap();
    let mean = depths.iter().sum::<f32>() / 8.0;
    for (factor, depth) in got.factors.iter().zip(depths) {
        assert!((factor - f64::from(depth) / f64::from(mean)).abs() < 1e-9, "{factor}");
    }
    assert_eq!((got.n_genes, got.reference), (vec![50], 0));
}

#[test]
fn threads_and_layouts_give_the_same_bits() {
    let (n, g) = (150, 200);
    let (values, _, kinds) = example(n, g);
    let matrix = Csr::from_dense(g, &values);
    let view = DenseView::new(n, g, ValueSlice::F32(&values)).unwrap();
    let options = PooledOptions { sizes: vec![20, 25, 60], ..Default::default() };
    let run = |source: &dyn RowBlocks, threads| {
        with_threads(Some(threads), || pooled_size_factors(source, Some(&kinds), &options, &quiet())).unwrap()
    };
    let one = run(&matrix, 1);
    assert!(one == run(&matrix, 2) && one == run(&matrix, 8) && one == run(&view, 2));
}

#[test]
fn bad_input_is_named() {
    let (n, g) = (30, 20);
    let (values, ..) = example(n, g);
    let matrix = Csr::from_dense(g, &values);
    let text = |matrix: &Csr, clusters: Option<&[u32]>, options: &PooledOptions| {
        pooled_size_factors(matrix, clusters, options, &quiet()).unwrap_err().to_string()
    };
    let plain = PooledOptions::default();
    assert!(text(&Csr::empty(0, 3), None, &plain).contains("at least one cell"));
    assert!(text(&Csr::empty(30, 3), None, &plain).contains("none in cell 0"));
    assert!(text(&matrix, Some(&[0]), &plain).contains("30 entries"));
    assert!(text(&matrix, Some(&vec![99; n]), &plain).contains("without gaps"));
    let mut small = vec![0; n];
    small[..10].fill(1);
    assert!(text(&matrix, Some(&small), &plain).contains("20 in cluster 0"));
    assert!(text(&matrix, None, &PooledOptions { min_mean: 1e9, ..Default::default() }).contains("at least one gene"));
    for sizes in [vec![], vec![0, 5]] {
        assert!(text(&matrix, None, &PooledOptions { sizes, ..Default::default() }).contains("sizes"));
    }
    for min_mean in [-1.0, f64::NAN] {
        assert!(text(&matrix, None, &PooledOptions { min_mean, ..Default::default() }).contains("min_mean"));
    }
    let mut broken = matrix.clone();
    broken.values[0] = -1.0;
    assert!(text(&broken, None, &plain).contains("at least 0"));
}
