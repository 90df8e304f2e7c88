//! One matrix or volume looked at by many processes: each computes some units of a pass, all are merged in order.
//!
//! A unit is what an algorithm merges anyway: the partial result of a block, of a group of blocks, of a range of columns. Where units
//! are computed changes nothing in how they are merged, so results have the bits of one process. Every process runs the same
//! algorithm on the same source: through passes that are over it merges what the parts of these gave, and in the first
//! pass that is not it computes a part and stops with [`Error::PartDone`].

use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Ctx, Error, Result};

/// Bytes that are kept by number.
pub trait StoredBlocks: Send + Sync {
    /// Hands the bytes of a block to `read`.
    ///
    /// # Errors
    /// When it cannot be read or has changed; whatever `read` returns.
    fn visit(&self, block: usize, read: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;
}

/// Where the units of a part go.
pub trait Outbox {
    /// Takes the next unit.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn put(&mut self, unit: &[u8]) -> Result<()>;

    /// Takes what the unit that was put last keeps for later passes; in a pass that keeps, once for every unit.
    ///
    /// # Errors
    /// As [`Outbox::put`]; [`Error::Internal`] in a pass that keeps nothing.
    fn keep(&mut self, bytes: &[u8]) -> Result<()>;

    /// All units of the part were put.
    ///
    /// # Errors
    /// When the part cannot be kept.
    fn close(self: Box<Self>) -> Result<()>;
}

/// What a process does in a pass.
pub enum Turn<'a> {
    /// Computes these units and hands them over.
    Compute(Range<usize>, Box<dyn Outbox + 'a>),
    /// Takes all units, which the parts of the pass gave.
    Merge(Box<dyn StoredBlocks>),
}

/// How processes that look at the same matrix share it out.
pub trait Exchange: Send + Sync {
    /// What to do in the next pass of so many units. Called once per pass, in the same order in every process.
    ///
    /// Units are merged by all, so they are small. In a pass that `keeps`, each also has bytes that are not merged: whoever
    /// computes the same unit in a later pass takes them from [`Exchange::kept`].
    ///
    /// # Errors
    /// When the parts of a pass cannot be had; [`Error::Interrupted`].
    fn turn(&self, stage: &str, units: usize, keeps: bool, ctx: &Ctx) -> Result<Turn<'_>>;

    /// What the units of an earlier pass kept. A process that computes a part may have no more than its own: the units of the same part of
    /// that pass.
    ///
    /// # Errors
    /// When it cannot be had.
    fn kept(&self, stage: &str, units: usize) -> Result<Box<dyn StoredBlocks>>;
}

/// Turns one unit of a stored pass into what was put.
///
/// # Errors
/// When it cannot be read, has changed, or is of another kind.
pub fn stored<T: DeserializeOwned>(stage: &str, parts: &dyn StoredBlocks, unit: usize) -> Result<T> {
    let mut found = None;
    parts.visit(unit, &mut |bytes| {
        found = Some(
            postcard::from_bytes(bytes)
                .map_err(|error| Error::Internal(format!("{stage}: a partial result of another kind: {error}")))?,
        );
        Ok(())
    })?;
    found.ok_or_else(|| Error::Internal(format!("{stage}: a unit without bytes")))
}

/// A pass whose units keep bytes, or that is looked at again: as [`units`], but the units stay where they are and are read by [`stored`].
/// `compute` hands over each unit and what it keeps, `None` in a pass that keeps nothing.
///
/// # Errors
/// [`Error::PartDone`] once a part is handed over; whatever `compute` and the exchange return.
pub fn stored_units<T: Serialize, K: Serialize>(
    exchange: &Arc<dyn Exchange>,
    stage: &str,
    units: usize,
    keeps: bool,
    ctx: &Ctx,
    compute: impl FnOnce(Range<usize>, &mut dyn FnMut(T, Option<K>) -> Result<()>) -> Result<()>,
) -> Result<Box<dyn StoredBlocks>> {
    match exchange.turn(stage, units, keeps, ctx)? {
        Turn::Merge(parts) => Ok(parts),
        Turn::Compute(range, mut out) => {
            compute(range, &mut |unit, kept| {
                out.put(&encoded(stage, &unit)?)?;
                kept.map_or(Ok(()), |kept| out.keep(&encoded(stage, &kept)?))
            })?;
            out.close()?;
            Err(Error::PartDone)
        }
    }
}

fn encoded<T: Serialize>(stage: &str, unit: &T) -> Result<Vec<u8>> {
    postcard::to_allocvec(unit).map_err(|error| Error::Internal(format!("{stage}: a partial result: {error}")))
}

/// Units `0..units` of a pass, in order: `compute` makes those of a range and hands each on, `take` gets all.
///
/// Without an exchange, or without units, `compute` makes all of them. With one it makes a part, which is handed over, or none: `take` then gets
/// what the parts gave.
///
/// # Errors
/// [`Error::PartDone`] once a part is handed over; whatever `compute`, `take` and the exchange return.
pub fn units<T: Serialize + DeserializeOwned>(
    exchange: Option<&Arc<dyn Exchange>>,
    stage: &str,
    units: usize,
    ctx: &Ctx,
    compute: impl FnOnce(Range<usize>, &mut dyn FnMut(usize, T) -> Result<()>) -> Result<()>,
    mut take: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let Some(exchange) = exchange.filter(|_| units > 0) else { return compute(0..units, &mut take) };
    match exchange.turn(stage, units, false, ctx)? {
        Turn::Compute(range, mut out) => {
            compute(range, &mut |_, unit| out.put(&encoded(stage, &unit)?))?;
            out.close()?;
            Err(Error::PartDone)
        }
        Turn::Merge(parts) => (0..units).try_for_each(|unit| take(unit, stored(stage, &*parts, unit)?)),
    }
}
