//! Medians per group and gene, from the non-zeros of each gene.

use rayon::prelude::*;

use crate::matrix::{RowBlocks, column_chunks};
use crate::{Ctx, Result};

/// Medians `[group * n_genes + gene]`, zeros included.
pub(super) fn medians(
    source: &dyn RowBlocks,
    labels: &[i32],
    sizes: &[u64],
    memory: usize,
    ctx: &Ctx,
) -> Result<Vec<f64>> {
    let (n_genes, n_groups) = (source.n_cols(), sizes.len());
    let mut table = vec![f64::NAN; n_groups * n_genes];
    column_chunks(source, memory, "medians", ctx, |chunk| {
        let columns = chunk.columns();
        let found = columns
            .clone()
            .into_par_iter()
            .map_init(
                || vec![Vec::<f32>::new(); n_groups],
                |values, column| {
                    ctx.check()?;
                    values.iter_mut().for_each(Vec::clear);
                    for (first, run) in chunk.runs(column) {
                        for entry in run {
                            if let Ok(group) = usize::try_from(labels[first + entry.row as usize]) {
                                values[group].push(entry.value);
                            }
                        }
                    }
                    Ok(values.iter_mut().zip(sizes).map(|(values, &size)| median(values, size)).collect())
                },
            )
            .collect::<Vec<Result<Vec<f64>>>>();
        for (column, medians) in columns.zip(found) {
            for (group, median) in medians?.into_iter().enumerate() {
                table[group * n_genes + column] = median;
            }
        }
        Ok(())
    })?;
    Ok(table)
}

/// Median of `non_zeros` and as many zeros as make up `size`. Reorders the values.
fn median(non_zeros: &mut [f32], size: u64) -> f64 {
    if size == 0 || non_zeros.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let size = size as usize;
    let zeros = size - non_zeros.len();
    // With more than half of the values zero, both middle ones are.
    if 2 * zeros > size + 1 {
        return 0.0;
    }
    non_zeros.sort_unstable_by(f32::total_cmp);
    let below = non_zeros.partition_point(|&value| value < 0.0);
    let at = |rank: usize| -> f64 {
        if rank < below {
            f64::from(non_zeros[rank])
        } else if rank < below + zeros {
            0.0
        } else {
            f64::from(non_zeros[rank - zeros])
        }
    };
    if size % 2 == 1 { at(size / 2) } else { (at(size / 2 - 1) + at(size / 2)) / 2.0 }
}
