//! What a matrix of weights carries from one side to the other.

use rayon::prelude::*;
use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{RowBlocks, collect};
use zensaibo_core::{Ctx, DataFault, Error, Result};

/// Rows handled at once.
const PIECE: usize = 256;

fn fits(weights: &Csr, what: &str, rows: usize) -> Result<()> {
    if weights.n_cols != rows {
        let expected = format!("{} rows, one for each column of the weights", weights.n_cols);
        return Err(Error::data(DataFault::Shape, what, expected, rows));
    }
    Ok(())
}

/// Rows of `values` (m x g) summed under `weights` (n x m): n x g, row-major. Rows without weights become `empty`.
///
/// Sums in f64, in the order of the columns. Cost: one read, weights x values per row; 4 n g bytes beside the gathered matrix. The same bits
/// for any number of threads.
///
/// # Errors
/// [`Error::Data`] for sides that do not fit; whatever the source returns; [`Error::Interrupted`].
pub fn weighted_rows(weights: &Csr, values: &dyn RowBlocks, empty: f32, ctx: &Ctx) -> Result<Vec<f32>> {
    fits(weights, "matrix", values.n_rows())?;
    let values = collect(values, ctx)?;
    let g = values.n_cols;
    let mut out = vec![0f32; weights.n_rows * g];
    let stage = ctx.stage("weighted rows", weights.n_rows as u64);
    if g == 0 {
        return Ok(out);
    }
    out.par_chunks_mut(PIECE * g).enumerate().try_for_each(|(piece, out)| {
        ctx.check()?;
        let mut sums = vec![0.0; g];
        for (offset, out) in out.chunks_exact_mut(g).enumerate() {
            let (columns, row) = weights.row(piece * PIECE + offset);
            if columns.is_empty() {
                out.fill(empty);
                continue;
            }
            sums.fill(0.0);
            for (&column, &weight) in columns.iter().zip(row) {
                let weight = f64::from(weight);
                let (genes, values) = values.row(column as usize);
                for (&gene, &value) in genes.iter().zip(values) {
                    sums[gene as usize] += weight * f64::from(value);
                }
            }
            out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
        }
        stage.advance((out.len() / g) as u64)
    })?;
    Ok(out)
}

/// Weighted means of places (m x `dimensions`, row-major) for each row of `weights` (n x m), n x `dimensions`, and their spread: the root of the
/// weighted mean squared distance from the mean, in the unit of the places. NaN for rows without weights.
///
/// # Errors
/// [`Error::Data`] for sides that do not fit, and for places that are not finite; [`Error::Interrupted`].
pub fn weighted_places(weights: &Csr, places: &[f64], dimensions: usize, ctx: &Ctx) -> Result<(Vec<f64>, Vec<f64>)> {
    if dimensions == 0 || !places.len().is_multiple_of(dimensions) {
        let expected = format!("rows of {dimensions} coordinates");
        return Err(Error::data(DataFault::Shape, "places", expected, places.len()));
    }
    fits(weights, "places", places.len() / dimensions)?;
    if let Some(at) = places.iter().position(|value| !value.is_finite()) {
        let found = format!("{} at row {}, column {}", places[at], at / dimensions, at % dimensions);
        return Err(Error::data(DataFault::NotFinite, "places", "finite coordinates", found));
    }
    let mut means = vec![f64::NAN; weights.n_rows * dimensions];
    let mut spread = vec![f64::NAN; weights.n_rows];
    means.par_chunks_mut(PIECE * dimensions).zip(spread.par_chunks_mut(PIECE)).enumerate().try_for_each(
        |(piece, (means, spread))| {
            ctx.check()?;
            for (offset, (mean, spread)) in means.chunks_exact_mut(dimensions).zip(spread).enumerate() {
                let (columns, row) = weights.row(piece * PIECE + offset);
                let total: f64 = row.iter().map(|&weight| f64::from(weight)).sum();
                if !(total > 0.0) {
                    continue;
                }
                let place = |column: u32| &places[column as usize * dimensions..(column as usize + 1) * dimensions];
                mean.fill(0.0);
                for (&column, &weight) in columns.iter().zip(row) {
                    let weight = f64::from(weight) / total;
                    mean.iter_mut().zip(place(column)).for_each(|(mean, x)| *mean += weight * x);
                }
                let square: f64 = columns
                    .iter()
                    .zip(row)
                    .map(|(&column, &weight)| {
                        let far: f64 = mean.iter().zip(place(column)).map(|(mean, x)| (x - mean).powi(2)).sum();
                        f64::from(weight) / total * far
                    })
                    .sum();
                *spread = square.sqrt();
            }
            Ok::<(), Error>(())
        },
    )?;
    Ok((means, spread))
}

/// Share of each of `n_labels` labels in the weights of each row, n x `n_labels`, row-major: rows sum to 1, or are NaN without weights. `labels`: one
/// for each column of `weights`; `mass`, if given, multiplies the weights of a column.
///
/// # Errors
/// [`Error::Data`] for sides that do not fit, and for labels out of range; [`Error::Interrupted`].
pub fn label_shares(
    weights: &Csr,
    labels: &[u32],
    n_labels: usize,
    mass: Option<&[f64]>,
    ctx: &Ctx,
) -> Result<Vec<f32>> {
    fits(weights, "labels", labels.len())?;
    if let Some(mass) = mass {
        fits(weights, "mass", mass.len())?;
    }
    if let Some(&label) = labels.iter().find(|&&label| label as usize >= n_labels) {
        return Err(Error::data(DataFault::Invalid, "labels", format!("codes below {n_labels}"), label));
    }
    let mut out = vec![f32::NAN; weights.n_rows * n_labels];
    if n_labels == 0 {
        return Ok(out);
    }
    out.par_chunks_mut(PIECE * n_labels).enumerate().try_for_each(|(piece, out)| {
        ctx.check()?;
        let mut sums = vec![0.0; n_labels];
        for (offset, out) in out.chunks_exact_mut(n_labels).enumerate() {
            sums.fill(0.0);
            let (columns, row) = weights.row(piece * PIECE + offset);
            for (&column, &weight) in columns.iter().zip(row) {
                let mass = mass.map_or(1.0, |mass| mass[column as usize]);
                sums[labels[column as usize] as usize] += mass * f64::from(weight);
            }
            let total: f64 = sums.iter().sum();
            if total > 0.0 {
                out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = (sum / total) as f32);
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok(out)
}
