use zensaibo_core::Ctx;
use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks, VolumeInfo};
use zensaibo_core::parallel::with_threads;
use zensaibo_core::random::Stream;

use super::*;
use crate::space::near::squared;

const NO: u32 = u32::MAX;

/// Frames of points as one list.
fn flat(frames: &[Vec<[f64; 3]>]) -> (Vec<usize>, Vec<[f64; 3]>) {
    let mut offsets = vec![0];
    for frame in frames {
        offsets.push(offsets[offsets.len() - 1] + frame.len());
    }
    (offsets, frames.concat())
}

fn tracked(frames: &[Vec<[f64; 3]>], options: &TrackOptions) -> Tracks {
    let (offsets, points) = flat(frames);
    track(&Detections { offsets: &offsets, points: &points, sizes: None }, options, &Ctx::quiet()).unwrap()
}

fn speed(max_speed: f64) -> TrackOptions {
    TrackOptions { max_speed, ..TrackOptions::default() }
}

#[test]
fn two_cells_that_cross_by_their_velocity() {
    // At t = 5 they are 1 apart; whoever takes the nearest swaps them.
    let frames: Vec<Vec<[f64; 3]>> = (0..11)
        .map(|t| {
            let x = 4.0 * f64::from(t) - 20.0;
            vec![[0.0, 0.5, x], [0.0, -0.5, -x + 1.0]]
        })
        .collect();
    let tracks = tracked(&frames, &speed(10.0));
    assert_eq!(tracks.parent, vec![0, 0]);
    assert!(tracks.track.chunks(2).all(|pair| pair == [1, 2]), "{:?}", tracks.track);
}

#[test]
fn a_gap_is_closed_and_a_longer_one_is_not() {
    let frame = |t: usize| if (3..5).contains(&t) { vec![] } else { vec![[0.0, 0.0, 2.0 * t as f64]] };
    let frames: Vec<Vec<[f64; 3]>> = (0..9).map(frame).collect();
    let closed = tracked(&frames, &TrackOptions { max_gap: 2, ..speed(3.0) });
    assert_eq!(closed.track, vec![1; 7]);
    let open = tracked(&frames, &speed(3.0));
    assert_eq!(open.track, vec![1, 1, 1, 2, 2, 2, 2]);
    assert_eq!(open.parent, vec![0, 0]);
}

#[test]
fn a_division_gives_two_new_tracks_with_the_mother() {
    let frames: Vec<Vec<[f64; 3]>> = (0..8)
        .map(|t| {
            let far = [0.0, 60.0, 0.3 * (t % 3) as f64];
            if t < 4 {
                vec![[0.0, 0.0, 0.2 * (t % 2) as f64], far]
            } else {
                vec![[0.0, 4.0, 0.1], [0.0, -4.0, 0.0], far]
            }
        })
        .collect();
    let tracks = tracked(&frames, &speed(8.0));
    assert_eq!(tracks.track, vec![1, 2, 1, 2, 1, 2, 1, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2, 3, 4, 2]);
    assert_eq!(tracks.parent, vec![0, 0, 1, 1]);
    let none = tracked(&frames, &TrackOptions { divisions: false, ..speed(8.0) });
    assert!(none.parent.iter().all(|&parent| parent == 0));
}

#[test]
fn a_common_drift_beyond_the_spacing_of_the_cells_is_taken_out() {
    // Scattered cells shaken by up to 5, their usual distance.
    let shake = [0.0, 5.0, -3.0, 4.0, 4.5, -5.0];
    let mut at = 0.0;
    let mut stream = Stream::new(9, 0);
    let places: Vec<[f64; 3]> = (0..60)
        .map(|_| [0.0, f64::from(stream.next_u32() % 600) / 10.0, f64::from(stream.next_u32() % 600) / 10.0])
        .collect();
    let frames: Vec<Vec<[f64; 3]>> = shake
        .iter()
        .map(|step| {
            at += step;
            places.iter().map(|p| [p[0], p[1], p[2] + at]).collect()
        })
        .collect();
    let right =
        |tracks: &Tracks| tracks.track.iter().enumerate().filter(|&(i, &track)| track as usize == i % 60 + 1).count();
    assert_eq!(right(&tracked(&frames, &speed(6.0))), 360);
    let cells = |t: usize| crate::space::near::Cells::new(&frames[t], 6.0);
    for (t, step) in shake.iter().enumerate().skip(1) {
        let found = super::motion::drift_between(&frames[t - 1], &frames[t], (&cells(t - 1), &cells(t)), 6.0);
        assert!(squared(found, [0.0, 0.0, *step]) < 1e-18, "{found:?}");
    }
}

