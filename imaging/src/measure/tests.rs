use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Grid, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::blocks::read_as;
use crate::phantom::{Phantom, PhantomOptions};
use crate::space::Spacing;

fn measured(labels: &dyn VolumeBlocks, picture: Option<&dyn VolumeBlocks>, memory: Option<u64>) -> RegionTable {
    let spacing = Spacing::new(labels.info().spacing.unwrap_or([1.0; 3])).unwrap();
    region_properties(
        labels,
        Frame::default(),
        picture.map(|picture| (picture, 0)),
        spacing,
        &RegionOptions::default(),
        memory,
        &Ctx::quiet(),
    )
    .unwrap()
}

fn ball(radius: f64, spacing: [f64; 3], label: u32) -> (VolumeInfo, Grid<u32>) {
    let shape = spacing.map(|s| (2.0 * radius / s) as usize + 5);
    let mut info = VolumeInfo::plain("ball", shape, Dtype::U32);
    info.spacing = Some(spacing);
    let mut grid = Grid::filled(shape, 0u32);
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let at = [z, y, x];
                let square: f64 =
                    (0..3).map(|a| ((at[a] as f64 - (shape[a] / 2) as f64 + 0.3) * spacing[a]).powi(2)).sum();
                if square <= radius * radius {
                    grid.row_mut(z, y)[x] = label;
                }
            }
        }
    }
    (info, grid)
}

#[test]
fn balls_are_measured() {
    for (radius, spacing, slack) in [(20.0, [1.0; 3], 0.02), (8.0, [1.0; 3], 0.03), (30.0, [5.0, 2.0, 2.0], 0.04)] {
        let volume = ball(radius, spacing, 7);
        let table = measured(&volume, None, None);
        assert_eq!(table.label, [7]);
        let exact = 4.0 * std::f64::consts::PI * radius * radius;
        assert!((table.volume[0] / (exact * radius / 3.0) - 1.0).abs() < slack);
        assert!((table.surface[0] / exact - 1.0).abs() < slack, "{}", table.surface[0] / exact);
        assert!((table.sphericity[0] - 1.0).abs() < slack);
        assert!((table.diameter[0] / 2.0 / radius - 1.0).abs() < slack);
        assert!(table.axes[0].iter().all(|axis| (axis / 2.0 / radius - 1.0).abs() < slack));
        assert!(!table.touches_border[0]);
    }
}

#[test]
fn ellipsoids_of_the_phantom_come_back() {
    let options = PhantomOptions {
        shape: [80, 100, 100],
        spacing: [1.2, 1.0, 1.0],
        nuclei: 15,
        elongation: 2.0,
        diameter: 20.0,
        ..PhantomOptions::default()
    };
    let phantom = Phantom::new(&options).unwrap();
    let table = measured(&phantom.labels(), Some(&phantom), None);
    let mut checked = 0;
    for i in (0..table.len()).filter(|&i| !table.touches_border[i]) {
        let nucleus = &phantom.nuclei()[table.label[i] as usize - 1];
        for k in 0..3 {
            assert!((table.axes[i][k] / 2.0 / nucleus.radii[k] - 1.0).abs() < 0.04);
            assert!((table.centroid[i][k] - nucleus.centre[k]).abs() < 0.2);
        }
        if nucleus.radii[0] / nucleus.radii[1] > 1.2 {
            let along: f64 = (0..3).map(|a| table.orientation[i][a] * nucleus.axes[0][a]).sum();
            assert!(along.abs() > 0.98);
            checked += 1;
        }
    }
    assert!(checked > 2);
}

