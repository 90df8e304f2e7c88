use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::pairs_by_distance;
use crate::Places;
use crate::places::square;

#[test]
fn counts_are_those_of_all_pairs() {
    for (n, dimensions, k, whole) in [(700, 2, 3, false), (500, 3, 5, false), (400, 2, 2, true), (1, 2, 1, false)] {
        let mut stream = Stream::new(4, n as u64);
        let values: Vec<f64> = (0..n * dimensions)
            .map(|_| if whole { (stream.uniform() * 9.0).floor() } else { stream.uniform() * 9.0 })
            .collect();
        let labels: Vec<u32> = (0..n).map(|_| stream.below(k as u64) as u32).collect();
        let places = Places::new(n, dimensions, &values).unwrap();
        let distances = [0.0, 1.0, 2.0, 5.0, 5.5];
        let mut expected = vec![0u64; distances.len() * k * k];
        for a in 0..n {
            for b in (0..n).filter(|&b| b != a) {
                let squared = square(&places.points()[a], &places.points()[b]);
                if let Some(interval) = distances.iter().position(|distance| squared <= distance * distance) {
                    expected[(interval * k + labels[a] as usize) * k + labels[b] as usize] += 1;
                }
            }
        }
        for threads in [1, 2, 8] {
            let found =
                with_threads(Some(threads), || pairs_by_distance(&places, &labels, k, &distances, &Ctx::quiet()));
            assert_eq!(found.unwrap(), expected);
        }
    }
}

#[test]
fn faults_are_named() {
    let places = Places::new(2, 2, &[0.0, 0.0, 1.0, 1.0]).unwrap();
    let run = |labels: &[u32], distances: &[f64]| {
        pairs_by_distance(&places, labels, 2, distances, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(run(&[0, 1], &[]).contains("interval"));
    assert!(run(&[0, 1], &[2.0, 1.0]).contains("rise"));
    assert!(run(&[0, 1], &[-1.0]).contains("at least 0"));
    assert!(run(&[0, 1], &[1.0, f64::INFINITY]).contains("finite"));
    assert!(run(&[0], &[1.0]).contains("labels"));
    assert!(run(&[0, 2], &[1.0]).contains("labels"));
}
