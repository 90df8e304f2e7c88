//! Principal vectors, weights and what they carry over.

use ndarray::Array2;
use zensaibo_core::data::Csr;
use zensaibo_core::knn::{Algorithm, Points};
use zensaibo_core::matrix::{DenseView, ValueSlice};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, Error};

use crate::{
    Candidates, NeighborWeightsOptions, PrincipalVectorsOptions, candidates, label_shares, neighbor_weights,
    principal_vectors, weighted_places, weighted_rows,
};

const GENES: usize = 30;

/// Rows made of four factors, which both sides share, and noise.
fn rows(n: usize, seed: u64) -> Vec<f32> {
    let mut loads = Stream::new(1, 0);
    let loads = Array2::from_shape_fn((4, GENES), |_| loads.normal());
    let mut values = Vec::with_capacity(n * GENES);
    for row in 0..n {
        let mut stream = Stream::new(seed, row as u64);
        let factors: Vec<f64> = (0..4).map(|_| stream.normal()).collect();
        for gene in 0..GENES {
            let mean: f64 = (0..4).map(|k| factors[k] * loads[(k, gene)]).sum();
            values.push((3.0 + mean + 0.3 * stream.normal()) as f32);
        }
    }
    values
}

fn view(values: &[f32]) -> DenseView<'_> {
    DenseView::new(values.len() / GENES, GENES, ValueSlice::F32(values)).unwrap()
}

#[test]
fn vectors_are_orthonormal_shared_and_the_same_for_any_number_of_threads() {
    let (cells, places) = (rows(300, 2), rows(200, 3));
    let run = |options: &PrincipalVectorsOptions, threads| {
        with_threads(Some(threads), || principal_vectors(&view(&cells), &view(&places), options, &Ctx::quiet()))
    };
    let options = PrincipalVectorsOptions { n_components: Some(4), ..Default::default() };
    let found = run(&options, 1).unwrap();
    assert_eq!(found.len(), 4);
    assert!(found.cosines.iter().all(|&cosine| cosine > 0.99) && found.cosines.is_sorted_by(|a, b| a >= b));
    let gram = found.vectors.t().dot(&found.vectors);
    assert!((&gram - &Array2::<f64>::eye(4)).iter().all(|x| x.abs() < 1e-9));
    // Projections of standardised rows: mean 0, and of the variance that the vector has.
    for k in 0..4 {
        let mean: f64 = found.cells.chunks(4).map(|row| row[k]).sum::<f64>() / 300.0;
        assert!(mean.abs() < 1e-9);
    }
    assert_eq!(found, run(&options, 2).unwrap());
    assert_eq!(found, run(&options, 8).unwrap());
    // All components of all genes: the same space, every cosine 1.
    let whole = run(&PrincipalVectorsOptions { n_components: None, min_cosine: 0.3 }, 2).unwrap();
    assert!(whole.len() == GENES && whole.cosines.iter().all(|&cosine| (cosine - 1.0).abs() < 1e-9));
}

