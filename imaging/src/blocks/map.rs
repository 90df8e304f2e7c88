//! Work on blocks, results in order.

use rayon::prelude::*;
use zensaibo_core::data::Region;
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
    let progress = ctx.stage(stage, plan.shape().iter().map(|&n| n as u64).product());
    let count = plan.len();
    // A few blocks per thread between folds, so that threads seldom wait; just as many as fit where memory is short.
    let threads = rayon::current_num_threads();
    let wave = if plan.at_once() < threads { plan.at_once() } else { 4 * threads };
    let mut start = 0;
    while start < count {
        ctx.check()?;
        let end = (start + wave).min(count);
        let results: Vec<Result<T>> = (start..end)
            .into_par_iter()
            .with_max_len(1)
            .map(|index| {
                ctx.check()?;
                let region = plan.region(index);
                let result = map(&region);
                progress.advance(region.len() as u64)?;
                result
            })
            .collect();
        for (offset, result) in results.into_iter().enumerate() {
            fold(&plan.region(start + offset), result?)?;
        }
        start = end;
    }
    Ok(())
}
