//! Quality control and filter: metrics per cell and gene, and which are kept.

use zensaibo_core::matrix::{Lazy, Pass, RowBlock, RowBlocks, run};
use zensaibo_core::qc::{QcMetrics, QcOptions, qc_metrics_and};
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::FilterOptions;
use super::input::Judge;
use crate::measure::counted;

/// What the quality control found, over all cells and genes of the input.
#[derive(Clone, Debug)]
pub(super) struct Quality {
    /// Metrics; the one gene mask is that of mitochondrial genes.
    pub(super) metrics: QcMetrics,
    /// The numbers of `percent_top` that were computed, ascending.
    pub(super) percent_top: Vec<usize>,
    /// Whether a gene is mitochondrial.
    pub(super) mito: Vec<bool>,
    /// Percentage of mitochondrial counts per cell; NaN for an empty cell. `None` without such genes.
    pub(super) pct_mito: Option<Vec<f64>>,
}

/// Computes the metrics, and refuses what `judge` refuses, in one read. Numbers of `percent_top` beyond the number of genes are left out and noted.
pub(super) fn quality(
    counts: &dyn RowBlocks,
    judge: &Judge,
    genes: &[String],
    options: &QcOptions,
    filter: &FilterOptions,
    notes: &mut Vec<String>,
    ctx: &Ctx,
) -> Result<Quality> {
    let mito = mitochondrial(genes, filter.mito_prefix.as_deref());
    let found = mito.iter().any(|&mito| mito);
    if !found {
        let prefix = filter.mito_prefix.as_deref().unwrap_or("MT-, mt- or Mt-");
        if filter.max_pct_mito.is_some() {
            let expected = format!("a limit only where genes begin with {prefix} (see filter.mito_prefix)");
            return Err(Error::parameter("filter.max_pct_mito", expected, "no such gene"));
        }
        notes.push(format!("No gene begins with {prefix}: the share of mitochondrial counts is not known."));
    }
    let mut options = options.clone();
    options.percent_top.sort_unstable();
    options.percent_top.dedup();
    let asked = options.percent_top.len();
    options.percent_top.retain(|&top| top <= genes.len());
    if options.percent_top.len() < asked {
        notes.push(format!(
            "There are {}: shares of more top genes (qc.percent_top) are left out.",
            counted(genes.len(), "gene")
        ));
    }
    let ((), metrics) = qc_metrics_and(counts, judge, &[&mito], &options, ctx)?;
    let pct_mito = found.then(|| metrics.cells.subset_percent(0));
    Ok(Quality { metrics, percent_top: options.percent_top, mito, pct_mito })
}

/// Which genes are mitochondrial, by the beginning of their names.
fn mitochondrial(genes: &[String], prefix: Option<&str>) -> Vec<bool> {
    let starting = |prefix: &str| genes.iter().map(|gene| gene.starts_with(prefix)).collect::<Vec<bool>>();
    match prefix {
        Some(prefix) => starting(prefix),
        None => ["MT-", "mt-", "Mt-"]
            .into_iter()
            .map(starting)
            .find(|mask| mask.contains(&true))
            .unwrap_or_else(|| vec![false; genes.len()]),
    }
}

/// Which cells and genes are kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) cells: Vec<bool>,
    pub(super) genes: Vec<bool>,
    /// Kept cells in which each gene is detected, over all genes.
    pub(super) cells_per_gene: Vec<f64>,
    /// Values of kept cells that are stored for each kept gene.
    pub(super) stored: Vec<u64>,
}

impl Kept {
    /// The counts of what is kept.
    pub(super) fn of<'a>(&self, counts: &'a dyn RowBlocks) -> Result<Lazy<'a>> {
        Lazy::new(counts).select_rows(&self.cells)?.select_columns(&self.genes)
    }
}

/// Cells in which each gene is above zero, and its stored values.
struct PerGene(usize);

impl Pass for PerGene {
    type Partial = Vec<[u32; 2]>;
    type State = Vec<[u64; 2]>;
    type Output = Vec<[u64; 2]>;

    fn start(&self) -> Self::State {
        vec![[0; 2]; self.0]
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let mut found = vec![[0; 2]; self.0];
        for (&column, &value) in block.indices.iter().zip(block.values) {
            let own = &mut found[column as usize];
            own[0] += u32::from(value > 0.0);
            own[1] += 1;
        }
        Ok(found)
    }

    fn merge(&self, state: &mut Self::State, partial: Self::Partial) -> Result<()> {
        for (total, found) in state.iter_mut().zip(partial) {
            total[0] += u64::from(found[0]);
            total[1] += u64::from(found[1]);
        }
        Ok(())
    }

    fn finish(&self, state: Self::State) -> Result<Self::Output> {
        Ok(state)
    }
}

