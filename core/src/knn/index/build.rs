//! Making an index: three reads of the rows.
//!
//! 1. Means, extents and fingerprint; the sample is picked out. From it the centres are learnt as in memory.
//! 2. Each row to its nearest centre: 4 bytes per row are kept.
//! 3. As many rows as fit into memory at a time are sorted by list and handed on, list by list. A list thus grows by one
//!    stretch per such run, whatever the number of lists.
//!
//! Every number is that of the in-memory search ([`knn`](crate::knn::knn)), so the lists are its clusters.

use rayon::prelude::*;

use super::source::{Hash, block_rows, check_shape, each_block, row_into};
use super::{IndexHead, IndexOptions, Metric, PointBlocks, Points};
use crate::knn::approximate::CLUSTER;
use crate::knn::cluster::{Centres, sample, starts};
use crate::knn::distance::{Exact, is_constant};
use crate::knn::points::{Frame, PIECE, Prepared};
use crate::matrix::ValueSlice;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Memory that is taken where none is given, unless the sample needs more.
const MEMORY: u64 = 1 << 30;

/// Where the rows of an index go.
pub trait IndexSink {
    /// Appends rows to a list: whole rows as [`IndexHead`] describes them.
    ///
    /// # Errors
    /// When they cannot be written.
    fn append(&mut self, list: usize, rows: &[u8]) -> Result<()>;
}

/// Lists that are known and hold no rows yet.
#[derive(Debug)]
pub struct LearntIndex {
    head: IndexHead,
    /// The list of each row.
    nearest: Vec<u32>,
    memory: u64,
}

