//! Leading eigenvectors of a normalised graph, by Chebyshev-filtered subspace iteration.
//!
//! A = D^-1/2 W D^-1/2 has its spectrum in [-1, 1], with the known eigenvector sqrt(degree) at 1 for a connected
//! graph. That one is projected out; a block of random vectors is driven towards the next ones by polynomials
//! that are small on the part of the spectrum still unwanted (Zhou, Saad, Tiago, Chelikowsky 2006).

use multiversion::multiversion;
use ndarray::ArrayView2;
use rayon::prelude::*;
use zensaibo_linalg::symmetric_eigen_top;

use crate::graph::Graph;
use crate::random::Stream;
use crate::{Ctx, Result};

/// Rows per parallel piece.
const PIECE: usize = 2048;
/// Up to this many vertices all eigenvectors are computed at once.
const DENSE: usize = 64;
/// The filter may favour the wanted over the unwanted by at most this: beyond, f32 columns grow alike.
const GAIN: f64 = 1e4;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct SpectralLimits {
    /// Stop when |A x - theta x| is at most this for each wanted unit vector x.
    pub tolerance: f64,
    /// Stop, with what is there, after this many products with the matrix.
    pub products: usize,
}

impl SpectralLimits {
    /// What a starting layout of `n` vertices needs: 1e-5 up to 20,000, then 1e-4; it is moved about afterwards.
    pub fn for_layout(n: usize) -> Self {
        if n <= 20_000 { Self { tolerance: 1e-5, products: 1500 } } else { Self { tolerance: 1e-4, products: 600 } }
    }
}

/// Eigenvectors found.
#[derive(Clone, Debug)]
pub struct Spectral {
    /// n x `count`, row by row; unit columns, largest |entry| positive.
    pub vectors: Vec<f32>,
    /// Eigenvalues of A, descending; 1 - value is that of the normalised Laplacian.
    pub values: Vec<f64>,
    /// Largest |A x - theta x| among the vectors.
    pub residual: f64,
    /// Products with the matrix that were needed.
    pub products: usize,
}

/// The `count` eigenvectors of the normalised Laplacian with the smallest eigenvalues after the trivial one.
///
/// The graph must be connected and symmetric, every vertex with an edge, and hold more than `count` vertices;
/// self-loops count. Random start from `seed`; the same bits for any number of threads. Never fails to deliver:
/// where `limits.products` runs out, the best vectors so far are returned with their residual.
///
/// Cost: one product is 2 x edges x (8 for up to 4 vectors) operations; 100 to 600 products are usual.
///
/// # Errors
/// [`crate::Error::Interrupted`].
pub fn spectral_vectors(graph: &Graph, count: usize, seed: u64, limits: SpectralLimits, ctx: &Ctx) -> Result<Spectral> {
    let degrees = graph.degrees();
    let scale: Vec<f64> = degrees.iter().map(|&d| if d > 0.0 { 1.0 / d.sqrt() } else { 0.0 }).collect();
    let total = degrees.iter().sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    let trivial: Vec<f32> = degrees.iter().map(|d| (d.sqrt() / total) as f32).collect();
    let mut matrix = Normalised { graph, weights: vec![0.0; graph.nnz()] };
    for vertex in 0..graph.n {
        for place in graph.indptr[vertex] as usize..graph.indptr[vertex + 1] as usize {
            let target = graph.indices[place] as usize;
            matrix.weights[place] = (f64::from(graph.weights[place]) * scale[vertex] * scale[target]) as f32;
        }
    }
    let mut found = if graph.n <= DENSE.max(2 * count) {
        dense(&matrix, count)?
    } else {
        match count {
            0..=4 => iterate::<8>(&matrix, &trivial, count, seed, limits, ctx)?,
            5..=10 => iterate::<16>(&matrix, &trivial, count, seed, limits, ctx)?,
            11..=24 => iterate::<32>(&matrix, &trivial, count, seed, limits, ctx)?,
            _ => iterate::<72>(&matrix, &trivial, count, seed, limits, ctx)?,
        }
    };
    // Signs: fixed by the data.
    for column in 0..count {
        let entries = found.vectors.iter().skip(column).step_by(count);
        let largest = entries.fold(0f32, |best, &x| if x.abs() > best.abs() { x } else { best });
        if largest < 0.0 {
            found.vectors.iter_mut().skip(column).step_by(count).for_each(|x| *x = -*x);
        }
    }
    Ok(found)
}

/// A = D^-1/2 W D^-1/2 on the pattern of a graph.
struct Normalised<'a> {
    graph: &'a Graph,
    weights: Vec<f32>,
}

