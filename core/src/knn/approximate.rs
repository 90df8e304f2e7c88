//! Approximate search: clusters, and a bound that says which of them are worth a look.
//!
//! 1. Rows are sorted into clusters of a few hundred ([`Clusters`]) and copied in that order, so that what is
//!    searched together lies together.
//! 2. For each cluster, its rows are scanned against the other clusters, nearest first. Row x is scanned
//!    against cluster b only while the distance from x to the plane half-way between its own centre and that of b,
//!    which no row of b can beat, is below `effort` x [`REACH`] x the distance of the k-th neighbour so far.
//!    With a factor of 1 this would be exact (for the clusters looked at); in many dimensions the bound is far
//!    from tight, so a fraction of it loses little.
//! 3. Exact distances put what was found in order.
//!
//! A further round over neighbours of neighbours was tried: at equal recall it cost more than a longer reach.
//!
//! Each cluster is one task that no other influences: the threads change nothing.

use rayon::prelude::*;

use super::best::{Best, Feed};
use super::cluster::{Centres, Clusters};
use super::distance::Exact;
use super::points::Prepared;
use super::settle::{Candidate, settle, write_row};
use super::tile::{LANES, Lane, QUERIES, QueryTile, Sink, pack, scan};
use super::{KnnOptions, Neighbors};
use crate::{Ctx, Result};

/// Rows per cluster aimed at.
pub(super) const CLUSTER: usize = 384;
/// Share of the distance of the k-th neighbour up to which a cluster's plane may lie, at effort 1.
const REACH: f64 = 0.45;
/// Clusters that one cluster's rows look at, at most, at effort 1: this times the root of their number. Where most
/// dimensions are noise the planes exclude little, and this is what bounds the work.
const PROBES: f64 = 8.0;

pub(super) fn search(prepared: Prepared, exact: &Exact<'_>, options: &KnnOptions, ctx: &Ctx) -> Result<Neighbors> {
    let (n, k) = (prepared.n, options.n_neighbors);
    let (clusters, order) = {
        let _stage = ctx.stage("clusters", 0);
        Clusters::learn(&prepared, n, n.div_ceil(CLUSTER), options.seed, ctx)?
    };
    let rows = Rows::new(&prepared, &order);
    drop(prepared);
    let sorted = Sorted::new(rows, &clusters);
    let mut found = Neighbors { n, k, indices: vec![0; n * k], distances: vec![0.0; n * k], exact: false };
    // Each cluster writes a slice of its own, in cluster order.
    let mut tasks: Vec<(usize, &mut [u32], &mut [f32])> = Vec::with_capacity(clusters.count());
    let (mut indices, mut distances) = (found.indices.as_mut_slice(), found.distances.as_mut_slice());
    for (cluster, span) in clusters.starts.windows(2).enumerate() {
        let size = (span[1] - span[0]) * k;
        let (own_indices, own_distances);
        (own_indices, indices) = indices.split_at_mut(size);
        (own_distances, distances) = distances.split_at_mut(size);
        if size > 0 {
            tasks.push((cluster, own_indices, own_distances));
        }
    }
    let stage = ctx.stage("neighbours", n as u64);
    tasks.into_par_iter().with_max_len(1).try_for_each(|(cluster, indices, distances)| {
        let count = indices.len() / k;
        search_cluster(&sorted, &clusters, &order, cluster, exact, options, (indices, distances), ctx)?;
        stage.advance(count as u64)
    })?;
    drop(sorted);
    Ok(in_order_of_rows(&found, &order))
}

/// Back from cluster order to the order of the caller. The indices are the caller's already.
fn in_order_of_rows(found: &Neighbors, order: &[u32]) -> Neighbors {
    let (n, k) = (found.n, found.k);
    let mut place = vec![0u32; n];
    order.iter().enumerate().for_each(|(sorted, &row)| place[row as usize] = sorted as u32);
    let mut indices = vec![0u32; n * k];
    let mut distances = vec![0f32; n * k];
    indices.par_chunks_mut(k).zip(distances.par_chunks_mut(k)).zip(&place).with_min_len(1024).for_each(
        |((indices, distances), &from)| {
            let span = from as usize * k..(from as usize + 1) * k;
            indices.copy_from_slice(&found.indices[span.clone()]);
            distances.copy_from_slice(&found.distances[span]);
        },
    );
    Neighbors { n, k, indices, distances, exact: false }
}

