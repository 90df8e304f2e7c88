//! Sketches: few cells that stand for many, to be analysed in their place.
//!
//! - [`geometric()`] covers an embedding (cells x components) with equal boxes and takes about as many cells from each
//!   box that holds any, so that a sketch follows the shape of the data and not its density (Hie et al. 2019).
//! - [`leverage_scores`] says how much each cell adds to the space that the cells span; [`sample_weighted`] draws
//!   cells in proportion. Rare kinds of cells, which hardly anything else stands for, score high.
//!
//! Leverage is usually approximated from a random embedding of the cells, S A with a sparse S, whose QR gives R, and
//! from A R^-1 P with a random P (Clarkson and Woodruff 2017; Drineas et al. 2012; Hao et al. 2024). S A must have more
//! rows than there are genes to be of use, so it is larger than A^T A; and A^T A is exact and costs one read. Hence R
//! comes from A^T A here, and only P is random, where it is asked for.
//!
//! References: Hie, Cho, DeMeo, Bryson, Berger, Cell Systems 8 (2019); Clarkson and Woodruff, J. ACM 63 (2017);
//! Drineas, Magdon-Ismail, Mahoney, Woodruff, JMLR 13 (2012); Mahoney and Drineas, PNAS 106 (2009), leverage within
//! leading components; Hao et al., Nat Biotechnol 42 (2024); Efraimidis and Spirakis, Inf. Process. Lett. 97 (2006).

mod draw;
mod factor;
mod geometric;
mod leverage;
mod options;
mod whiten;

#[cfg(test)]
mod tests;

pub use draw::sample_weighted;
pub use geometric::{Geometric, geometric};
pub use leverage::leverage_scores;
pub use options::{GeometricOptions, LeverageOptions};