/// All eigenvectors of a small matrix; the first, trivial one is left out.
fn dense(matrix: &Normalised<'_>, count: usize) -> Result<Spectral> {
    let n = matrix.graph.n;
    let mut full = vec![0f64; n * n];
    for vertex in 0..n {
        for place in matrix.graph.indptr[vertex] as usize..matrix.graph.indptr[vertex + 1] as usize {
            full[vertex * n + matrix.graph.indices[place] as usize] = f64::from(matrix.weights[place]);
        }
    }
    let (values, vectors) = eigen(&full, n)?;
    let picked = (0..n).flat_map(|row| (1..=count).map(move |column| (row, column)));
    Ok(Spectral {
        vectors: picked.map(|(row, column)| vectors[row * n + column] as f32).collect(),
        values: values[1..=count].to_vec(),
        residual: 0.0,
        products: 0,
    })
}

type Block<const K: usize> = Vec<[f32; K]>;

fn iterate<const K: usize>(
    matrix: &Normalised<'_>,
    trivial: &[f32],
    count: usize,
    seed: u64,
    limits: SpectralLimits,
    ctx: &Ctx,
) -> Result<Spectral> {
    let n = matrix.graph.n;
    let mut x: Block<K> = (0..n)
        .into_par_iter()
        .with_min_len(PIECE)
        .map(|vertex| {
            let mut stream = Stream::new(seed ^ 0x5350_4543, vertex as u64);
            std::array::from_fn(|_| stream.normal() as f32)
        })
        .collect();
    let mut ax: Block<K> = vec![[0.0; K]; n];
    let (mut before, mut after): (Block<K>, Block<K>) = (vec![[0.0; K]; n], vec![[0.0; K]; n]);
    orthonormalise(&mut x, trivial)?;
    let mut products = 0;
    loop {
        // Rayleigh-Ritz: the best approximations that the block holds.
        product(matrix, &x, None, 1.0, 0.0, &mut ax, ctx)?;
        products += 1;
        let (values, rotation) = eigen(&gram(&x, &ax), K)?;
        rotate(&mut x, &rotation);
        rotate(&mut ax, &rotation);
        let residual = residual(&x, &ax, &values, count);
        if residual <= limits.tolerance || products >= limits.products {
            let vectors = x.iter().flat_map(|row| row[..count].iter().copied()).collect();
            return Ok(Spectral { vectors, values: values[..count].to_vec(), residual, products });
        }
        // Everything from -1 to the last Ritz value is damped; the first ones grow by up to GAIN.
        let cut = values[K - 1].clamp(-0.9, 0.999_999);
        let (centre, half) = ((cut - 1.0) / 2.0, (cut + 1.0) / 2.0);
        // Counted for an eigenvalue of 1, the largest there can be: early Ritz values lie far below the true ones,
        // and a degree chosen for them would carry those beyond the range of f32.
        let growth = ((1.0 - centre) / half).max(1.0 + 1e-7).acosh();
        let degree =
            ((GAIN.acosh() / growth) as usize).clamp(6, 80).min(limits.products.saturating_sub(products).max(1));
        // Y0 = X, Y1 = (A - c)/h X, Y(k+1) = 2 (A - c)/h Y(k) - Y(k-1).
        before.copy_from_slice(&x);
        for (out, (a, x)) in after.iter_mut().zip(ax.iter().zip(&x)) {
            for k in 0..K {
                out[k] = ((f64::from(a[k]) - centre * f64::from(x[k])) / half) as f32;
            }
        }
        for _ in 1..degree {
            product(matrix, &after, Some(&before), (2.0 / half) as f32, (-2.0 * centre / half) as f32, &mut ax, ctx)?;
            products += 1;
            std::mem::swap(&mut before, &mut after);
            std::mem::swap(&mut after, &mut ax);
        }
        std::mem::swap(&mut x, &mut after);
        orthonormalise(&mut x, trivial)?;
    }
}

