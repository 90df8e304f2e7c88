//! Sparse rows times a dense matrix, in f64: the two kernels behind scores and Krylov steps.
//!
//! A dense matrix here is row-major with a width that is a multiple of [`LANES`] (padded with zeros), so that each
//! stored value meets whole vector registers. Sums run in the order of the columns of a row and of the rows of a
//! block, so they depend on the data alone.

use multiversion::multiversion;

use crate::matrix::RowBlock;

/// Widths are multiples of this.
pub(super) const LANES: usize = 8;

/// `width` rounded up to a multiple of [`LANES`].
pub(crate) fn padded(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

/// `out` (rows x width) = block (rows x g) times `dense` (g x width).
pub(crate) fn times(block: &RowBlock<'_>, dense: &[f64], width: usize, out: &mut [f64]) {
    times_kernel(block.indptr, block.indices, block.values, dense, width, out);
}

/// `out` (g x width) += block^T (g x rows) times block times `dense` (g x width), in one look at the block.
pub(super) fn cross(block: &RowBlock<'_>, dense: &[f64], width: usize, out: &mut [f64]) {
    let mut product = vec![0.0; width];
    cross_kernel(block.indptr, block.indices, block.values, dense, width, &mut product, out);
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn times_kernel(indptr: &[u64], indices: &[u32], values: &[f32], dense: &[f64], width: usize, out: &mut [f64]) {
    for (ends, out) in indptr.windows(2).zip(out.chunks_exact_mut(width)) {
        let span = ends[0] as usize..ends[1] as usize;
        row_times(&indices[span.clone()], &values[span], dense, width, out);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn cross_kernel(
    indptr: &[u64],
    indices: &[u32],
    values: &[f32],
    dense: &[f64],
    width: usize,
    product: &mut [f64],
    out: &mut [f64],
) {
    for ends in indptr.windows(2) {
        let span = ends[0] as usize..ends[1] as usize;
        let (indices, values) = (&indices[span.clone()], &values[span]);
        row_times(indices, values, dense, width, product);
        for (&column, &value) in indices.iter().zip(values) {
            let value = f64::from(value);
            let start = column as usize * width;
            for (sum, y) in out[start..start + width].iter_mut().zip(product.iter()) {
                *sum += value * y;
            }
        }
    }
}

/// One row times `dense`, strip by strip of columns, each strip held in registers.
#[inline(always)]
fn row_times(indices: &[u32], values: &[f32], dense: &[f64], width: usize, out: &mut [f64]) {
    let mut from = 0;
    while from < width {
        let left = width - from;
        let taken = match left {
            64.. => strip::<64>(indices, values, dense, width, from, out),
            56.. => strip::<56>(indices, values, dense, width, from, out),
            48.. => strip::<48>(indices, values, dense, width, from, out),
            32.. => strip::<32>(indices, values, dense, width, from, out),
            16.. => strip::<16>(indices, values, dense, width, from, out),
            _ => strip::<LANES>(indices, values, dense, width, from, out),
        };
        from += taken;
    }
}

#[inline(always)]
fn strip<const W: usize>(
    indices: &[u32],
    values: &[f32],
    dense: &[f64],
    width: usize,
    from: usize,
    out: &mut [f64],
) -> usize {
    let mut sums = [0.0f64; W];
    for (&column, &value) in indices.iter().zip(values) {
        let start = column as usize * width + from;
        let row = &dense[start..start + W];
        let value = f64::from(value);
        for lane in 0..W {
            sums[lane] += value * row[lane];
        }
    }
    out[from..from + W].copy_from_slice(&sums);
    W
}
