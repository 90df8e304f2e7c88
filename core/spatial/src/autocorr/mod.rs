//! Moran's I and Geary's C of many values over one graph of neighbours in space.
//!
//! With weights w_ij, their sum S0 and z = x - mean(x): I = n / S0 * z'Wz / z'z and
//! C = (n - 1) / (2 S0) * sum_ij w_ij (x_i - x_j)^2 / z'z. A column that is mostly zero is looked at through the others alone:
//! z'Wz = x'Wx - mean * sum_i x_i (r_i + c_i) + mean^2 S0, with r and c the sums of the weights from and to a cell.
//!
//! Permutations move the values to other cells, which is what "no relation to space" means. Shuffling only the rows of the
//! weights, as some implementations do, has mean 0 instead of -1 / (n - 1) for I.
//!
//! References: Moran, Biometrika 37 (1950); Geary, The Incorporated Statistician 5 (1954); Cliff and Ord, Spatial
//! Processes (1981), for the variances under normality.

mod lanes;
mod options;
mod weights;

#[cfg(test)]
mod tests;

pub use options::{AutocorrOptions, Mode};

use lanes::{Block, LANES, Walk};
use rayon::prelude::*;
use weights::Weights;
use zensaibo_core::options::Options;
use zensaibo_core::parallel::pieces;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::Edges;

/// Columns looked at between two looks at whether to stop.
const PIECE: usize = 16;
/// Permutations held at once.
const BATCH: usize = 16;
/// Columns that are zero in all but one of so many cells are permuted through those alone; others in blocks.
const SPARSE: usize = 32;

/// Scores that differ by less, relatively, are the same.
const TIE: f64 = 1e-10;

/// Cells x values, by columns, as scipy's csc. What is not stored is zero.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// One more than there are columns.
    pub indptr: &'a [i64],
    /// Cells.
    pub indices: &'a [i32],
    /// Values.
    pub values: &'a [f64],
}

/// What [`spatial_autocorr`] found, one entry per column; NaN for columns without variance.
#[derive(Clone, Debug)]
pub struct Autocorr {
    /// I or C.
    pub scores: Vec<f64>,
    /// Its mean under normality.
    pub expected: f64,
    /// Its variance under normality, the same for all columns.
    pub variance: f64,
    /// With permutations.
    pub permuted: Option<Permuted>,
}

/// The scores of permuted columns.
#[derive(Clone, Debug)]
pub struct Permuted {
    /// How many are at least as large as that of the column itself.
    pub at_least: Vec<u64>,
    /// Their means.
    pub means: Vec<f64>,
    /// Their variances, divided by their number.
    pub variances: Vec<f64>,
}

/// Moran's I or Geary's C of every column, with mean and variance under normality and, with `n_perms`, those of permuted
/// columns. Permutation p takes its numbers from the stream (seed, p) and is the same for all columns; threads change the time
/// alone.
///
/// Cost: for each column the edges of the cells where it is not zero (all edges where half or more are not). A permutation costs
/// that again for columns that are zero in 31 of 32 cells, and one walk over all edges for each eight of the others. Memory: 16 bytes
/// per edge, 40 per cell, 8 per cell and thread; with permutations 12 per edge and 150 per cell more, and 136 per cell and thread.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`]: fewer than three cells, no edges, weights that sum to zero,
/// columns that do not fit the graph, NaN or infinity; [`Error::Interrupted`].
pub fn spatial_autocorr(
    edges: &Edges<'_>,
    columns: &Columns<'_>,
    options: &AutocorrOptions,
    ctx: &Ctx,
) -> Result<Autocorr> {
    options.validate()?;
    let weights = Weights::new(edges, options.transformation)?;
    check_columns(columns, edges.len())?;
    let n = edges.len();
    let count = columns.indptr.len() - 1;
    let expected = match options.mode {
        Mode::Moran => -1.0 / (n as f64 - 1.0),
        Mode::Geary => 1.0,
    };
    let parts = pieces(count, PIECE);
    let scores: Vec<f64> = {
        let stage = ctx.stage("autocorrelation", count as u64);
        let found: Vec<Vec<f64>> = parts
            .par_iter()
            .map_init(
                || vec![0.0; n],
                |work, part| {
                    stage.advance(part.len() as u64)?;
                    let score = |at| Column::new(columns, at, n).score(&weights, options.mode, None, work);
                    Ok(part.clone().map(score).collect())
                },
            )
            .collect::<Result<_>>()?;
        found.concat()
    };
    let permuted = options.n_perms.map(|orders| permute(&weights, columns, &scores, expected, orders, options, ctx));
    let variance = weights.variance(options.mode);
    Ok(Autocorr { scores, expected, variance, permuted: permuted.transpose()? })
}

