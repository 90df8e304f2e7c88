use super::*;
use crate::matrix::ValueSlice;
use crate::parallel::with_threads;
use crate::random::Stream;

pub(super) fn points(n: usize, d: usize, values: &[f32]) -> Points<'_> {
    Points::new(n, d, ValueSlice::F32(values)).unwrap()
}

pub(super) fn options(k: usize, metric: Metric, algorithm: Algorithm) -> KnnOptions {
    KnnOptions { n_neighbors: k, metric, algorithm, ..KnnOptions::default() }
}

pub(super) fn normals(n: usize, d: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, 0);
    (0..n * d).map(|_| stream.normal() as f32).collect()
}

/// Every distance by its formula, sorted.
fn slow(n: usize, d: usize, values: &[f32], k: usize, metric: Metric) -> (Vec<u32>, Vec<f64>) {
    let row = |i: usize| -> Vec<f64> {
        let row: Vec<f64> = values[i * d..(i + 1) * d].iter().map(|&x| f64::from(x)).collect();
        match metric {
            Metric::Correlation => {
                let mean = row.iter().sum::<f64>() / d as f64;
                row.iter().map(|x| x - mean).collect()
            }
            _ => row,
        }
    };
    let distance = |a: &[f64], b: &[f64]| match metric {
        Metric::Euclidean => a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt(),
        _ => {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        }
    };
    let (mut indices, mut distances) = (Vec::new(), Vec::new());
    for i in 0..n {
        let here = row(i);
        let mut all: Vec<(f64, u32)> =
            (0..n).filter(|&j| j != i).map(|j| (distance(&here, &row(j)), j as u32)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.insert(0, (0.0, i as u32));
        indices.extend(all[..k].iter().map(|entry| entry.1));
        distances.extend(all[..k].iter().map(|entry| entry.0));
    }
    (indices, distances)
}

#[test]
fn by_hand() {
    // On a line: 0, 1, 3, 7.
    let found =
        knn(&points(4, 1, &[0.0, 1.0, 3.0, 7.0]), &options(3, Metric::Euclidean, Algorithm::Exact), &Ctx::quiet())
            .unwrap();
    assert_eq!(found.indices, [0, 1, 2, 1, 0, 2, 2, 1, 0, 3, 2, 1]);
    assert_eq!(found.distances, [0.0, 1.0, 3.0, 0.0, 1.0, 2.0, 0.0, 2.0, 3.0, 0.0, 4.0, 6.0]);
    assert!(found.exact);
}

#[test]
fn exact_matches_the_slow_version() {
    for (n, d, k) in [(2, 1, 2), (20, 3, 5), (150, 50, 15), (500, 7, 30), (90, 64, 90), (1100, 20, 10)] {
        let values = normals(n, d, (n + d) as u64);
        for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
            if d < 3 && metric != Metric::Euclidean {
                continue;
            }
            let found = knn(&points(n, d, &values), &options(k, metric, Algorithm::Exact), &Ctx::quiet()).unwrap();
            let (indices, distances) = slow(n, d, &values, k, metric);
            assert_eq!(found.indices, indices, "{n} x {d}, {k}, {metric:?}");
            for (f, s) in found.distances.iter().zip(&distances) {
                assert!((f64::from(*f) - s).abs() < 1e-6 * (1.0 + s), "{f} {s}");
            }
        }
    }
}

#[test]
fn exact_holds_where_single_precision_fails() {
    // Far from the origin, nearly equal distances, many ties on a grid, tiny and huge scales.
    let (n, d, k) = (400, 8, 12);
    let mut stream = Stream::new(3, 3);
    let grid: Vec<f32> = (0..n * d).map(|_| stream.below(3) as f32).collect();
    let far: Vec<f32> = grid.iter().enumerate().map(|(i, x)| 1e4 + x + if i < d { 1e6 } else { 0.0 }).collect();
    let tiny: Vec<f32> = normals(n, d, 1).iter().map(|x| x * 1e-25).collect();
    let huge: Vec<f32> = normals(n, d, 2).iter().map(|x| x * 1e25).collect();
    let shell: Vec<f32> =
        normals(n, d, 4).iter().enumerate().map(|(i, x)| if i % d == 0 { 1e3 } else { 1e-3 * x }).collect();
    for values in [grid, far, tiny, huge, shell] {
        let found =
            knn(&points(n, d, &values), &options(k, Metric::Euclidean, Algorithm::Exact), &Ctx::quiet()).unwrap();
        assert_eq!(found.indices, slow(n, d, &values, k, Metric::Euclidean).0);
    }
}

