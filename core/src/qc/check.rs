//! Are these raw counts?

use multiversion::multiversion;

use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::{Ctx, DataFault, Error, Result};

/// The first value, in row order, that is not a count.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CountFault {
    /// Row (cell).
    pub row: usize,
    /// Column (gene).
    pub column: u32,
    /// The value.
    pub value: f32,
    /// [`DataFault::NotFinite`], [`DataFault::Negative`] or [`DataFault::NotCounts`].
    pub fault: DataFault,
}

/// Looks for the first value that is not a whole, finite number of at least 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct CountFaultPass;

/// 2^23: from here on every f32 is whole.
const WHOLE: f32 = 8_388_608.0;

#[inline(always)]
fn is_count(value: f32) -> bool {
    // Adding 2^23 rounds to a whole number.
    (0.0..=f32::MAX).contains(&value) & ((value >= WHOLE) | ((value + WHOLE) - WHOLE == value))
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn all_counts(values: &[f32]) -> bool {
    let mut good = true;
    for &value in values {
        good &= is_count(value);
    }
    good
}

/// The first value of a row that is not a count.
pub(crate) fn fault_in(row: usize, columns: &[u32], values: &[f32]) -> Option<CountFault> {
    if all_counts(values) {
        return None;
    }
    let at = values.iter().position(|&value| !is_count(value))?;
    let value = values[at];
    let fault = if !value.is_finite() {
        DataFault::NotFinite
    } else if value < 0.0 {
        DataFault::Negative
    } else {
        DataFault::NotCounts
    };
    Some(CountFault { row, column: columns[at], value, fault })
}

impl Pass for CountFaultPass {
    type Partial = Option<CountFault>;
    type State = Option<CountFault>;
    type Output = Option<CountFault>;

    fn start(&self) -> Option<CountFault> {
        None
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Option<CountFault>> {
        if all_counts(block.values) {
            return Ok(None);
        }
        Ok(block.rows().find_map(|(row, columns, values)| fault_in(row, columns, values)))
    }

    fn merge(&self, state: &mut Option<CountFault>, partial: Option<CountFault>) -> Result<()> {
        if state.is_none() {
            *state = partial;
        }
        Ok(())
    }

    fn finish(&self, state: Option<CountFault>) -> Result<Option<CountFault>> {
        Ok(state)
    }
}

/// The first value that is not a raw count, or none. One read.
///
/// # Errors
/// Whatever the source returns, or [`Error::Interrupted`].
pub fn find_count_fault(source: &dyn RowBlocks, ctx: &Ctx) -> Result<Option<CountFault>> {
    run(source, &CountFaultPass, "check counts", ctx)
}

/// Refuses a matrix that does not hold raw counts. One read.
///
/// # Errors
/// [`Error::Data`] with the fault ([`DataFault::Negative`], [`DataFault::NotFinite`], [`DataFault::NotCounts`])
/// and its first place; [`DataFault::Empty`] for a matrix without rows, columns or values above zero; whatever
/// the source returns.
pub fn check_counts(source: &dyn RowBlocks, ctx: &Ctx) -> Result<()> {
    check_not_empty(source)?;
    find_count_fault(source, ctx)?.map_or(Ok(()), |fault| Err(fault.into()))
}

/// Refuses a matrix without rows, columns or stored values.
///
/// # Errors
/// [`Error::Data`] with [`DataFault::Empty`].
pub fn check_not_empty(source: &dyn RowBlocks) -> Result<()> {
    let (rows, columns) = (source.n_rows(), source.n_cols());
    if rows == 0 || columns == 0 || source.n_entries() == 0 {
        let found = format!("{rows} cells, {columns} genes, {} stored values", source.n_entries());
        return Err(Error::data(DataFault::Empty, "matrix", "raw counts of at least one cell and gene", found));
    }
    Ok(())
}

impl From<CountFault> for Error {
    fn from(CountFault { row, column, value, fault }: CountFault) -> Self {
        let expected = match fault {
            DataFault::NotCounts => "raw counts (whole numbers), not normalised or transformed values",
            _ => "raw counts (whole numbers of at least 0)",
        };
        Self::data(fault, "matrix", expected, format!("{value} in cell {row}, gene {column}"))
    }
}
