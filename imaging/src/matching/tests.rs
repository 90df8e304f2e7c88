use proptest::prelude::*;
use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Grid, VolumeInfo};
use zensaibo_core::random::Stream;

use super::*;

/// Tries everything.
fn most(edges: &[Vec<u32>], used: u32) -> usize {
    let Some((first, rest)) = edges.split_first() else { return 0 };
    let skip = most(rest, used);
    first.iter().filter(|&&j| used >> j & 1 == 0).map(|&j| 1 + most(rest, used | 1 << j)).fold(skip, usize::max)
}

proptest! {
    #[test]
    fn matchings_are_as_large_as_can_be(
        wanted in prop::collection::vec(prop::collection::vec((0u32..4, 0u32..7), 0..4), 0..8)
    ) {
        let costs: Vec<Vec<(f64, u32)>> =
            wanted.iter().map(|list| list.iter().map(|&(cost, j)| (f64::from(cost), j)).collect()).collect();
        let edges: Vec<Vec<u32>> = wanted.iter().map(|list| list.iter().map(|edge| edge.1).collect()).collect();
        let found = largest_matching(&costs, 7);
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
fn the_nearest_pairs_are_made_where_as_many_can_be() {
    // Left 0 could take either; left 1 wants 0 more.
    let edges = [vec![(0.5, 0), (0.6, 1)], vec![(0.1, 0)]];
    assert_eq!(largest_matching(&edges, 2), vec![Some(1), Some(0)]);
    // A search without success and one with: 0 and 1 both want right 0 alone, 2 must give way to 3.
    let edges = [vec![(0.1, 0)], vec![(0.2, 0)], vec![(0.1, 1), (0.3, 2)], vec![(0.4, 1), (0.5, 0)]];
    assert_eq!(largest_matching(&edges, 3), vec![Some(0), None, Some(2), Some(1)]);
}

#[test]
fn seg_over_frames_by_hand() {
    // 10 of 10 with 5 too many; exactly half does not count; 6 of 10.
    let frame = |truth: &[(u64, u64)], found: &[(u64, u64)], shared: &[(u32, u32, u64)]| Overlaps {
        truth: truth.to_vec(),
        found: found.to_vec(),
        shared: shared.to_vec(),
    };
    let first = frame(&[(1, 10), (2, 10)], &[(4, 15), (7, 5)], &[(0, 0, 10), (1, 1, 5)]);
    let second = frame(&[(3, 10)], &[(1, 6)], &[(0, 0, 6)]);
    assert_eq!(first.covering(), vec![Some((0, 10.0 / 15.0)), None]);
    assert!((first.seg() - 10.0 / 30.0).abs() < 1e-15);
    // The mean over objects, not over frames.
    assert!((seg(&[first, second]) - (10.0 / 15.0 + 0.6) / 3.0).abs() < 1e-15);
}

#[test]
fn labels_below_zero_are_no_background() {
    let shape = [1, 1, 3];
    let below = (VolumeInfo::plain("mine", shape, Dtype::I32), Grid { shape, data: vec![0i32, -4, 2] });
    let other = line(&[0, 1, 2]);
    let refused = Overlaps::count(&other, Frame::default(), &below, Frame::default(), None, &Ctx::quiet()).unwrap_err();
    assert!(refused.to_string().contains("-4") && refused.to_string().contains("mine"), "{refused}");
    // Labels that a double does not hold stay apart.
    let big = [(1u64 << 60) + 1, (1 << 60) + 2, (1 << 60) + 2];
    let big = (VolumeInfo::plain("big", shape, Dtype::U64), Grid { shape, data: big.to_vec() });
    let found = Overlaps::count(&big, Frame::default(), &big, Frame::default(), None, &Ctx::quiet()).unwrap();
    assert_eq!(found.truth, vec![((1 << 60) + 1, 1), ((1 << 60) + 2, 2)]);
}

#[test]
fn nothing_is_scored_as_nothing() {
    let none = overlaps(&[0, 0], &[0, 0]);
    assert_eq!(none.score(0.5).unwrap().f1, 0.0);
    assert!(none.seg().is_nan());
    let wrong = (VolumeInfo::plain("labels", [1, 1, 3], Dtype::U16), Grid::filled([1, 1, 3], 1u16));
    let refused = Overlaps::count(&line(&[1]), Frame::default(), &wrong, Frame::default(), None, &Ctx::quiet());
    assert!(refused.unwrap_err().to_string().contains("[1, 1, 3]"));
}

#[test]
fn points_match_as_often_as_can_be() {
    fn most(near: &[Vec<usize>], at: usize, used: &mut Vec<bool>) -> usize {
        if at == near.len() {
            return 0;
        }
        let mut best = most(near, at + 1, used);
        for &f in &near[at] {
            if !used[f] {
                used[f] = true;
                best = best.max(1 + most(near, at + 1, used));
                used[f] = false;
            }
        }
        best
    }
    for seed in 0..60 {
        let mut random = Stream::new(seed, 0);
        let mut points = |n| (0..n).map(|_| [0; 3].map(|_| random.uniform() * 3.0)).collect::<Vec<[f64; 3]>>();
        let (found, truth) = (points(7), points(8));
        let matching = match_points(&found, &truth, 1.0).unwrap();
        let near: Vec<Vec<usize>> = truth
            .iter()
            .map(|t| (0..7).filter(|&f| (0..3).map(|a| (found[f][a] - t[a]).powi(2)).sum::<f64>() <= 1.0).collect())
            .collect();
        assert_eq!(matching.pairs.len(), most(&near, 0, &mut vec![false; 7]));
        let mut used: Vec<usize> = matching.pairs.iter().map(|pair| pair.0).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), matching.pairs.len());
        assert!(matching.pairs.iter().all(|pair| pair.2 <= 1.0));
    }
    assert!(match_points(&[], &[[0.0; 3]], 1.0).unwrap().pairs.is_empty());
    assert!(match_points(&[], &[], 0.0).unwrap_err().to_string().contains("radius"));
    assert!(match_points(&[[f64::NAN; 3]], &[], 1.0).unwrap_err().to_string().contains("point 0"));
}