/// `out` = `scale` A x + `shift` x - `before`.
fn product<const K: usize>(
    matrix: &Normalised<'_>,
    x: &[[f32; K]],
    before: Option<&[[f32; K]]>,
    scale: f32,
    shift: f32,
    out: &mut [[f32; K]],
    ctx: &Ctx,
) -> Result<()> {
    out.par_chunks_mut(PIECE).enumerate().try_for_each(|(piece, out)| {
        ctx.check()?;
        let first = piece * PIECE;
        let before = before.map_or(&[][..], |before| &before[first..first + out.len()]);
        product_rows(&matrix.graph.indptr, &matrix.graph.indices, &matrix.weights, x, before, scale, shift, first, out);
        Ok(())
    })
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn product_rows<const K: usize>(
    indptr: &[u64],
    indices: &[u32],
    weights: &[f32],
    x: &[[f32; K]],
    before: &[[f32; K]],
    scale: f32,
    shift: f32,
    first: usize,
    out: &mut [[f32; K]],
) {
    for (offset, result) in out.iter_mut().enumerate() {
        let row = first + offset;
        let span = indptr[row] as usize..indptr[row + 1] as usize;
        let mut sum = [0f32; K];
        for (&target, &weight) in indices[span.clone()].iter().zip(&weights[span]) {
            let other = &x[target as usize];
            for k in 0..K {
                sum[k] += weight * other[k];
            }
        }
        let own = &x[row];
        match before.get(offset) {
            Some(before) => {
                for k in 0..K {
                    result[k] = scale * sum[k] + shift * own[k] - before[k];
                }
            }
            None => {
                for k in 0..K {
                    result[k] = scale * sum[k] + shift * own[k];
                }
            }
        }
    }
}

/// x'y in f64, K x K, made symmetric; pieces are summed in order.
fn gram<const K: usize>(x: &[[f32; K]], y: &[[f32; K]]) -> Vec<f64> {
    let parts: Vec<Vec<f64>> = x.par_chunks(PIECE).zip(y.par_chunks(PIECE)).map(|(x, y)| gram_rows(x, y)).collect();
    let mut sum = vec![0f64; K * K];
    for part in &parts {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    for i in 0..K {
        for j in 0..i {
            let mean = 0.5 * (sum[i * K + j] + sum[j * K + i]);
            (sum[i * K + j], sum[j * K + i]) = (mean, mean);
        }
    }
    sum
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn gram_rows<const K: usize>(x: &[[f32; K]], y: &[[f32; K]]) -> Vec<f64> {
    let mut sum = vec![0f64; K * K];
    for (x, y) in x.iter().zip(y) {
        for i in 0..K {
            let xi = f64::from(x[i]);
            for j in 0..K {
                sum[i * K + j] += xi * f64::from(y[j]);
            }
        }
    }
    sum
}

/// Projects out `trivial`, then makes the columns orthonormal through the eigenvectors of their Gram matrix
/// (twice: once loses half the digits where columns are nearly alike).
fn orthonormalise<const K: usize>(x: &mut Block<K>, trivial: &[f32]) -> Result<()> {
    for _ in 0..2 {
        let parts: Vec<[f64; K]> = x
            .par_chunks(PIECE)
            .zip(trivial.par_chunks(PIECE))
            .map(|(x, trivial)| {
                let mut sum = [0f64; K];
                for (x, &t) in x.iter().zip(trivial) {
                    for k in 0..K {
                        sum[k] += f64::from(x[k]) * f64::from(t);
                    }
                }
                sum
            })
            .collect();
        let mut along = [0f64; K];
        for part in &parts {
            for k in 0..K {
                along[k] += part[k];
            }
        }
        x.par_chunks_mut(PIECE).zip(trivial.par_chunks(PIECE)).for_each(|(x, trivial)| {
            for (x, &t) in x.iter_mut().zip(trivial) {
                for k in 0..K {
                    x[k] = (f64::from(x[k]) - along[k] * f64::from(t)) as f32;
                }
            }
        });
        let (values, mut vectors) = eigen(&gram(x, x), K)?;
        let floor = values[0].max(f64::MIN_POSITIVE) * 1e-14;
        for column in 0..K {
            let factor = 1.0 / values[column].max(floor).sqrt();
            (0..K).for_each(|row| vectors[row * K + column] *= factor);
        }
        rotate(x, &vectors);
    }
    Ok(())
}

/// x <- x times a K x K matrix.
fn rotate<const K: usize>(x: &mut [[f32; K]], rotation: &[f64]) {
    x.par_chunks_mut(PIECE).for_each(|rows| rotate_rows(rows, rotation));
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn rotate_rows<const K: usize>(rows: &mut [[f32; K]], rotation: &[f64]) {
    for row in rows {
        let mut result = [0f64; K];
        for i in 0..K {
            let value = f64::from(row[i]);
            for j in 0..K {
                result[j] += value * rotation[i * K + j];
            }
        }
        *row = result.map(|value| value as f32);
    }
}

/// Largest |A x - theta x| of the first `count` columns.
fn residual<const K: usize>(x: &[[f32; K]], ax: &[[f32; K]], values: &[f64], count: usize) -> f64 {
    let parts: Vec<Vec<f64>> = x
        .par_chunks(PIECE)
        .zip(ax.par_chunks(PIECE))
        .map(|(x, ax)| {
            let mut sum = vec![0f64; count];
            for (x, ax) in x.iter().zip(ax) {
                for k in 0..count {
                    sum[k] += (f64::from(ax[k]) - values[k] * f64::from(x[k])).powi(2);
                }
            }
            sum
        })
        .collect();
    (0..count).map(|k| parts.iter().map(|part| part[k]).sum::<f64>().sqrt()).fold(0.0, f64::max)
}

/// Eigenvalues (descending) and eigenvectors (columns, row by row) of a small symmetric n x n matrix.
pub(super) fn eigen(matrix: &[f64], n: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let view = ArrayView2::from_shape((n, n), matrix).map_err(|error| crate::Error::Internal(error.to_string()))?;
    let found = symmetric_eigen_top(view, n)?;
    Ok((found.values, found.vectors.iter().copied().collect()))
}
