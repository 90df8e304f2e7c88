use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::blocks::read_as;
use crate::matching::Overlaps;
use crate::morphology::Connectivity;
use crate::phantom::{Phantom, PhantomOptions};
use crate::space::Spacing;

fn labels(grid: &Grid<u32>) -> (VolumeInfo, Grid<u32>) {
    (VolumeInfo::plain("labels", grid.shape, Dtype::U32), grid.clone())
}

/// Takes the voxel of least value, then least age, then least place by looking at all that wait.
fn slow(image: &Grid<f32>, markers: &Grid<u32>, mask: &Grid<u8>, connectivity: Connectivity) -> Vec<u32> {
    let [depth, height, width] = image.shape;
    let mut out: Vec<u32> = markers.data.iter().zip(&mask.data).map(|(&m, &k)| if k == 0 { 0 } else { m }).collect();
    let mut waiting: Vec<(f32, usize, usize)> =
        (0..out.len()).filter(|&at| out[at] != 0).map(|at| (image.data[at], 0, at)).collect();
    let most = match connectivity {
        Connectivity::Faces => 1,
        Connectivity::Edges => 2,
        Connectivity::Corners => 3,
    };
    let mut age = 0;
    while !waiting.is_empty() {
        let next = (0..waiting.len()).min_by(|&a, &b| waiting[a].partial_cmp(&waiting[b]).unwrap()).unwrap();
        let (_, _, at) = waiting.swap_remove(next);
        let place = [at / width / height, at / width % height, at % width];
        for distance in 1..=most {
            for step in 0..27isize {
                let step = [step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1];
                if step.iter().map(|s| s.abs()).sum::<isize>() != distance {
                    continue;
                }
                let to: [usize; 3] = std::array::from_fn(|a| place[a].wrapping_add_signed(step[a]));
                if to[0] >= depth || to[1] >= height || to[2] >= width {
                    continue;
                }
                let to = image.index(to[0], to[1], to[2]);
                if mask.data[to] != 0 && out[to] == 0 {
                    out[to] = out[at];
                    age += 1;
                    waiting.push((image.data[to], age, to));
                }
            }
        }
    }
    out
}

#[test]
fn watershed_follows_value_then_age() {
    for (seed, connectivity) in [(1, Connectivity::Faces), (2, Connectivity::Edges), (3, Connectivity::Corners)] {
        let shape = [6, 9, 11];
        let mut random = Stream::new(seed, 0);
        let count = shape.iter().product();
        // Few values, so that plateaus are many.
        let image = Grid { shape, data: (0..count).map(|_| random.below(4) as f32 - 2.0).collect() };
        let mask = Grid { shape, data: (0..count).map(|_| u8::from(random.uniform() < 0.75)).collect() };
        let mut markers = Grid::filled(shape, 0u32);
        for k in 0..12 {
            markers.data[random.below(count as u64) as usize] = u32::MAX - k;
        }
        let options = WatershedOptions { connectivity };
        let run = |threads| {
            with_threads(Some(threads), || watershed(&image, &markers, Some(&mask), &options, &Ctx::quiet())).unwrap()
        };
        let found = run(1);
        assert_eq!(found.data, slow(&image, &markers, &mask, connectivity));
        assert_eq!(run(8), found);
        let everywhere = Grid::filled(shape, 1u8);
        let all = watershed(&image, &markers, None, &options, &Ctx::quiet()).unwrap();
        assert_eq!(all.data, slow(&image, &markers, &everywhere, connectivity));
        assert!(all.data.iter().all(|&label| label != 0));
    }
}

#[test]
fn watershed_refuses_what_it_cannot_flood() {
    let image = Grid::filled([2, 2, 2], f32::NAN);
    let markers = Grid::filled([2, 2, 2], 1u32);
    let options = WatershedOptions::default();
    let refused = watershed(&image, &markers, None, &options, &Ctx::quiet()).unwrap_err().to_string();
    assert!(refused.contains("NaN"));
    let outside = Grid::filled([2, 2, 2], 0u8);
    let none = watershed(&image, &markers, Some(&outside), &options, &Ctx::quiet()).unwrap();
    assert!(none.data.iter().all(|&label| label == 0));
    let short = Grid::filled([2, 2, 1], 1u32);
    assert!(watershed(&image, &short, None, &options, &Ctx::quiet()).unwrap_err().to_string().contains("markers"));
}

