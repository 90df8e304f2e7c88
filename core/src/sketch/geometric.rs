//! Geometric sketching: a grid over the cells, and about as many cells from each box.

use rayon::prelude::*;

use super::GeometricOptions;
use super::draw::{check_count, smallest};
use crate::knn::Points;
use crate::options::Options;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// Cells of one task.
const PIECE: usize = 4096;

/// The finest grid has a side of the largest extent over 2 to this power, below what f32 tells apart.
const FINEST: f64 = 30.0;

/// Sides tried at most. Each halves what is left to search.
const TRIES: usize = 32;

/// Cells chosen, and the grid that they were chosen by.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Geometric {
    /// Rows of the chosen cells, rising.
    pub chosen: Vec<u32>,
    /// Side of the boxes, in the unit of the embedding.
    pub side: f64,
    /// Boxes that hold a cell.
    pub n_boxes: usize,
}

/// Chooses `n_obs` of the cells of an embedding so that all its regions are stood for alike.
///
/// `points`: n x d, columns of one unit (principal components as they are, not scaled to unit variance). A grid of equal
/// boxes starts at the least value of each column; its side is searched so that about `n_boxes` boxes hold a cell.
/// Each box puts its cells in a random order; the first of each box come before the second of each, and so on, and of
/// those of the last rank that is needed boxes are drawn at random. A box with a single cell is thus as likely to be
/// stood for as one with thousands.
///
/// Random by `random_state`, one stream per cell; for a given grid a smaller sketch is part of a larger one. The bits do
/// not depend on threads. Cost: about ten to thirty times n log n; 48 bytes per cell beside the embedding.
///
/// # Errors
/// [`Error::Parameter`] for options out of range and for more cells than there are; [`Error::Data`] for values too far
/// apart; [`Error::Interrupted`].
///
/// Reference: Hie et al., Cell Systems 8 (2019).
pub fn geometric(points: &Points<'_>, n_obs: usize, options: &GeometricOptions, ctx: &Ctx) -> Result<Geometric> {
    options.validate()?;
    check_count(n_obs, points.n())?;
    let grid = Grid::over(points, ctx)?;
    let wanted = options.n_boxes.unwrap_or(n_obs).max(1);
    let (side, boxes) = search(&grid, wanted, options.tolerance, ctx)?;

    // Cells of a box together, in a random order.
    let mut cells: Vec<(u64, u64, u32)> = boxes
        .into_par_iter()
        .enumerate()
        .map(|(row, at)| (at, Stream::new(options.random_state, row as u64).next_u64(), row as u32))
        .collect();
    cells.par_sort_unstable();
    ctx.check()?;
    // Ranks within boxes; of cells of one rank the second number of their stream decides.
    let mut n_boxes = 0;
    let mut rank = 0;
    let mut last = None;
    let ranked: Vec<(u32, u64, u32)> = cells
        .iter()
        .map(|&(at, _, row)| {
            rank = if last == Some(at) { rank + 1 } else { 0 };
            n_boxes += usize::from(rank == 0);
            last = Some(at);
            let mut stream = Stream::new(options.random_state, u64::from(row));
            stream.next_u64();
            (rank, stream.next_u64(), row)
        })
        .collect();
    Ok(Geometric { chosen: smallest(ranked, n_obs, Ord::cmp, |&(_, _, row)| row), side, n_boxes })
}

/// The points, and where a grid over them starts.
struct Grid<'a> {
    points: &'a Points<'a>,
    low: Vec<f64>,
    extent: Vec<f64>,
    /// The largest extent.
    largest: f64,
}

