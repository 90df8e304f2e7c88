//! The objective against its definition in plain loops, and what it must recover.

use zensaibo_core::Ctx;
use zensaibo_core::options::Options;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;

/// Non-negative values of which one in four is zero.
fn draw(count: usize, item: u64) -> Vec<f32> {
    let mut stream = Stream::new(3, item);
    (0..count).map(|_| if stream.uniform() < 0.25 { 0.0 } else { stream.uniform() as f32 }).collect()
}

/// The loss of given logits by its definition, in double precision.
fn slowly(input: &TangramInput<'_>, options: &TangramOptions, logits: &[f64]) -> f64 {
    let (n, s, g) = (input.candidates.n_cells(), input.candidates.n_places, input.n_genes);
    let mut p = vec![0.0; n * s];
    for i in 0..n {
        let span = input.candidates.indptr[i] as usize..input.candidates.indptr[i + 1] as usize;
        let total: f64 = logits[span.clone()].iter().map(|x| x.exp()).sum();
        for at in span {
            p[i * s + input.candidates.indices[at] as usize] = logits[at].exp() / total;
        }
    }
    let predicted = |j: usize, k: usize| (0..n).map(|i| p[i * s + j] * f64::from(input.cells[i * g + k])).sum::<f64>();
    let truth = |j: usize, k: usize| f64::from(input.places[j * g + k]);
    let cosine = |pairs: Vec<(f64, f64)>| {
        let sum = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>();
        sum(|x| x.0 * x.1) / (sum(|x| x.0 * x.0) * sum(|x| x.1 * x.1)).sqrt()
    };
    let genes: f64 = (0..g).map(|k| cosine((0..s).map(|j| (predicted(j, k), truth(j, k))).collect())).sum();
    let places: f64 = (0..s).map(|j| cosine((0..g).map(|k| (predicted(j, k), truth(j, k))).collect())).sum();
    let mut loss = -options.lambda_g1 * genes / g as f64 - options.lambda_g2 * places / s as f64;
    if let Some(density) = input.density {
        for j in 0..s {
            let mass = |i: usize| input.masses.map_or(1.0 / n as f64, |masses| masses[i]);
            let mapped: f64 = (0..n).map(|i| mass(i) * p[i * s + j]).sum();
            loss += options.lambda_d.unwrap_or(1.0) * density[j] * (density[j] / mapped).ln();
        }
    }
    let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
    loss + options.lambda_r * entropy
}

#[test]
fn loss_and_gradient_are_those_of_the_definition() {
    let (n, s, g) = (13, 9, 37);
    let (cells, places) = (draw(n * g, 0), draw(s * g, 1));
    let mut density: Vec<f64> = (0..s).map(|j| 1.0 + j as f64).collect();
    let total: f64 = density.iter().sum();
    density.iter_mut().for_each(|x| *x /= total);
    let masses: Vec<f64> = (0..n).map(|i| (1 + i) as f64 / (n * (n + 1) / 2) as f64).collect();
    // Every third place for each cell, and its own.
    let rows: Vec<Vec<u32>> =
        (0..n).map(|i| (0..s as u32).filter(|&j| (j as usize + i) % 3 != 1 || j as usize == i).collect()).collect();
    let indptr = (0..=n).map(|i| rows[..i].iter().map(|row| row.len() as u64).sum()).collect();
    let some = Candidates::new(s, indptr, rows.concat()).unwrap();
    let all = Candidates::all(n, s).unwrap();
    let terms = |g2, d, r| TangramOptions { lambda_g2: g2, lambda_d: d, lambda_r: r, ..TangramOptions::default() };
    for (options, density, masses) in [
        (terms(0.0, None, 0.0), None, None),
        (terms(0.7, None, 0.0), None, None),
        (terms(0.0, Some(0.8), 0.0), Some(&density[..]), None),
        (terms(0.0, None, 0.3), None, None),
        (terms(0.5, Some(1.3), 0.2), Some(&density[..]), Some(&masses[..])),
    ] {
        for candidates in [&some, &all] {
            let input = TangramInput { n_genes: g, cells: &cells, places: &places, candidates, density, masses };
            let mut stream = Stream::new(8, 8);
            let logits: Vec<f32> = (0..candidates.len()).map(|_| stream.normal() as f32).collect();
            let problem = problem(&input, &options).unwrap();
            let mut state = problem.start(logits.clone());
            let (loss, forward) = problem.forward(&state, &Ctx::quiet()).unwrap();
            let mut wide: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
            assert!((loss.total - slowly(&input, &options, &wide)).abs() < 1e-5);
            let gradient = problem.backward(&forward, &mut state, None, &Ctx::quiet()).unwrap();
            let largest = gradient.iter().fold(0f32, |most, x| most.max(x.abs()));
            for at in 0..logits.len() {
                let middle = wide[at];
                let mut beside = |shift: f64| {
                    wide[at] = middle + shift;
                    slowly(&input, &options, &wide)
                };
                let slope = (beside(1e-5) - beside(-1e-5)) / 2e-5;
                wide[at] = middle;
                let off = (slope - f64::from(gradient[at])).abs();
                assert!(off < 1e-4 * f64::from(largest) + 1e-7, "{at}: {slope} {}", gradient[at]);
            }
        }
    }
}

