use super::*;
use crate::data::Csr;
use crate::options::Options;
use crate::parallel::with_threads;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error};

/// A symmetric matrix from a list of edges, each given once.
fn graph(n: usize, list: &[(u32, u32, f32)]) -> Csr {
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
    for &(a, b, weight) in list {
        rows[a as usize].push((b, weight));
        if a != b {
            rows[b as usize].push((a, weight));
        }
    }
    let mut csr = Csr::empty(n, n);
    for (i, row) in rows.iter_mut().enumerate() {
        row.sort_by_key(|entry| entry.0);
        csr.indices.extend(row.iter().map(|entry| entry.0));
        csr.values.extend(row.iter().map(|entry| entry.1));
        csr.indptr[i + 1] = csr.values.len() as u64;
    }
    csr
}

fn edges(csr: &Csr) -> Edges<'_> {
    Edges { indptr: &csr.indptr, indices: &csr.indices, weights: &csr.values }
}

fn run(csr: &Csr, options: &LeidenOptions) -> Leiden {
    leiden(edges(csr), None, options, &Ctx::quiet()).unwrap()
}

fn seeded(seed: u64) -> LeidenOptions {
    LeidenOptions { seed, ..Default::default() }
}

fn cliques(count: u32, size: u32) -> Csr {
    let mut list = Vec::new();
    for c in 0..count {
        for a in 0..size {
            for b in 0..a {
                list.push((c * size + a, c * size + b, 1.0));
            }
        }
        list.push((c * size, (c + 1) % count * size + 1, 1.0));
    }
    graph((count * size) as usize, &list)
}

/// A weighted graph of `groups` dense groups with sparse links between, and a few nodes without any.
fn planted(n: u32, groups: u32, degree: u32, seed: u64) -> Csr {
    let mut stream = Stream::new(seed, 0);
    let mut set = std::collections::BTreeMap::new();
    for a in 0..n - 3 {
        for _ in 0..degree {
            let b = if stream.uniform() < 0.8 {
                a % groups + groups * stream.below(u64::from((n - 3) / groups)) as u32
            } else {
                stream.below(u64::from(n - 3)) as u32
            };
            if a != b {
                set.insert((a.min(b), a.max(b)), 0.1 + 0.9 * stream.uniform() as f32);
            }
        }
    }
    graph(n as usize, &set.into_iter().map(|((a, b), weight)| (a, b, weight)).collect::<Vec<_>>())
}

/// Zachary's karate club, 34 members, 78 friendships (J. Anthropol. Res. 33, 452, 1977).
fn karate() -> Csr {
    const FRIENDS: [(u32, &[u32]); 23] = [
        (0, &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31]),
        (1, &[2, 3, 7, 13, 17, 19, 21, 30]),
        (2, &[3, 7, 8, 9, 13, 27, 28, 32]),
        (3, &[7, 12, 13]),
        (4, &[6, 10]),
        (5, &[6, 10, 16]),
        (6, &[16]),
        (8, &[30, 32, 33]),
        (9, &[33]),
        (13, &[33]),
        (14, &[32, 33]),
        (15, &[32, 33]),
        (18, &[32, 33]),
        (19, &[33]),
        (20, &[32, 33]),
        (22, &[32, 33]),
        (23, &[25, 27, 29, 32, 33]),
        (24, &[25, 27, 31]),
        (26, &[29, 33]),
        (28, &[31, 33]),
        (30, &[32, 33]),
        (31, &[32, 33]),
        (32, &[33]),
    ];
    let mut list: Vec<(u32, u32, f32)> =
        FRIENDS.iter().flat_map(|(a, others)| others.iter().map(|b| (*a, *b, 1.0))).collect();
    list.extend([(25, 31, 1.0), (27, 33, 1.0), (29, 32, 1.0), (29, 33, 1.0)]);
    assert_eq!(list.len(), 78);
    graph(34, &list)
}

/// The objective as written in the module documentation, over all pairs.
fn by_definition(csr: &Csr, labels: &[u32], objective: Objective, resolution: f64) -> f64 {
    let n = csr.n_rows;
    let mut dense = vec![vec![0f64; n]; n];
    for (i, row) in dense.iter_mut().enumerate() {
        for (&j, &weight) in csr.row(i).0.iter().zip(csr.row(i).1) {
            row[j as usize] += f64::from(weight);
        }
    }
    let k: Vec<f64> = dense.iter().map(|row| row.iter().sum()).collect();
    let total: f64 = k.iter().sum();
    let mut sum = 0.0;
    for i in 0..n {
        for j in 0..n {
            if labels[i] == labels[j] {
                sum += match objective {
                    Objective::Modularity => (dense[i][j] - resolution * k[i] * k[j] / total) / total,
                    Objective::Cpm if i != j => (dense[i][j] - resolution) / 2.0,
                    Objective::Cpm => 0.0,
                };
            }
        }
    }
    sum
}

