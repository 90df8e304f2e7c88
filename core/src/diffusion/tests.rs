use super::lanczos::{self, Symmetric};
use super::transitions::Transitions;
use super::*;
use crate::data::Csr;
use crate::parallel::with_threads;
use crate::random::Stream;

/// A symmetric graph from edges given once.
fn graph(n: usize, edges: &[(usize, usize, f32)]) -> Graph {
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
    for &(a, b, weight) in edges {
        rows[a].push((b as u32, weight));
        rows[b].push((a as u32, weight));
    }
    let mut matrix = Csr::empty(n, n);
    for (i, row) in rows.iter().enumerate() {
        matrix.indices.extend(row.iter().map(|entry| entry.0));
        matrix.values.extend(row.iter().map(|entry| entry.1));
        matrix.indptr[i + 1] = matrix.values.len() as u64;
    }
    Graph::from_csr(matrix).unwrap()
}

/// Points along a line, each joined to the next few with random weights.
fn path(n: usize, reach: usize, seed: u64) -> Vec<(usize, usize, f32)> {
    let mut stream = Stream::new(seed, 0);
    let mut edges = Vec::new();
    for a in 0..n {
        for step in 1..=reach.min(n - 1 - a) {
            edges.push((a, a + step, 0.2 + stream.uniform() as f32));
        }
    }
    edges
}

fn map(graph: &Graph, n_comps: usize) -> Diffmap {
    diffmap(graph, &DiffmapOptions { n_comps, ..Default::default() }, &Ctx::quiet()).unwrap()
}

/// |T x - value x| of every column, on f64 copies of the vectors.
fn residuals(graph: &Graph, found: &Diffmap) -> f64 {
    let matrix = Transitions::new(graph).unwrap();
    let mut out = vec![0.0; graph.n];
    (0..found.n_comps)
        .map(|column| {
            let x: Vec<f64> = found.vectors.iter().skip(column).step_by(found.n_comps).map(|&x| f64::from(x)).collect();
            matrix.apply(&x, &mut out, &Ctx::quiet()).unwrap();
            let squares = out.iter().zip(&x).map(|(a, x)| (a - found.values[column] * x).powi(2));
            squares.sum::<f64>().sqrt()
        })
        .fold(0.0, f64::max)
}

#[test]
fn by_hand() {
    // A path of three equal edges: D = (1, 2, 1); K has 1/2 between neighbours; row sums 1/2, 1, 1/2.
    let found = map(&graph(3, &[(0, 1, 1.0), (1, 2, 1.0)]), 3);
    assert_eq!(found.n_comps, 2);
    assert!((found.values[0] - 1.0).abs() < 1e-14);
    // Eigenvalues are 1, 0, -1: of the rest, -1 is larger in magnitude.
    assert!((found.values[1] + 1.0).abs() < 1e-12, "{:?}", found.values);
    let expected = [0.5f32, 0.5f32.sqrt(), 0.5];
    for cell in 0..3 {
        assert!((found.vectors[2 * cell] - expected[cell]).abs() < 1e-6);
    }
}

#[test]
fn lanczos_agrees_with_the_whole_decomposition() {
    for (n, reach, count) in [(301, 3, 3), (400, 5, 15), (450, 2, 20)] {
        let graph = graph(n, &path(n, reach, 1));
        let found = map(&graph, count);
        let matrix = Transitions::new(&graph).unwrap();
        let mut full = ndarray::Array2::<f64>::zeros((n, n));
        for cell in 0..n {
            let mut unit = vec![0.0; n];
            unit[cell] = 1.0;
            let mut out = vec![0.0; n];
            matrix.apply(&unit, &mut out, &Ctx::quiet()).unwrap();
            full.row_mut(cell).assign(&ndarray::Array1::from(out));
        }
        let mut values = zensaibo_linalg::symmetric_eigen(full.view()).unwrap().values;
        values.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
        values.truncate(count);
        values.sort_by(|a, b| b.total_cmp(a));
        for (a, b) in found.values.iter().zip(&values) {
            assert!((a - b).abs() < 1e-9, "{n}: {a} {b}");
        }
        assert!(found.residual < 1e-8 && residuals(&graph, &found) < 1e-6, "{n}: {}", found.residual);
    }
}

