use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tests::{cells, normals, options, points};
use super::super::{Algorithm, knn, knn_between, recall};
use super::cache::Cache;
use super::*;
use crate::exchange::StoredBlocks;
use crate::matrix::ValueSlice;
use crate::options::Options;
use crate::parallel::with_threads;
use crate::{Ctx, Error, Result};

/// Lists in memory.
#[derive(Clone, Debug, Default)]
struct Lists(Vec<Vec<u8>>);

impl IndexSink for Lists {
    fn append(&mut self, list: usize, rows: &[u8]) -> Result<()> {
        self.0[list].extend_from_slice(rows);
        Ok(())
    }
}

/// Their pieces.
struct Pieces(Vec<Vec<u8>>);

impl StoredBlocks for Pieces {
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        read(&self.0[block])
    }
}

fn pieces(head: &IndexHead, lists: &Lists) -> Pieces {
    Pieces(lists.0.iter().flat_map(|list| list.chunks(head.piece_rows() * head.record())).map(<[u8]>::to_vec).collect())
}

fn made(source: &dyn PointBlocks, options: &IndexOptions, memory: Option<u64>) -> Result<(IndexHead, Lists)> {
    let learnt = learn_index(source, options, memory, &Ctx::quiet())?;
    let mut lists = Lists(vec![Vec::new(); learnt.head().n_lists()]);
    learnt.write(source, &mut lists, &Ctx::quiet())?;
    Ok((learnt.head().clone(), lists))
}

fn index(source: &dyn PointBlocks, options: &IndexOptions) -> NeighborIndex {
    let (head, lists) = made(source, options, None).unwrap();
    let pieces = pieces(&head, &lists);
    NeighborIndex::new(head, Box::new(pieces)).unwrap()
}

fn of(metric: Metric, n_lists: usize) -> IndexOptions {
    IndexOptions { metric, n_lists: Some(n_lists), ..IndexOptions::default() }
}

fn search(k: usize, probes: Option<usize>, effort: f64) -> SearchOptions {
    SearchOptions { n_neighbors: k, probes, effort }
}

/// All lists, and none left out: the truth.
fn whole(k: usize, lists: usize) -> SearchOptions {
    search(k, Some(lists), 2.3)
}

#[test]
fn by_hand() {
    // On a line: 0, 1, 3, 7, in two lists.
    let values = [0.0f32, 1.0, 3.0, 7.0];
    let index = index(&points(4, 1, &values), &of(Metric::Euclidean, 2));
    let head = index.head();
    assert_eq!((head.n, head.d, head.double, head.n_lists(), head.record()), (4, 1, false, 2, 8));
    // Means of 2.75 go off; the farthest is 4.25 away, so all is divided by 8.
    assert_eq!((head.centre.as_slice(), head.scale), ([2.75].as_slice(), 0.125));
    // Centres 0 and 3 become 0.5 and 5.
    assert_eq!(head.starts, [0, 2, 4]);
    let found = index.neighbors(&whole(3, 2), None, &Ctx::quiet()).unwrap();
    assert_eq!(found.indices, [0, 1, 2, 1, 0, 2, 2, 1, 0, 3, 2, 1]);
    assert_eq!(found.distances, [0.0, 1.0, 3.0, 0.0, 1.0, 2.0, 0.0, 2.0, 3.0, 0.0, 4.0, 6.0]);
    assert!(!found.exact);
    let queries = [6.0f32, -1.0];
    let near = index.query(&points(2, 1, &queries), &whole(2, 2), None, &Ctx::quiet()).unwrap();
    assert_eq!((near.indices, near.distances), (vec![3, 2, 0, 1], vec![1.0, 3.0, 1.0, 2.0]));
}

#[test]
fn the_same_bits_as_the_search_in_memory() {
    let (n, d) = (6000, 20);
    let values = cells(n, d, 3);
    let wide: Vec<f64> = values.iter().map(|&x| f64::from(x) * 1.1).collect();
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
        for view in [points(n, d, &values), Points::new(n, d, ValueSlice::F64(&wide)).unwrap()] {
            let index = index(&view, &IndexOptions { metric, seed: 5, ..IndexOptions::default() });
            for (k, effort) in [(15, 1.0), (40, 0.3)] {
                let o = super::super::KnnOptions { effort, seed: 5, ..options(k, metric, Algorithm::Approximate) };
                let expected = knn(&view, &o, &Ctx::quiet()).unwrap();
                assert_eq!(index.neighbors(&search(k, None, effort), None, &Ctx::quiet()).unwrap(), expected);
            }
        }
    }
}

