//! t-SNE: two coordinates per point that keep neighbours together.
//!
//! Similarities of n points come from their nearest neighbours, each with a kernel as wide as the perplexity asks
//! ([`affinities`]); positions start from the first two principal axes ([`initialize`]) and descend the divergence between
//! similarities and those of the layout ([`optimize`]), repulsion through a quadtree.
//!
//! References: van der Maaten and Hinton 2008, Visualizing data using t-SNE, JMLR 9, 2579; van der Maaten 2014,
//! Accelerating t-SNE using tree-based algorithms, JMLR 15, 3221; Kobak and Berens 2019, The art of using t-SNE for
//! single-cell transcriptomics, Nature Communications 10, 5416.

mod affinities;
mod initialize;
mod optimize;
mod options;

#[cfg(test)]
mod tests;

pub use options::TsneOptions;

use crate::knn::{KnnOptions, Points, knn};
use crate::matrix::ValueSlice;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// A finished layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Tsne {
    /// n x 2, row by row, centred.
    pub coordinates: Vec<f32>,
    /// Kullback-Leibler divergence of the layout from the similarities, without exaggeration; in nats.
    pub kl_divergence: f64,
    /// Descent steps done.
    pub iterations: usize,
}

/// Lays out n points of d coordinates (`points`: n x d, row by row, finite) in the plane.
///
/// Each point's neighbours are its 3 x perplexity nearest. `initial`, if given, is n x 2 and is scaled to the usual small
/// size; otherwise the first two principal axes are taken.
///
/// Random: the sample of an approximate neighbour search, and the start of the principal axes, both by `seed`. The same
/// bits for any number of threads on processors with the same instructions. O(`n_iter` n log n) time: about 1.5 ms of one
/// core per 1000 points and step; memory about 24 x perplexity + 100 bytes per point.
///
/// # Errors
/// [`Error::Parameter`] for options out of range, or a perplexity of at least n; [`Error::Data`] for fewer than 4 points,
/// values that are not finite, or an `initial` of another length; [`Error::Interrupted`].
///
/// # Reference
/// van der Maaten 2014, JMLR 15, 3221.
pub fn tsne(points: &[f32], n: usize, initial: Option<&[f32]>, options: &TsneOptions, ctx: &Ctx) -> Result<Tsne> {
    options.validate()?;
    if n < 4 {
        return Err(Error::data(DataFault::TooFew, "points", "at least 4", n));
    }
    if options.perplexity >= n as f64 {
        return Err(Error::parameter("perplexity", format!("below the number of points, {n}"), options.perplexity));
    }
    let view = Points::new(n, points.len() / n, ValueSlice::F32(points))?;
    let search = KnnOptions {
        n_neighbors: ((3.0 * options.perplexity) as usize + 1).clamp(2, n),
        metric: options.metric,
        seed: options.seed,
        ..Default::default()
    };
    let neighbors = knn(&view, &search, ctx)?;
    let similar = affinities::affinities(&neighbors, options.perplexity, ctx)?;
    drop(neighbors);
    let start = match initial {
        Some(given) => initialize::given(given, n)?,
        None => initialize::principal_axes(points, n, options.seed, ctx)?,
    };
    optimize::descend(&similar, start, options, ctx)
}
