use std::sync::Mutex;

use zensaibo_core::data::{Dtype, Grid, Region, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;

const UM: [f64; 3] = [4.0, 1.0, 1.5];

/// Round cells in tissue: places and sizes in micrometres.
struct Scene {
    cells: Vec<([f64; 3], f64, f64)>,
    extent: [f64; 3],
    /// Where there is tissue along x, as a share of the extent.
    tissue: std::ops::Range<f64>,
}

impl Scene {
    fn new(extent: [f64; 3], tissue: std::ops::Range<f64>) -> Self {
        let mut random = Stream::new(7, 0);
        let count = (extent.iter().product::<f64>() / 1500.0) as usize;
        let cells = (0..count)
            .map(|_| {
                let place = std::array::from_fn(|a| extent[a] * random.uniform());
                (place, 3.0 + 2.0 * random.uniform(), 300.0 + 900.0 * random.uniform())
            })
            .filter(|(place, ..): &([f64; 3], f64, f64)| tissue.contains(&(place[2] / extent[2])))
            .collect();
        Self { cells, extent, tissue }
    }

    /// What a camera sees of `shape` voxels whose first lies at `position`, in light that falls off to the sides and fades.
    fn tile(&self, position: [f64; 3], shape: [usize; 3], gain: f64, noise: f64, seed: u64) -> Arc<dyn VolumeBlocks> {
        let mut grid = Grid::filled(shape, 0f64);
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for (x, value) in grid.row_mut(z, y).iter_mut().enumerate() {
                    let share = (position[2] + x as f64 * UM[2]) / self.extent[2];
                    *value = if self.tissue.contains(&share) { 200.0 } else { 20.0 };
                }
            }
        }
        for &(place, sigma, height) in &self.cells {
            let at: [f64; 3] = std::array::from_fn(|a| (place[a] - position[a]) / UM[a]);
            let reach: [f64; 3] = UM.map(|um| 3.5 * sigma / um);
            if (0..3).any(|a| at[a] + reach[a] < 0.0 || at[a] - reach[a] > shape[a] as f64) {
                continue;
            }
            let range = |a: usize| {
                (at[a] - reach[a]).max(0.0) as usize..((at[a] + reach[a]).max(0.0) as usize + 1).min(shape[a])
            };
            let far = |a: usize, n: usize| ((n as f64 - at[a]) * UM[a] / sigma).powi(2);
            for z in range(0) {
                for y in range(1) {
                    for x in range(2) {
                        grid.row_mut(z, y)[x] += height * (-0.5 * (far(0, z) + far(1, y) + far(2, x))).exp();
                    }
                }
            }
        }
        let mut random = Stream::new(seed, 1);
        let mut data = Vec::with_capacity(grid.len());
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let aside = |n: usize, a: usize| (2.0 * n as f64 / shape[a] as f64 - 1.0).powi(2);
                    let light = gain * if noise > 0.0 { 1.0 - 0.2 * (aside(y, 1) + aside(x, 2)) } else { 1.0 };
                    let value = light * grid.at(z, y, x);
                    data.push((value + noise * value.sqrt() * random.normal()).round().clamp(0.0, 65535.0) as u16);
                }
            }
        }
        Arc::new((VolumeInfo::plain(format!("tile {seed}"), shape, Dtype::U16), Grid { shape, data }))
    }
}

/// Tiles of a grid, whose true places differ from those said by up to `jitter` voxels.
fn grid(
    scene: &Scene,
    [rows, columns]: [usize; 2],
    shape: [usize; 3],
    jitter: f64,
    whole: bool,
    noise: f64,
) -> (Vec<Tile>, Vec<[f64; 3]>) {
    let mut random = Stream::new(21, 0);
    let (mut tiles, mut truth) = (Vec::new(), Vec::new());
    for at in 0..rows * columns {
        let step = |a: usize, n: usize| n as f64 * (0.8 * shape[a] as f64).round() * UM[a];
        let position = [0.0, step(1, at / columns), step(2, at % columns)];
        let real: [f64; 3] = std::array::from_fn(|a| {
            let by = jitter * (2.0 * random.uniform() - 1.0) * if a == 0 { 0.4 } else { 1.0 };
            position[a] + UM[a] * (if whole { by.round() } else { by } + jitter)
        });
        // Later tiles are darker, and every other is lit otherwise.
        let gain = if noise > 0.0 { 0.93f64.powi(at as i32) * [1.0, 1.3][at % 2] } else { 1.0 };
        tiles.push(Tile { volume: scene.tile(real, shape, gain, noise, at as u64), position });
        truth.push(real);
    }
    (tiles, truth)
}

