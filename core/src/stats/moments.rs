//! Sum, sum of squares and number of non-zeros of every column, in one read.

use std::ops::Range;

use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::normalize::expm1_into;
use crate::stats::{SMALL, SmallCounts};
use crate::{Ctx, DataFault, Error, Result};

/// What is known of each column after one read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GeneMoments {
    /// Number of rows looked at.
    pub n_rows: usize,
    /// Sum of each column.
    pub sum: Vec<f64>,
    /// Sum of squares of each column.
    pub sum_squares: Vec<f64>,
    /// Number of values other than zero of each column (stored zeros do not count).
    pub non_zeros: Vec<u64>,
}

impl GeneMoments {
    fn zero(n_cols: usize) -> Self {
        Self { n_rows: 0, sum: vec![0.0; n_cols], sum_squares: vec![0.0; n_cols], non_zeros: vec![0; n_cols] }
    }

    /// Mean of each column over all rows, zeros included. NaN without rows.
    pub fn means(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.n_rows as f64).collect()
    }

    /// Variance of each column, zeros included, divided by n - 1 (by n when there is one row).
    pub fn variances(&self) -> Vec<f64> {
        let n = self.n_rows as f64;
        let correction = if self.n_rows > 1 { n / (n - 1.0) } else { 1.0 };
        self.sum
            .iter()
            .zip(&self.sum_squares)
            .map(|(sum, squares)| {
                let mean = sum / n;
                (squares / n - mean * mean) * correction
            })
            .collect()
    }

    /// Refuses sums that are NaN or infinite.
    ///
    /// # Errors
    /// [`Error::Data`] naming `what`, what was expected of it, and the first column at fault.
    pub fn check_finite(&self, what: &str, expected: &str) -> Result<()> {
        match self.sum_squares.iter().position(|sum| !sum.is_finite()) {
            None => Ok(()),
            Some(column) => {
                let found = format!("NaN, infinity or overflow in column {column}");
                Err(Error::data(DataFault::NotFinite, what, expected, found))
            }
        }
    }
}

/// What is done to a value before it is summed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueMap {
    /// Nothing.
    Identity,
    /// e^(scale x) - 1: undoes a logarithm; `scale` is ln(base).
    Expm1 {
        /// ln(base) of the logarithm that was taken; 1 for the natural one.
        scale: f64,
    },
}

/// The pass behind [`gene_moments`]: compose it with others to read once.
#[derive(Clone, Debug)]
pub struct MomentsPass<'a> {
    n_cols: usize,
    map: ValueMap,
    /// Group of each row, and which groups this pass sums; one group of all rows when absent.
    groups: Option<(&'a [u32], Range<u32>)>,
}

impl<'a> MomentsPass<'a> {
    /// All rows as one group.
    pub fn new(n_cols: usize, map: ValueMap) -> Self {
        Self { n_cols, map, groups: None }
    }

    /// Rows by group; those outside `wanted` are left out. `groups` has one entry per row of the source.
    pub fn by_group(n_cols: usize, map: ValueMap, groups: &'a [u32], wanted: Range<u32>) -> Self {
        Self { n_cols, map, groups: Some((groups, wanted)) }
    }

    fn n_groups(&self) -> usize {
        self.groups.as_ref().map_or(1, |(_, wanted)| wanted.len())
    }
}

/// Sums of one group over one block. Sum and sum of squares of a column share a cache line.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct PartialMoments {
    group: usize,
    n_rows: usize,
    sums: Vec<[f64; 2]>,
    non_zeros: Vec<u32>,
}

/// Sums of one group over the rows of a block that were added so far. Rows of small counts are summed as whole numbers, which is exact;
/// the others apart from them.
pub(crate) struct MomentSums {
    partial: PartialMoments,
    /// Of each column, of the counts below [`TINY`] in the last rows: number other than zero, sum and sum of squares in one word, so that
    /// the table is small and each count costs one load and one store.
    packed: Vec<u64>,
    packed_rows: usize,
    /// Of each column, of the other small counts and of earlier rows: the same three numbers.
    whole: Vec<[u64; 3]>,
    buffer: Vec<f64>,
}