#[test]
fn one_step_is_adams() {
    let (cells, places) = (draw(4 * 5, 2), draw(3 * 5, 3));
    let candidates = Candidates::all(4, 3).unwrap();
    let input = TangramInput {
        n_genes: 5,
        cells: &cells,
        places: &places,
        candidates: &candidates,
        density: None,
        masses: None,
    };
    let options = TangramOptions { num_epochs: 1, ..TangramOptions::default() };
    let found = tangram(&input, &options, &Ctx::quiet()).unwrap();
    // After one step every logit has moved by the learning rate, against the sign of its gradient.
    let mut logits = Vec::new();
    for cell in 0..4 {
        let mut stream = Stream::new(0, cell);
        logits.extend((0..3).map(|_| stream.normal() as f32));
    }
    let problem = problem(&input, &options).unwrap();
    let mut state = problem.start(logits.clone());
    let (loss, forward) = problem.forward(&state, &Ctx::quiet()).unwrap();
    assert_eq!(found.history, vec![loss]);
    let gradient = problem.backward(&forward, &mut state, None, &Ctx::quiet()).unwrap();
    let moved: Vec<f64> =
        logits.iter().zip(&gradient).map(|(&x, g)| f64::from(x) - 0.1 * f64::from(g.signum())).collect();
    for (row, found) in moved.chunks(3).zip(found.weights.values.chunks(3)) {
        let total: f64 = row.iter().map(|x| x.exp()).sum();
        for (x, &found) in row.iter().zip(found) {
            assert!((x.exp() / total - f64::from(found)).abs() < 1e-4);
        }
    }
}

/// Places in another order as cells.
fn shuffled(s: usize, g: usize) -> (Vec<f32>, Vec<f32>, Vec<u32>) {
    let places = draw(s * g, 5);
    let mut order: Vec<u32> = (0..s as u32).collect();
    Stream::new(6, 0).shuffle(&mut order);
    let cells = order.iter().flat_map(|&j| places[j as usize * g..(j as usize + 1) * g].to_vec()).collect();
    (cells, places, order)
}

fn best(weights: &Csr) -> Vec<u32> {
    (0..weights.n_rows)
        .map(|row| {
            let (columns, values) = weights.row(row);
            let at = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
            columns[at]
        })
        .collect()
}

#[test]
fn a_permutation_is_found_again_for_any_number_of_threads() {
    let (s, g) = (150, 40);
    let (cells, places, order) = shuffled(s, g);
    let all = Candidates::all(s, s).unwrap();
    let density = vec![1.0 / s as f64; s];
    let input = TangramInput {
        n_genes: g,
        cells: &cells,
        places: &places,
        candidates: &all,
        density: Some(&density),
        masses: None,
    };
    let options = TangramOptions { num_epochs: 400, ..TangramOptions::default() };
    let run = |threads| with_threads(Some(threads), || tangram(&input, &options, &Ctx::quiet())).unwrap();
    let found = run(1);
    assert_eq!(best(&found.weights), order);
    assert!(found.last.total < found.history[0].total && found.history.len() == 400);
    assert!(found.cosines.iter().all(|&cosine| cosine > 0.95));
    for row in 0..s {
        let total: f32 = found.weights.row(row).1.iter().sum();
        assert!((total - 1.0).abs() < 1e-5);
    }
    assert_eq!(found, run(2));
    assert_eq!(found, run(8));
}

#[test]
fn faults_are_named() {
    let (cells, places) = (draw(4 * 5, 2), draw(3 * 5, 3));
    let candidates = Candidates::all(4, 3).unwrap();
    let good = TangramInput {
        n_genes: 5,
        cells: &cells,
        places: &places,
        candidates: &candidates,
        density: None,
        masses: None,
    };
    let fault = |input: &TangramInput<'_>, options: &TangramOptions| {
        tangram(input, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let options = TangramOptions { num_epochs: 1, ..TangramOptions::default() };
    let with = |value: f32| {
        let mut cells = cells.clone();
        cells[7] = value;
        cells
    };
    let (negative, nan) = (with(-1.0), with(f32::NAN));
    assert!(fault(&TangramInput { cells: &negative, ..good }, &options).contains("-1 in row 1, gene 2"));
    assert!(fault(&TangramInput { cells: &nan, ..good }, &options).contains("NaN"));
    let silent: Vec<f32> = places.iter().enumerate().map(|(at, &x)| if at % 5 == 3 { 0.0 } else { x }).collect();
    assert!(fault(&TangramInput { places: &silent, ..good }, &options).contains("gene 3"));
    assert!(fault(&TangramInput { cells: &cells[1..], ..good }, &options).contains("4 x 5"));
    assert!(fault(&TangramInput { density: Some(&[0.5, 0.4, 0.3]), ..good }, &options).contains("sum"));
    let dense = TangramOptions { lambda_d: Some(1.0), ..options.clone() };
    assert!(fault(&good, &dense).contains("lambda_d"));
    for bad in [
        TangramOptions { lambda_g1: 0.0, ..options.clone() },
        TangramOptions { learning_rate: f64::NAN, ..options.clone() },
        TangramOptions { num_epochs: 0, ..options.clone() },
        TangramOptions { lambda_r: -1.0, ..options },
    ] {
        assert!(bad.validate().is_err());
    }
    assert!(Candidates::new(3, vec![0, 1, 1], vec![0]).is_err());
    assert!(Candidates::new(3, vec![0, 2], vec![1, 1]).is_err());
    assert!(Candidates::new(3, vec![0, 1], vec![3]).is_err());
    assert!(Candidates::new(3, vec![0, 2], vec![1]).is_err());
}
