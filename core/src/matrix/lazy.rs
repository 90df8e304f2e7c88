//! A chain of transforms over a source, applied block by block: normalising copies nothing.

use std::ops::Range;
use std::sync::Arc;

use super::{RowBlock, RowBlocks, Scratch};
use crate::exchange::Exchange;
use crate::normalize::{divide_values, log1p_values};
use crate::{DataFault, Error, Result};

/// One step of a chain that changes stored values in place. Zeros stay zeros under each of them.
#[derive(Clone, Debug)]
enum Step {
    /// Divide row i by `divisors[i]`.
    DivideRows(Vec<f64>),
    /// Divide column j by `divisors[j]`.
    DivideColumns(Vec<f64>),
    /// ln(1 + x), divided by `ln(base)` where a base is given.
    Log1p(Option<f64>),
    /// e^x - 1, after multiplying by `ln(base)` where a base is given.
    Expm1(Option<f64>),
    /// min(x, limit).
    ClipMax(f32),
    /// Within low..high, less a shift per column that keeps zeros zero: `[low, high, shift]`.
    ClampColumns(Vec<[f64; 3]>),
}

/// A source seen through row and column masks and value transforms.
///
/// Steps refer to the shape the chain has when they are added. Memory: one block per thread; nothing of the
/// size of the matrix. To add a transform: a [`Step`] variant, its arm in `apply`, a method, a test.
#[derive(Clone)]
pub struct Lazy<'a> {
    source: &'a dyn RowBlocks,
    /// Kept rows of the source, ascending; `None` keeps all.
    rows: Option<Vec<usize>>,
    /// New column of each column of the source, `u32::MAX` when dropped; `None` keeps all.
    columns: Option<(Vec<u32>, usize)>,
    steps: Vec<Step>,
}

const DROPPED: u32 = u32::MAX;

impl<'a> Lazy<'a> {
    /// The source itself.
    pub fn new(source: &'a dyn RowBlocks) -> Self {
        Self { source, rows: None, columns: None, steps: Vec::new() }
    }

    /// Keeps the rows where `mask` is true.
    ///
    /// # Errors
    /// [`Error::Data`] when the mask is not as long as there are rows.
    pub fn select_rows(mut self, mask: &[bool]) -> Result<Self> {
        check_length("row mask", mask.len(), self.n_rows())?;
        for step in &mut self.steps {
            if let Step::DivideRows(divisors) = step {
                keep(divisors, mask);
            }
        }
        self.rows = Some(match self.rows.take() {
            None => (0..mask.len()).filter(|&row| mask[row]).collect(),
            Some(mut rows) => {
                keep(&mut rows, mask);
                rows
            }
        });
        Ok(self)
    }

    /// Keeps the columns where `mask` is true.
    ///
    /// # Errors
    /// [`Error::Data`] when the mask is not as long as there are columns.
    pub fn select_columns(mut self, mask: &[bool]) -> Result<Self> {
        check_length("column mask", mask.len(), self.n_cols())?;
        for step in &mut self.steps {
            match step {
                Step::DivideColumns(divisors) => keep(divisors, mask),
                Step::ClampColumns(bounds) => keep(bounds, mask),
                _ => {}
            }
        }
        let mut next = 0u32;
        let renumbered: Vec<u32> = mask
            .iter()
            .map(|&kept| {
                if !kept {
                    return DROPPED;
                }
                next += 1;
                next - 1
            })
            .collect();
        let map = match self.columns.take() {
            None => renumbered,
            Some((old, _)) => {
                old.iter().map(|&at| if at == DROPPED { DROPPED } else { renumbered[at as usize] }).collect()
            }
        };
        self.columns = Some((map, next as usize));
        Ok(self)
    }

    /// Divides each row by its number (1 leaves it alone).
    ///
    /// # Errors
    /// [`Error::Data`] when there are not as many divisors as rows.
    pub fn divide_rows(mut self, divisors: Vec<f64>) -> Result<Self> {
        check_length("row divisors", divisors.len(), self.n_rows())?;
        self.steps.push(Step::DivideRows(divisors));
        Ok(self)
    }

    /// Divides each column by its number (1 leaves it alone).
    ///
    /// # Errors
    /// [`Error::Data`] when there are not as many divisors as columns.
    pub fn divide_columns(mut self, divisors: Vec<f64>) -> Result<Self> {
        check_length("column divisors", divisors.len(), self.n_cols())?;
        self.steps.push(Step::DivideColumns(divisors));
        Ok(self)
    }

    /// ln(1 + x), or the logarithm to `base`.
    pub fn log1p(mut self, base: Option<f64>) -> Self {
        self.steps.push(Step::Log1p(base));
        self
    }

    /// Undoes [`Lazy::log1p`].
    pub fn expm1(mut self, base: Option<f64>) -> Self {
        self.steps.push(Step::Expm1(base));
        self
    }

