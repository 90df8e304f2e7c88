//! Searching an index: rows that look from the same list are one task, tasks go from list to list next to it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cache::Cache;
use super::source::row_into;
use super::{Metric, Nearest, NeighborIndex, Neighbors, Points, SearchOptions};
use crate::knn::approximate::{Look, Queries, candidates, kept_of_queries, kept_of_rows};
use crate::knn::distance::{Exact, Form};
use crate::knn::points::Prepared;
use crate::knn::settle::Candidate;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Memory for lists where none is given.
const MEMORY: u64 = 1 << 30;
/// Rows of one task, at most.
const TASK: usize = 1024;
/// Bytes that the distances from the rows of a task to the planes of its probes may take.
const PLANES: usize = 8 << 20;
/// Coordinates beyond which a query far from all rows is drawn nearer along its direction, lest scores overflow. So far
/// out single precision sees the direction alone.
const FAR: f64 = 1e15;

impl NeighborIndex {
    /// The nearest rows of every row of the index: those of [`knn`](crate::knn::knn), algorithm approximate, with the same
    /// metric, seed and effort, to the bit, if the index has its default number of lists and `probes` is left alone.
    ///
    /// Returns n x k row numbers and distances, the row itself first. `memory`: bytes for lists that are kept at hand, by default
    /// 1 GiB; a list per thread comes on top. Neither it nor the threads move the result.
    ///
    /// Cost: up to `probes` x n^2 d / lists multiply-adds (a tenth of that is usual); every list is read once where memory holds
    /// the lists that neighbouring rows look at.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than 2 neighbours, more than rows, and more probes than lists; [`Error::Interrupted`];
    /// what reading the rows returns.
    pub fn neighbors(&self, options: &SearchOptions, memory: Option<u64>, ctx: &Ctx) -> Result<Neighbors> {
        let keep = kept_of_rows(options.n_neighbors, self.head().n);
        let look = self.look(options)?;
        self.neighbors_with(&Cache::new(self, self.limit(memory, keep, look.most)), options, ctx)
    }

    pub(super) fn neighbors_with(&self, cache: &Cache<'_>, options: &SearchOptions, ctx: &Ctx) -> Result<Neighbors> {
        let (n, k) = (self.head().n, options.n_neighbors);
        let look = self.look(options)?;
        if k < 2 || k > n {
            let expected = format!("2 to the number of rows, {n} (the row itself counts)");
            return Err(Error::parameter("n_neighbors", expected, k));
        }
        let keep = kept_of_rows(k, n);
        let step = task_rows(look.most);
        let mut tasks = Vec::with_capacity(self.pieces());
        for list in self.walk() {
            for piece in self.piece_starts[list]..self.piece_starts[list + 1] {
                let count = self.places(list, piece).len();
                tasks.extend(crate::parallel::pieces(count, step).into_iter().map(|rows| (list, piece, rows)));
            }
        }
        let out = Mutex::new((vec![0u32; n * k], vec![0f32; n * k]));
        let stage = ctx.stage("neighbours", n as u64);
        each_task(tasks.len(), ctx, |task| {
            let (list, piece, ref rows) = tasks[task];
            let mut batch = Batch::new(self);
            let mut numbers = Vec::with_capacity(rows.len());
            {
                let piece = cache.get(list, piece)?;
                let mut row = vec![0f64; self.head().d];
                for place in rows.clone() {
                    let (values, form) = piece.row(place, row.len());
                    row_into(values, 0..row.len(), &mut row);
                    batch.add(&row, form);
                    numbers.push(piece.numbers[place]);
                }
            }
            let found = batch.search(cache, list, keep, look, ctx)?;
            let (indices, distances) = &mut *out.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for (found, &number) in found.iter().zip(&numbers) {
                let first = number as usize * k;
                (indices[first], distances[first]) = (number, 0.0);
                let others = found.iter().filter(|candidate| candidate.row != number);
                for (place, candidate) in (first + 1..first + k).zip(others) {
                    indices[place] = candidate.row;
                    distances[place] = self.frame.metric.finish(candidate.square) as f32;
                }
            }
            stage.advance(numbers.len() as u64)
        })?;
        let (indices, distances) = out.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(Neighbors { n, k, indices, distances, exact: false })
    }

