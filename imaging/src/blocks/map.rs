//! Work on blocks, results in order.

use std::ops::Range;

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zensaibo_core::data::{Region, VolumeBlocks};
use zensaibo_core::exchange::units;
use zensaibo_core::{Ctx, Result};

use super::Plan;

/// Maps the blocks of a plan in parallel and folds the results in block order, holding no more of them than the plan
/// allows at one time. Progress counts voxels.
///
/// # Errors
/// The first error of `map` or `fold` in block order, or [`zensaibo_core::Error::Interrupted`].
pub fn map_blocks<T: Send>(
    plan: &Plan,
    stage: &str,
    ctx: &Ctx,
    map: impl Fn(&Region) -> Result<T> + Sync,
    mut fold: impl FnMut(&Region, T) -> Result<()>,
) -> Result<()> {
    map_units(plan, 0..plan.len(), stage, ctx, |_, region| map(region), |block, found| fold(&plan.region(block), found))
}

/// As [`map_blocks`]; processes that share `volume` map some of the blocks each. The plan is the same for all
/// ([`Plan::shared`]).
///
/// # Errors
/// As [`map_blocks`]; [`zensaibo_core::Error::PartDone`].
pub fn map_shared<T: Send + Serialize + DeserializeOwned>(
    volume: &dyn VolumeBlocks,
    plan: &Plan,
    stage: &str,
    ctx: &Ctx,
    map: impl Fn(&Region) -> Result<T> + Sync,
    mut fold: impl FnMut(&Region, T) -> Result<()>,
) -> Result<()> {
    let here = |blocks: Range<usize>, put: &mut dyn FnMut(usize, T) -> Result<()>| {
        map_units(plan, blocks, stage, ctx, |_, region| map(region), put)
    };
    units(volume.exchange(), stage, plan.len(), ctx, here, |block, found| fold(&plan.region(block), found))
}

/// Maps units in parallel and folds the results in their order, as [`map_blocks`] does. The units are the blocks of a plan, of one frame
/// after the other: unit `u` is block `u % plan.len()` of frame `u / plan.len()`.
///
/// # Errors
/// As [`map_blocks`].
pub(crate) fn map_units<T: Send>(
    plan: &Plan,
    units: Range<usize>,
    stage: &str,
    ctx: &Ctx,
    map: impl Fn(usize, &Region) -> Result<T> + Sync,
    mut fold: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let region_of = |unit: usize| plan.region(unit % plan.len());
    let progress = ctx.stage(stage, units.clone().map(|unit| region_of(unit).len() as u64).sum());
    // A few blocks per thread between folds, so that threads seldom wait; just as many as fit where memory is short.
    let threads = rayon::current_num_threads();
    let wave = if plan.at_once() < threads { plan.at_once() } else { 4 * threads };
    let mut start = units.start;
    while start < units.end {
        ctx.check()?;
        let end = (start + wave).min(units.end);
        let results: Vec<Result<T>> = (start..end)
            .into_par_iter()
            .with_max_len(1)
            .map(|unit| {
                ctx.check()?;
                let region = region_of(unit);
                let result = map(unit, &region);
                progress.advance(region.len() as u64)?;
                result
            })
            .collect();
        for (offset, result) in results.into_iter().enumerate() {
            fold(start + offset, result?)?;
        }
        start = end;
    }
    Ok(())
}
