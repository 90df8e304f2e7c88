use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::negative_binomial::{Rows, fit};
use super::*;

/// Two groups of `a` and `b` samples: intercept and the second group.
fn two_groups(a: usize, b: usize) -> Rows {
    Rows { values: (0..a + b).flat_map(|at| [1.0, f64::from(u8::from(at >= a))]).collect(), columns: 2 }
}

#[test]
fn two_groups_by_hand() {
    // Without offsets the fitted means are those of the groups, for any dispersion.
    let counts = [3.0, 5.0, 10.0, 20.0, 40.0, 9.0];
    for dispersion in [0.0, 0.1, 3.0] {
        let found = fit(&counts, &two_groups(3, 3), &[0.0; 6], dispersion);
        assert!((found.coefficients[0] - 6f64.ln()).abs() < 1e-9);
        assert!((found.coefficients[1] - (23f64 / 6.0).ln()).abs() < 1e-9, "{dispersion}: {found:?}");
        // 1 / sum of weights in each group.
        let weight = |mean: f64| 3.0 * mean / (1.0 + dispersion * mean);
        let expected = 1.0 / weight(6.0) + 1.0 / weight(23.0);
        assert!((found.variance(1) - expected).abs() < 1e-9 * expected);
    }
    // An offset is a factor of the mean.
    let offsets = [2f64.ln(); 6];
    let found = fit(&counts, &two_groups(3, 3), &offsets, 0.2);
    assert!((found.coefficients[0] - 3f64.ln()).abs() < 1e-9);
    // With a covariate there is no formula: the likelihood is flat along every coefficient.
    let rows = Rows { values: (0..6).flat_map(|at| [1.0, f64::from(at) - 2.5]).collect(), columns: 2 };
    let found = fit(&counts, &rows, &offsets, 0.3);
    for column in 0..2 {
        let slope: f64 = (0..6)
            .map(|at| rows.row(at)[column] * (counts[at] - found.means[at]) / (1.0 + 0.3 * found.means[at]))
            .sum();
        assert!(slope.abs() < 1e-8, "{column}: {slope}");
    }
    // A group without a cell settles, and says nothing of its coefficient.
    let found = fit(&[0.0, 0.0, 0.0, 4.0, 5.0, 6.0], &two_groups(3, 3), &[0.0; 6], 0.1);
    assert!(found.coefficients[0] < -20.0 && found.variance(1) > 1e6 && found.deviance.is_finite());
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|at| format!("m{at}")).collect()
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let ctx = Ctx::quiet();
    let design = two_groups(2, 2);
    let columns = || vec!["intercept".to_string(), "group".to_string()];
    let counts = [50.0, 3.0, 60.0, 4.0, 70.0, 5.0, 80.0, 0.0];
    let run = |counts: &[f64], design: &Rows, options: &CompareRegionsOptions| {
        let offsets = vec![0.0; counts.len()];
        let n = design.len();
        compare_regions(counts, &offsets, &design.values, columns(), names(n), 1, &[None, Some(0)], options, &ctx)
    };
    let options = CompareRegionsOptions::default();
    let found = run(&counts, &design, &options).unwrap();
    assert!(found.effects[0].p > 0.0 && found.effects[1].p > 0.0 && found.finest == 1);
    let few = CompareRegionsOptions { min_cells: 20.0, ..options.clone() };
    let found = run(&counts, &design, &few).unwrap();
    assert!(found.effects[1].p.is_nan() && found.corrected.flat[1].is_nan() && found.effects[0].p.is_finite());
    let message = |result: zensaibo_core::Result<RegionComparison>| result.unwrap_err().to_string();
    assert!(message(run(&[0.0; 8], &design, &options)).contains("min_cells"));
    assert!(message(run(&[0.5; 8], &design, &options)).contains("whole numbers"));
    assert!(message(run(&counts[..6], &two_groups(1, 2), &options)).contains("sample m0"));
    assert!(message(run(&counts[..4], &two_groups(1, 1), &options)).contains("more samples"));
    assert!(message(run(&counts, &Rows { values: vec![1.0; 8], columns: 2 }, &options)).contains("combination"));
    for bad in [
        CompareRegionsOptions { dispersion: Some(-1.0), ..options.clone() },
        CompareRegionsOptions { min_cells: 0.0, ..options.clone() },
        CompareRegionsOptions { coverage: 1.0, ..options.clone() },
    ] {
        assert!(run(&counts, &design, &bad).is_err());
    }
}