    /// The `k` nearest rows of the index for each of other rows, as [`knn_between`](crate::knn::knn_between) finds them
    /// approximately: a query looks from the list with the nearest centre. A query's result does not depend on the
    /// others, nor on threads and memory (see [`neighbors`](Self::neighbors)).
    ///
    /// # Errors
    /// [`Error::Parameter`] for more neighbours than rows, and more probes than lists; [`Error::Data`] for another number of
    /// columns, and a constant row with metric correlation; [`Error::Interrupted`]; what reading the rows returns.
    pub fn query(
        &self,
        queries: &Points<'_>,
        options: &SearchOptions,
        memory: Option<u64>,
        ctx: &Ctx,
    ) -> Result<Nearest> {
        let (m, d) = (self.head().n, self.head().d);
        let (n, k) = (queries.n(), options.n_neighbors);
        let look = self.look(options)?;
        if queries.d() != d {
            let found = queries.d();
            return Err(Error::data(DataFault::Shape, "queries", format!("{d} columns, as the index"), found));
        }
        if k > m {
            return Err(Error::parameter("n_neighbors", format!("1 to the number of rows of the index, {m}"), k));
        }
        let metric = self.frame.metric;
        let nearest = self.nearest_lists(queries, ctx)?;
        let mut walk = vec![0u32; self.clusters.count()];
        self.walk().into_iter().enumerate().for_each(|(turn, list)| walk[list] = turn as u32);
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by_key(|&query| walk[nearest[query as usize] as usize]);
        let step = task_rows(look.most);
        let tasks: Vec<&[u32]> = order
            .chunk_by(|&a, &b| nearest[a as usize] == nearest[b as usize])
            .flat_map(|of_list| of_list.chunks(step))
            .collect();
        let keep = kept_of_queries(k, m);
        let cache = Cache::new(self, self.limit(memory, keep, look.most));
        let out = Mutex::new((vec![0u32; n * k], vec![0f32; n * k]));
        let stage = ctx.stage("neighbours in the index", n as u64);
        each_task(tasks.len(), ctx, |task| {
            let mut batch = Batch::new(self);
            let mut row = vec![0f64; d];
            for &query in tasks[task] {
                queries.row_into(query as usize, &mut row);
                let form = metric.form(&row);
                batch.add(&row, form);
            }
            let list = nearest[tasks[task][0] as usize] as usize;
            let found = batch.search(&cache, list, keep, look, ctx)?;
            let (indices, distances) = &mut *out.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            for (found, &query) in found.iter().zip(tasks[task]) {
                for (place, candidate) in (query as usize * k..).zip(&found[..k]) {
                    indices[place] = candidate.row;
                    distances[place] = metric.finish(candidate.square) as f32;
                }
            }
            stage.advance(tasks[task].len() as u64)
        })?;
        let (indices, distances) = out.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        Ok(Nearest { n, k, indices, distances })
    }

    fn look(&self, options: &SearchOptions) -> Result<Look> {
        options.validate()?;
        let lists = self.clusters.count();
        if let Some(probes) = options.probes.filter(|&probes| probes > lists) {
            return Err(Error::parameter("probes", format!("1 to the number of lists, {lists}"), probes));
        }
        Ok(Look::new(options.effort, options.probes, lists))
    }

    /// Bytes for lists: what is left of the memory by the threads' own needs.
    fn limit(&self, memory: Option<u64>, keep: usize, most: usize) -> u64 {
        let rows = task_rows(most);
        let task = rows * (self.head().d * 12 + (2 * keep + 8) * 8 + most.min(self.clusters.count()) * 4 + keep * 24);
        memory.unwrap_or(MEMORY).saturating_sub((task * rayon::current_num_threads()) as u64)
    }

    /// The list of each query: that with the nearest centre.
    fn nearest_lists(&self, queries: &Points<'_>, ctx: &Ctx) -> Result<Vec<u32>> {
        // Blocks, so that not all queries are held in single precision at once.
        const BLOCK: usize = 1 << 14;
        let d = queries.d();
        let mut nearest = Vec::with_capacity(queries.n());
        let metric = self.frame.metric;
        // All at once, so that errors name the row.
        if metric == Metric::Correlation {
            Exact::new(*queries, metric)?;
        }
        for rows in crate::parallel::pieces(queries.n(), BLOCK) {
            let values = super::source::part(queries.values(), rows.start * d..rows.end * d);
            let block = Points::new(rows.len(), d, values)?;
            let mut prepared = Prepared::in_frame(&block, &Exact::new(block, metric)?, &self.frame, ctx)?;
            let mut row = vec![0f64; d];
            for at in 0..rows.len() {
                if prepared.square[at] > FAR * FAR || !prepared.square[at].is_finite() {
                    block.row_into(at, &mut row);
                    draw_near(&self.frame, &row, &mut prepared.rows[at * d..(at + 1) * d]);
                }
            }
            let own: Vec<u32> = (0..rows.len() as u32).collect();
            nearest.extend(self.clusters.centres.nearest(&prepared, &own, ctx)?);
        }
        Ok(nearest)
    }

