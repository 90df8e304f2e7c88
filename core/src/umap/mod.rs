//! UMAP: coordinates in a few dimensions in which vertices that the graph joins lie close together.
//!
//! From a weighted graph of n vertices ([`Graph`](crate::graph::Graph)) to n x d coordinates: fit of the
//! attraction curve ([`fit_curve`]), starting positions from the graph's spectrum ([`initial_positions`]), then
//! stochastic attraction along edges and repulsion between random pairs ([`Layout`]).
//!
//! Reference: McInnes, Healy, Melville 2018, "UMAP: Uniform Manifold Approximation and Projection for Dimension
//! Reduction", arXiv:1802.03426.

mod curve;
mod initialize;
mod kernel;
mod optimize;
mod options;
mod place;
mod quality;
mod spectral;

#[cfg(test)]
mod tests;

pub use curve::fit_curve;
pub use initialize::{given_positions, initial_positions};
pub use optimize::Layout;
pub use options::{InitPos, MAX_COMPONENTS, UmapOptions};
pub use place::place;
pub use quality::{neighbor_preservation, trustworthiness};
pub use spectral::{Spectral, SpectralLimits, spectral_vectors};

use crate::graph::Graph;
use crate::options::Options;
use crate::{Ctx, Result};

/// A finished layout.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Umap {
    /// n x `n_components`, row by row; arbitrary units, those of `min_dist` and `spread`.
    pub coordinates: Vec<f32>,
    /// Number of coordinates per vertex.
    pub n_components: usize,
    /// Attraction curve: a of 1 / (1 + a x^(2b)).
    pub a: f64,
    /// Attraction curve: b.
    pub b: f64,
}

/// Lays out a weighted graph (n vertices; weights from 0, larger is closer) in `n_components` dimensions.
///
/// The graph is meant to be symmetric; one that is not counts as the mean of itself and its transpose. Returns
/// one row of coordinates per vertex. Self-loops, and edges weaker than the strongest / epochs, exert no force;
/// a vertex without edges stays where it started.
///
/// Random: the spectral start, which edges act when, and the repelling points; all from `seed`. The same bits for
/// any number of threads and on every processor with the same mathematical library.
///
/// Cost: time proportional to epochs x sum of weights / largest weight x (1 + `negative_sample_rate`): about
/// 0.15 ms of one core per vertex for 200 epochs at 15 neighbours. Memory beyond the graph: 12 bytes per edge and
/// about 200 bytes per vertex (spectral start).
///
/// # Errors
/// [`crate::Error::Parameter`] for options out of range; [`crate::Error::Interrupted`].
///
/// Known limit: at the default `alpha` the first epochs move points far, so that a long thin shape (a ring of a
/// single thread) may come out folded although its neighbourhoods are kept; a smaller `alpha` moves less.
///
/// # Reference
/// McInnes, Healy, Melville 2018, arXiv:1802.03426, algorithms 4 and 5.
pub fn umap(graph: &Graph, options: &UmapOptions, ctx: &Ctx) -> Result<Umap> {
    options.validate()?;
    run(graph, None, options, ctx)
}

/// As [`umap`], from positions handed in: `initial` is n x `n_components`, row by row, finite. They are brought to
/// 0 to 10 along each axis first; `init_pos` is ignored.
///
/// # Errors
/// As [`umap`]; [`crate::Error::Data`] if `initial` has another length or holds values that are not finite.
pub fn umap_from(graph: &Graph, initial: &[f32], options: &UmapOptions, ctx: &Ctx) -> Result<Umap> {
    options.validate()?;
    run(graph, Some(initial), options, ctx)
}

fn run(graph: &Graph, initial: Option<&[f32]>, options: &UmapOptions, ctx: &Ctx) -> Result<Umap> {
    let (a, b) = match (options.a, options.b) {
        (Some(a), Some(b)) => (a, b),
        _ => fit_curve(options.min_dist, options.spread)?,
    };
    let both_ways;
    let graph = if graph.is_symmetric() {
        graph
    } else {
        both_ways = graph.symmetrised()?;
        &both_ways
    };
    let start = match initial {
        Some(given) => given_positions(graph, given, options)?,
        None => initial_positions(graph, options, ctx)?,
    };
    let mut layout = Layout::new(graph, &start, a, b, options)?;
    layout.run_until(layout.n_epochs(), ctx)?;
    Ok(Umap { coordinates: layout.coordinates(), n_components: options.n_components, a, b })
}
