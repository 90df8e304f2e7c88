//! Groups of animals compared: structure by structure, and voxel by voxel.
//!
//! [`compare_regions`]: cells of each structure in each sample follow a negative binomial distribution whose logarithmic
//! mean is linear in a design, with an offset for volume or total. One dispersion serves all structures; what a single
//! structure varies beyond it is its quasi-dispersion, drawn towards that of the others. P-values are corrected three ways:
//! flat, along the tree by levels, and along the tree for its whole.
//!
//! [`compare_volumes`]: at every voxel a difference or Welch's t between two groups, judged by shuffling the groups; the
//! family-wise error over voxels by the largest statistic, or by the extent of clusters.
//!
//! References: Lund, Nettleton, McCarthy, Smyth, Stat. Appl. Genet. Mol. Biol. 11(5) (2012) for quasi-likelihood; McCarthy,
//! Chen, Smyth, Nucleic Acids Res. 40:4288 (2012) for the adjusted profile likelihood (Cox and Reid 1987); Smyth (2004) for
//! drawing variances together; Yekutieli, JASA 103:309 (2008); Meinshausen, Biometrika 95:265 (2008); Benjamini and Hochberg
//! (1995); Nichols and Holmes, Human Brain Mapping 15:1 (2002); Winkler et al., NeuroImage 92:381 (2014).

mod counts;
mod dispersion;
mod hierarchy;
mod maps;
mod negative_binomial;
mod options;
mod shuffles;
#[cfg(test)]
mod tests;

pub use counts::{RegionComparison, RegionEffect, compare_regions};
pub use dispersion::Prior;
pub use hierarchy::{Corrected, correct};
pub use maps::{Cluster, VolumeComparison, compare_volumes};
pub use options::{Alternative, CompareRegionsOptions, CompareVolumesOptions, Control, Statistic};
