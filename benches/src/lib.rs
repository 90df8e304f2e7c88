//! Data for the benchmarks of the kernels, made here, the same every time.

use zensaibo_core::data::Csr;
use zensaibo_core::matrix::{Lazy, collect};
use zensaibo_core::simulate::{SimulateOptions, Simulation};
use zensaibo_core::{Ctx, Result};

/// Counts of `n_obs` cells x 4,000 genes, about 380 genes detected per cell, and the type of each cell.
///
/// # Errors
/// What the simulation returns for options out of range.
pub fn counts(n_obs: usize) -> Result<(Csr, Vec<i32>)> {
    let options =
        SimulateOptions { n_obs, n_vars: 4_000, genes_per_cell: 380.0, umi_per_cell: 1_000.0, ..Default::default() };
    let simulation = Simulation::new(&options)?;
    let types = (0..n_obs).map(|cell| simulation.cell(cell).cell_type as i32).collect();
    Ok((collect(&simulation, &Ctx::quiet())?, types))
}

/// Log-normalised values of counts.
///
/// # Errors
/// Never for counts as made by [`counts`].
pub fn logged(counts: &Csr) -> Result<Csr> {
    let totals = (0..counts.n_rows)
        .map(|row| (counts.row(row).1.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e4).max(1e-12))
        .collect();
    collect(&Lazy::new(counts).divide_rows(totals)?.log1p(None), &Ctx::quiet())
}