/// Learns the lists of an index over `source` (n x d): reads it twice.
///
/// `memory`: bytes for the sample of 40 rows per list, which is held twice, and for the rows that are sorted at a time; by
/// default 1 GiB, or what the sample needs. Beside it 8 bytes per row and blocks of 8 MiB. It moves no result, nor do threads.
///
/// Cost: n x lists x d multiply-adds to sort the rows, 200 x lists^2 x d to learn the lists. Chance: the sample, by `seed`.
///
/// # Errors
/// [`Error::Parameter`] for more lists than rows; [`Error::Data`] for no rows, NaN or infinity (naming the place), a constant
/// row with metric correlation; [`Error::Limit`] for a memory that the sample does not fit into; [`Error::Interrupted`]; what
/// reading returns.
pub fn learn_index(
    source: &dyn PointBlocks,
    options: &IndexOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<LearntIndex> {
    options.validate()?;
    check_shape(source)?;
    let (n, d, metric) = (source.n(), source.d(), options.metric);
    let lists = options.n_lists.unwrap_or_else(|| n.div_ceil(CLUSTER));
    if lists > n {
        return Err(Error::parameter("n_lists", format!("1 to the number of rows, {n}"), lists));
    }
    let chosen = sample(n, lists, options.seed);
    let value = if source.is_double() { 8 } else { 4 };
    // As stored and in single precision, with its norms.
    let needed = (chosen.len() * (d * (value + 4) + 12) + lists * d * 12) as u64;
    let memory = memory.unwrap_or(MEMORY.max(needed));
    if needed > memory {
        return Err(Error::Limit {
            what: "index".into(),
            needed: format!("{needed} bytes for the sample that {lists} lists are learnt from"),
            limit: format!("memory of {memory} bytes (fewer lists, n_lists, need less)"),
        });
    }
    let found = survey(source, metric, &chosen, ctx)?;
    let frame = found.frame(metric, n)?;
    let centres = {
        let _stage = ctx.stage("lists", 0);
        let picked = Points::new(chosen.len(), d, found.sample.values())?;
        let prepared = Prepared::in_frame(&picked, &Exact::new(picked, metric)?, &frame, ctx)?;
        drop(found.sample);
        let all: Vec<u32> = (0..chosen.len() as u32).collect();
        Centres::learn(&prepared, &all, lists, ctx)?
    };
    let mut nearest = Vec::with_capacity(n);
    let stage = ctx.stage("rows to lists", n as u64);
    each_block(source, ctx, |rows, values| {
        let block = Points::new(rows.len(), d, values)?;
        let prepared = Prepared::in_frame(&block, &Exact::new(block, metric)?, &frame, ctx)?;
        let own: Vec<u32> = (0..rows.len() as u32).collect();
        nearest.extend(centres.nearest(&prepared, &own, ctx)?);
        stage.advance(rows.len() as u64)
    })?;
    drop(stage);
    let head = IndexHead {
        n,
        d,
        double: source.is_double(),
        metric,
        seed: options.seed,
        fingerprint: found.fingerprint,
        centre: frame.centre,
        scale: frame.scale,
        starts: starts(&nearest, centres.count()),
        centroids: centres.values,
    };
    Ok(LearntIndex { head, nearest, memory })
}

impl LearntIndex {
    /// What is known of the index.
    pub fn head(&self) -> &IndexHead {
        &self.head
    }

    /// Sorts the rows into their lists: reads the source once. The rows of each list are appended by rising number.
    ///
    /// # Errors
    /// [`Error::Data`] for a source that gives other rows than before; [`Error::Interrupted`]; what reading and writing return.
    pub fn write(&self, source: &dyn PointBlocks, sink: &mut dyn IndexSink, ctx: &Ctx) -> Result<()> {
        let (d, record) = (self.head.d, self.head.record());
        if (source.n(), source.d(), source.is_double()) != (self.head.n, d, self.head.double) {
            return Err(changed());
        }
        // A run is held as it was read and, list by list, once more.
        let most = ((self.memory / 2) as usize / (record + 4)).max(block_rows(source));
        let mut hash = Hash::new(source);
        let mut run: Vec<u8> = Vec::new();
        let mut first = 0;
        let stage = ctx.stage("write the lists", self.head.n as u64);
        each_block(source, ctx, |rows, values| {
            hash.add_block(values, d);
            if run.len() / record + rows.len() > most {
                first += self.append(first, &run, sink)?;
                run.clear();
            }
            let start = run.len();
            run.resize(start + rows.len() * record, 0);
            run[start..].par_chunks_exact_mut(record).enumerate().with_min_len(1024).for_each(|(at, out)| {
                encode((rows.start + at) as u32, values, at * d..(at + 1) * d, out);
            });
            stage.advance(rows.len() as u64)
        })?;
        self.append(first, &run, sink)?;
        if hash.finish() == self.head.fingerprint { Ok(()) } else { Err(changed()) }
    }

    /// Hands on a run of rows that begins with row `first`; returns their number.
    fn append(&self, first: usize, run: &[u8], sink: &mut dyn IndexSink) -> Result<usize> {
        let record = self.head.record();
        let count = run.len() / record;
        let nearest = &self.nearest[first..first + count];
        let starts = starts(nearest, self.head.n_lists());
        let (mut next, mut order) = (starts.clone(), vec![0u32; count]);
        for (row, &list) in nearest.iter().enumerate() {
            order[next[list as usize]] = row as u32;
            next[list as usize] += 1;
        }
        let mut rows = Vec::new();
        for (list, span) in starts.windows(2).enumerate().filter(|(_, span)| span[0] < span[1]) {
            rows.clear();
            for &row in &order[span[0]..span[1]] {
                rows.extend_from_slice(&run[row as usize * record..(row as usize + 1) * record]);
            }
            sink.append(list, &rows)?;
        }
        Ok(count)
    }
}

fn changed() -> Error {
    let expected = "the same rows each time they are read";
    Error::data(DataFault::Invalid, "points", expected, "others while the index was written")
}

/// Writes a row as it is stored.
fn encode(number: u32, values: ValueSlice<'_>, span: std::ops::Range<usize>, out: &mut [u8]) {
    let (head, body) = out.split_at_mut(4);
    head.copy_from_slice(&number.to_le_bytes());
    match values {
        ValueSlice::F32(v) => {
            body.chunks_exact_mut(4).zip(&v[span]).for_each(|(out, x)| out.copy_from_slice(&x.to_le_bytes()));
        }
        ValueSlice::F64(v) => {
            body.chunks_exact_mut(8).zip(&v[span]).for_each(|(out, x)| out.copy_from_slice(&x.to_le_bytes()));
        }
        _ => {}
    }
}

/// Values that are held, in their own type.
pub(super) enum Values {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Values {
    pub(super) fn zeros(count: usize, double: bool) -> Self {
        if double { Self::Double(vec![0.0; count]) } else { Self::Single(vec![0.0; count]) }
    }

    pub(super) fn values(&self) -> ValueSlice<'_> {
        match self {
            Self::Single(v) => ValueSlice::F32(v),
            Self::Double(v) => ValueSlice::F64(v),
        }
    }
}

/// What the first read finds.
struct Survey {
    fingerprint: [u64; 2],
    sums: Vec<f64>,
    lowest: Vec<f64>,
    highest: Vec<f64>,
    sample: Values,
}

impl Survey {
    fn frame(&self, metric: Metric, n: usize) -> Result<Frame> {
        if metric != Metric::Euclidean {
            return Ok(Frame::unit(metric, self.sums.len()));
        }
        let means: Vec<f64> = self.sums.iter().map(|sum| sum / n as f64).collect();
        // Rounding keeps order, so the largest of all differences is that of an extreme.
        let mut largest = 0f64;
        for ((low, high), mean) in self.lowest.iter().zip(&self.highest).zip(&means) {
            for size in [(low - mean).abs(), (high - mean).abs()] {
                largest = if size.is_nan() { f64::INFINITY } else { largest.max(size) };
            }
        }
        Frame::around(means, largest, "points")
    }
}

/// Sums, lowest and highest value of each column over some rows.
struct Columns {
    sums: Vec<f64>,
    lowest: Vec<f64>,
    highest: Vec<f64>,
}

fn survey(source: &dyn PointBlocks, metric: Metric, chosen: &[u32], ctx: &Ctx) -> Result<Survey> {
    let (n, d) = (source.n(), source.d());
    // Rows of the sample by number, with their places in it.
    let mut by_row: Vec<(u32, u32)> = chosen.iter().enumerate().map(|(place, &row)| (row, place as u32)).collect();
    by_row.sort_unstable();
    let mut wanted = by_row.as_slice();
    let mut hash = Hash::new(source);
    let mut found = Survey {
        fingerprint: [0; 2],
        sums: vec![0.0; d],
        lowest: vec![f64::INFINITY; d],
        highest: vec![f64::NEG_INFINITY; d],
        sample: Values::zeros(chosen.len() * d, source.is_double()),
    };
    let stage = ctx.stage("survey", n as u64);
    each_block(source, ctx, |rows, values| {
        hash.add_block(values, d);
        let pieces: Vec<Columns> = crate::parallel::pieces(rows.len(), PIECE)
            .into_par_iter()
            .map(|piece| columns(values, piece, rows.start, d, metric))
            .collect::<Result<_>>()?;
        for piece in pieces {
            for column in 0..d {
                found.sums[column] += piece.sums[column];
                found.lowest[column] = found.lowest[column].min(piece.lowest[column]);
                found.highest[column] = found.highest[column].max(piece.highest[column]);
            }
        }
        let here;
        (here, wanted) = wanted.split_at(wanted.partition_point(|&(row, _)| (row as usize) < rows.end));
        for &(row, place) in here {
            let from = (row as usize - rows.start) * d;
            let to = place as usize * d;
            match (&mut found.sample, values) {
                (Values::Single(out), ValueSlice::F32(v)) => out[to..to + d].copy_from_slice(&v[from..from + d]),
                (Values::Double(out), ValueSlice::F64(v)) => out[to..to + d].copy_from_slice(&v[from..from + d]),
                _ => {}
            }
        }
        stage.advance(rows.len() as u64)
    })?;
    found.fingerprint = hash.finish();
    Ok(found)
}

/// The columns over the rows `piece` of a block that begins with row `first`; refuses rows that no search can use.
fn columns(
    values: ValueSlice<'_>,
    piece: std::ops::Range<usize>,
    first: usize,
    d: usize,
    metric: Metric,
) -> Result<Columns> {
    let mut found = Columns { sums: vec![0.0; d], lowest: vec![f64::INFINITY; d], highest: vec![f64::NEG_INFINITY; d] };
    let mut row = vec![0f64; d];
    for at in piece {
        row_into(values, at * d..(at + 1) * d, &mut row);
        if let Some(column) = row.iter().position(|x| !x.is_finite()) {
            let found = format!("{} at row {}, column {column}", row[column], first + at);
            return Err(Error::data(DataFault::NotFinite, "points", "finite values", found));
        }
        if metric == Metric::Correlation && is_constant(&row) {
            let found = format!("row {}, whose values are all equal", first + at);
            return Err(Error::data(DataFault::Invalid, "points", "rows that vary (metric correlation)", found));
        }
        for (column, &x) in row.iter().enumerate() {
            found.sums[column] += x;
            found.lowest[column] = found.lowest[column].min(x);
            found.highest[column] = found.highest[column].max(x);
        }
    }
    Ok(found)
}
