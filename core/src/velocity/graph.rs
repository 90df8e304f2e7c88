//! How well each step to a nearby cell agrees with the velocity.

use multiversion::multiversion;
use rayon::prelude::*;

use super::options::VelocityGraphOptions;
use crate::data::Csr;
use crate::graph::Graph;
use crate::options::Options;
use crate::parallel::pieces;
use crate::{Ctx, DataFault, Error, Result};

/// Sums side by side: one AVX-512 register, or two of AVX2.
const LANES: usize = 16;
/// Values summed in f32 before they go to f64.
const CHUNK: usize = 512;
/// Cells per parallel piece.
const PIECE: usize = 32;

/// Cosines between velocities and steps to nearby cells.
#[derive(Clone, Debug, PartialEq)]
pub struct VelocityGraph {
    /// n x n: positive cosines.
    pub positive: Csr,
    /// n x n: negative cosines.
    pub negative: Csr,
    /// What each cell's best cosine lacks to the 98th percentile of all cells' best, 0 to 1; n long.
    pub self_transition: Vec<f64>,
}

/// Cosine correlation between each cell's velocity and the differences to its neighbours and, recursively, to theirs.
///
/// `expression` and `velocity` are n x g, row by row: smoothed spliced counts and velocities of the velocity genes.
/// `distances` holds each cell's nearest neighbours; where cells have different numbers of them, as many of the nearest as
/// all have count. Both vectors are centred over genes first. A cell with velocity 0, and a step of length 0, have no
/// cosine.
///
/// Nothing is random; the same bits for any number of threads. O(n x neighbours^recursion x g) time: about 0.3 ns of one
/// core per gene and pair. Memory: 12 n g bytes and 8 per cosine.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for shapes that disagree, values that are not finite, a
/// cell without neighbours; [`Error::Interrupted`].
///
/// # Reference
/// Bergen et al. 2020, Nature Biotechnology 38, 1408.
pub fn velocity_graph(
    expression: &[f32],
    velocity: &[f32],
    distances: &Graph,
    options: &VelocityGraphOptions,
    ctx: &Ctx,
) -> Result<VelocityGraph> {
    options.validate()?;
    let n = distances.n;
    let genes = expression.len().checked_div(n).unwrap_or(0);
    if expression.len() != velocity.len() || expression.len() != n * genes {
        let found = format!("{} and {} values", expression.len(), velocity.len());
        return Err(Error::data(
            DataFault::Shape,
            "expression and velocity",
            format!("{n} cells, the same genes"),
            found,
        ));
    }
    for (name, values) in [("expression", expression), ("velocity", velocity)] {
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            let found = format!("{} at cell {}, gene {}", values[place], place / genes, place % genes);
            return Err(Error::data(DataFault::NotFinite, name, "finite values", found));
        }
    }
    let nearest = nearest(distances)?;
    let per_cell = nearest.len().checked_div(n).unwrap_or(0);
    let x = padded(expression, genes, |row| row.to_vec());
    let v = padded(velocity, genes, |row| centred(row, options.sqrt_transform));
    let width = genes.next_multiple_of(LANES);
    let stage = ctx.stage("velocity graph", n as u64);
    type Rows = Vec<Vec<(u32, f32)>>;
    let rows: Vec<Rows> = pieces(n, PIECE)
        .into_par_iter()
        .map(|piece| {
            let mut found = Vec::with_capacity(piece.len());
            for cell in piece.clone() {
                ctx.check()?;
                let own = &v[cell * width..(cell + 1) * width];
                let length = own.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
                let mut row = Vec::new();
                if length > 0.0 {
                    for other in reached(&nearest, per_cell, cell, options.n_recurse_neighbors) {
                        let from = &x[cell * width..(cell + 1) * width];
                        let to = &x[other as usize * width..(other as usize + 1) * width];
                        let [sum, squares, along] = step(from, to, own, options.sqrt_transform);
                        // The velocity is centred, so the mean step drops out of the product.
                        let spread = (squares - sum * sum / genes as f64).max(0.0).sqrt();
                        let cosine = (along / (spread * length)).clamp(-1.0, 1.0) as f32;
                        if cosine.is_finite() && cosine != 0.0 && spread > 1e-6 * squares.sqrt() {
                            row.push((other, cosine));
                        }
                    }
                }
                found.push(row);
            }
            stage.advance(piece.len() as u64)?;
            Ok(found)
        })
        .collect::<Result<_>>()?;
    let rows = rows.concat();
    let part = |sign: f32| {
        let mut matrix = Csr::empty(n, n);
        for (cell, row) in rows.iter().enumerate() {
            for &(other, cosine) in row.iter().filter(|entry| entry.1 * sign > 0.0) {
                matrix.indices.push(other);
                matrix.values.push(cosine);
            }
            matrix.indptr[cell + 1] = matrix.values.len() as u64;
        }
        matrix
    };
    let best: Vec<f64> =
        rows.iter().map(|row| f64::from(row.iter().map(|entry| entry.1).fold(0.0, f32::max))).collect();
    Ok(VelocityGraph { positive: part(1.0), negative: part(-1.0), self_transition: lacking(&best) })
}

