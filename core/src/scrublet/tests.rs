use super::*;
use crate::matrix::DenseView;
use crate::parallel::with_threads;
use crate::random::Stream;

/// `n` cells of four types over 200 genes, every twentieth a doublet of two types; whether each is one.
fn counts(n: usize) -> (Csr, Vec<bool>) {
    let g = 200;
    let (mut indptr, mut indices, mut values, mut truth) = (vec![0u64], Vec::new(), Vec::new(), Vec::new());
    let cell = |kind: usize, stream: &mut Stream| -> Vec<f32> {
        (0..g)
            .map(|gene| {
                let rate = if gene % 4 == kind && gene < 120 { 6.0 } else { 0.6 };
                // Poisson by counting arrivals.
                let (mut count, mut product) = (0f32, stream.uniform());
                let limit = (-rate * (0.5 + (gene % 7) as f64 / 6.0)).exp();
                while product > limit {
                    count += 1.0;
                    product *= stream.uniform();
                }
                count
            })
            .collect()
    };
    for row in 0..n {
        let mut stream = Stream::new(11, row as u64);
        let kind = stream.below(4) as usize;
        let mut profile = cell(kind, &mut stream);
        let doublet = row % 20 == 3;
        if doublet {
            let other = cell((kind + 1) % 4, &mut stream);
            profile.iter_mut().zip(other).for_each(|(a, b)| *a += b);
        }
        truth.push(doublet);
        for (gene, &count) in profile.iter().enumerate().filter(|&(_, &count)| count > 0.0) {
            indices.push(gene as u32);
            values.push(count);
        }
        indptr.push(indices.len() as u64);
    }
    (Csr::new(n, g, indptr, indices, values).unwrap(), truth)
}

fn options() -> ScrubletOptions {
    ScrubletOptions { n_prin_comps: 8, ..ScrubletOptions::default() }
}

fn run(matrix: &Csr, options: &ScrubletOptions) -> Scrublet {
    scrublet(matrix, options, &Ctx::quiet()).unwrap()
}

/// Share of pairs (doublet, singlet) in the right order.
fn area(scores: &[f64], truth: &[bool]) -> f64 {
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, _) in scores.iter().zip(truth).filter(|(_, doublet)| **doublet) {
        for (b, _) in scores.iter().zip(truth).filter(|(_, doublet)| !**doublet) {
            pairs += 1.0;
            right += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
        }
    }
    right / pairs
}

#[test]
fn planted_doublets_score_high() {
    let (matrix, truth) = counts(600);
    for changed in [
        options(),
        ScrubletOptions { log_transform: true, ..options() },
        ScrubletOptions { mean_center: false, ..options() },
        ScrubletOptions { normalize_variance: false, ..options() },
        ScrubletOptions { synthetic_doublet_umi_subsampling: 0.7, sim_doublet_ratio: 1.5, ..options() },
        ScrubletOptions { use_approx_neighbors: Some(true), ..options() },
    ] {
        let found = run(&matrix, &changed);
        assert!(area(&found.scores, &truth) > 0.95, "{changed:?}: {}", area(&found.scores, &truth));
        assert_eq!(found.simulated_scores.len(), (600.0 * changed.sim_doublet_ratio) as usize);
        assert!(found.errors.iter().all(|&error| error > 0.0));
    }
    let found = run(&matrix, &options());
    let threshold = found.threshold.expect("two modes");
    let called = found.predicted.iter().zip(&truth).filter(|(called, truth)| **called && **truth).count();
    assert!(called >= 24, "{called} of 30 at {threshold}");
    assert_eq!(found.predicted, found.scores.iter().map(|&score| score > threshold).collect::<Vec<_>>());
    let given = run(&matrix, &ScrubletOptions { threshold: Some(0.9), ..options() });
    assert_eq!((given.threshold, &given.scores), (Some(0.9), &found.scores));
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_layout() {
    let (matrix, _) = counts(300);
    let run = |threads| with_threads(Some(threads), || scrublet(&matrix, &options(), &Ctx::quiet())).unwrap();
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(8));
    let mut dense = vec![0f32; matrix.n_rows * matrix.n_cols];
    for row in 0..matrix.n_rows {
        let (columns, values) = matrix.row(row);
        columns.iter().zip(values).for_each(|(&c, &v)| dense[row * matrix.n_cols + c as usize] = v);
    }
    let view = DenseView::new(matrix.n_rows, matrix.n_cols, ValueSlice::F32(&dense)).unwrap();
    assert_eq!(scrublet(&view, &options(), &Ctx::quiet()).unwrap(), one);
    assert_ne!(scrublet(&matrix, &ScrubletOptions { random_state: 1, ..options() }, &Ctx::quiet()).unwrap(), one);
}

