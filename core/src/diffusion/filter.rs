//! Extreme eigenpairs of a large symmetric matrix, by subspace iteration with a Chebyshev filter, in f64.
//!
//! A block of vectors, somewhat wider than what is wanted, is multiplied by a Chebyshev polynomial of the matrix that
//! stays within -1 and 1 on [-e, e] and grows fast beyond; e is the smallest |Ritz value| of the block so far, which is
//! never larger than the eigenvalue it stands for. Rayleigh-Ritz then turns the block into approximate eigenvectors,
//! and those that have settled leave it (Zhou, Saad, Tiago and Chelikowsky 2006, Self-consistent-field calculations
//! using Chebyshev-filtered subspace iteration, J. Comput. Phys. 219, 172).
//!
//! One read of the matrix serves the whole block, and a block holds every copy of an eigenvalue that comes several
//! times. Blocks lie row by row; sums are taken over pieces of rows, in order.

use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use zensaibo_linalg::{gemm_f64, symmetric_eigen};

use super::lanczos::{Eigenpairs, PIECE, Symmetric, TOLERANCE};
use crate::progress::Stage;
use crate::random::Stream;
use crate::{Ctx, Error, Result};

/// Vectors beyond those wanted, at least. The width is a multiple of 8.
const SPARE: usize = 8;
/// How much one round may lift the largest eigenvalue over the edge of the filter.
const GROWTH: f64 = 1e8;
/// Largest degree of one round.
const DEGREE: usize = 200;
/// Degrees in all beyond which Lanczos iteration, which needs fewer products of single vectors, is cheaper.
const PATIENCE: f64 = 600.0;
/// Squared length, relative to that of its column, below which what is left of a vector is rounding.
const DEPENDENT: f64 = 1e-15;

/// A symmetric matrix that can be multiplied with a block of vectors.
pub(crate) trait Block: Symmetric {
    /// `out` = `factor` A `x`, less what was in `out` if `subtract`. Both n x `width`, row by row; `width` a multiple
    /// of 8.
    fn apply_block(
        &self,
        width: usize,
        factor: f64,
        x: &[f64],
        subtract: bool,
        out: &mut [f64],
        ctx: &Ctx,
    ) -> Result<()>;
}

/// As [`super::lanczos::largest`]; nothing where the eigenvalues lie so close that it would take long. `known` are
/// fewer than `count`, and `count` lies far below the number of rows.
pub(super) fn largest(
    matrix: &impl Block,
    known: &[Vec<f64>],
    count: usize,
    seed: u64,
    stage: &Stage<'_>,
    ctx: &Ctx,
) -> Result<Option<Eigenpairs>> {
    let n = matrix.len();
    let mut settled = Settled::new(n, known);
    let width = (count - known.len() + SPARE).next_multiple_of(8);
    let mut block = Columns::random(n, width, seed);
    let (mut other, mut rounds, mut degrees, mut products) = (vec![0f64; n * width], 0u64, 0usize, 0usize);
    // Two plain products, then a filter each round.
    let (mut edge, mut degree) = (0f64, 2usize);
    loop {
        stage.advance(1)?;
        other.truncate(block.values.len());
        filter(matrix, &mut block, &mut other, edge, degree, ctx)?;
        products += degree * block.width;
        degrees += degree;
        rounds += 1;
        block.orthonormalise(&settled, seed ^ rounds, ctx)?;
        matrix.apply_block(block.width, 1.0, &block.values, false, &mut other, ctx)?;
        products += block.width;
        let ritz = block.ritz(&mut other)?;
        let wanted = count - settled.values.len();
        let done = ritz.iter().take(wanted).take_while(|pair| pair.residual <= TOLERANCE).count();
        settled.take(&mut block, &ritz[..done], seed ^ rounds << 16);
        if done == wanted {
            return Ok(Some(settled.into_pairs(products)));
        }
        // What one degree gains: on the largest left, which bounds the next degree, and on the last that is wanted.
        let size = |at: usize| ritz[at].value.abs();
        let top = size(done).max(f64::MIN_POSITIVE);
        edge = edge.max(size(ritz.len() - 1)).max(top * 1e-12);
        let gain = |at: usize| (size(at) / edge).max(1.0).acosh().max(1e-12);
        let left = (ritz[wanted - 1].residual / TOLERANCE).ln().max(0.0) / gain(wanted - 1);
        if rounds > 3 && degrees as f64 + left > PATIENCE {
            return Ok(None);
        }
        degree = ((GROWTH.ln() / gain(done)) as usize).min(left as usize + 2).clamp(1, DEGREE);
    }
}

