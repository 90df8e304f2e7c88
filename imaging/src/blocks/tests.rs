use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeInfo};
use zensaibo_core::parallel::with_threads;

use super::*;

fn ramp(shape: [usize; 3]) -> (VolumeInfo, Grid<u16>) {
    let n: usize = shape.iter().product();
    (
        VolumeInfo::plain("ramp", shape, Dtype::U16),
        Grid { shape, data: (0..n).map(|i| (i * 7 % 1000) as u16).collect() },
    )
}

#[test]
fn borders_are_those_of_scipy() {
    let line = |border: Border| (-5..8).map(|at| border.place(at, 3)).collect::<Vec<_>>();
    let some = |v: [usize; 13]| v.map(Some).to_vec();
    assert_eq!(line(Border::Reflect), some([1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]));
    assert_eq!(line(Border::Mirror), some([1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]));
    assert_eq!(line(Border::Nearest), some([0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2]));
    assert_eq!(line(Border::Zero)[..6], [None, None, None, None, None, Some(0)]);
    assert_eq!(Border::Mirror.place(-4, 1), Some(0));
}

#[test]
fn padded_blocks_see_what_the_whole_sees() {
    let volume = ramp([7, 5, 9]);
    for border in [Border::Reflect, Border::Mirror, Border::Nearest, Border::Zero] {
        for halo in [[0, 0, 0], [1, 2, 3], [9, 6, 11]] {
            let plan = Plan::with_block([7, 5, 9], [3, 2, 4], halo);
            for index in 0..plan.len() {
                let region = plan.region(index);
                let padded = read_padded(&volume, Frame::default(), &region, halo, border).unwrap();
                for z in 0..padded.shape[0] {
                    for y in 0..padded.shape[1] {
                        for x in 0..padded.shape[2] {
                            let at = [z, y, x];
                            let place: Vec<_> = (0..3)
                                .map(|a| {
                                    border.place((region.start[a] + at[a]) as isize - halo[a] as isize, [7, 5, 9][a])
                                })
                                .collect();
                            let expected = match place[..] {
                                [Some(z), Some(y), Some(x)] => f32::from(volume.1.at(z, y, x)),
                                _ => 0.0,
                            };
                            assert_eq!(padded.at(z, y, x), expected, "{border:?} {halo:?} {region:?} {at:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn plans_cover_once_and_keep_within_memory() {
    for shape in [[1, 1, 1], [30, 510, 667], [1000, 3000, 2000], [5, 20_000, 20_000]] {
        for memory in [64u64 << 20, 2 << 30] {
            let work = Work { halo: [4, 8, 8], bytes_per_voxel: 14, chunk: [1, 1, 1], memory: Some(memory) };
            let plan = Plan::new(shape, &work).unwrap();
            assert!(plan.bytes() <= memory);
            let total: usize = (0..plan.len()).map(|i| plan.region(i).len()).sum();
            assert_eq!(total, shape.iter().product::<usize>());
        }
    }
    let tight = Work { halo: [500; 3], bytes_per_voxel: 8, chunk: [1; 3], memory: Some(1 << 20) };
    let refused = Plan::new([2000; 3], &tight).unwrap_err().to_string();
    assert!(refused.contains("memory") && refused.contains("MiB"), "{refused}");
}

#[test]
fn blocks_begin_at_chunks() {
    let work = Work { halo: [2; 3], bytes_per_voxel: 8, chunk: [16, 64, 64], memory: Some(8 << 20) };
    let plan = Plan::new([100, 1000, 1000], &work).unwrap();
    assert!((0..3).all(|axis| plan.block()[axis].is_multiple_of(work.chunk[axis])));
}

#[test]
fn results_are_folded_in_order() {
    let plan = Plan::with_block([10, 10, 10], [3, 4, 5], [0; 3]);
    let mut seen = Vec::new();
    with_threads(Some(8), || {
        map_blocks(
            &plan,
            "test",
            &zensaibo_core::Ctx::quiet(),
            |region| Ok(region.start),
            |region: &Region, start| {
                assert_eq!(region.start, start);
                seen.push(start);
                Ok(())
            },
        )
    })
    .unwrap();
    assert_eq!(seen, (0..plan.len()).map(|i| plan.region(i).start).collect::<Vec<_>>());
}
