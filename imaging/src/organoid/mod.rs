//! Organoids: bodies with cavities in them, and how deep each place of their tissue lies.
//!
//! Labels name the organoids of a volume. Each is worked on in its own box: what lies outside is flooded from the edge of the
//! box, what the flood does not reach is its body; cavities of the body (voxels without a label, or dark ones) that are large
//! enough are lumens, also such that open to the outside through a hole that a ball of a given width does not pass. Of each
//! body come volume, surface, axes and lumens, of each voxel its distance to the outer surface and to the nearest lumen.

mod body;
mod cavities;
mod options;
#[cfg(test)]
mod tests;

pub use body::{BodyTable, LumenTable, Organoids, organoids};
pub use options::OrganoidOptions;
