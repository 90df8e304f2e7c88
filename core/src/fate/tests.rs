use super::*;
use crate::parallel::with_threads;
use crate::random::Stream;

/// A stem of cells that forks into two branches: positions in the plane, pseudotime, terminal cells.
fn fork(length: usize) -> (Vec<f32>, Vec<f64>, Vec<i32>) {
    let (mut points, mut time) = (Vec::new(), Vec::new());
    let mut stream = Stream::new(6, 0);
    for (part, direction) in [(0, 0.0), (1, 1.0), (2, -1.0)] {
        for step in 0..length {
            let along = if part == 0 { step } else { length + step } as f64;
            let aside = if part == 0 { 0.0 } else { direction * step as f64 };
            points.extend([(along + 0.3 * stream.normal()) as f32, (aside + 0.3 * stream.normal()) as f32]);
            time.push(along);
        }
    }
    let mut terminal = vec![-1; 3 * length];
    (terminal[2 * length - 1], terminal[3 * length - 1]) = (0, 1);
    (points, time, terminal)
}

fn run(points: &[f32], time: &[f64], terminal: &[i32], k: usize) -> Fates {
    let options = FateOptions { n_neighbors: k, seed: 0 };
    fate_probabilities(points, time, terminal, 2, &options, &Ctx::quiet()).unwrap()
}

#[test]
fn branches_go_their_way_and_the_stem_is_undecided() {
    let (points, time, terminal) = fork(60);
    let found = run(&points, &time, &terminal, 12);
    assert_eq!(found.unreached, 0);
    for cell in 0..180 {
        let [a, b] = [found.probabilities[2 * cell], found.probabilities[2 * cell + 1]];
        assert!((a + b - 1.0).abs() < 1e-9);
        match cell {
            0..50 => assert!(a > 0.15 && b > 0.15 && found.entropy[cell] > 0.4, "{cell}: {a} {b}"),
            80..120 => assert!(a > 0.99 && found.entropy[cell] < 0.1),
            140..180 => assert!(b > 0.99),
            _ => {}
        }
    }
    assert_eq!(found.probabilities[2 * 119], 1.0);
}

#[test]
fn as_the_inverse_says() {
    let (points, time, terminal) = fork(15);
    let n = 45;
    let view = Points::new(n, 2, ValueSlice::F32(&points)).unwrap();
    let neighbors = knn(&view, &KnnOptions { n_neighbors: 8, ..Default::default() }, &Ctx::quiet()).unwrap();
    let walk = chain::forward(&neighbors, &time);
    let free: Vec<usize> = (0..n).filter(|&cell| terminal[cell] < 0).collect();
    let mut left = ndarray::Array2::<f64>::eye(free.len());
    let mut right = ndarray::Array2::<f64>::zeros((free.len(), 2));
    for (i, &cell) in free.iter().enumerate() {
        let (targets, shares) = walk.row(cell);
        for (&target, &share) in targets.iter().zip(shares) {
            match free.iter().position(|&other| other == target as usize) {
                Some(j) => left[(i, j)] -= f64::from(share),
                None => right[(i, terminal[target as usize] as usize)] += f64::from(share),
            }
        }
    }
    let solved = zensaibo_linalg::solve(left.view(), right.view()).unwrap();
    let found = run(&points, &time, &terminal, 8);
    for (i, &cell) in free.iter().enumerate() {
        let total = solved[(i, 0)] + solved[(i, 1)];
        assert!((found.probabilities[2 * cell] - solved[(i, 0)] / total).abs() < 1e-6);
    }
}

