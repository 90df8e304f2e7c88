use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, Lazy, RowBlocks, ValueSlice, collect};
use crate::parallel::with_threads;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error};

/// [[4, 0, 1, 0], [0, 0, 0, 0], [0, 3, 2, 5]], with one zero stored.
fn example() -> Csr {
    Csr::new(3, 4, vec![0, 3, 3, 6], vec![0, 1, 2, 1, 2, 3], vec![4.0, 0.0, 1.0, 3.0, 2.0, 5.0]).unwrap()
}

fn random(n_rows: usize, n_cols: usize, density: f64) -> Csr {
    let mut stream = Stream::new(5, 1);
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for _ in 0..n_rows {
        for column in 0..n_cols as u32 {
            if stream.uniform() < density {
                indices.push(column);
                values.push((stream.uniform() * 6.0).floor() as f32 + 1.0);
            }
        }
        indptr.push(values.len() as u64);
    }
    Csr::new(n_rows, n_cols, indptr, indices, values).unwrap()
}

fn dense(matrix: &Csr) -> Vec<f32> {
    let mut out = vec![0.0; matrix.n_rows * matrix.n_cols];
    for row in 0..matrix.n_rows {
        let (columns, values) = matrix.row(row);
        columns.iter().zip(values).for_each(|(&column, &value)| out[row * matrix.n_cols + column as usize] = value);
    }
    out
}

fn metrics(source: &dyn RowBlocks, masks: &[&[bool]], percent_top: &[usize]) -> crate::Result<QcMetrics> {
    qc_metrics(source, masks, &QcOptions { percent_top: percent_top.to_vec() }, &Ctx::quiet())
}

#[test]
fn metrics_by_hand() {
    let masks: [&[bool]; 2] = [&[true, false, false, true], &[true, true, true, true]];
    let got = metrics(&example(), &masks, &[2, 1]).unwrap();
    assert_eq!(got.cells.n_genes, [2, 0, 3]);
    assert_eq!(got.cells.total, [5.0, 0.0, 10.0]);
    assert_eq!((got.cells.percent_top[0][0], got.cells.percent_top[0][2]), (80.0, 50.0));
    assert_eq!((got.cells.percent_top[1][0], got.cells.percent_top[1][2]), (100.0, 80.0));
    assert!(got.cells.percent_top[0][1].is_nan());
    assert_eq!(got.cells.subset_total, [vec![4.0, 0.0, 5.0], vec![5.0, 0.0, 10.0]]);
    assert_eq!(got.cells.subset_percent(0)[2], 50.0);
    assert!(got.cells.subset_percent(0)[1].is_nan());
    assert_eq!(got.genes.non_zeros, [1, 1, 2, 1]);
    assert_eq!(got.genes.sum, [4.0, 3.0, 3.0, 5.0]);
    assert_eq!(got.percent_dropout()[2], (1.0 - 2.0 / 3.0) * 100.0);
}

#[test]
fn layouts_and_threads_agree() {
    let matrix = random(500, 80, 0.3);
    let mask: Vec<bool> = (0..80).map(|gene| gene % 7 == 0).collect();
    let flat = dense(&matrix);
    let view = DenseView::new(500, 80, ValueSlice::F32(&flat)).unwrap();
    let get = |source: &dyn RowBlocks, threads| {
        with_threads(Some(threads), || metrics(source, &[&mask], &[1, 10, 80])).unwrap()
    };
    let one = get(&matrix, 1);
    for threads in [2, 8] {
        assert_eq!(get(&matrix, threads), one);
        assert_eq!(get(&view, threads), one);
    }
    for row in 0..500 {
        let mut values = flat[row * 80..(row + 1) * 80].to_vec();
        values.sort_by(|a, b| b.total_cmp(a));
        let top: f32 = values[..10].iter().sum();
        let total: f32 = values.iter().sum();
        assert_eq!(one.cells.percent_top[1][row], f64::from(top) / f64::from(total) * 100.0);
    }
}

#[test]
fn permuting_cells_permutes_their_metrics() {
    let matrix = random(60, 30, 0.2);
    let reversed: Vec<f32> = dense(&matrix).chunks(30).rev().flatten().copied().collect();
    let view = DenseView::new(60, 30, ValueSlice::F32(&reversed)).unwrap();
    let (a, b) = (metrics(&matrix, &[], &[5]).unwrap(), metrics(&view, &[], &[5]).unwrap());
    assert!(a.cells.total.iter().eq(b.cells.total.iter().rev()));
    assert!(a.cells.n_genes.iter().eq(b.cells.n_genes.iter().rev()));
    assert_eq!(a.genes, b.genes);
}

#[test]
fn degenerate_and_refused() {
    let none = metrics(&Csr::empty(0, 3), &[], &[1]).unwrap();
    assert_eq!((none.cells.total.len(), none.genes.sum), (0, vec![0.0; 3]));
    assert!(metrics(&Csr::empty(3, 0), &[], &[]).is_ok());
    let text = |result: crate::Result<QcMetrics>| result.unwrap_err().to_string();
    assert!(text(metrics(&example(), &[], &[5])).contains("percent_top"));
    assert!(text(metrics(&example(), &[], &[0])).contains("percent_top"));
    assert!(text(metrics(&example(), &[&[true]], &[])).contains("gene mask 0"));
    let mut bad = example();
    bad.values[4] = f32::NAN;
    assert!(text(metrics(&bad, &[], &[])).contains("cell 2, gene 2"));
}

