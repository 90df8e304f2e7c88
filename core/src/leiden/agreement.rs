//! How far two partitions agree.

use std::collections::BTreeMap;

use crate::{DataFault, Error, Result};

/// Agreement of two partitions of the same items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Adjusted Rand index: 1 for equal partitions, 0 on average for independent ones.
    pub adjusted_rand: f64,
    /// Mutual information over the mean of both entropies, between 0 and 1.
    pub normalized_mutual_information: f64,
}

/// Compares two labellings, each n labels of any kind of number. Names of labels do not matter.
///
/// Two partitions into one group each, or both into single items, agree fully. Not random, serial,
/// O(n log groups).
///
/// # Errors
/// [`Error::Data`] when the lengths differ.
///
/// # References
/// Hubert and Arabie, Journal of Classification 2, 193 (1985); Strehl and Ghosh, JMLR 3, 583 (2002), with the
/// arithmetic mean as normaliser.
pub fn agreement(a: &[u32], b: &[u32]) -> Result<Agreement> {
    if a.len() != b.len() {
        return Err(Error::data(DataFault::Shape, "second labels", format!("{} labels", a.len()), b.len()));
    }
    let (mut joint, mut rows, mut columns) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (&x, &y) in a.iter().zip(b) {
        *joint.entry((x, y)).or_insert(0u64) += 1;
        *rows.entry(x).or_insert(0u64) += 1;
        *columns.entry(y).or_insert(0u64) += 1;
    }
    let n = a.len() as f64;
    if joint.len() == rows.len() && joint.len() == columns.len() {
        return Ok(Agreement { adjusted_rand: 1.0, normalized_mutual_information: 1.0 }); // the same partition
    }
    let pairs = |count: &u64| *count as f64 * (*count as f64 - 1.0) / 2.0;
    let (in_both, in_a, in_b): (f64, f64, f64) =
        (joint.values().map(pairs).sum(), rows.values().map(pairs).sum(), columns.values().map(pairs).sum());
    let expected = in_a * in_b / (n * (n - 1.0) / 2.0);
    let adjusted_rand = (in_both - expected) / ((in_a + in_b) / 2.0 - expected);
    let entropy = |count: &u64| -(*count as f64 / n) * (*count as f64 / n).ln();
    let (entropy_a, entropy_b): (f64, f64) = (rows.values().map(entropy).sum(), columns.values().map(entropy).sum());
    let information: f64 = joint
        .iter()
        .map(|((x, y), &count)| {
            let count = count as f64;
            count / n * (count * n / (rows[x] as f64 * columns[y] as f64)).ln()
        })
        .sum();
    Ok(Agreement {
        adjusted_rand,
        normalized_mutual_information: (information / ((entropy_a + entropy_b) / 2.0)).clamp(0.0, 1.0),
    })
}