impl<'a> Grid<'a> {
    fn over(points: &'a Points<'a>, ctx: &Ctx) -> Result<Self> {
        let d = points.d();
        let pieces: Vec<(Vec<f64>, Vec<f64>)> = (0..points.n().div_ceil(PIECE))
            .into_par_iter()
            .map(|piece| {
                let (mut low, mut high) = (vec![f64::INFINITY; d], vec![f64::NEG_INFINITY; d]);
                let mut row = vec![0.0; d];
                for at in piece * PIECE..((piece + 1) * PIECE).min(points.n()) {
                    points.row_into(at, &mut row);
                    for (value, (low, high)) in row.iter().zip(low.iter_mut().zip(&mut high)) {
                        *low = low.min(*value);
                        *high = high.max(*value);
                    }
                }
                (low, high)
            })
            .collect();
        ctx.check()?;
        let (mut low, mut high) = (vec![f64::INFINITY; d], vec![f64::NEG_INFINITY; d]);
        for (lows, highs) in &pieces {
            low.iter_mut().zip(lows).for_each(|(all, one)| *all = all.min(*one));
            high.iter_mut().zip(highs).for_each(|(all, one)| *all = all.max(*one));
        }
        let extent: Vec<f64> = low.iter().zip(&high).map(|(low, high)| high - low).collect();
        let largest = extent.iter().copied().fold(0.0, f64::max);
        if !largest.is_finite() {
            let expected = "values whose differences stay below 1e308";
            return Err(Error::data(DataFault::Invalid, "points", expected, "larger ones"));
        }
        Ok(Self { points, low, extent, largest })
    }

    /// The box of each cell, as a number: the same for cells of one box, different for those of different boxes but for
    /// one pair of boxes in 2^64, which are then taken as one.
    fn boxes(&self, side: f64, ctx: &Ctx) -> Result<Vec<u64>> {
        // Columns that the grid does not cut have one place for all.
        let cut: Vec<usize> = (0..self.points.d()).filter(|&column| self.extent[column] > side).collect();
        let mut boxes = vec![0u64; self.points.n()];
        boxes.par_chunks_mut(PIECE).enumerate().try_for_each(|(piece, out)| {
            ctx.check()?;
            let mut row = vec![0.0; self.points.d()];
            for (offset, out) in out.iter_mut().enumerate() {
                self.points.row_into(piece * PIECE + offset, &mut row);
                *out = cut.iter().fold(0, |hash, &column| {
                    // The far end belongs to the last box.
                    let last = (self.extent[column] / side).ceil() - 1.0;
                    let place = ((row[column] - self.low[column]) / side).floor().min(last);
                    mixed(hash ^ (place as u64).wrapping_add(0x9E37_79B9_7F4A_7C15))
                });
            }
            Ok::<(), Error>(())
        })?;
        Ok(boxes)
    }
}

/// A bijection that spreads every bit over all (the finaliser of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The side for which about `wanted` boxes hold a cell, and the box of each cell.
fn search(grid: &Grid<'_>, wanted: usize, tolerance: f64, ctx: &Ctx) -> Result<(f64, Vec<u64>)> {
    if grid.largest == 0.0 {
        return Ok((0.0, vec![0; grid.points.n()]));
    }
    let stage = ctx.stage("sketch: grid", TRIES as u64);
    // One box at the upper end; bisection of the logarithm. Finer grids nearly always have more boxes.
    let (mut fine, mut coarse) = (-FINEST, 0.0f64);
    let mut best: Option<(usize, f64)> = None;
    let mut tried = 0.0;
    for attempt in 0..TRIES {
        let exponent = if attempt == 0 { coarse } else { 0.5 * (fine + coarse) };
        tried = grid.largest * exponent.exp2();
        let mut boxes = grid.boxes(tried, ctx)?;
        stage.advance(1)?;
        let kept = boxes.clone();
        boxes.par_sort_unstable();
        boxes.dedup();
        let off = boxes.len().abs_diff(wanted);
        if best.is_none_or(|(least, _)| off < least) {
            best = Some((off, tried));
        }
        if off as f64 <= tolerance * wanted as f64 {
            return Ok((tried, kept));
        }
        if boxes.len() < wanted { coarse = exponent } else { fine = exponent }
    }
    let side = best.map_or(tried, |(_, side)| side);
    Ok((side, grid.boxes(side, ctx)?))
}