/// What each value lacks to the 98th percentile, at least 0 and at most 1.
pub(super) fn lacking(best: &[f64]) -> Vec<f64> {
    if best.is_empty() {
        return Vec::new();
    }
    let mut sorted = best.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = 0.98 * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place as usize], sorted[(place as usize + 1).min(sorted.len() - 1)]);
    let bound = below + (above - below) * place.fract();
    best.iter().map(|best| (bound - best).clamp(0.0, 1.0)).collect()
}

/// The nearest neighbours of each cell, as many as every cell has, one cell after the other.
fn nearest(distances: &Graph) -> Result<Vec<u32>> {
    let count = |cell: usize| distances.row(cell).0.iter().filter(|&&other| other as usize != cell).count();
    let fewest = (0..distances.n).map(count).min().unwrap_or(0);
    if fewest == 0 && distances.n > 0 {
        let cell = (0..distances.n).find(|&cell| count(cell) == 0).unwrap_or(0);
        let found = format!("none at cell {cell}");
        return Err(Error::data(DataFault::Invalid, "distances", "a neighbour for every cell", found));
    }
    let mut nearest = Vec::with_capacity(distances.n * fewest);
    for cell in 0..distances.n {
        let (targets, lengths) = distances.row(cell);
        let mut order: Vec<(f32, u32)> =
            lengths.iter().copied().zip(targets.iter().copied()).filter(|&(_, other)| other as usize != cell).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        nearest.extend(order[..fewest].iter().map(|entry| entry.1));
    }
    Ok(nearest)
}

/// Cells that lie at most `depth` steps away, rising, the cell itself left out.
fn reached(nearest: &[u32], per_cell: usize, cell: usize, depth: usize) -> Vec<u32> {
    let mut found = vec![cell as u32];
    for _ in 0..depth {
        let frontier = found.clone();
        for from in frontier {
            found.extend_from_slice(&nearest[from as usize * per_cell..(from as usize + 1) * per_cell]);
        }
        found.sort_unstable();
        found.dedup();
    }
    found.retain(|&other| other as usize != cell);
    found
}

/// Rows made a multiple of the lanes wide, filled up with 0.
fn padded(table: &[f32], genes: usize, change: impl Fn(&[f32]) -> Vec<f32> + Sync) -> Vec<f32> {
    if genes == 0 {
        return Vec::new();
    }
    let width = genes.next_multiple_of(LANES);
    let mut out = vec![0f32; table.len() / genes * width];
    out.par_chunks_mut(width).zip(table.par_chunks(genes)).for_each(|(out, row)| {
        out[..genes].copy_from_slice(&change(row));
    });
    out
}

/// Square roots with signs, if asked for, less their mean.
fn centred(row: &[f32], root: bool) -> Vec<f32> {
    let values: Vec<f32> = row.iter().map(|&v| if root { v.abs().sqrt().copysign(v) } else { v }).collect();
    if values.iter().all(|&v| v == 0.0) {
        return values;
    }
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    values.iter().map(|&v| (f64::from(v) - mean) as f32).collect()
}

/// Sums over genes of the step, its square, and its product with the velocity.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn step(from: &[f32], to: &[f32], velocity: &[f32], root: bool) -> [f64; 3] {
    let mut total = [0f64; 3];
    for ((from, to), velocity) in from.chunks(CHUNK).zip(to.chunks(CHUNK)).zip(velocity.chunks(CHUNK)) {
        let (mut sum, mut squares, mut along) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
        let ((from, _), (to, _), (velocity, _)) =
            (from.as_chunks::<LANES>(), to.as_chunks::<LANES>(), velocity.as_chunks::<LANES>());
        for ((from, to), velocity) in from.iter().zip(to).zip(velocity) {
            for lane in 0..LANES {
                let difference = to[lane] - from[lane];
                let difference = if root { difference.abs().sqrt().copysign(difference) } else { difference };
                sum[lane] += difference;
                squares[lane] += difference * difference;
                along[lane] += difference * velocity[lane];
            }
        }
        for lane in 0..LANES {
            total[0] += f64::from(sum[lane]);
            total[1] += f64::from(squares[lane]);
            total[2] += f64::from(along[lane]);
        }
    }
    total
}
