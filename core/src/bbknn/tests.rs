use super::*;
use crate::knn::{Algorithm, ConnectivitiesOptions, connectivities};
use crate::parallel::with_threads;
use crate::random::Stream;

fn draw(n: usize, d: usize, n_batches: u64, seed: u64) -> (Vec<f32>, Vec<u32>) {
    let mut stream = Stream::new(seed, 0);
    let batches: Vec<u32> = (0..n).map(|_| stream.below(n_batches) as u32).collect();
    let values = batches.iter().flat_map(|&b| vec![3.0 * f64::from(b); d]).collect::<Vec<f64>>();
    (values.into_iter().map(|x| (x + stream.normal()) as f32).collect(), batches)
}

fn balanced(values: &[f32], batches: &[u32], n_batches: usize, k: usize) -> Neighbors {
    let points = Points::new(batches.len(), values.len() / batches.len(), ValueSlice::F32(values)).unwrap();
    let options = BbknnOptions { neighbors_within_batch: k, ..BbknnOptions::default() };
    balanced_neighbors(&points, batches, n_batches, &options, &Ctx::quiet()).unwrap()
}

#[test]
fn every_batch_gives_its_nearest() {
    let (n, d, k) = (300, 3, 4);
    let (values, batches) = draw(n, d, 3, 1);
    let found = balanced(&values, &batches, 5, k);
    assert_eq!(found.k, 3 * k);
    let distance = |i: usize, j: usize| {
        (0..d).map(|c| (f64::from(values[i * d + c]) - f64::from(values[j * d + c])).powi(2)).sum::<f64>().sqrt()
    };
    for cell in 0..n {
        let row = &found.indices[cell * 3 * k..(cell + 1) * 3 * k];
        assert_eq!(row[0] as usize, cell);
        assert!(found.distances[cell * 3 * k..(cell + 1) * 3 * k].is_sorted());
        for batch in 0..3 {
            let mut pool: Vec<(f64, u32)> =
                (0..n).filter(|&o| batches[o] == batch).map(|o| (distance(cell, o), o as u32)).collect();
            pool.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut expected: Vec<u32> = pool[..k].iter().map(|&(_, other)| other).collect();
            let mut ours: Vec<u32> = row.iter().copied().filter(|&other| batches[other as usize] == batch).collect();
            expected.sort_unstable();
            ours.sort_unstable();
            assert_eq!(ours, expected);
        }
    }
}

#[test]
fn copies_of_a_cell_do_not_hide_it() {
    let values = vec![1.0f32; 40];
    let batches: Vec<u32> = (0..20).map(|i| i % 2).collect();
    let found = balanced(&values, &batches, 2, 3);
    assert!((0..20).all(|cell| found.indices[cell * 6] as usize == cell));
    for row in found.indices.chunks(6) {
        let mut unique = row.to_vec();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 6);
    }
}

#[test]
fn trimming_by_hand() {
    // A star of four with weights 1 to 4, and an edge 1-2 of weight 5.
    let (indptr, indices) = (vec![0, 4, 6, 8, 9, 10], vec![1, 2, 3, 4, 0, 2, 0, 1, 0, 0]);
    let weights = vec![1.0, 2.0, 3.0, 4.0, 1.0, 5.0, 2.0, 5.0, 3.0, 4.0];
    let graph = Graph::new(5, indptr, indices, weights).unwrap();
    let cut = trim(&graph, 2, &Ctx::quiet()).unwrap();
    assert_eq!(cut.row(0), (&[3u32, 4][..], &[3.0f32, 4.0][..]));
    assert_eq!(cut.row(1), (&[2u32][..], &[5.0f32][..]));
    assert!(cut.is_symmetric());
    assert_eq!(trim(&graph, 4, &Ctx::quiet()).unwrap(), graph);
    assert!(trim(&graph, 0, &Ctx::quiet()).unwrap_err().to_string().contains("trim"));
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let (values, batches) = draw(700, 5, 4, 2);
    let run = |threads| {
        with_threads(Some(threads), || {
            let found = balanced(&values, &batches, 4, 3);
            let graph = connectivities(&found, &ConnectivitiesOptions::default(), &Ctx::quiet())?;
            Ok((trim(&graph, 20, &Ctx::quiet())?, found))
        })
        .unwrap()
    };
    let one = run(1);
    assert!(one.0.is_symmetric() && one.0.nnz() > 0);
    assert_eq!(one, run(2));
    assert_eq!(one, run(8));
}

#[test]
fn many_cells_are_searched_approximately() {
    let (n, d, k) = (16_500, 10, 3);
    // Two batches of about 8,000 and one below the limit.
    let (values, mut batches) = draw(n, d, 2, 4);
    batches[..300].fill(2);
    let points = Points::new(n, d, ValueSlice::F32(&values)).unwrap();
    let run = |algorithm, threads| {
        let options = BbknnOptions { neighbors_within_batch: k, algorithm, ..BbknnOptions::default() };
        with_threads(Some(threads), || balanced_neighbors(&points, &batches, 3, &options, &Ctx::quiet())).unwrap()
    };
    let (exact, found) = (run(Algorithm::Exact, 2), run(Algorithm::Auto, 1));
    assert!(exact.exact && !found.exact);
    let rows = exact.indices.chunks(3 * k).zip(found.indices.chunks(3 * k));
    let hits: usize = rows.map(|(truth, row)| row.iter().filter(|other| truth.contains(other)).count()).sum();
    let recall = hits as f64 / (n * 3 * k) as f64;
    assert!(recall > 0.97, "{recall}");
    for (cell, row) in found.indices.chunks(3 * k).enumerate() {
        assert_eq!(row[0] as usize, cell);
        assert!((0..3).all(|batch| row.iter().filter(|&&other| batches[other as usize] == batch).count() == k));
    }
    assert_eq!(run(Algorithm::Auto, 2), found);
    assert_eq!(run(Algorithm::Approximate, 8).n, n);
}

#[test]
fn faults_are_named() {
    let (values, batches) = draw(30, 2, 2, 3);
    let points = Points::new(30, 2, ValueSlice::F32(&values)).unwrap();
    let fault = |batches: &[u32], n_batches, k| {
        let options = BbknnOptions { neighbors_within_batch: k, ..BbknnOptions::default() };
        balanced_neighbors(&points, batches, n_batches, &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&batches, 2, 0).contains("neighbors_within_batch"));
    assert!(fault(&batches[1..], 2, 3).contains("30 labels"));
    assert!(fault(&batches, 1, 3).contains("below 1"));
    let mut lonely = vec![0u32; 30];
    lonely[4] = 1;
    assert!(fault(&lonely, 2, 3).contains("1 in batch 1"));
    assert!(fault(&[0; 30], 1, 1).contains("single batch"));
}
