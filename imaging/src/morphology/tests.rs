use proptest::prelude::*;
use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Grid, VolumeBlocks, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::blocks::{GridSink, Plan, filled};
use crate::filters::{LocalFilter, filter_volume};
use crate::space::Spacing;

type Volume<T> = (VolumeInfo, Grid<T>);

fn volume<T: bytemuck::Pod + Send + Sync>(shape: [usize; 3], dtype: Dtype, data: Vec<T>) -> Volume<T> {
    (VolumeInfo::plain("test", shape, dtype), Grid { shape, data })
}

fn noise(shape: [usize; 3], share: f64, kinds: u64, seed: u64) -> Volume<u8> {
    let mut random = Stream::new(seed, 0);
    let voxel = |_| if random.uniform() < share { 1 + random.below(kinds) as u8 } else { 0 };
    let data = (0..shape.iter().product()).map(voxel).collect();
    volume(shape, Dtype::U8, data)
}

fn write<T: bytemuck::Pod + Send>(found: &Components, shape: [usize; 3], dtype: Dtype) -> Vec<T> {
    let info = VolumeInfo::plain("labels", shape, dtype);
    filled(info, |sink| found.write(Frame::default(), sink, &Ctx::quiet())).unwrap().0
}

fn label(source: &dyn VolumeBlocks, options: &LabelOptions, block: [usize; 3], keep: u64) -> Vec<u32> {
    let shape = source.info().space();
    let plan = Plan::with_block(shape, [block[0], block[1], shape[2]], [0; 3]);
    let found = Components::find_in(source, Frame::default(), options, plan, keep, &Ctx::quiet()).unwrap();
    write(&found, shape, Dtype::U32)
}

/// Floods from each voxel in raster order: slow and plain.
fn flooded(source: &Volume<u8>, connectivity: u8, by_value: bool) -> Vec<u32> {
    let grid = &source.1;
    let mut labels = vec![0u32; grid.len()];
    let (mut next, mut open) = (0, Vec::new());
    for start in 0..grid.len() {
        if grid.data[start] == 0 || labels[start] != 0 {
            continue;
        }
        next += 1;
        labels[start] = next;
        open.push(start);
        while let Some(at) = open.pop() {
            let [_, height, width] = grid.shape;
            let (z, y, x) = ((at / width / height) as isize, (at / width % height) as isize, (at % width) as isize);
            for step in 0..27isize {
                let (dz, dy, dx) = (step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1);
                let away = dz.abs() + dy.abs() + dx.abs();
                if away == 0 || away > [0, 1, 2, 3][(connectivity / 8) as usize + usize::from(connectivity == 6)] {
                    continue;
                }
                let to = [z + dz, y + dy, x + dx];
                if (0..3).any(|a| to[a] < 0 || to[a] >= grid.shape[a] as isize) {
                    continue;
                }
                let to = grid.index(to[0] as usize, to[1] as usize, to[2] as usize);
                let same = !by_value || grid.data[to] == grid.data[at];
                if grid.data[to] != 0 && labels[to] == 0 && same {
                    labels[to] = next;
                    open.push(to);
                }
            }
        }
    }
    labels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn components_equal_a_flood_whatever_the_blocks(
        shape in [1usize..8, 1usize..9, 1usize..20], share in 0.1f64..0.95, kinds in 1u64..4, seed in 0u64..1000,
        block in [1usize..5, 1usize..6], which in 0usize..3, by_value: bool, keep: bool,
    ) {
        let neighbours = [6u8, 18, 26][which];
        let source = noise(shape, share, kinds, seed);
        let options = LabelOptions {
            connectivity: Connectivity::try_from(neighbours).unwrap(), by_value, ..LabelOptions::default()
        };
        let found = label(&source, &options, [block[0], block[1], 0], if keep { u64::MAX } else { 0 });
        prop_assert_eq!(found, flooded(&source, neighbours, by_value));
    }
}

#[test]
fn labels_are_the_same_for_any_threads_and_memory() {
    let shape = [30, 40, 50];
    let source = noise(shape, 0.3, 1, 5);
    let run = |threads, memory| {
        with_threads(Some(threads), || {
            let options = LabelOptions::default();
            let found = Components::find(&source, Frame::default(), &options, memory, &Ctx::quiet())?;
            Ok(write::<u32>(&found, shape, found.dtype()))
        })
        .unwrap()
    };
    let one = run(1, None);
    assert_eq!(run(2, None), one);
    assert_eq!(run(8, None), one);
    assert_eq!(run(2, Some(200 << 10)), one);
    let tight = Components::find(&source, Frame::default(), &LabelOptions::default(), Some(1000), &Ctx::quiet());
    assert!(tight.err().unwrap().to_string().contains("memory"));
}