#[test]
fn the_vectors_stay_orthogonal() {
    // Long iteration: thousands of products, of which few are followed by a full clean-up.
    let n = 3000;
    let graph = graph(n, &path(n, 3, 9));
    let matrix = Transitions::new(&graph).unwrap();
    let run = |threads| {
        let ctx = Ctx::quiet();
        with_threads(Some(threads), || {
            lanczos::largest(&matrix, matrix.steady_states(1), 12, 1, &ctx.stage("test", 0), &ctx)
        })
        .unwrap()
    };
    let found = run(1);
    assert!(found.residual < 1e-9, "{}", found.residual);
    for a in 0..12 {
        for b in 0..=a {
            let product: f64 = found.vectors.chunks_exact(12).map(|row| row[a] * row[b]).sum();
            assert!((product - f64::from(u8::from(a == b))).abs() < 1e-8, "{a} {b}: {product}");
        }
    }
    assert!(found.values.windows(2).all(|pair| pair[0] > pair[1]));
    let other = run(8);
    assert_eq!((found.values, found.vectors), (other.values, other.vectors));
}

#[test]
fn eigenvalues_of_high_multiplicity_are_found() {
    // Every cell is joined to every other: all eigenvalues but the first are -1 / (n - 1).
    let n = 320;
    let edges: Vec<(usize, usize, f32)> = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b, 1.0))).collect();
    let found = map(&graph(n, &edges), 6);
    assert!(found.values[1..].iter().all(|value| (value + 1.0 / (n as f64 - 1.0)).abs() < 1e-12), "{:?}", found.values);
    // A star: 1, -1, and 0 for all others.
    let found = map(&graph(n, &(1..n).map(|b| (0, b, 1.0)).collect::<Vec<_>>()), 6);
    let expected = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0];
    assert!(found.values.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{:?}", found.values);
    assert!(residuals(&graph(n, &(1..n).map(|b| (0, b, 1.0)).collect::<Vec<_>>()), &found) < 1e-6);
}

#[test]
fn eigenvalues_that_come_twice_are_found_twice() {
    // A ring: all eigenvalues but the first come in pairs, cos(2 pi k / n).
    let n = 700;
    let edges: Vec<(usize, usize, f32)> = (0..n).map(|i| (i, (i + 1) % n, 1.0)).collect();
    // A self-loop each keeps the spectrum away from -1.
    let mut ring = graph(n, &edges);
    for cell in 0..n {
        let at = ring.indptr[cell] as usize + cell;
        let place = ring.row(cell).0.partition_point(|&other| (other as usize) < cell) + at - cell;
        ring.indices.insert(place, cell as u32);
        ring.weights.insert(place, 2.0);
        ring.indptr[cell + 1..].iter_mut().for_each(|end| *end += 1);
    }
    let found = map(&ring, 9);
    for (k, value) in found.values.iter().enumerate() {
        let expected = 0.5 + 0.5 * (std::f64::consts::TAU * k.div_ceil(2) as f64 / n as f64).cos();
        assert!((value - expected).abs() < 1e-9, "{k}: {value} {expected}");
    }
    // Orthonormal, too.
    for i in 0..9 {
        for j in 0..=i {
            let dot: f64 = found.vectors.chunks(9).map(|row| f64::from(row[i]) * f64::from(row[j])).sum();
            assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-5);
        }
    }
}