/// Cells that fly on nearly straight, faster than their spacing allows for nearest neighbours: frames, and for each
/// detection the cell it shows.
fn swarm(cells: usize, times: usize, side: f64, fast: f64) -> (Vec<Vec<[f64; 3]>>, Vec<usize>) {
    let mut stream = Stream::new(5, 1);
    let mut draw = move || f64::from(stream.next_u32()) / f64::from(u32::MAX) - 0.5;
    let mut cells: Vec<([f64; 3], [f64; 3])> = (0..cells)
        .map(|_| {
            let place = [draw(), draw(), draw()].map(|x| x * side);
            let way = [draw(), draw(), draw()];
            let length = squared(way, [0.0; 3]).sqrt().max(1e-9);
            (place, way.map(|x| x * fast / length))
        })
        .collect();
    let (mut frames, mut truth) = (Vec::new(), Vec::new());
    for _ in 0..times {
        frames.push(cells.iter().map(|cell| cell.0.map(|x| x + 0.4 * draw())).collect());
        truth.extend(0..cells.len());
        for (place, way) in &mut cells {
            for axis in 0..3 {
                if (place[axis] + way[axis]).abs() > side / 2.0 {
                    way[axis] = -way[axis];
                }
                way[axis] += 0.6 * draw();
                place[axis] += way[axis];
            }
        }
    }
    (frames, truth)
}

/// Share of the true links that are found.
fn recall(track: &[u32], truth: &[usize], cells: usize) -> f64 {
    let right = (cells..truth.len()).filter(|&i| track[i] == track[i - cells]).count();
    right as f64 / (truth.len() - cells) as f64
}

#[test]
fn a_fast_dense_swarm_is_followed_where_nearest_neighbours_fail() {
    let (frames, truth) = swarm(300, 20, 90.0, 6.0);
    let found = recall(&tracked(&frames, &TrackOptions { divisions: false, ..speed(10.0) }).track, &truth, 300);
    // Mutual nearest neighbours.
    let mut right = 0;
    for pair in frames.windows(2) {
        let nearest = |from: &[f64; 3], to: &[[f64; 3]]| {
            (0..to.len()).min_by(|&a, &b| squared(*from, to[a]).total_cmp(&squared(*from, to[b]))).unwrap()
        };
        right +=
            (0..300).filter(|&i| nearest(&pair[0][i], &pair[1]) == i && nearest(&pair[1][i], &pair[0]) == i).count();
    }
    let simple = right as f64 / (19.0 * 300.0);
    assert!(found > 0.97, "{found}");
    assert!(simple < 0.75, "{simple}");
}

#[test]
fn the_same_bits_for_any_threads_and_for_the_mirror_image() {
    let (frames, _) = swarm(120, 10, 60.0, 4.0);
    let (offsets, points) = flat(&frames);
    let run = |threads, points: &[[f64; 3]]| {
        let detections = Detections { offsets: &offsets, points, sizes: None };
        with_threads(Some(threads), || track(&detections, &speed(8.0), &Ctx::quiet())).unwrap()
    };
    let one = run(1, &points);
    assert_eq!(one, run(2, &points));
    assert_eq!(one, run(8, &points));
    let turned: Vec<[f64; 3]> = points.iter().map(|p| [p[2], -p[0], p[1]]).collect();
    assert_eq!(one, run(2, &turned));
}

#[test]
fn what_is_empty_alone_or_identical_is_no_trouble() {
    assert!(tracked(&[], &speed(1.0)).is_empty());
    assert!(tracked(&[vec![], vec![]], &speed(1.0)).is_empty());
    assert_eq!(tracked(&[vec![[1.0; 3]]], &speed(1.0)).len(), 1);
    // Many detections at one place.
    let heap = tracked(&[vec![[0.0; 3]; 30], vec![[0.0; 3]; 30]], &speed(1.0));
    assert_eq!((heap.len(), heap.track.len()), (30, 60));
    // A place far away does not need a grid up to there.
    assert_eq!(tracked(&[vec![[0.0; 3], [1e12; 3]], vec![[0.1; 3], [1e12; 3]]], &speed(1.0)).track, vec![1, 2, 1, 2]);
}

