//! Options of aggregation.

use crate::{Error, Result};

/// What is computed of each gene over the cells of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Number of values other than zero.
    CountNonzero,
    /// Mean, zeros included.
    Mean,
    /// Sum.
    Sum,
    /// Variance, divided by (cells - `dof`).
    Var,
    /// Median, zeros included.
    Median,
}

crate::options! {
    /// Options for [`aggregate`](crate::aggregate::aggregate).
    pub struct AggregateOptions("aggregate") {
        /// What to compute: any of `count_nonzero`, `mean`, `sum`, `var`, `median`; at least one.
        pub func: Vec<Statistic> = vec![Statistic::Sum],
        /// Taken off the number of cells when variances are divided.
        pub dof: usize = 1,
        /// Bytes that medians may gather genes in. More means fewer reads of a file; no result depends on it.
        pub memory: usize = 256 << 20,
    }
}

impl AggregateOptions {
    fn check(&self) -> Result<()> {
        if self.func.is_empty() {
            let expected = "at least one of `count_nonzero`, `mean`, `sum`, `var`, `median`";
            return Err(Error::parameter("func", expected, "none"));
        }
        Ok(())
    }
}