/// The Chebyshev polynomial of `degree` for the interval [-edge, edge] takes the place of the block; the plain power of
/// the matrix for an edge of 0. `other` is room for a second block.
fn filter(
    matrix: &impl Block,
    block: &mut Columns,
    other: &mut Vec<f64>,
    edge: f64,
    degree: usize,
    ctx: &Ctx,
) -> Result<()> {
    let first = if edge > 0.0 { 1.0 / edge } else { 1.0 };
    matrix.apply_block(block.width, first, &block.values, false, other, ctx)?;
    std::mem::swap(&mut block.values, other);
    for _ in 1..degree {
        let (factor, subtract) = if edge > 0.0 { (2.0 / edge, true) } else { (1.0, false) };
        matrix.apply_block(block.width, factor, &block.values, subtract, other, ctx)?;
        std::mem::swap(&mut block.values, other);
    }
    Ok(())
}

/// Eigenpairs that are found.
struct Settled {
    values: Vec<f64>,
    /// n x the number of values, row by row.
    rows: Vec<f64>,
    residual: f64,
}

impl Settled {
    fn new(n: usize, known: &[Vec<f64>]) -> Self {
        let rows = (0..n).flat_map(|row| known.iter().map(move |vector| vector[row])).collect();
        Self { values: vec![1.0; known.len()], rows, residual: 0.0 }
    }

    /// Moves the first columns out of the block. It stays a multiple of 8 wide; random columns fill it up.
    fn take(&mut self, block: &mut Columns, pairs: &[Ritz], seed: u64) {
        if pairs.is_empty() {
            return;
        }
        let (before, width) = (self.values.len(), block.width);
        let settled = block.values.chunks_exact(width).map(|row| &row[..pairs.len()]);
        self.rows = match before {
            0 => settled.flatten().copied().collect(),
            _ => self.rows.chunks_exact(before).zip(settled).flat_map(|(old, new)| [old, new].concat()).collect(),
        };
        self.values.extend(pairs.iter().map(|pair| pair.value));
        self.residual = pairs.iter().map(|pair| pair.residual).fold(self.residual, f64::max);
        for column in 0..pairs.len() {
            block.refill(column, seed);
        }
        let drop = pairs.len() / 8 * 8;
        block.values = block.values.chunks_exact(width).flat_map(|row| &row[drop..]).copied().collect();
        block.width -= drop;
    }

    fn into_pairs(self, products: usize) -> Eigenpairs {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|&i, &j| self.values[j].total_cmp(&self.values[i]));
        let rows = self.rows.chunks_exact(order.len());
        Eigenpairs {
            vectors: rows.flat_map(|row| order.iter().map(|&at| row[at])).collect(),
            values: order.iter().map(|&at| self.values[at]).collect(),
            residual: self.residual,
            products,
        }
    }
}

/// An approximate eigenvalue and the residual of its vector.
struct Ritz {
    value: f64,
    residual: f64,
}

/// A block of vectors, row by row.
struct Columns {
    n: usize,
    width: usize,
    values: Vec<f64>,
}

impl Columns {
    fn random(n: usize, width: usize, seed: u64) -> Self {
        let mut block = Self { n, width, values: vec![0.0; n * width] };
        (0..width).for_each(|column| block.refill(column, seed));
        block
    }

    /// Random numbers of unit length, more or less, take the place of a column.
    fn refill(&mut self, column: usize, seed: u64) {
        let (width, scale) = (self.width, 1.0 / (self.n as f64).sqrt());
        self.values.par_chunks_mut(PIECE * width).enumerate().for_each(|(piece, rows)| {
            let mut random = Stream::new(seed ^ 0x6669_6c74, (column as u64) << 40 | piece as u64);
            rows.iter_mut().skip(column).step_by(width).for_each(|x| *x = scale * random.normal());
        });
    }

