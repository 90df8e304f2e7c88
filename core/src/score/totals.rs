//! Sums of genes over all cells, added up one cell after the other.

use crate::matrix::{Pass, RowBlock, RowBlocks, Rows, run};
use crate::{Ctx, DataFault, Error, Result};

/// How values are added up.
#[derive(Clone, Copy, Debug)]
pub enum Adding<'a> {
    /// In single precision.
    Single,
    /// In double precision.
    Double,
    /// In double precision, each cell times its weight.
    Weighted(&'a [f64]),
}

/// Sums of genes, and values that are NaN and left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// The sum of each gene.
    pub sums: Vec<f64>,
    /// Values of each gene that are NaN.
    pub missing: Vec<u64>,
}

struct InOrder<'a> {
    n_cols: usize,
    adding: Adding<'a>,
}

impl Pass for InOrder<'_> {
    type Partial = (usize, Rows);
    type State = (Vec<f32>, Totals);
    type Output = Totals;

    fn start(&self) -> Self::State {
        let short = if matches!(self.adding, Adding::Single) { self.n_cols } else { 0 };
        (vec![0.0; short], Totals { sums: vec![0.0; self.n_cols], missing: vec![0; self.n_cols] })
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        Ok((block.first_row, block.with_values(block.values.to_vec())))
    }

    fn merge(
        &self,
        (short, totals): &mut Self::State,
        (first, (indptr, columns, values)): Self::Partial,
    ) -> Result<()> {
        for (row, ends) in (first..).zip(indptr.windows(2)) {
            let span = ends[0] as usize..ends[1] as usize;
            for (&column, &value) in columns[span.clone()].iter().zip(&values[span]) {
                let column = column as usize;
                if value.is_nan() {
                    totals.missing[column] += 1;
                    continue;
                }
                match self.adding {
                    Adding::Single => short[column] += value,
                    Adding::Double => totals.sums[column] += f64::from(value),
                    Adding::Weighted(weights) => totals.sums[column] += f64::from(value) * weights[row],
                }
            }
        }
        Ok(())
    }

    fn finish(&self, (short, mut totals): Self::State) -> Result<Totals> {
        totals.sums.iter_mut().zip(short).for_each(|(sum, short)| *sum = f64::from(short));
        Ok(totals)
    }
}

/// The sum of each gene, added up cell by cell in their order, as a product with a vector from the left adds up: with the bits of
/// that, where sums block by block would round otherwise. NaN values are left out and counted.
///
/// One read; blocks are read in parallel and added up one after the other. Nothing is random.
///
/// # Errors
/// [`Error::Data`] for weights of another number than cells; whatever the source returns; [`Error::Interrupted`].
pub fn gene_totals(source: &dyn RowBlocks, adding: Adding<'_>, ctx: &Ctx) -> Result<Totals> {
    if let Adding::Weighted(weights) = adding
        && weights.len() != source.n_rows()
    {
        let expected = format!("{} weights, one per cell", source.n_rows());
        return Err(Error::data(DataFault::Shape, "weights", expected, weights.len()));
    }
    run(source, &InOrder { n_cols: source.n_cols(), adding }, "sum genes", ctx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Csr;
    use crate::parallel::with_threads;

    #[test]
    fn sums_are_those_of_one_loop_over_the_cells() {
        let n = 300_000usize;
        let value = |at: usize| if at % 50_001 == 7 { f32::NAN } else { 0.1 + (at % 97) as f32 * 0.37 };
        let values: Vec<f32> = (0..5 * n).map(value).collect();
        let indices = (0..n).flat_map(|row| (0..5u32).map(move |at| 2 * at + (row % 2) as u32)).collect();
        let matrix = Csr::new(n, 11, (0..=n as u64).map(|row| 5 * row).collect(), indices, values).unwrap();
        assert!(matrix.n_blocks() > 1);
        let weights: Vec<f64> = (0..n).map(|row| 1.0 / (1 + row % 13) as f64).collect();
        let (mut single, mut double, mut weighted, mut missing) =
            (vec![0f32; 11], vec![0f64; 11], vec![0f64; 11], vec![0; 11]);
        for row in 0..n {
            let (columns, values) = matrix.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                let column = column as usize;
                if value.is_nan() {
                    missing[column] += 1;
                    continue;
                }
                single[column] += value;
                double[column] += f64::from(value);
                weighted[column] += f64::from(value) * weights[row];
            }
        }
        let single: Vec<f64> = single.into_iter().map(f64::from).collect();
        assert!(single != double && missing.iter().any(|&n| n > 0));
        for threads in [1, 3] {
            let found = |adding| with_threads(Some(threads), || gene_totals(&matrix, adding, &Ctx::quiet())).unwrap();
            for (adding, sums) in
                [(Adding::Single, &single), (Adding::Double, &double), (Adding::Weighted(&weights), &weighted)]
            {
                assert_eq!(found(adding), Totals { sums: sums.clone(), missing: missing.clone() });
            }
        }
        assert!(gene_totals(&matrix, Adding::Weighted(&weights[1..]), &Ctx::quiet()).is_err());
    }
}
