//! From cosines to probabilities.

use super::graph::lacking;
use super::options::TransitionOptions;
use crate::data::Csr;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Transition probabilities between n cells from the cosines of a velocity graph.
///
/// `positive` and `negative` are n x n, as [`velocity_graph`](super::velocity_graph) returns them, columns sorted. A step
/// of cosine c has weight exp(scale c). With `use_negative_cosines` it has exp(scale c) - 1 if c is positive and -(exp(-
/// scale c) - 1) if not, so that entries may be negative. Rows are divided by their sum of magnitudes; a row without
/// entries stays empty.
///
/// Nothing is random; serial, O(entries). Memory: 8 bytes per entry.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for matrices of different or oblong shape, unsorted
/// columns, or values outside -1 to 1.
///
/// # Reference
/// Bergen et al. 2020, Nature Biotechnology 38, 1408.
pub fn transition_matrix(positive: &Csr, negative: &Csr, options: &TransitionOptions, ctx: &Ctx) -> Result<Csr> {
    options.validate()?;
    let n = positive.n_rows;
    for matrix in [positive, negative] {
        if (matrix.n_rows, matrix.n_cols) != (n, n) {
            let found = format!("{} x {}", matrix.n_rows, matrix.n_cols);
            return Err(Error::data(DataFault::Shape, "velocity graph", format!("{n} x {n} cosines"), found));
        }
        if let Some(value) = matrix.values.iter().find(|value| !(value.abs() <= 1.0)) {
            return Err(Error::data(DataFault::Invalid, "velocity graph", "cosines from -1 to 1", value));
        }
        if let Some(row) = (0..n).find(|&row| matrix.row(row).0.windows(2).any(|pair| pair[0] >= pair[1])) {
            let found = format!("others in row {row}");
            return Err(Error::data(DataFault::Invalid, "velocity graph", "rising columns", found));
        }
    }
    let best: Vec<f64> =
        (0..n).map(|cell| f64::from(positive.row(cell).1.iter().copied().fold(0.0, f32::max))).collect();
    let stay = if options.self_transitions { lacking(&best) } else { vec![0.0; n] };
    let weight = |cosine: f64| match options.use_negative_cosines {
        true if cosine >= 0.0 => (options.scale * cosine).exp_m1(),
        true => -(-options.scale * cosine).exp_m1(),
        false => (options.scale * cosine).exp(),
    };
    let mut indptr = vec![0u64; n + 1];
    let (mut indices, mut weights) = (Vec::new(), Vec::new());
    let mut row: Vec<(u32, f64)> = Vec::new();
    for cell in 0..n {
        if cell & 0xfff == 0 {
            ctx.check()?;
        }
        row.clear();
        for matrix in [positive, negative] {
            let (columns, values) = matrix.row(cell);
            let own =
                |&(column, value): &(u32, f64)| value != 0.0 && !(options.self_transitions && column as usize == cell);
            row.extend(columns.iter().copied().zip(values.iter().map(|&value| f64::from(value))).filter(own));
        }
        if stay[cell] > 0.0 {
            row.push((cell as u32, stay[cell]));
        }
        row.sort_by_key(|entry| entry.0);
        indices.extend(row.iter().map(|entry| entry.0));
        weights.extend(row.iter().map(|entry| weight(entry.1)));
        indptr[cell + 1] = indices.len() as u64;
    }
    let mut matrix = Csr { n_rows: n, n_cols: n, indptr, indices, values: Vec::new() };
    let scale: f64 = weights.iter().fold(0.0, |most: f64, weight: &f64| most.max(weight.abs()));
    // In units of the largest, so that f32 holds them.
    matrix.values = weights.iter().map(|weight| (weight / scale) as f32).collect();
    if options.backward {
        matrix = matrix.transpose();
    }
    for cell in 0..n {
        let span = matrix.indptr[cell] as usize..matrix.indptr[cell + 1] as usize;
        let total: f64 = matrix.values[span.clone()].iter().map(|value| f64::from(value.abs())).sum();
        if total > 0.0 {
            matrix.values[span].iter_mut().for_each(|value| *value = (f64::from(*value) / total) as f32);
        }
    }
    Ok(matrix)
}
