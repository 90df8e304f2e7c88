//! All metrics in one read.

use super::cells::{Asked, CellRows};
use super::{CellMetrics, QcOptions};
use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::options::Options as _;
use crate::stats::{GeneMoments, MomentSums, MomentsPass, PartialMoments, SmallCounts, ValueMap};
use crate::{Ctx, Result};

/// Result of [`qc_metrics`].
#[derive(Clone, Debug, PartialEq)]
pub struct QcMetrics {
    /// Metrics per cell.
    pub cells: CellMetrics,
    /// Sum, sum of squares and number of non-zeros per gene.
    pub genes: GeneMoments,
}

impl QcMetrics {
    /// Percentage of the cells in which a gene is zero, per gene. NaN without cells.
    pub fn percent_dropout(&self) -> Vec<f64> {
        let n = self.genes.n_rows as f64;
        self.genes.non_zeros.iter().map(|&cells| (1.0 - cells as f64 / n) * 100.0).collect()
    }
}

/// Quality-control metrics per cell and per gene of a cells x genes matrix.
///
/// `gene_masks`: sets of genes (mitochondrial, ribosomal, ...), each as long as there are genes, whose share of
/// every cell is computed. Stored zeros do not count as expressed. Nothing is random; the same bits for any
/// number of threads. One read; 12 bytes per cell and 8 per cell for each `percent_top` and mask.
///
/// # Errors
/// [`crate::Error::Parameter`] for a `percent_top` of 0 or beyond the number of genes; [`crate::Error::Data`]
/// for NaN or infinite values, with the first place, and for masks of the wrong length; whatever the source returns.
///
/// Reference: McCarthy et al., Scater, Bioinformatics 2017.
pub fn qc_metrics(source: &dyn RowBlocks, gene_masks: &[&[bool]], options: &QcOptions, ctx: &Ctx) -> Result<QcMetrics> {
    Ok(qc_metrics_and(source, &Nothing, gene_masks, options, ctx)?.1)
}

/// As [`qc_metrics`], with another pass in the same read, which sees each block first.
///
/// # Errors
/// As [`qc_metrics`]; whatever the other pass returns.
pub fn qc_metrics_and<P: Pass>(
    source: &dyn RowBlocks,
    other: &P,
    gene_masks: &[&[bool]],
    options: &QcOptions,
    ctx: &Ctx,
) -> Result<(P::Output, QcMetrics)> {
    options.validate()?;
    let n_cols = source.n_cols();
    let cells = Asked::new(n_cols, &options.percent_top, gene_masks)?;
    let metrics = CellsAndGenes { cells, genes: MomentsPass::new(n_cols, ValueMap::Identity) };
    let (found, (cells, mut genes)) = run(source, &(other, metrics), "quality control", ctx)?;
    Ok((found, QcMetrics { cells, genes: genes.swap_remove(0) }))
}

/// Metrics of cells and genes, one row after the other: each is looked at once.
struct CellsAndGenes {
    cells: Asked,
    genes: MomentsPass<'static>,
}

impl Pass for CellsAndGenes {
    type Partial = (CellMetrics, Vec<PartialMoments>);
    type State = (CellMetrics, Vec<GeneMoments>);
    type Output = (CellMetrics, Vec<GeneMoments>);

    fn start(&self) -> Self::State {
        (self.cells.nothing(), self.genes.start())
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let (mut cells, mut genes) = (CellRows::new(&self.cells, block.n_cols), MomentSums::new(0, block.n_cols));
        genes.flag(self.cells.in_masks());
        let (mut small, mut in_masks) = (SmallCounts::default(), Vec::new());
        for (row, columns, values) in block.rows() {
            let counts = small.of(values);
            cells.add(row, columns, values, counts)?;
            match counts {
                Some(counts) => {
                    in_masks.clear();
                    genes.add_counts(columns, counts, |at| in_masks.push(at));
                    cells.add_subsets(in_masks.iter().map(|&at| (columns[at], values[at])));
                }
                None => {
                    genes.add_values(columns, values);
                    cells.add_subsets(columns.iter().copied().zip(values.iter().copied()));
                }
            }
        }
        Ok((cells.finish(), vec![genes.finish()]))
    }

    fn merge(&self, state: &mut Self::State, (cells, genes): Self::Partial) -> Result<()> {
        state.0.append(cells);
        self.genes.merge(&mut state.1, genes)
    }

    fn finish(&self, (cells, genes): Self::State) -> Result<Self::Output> {
        Ok((cells, self.genes.finish(genes)?))
    }
}

/// Looks at nothing.
struct Nothing;

impl Pass for Nothing {
    type Partial = ();
    type State = ();
    type Output = ();

    fn start(&self) {}

    fn block(&self, _: &RowBlock<'_>) -> Result<()> {
        Ok(())
    }

    fn merge(&self, _: &mut (), _: ()) -> Result<()> {
        Ok(())
    }

    fn finish(&self, _: ()) -> Result<()> {
        Ok(())
    }
}