/// The largest error in voxels, after the whole is moved to where it fits.
fn error(found: &[[f64; 3]], truth: &[[f64; 3]]) -> f64 {
    let mut worst = 0f64;
    for a in 0..3 {
        let mean = found.iter().zip(truth).map(|(f, t)| f[a] - t[a]).sum::<f64>() / found.len() as f64;
        worst = found.iter().zip(truth).map(|(f, t)| ((f[a] - t[a] - mean) / UM[a]).abs()).fold(worst, f64::max);
    }
    worst
}

fn spacing() -> Spacing {
    Spacing::new(UM).unwrap()
}

fn run(tiles: &[Tile], options: &StitchOptions) -> Result<Stitching> {
    stitch(tiles, spacing(), options, &Ctx::quiet())
}

#[test]
fn whole_shifts_are_found_and_the_whole_is_the_scene() {
    let scene = Scene::new([140.0, 260.0, 390.0], 0.0..1.0);
    let (tiles, truth) = grid(&scene, [2, 2], [20, 110, 120], 5.0, true, 0.0);
    let found = run(&tiles, &StitchOptions::default()).unwrap();
    assert!(error(&found.positions, &truth) < 0.1, "{}", error(&found.positions, &truth));
    assert!(found.placed.iter().all(|&placed| placed) && found.warnings.is_empty(), "{:?}", found.warnings);
    assert!(found.gains.iter().all(|gain| (gain - 1.0).abs() < 0.01), "{:?}", found.gains);
    // At the true places, without gains: the scene itself, to the last count.
    let exact = Stitching { positions: truth.clone(), gains: vec![1.0; 4], ..found };
    let fused = exact.fuse(&tiles, &FuseOptions::default()).unwrap();
    let shape = fused.info().space();
    let low: [f64; 3] = std::array::from_fn(|a| truth.iter().map(|p| p[a]).fold(f64::INFINITY, f64::min));
    let whole = scene.tile(low, shape, 1.0, 0.0, 0);
    let region = Region::whole(shape);
    let read = |volume: &dyn VolumeBlocks| crate::blocks::read_f32(volume, Frame::default(), &region).unwrap();
    let (fused, whole) = (read(&fused), read(whole.as_ref()));
    let covered = fused.data.iter().filter(|&&value| value > 0.0).count();
    assert!(covered > fused.len() * 8 / 10);
    assert!(fused.data.iter().zip(&whole.data).all(|(a, b)| *a == 0.0 || (a - b).abs() <= 1.0));
    let same = fused.data.iter().zip(&whole.data).filter(|(a, b)| a == b).count();
    assert!(same >= covered * 999 / 1000, "{same} of {covered}");
}

#[test]
fn parts_of_voxels_are_found_under_noise_fading_and_uneven_light() {
    let scene = Scene::new([140.0, 380.0, 570.0], 0.0..1.0);
    for noise in [0.0, 1.0, 3.0] {
        let (tiles, truth) = grid(&scene, [3, 3], [20, 110, 120], 6.0, false, noise);
        let found = run(&tiles, &StitchOptions::default()).unwrap();
        let far = error(&found.positions, &truth);
        println!("noise {noise}: {far:.3} voxels, {:?}", found.summary());
        assert!(far < 0.3, "noise {noise}: {far}");
        let summary = found.summary();
        assert!(summary.used >= 12 && summary.closure.unwrap()[1] < 3.0, "{summary:?}");
        if noise > 0.0 {
            let (before, after) = (summary.step_before.unwrap(), summary.step_after.unwrap());
            assert!(before[0] > 15.0 && after[1] < 4.0, "{summary:?}");
            for (at, gain) in found.gains.iter().enumerate() {
                let light = 0.93f64.powi(at as i32) * [1.0, 1.3][at % 2];
                let ratio = gain * light / (found.gains[0] * 1.0);
                assert!((ratio - 1.0).abs() < 0.06, "tile {at}: {ratio}");
            }
        }
    }
}

#[test]
fn tiles_that_need_a_coarse_search_first() {
    let scene = Scene::new([160.0, 420.0, 700.0], 0.0..1.0);
    let (tiles, truth) = grid(&scene, [1, 2], [36, 400, 240], 9.0, false, 1.0);
    let options = StitchOptions { search: Some([60.0, 30.0, 45.0]), ..Default::default() };
    let found = run(&tiles, &options).unwrap();
    assert!(error(&found.positions, &truth) < 0.15, "{}", error(&found.positions, &truth));
}

