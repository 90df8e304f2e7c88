//! Quality control of counts: metrics per cell and gene in one read, checks, filters, subsetting in place.
//!
//! The metrics are those of scater's `calculateQCMetrics`, as scanpy computes them.

mod cells;
mod check;
mod compact;
mod filter;
mod metrics;
mod options;
#[cfg(test)]
mod tests;
mod top;

pub use cells::CellMetrics;
pub(crate) use check::fault_in;
pub use check::{CountFault, CountFaultPass, check_counts, check_not_empty, find_count_fault};
pub use compact::{Index, compact_in_place, compact_parts};
pub use filter::{Filtered, filter_cells, filter_genes};
pub use metrics::{QcMetrics, qc_metrics, qc_metrics_and};
pub use options::{FilterCellsOptions, FilterGenesOptions, QcOptions};
