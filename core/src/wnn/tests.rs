//! Tests of weighted nearest neighbours.

use std::collections::BTreeSet;

use super::*;
use crate::parallel::with_threads;
use crate::random::Stream;

/// Three groups of cells in two modalities: the first tells 0 from the rest, the second 2 from the rest; each gives
/// noise for the two groups that it cannot tell apart.
fn planted(n: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for cell in 0..n {
        let mut stream = Stream::new(9, cell as u64);
        let group = cell % 3;
        let (mut left, mut right) = (vec![0.0f32; 4], vec![0.0f32; 3]);
        left.iter_mut().for_each(|x| *x = stream.normal() as f32);
        right.iter_mut().for_each(|x| *x = stream.normal() as f32);
        left[0] += if group == 0 { 12.0 } else { 0.0 };
        right[0] += if group == 2 { 12.0 } else { 0.0 };
        a.extend(left);
        b.extend(right);
    }
    (a, b)
}

fn run(a: &[f32], b: &[f32], options: &WnnOptions) -> Wnn {
    wnn(&[Modality { values: a, d: 4 }, Modality { values: b, d: 3 }], options, &Ctx::quiet()).unwrap()
}

fn options() -> WnnOptions {
    WnnOptions { n_neighbors: 8, n_bandwidth_neighbors: 10, n_multineighbors: 30, seed: 0 }
}

#[test]
fn modalities_weigh_where_they_tell() {
    let (a, b) = planted(240);
    let found = run(&a, &b, &options());
    let mean = |group: usize| {
        let cells = (0..240).filter(|cell| cell % 3 == group);
        cells.map(|cell| found.weights[2 * cell]).sum::<f64>() / 80.0
    };
    // What the first modality tells apart weighs there: group 0 above group 2.
    assert!(mean(0) > mean(2) + 0.1, "{} {}", mean(0), mean(2));
    assert!(found.weights.chunks_exact(2).all(|row| (row[0] + row[1] - 1.0).abs() < 1e-12));
    // Either modality alone mixes two of the groups: about two thirds of its neighbours would be of the right one.
    let pairs = found.neighbors.indices.chunks_exact(8).flat_map(|row| row[1..].iter().map(move |&o| (row[0], o)));
    let same = pairs.clone().filter(|(cell, other)| cell % 3 == other % 3).count();
    assert!(same * 100 > pairs.clone().count() * 78, "{same} of {}", pairs.count());
    found.neighbors.check().unwrap();
}

