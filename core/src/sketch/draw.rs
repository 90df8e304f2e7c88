//! Cells drawn without replacement, in proportion to a weight.

use rayon::prelude::*;

use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// Draws `n_obs` different rows: at each draw a row is taken with a chance in proportion to its weight among those
/// that are left. Returns row numbers, rising.
///
/// `weights`: finite, at least 0; rows of weight 0 come only when no others are left, evenly. Random by `seed`: each
/// row has a number of its own, E / weight with E exponential, and the smallest are taken, so a draw of fewer rows is
/// part of a draw of more. The bits do not depend on threads. Time n; 24 bytes per row.
///
/// # Errors
/// [`Error::Parameter`] for more rows than there are; [`Error::Data`] for weights that are negative or not finite;
/// [`Error::Interrupted`].
///
/// Reference: Efraimidis and Spirakis, Inf. Process. Lett. 97 (2006).
pub fn sample_weighted(weights: &[f64], n_obs: usize, seed: u64, ctx: &Ctx) -> Result<Vec<u32>> {
    check_count(n_obs, weights.len())?;
    if let Some(row) = weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())) {
        let weight = weights[row];
        let fault = if weight < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
        let found = format!("{weight} in row {row}");
        return Err(Error::data(fault, "weights", "finite numbers of at least 0", found));
    }
    ctx.check()?;
    let keys: Vec<(f64, f64, u32)> = weights
        .par_iter()
        .enumerate()
        .map(|(row, &weight)| {
            let waited = -(1.0 - Stream::new(seed, row as u64).uniform()).ln();
            (if weight > 0.0 { waited / weight } else { f64::INFINITY }, waited, row as u32)
        })
        .collect();
    Ok(smallest(keys, n_obs, |a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)), |key| key.2))
}

/// Refuses more rows than there are, or than can be numbered.
pub(super) fn check_count(n_obs: usize, n: usize) -> Result<()> {
    if n > u32::MAX as usize {
        return Err(Error::Limit { what: "cells".into(), needed: n.to_string(), limit: "below 2^32".into() });
    }
    if n_obs > n {
        return Err(Error::parameter("n_obs", format!("at most the number of cells, {n}"), n_obs));
    }
    Ok(())
}

/// Rows of the `count` smallest keys, rising. `order` must leave no two keys equal.
pub(super) fn smallest<K>(
    mut keys: Vec<K>,
    count: usize,
    order: impl Fn(&K, &K) -> std::cmp::Ordering,
    row: impl Fn(&K) -> u32,
) -> Vec<u32> {
    if (1..keys.len()).contains(&count) {
        keys.select_nth_unstable_by(count - 1, order);
    }
    let mut rows: Vec<u32> = keys[..count].iter().map(row).collect();
    rows.sort_unstable();
    rows
}