/// Neighbours among the first `m` rows for each of the others: row numbers and distances, `k` for each, row by row.
///
/// The clusters are those of the first rows; each other row is looked up from the cluster with the nearest centre.
pub(super) fn search_between(
    prepared: &Prepared,
    exact: &Exact<'_>,
    m: usize,
    k: usize,
    options: &KnnOptions,
    ctx: &Ctx,
) -> Result<(Vec<u32>, Vec<f32>)> {
    let (clusters, order) = {
        let _stage = ctx.stage("clusters", 0);
        Clusters::learn(prepared, m, m.div_ceil(CLUSTER), options.seed, ctx)?
    };
    let sorted = Sorted::new(Rows::new(prepared, &order), &clusters);
    let mut queries: Vec<u32> = (m as u32..prepared.n as u32).collect();
    let nearest = clusters.centres.nearest(prepared, &queries, ctx)?;
    queries.sort_by_key(|&query| nearest[query as usize - m]);
    let tasks: Vec<&[u32]> = queries
        .chunk_by(|&a, &b| nearest[a as usize - m] == nearest[b as usize - m])
        .flat_map(|of_cluster| of_cluster.chunks(CLUSTER))
        .collect();
    let keep = kept_of_queries(k, m);
    let look = Look::new(options.effort, None, clusters.count());
    let stage = ctx.stage("neighbours in the reference", queries.len() as u64);
    let found: Vec<Vec<Candidate>> = tasks
        .par_iter()
        .with_max_len(1)
        .map(|task| {
            let cluster = nearest[task[0] as usize - m] as usize;
            let best = candidates(&sorted, &clusters, cluster, Rows::new(prepared, task).view(), keep, look, ctx)?;
            let (mut unit, mut settled) = (vec![0f64; prepared.d], Vec::new());
            let mut found = Vec::with_capacity(task.len() * k);
            for (offset, &query) in task.iter().enumerate() {
                exact.unit_row(query as usize, &mut unit);
                let kept = best.entries(offset).iter().map(|entry| order[entry.row as usize] as usize);
                settle(exact, query as usize, &unit, kept, &mut settled);
                found.extend_from_slice(&settled[..k]);
            }
            stage.advance(task.len() as u64)?;
            Ok(found)
        })
        .collect::<Result<_>>()?;
    let n = queries.len();
    let (mut indices, mut distances) = (vec![0u32; n * k], vec![0f32; n * k]);
    for (task, found) in tasks.iter().zip(&found) {
        for (&query, found) in task.iter().zip(found.chunks_exact(k)) {
            let first = (query as usize - m) * k;
            for (place, candidate) in found.iter().enumerate() {
                indices[first + place] = candidate.row;
                distances[first + place] = exact.finish(candidate.square) as f32;
            }
        }
    }
    Ok((indices, distances))
}

/// Some rows in an order of their own.
struct Rows {
    d: usize,
    rows: Vec<f32>,
    half: Vec<f32>,
    base: Vec<f32>,
}

impl Rows {
    fn new(prepared: &Prepared, order: &[u32]) -> Self {
        let d = prepared.d;
        let mut rows = vec![0f32; order.len() * d];
        rows.par_chunks_mut(d)
            .zip(order)
            .with_min_len(1024)
            .for_each(|(out, &row)| out.copy_from_slice(prepared.row(row as usize)));
        Self {
            d,
            rows,
            half: order.iter().map(|&row| prepared.half[row as usize]).collect(),
            base: order.iter().map(|&row| prepared.base(row as usize) as f32).collect(),
        }
    }

    fn view(&self) -> Queries<'_> {
        Queries { d: self.d, rows: &self.rows, base: &self.base }
    }
}

/// Candidates that are kept for each row that looks for its `k` neighbours among rows of which it is one: it meets
/// itself too, and single precision may swap nearly equal ones.
pub(super) fn kept_of_rows(k: usize, n: usize) -> usize {
    (k + (k / 4).max(4)).min(n)
}

/// Candidates that are kept for each row that looks for `k` neighbours among `n` others.
pub(super) fn kept_of_queries(k: usize, n: usize) -> usize {
    (k + (k / 4).max(6)).min(n)
}

/// How far a search looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Share of the distance of the k-th neighbour up to which a cluster's plane may lie.
    reach: f32,
    /// Clusters to look at, at most.
    pub(super) most: usize,
}

