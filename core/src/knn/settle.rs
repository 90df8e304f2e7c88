//! Candidates put in their final order by exact distance.

use super::distance::Exact;

/// A candidate with its exact squared distance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) square: f64,
    pub(super) row: u32,
}

/// Exact distances of `candidates` (the row itself is skipped), sorted by distance, then row.
pub(super) fn settle(
    exact: &Exact<'_>,
    row: usize,
    unit: &[f64],
    candidates: impl Iterator<Item = usize>,
    found: &mut Vec<Candidate>,
) {
    found.clear();
    found.extend(
        candidates
            .filter(|&other| other != row)
            .map(|other| Candidate { square: exact.square(row, unit, other), row: other as u32 }),
    );
    found.sort_unstable_by(|a, b| a.square.total_cmp(&b.square).then(a.row.cmp(&b.row)));
}

/// Writes one row of the result: the row itself, then its neighbours.
pub(super) fn write_row(
    exact: &Exact<'_>,
    row: usize,
    found: &[Candidate],
    indices: &mut [u32],
    distances: &mut [f32],
) {
    (indices[0], distances[0]) = (row as u32, 0.0);
    for ((index, distance), candidate) in indices[1..].iter_mut().zip(&mut distances[1..]).zip(found) {
        *index = candidate.row;
        *distance = exact.finish(candidate.square) as f32;
    }
}
