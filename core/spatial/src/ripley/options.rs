//! Options of Ripley's statistics.

use zensaibo_core::{Error, Result};

/// Which statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Mode {
    /// From random places to the nearest cell.
    F,
    /// From each cell to the nearest other.
    G,
    /// Pairs of cells by distance, as the radius of the disc (ball) that holds as many by chance.
    L,
}

/// What is done about cells near the border, whose neighbours may lie beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Correction {
    /// For each distance, only what lies at least that far from the border is looked from.
    Border,
    /// Nothing: values are too low, in simulations alike.
    None,
}

zensaibo_core::options! {
    /// Options for [`ripley`](super::ripley).
    pub struct RipleyOptions("ripley") {
        /// "F", "G" or "L".
        pub mode: Mode = Mode::F,
        /// Patterns drawn for each number of cells, at least 1.
        pub n_simulations: usize = 100,
        /// At most this many cells of a label are used, a random choice of them where there are more; as many are drawn in
        /// simulations. For F also the number of places looked from. At least 2. More are slower, and find smaller effects.
        pub n_observations: usize = 1000,
        /// "border" or "none".
        pub edge_correction: Correction = Correction::Border,
        /// Seed of choices and simulations. Each simulation has random numbers of its own: fewer are part of more.
        pub seed: u64 = 0,
    }
}

impl RipleyOptions {
    fn check(&self) -> Result<()> {
        if !(1..=1_000_000).contains(&self.n_simulations) {
            return Err(Error::parameter("n_simulations", "1 to 1000000", self.n_simulations));
        }
        if self.n_observations < 2 {
            return Err(Error::parameter("n_observations", "at least 2", self.n_observations));
        }
        Ok(())
    }
}