#[test]
fn bad_input_is_named() {
    let refuse = |offsets: &[usize], points: &[[f64; 3]], sizes: Option<&[f64]>, options: &TrackOptions| {
        track(&Detections { offsets, points, sizes }, options, &Ctx::quiet()).unwrap_err().to_string()
    };
    let good = speed(1.0);
    assert!(refuse(&[0, 1], &[[0.0, f64::NAN, 0.0]], None, &good).contains("time point 0"));
    assert!(refuse(&[0, 2], &[[0.0; 3]], None, &good).contains("offsets"));
    assert!(refuse(&[0, 1], &[[0.0; 3]], Some(&[0.0]), &good).contains("sizes"));
    assert!(refuse(&[0, 1], &[[0.0; 3]], None, &speed(-1.0)).contains("max_speed"));
    assert!(refuse(&[0, 1], &[[0.0; 3]], None, &TrackOptions { passes: 0, ..good }).contains("passes"));
}

#[test]
fn scores_by_hand() {
    // Reference: mother 0 at t 0, 1; daughters 1 and 2 at t 2, 3. Six nodes, five links.
    let (times, tracks, parents) = ([0, 1, 2, 2, 3, 3], [0, 0, 1, 2, 1, 2], [NO, 0, 0]);
    let reference = Graph { times: &times, tracks: &tracks, parents: &parents };
    let all: Vec<Option<u32>> = (0..6).map(Some).collect();
    let same = ctc_scores(&reference, &reference, &all, 0).unwrap();
    assert_eq!((same.det, same.tra, same.lnk, same.complete_tracks, same.track_fractions), (1.0, 1.0, 1.0, 1.0, 1.0));
    assert_eq!((same.division_recall, same.division_precision, same.divisions), (1.0, 1.0, [1, 1, 1]));

    // The result goes on from mother to the first daughter as one track, and the second comes from nowhere.
    let other = Graph { times: &times, tracks: &[0, 0, 0, 1, 0, 1], parents: &[NO, NO] };
    let score = ctc_scores(&reference, &other, &all, 0).unwrap();
    // One link is missing (1.5), one has the wrong kind (1).
    assert_eq!((score.links_missed, score.links_false, score.links_changed), (1, 0, 1));
    assert_eq!(score.lnk, 1.0 - 2.5 / 7.5);
    assert_eq!(score.tra, 1.0 - 2.5 / 67.5);
    assert_eq!(score.divisions, [1, 0, 0]);
    assert_eq!(score.complete_tracks, 2.0 * 1.0 / 5.0);
    assert!(score.division_precision.is_nan());

    // A node missed (10), one false (1), one that covers two (5).
    let fewer = Graph { times: &[0, 1, 2, 3, 3], tracks: &[0, 0, 1, 1, 2], parents: &[NO, 0, NO] };
    let matches = [Some(0), Some(1), Some(2), Some(2), None, Some(3)];
    let score = ctc_scores(&reference, &fewer, &matches, 0).unwrap();
    assert_eq!((score.missed, score.false_positives, score.splits), (1, 1, 1));
    assert_eq!(score.det, 1.0 - 16.0 / 60.0);
    // Only the mother's own link has both ends matched one to one.
    assert_eq!((score.links_missed, score.links_false), (4, 0));
    // Nothing at all is as bad as it gets.
    let empty = Graph { times: &[], tracks: &[], parents: &[] };
    let nothing = ctc_scores(&reference, &empty, &[None; 6], 0).unwrap();
    assert_eq!((nothing.det, nothing.tra, nothing.lnk), (0.0, 0.0, 0.0));
}

