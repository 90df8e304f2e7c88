use zensaibo_core::Ctx;
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::{Expression, Ligrec, LigrecOptions, Partners, Score, group_means, ligrec};
use crate::Edges;

const CELLS: usize = 60;
const GENES: usize = 5;
const LABELS: usize = 3;

struct Case {
    dense: Vec<[f64; GENES]>,
    indptr: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<f64>,
    labels: Vec<u32>,
    /// A ring with some chords, one way.
    graph: (Vec<i64>, Vec<i32>, Vec<f64>),
}

fn case() -> Case {
    let mut stream = Stream::new(5, 0);
    let (mut dense, mut indptr, mut indices, mut values) = (Vec::new(), vec![0], Vec::new(), Vec::new());
    for _ in 0..CELLS {
        let row: [f64; GENES] = std::array::from_fn(|_| (stream.uniform() * 6.0 - 3.0).floor().max(0.0));
        for (gene, &value) in row.iter().enumerate().filter(|entry| *entry.1 > 0.0) {
            indices.push(gene as i32);
            values.push(value);
        }
        indptr.push(indices.len() as i64);
        dense.push(row);
    }
    let labels = (0..CELLS).map(|_| stream.below(LABELS as u64) as u32).collect();
    let (mut starts, mut to) = (vec![0], Vec::new());
    for cell in 0..CELLS {
        let mut row = vec![((cell + 1) % CELLS) as i32];
        if cell % 4 == 0 {
            row.push(((cell + 17) % CELLS) as i32);
        }
        row.sort_unstable();
        to.extend(row);
        starts.push(to.len() as i64);
    }
    let weights = vec![1.0; to.len()];
    Case { dense, indptr, indices, values, labels, graph: (starts, to, weights) }
}

/// A gene, a complex of two, one of three; two interactions; every pair of labels.
const STARTS: [u32; 4] = [0, 1, 3, 6];
const PARTS: [u32; 6] = [0, 1, 2, 2, 3, 4];
const INTERACTIONS: [[u32; 2]; 2] = [[0, 1], [2, 0]];

fn pairs() -> Vec<[u32; 2]> {
    (0..LABELS as u32).flat_map(|a| (0..LABELS as u32).map(move |b| [a, b])).collect()
}

fn run(case: &Case, contact: bool, score: Score, n_perms: u64, compat: bool) -> Ligrec {
    let expression = Expression { indptr: &case.indptr, indices: &case.indices, values: &case.values, genes: GENES };
    let edges = Edges::new(&case.graph.0, &case.graph.1, &case.graph.2).unwrap();
    let pairs = pairs();
    let tested = vec![1; INTERACTIONS.len() * pairs.len()];
    let partners =
        Partners { starts: &STARTS, genes: &PARTS, interactions: &INTERACTIONS, pairs: &pairs, tested: &tested };
    let options = LigrecOptions { n_perms, seed: 9, squidpy_compat: compat };
    let edges = contact.then_some(&edges);
    let ctx = Ctx::quiet();
    ligrec(&expression, &case.labels, LABELS, &[0; CELLS], 1, edges, &partners, score, &options, &ctx).unwrap()
}

/// The cells of label `a`, with `contact` those that touch label `b`.
fn members(case: &Case, labels: &[u32], a: u32, b: u32, contact: bool) -> Vec<usize> {
    let joined = |one: usize, other: usize| {
        let row = &case.graph.1[case.graph.0[one] as usize..case.graph.0[one + 1] as usize];
        row.contains(&(other as i32))
    };
    let touches =
        |cell: usize| (0..CELLS).any(|other| labels[other] == b && (joined(cell, other) || joined(other, cell)));
    (0..CELLS).filter(|&cell| labels[cell] == a && (!contact || touches(cell))).collect()
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (low, share) = (place.floor() as usize, place.fract());
    sorted[low] * (1.0 - share) + sorted[(low + 1).min(sorted.len() - 1)] * share
}

fn value(case: &Case, cells: &[usize], partner: usize, score: Score) -> f64 {
    let of = |gene: u32| {
        let mut values: Vec<f64> = cells.iter().map(|&cell| case.dense[cell][gene as usize]).collect();
        values.sort_by(f64::total_cmp);
        match (values.len(), score) {
            (0, _) => 0.0,
            (_, Score::Probability) => {
                (quantile(&values, 0.25) + 2.0 * quantile(&values, 0.5) + quantile(&values, 0.75)) / 4.0
            }
            (many, _) => values.iter().sum::<f64>() / many as f64,
        }
    };
    let genes = &PARTS[STARTS[partner] as usize..STARTS[partner + 1] as usize];
    genes.iter().map(|&gene| of(gene)).fold(f64::INFINITY, f64::min)
}