/// Counts below this are summed in one word per column, of at most [`PACKED_ROWS`] rows.
const TINY: usize = 128;
const PACKED_ROWS: usize = 8192;
/// Where the sum and the sum of squares begin in that word: each number has room for the most that so many rows can give.
const SUM: u32 = 14;
const SQUARES: u32 = SUM + 20;
const END: u32 = SQUARES + 27;
const _: () = assert!(PACKED_ROWS < 1 << SUM);
const _: () = assert!(PACKED_ROWS * (TINY - 1) < 1 << (SQUARES - SUM));
const _: () = assert!(PACKED_ROWS * (TINY - 1) * (TINY - 1) < 1 << (END - SQUARES));
/// Set in the word of a column that somebody asked to be told of.
const FLAG: u64 = 1 << 63;
const _: () = assert!(END <= 63);

/// What a small count adds to the word.
static OF_COUNT: [u64; SMALL] = {
    let mut table = [0; SMALL];
    let mut count = 1;
    while count < TINY {
        table[count] = ((count * count) as u64) << SQUARES | (count as u64) << SUM | 1;
        count += 1;
    }
    table
};

impl MomentSums {
    pub(crate) fn new(group: usize, n_cols: usize) -> Self {
        let partial = PartialMoments { group, n_rows: 0, sums: vec![[0.0; 2]; n_cols], non_zeros: vec![0; n_cols] };
        Self { partial, packed: Vec::new(), packed_rows: 0, whole: Vec::new(), buffer: Vec::new() }
    }

    /// Columns of which [`MomentSums::add_counts`] tells.
    pub(crate) fn flag(&mut self, columns: impl Iterator<Item = usize>) {
        self.make_packed();
        columns.for_each(|column| self.packed[column] |= FLAG);
    }

    fn make_packed(&mut self) {
        if self.packed.is_empty() {
            self.packed = vec![0; self.partial.sums.len()];
        }
    }

    /// Adds a row whose values are the small counts `counts`. Tells the places of flagged columns: they are at hand here.
    #[inline]
    pub(crate) fn add_counts(&mut self, columns: &[u32], counts: &[u16], mut flagged: impl FnMut(usize)) {
        self.partial.n_rows += 1;
        self.make_packed();
        if self.packed_rows == PACKED_ROWS {
            self.unpack();
        }
        self.packed_rows += 1;
        let packed = self.packed.as_mut_slice();
        for (at, (&column, &count)) in columns.iter().zip(counts).enumerate() {
            let word = &mut packed[column as usize];
            *word += OF_COUNT[usize::from(count) % SMALL];
            if *word >= FLAG {
                flagged(at);
            }
            if usize::from(count) >= TINY {
                let n_cols = self.partial.sums.len();
                add_large(&mut self.whole, n_cols, column, count);
            }
        }
    }

    /// Moves the words to where there is room for more.
    fn unpack(&mut self) {
        self.whole.resize(self.packed.len(), [0; 3]);
        for (word, whole) in self.packed.iter_mut().zip(&mut self.whole) {
            whole[0] += *word & ((1 << SUM) - 1);
            whole[1] += *word >> SUM & ((1 << (SQUARES - SUM)) - 1);
            whole[2] += *word >> SQUARES & ((1 << (END - SQUARES)) - 1);
            *word &= FLAG;
        }
        self.packed_rows = 0;
    }

    /// Adds a row of any values.
    pub(crate) fn add_values(&mut self, columns: &[u32], values: &[f32]) {
        self.partial.n_rows += 1;
        for (&column, &value) in columns.iter().zip(values) {
            self.partial.add(column, f64::from(value));
        }
    }

