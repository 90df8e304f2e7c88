use ndarray::Array2;

use super::clustering::Clustering;
use super::design::Design;
use super::*;
use crate::matrix::ValueSlice;
use crate::parallel::with_threads;
use crate::random::Stream;

/// Cells of three types in `batches` batches, each batch shifted by its own vector; type and batch of each cell.
fn cells(n: usize, d: usize, batches: usize, seed: u64) -> (Vec<f32>, Vec<u32>, Vec<u32>) {
    let mut stream = Stream::new(seed, 0);
    let centres: Vec<f64> = (0..3 * d).map(|_| 6.0 * stream.normal()).collect();
    let shifts: Vec<f64> = (0..batches * d).map(|_| 2.0 * stream.normal()).collect();
    let (mut values, mut types, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let (kind, batch) = (stream.below(3) as usize, stream.below(batches as u64) as usize);
        for j in 0..d {
            values.push((centres[kind * d + j] + shifts[batch * d + j] + stream.normal()) as f32);
        }
        types.push(kind as u32);
        codes.push(batch as u32);
    }
    (values, types, codes)
}

fn key(codes: &[u32]) -> BatchKey<'_> {
    BatchKey { name: "batch", codes, n_levels: codes.iter().max().map_or(0, |&code| code as usize + 1) }
}

fn correct(values: &[f32], n: usize, keys: &[BatchKey<'_>], options: &HarmonyOptions) -> Harmony {
    let points = Points::new(n, values.len() / n, ValueSlice::F32(values)).unwrap();
    harmony(&points, keys, options, &Ctx::quiet()).unwrap()
}

/// Mean distance of the batches' means within a type, over the mean distance of the types.
fn gap(values: &[f32], d: usize, types: &[u32], codes: &[u32], batches: usize) -> f64 {
    let mean = |wanted: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let rows: Vec<usize> = (0..types.len()).filter(|&row| wanted(row)).collect();
        (0..d).map(|j| rows.iter().map(|&r| f64::from(values[r * d + j])).sum::<f64>() / rows.len() as f64).collect()
    };
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
    let of_types: Vec<Vec<f64>> = (0..3).map(|kind| mean(&|row| types[row] == kind)).collect();
    let far = distance(&of_types[0], &of_types[1]) + distance(&of_types[1], &of_types[2]);
    let mut near = 0.0;
    for kind in 0..3 {
        for batch in 1..batches as u32 {
            let first = mean(&|row| types[row] == kind && codes[row] == 0);
            near += distance(&first, &mean(&|row| types[row] == kind && codes[row] == batch));
        }
    }
    near / far
}

