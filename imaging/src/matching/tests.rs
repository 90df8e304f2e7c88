use proptest::prelude::*;
use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Grid, VolumeInfo};

use super::*;

/// Tries everything.
fn most(edges: &[Vec<u32>], used: u32) -> usize {
    let Some((first, rest)) = edges.split_first() else { return 0 };
    let skip = most(rest, used);
    first.iter().filter(|&&j| used >> j & 1 == 0).map(|&j| 1 + most(rest, used | 1 << j)).fold(skip, usize::max)
}

proptest! {
    #[test]
    fn matchings_are_as_large_as_can_be(edges in prop::collection::vec(prop::collection::vec(0u32..7, 0..4), 0..8)) {
        let found = largest_matching(&edges, 7);
        let mut taken: Vec<u32> = found.iter().flatten().copied().collect();
        prop_assert_eq!(taken.len(), most(&edges, 0));
        for (edges, partner) in edges.iter().zip(&found) {
            prop_assert!(partner.is_none_or(|j| edges.contains(&j)));
        }
        taken.sort_unstable();
        taken.dedup();
        prop_assert_eq!(taken.len(), found.iter().flatten().count());
    }
}

fn line(labels: &[u16]) -> (VolumeInfo, Grid<u16>) {
    let shape = [1, 1, labels.len()];
    (VolumeInfo::plain("labels", shape, Dtype::U16), Grid { shape, data: labels.to_vec() })
}

fn overlaps(truth: &[u16], found: &[u16]) -> Overlaps {
    Overlaps::count(&line(truth), Frame::default(), &line(found), Frame::default(), None, &Ctx::quiet()).unwrap()
}

#[test]
fn scores_by_hand() {
    // Object 1: IoU 3/4. Object 2: split in two halves, IoU 1/2 each. Object 9: missed. Found 6: nothing there.
    let found = overlaps(&[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 9, 9, 0, 0], &[5, 5, 5, 0, 0, 3, 3, 4, 4, 0, 0, 0, 6, 6]);
    let score = found.score(0.5).unwrap();
    assert_eq!((score.true_positives, score.false_positives, score.false_negatives), (2, 2, 1));
    assert_eq!((score.precision, score.recall), (0.5, 2.0 / 3.0));
    assert_eq!(score.average_precision, 2.0 / 5.0);
    assert!((score.f1 - 4.0 / 7.0).abs() < 1e-15);
    assert_eq!(score.mean_iou, 0.625);
    assert_eq!(found.score(0.6).unwrap().true_positives, 1);
    // Half of object 2 is not more than half.
    assert!((found.seg() - 0.25).abs() < 1e-15);
    assert!(found.score(0.0).is_err());
}

#[test]
fn one_to_one_even_where_a_greedy_choice_fails() {
    // Truth 1 overlaps 1 and 2, truth 2 only 1: at a low threshold both can be matched.
    let found = overlaps(&[1, 1, 1, 1, 2, 2], &[1, 1, 1, 2, 1, 0]);
    assert_eq!(found.score(0.1).unwrap().true_positives, 2);
}

#[test]
fn nothing_is_scored_as_nothing() {
    let none = overlaps(&[0, 0], &[0, 0]);
    assert_eq!((none.score(0.5).unwrap().f1, none.seg()), (0.0, 0.0));
    let wrong = (VolumeInfo::plain("labels", [1, 1, 3], Dtype::U16), Grid::filled([1, 1, 3], 1u16));
    let refused = Overlaps::count(&line(&[1]), Frame::default(), &wrong, Frame::default(), None, &Ctx::quiet());
    assert!(refused.unwrap_err().to_string().contains("[1, 1, 3]"));
}
