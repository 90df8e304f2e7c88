//! Options of quality control and filters.

use crate::options;
use crate::{Error, Result};

options! {
    /// Options for [`qc_metrics`](super::qc_metrics).
    pub struct QcOptions("calculate_qc_metrics") {
        /// For each number n, the share of a cell's total that its n highest genes make up is computed.
        /// Each from 1 to the number of genes; any order. Empty computes none.
        pub percent_top: Vec<usize> = vec![50, 100, 200, 500],
    }
}

impl QcOptions {
    fn check(&self) -> Result<()> {
        if self.percent_top.contains(&0) {
            return Err(Error::parameter("percent_top", "whole numbers of at least 1", "0"));
        }
        Ok(())
    }
}

options! {
    /// Options for [`filter_cells`](super::filter_cells): exactly one is given.
    pub struct FilterCellsOptions("filter_cells") {
        /// Keep cells with at least this total count.
        pub min_counts: Option<f64> = None,
        /// Keep cells with at least this many genes above zero.
        pub min_genes: Option<f64> = None,
        /// Keep cells with at most this total count.
        pub max_counts: Option<f64> = None,
        /// Keep cells with at most this many genes above zero.
        pub max_genes: Option<f64> = None,
    }
}

impl FilterCellsOptions {
    fn check(&self) -> Result<()> {
        let given = [self.min_counts, self.min_genes, self.max_counts, self.max_genes];
        exactly_one("min_counts, min_genes, max_counts, max_genes", given)
    }
}

options! {
    /// Options for [`filter_genes`](super::filter_genes): exactly one is given.
    pub struct FilterGenesOptions("filter_genes") {
        /// Keep genes with at least this total count.
        pub min_counts: Option<f64> = None,
        /// Keep genes above zero in at least this many cells.
        pub min_cells: Option<f64> = None,
        /// Keep genes with at most this total count.
        pub max_counts: Option<f64> = None,
        /// Keep genes above zero in at most this many cells.
        pub max_cells: Option<f64> = None,
    }
}

impl FilterGenesOptions {
    fn check(&self) -> Result<()> {
        let given = [self.min_counts, self.min_cells, self.max_counts, self.max_cells];
        exactly_one("min_counts, min_cells, max_counts, max_cells", given)
    }
}

fn exactly_one(names: &str, given: [Option<f64>; 4]) -> Result<()> {
    let count = given.iter().flatten().count();
    if count != 1 {
        return Err(Error::parameter(names, "exactly one of them per call", format!("{count} of them")));
    }
    if given.iter().flatten().any(|value| value.is_nan()) {
        return Err(Error::parameter(names, "a number", "NaN"));
    }
    Ok(())
}
