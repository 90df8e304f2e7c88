//! Shapes in volumes: connected components and Euclidean distances.
//!
//! [`Components`] numbers connected voxels (6, 18 or 26 neighbours; masks, or labels whose equal values connect) as
//! scipy.ndimage and cc3d do, over blocks of lines. Lines are reduced to runs of equal voxels; runs that touch are joined
//! (union-find, Rosenfeld and Pfaltz 1966), first within blocks, in parallel, then over their faces; the numbers
//! follow the raster order of the first voxel of each component, so that no cut can be seen in them.
//!
//! [`distance_transform`] is the exact distance to the nearest background voxel with a spacing for each axis: separable squared
//! distances (Felzenszwalb and Huttenlocher 2012). [`BoundedDistance`] is the same up to a stated distance, block by block.

mod components;
mod distance;
mod options;
mod runs;

pub use components::Components;
pub use distance::{BoundedDistance, Real, distance_transform};
pub use options::{Connectivity, DistanceOptions, LabelOptions};
pub(crate) use runs::Sets;

#[cfg(test)]
mod tests;
