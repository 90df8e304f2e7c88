//! Pieces of lists as they are searched, kept within a budget of memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::NeighborIndex;
use super::build::Values;
use super::source::{part, row_into};
use crate::knn::approximate::Packed;
use crate::knn::distance::Form;
use crate::knn::tile::{LANES, Lane, pack};
use crate::matrix::ValueSlice;
use crate::{DataFault, Error, Result};

/// A piece of a list, ready to be searched.
pub(super) struct Piece {
    /// Row numbers.
    pub(super) numbers: Vec<u32>,
    values: Values,
    /// What the metric does to each row; empty where it does nothing.
    forms: Vec<Form>,
    panels: Vec<Lane>,
}

impl Piece {
    /// The row at `place` of the piece as it is stored, and what the metric does to it.
    #[inline]
    pub(super) fn row(&self, place: usize, d: usize) -> (ValueSlice<'_>, Form) {
        let form = self.forms.get(place).copied().unwrap_or(Form::NONE);
        (part(self.values.values(), place * d..(place + 1) * d), form)
    }

    fn bytes(&self) -> u64 {
        let values = match &self.values {
            Values::Single(v) => v.len() * 4,
            Values::Double(v) => v.len() * 8,
        };
        (values + self.numbers.len() * 4 + self.forms.len() * 16 + self.panels.len() * LANES * 4 + 256) as u64
    }
}

/// The pieces that were used last. What it holds moves the time of a search and nothing else.
pub(super) struct Cache<'a> {
    index: &'a NeighborIndex,
    /// Bytes that may be held.
    limit: u64,
    held: Mutex<Held>,
    reads: AtomicU64,
}

#[derive(Default)]
struct Held {
    /// Each piece, and when it was last used.
    pieces: BTreeMap<usize, (Arc<Piece>, u64)>,
    /// The pieces by that time.
    used: BTreeMap<u64, usize>,
    clock: u64,
    bytes: u64,
}

impl<'a> Cache<'a> {
    pub(super) fn new(index: &'a NeighborIndex, limit: u64) -> Self {
        Self { index, limit, held: Mutex::default(), reads: AtomicU64::new(0) }
    }

    /// Pieces that were read so far.
    #[cfg(test)]
    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A piece of `list`, held or read.
    pub(super) fn get(&self, list: usize, piece: usize) -> Result<Arc<Piece>> {
        {
            let held = &mut *self.lock();
            if let Some((found, used)) = held.pieces.get_mut(&piece) {
                held.clock += 1;
                held.used.remove(used);
                held.used.insert(held.clock, piece);
                *used = held.clock;
                return Ok(found.clone());
            }
        }
        // Not under the lock: two threads may read the same piece, which costs less than waiting.
        let read = Arc::new(self.read(list, piece)?);
        self.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = read.bytes();
        let held = &mut *self.lock();
        if bytes > self.limit || held.pieces.contains_key(&piece) {
            return Ok(read);
        }
        while held.bytes + bytes > self.limit {
            let Some((_, oldest)) = held.used.pop_first() else { break };
            if let Some((dropped, _)) = held.pieces.remove(&oldest) {
                held.bytes -= dropped.bytes();
            }
        }
        held.clock += 1;
        held.used.insert(held.clock, piece);
        held.pieces.insert(piece, (read.clone(), held.clock));
        held.bytes += bytes;
        Ok(read)
    }

    fn read(&self, list: usize, piece: usize) -> Result<Piece> {
        let (head, frame) = (self.index.head(), &self.index.frame);
        let (count, d, record) = (self.index.places(list, piece).len(), head.d, head.record());
        let mut numbers = Vec::with_capacity(count);
        let mut values = Values::zeros(count * d, head.double);
        let what = || format!("index, piece {piece} (list {list})");
        self.index.rows.visit(piece, &mut |bytes| {
            if bytes.len() != count * record {
                let expected = format!("{count} rows of {record} bytes");
                return Err(Error::data(DataFault::Shape, what(), expected, format!("{} bytes", bytes.len())));
            }
            for (place, row) in bytes.chunks_exact(record).enumerate() {
                let (number, row) = row.split_at(4);
                numbers.push(u32::from_le_bytes(number.try_into().unwrap_or_default()));
                match &mut values {
                    Values::Single(out) => out[place * d..]
                        .iter_mut()
                        .zip(row.chunks_exact(4))
                        .for_each(|(out, x)| *out = f32::from_le_bytes(x.try_into().unwrap_or_default())),
                    Values::Double(out) => out[place * d..]
                        .iter_mut()
                        .zip(row.chunks_exact(8))
                        .for_each(|(out, x)| *out = f64::from_le_bytes(x.try_into().unwrap_or_default())),
                }
            }
            Ok(())
        })?;
        if let Some(number) = numbers.iter().find(|&&number| number as usize >= head.n) {
            let expected = format!("row numbers below {}", head.n);
            return Err(Error::data(DataFault::Invalid, what(), expected, number));
        }
        let mut forms = Vec::new();
        let (mut row, mut placed) = (vec![0f64; d], vec![0f32; count * d]);
        let mut half = Vec::with_capacity(count);
        for (place, out) in placed.chunks_exact_mut(d).enumerate() {
            row_into(values.values(), place * d..(place + 1) * d, &mut row);
            let form = frame.metric.form(&row);
            if form != Form::NONE {
                row.iter_mut().for_each(|x| *x = (*x - form.shift) * form.scale);
            }
            forms.push(form);
            half.push(frame.half(frame.place(&row, out)));
        }
        if frame.metric == super::Metric::Euclidean {
            forms = Vec::new();
        }
        let mut panels = Vec::with_capacity(count.div_ceil(LANES) * (d + 1));
        pack(d, placed.chunks_exact(d).zip(half), &mut panels);
        Ok(Piece { numbers, values, forms, panels })
    }
}

impl Packed for Cache<'_> {
    fn visit(&self, cluster: usize, read: &mut dyn FnMut(&[Lane], u32)) -> Result<()> {
        for piece in self.index.piece_starts[cluster]..self.index.piece_starts[cluster + 1] {
            let found = self.get(cluster, piece)?;
            read(&found.panels, self.index.places(cluster, piece).start as u32);
        }
        Ok(())
    }
}