#[test]
fn same_bits_for_any_threads_memory_and_regions() {
    let scene = Scene::new([140.0, 260.0, 390.0], 0.0..1.0);
    let (tiles, _) = grid(&scene, [2, 2], [20, 110, 120], 5.0, false, 1.0);
    let with = |threads: usize, memory: Option<u64>| {
        let options = StitchOptions { memory, ..Default::default() };
        with_threads(Some(threads), || run(&tiles, &options)).unwrap()
    };
    let one = with(1, None);
    for (threads, memory) in [(2, None), (8, None), (8, Some(200 << 20))] {
        assert!(with(threads, memory) == one);
    }
    for options in [FuseOptions::default(), FuseOptions { blend: Some(10.0), interpolate: false }] {
        let fused = one.fuse(&tiles, &options).unwrap();
        let shape = fused.info().space();
        let whole = crate::blocks::read_f32(&fused, Frame::default(), &Region::whole(shape)).unwrap();
        let parts = Mutex::new(Grid::filled(shape, 0f32));
        for block in [[7, 31, 50], [64, 8, 300]] {
            let plan = crate::blocks::Plan::with_block(shape, block, [0; 3]);
            for threads in [1, 8] {
                with_threads(Some(threads), || {
                    crate::blocks::map_blocks(
                        &plan,
                        "test",
                        &Ctx::quiet(),
                        |region| crate::blocks::read_f32(&fused, Frame::default(), region),
                        |region, part| {
                            parts.lock().unwrap().paste(&part, region.start);
                            Ok(())
                        },
                    )
                })
                .unwrap();
                assert!(parts.lock().unwrap().data == whole.data);
            }
        }
    }
}

#[test]
fn a_pair_that_shows_the_wrong_place_is_dropped() {
    let scene = Scene::new([140.0, 380.0, 570.0], 0.0..1.0);
    let (mut tiles, truth) = grid(&scene, [3, 3], [20, 110, 120], 4.0, false, 0.5);
    // Tile 4's left overlap shows what lies 14 voxels further down: it correlates well, at the wrong place.
    let mut moved = truth[4];
    moved[1] += 14.0 * UM[1];
    let other = scene.tile(moved, [20, 110, 120], 1.0, 0.5, 99);
    let read = |volume: &dyn VolumeBlocks| {
        crate::blocks::read_as::<u16>(volume, Frame::default(), &Region::whole([20, 110, 120])).unwrap()
    };
    let (mut own, other) = (read(tiles[4].volume.as_ref()), read(other.as_ref()));
    for z in 0..20 {
        for y in 26..84 {
            own.row_mut(z, y)[..30].copy_from_slice(&other.row(z, y)[..30]);
        }
    }
    tiles[4].volume = Arc::new((VolumeInfo::plain("fake", [20, 110, 120], Dtype::U16), own));
    let options = StitchOptions { search: Some([16.0, 22.0, 16.0]), ..Default::default() };
    let found = run(&tiles, &options).unwrap();
    let dropped: Vec<(usize, usize)> =
        found.pairs.iter().filter(|pair| pair.verdict == Verdict::Contradicts).map(|pair| (pair.a, pair.b)).collect();
    assert_eq!(dropped, [(3, 4)], "{:?}", found.pairs);
    let wrong = found.pairs.iter().find(|pair| (pair.a, pair.b) == (3, 4)).unwrap();
    assert!(wrong.correlation > 0.6 && (wrong.residual.unwrap()[1].abs() - 14.0).abs() < 0.5, "{wrong:?}");
    assert!(error(&found.positions, &truth) < 0.3, "{}", error(&found.positions, &truth));
    assert!(found.warnings[0].contains("1 of") && found.warnings[0].contains("contradict"), "{:?}", found.warnings);
}

#[test]
fn tiles_without_tissue_follow_their_neighbours_and_are_said() {
    // Tissue ends before the third column.
    let scene = Scene::new([140.0, 260.0, 570.0], 0.0..0.48);
    let (tiles, truth) = grid(&scene, [2, 3], [20, 110, 120], 4.0, false, 1.0);
    let found = run(&tiles, &StitchOptions::default()).unwrap();
    assert_eq!(found.placed, [true, true, false, true, true, false], "{:?}", found.pairs);
    let of = |all: &[[f64; 3]]| [0, 1, 3, 4].map(|at| all[at]).to_vec();
    assert!(error(&of(&found.positions), &of(&truth)) < 0.3);
    // Beside tile 1 as it was said to lie; the other empty tile and those across pull a little.
    for (empty, beside) in [(2, 1), (5, 4)] {
        for a in 0..3 {
            let shift = |at: usize| found.positions[at][a] - found.nominal[at][a];
            assert!((shift(empty) - shift(beside)).abs() < 8.0 * UM[a]);
        }
        assert_eq!(found.gains[empty], 1.0);
    }
    assert!(found.warnings.iter().any(|text| text.contains("2 of 6 tiles") && text.contains("2 (tile 2)")));
}