#[test]
fn faults_of_vectors_are_named() {
    let (cells, places) = (rows(40, 2), rows(30, 3));
    let run = |cells: &[f32], places: &[f32], n_components, min_cosine| {
        let options = PrincipalVectorsOptions { n_components, min_cosine };
        principal_vectors(&view(cells), &view(places), &options, &Ctx::quiet())
    };
    let mut constant = places.clone();
    constant.chunks_mut(GENES).for_each(|row| row[5] = 2.0);
    let found = run(&cells, &constant, None, 0.3).unwrap();
    assert!(!found.used[5] && found.used.iter().filter(|&&used| used).count() == GENES - 1);
    assert!(found.vectors.row(5).iter().all(|&x| x == 0.0));
    let flat = vec![1.0; places.len()];
    let text = |result: zensaibo_core::Result<crate::PrincipalVectors>| result.unwrap_err().to_string();
    assert!(text(run(&cells, &flat, None, 0.3)).contains("0 of 30"));
    assert!(text(run(&cells, &places, Some(30), 0.3)).contains("n_components"));
    assert!(text(run(&cells, &places, Some(0), 0.3)).contains("n_components"));
    assert!(text(run(&cells, &places, None, 1.0)).contains("min_cosine"));
    assert!(text(run(&cells[..GENES], &places, None, 0.3)).contains("at least 2 rows"));
    let mut nan = cells.clone();
    nan[3] = f32::NAN;
    assert!(matches!(run(&nan, &places, None, 0.3), Err(Error::Data { .. })));
    // Sides of noise with one component each have nothing in common.
    let noise = |seed| (0..60 * GENES).map(|at| Stream::new(seed, at as u64).normal() as f32).collect::<Vec<f32>>();
    assert!(matches!(run(&noise(8), &noise(9), Some(1), 0.9), Err(Error::NotTrustworthy { .. })));
}

#[test]
fn weights_are_those_of_the_formula() {
    let mut stream = Stream::new(4, 0);
    let mut draw = |count: usize| (0..count).map(|_| stream.normal()).collect::<Vec<f64>>();
    let (m, n, q) = (60, 25, 3);
    let (reference, queries) = (draw(m * q), draw(n * q));
    let points = |values| Points::new(values_len(values) / q, q, ValueSlice::F64(values)).unwrap();
    fn values_len(values: &[f64]) -> usize {
        values.len()
    }
    let cosine = |a: &[f64], b: &[f64]| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    for k in [1, 2, 7, 60, 500] {
        let options = NeighborWeightsOptions { n_neighbors: k, algorithm: Algorithm::Exact };
        let run = |threads| {
            with_threads(Some(threads), || {
                neighbor_weights(&points(&reference), &points(&queries), &options, &Ctx::quiet())
            })
            .unwrap()
        };
        let found = run(1);
        assert_eq!(found, run(3));
        for row in 0..n {
            let query = &queries[row * q..(row + 1) * q];
            let mut near: Vec<(f64, usize)> =
                (0..m).map(|at| (1.0 - cosine(query, &reference[at * q..(at + 1) * q]), at)).collect();
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            near.truncate(k);
            near.retain(|near| near.0 < 1.0);
            let total: f64 = near.iter().map(|near| near.0).sum();
            let mut expected = vec![0.0; m];
            for &(distance, at) in &near {
                expected[at] = if near.len() == 1 { 1.0 } else { (1.0 - distance / total) / (near.len() - 1) as f64 };
            }
            let (columns, values) = found.weights.row(row);
            assert_eq!(columns.len(), near.len());
            assert!(columns.is_sorted());
            for (&column, &value) in columns.iter().zip(values) {
                assert!((expected[column as usize] - f64::from(value)).abs() < 1e-6);
            }
            assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let similarity: f64 = near.iter().map(|&(distance, at)| expected[at] * (1.0 - distance)).sum();
            assert!((found.similarity[row] - similarity).abs() < 1e-6);
        }
    }
}

#[test]
fn twins_weigh_alike_and_strangers_nothing() {
    let reference = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0, 1.0];
    let queries = [5.0, 0.0, -1.0, -1.0];
    let reference = Points::new(4, 2, ValueSlice::F64(&reference)).unwrap();
    let queries = Points::new(2, 2, ValueSlice::F64(&queries)).unwrap();
    let options = NeighborWeightsOptions { n_neighbors: 3, ..Default::default() };
    let found = neighbor_weights(&reference, &queries, &options, &Ctx::quiet()).unwrap();
    assert_eq!(found.weights.row(0), (&[0, 1, 2][..], &[1.0 / 3.0; 3][..]));
    assert!(found.weights.row(1).0.is_empty() && found.similarity == [1.0, 0.0]);
    let none = NeighborWeightsOptions { n_neighbors: 0, ..Default::default() };
    assert!(neighbor_weights(&reference, &queries, &none, &Ctx::quiet()).is_err());
}