/// Calls `visit` with every partition of n items, as labels.
fn partitions(labels: &mut Vec<u32>, used: u32, n: usize, visit: &mut impl FnMut(&[u32])) {
    if labels.len() == n {
        return visit(labels);
    }
    for label in 0..=used {
        labels.push(label);
        partitions(labels, used.max(label + 1), n, visit);
        labels.pop();
    }
}

fn assert_connected(csr: &Csr, labels: &[u32]) {
    for community in 0..labels.iter().max().map_or(0, |m| m + 1) {
        let members: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == community).collect();
        let (mut seen, mut stack) = (std::collections::BTreeSet::from([members[0]]), vec![members[0]]);
        while let Some(node) = stack.pop() {
            for (&next, &weight) in csr.row(node).0.iter().zip(csr.row(node).1) {
                if weight > 0.0 && labels[next as usize] == community && seen.insert(next as usize) {
                    stack.push(next as usize);
                }
            }
        }
        assert_eq!(seen.len(), members.len(), "community {community} is not connected");
    }
}

#[test]
fn two_triangles_by_hand() {
    let csr = graph(6, &[(0, 1, 1.0), (1, 2, 1.0), (0, 2, 1.0), (3, 4, 1.0), (4, 5, 1.0), (3, 5, 1.0), (2, 3, 1.0)]);
    for seed in 0..20 {
        let result = run(&csr, &seeded(seed));
        assert_eq!(result.membership, [0, 0, 0, 1, 1, 1]);
        // 2 (3/7 - (7/14)^2)
        assert!((result.quality - (6.0 / 7.0 - 0.5)).abs() < 1e-12);
        assert_eq!((result.n_communities, result.converged), (2, true));
        assert_eq!(result.quality, result.modularity);
    }
    let all = modularity(edges(&csr), &[0; 6], 1.0, true, &Ctx::quiet()).unwrap();
    assert!(all.abs() < 1e-12);
}

#[test]
fn numbers_run_by_size_then_by_first_member() {
    // A pair, a triangle, a pair, a triangle, all apart.
    let list = [(0, 1), (2, 3), (3, 4), (2, 4), (5, 6), (7, 8), (8, 9), (7, 9)];
    let csr = graph(10, &list.map(|(a, b)| (a, b, 1.0)));
    for seed in 0..5 {
        assert_eq!(run(&csr, &seeded(seed)).membership, [2, 2, 0, 0, 0, 3, 3, 1, 1, 1]);
    }
}

#[test]
fn karate_club_reaches_its_known_optimum() {
    let csr = karate();
    let best = (0..10).map(|seed| run(&csr, &seeded(seed)).quality).fold(f64::MIN, f64::max);
    assert!((best - 0.419_789_6).abs() < 1e-6, "{best}");
}

#[test]
fn potts_model_has_no_resolution_limit() {
    // 30 cliques of 5 in a ring: modularity joins neighbours (0.8879 in pairs, 0.8758 apart), Potts does not.
    let csr = cliques(30, 5);
    for seed in 0..5 {
        let joined = run(&csr, &seeded(seed));
        assert!(joined.n_communities <= 20 && joined.quality > 0.8758, "{joined:?}");
        let apart = run(&csr, &LeidenOptions { objective: Objective::Cpm, resolution: 0.2, ..seeded(seed) });
        assert_eq!(apart.n_communities, 30);
        assert!((0..150).all(|i| apart.membership[i] as usize == i / 5));
        // Each clique: 10 links - 0.2 * 10 pairs.
        assert!((apart.quality - 240.0).abs() < 1e-9);
    }
}

#[test]
fn resolution_sets_the_number_of_communities() {
    let csr = cliques(12, 6);
    let count = |resolution| run(&csr, &LeidenOptions { resolution, ..Default::default() }).n_communities;
    assert_eq!(count(0.0), 1);
    assert_eq!(count(1.0), 12);
    assert_eq!(count(1000.0), 72);
}

