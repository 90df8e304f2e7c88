//! Doublets made of pairs of observed cells.

use rayon::prelude::*;

use crate::data::Csr;
use crate::parallel::pieces;
use crate::random::Stream;
use crate::{Ctx, Result};

/// Doublets made at once.
const PIECE: usize = 1024;

/// Some consecutive doublets.
struct Part {
    pairs: Vec<[u32; 2]>,
    /// Where each doublet's values end.
    ends: Vec<u64>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// The sums of `count` random pairs of different rows, and the pairs. Each doublet draws from a stream of its own.
///
/// With `kept` below 1 each molecule of a sum stays with that chance.
pub(super) fn doublets(counts: &Csr, count: usize, kept: f64, seed: u64, ctx: &Ctx) -> Result<(Csr, Vec<[u32; 2]>)> {
    let n = counts.n_rows as u64;
    let parts: Vec<Part> = pieces(count, PIECE)
        .into_par_iter()
        .map(|piece| {
            ctx.check()?;
            let (mut pairs, mut ends) = (Vec::with_capacity(piece.len()), Vec::with_capacity(piece.len()));
            let (mut columns, mut values) = (Vec::new(), Vec::new());
            for doublet in piece {
                let mut stream = Stream::new(seed, doublet as u64);
                let first = stream.below(n);
                let second = (first + 1 + stream.below(n - 1)) % n;
                add_rows(counts, first as usize, second as usize, &mut columns, &mut values);
                if kept < 1.0 {
                    let start = ends.last().map_or(0, |&end| end as usize);
                    thin(&mut columns, &mut values, start, kept, &mut stream);
                }
                pairs.push([first as u32, second as u32]);
                ends.push(columns.len() as u64);
            }
            Ok(Part { pairs, ends, columns, values })
        })
        .collect::<Result<_>>()?;
    let mut made =
        Csr { n_rows: count, n_cols: counts.n_cols, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    let mut all_pairs = Vec::with_capacity(count);
    for Part { pairs, ends, columns, values } in parts {
        let base = made.indices.len() as u64;
        made.indptr.extend(ends.iter().map(|end| base + end));
        made.indices.extend(columns);
        made.values.extend(values);
        all_pairs.extend(pairs);
    }
    Ok((made, all_pairs))
}

/// Appends the sum of two rows, columns rising.
fn add_rows(counts: &Csr, first: usize, second: usize, columns: &mut Vec<u32>, values: &mut Vec<f32>) {
    let (a, a_values) = counts.row(first);
    let (b, b_values) = counts.row(second);
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let left = a.get(i).copied().unwrap_or(u32::MAX);
        let right = b.get(j).copied().unwrap_or(u32::MAX);
        let column = left.min(right);
        let mut value = 0.0;
        if left == column {
            value += a_values[i];
            i += 1;
        }
        if right == column {
            value += b_values[j];
            j += 1;
        }
        columns.push(column);
        values.push(value);
    }
}

/// Keeps each molecule from `start` on with chance `kept`; columns that lose all of theirs go.
fn thin(columns: &mut Vec<u32>, values: &mut Vec<f32>, start: usize, kept: f64, stream: &mut Stream) {
    let mut write = start;
    for read in start..columns.len() {
        let molecules = values[read].round() as u64;
        let left = (0..molecules).filter(|_| stream.uniform() < kept).count();
        if left > 0 {
            columns[write] = columns[read];
            values[write] = left as f32;
            write += 1;
        }
    }
    columns.truncate(write);
    values.truncate(write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doublets_are_sums_of_their_parents() {
        let counts = Csr::new(3, 4, vec![0, 2, 3, 5], vec![0, 2, 2, 1, 3], vec![1.0, 2.0, 5.0, 7.0, 40.0]).unwrap();
        let (made, parents) = doublets(&counts, 2000, 1.0, 4, &Ctx::quiet()).unwrap();
        let dense = |matrix: &Csr, row: usize| {
            let mut out = [0f32; 4];
            let (columns, values) = matrix.row(row);
            assert!(columns.is_sorted());
            columns.iter().zip(values).for_each(|(&c, &v)| out[c as usize] += v);
            out
        };
        let mut seen = [0; 3];
        for (row, &[a, b]) in parents.iter().enumerate() {
            assert_ne!(a, b);
            seen[a as usize] += 1;
            let (x, y, sum) = (dense(&counts, a as usize), dense(&counts, b as usize), dense(&made, row));
            (0..4).for_each(|j| assert_eq!(sum[j], x[j] + y[j]));
        }
        assert!(seen.iter().all(|&times| (550..790).contains(&times)), "{seen:?}");
        // A longer run begins with the same doublets.
        assert_eq!(doublets(&counts, 10, 1.0, 4, &Ctx::quiet()).unwrap().1, parents[..10]);
        let (thinned, again) = doublets(&counts, 2000, 0.25, 4, &Ctx::quiet()).unwrap();
        assert_eq!(again, parents);
        let total = |matrix: &Csr| matrix.values.iter().map(|&x| f64::from(x)).sum::<f64>();
        assert!((total(&thinned) / total(&made) - 0.25).abs() < 0.01);
    }
}