#[test]
fn steps_back_are_taken_out() {
    let (points, time, _) = fork(30);
    let view = Points::new(90, 2, ValueSlice::F32(&points)).unwrap();
    let neighbors = knn(&view, &KnnOptions { n_neighbors: 10, ..Default::default() }, &Ctx::quiet()).unwrap();
    let walk = chain::forward(&neighbors, &time);
    let (mut ahead, mut behind) = (0, 0);
    for cell in 0..90 {
        let (targets, shares) = walk.row(cell);
        assert!(targets.is_empty() || (shares.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        ahead += targets.iter().filter(|&&t| time[t as usize] > time[cell]).count();
        behind += targets.iter().filter(|&&t| time[t as usize] < time[cell] - 4.0).count();
    }
    assert!(ahead > 200 && behind == 0, "{ahead} {behind}");
}

#[test]
fn multiscale_by_hand() {
    let found = multiscale(&[0.5, 1.0, 9.0, 0.25, -1.0, 9.0], &[1.0, 0.5, 0.1], 2).unwrap();
    assert_eq!(found, [2.0, -4.0]);
}

#[test]
fn threads_change_nothing() {
    let (points, time, terminal) = fork(700);
    let with = |threads| with_threads(Some(threads), || Ok(run(&points, &time, &terminal, 20))).unwrap();
    let one = with(1);
    assert_eq!(with(2), one);
    assert_eq!(with(8), one);
}

#[test]
fn cells_that_reach_nothing_are_counted() {
    // Two groups far apart; the second has no terminal cell.
    let points: Vec<f32> = (0..40).flat_map(|i| [(i + if i < 20 { 0 } else { 1000 }) as f32, 0.0]).collect();
    let time: Vec<f64> = (0..40).map(|i| (i % 20) as f64).collect();
    let mut terminal = vec![-1; 40];
    terminal[19] = 0;
    let options = FateOptions { n_neighbors: 6, seed: 0 };
    let found = fate_probabilities(&points, &time, &terminal, 1, &options, &Ctx::quiet()).unwrap();
    assert_eq!(found.unreached, 20);
    assert!(
        (0..20).all(|cell| found.probabilities[cell] == 1.0) && (20..40).all(|cell| found.probabilities[cell] == 0.0)
    );
    // All cells at one place and time.
    let same = fate_probabilities(&[1.0; 20], &[0.0; 10], &[&[0][..], &[-1; 9]].concat(), 1, &options, &Ctx::quiet());
    assert!(same.unwrap().probabilities.iter().all(|p| p.is_finite()));
}

#[test]
fn faults_are_named() {
    let fault = |points: &[f32], time: &[f64], terminal: &[i32], fates, k| {
        let options = FateOptions { n_neighbors: k, seed: 0 };
        fate_probabilities(points, time, terminal, fates, &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&[0.0; 4], &[0.0; 4], &[0, -1, -1, -1], 1, 3).contains("n_neighbors"));
    assert!(fault(&[0.0; 4], &[0.0; 4], &[0, -1], 1, 5).contains("4 entries"));
    assert!(fault(&[0.0; 4], &[0.0, f64::NAN, 0.0, 0.0], &[0, -1, -1, -1], 1, 5).contains("NaN at cell 1"));
    assert!(fault(&[0.0; 4], &[0.0; 4], &[3, -1, -1, -1], 1, 5).contains("3 at cell 0"));
    assert!(fault(&[0.0; 4], &[0.0; 4], &[0, -1, -1, -1], 2, 5).contains("none for fate 1"));
    assert!(fault(&[0.0; 4], &[0.0; 4], &[-1; 4], 0, 5).contains("at least one"));
    assert!(fault(&[0.0; 5], &[0.0; 4], &[0, -1, -1, -1], 1, 5).contains("4 cells"));
    assert!(fault(&[0.0], &[0.0], &[0], 1, 5).contains("at least 2"));
    let fault = |vectors: &[f32], values: &[f64], n_dcs| multiscale(vectors, values, n_dcs).unwrap_err().to_string();
    assert!(fault(&[1.0, 2.0], &[1.0, 0.5], 1).contains("n_dcs"));
    assert!(fault(&[1.0, 2.0], &[1.0, 0.5], 3).contains("n_dcs"));
    assert!(fault(&[1.0, 2.0, 3.0], &[1.0, 0.5], 2).contains("n cells x 2"));
    assert!(fault(&[1.0, f32::NAN], &[1.0, 0.5], 2).contains("NaN"));
    assert!(fault(&[1.0, 2.0, 0.0, 1.0], &[1.0, 0.5], 2).contains("connected"));
    assert!(fault(&[1.0, 2.0], &[1.0, 1.0], 2).contains("connected"));
}
