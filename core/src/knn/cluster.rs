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

/// A partition of the rows by nearest centre.
pub(super) struct Clusters {
    /// `count x d`, row-major.
    pub(super) centres: Vec<f32>,
    /// Half the squared norm of each centre.
    pub(super) half: Vec<f32>,
    /// The rows, cluster after cluster, ascending within each.
    pub(super) order: Vec<u32>,
    /// Where each cluster starts in `order`; one more entry than clusters.
    pub(super) starts: Vec<usize>,
}

impl Clusters {
    /// Learns `count` centres from a sample of the first `n` rows drawn by `seed`, and sorts these rows by them.
    pub(super) fn learn(prepared: &Prepared, n: usize, count: usize, seed: u64, ctx: &Ctx) -> Result<Self> {
        let d = prepared.d;
        let sample = draw(n, count * SAMPLE_PER_CENTRE, seed);
        let count = count.min(sample.len());
        // A sample of all rows comes in order, so the first centres are spread over it.
        let step = sample.len() / count;
        let mut centres: Vec<f32> =
            (0..count).flat_map(|centre| prepared.row(sample[centre * step] as usize).iter().copied()).collect();
        let mut half = halves(&centres, d);
        for _ in 0..ROUNDS {
            let nearest = assign(prepared, &sample, &centres, &half, ctx)?;
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
                    centres[place.clone()]
                        .iter_mut()
                        .zip(&sums[place])
                        .for_each(|(centre, sum)| *centre = (sum * scale) as f32);
                }
            }
            half = halves(&centres, d);
        }
        let all: Vec<u32> = (0..n as u32).collect();
        let nearest = assign(prepared, &all, &centres, &half, ctx)?;
        let mut starts = vec![0usize; count + 1];
        nearest.iter().for_each(|&centre| starts[centre as usize + 1] += 1);
        for centre in 0..count {
            starts[centre + 1] += starts[centre];
        }
        let mut next = starts.clone();
        let mut order = vec![0u32; n];
        for (row, &centre) in nearest.iter().enumerate() {
            order[next[centre as usize]] = row as u32;
            next[centre as usize] += 1;
        }
        Ok(Self { centres, half, order, starts })
    }

    /// The nearest centre of each of `rows`.
    pub(super) fn nearest(&self, prepared: &Prepared, rows: &[u32], ctx: &Ctx) -> Result<Vec<u32>> {
        assign(prepared, rows, &self.centres, &self.half, ctx)
    }

    pub(super) fn count(&self) -> usize {
        self.half.len()
    }
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