/// Refuses columns that do not fit `n` cells or hold what is not finite.
pub(crate) fn check_columns(columns: &Columns<'_>, n: usize) -> Result<()> {
    const WHAT: &str = "values of cells";
    let stored = columns.indices.len();
    if columns.indptr.first() != Some(&0)
        || columns.indptr.last() != Some(&(stored as i64))
        || columns.values.len() != stored
        || columns.indptr.windows(2).any(|pair| pair[0] > pair[1])
    {
        return Err(Error::data(DataFault::Shape, WHAT, "compressed columns", "parts that do not fit each other"));
    }
    for (column, pair) in columns.indptr.windows(2).enumerate() {
        let range = pair[0] as usize..pair[1] as usize;
        let cells = &columns.indices[range.clone()];
        if cells.iter().any(|&cell| cell < 0 || cell as usize >= n) || cells.windows(2).any(|pair| pair[0] >= pair[1]) {
            let expected = format!("cells from 0 to below {n} that rise within a column");
            return Err(Error::data(DataFault::Invalid, WHAT, expected, format!("others in column {column}")));
        }
        if let Some(at) = columns.values[range.clone()].iter().position(|value| !value.is_finite()) {
            let found = format!("{} in column {column}, cell {}", columns.values[range.start + at], cells[at]);
            return Err(Error::data(DataFault::NotFinite, WHAT, "finite values", found));
        }
    }
    Ok(())
}

/// One column, as what is looked at: its cells that are not zero, or all of them less their mean.
struct Column {
    cells: Vec<u32>,
    values: Vec<f64>,
    /// What is still to be taken off.
    mean: f64,
    /// z'z; 0 for a column without variance.
    spread: f64,
}

