//! The manual of the layout.

use crate::{Error, Result, options};

/// Where the layout starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitPos {
    /// Leading eigenvectors of the normalised graph; disconnected parts are laid out apart, side by side.
    #[default]
    Spectral,
    /// Uniform random positions.
    Random,
}

/// The largest number of coordinates per vertex.
pub const MAX_COMPONENTS: usize = 64;

options! {
    /// Options of [`umap`](super::umap). Names and defaults are scanpy's.
    pub struct UmapOptions("umap") {
        /// How close two points may lie in the layout, in its own units; 0 to `spread`. Small values give tight
        /// clumps, larger ones an even spread. Ignored when `a` and `b` are given.
        pub min_dist: f64 = 0.5,
        /// Scale of the layout, above 0: together with `min_dist` it says how clumped points are.
        /// Ignored when `a` and `b` are given.
        pub spread: f64 = 1.0,
        /// Number of coordinates per vertex, 1 to 64.
        pub n_components: usize = 2,
        /// Number of epochs; unset: 500 up to 10,000 vertices, else 200. 0 returns the initial positions.
        pub maxiter: Option<usize> = None,
        /// Learning rate of the first epoch, above 0; it falls linearly to 0.
        pub alpha: f64 = 1.0,
        /// Weight of repulsion, at least 0. Larger values push unconnected points further apart.
        pub gamma: f64 = 1.0,
        /// Repelling points drawn per attraction, at least 0. Larger is slower and more accurate.
        pub negative_sample_rate: usize = 5,
        /// Where the layout starts: "spectral" or "random". Ignored when positions are handed in.
        pub init_pos: InitPos = InitPos::Spectral,
        /// Shape of the attraction curve 1 / (1 + a x^(2b)), above 0; unset: fitted from `min_dist` and `spread`.
        /// Give both `a` and `b` or neither.
        pub a: Option<f64> = None,
        /// See `a`.
        pub b: Option<f64> = None,
        /// Seed of every random number.
        pub seed: u64 = 0,
    }
}

impl UmapOptions {
    /// Epochs that a graph of `n` vertices gets.
    pub fn epochs(&self, n: usize) -> usize {
        self.maxiter.unwrap_or(if n <= 10_000 { 500 } else { 200 })
    }

    fn check(&self) -> Result<()> {
        let positive = |name: &str, value: f64| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter(name, "a finite number above 0", value)),
        };
        positive("spread", self.spread)?;
        if !(self.min_dist >= 0.0 && self.min_dist <= self.spread) {
            let expected = format!("a number from 0 to spread = {}", self.spread);
            return Err(Error::parameter("min_dist", expected, self.min_dist));
        }
        if !(1..=MAX_COMPONENTS).contains(&self.n_components) {
            let expected = format!("a whole number from 1 to {MAX_COMPONENTS}");
            return Err(Error::parameter("n_components", expected, self.n_components));
        }
        if self.maxiter.is_some_and(|epochs| epochs > 1_000_000) {
            return Err(Error::parameter("maxiter", "at most 1000000 epochs", self.epochs(0)));
        }
        positive("alpha", self.alpha)?;
        if !(self.gamma.is_finite() && self.gamma >= 0.0) {
            return Err(Error::parameter("gamma", "a finite number of at least 0", self.gamma));
        }
        if self.negative_sample_rate > 10_000 {
            return Err(Error::parameter("negative_sample_rate", "at most 10000", self.negative_sample_rate));
        }
        match (self.a, self.b) {
            (Some(a), Some(b)) => positive("a", a).and_then(|()| positive("b", b)),
            (None, None) => Ok(()),
            _ => Err(Error::parameter("a, b", "both or neither", "only one of them")),
        }
    }
}