#[test]
fn more_than_2_to_16_and_2_to_32_labels() {
    // Every second voxel of every second line of every second plane: 91 x 30 x 30 single voxels.
    let shape = [60, 60, 182];
    let mut data = vec![0f32; shape.iter().product()];
    for z in (0..60).step_by(2) {
        for y in (0..60).step_by(2) {
            for x in (0..182).step_by(2) {
                data[(z * 60 + y) * 182 + x] = if x % 4 == 0 { f32::NAN } else { -1.5 };
            }
        }
    }
    data[1] = -0.0;
    let source = volume(shape, Dtype::F32, data);
    let found = Components::find(&source, Frame::default(), &LabelOptions::default(), None, &Ctx::quiet()).unwrap();
    assert_eq!(found.count(), 81_900);
    assert_eq!(found.dtype(), Dtype::U32);
    let labels: Vec<u32> = write(&found, shape, Dtype::U32);
    assert_eq!(labels.iter().max(), Some(&81_900));
    assert_eq!(labels[1], 0);

    let far = LabelOptions { first_label: u64::from(u32::MAX) - 10, ..LabelOptions::default() };
    let found = Components::find(&source, Frame::default(), &far, None, &Ctx::quiet()).unwrap();
    assert_eq!(found.dtype(), Dtype::U64);
    let wide: Vec<u64> = write(&found, shape, Dtype::U64);
    let shift = u64::from(u32::MAX) - 11;
    assert!(wide.iter().zip(&labels).all(|(&a, &b)| a == if b == 0 { 0 } else { u64::from(b) + shift }));
    let mut voxels = vec![0u32; shape.iter().product()];
    let narrow = GridSink::new(VolumeInfo::plain("labels", shape, Dtype::U32), &mut voxels).unwrap();
    let refused = found.write(Frame::default(), &narrow, &Ctx::quiet()).unwrap_err().to_string();
    assert!(refused.contains("uint64"), "{refused}");
    let beyond = LabelOptions { first_label: u64::MAX - 3, ..LabelOptions::default() };
    assert!(Components::find(&source, Frame::default(), &beyond, None, &Ctx::quiet()).is_err());
}

#[test]
fn small_components_take_no_number() {
    let source = noise([8, 20, 30], 0.12, 1, 2);
    let all = LabelOptions::default();
    let found = Components::find(&source, Frame::default(), &all, None, &Ctx::quiet()).unwrap();
    let labels: Vec<u32> = write(&found, [8, 20, 30], Dtype::U32);
    let mut counted = vec![0u64; found.count() as usize];
    labels.iter().filter(|&&l| l > 0).for_each(|&l| counted[l as usize - 1] += 1);
    assert_eq!(counted, found.voxels());
    let large = LabelOptions { min_voxels: 4, ..all };
    let kept = Components::find(&source, Frame::default(), &large, None, &Ctx::quiet()).unwrap();
    let mut number = 0;
    let expected: Vec<u32> = counted
        .iter()
        .map(|&n| {
            if n >= 4 {
                number += 1;
                number
            } else {
                0
            }
        })
        .collect();
    assert!(number > 3 && u64::from(number) == kept.count() && kept.count() < found.count());
    let remaining: Vec<u32> = write(&kept, [8, 20, 30], Dtype::U32);
    assert!(labels.iter().zip(&remaining).all(|(&a, &b)| b == if a == 0 { 0 } else { expected[a as usize - 1] }));
}

#[test]
fn nothing_and_bad_options() {
    let empty = volume([0, 4, 5], Dtype::U8, Vec::<u8>::new());
    let found = Components::find(&empty, Frame::default(), &LabelOptions::default(), None, &Ctx::quiet()).unwrap();
    assert_eq!(found.count(), 0);
    let none = LabelOptions { first_label: 0, ..LabelOptions::default() };
    assert!(Components::find(&empty, Frame::default(), &none, None, &Ctx::quiet()).is_err());
    assert!(Connectivity::try_from(8).is_err());
}