#[test]
fn parts_have_an_eigenvalue_of_1_each() {
    for n in [100usize, 400] {
        let mut edges = path(n, 3, 2);
        edges.extend(path(n / 2, 3, 3).into_iter().map(|(a, b, w)| (a + n, b + n, w)));
        let graph = graph(n + n / 2, &edges);
        let found = map(&graph, 5);
        assert_eq!(&found.values[..2], [1.0, 1.0]);
        assert!(found.values[2] < 1.0 - 1e-9);
        // The larger part comes first, and each vector stays in its part.
        assert!((0..n).all(|cell| found.vectors[5 * cell] > 0.0 && found.vectors[5 * cell + 1] == 0.0));
        assert!((n..n + n / 2).all(|cell| found.vectors[5 * cell] == 0.0 && found.vectors[5 * cell + 1] > 0.0));
        let time =
            pseudotime(&graph, &found.vectors, &found.values, 0, &DptOptions { n_dcs: 5 }, &Ctx::quiet()).unwrap();
        assert!(time[..n].iter().all(|t| (0.0..=1.0).contains(t)) && time[n..].iter().all(|t| t.is_infinite()));
    }
}

#[test]
fn pseudotime_runs_along_a_path() {
    // Short enough that no component but the first counts as stationary.
    let n = 100;
    let graph = graph(n, &path(n, 6, 7));
    let found = map(&graph, 10);
    let time = pseudotime(&graph, &found.vectors, &found.values, 0, &DptOptions::default(), &Ctx::quiet()).unwrap();
    assert_eq!(time[0], 0.0);
    let last = time.iter().copied().fold(0f32, f32::max);
    assert_eq!(last, 1.0);
    assert!((0..n - 20).step_by(10).all(|cell| time[cell] < time[cell + 10]));
}

#[test]
fn pseudotime_as_the_formula_says() {
    let graph = graph(3, &[(0, 1, 1.0), (1, 2, 1.0)]);
    let vectors = [0.5f32, 0.1, 0.5, 0.2, 0.6, 0.5];
    let values = [1.0, 0.5];
    let time = pseudotime(&graph, &vectors, &values, 1, &DptOptions { n_dcs: 2 }, &Ctx::quiet()).unwrap();
    let far = (0.1f64.powi(2) + 0.3f64.powi(2)).sqrt();
    assert!((f64::from(time[0]) - 0.1 / far).abs() < 1e-6 && time[2] == 1.0 && time[1] == 0.0);
    // One component only, the stationary one: cells 0 and 1 are alike.
    let time = pseudotime(&graph, &vectors, &values, 1, &DptOptions { n_dcs: 1 }, &Ctx::quiet()).unwrap();
    assert_eq!(time, [0.0, 0.0, 1.0]);
}

