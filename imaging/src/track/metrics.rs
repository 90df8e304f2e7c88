//! Scores of the Cell Tracking Challenge: DET, TRA, LNK, SEG, and how divisions and whole tracks are found.
//!
//! The result is held against the reference as one acyclic graph against another (Matula et al. 2015): what it costs to
//! turn the one into the other, over what it costs to build the reference from nothing. Complete tracks, track
//! fractions and branching follow Ulman et al. 2017.

use zensaibo_core::{DataFault, Error, Result};

use super::NONE;
use crate::matching::{check_points, check_radius, pairs_within};

const SPLIT: f64 = 5.0;
const MISSED: f64 = 10.0;
const FALSE: f64 = 1.0;
const EDGE_DELETED: f64 = 1.0;
const EDGE_ADDED: f64 = 1.5;
const EDGE_CHANGED: f64 = 1.0;

/// Detections of a tracking, ordered by time, with their tracks.
#[derive(Clone, Copy, Debug)]
pub struct Graph<'a> {
    /// Time point of each detection, not falling.
    pub times: &'a [i64],
    /// Track of each detection, from 0.
    pub tracks: &'a [u32],
    /// For each track that of its mother, or `u32::MAX`.
    pub parents: &'a [u32],
}

/// The scores. Shares lie between 0 and 1, and 1 is best; NaN where the reference has nothing to find.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ctc {
    /// Detection: 1 - AOGM-D / AOGM-D0.
    pub det: f64,
    /// Tracking: 1 - AOGM / AOGM0.
    pub tra: f64,
    /// Linking: 1 - AOGM-A / AOGM-A0.
    pub lnk: f64,
    /// Reference detections that are missed.
    pub missed: u64,
    /// Result detections without a reference.
    pub false_positives: u64,
    /// Splits needed where a result detection covers several of the reference.
    pub splits: u64,
    /// Links missing in the result.
    pub links_missed: u64,
    /// Links of the result, between detections matched one to one, that the reference has not.
    pub links_false: u64,
    /// Links of the wrong kind: within a track against from mother to daughter.
    pub links_changed: u64,
    /// Links of the reference and of the result.
    pub links: [u64; 2],
    /// Reference divisions found, over all of the reference.
    pub division_recall: f64,
    /// Divisions of the result that are in the reference, over all of the result.
    pub division_precision: f64,
    /// Divisions of the reference, of the result, and found.
    pub divisions: [u64; 3],
    /// Complete tracks: 2 x tracks followed from first to last / (tracks of both).
    pub complete_tracks: f64,
    /// Mean over the reference tracks that are found at all of the longest part followed by one track.
    pub track_fractions: f64,
}

/// One-to-one matches of points of the same time within a radius, as [`crate::matching::match_points`] makes them: for
/// each reference point the index of its match. Both lists ordered by time.
///
/// # Errors
/// [`Error::Parameter`] for a radius that is not above 0; [`Error::Data`] for places that are not finite.
pub fn match_points(
    reference: (&[i64], &[[f64; 3]]),
    result: (&[i64], &[[f64; 3]]),
    radius: f64,
) -> Result<Vec<Option<u32>>> {
    check_radius(radius)?;
    for (name, (times, points)) in [("reference", reference), ("result", result)] {
        ordered(name, times)?;
        if times.len() != points.len() {
            return Err(Error::data(DataFault::Shape, name, format!("{} points", times.len()), points.len()));
        }
        check_points(name, points)?;
    }
    let mut out = vec![None; reference.0.len()];
    let mut begin = 0;
    while begin < reference.0.len() {
        let time = reference.0[begin];
        let end = begin + reference.0[begin..].partition_point(|&t| t == time);
        let first = result.0.partition_point(|&t| t < time);
        let last = result.0.partition_point(|&t| t <= time);
        for (found, row, _) in pairs_within(&result.1[first..last], &reference.1[begin..end], radius) {
            out[begin + row] = Some((first + found) as u32);
        }
        begin = end;
    }
    Ok(out)
}

fn ordered(name: &str, times: &[i64]) -> Result<()> {
    if times.is_sorted() {
        return Ok(());
    }
    Err(Error::data(DataFault::Invalid, name, "detections ordered by time", "times that fall"))
}

/// What the scores need of one tracking.
struct Lineage {
    /// Detection before, in the track or in the mother.
    previous: Vec<u32>,
    /// Whether `previous` is in the mother.
    born: Vec<bool>,
    /// First and last detection of each track.
    ends: Vec<(u32, u32)>,
    children: Vec<Vec<u32>>,
}

