use super::*;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;

fn quiet() -> Ctx {
    Ctx::quiet()
}

fn counts(n: usize, g: usize) -> Vec<f32> {
    let mut stream = Stream::new(9, 9);
    (0..n * g).map(|_| (stream.uniform().powi(4) * 20.0).floor() as f32).collect()
}

fn totals(matrix: &Csr) -> Vec<f32> {
    (0..matrix.n_rows).map(|row| matrix.row(row).1.iter().sum()).collect()
}

fn draw(matrix: &Csr, target: Target<'_>, replace: bool) -> Csr {
    downsample_counts(matrix, target, &DownsampleOptions { replace, ..Default::default() }, &quiet()).unwrap()
}

fn at(matrix: &Csr, row: usize, column: u32) -> f32 {
    let (columns, values) = matrix.row(row);
    columns.binary_search(&column).map_or(0.0, |at| values[at])
}

#[test]
fn every_cell_meets_its_target() {
    let (n, g) = (40, 30);
    let matrix = Csr::from_dense(g, &counts(n, g));
    let before = totals(&matrix);
    let targets: Vec<u64> = (0..n as u64).map(|i| i * 4).collect();
    for replace in [false, true] {
        let got = draw(&matrix, Target::PerCell(&targets), replace);
        for row in 0..n {
            let expected = before[row].min(targets[row] as f32);
            assert_eq!(totals(&got)[row], expected);
            let (columns, values) = got.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                assert!(value > 0.0 && value.fract() == 0.0);
                assert!(replace || value <= at(&matrix, row, column));
                assert!(at(&matrix, row, column) > 0.0);
            }
            if expected == before[row] {
                assert_eq!(got.row(row), matrix.row(row), "a cell with no more than its target is left alone");
            }
        }
    }
}

#[test]
fn the_total_is_met_and_shared_fairly() {
    let (n, g) = (50, 30);
    let matrix = Csr::from_dense(g, &counts(n, g));
    let before: Vec<f32> = totals(&matrix);
    let all: f32 = before.iter().sum();
    for replace in [false, true] {
        let got = draw(&matrix, Target::Total((all / 2.0) as u64), replace);
        assert_eq!(totals(&got).iter().sum::<f32>(), (all / 2.0).floor());
        for (a, b) in totals(&got).iter().zip(&before) {
            assert!((a - b / 2.0).abs() < 5.0 * (b / 2.0).sqrt() + 1.0, "{a} of {b}");
        }
        assert_eq!(draw(&matrix, Target::Total(all as u64 + 1), replace), matrix);
    }
    assert_eq!(draw(&matrix, Target::Total(all as u64), false), matrix);
    assert_eq!(draw(&matrix, Target::Total(0), false).nnz(), 0);
}

#[test]
fn equal_cells_draw_differently_and_repeatably() {
    let values: Vec<f32> = [7.0f32, 3.0, 0.0, 9.0, 1.0].repeat(30);
    let matrix = Csr::from_dense(5, &values);
    let targets = vec![8u64; 30];
    let one = draw(&matrix, Target::PerCell(&targets), false);
    assert_eq!(one, draw(&matrix, Target::PerCell(&targets), false));
    let rows: std::collections::BTreeSet<Vec<u32>> =
        (0..30).map(|row| (0..5).map(|column| at(&one, row, column) as u32).collect()).collect();
    assert!(rows.len() > 5);
    let options = DownsampleOptions { random_state: 1, ..Default::default() };
    assert_ne!(one, downsample_counts(&matrix, Target::PerCell(&targets), &options, &quiet()).unwrap());
}

#[test]
fn threads_and_layouts_give_the_same_bits() {
    let (n, g) = (4000, 300);
    let values = counts(n, g);
    let matrix = Csr::from_dense(g, &values);
    let view = DenseView::new(n, g, ValueSlice::F32(&values)).unwrap();
    let targets = vec![200u64; n];
    for target in [Target::PerCell(&targets), Target::Total(900_000)] {
        for replace in [false, true] {
            let options = DownsampleOptions { replace, random_state: 3 };
            let run = |source: &dyn RowBlocks, threads| {
                with_threads(Some(threads), || downsample_counts(source, target, &options, &quiet())).unwrap()
            };
            let one = run(&matrix, 1);
            assert!(one == run(&matrix, 2) && one == run(&matrix, 8) && one == run(&view, 2));
        }
    }
}

#[test]
fn degenerate_and_bad_input() {
    let run = |matrix: &Csr, target| downsample_counts(matrix, target, &DownsampleOptions::default(), &quiet());
    assert_eq!(run(&Csr::empty(0, 3), Target::PerCell(&[])).unwrap(), Csr::empty(0, 3));
    assert_eq!(run(&Csr::empty(2, 3), Target::PerCell(&[5, 5])).unwrap(), Csr::empty(2, 3));
    assert_eq!(run(&Csr::empty(2, 3), Target::Total(0)).unwrap(), Csr::empty(2, 3));
    let single = |value| Csr::new(1, 1, vec![0, 1], vec![0], vec![value]).unwrap();
    assert_eq!(run(&single(5.0), Target::PerCell(&[2])).unwrap().values, [2.0]);
    assert_eq!(run(&single(0.0), Target::PerCell(&[2])).unwrap().nnz(), 0, "stored zeros go");
    for (value, fault) in [(0.5, DataFault::NotCounts), (-1.0, DataFault::Negative), (f32::NAN, DataFault::NotFinite)] {
        let error = run(&single(value), Target::PerCell(&[2])).unwrap_err();
        assert!(matches!(error, Error::Data { fault: found, .. } if found == fault), "{error}");
        assert!(error.to_string().contains("cell 0, gene 0"));
    }
    assert!(run(&single(2f32.powi(24)), Target::PerCell(&[2])).unwrap_err().to_string().contains("2^24"));
    assert!(run(&single(1.0), Target::PerCell(&[2, 3])).unwrap_err().to_string().contains("counts_per_cell"));
}