#[test]
fn all_lists_give_the_truth() {
    let (n, d, k) = (1500, 6, 12);
    let values = cells(n, d, 4);
    let queries = cells(300, d, 9);
    for metric in [Metric::Euclidean, Metric::Cosine, Metric::Correlation] {
        let index = index(&points(n, d, &values), &of(metric, 23));
        let found = index.neighbors(&whole(k, 23), None, &Ctx::quiet()).unwrap();
        let truth = knn(&points(n, d, &values), &options(k, metric, Algorithm::Exact), &Ctx::quiet()).unwrap();
        assert_eq!((found.indices, found.distances), (truth.indices, truth.distances));
        let (reference, queries) = (points(n, d, &values), points(300, d, &queries));
        let found = index.query(&queries, &whole(k, 23), None, &Ctx::quiet()).unwrap();
        let truth = knn_between(&reference, &queries, k, metric, Algorithm::Exact, &Ctx::quiet()).unwrap();
        assert_eq!(found, truth);
    }
}

#[test]
fn threads_memory_and_blocks_change_nothing() {
    /// Rows that come 1024 at a time, and from a source that reads them anew.
    struct Slow<'a>(Points<'a>, AtomicUsize);
    impl PointBlocks for Slow<'_> {
        fn n(&self) -> usize {
            self.0.n()
        }
        fn d(&self) -> usize {
            self.0.d()
        }
        fn is_double(&self) -> bool {
            false
        }
        fn visit(
            &self,
            rows: std::ops::Range<usize>,
            read: &mut dyn FnMut(ValueSlice<'_>) -> Result<()>,
        ) -> Result<()> {
            self.1.fetch_add(1, Ordering::Relaxed);
            PointBlocks::visit(&self.0, rows, &mut |values| {
                let mut buffer = Vec::new();
                let copy = values.as_f32(0..values.len(), &mut buffer).to_vec();
                read(ValueSlice::F32(&copy))
            })
        }
    }
    // So many columns that blocks and pieces are small.
    let (n, d) = (5000, 600);
    let mut values = cells(n, d, 2);
    // A list longer than a piece.
    for row in 0..1500 {
        values.copy_within(0..d, row * d);
    }
    let view = points(n, d, &values);
    let run = |threads, memory: Option<u64>| {
        with_threads(Some(threads), || {
            let (head, lists) = made(&view, &of(Metric::Euclidean, 12), memory)?;
            let stored = Pieces(pieces(&head, &lists).0);
            let index = NeighborIndex::new(head.clone(), Box::new(stored))?;
            let found = index.neighbors(&search(9, Some(5), 1.0), memory.map(|_| 1), &Ctx::quiet())?;
            let near = index.query(&points(70, d, &values[..70 * d]), &search(3, None, 1.0), memory, &Ctx::quiet())?;
            Ok((head, lists.0, found, near))
        })
        .unwrap()
    };
    let one = run(1, None);
    assert!(one.0.piece_starts()[12] > 13 && one.0.piece_rows() < 1024);
    // 12 lists are learnt from 480 rows: 480 x 600 x 8 bytes and a little.
    assert!(one == run(3, Some(2_500_000)));
    assert!(one == run(8, Some(1 << 30)));
    let slow = Slow(view, AtomicUsize::new(0));
    let (head, lists) = made(&slow, &of(Metric::Euclidean, 12), Some(2_500_000)).unwrap();
    assert!((head, lists.0) == (one.0, one.1));
    assert!(slow.1.load(Ordering::Relaxed) == 3 * n.div_ceil(1024));
}

#[test]
fn a_query_does_not_depend_on_the_others() {
    let (n, d) = (3000, 10);
    let values = cells(n, d, 6);
    let queries = cells(400, d, 7);
    let index = index(&points(n, d, &values), &IndexOptions::default());
    let options = search(10, Some(3), 1.0);
    let all = index.query(&points(400, d, &queries), &options, None, &Ctx::quiet()).unwrap();
    for query in [0, 17, 399] {
        let view = points(1, d, &queries[query * d..(query + 1) * d]);
        let one = index.query(&view, &options, None, &Ctx::quiet()).unwrap();
        let span = query * 10..(query + 1) * 10;
        assert_eq!((&one.indices[..], &one.distances[..]), (&all.indices[span.clone()], &all.distances[span]));
    }
}