    /// Cuts values above `limit`, which must not be negative (zeros must stay zeros).
    ///
    /// # Errors
    /// [`Error::Parameter`] for a negative or NaN limit.
    pub fn clip_max(mut self, limit: f32) -> Result<Self> {
        if !(limit >= 0.0) {
            return Err(Error::parameter("max_value", "at least 0", limit));
        }
        self.steps.push(Step::ClipMax(limit));
        Ok(self)
    }

    /// Cuts the values of each column to its `(low, high)`, up to a shift: where 0 lies outside the bounds, the bound
    /// next to it is taken off the column, so that zeros stay zeros.
    ///
    /// # Errors
    /// [`Error::Data`] when there are not as many bounds as columns, or one is NaN or the wrong way round.
    pub fn clamp_columns(mut self, bounds: &[(f64, f64)]) -> Result<Self> {
        check_length("column bounds", bounds.len(), self.n_cols())?;
        if let Some((low, high)) = bounds.iter().find(|(low, high)| !(low <= high)) {
            let found = format!("{low} and {high}");
            return Err(Error::data(DataFault::Invalid, "column bounds", "a lower and an upper one", found));
        }
        self.steps.push(Step::ClampColumns(
            bounds.iter().map(|&(low, high)| [low, high, low.max(0.0) + high.min(0.0)]).collect(),
        ));
        Ok(self)
    }

    /// The kept rows of the source that fall in one of its blocks, as a range of this chain's rows.
    fn kept(&self, block: usize) -> Range<usize> {
        let span = self.source.block_rows(block);
        match &self.rows {
            None => span,
            Some(rows) => rows.partition_point(|&row| row < span.start)..rows.partition_point(|&row| row < span.end),
        }
    }
}

fn check_length(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::data(DataFault::Shape, what, format!("{expected} entries"), found))
}

/// Keeps the entries where `mask` is true.
fn keep<T>(items: &mut Vec<T>, mask: &[bool]) {
    let mut flags = mask.iter();
    items.retain(|_| *flags.next().unwrap_or(&false));
}

/// Applies the value steps to one row.
fn apply(steps: &[Step], row: usize, columns: &[u32], values: &mut [f32]) {
    for step in steps {
        match step {
            Step::DivideRows(divisors) => divide_values(values, divisors[row]),
            Step::DivideColumns(divisors) => {
                for (&column, value) in columns.iter().zip(values.iter_mut()) {
                    *value = (f64::from(*value) / divisors[column as usize]) as f32;
                }
            }
            Step::Log1p(base) => log1p_values(values, *base),
            Step::Expm1(base) => {
                let scale = base.map_or(1.0, f64::ln);
                values.iter_mut().for_each(|value| *value = (f64::from(*value) * scale).exp_m1() as f32);
            }
            Step::ClampColumns(bounds) => {
                for (&column, value) in columns.iter().zip(values.iter_mut()) {
                    let [low, high, shift] = bounds[column as usize];
                    *value = (f64::from(*value).max(low).min(high) - shift) as f32;
                }
            }
            Step::ClipMax(limit) => values.iter_mut().for_each(|value| *value = value.min(*limit)),
        }
    }
}