#[test]
fn a_late_division_counts_within_the_tolerance() {
    let reference = Graph { times: &[0, 1, 1, 2, 2, 3, 3], tracks: &[0, 1, 2, 1, 2, 1, 2], parents: &[NO, 0, 0] };
    // One time point late: the mother goes on as the first daughter until 1, the other is not seen there.
    let late = Graph { times: &[0, 1, 2, 2, 3, 3], tracks: &[0, 0, 1, 2, 1, 2], parents: &[NO, 0, 0] };
    let matches = [Some(0), Some(1), None, Some(2), Some(3), Some(4), Some(5)];
    let found = |tolerance| ctc_scores(&reference, &late, &matches, tolerance).unwrap().divisions[2];
    assert_eq!((found(0), found(1)), (0, 1));
}

#[test]
fn points_match_most_first_then_nearest() {
    // Taking the nearest pair (1 and 0) first would leave one alone.
    let reference = ([0, 0], [[0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]);
    let result = ([0, 0], [[0.0, 0.0, 2.0], [0.0, 0.0, 5.9]]);
    let found = match_points((&reference.0, &reference.1), (&result.0, &result.1), 3.0).unwrap();
    assert_eq!(found, vec![Some(0), Some(1)]);
    assert!(match_points((&[1, 0], &reference.1), (&[], &[]), 3.0).is_err());
    assert!(match_points((&[], &[]), (&[], &[]), 0.0).is_err());
}

/// Label volumes in memory.
struct Held(VolumeInfo, Vec<u16>);

impl Held {
    fn new(times: usize, space: [usize; 3], chunk: usize, labels: Vec<u16>) -> Self {
        let mut info = VolumeInfo::plain("labels", space, Dtype::U16);
        info.shape[0] = times;
        info.axes = "tzyx".into();
        info.chunk = [chunk, 1, 1];
        Self(info, labels)
    }
}

impl VolumeBlocks for Held {
    fn info(&self) -> &VolumeInfo {
        &self.0
    }
    fn read(&self, frame: Frame, region: &Region, out: &mut [u8]) -> Result<()> {
        let [depth, height, width] = self.0.space();
        let mut voxels = Vec::new();
        for z in region.range(0) {
            for y in region.range(1) {
                for x in region.range(2) {
                    voxels.push(self.1[((frame.time * depth + z) * height + y) * width + x]);
                }
            }
        }
        out.copy_from_slice(bytemuck::cast_slice(&voxels));
        Ok(())
    }
}

#[test]
fn centres_and_overlaps_of_labels() {
    let reference =
        Held::new(2, [2, 2, 3], 1, vec![7, 7, 0, 0, 7, 0, 7, 0, 0, 0, 0, 2, 0, 0, 0, 3, 3, 3, 0, 0, 0, 0, 0, 0]);
    let result =
        Held::new(2, [2, 2, 3], 1, vec![1, 1, 0, 0, 1, 0, 5, 0, 0, 0, 0, 9, 0, 4, 4, 0, 0, 4, 0, 0, 0, 0, 0, 0]);
    let frames = label_centres(&reference, &Ctx::quiet()).unwrap();
    assert_eq!((&frames[0].labels[..], &frames[0].voxels[..]), (&[2, 7][..], &[1, 4][..]));
    assert_eq!(frames[0].centres, vec![[1.0, 1.0, 2.0], [0.25, 0.25, 0.5]]);
    let overlaps = label_overlaps(&reference, &result, &Ctx::quiet()).unwrap();
    assert_eq!(overlaps[0].truth, vec![(2, 1), (7, 4)]);
    assert_eq!(overlaps[0].found, vec![(1, 3), (5, 1), (9, 1)]);
    assert_eq!(overlaps[0].shared, vec![(0, 2, 1), (1, 0, 3), (1, 1, 1)]);
    assert_eq!(overlaps[1].shared, vec![(0, 0, 1)]);
    let found = match_labels(&reference, &result, &Ctx::quiet()).unwrap();
    // 2 by 9, 7 by 1 (3 of 4), 3 by none (1 of 3).
    assert_eq!(found.matches, vec![Some(2), Some(0), None]);
    assert!((found.seg - (1.0 + 0.75) / 3.0).abs() < 1e-15);
    let small = Held::new(1, [2, 2, 3], 1, vec![0; 12]);
    assert!(label_overlaps(&reference, &small, &Ctx::quiet()).unwrap_err().to_string().contains("shape"));
}