#[test]
fn cells_with_almost_nothing_take_no_part() {
    let (mut matrix, _) = counts(200);
    // A cell of two genes, and an empty one, at the end.
    matrix.n_rows += 2;
    matrix.indices.extend([0, 5]);
    matrix.values.extend([1.0, 1.0]);
    let end = matrix.indices.len() as u64;
    matrix.indptr.extend([end, end]);
    let found = run(&matrix, &options());
    assert!(
        found.scores[200].is_nan() && found.scores[201].is_nan() && found.scores[..200].iter().all(|x| x.is_finite())
    );
    assert!(!found.predicted[200] && !found.predicted[201]);
    assert!(found.parents.iter().flatten().all(|&cell| cell < 200));
}

#[test]
fn faults_are_named() {
    let (matrix, _) = counts(60);
    let usual = options();
    let fault = |options: ScrubletOptions| scrublet(&matrix, &options, &Ctx::quiet()).unwrap_err().to_string();
    for (options, name) in [
        (ScrubletOptions { sim_doublet_ratio: 0.0, ..usual.clone() }, "sim_doublet_ratio"),
        (ScrubletOptions { sim_doublet_ratio: 1e-3, ..usual.clone() }, "sim_doublet_ratio"),
        (ScrubletOptions { expected_doublet_rate: 1.0, ..usual.clone() }, "expected_doublet_rate"),
        (ScrubletOptions { stdev_doublet_rate: -0.1, ..usual.clone() }, "stdev_doublet_rate"),
        (
            ScrubletOptions { synthetic_doublet_umi_subsampling: 1.1, ..usual.clone() },
            "synthetic_doublet_umi_subsampling",
        ),
        (ScrubletOptions { n_prin_comps: 0, ..usual.clone() }, "n_prin_comps"),
        (ScrubletOptions { n_prin_comps: 500, ..usual.clone() }, "n_prin_comps"),
        (ScrubletOptions { n_neighbors: Some(0), ..usual.clone() }, "n_neighbors"),
        (ScrubletOptions { n_neighbors: Some(61), ..usual.clone() }, "n_neighbors"),
        (ScrubletOptions { threshold: Some(f64::NAN), ..usual.clone() }, "threshold"),
    ] {
        assert!(fault(options).contains(name), "{name}");
    }
    let bad = |value: f32| {
        let mut matrix = matrix.clone();
        matrix.values[9] = value;
        scrublet(&matrix, &options(), &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(bad(-1.0).contains("-1") && bad(0.5).contains("0.5") && bad(f32::NAN).contains("NaN"));
    let few = Csr::new(2, 3, vec![0, 3, 6], vec![0, 1, 2, 0, 1, 2], vec![1.0; 6]).unwrap();
    assert!(scrublet(&few, &options(), &Ctx::quiet()).unwrap_err().to_string().contains("at least 4 cells"));
    let same = Csr::new(5, 3, (0..6).map(|i| i * 3).collect(), [0, 1, 2].repeat(5), vec![1.0; 15]).unwrap();
    assert!(scrublet(&same, &options(), &Ctx::quiet()).unwrap_err().to_string().contains("variable genes"));
}