impl Look {
    /// `most`: number of clusters; none stands for what `effort` allows among `count`.
    pub(super) fn new(effort: f64, most: Option<usize>, count: usize) -> Self {
        let allowed = || (effort * PROBES * (count as f64).sqrt()).ceil() as usize;
        Self { reach: (effort * REACH) as f32, most: most.unwrap_or_else(allowed) }
    }
}

/// Rows to find neighbours for.
#[derive(Clone, Copy)]
pub(super) struct Queries<'a> {
    pub(super) d: usize,
    /// In single precision, as [`Prepared`] holds them.
    pub(super) rows: &'a [f32],
    /// Squared distance that belongs to a score of 0.
    pub(super) base: &'a [f32],
}

impl<'a> Queries<'a> {
    fn len(&self) -> usize {
        self.base.len()
    }

    #[inline]
    fn row(&self, row: usize) -> &'a [f32] {
        &self.rows[row * self.d..(row + 1) * self.d]
    }
}

/// The packed rows of clusters, wherever they are.
pub(super) trait Packed {
    /// Hands out the rows of a cluster in order, in one piece or in several: whole panels, and where in the order of
    /// clusters the first of them stands.
    fn visit(&self, cluster: usize, read: &mut dyn FnMut(&[Lane], u32)) -> Result<()>;
}

/// The rows in cluster order, plain and packed.
struct Sorted {
    d: usize,
    rows: Vec<f32>,
    base: Vec<f32>,
    panels: Vec<Lane>,
    /// Where the rows of each cluster start.
    starts: Vec<usize>,
    /// Where the panels of each cluster start.
    panel_starts: Vec<usize>,
}

impl Packed for Sorted {
    fn visit(&self, cluster: usize, read: &mut dyn FnMut(&[Lane], u32)) -> Result<()> {
        let span = self.panel_starts[cluster]..self.panel_starts[cluster + 1];
        read(&self.panels[span], self.starts[cluster] as u32);
        Ok(())
    }
}

impl Sorted {
    fn new(Rows { d, rows, half, base }: Rows, clusters: &Clusters) -> Self {
        let mut panels = Vec::with_capacity((rows.len() / d / LANES + clusters.count()) * (d + 1));
        let mut panel_starts = vec![0];
        for span in clusters.starts.windows(2) {
            let members = rows[span[0] * d..span[1] * d].chunks_exact(d).zip(half[span[0]..span[1]].iter().copied());
            pack(d, members, &mut panels);
            panel_starts.push(panels.len());
        }
        Self { d, rows, base, panels, starts: clusters.starts.clone(), panel_starts }
    }

    /// Some of the rows.
    fn queries(&self, span: std::ops::Range<usize>) -> Queries<'_> {
        Queries { d: self.d, rows: &self.rows[span.start * self.d..span.end * self.d], base: &self.base[span] }
    }
}

/// Steps 2 and 3 for the rows of one cluster.
fn search_cluster(
    sorted: &Sorted,
    clusters: &Clusters,
    order: &[u32],
    cluster: usize,
    exact: &Exact<'_>,
    options: &KnnOptions,
    out: (&mut [u32], &mut [f32]),
    ctx: &Ctx,
) -> Result<()> {
    let (d, k) = (sorted.d, options.n_neighbors);
    let rows = clusters.span(cluster);
    let keep = kept_of_rows(k, order.len());
    let look = Look::new(options.effort, None, clusters.count());
    let best = candidates(sorted, clusters, cluster, sorted.queries(rows.clone()), keep, look, ctx)?;
    let (indices, distances) = out;
    let mut unit = vec![0f64; d];
    let mut settled: Vec<Candidate> = Vec::new();
    for (offset, row) in rows.enumerate() {
        let row = order[row] as usize;
        exact.unit_row(row, &mut unit);
        let kept = best.entries(offset).iter().map(|entry| order[entry.row as usize] as usize);
        settle(exact, row, &unit, kept, &mut settled);
        let span = offset * k..(offset + 1) * k;
        write_row(exact, row, &settled[..k - 1], &mut indices[span.clone()], &mut distances[span]);
    }
    Ok(())
}

