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
    /// # Errors
    /// When the parts of a pass cannot be had; [`Error::Interrupted`].
    fn turn(&self, stage: &str, units: usize, ctx: &Ctx) -> Result<Turn<'_>>;
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
    match exchange.turn(stage, units, ctx)? {
        Turn::Compute(range, mut out) => {
            compute(range, &mut |_, unit| {
                let bytes = postcard::to_allocvec(&unit)
                    .map_err(|error| Error::Internal(format!("{stage}: a partial result: {error}")))?;
                out.put(&bytes)
            })?;
            out.close()?;
            Err(Error::PartDone)
        }
        Turn::Merge(parts) => (0..units).try_for_each(|unit| {
            parts.visit(unit, &mut |bytes| {
                let found = postcard::from_bytes(bytes)
                    .map_err(|error| Error::Internal(format!("{stage}: a partial result of another kind: {error}")))?;
                take(unit, found)
            })
        }),
    }
}
