//! Exact search: every pair is scored in single precision, and what survives is settled in double precision.
//!
//! A little more than `k` candidates are kept per query. Once their exact distances are known, the k-th is held
//! against the best score that a dropped row can have had, error bound included; where that leaves a doubt
//! (ties, duplicates, nearly equal distances) the query is scanned again with everything kept that is not
//! surely too far.

use rayon::prelude::*;

use super::Neighbors;
use super::best::{Best, Feed};
use super::distance::Exact;
use super::points::Prepared;
use super::settle::{Candidate, settle, write_row};
use super::tile::{LANES, Lane, QUERIES, QueryTile, Sink, pack, scan};
use crate::{Ctx, Result};

/// Queries of one task.
const BLOCK: usize = QUERIES * 32;
/// Panels scanned before the next tile of queries takes its turn; about 200 kB at 50 columns.
const CHUNK: usize = 64;

/// The neighbours of the rows `queries` among all rows. The result has one row per query.
pub(super) fn search(
    prepared: &Prepared,
    exact: &Exact<'_>,
    queries: &[u32],
    k: usize,
    ctx: &Ctx,
) -> Result<Neighbors> {
    let (n, d, count) = (prepared.n, prepared.d, queries.len());
    let mut panels: Vec<Lane> = Vec::new();
    panels.try_reserve_exact(n.div_ceil(LANES) * (d + 1)).map_err(|_| too_large(n, d))?;
    pack(d, (0..n).map(|row| (prepared.row(row), prepared.half[row])), &mut panels);
    let mut indices = vec![0u32; count * k];
    let mut distances = vec![0f32; count * k];
    let stage = ctx.stage("neighbours", count as u64);
    queries
        .par_chunks(BLOCK)
        .zip(indices.par_chunks_mut(BLOCK * k).zip(distances.par_chunks_mut(BLOCK * k)))
        .try_for_each(|(rows, out)| {
            search_block(prepared, exact, &panels, rows, k, out, ctx)?;
            stage.advance(rows.len() as u64)
        })?;
    Ok(Neighbors { n: count, k, indices, distances, exact: true })
}

fn too_large(n: usize, d: usize) -> crate::Error {
    crate::Error::Limit {
        what: "neighbour search".into(),
        needed: format!("{} bytes for {n} x {d} values", n * d * 4),
        limit: "what the system would give".into(),
    }
}

fn search_block(
    prepared: &Prepared,
    exact: &Exact<'_>,
    panels: &[Lane],
    rows: &[u32],
    k: usize,
    out: (&mut [u32], &mut [f32]),
    ctx: &Ctx,
) -> Result<()> {
    let d = prepared.d;
    // The row itself is met too, hence the candidates are k - 1 others, itself, and some to spare.
    let keep = k + (k / 4).max(6);
    let mut best = Best::new(rows.len(), keep);
    let mut tiles: Vec<QueryTile> = Vec::new();
    for (offset, &row) in rows.iter().enumerate() {
        if offset % QUERIES == 0 {
            tiles.push(QueryTile::new(d));
        }
        if let Some(tile) = tiles.last_mut() {
            tile.set(offset % QUERIES, prepared.row(row as usize), f32::NEG_INFINITY);
        }
    }
    for (chunk, lanes) in panels.chunks(CHUNK * (d + 1)).enumerate() {
        ctx.check()?;
        for (number, tile) in tiles.iter_mut().enumerate() {
            let queries = std::array::from_fn(|place| (number * QUERIES + place) as u32);
            let mut feed = Feed { best: &mut best, queries, first: (chunk * CHUNK * LANES) as u32 };
            scan(lanes, tile, &mut feed);
        }
    }
    let (indices, distances) = out;
    let mut unit = vec![0f64; d];
    let mut found: Vec<Candidate> = Vec::new();
    let mut doubtful: Vec<(usize, f64)> = Vec::new();
    for (offset, &row) in rows.iter().enumerate() {
        let row = row as usize;
        let worst = f64::from(best.tighten(offset));
        let candidates = best.entries(offset);
        exact.unit_row(row, &mut unit);
        settle(exact, row, &unit, candidates.iter().map(|entry| entry.row as usize), &mut found);
        let complete = candidates.len() >= prepared.n;
        let limit = prepared.base(row) - 2.0 * (worst + prepared.score_error(row));
        let farthest = found.get(k - 2).map(|candidate| candidate.square);
        match farthest {
            Some(square) if complete || square * prepared.scale * prepared.scale < limit => {
                let span = offset * k..(offset + 1) * k;
                write_row(exact, row, &found[..k - 1], &mut indices[span.clone()], &mut distances[span]);
            }
            // `found` holds fewer than k - 1 only when the row itself was not among the kept.
            other => doubtful.push((offset, other.unwrap_or(f64::INFINITY))),
        }
    }
    for group in doubtful.chunks(QUERIES) {
        ctx.check()?;
        let mut tile = QueryTile::new(d);
        let mut collect = Collect { rows: vec![Vec::new(); QUERIES], thresholds: [f32::INFINITY; QUERIES] };
        for (place, &(offset, square)) in group.iter().enumerate() {
            let row = rows[offset] as usize;
            if square == 0.0 {
                continue;
            }
            let score = 0.5 * (prepared.base(row) - square * prepared.scale * prepared.scale);
            // Rounded down, so that the threshold itself never excludes.
            let threshold = ((score - prepared.score_error(row)) as f32).next_down();
            collect.thresholds[place] = threshold;
            tile.set(place, prepared.row(row), threshold);
        }
        for (chunk, lanes) in panels.chunks(CHUNK * (d + 1)).enumerate() {
            ctx.check()?;
            let mut part = Shifted { collect: &mut collect, first: chunk * CHUNK * LANES };
            scan(lanes, &mut tile, &mut part);
        }
        for (place, &(offset, square)) in group.iter().enumerate() {
            let row = rows[offset] as usize;
            exact.unit_row(row, &mut unit);
            if square == 0.0 {
                first_duplicates(exact, row, &unit, prepared.n, k - 1, &mut found, ctx)?;
            } else {
                settle(exact, row, &unit, collect.rows[place].iter().copied(), &mut found);
            }
            let span = offset * k..(offset + 1) * k;
            write_row(exact, row, &found[..k - 1], &mut indices[span.clone()], &mut distances[span]);
        }
    }
    Ok(())
}

/// The first `count` other rows at distance zero: nothing can be nearer, and no row before them is as near.
fn first_duplicates(
    exact: &Exact<'_>,
    row: usize,
    unit: &[f64],
    n: usize,
    count: usize,
    found: &mut Vec<Candidate>,
    ctx: &Ctx,
) -> Result<()> {
    found.clear();
    for other in 0..n {
        if other % (1 << 16) == 0 {
            ctx.check()?;
        }
        if other != row && exact.square(row, unit, other) == 0.0 {
            found.push(Candidate { square: 0.0, row: other as u32 });
            if found.len() == count {
                break;
            }
        }
    }
    Ok(())
}

/// Keeps every row above a fixed threshold.
struct Collect {
    rows: Vec<Vec<usize>>,
    thresholds: [f32; QUERIES],
}

struct Shifted<'a> {
    collect: &'a mut Collect,
    first: usize,
}

impl Sink for Shifted<'_> {
    fn offer(&mut self, query: usize, position: usize, _: f32) -> f32 {
        self.collect.rows[query].push(self.first + position);
        self.collect.thresholds[query]
    }
}
