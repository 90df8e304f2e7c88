use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks};

use super::*;
use crate::blocks::{Plan, read_as};

fn sample() -> PhantomOptions {
    PhantomOptions {
        shape: [20, 50, 60],
        spacing: [5.0, 2.0, 2.0],
        nuclei: 60,
        pairs: 0.5,
        pair_gap: 0.0,
        attenuation: Some(200.0),
        bleaching: 0.3,
        stripes: 0.05,
        tile: Some(50.0),
        tile_gain: 0.1,
        tears: 1,
        tear_width: 10.0,
        seed: 3,
        ..PhantomOptions::default()
    }
}

#[test]
fn the_same_bits_however_it_is_read() {
    let phantom = Phantom::new(&sample()).unwrap();
    let shape = sample().shape;
    let whole: Grid<u16> = read_as(&phantom, Frame::default(), &Region::whole(shape)).unwrap();
    let truth: Grid<u32> = read_as(&phantom.labels(), Frame::default(), &Region::whole(shape)).unwrap();
    for block in [[1, 7, 60], [20, 50, 11], [6, 13, 17]] {
        let plan = Plan::with_block(shape, block, [0; 3]);
        for index in 0..plan.len() {
            let region = plan.region(index);
            let part: Grid<u16> = read_as(&phantom, Frame::default(), &region).unwrap();
            assert_eq!(part, whole.crop(&region));
            let part: Grid<u32> = read_as(&phantom.labels(), Frame::default(), &region).unwrap();
            assert_eq!(part, truth.crop(&region));
        }
    }
    assert_eq!(phantom.info().dtype, Dtype::U16);
    assert_ne!(Phantom::new(&PhantomOptions { seed: 4, ..sample() }).unwrap().centres(), phantom.centres());
}

#[test]
fn labels_have_the_volumes_and_places_of_their_nuclei() {
    let options = PhantomOptions {
        shape: [60, 90, 90],
        spacing: [2.0, 1.0, 1.0],
        nuclei: 40,
        diameter: 14.0,
        ..PhantomOptions::default()
    };
    let phantom = Phantom::new(&options).unwrap();
    let truth: Grid<u32> = read_as(&phantom.labels(), Frame::default(), &Region::whole(options.shape)).unwrap();
    let mut checked = 0;
    for (index, nucleus) in phantom.nuclei().iter().enumerate() {
        let extent = nucleus.extent();
        let whole = (0..3).all(|a| {
            let last = (options.shape[a] - 1) as f64 * options.spacing[a];
            nucleus.centre[a] > extent[a] && nucleus.centre[a] + extent[a] < last
        });
        if !whole {
            continue;
        }
        checked += 1;
        let (mut count, mut sum) = (0.0, [0.0; 3]);
        for z in 0..60 {
            for y in 0..90 {
                for x in 0..90 {
                    if truth.at(z, y, x) == index as u32 + 1 {
                        count += 1.0;
                        sum[0] += 2.0 * z as f64;
                        sum[1] += y as f64;
                        sum[2] += x as f64;
                    }
                }
            }
        }
        let volume = 4.0 / 3.0 * std::f64::consts::PI * nucleus.radii.iter().product::<f64>();
        assert!((count * 2.0 / volume - 1.0).abs() < 0.05, "{count} {volume}");
        for a in 0..3 {
            assert!((sum[a] / count - nucleus.centre[a]).abs() < 0.3);
        }
    }
    assert!(checked > 10);
}

#[test]
fn pairs_touch_and_others_keep_their_distance() {
    let phantom = Phantom::new(&PhantomOptions { tears: 0, gap: 2.0, ..sample() }).unwrap();
    let (nuclei, mut touching) = (phantom.nuclei(), 0);
    assert_eq!(nuclei.len(), 60);
    for (i, a) in nuclei.iter().enumerate() {
        for b in &nuclei[..i] {
            let apart: [f64; 3] = std::array::from_fn(|axis| b.centre[axis] - a.centre[axis]);
            let distance = apart.iter().map(|x| x * x).sum::<f64>().sqrt();
            let along = apart.map(|x| x / distance);
            let gap = distance - a.reach(along) - b.reach(along);
            if gap.abs() < 1e-9 {
                assert!(a.paired && b.paired);
                touching += 1;
            } else {
                assert!(gap >= 2.0 - 1e-9);
            }
        }
    }
    assert_eq!(touching, nuclei.iter().filter(|nucleus| nucleus.paired).count() / 2);
    assert!((8..=22).contains(&touching), "{touching}");
}

#[test]
fn noise_has_the_moments_of_a_camera() {
    for (background, mean, variance) in [(8.0, 108.0, 8.0 + 25.0), (400.0, 500.0, 400.0 + 25.0)] {
        let options =
            PhantomOptions { nuclei: 0, background, unevenness: 0.0, shape: [40, 50, 50], ..PhantomOptions::default() };
        let phantom = Phantom::new(&options).unwrap();
        let picture: Grid<u16> = read_as(&phantom, Frame::default(), &Region::whole(options.shape)).unwrap();
        let n = picture.len() as f64;
        let found = picture.data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let spread = picture.data.iter().map(|&v| (f64::from(v) - found).powi(2)).sum::<f64>() / n;
        assert!((found - mean).abs() < 0.2, "{found}");
        assert!((spread / variance - 1.0).abs() < 0.03, "{spread}");
    }
}

#[test]
fn tears_hold_no_light_and_no_nuclei() {
    let options = PhantomOptions { psf: [0.0; 3], read_noise: 0.0, ..sample() };
    let phantom = Phantom::new(&options).unwrap();
    assert!(phantom.nuclei().len() < 60);
    let picture: Grid<u16> = read_as(&phantom, Frame::default(), &Region::whole(options.shape)).unwrap();
    assert!(picture.data.iter().filter(|&&v| v == 100).count() > 500);
}

#[test]
fn bad_options_are_refused() {
    let refused = |options: PhantomOptions| Phantom::new(&options).err().unwrap().to_string();
    assert!(refused(PhantomOptions { nuclei: 100_000, ..sample() }).contains("nuclei"));
    assert!(refused(PhantomOptions { shape: [0, 4, 4], ..sample() }).contains("shape"));
    assert!(refused(PhantomOptions { spacing: [1.0, f64::NAN, 1.0], ..sample() }).contains("axis y"));
    assert!(refused(PhantomOptions { psf: [1.0, 1.0, -1.0], ..sample() }).contains("psf, axis x"));
    assert!(refused(PhantomOptions { elongation: 0.5, ..sample() }).contains("elongation"));
    assert!(refused(PhantomOptions { pair_gap: -20.0, ..sample() }).contains("pair_gap"));
}
