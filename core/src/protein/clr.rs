//! Centred log ratios.

use crate::data::Csr;
use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

crate::options! {
    /// Options for [`clr`](crate::protein::clr).
    pub struct ClrOptions("clr") {
        /// 0: each feature is centred over the cells; 1: each cell over its features.
        pub axis: usize = 0,
    }
}

impl ClrOptions {
    fn check(&self) -> Result<()> {
        if self.axis > 1 {
            return Err(Error::parameter(
                "axis",
                "0 (over cells, by feature) or 1 (over features, by cell)",
                self.axis,
            ));
        }
        Ok(())
    }
}

/// Sum over the cells of ln(1 + x) of each feature.
struct LogSums(usize);

impl Pass for LogSums {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;
    fn start(&self) -> Vec<f64> {
        vec![0.0; self.0]
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.0];
        for (row, columns, values) in block.rows() {
            check(row, columns, values)?;
            columns.iter().zip(values).for_each(|(&column, &value)| sums[column as usize] += f64::from(value).ln_1p());
        }
        Ok(sums)
    }
    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.iter_mut().zip(partial).for_each(|(total, sum)| *total += sum);
        Ok(())
    }
    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        Ok(state)
    }
}

/// ln(1 + x / g) of every value, where g is e^(mean of ln(1 + x)) of its feature (or cell).
struct Centre<'a> {
    n_rows: usize,
    n_cols: usize,
    /// g of each feature; each cell's own when absent.
    features: Option<&'a [f64]>,
}

impl Pass for Centre<'_> {
    type Partial = (Vec<u64>, Vec<u32>, Vec<f32>);
    type State = Csr;
    type Output = Csr;
    fn start(&self) -> Csr {
        Csr { n_rows: self.n_rows, n_cols: self.n_cols, indptr: vec![0], indices: Vec::new(), values: Vec::new() }
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let mut out = Vec::with_capacity(block.values.len());
        for (row, columns, values) in block.rows() {
            match self.features {
                Some(centres) => out.extend(
                    columns.iter().zip(values).map(|(&at, &x)| (f64::from(x) / centres[at as usize]).ln_1p() as f32),
                ),
                None => {
                    check(row, columns, values)?;
                    let sum: f64 = values.iter().map(|&x| f64::from(x).ln_1p()).sum();
                    let centre = (sum / self.n_cols as f64).exp();
                    out.extend(values.iter().map(|&x| (f64::from(x) / centre).ln_1p() as f32));
                }
            }
        }
        Ok((block.indptr.to_vec(), block.indices.to_vec(), out))
    }
    fn merge(&self, state: &mut Csr, (indptr, indices, values): Self::Partial) -> Result<()> {
        let base = state.indices.len() as u64;
        state.indptr.extend(indptr[1..].iter().map(|&end| base + end));
        state.indices.extend(indices);
        state.values.extend(values);
        Ok(())
    }
    fn finish(&self, state: Csr) -> Result<Csr> {
        Ok(state)
    }
}

fn check(row: usize, columns: &[u32], values: &[f32]) -> Result<()> {
    match values.iter().position(|&value| !(value >= 0.0 && value.is_finite())) {
        None => Ok(()),
        Some(at) => {
            let fault = if values[at] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
            let found = format!("{} in row {row}, column {}", values[at], columns[at]);
            Err(Error::data(fault, "counts", "finite values of at least 0", found))
        }
    }
}

/// Centred log ratios of counts, cells x features: ln(1 + x / e^(mean of ln(1 + x))).
///
/// The mean runs over the cells of a feature (`axis` 0) or the features of a cell (`axis` 1), zeros included. Zeros
/// stay zeros, so the result is as sparse as the source. Nothing is random; the bits depend neither on threads nor on
/// the layout. One read for `axis` 1, two for `axis` 0; memory that of the result, 8 bytes per non-zero.
///
/// # Errors
/// [`Error::Parameter`]; [`Error::Data`] for values below 0 or not finite; what the source returns;
/// [`Error::Interrupted`].
pub fn clr(source: &dyn RowBlocks, options: &ClrOptions, ctx: &Ctx) -> Result<Csr> {
    options.validate()?;
    let (n_rows, n_cols) = (source.n_rows(), source.n_cols());
    let centres = if options.axis == 0 {
        let sums = run(source, &LogSums(n_cols), "clr: means", ctx)?;
        Some(sums.into_iter().map(|sum| (sum / n_rows as f64).exp()).collect::<Vec<f64>>())
    } else {
        None
    };
    run(source, &Centre { n_rows, n_cols, features: centres.as_deref() }, "clr", ctx)
}
