//! The best linear map between places that are known to be the same.

use zensaibo_core::{DataFault, Error, Result};

use crate::cloud::{Cloud, square};
use crate::linear::{Linear, Pairs};

zensaibo_core::options! {
    /// Options for [`landmark_map`].
    pub struct LandmarkOptions("landmark_transform") {
        /// `rigid` (turn and shift), `similarity` (and one scale) or `affine`.
        pub kind: String = "similarity".to_string(),
        /// Take the best map that mirrors instead. Without meaning for `affine`, which mirrors where that fits better.
        pub mirror: bool = false,
    }
}

impl LandmarkOptions {
    fn check(&self) -> Result<()> {
        if !["rigid", "similarity", "affine"].contains(&self.kind.as_str()) {
            return Err(Error::parameter("kind", "rigid, similarity or affine", &self.kind));
        }
        if self.mirror && self.kind == "affine" {
            return Err(Error::parameter(
                "mirror",
                "false for an affine map, which mirrors where that fits better",
                true,
            ));
        }
        Ok(())
    }
}

/// The map of least weighted squares from `moving` to `fixed`, pair by pair, in closed form (Umeyama 1991; Horn 1987), and
/// the distance that it leaves at each pair. Nothing is random; time and memory in proportion to the pairs.
///
/// # Errors
/// [`Error::Data`] (`Shape`) for sides that differ in length or dimensions and weights that do not fit, (`TooFew`) for too few
/// pairs or pairs on a line (for `affine`: in a plane) so that the map stays open, (`Invalid`) for weights below 0.
pub fn landmark_map(
    moving: &Cloud,
    fixed: &Cloud,
    weights: Option<&[f64]>,
    options: &LandmarkOptions,
) -> Result<(Linear, Vec<f64>)> {
    zensaibo_core::options::Options::validate(options)?;
    let dimensions = fixed.dimensions();
    if moving.len() != fixed.len() || moving.dimensions() != dimensions {
        let expected = format!("{} places in {dimensions} dimensions, one for each fixed one", fixed.len());
        let found = format!("{} in {}", moving.len(), moving.dimensions());
        return Err(Error::data(DataFault::Shape, "landmarks", expected, found));
    }
    let even = vec![1.0; fixed.len()];
    let weights = weights.unwrap_or(&even);
    if weights.len() != fixed.len() {
        let expected = format!("{}, one per landmark", fixed.len());
        return Err(Error::data(DataFault::Shape, "weights of landmarks", expected, weights.len()));
    }
    if let Some(at) = weights.iter().position(|weight| !(*weight >= 0.0 && weight.is_finite())) {
        let found = format!("{} for landmark {at}", weights[at]);
        return Err(Error::data(DataFault::Invalid, "weights of landmarks", "finite weights of at least 0", found));
    }
    let rows = || moving.points().iter().zip(fixed.points()).zip(weights);
    let sums = Pairs::of(rows().filter(|row| *row.1 > 0.0).map(|((x, y), weight)| (*x, *y, *weight)));
    let needed = if options.kind == "affine" { dimensions } else { dimensions - 1 };
    let rank = sums.rank(dimensions);
    if rank < needed {
        let expected =
            format!("at least {} that span {needed} directions for a map of kind {}", needed + 1, options.kind);
        let found = format!("{} that span {rank}", rows().filter(|row| *row.1 > 0.0).count());
        return Err(Error::data(DataFault::TooFew, "landmarks", expected, found));
    }
    let map = match options.kind.as_str() {
        "affine" => sums.affine(dimensions, 0.0, &Linear::IDENTITY),
        kind => sums.similarity(dimensions, kind == "similarity", options.mirror),
    };
    let open = || Error::data(DataFault::Invalid, "landmarks", "places with one best map between them", "none");
    let map = map.ok_or_else(open)?;
    let left = rows().map(|((x, y), _)| square(&map.apply(x), y).sqrt()).collect();
    Ok((map, left))
}