#[test]
fn candidates_are_near_and_leave_no_place_out() {
    let (n, s, q) = (90, 120, 4);
    let mut stream = Stream::new(5, 0);
    let cells: Vec<f64> = (0..n * q).map(|_| stream.normal()).collect();
    let places: Vec<f64> = (0..s * q).map(|_| stream.normal()).collect();
    let (a, b) =
        (Points::new(n, q, ValueSlice::F64(&cells)).unwrap(), Points::new(s, q, ValueSlice::F64(&places)).unwrap());
    let run = |per_cell, per_place, threads| {
        with_threads(Some(threads), || candidates(&a, &b, per_cell, per_place, Algorithm::Exact, &Ctx::quiet()))
    };
    let found = run(5, 2, 1).unwrap();
    assert_eq!(found, run(5, 2, 4).unwrap());
    Candidates::new(s, found.indptr.clone(), found.indices.clone()).unwrap();
    let mut asked = vec![0; s];
    found.indices.iter().for_each(|&place| asked[place as usize] += 1);
    assert!(asked.iter().all(|&count| count >= 2));
    assert!(found.indptr.windows(2).all(|ends| ends[1] - ends[0] >= 5));
    assert_eq!(run(120, 2, 1).unwrap(), Candidates::all(n, s).unwrap());
    assert!(run(0, 2, 1).is_err() && run(2, 0, 1).is_err());
}

#[test]
fn means_spreads_and_shares() {
    let weights = Csr::new(3, 4, vec![0, 2, 2, 5], vec![0, 3, 0, 1, 2], vec![0.25, 0.75, 1.0, 2.0, 1.0]).unwrap();
    let values = Csr::new(4, 2, vec![0, 1, 2, 2, 4], vec![0, 1, 0, 1], vec![4.0, 8.0, 2.0, -1.0]).unwrap();
    let rows = weighted_rows(&weights, &values, f32::NAN, &Ctx::quiet()).unwrap();
    assert_eq!(&rows[..2], &[2.5, -0.75]);
    assert!(rows[2].is_nan() && rows[3].is_nan() && rows[4..] == [4.0, 16.0]);
    let places = [0.0, 0.0, 4.0, 0.0, 0.0, 4.0, 4.0, 4.0];
    let (means, spread) = weighted_places(&weights, &places, 2, &Ctx::quiet()).unwrap();
    assert!(means[..2] == [3.0, 3.0] && means[2].is_nan() && means[4..] == [2.0, 1.0]);
    // Mean of squared distances: 0.25 * 18 + 0.75 * 2; (5 + 2 * 5 + 13) / 4.
    assert!((spread[0] - 6f64.sqrt()).abs() < 1e-12 && spread[1].is_nan());
    assert!((spread[2] - 7f64.sqrt()).abs() < 1e-12);
    let shares = label_shares(&weights, &[0, 1, 1, 1], 2, None, &Ctx::quiet()).unwrap();
    assert!(shares[..2] == [0.25, 0.75] && shares[2].is_nan() && shares[4..] == [0.25, 0.75]);
    let shares = label_shares(&weights, &[0, 1, 1, 1], 2, Some(&[9.0, 1.0, 1.0, 1.0]), &Ctx::quiet()).unwrap();
    assert!(shares[..2] == [0.75, 0.25] && shares[4..] == [0.75, 0.25]);
    assert!(weighted_rows(&weights, &Csr::empty(3, 2), 0.0, &Ctx::quiet()).is_err());
    assert!(weighted_places(&weights, &places[..6], 2, &Ctx::quiet()).is_err());
    assert!(weighted_places(&weights, &[f64::NAN; 8], 2, &Ctx::quiet()).is_err());
    assert!(label_shares(&weights, &[0, 1, 1, 2], 2, None, &Ctx::quiet()).is_err());
}
