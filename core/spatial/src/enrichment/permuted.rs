//! Mean and variance over some random orders of the labels.

use zensaibo_core::options::Options;
use zensaibo_core::parallel::ordered_reduce;
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, Error, Result};

use super::{Enrichment, NhoodOptions, check_labels, count};
use crate::Edges;

/// Edges between labels, with mean and variance (divided by the number of orders) over `n_perms` random orders of the labels
/// within each library; `libraries` holds the library of each cell, below `n_libraries`.
///
/// Order p takes its numbers from the stream (seed, p), and sums are of whole numbers: threads change the time alone.
/// Cost: edges x orders; memory 4 bytes per cell and 8 n_labels^2 for each of some four orders per thread.
///
/// # Errors
/// [`Error::Parameter`] (`n_perms`) unset or below 2; [`Error::Data`] for labels or libraries that do not fit;
/// [`Error::Interrupted`].
pub fn permuted(
    edges: &Edges<'_>,
    labels: &[u32],
    n_labels: usize,
    libraries: &[u32],
    n_libraries: usize,
    options: &NhoodOptions,
    ctx: &Ctx,
) -> Result<Enrichment> {
    options.validate()?;
    check_labels(labels, edges.len(), n_labels)?;
    check_labels(libraries, edges.len(), n_libraries)?;
    let orders = options.n_perms.ok_or_else(|| Error::parameter("n_perms", "at least 2", "none"))?;
    let mut members = vec![Vec::new(); n_libraries];
    for (cell, &library) in libraries.iter().enumerate() {
        members[library as usize].push(cell);
    }
    let size = n_labels * n_labels;
    let (mut sums, mut squares) = (vec![0u128; size], vec![0u128; size]);
    let stage = ctx.stage("random orders of labels", orders);
    ordered_reduce(
        orders as usize,
        ctx,
        |order| {
            let mut stream = Stream::new(options.seed, order as u64);
            let mut dealt = labels.to_vec();
            for cells in &members {
                let mut pack: Vec<u32> = cells.iter().map(|&cell| labels[cell]).collect();
                stream.shuffle(&mut pack);
                cells.iter().zip(pack).for_each(|(&cell, label)| dealt[cell] = label);
            }
            Ok(count(edges, &dealt, n_labels))
        },
        |_, counts| {
            for (at, count) in counts.into_iter().map(u128::from).enumerate() {
                sums[at] += count;
                squares[at] += count * count;
            }
            stage.advance(1)
        },
    )?;
    let many = u128::from(orders);
    Ok(Enrichment {
        counts: count(edges, labels, n_labels),
        means: sums.iter().map(|&sum| sum as f64 / orders as f64).collect(),
        variances: sums
            .iter()
            .zip(&squares)
            .map(|(&sum, &square)| (many * square - sum * sum) as f64 / (orders as f64 * orders as f64))
            .collect(),
    })
}