    fn add_expm1(&mut self, columns: &[u32], values: &[f32], scale: f64) {
        self.partial.n_rows += 1;
        self.buffer.resize(values.len(), 0.0);
        expm1_into(values, scale, &mut self.buffer);
        for (&column, &value) in columns.iter().zip(&self.buffer) {
            self.partial.add(column, value);
        }
    }

    fn add_rows<'b>(
        &mut self,
        rows: impl Iterator<Item = (&'b [u32], &'b [f32])>,
        map: ValueMap,
        mut small: Option<&mut SmallCounts>,
    ) {
        for (columns, values) in rows {
            match map {
                ValueMap::Identity => match small.as_mut().and_then(|small| small.of(values)) {
                    Some(counts) => self.add_counts(columns, counts, |_| {}),
                    None => self.add_values(columns, values),
                },
                ValueMap::Expm1 { scale } => self.add_expm1(columns, values, scale),
            }
        }
    }

    pub(crate) fn finish(mut self) -> PartialMoments {
        if self.packed_rows > 0 {
            self.unpack();
        }
        for (column, &[number, sum, squares]) in self.whole.iter().enumerate() {
            self.partial.non_zeros[column] += number as u32;
            self.partial.sums[column][0] += sum as f64;
            self.partial.sums[column][1] += squares as f64;
        }
        self.partial
    }
}

#[cold]
fn add_large(whole: &mut Vec<[u64; 3]>, n_cols: usize, column: u32, count: u16) {
    whole.resize(n_cols, [0; 3]);
    let (whole, count) = (&mut whole[column as usize], u64::from(count));
    *whole = [whole[0] + 1, whole[1] + count, whole[2] + count * count];
}

impl PartialMoments {
    #[inline(always)]
    fn add(&mut self, column: u32, value: f64) {
        let sums = &mut self.sums[column as usize];
        sums[0] += value;
        sums[1] += value * value;
        self.non_zeros[column as usize] += u32::from(value != 0.0);
    }
}

impl Pass for MomentsPass<'_> {
    type Partial = Vec<PartialMoments>;
    type State = Vec<GeneMoments>;
    type Output = Vec<GeneMoments>;

    fn start(&self) -> Self::State {
        vec![GeneMoments::zero(self.n_cols); self.n_groups()]
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let mut small = SmallCounts::default();
        let Some((groups, wanted)) = &self.groups else {
            let mut sums = MomentSums::new(0, self.n_cols);
            sums.add_rows((0..block.n_rows()).map(|i| block.row(i)), self.map, Some(&mut small));
            return Ok(vec![sums.finish()]);
        };
        // Rows of one group after the other, so that the sums of one group at a time lie in the cache.
        let mut rows: Vec<(u32, usize)> = (0..block.n_rows())
            .map(|i| (groups[block.first_row + i], i))
            .filter(|(group, _)| wanted.contains(group))
            .collect();
        rows.sort_unstable();
        Ok(rows
            .chunk_by(|a, b| a.0 == b.0)
            .map(|same| {
                let mut sums = MomentSums::new((same[0].0 - wanted.start) as usize, self.n_cols);
                // Sums of their own must be worth their making.
                let many = same.iter().map(|&(_, i)| block.row(i).0.len()).sum::<usize>() > 4 * self.n_cols;
                sums.add_rows(same.iter().map(|&(_, i)| block.row(i)), self.map, many.then_some(&mut small));
                sums.finish()
            })
            .collect())
    }

    fn merge(&self, state: &mut Self::State, partials: Self::Partial) -> Result<()> {
        for partial in partials {
            let total = &mut state[partial.group];
            total.n_rows += partial.n_rows;
            for (column, sums) in partial.sums.iter().enumerate() {
                total.sum[column] += sums[0];
                total.sum_squares[column] += sums[1];
                total.non_zeros[column] += u64::from(partial.non_zeros[column]);
            }
        }
        Ok(())
    }

    fn finish(&self, state: Self::State) -> Result<Self::Output> {
        Ok(state)
    }
}

