//! What a caller can choose.

use crate::knn::Metric;
use crate::{Error, Result};

crate::options! {
    /// Options of [`tsne`](crate::tsne::tsne).
    pub struct TsneOptions("tsne") {
        /// Effective number of neighbours of a point: at least 1, below the number of points; 5 to 50 as a rule. Larger
        /// values show coarser structure.
        pub perplexity: f64 = 30.0,
        /// Distance for the neighbour search: euclidean, cosine or correlation.
        pub metric: Metric = Metric::Euclidean,
        /// Factor on attraction in the first `early_exaggeration_iter` steps; at least 1.
        pub early_exaggeration: f64 = 12.0,
        /// Length of steps, above 0; none means the number of points / exaggeration, which suits any number of them.
        pub learning_rate: Option<f64> = Some(1000.0),
        /// Steps in all.
        pub n_iter: usize = 1000,
        /// Steps with exaggeration, at most `n_iter`.
        pub early_exaggeration_iter: usize = 250,
        /// Squares narrower than this times their distance push as one; 0 to 1. Smaller is exacter and slower.
        pub theta: f64 = 0.5,
        /// Seed of every random choice.
        pub seed: u64 = 0,
    }
}

impl TsneOptions {
    fn check(&self) -> Result<()> {
        if !(self.perplexity >= 1.0 && self.perplexity <= 10_000.0) {
            return Err(Error::parameter("perplexity", "a number from 1 to 10000", self.perplexity));
        }
        if !(self.early_exaggeration >= 1.0 && self.early_exaggeration <= 1e4) {
            return Err(Error::parameter("early_exaggeration", "a number from 1 to 10000", self.early_exaggeration));
        }
        if let Some(rate) = self.learning_rate
            && !(rate > 0.0 && rate <= 1e9)
        {
            return Err(Error::parameter("learning_rate", "a finite number above 0, or none", rate));
        }
        if self.n_iter > 1_000_000 {
            return Err(Error::parameter("n_iter", "at most 1000000 steps", self.n_iter));
        }
        if self.early_exaggeration_iter > self.n_iter {
            let expected = format!("at most n_iter = {}", self.n_iter);
            return Err(Error::parameter("early_exaggeration_iter", expected, self.early_exaggeration_iter));
        }
        if !(0.0..=1.0).contains(&self.theta) {
            return Err(Error::parameter("theta", "a number from 0 to 1", self.theta));
        }
        Ok(())
    }
}