/// Judges cells over all genes, then genes over the kept cells. One read.
pub(super) fn filter(counts: &dyn RowBlocks, quality: &Quality, options: &FilterOptions, ctx: &Ctx) -> Result<Kept> {
    let metrics = &quality.metrics.cells;
    let passes = |cell: usize| {
        let (genes, total) = (metrics.n_genes[cell] as usize, metrics.total[cell]);
        let mito = quality.pct_mito.as_ref().map_or(0.0, |share| share[cell]);
        genes >= options.min_genes.max(1)
            && options.max_genes.is_none_or(|most| genes <= most)
            && options.min_counts.is_none_or(|least| total >= least)
            && options.max_counts.is_none_or(|most| total <= most)
            && options.max_pct_mito.is_none_or(|most| mito <= most)
    };
    let cells: Vec<bool> = (0..counts.n_rows()).map(passes).collect();
    if !cells.contains(&true) {
        let most = metrics.n_genes.iter().max().copied().unwrap_or(0);
        let expected = format!("a cell within the limits of [filter] (min_genes = {})", options.min_genes);
        let found = format!("none of {}; the richest has {most} genes", counted(counts.n_rows(), "cell"));
        return Err(Error::data(DataFault::Empty, "filter", expected, found));
    }
    let found = run(&Lazy::new(counts).select_rows(&cells)?, &PerGene(counts.n_cols()), "filter genes", ctx)?;
    let genes: Vec<bool> = found.iter().map(|&[cells, _]| cells >= options.min_cells.max(1) as u64).collect();
    if !genes.contains(&true) {
        let expected = format!("a gene detected in at least min_cells = {} kept cells", options.min_cells);
        return Err(Error::data(DataFault::Empty, "filter", expected, format!("none of {}", genes.len())));
    }
    let stored = found.iter().zip(&genes).filter(|(_, kept)| **kept).map(|([_, stored], _)| *stored).collect();
    Ok(Kept { cells, genes, cells_per_gene: found.iter().map(|&[cells, _]| cells as f64).collect(), stored })
}

#[cfg(test)]
mod tests {
    use zensaibo_core::data::Csr;
    use zensaibo_core::matrix::collect;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    /// Cells: [1, 1, 0, 0], [5, 0, 5, 0], [0, 0, 0, 0], [2, 0, 0, 6]
    fn example() -> Csr {
        Csr::new(4, 4, vec![0, 2, 4, 4, 6], vec![0, 1, 0, 2, 0, 3], vec![1.0, 1.0, 5.0, 5.0, 2.0, 6.0]).unwrap()
    }

    fn look(filter: &FilterOptions) -> (Quality, Vec<String>) {
        let mut notes = Vec::new();
        let genes = names(&["A", "B", "C", "MT-D"]);
        let judge = Judge { whole: true };
        let quality =
            quality(&example(), &judge, &genes, &QcOptions::default(), filter, &mut notes, &Ctx::quiet()).unwrap();
        (quality, notes)
    }

    #[test]
    fn by_hand() {
        let options = FilterOptions { min_genes: 0, min_cells: 1, max_pct_mito: Some(50.0), ..Default::default() };
        let (quality, notes) = look(&options);
        assert_eq!(quality.mito, [false, false, false, true]);
        assert_eq!(quality.pct_mito.as_ref().unwrap()[3], 75.0);
        assert!(quality.percent_top.is_empty() && notes[0].contains("4 genes"), "{notes:?}");
        let kept = filter(&example(), &quality, &options, &Ctx::quiet()).unwrap();
        // The empty cell goes, and the one with 75 % mitochondrial counts; then gene D is in no cell.
        assert_eq!(kept.cells, [true, true, false, false]);
        assert_eq!(kept.genes, [true, true, true, false]);
        assert_eq!(
            (kept.cells_per_gene.as_slice(), kept.stored.as_slice()),
            (&[2.0, 1.0, 1.0, 0.0][..], &[2, 1, 1][..])
        );
        let counts = collect(&kept.of(&example()).unwrap(), &Ctx::quiet()).unwrap();
        assert_eq!((counts.n_rows, counts.n_cols, counts.values), (2, 3, vec![1.0, 1.0, 5.0, 5.0]));
    }

    #[test]
    fn every_limit_is_used_and_inclusive() {
        let cells = |options: FilterOptions| {
            let options = FilterOptions { min_genes: options.min_genes.min(2), min_cells: 0, ..options };
            let (quality, _) = look(&options);
            filter(&example(), &quality, &options, &Ctx::quiet()).map(|kept| kept.cells)
        };
        let all = FilterOptions { min_genes: 0, ..Default::default() };
        assert_eq!(cells(FilterOptions { min_counts: Some(8.0), ..all.clone() }).unwrap(), [false, true, false, true]);
        assert_eq!(cells(FilterOptions { max_counts: Some(8.0), ..all.clone() }).unwrap(), [true, false, false, true]);
        assert_eq!(
            cells(FilterOptions { max_genes: Some(2), min_genes: 2, ..all.clone() }).unwrap(),
            [true, true, false, true]
        );
        let none = cells(FilterOptions { min_counts: Some(11.0), ..all }).unwrap_err().to_string();
        assert!(none.contains("filter") && none.contains("none of 4 cells"), "{none}");
    }

    #[test]
    fn a_limit_without_mitochondrial_genes_is_refused() {
        let options = FilterOptions { max_pct_mito: Some(5.0), mito_prefix: Some("mito".into()), ..Default::default() };
        let genes = names(&["A", "B", "C", "MT-D"]);
        let refused = quality(
            &example(),
            &Judge { whole: true },
            &genes,
            &QcOptions::default(),
            &options,
            &mut Vec::new(),
            &Ctx::quiet(),
        )
        .unwrap_err();
        assert!(refused.to_string().contains("filter.max_pct_mito"), "{refused}");
        assert_eq!(mitochondrial(&names(&["mt-Co1", "Actb"]), None), [true, false]);
    }
}