#[test]
fn recall_grows_with_probes() {
    let (n, d) = (30_000, 50);
    let values = cells(n, d, 9);
    let view = points(n, d, &values);
    let index = index(&view, &IndexOptions::default());
    let lists = index.head().n_lists();
    let measure = |probes| {
        let found = index.neighbors(&search(15, probes, 1.0), None, &Ctx::quiet()).unwrap();
        recall(&view, &found, Metric::Euclidean, 500, 1, &Ctx::quiet()).unwrap().mean
    };
    let curve: Vec<f64> = [1, 2, 4, 8, 16, 32, lists].map(Some).into_iter().map(measure).collect();
    println!("recall at 1, 2, 4, 8, 16, 32 and all {lists} lists: {curve:.4?}; default {:.4}", measure(None));
    assert!(curve.windows(2).all(|pair| pair[0] <= pair[1] + 1e-3), "{curve:?}");
    assert!(curve[0] > 0.3 && curve[0] < 0.95 && curve[5] > 0.98, "{curve:?}");
    assert!(measure(None) >= 0.99);
}

#[test]
fn lists_are_read_once_where_they_fit_and_rarely_where_they_do_not() {
    let (n, d) = (40_000, 20);
    let values = cells(n, d, 1);
    let index = index(&points(n, d, &values), &IndexOptions::default());
    let reads = |limit| {
        with_threads(Some(1), || {
            let cache = Cache::new(&index, limit);
            index.neighbors_with(&cache, &search(15, None, 1.0), &Ctx::quiet())?;
            Ok(cache.reads())
        })
        .unwrap()
    };
    let (pieces, bytes) = (index.pieces() as u64, (n * d * 8) as u64);
    let (third, none) = (reads(bytes / 3), reads(0));
    println!("{pieces} pieces; {third} reads with a third of them in memory, {none} with none");
    assert_eq!(reads(2 * bytes), pieces);
    assert!(third < none / 3, "{third} {none}");
}

#[test]
fn every_row_is_filled() {
    // Far more neighbours than a list holds, one probe, hardly any effort; rows that are all the same.
    let (n, d) = (1200, 3);
    for values in [normals(n, d, 6), vec![1.0; n * d]] {
        let view = points(n, d, &values);
        let index = index(&view, &of(Metric::Euclidean, 9));
        for (k, effort) in [(2, 0.01), (600, 0.01), (n, 1.0)] {
            let found = index.neighbors(&search(k, Some(1), effort), None, &Ctx::quiet()).unwrap();
            for (row, indices) in found.indices.chunks(k).enumerate() {
                assert_eq!(indices[0] as usize, row);
                let mut sorted = indices.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!(sorted.len(), k);
            }
            let near = index.query(&points(50, d, &values[..150]), &search(k, Some(1), effort), None, &Ctx::quiet());
            assert_eq!(near.unwrap().indices.len(), 50 * k);
        }
    }
}