/// Step 2 for rows whose nearest centre is that of `cluster`: the `keep` best of what was looked at, by their places in the
/// order of clusters. What is found for a row does not depend on the others.
pub(super) fn candidates(
    packed: &impl Packed,
    clusters: &Clusters,
    cluster: usize,
    rows: Queries<'_>,
    keep: usize,
    look: Look,
    ctx: &Ctx,
) -> Result<Best> {
    let d = rows.d;
    let probes = nearest_clusters(clusters, cluster, look.most, keep);
    let planes = Planes::new(&clusters.centres, rows, cluster, &probes);
    let mut best = Best::new(rows.len(), keep);
    let mut tile = QueryTile::new(d);
    let mut active: Vec<u32> = Vec::with_capacity(rows.len());
    // Distance of the last of the kept rows; infinite while there are too few.
    let mut radius = vec![f32::INFINITY; rows.len()];
    for (probe, &other) in probes.iter().enumerate() {
        ctx.check()?;
        active.clear();
        active.extend((0..rows.len() as u32).filter(|&query| {
            let plane = planes.distance(query as usize, probe);
            plane <= look.reach * radius[query as usize]
        }));
        if active.is_empty() {
            continue;
        }
        packed.visit(other as usize, &mut |lanes, first| {
            for group in active.chunks(QUERIES) {
                tile.clear();
                let mut queries = [0u32; QUERIES];
                for (place, &query) in group.iter().enumerate() {
                    queries[place] = query;
                    tile.set(place, rows.row(query as usize), best.threshold(query as usize));
                }
                scan(lanes, &mut tile, &mut Feed { best: &mut best, queries, first });
            }
        })?;
        for &query in &active {
            let threshold = best.tighten(query as usize);
            let square = rows.base[query as usize] - 2.0 * threshold;
            radius[query as usize] = square.max(0.0).sqrt();
        }
    }
    Ok(best)
}

/// The clusters to look at: itself first, then by distance of centres, at most `most`, but as many as it takes
/// to meet `enough` rows.
fn nearest_clusters(clusters: &Clusters, cluster: usize, most: usize, enough: usize) -> Vec<u32> {
    let centres = &clusters.centres;
    let here = centres.row(cluster);
    let mut others: Vec<(f64, u32)> = (0..clusters.count())
        .filter(|&other| other != cluster && !clusters.span(other).is_empty())
        .map(|other| (distance_square(here, centres.row(other)), other as u32))
        .collect();
    others.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut probes = vec![cluster as u32];
    let mut rows = clusters.span(cluster).len();
    for (_, other) in others {
        if probes.len() >= most && rows >= enough {
            break;
        }
        probes.push(other);
        rows += clusters.span(other as usize).len();
    }
    probes
}

fn distance_square(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// Distance of each row of a cluster to the plane half-way between its own centre and each other one.
struct Planes {
    probes: usize,
    distances: Vec<f32>,
}

impl Planes {
    fn new(centres: &Centres, rows: Queries<'_>, cluster: usize, probes: &[u32]) -> Self {
        let d = rows.d;
        let centre = |index: u32| centres.row(index as usize);
        let mut panels = Vec::with_capacity(probes.len().div_ceil(LANES) * (d + 1));
        pack(d, probes.iter().map(|&probe| (centre(probe), centres.half[probe as usize])), &mut panels);
        let gaps: Vec<f32> =
            probes.iter().map(|&probe| distance_square(centre(cluster as u32), centre(probe)).sqrt() as f32).collect();
        let mut distances = vec![0f32; rows.len() * probes.len()];
        let mut tile = QueryTile::new(d);
        for start in (0..rows.len()).step_by(QUERIES) {
            tile.clear();
            let end = (start + QUERIES).min(rows.len());
            for query in start..end {
                tile.set(query - start, rows.row(query), f32::NEG_INFINITY);
            }
            let scores = &mut distances[start * probes.len()..end * probes.len()];
            scan(&panels, &mut tile, &mut All { width: probes.len(), scores });
        }
        for row in distances.chunks_exact_mut(probes.len()) {
            // Probe 0 is the own cluster.
            let own = row[0];
            for (score, &gap) in row.iter_mut().zip(&gaps) {
                *score = if gap > 0.0 { (own - *score) / gap } else { 0.0 };
            }
        }
        Self { probes: probes.len(), distances }
    }

    #[inline]
    fn distance(&self, query: usize, probe: usize) -> f32 {
        self.distances[query * self.probes + probe]
    }
}

/// Writes every score down.
struct All<'a> {
    width: usize,
    scores: &'a mut [f32],
}

impl Sink for All<'_> {
    #[inline]
    fn offer(&mut self, query: usize, position: usize, score: f32) -> f32 {
        self.scores[query * self.width + position] = score;
        f32::NEG_INFINITY
    }
}