#[test]
fn threads_and_seeds_change_nothing() {
    let n = 6000;
    let graph = graph(n, &path(n, 40, 4));
    let run = |threads, seed| {
        let options = DiffmapOptions { n_comps: 6, seed };
        with_threads(Some(threads), || diffmap(&graph, &options, &Ctx::quiet())).unwrap()
    };
    let one = run(1, 0);
    assert_eq!(run(2, 0), one);
    assert_eq!(run(8, 0), one);
    let other = run(2, 9);
    assert!(one.values.iter().zip(&other.values).all(|(a, b)| (a - b).abs() < 1e-9));
    assert!(one.vectors.iter().zip(&other.vectors).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn one_direction_counts_half() {
    let lopsided = Graph::new(3, vec![0, 1, 2, 2], vec![1, 2], vec![2.0, 2.0]).unwrap();
    assert_eq!(map(&lopsided, 3), map(&graph(3, &[(0, 1, 1.0), (1, 2, 1.0)]), 3));
}

#[test]
fn faults_are_named() {
    let fault = |graph: &Graph, n_comps| {
        diffmap(graph, &DiffmapOptions { n_comps, seed: 0 }, &Ctx::quiet()).unwrap_err().to_string()
    };
    let pair = graph(2, &[(0, 1, 1.0)]);
    assert!(fault(&pair, 2).contains("n_comps"));
    assert!(fault(&Graph::empty(0), 3).contains("at least 2 cells"));
    assert!(fault(&Graph::empty(1), 3).contains("at least 2 cells"));
    assert!(fault(&graph(3, &[(0, 1, 1.0)]), 3).contains("none at cell 2"));
    assert!(fault(&graph(3, &[(0, 1, 1.0), (1, 2, 0.0)]), 3).contains("none at cell 2"));
    assert_eq!(map(&pair, 3).n_comps, 1);
    let fault = |vectors: &[f32], values: &[f64], root, n_dcs| {
        pseudotime(&pair, vectors, values, root, &DptOptions { n_dcs }, &Ctx::quiet()).unwrap_err().to_string()
    };
    assert!(fault(&[0.0; 2], &[1.0], 0, 2).contains("n_dcs"));
    assert!(fault(&[0.0; 2], &[1.0], 0, 0).contains("n_dcs"));
    assert!(fault(&[0.0; 3], &[1.0], 0, 1).contains("2 cells x 1"));
    assert!(fault(&[0.0; 2], &[1.0], 2, 1).contains("root"));
    assert!(fault(&[0.0, f32::NAN], &[1.0], 0, 1).contains("cell 1"));
    assert!(fault(&[0.0; 2], &[f64::NAN], 0, 1).contains("eigenvalues"));
}

/// Three straight arms of `length` cells that meet in cell 0, in a plane with a little noise; a path joins all cells.
fn three_arms(length: usize, noise: f64, seed: u64) -> (Graph, Vec<f32>, Vec<f64>) {
    let mut stream = Stream::new(seed, 0);
    let mut vectors = vec![0.0f32; 2];
    for arm in 0..3 {
        let angle = std::f64::consts::TAU * arm as f64 / 3.0 + 0.1;
        for step in 1..=length {
            let far = step as f64 * (1.0 + 0.1 * arm as f64);
            vectors.push((far * angle.cos() + noise * stream.normal()) as f32);
            vectors.push((far * angle.sin() + noise * stream.normal()) as f32);
        }
    }
    let n = 3 * length + 1;
    // value / (1 - value) = 1 for both components.
    (graph(n, &path(n, 1, 1)), vectors, vec![0.5, 0.5])
}

fn split_arms(length: usize, noise: f64, root: usize, options: &BranchingOptions) -> Branchings {
    let (graph, vectors, values) = three_arms(length, noise, 5);
    branchings(&graph, &vectors, &values, root, options, &Ctx::quiet()).unwrap()
}

fn splits(n_branchings: usize) -> BranchingOptions {
    BranchingOptions { n_dcs: 2, n_branchings, ..Default::default() }
}

#[test]
fn planted_branches_are_found_and_ordered() {
    for noise in [0.0, 0.05] {
        let length = 60;
        let root = length; // the end of the first arm
        let found = split_arms(length, noise, root, &splits(1));
        let arm_of = |cell: usize| cell.div_ceil(length); // 0 is the middle
        let n_groups = found.tips.len();
        assert!(n_groups == 3 || n_groups == 4, "{n_groups}");
        // The outer five sixths of each arm are one group, and no two arms share it.
        let group_of = |arm: usize| found.groups[arm * length];
        for arm in 1..=3usize {
            let outer = (arm - 1) * length + length / 6..=arm * length;
            assert!(
                outer.clone().all(|cell| arm_of(cell) != arm || found.groups[cell] == group_of(arm)),
                "{noise} {arm}"
            );
        }
        assert!(group_of(1) != group_of(2) && group_of(2) != group_of(3) && group_of(1) != group_of(3));
        // Each arm's end is a tip of its group.
        for arm in 1..=3usize {
            let tips = found.tips[group_of(arm) as usize];
            assert!(
                tips.iter().any(|&tip| tip as usize >= arm * length - 2 && tip as usize <= arm * length),
                "{tips:?}"
            );
        }
        // The order runs through the groups, and within each away from the root.
        let (_, vectors, values) = three_arms(length, noise, 5);
        let distances = super::distances::Distances::new(vectors.len() / 2, &vectors, &values, 2).unwrap();
        let key = |cell: u32| (found.groups[cell as usize], distances.between(root, cell as usize));
        assert!(found.order.windows(2).all(|w| key(w[0]) <= key(w[1])));
        let mut all = found.order.clone();
        all.sort_unstable();
        assert!(all.iter().enumerate().all(|(at, &cell)| at == cell as usize));
        let starts: Vec<u32> = (1..all.len() as u32)
            .filter(|&at| key(found.order[at as usize]).0 != key(found.order[at as usize - 1]).0)
            .collect();
        assert_eq!(found.changepoints, starts);
        assert!(found.tips.iter().all(|tips| key(tips[0]).1 <= key(tips[1]).1));
    }
}

#[test]
fn splits_stop_where_they_are_told_to() {
    let one = split_arms(40, 0.02, 40, &splits(0));
    assert!(one.groups.iter().all(|&group| group == 0) && one.tips.len() == 1 && one.changepoints.is_empty());
    let large = BranchingOptions { min_group_size: 0.999, ..splits(3) };
    assert_eq!(split_arms(40, 0.02, 40, &large), split_arms(40, 0.02, 40, &splits(1)));
    let counted = BranchingOptions { min_group_size: 121.0, ..splits(3) };
    assert_eq!(split_arms(40, 0.02, 40, &counted), one);
    // Asked for more splits than there are, it ends, and every group has cells.
    let many = split_arms(40, 0.02, 40, &splits(50));
    assert!((0..many.tips.len()).all(|group| many.groups.contains(&(group as u32))));
    assert!(many.tips.len() >= split_arms(40, 0.02, 40, &splits(1)).tips.len());
}

#[test]
fn branchings_do_not_depend_on_threads() {
    let (graph, vectors, values) = three_arms(6000, 0.3, 8);
    let run = |threads| {
        with_threads(Some(threads), || branchings(&graph, &vectors, &values, 6000, &splits(3), &Ctx::quiet())).unwrap()
    };
    let one = run(1);
    assert_eq!(run(2), one);
    assert_eq!(run(8), one);
}

#[test]
fn cells_without_branches_are_one_group() {
    let few = |n: usize, vectors: &[f32]| {
        branchings(
            &graph(n, &path(n, 1, 1)),
            vectors,
            &[0.5],
            0,
            &BranchingOptions { n_dcs: 1, ..splits(2) },
            &Ctx::quiet(),
        )
        .unwrap()
    };
    // One cell; eleven; all alike.
    assert_eq!(few(1, &[0.3]).groups, [0]);
    assert_eq!(few(11, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]).groups, [0; 11]);
    assert_eq!(few(50, &[0.7; 50]).groups, [0; 50]);
}

#[test]
fn branching_faults_are_named() {
    let refused = |json: &str| BranchingOptions::from_json(json).unwrap_err().to_string();
    assert!(refused(r#"{"n_dcs": 0}"#).contains("n_dcs"));
    assert!(refused(r#"{"min_group_size": -1.0}"#).contains("min_group_size"));
    assert!(refused(r#"{"n_branchings": -1}"#).contains("-1"));
    let fault = |graph: &Graph, vectors: &[f32], root| {
        branchings(graph, vectors, &[0.5, 0.5], root, &splits(1), &Ctx::quiet()).unwrap_err().to_string()
    };
    let parts = graph(4, &[(0, 1, 1.0), (2, 3, 1.0)]);
    assert!(fault(&parts, &[0.0; 8], 0).contains("2 parts"));
    let pair = graph(2, &[(0, 1, 1.0)]);
    assert!(fault(&pair, &[0.0; 4], 2).contains("root"));
    assert!(fault(&pair, &[0.0; 3], 0).contains("2 cells x 2"));
    assert!(fault(&pair, &[0.0, 0.0, f32::INFINITY, 0.0], 0).contains("cell 1"));
    let (graph, vectors, values) = three_arms(100, 0.1, 1);
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    assert!(branchings(&graph, &vectors, &values, 0, &splits(1), &ctx).is_err());
}