    /// Makes the columns orthonormal, and orthogonal to all that is settled. Columns that depend on others give way to
    /// random ones.
    fn orthonormalise(&mut self, settled: &Settled, seed: u64, ctx: &Ctx) -> Result<()> {
        let width = self.width;
        for pass in 0..6 {
            ctx.check()?;
            self.deflate(settled)?;
            let mut gram = products(&self.values, width, &self.values, width)?;
            let apart = gram.indexed_iter().map(|((i, j), x)| (x - f64::from(u8::from(i == j))).abs());
            if apart.fold(0.0, f64::max) < 1e-13 * width as f64 {
                return Ok(());
            }
            let scale: Vec<f64> =
                gram.diag().iter().map(|&square| if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }).collect();
            for ((i, j), x) in gram.indexed_iter_mut() {
                *x *= scale[i] * scale[j];
            }
            let eigen = symmetric_eigen(gram.view())?;
            let mut turn = eigen.vectors;
            for ((i, j), x) in turn.indexed_iter_mut() {
                let length = eigen.values[j];
                *x *= if length > DEPENDENT { scale[i] / length.sqrt() } else { 0.0 };
            }
            self.turn(&turn)?;
            for column in (0..width).filter(|&column| eigen.values[column] <= DEPENDENT) {
                self.refill(column, seed ^ (pass + 1) << 32);
            }
        }
        Err(Error::Internal("a block of vectors that stays dependent".into()))
    }

    /// Takes out all that lies along settled vectors.
    fn deflate(&mut self, settled: &Settled) -> Result<()> {
        let (width, count) = (self.width, settled.values.len());
        if count == 0 {
            return Ok(());
        }
        let mut along = products(&settled.rows, count, &self.values, width)?;
        along.mapv_inplace(|x| -x);
        let both = self.values.par_chunks_mut(PIECE * width).zip(settled.rows.par_chunks(PIECE * count));
        both.try_for_each(|(rows, settled)| {
            let (settled, out) = (view(settled, count)?, view_mut(rows, width)?);
            Ok(gemm_f64(out, true, settled, along.view())?)
        })
    }

    /// Multiplies with a square matrix from the right.
    fn turn(&mut self, by: &Array2<f64>) -> Result<()> {
        turn(&mut self.values, self.width, by)
    }

    /// Turns the columns into Ritz vectors, largest |value| first; `image` is A times the block and is turned with it.
    fn ritz(&mut self, image: &mut [f64]) -> Result<Vec<Ritz>> {
        let width = self.width;
        let on_block = products(&self.values, width, image, width)?;
        let eigen = symmetric_eigen(((&on_block + &on_block.t()) * 0.5).view())?;
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|&i, &j| eigen.values[j].abs().total_cmp(&eigen.values[i].abs()).then(i.cmp(&j)));
        let rotation = eigen.vectors.select(ndarray::Axis(1), &order);
        self.turn(&rotation)?;
        turn(image, width, &rotation)?;
        let values: Vec<f64> = order.iter().map(|&at| eigen.values[at]).collect();
        let parts: Vec<Vec<f64>> = image
            .par_chunks(PIECE * width)
            .zip(self.values.par_chunks(PIECE * width))
            .map(|(image, rows)| {
                let mut squares = vec![0f64; width];
                for (image, row) in image.chunks_exact(width).zip(rows.chunks_exact(width)) {
                    for column in 0..width {
                        squares[column] += (image[column] - values[column] * row[column]).powi(2);
                    }
                }
                squares
            })
            .collect();
        let residual = |column: usize| parts.iter().map(|part| part[column]).sum::<f64>().sqrt();
        Ok(values.iter().enumerate().map(|(column, &value)| Ritz { value, residual: residual(column) }).collect())
    }
}

/// Inner products of the columns of two blocks, a x b, in pieces of rows summed in order.
fn products(x: &[f64], a: usize, y: &[f64], b: usize) -> Result<Array2<f64>> {
    let parts: Vec<Array2<f64>> = x
        .par_chunks(PIECE * a)
        .zip(y.par_chunks(PIECE * b))
        .map(|(x, y)| {
            let mut part = Array2::zeros((a, b));
            gemm_f64(part.view_mut(), false, view(x, a)?.t(), view(y, b)?)?;
            Ok(part)
        })
        .collect::<Result<_>>()?;
    Ok(parts.iter().fold(Array2::zeros((a, b)), |sum, part| sum + part))
}

/// Each row of `width` times a square matrix.
fn turn(values: &mut [f64], width: usize, by: &Array2<f64>) -> Result<()> {
    values.par_chunks_mut(PIECE * width).try_for_each_init(
        || vec![0f64; PIECE * width],
        |room, rows| {
            let room = &mut room[..rows.len()];
            room.copy_from_slice(rows);
            Ok(gemm_f64(view_mut(rows, width)?, false, view(room, width)?, by.view())?)
        },
    )
}

fn view(rows: &[f64], width: usize) -> Result<ArrayView2<'_, f64>> {
    ArrayView2::from_shape((rows.len() / width, width), rows).map_err(|error| Error::Internal(error.to_string()))
}

fn view_mut(rows: &mut [f64], width: usize) -> Result<ArrayViewMut2<'_, f64>> {
    ArrayViewMut2::from_shape((rows.len() / width, width), rows).map_err(|error| Error::Internal(error.to_string()))
}
