use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::{Sample, pairs_by_distance};
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
                with_threads(Some(threads), || pairs_by_distance(&places, &labels, k, &distances, None, &Ctx::quiet()));
            assert_eq!(found.unwrap(), expected);
        }
    }
}

#[test]
fn a_sample_is_looked_from_at_all_others() {
    let n = 500;
    let mut stream = Stream::new(6, 0);
    let values: Vec<f64> = (0..2 * n).map(|_| stream.uniform()).collect();
    let places = Places::new(n, 2, &values).unwrap();
    // A label of its own for each cell: counts tell who was looked from.
    let labels: Vec<u32> = (0..n as u32).collect();
    let run = |threads, count| {
        let sample = Some(Sample { count, seed: 3 });
        with_threads(Some(threads), || pairs_by_distance(&places, &labels, n, &[0.3, 9.0], sample, &Ctx::quiet()))
            .unwrap()
    };
    let found = run(1, 40);
    assert_eq!(found, run(4, 40));
    let all = run(1, 500);
    let of = |counts: &[u64], cell: usize| -> Vec<u64> {
        (0..2).flat_map(|layer| counts[(layer * n + cell) * n..][..n].to_vec()).collect()
    };
    let looked = (0..n).filter(|&cell| of(&found, cell).iter().any(|&count| count > 0)).collect::<Vec<_>>();
    assert_eq!(looked.len(), 40);
    assert!(looked.iter().all(|&cell| of(&found, cell) == of(&all, cell)));
    assert!(looked.iter().any(|&cell| cell > 250) && looked.iter().any(|&cell| cell < 250));
    assert_eq!(all, pairs_by_distance(&places, &labels, n, &[0.3, 9.0], None, &Ctx::quiet()).unwrap());
    let none = Some(Sample { count: 0, seed: 0 });
    let error = pairs_by_distance(&places, &labels, n, &[1.0], none, &Ctx::quiet()).unwrap_err();
    assert!(error.to_string().contains("n_observations"));
}

#[test]
fn faults_are_named() {
    let places = Places::new(2, 2, &[0.0, 0.0, 1.0, 1.0]).unwrap();
    let run = |labels: &[u32], distances: &[f64]| {
        pairs_by_distance(&places, labels, 2, distances, None, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(run(&[0, 1], &[]).contains("interval"));
    assert!(run(&[0, 1], &[2.0, 1.0]).contains("rise"));
    assert!(run(&[0, 1], &[-1.0]).contains("at least 0"));
    assert!(run(&[0, 1], &[1.0, f64::INFINITY]).contains("finite"));
    assert!(run(&[0], &[1.0]).contains("labels"));
    assert!(run(&[0, 2], &[1.0]).contains("labels"));
}
