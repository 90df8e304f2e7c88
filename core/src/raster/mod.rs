//! Pictures of many points: anti-aliased discs drawn into an RGBA image, tile by tile.
//!
//! A million cells drawn as vector marks make files of hundreds of megabytes; drawn here they cost one image.
//! [`draw`] puts points at positions into an image with colours from [`Colors`]: a category, a value through a colour
//! table, or a colour each. Points are sorted into tiles once and the tiles are filled in parallel; within a tile
//! points are drawn in the order asked for, so the picture is the same bits for any number of threads.
//!
//! [`palette`] gives distinct colours for categories, [`viridis`] a table for values. Writing PNG is the caller's task.

mod colors;
mod disc;
mod draw;
mod options;
mod palette;
mod tiles;

#[cfg(test)]
mod tests;

pub use colors::{Colors, Rgba};
pub use draw::{Picture, draw};
pub use options::{DrawOrder, RasterOptions};
pub use palette::{MISSING, palette, viridis};