#[test]
fn counts_are_told_from_other_values() {
    assert!(check_counts(&example(), &Ctx::quiet()).is_ok());
    let fault = |value: f32| {
        let mut matrix = example();
        matrix.values[3] = value;
        match check_counts(&matrix, &Ctx::quiet()) {
            Err(Error::Data { fault, found, .. }) => Some((fault, found)),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(fault(-2.0), Some((DataFault::Negative, "-2 in cell 2, gene 1".into())));
    assert_eq!(fault(f32::NAN).unwrap().0, DataFault::NotFinite);
    assert_eq!(fault(f32::INFINITY).unwrap().0, DataFault::NotFinite);
    for value in [0.5, 1e-30, 8_388_607.5, 4_194_304.5] {
        assert_eq!(fault(value).unwrap().0, DataFault::NotCounts, "{value}");
    }
    for value in [0.0, 1.0, 8_388_608.0, 1e30, 16_777_215.0] {
        assert_eq!(fault(value), None, "{value}");
    }
    for (rows, columns) in [(0, 3), (3, 0), (3, 3)] {
        let error = check_counts(&Csr::empty(rows, columns), &Ctx::quiet()).unwrap_err();
        assert!(matches!(error, Error::Data { fault: DataFault::Empty, .. }));
    }
}

#[test]
fn filters_by_hand() {
    let cells = |options: FilterCellsOptions| filter_cells(&example(), &options, &Ctx::quiet()).unwrap();
    let got = cells(FilterCellsOptions { min_genes: Some(2.0), ..Default::default() });
    assert_eq!((got.keep, got.number), (vec![true, false, true], vec![2.0, 0.0, 3.0]));
    let got = cells(FilterCellsOptions { max_counts: Some(5.0), ..Default::default() });
    assert_eq!((got.keep, got.number), (vec![true, true, false], vec![5.0, 0.0, 10.0]));
    let genes = |options: FilterGenesOptions| filter_genes(&example(), &options, &Ctx::quiet()).unwrap();
    let got = genes(FilterGenesOptions { min_cells: Some(2.0), ..Default::default() });
    assert_eq!((got.keep, got.number), (vec![false, false, true, false], vec![1.0, 1.0, 2.0, 1.0]));
    let got = genes(FilterGenesOptions { min_counts: Some(4.0), ..Default::default() });
    assert_eq!((got.keep, got.number), (vec![true, false, false, true], vec![4.0, 3.0, 3.0, 5.0]));
    for options in [
        FilterCellsOptions::default(),
        FilterCellsOptions { min_genes: Some(1.0), max_genes: Some(2.0), ..Default::default() },
    ] {
        let text = filter_cells(&example(), &options, &Ctx::quiet()).unwrap_err().to_string();
        assert!(text.contains("exactly one"), "{text}");
    }
    assert!(filter_genes(&example(), &FilterGenesOptions::default(), &Ctx::quiet()).is_err());
}

#[test]
fn compacting_is_selecting() {
    let matrix = random(9000, 40, 0.2);
    let some_rows: Vec<bool> = (0..9000).map(|row| row % 3 != 1).collect();
    let some_columns: Vec<bool> = (0..40).map(|column| column % 5 < 2).collect();
    let (all_rows, no_rows) = (vec![true; 9000], vec![false; 9000]);
    let (all_columns, no_columns) = (vec![true; 40], vec![false; 40]);
    for rows in [None, Some(&some_rows), Some(&all_rows), Some(&no_rows)] {
        for columns in [None, Some(&some_columns), Some(&all_columns), Some(&no_columns)] {
            let mut lazy = Lazy::new(&matrix);
            if let Some(mask) = rows {
                lazy = lazy.select_rows(mask).unwrap();
            }
            if let Some(mask) = columns {
                lazy = lazy.select_columns(mask).unwrap();
            }
            let expected = collect(&lazy, &Ctx::quiet()).unwrap();
            for threads in [1, 2, 8] {
                let mut got = matrix.clone();
                with_threads(Some(threads), || {
                    compact_in_place(&mut got, rows.map(Vec::as_slice), columns.map(Vec::as_slice))
                })
                .unwrap();
                assert!(got == expected);
            }
        }
    }
}

#[test]
fn compacting_parts_of_other_types() {
    let (mut indptr, mut indices) = ([0i32, 2, 3], [0i64, 2, 1]);
    let mut values = [1i64, 2, 3];
    let nnz = compact_parts(&mut indptr, &mut indices, &mut values, None, Some(&[false, true, true])).unwrap();
    assert_eq!((nnz, &indptr, &indices[..2], &values[..2]), (2, &[0, 1, 2], &[1, 0][..], &[2, 3][..]));
}

#[test]
fn a_refused_compaction_changes_nothing() {
    let mut matrix = example();
    assert!(compact_in_place(&mut matrix, Some(&[true]), None).is_err());
    assert!(compact_in_place(&mut matrix, None, Some(&[true])).is_err());
    assert_eq!(matrix, example());
    let (mut indptr, mut indices, mut values) = ([0i32, 1], [-1i32], [1.0f32]);
    assert!(compact_parts(&mut indptr, &mut indices, &mut values, None, Some(&[true, false])).is_err());
}