#[test]
fn finds_the_optimum_of_small_graphs() {
    let mut missed = 0;
    for case in 0..25u64 {
        let mut stream = Stream::new(99, case);
        let n = 5 + (case % 4) as u32;
        let mut list = Vec::new();
        for a in 0..n {
            for b in 0..=a {
                if stream.uniform() < if a == b { 0.1 } else { 0.5 } {
                    list.push((b, a, 0.05 + stream.uniform() as f32));
                }
            }
        }
        let csr = graph(n as usize, &list);
        for (objective, resolution) in [
            (Objective::Modularity, 0.5),
            (Objective::Modularity, 1.0),
            (Objective::Modularity, 2.0),
            (Objective::Cpm, 0.1),
            (Objective::Cpm, 0.5),
        ] {
            let mut optimum = f64::MIN;
            partitions(&mut Vec::new(), 0, n as usize, &mut |labels| {
                optimum = optimum.max(by_definition(&csr, labels, objective, resolution));
            });
            let best = (0..10)
                .map(|seed| {
                    let options = LeidenOptions { objective, resolution, theta: 0.1, ..seeded(seed) };
                    let result = run(&csr, &options);
                    let slow = by_definition(&csr, &result.membership, objective, resolution);
                    assert!((result.quality - slow).abs() < 1e-9, "{} {slow}", result.quality);
                    let slow = by_definition(&csr, &result.membership, Objective::Modularity, 1.0);
                    assert!((result.modularity - slow).abs() < 1e-9);
                    result.quality
                })
                .fold(f64::MIN, f64::max);
            // A heuristic may miss: seldom, and by little.
            assert!(
                best > optimum - 0.05 * optimum.abs() - 1e-7,
                "case {case} {objective:?} {resolution}: {best}, {optimum}"
            );
            missed += usize::from(best < optimum - 1e-7);
        }
    }
    assert!(missed <= 3, "{missed} of 125 optima missed");
}

#[test]
fn communities_are_connected_and_no_single_move_helps() {
    for seed in 0..3 {
        let csr = planted(200, 5, 3, seed);
        for (objective, resolution) in
            [(Objective::Modularity, 1.0), (Objective::Modularity, 5.0), (Objective::Cpm, 0.05)]
        {
            let options = LeidenOptions { objective, resolution, ..seeded(seed) };
            let result = run(&csr, &options);
            assert_connected(&csr, &result.membership);
            let at = by_definition(&csr, &result.membership, objective, resolution);
            for node in (0..200).step_by(37) {
                let mut labels = result.membership.clone();
                for target in 0..=result.n_communities.min(199) as u32 {
                    labels[node] = target;
                    assert!(by_definition(&csr, &labels, objective, resolution) < at + 1e-7);
                }
            }
            // One iteration, too, leaves communities connected.
            assert_connected(&csr, &run(&csr, &LeidenOptions { n_iterations: 1, ..options }).membership);
        }
    }
}

#[test]
fn planted_groups_are_recovered() {
    let csr = planted(1003, 5, 12, 4);
    let result = run(&csr, &seeded(0));
    let truth: Vec<u32> = (0..1000).map(|i| i % 5).collect();
    let agreed = agreement(&truth, &result.membership[..1000]).unwrap();
    assert!(agreed.adjusted_rand > 0.98, "{agreed:?}");
    // The three nodes without links stay alone.
    assert_eq!(result.n_communities, 8);
}

#[test]
fn permuting_nodes_keeps_quality_and_truth() {
    let csr = planted(1003, 5, 12, 4);
    let mut order: Vec<u32> = (0..1003).collect();
    Stream::new(5, 5).shuffle(&mut order);
    let mut list = Vec::new();
    for i in 0..1003 {
        for (&j, &weight) in csr.row(i).0.iter().zip(csr.row(i).1) {
            if i < j as usize {
                list.push((order[i], order[j as usize], weight));
            }
        }
    }
    let (a, b) = (run(&csr, &seeded(0)), run(&graph(1003, &list), &seeded(0)));
    assert!((a.quality - b.quality).abs() < 2e-3);
    let back: Vec<u32> = (0..1003).map(|i| b.membership[order[i] as usize]).collect();
    assert!(agreement(&a.membership, &back).unwrap().adjusted_rand > 0.98);
}

#[test]
fn scale_of_weights_does_not_matter_to_modularity() {
    let csr = planted(300, 4, 5, 1);
    let mut scaled = csr.clone();
    for value in &mut scaled.values {
        *value *= 1024.0;
    }
    assert_eq!(run(&csr, &seeded(3)).membership, run(&scaled, &seeded(3)).membership);
}

