use zensaibo_core::Ctx;
use zensaibo_core::data::Grid;

use super::*;
use crate::space::Spacing;

fn record(id: u64, acronym: &str, parent: Option<u64>) -> StructureRecord {
    StructureRecord { id, acronym: acronym.into(), name: format!("structure {acronym}"), parent, rgb: [1, 2, 3] }
}

/// root (997) > a (8) > a1 (484682512), a2 (3); root > b (5).
fn tree() -> StructureTree {
    let rows = [
        (5, "b", Some(997)),
        (3, "a2", Some(8)),
        (997, "root", None),
        (8, "a", Some(997)),
        (484_682_512, "a1", Some(8)),
    ];
    StructureTree::new(rows.map(|(id, acronym, parent)| record(id, acronym, parent)).to_vec()).unwrap()
}

#[test]
fn structures_come_before_their_parts() {
    let tree = tree();
    let names: Vec<&str> = tree.structures().iter().map(|s| s.record.acronym.as_str()).collect();
    assert_eq!(names, ["root", "b", "a", "a2", "a1"]);
    assert_eq!(tree.structures().iter().map(|s| s.depth).collect::<Vec<_>>(), [0, 1, 1, 2, 2]);
    assert_eq!(tree.structures().iter().map(|s| s.end).collect::<Vec<_>>(), [5, 2, 5, 4, 5]);
    assert_eq!(tree.index_of(484_682_512), Some(4));
    assert_eq!(tree.index_of(484_682_513), None);
    assert_eq!(tree.roll_up(&[1.0, 2.0, 4.0, 8.0, 16.0]), [31.0, 2.0, 28.0, 8.0, 16.0]);
}

#[test]
fn tables_that_are_no_tree_are_refused() {
    let refused = |rows: Vec<StructureRecord>| StructureTree::new(rows).unwrap_err().to_string();
    assert!(refused(vec![]).contains("none"));
    assert!(refused(vec![record(0, "x", None)]).contains("above 0"));
    assert!(refused(vec![record(1, "x", None), record(1, "y", None)]).contains("once"));
    assert!(refused(vec![record(1, "x", Some(9))]).contains('9'));
    assert!(
        refused(vec![record(9, "r", None), record(1, "x", Some(2)), record(2, "y", Some(1))])
            .contains("part of itself")
    );
}

fn parts() -> AtlasParts<u64> {
    // 2 x 2 x 5 voxels of 39 um; ids along x, 0 at the end.
    let row = [484_682_512, 3, 5, 8, 0];
    AtlasParts {
        name: "small".into(),
        annotation: Grid { shape: [2, 2, 5], data: row.repeat(4) },
        template: None,
        hemispheres: None,
        spacing: Spacing::new([39.0; 3]).unwrap(),
        orientation: "asr".parse().unwrap(),
        tree: tree(),
    }
}