#[test]
fn scores_are_those_of_the_formulas() {
    let case = case();
    for contact in [false, true] {
        for score in [Score::Mean, Score::Geometric, Score::Probability] {
            let found = run(&case, contact, score, 0, false);
            for (i, [ligand, receptor]) in INTERACTIONS.iter().enumerate() {
                for (p, &[a, b]) in pairs().iter().enumerate() {
                    let l = value(&case, &members(&case, &case.labels, a, b, contact), *ligand as usize, score);
                    let r = value(&case, &members(&case, &case.labels, b, a, contact), *receptor as usize, score);
                    let expected = match score {
                        Score::Mean => {
                            if l > 0.0 && r > 0.0 {
                                (l + r) / 2.0
                            } else {
                                0.0
                            }
                        }
                        Score::Geometric => (l * r).sqrt(),
                        Score::Probability => l * r / (0.5 + l * r),
                    };
                    assert!((found.scores[i * pairs().len() + p] - expected).abs() < 1e-12);
                }
            }
            assert!(found.reached.iter().all(|&count| count == 0));
        }
    }
}

#[test]
fn orders_are_counted_as_they_are_drawn() {
    let case = case();
    for contact in [false, true] {
        let found = run(&case, contact, Score::Mean, 20, false);
        let passed = run(&case, contact, Score::Mean, 20, true);
        let mut expected = vec![0; found.scores.len()];
        let mut above = vec![0; found.scores.len()];
        for order in 0..20 {
            let mut labels = case.labels.clone();
            Stream::new(9, order).shuffle(&mut labels);
            for (i, [ligand, receptor]) in INTERACTIONS.iter().enumerate() {
                for (p, &[a, b]) in pairs().iter().enumerate() {
                    let at = i * pairs().len() + p;
                    let l = value(&case, &members(&case, &labels, a, b, contact), *ligand as usize, Score::Mean);
                    let r = value(&case, &members(&case, &labels, b, a, contact), *receptor as usize, Score::Mean);
                    let score = if l > 0.0 && r > 0.0 { (l + r) / 2.0 } else { 0.0 };
                    expected[at] += u32::from(score >= found.scores[at]);
                    above[at] += u32::from((l + r) / 2.0 > passed.scores[at]);
                }
            }
        }
        // Values are whole numbers, and so are their sums: no tie is broken by rounding.
        assert_eq!(found.reached, expected);
        assert_eq!(passed.reached, above);
    }
}

#[test]
fn threads_and_fewer_orders_change_nothing_but_their_part() {
    let case = case();
    for contact in [false, true] {
        for score in [Score::Mean, Score::Probability] {
            let bits = |threads| with_threads(Some(threads), || Ok(run(&case, contact, score, 100, false))).unwrap();
            assert_eq!(bits(1), bits(4));
        }
    }
    let (few, many) = (run(&case, false, Score::Mean, 30, false), run(&case, false, Score::Mean, 60, false));
    assert!(few.reached.iter().zip(&many.reached).all(|(a, b)| a <= b && b - a <= 30));
}

#[test]
fn means_of_groups_and_bad_input() {
    let case = case();
    let mut expression =
        Expression { indptr: &case.indptr, indices: &case.indices, values: &case.values, genes: GENES };
    let found = group_means(&expression, &case.labels, LABELS, None, &Ctx::quiet()).unwrap();
    for label in 0..LABELS as u32 {
        let cells = members(&case, &case.labels, label, 0, false);
        assert_eq!(found.sizes[label as usize] as usize, cells.len());
        for gene in 0..GENES {
            let mean = cells.iter().map(|&cell| case.dense[cell][gene]).sum::<f64>() / cells.len() as f64;
            assert!((found.means[label as usize * GENES + gene] - mean).abs() < 1e-12);
        }
    }
    let below: Vec<f64> = case.values.iter().map(|value| -value).collect();
    expression.values = &below;
    let error = group_means(&expression, &case.labels, LABELS, None, &Ctx::quiet()).unwrap_err().to_string();
    assert!(error.contains("at least 0"), "{error}");
    let short = group_means(&expression, &case.labels[1..], LABELS, None, &Ctx::quiet());
    assert!(short.is_err());
}