/// All pairs: slow and plain.
fn nearest(source: &Volume<u8>, spacing: [f64; 3], black: bool) -> Vec<f64> {
    let grid = &source.1;
    let place = |at: usize| {
        let [_, height, width] = grid.shape;
        [at / width / height, at / width % height, at % width]
    };
    (0..grid.len())
        .map(|at| {
            if grid.data[at] == 0 {
                return 0.0;
            }
            let here = place(at);
            let mut least = f64::INFINITY;
            for other in (0..grid.len()).filter(|&other| grid.data[other] == 0) {
                let there = place(other);
                let square: f64 = (0..3).map(|a| (here[a].abs_diff(there[a]) as f64 * spacing[a]).powi(2)).sum();
                least = least.min(square.sqrt());
            }
            if black {
                for a in 0..3 {
                    let steps = (here[a] + 1).min(grid.shape[a] - here[a]);
                    least = least.min(steps as f64 * spacing[a]);
                }
            }
            least
        })
        .collect()
}

#[test]
fn distances_are_those_of_all_pairs() {
    for (seed, share, spacing) in [(1, 0.5, [5.0, 2.0, 2.0]), (2, 0.97, [1.0, 1.0, 1.0]), (3, 0.995, [0.7, 1.3, 0.9])] {
        let source = noise([9, 11, 70], share, 3, seed);
        for black_border in [false, true] {
            let expected = nearest(&source, spacing, black_border);
            let spacing = Spacing::new(spacing).unwrap();
            let options = DistanceOptions { black_border, squared: false };
            let run = |threads| {
                with_threads(Some(threads), || {
                    distance_transform::<f32>(&source, Frame::default(), spacing, &options, &Ctx::quiet())
                })
                .unwrap()
            };
            let found = run(1);
            for (a, b) in found.data.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() <= 2e-7 * b, "{a} {b}");
            }
            assert_eq!(run(8), found);
            let squared = DistanceOptions { black_border, squared: true };
            let wide = distance_transform::<f64>(&source, Frame::default(), spacing, &squared, &Ctx::quiet()).unwrap();
            for (a, b) in wide.data.iter().zip(&expected) {
                assert!((a - b * b).abs() <= 1e-14 * b * b, "{a} {b}");
            }
        }
    }
}

#[test]
fn long_distances_take_the_envelope_and_agree() {
    // One background voxel in a long bar: further than the steps that are looked at one by one, along y and z.
    for shape in [[400, 1, 3], [1, 400, 70], [130, 120, 2]] {
        let mut data = vec![1u8; shape.iter().product()];
        data[3] = 0;
        let last = data.len() - 1;
        data[last] = 0;
        let source = volume(shape, Dtype::U8, data);
        let spacing = [1.5, 0.7, 1.1];
        let found = distance_transform::<f64>(
            &source,
            Frame::default(),
            Spacing::new(spacing).unwrap(),
            &DistanceOptions::default(),
            &Ctx::quiet(),
        )
        .unwrap();
        for (a, b) in found.data.iter().zip(nearest(&source, spacing, false)) {
            assert!((a - b).abs() <= 1e-13 * b);
        }
    }
    let full = volume([2, 3, 4], Dtype::U8, vec![1u8; 24]);
    let far: Grid<f32> =
        distance_transform(&full, Frame::default(), Spacing::voxels(), &DistanceOptions::default(), &Ctx::quiet())
            .unwrap();
    assert!(far.data.iter().all(|v| v.is_infinite()));
}

#[test]
fn bounded_distances_are_clipped_ones_in_any_block() {
    let shape = [14, 33, 80];
    let source = noise(shape, 0.98, 1, 8);
    for black_border in [false, true] {
        let spacing = Spacing::new([3.0, 1.5, 1.0]).unwrap();
        let filter = BoundedDistance::new(4.0, spacing, black_border).unwrap();
        let options = DistanceOptions { black_border, squared: false };
        let whole: Grid<f32> = distance_transform(&source, Frame::default(), spacing, &options, &Ctx::quiet()).unwrap();
        let run = |memory, threads| {
            with_threads(Some(threads), || {
                let info = VolumeInfo::plain("out", shape, Dtype::F32);
                filled::<f32, _>(info, |sink| filter_volume(&source, &filter, sink, memory, &Ctx::quiet()))
            })
            .unwrap()
            .0
        };
        let found = run(None, 2);
        assert!(found.iter().zip(&whole.data).all(|(a, b)| (a - b.min(4.0)).abs() < 1e-6));
        assert_eq!(run(Some(2 << 20), 2), found);
        assert_eq!(run(Some(4 << 20), 8), found);
    }
    assert!(BoundedDistance::new(0.0, Spacing::voxels(), false).is_err());
    assert_eq!(BoundedDistance::new(4.0, Spacing::new([3.0, 1.5, 1.0]).unwrap(), false).unwrap().halo(), [2, 3, 4]);
}