struct Memory {
    info: VolumeInfo,
    data: Vec<f32>,
}

impl VolumeBlocks for Memory {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }
    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> zensaibo_core::Result<()> {
        self.info.check(frame, region)?;
        let grid = Grid { shape: self.info.space(), data: self.data.clone() };
        out.copy_from_slice(bytemuck::cast_slice(&grid.crop(region).data));
        Ok(())
    }
}

/// Volumes of noise; the first `first` are `effect` higher in a box.
fn noise(n: usize, shape: [usize; 3], first: usize, effect: f32, seed: u64) -> Vec<Memory> {
    let voxels: usize = shape.iter().product();
    (0..n)
        .map(|sample| {
            let mut stream = Stream::new(seed, sample as u64);
            let mut data: Vec<f32> = (0..voxels).map(|_| stream.normal() as f32).collect();
            if sample < first && effect != 0.0 {
                for z in 1..3 {
                    for y in 1..3 {
                        for x in 1..4 {
                            data[(z * shape[1] + y) * shape[2] + x] += effect;
                        }
                    }
                }
            }
            Memory { info: VolumeInfo::plain(format!("v{sample}"), shape, Dtype::F32), data }
        })
        .collect()
}

fn blocks(volumes: &[Memory]) -> Vec<&dyn VolumeBlocks> {
    volumes.iter().map(|volume| volume as &dyn VolumeBlocks).collect()
}

#[test]
fn maps_equal_the_slow_version() {
    let (n, first, shape) = (6, 3, [3, 4, 5]);
    let volumes = noise(n, shape, first, 2.0, 1);
    let options = CompareVolumesOptions::default();
    let found = compare_volumes(&blocks(&volumes), first, None, &options, None, &Ctx::quiet()).unwrap();
    assert!(found.exact && found.largest.len() == 20);
    // All twenty ways, t by its definition.
    let t = |group: u32, voxel: usize| {
        let side = |inside: bool| -> Vec<f64> {
            (0..n).filter(|s| (group >> s & 1 == 1) == inside).map(|s| f64::from(volumes[s].data[voxel])).collect()
        };
        let [a, b] = [side(true), side(false)].map(|values| {
            let mean = values.iter().sum::<f64>() / 3.0;
            (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2.0 / 3.0)
        });
        (a.0 - b.0) / (a.1 + b.1).sqrt()
    };
    let ways: Vec<u32> = (0..64).filter(|group: &u32| group.count_ones() == 3).collect();
    let most: Vec<f64> = ways.iter().map(|&way| (0..60).map(|voxel| t(way, voxel).abs()).fold(0.0, f64::max)).collect();
    for voxel in 0..60 {
        let own = t(7, voxel);
        assert!((f64::from(found.statistic.data[voxel]) - own).abs() < 1e-5 * own.abs().max(1.0));
        let share = |reached: usize| reached as f64 / 20.0;
        let p = share(ways.iter().filter(|&&way| t(way, voxel).abs() >= own.abs() * (1.0 - 1e-7)).count());
        let whole = share(most.iter().filter(|&&most| most >= own.abs() * (1.0 - 1e-7)).count());
        assert!((f64::from(found.p.data[voxel]) - p).abs() < 1e-6, "{voxel}");
        assert!((f64::from(found.p_corrected.data[voxel]) - whole).abs() < 1e-6, "{voxel}");
    }
}

#[test]
fn threads_and_memory_change_nothing() {
    let volumes = noise(9, [7, 9, 23], 4, 3.0, 2);
    let sources = blocks(&volumes);
    let mut mask = Grid::filled([7, 9, 23], 1u8);
    (0..mask.len()).step_by(11).for_each(|at| mask.data[at] = 0);
    for control in [Control::Max, Control::Cluster] {
        for statistic in [Statistic::Welch, Statistic::Difference] {
            let options =
                CompareVolumesOptions { control, statistic, threshold: 2.0, n_permutations: 70, ..Default::default() };
            let run = |threads: usize, memory: Option<u64>| {
                with_threads(Some(threads), || {
                    compare_volumes(&sources, 4, Some(&mask), &options, memory, &Ctx::quiet())
                })
                .unwrap()
            };
            let one = run(1, None);
            assert!(!one.exact && one.statistic.data[0].is_nan() && one.p_corrected.data[1] <= 1.0);
            for other in [run(2, Some(1)), run(8, Some(100_000)), run(3, None)] {
                assert_eq!(one.largest, other.largest);
                assert_eq!(one.clusters, other.clusters);
                for (a, b) in [
                    (&one.statistic, &other.statistic),
                    (&one.p, &other.p),
                    (&one.p_corrected, &other.p_corrected),
                    (&one.difference, &other.difference),
                ] {
                    assert!(a.data.iter().zip(&b.data).all(|(a, b)| a.to_bits() == b.to_bits()));
                }
            }
        }
    }
}

