//! From links to tracks: numbers, mothers, lengths.

use super::join::Joined;
use super::{Detections, NONE};

/// Tracks of all detections.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracks {
    /// Track of each detection, from 1, numbered by the first detection of each (time, then place in the input).
    pub track: Vec<u32>,
    /// For each track, at its number less 1, the track of its mother, or 0.
    pub parent: Vec<u32>,
}

impl Tracks {
    /// Number of tracks.
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty()
    }
}

/// Numbers the tracks.
pub(super) fn lineage(detections: &Detections<'_>, joined: &Joined) -> Tracks {
    let n = detections.points.len();
    let mut out = Tracks { track: vec![0; n], parent: Vec::new() };
    // Detections are ordered by time, so each track is met at its first, after its mother.
    for first in 0..n {
        if out.track[first] != 0 {
            continue;
        }
        let mother = joined.mother[first];
        out.parent.push(if mother == NONE { 0 } else { out.track[mother as usize] });
        let number = out.parent.len() as u32;
        let mut at = first as u32;
        while at != NONE {
            out.track[at as usize] = number;
            at = joined.next[at as usize];
        }
    }
    out
}