impl RowBlocks for Lazy<'_> {
    fn n_rows(&self) -> usize {
        self.rows.as_ref().map_or(self.source.n_rows(), Vec::len)
    }
    fn n_cols(&self) -> usize {
        self.columns.as_ref().map_or(self.source.n_cols(), |(_, kept)| *kept)
    }
    fn n_entries(&self) -> usize {
        self.source.n_entries()
    }
    fn n_blocks(&self) -> usize {
        self.source.n_blocks()
    }
    fn block_rows(&self, block: usize) -> Range<usize> {
        self.kept(block)
    }
    fn exchange(&self) -> Option<&Arc<dyn Exchange>> {
        self.source.exchange()
    }
    fn is_cheap_to_read(&self) -> bool {
        self.source.is_cheap_to_read() && self.steps.is_empty() && self.columns.is_none()
    }
    fn read<'a>(&'a self, block: usize, scratch: &'a mut Scratch) -> Result<RowBlock<'a>> {
        let span = self.source.block_rows(block);
        let kept = self.kept(block);
        if kept.is_empty() {
            // Nothing of it is wanted: not read.
            scratch.begin();
            return Ok(scratch.as_block(kept.start, self.n_cols()));
        }
        let mut inner = scratch.inner.take().unwrap_or_default();
        scratch.begin();
        {
            let whole = self.source.read(block, &mut inner)?;
            for new_row in kept.clone() {
                let old_row = self.rows.as_ref().map_or(new_row, |rows| rows[new_row]);
                let (columns, values) = whole.row(old_row - span.start);
                let from = scratch.indices.len();
                match &self.columns {
                    None => {
                        scratch.indices.extend_from_slice(columns);
                        scratch.values.extend_from_slice(values);
                    }
                    Some((map, _)) => {
                        for (&column, &value) in columns.iter().zip(values) {
                            let at = map[column as usize];
                            if at != DROPPED {
                                scratch.indices.push(at);
                                scratch.values.push(value);
                            }
                        }
                    }
                }
                apply(&self.steps, new_row, &scratch.indices[from..], &mut scratch.values[from..]);
                scratch.end_row();
            }
        }
        scratch.inner = Some(inner);
        Ok(scratch.as_block(kept.start, self.n_cols()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ctx;
    use crate::data::Csr;
    use crate::matrix::collect;

    /// [[1, 0, 2], [0, 3, 0], [4, 5, 6]]
    fn example() -> Csr {
        Csr::new(3, 3, vec![0, 2, 3, 6], vec![0, 2, 1, 0, 1, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
    }

    fn gather(lazy: &Lazy<'_>) -> Csr {
        collect(lazy, &Ctx::quiet()).unwrap()
    }

    #[test]
    fn masks_and_divisors_by_hand() {
        let source = example();
        let lazy = Lazy::new(&source)
            .divide_rows(vec![1.0, 3.0, 2.0])
            .unwrap()
            .select_rows(&[true, false, true])
            .unwrap()
            .select_columns(&[false, true, true])
            .unwrap();
        let got = gather(&lazy);
        assert_eq!((got.n_rows, got.n_cols), (2, 2));
        assert_eq!((got.indptr, got.indices, got.values), (vec![0, 1, 3], vec![1, 0, 1], vec![2.0, 2.5, 3.0]));
    }

    /// Rows that cannot be read.
    struct Unreadable;

    impl RowBlocks for Unreadable {
        fn n_rows(&self) -> usize {
            3
        }
        fn n_cols(&self) -> usize {
            2
        }
        fn n_entries(&self) -> usize {
            6
        }
        fn n_blocks(&self) -> usize {
            1
        }
        fn block_rows(&self, _: usize) -> Range<usize> {
            0..3
        }
        fn read<'a>(&'a self, _: usize, _: &'a mut Scratch) -> Result<RowBlock<'a>> {
            Err(Error::Internal("read".into()))
        }
    }

    #[test]
    fn blocks_of_which_nothing_is_kept_are_not_read() {
        let lazy = Lazy::new(&Unreadable);
        assert!(collect(&lazy, &Ctx::quiet()).is_err());
        assert_eq!(gather(&lazy.select_rows(&[false; 3]).unwrap()), Csr::empty(0, 2));
    }

    #[test]
    fn masks_stack() {
        let source = example();
        let lazy = Lazy::new(&source)
            .select_columns(&[true, false, true])
            .unwrap()
            .divide_columns(vec![1.0, 2.0])
            .unwrap()
            .select_columns(&[false, true])
            .unwrap()
            .select_rows(&[true, true, false])
            .unwrap()
            .select_rows(&[true, false])
            .unwrap();
        let got = gather(&lazy);
        assert_eq!((got.n_rows, got.n_cols, got.values), (1, 1, vec![1.0]));
    }

    #[test]
    fn log_and_back() {
        let source = example();
        for base in [None, Some(2.0)] {
            let there = Lazy::new(&source).log1p(base);
            let back = gather(&Lazy::new(&there).expm1(base));
            for (a, b) in back.values.iter().zip(&source.values) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
        let clipped = gather(&Lazy::new(&source).clip_max(4.5).unwrap());
        assert_eq!(clipped.values, vec![1.0, 2.0, 3.0, 4.0, 4.5, 4.5]);
    }

    #[test]
    fn columns_are_clamped_and_zeros_stay() {
        // Columns: within -1..4.5; above 2 (so 2 comes off); below -1 (so -1 comes off).
        let source = Csr::new(2, 3, vec![0, 3, 5], vec![0, 1, 2, 0, 2], vec![5.0, 7.0, -3.0, -2.0, -0.5]).unwrap();
        let bounds = [(-1.0, 4.5), (2.0, 6.0), (-2.0, -1.0)];
        let got = gather(&Lazy::new(&source).clamp_columns(&bounds).unwrap());
        assert_eq!(got.values, [4.5, 4.0, -1.0, -1.0, 0.0]);
        let masked = Lazy::new(&source).clamp_columns(&bounds).unwrap().select_columns(&[false, true, true]).unwrap();
        assert_eq!(gather(&masked).values, [4.0, -1.0, 0.0]);
        assert!(Lazy::new(&source).clamp_columns(&[(1.0, 0.0); 3]).is_err());
        assert!(Lazy::new(&source).clamp_columns(&[]).err().unwrap().to_string().contains("column bounds"));
    }

    #[test]
    fn wrong_lengths_are_named() {
        let source = example();
        assert!(Lazy::new(&source).select_rows(&[true]).err().unwrap().to_string().contains("row mask"));
        assert!(Lazy::new(&source).divide_columns(vec![]).err().unwrap().to_string().contains("column divisors"));
        assert!(Lazy::new(&source).clip_max(-1.0).is_err());
    }
}