#[test]
fn every_cell_is_counted_once() {
    let atlas = Atlas::new(parts()).unwrap();
    let ctx = Ctx::quiet();
    // Boxes of voxels reach half a voxel to each side of their centre.
    let points = [
        [0.0, 0.0, 0.0],
        [39.0, 39.0, 19.4],
        [0.0, 0.0, 19.6],
        [0.0, 0.0, 78.0],
        [0.0, 0.0, 117.0],
        [0.0, 0.0, 156.0],
        [-19.4, 0.0, 0.0],
        [-19.6, 0.0, 0.0],
        [0.0, -117.0, 117.0],
        [0.0, 0.0, 176.0],
        [f64::NAN, 0.0, 0.0],
    ];
    let places = locate(&points, &atlas, &ctx).unwrap();
    // "asr": index 0 of x lies right; the first two of five voxels are that half.
    assert_eq!(places[0], Place::Structure(4, Half::Right));
    assert_eq!(places[1], Place::Structure(4, Half::Right));
    assert_eq!(places[2], Place::Structure(3, Half::Right));
    assert_eq!(places[3], Place::Structure(1, Half::Left));
    assert_eq!(places[5], Place::Background);
    assert_eq!(places[6], Place::Structure(4, Half::Right));
    assert_eq!(places[7..10], [Place::Outside; 3]);
    assert_eq!(places[10], Place::Lost);
    let counts = count_regions(&places, &atlas, None, &ctx).unwrap();
    assert_eq!((counts.total(), counts.background, counts.outside, counts.lost), (11, 1, 3, 1));
    let voxel = 39f64.powi(3) * 1e-9;
    let [root, b, a, a2, a1] = counts.regions[..] else { panic!() };
    assert_eq!((root.own, root.cells), ([0, 0], [2, 4]));
    assert_eq!((b.cells, a2.cells, a1.cells), ([1, 0], [0, 1], [0, 3]));
    assert_eq!((a.own, a.cells), ([1, 0], [1, 4]));
    assert!((a.volume[0] - 4.0 * voxel).abs() < 1e-15 && (a.volume[1] - 8.0 * voxel).abs() < 1e-15);
    assert!((a1.densities()[1] - 3.0 / (4.0 * voxel)).abs() < 1e-6 && a1.densities()[0].is_nan());
    assert!((a.density() - 5.0 / (12.0 * voxel)).abs() < 1e-6);
    // Twice the volume in the sample: half the density.
    let twice = Grid::filled([2, 2, 5], 2.0);
    let growth = Growth { grid: &twice, spacing: [39.0; 3] };
    let counts = count_regions(&places, &atlas, Some(&growth), &ctx).unwrap();
    assert!((counts.regions[2].volume[0] - 8.0 * voxel).abs() < 1e-15);
    let short = Grid::filled([2, 2, 3], 2.0);
    assert!(count_regions(&places, &atlas, Some(&Growth { grid: &short, ..growth }), &ctx).is_err());
    // On a coarser grid it is interpolated: 1 to 3 along x over four voxels.
    let coarse = Grid { shape: [1, 1, 2], data: vec![1.0, 3.0] };
    let growth = Growth { grid: &coarse, spacing: [39.0, 39.0, 156.0] };
    let counts = count_regions(&places, &atlas, Some(&growth), &ctx).unwrap();
    // a1 lies at x 0, a2 at 1, b at 2, a at 3: growth 1, 1.5, 2, 2.5.
    let grown = |index: usize| counts.regions[index].volume.iter().sum::<f64>() / (4.0 * voxel);
    for (index, expected) in [(0, 7.0), (1, 2.0), (2, 5.0), (3, 1.5), (4, 1.0)] {
        assert!((grown(index) - expected).abs() < 1e-12, "{index}: {}", grown(index));
    }
}

#[test]
fn parts_that_disagree_are_refused() {
    let refused = |change: &dyn Fn(&mut AtlasParts<u64>)| {
        let mut parts = parts();
        change(&mut parts);
        Atlas::new(parts).unwrap_err().to_string()
    };
    assert!(refused(&|p| p.template = Some(Grid::filled([2, 2, 4], 0.0))).contains("template"));
    // An id that float32 cannot tell from its neighbour is another id.
    assert!(refused(&|p| p.annotation.data[0] = 484_682_496).contains("484682496 (1 voxels)"));
    assert!(refused(&|p| p.annotation.data.fill(0)).contains("none"));
    assert!(refused(&|p| p.hemispheres = Some(Grid::filled([2, 2, 5], 0))).contains("hemispheres"));
    let halves = Grid { shape: [2, 2, 5], data: [1, 1, 1, 2, 0].repeat(4) };
    let atlas = Atlas::new(AtlasParts { hemispheres: Some(halves), ..parts() }).unwrap();
    assert_eq!((atlas.half([1, 1, 2]), atlas.half([1, 1, 3])), (Half::Left, Half::Right));
    assert_eq!(atlas.hemispheres().data, [1, 1, 1, 2, 0].repeat(4));
    assert_eq!(atlas.voxels(), [[0, 0], [4, 0], [0, 4], [4, 0], [4, 0]]);
}

#[test]
fn halves_and_ids_of_any_type() {
    let wide = Atlas::new(parts()).unwrap();
    assert_eq!(wide.hemispheres().data, [2, 2, 1, 1, 1].repeat(4));
    let AtlasParts { annotation, tree, .. } = parts();
    let narrow = Grid { shape: annotation.shape, data: annotation.data.iter().map(|&id| id as u32).collect() };
    let AtlasParts { name, template, hemispheres, spacing, orientation, .. } = parts();
    let same = Atlas::new(AtlasParts { name, template, hemispheres, spacing, orientation, annotation: narrow, tree });
    assert_eq!(same.unwrap().structure, wide.structure);
    let none = AtlasParts { annotation: Grid { shape: [0, 2, 5], data: Vec::<u64>::new() }, ..parts() };
    assert!(Atlas::new(none).is_err());
}