#[test]
fn what_cannot_be_stitched_is_refused() {
    let scene = Scene::new([140.0, 260.0, 390.0], 0.0..1.0);
    let (tiles, _) = grid(&scene, [1, 2], [20, 110, 120], 4.0, false, 1.0);
    let refused = |tiles: &[Tile], options: &StitchOptions| run(tiles, options).unwrap_err().to_string();
    let plain = StitchOptions::default();
    assert!(refused(&tiles[..1], &plain).contains("at least two"));
    let mut apart = tiles.clone();
    apart[1].position[2] += 1000.0;
    assert!(refused(&apart, &plain).contains("overlap"));
    let mut same = tiles.clone();
    same[1].position = same[0].position;
    assert!(refused(&same, &plain).contains("a position of its own"));
    let noise = |seed: u64| -> Arc<dyn VolumeBlocks> {
        let mut random = Stream::new(seed, 0);
        let data = (0..264_000).map(|_| (100.0 + 10.0 * random.normal()) as u16).collect();
        Arc::new((VolumeInfo::plain("noise", [20, 110, 120], Dtype::U16), Grid { shape: [20, 110, 120], data }))
    };
    let empty: Vec<Tile> = (0..2).map(|at| Tile { volume: noise(at as u64), position: tiles[at].position }).collect();
    assert!(refused(&empty, &plain).contains("1 pairs: 1 low correlation"), "{}", refused(&empty, &plain));
    let mut info = VolumeInfo::plain("bytes", [20, 110, 120], Dtype::U8);
    let other = |info: &VolumeInfo| -> Vec<Tile> {
        let volume = Arc::new((info.clone(), Grid::filled([20, 110, 120], 0u8)));
        vec![tiles[0].clone(), Tile { volume, position: tiles[1].position }]
    };
    assert!(refused(&other(&info), &plain).contains("uint16, as tile 0"));
    info.dtype = Dtype::U16;
    info.shape[1] = 2;
    assert!(refused(&other(&info), &plain).contains("channels"));
    let mut lost = tiles.clone();
    lost[0].position[0] = f64::NAN;
    assert!(refused(&lost, &plain).contains("finite position"));
    for (options, name) in [
        (StitchOptions { channel: 3, ..plain.clone() }, "channel"),
        (StitchOptions { least_correlation: 1.0, ..plain.clone() }, "least_correlation"),
        (StitchOptions { search: Some([-1.0, 2.0, 2.0]), ..plain.clone() }, "search, axis z"),
        (StitchOptions { tolerance: Some(0.0), ..plain.clone() }, "tolerance"),
        (StitchOptions { memory: Some(1 << 20), ..plain.clone() }, "memory"),
    ] {
        assert!(refused(&tiles, &options).contains(name));
    }
    let found = run(&tiles, &plain).unwrap();
    assert!(found.fuse(&tiles[..1], &FuseOptions::default()).err().unwrap().to_string().contains("the 2 tiles"));
    let bad = FuseOptions { blend: Some(-1.0), ..Default::default() };
    assert!(found.fuse(&tiles, &bad).err().unwrap().to_string().contains("blend"));
}

#[test]
fn a_tile_beyond_the_search_is_not_believed() {
    let scene = Scene::new([140.0, 260.0, 390.0], 0.0..1.0);
    let (mut tiles, _) = grid(&scene, [1, 2], [20, 110, 120], 0.0, true, 0.5);
    tiles[1].position[1] += 10.0 * UM[1];
    let options = StitchOptions { search: Some([8.0, 6.0, 9.0]), ..Default::default() };
    let refused = run(&tiles, &options).unwrap_err().to_string();
    assert!(refused.contains("low correlation") || refused.contains("at the border"), "{refused}");
    let wider = StitchOptions { search: Some([8.0, 16.0, 9.0]), ..Default::default() };
    let found = run(&tiles, &wider).unwrap();
    assert!((found.pairs[0].shift[1] + 10.0).abs() < 0.2, "{:?}", found.pairs);
}