/// Sum, sum of squares and non-zeros of every column.
///
/// Nothing is random; the same bits for any number of threads. One read; 36 bytes per column and block at work.
///
/// # Errors
/// Whatever the source returns, or [`Error::Interrupted`].
pub fn gene_moments(source: &dyn RowBlocks, map: ValueMap, ctx: &Ctx) -> Result<GeneMoments> {
    let mut all = run(source, &MomentsPass::new(source.n_cols(), map), "gene moments", ctx)?;
    Ok(all.swap_remove(0))
}

/// As [`gene_moments`] for each group of rows: `groups[i]` is the group of row i, rows with a group of
/// `n_groups` or more are left out. Reads once when the sums of all groups fit 16 MiB, else once per such portion.
///
/// # Errors
/// [`Error::Data`] when `groups` is not as long as there are rows; otherwise as [`gene_moments`].
pub fn gene_moments_by(
    source: &dyn RowBlocks,
    groups: &[u32],
    n_groups: usize,
    map: ValueMap,
    ctx: &Ctx,
) -> Result<Vec<GeneMoments>> {
    /// Sums at work per block in flight.
    const BYTES: usize = 16 << 20;
    if groups.len() != source.n_rows() {
        let expected = format!("{} entries", source.n_rows());
        return Err(Error::data(DataFault::Shape, "row groups", expected, groups.len()));
    }
    let at_once = (BYTES / (20 * source.n_cols()).max(1)).max(1);
    let mut all = Vec::with_capacity(n_groups);
    for start in (0..n_groups).step_by(at_once) {
        let wanted = start as u32..(start + at_once).min(n_groups) as u32;
        let pass = MomentsPass::by_group(source.n_cols(), map, groups, wanted);
        all.extend(run(source, &pass, "gene moments", ctx)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Csr;
    use crate::parallel::with_threads;

    /// [[1, 0, 2], [0, 3, 0], [4, 0, 6], [0, 0, 0]], one of the zeros stored.
    fn example() -> Csr {
        Csr::new(4, 3, vec![0, 2, 3, 6, 6], vec![0, 2, 1, 0, 1, 2], vec![1.0, 2.0, 3.0, 4.0, 0.0, 6.0]).unwrap()
    }

    #[test]
    fn moments_by_hand() {
        let got = gene_moments(&example(), ValueMap::Identity, &Ctx::quiet()).unwrap();
        assert_eq!((got.n_rows, got.sum.clone()), (4, vec![5.0, 3.0, 8.0]));
        assert_eq!(got.sum_squares, [17.0, 9.0, 40.0]);
        assert_eq!(got.non_zeros, [2, 1, 2]);
        assert_eq!(got.means(), [1.25, 0.75, 2.0]);
        assert_eq!(got.variances(), [(17.0 / 4.0 - 1.25 * 1.25) * (4.0 / 3.0), 2.25, 8.0]);
    }

    #[test]
    fn groups_are_the_moments_of_their_rows() {
        let by = gene_moments_by(&example(), &[1, 0, 1, 9], 2, ValueMap::Identity, &Ctx::quiet()).unwrap();
        assert_eq!((by[0].n_rows, by[0].sum.clone()), (1, vec![0.0, 3.0, 0.0]));
        assert_eq!((by[1].n_rows, by[1].sum.clone()), (2, vec![5.0, 0.0, 8.0]));
        let wrong = gene_moments_by(&example(), &[1], 2, ValueMap::Identity, &Ctx::quiet()).unwrap_err();
        assert!(wrong.to_string().contains("row groups"));
    }

    #[test]
    fn expm1_undoes_the_logarithm() {
        let mut logged = example();
        logged.values.iter_mut().for_each(|v| *v = v.ln_1p());
        let got = gene_moments(&logged, ValueMap::Expm1 { scale: 1.0 }, &Ctx::quiet()).unwrap();
        for (a, b) in got.sum.iter().zip([5.0, 3.0, 8.0]) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert_eq!(got.non_zeros, [2, 1, 2]);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (n, width) = (40_000, 50);
        let indices = (0..n).flat_map(|_| 0..width as u32).collect::<Vec<_>>();
        let values = (0..n * width).map(|i| 0.1 + (i % 89) as f32).collect();
        let indptr = (0..=n as u64).map(|i| i * width as u64).collect();
        let matrix = Csr::new(n, width, indptr, indices, values).unwrap();
        let groups: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
        let get = |threads| {
            with_threads(Some(threads), || {
                gene_moments_by(&matrix, &groups, 3, ValueMap::Expm1 { scale: 0.1 }, &Ctx::quiet())
            })
            .unwrap()
        };
        let one = get(1);
        assert_eq!(one, get(2));
        assert_eq!(one, get(8));
    }

    #[test]
    fn counts_of_many_rows_are_summed_without_overflow() {
        // More rows in one block than a word has room for, of the largest counts on each side of the limits.
        let (n, counts) = (3 * PACKED_ROWS + 5, [127.0f32, 128.0, 1.0, 1023.0, 0.0, 1024.0]);
        let width = counts.len();
        let indices = (0..n).flat_map(|_| 0..width as u32).collect();
        let indptr = (0..=(n * width) as u64).step_by(width).collect();
        // The last column is large in one row only: the others are rows of small counts.
        let values = (0..n).flat_map(|row| counts.map(|count| if count == 1024.0 && row != 70 { 3.0 } else { count }));
        let matrix = Csr::new(n, width, indptr, indices, values.collect()).unwrap();
        assert!(matrix.block_rows(0).len() > 2 * PACKED_ROWS);
        let got = gene_moments(&matrix, ValueMap::Identity, &Ctx::quiet()).unwrap();
        let n = n as f64;
        assert_eq!(got.sum, [127.0 * n, 128.0 * n, n, 1023.0 * n, 0.0, 3.0 * (n - 1.0) + 1024.0]);
        let squares = [127.0 * 127.0 * n, 128.0 * 128.0 * n, n, 1023.0 * 1023.0 * n, 0.0, 9.0 * (n - 1.0) + 1048576.0];
        assert_eq!(got.sum_squares, squares);
        assert_eq!(got.non_zeros, [n as u64, n as u64, n as u64, n as u64, 0, n as u64]);

        let mut sums = MomentSums::new(0, width);
        sums.flag([1, 4].into_iter());
        for row in 0..2 * PACKED_ROWS + 1 {
            let mut told = Vec::new();
            sums.add_counts(&[0, 1, 3, 4], &[127, 5, 127, 0], |at| told.push(at));
            assert_eq!(told, [1, 3], "row {row}");
        }
        let sums = sums.finish();
        assert_eq!(sums.non_zeros, [16385, 16385, 0, 16385, 0, 0]);
        assert_eq!(sums.sums[1], [5.0 * 16385.0, 25.0 * 16385.0]);
    }

    #[test]
    fn nan_is_found() {
        let mut matrix = example();
        matrix.values[2] = f32::NAN;
        let got = gene_moments(&matrix, ValueMap::Identity, &Ctx::quiet()).unwrap();
        let text = got.check_finite("X", "finite values").unwrap_err().to_string();
        assert!(text.contains("column 1"), "{text}");
    }

    #[test]
    fn no_rows_and_no_columns() {
        let got = gene_moments(&Csr::empty(0, 2), ValueMap::Identity, &Ctx::quiet()).unwrap();
        assert!(got.means()[0].is_nan());
        assert_eq!(gene_moments(&Csr::empty(3, 0), ValueMap::Identity, &Ctx::quiet()).unwrap().sum.len(), 0);
    }
}
