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

fn parts() -> AtlasParts {
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
    let counts = count_regions(&places, &atlas, Some(&Grid::filled([2, 2, 5], 2.0)), &ctx).unwrap();
    assert!((counts.regions[2].volume[0] - 8.0 * voxel).abs() < 1e-15);
    assert!(count_regions(&places, &atlas, Some(&Grid::filled([2, 2, 4], 2.0)), &ctx).is_err());
}

#[test]
fn parts_that_disagree_are_refused() {
    let refused = |change: &dyn Fn(&mut AtlasParts)| {
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
}
