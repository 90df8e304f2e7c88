use super::*;
use crate::Ctx;
use crate::data::Csr;
use crate::graph::Graph;
use crate::parallel::with_threads;
use crate::random::Stream;

/// A matrix from rows.
fn csr(rows: &[&[f32]]) -> Csr {
    let mut matrix = Csr::empty(rows.len(), rows.first().map_or(0, |row| row.len()));
    for (i, row) in rows.iter().enumerate() {
        for (j, &value) in row.iter().enumerate().filter(|entry| *entry.1 != 0.0) {
            matrix.indices.push(j as u32);
            matrix.values.push(value);
        }
        matrix.indptr[i + 1] = matrix.values.len() as u64;
    }
    matrix
}

/// n cells in a row, each with its next few on both sides, distance their gap.
fn line(n: usize, reach: usize) -> Graph {
    let mut matrix = Csr::empty(n, n);
    for i in 0..n {
        for j in i.saturating_sub(reach)..(i + reach + 1).min(n) {
            if i != j {
                matrix.indices.push(j as u32);
                matrix.values.push(i.abs_diff(j) as f32);
            }
        }
        matrix.indptr[i + 1] = matrix.values.len() as u64;
    }
    Graph::from_csr(matrix).unwrap()
}

/// Spliced and unspliced counts of cells that switch genes on one after the other.
fn switching(n: usize, genes: usize) -> (Csr, Csr) {
    let (mut s, mut u) = (vec![vec![0f32; genes]; n], vec![vec![0f32; genes]; n]);
    for i in 0..n {
        let mut stream = Stream::new(1, i as u64);
        for g in 0..genes {
            let time = (i as f64 / n as f64 * 6.0 - 3.0 * g as f64 / genes as f64).max(0.0);
            let (mean_u, mean_s) = (8.0 * (1.0 - (-2.0 * time).exp()), 8.0 * (1.0 - (-time).exp()));
            u[i][g] = (mean_u + stream.uniform()) as f32;
            s[i][g] = (mean_s + stream.uniform()) as f32;
        }
    }
    let view = |rows: &Vec<Vec<f32>>| csr(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
    (view(&s), view(&u))
}

struct Run {
    found: Velocity,
    graph: VelocityGraph,
    transitions: Csr,
    arrows: Vec<f64>,
}

fn run(n: usize, genes: usize, mode: VelocityMode) -> Run {
    let (s, u) = switching(n, genes);
    let near = line(n, 4);
    let ctx = Ctx::quiet();
    let (ms, mu) = (moments(&near, &s, &ctx).unwrap(), moments(&near, &u, &ctx).unwrap());
    let options = VelocityOptions { mode, ..Default::default() };
    let found = velocity(&ms, &mu, n, Some((&s, &u, &near)), None, &options, &ctx).unwrap();
    let root = mode == VelocityMode::Stochastic;
    let options = VelocityGraphOptions { sqrt_transform: root, ..Default::default() };
    let graph = velocity_graph(&ms, &found.velocity, &near, &options, &ctx).unwrap();
    let transitions = transition_matrix(&graph.positive, &graph.negative, &TransitionOptions::default(), &ctx).unwrap();
    let positions: Vec<f64> = (0..n).flat_map(|i| [i as f64, (i % 7) as f64]).collect();
    let arrows = velocity_embedding(&transitions, &positions, 2, &VelocityEmbeddingOptions::default(), &ctx).unwrap();
    Run { found, graph, transitions, arrows }
}

#[test]
fn moments_by_hand() {
    // 0 - 1, 2 alone; an edge of weight 0 joins nobody, a loop counts once.
    let graph = Graph::new(3, vec![0, 3, 4, 4], vec![0, 1, 2, 0], vec![1.0, 0.5, 0.0, 0.5]).unwrap();
    let found = moments(&graph, &csr(&[&[2.0, 0.0], &[4.0, 6.0], &[0.0, 1.0]]), &Ctx::quiet()).unwrap();
    assert_eq!(found, [3.0, 3.0, 3.0, 3.0, 0.0, 1.0]);
}

#[test]
fn the_steady_state_by_hand() {
    // Percentile 0 takes all cells: gamma = (1 x 1 + 2 x 3) / (1 + 4) = 1.4; means 4/3.
    let (s, u) = ([0.0f32, 1.0, 2.0], [0.0f32, 1.0, 3.0]);
    let deterministic = VelocityOptions { mode: VelocityMode::Deterministic, perc: 0.0, ..Default::default() };
    let found = velocity(&s, &u, 3, None, None, &deterministic, &Ctx::quiet()).unwrap();
    assert!((found.gamma[0] - 1.4).abs() < 1e-12);
    let left = (1.0f64 - 1.4).powi(2) + (3.0f64 - 2.8).powi(2);
    let mean = 4.0 / 3.0;
    let total = mean * mean + (1.0f64 - mean).powi(2) + (3.0 - mean).powi(2);
    assert!((found.r2[0] - (1.0 - left / total)).abs() < 1e-12);
    assert!((found.velocity[1] + 0.4).abs() < 1e-6 && (found.velocity[2] - 0.2).abs() < 1e-6);
    // The extreme cell alone.
    let extreme = VelocityOptions { perc: 100.0, ..deterministic.clone() };
    let found = velocity(&s, &u, 3, None, None, &extreme, &Ctx::quiet()).unwrap();
    assert!((found.gamma[0] - 1.5).abs() < 1e-12 && found.qreg_ratio == found.gamma);
    let adjusted = VelocityOptions { r2_adjusted: true, ..extreme };
    let other = velocity(&s, &u, 3, None, None, &adjusted, &Ctx::quiet()).unwrap();
    assert!((other.r2[0] - (1.0 - left / total)).abs() < 1e-12 && other.r2[0] > found.r2[0]);
}

#[test]
fn exact_moments_give_the_exact_ratio() {
    // u = 0.3 s for every cell, and so are <us> and <ss>, but for the terms of first order.
    let n = 60;
    let s = csr(&(0..n)
        .map(|i| vec![(i % 9) as f32, 5.0 - (i % 5) as f32])
        .collect::<Vec<_>>()
        .iter()
        .map(Vec::as_slice)
        .collect::<Vec<_>>());
    let mut u = s.clone();
    u.values.iter_mut().for_each(|value| *value *= 0.3);
    let near = line(n, 3);
    let (ms, mu) = (moments(&near, &s, &Ctx::quiet()).unwrap(), moments(&near, &u, &Ctx::quiet()).unwrap());
    let deterministic = VelocityOptions { mode: VelocityMode::Deterministic, ..Default::default() };
    let found = velocity(&ms, &mu, n, None, None, &deterministic, &Ctx::quiet()).unwrap();
    assert!(found.gamma.iter().all(|gamma| (gamma - 0.3).abs() < 1e-6) && found.genes == [true, true]);
    assert!(found.velocity.iter().all(|v| v.abs() < 1e-5));
}

#[test]
fn cells_move_along_the_line() {
    for mode in [VelocityMode::Deterministic, VelocityMode::Stochastic] {
        let Run { found, graph, transitions, arrows } = run(200, 40, mode);
        assert!(found.genes.iter().filter(|&&gene| gene).count() >= 20);
        for (i, arrow) in arrows.chunks(2).enumerate().take(160).skip(20) {
            assert!(arrow[0] > 0.0, "{mode:?} {i}: {arrow:?}");
        }
        for cell in 0..200 {
            let total: f32 = transitions.row(cell).1.iter().sum();
            assert!((total - 1.0).abs() < 1e-5);
            assert!(graph.positive.row(cell).1.iter().all(|&c| c > 0.0 && c <= 1.0));
            assert!(graph.negative.row(cell).1.iter().all(|&c| (-1.0..0.0).contains(&c)));
            assert!((0.0..=1.0).contains(&graph.self_transition[cell]));
        }
    }
}

#[test]
fn cosines_as_the_slow_way() {
    let (n, genes) = (30, 37);
    let mut stream = Stream::new(9, 0);
    let x: Vec<f32> = (0..n * genes).map(|_| stream.uniform() as f32 * 5.0).collect();
    let v: Vec<f32> = (0..n * genes).map(|_| stream.normal() as f32).collect();
    let near = line(n, 2);
    for root in [false, true] {
        let options = VelocityGraphOptions { n_recurse_neighbors: 1, sqrt_transform: root };
        let found = velocity_graph(&x, &v, &near, &options, &Ctx::quiet()).unwrap();
        let change = |value: f64| if root { value.abs().sqrt().copysign(value) } else { value };
        let centre = |row: Vec<f64>| {
            let mean = row.iter().sum::<f64>() / genes as f64;
            row.into_iter().map(|value| value - mean).collect::<Vec<f64>>()
        };
        let at = |table: &[f32], cell: usize, gene: usize| f64::from(table[cell * genes + gene]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut seen = 0;
        for i in 0..n {
            let own = centre((0..genes).map(|g| change(at(&v, i, g))).collect());
            // Every cell has two neighbours at least, so the nearest two of each count.
            let mut near: Vec<(usize, usize)> = (0..n).filter(|&j| j != i).map(|j| (i.abs_diff(j), j)).collect();
            near.sort_unstable();
            for &(_, j) in &near[..2] {
                let step = centre((0..genes).map(|g| change(at(&x, j, g) - at(&x, i, g))).collect());
                let expected = dot(&step, &own) / (dot(&step, &step) * dot(&own, &own)).sqrt();
                let (columns, values) = if expected > 0.0 { found.positive.row(i) } else { found.negative.row(i) };
                let place = columns.iter().position(|&column| column as usize == j).unwrap();
                assert!((f64::from(values[place]) - expected).abs() < 1e-5);
                seen += 1;
            }
        }
        assert_eq!(seen, found.positive.nnz() + found.negative.nnz());
    }
}

#[test]
fn transitions_by_hand() {
    let positive = csr(&[&[0.0, 0.5, 0.0], &[0.0, 0.0, 0.25], &[0.0; 3]]);
    let negative = csr(&[&[0.0, 0.0, -0.5], &[0.0; 3], &[0.0; 3]]);
    let with = |self_transitions, use_negative_cosines, backward| {
        let options = TransitionOptions { scale: 2.0, self_transitions, use_negative_cosines, backward };
        transition_matrix(&positive, &negative, &options, &Ctx::quiet()).unwrap()
    };
    let e = 1f64.exp();
    let plain = with(false, false, false);
    assert!((f64::from(plain.row(0).1[0]) - e / (e + 1.0 / e)).abs() < 1e-6 && plain.row(1).1 == [1.0]);
    assert!(plain.row(2).0.is_empty());
    let signed = with(false, true, false);
    assert_eq!(signed.row(0).1, [0.5, -0.5]);
    let back = with(false, false, true);
    assert_eq!((back.row(1).0, back.row(2).0), (&[0u32][..], &[0u32, 1][..]));
    // Best cosines 0.5, 0.25 and 0; their 98th percentile is 0.49.
    let staying = with(true, false, false);
    assert_eq!(staying.row(2).0, [2]);
    assert_eq!(staying.row(0).0, [1, 2]);
    let (stay, go) = ((2.0 * 0.24f64).exp(), (0.5f64).exp());
    assert!((f64::from(staying.row(1).1[0]) - stay / (stay + go)).abs() < 1e-6);
}

#[test]
fn arrows_by_hand() {
    let transitions = csr(&[&[0.5, 0.375, 0.125], &[0.0; 3], &[1.0, 0.0, 0.0]]);
    let options = VelocityEmbeddingOptions { autoscale: false };
    let positions = [0.0, 0.0, 2.0, 0.0, 0.0, 3.0];
    let found = velocity_embedding(&transitions, &positions, 2, &options, &Ctx::quiet()).unwrap();
    // Mean 0.25 over the two others; a single target leaves nothing over the mean.
    assert_eq!(found, [0.125, -0.125, 0.0, 0.0, 0.0, 0.0]);
    let scaled = velocity_embedding(&transitions, &positions, 2, &Default::default(), &Ctx::quiet()).unwrap();
    assert!((scaled[0] / scaled[1] + 1.0).abs() < 1e-12 && scaled[0] > 0.0);
}

#[test]
fn threads_change_nothing() {
    let with = |threads| {
        with_threads(Some(threads), || {
            let Run { found, graph, transitions, arrows } = run(300, 50, VelocityMode::Stochastic);
            Ok((found, graph, transitions, arrows))
        })
        .unwrap()
    };
    let one = with(1);
    assert!(with(2) == one);
    assert!(with(8) == one);
}

#[test]
fn degenerate_input() {
    let ctx = Ctx::quiet();
    let options = VelocityOptions { mode: VelocityMode::Deterministic, ..Default::default() };
    let none = velocity(&[], &[], 0, None, None, &options, &ctx).unwrap();
    assert!(none.velocity.is_empty() && none.genes.is_empty());
    // A gene that is nowhere, and one that is everywhere the same.
    let found = velocity(&[0.0, 2.0, 0.0, 2.0], &[0.0, 1.0, 0.0, 1.0], 2, None, None, &options, &ctx).unwrap();
    assert_eq!((found.gamma[0], found.r2[0], found.gamma[1]), (0.0, 0.0, 0.5));
    assert!(found.velocity.iter().all(|v| *v == 0.0));
    let one = velocity(&[1.0], &[2.0], 1, None, None, &options, &ctx).unwrap();
    assert_eq!(one.gamma, [2.0]);
    // No velocity, no cosine; no step, no cosine.
    let near = line(3, 1);
    let still = velocity_graph(&[1.0, 2.0, 4.0, 1.0, 0.0, 0.0], &[0.0; 6], &near, &Default::default(), &ctx).unwrap();
    assert_eq!(still.positive.nnz() + still.negative.nnz(), 0);
    let alike = velocity_graph(&[1.0; 6], &[1.0, 2.0, 3.0, 4.0, 1.0, 7.0], &near, &Default::default(), &ctx).unwrap();
    assert_eq!(alike.positive.nnz() + alike.negative.nnz(), 0);
    assert!(moments(&Graph::empty(0), &Csr::empty(0, 5), &ctx).unwrap().is_empty());
    assert!(
        transition_matrix(&Csr::empty(0, 0), &Csr::empty(0, 0), &Default::default(), &ctx).unwrap().values.is_empty()
    );
    let few = VelocityOptions { min_r2: 0.999_999, ..options };
    let (s, u) = switching(50, 10);
    let near = line(50, 2);
    let (ms, mu) = (moments(&near, &s, &ctx).unwrap(), moments(&near, &u, &ctx).unwrap());
    let found = velocity(&ms, &mu, 50, None, None, &few, &ctx).unwrap();
    assert!(found.min_r2 < 0.999_999 && found.genes.iter().filter(|&&gene| gene).count() == 2);
}

#[test]
fn faults_are_named() {
    let ctx = Ctx::quiet();
    let near = line(2, 1);
    let fault = moments(&near, &Csr::empty(3, 1), &ctx).unwrap_err().to_string();
    assert!(fault.contains("2 cells"), "{fault}");
    let fault = moments(&near, &csr(&[&[1.0], &[f32::NAN]]), &ctx).unwrap_err().to_string();
    assert!(fault.contains("NaN at cell 1, gene 0"), "{fault}");
    let fault = |s: &[f32], u: &[f32], eligible: Option<&[bool]>, options: &VelocityOptions| {
        velocity(s, u, 2, None, eligible, options, &ctx).unwrap_err().to_string()
    };
    let fine = VelocityOptions { mode: VelocityMode::Deterministic, ..Default::default() };
    assert!(fault(&[1.0; 2], &[1.0; 4], None, &fine).contains("moments"));
    assert!(fault(&[1.0; 2], &[1.0, f32::NAN], None, &fine).contains("unspliced moments"));
    assert!(fault(&[1.0; 2], &[1.0; 2], Some(&[true, true]), &fine).contains("1 flags"));
    assert!(fault(&[1.0; 2], &[1.0; 2], None, &VelocityOptions::default()).contains("stochastic"));
    assert!(fault(&[1.0; 2], &[1.0; 2], None, &VelocityOptions { perc: 101.0, ..fine.clone() }).contains("perc"));
    assert!(fault(&[1.0; 2], &[1.0; 2], None, &VelocityOptions { min_r2: f64::NAN, ..fine }).contains("min_r2"));
    let fault = |x: &[f32], v: &[f32], near: &Graph, depth| {
        let options = VelocityGraphOptions { n_recurse_neighbors: depth, ..Default::default() };
        velocity_graph(x, v, near, &options, &ctx).unwrap_err().to_string()
    };
    assert!(fault(&[1.0; 2], &[1.0; 2], &near, 0).contains("n_recurse_neighbors"));
    assert!(fault(&[1.0; 2], &[1.0; 4], &near, 1).contains("same genes"));
    assert!(fault(&[1.0, f32::INFINITY], &[1.0; 2], &near, 1).contains("inf at cell 1"));
    assert!(fault(&[1.0; 2], &[1.0; 2], &Graph::empty(2), 1).contains("none at cell 0"));
    let fault = |matrix: &Csr, scale| {
        let options = TransitionOptions { scale, ..Default::default() };
        transition_matrix(matrix, &Csr::empty(2, 2), &options, &ctx).unwrap_err().to_string()
    };
    assert!(fault(&Csr::empty(2, 2), 0.0).contains("scale"));
    assert!(fault(&Csr::empty(2, 3), 1.0).contains("2 x 3"));
    assert!(fault(&csr(&[&[0.0, 1.5], &[0.0, 0.0]]), 1.0).contains("1.5"));
    let fault = |positions: &[f64], d| {
        velocity_embedding(&Csr::empty(2, 2), positions, d, &Default::default(), &ctx).unwrap_err().to_string()
    };
    assert!(fault(&[1.0; 3], 2).contains("n x 2"));
    assert!(fault(&[1.0, 1.0, 1.0, f64::NAN], 2).contains("NaN at cell 1"));
}