/// Harmony with every matrix written out in f64: the same design, start and order, none of the shortcuts.
fn slowly(values: &[f32], n: usize, keys: &[BatchKey<'_>], options: &HarmonyOptions) -> (Vec<f64>, Vec<f64>) {
    let d = values.len() / n;
    let design = Design::new(n, keys, options.block_proportion, options.random_state).unwrap();
    let k = options.n_clusters.unwrap();
    let theta = thetas(&design, keys.len(), k, options).unwrap();
    let levels = design.n_levels();
    let z = Array2::from_shape_fn((n, d), |(i, j)| f64::from(values[design.order[i] as usize * d + j]));
    let unit_rows = |m: &Array2<f64>| {
        let mut m = m.clone();
        m.rows_mut().into_iter().for_each(|mut row| {
            let norm = row.dot(&row).sqrt();
            row /= norm;
        });
        m
    };
    let mut unit = unit_rows(&z);
    let single: Vec<f32> = unit.iter().map(|&x| x as f32).collect();
    let centroids = start::centroids(&single, d, k, options.random_state, &Ctx::quiet()).unwrap();
    let mut y = Array2::from_shape_fn((k, d), |(i, j)| f64::from(centroids[i * d + j]));
    let mut phi = Array2::<f64>::zeros((n, levels));
    for segment in &design.segments {
        for row in segment.rows.clone() {
            design.combinations[segment.combination].iter().for_each(|&level| phi[(row, level as usize)] = 1.0);
        }
    }
    let share: Vec<f64> = design.counts.iter().map(|count| count / n as f64).collect();
    let softmax = |unit: &Array2<f64>, y: &Array2<f64>| {
        let mut r = unit.dot(&y.t()).mapv(|x| (-2.0 * (1.0 - x) / options.sigma).exp());
        r.rows_mut().into_iter().for_each(|mut row| {
            let sum = row.sum();
            row /= sum;
        });
        r
    };
    let expected = |r: &Array2<f64>| {
        let sums = r.sum_axis(ndarray::Axis(0));
        Array2::from_shape_fn((levels, k), |(level, cluster)| share[level] * sums[cluster])
    };
    let power = |o: &Array2<f64>, e: &Array2<f64>| {
        Array2::from_shape_fn((levels, k), |at| {
            let ratio = match options.flavor {
                Flavor::Harmony1 => (e[at] + 1.0) / (o[at] + 1.0),
                Flavor::Harmony2 => (2.0 * e[at] + 1.0) / (o[at] + e[at] + 1.0),
            };
            ratio.powf(theta[at.0])
        })
    };
    let objective = |r: &Array2<f64>, unit: &Array2<f64>, y: &Array2<f64>| {
        let distance = unit.dot(&y.t()).mapv(|x| 2.0 * (1.0 - x));
        let (o, e) = (phi.t().dot(r), expected(r));
        let cross = phi.dot(&power(&o, &e).mapv(|x| -x.ln()));
        let mut sum = 0.0;
        for ((r, distance), cross) in r.iter().zip(&distance).zip(&cross) {
            sum += r * distance + options.sigma * (r * r.max(1e-300).ln() + r * cross);
        }
        sum * 2000.0 / n as f64
    };
    let mut r = softmax(&unit, &y);
    let mut objectives = vec![objective(&r, &unit, &y)];
    let mut corrected = z.clone();
    let mut rounds_done = 0;
    for iteration in 0..options.max_iter_harmony {
        if options.flavor == Flavor::Harmony2 && iteration > 0 {
            r = softmax(&unit, &y);
        }
        for _ in 0..options.max_iter_clustering.unwrap() {
            if options.flavor == Flavor::Harmony1 {
                y = unit_rows(&r.t().dot(&unit));
            }
            let soft = softmax(&unit, &y);
            let mut order: Vec<usize> = (0..design.blocks.len()).collect();
            Stream::new(options.random_state, (3 << 40) + rounds_done).shuffle(&mut order);
            rounds_done += 1;
            for block in order {
                let segments = &design.segments[design.blocks[block].clone()];
                let rows: Vec<usize> = segments.iter().flat_map(|segment| segment.rows.clone()).collect();
                let mut others = r.clone();
                rows.iter().for_each(|&row| others.row_mut(row).fill(0.0));
                let penalty = phi.dot(&power(&phi.t().dot(&others), &expected(&others)));
                for row in rows {
                    let mut new = &soft.row(row) * &penalty.row(row);
                    new /= new.sum();
                    r.row_mut(row).assign(&new);
                }
            }
        }
        objectives.push(objective(&r, &unit, &y));
        let (o, e) = (phi.t().dot(&r), expected(&r));
        corrected = z.clone();
        for cluster in 0..k {
            let mut design_matrix = Array2::<f64>::ones((n, levels + 1));
            design_matrix.slice_mut(ndarray::s![.., 1..]).assign(&phi);
            let weighted = &design_matrix * &r.column(cluster).insert_axis(ndarray::Axis(1));
            let mut normal = weighted.t().dot(&design_matrix);
            for level in 0..levels {
                normal[(level + 1, level + 1)] += match options.flavor {
                    Flavor::Harmony1 => options.ridge_lambda,
                    Flavor::Harmony2 => options.alpha * e[(level, cluster)],
                };
                assert!(o[(level, cluster)] / design.counts[level] > 1e-5, "nothing to leave out in this test");
            }
            let mut w = zensaibo_linalg::solve(normal.view(), weighted.t().dot(&z).view()).unwrap();
            if options.flavor == Flavor::Harmony2 {
                y.row_mut(cluster).assign(&w.row(0));
            }
            w.row_mut(0).fill(0.0);
            corrected = corrected - weighted.dot(&w);
        }
        y = unit_rows(&y);
        unit = unit_rows(&corrected);
    }
    let mut out = vec![0f64; n * d];
    for (place, &cell) in design.order.iter().enumerate() {
        out[cell as usize * d..(cell as usize + 1) * d].copy_from_slice(corrected.row(place).as_slice().unwrap());
    }
    (out, objectives)
}

#[test]
fn agrees_with_every_matrix_written_out() {
    let (n, d) = (400, 5);
    let (values, _, first) = cells(n, d, 3, 1);
    let second: Vec<u32> = (0..n as u32).map(|i| u32::from(i % 5 < 2)).collect();
    for flavor in [Flavor::Harmony1, Flavor::Harmony2] {
        for keys in [vec![key(&first)], vec![key(&first), key(&second)]] {
            let options = HarmonyOptions {
                flavor,
                n_clusters: Some(4),
                sigma: 0.3,
                max_iter_harmony: 3,
                max_iter_clustering: Some(3),
                tol_harmony: Some(0.0),
                theta: if keys.len() == 2 { Theta::Each(vec![2.0, 0.5]) } else { Theta::One(1.5) },
                tau: 2.0,
                block_proportion: 0.1,
                random_state: 5,
                ..HarmonyOptions::default()
            };
            let found = correct(&values, n, &keys, &options);
            let (slow, objectives) = slowly(&values, n, &keys, &options);
            for (a, b) in found.objective.iter().zip(&objectives) {
                assert!((a - b).abs() < 1e-4 * b.abs(), "{flavor:?} {a} {b}");
            }
            let largest = found.corrected.iter().zip(&slow).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
            assert!(found.objective.len() > 1 && largest < 2e-3, "{flavor:?} {} keys: {largest}", keys.len());
        }
    }
}

#[test]
fn batches_come_together_and_types_stay_apart() {
    let (n, d) = (1500, 10);
    let (values, types, codes) = cells(n, d, 3, 2);
    let before = gap(&values, d, &types, &codes, 3);
    for flavor in [Flavor::Harmony1, Flavor::Harmony2] {
        let found = correct(&values, n, &[key(&codes)], &HarmonyOptions { flavor, ..HarmonyOptions::default() });
        let after = gap(&found.corrected, d, &types, &codes, 3);
        assert!(after < 0.25 * before, "{flavor:?}: {before} {after}");
        assert!(
            found.objective.windows(2).all(|pair| pair[1] < pair[0] + 0.02 * pair[0].abs()),
            "{:?}",
            found.objective
        );
        let cells: f64 = found.cluster_sizes.iter().sum();
        assert!((cells - n as f64).abs() < 0.01, "{cells}");
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let (n, d) = (3000, 7);
    let (values, types, codes) = cells(n, d, 4, 3);
    for flavor in [Flavor::Harmony1, Flavor::Harmony2] {
        let options = HarmonyOptions { flavor, max_iter_clustering: Some(5), ..HarmonyOptions::default() };
        let run = |threads| {
            with_threads(Some(threads), || Ok(correct(&values, n, &[key(&codes), key(&types)], &options))).unwrap()
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(8));
        let other = HarmonyOptions { random_state: 1, ..options.clone() };
        assert_ne!(one, correct(&values, n, &[key(&codes), key(&types)], &other));
    }
}

#[test]
fn shares_of_a_cell_sum_to_one() {
    let (n, d) = (900, 4);
    let (values, _, codes) = cells(n, d, 2, 4);
    let design = Design::new(n, &[key(&codes)], 0.05, 0).unwrap();
    let mut unit: Vec<f32> = design.order.iter().flat_map(|&c| values[c as usize * d..][..d].to_vec()).collect();
    normalize_rows(&mut unit, d);
    let ctx = Ctx::quiet();
    let centroids = start::centroids(&unit, d, 5, 0, &ctx).unwrap();
    let mut clustering = Clustering::new(&design, Flavor::Harmony2, d, centroids, 0.05, vec![2.0; 2], 0);
    clustering.soften(&unit, &ctx).unwrap();
    clustering.reset(&ctx).unwrap();
    clustering.round(&ctx).unwrap();
    for index in 0..design.tiles.len() {
        for row in clustering.of_tile(index).chunks(clustering.width()) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row[5..].iter().all(|&x| x == 0.0));
        }
    }
}

