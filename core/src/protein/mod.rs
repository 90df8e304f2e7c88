//! Surface proteins counted by antibody tags (CITE-seq).
//!
//! [`clr`]: centred log ratios, by feature or by cell, on sparse or dense counts. [`dsb`]: values in units of the
//! background that empty droplets show, less what is technical in each cell.
//!
//! References: Stoeckius et al., Nature Methods 14 (2017); Mule, Martins, Tsang, Nature Communications 13:2099 (2022).

mod clr;
mod dsb;
mod mixture;
#[cfg(test)]
mod tests;

pub use clr::{ClrOptions, clr};
pub use dsb::{Dsb, DsbOptions, Scale, dsb};
pub use mixture::lower_mean;