#[test]
fn threads_and_repeats_change_no_bit() {
    let csr = planted(3000, 9, 8, 2);
    for objective in [Objective::Modularity, Objective::Cpm] {
        let options = LeidenOptions { objective, resolution: 0.3, n_iterations: 3, ..seeded(11) };
        let with =
            |threads| with_threads(Some(threads), || leiden(edges(&csr), None, &options, &Ctx::quiet())).unwrap();
        let one = with(1);
        assert!(one == with(1) && one == with(2) && one == with(8));
        assert!(one.iterations <= 3);
    }
    // Large enough to be renumbered inside.
    let large = planted(20_003, 10, 4, 2);
    let with = |threads| {
        let options = LeidenOptions { n_iterations: 1, ..seeded(1) };
        with_threads(Some(threads), || leiden(edges(&large), None, &options, &Ctx::quiet())).unwrap()
    };
    let one = with(1);
    assert!(one == with(2) && one == with(8));
    assert_connected(&large, &one.membership);
    assert!(
        (one.modularity - modularity(edges(&large), &one.membership, 1.0, true, &Ctx::quiet()).unwrap()).abs() < 1e-12
    );
    let vague = planted(1000, 2, 2, 6);
    let (a, b) = (run(&vague, &seeded(1)), run(&vague, &seeded(2)));
    assert!(a.membership != b.membership, "the seed must reach the method");
}

#[test]
fn layouts_of_the_same_graph_agree() {
    let csr = planted(500, 4, 5, 3);
    let expected = run(&csr, &seeded(0));
    // Rows backwards, every value in two halves, and zeros between.
    let mut messy = Csr::empty(500, 500);
    for i in 0..500 {
        let (columns, values) = csr.row(i);
        for (&j, &value) in columns.iter().zip(values).rev() {
            messy.indices.extend([j, j]);
            messy.values.extend([value * 0.5, value * 0.5]);
        }
        messy.indices.push((i as u32 + 250) % 500);
        messy.values.push(0.0);
        messy.indptr[i + 1] = messy.values.len() as u64;
    }
    assert_eq!(run(&messy, &seeded(0)), expected);
    // Halves of an edge that differ by rounding are averaged.
    let mut rounded = csr.clone();
    rounded.values[0] *= 1.0 + 1e-6;
    assert!((run(&rounded, &seeded(0)).quality - expected.quality).abs() < 1e-6);
}

#[test]
fn weights_can_be_left_out() {
    let csr = planted(500, 4, 5, 3);
    let mut ones = csr.clone();
    ones.values.fill(1.0);
    let unweighted = run(&csr, &LeidenOptions { use_weights: false, ..Default::default() });
    assert_eq!(unweighted, run(&ones, &seeded(0)));
    assert_ne!(unweighted.quality, run(&csr, &seeded(0)).quality);
}

#[test]
fn a_tolerance_ends_sooner_and_loses_little() {
    let csr = planted(20_003, 20, 6, 2);
    let exact = run(&csr, &LeidenOptions { tolerance: 0.0, ..Default::default() });
    let soon = run(&csr, &LeidenOptions { tolerance: 0.5, ..Default::default() });
    assert!(exact.converged && soon.converged);
    assert!(soon.iterations < exact.iterations, "{} {}", soon.iterations, exact.iterations);
    assert!(soon.quality > exact.quality * 0.99, "{} {}", soon.quality, exact.quality);
    // What no iteration improves is left alone, whatever is tolerated.
    for tolerance in [0.0, 1e-4] {
        let options = LeidenOptions { tolerance, ..Default::default() };
        let again = leiden(edges(&csr), Some(&exact.membership), &options, &Ctx::quiet()).unwrap();
        assert!(again.converged && again.quality >= exact.quality - 1e-12);
    }
}

#[test]
fn an_initial_partition_is_where_it_starts() {
    let csr = cliques(8, 5);
    let best = run(&csr, &seeded(0));
    let started = |initial: &[u32], n_iterations| {
        let options = LeidenOptions { n_iterations, ..Default::default() };
        leiden(edges(&csr), Some(initial), &options, &Ctx::quiet()).unwrap()
    };
    let again = started(&best.membership, 1);
    assert_eq!((again.membership, again.converged), (best.membership.clone(), true));
    let all_in_one = started(&[7; 40], -1);
    assert!((all_in_one.quality - best.quality).abs() < 1e-9);
    // Isolated nodes that were put together come apart, for communities are connected.
    let nothing = graph(3, &[]);
    let result = leiden(edges(&nothing), Some(&[1, 1, 1]), &seeded(0), &Ctx::quiet()).unwrap();
    assert_eq!(result.membership, [0, 1, 2]);
}