impl Column {
    fn new(columns: &Columns<'_>, at: usize, n: usize) -> Self {
        let range = columns.indptr[at] as usize..columns.indptr[at + 1] as usize;
        let (mut cells, mut values) = (Vec::with_capacity(range.len()), Vec::with_capacity(range.len()));
        for slot in range {
            // What is stored but zero counts as what is not stored: layouts give the same bits.
            if columns.values[slot] != 0.0 {
                cells.push(columns.indices[slot] as u32);
                values.push(columns.values[slot]);
            }
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let first = if cells.len() == n { values.first().copied().unwrap_or(0.0) } else { 0.0 };
        if values.iter().all(|&value| value == first) {
            return Self { cells, values, mean, spread: 0.0 };
        }
        let zeros = (n - cells.len()) as f64;
        let spread = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() + zeros * mean * mean;
        if 2 * cells.len() < n {
            // Half the cells at zero: the mean is no larger than the spread, and taking it off later costs no digits.
            return Self { cells, values, mean, spread };
        }
        let mut all = vec![-mean; n];
        cells.iter().zip(&values).for_each(|(&cell, value)| all[cell as usize] = value - mean);
        Self { cells: (0..n as u32).collect(), values: all, mean: 0.0, spread }
    }

    /// The score with the value of cell i moved to `order[i]`. `work` holds zeros, before and after.
    fn score(&self, weights: &Weights<'_>, mode: Mode, order: Option<&[u32]>, work: &mut [f64]) -> f64 {
        if self.spread == 0.0 {
            return f64::NAN;
        }
        let place = |cell: u32| order.map_or(cell, |order| order[cell as usize]) as usize;
        for (&cell, &value) in self.cells.iter().zip(&self.values) {
            work[place(cell)] = value;
        }
        let (mut cross, mut sides) = (0.0, 0.0);
        for (&cell, &value) in self.cells.iter().zip(&self.values) {
            let cell = place(cell);
            cross += value * weights.lag(cell, work);
            sides += weights.both(cell) * if mode == Mode::Geary { value * value } else { value };
        }
        self.cells.iter().for_each(|&cell| work[place(cell)] = 0.0);
        let n = work.len() as f64;
        match mode {
            Mode::Moran => {
                let product = cross - self.mean * sides + self.mean * self.mean * weights.total();
                n / weights.total() * product / self.spread
            }
            Mode::Geary => (n - 1.0) / (2.0 * weights.total()) * (sides - 2.0 * cross) / self.spread,
        }
    }
}

fn permute(
    weights: &Weights<'_>,
    columns: &Columns<'_>,
    scores: &[f64],
    expected: f64,
    orders: u64,
    options: &AutocorrOptions,
    ctx: &Ctx,
) -> Result<Permuted> {
    let (n, count) = (weights.len(), scores.len());
    // Stored zeros do not count: layouts give the same bits.
    let filled = |at: usize| {
        let range = columns.indptr[at] as usize..columns.indptr[at + 1] as usize;
        columns.values[range].iter().filter(|value| **value != 0.0).count()
    };
    let (sparse, dense): (Vec<usize>, Vec<usize>) = (0..count).partition(|&at| filled(at) * SPARSE < n);
    let walk = if dense.is_empty() { None } else { Some(Walk::new(weights)) };
    let mut tallies = vec![Tally::default(); count];
    let stage = ctx.stage("permutations", orders * count as u64);
    for batch in pieces(orders as usize, BATCH) {
        // What brings the values of the columns in blocks to their places, and those of sparse ones to other cells.
        let drawn: Vec<(Vec<u32>, Vec<u32>)> = batch
            .clone()
            .into_par_iter()
            .map(|order| {
                let mut cells: Vec<u32> = (0..n as u32).collect();
                Stream::new(options.seed, order as u64).shuffle(&mut cells);
                let sources = walk.as_ref().map_or_else(Vec::new, |walk| walk.sources(&cells));
                (cells, sources)
            })
            .collect();
        if let Some(walk) = &walk {
            let unmoved: Vec<u32> = (0..n as u32).collect();
            let unmoved = walk.sources(&unmoved);
            let found: Vec<[Tally; LANES]> = dense
                .par_chunks(LANES)
                .map_init(
                    || Block::new(n),
                    |block, numbers| {
                        block.fill(columns, numbers);
                        // Summed in the same order as those of the permutations, so that ties are ties.
                        let own = block.scores(walk, options.mode, &unmoved);
                        let mut tallies = [Tally::default(); LANES];
                        for (_, sources) in &drawn {
                            let scores = block.scores(walk, options.mode, sources);
                            for lane in 0..numbers.len() {
                                tallies[lane].take(scores[lane], own[lane], expected);
                            }
                            stage.advance(numbers.len() as u64)?;
                        }
                        Ok(tallies)
                    },
                )
                .collect::<Result<_>>()?;
            for (numbers, found) in dense.chunks(LANES).zip(found) {
                numbers.iter().zip(found).for_each(|(&at, tally)| tallies[at].add(tally));
            }
        }
        let found: Vec<Tally> = sparse
            .par_iter()
            .map_init(
                || vec![0.0; n],
                |work, &at| {
                    let column = Column::new(columns, at, n);
                    let mut tally = Tally::default();
                    for (order, _) in &drawn {
                        tally.take(column.score(weights, options.mode, Some(order), work), scores[at], expected);
                    }
                    stage.advance(drawn.len() as u64)?;
                    Ok(tally)
                },
            )
            .collect::<Result<_>>()?;
        sparse.iter().zip(found).for_each(|(&at, tally)| tallies[at].add(tally));
    }
    let many = orders as f64;
    Ok(Permuted {
        at_least: tallies.iter().map(|tally| tally.at_least).collect(),
        means: tallies.iter().map(|tally| expected + tally.sum / many).collect(),
        variances: tallies.iter().map(|tally| (tally.squares / many - (tally.sum / many).powi(2)).max(0.0)).collect(),
    })
}

/// What is kept of the scores of a permuted column.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    at_least: u64,
    /// Of scores less the mean under normality, so that squares keep their digits.
    sum: f64,
    squares: f64,
}

impl Tally {
    fn take(&mut self, score: f64, own: f64, expected: f64) {
        // Orders that score the same but for rounding count as ties.
        self.at_least += u64::from(score >= own - TIE * own.abs().max(expected.abs()));
        self.sum += score - expected;
        self.squares += (score - expected).powi(2);
    }

    fn add(&mut self, other: Self) {
        self.at_least += other.at_least;
        self.sum += other.sum;
        self.squares += other.squares;
    }
}