fn run(volume: &dyn VolumeBlocks, options: &NucleiOptions, memory: Option<u64>, threads: usize) -> Nuclei {
    let spacing = Spacing::new(volume.info().spacing.unwrap_or([1.0; 3])).unwrap();
    with_threads(Some(threads), || segment_nuclei(volume, Frame::default(), spacing, options, memory, &Ctx::quiet()))
        .unwrap()
}

#[test]
fn dense_nuclei_are_found_and_outlined() {
    // A tenth of the volume is nuclei, 8 voxels across, as dense as brain; then anisotropic with all that goes wrong.
    let isotropic = PhantomOptions {
        shape: [80, 96, 96],
        spacing: [2.0; 3],
        nuclei: 260,
        diameter: 16.0,
        seed: 11,
        ..PhantomOptions::default()
    };
    let worse = PhantomOptions {
        shape: [40, 100, 100],
        spacing: [5.0, 2.0, 2.0],
        nuclei: 260,
        pairs: 0.3,
        attenuation: Some(400.0),
        bleaching: 0.2,
        stripes: 0.03,
        tile: Some(100.0),
        tile_gain: 0.05,
        tears: 1,
        ..isotropic.clone()
    };
    // Between the crack and the border of the volume lie slivers of tissue that are dark all around (seed 6: twenty).
    let others = [0, 6].map(|seed| PhantomOptions { seed, ..worse.clone() });
    for (options, f1, seg) in
        [(isotropic, 0.98, 0.85), (worse, 0.98, 0.85)].into_iter().chain(others.map(|options| (options, 0.98, 0.85)))
    {
        let phantom = Phantom::new(&options).unwrap();
        let found = run(&phantom, &NucleiOptions { diameter: 16.0, ..NucleiOptions::default() }, None, 2);
        let truth = phantom.labels();
        let overlaps =
            Overlaps::count(&truth, Frame::default(), &labels(&found.labels), Frame::default(), None, &Ctx::quiet())
                .unwrap();
        let score = overlaps.score(0.5).unwrap();
        println!("{score:?} SEG {:.3}", overlaps.seg());
        assert!(score.f1 >= f1, "{score:?}");
        assert!(overlaps.seg() >= seg, "{}", overlaps.seg());
        assert_eq!(found.table.len() as u64, score.true_positives + score.false_positives);
        assert_eq!(found.table.channels.len(), 1);
        let last = *found.labels.data.iter().max().unwrap();
        assert_eq!(found.table.label, (1..=u64::from(last)).collect::<Vec<_>>());
    }
}

#[test]
fn edges_of_cracks_are_no_nuclei() {
    for seed in 0..3 {
        let options = PhantomOptions {
            shape: [40, 100, 100],
            spacing: [5.0, 2.0, 2.0],
            nuclei: 200,
            tears: 2,
            seed,
            ..PhantomOptions::default()
        };
        let phantom = Phantom::new(&options).unwrap();
        let truth = phantom.labels();
        let scored = |min_rim: f64| {
            let settings = NucleiOptions { diameter: 16.0, min_rim, ..NucleiOptions::default() };
            let found = labels(&run(&phantom, &settings, None, 2).labels);
            let frame = Frame::default();
            Overlaps::count(&truth, frame, &found, frame, None, &Ctx::quiet()).unwrap().score(0.5).unwrap()
        };
        let (all, hills) = (scored(0.0), scored(NucleiOptions::default().min_rim));
        println!("seed {seed}: F1 {:.3} without, {:.3} with", all.f1, hills.f1);
        assert!(all.false_positives >= 10, "{all:?}");
        assert!(hills.f1 >= 0.96 && hills.true_positives + 1 >= all.true_positives, "{hills:?}");
    }
}