#[test]
fn degenerate_graphs() {
    let none = run(&graph(0, &[]), &seeded(0));
    assert_eq!((none.membership.len(), none.n_communities, none.quality), (0, 0, 0.0));
    let one = run(&graph(1, &[]), &seeded(0));
    assert_eq!((one.membership, one.quality), (vec![0], 0.0));
    let only_loop = run(&graph(1, &[(0, 0, 2.0)]), &seeded(0));
    assert_eq!(only_loop.membership, [0]);
    assert!(only_loop.quality.abs() < 1e-12);
    let isolated = run(&graph(4, &[]), &seeded(0));
    assert_eq!(isolated.membership, [0, 1, 2, 3]);
    let apart = run(&graph(5, &[(0, 1, 1.0), (2, 3, 1.0)]), &seeded(0));
    assert_eq!(apart.membership, [0, 0, 1, 1, 2]);
    let zeros = run(&graph(3, &[(0, 1, 0.0), (1, 2, 0.0)]), &seeded(0));
    assert_eq!(zeros.membership, [0, 1, 2]);
    let tiny = run(&graph(4, &[(0, 1, 1e-30), (2, 3, 1e-30)]), &seeded(0));
    assert_eq!(tiny.membership, [0, 0, 1, 1]);
    let huge = run(&graph(4, &[(0, 1, 3e38), (2, 3, 3e38)]), &seeded(0));
    assert_eq!((huge.membership, huge.quality), (vec![0, 0, 1, 1], 0.5));
    let star: Vec<(u32, u32, f32)> = (1..200).map(|leaf| (0, leaf, 1.0)).collect();
    assert_eq!(run(&graph(200, &star), &seeded(0)).n_communities, 1);
}

#[test]
fn bad_graphs_are_refused_by_name() {
    let fault = |csr: &Csr| match leiden(edges(csr), None, &seeded(0), &Ctx::quiet()).unwrap_err() {
        Error::Data { fault, found, .. } => (fault, found),
        other => panic!("{other}"),
    };
    let mut csr = graph(3, &[(0, 1, 1.0), (1, 2, 1.0)]);
    csr.values[1] = f32::NAN;
    assert_eq!(fault(&csr), (DataFault::NotFinite, "NaN between nodes 1 and 0".into()));
    csr.values[1] = -1.0;
    assert_eq!(fault(&csr), (DataFault::Negative, "-1 between nodes 1 and 0".into()));
    csr.values[1] = 0.5;
    let (kind, found) = fault(&csr);
    assert_eq!((kind, found.as_str()), (DataFault::Invalid, "1 from node 0 to 1 but 0.5 from 1 to 0"));
    csr.values[1] = 0.0;
    assert_eq!(fault(&csr).0, DataFault::Invalid);
    csr.indices[0] = 3;
    assert_eq!(fault(&csr).0, DataFault::Invalid);
    csr.indptr.clear();
    assert_eq!(fault(&csr).0, DataFault::Shape);

    let csr = graph(2, &[(0, 1, 1.0)]);
    for labels in [&[0u32][..], &[0, 2]] {
        let error = leiden(edges(&csr), Some(labels), &seeded(0), &Ctx::quiet()).unwrap_err();
        assert!(error.to_string().contains("initial membership"), "{error}");
        assert!(modularity(edges(&csr), labels, 1.0, true, &Ctx::quiet()).is_err());
    }
    assert!(modularity(edges(&csr), &[0, 0], f64::NAN, true, &Ctx::quiet()).is_err());
}

