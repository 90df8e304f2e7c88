//! Centred log ratios.

use crate::data::Csr;
use crate::matrix::{RowBlocks, column_sums, gather};
use crate::options::Options;
use crate::{Ctx, Error, Result};

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
    if options.axis == 1 {
        return gather(source, n_cols, "clr", ctx, |block| {
            block.check_counts()?;
            let mut out = Vec::with_capacity(block.values.len());
            for (_, _, values) in block.rows() {
                let sum: f64 = values.iter().map(|&x| f64::from(x).ln_1p()).sum();
                let centre = (sum / n_cols as f64).exp();
                out.extend(values.iter().map(|&x| (f64::from(x) / centre).ln_1p() as f32));
            }
            Ok(block.with_values(out))
        });
    }
    let sums = column_sums(source, "clr: means", ctx, |block, sums| {
        block.check_counts()?;
        let entries = block.indices.iter().zip(block.values);
        entries.for_each(|(&column, &value)| sums[column as usize] += f64::from(value).ln_1p());
        Ok(())
    })?;
    let centres: Vec<f64> = sums.into_iter().map(|sum| (sum / n_rows as f64).exp()).collect();
    gather(source, n_cols, "clr", ctx, |block| {
        let centred = |(&column, &x): (&u32, &f32)| (f64::from(x) / centres[column as usize]).ln_1p() as f32;
        Ok(block.with_values(block.indices.iter().zip(block.values).map(centred).collect()))
    })
}
