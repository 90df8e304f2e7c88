use super::*;
use crate::data::Csr;
use crate::matrix::{DenseView, ValueSlice};
use crate::parallel::with_threads;
use crate::random::Stream;

/// [[1, 0, 2, 0], [0, 3, 0, 5]]
fn example() -> Csr {
    Csr::new(2, 4, vec![0, 2, 4], vec![0, 2, 1, 3], vec![1.0, 2.0, 3.0, 5.0]).unwrap()
}

#[test]
fn means_by_hand() {
    let sets = [vec![true, false, true, false], vec![false, true, true, true]];
    assert_eq!(set_means(&example(), &sets, &Ctx::quiet()).unwrap(), [1.5, 2.0 / 3.0, 0.0, 8.0 / 3.0]);
    assert!(set_means(&example(), &[], &Ctx::quiet()).unwrap().is_empty());
}

#[test]
fn nan_is_left_out_and_infinity_is_kept() {
    let mut matrix = example();
    matrix.values[1] = f32::NAN;
    matrix.values[3] = f32::INFINITY;
    let sets = [vec![true, true, true, true], vec![false, false, true, false], vec![false; 4]];
    let got = set_means(&matrix, &sets, &Ctx::quiet()).unwrap();
    assert_eq!(got[0], 1.0 / 3.0);
    assert!(got[1].is_nan() && got[2].is_nan() && got[5].is_nan());
    assert_eq!((got[3], got[4]), (f64::INFINITY, 0.0));
}

#[test]
fn threads_and_layouts_give_the_same_bits() {
    let (n, g) = (8000, 300);
    let mut stream = Stream::new(1, 1);
    let values: Vec<f32> =
        (0..n * g).map(|_| if stream.below(2) == 0 { stream.normal() as f32 } else { 0.0 }).collect();
    let sparse = Csr::from_dense(g, &values);
    let dense = DenseView::new(n, g, ValueSlice::F32(&values)).unwrap();
    let sets: Vec<Vec<bool>> = (2..5).map(|k| (0..g).map(|j| j % k == 0).collect()).collect();
    let run = |source: &dyn RowBlocks, threads| {
        let found = with_threads(Some(threads), || set_means(source, &sets, &Ctx::quiet())).unwrap();
        found.into_iter().map(f64::to_bits).collect::<Vec<_>>()
    };
    let one = run(&sparse, 1);
    assert_eq!(one, run(&sparse, 2));
    assert_eq!(one, run(&sparse, 8));
    assert_eq!(one, run(&dense, 2));
    let slow: f64 = (0..g).step_by(3).map(|j| f64::from(values[5 * g + j])).sum::<f64>() / 100.0;
    assert_eq!(one[5 * 3 + 1], slow.to_bits());
}

#[test]
fn degenerate_input() {
    let text = set_means(&example(), &[vec![true]], &Ctx::quiet()).unwrap_err().to_string();
    assert!(text.contains("gene set") && text.contains("4 entries"), "{text}");
    assert!(set_means(&Csr::empty(0, 2), &[vec![true; 2]], &Ctx::quiet()).unwrap().is_empty());
    assert_eq!(set_means(&Csr::empty(2, 1), &[vec![true]], &Ctx::quiet()).unwrap(), [0.0, 0.0]);
}