/// Every step by its definition, on sets and full tables of distances.
#[test]
fn as_the_slow_way() {
    let n = 90;
    let (a, b) = planted(n);
    let options = options();
    let found = run(&a, &b, &options);
    let spaces: [(&[f32], usize); 2] = [(&a, 4), (&b, 3)];
    let point = |m: usize, cell: usize| &spaces[m].0[cell * spaces[m].1..(cell + 1) * spaces[m].1];
    let apart = |m: usize, i: usize, j: usize| distance(point(m, i), point(m, j));
    let nearest = |m: usize, i: usize, count: usize| -> Vec<usize> {
        let mut others: Vec<usize> = (0..n).filter(|&j| j != i).collect();
        others.sort_by(|&x, &y| apart(m, i, x).total_cmp(&apart(m, i, y)).then(x.cmp(&y)));
        others.truncate(count);
        others
    };
    let sets: Vec<Vec<BTreeSet<usize>>> =
        (0..2).map(|m| (0..n).map(|i| nearest(m, i, 7).into_iter().collect()).collect()).collect();
    let width = |m: usize, i: usize| {
        let jaccard = |j: usize| {
            let common = sets[m][i].intersection(&sets[m][j]).count() as f64;
            common / sets[m][i].union(&sets[m][j]).count() as f64
        };
        let mut others: Vec<usize> = (0..n).filter(|&j| j != i && jaccard(j) > 0.0).collect();
        others.sort_by(|&x, &y| {
            jaccard(x).total_cmp(&jaccard(y)).then(apart(m, i, y).total_cmp(&apart(m, i, x))).then(x.cmp(&y))
        });
        others.truncate(10);
        others.iter().map(|&j| apart(m, i, j)).sum::<f64>() / others.len() as f64
    };
    for i in 0..n {
        let affinity = |m: usize, away: f64| {
            let first = apart(m, i, nearest(m, i, 1)[0]);
            (-(away - first).max(0.0) / (width(m, i) - first)).exp()
        };
        let theta = |m: usize, by: usize| {
            let mean: Vec<f64> = (0..spaces[m].1)
                .map(|c| sets[by][i].iter().map(|&j| f64::from(point(m, j)[c])).sum::<f64>() / 7.0)
                .collect();
            let squares: f64 = mean.iter().zip(point(m, i)).map(|(mean, &x)| (mean - f64::from(x)).powi(2)).sum();
            affinity(m, squares.sqrt())
        };
        let ratios = [theta(0, 0) / (theta(0, 1) + 1e-4), theta(1, 1) / (theta(1, 0) + 1e-4)];
        let weight = 1.0 / (1.0 + (ratios[1] - ratios[0]).exp());
        assert!((found.weights[2 * i] - weight).abs() < 1e-9, "{i}: {} {weight}", found.weights[2 * i]);
        let mut candidates: BTreeSet<usize> = nearest(0, i, 30).into_iter().collect();
        candidates.extend(nearest(1, i, 30));
        let mut joint: Vec<(f64, usize)> = candidates
            .into_iter()
            .map(|j| (weight * affinity(0, apart(0, i, j)) + (1.0 - weight) * affinity(1, apart(1, i, j)), j))
            .collect();
        joint.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        for (at, (similar, j)) in joint.into_iter().take(7).enumerate() {
            let place = i * 8 + at + 1;
            assert!((f64::from(found.neighbors.distances[place]) - (0.5 * (1.0 - similar)).sqrt()).abs() < 1e-6);
            assert_eq!(found.neighbors.indices[place] as usize, j, "cell {i}");
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let (a, b) = planted(600);
    let run = |threads| with_threads(Some(threads), || Ok(run(&a, &b, &WnnOptions::default()))).unwrap();
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
}

#[test]
fn degenerate_inputs() {
    // As many neighbours as there are cells; cells that are all the same; a modality that is constant.
    let (a, _) = planted(5);
    let found = run(&a, &[1.0; 15], &WnnOptions::default());
    assert_eq!(found.neighbors.k, 5);
    assert!(found.weights.iter().all(|weight| weight.is_finite()));
    let found = run(&[2.0; 20], &[1.0; 15], &options());
    assert!(found.weights.iter().all(|&weight| weight == 0.5));
    found.neighbors.check().unwrap();
}

#[test]
fn bad_input_is_named() {
    let (a, b) = planted(12);
    let fault = |a: &[f32], b: &[f32], options: WnnOptions| {
        wnn(&[Modality { values: a, d: 4 }, Modality { values: b, d: 3 }], &options, &Ctx::quiet())
            .unwrap_err()
            .to_string()
    };
    assert!(fault(&a, &b[3..], options()).contains("modality 1"));
    assert!(fault(&a[..8], &b[..6], options()).contains("at least 3 cells"));
    let mut bad = b.clone();
    bad[4] = f32::NAN;
    assert!(fault(&a, &bad, options()).contains("row 1, column 1"));
    assert!(fault(&a, &b, WnnOptions { n_neighbors: 1, ..options() }).contains("n_neighbors"));
    assert!(fault(&a, &b, WnnOptions { n_bandwidth_neighbors: 0, ..options() }).contains("n_bandwidth_neighbors"));
    assert!(fault(&a, &b, WnnOptions { n_multineighbors: 3, ..options() }).contains("n_multineighbors"));
    let one = wnn(&[Modality { values: &a, d: 4 }], &options(), &Ctx::quiet()).unwrap_err().to_string();
    assert!(one.contains("at least two"));
}