#[test]
fn what_the_border_cuts_must_rise_above_the_tissue_around() {
    // Tissue of 200 beside a crack of 0, and a strip of it between the crack and the border; nuclei in the tissue, at the
    // border, and one that is dim.
    let shape = [24, 48, 40];
    let mut grid = Grid::filled(shape, 200f32);
    let nuclei =
        [[6, 22, 8], [18, 24, 20], [8, 34, 32], [16, 20, 32], [12, 47, 20], [0, 32, 20], [20, 40, 6], [6, 44, 34]];
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let at = grid.index(z, y, x);
                if (4..10).contains(&y) {
                    grid.data[at] = 0.0;
                }
                for (number, nucleus) in nuclei.iter().enumerate() {
                    let square: f64 = [z, y, x].iter().zip(nucleus).map(|(&a, &b)| (a as f64 - b as f64).powi(2)).sum();
                    let bright = if number == 4 { 100.0 } else { 400.0 };
                    grid.data[at] += (bright * (-square / 18.0).exp()) as f32;
                }
            }
        }
    }
    let volume = (VolumeInfo::plain("crack", shape, Dtype::F32), grid);
    let found = |min_rise: f64| {
        let settings = NucleiOptions { diameter: 8.0, min_rise, ..NucleiOptions::default() };
        let table = run(&volume, &settings, None, 2).table;
        let strip = (0..table.len()).filter(|&row| table.centroid[row][1] < 10.0).count();
        (table.len() - strip, strip)
    };
    let (inside, strip) = found(0.0);
    assert!(inside == nuclei.len() && strip > 0, "{inside} nuclei, {strip} of the strip");
    assert_eq!(found(NucleiOptions::default().min_rise), (nuclei.len(), 0));
    let wrong = NucleiOptions { min_rise: 1.5, ..NucleiOptions::default() };
    let ctx = Ctx::quiet();
    let refused =
        segment_nuclei(&volume, Frame::default(), Spacing::voxels(), &wrong, None, &ctx).err().unwrap().to_string();
    assert!(refused.contains("min_rise"), "{refused}");
}

#[test]
fn the_same_nuclei_for_any_memory_and_threads() {
    let options = PhantomOptions {
        shape: [24, 70, 90],
        spacing: [4.0, 2.0, 2.0],
        nuclei: 60,
        diameter: 14.0,
        ..PhantomOptions::default()
    };
    let phantom = Phantom::new(&options).unwrap();
    let settings = NucleiOptions { diameter: 14.0, ..NucleiOptions::default() };
    let one = run(&phantom, &settings, None, 1);
    assert!(one.table.len() > 40);
    for (memory, threads) in [(Some(24 << 20), 2), (Some(48 << 20), 8), (None, 8)] {
        let again = run(&phantom, &settings, memory, threads);
        assert_eq!(again.labels, one.labels);
        assert_eq!(again.table, one.table);
    }
}

#[test]
fn empty_constant_and_bad_volumes() {
    let settings = NucleiOptions { diameter: 6.0, ..NucleiOptions::default() };
    let shape = [9, 12, 15];
    for value in [0u16, 700, 65535] {
        let flat = (VolumeInfo::plain("flat", shape, Dtype::U16), Grid::filled(shape, value));
        let found = run(&flat, &settings, None, 2);
        assert!(found.table.is_empty() && found.labels.data.iter().all(|&label| label == 0));
    }
    let none = (VolumeInfo::plain("none", [0, 3, 3], Dtype::U16), Grid::filled([0, 3, 3], 1u16));
    assert!(run(&none, &settings, None, 2).table.is_empty());
    let holes = (VolumeInfo::plain("holes", shape, Dtype::F32), Grid::filled(shape, f32::NAN));
    let refused =
        segment_nuclei(&holes, Frame::default(), Spacing::voxels(), &settings, None, &Ctx::quiet()).unwrap_err();
    assert!(refused.to_string().contains("finite"), "{refused}");
    let swapped = NucleiOptions { min_volume: Some(5.0), max_volume: Some(4.0), ..settings };
    let refused =
        segment_nuclei(&none, Frame::default(), Spacing::voxels(), &swapped, None, &Ctx::quiet()).unwrap_err();
    assert!(refused.to_string().contains("max_volume"));
}

#[test]
fn sizes_are_filtered_and_borders_marked() {
    let options = PhantomOptions { nuclei: 60, shape: [48, 64, 64], diameter: 16.0, ..PhantomOptions::default() };
    let phantom = Phantom::new(&options).unwrap();
    let all = run(&phantom, &NucleiOptions { diameter: 16.0, ..NucleiOptions::default() }, None, 2);
    assert!(all.table.touches_border.iter().any(|&t| t) && all.table.touches_border.iter().any(|&t| !t));
    let middle = all.table.volume[all.table.len() / 2];
    let large = NucleiOptions { diameter: 16.0, min_volume: Some(middle), ..NucleiOptions::default() };
    let kept = run(&phantom, &large, None, 2);
    assert_eq!(kept.table.len(), all.table.volume.iter().filter(|&&volume| volume >= middle).count());
    let whole: Grid<u16> = read_as(&phantom, Frame::default(), &Region::whole(options.shape)).unwrap();
    let first = kept.table.label[0] as u32;
    let values: Vec<f64> = kept
        .labels
        .data
        .iter()
        .zip(&whole.data)
        .filter(|(label, _)| **label == first)
        .map(|(_, &value)| f64::from(value))
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((kept.table.channels[0].mean[0] - mean).abs() < 1e-9);
}
