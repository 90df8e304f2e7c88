//! Rows sorted into clusters: k-means on a sample, then every row to its nearest centre.

use rayon::prelude::*;

use super::best::Scored;
use super::points::Prepared;
use super::recall::draw;
use super::tile::{LANES, Lane, QUERIES, QueryTile, Sink, pack, scan};
use crate::{Ctx, Result};

/// Rounds of k-means. The centres only have to cut the data into compact pieces, not to converge.
const ROUNDS: usize = 5;
/// Rows of the sample per centre.
const SAMPLE_PER_CENTRE: usize = 40;
/// Rows assigned at once.
const PIECE: usize = QUERIES * 40;

/// The centres of a partition.
#[derive(Clone, Debug)]
pub(super) struct Centres {
    pub(super) d: usize,
    /// `count x d`, row-major.
    pub(super) values: Vec<f32>,
    /// Half the squared norm of each.
    pub(super) half: Vec<f32>,
}

impl Centres {
    pub(super) fn new(d: usize, values: Vec<f32>) -> Self {
        let half = halves(&values, d);
        Self { d, values, half }
    }

    /// Learns `count` centres (one per row of the sample, if there are fewer) from the rows `sample`.
    pub(super) fn learn(prepared: &Prepared, sample: &[u32], count: usize, ctx: &Ctx) -> Result<Self> {
        let d = prepared.d;
        let count = count.min(sample.len());
        // A sample of all rows comes in order, so the first centres are spread over it.
        let step = sample.len() / count;
        let first =
            (0..count).flat_map(|centre| prepared.row(sample[centre * step] as usize).iter().copied()).collect();
        let mut centres = Self::new(d, first);
        for _ in 0..ROUNDS {
            let nearest = centres.nearest(prepared, sample, ctx)?;
            let mut sums = vec![0f64; count * d];
            let mut sizes = vec![0usize; count];
            for (&row, &centre) in sample.iter().zip(&nearest) {
                let centre = centre as usize;
                sizes[centre] += 1;
                let sum = &mut sums[centre * d..(centre + 1) * d];
                sum.iter_mut().zip(prepared.row(row as usize)).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            for centre in 0..count {
                // An empty cluster keeps its centre.
                if sizes[centre] > 0 {
                    let place = centre * d..(centre + 1) * d;
                    let scale = 1.0 / sizes[centre] as f64;
                    centres.values[place.clone()]
                        .iter_mut()
                        .zip(&sums[place])
                        .for_each(|(centre, sum)| *centre = (sum * scale) as f32);
                }
            }
            centres.half = halves(&centres.values, d);
        }
        Ok(centres)
    }

    /// The nearest centre of each of `rows`.
    pub(super) fn nearest(&self, prepared: &Prepared, rows: &[u32], ctx: &Ctx) -> Result<Vec<u32>> {
        assign(prepared, rows, &self.values, &self.half, ctx)
    }

    pub(super) fn count(&self) -> usize {
        self.half.len()
    }

    #[inline]
    pub(super) fn row(&self, centre: usize) -> &[f32] {
        &self.values[centre * self.d..(centre + 1) * self.d]
    }
}

/// A partition of rows by nearest centre.
#[derive(Clone, Debug)]
pub(super) struct Clusters {
    pub(super) centres: Centres,
    /// Where each cluster starts in the order of clusters; one more entry than clusters.
    pub(super) starts: Vec<usize>,
}

impl Clusters {
    /// Learns `count` centres from a sample of the first `n` rows drawn by `seed`, and sorts these rows by them. Returned
    /// second: the rows, cluster after cluster, ascending within each.
    pub(super) fn learn(prepared: &Prepared, n: usize, count: usize, seed: u64, ctx: &Ctx) -> Result<(Self, Vec<u32>)> {
        let centres = Centres::learn(prepared, &sample(n, count, seed), count, ctx)?;
        let all: Vec<u32> = (0..n as u32).collect();
        let nearest = centres.nearest(prepared, &all, ctx)?;
        let starts = starts(&nearest, centres.count());
        let mut next = starts.clone();
        let mut order = vec![0u32; n];
        for (row, &centre) in nearest.iter().enumerate() {
            order[next[centre as usize]] = row as u32;
            next[centre as usize] += 1;
        }
        Ok((Self { centres, starts }, order))
    }

    pub(super) fn count(&self) -> usize {
        self.centres.count()
    }

    /// Where the rows of a cluster stand in the order of clusters.
    pub(super) fn span(&self, cluster: usize) -> std::ops::Range<usize> {
        self.starts[cluster]..self.starts[cluster + 1]
    }
}

/// Where each of `count` groups starts when rows are sorted by group; one more entry than groups.
pub(super) fn starts(groups: &[u32], count: usize) -> Vec<usize> {
    let mut starts = vec![0usize; count + 1];
    groups.iter().for_each(|&group| starts[group as usize + 1] += 1);
    for group in 0..count {
        starts[group + 1] += starts[group];
    }
    starts
}

/// The rows of `n` that `count` centres are learnt from.
pub(super) fn sample(n: usize, count: usize, seed: u64) -> Vec<u32> {
    draw(n, count * SAMPLE_PER_CENTRE, seed)
}

fn halves(centres: &[f32], d: usize) -> Vec<f32> {
    centres
        .chunks_exact(d)
        .map(|centre| (centre.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() * 0.5) as f32)
        .collect()
}

/// The nearest centre of each of `rows`; of equally near ones the first.
fn assign(prepared: &Prepared, rows: &[u32], centres: &[f32], half: &[f32], ctx: &Ctx) -> Result<Vec<u32>> {
    let d = prepared.d;
    let mut panels: Vec<Lane> = Vec::with_capacity(half.len().div_ceil(LANES) * (d + 1));
    pack(d, centres.chunks_exact(d).zip(half.iter().copied()), &mut panels);
    let mut nearest = vec![0u32; rows.len()];
    rows.par_chunks(PIECE).zip(nearest.par_chunks_mut(PIECE)).try_for_each(|(rows, nearest)| {
        ctx.check()?;
        let mut tile = QueryTile::new(d);
        for (rows, nearest) in rows.chunks(QUERIES).zip(nearest.chunks_mut(QUERIES)) {
            tile.clear();
            for (place, &row) in rows.iter().enumerate() {
                tile.set(place, prepared.row(row as usize), f32::NEG_INFINITY);
            }
            let mut sink = Nearest([Scored { score: f32::NEG_INFINITY, row: 0 }; QUERIES]);
            scan(&panels, &mut tile, &mut sink);
            nearest.iter_mut().zip(&sink.0).for_each(|(nearest, best)| *nearest = best.row);
        }
        Ok::<(), crate::Error>(())
    })?;
    Ok(nearest)
}

/// Keeps the best of each query.
struct Nearest([Scored; QUERIES]);

impl Sink for Nearest {
    #[inline]
    fn offer(&mut self, query: usize, position: usize, score: f32) -> f32 {
        self.0[query] = Scored { score, row: position as u32 };
        score
    }
}
