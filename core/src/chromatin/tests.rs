//! Tests of the chromatin transforms.

use super::*;
use crate::Ctx;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

fn counts(n: usize, g: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, 0);
    (0..n * g).map(|_| if stream.below(5) == 0 { 1.0 + stream.below(3) as f32 } else { 0.0 }).collect()
}

fn sparse(dense: &[f32], n: usize, g: usize) -> Csr {
    crate::matrix::collect(&DenseView::new(n, g, ValueSlice::F32(dense)).unwrap(), &Ctx::quiet()).unwrap()
}

#[test]
fn as_the_definition_for_every_variant() {
    let (n, g) = (30, 12);
    let mut dense = counts(n, g, 1);
    dense[..g].fill(0.0); // an empty cell
    dense.iter_mut().skip(3).step_by(g).for_each(|value| *value = 0.0); // an empty peak
    for (log_tf, log_idf, log_tfidf, scale_factor) in
        [(true, true, false, 1e4), (false, true, false, 1.0), (false, false, true, 1e4), (true, false, false, 10.0)]
    {
        let options = TfidfOptions { log_tf, log_idf, log_tfidf, scale_factor };
        let found = tfidf(&sparse(&dense, n, g), &options, &Ctx::quiet()).unwrap();
        for cell in 0..n {
            let total: f64 = dense[cell * g..(cell + 1) * g].iter().map(|&x| f64::from(x)).sum();
            for (&peak, &value) in found.row(cell).0.iter().zip(found.row(cell).1) {
                let sum: f64 = dense.iter().skip(peak as usize).step_by(g).map(|&x| f64::from(x)).sum();
                let mut tf = f64::from(dense[cell * g + peak as usize]) / total * scale_factor;
                let mut idf = n as f64 / sum;
                if log_tf {
                    tf = tf.ln_1p();
                }
                if log_idf {
                    idf = idf.ln_1p();
                }
                let expected = if log_tfidf { (tf * idf).ln_1p() } else { tf * idf };
                assert!((f64::from(value) / expected - 1.0).abs() < 1e-6);
            }
        }
        assert_eq!(found.nnz(), dense.iter().filter(|&&x| x != 0.0).count());
    }
}

#[test]
fn overlaps_as_every_pair_compared() {
    let mut stream = Stream::new(2, 0);
    let mut intervals = |count: usize, length: u64| -> Vec<Interval> {
        (0..count)
            .map(|_| {
                let start = stream.below(2000);
                Interval { chromosome: stream.below(3) as u32, start, end: start + stream.below(length) }
            })
            .collect()
    };
    let (peaks, genes) = (intervals(300, 40), intervals(120, 400));
    let found = Overlaps::find(&peaks, &genes).unwrap();
    for (at, peak) in peaks.iter().enumerate() {
        let expected: Vec<u32> = (0..genes.len() as u32)
            .filter(|&gene| {
                let gene = &genes[gene as usize];
                gene.chromosome == peak.chromosome && gene.start < peak.end && peak.start < gene.end
            })
            .collect();
        assert_eq!(found.of(at), expected, "{at}");
    }
    let touching = [Interval { chromosome: 0, start: 5, end: 10 }];
    assert!(Overlaps::find(&touching, &[Interval { chromosome: 0, start: 10, end: 12 }]).unwrap().of(0).is_empty());
    assert!(Overlaps::find(&touching, &[]).unwrap().of(0).is_empty());
    let backwards = [Interval { chromosome: 0, start: 5, end: 4 }];
    assert!(Overlaps::find(&touching, &backwards).unwrap_err().to_string().contains("5 to 4"));
}

#[test]
fn activity_is_the_sum_of_the_peaks() {
    let (n, g, genes) = (50, 40, 7);
    let dense = counts(n, g, 3);
    let lists: Vec<Vec<u32>> =
        (0..g as u32).map(|peak| (0..genes as u32).filter(|gene| (peak + gene) % 4 == 0).collect()).collect();
    let mut overlaps = Overlaps { n_second: genes, indptr: vec![0], indices: Vec::new() };
    for list in &lists {
        overlaps.indices.extend(list);
        overlaps.indptr.push(overlaps.indices.len());
    }
    let found = gene_activity(&sparse(&dense, n, g), &overlaps, &Ctx::quiet()).unwrap();
    assert_eq!((found.n_rows, found.n_cols), (n, genes));
    for cell in 0..n {
        for gene in 0..genes as u32 {
            let hits = (0..g).filter(|&peak| lists[peak].contains(&gene));
            let expected: f32 = hits.map(|peak| dense[cell * g + peak]).sum();
            let (columns, values) = found.row(cell);
            let value = columns.iter().position(|&column| column == gene).map_or(0.0, |at| values[at]);
            assert_eq!(value, expected);
        }
        assert!(found.row(cell).0.is_sorted());
    }
    let few = Overlaps { n_second: genes, indptr: vec![0], indices: Vec::new() };
    assert!(
        gene_activity(&sparse(&dense, n, g), &few, &Ctx::quiet()).unwrap_err().to_string().contains("per peak, 40")
    );
}

#[test]
fn the_same_bits_for_threads_and_layouts() {
    let (n, g) = (2000, 300);
    let dense = counts(n, g, 4);
    let view = DenseView::new(n, g, ValueSlice::F32(&dense)).unwrap();
    let one = with_threads(Some(1), || tfidf(&view, &TfidfOptions::default(), &Ctx::quiet())).unwrap();
    for threads in [2, 8] {
        let matrix = sparse(&dense, n, g);
        assert_eq!(
            with_threads(Some(threads), || tfidf(&matrix, &TfidfOptions::default(), &Ctx::quiet())).unwrap(),
            one
        );
    }
}

#[test]
fn bad_input_is_named() {
    let fault = |value: f32, options: TfidfOptions| {
        tfidf(&sparse(&[1.0, 0.0, 2.0, value], 2, 2), &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(-1.0, TfidfOptions::default()).contains("-1 in row 1, column 1"));
    assert!(fault(f32::INFINITY, TfidfOptions::default()).contains("inf"));
    assert!(fault(1.0, TfidfOptions { log_tfidf: true, ..TfidfOptions::default() }).contains("log_tfidf"));
    assert!(fault(1.0, TfidfOptions { scale_factor: 0.0, ..TfidfOptions::default() }).contains("scale_factor"));
    assert_eq!(tfidf(&Csr::empty(0, 2), &TfidfOptions::default(), &Ctx::quiet()).unwrap().n_rows, 0);
}