#[test]
fn one_batch_and_few_cells() {
    let (values, _, _) = cells(50, 3, 1, 5);
    let found = correct(&values, 50, &[key(&[0; 50])], &HarmonyOptions::default());
    assert_eq!(found.corrected, values);
    let single = correct(&values[..3], 1, &[key(&[0])], &HarmonyOptions::default());
    assert_eq!((single.corrected.as_slice(), single.n_clusters), (&values[..3], 1));
    // Two cells in two batches, cells at the origin, a batch of one cell, very small sigma and large theta.
    let two = correct(&values[..6], 2, &[key(&[0, 1])], &HarmonyOptions::default());
    assert!(two.corrected.iter().all(|x| x.is_finite()));
    let zeros = correct(&[0.0; 60], 20, &[key(&[[0; 10], [1; 10]].concat())], &HarmonyOptions::default());
    assert_eq!(zeros.corrected, [0.0; 60]);
    let mut codes = vec![0u32; 50];
    codes[7] = 1;
    for flavor in [Flavor::Harmony1, Flavor::Harmony2] {
        let hard = HarmonyOptions { flavor, sigma: 1e-3, theta: Theta::One(500.0), ..HarmonyOptions::default() };
        let found = correct(&values, 50, &[key(&codes)], &hard);
        assert!(found.corrected.iter().chain(&found.centroids).all(|x| x.is_finite()), "{flavor:?}");
    }
    // Levels without cells change nothing.
    let (wide, narrow) = (BatchKey { name: "b", codes: &[0, 4, 0, 4], n_levels: 9 }, key(&[0, 1, 0, 1]));
    let options = HarmonyOptions::default();
    assert_eq!(correct(&values[..12], 4, &[wide], &options), correct(&values[..12], 4, &[narrow], &options));
}