impl Lineage {
    fn new(name: &str, graph: &Graph<'_>) -> Result<Self> {
        ordered(name, graph.times)?;
        let n = graph.times.len();
        if graph.tracks.len() != n {
            return Err(Error::data(
                DataFault::Shape,
                name,
                format!("{n} tracks, one per detection"),
                graph.tracks.len(),
            ));
        }
        let count = graph.parents.len();
        let mut out = Self {
            previous: vec![NONE; n],
            born: vec![false; n],
            ends: vec![(NONE, NONE); count],
            children: vec![Vec::new(); count],
        };
        for (at, &track) in graph.tracks.iter().enumerate() {
            let Some(ends) = out.ends.get_mut(track as usize) else {
                let expected = format!("tracks below {count}");
                return Err(Error::data(DataFault::Invalid, name, expected, format!("{track} at detection {at}")));
            };
            if ends.0 == NONE {
                ends.0 = at as u32;
            } else {
                if graph.times[ends.1 as usize] == graph.times[at] {
                    let found = format!("two at time point {} in track {track}", graph.times[at]);
                    return Err(Error::data(DataFault::Invalid, name, "one detection of a track at a time", found));
                }
                out.previous[at] = ends.1;
            }
            ends.1 = at as u32;
        }
        for (track, &parent) in graph.parents.iter().enumerate() {
            if parent == NONE {
                continue;
            }
            let (first, mother) = (out.ends[track].0, out.ends.get(parent as usize).map(|ends| ends.1));
            match mother {
                Some(mother) if mother != NONE && first != NONE => {
                    if graph.times[mother as usize] >= graph.times[first as usize] {
                        let found = format!("track {track} beginning before track {parent} ends");
                        return Err(Error::data(DataFault::Invalid, name, "mothers that end before daughters", found));
                    }
                    out.previous[first as usize] = mother;
                    out.born[first as usize] = true;
                    out.children[parent as usize].push(track as u32);
                }
                _ => {
                    let found = format!("track {track} with parent {parent}");
                    return Err(Error::data(DataFault::Invalid, name, "tracks and parents with detections", found));
                }
            }
        }
        Ok(out)
    }
}

/// The scores of a result against a reference, given for each detection of the reference the one of the result that
/// stands for it (a result detection may stand for several; that is a split to be made).
///
/// `tolerance` is the number of time points by which a division may be early or late.
///
/// # Errors
/// [`Error::Data`] for tables that are not ordered by time, tracks with two detections at a time or none, daughters that
/// begin before their mother ends, matches out of range.
pub fn ctc_scores(reference: &Graph<'_>, result: &Graph<'_>, matches: &[Option<u32>], tolerance: i64) -> Result<Ctc> {
    let (ours, theirs) = (Lineage::new("result", result)?, Lineage::new("reference", reference)?);
    let (n_reference, n_result) = (reference.times.len(), result.times.len());
    if matches.len() != n_reference {
        return Err(Error::data(DataFault::Shape, "matches", format!("{n_reference}"), matches.len()));
    }
    let mut covered = vec![0u32; n_result];
    for &found in matches.iter().flatten() {
        match covered.get_mut(found as usize) {
            Some(count) => *count += 1,
            None => return Err(Error::data(DataFault::Invalid, "matches", format!("below {n_result}"), found)),
        }
    }
    let mut out = Ctc {
        missed: matches.iter().filter(|found| found.is_none()).count() as u64,
        false_positives: covered.iter().filter(|&&count| count == 0).count() as u64,
        splits: covered.iter().map(|&count| u64::from(count.saturating_sub(1))).sum(),
        ..Ctc::default()
    };
    // Pairs matched one to one.
    let unique: Vec<u32> =
        matches.iter().map(|found| found.filter(|&at| covered[at as usize] == 1).unwrap_or(NONE)).collect();
    let mut back = vec![NONE; n_result];
    for (at, &found) in unique.iter().enumerate() {
        if found != NONE {
            back[found as usize] = at as u32;
        }
    }
    out.links = [&theirs, &ours].map(|side| side.previous.iter().filter(|&&at| at != NONE).count() as u64);
    let mut kept = 0;
    for at in 0..n_result {
        let before = ours.previous[at];
        if before == NONE || back[at] == NONE || back[before as usize] == NONE {
            continue;
        }
        let there = back[at] as usize;
        if theirs.previous[there] == back[before as usize] {
            kept += 1;
            out.links_changed += u64::from(theirs.born[there] != ours.born[at]);
        } else {
            out.links_false += 1;
        }
    }
    out.links_missed = out.links[0] - kept;

    let nodes = SPLIT * out.splits as f64 + MISSED * out.missed as f64 + FALSE * out.false_positives as f64;
    let edges = EDGE_DELETED * out.links_false as f64
        + EDGE_ADDED * out.links_missed as f64
        + EDGE_CHANGED * out.links_changed as f64;
    let (no_nodes, no_edges) = (MISSED * n_reference as f64, EDGE_ADDED * out.links[0] as f64);
    let score = |cost: f64, nothing: f64| 1.0 - cost.min(nothing) / nothing;
    out.det = score(nodes, no_nodes);
    out.lnk = score(edges, no_edges);
    out.tra = score(nodes + edges, no_nodes + no_edges);

    divisions(&mut out, (reference, &theirs), (result, &ours), matches, &unique, tolerance);
    whole_tracks(&mut out, (reference, &theirs), (result, &ours), &unique);
    Ok(out)
}

