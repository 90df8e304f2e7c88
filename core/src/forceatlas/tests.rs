use super::*;
use crate::data::Csr;
use crate::parallel::with_threads;

/// `parts` rings of `size` vertices each.
fn rings(parts: usize, size: usize) -> Graph {
    let n = parts * size;
    let mut matrix = Csr::empty(n, n);
    for vertex in 0..n {
        let (part, place) = (vertex / size * size, vertex % size);
        matrix.indices.extend([(part + (place + 1) % size) as u32, (part + (place + size - 1) % size) as u32]);
        matrix.values.extend([1.0, 1.0]);
        matrix.indptr[vertex + 1] = matrix.values.len() as u64;
    }
    Graph::from_csr(matrix).unwrap()
}

fn draw(graph: &Graph, options: &ForceAtlasOptions) -> Vec<f32> {
    force_atlas(graph, None, options, &Ctx::quiet()).unwrap()
}

fn distance(positions: &[f32], a: usize, b: usize) -> f32 {
    (positions[2 * a] - positions[2 * b]).hypot(positions[2 * a + 1] - positions[2 * b + 1])
}

#[test]
fn forces_by_hand() {
    // Two vertices with one edge, at (0, 0) and (3, 4); masses 2. Repulsion 2 x 2 x 2 / 5, attraction 5, gravity 2.
    let pair = Graph::new(2, vec![0, 1, 2], vec![1, 0], vec![1.0, 1.0]).unwrap();
    let found = forces::forces(&pair, &[0.0, 0.0, 3.0, 4.0], &[2.0, 2.0], &ForceAtlasOptions::default());
    let outward = 8.0 / 5.0 - 5.0;
    for (found, expected) in
        found.iter().zip([-0.6 * outward, -0.8 * outward, 0.6 * (outward - 2.0), 0.8 * (outward - 2.0)])
    {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn forces_through_the_tree_are_near_the_exact_ones() {
    let graph = rings(10, 50);
    let positions = draw(&graph, &ForceAtlasOptions { maxiter: 100, ..Default::default() });
    let with =
        |theta| forces::forces(&graph, &positions, &[3.0; 500], &ForceAtlasOptions { theta, ..Default::default() });
    let (exact, near) = (with(0.0), with(1.2));
    let size = exact.iter().map(|f| f.abs()).sum::<f32>() / 1000.0;
    let error = exact.iter().zip(&near).map(|(a, b)| (a - b).abs()).sum::<f32>() / 1000.0;
    assert!(error < 0.1 * size.max(1.0), "{error} {size}");
}

#[test]
fn a_pair_comes_to_rest_where_forces_balance() {
    let pair = Graph::new(2, vec![0, 1, 2], vec![1, 0], vec![1.0, 1.0]).unwrap();
    let found = draw(&pair, &ForceAtlasOptions { maxiter: 2000, ..Default::default() });
    // Repulsion 8 / d = d + gravity 2: d = 2.
    assert!((distance(&found, 0, 1) - 2.0).abs() < 0.1, "{}", distance(&found, 0, 1));
}

#[test]
fn rings_are_drawn_apart_and_neighbours_together() {
    let graph = rings(4, 30);
    let found = draw(&graph, &ForceAtlasOptions::default());
    assert!(found.iter().all(|x| x.is_finite()));
    let mut near = 0;
    for a in 0..120 {
        let nearest =
            (0..120).filter(|&b| b != a).min_by(|&b, &c| distance(&found, a, b).total_cmp(&distance(&found, a, c)));
        near += usize::from(nearest.unwrap() / 30 == a / 30);
    }
    assert!(near > 108, "{near}");
}

#[test]
fn threads_change_nothing() {
    let graph = rings(60, 50);
    let options = ForceAtlasOptions { maxiter: 30, ..Default::default() };
    let run = |threads| with_threads(Some(threads), || force_atlas(&graph, None, &options, &Ctx::quiet())).unwrap();
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
    assert_ne!(draw(&graph, &ForceAtlasOptions { seed: 1, ..options }), one);
}

#[test]
fn degenerate_graphs_and_starts() {
    let options = ForceAtlasOptions { maxiter: 50, ..Default::default() };
    assert!(draw(&Graph::empty(0), &options).is_empty());
    assert!(draw(&Graph::empty(1), &options).iter().all(|x| x.is_finite()));
    assert!(draw(&Graph::empty(20), &options).iter().all(|x| x.is_finite()));
    let graph = rings(1, 10);
    let still = ForceAtlasOptions { maxiter: 0, ..options.clone() };
    let start: Vec<f32> = (0..20).map(|i| i as f32).collect();
    assert_eq!(force_atlas(&graph, Some(&start), &still, &Ctx::quiet()).unwrap(), start);
    // All at one place: nothing tells them where to go, but nothing breaks.
    let same = force_atlas(&graph, Some(&[1.0; 20]), &options, &Ctx::quiet()).unwrap();
    assert!(same.iter().all(|x| x.is_finite()));
    // One direction is enough, at half the weight.
    let one_way = Graph::new(2, vec![0, 1, 1], vec![1], vec![2.0]).unwrap();
    let both = Graph::new(2, vec![0, 1, 2], vec![1, 0], vec![1.0, 1.0]).unwrap();
    assert_eq!(draw(&one_way, &options), draw(&both, &options));
}

#[test]
fn faults_are_named() {
    let graph = rings(1, 10);
    let fine = ForceAtlasOptions::default();
    let fault = |start: Option<&[f32]>, options: &ForceAtlasOptions| {
        force_atlas(&graph, start, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(Some(&[0.0; 3]), &fine).contains("10 x 2"));
    assert!(fault(Some(&[f32::NAN; 20]), &fine).contains("NaN at vertex 0"));
    assert!(fault(None, &ForceAtlasOptions { maxiter: 2_000_000, ..fine.clone() }).contains("maxiter"));
    assert!(fault(None, &ForceAtlasOptions { scaling_ratio: 0.0, ..fine.clone() }).contains("scaling_ratio"));
    assert!(fault(None, &ForceAtlasOptions { gravity: -1.0, ..fine.clone() }).contains("gravity"));
    assert!(
        fault(None, &ForceAtlasOptions { jitter_tolerance: f64::NAN, ..fine.clone() }).contains("jitter_tolerance")
    );
    assert!(fault(None, &ForceAtlasOptions { theta: 3.0, ..fine }).contains("theta"));
}