#[test]
fn duplicates_and_constant_rows() {
    // 40 equal rows, then 200 others: equal distances come by number.
    let (n, d) = (240, 4);
    let mut values = normals(n, d, 9);
    values[..40 * d].chunks_mut(d).for_each(|row| row.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]));
    let equal = index(&points(n, d, &values), &of(Metric::Euclidean, 7));
    let found = equal.neighbors(&whole(40, 7), None, &Ctx::quiet()).unwrap();
    let expected: Vec<u32> = std::iter::once(20).chain(0..20).chain(21..40).collect();
    assert_eq!(found.indices[20 * 40..21 * 40], expected);
    // All rows equal, and rows of zeros under cosine.
    let same = vec![0.5f32; n * d];
    let flat = index(&points(n, d, &same), &IndexOptions::default());
    assert_eq!(flat.neighbors(&whole(3, 1), None, &Ctx::quiet()).unwrap().indices[..9], [0, 1, 2, 1, 0, 2, 2, 0, 1]);
    let values = [0.0f32, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0];
    let zeros = index(&points(5, 2, &values), &of(Metric::Cosine, 1));
    let found = zeros.neighbors(&whole(3, 1), None, &Ctx::quiet()).unwrap();
    assert_eq!(found.indices[..6], [0, 1, 2, 1, 2, 0]);
    assert_eq!(found.distances[..6], [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    // Rows that differ in the last bits, or not, under cosine.
    let constant = [1.0f32, 1.0, 1.0, 1.0, 2.0, 3.0];
    let error = made(&points(2, 3, &constant), &of(Metric::Correlation, 1), None).unwrap_err().to_string();
    assert!(error.contains("row 0"), "{error}");
}

#[test]
fn queries_far_from_all_rows_find_the_nearest() {
    let (n, d) = (2000, 5);
    let values = cells(n, d, 8);
    let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
    let view = Points::new(n, d, ValueSlice::F64(&wide)).unwrap();
    let index = index(&view, &of(Metric::Euclidean, 6));
    for size in [1e3, 1e20, 1e200] {
        let far: Vec<f64> = (0..3 * d).map(|at| size * (at as f64 - 7.0)).collect();
        let queries = Points::new(3, d, ValueSlice::F64(&far)).unwrap();
        let found = index.query(&queries, &whole(4, 6), None, &Ctx::quiet()).unwrap();
        assert_eq!(found.indices.len(), 12);
        if size < 1e10 {
            let truth = knn_between(&view, &queries, 4, Metric::Euclidean, Algorithm::Exact, &Ctx::quiet()).unwrap();
            assert_eq!(found, truth);
        }
    }
}

#[test]
fn the_fingerprint_tells_rows_apart() {
    let values = normals(3000, 4, 1);
    let print = |values: &[f32], d: usize| fingerprint(&points(values.len() / d, d, values), &Ctx::quiet()).unwrap();
    let here = print(&values, 4);
    assert_eq!(here, index(&points(3000, 4, &values), &IndexOptions::default()).head().fingerprint);
    assert_ne!(here, print(&values, 2));
    let mut other = values.clone();
    other[11_999] = other[11_999].next_up();
    assert_ne!(here, print(&other, 4));
    other.clone_from(&values);
    other.swap(3, 4);
    assert_ne!(here, print(&other, 4));
    let wide: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
    assert_ne!(here, fingerprint(&Points::new(3000, 4, ValueSlice::F64(&wide)).unwrap(), &Ctx::quiet()).unwrap());
}

#[test]
fn degenerate_inputs() {
    let slice = |n, d, values| PointSlice::new(n, d, ValueSlice::F32(values));
    assert!(
        made(&slice(0, 2, &[]).unwrap(), &IndexOptions::default(), None)
            .unwrap_err()
            .to_string()
            .contains("at least one row")
    );
    assert!(slice(2, 2, &[1.0]).unwrap_err().to_string().contains("2 x 2"));
    assert!(PointSlice::new(1, 1, ValueSlice::I32(&[1])).is_err());
    let one = index(&slice(1, 2, &[1.0, 2.0]).unwrap(), &IndexOptions::default());
    let error = one.neighbors(&search(2, None, 1.0), None, &Ctx::quiet()).unwrap_err().to_string();
    assert!(error.contains("2 to the number of rows, 1"), "{error}");
    let found = one.query(&points(1, 2, &[1.0, 5.0]), &search(1, None, 1.0), None, &Ctx::quiet()).unwrap();
    assert_eq!((found.indices, found.distances), (vec![0], vec![3.0]));
    let error = one.query(&points(1, 2, &[1.0, 5.0]), &search(2, None, 1.0), None, &Ctx::quiet()).unwrap_err();
    assert!(error.to_string().contains("1 to the number of rows of the index, 1"));
    let error = one.query(&points(2, 1, &[1.0, 5.0]), &search(1, None, 1.0), None, &Ctx::quiet()).unwrap_err();
    assert!(error.to_string().contains("2 columns"));
    // Faults are named by their row among all, not by that in a block.
    let mut values = normals(9000, 2, 1);
    values[17_001] = f32::NAN;
    let error = made(&slice(9000, 2, &values).unwrap(), &IndexOptions::default(), None).unwrap_err().to_string();
    assert!(error.contains("NaN at row 8500, column 1"), "{error}");
    let huge = [-1.7e308f64, -1.7e308, 1.7e308];
    let huge = PointSlice::new(3, 1, ValueSlice::F64(&huge)).unwrap();
    assert!(made(&huge, &IndexOptions::default(), None).is_err());
}

#[test]
fn each_invalid_option_is_refused() {
    let values = normals(100, 2, 1);
    let view = points(100, 2, &values);
    let fault = |o: IndexOptions, memory| made(&view, &o, memory).unwrap_err().to_string();
    assert!(fault(of(Metric::Euclidean, 0), None).contains("n_lists"));
    assert!(fault(of(Metric::Euclidean, 101), None).contains("1 to the number of rows, 100"));
    let limit = made(&view, &of(Metric::Euclidean, 2), Some(100)).unwrap_err();
    assert!(matches!(limit, Error::Limit { .. }) && limit.to_string().contains("n_lists"));
    let index = index(&view, &of(Metric::Euclidean, 4));
    let fault = |o: SearchOptions| index.neighbors(&o, None, &Ctx::quiet()).unwrap_err().to_string();
    assert!(fault(search(0, None, 1.0)).contains("n_neighbors"));
    assert!(fault(search(1, None, 1.0)).contains("n_neighbors"));
    assert!(fault(search(101, None, 1.0)).contains("n_neighbors"));
    assert!(fault(search(3, Some(0), 1.0)).contains("probes"));
    assert!(fault(search(3, Some(5), 1.0)).contains("1 to the number of lists, 4"));
    assert!(fault(search(3, None, 0.0)).contains("effort"));
    assert!(fault(search(3, None, f64::NAN)).contains("effort"));
    assert!(SearchOptions::from_json(r#"{"n_probes": 3}"#).unwrap_err().to_string().contains("n_probes"));
}

#[test]
fn rows_that_change_while_they_are_read_are_told() {
    struct Restless(AtomicUsize);
    impl PointBlocks for Restless {
        fn n(&self) -> usize {
            50
        }
        fn d(&self) -> usize {
            1
        }
        fn is_double(&self) -> bool {
            false
        }
        fn visit(
            &self,
            rows: std::ops::Range<usize>,
            read: &mut dyn FnMut(ValueSlice<'_>) -> Result<()>,
        ) -> Result<()> {
            let turn = self.0.fetch_add(1, Ordering::Relaxed) as f32;
            read(ValueSlice::F32(&rows.map(|row| row as f32 + turn).collect::<Vec<_>>()))
        }
    }
    let error = made(&Restless(AtomicUsize::new(0)), &IndexOptions::default(), None).unwrap_err().to_string();
    assert!(error.contains("the same rows each time"), "{error}");
}

#[test]
fn pieces_and_heads_that_do_not_fit_are_told() {
    let values = normals(100, 2, 1);
    let (head, lists) = made(&points(100, 2, &values), &of(Metric::Euclidean, 3), None).unwrap();
    let fault = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut stored = pieces(&head, &lists);
        change(&mut stored.0[1]);
        let index = NeighborIndex::new(head.clone(), Box::new(stored)).unwrap();
        index.neighbors(&whole(3, 3), None, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&|bytes| bytes.truncate(7)).contains("piece 1"));
    assert!(fault(&|bytes| bytes[2] = 1).contains("row numbers below 100"));
    let fault = |change: &dyn Fn(&mut IndexHead)| {
        let mut head = head.clone();
        change(&mut head);
        NeighborIndex::new(head, Box::new(Pieces(Vec::new()))).err().unwrap().to_string()
    };
    assert!(fault(&|head| head.n = 0).contains("shape"));
    assert!(fault(&|head| head.centre[0] = f64::NAN).contains("centre"));
    assert!(fault(&|head| head.scale = 0.0).contains("scale"));
    assert!(fault(&|head| head.starts[1] = 101).contains("starts"));
    assert!(fault(&|head| head.centroids.truncate(1)).contains("centroids"));
}

#[test]
fn a_cancelled_search_stops() {
    let values = normals(2000, 10, 1);
    let index = index(&points(2000, 10, &values), &IndexOptions::default());
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    assert!(matches!(index.neighbors(&search(5, None, 1.0), None, &ctx), Err(Error::Interrupted)));
    let view = points(2000, 10, &values);
    assert!(matches!(index.query(&view, &search(5, None, 1.0), None, &ctx), Err(Error::Interrupted)));
    assert!(matches!(learn_index(&view, &IndexOptions::default(), None, &ctx), Err(Error::Interrupted)));
}