#[test]
fn faults_are_named() {
    let (values, _, codes) = cells(40, 3, 2, 6);
    let points = Points::new(40, 3, ValueSlice::F32(&values)).unwrap();
    let usual = HarmonyOptions::default();
    let fault = |options: HarmonyOptions, keys: &[BatchKey<'_>]| {
        harmony(&points, keys, &options, &Ctx::quiet()).unwrap_err().to_string()
    };
    for (options, name) in [
        (HarmonyOptions { n_clusters: Some(0), ..usual.clone() }, "n_clusters"),
        (HarmonyOptions { n_clusters: Some(41), ..usual.clone() }, "at most the number of cells, 40"),
        (HarmonyOptions { max_iter_harmony: 0, ..usual.clone() }, "max_iter_harmony"),
        (HarmonyOptions { max_iter_clustering: Some(0), ..usual.clone() }, "max_iter_clustering"),
        (HarmonyOptions { sigma: 0.0, ..usual.clone() }, "sigma"),
        (HarmonyOptions { theta: Theta::One(-1.0), ..usual.clone() }, "theta"),
        (HarmonyOptions { theta: Theta::Each(vec![1.0, 2.0]), ..usual.clone() }, "theta"),
        (HarmonyOptions { tau: f64::NAN, ..usual.clone() }, "tau"),
        (HarmonyOptions { tol_harmony: Some(-1.0), ..usual.clone() }, "tol_harmony"),
        (HarmonyOptions { tol_clustering: Some(f64::INFINITY), ..usual.clone() }, "tol_clustering"),
        (HarmonyOptions { alpha: 0.0, ..usual.clone() }, "alpha"),
        (HarmonyOptions { alpha: 0.3, flavor: Flavor::Harmony1, ..usual.clone() }, "alpha"),
        (HarmonyOptions { ridge_lambda: 2.0, ..usual.clone() }, "ridge_lambda"),
        (HarmonyOptions { batch_prune_threshold: Some(2.0), ..usual.clone() }, "batch_prune_threshold"),
        (HarmonyOptions { batch_prune_threshold: None, flavor: Flavor::Harmony1, ..usual.clone() }, "batch_prune"),
        (HarmonyOptions { block_proportion: 0.0, ..usual.clone() }, "block_proportion"),
    ] {
        let message = fault(options, &[key(&codes)]);
        assert!(message.contains(name), "{name}: {message}");
    }
    assert!(fault(usual.clone(), &[]).contains("batch key"));
    assert!(fault(usual.clone(), &[key(&codes[1..])]).contains("40 labels"));
    assert!(fault(usual, &[BatchKey { name: "plate", codes: &codes, n_levels: 1 }]).contains("plate"));
}