#[test]
fn several_wholes_are_remarked() {
    let two = StructureTree::new(vec![record(8, "a", None), record(3, "a2", Some(8)), record(5, "b", None)]).unwrap();
    let annotation = Grid { shape: [1, 1, 3], data: vec![8u64, 3, 5] };
    let atlas = Atlas::new(AtlasParts { annotation, tree: two, ..parts() }).unwrap();
    assert!(atlas.remarks.iter().any(|remark| remark.contains("part of no other: a, b")), "{:?}", atlas.remarks);
}

fn volume_of(density: &Density, voxel: f64, growth: f64) -> f64 {
    density.density.data.iter().map(|&value| f64::from(value) * voxel * growth).sum()
}

#[test]
fn no_part_of_a_cell_is_lost_in_a_density() {
    // 9 x 8 x 7 voxels of 50 x 40 x 30 um, all of one structure.
    let shape = [9, 8, 7];
    let tree = StructureTree::new(vec![record(8, "a", None)]).unwrap();
    let spacing = Spacing::new([50.0, 40.0, 30.0]).unwrap();
    let atlas = Atlas::new(AtlasParts { annotation: Grid::filled(shape, 8u64), tree, spacing, ..parts() }).unwrap();
    let mut state = 1u64;
    let mut draw = |most: f64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 * most
    };
    let mut points: Vec<[f64; 3]> = (0..500).map(|_| [draw(400.0), draw(280.0), draw(180.0)]).collect();
    points.extend([[-100.0, 0.0, 0.0], [0.0, f64::NAN, 0.0], [-24.0, -19.0, -14.0]]);
    let ctx = Ctx::quiet();
    let voxel = 50.0 * 40.0 * 30.0 * 1e-9;
    let twice = Grid::filled(shape, 2.0);
    let growth = Growth { grid: &twice, spacing: [50.0, 40.0, 30.0] };
    for (radius, sigma) in [(Some(90.0), 1.0), (Some(10.0), 1.0), (None, 70.0), (None, 3.0)] {
        let options = DensityOptions { radius, sigma };
        let found = density(&points, &atlas, None, &options, &ctx).unwrap();
        assert_eq!((found.cells, found.outside, found.lost), (501, 1, 1));
        assert!((volume_of(&found, voxel, 1.0) - 501.0).abs() < 1e-3, "{radius:?}: {}", volume_of(&found, voxel, 1.0));
        let grown = density(&points, &atlas, Some(&growth), &options, &ctx).unwrap();
        assert!((volume_of(&grown, voxel, 2.0) - 501.0).abs() < 1e-3);
        for threads in [1, 2, 8] {
            let again =
                zensaibo_core::parallel::with_threads(Some(threads), || density(&points, &atlas, None, &options, &ctx));
            assert_eq!(again.unwrap(), found);
        }
    }
    let bad = DensityOptions { radius: Some(0.0), ..Default::default() };
    assert!(density(&points, &atlas, None, &bad, &ctx).is_err());
}

#[test]
fn a_ball_holds_the_voxels_within_its_radius() {
    let shape = [9, 9, 9];
    let tree = StructureTree::new(vec![record(8, "a", None)]).unwrap();
    let spacing = Spacing::new([20.0, 10.0, 10.0]).unwrap();
    let atlas = Atlas::new(AtlasParts { annotation: Grid::filled(shape, 8u64), tree, spacing, ..parts() }).unwrap();
    let cell = [83.0, 42.0, 12.0];
    let options = DensityOptions { radius: Some(25.0), ..Default::default() };
    let found = density(&[cell], &atlas, None, &options, &Ctx::quiet()).unwrap().density;
    let mut held = 0;
    for z in 0..9 {
        for y in 0..9 {
            for x in 0..9 {
                let centre = [z as f64 * 20.0, y as f64 * 10.0, x as f64 * 10.0];
                let far: f64 = (0..3).map(|axis| (centre[axis] - cell[axis]).powi(2)).sum();
                assert_eq!(found.at(z, y, x) > 0.0, far <= 625.0, "{z} {y} {x}");
                held += usize::from(far <= 625.0);
            }
        }
    }
    let each = 1.0 / (held as f64 * 2000e-9);
    assert!((f64::from(found.at(4, 4, 1)) - each).abs() < 1e-3 * each);
    // A Gaussian: the peak stands at the cell, and one standard deviation away is e^(-1/2) of it.
    let options = DensityOptions { radius: None, sigma: 20.0 };
    let found = density(&[[80.0, 40.0, 40.0]], &atlas, None, &options, &Ctx::quiet()).unwrap().density;
    let ratio = f64::from(found.at(4, 4, 6)) / f64::from(found.at(4, 4, 4));
    assert!((ratio - (-0.5f64).exp()).abs() < 1e-6, "{ratio}");
}
