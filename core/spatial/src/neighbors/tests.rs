use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::{SpatialKnnOptions, nearest, rings, within};
use crate::places::square;
use crate::{Edges, Places};

fn cloud(n: usize, dimensions: usize, seed: u64) -> Places {
    let mut stream = Stream::new(seed, 0);
    // Whole numbers: many equal distances and cells at one place.
    let values: Vec<f64> = (0..n * dimensions).map(|_| (stream.uniform() * 12.0).floor()).collect();
    Places::new(n, dimensions, &values).unwrap()
}

#[test]
fn nearest_cells_are_those_of_a_full_search() {
    for (dimensions, k) in [(2, 1), (2, 7), (3, 6), (3, 30)] {
        let places = cloud(400, dimensions, k as u64);
        let found = nearest(&places, &SpatialKnnOptions { n_neighs: k }, &Ctx::quiet()).unwrap();
        for (cell, point) in places.points().iter().enumerate() {
            let mut all: Vec<(f64, u32)> = (0..400)
                .filter(|&other| other != cell)
                .map(|other| (square(point, &places.points()[other]).sqrt(), other as u32))
                .collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            for slot in 0..k {
                assert_eq!((found.distances[cell * k + slot], found.indices[cell * k + slot]), all[slot]);
            }
        }
    }
}

#[test]
fn cells_within_a_range_are_those_of_a_full_search() {
    for (dimensions, least, most) in [(2, 0.0, 3.0), (2, 1.5, 4.0), (3, 0.0, 2.0), (2, 0.0, 0.0)] {
        let places = cloud(300, dimensions, 5);
        let found = within(&places, least, most, &Ctx::quiet()).unwrap();
        for (cell, point) in places.points().iter().enumerate() {
            let all: Vec<i32> = (0..300)
                .filter(|&other| {
                    let distance = square(point, &places.points()[other]).sqrt();
                    other != cell && distance >= least && distance <= most
                })
                .map(|other| other as i32)
                .collect();
            assert_eq!(&found.indices[found.indptr[cell] as usize..found.indptr[cell + 1] as usize], all);
        }
    }
}

#[test]
fn rings_count_steps_along_a_line() {
    // 0 -> 1 -> 2 -> 3 -> 4, one way.
    let (indptr, indices, weights) = ([0, 1, 2, 3, 4, 4], [1, 2, 3, 4], [1.0; 4]);
    let edges = Edges::new(&indptr, &indices, &weights).unwrap();
    let found = rings(&edges, 3, &Ctx::quiet()).unwrap();
    assert_eq!(found.indptr, [0, 3, 6, 8, 9, 9]);
    assert_eq!(found.indices, [1, 2, 3, 2, 3, 4, 3, 4, 4]);
    assert_eq!(found.steps, [1, 2, 3, 1, 2, 3, 1, 2, 1]);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let places = cloud(3000, 2, 9);
    let all = |threads| {
        with_threads(Some(threads), || {
            let options = SpatialKnnOptions::default();
            Ok((nearest(&places, &options, &Ctx::quiet())?, within(&places, 0.0, 1.0, &Ctx::quiet())?))
        })
        .unwrap()
    };
    assert!(all(1) == all(2) && all(1) == all(8));
}

#[test]
fn faults_are_named() {
    let text = |result: zensaibo_core::Result<Places>| result.unwrap_err().to_string();
    assert!(text(Places::new(2, 2, &[0.0, 1.0, f64::NAN, 0.0])).contains("cell 1"));
    assert!(text(Places::new(1, 4, &[0.0; 4])).contains("2 or 3"));
    assert!(text(Places::new(0, 2, &[])).contains("at least one cell"));
    assert!(text(Places::new(1, 2, &[1e200, 0.0])).contains("1e150"));
    let two = Places::new(2, 2, &[0.0; 4]).unwrap();
    let few = nearest(&two, &SpatialKnnOptions { n_neighs: 2 }, &Ctx::quiet()).unwrap_err().to_string();
    assert!(few.contains("n_neighs"), "{few}");
    for (least, most) in [(-1.0, 1.0), (2.0, 1.0), (0.0, f64::INFINITY), (f64::NAN, 1.0)] {
        assert!(within(&two, least, most, &Ctx::quiet()).unwrap_err().to_string().contains("radius"));
    }
    assert!(Edges::new(&[0, 2], &[0, 0], &[1.0, 1.0]).is_err());
    assert!(Edges::new(&[0, 1], &[1], &[1.0]).is_err());
    assert!(Edges::new(&[0, 1], &[0], &[f64::NAN]).is_err());
    assert!(Edges::new(&[0, 2], &[0], &[1.0]).is_err());
}