#[test]
fn each_bad_option_is_refused() {
    for (text, name) in [
        (r#"{"resolution": -0.1}"#, "resolution"),
        (r#"{"theta": -1}"#, "theta"),
        (r#"{"n_iterations": 0}"#, "n_iterations"),
        (r#"{"n_iterations": -2}"#, "n_iterations"),
        (r#"{"tolerance": -0.1}"#, "tolerance"),
        (r#"{"tolerance": 1.0}"#, "tolerance"),
        (r#"{"objective": "surprise"}"#, "surprise"),
    ] {
        let error = LeidenOptions::from_json(text).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let options = LeidenOptions { resolution: f64::INFINITY, ..Default::default() };
    assert!(options.validate().is_err());
}

#[test]
fn stops_when_asked() {
    let ctx = Ctx::quiet();
    ctx.token().cancel();
    let csr = cliques(5, 5);
    assert!(matches!(leiden(edges(&csr), None, &seeded(0), &ctx), Err(Error::Interrupted)));
}

#[test]
fn agreement_by_hand() {
    let same = agreement(&[0, 0, 1, 1], &[5, 5, 2, 2]).unwrap();
    assert_eq!((same.adjusted_rand, same.normalized_mutual_information), (1.0, 1.0));
    // sklearn: adjusted_rand_score([0,0,1,1], [0,0,1,2]) and normalized_mutual_info_score of the same.
    let near = agreement(&[0, 0, 1, 1], &[0, 0, 1, 2]).unwrap();
    assert!((near.adjusted_rand - 0.571_428_571_428_571_4).abs() < 1e-12);
    assert!((near.normalized_mutual_information - 0.8).abs() < 1e-12);
    let crossed = agreement(&[0, 0, 1, 1], &[0, 1, 0, 1]).unwrap();
    assert!((crossed.adjusted_rand + 0.5).abs() < 1e-12);
    assert!(crossed.normalized_mutual_information.abs() < 1e-12);
    assert_eq!(agreement(&[], &[]).unwrap().adjusted_rand, 1.0);
    assert_eq!(agreement(&[3], &[4]).unwrap().adjusted_rand, 1.0);
    assert!(agreement(&[0], &[]).is_err());
}

#[test]
fn louvain_finds_cliques_and_planted_groups() {
    let found = louvain(edges(&cliques(6, 5)), &LouvainOptions::default(), &Ctx::quiet()).unwrap();
    assert_eq!(found.n_communities, 6);
    assert!((0..30).all(|node| found.membership[node] == found.membership[node / 5 * 5]));
    let csr = planted(603, 4, 8, 1);
    for seed in 0..3 {
        let options = LouvainOptions { seed, use_weights: true, ..Default::default() };
        let found = louvain(edges(&csr), &options, &Ctx::quiet()).unwrap();
        let score = modularity(edges(&csr), &found.membership, 1.0, true, &Ctx::quiet()).unwrap();
        assert!((found.quality - score).abs() < 1e-12 && found.converged);
        let best = run(&csr, &seeded(seed));
        assert!(found.quality > 0.97 * best.quality, "{} {}", found.quality, best.quality);
        let mut sizes = vec![0usize; found.n_communities];
        found.membership.iter().for_each(|&label| sizes[label as usize] += 1);
        assert!(sizes.is_sorted_by(|a, b| a >= b));
    }
}

#[test]
fn louvain_is_the_same_for_any_number_of_threads() {
    let csr = planted(20_003, 20, 6, 2);
    let one_run = |threads| {
        let options = LouvainOptions { seed: 1, ..Default::default() };
        with_threads(Some(threads), || louvain(edges(&csr), &options, &Ctx::quiet())).unwrap()
    };
    let one = one_run(1);
    assert_eq!(one_run(2), one);
    assert_eq!(one_run(8), one);
}

#[test]
fn louvain_takes_degenerate_graphs_and_refuses_bad_options() {
    let run = |csr: &Csr, options: &LouvainOptions| louvain(edges(csr), options, &Ctx::quiet());
    let fine = LouvainOptions::default();
    assert_eq!(run(&Csr::empty(0, 0), &fine).unwrap().membership, Vec::<u32>::new());
    assert_eq!(run(&Csr::empty(3, 3), &fine).unwrap().membership, [0, 1, 2]);
    let alone = LouvainOptions { resolution: 1e6, ..fine.clone() };
    assert_eq!(run(&cliques(2, 4), &alone).unwrap().n_communities, 8);
    let potts = LouvainOptions { resolution: 0.5, objective: Objective::Cpm, ..fine.clone() };
    assert_eq!(run(&cliques(5, 5), &potts).unwrap().n_communities, 5);
    for resolution in [-1.0, f64::NAN, f64::INFINITY] {
        let error = run(&cliques(2, 3), &LouvainOptions { resolution, ..fine.clone() }).unwrap_err();
        assert!(matches!(error, Error::Parameter { ref name, .. } if name == "resolution"));
    }
}