#[test]
fn the_same_bits_for_any_memory_and_threads_and_type() {
    let shape = [13, 31, 47];
    let mut random = Stream::new(4, 0);
    let count: usize = shape.iter().product();
    let labels: Vec<u32> = (0..count).map(|i| (i / 5 % 97 * random.below(2) as usize) as u32).collect();
    let light: Vec<f32> = (0..count).map(|_| (random.normal() * 1e3) as f32).collect();
    let picture = (VolumeInfo::plain("light", shape, Dtype::F32), Grid { shape, data: light });
    let wide = labels.iter().map(|&l| u64::from(l)).collect();
    let narrow = (VolumeInfo::plain("labels", shape, Dtype::U32), Grid { shape, data: labels });
    let wide = (VolumeInfo::plain("labels", shape, Dtype::U64), Grid { shape, data: wide });
    let one = with_threads(Some(1), || Ok(measured(&narrow, Some(&picture), None))).unwrap();
    assert!(one.len() > 90);
    assert_eq!(one, measured(&wide, Some(&picture), None));
    for (threads, memory) in [(2, Some(300 << 10)), (8, Some(1 << 20)), (8, None)] {
        let again = with_threads(Some(threads), || Ok(measured(&narrow, Some(&picture), memory))).unwrap();
        assert_eq!(one, again);
    }
    // Against plain sums.
    for i in 0..one.len() {
        let voxels: Vec<usize> =
            (0..narrow.1.len()).filter(|&at| u64::from(narrow.1.data[at]) == one.label[i]).collect();
        let values: Vec<f64> = voxels.iter().map(|&at| f64::from(picture.1.data[at])).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let spread = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        let channel = &one.channels[0];
        assert_eq!(one.voxels[i], voxels.len() as u64);
        assert!((channel.mean[i] - mean).abs() < 1e-9 && (channel.deviation[i] - spread).abs() < 1e-9);
        assert_eq!(channel.min[i], values.iter().copied().fold(f64::INFINITY, f64::min));
        assert_eq!(channel.max[i], values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    }
}

#[test]
fn labels_beyond_2_to_32_and_borders() {
    let shape = [2, 2, 3];
    let big = 1u64 << 40;
    let data = vec![0, big, big, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    let volume = (VolumeInfo::plain("labels", shape, Dtype::U64), Grid { shape, data });
    let table = measured(&volume, None, None);
    assert_eq!(table.label, [5, big]);
    assert_eq!(table.voxels, [1, 2]);
    assert_eq!(table.low, [[1, 1, 2], [0, 0, 1]]);
    assert_eq!(table.high, [[2, 2, 3], [1, 1, 3]]);
    assert_eq!(table.centroid[1], [0.0, 0.0, 1.5]);
    assert_eq!(table.axes[0], [0.0; 3]);
    assert_eq!(table.touches_border, [true, true]);
}

#[test]
fn bad_input_is_refused() {
    let shape = [2, 2, 2];
    let labels = (VolumeInfo::plain("labels", shape, Dtype::U32), Grid::filled(shape, 1u32));
    let floats = (VolumeInfo::plain("floats", shape, Dtype::F32), Grid::filled(shape, f32::NAN));
    let other = (VolumeInfo::plain("other", [2, 2, 3], Dtype::F32), Grid::filled([2, 2, 3], 0f32));
    let refused = |labels: &dyn VolumeBlocks, picture: Option<&dyn VolumeBlocks>| {
        region_properties(
            labels,
            Frame::default(),
            picture.map(|picture| (picture, 0)),
            Spacing::voxels(),
            &RegionOptions::default(),
            None,
            &Ctx::quiet(),
        )
        .unwrap_err()
        .to_string()
    };
    assert!(refused(&floats, None).contains("whole numbers"));
    assert!(refused(&labels, Some(&other)).contains("[2, 2, 3]"));
    assert!(refused(&labels, Some(&floats)).contains("finite"));
    let empty = (VolumeInfo::plain("labels", [0, 2, 2], Dtype::U32), Grid::filled([0, 2, 2], 1u32));
    assert!(measured(&empty, None, None).is_empty());
    let whole: Grid<u32> = read_as(&labels, Frame::default(), &Region::whole(shape)).unwrap();
    assert_eq!(whole.len(), 8);
}