/// Tracks with two children or more.
fn mothers(lineage: &Lineage) -> Vec<u32> {
    (0..lineage.children.len() as u32).filter(|&track| lineage.children[track as usize].len() > 1).collect()
}

/// A division is found where mothers end and daughters begin within the tolerance, and the mothers at the last time that
/// they share, and each daughter at the first, stand for each other one to one.
fn divisions(
    out: &mut Ctc,
    (reference, theirs): (&Graph<'_>, &Lineage),
    (result, ours): (&Graph<'_>, &Lineage),
    matches: &[Option<u32>],
    unique: &[u32],
    tolerance: i64,
) {
    // Detection of a reference track at a time.
    let mut of_track = vec![Vec::new(); reference.parents.len()];
    for (at, &track) in reference.tracks.iter().enumerate() {
        of_track[track as usize].push(at);
    }
    let stands_for = |track: u32, time: i64, other: u32| {
        let list = &of_track[track as usize];
        let place = list.partition_point(|&at| reference.times[at] < time);
        list.get(place).is_some_and(|&at| {
            let found = unique[at];
            reference.times[at] == time && found != NONE && result.tracks[found as usize] == other
        })
    };
    let (real, said) = (mothers(theirs), mothers(ours));
    let mut found = 0;
    for &mother in &real {
        let last = theirs.ends[mother as usize].1 as usize;
        let children = &theirs.children[mother as usize];
        // Tracks that stand for the mother near her end.
        let mut tracks: Vec<u32> = of_track[mother as usize]
            .iter()
            .filter(|&&at| reference.times[at] >= reference.times[last] - tolerance)
            .filter_map(|&at| matches[at].map(|to| result.tracks[to as usize]))
            .collect();
        tracks.sort_unstable();
        tracks.dedup();
        let same = |&other: &u32| {
            let others = &ours.children[other as usize];
            let end = result.times[ours.ends[other as usize].1 as usize];
            let shared = end.min(reference.times[last]);
            others.len() == children.len()
                && (end - reference.times[last]).abs() <= tolerance
                && stands_for(mother, shared, other)
                && children.iter().all(|&child| {
                    let begins = reference.times[theirs.ends[child as usize].0 as usize];
                    others.iter().any(|&other| {
                        let starts = result.times[ours.ends[other as usize].0 as usize];
                        (starts - begins).abs() <= tolerance && stands_for(child, starts.max(begins), other)
                    })
                })
        };
        found += u64::from(tracks.iter().any(same));
    }
    out.divisions = [real.len() as u64, said.len() as u64, found];
    let share = |of: usize| if of == 0 { f64::NAN } else { found as f64 / of as f64 };
    (out.division_recall, out.division_precision) = (share(real.len()), share(said.len()));
}

fn whole_tracks(
    out: &mut Ctc,
    (reference, theirs): (&Graph<'_>, &Lineage),
    (result, ours): (&Graph<'_>, &Lineage),
    unique: &[u32],
) {
    let mut followed = vec![Vec::new(); reference.parents.len()];
    for (at, &track) in reference.tracks.iter().enumerate() {
        let found = unique[at];
        followed[track as usize].push(if found == NONE { NONE } else { result.tracks[found as usize] });
    }
    let (mut complete, mut sum, mut seen) = (0u64, 0.0, 0u64);
    for (track, tracks) in followed.iter().enumerate() {
        let Some(&first) = tracks.first() else { continue };
        let span = |graph: &Graph<'_>, (from, to): (u32, u32)| (graph.times[from as usize], graph.times[to as usize]);
        if first != NONE
            && tracks.iter().all(|&other| other == first)
            && span(reference, theirs.ends[track]) == span(result, ours.ends[first as usize])
        {
            complete += 1;
        }
        let longest = tracks.chunk_by(|a, b| a == b).filter(|run| run[0] != NONE).map(<[u32]>::len).max();
        if let Some(longest) = longest {
            sum += longest as f64 / tracks.len() as f64;
            seen += 1;
        }
    }
    let count = |lineage: &Lineage| lineage.ends.iter().filter(|ends| ends.0 != NONE).count() as f64;
    out.complete_tracks = 2.0 * complete as f64 / (count(theirs) + count(ours));
    out.track_fractions = if seen == 0 { 0.0 } else { sum / seen as f64 };
}