#[test]
fn duplicates_come_by_row_number() {
    // 40 equal rows, then 200 others.
    let (n, d, k) = (240, 4, 10);
    let mut values = normals(n, d, 9);
    for row in 0..40 {
        values[row * d..(row + 1) * d].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    }
    let search = |values: &[f32], k| {
        knn(&points(n, d, values), &options(k, Metric::Euclidean, Algorithm::Exact), &Ctx::quiet()).unwrap()
    };
    let found = search(&values, k);
    assert_eq!(found.indices, slow(n, d, &values, k, Metric::Euclidean).0);
    assert_eq!(&found.indices[20 * k..21 * k], &[20, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(found.distances[..40 * k].iter().all(|&distance| distance == 0.0));
    // All rows equal.
    assert_eq!(search(&vec![0.5f32; n * d], 3).indices[..9], [0, 1, 2, 1, 0, 2, 2, 0, 1]);
}

/// Rows like principal components of cells: 20 types of unequal size, each a bent sheet of three dimensions
/// in noise, with variances that fall along the components.
pub(super) fn cells(n: usize, d: usize, seed: u64) -> Vec<f32> {
    const TYPES: u64 = 20;
    let centres: Vec<Vec<f64>> = (0..TYPES)
        .map(|kind| {
            let mut stream = Stream::new(seed, kind);
            (0..d).map(|j| 8.0 * 0.9f64.powi(j as i32) * stream.normal()).collect()
        })
        .collect();
    let bends: Vec<Vec<f64>> = (0..TYPES)
        .map(|kind| {
            let mut stream = Stream::new(seed, 1000 + kind);
            (0..d * 4).map(|_| stream.normal()).collect()
        })
        .collect();
    let weights: Vec<f64> = (0..TYPES).map(|kind| 0.8f64.powi(kind as i32)).collect();
    let total: f64 = weights.iter().sum();
    let mut values = Vec::with_capacity(n * d);
    for cell in 0..n as u64 {
        let mut stream = Stream::new(seed, 10_000 + cell);
        let mut draw = stream.uniform() * total;
        let kind = weights.iter().position(|w| {
            draw -= w;
            draw <= 0.0
        });
        let kind = kind.unwrap_or(0);
        let latent = [stream.uniform(), stream.uniform(), stream.uniform()];
        for j in 0..d {
            let bend = &bends[kind][j * 4..(j + 1) * 4];
            let angle: f64 = bend.iter().zip(&latent).map(|(b, z)| b * z).sum::<f64>() * 2.0 + bend[3];
            let sheet = 5.0 * 0.93f64.powi(j as i32) * angle.sin();
            values.push((centres[kind][j] + sheet + 0.8 * stream.normal()) as f32);
        }
    }
    values
}

#[test]
fn approximate_finds_nearly_all() {
    let (n, d) = (30_000, 50);
    let values = cells(n, d, 9);
    let view = points(n, d, &values);
    let found = knn(&view, &options(15, Metric::Euclidean, Algorithm::Auto), &Ctx::quiet()).unwrap();
    assert!(!found.exact);
    let measured = recall(&view, &found, Metric::Euclidean, 500, 1, &Ctx::quiet()).unwrap();
    assert!(measured.mean >= 0.99, "{measured:?}");
    let less = KnnOptions { effort: 0.3, ..KnnOptions::default() };
    let quick = knn(&view, &less, &Ctx::quiet()).unwrap();
    let quick = recall(&view, &quick, Metric::Euclidean, 500, 1, &Ctx::quiet()).unwrap();
    assert!(quick.mean < measured.mean && quick.mean > 0.5, "{quick:?}");
    for (row, (indices, distances)) in found.indices.chunks(15).zip(found.distances.chunks(15)).enumerate() {
        assert!(indices[0] == row as u32 && distances[0] == 0.0);
        assert!(distances.windows(2).all(|pair| pair[0] <= pair[1]));
    }
}

#[test]
fn approximate_with_all_clusters_is_exact() {
    let (n, d, k) = (1500, 6, 12);
    let values = cells(n, d, 4);
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
        let all = KnnOptions { effort: 100.0, ..options(k, metric, Algorithm::Approximate) };
        let found = knn(&points(n, d, &values), &all, &Ctx::quiet()).unwrap();
        let truth = knn(&points(n, d, &values), &options(k, metric, Algorithm::Exact), &Ctx::quiet()).unwrap();
        assert_eq!((found.indices, found.distances), (truth.indices, truth.distances));
    }
}

#[test]
fn approximate_always_fills_its_rows() {
    // Far more neighbours than a cluster holds, hardly any effort, and rows that are all the same.
    let (n, d) = (1200, 3);
    for values in [normals(n, d, 6), vec![1.0; n * d]] {
        for (k, effort) in [(2, 0.01), (600, 0.01), (n, 1.0)] {
            let options = KnnOptions { effort, ..options(k, Metric::Euclidean, Algorithm::Approximate) };
            let found = knn(&points(n, d, &values), &options, &Ctx::quiet()).unwrap();
            for (row, indices) in found.indices.chunks(k).enumerate() {
                assert_eq!(indices[0] as usize, row);
                let mut sorted = indices.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), k);
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let (n, d) = (3000, 20);
    let values = cells(n, d, 2);
    for algorithm in [Algorithm::Exact, Algorithm::Approximate] {
        let run = |threads| {
            with_threads(Some(threads), || {
                knn(&points(n, d, &values), &options(15, Metric::Euclidean, algorithm), &Ctx::quiet())
            })
            .unwrap()
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(8));
    }
}

#[test]
fn permuting_rows_permutes_the_neighbours() {
    let (n, d, k) = (700, 10, 9);
    let values = normals(n, d, 8);
    let mut to: Vec<usize> = (0..n).collect();
    Stream::new(4, 4).shuffle(&mut to);
    let mut moved = vec![0f32; n * d];
    for row in 0..n {
        moved[to[row] * d..(to[row] + 1) * d].copy_from_slice(&values[row * d..(row + 1) * d]);
    }
    let o = options(k, Metric::Euclidean, Algorithm::Exact);
    let (a, b) = (knn(&points(n, d, &values), &o, &Ctx::quiet()), knn(&points(n, d, &moved), &o, &Ctx::quiet()));
    let (a, b) = (a.unwrap(), b.unwrap());
    for row in 0..n {
        let expected: Vec<u32> = a.indices[row * k..(row + 1) * k].iter().map(|&j| to[j as usize] as u32).collect();
        assert_eq!(b.indices[to[row] * k..(to[row] + 1) * k], expected);
    }
}

#[test]
fn double_and_single_precision_agree() {
    let (n, d) = (300, 12);
    let values = normals(n, d, 5);
    let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
    let o = options(7, Metric::Cosine, Algorithm::Exact);
    let wide = Points::new(n, d, ValueSlice::F64(&wide)).unwrap();
    assert_eq!(knn(&points(n, d, &values), &o, &Ctx::quiet()).unwrap(), knn(&wide, &o, &Ctx::quiet()).unwrap());
}

#[test]
fn zero_rows_under_cosine_are_at_distance_one() {
    let values = [0.0f32, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0];
    let found = knn(&points(5, 2, &values), &options(3, Metric::Cosine, Algorithm::Exact), &Ctx::quiet()).unwrap();
    assert_eq!(found.indices[..3], [0, 1, 2]);
    assert_eq!(found.distances[..3], [0.0, 1.0, 1.0]);
    assert_eq!(found.indices[3..6], [1, 2, 0]);
    assert_eq!(found.distances[3..6], [0.0, 0.0, 1.0]);
}

#[test]
fn recall_counts_what_is_missing() {
    let values = [0.0f32, 1.0, 3.0, 7.0];
    let mut found =
        knn(&points(4, 1, &values), &options(3, Metric::Euclidean, Algorithm::Exact), &Ctx::quiet()).unwrap();
    let measure = |found: &Neighbors| recall(&points(4, 1, &values), found, Metric::Euclidean, 10, 0, &Ctx::quiet());
    assert_eq!(measure(&found).unwrap(), Recall { mean: 1.0, lowest: 1.0, sample: 4 });
    found.indices[2] = 3;
    assert_eq!(measure(&found).unwrap(), Recall { mean: 0.875, lowest: 0.5, sample: 4 });
    found.k = 2;
    assert!(measure(&found).is_err());
}

#[test]
fn degenerate_inputs() {
    let one = knn(&points(1, 2, &[1.0, 2.0]), &options(2, Metric::Euclidean, Algorithm::Auto), &Ctx::quiet());
    assert!(one.unwrap_err().to_string().contains("at most the number of rows, 1"));
    let two = knn(&points(2, 1, &[1.0, 3.0]), &options(2, Metric::Euclidean, Algorithm::Auto), &Ctx::quiet()).unwrap();
    assert_eq!((two.indices, two.distances), (vec![0, 1, 1, 0], vec![0.0, 2.0, 0.0, 2.0]));
    let fault = |n, d, values: &[f32]| Points::new(n, d, ValueSlice::F32(values)).unwrap_err().to_string();
    assert!(fault(0, 2, &[]).contains("at least one row"));
    assert!(fault(2, 2, &[1.0]).contains("2 x 2"));
    assert!(fault(2, 2, &[1.0, 2.0, 3.0, f32::NAN]).contains("NaN at row 1, column 1"));
    assert!(fault(1, 1, &[f32::INFINITY]).contains("inf"));
    assert!(Points::new(1, 1, ValueSlice::I32(&[1])).is_err());
    let constant = [1.0f32, 1.0, 1.0, 1.0, 2.0, 3.0];
    let error = knn(&points(2, 3, &constant), &options(2, Metric::Correlation, Algorithm::Auto), &Ctx::quiet());
    assert!(error.unwrap_err().to_string().contains("row 0"));
}

#[test]
fn each_invalid_option_is_refused() {
    let values = normals(10, 2, 1);
    let fault = |change: &dyn Fn(&mut KnnOptions)| {
        let mut options = KnnOptions { n_neighbors: 3, ..KnnOptions::default() };
        change(&mut options);
        knn(&points(10, 2, &values), &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&|o| o.n_neighbors = 1).contains("n_neighbors"));
    assert!(fault(&|o| o.n_neighbors = 11).contains("n_neighbors"));
    assert!(fault(&|o| o.effort = 0.0).contains("effort"));
    assert!(fault(&|o| o.effort = f64::NAN).contains("effort"));
    let parse = |text: &str| KnnOptions::from_json(text).unwrap_err().to_string();
    assert!(parse(r#"{"metric": "hamming"}"#).contains("hamming"));
    assert!(parse(r#"{"algorithm": "annoy"}"#).contains("annoy"));
}

#[test]
fn a_cancelled_search_stops() {
    let values = normals(2000, 10, 1);
    for algorithm in [Algorithm::Exact, Algorithm::Approximate] {
        let ctx = Ctx::quiet();
        ctx.token().cancel();
        let error = knn(&points(2000, 10, &values), &options(5, Metric::Euclidean, algorithm), &ctx);
        assert!(matches!(error, Err(Error::Interrupted)));
    }
}
