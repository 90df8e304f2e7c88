//! Peaks summed over genes.

use super::Overlaps;
use crate::data::Csr;
use crate::matrix::{RowBlocks, gather};
use crate::{Ctx, DataFault, Error, Result};

/// Cells x genes from cells x peaks: each gene is the sum of the peaks that overlap it (a peak counts for every gene
/// it overlaps). `overlaps` has one list per column of `source`.
///
/// Nothing is random, and neither threads nor layout change a bit. One read; memory that of the result.
///
/// # Errors
/// [`Error::Data`] when `overlaps` does not fit; what the source returns; [`Error::Interrupted`].
pub fn gene_activity(source: &dyn RowBlocks, overlaps: &Overlaps, ctx: &Ctx) -> Result<Csr> {
    if overlaps.indptr.len() != source.n_cols() + 1 {
        let expected = format!("one list of genes per peak, {}", source.n_cols());
        return Err(Error::data(DataFault::Shape, "overlaps", expected, overlaps.indptr.len().saturating_sub(1)));
    }
    gather(source, overlaps.n_second, "gene activity", ctx, |block| {
        let (mut indptr, mut indices, mut values) = (vec![0u64], Vec::new(), Vec::new());
        let mut sums = vec![0.0f64; overlaps.n_second];
        let mut touched: Vec<u32> = Vec::new();
        let mut seen = vec![false; overlaps.n_second];
        for (_, peaks, counts) in block.rows() {
            for (&peak, &count) in peaks.iter().zip(counts) {
                for &gene in overlaps.of(peak as usize) {
                    if !seen[gene as usize] {
                        seen[gene as usize] = true;
                        touched.push(gene);
                    }
                    sums[gene as usize] += f64::from(count);
                }
            }
            touched.sort_unstable();
            for gene in touched.drain(..) {
                let sum = std::mem::take(&mut sums[gene as usize]);
                seen[gene as usize] = false;
                if sum != 0.0 {
                    indices.push(gene);
                    values.push(sum as f32);
                }
            }
            indptr.push(indices.len() as u64);
        }
        Ok((indptr, indices, values))
    })
}