    /// All lists in an order in which neighbours in space mostly follow each other: halved again and again at the median of the
    /// coordinate that spreads most.
    fn walk(&self) -> Vec<usize> {
        let centres = &self.clusters.centres;
        let mut order: Vec<usize> = (0..centres.count()).collect();
        let mut open = Vec::from([(0, order.len())]);
        while let Some((start, end)) = open.pop() {
            if end - start < 3 {
                continue;
            }
            let part = &mut order[start..end];
            let count = part.len() as f64;
            let spread = |column: usize| {
                let value = |&list: &usize| f64::from(centres.row(list)[column]);
                let mean = part.iter().map(value).sum::<f64>() / count;
                part.iter().map(|list| (value(list) - mean).powi(2)).sum::<f64>()
            };
            let widest = (0..centres.d).map(|column| (spread(column), column)).max_by(|a, b| a.0.total_cmp(&b.0));
            let column = widest.map_or(0, |(_, column)| column);
            let middle = part.len() / 2;
            part.select_nth_unstable_by(middle, |&a, &b| {
                centres.row(a)[column].total_cmp(&centres.row(b)[column]).then(a.cmp(&b))
            });
            open.push((start, start + middle));
            open.push((start + middle, end));
        }
        order
    }
}

/// Writes a row that lies too far out for its scores: in its direction from the centre, at a distance of [`FAR`].
fn draw_near(frame: &crate::knn::points::Frame, row: &[f64], out: &mut [f32]) {
    // By parts, so that nothing overflows.
    let largest = row.iter().zip(&frame.centre).map(|(x, c)| (x / 2.0 - c / 2.0).abs()).fold(0.0, f64::max);
    for ((out, x), c) in out.iter_mut().zip(row).zip(&frame.centre) {
        *out = ((x / 2.0 - c / 2.0) / largest * FAR) as f32;
    }
}

/// Rows of a task that looks at `most` lists.
fn task_rows(most: usize) -> usize {
    (PLANES / 4 / most.max(1)).clamp(12, TASK)
}

/// Runs tasks on all threads, each taking the next: what is near in the list of tasks is done at about the same time.
fn each_task(count: usize, ctx: &Ctx, run: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let outcomes = rayon::broadcast(|_| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= count {
                return Ok(());
            }
            if let Err(error) = ctx.check().and_then(|()| run(task)) {
                // The others stop at their next task. The first in order is not always the one that is told.
                next.store(count, Ordering::Relaxed);
                return Err(error);
            }
        }
    });
    outcomes.into_iter().collect()
}

/// Rows that look from the same list.
struct Batch<'a> {
    index: &'a NeighborIndex,
    /// As the metric sees them.
    units: Vec<f64>,
    /// Whether each has no norm where the metric asks for one.
    zero: Vec<bool>,
    rows: Vec<f32>,
    base: Vec<f32>,
}

impl<'a> Batch<'a> {
    fn new(index: &'a NeighborIndex) -> Self {
        Self { index, units: Vec::new(), zero: Vec::new(), rows: Vec::new(), base: Vec::new() }
    }

    fn add(&mut self, row: &[f64], form: Form) {
        let frame = &self.index.frame;
        let start = self.units.len();
        let unit = form != Form::NONE;
        self.units.extend(row.iter().map(|&x| if unit { (x - form.shift) * form.scale } else { x }));
        self.zero.push(form.scale == 0.0);
        self.rows.resize(start + row.len(), 0.0);
        let (units, placed) = (&self.units[start..], &mut self.rows[start..]);
        let mut square = frame.place(units, placed);
        if square > FAR * FAR || !square.is_finite() {
            draw_near(frame, row, placed);
            square = placed.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        }
        self.base.push(frame.base(square) as f32);
    }

    /// The rows of the index that were found for each, by exact distance, then number: `keep` of them, fewer where the index has
    /// fewer.
    fn search(
        &self,
        cache: &Cache<'_>,
        list: usize,
        keep: usize,
        look: Look,
        ctx: &Ctx,
    ) -> Result<Vec<Vec<Candidate>>> {
        let d = self.index.head().d;
        let queries = Queries { d, rows: &self.rows, base: &self.base };
        let best = candidates(cache, &self.index.clusters, list, queries, keep, look, ctx)?;
        // By place, so that each piece is asked for once.
        let mut places: Vec<(u32, u32)> = Vec::new();
        for query in 0..self.base.len() {
            places.extend(best.entries(query).iter().map(|entry| (entry.row, query as u32)));
        }
        places.sort_unstable();
        let mut found: Vec<Vec<Candidate>> = vec![Vec::with_capacity(keep); self.base.len()];
        let mut left = places.as_slice();
        while let Some(&(place, _)) = left.first() {
            ctx.check()?;
            let (list, number) = self.index.piece_of(place as usize);
            let span = self.index.places(list, number);
            let here;
            (here, left) = left.split_at(left.partition_point(|&(place, _)| (place as usize) < span.end));
            let piece = cache.get(list, number)?;
            for &(place, query) in here {
                let (place, query) = (place as usize - span.start, query as usize);
                let (values, form) = piece.row(place, d);
                let unit = &self.units[query * d..(query + 1) * d];
                let square = self.index.frame.metric.square(unit, self.zero[query], values, form);
                found[query].push(Candidate { square, row: piece.numbers[place] });
            }
        }
        for found in &mut found {
            found.sort_unstable_by(|a, b| a.square.total_cmp(&b.square).then(a.row.cmp(&b.row)));
        }
        Ok(found)
    }
}
