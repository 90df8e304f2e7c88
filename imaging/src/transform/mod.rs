//! Maps from one space to another: affine maps and fields of displacements. No images.
//!
//! Places are (z, y, x) in micrometres; the centre of voxel 0 lies at 0.

mod affine;
mod field;
#[cfg(test)]
mod tests;

pub use affine::Affine;
pub use field::Field;