#[test]
fn a_planted_cluster_is_found() {
    let volumes = noise(12, [6, 7, 8], 6, 4.0, 3);
    let options =
        CompareVolumesOptions { control: Control::Cluster, threshold: 3.5, n_permutations: 400, ..Default::default() };
    let found = compare_volumes(&blocks(&volumes), 6, None, &options, None, &Ctx::quiet()).unwrap();
    let (clusters, numbers) = found.clusters.unwrap();
    assert!(clusters[0].voxels >= 10 && clusters[0].p <= 0.01 && clusters[0].peak > 0.0, "{clusters:?}");
    assert!((1..3).contains(&clusters[0].at[0]) && (1..4).contains(&clusters[0].at[2]));
    assert_eq!(numbers.data.iter().filter(|&&number| number == 1).count() as u64, clusters[0].voxels);
    assert!(
        (found.p_corrected.data[numbers.data.iter().position(|&n| n == 1).unwrap()] - clusters[0].p as f32).abs()
            < 1e-6
    );
    // The other way round it lies below, and asked for what lies above there is nothing large.
    let turned: Vec<&dyn VolumeBlocks> = blocks(&volumes[6..]).into_iter().chain(blocks(&volumes[..6])).collect();
    let greater = CompareVolumesOptions { alternative: Alternative::Greater, ..options.clone() };
    let none = compare_volumes(&turned, 6, None, &greater, None, &Ctx::quiet()).unwrap();
    assert!(none.clusters.unwrap().0.iter().all(|cluster| cluster.p > 0.05));
    let less = CompareVolumesOptions { alternative: Alternative::Less, ..options };
    let below = compare_volumes(&turned, 6, None, &less, None, &Ctx::quiet()).unwrap();
    assert_eq!(below.clusters.unwrap().0[0].voxels, clusters[0].voxels);
}

#[test]
fn volumes_that_cannot_be_compared_are_refused() {
    let volumes = noise(4, [2, 2, 2], 2, 0.0, 4);
    let options = CompareVolumesOptions::default();
    let ctx = Ctx::quiet();
    let message = |volumes: &[Memory], first: usize, mask: Option<&Grid<u8>>, options: &CompareVolumesOptions| {
        compare_volumes(&blocks(volumes), first, mask, options, None, &ctx).unwrap_err().to_string()
    };
    assert!(message(&volumes, 3, None, &options).contains("at least two"));
    assert!(message(&volumes, 0, None, &options).contains("at least two"));
    assert!(message(&volumes, 2, Some(&Grid::filled([2, 2, 2], 0)), &options).contains("mask"));
    assert!(message(&volumes, 2, Some(&Grid::filled([2, 2, 3], 1)), &options).contains("mask"));
    let mut broken = noise(4, [2, 2, 2], 2, 0.0, 4);
    broken[3].data[5] = f32::NAN;
    assert!(message(&broken, 2, None, &options).contains("[1, 0, 1] of volume 4"));
    let mut other = noise(3, [2, 2, 2], 2, 0.0, 4);
    other.extend(noise(1, [2, 2, 3], 2, 0.0, 4));
    assert!(message(&other, 2, None, &options).contains("one shape"));
    let none = CompareVolumesOptions { n_permutations: 1, ..options.clone() };
    assert!(message(&volumes, 2, None, &none).contains("n_permutations"));
    let flat = CompareVolumesOptions { control: Control::Cluster, threshold: 0.0, ..options };
    assert!(message(&volumes, 2, None, &flat).contains("threshold"));
    // Volumes without variation differ nowhere.
    let same: Vec<Memory> = (0..4)
        .map(|at| Memory { info: VolumeInfo::plain(format!("{at}"), [2, 2, 2], Dtype::F32), data: vec![3.0; 8] })
        .collect();
    let found = compare_volumes(&blocks(&same), 2, None, &CompareVolumesOptions::default(), None, &ctx).unwrap();
    assert!(found.statistic.data.iter().all(|&t| t == 0.0) && found.p_corrected.data.iter().all(|&p| p == 1.0));
}
